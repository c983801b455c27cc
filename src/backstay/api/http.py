"""The front: ASGI in, a handler chosen, bytes out. Thin on purpose, because every request passes it.

Invariant: every answer, also an error nobody expected, leaves through `Front.__call__` with a request id, the
security headers and one line in the log; texts of exceptions that are not a `Problem` never pass. What a request may
be at all (`_admit`), and whether there is room for it, is decided before anything is done for it.
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop, CancelledError, current_task, ensure_future, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING, Any, AnyStr, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from backstay.api.body import Gate, expect_json
from backstay.api.compression import SMALLEST, accepts_gzip, compress
from backstay.api.cors import Cors
from backstay.api.deadline import Deadlines, Task
from backstay.api.mount import route_path
from backstay.api.proxies import Hosts, Proxies, neighbourhood
from backstay.api.render import SECURITY_HEADERS, problem_response
from backstay.api.shedding import Shedding
from backstay.errors import BadRequest, NotFound, Problem, Unavailable
from backstay.model.secret import secret_hash
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.limits import Limits
from backstay.store.repeat import Attempt
from backstay.store.watched import TALLY, Tally
from backstay.telemetry.trace import Traces, stage

if TYPE_CHECKING:
    from backstay.api.cookies import Jar

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_SLASH = re.compile(rb"%(?:2[fF]|5[cC])")
_ONCE = (
    b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"authorization", b"origin",
)  # fmt: skip
_ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})
"""What says how the process is, is answered however much there is to do, and by whichever name it is asked."""
_GONE = 499  # in the log alone: who asked did not wait for the answer
_SECRET = 200  # bytes of a secret in a header; a longer one is none
_NAMED = 100  # parameters that are looked at where there may be none
JSON = (b"content-type", b"application/json")


class Response:
    """A status, headers and a body. What is not `settled` is done anew where its request is sent again with its key."""

    __slots__ = ("body", "headers", "settled", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Sequence[Header] = ()) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.settled = status < 400


class Stream(Response):
    """An answer that goes on until one side ends it: `chunks` are sent as they come; `close` is called at its end."""

    __slots__ = ("chunks", "close")

    def __init__(self, chunks: AsyncIterator[bytes], close: Callable[[], None], headers: Sequence[Header]) -> None:
        super().__init__(200, b"", headers)
        self.chunks = chunks
        self.close = close


class Request:
    """One request: what stands in its scope, and its body when asked for."""

    __slots__ = (
        "_body",
        "_gate",
        "_headers",
        "_proxies",
        "_receive",
        "actor",
        "attempt",
        "id",
        "jar",
        "method",
        "params",
        "path",
        "query",
        "root",
        "route",
        "scope",
        "task",
        "told",
    )

    def __init__(self, scope: Scope, receive: Receive, gate: Gate, proxies: Proxies, task: Task) -> None:
        self.scope = scope
        self.task = task
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.root: str = scope.get("root_path", "")
        """Where this application is mounted inside another; `path` is what stands behind it."""
        if self.root:
            self.path = route_path(scope)
            self.root = self.root.rstrip("/")
        self.query: bytes = scope["query_string"]
        self.actor: Actor = ANONYMOUS
        self.attempt: Attempt | None = None
        """There is one where the request carries an `Idempotency-Key`: what it writes is written by it."""
        self.jar: Jar | None = None
        """There is one where the request brought cookies of a session, or is given some."""
        self.params: dict[str, str] = {}
        self.id = ""
        self.route = "other"
        """The template of the path, where something is served there."""
        self.told: Sequence[Header] = ()
        """What every answer to this request has, errors too."""
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._gate = gate
        self._proxies = proxies
        self._body: bytes | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name. Two different values of one name are refused."""
        found = self._headers.get(name)
        if found is not None and len(self._headers) != len(self.scope["headers"]):
            for key, value in self.scope["headers"]:
                if key == name and value != found:
                    raise BadRequest(f"The header {name.decode()} is there twice.")
        return found

    @property
    def client(self) -> str:
        """The address of who asks, past the proxies that are trusted; empty where it has none."""
        return self._proxies.client(self.scope)

    @property
    def network(self) -> str:
        """What is counted as one client: its address, and of IPv6 the /64 around it."""
        return neighbourhood(self._proxies.client(self.scope))

    @property
    def scheme(self) -> str:
        """`http` or `https`, as who asks used it."""
        return self._proxies.scheme(self.scope)

    @property
    def address(self) -> str:
        """The whole path, as who asks wrote it."""
        return self.root + self.path

    async def body(self) -> bytes:
        """The whole body, refused as soon as it is larger or slower than the limits."""
        if self._body is None:
            self._body = await self._gate.read(self._headers, self._receive, self.task)
        return self._body

    async def json(self, *, queried: bool = False) -> Any:
        """The body as JSON. 415 unless it says that it is JSON, 400 where it is not, 413 where it is too much.

        A query beside it is refused, and not ignored, unless whoever asks reads it too: `queried`.
        """
        for name, _ in split_query(self.query, _NAMED) if self.query and not queried else ():
            raise BadRequest(f'"{name}" is no parameter here: the body says it all.', code="unknown_parameter")
        expect_json(self._headers)
        body = await self.body()
        with stage("parse"):
            return self._gate.parse(body)

    @property
    def silent(self) -> bool:
        """Whether it says that it has no body: neither how long one would be, nor of what type."""
        sent = self._headers
        return b"transfer-encoding" not in sent and sent.get(b"content-length", b"0") == b"0" and (
            b"content-type" not in sent
        )  # fmt: skip

    async def object(self, *, queried: bool = False) -> dict[str, Any]:
        """The body as a JSON object."""
        value = await self.json(queried=queried)
        if not isinstance(value, dict):
            raise BadRequest("The body must be one JSON object.", code="malformed_json")
        return value


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
UNSAFE = frozenset(("POST", "PUT", "PATCH", "DELETE"))
Ask: TypeAlias = Callable[[Request], Awaitable[None]]
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
        self.bare: frozenset[str] = frozenset()
        """The methods to which cookies say nothing: what is asked there proves itself, and nobody is signed in."""
        self.hide(())

    def hide(self, methods: Collection[str]) -> None:
        """Leave methods out of `Allow` that are routed and that nobody may ever use: who tries is told so."""
        self.allow = ", ".join(sorted({*self.handlers, "OPTIONS"}.difference(methods)))


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
        route.bare = known.bare if known is not None else route.bare
        self.routes.append(route)
        self._fixed = {r.path: r for r in self.routes if r.fixed}
        self._records = {head: r for r in self.routes if (head := _before_id(r.path))}
        self._patterns = [r for r in self.routes if not r.fixed and not _before_id(r.path)]

    def disregard_cookies(self, path: str, method: str) -> None:
        """Let cookies say nothing to a method of a path."""
        for route in self.routes:
            if route.path == path:
                route.bare |= {method}

    def hide(self, path: str, methods: Collection[str]) -> None:
        """Leave methods of a path out of `Allow`."""
        for route in self.routes:
            if route.path == path:
                route.hide(methods)

    def serves(self, path: str) -> bool:
        """Whether an address is one of ours, whatever the method."""
        head, _, last = path.rpartition("/")
        known = path in self._fixed or (last and head in self._records)
        return bool(known) or any(route.pattern.fullmatch(path) for route in self._patterns)

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
    """The HTTP part of an application. `line` says for how long the first in line for the database has waited.

    With `everybody` it is asked of every request who sends it, and not only of those with an access token. `secrets`
    are the headers that rules ask for (`me.brings`), in lower case.
    """

    def __init__(
        self, router: Router, identify: Callable[[Request], Awaitable[Actor]], limits: Limits, observe: Observe,
        once: Once, *, cors: Cors | None = None, hosts: Hosts | None = None, proxies: Proxies | None = None,
        line: Callable[[], float] = float, ask: Ask | None = None, everybody: bool = False,
        closed: Callable[[Request], Problem | None] = lambda request: None,
        explain: Callable[[Request, Problem], Awaitable[Sequence[str]]] | None = None, secrets: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.router = router
        self.secrets = {name.encode(): name for name in secrets}
        self.closed = closed
        self.explain = explain
        self.everybody = everybody
        self.identify = identify
        self.limits = limits
        self.observe = observe
        self.once = once
        self.cors = cors or Cors()
        self.hosts = hosts or Hosts()
        self.ask = ask
        self.proxies = proxies or Proxies()
        self.traces: Traces | None = None
        self.timing = False
        """Whether each answer says where the time went (`Server-Timing`)."""
        self.leaving = False
        """Whether each answer is the last one on its connection."""
        self.shedding = Shedding(limits.max_in_flight, limits.max_wait_ms / 1000, line)
        self.deadlines = Deadlines(limits)
        self.gate = Gate(limits, self.deadlines, self.shedding)
        varies = b"Accept, Accept-Encoding, Authorization, Cookie" + (b", Origin" if self.cors.varies else b"")
        varies = b", ".join((varies, *self.secrets))
        self._always: tuple[Header, ...] = (*SECURITY_HEADERS, (b"vary", varies))
        self._prefix = token_hex(6)
        self._count = 0
        self._told = 0.0
        self._loop: AbstractEventLoop | None = None

    def _new_id(self) -> str:
        """An id for a request: random for the process, counted within it."""
        self._count += 1
        return f"{self._prefix}{self._count:06x}"

    def request(self, scope: Scope) -> Request:
        """A request by its scope alone, to be asked who sends it; its body is somebody else's, and is not there."""
        headers = [header for header in scope["headers"] if not header[0].startswith(b"content-")]
        known = {"method": "GET", **scope, "headers": headers}
        return Request(known, _nothing, self.gate, self.proxies, cast(Task, current_task()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        started = perf_counter()
        task = current_task(self._loop)
        if self._loop is None or task is None:
            self._loop, task = get_running_loop(), cast(Task, current_task())
        deadlines, shedding = self.deadlines, self.shedding
        deadlines.begun[task] = started
        if not deadlines.looking:
            deadlines.watch(self._loop)
        entered = shedding.enter(started, self._loop.call_soon, task)
        request = Request(scope, receive, self.gate, self.proxies, task)
        error: BaseException | None = None
        status = _GONE
        begun = self.traces.begin(request.method, request._headers) if self.traces is not None else None
        tally = Tally() if self.timing else None
        token = TALLY.set(tally) if tally is not None else None
        try:
            try:
                given = request._headers.get(b"x-request-id")
                request.id = given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else self._new_id()
                if not (entered or request.path in _ALWAYS or request.method == "OPTIONS"):
                    error, response = _OVERLOADED, problem_response(_OVERLOADED, request)
                else:
                    response = await self._respond(request)
            except Problem as problem:
                error = problem
                request.id = request.id or self._new_id()
                why = await self._why(request, problem)
                with stage("render"):
                    response = problem_response(problem, request, why)
            except Exception as unexpected:
                error = unexpected
                response = problem_response(Problem(), request)
            except CancelledError:
                if (late := deadlines.problem(task)) is None:
                    raise
                error = late
                response = problem_response(late, request)
            status, body, headers = response.status, response.body, response.headers
            if len(body) >= SMALLEST and accepts_gzip(request._headers.get(b"accept-encoding", b"")):
                body, headers = await compress(body, headers)
            if request.jar is not None:
                headers = request.jar.seal(headers)
            headers = [*self._always, *headers, *request.told, (b"x-request-id", request.id.encode())]
            if (origin := request._headers.get(b"origin")) is not None:
                headers += self.cors.headers(origin)
            if tally is not None:
                headers.append((b"server-timing", tally.said(perf_counter() - started)))
            if self.leaving and scope.get("http_version") in ("1.1", "1.0"):
                headers.append((b"connection", b"close"))
            if isinstance(response, Stream):
                deadlines.begun.pop(task, None)  # it is answered, and neither late nor in anybody's way
                if entered:
                    shedding.inside, entered = shedding.inside - 1, False
                self.observe(request, status, perf_counter() - started, None)
                if begun is not None and self.traces is not None:
                    self.traces.end(begun, request.method, request.route, status, request.id, None)
                    begun = None
                await _stream(response, headers, receive, send)
                return
            if status not in (204, 304):
                headers.append((b"content-length", b"%d" % len(body)))
            try:
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
            except OSError:
                status = _GONE
        finally:
            if token is not None:
                TALLY.reset(token)
            deadlines.begun.pop(task, None)
            if entered:
                shedding.inside -= 1
            if request._body:
                self.gate.held -= len(request._body)
            if begun is not None and self.traces is not None:
                self.traces.end(begun, request.method, request.route, status, request.id, error)
        shed = isinstance(error, Problem) and error.code == "overloaded"
        if not shed or self._tells(started):
            self.observe(request, status, perf_counter() - started, error)

    async def _why(self, request: Request, problem: Problem) -> Sequence[str]:
        """Why it was refused, where that is told; what cannot be explained is answered without."""
        if self.explain is None:
            return ()
        try:
            return await self.explain(request, problem)
        except Exception:
            return ()

    async def _respond(self, request: Request) -> Response:
        self._admit(request)
        if (closed := self.closed(request)) is not None and request.path not in _ALWAYS:
            raise closed
        route = self.router.find(request)
        if route is not None:
            request.route = route.path
        handler = route.handlers.get(request.method) if route is not None else None
        if route is None or handler is None:
            return self._refuse(request, route)
        if request.path in _ALWAYS:  # what is asked there is no user's business, and a token there is no session's
            return await handler(request)
        try:
            sent = request._headers
            known = request.method not in route.bare and (self.everybody or b"cookie" in sent)
            if known or b"authorization" in sent:
                with stage("identify"):
                    request.actor = await self.identify(request)
        finally:
            if self.ask is not None:  # a token that is none is counted, too
                await self.ask(request)
        if self.secrets:
            self._bring(request)
        if request.method in UNSAFE:
            return await self.once(request, route, handler)
        return await handler(request)

    def _bring(self, request: Request) -> None:
        """Put the hashes of the secrets that a request brings beside who sends it."""
        brought = {}
        for header, name in self.secrets.items():
            if (secret := request.header(header)) is not None and len(secret) <= _SECRET:
                brought[name] = secret_hash(secret.decode("latin-1"))
        if brought:
            request.actor = replace(request.actor, brought=brought)

    def _tells(self, now: float) -> bool:
        """Of what is refused for its number one in a second is told: to tell of each would cost more than to refuse."""
        if now - self._told < 1.0:
            return False
        self._told = now
        return True

    def _admit(self, request: Request) -> None:
        """Refuse what has too many headers, or says two things at once, before anything is done for it."""
        headers, sent = request._headers, request.scope["headers"]
        if len(sent) != len(headers) or len(sent) > self.limits.max_headers:
            self._count_headers(sent)
        if sum(map(len, headers.values())) > self.limits.max_header_bytes:
            raise Problem(f"Headers may have {self.limits.max_header_bytes} bytes.", code="headers_too_large")
        if len(request.query) > self.limits.max_query or len(request.path) > self.limits.max_query:
            raise Problem(f"A query may have {self.limits.max_query} bytes, and so may a path.", code="uri_too_long")
        if b"%" in (raw := request.scope.get("raw_path") or b"") and _SLASH.search(raw):
            raise BadRequest("A path has its slashes plain: what is %2F to one is / to another.")
        if b"content-length" in headers or b"transfer-encoding" in headers:
            _check_length(headers)
        if self.hosts.some and request.path not in _ALWAYS and not self.hosts.allows(headers.get(b"host", b"")):
            raise Problem("Nothing is served for this host; BACKSTAY_ALLOWED_HOSTS lists those.", code="wrong_host")

    def _count_headers(self, sent: Sequence[Header]) -> None:
        """Refuse too many headers, and those that stand twice and may not."""
        if len(sent) > self.limits.max_headers:
            raise Problem(f"A request may have {self.limits.max_headers} headers.", code="headers_too_large")
        if sum(len(value) for _, value in sent) > self.limits.max_header_bytes:
            raise Problem(f"Headers may have {self.limits.max_header_bytes} bytes.", code="headers_too_large")
        names = [name for name, _ in sent]
        for name in _ONCE:
            if names.count(name) > 1:
                raise BadRequest(f"The header {name.decode()} is there twice.")

    def _refuse(self, request: Request, route: Route | None) -> Response:
        """What has no handler: an address, a method; OPTIONS is answered for all."""
        if route is None:
            if request.path == "*" and request.method == "OPTIONS":
                return Response(204)
            raise NotFound("Nothing is served here.")
        if request.method != "OPTIONS":
            raise Problem(f"Use {route.allow}.", code="method_not_allowed", headers={"Allow": route.allow})
        headers: list[Header] = [(b"allow", route.allow.encode())]
        if (origin := request.header(b"origin")) is not None and b"access-control-request-method" in request._headers:
            headers += self.cors.preflight(origin, route.allow)
        return Response(204, b"", headers)


def _check_length(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body whose end is said in two ways: so one request is smuggled inside another (RFC 9112, 6.3)."""
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if length is not None and not (length.isdigit() and len(length) < 20):
        raise BadRequest("Content-Length must be a number of bytes.")
    if coding is not None and length is not None:
        raise BadRequest("Send Content-Length or Transfer-Encoding, not both.")
    if coding is not None and coding.strip().lower() != b"chunked":
        raise BadRequest("Transfer-Encoding may be chunked, and nothing else.")


async def _stream(response: Stream, headers: Sequence[Header], receive: Receive, send: Send) -> None:
    """Send what comes, as it comes, until it ends or whoever asked has gone."""
    task = cast(Task, current_task())
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    listening = ensure_future(listen())
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for chunk in response.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass
    except CancelledError:
        if not gone:
            raise
        task.uncancel()
    finally:
        response.close()
        listening.cancel()
        with suppress(CancelledError):
            await listening


_OVERLOADED = Unavailable(code="overloaded")


async def _nothing() -> Mapping[str, Any]:
    return {"type": "http.disconnect"}


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
