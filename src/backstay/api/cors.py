"""CORS: which front ends of other origins may read the answers in a browser (Fetch Standard, 3.3).

Invariant: an origin is allowed by its whole text and by nothing else; `null` never is. Any origin (`*`) is allowed
without credentials only, so that no cookie ever speaks to a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Header = tuple[bytes, bytes]

EXPOSED = (
    "ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID",
)  # fmt: skip
"""What a front end may read beside the body and its type."""
SENT = (
    "Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
    "Traceparent", "X-CSRF-Token", "X-Request-ID",
)  # fmt: skip
"""What a front end may send, beside the secrets that rules ask for."""
MAX_AGE = 7_200  # seconds; browsers remember a preflight no longer

_LOOPBACK = re.compile(rb"https?://(?:localhost|[a-z0-9\-]+\.localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")


class Cors:
    """The origins that may read, and what their browsers are told. `secrets` are headers that rules ask for."""

    def __init__(self, origins: Iterable[str] = (), *, loopback: bool = False, secrets: Iterable[str] = ()) -> None:
        self._any = "*" in origins
        self._known = frozenset(one.encode() for one in origins if one != "*")
        self._loopback = loopback
        self._send = (b"access-control-allow-headers", ", ".join((*SENT, *secrets)).encode())
        self.varies = bool(self._known) or loopback
        """Whether answers depend on who asks."""

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may read, with credentials."""
        return origin in self._known or (self._loopback and _LOOPBACK.fullmatch(origin) is not None)

    def headers(self, origin: bytes) -> list[Header]:
        """What an answer to this origin has; nothing where it may not read."""
        if self.allows(origin):
            who = (b"access-control-allow-origin", origin)
            return [who, (b"access-control-allow-credentials", b"true"), _EXPOSE]
        return [(b"access-control-allow-origin", b"*"), _EXPOSE] if self._any else []

    def preflight(self, origin: bytes, methods: str) -> list[Header]:
        """What a browser is told besides that asks before it sends; `methods` are those of the route."""
        if not (self._any or self.allows(origin)):
            return []
        return [(b"access-control-allow-methods", methods.encode()), self._send, _REMEMBER]


_EXPOSE = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_REMEMBER = (b"access-control-max-age", b"%d" % MAX_AGE)
