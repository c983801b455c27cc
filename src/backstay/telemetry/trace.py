"""Traces for OpenTelemetry: a span for each request, and below it one for each stage and each statement.

A process has one tracer, as the SDK has one provider; the stages ask for it here, wherever they are.
Invariant: where no OpenTelemetry SDK has been set up there is no tracer, nothing of it is imported, and a stage pays
for one look at a variable. A span holds what the log holds, and the text of a statement, which has no values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import time_ns
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Stage: TypeAlias = Literal["identify", "parse", "plan", "compile", "run", "render"]
"""What a request goes through. `plan` and `compile` are remembered, so they are there the first time alone."""
STAGES: tuple[Stage, ...] = get_args(Stage)
_CARRIED = ("traceparent", "tracestate")  # W3C Trace Context
_UNTRACED: AbstractContextManager[None, None] = nullcontext()
_traces: Traces | None = None


def tracer() -> Traces | None:
    """Traces, where the application or `opentelemetry-instrument` has set an SDK up; nothing otherwise."""
    global _traces
    _traces = None
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    if isinstance(trace.get_tracer_provider(), TracerProvider):
        _traces = Traces(trace.get_tracer("backstay"))
    return _traces


def stage(name: Stage) -> AbstractContextManager[None, None]:
    """A stage of a request, as long as the block is: a span below the request's, where there is one."""
    return _UNTRACED if _traces is None else cast(AbstractContextManager[None, None], _traces.stage(name))


class Traces:
    """Makes the spans of one process."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[Span, Any]:
        """The span of a request, as a child of what its `traceparent` names, and what `end` is given to end it."""
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carried = {name: headers[name.encode()].decode("latin-1") for name in _CARRIED if name.encode() in headers}
        parent = TraceContextTextMapPropagator().extract(carried, context.Context())
        span = self._tracer.start_span(method, parent, trace.SpanKind.SERVER)
        return span, context.attach(trace.set_span_in_context(span, parent))

    def end(
        self, begun: tuple[Span, Any], method: str, route: str, status: int, request_id: str,
        error: BaseException | None,
    ) -> None:  # fmt: skip
        """A request was answered."""
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        span, token = begun
        span.update_name(f"{method} {route}")
        span.set_attributes({
            "http.request.method": method, "http.route": route, "http.response.status_code": status,
            "backstay.request_id": request_id,
        })  # fmt: skip
        if status >= 500:
            kind = type(error).__name__ if error is not None else str(status)
            span.set_attribute("error.type", kind)
            span.set_status(StatusCode.ERROR)
        span.end()
        context.detach(token)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """A span below the one that is open; what no request asked for, such as upkeep, has no stages."""
        from opentelemetry import trace
        from opentelemetry.trace import StatusCode

        if not trace.get_current_span().is_recording():
            yield
            return
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield
            except BaseException as error:  # its kind alone: a text may hold values
                span.set_attribute("error.type", type(error).__name__)
                if getattr(error, "status", 500) >= 500:
                    span.set_status(StatusCode.ERROR)
                raise

    def statement(self, system: str, text: str, seconds: float, *, failed: bool) -> None:
        """A statement was run, and took so long until now."""
        from opentelemetry import trace
        from opentelemetry.trace import StatusCode

        now = time_ns()
        span = self._tracer.start_span(
            text.split(None, 1)[0].upper(), kind=trace.SpanKind.CLIENT, start_time=now - int(seconds * 1e9),
            attributes={"db.system.name": system, "db.query.text": text},
        )  # fmt: skip
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(now)

    def passed_on(self) -> dict[str, str]:
        """The headers by which another service goes on with the trace of what is being done."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        return headers
