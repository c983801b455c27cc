"""The hand-written handlers do what a responsible handler must: they verify, check, tag, and say what is wrong."""

import json
import time
from typing import Any
from uuid import UUID

import pytest

from benchmarks.handwritten.front import Front, Page
from benchmarks.handwritten.token import Tokens

SOMEBODY = UUID("01941f29-7c00-7ecd-bde9-b64fb2c33ecd")


class Shelf:
    """A store that knows one product and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def open(self) -> None: ...

    async def product(self, product: UUID) -> bytes | None:
        return b'{"id":1}' if product == SOMEBODY else None

    async def products(self, *question: Any) -> Page:
        self.asked.append(question)
        return Page(b"[1]", (5, "a"), 9 if question[-1] else None)

    async def orders(self, *question: Any) -> Page:
        self.asked.append(question)
        return Page(b"[]", None, None)

    async def review(self, *review: Any) -> bytes | None:
        self.asked.append(review)
        return b'{"id":2}' if review[1] == SOMEBODY else None

    async def purchase(self, *purchase: Any) -> bytes | None:
        self.asked.append(purchase)
        return b'{"id":3}' if purchase[1] == [(SOMEBODY, 2)] else None


async def get(front: Front, path: str, query: str = "", **headers: str) -> tuple[int, dict[str, str], Any]:
    return await ask(front, "GET", path, query, b"", **headers)


async def post(front: Front, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(front, "POST", path, "", sent, authorization=f"Bearer {front.tokens.sign(SOMEBODY)}")


async def ask(
    front: Front, method: str, path: str, query: str, body: bytes, **headers: str
) -> tuple[int, dict[str, str], Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": named}
    await front(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(sent[1]["body"] or "null")


@pytest.fixture
def front() -> Front:
    return Front(Shelf(), Tokens("secret"))


async def test_a_record_carries_a_tag_that_saves_sending_it_again(front: Front) -> None:
    status, headers, body = await get(front, f"/api/products/{SOMEBODY}", x_request_id="mine")
    assert (status, body, headers["x-request-id"]) == (200, {"id": 1}, "mine")
    again, _, nothing = await get(front, f"/api/products/{SOMEBODY}", if_none_match=headers["etag"])
    assert (again, nothing) == (304, None)


async def test_a_list_says_where_it_goes_on(front: Front) -> None:
    query = f"category={SOMEBODY}&price[gte]=1&price[lt]=9&sort=price&limit=30&count=exact"
    status, headers, body = await get(front, "/api/products", query)
    assert status == 200
    assert body == {"data": [1], "meta": {"next_cursor": "WzUsImEiXQ", "total": 9}}
    assert headers["link"] == f'</api/products?{query}&cursor=WzUsImEiXQ>; rel="next"'
    assert front.store.asked == [(SOMEBODY, 1, 9, 30, True)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/api/products/not-an-id", "", 404),
        ("/api/products/687f2bf5-22d4-4a9d-a0bc-84aa031f5ca3", "", 404),
        ("/api/products", "colour=red", 400),
        ("/api/products", "sort=price&category=tea", 400),
        ("/api/products", f"sort=price&category={SOMEBODY}&price[gte]=cheap", 400),
        ("/api/orders", "", 401),
        ("/elsewhere", "", 404),
    ],
)
async def test_what_is_wrong_is_a_problem_document(front: Front, path: str, query: str, status: int) -> None:
    answered, headers, problem = await get(front, path, query)
    assert (answered, problem["status"], headers["content-type"]) == (status, status, "application/problem+json")


async def test_orders_are_those_of_the_bearer(front: Front) -> None:
    token = front.tokens.sign(SOMEBODY)
    query = "expand=items.product.category&sort=-created_at&limit=20"
    for _ in range(2):
        status, _, _ = await get(front, "/api/orders", query, authorization=f"Bearer {token}")
        assert status == 200
    assert front.store.asked == [(SOMEBODY, 20)] * 2  # type: ignore[attr-defined]


REVIEW = {"product": str(SOMEBODY), "stars": 5, "text": "fine"}
ITEMS = [{"product": str(SOMEBODY), "quantity": 2}]


async def test_what_is_written_is_told(front: Front) -> None:
    status, _, body = await post(front, "/api/reviews", REVIEW)
    assert (status, body) == (201, {"id": 2})
    status, _, body = await post(front, "/api/purchase", {"items": ITEMS})
    assert (status, body) == (201, {"id": 3})
    assert front.store.asked == [(SOMEBODY, SOMEBODY, 5, "fine"), (SOMEBODY, [(SOMEBODY, 2)])]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/reviews", b"{", 400),
        ("/api/reviews", [], 400),
        ("/api/reviews", {**REVIEW, "colour": "red"}, 400),
        ("/api/reviews", {**REVIEW, "stars": 6}, 422),
        ("/api/reviews", {**REVIEW, "stars": True}, 422),
        ("/api/reviews", {**REVIEW, "text": ""}, 422),
        ("/api/reviews", {**REVIEW, "product": "687f2bf5-22d4-4a9d-a0bc-84aa031f5ca3"}, 422),
        ("/api/purchase", {"items": []}, 422),
        ("/api/purchase", {"items": [{"product": 1, "quantity": 1}]}, 422),
        ("/api/purchase", {"items": [{**ITEMS[0], "quantity": 0}]}, 422),
        ("/api/purchase", {"items": [{**ITEMS[0], "quantity": 3}]}, 409),
        ("/api/purchase", b"x" * 1_000_001, 413),
        ("/elsewhere", {}, 404),
    ],
)
async def test_what_is_written_wrongly_is_a_problem_document(front: Front, path: str, body: Any, status: int) -> None:
    answered, headers, problem = await post(front, path, body)
    assert (answered, problem["status"], headers["content-type"]) == (status, status, "application/problem+json")


async def test_nobody_writes_without_a_token(front: Front) -> None:
    status, _, _ = await ask(front, "POST", "/api/reviews", "", json.dumps(REVIEW).encode())
    assert status == 401


def test_a_token_of_another_secret_or_of_yesterday_is_refused() -> None:
    tokens = Tokens("secret")
    assert tokens.verify(f"Bearer {Tokens('other').sign(SOMEBODY)}".encode()) is None
    assert tokens.verify(f"Bearer {tokens.sign(SOMEBODY, seconds=-1)}".encode()) is None
    assert tokens.verify(b"") is None
    assert tokens.verify(b"Basic abc") is None


def test_a_remembered_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens("secret")
    header = f"Bearer {tokens.sign(SOMEBODY, seconds=60)}".encode()
    assert tokens.verify(header) == SOMEBODY
    late = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: late)
    assert tokens.verify(header) is None
