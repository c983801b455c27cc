"""A front with a few routes and no application behind it, and what it answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from backstay.api.http import Front, Request, Response, Router
from backstay.api.render import JSON_HEADERS
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.limits import Limits

SEEN: list[tuple[int, str]] = []
JSON = {"content-type": "application/json"}
Sent = Mapping[str, str] | Sequence[tuple[str, str]]


async def nobody(request: Request) -> Actor:
    return ANONYMOUS


async def echo(request: Request) -> Response:
    return Response(200, (request.params.get("id", "") + str(await request.json())).encode())


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("select * from secrets")


async def much(request: Request) -> Response:
    return Response(200, b'{"text":"' + b"green tea " * 400 + b'"}', [*JSON_HEADERS, (b"etag", b'"3-abc"')])


def front(parts: Mapping[str, Any] | None = None, **limits: int) -> Front:
    """The front, with limits, and with the parts of its own that a test gives it."""
    router = Router()
    router.add("/api/notes", POST=echo, GET=broken)
    router.add("/api/notes/{id}", PATCH=echo)
    router.add("/api/notes/{id}/parts/{part}", POST=echo)
    router.add("/much", GET=much)
    router.add("/healthz", GET=much)
    SEEN.clear()

    def observe(request: Request, status: int, *_: Any) -> None:
        SEEN.append((status, request.id))

    return Front(
        router, nobody, Limits(**limits), observe, lambda request, _, handler: handler(request), **(parts or {})
    )


def coming(*parts: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A body that arrives in parts."""
    left = list(parts) or [b""]

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def scope(method: str, path: str, headers: Sent = (), **more: Any) -> dict[str, Any]:
    """A request as a server hands it over."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    path, _, query = path.partition("?")
    return {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw, **more}


async def ask(
    target: Front, method: str, path: str, body: bytes = b"", headers: Sent = (), **more: Any
) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of an answer."""
    said: list[Any] = []

    async def send(message: Mapping[str, Any]) -> None:
        said.append(message)

    await target(scope(method, path, headers, **more), coming(body), send)
    return said[0]["status"], {k.decode(): v.decode("latin-1") for k, v in said[0]["headers"]}, said[1]["body"]
