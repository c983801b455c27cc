"""The one client for other services: `ctx.http`.

Invariant: every request of this product to another machine goes through `HTTP.request`, each hop of a redirect too. It
judges the address, and nothing about a request is taken from the environment or remembered from another request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

from backstay.net.answer import HTTPAnswer
from backstay.net.call import Call, Caps, Raw, Wire
from backstay.net.failure import AddressRefused, Unanswered
from backstay.net.permit import Permit

Params = Mapping[str, str | int | float | bool | Sequence[str | int | float | bool]]
_OURS = frozenset(
    "host content-length transfer-encoding connection keep-alive te trailer upgrade expect proxy-authorization "
    "proxy-connection accept-encoding".split()
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PUBLIC_HEADERS = frozenset(("accept", "accept-encoding", "accept-language", "user-agent"))
"""What goes along to another origin: whatever else was given may be a credential."""
_MAX_URL = 8_192


class HTTP:
    """Asks other services over HTTP, over TLS and only on the public internet and what `BACKSTAY_HTTP_ALLOW` names.

    An address may come from anybody: it is looked up once, each of its addresses is checked, and one of them is
    connected to. Redirects are answers, unless `follow` says how many are followed. Every status is an answer; `ok()`
    of the answer tells successes from the others. One round trip to the service, and a look-up before a new connection.

    Raises `AddressRefused`, `Unreachable` (nothing was sent) and `Unanswered` (nobody knows), and `RuntimeError` inside
    a transaction, which could not take a request back.

    >>> async def rate(ctx, currency):
    ...     answer = await ctx.http.get("https://api.example.com/rates", params={"base": currency})
    ...     return answer.ok().json["rate"]
    """

    def __init__(
        self, permit: Permit, caps: Caps | None = None, wire: Wire | None = None, *,
        refuse_inside: Callable[[str], None] = lambda doing: None, tell: Callable[[str], None] = lambda reason: None,
    ) -> None:  # fmt: skip
        self._permit = permit
        self._caps = caps or Caps()
        self._wires: list[Wire] = [wire] if wire is not None else []  # one for all that are made from this one
        self._refuse_inside = refuse_inside
        self._tell = tell
        self._given = {"user-agent": "backstay", "accept": "*/*", "accept-encoding": "gzip"}

    def bound(self, headers: Mapping[str, str]) -> HTTP:
        """The same client, whose requests carry these headers unless they say otherwise."""
        made = HTTP(self._permit, self._caps, refuse_inside=self._refuse_inside, tell=self._tell)
        made._wires = self._wires
        made._given = {**self._given, **headers}
        return made

    async def close(self) -> None:
        """Close all connections."""
        while self._wires:
            await self._wires.pop().close()

    async def get(
        self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, follow: int = 0,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a GET. `timeout` is seconds for all of it, at most those of `Limits.max_outbound_seconds`."""
        return await self.request("GET", url, params=params, headers=headers, timeout=timeout, follow=follow)

    async def head(
        self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, follow: int = 0,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a HEAD."""
        return await self.request("HEAD", url, params=params, headers=headers, timeout=timeout, follow=follow)

    async def post(
        self, url: str, *, json: Any = None, form: Mapping[str, str] | None = None, body: bytes | None = None,
        params: Params | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a POST of JSON, of a form, or of bytes."""
        return await self.request(
            "POST", url, json=json, form=form, body=body, params=params, headers=headers, timeout=timeout
        )

    async def put(
        self, url: str, *, json: Any = None, form: Mapping[str, str] | None = None, body: bytes | None = None,
        params: Params | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a PUT."""
        return await self.request(
            "PUT", url, json=json, form=form, body=body, params=params, headers=headers, timeout=timeout
        )

    async def patch(
        self, url: str, *, json: Any = None, form: Mapping[str, str] | None = None, body: bytes | None = None,
        params: Params | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a PATCH."""
        return await self.request(
            "PATCH", url, json=json, form=form, body=body, params=params, headers=headers, timeout=timeout
        )

    async def delete(
        self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to a DELETE."""
        return await self.request("DELETE", url, params=params, headers=headers, timeout=timeout)

    async def request(
        self, method: str, url: str, *, json: Any = None, form: Mapping[str, str] | None = None,
        body: bytes | None = None, params: Params | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, follow: int = 0,
    ) -> HTTPAnswer:  # fmt: skip
        """The answer to any request. Raises `ValueError` for what cannot be sent, such as a header of two lines."""
        self._refuse_inside("A request to another service")
        try:
            return await self._asked(method, url, json, form, body, params, headers or {}, timeout, follow)
        except AddressRefused as refused:
            self._tell(refused.reason)
            raise

    async def _asked(
        self, method: str, url: str, json: Any, form: Mapping[str, str] | None, body: bytes | None,
        params: Params | None, headers: Mapping[str, str], timeout: float | None, follow: int,
    ) -> HTTPAnswer:  # fmt: skip
        seconds = self._caps.seconds if timeout is None else min(timeout, self._caps.seconds)
        until = monotonic() + seconds
        if not _NAME.fullmatch(method):
            raise ValueError(f"{method!r} is no method.")
        content, kind = _content(json, form, body)
        sent = {**self._given, **({"content-type": kind} if kind else {}), **_headers(headers)}
        call = self._call(method.upper(), _with(url, params), tuple(sent.items()), content)
        raw = await self._send(call, seconds)
        for _ in range(min(follow, self._caps.redirects)):
            if (after := self._redirect(call, raw)) is None:
                break
            call = after
            raw = await self._send(call, max(until - monotonic(), 0))
        return _answer(call, raw)

    async def _send(self, call: Call, seconds: float) -> Raw:
        self._permit.host(call.host)
        if not self._wires:
            from backstay.net.wire import Network

            self._wires.append(Network(self._permit, self._caps))
        return await self._wires[0].send(call, replace(self._caps, seconds=seconds))

    def _call(self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Call:
        """A request to an address, taken apart. Raises `AddressRefused` for what is no address that may be asked."""
        import httpx2

        if len(url) > _MAX_URL:
            raise AddressRefused(f"an address of more than {_MAX_URL} characters")
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
            raise AddressRefused(f"no address: {error}") from None
        if parsed.scheme not in ("https", "http"):
            raise AddressRefused(f"{parsed.scheme or 'no scheme'} is no way to ask: an address begins with https://")
        if parsed.userinfo:
            raise AddressRefused("an address with a user or password: send a header instead")
        host = parsed.raw_host.decode("ascii").lower()
        port = parsed.port if parsed.port is not None else {"https": 443, "http": 80}[parsed.scheme]
        if port == 0:
            raise AddressRefused("port 0 is no port")
        return Call(method, parsed.scheme, host, port, parsed.raw_path.decode("ascii"), headers, body)

    def _redirect(self, call: Call, raw: Raw) -> Call | None:
        """The request that a redirect leads to; nothing where it is none. Credentials stay with their origin."""
        location = next((value for name, value in raw.headers if name == "location"), None)
        if raw.status not in (301, 302, 303, 307, 308) or location is None:
            return None
        method, body, headers = call.method, call.body, dict(call.headers)
        if raw.status == 303 or (raw.status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), b""
            headers.pop("content-type", None)
        url = urljoin(f"{call.scheme}://{call.authority}{call.target}", location)
        after = self._call(method, url, (), body)
        if (after.scheme, after.host, after.port) != (call.scheme, call.host, call.port):
            if body:
                raise Unanswered(f"{call.method} {call.url}: a redirect would send the body to {after.authority}")
            headers = {name: value for name, value in headers.items() if name in _PUBLIC_HEADERS}
        return replace(after, headers=tuple(headers.items()))


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for name, value in given.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"The header {name!r} cannot be sent.")
        if name.lower() in _OURS:
            raise ValueError(f"The header {name} is set by the client itself.")
        headers[name.lower()] = value
    return headers


def _content(json: Any, form: Mapping[str, str] | None, body: bytes | None) -> tuple[bytes, str]:
    if sum(part is not None for part in (json, form, body)) > 1:
        raise ValueError("A request has one body: json, form or body.")
    if json is not None:
        return msgspec.json.encode(json), "application/json"
    if form is not None:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    return body or b"", ""


def _with(url: str, params: Params | None) -> str:
    """The address with more parameters behind its own."""
    if not params:
        return url
    said = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
    more = urlencode(said, doseq=True, quote_via=quote)
    base, hash_, fragment = url.partition("#")
    joint = "&" if urlsplit(base).query else "?"
    return f"{base.removesuffix('?')}{joint}{more}{hash_}{fragment}"


def _answer(call: Call, raw: Raw) -> HTTPAnswer:
    headers: dict[str, str] = {}
    for name, value in raw.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return HTTPAnswer(call.method, call.url, raw.status, headers, raw.body)
