"""The front answers everything: unknown addresses, methods, headers that contradict themselves, bodies too large."""

from collections.abc import Mapping
from typing import Any

import pytest

from backstay.api.http import Front, Request, Response, Router
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.limits import Limits

SEEN: list[tuple[int, str]] = []


async def nobody(request: Request) -> Actor:
    return ANONYMOUS


async def echo(request: Request) -> Response:
    return Response(200, (request.params.get("id", "") + str(await request.json())).encode())


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("select * from secrets")


def front(**limits: int) -> Front:
    router = Router()
    router.add("/api/notes", POST=echo, GET=broken)
    router.add("/api/notes/{id}", PATCH=echo)
    router.add("/api/notes/{id}/parts/{part}", POST=echo)
    SEEN.clear()

    def seen(request: Request, status: int, *_: object) -> None:
        SEEN.append((status, request.id))

    return Front(router, nobody, Limits(**limits), seen, lambda request, route, handler: handler(request))


async def ask(
    target: Front,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | list[tuple[str, str]] = (),  # type: ignore[assignment]
) -> tuple[int, dict[str, str], bytes]:
    said: list[Any] = []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    path, _, query = path.partition("?")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        said.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    await target(scope, receive, send)
    return said[0]["status"], {k.decode(): v.decode() for k, v in said[0]["headers"]}, said[1]["body"]


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("GET", "/api/nothing", b"", {}, 404, "not_found"),
        ("DELETE", "/api/notes", b"", {}, 405, "method_not_allowed"),
        ("GET", "/api/notes", b"", {}, 500, "internal_error"),
        ("POST", "/api/notes", b"{}", {}, 415, "unsupported_media_type"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-encoding": "gzip"}, 415, "unsupported_media_type"),
        ("POST", "/api/notes", b"{", JSON, 400, "malformed_json"),
        ("POST", "/api/notes", b"[" * 100_000, JSON, 400, "malformed_json"),
        ("POST", "/api/notes", b'"\xff"', JSON, 400, "malformed_json"),
        ("POST", "/api/notes", b'"' + b"x" * 99 + b'"', JSON, 413, "too_large"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-length": "101"}, 413, "too_large"),
        ("POST", "/api/notes", b"{}", [*JSON.items(), ("content-type", "text/plain")], 400, "bad_request"),
        ("POST", "/api/notes?" + "x" * 65, b"{}", JSON, 414, "uri_too_long"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_a_problem(
    method: str, path: str, body: bytes, headers: Any, status: int, code: str
) -> None:
    limits = {"max_query": 64} if status == 414 else {} if body.startswith(b"[[") else {"max_body": 100}
    found, answered, said = await ask(front(**limits), method, path, body, headers)
    assert (found, answered["content-type"]) == (status, "application/problem+json")
    assert f'"code":"{code}"'.encode() in said
    assert b"secrets" not in said
    assert [(status, answered["x-request-id"])] == SEEN


async def test_every_answer_has_the_headers_that_protect_it() -> None:
    for method, path in (("POST", "/api/notes"), ("GET", "/api/notes"), ("OPTIONS", "/api/notes"), ("GET", "/x")):
        _, headers, _ = await ask(front(), method, path, b"1", JSON)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


async def test_options_and_head_and_ids() -> None:
    target = front()
    status, headers, body = await ask(target, "OPTIONS", "/api/notes")
    assert (status, headers["allow"], body) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert "content-length" not in headers
    status, headers, body = await ask(target, "HEAD", "/api/notes")
    assert (status, body) == (500, b"")
    assert int(headers["content-length"]) > 0
    _, headers, _ = await ask(target, "GET", "/x", headers={"x-request-id": "mine-1"})
    assert headers["x-request-id"] == "mine-1"
    _, headers, _ = await ask(target, "GET", "/x", headers={"x-request-id": "not mine\n"})
    assert headers["x-request-id"] != "not mine\n"


async def test_variables_of_a_path() -> None:
    target = front()
    assert (await ask(target, "PATCH", "/api/notes/7", b"1", JSON))[2] == b"71"
    assert (await ask(target, "POST", "/api/notes/7/parts/8", b"1", JSON))[2] == b"71"
    assert (await ask(target, "PATCH", "/api/notes/", b"1", JSON))[0] == 404
