"""The front: ASGI in, a handler chosen, bytes out. Thin on purpose, because every request passes it.

Invariant: every answer, also an error nobody expected, leaves through `Front.__call__` with a request id, the
security headers and one line in the log; texts of exceptions that are not a `Problem` never pass.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import token_hex
from time import perf_counter
from typing import Any, AnyStr, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from backstay.api.render import SECURITY_HEADERS, problem_response
from backstay.errors import BadRequest, NotFound, Problem
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.limits import Limits
from backstay.store.repeat import Attempt

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
JSON = (b"content-type", b"application/json")


class Response:
    """A status, headers and a body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Sequence[Header] = ()) -> None:
        self.status = status
        self.body = body
        self.headers = headers


class Request:
    """One request: what stands in its scope, and its body when asked for."""

    __slots__ = (
        "_body",
        "_headers",
        "_limits",
        "_receive",
        "actor",
        "attempt",
        "id",
        "method",
        "params",
        "path",
        "query",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.actor: Actor = ANONYMOUS
        self.attempt: Attempt | None = None
        """There is one where the request carries an `Idempotency-Key`: what it writes is written by it."""
        self.params: dict[str, str] = {}
        self.id = ""
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._limits = limits
        self._body: bytes | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name. Two different values of one name are refused."""
        found = self._headers.get(name)
        if found is not None and len(self._headers) != len(self.scope["headers"]):
            for key, value in self.scope["headers"]:
                if key == name and value != found:
                    raise BadRequest(f"The header {name.decode()} is there twice.")
        return found

    async def body(self) -> bytes:
        """The whole body, refused as soon as it is larger than the limit."""
        if self._body is None:
            limit = self._limits.max_body
            declared = self.header(b"content-length")
            if declared is not None and (not declared.isdigit() or int(declared) > limit):
                raise Problem(f"A body may have {limit} bytes.", code="too_large")
            parts: list[bytes] = []
            size = 0
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest("The request ended before its body did.")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise Problem(f"A body may have {limit} bytes.", code="too_large")
                if not message.get("more_body", False):
                    break
            self._body = b"".join(parts)
        return self._body

    async def json(self) -> Any:
        """The body as JSON. 415 unless it says that it is JSON, 400 where it is not."""
        kind = (self.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Problem("Send the body as application/json.", code="unsupported_media_type")
        if self.header(b"content-encoding") not in (None, b"identity"):
            raise Problem("Send the body without content encoding.", code="unsupported_media_type")
        try:
            return msgspec.json.decode(await self.body())
        except UnicodeDecodeError:
            raise BadRequest("The body is not UTF-8.", code="malformed_json") from None
        except (msgspec.DecodeError, RecursionError) as error:
            said = str(error) if isinstance(error, msgspec.DecodeError) else "It is nested too deeply."
            raise BadRequest(f"The body is not valid JSON. {said}", code="malformed_json") from None

    async def object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value = await self.json()
        if not isinstance(value, dict):
            raise BadRequest("The body must be one JSON object.", code="malformed_json")
        return value


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
UNSAFE = frozenset(("POST", "PUT", "PATCH", "DELETE"))
Observe: TypeAlias = Callable[[Request, int, float, BaseException | None], None]


class Route:
    """A path, its variables and its handlers by method."""

    def __init__(self, path: str, handlers: dict[str, Handler]) -> None:
        self.path = path
        self.handlers = handlers
        if "GET" in handlers:
            handlers.setdefault("HEAD", handlers["GET"])
        pattern = re.sub(
            r"\{(\w+)\}", lambda m: f"(?P<{m[1]}>[^/]+)", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
        )
        self.pattern = re.compile(pattern)
        self.fixed = "{" not in path
        self.allow = ", ".join(sorted({*handlers, "OPTIONS"}))


Once: TypeAlias = Callable[[Request, Route, Handler], Awaitable[Response]]
"""How a request that may change something is handed to its handler, so that its repetition changes nothing."""


class Router:
    """Routes by their fixed path first, then by pattern; the rest goes to the mounted application."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._fixed: dict[str, Route] = {}
        self._records: dict[str, Route] = {}
        self._patterns: list[Route] = []

    def add(self, path: str, **handlers: Handler) -> None:
        """Serve a path. Handlers of one path are added to those it has."""
        known = next((route for route in self.routes if route.path == path), None)
        if known is not None:
            self.routes.remove(known)
            handlers = {**{k: v for k, v in known.handlers.items() if k != "HEAD"}, **handlers}
        route = Route(path, handlers)
        self.routes.append(route)
        self._fixed = {r.path: r for r in self.routes if r.fixed}
        self._records = {head: r for r in self.routes if (head := _before_id(r.path))}
        self._patterns = [r for r in self.routes if not r.fixed and not _before_id(r.path)]

    def find(self, request: Request) -> Route | None:
        """The route of a request; its variables are put into it."""
        if (route := self._fixed.get(request.path)) is not None:
            return route
        head, _, last = request.path.rpartition("/")
        if last and (route := self._records.get(head)) is not None:
            request.params = {"id": last}
            return route
        for route in self._patterns:
            if (match := route.pattern.fullmatch(request.path)) is not None:
                request.params = match.groupdict()
                return route
        return None


def _before_id(path: str) -> str:
    """`/api/products` of `/api/products/{id}`; nothing for other forms of paths."""
    head, _, last = path.rpartition("/")
    return head if last == "{id}" and "{" not in head else ""


class Front:
    """The HTTP part of an application."""

    def __init__(
        self, router: Router, identify: Callable[[Request], Awaitable[Actor]], limits: Limits, observe: Observe,
        once: Once,
    ) -> None:  # fmt: skip
        self.router = router
        self.identify = identify
        self.limits = limits
        self.observe = observe
        self.once = once
        self._prefix = token_hex(6)
        self._count = 0

    def _new_id(self) -> str:
        """An id for a request: random for the process, counted within it."""
        self._count += 1
        return f"{self._prefix}{self._count:06x}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        started = perf_counter()
        request = Request(scope, receive, self.limits)
        error: BaseException | None = None
        try:
            given = request.header(b"x-request-id")
            request.id = given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else self._new_id()
            route = self.router.find(request)
            handler = route.handlers.get(request.method) if route is not None else None
            if route is None or handler is None or len(request.query) > self.limits.max_query:
                response = self._refuse(request, route)
            else:
                if request.header(b"authorization") is not None:
                    request.actor = await self.identify(request)
                if request.method in UNSAFE:
                    response = await self.once(request, route, handler)
                else:
                    response = await handler(request)
        except Problem as problem:
            error = problem
            request.id = request.id or self._new_id()
            response = problem_response(problem, request)
        except Exception as unexpected:
            error = unexpected
            response = problem_response(Problem(), request)
        body = response.body
        headers = [*SECURITY_HEADERS, *response.headers, (b"x-request-id", request.id.encode())]
        if response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
        self.observe(request, response.status, perf_counter() - started, error)

    def _refuse(self, request: Request, route: Route | None) -> Response:
        """What has no handler: an address, a method, a query that is too long; OPTIONS is answered for all."""
        if len(request.query) > self.limits.max_query:
            raise Problem(f"A query may have {self.limits.max_query} bytes.", code="uri_too_long")
        if route is None:
            raise NotFound("Nothing is served here.")
        if request.method == "OPTIONS":
            return Response(204, b"", [(b"allow", route.allow.encode())])
        raise Problem(f"Use {route.allow}.", code="method_not_allowed", headers={"Allow": route.allow})


def split_query(query: bytes, limit: int) -> list[tuple[str, str]]:
    """The names and values of a query string, decoded once."""
    if not query:
        return []
    if b"%" in query or b"+" in query or not query.isascii():
        pairs = [(_decoded(name), _decoded(value)) for name, _, value in _parted(query, b"&", b"=")]
    else:
        pairs = [(name, value) for name, _, value in _parted(query.decode("ascii"), "&", "=")]
    if len(pairs) > limit:
        raise BadRequest(f"A query may have {limit} parameters.", code="too_expensive")
    return pairs


def _parted(query: AnyStr, between: AnyStr, inside: AnyStr) -> list[tuple[AnyStr, AnyStr, AnyStr]]:
    return [part.partition(inside) for part in query.split(between) if part]


def _decoded(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("The query must be UTF-8, percent-encoded.") from None
