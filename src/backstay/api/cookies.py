"""The cookies of a session: read from a request, set by a log-in and a refresh, taken away by a log-out.

Invariant: they are `__Host-` cookies, HttpOnly, Secure and SameSite=Lax (RFC 6265bis), so no script, no other host and
no page of another site has them; only on this machine in development they are neither prefixed nor Secure, because
Safari would not keep them. Whatever answers a request that brought them is for its sender alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from backstay.api.http import Header, Request
from backstay.auth.session import Pair
from backstay.errors import BadRequest

ACCESS, REFRESH = "backstay_access", "backstay_refresh"
_LOOPBACK = re.compile(rb"(?:localhost|[a-z0-9\-]+\.localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_PRIVATE: Header = (b"cache-control", b"private, no-cache")


class Jar:
    """The cookies of one request, and those that its answer sets."""

    __slots__ = ("_plain", "_setting", "access", "refresh")

    def __init__(self, plain: bool, access: str | None = None, refresh: str | None = None) -> None:
        self.access = access
        self.refresh = refresh
        self._plain = plain
        self._setting: list[Header] = []

    def keep(self, pair: Pair) -> None:
        """Let the browser keep a pair, as long as its session lasts: an ended access token is then answered as one."""
        self._setting = [
            self._set(ACCESS, pair.access_token, pair.session_ends_in),
            self._set(REFRESH, pair.refresh_token, pair.session_ends_in),
        ]

    def clear(self) -> None:
        """Let the browser forget both."""
        self._setting = [self._set(ACCESS, "", 0), self._set(REFRESH, "", 0)]

    def seal(self, headers: Sequence[Header]) -> list[Header]:
        """The headers of the answer: with what is set, and never for a cache that others share."""
        mine = any(name == b"cache-control" and _is_private(value) for name, value in headers)
        kept = headers if mine else [*(one for one in headers if one[0] != b"cache-control"), _PRIVATE]
        return [*kept, *self._setting]

    def _set(self, name: str, value: str, seconds: int) -> Header:
        where = "" if self._plain else "; Secure"
        text = f"{_named(name, self._plain)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{where}"
        return (b"set-cookie", text.encode())


class Cookies:
    """Reads the cookies of one application; `development` is whether this machine gets plain ones."""

    def __init__(self, *, development: bool = False) -> None:
        self._development = development

    def read(self, request: Request) -> Jar | None:
        """The cookies of a request; nothing where it brings none of ours. Raises `BadRequest` for two of one name."""
        if not any(name == b"cookie" for name, _ in request.scope["headers"]):
            return None
        jar = self.empty(request)
        sent = [value for name, value in request.scope["headers"] if name == b"cookie"]
        jar.access, jar.refresh = (_one(sent, _named(name, jar._plain).encode()) for name in (ACCESS, REFRESH))
        return None if jar.access is None and jar.refresh is None else jar

    def empty(self, request: Request) -> Jar:
        """No cookies yet, for an answer that sets some."""
        host = request.header(b"host") or b""
        return Jar(self._development and _LOOPBACK.fullmatch(host) is not None)


def _named(name: str, plain: bool) -> str:
    return name if plain else f"__Host-{name}"


def _one(sent: Iterable[bytes], name: bytes) -> str | None:
    """The value of a cookie. Browsers send one of each name; two are somebody's trick."""
    found = {
        value.strip() for header in sent for part in header.split(b";")
        for key, equals, value in [part.partition(b"=")] if equals and key.strip() == name
    }  # fmt: skip
    if len(found) > 1:
        raise BadRequest(f"The cookie {name.decode()} is there twice.")
    return found.pop().decode("latin-1") if found else None


def _is_private(value: bytes) -> bool:
    said = {part.strip().partition(b"=")[0] for part in value.lower().split(b",")}
    return bool(said & {b"private", b"no-store"}) and not said & {b"public", b"s-maxage"}
