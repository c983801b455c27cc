"""What a request that came in has to do with those that go out for it: what is passed on, and what they may take."""

from __future__ import annotations

import re

from backstay.api.http import Request
from backstay.net.call import Caps
from backstay.plan.limits import Limits
from backstay.telemetry.trace import Traces

_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00


def passed_on(request: Request, traces: Traces | None = None) -> dict[str, str]:
    """The headers by which other services can tell what a request to them is made for."""
    if traces is not None:
        return {"x-request-id": request.id, **traces.passed_on()}
    trace = request.header(b"traceparent")
    said = {"traceparent": trace.decode()} if trace is not None and _TRACEPARENT.fullmatch(trace) else {}
    return {"x-request-id": request.id, **said}


def caps_of(limits: Limits) -> Caps:
    """What one request to another service may take."""
    return Caps(
        limits.max_outbound_seconds, limits.max_outbound_connect_seconds, limits.max_outbound_body,
        limits.max_outbound_headers, limits.max_outbound_redirects, limits.max_outbound_connections,
    )  # fmt: skip
