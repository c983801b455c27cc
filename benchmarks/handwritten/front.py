"""The HTTP half of the hand-written handlers: route, check, ask the store for bytes, tag, send.

It does the least that a responsible handler may do: every value is checked before it reaches the database, a token is
verified once and remembered by its hash until it expires, errors are problem documents, answers carry an ETag.
"""

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1
from json import dumps, loads
from os import urandom
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from benchmarks.handwritten.token import Tokens

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept"),
)


class Page(NamedTuple):
    """A list as the statement made it: the rows as JSON, the keys of the last row if more follow, the count."""

    data: bytes
    last: tuple[Any, ...] | None
    total: int | None


class Store(Protocol):
    """The statements. What writes answers once it is on the disk; nothing where there is no product, or too little."""

    async def open(self) -> None: ...

    async def product(self, product: UUID) -> bytes | None: ...

    async def products(self, category: UUID, low: int, high: int, limit: int, counted: bool) -> Page: ...

    async def orders(self, customer: UUID, limit: int) -> Page: ...

    async def review(self, author: UUID, product: UUID, stars: int, text: str) -> bytes | None: ...

    async def purchase(self, customer: UUID, lines: list[tuple[UUID, int]]) -> bytes | None: ...


class Problem(Exception):
    """An answer that says what is wrong."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.body = dumps({"type": "about:blank", "status": status, "code": code, "detail": detail}).encode()


class Front:
    """The ASGI application over one store."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self.store = store
        self.tokens = tokens

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        authorization = known = request_id = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"if-none-match":
                known = value
            elif name == b"x-request-id":
                request_id = value
        content_type, status, link = b"application/json", 200, b""
        try:
            if scope["method"] == "POST":
                body, status = await self._write(scope, authorization, receive), 201
            else:
                body, link = await self._answer(scope, authorization)
            tag = b'"' + sha1(body, usedforsecurity=False).hexdigest().encode() + b'"'
            if known == tag and status == 200:
                status, body = 304, b""
        except Problem as problem:
            content_type, status, body, tag = b"application/problem+json", problem.status, problem.body, b""
        headers = [
            *ALWAYS,
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id or urandom(12).hex().encode()),
        ]
        if tag:
            headers.append((b"etag", tag))
        if link:
            headers.append((b"link", link))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.store.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _write(self, scope: dict[str, Any], authorization: bytes, receive: Receive) -> bytes:
        customer = self.tokens.verify(authorization)
        if customer is None:
            raise Problem(401, "not_signed_in", "Those who write have to be signed in.")
        sent = await _json(receive)
        if scope["path"] == "/api/reviews":
            review = await self.store.review(customer, *_review(sent))
            if review is None:
                raise Problem(422, "not_found", "product names no product.")
            return review
        if scope["path"] == "/api/purchase":
            order = await self.store.purchase(customer, _lines(sent))
            if order is None:
                raise Problem(409, "out_of_stock", "There is too little of it.")
            return order
        raise Problem(404, "not_found", "Nothing is written at this address.")

    async def _answer(self, scope: dict[str, Any], authorization: bytes) -> tuple[bytes, bytes]:
        if scope["method"] != "GET":
            raise Problem(405, "method_not_allowed", "These addresses can only be read.")
        path = scope["path"]
        if path.startswith("/api/products/"):
            product = await self.store.product(_uuid("id", path[14:], 404))
            if product is None:
                raise Problem(404, "not_found", "There is no such product.")
            return product, b""
        if path == "/api/products":
            return await self._products(scope)
        if path == "/api/orders":
            return await self._orders(scope, authorization)
        raise Problem(404, "not_found", "There is nothing at this address.")

    async def _products(self, scope: dict[str, Any]) -> tuple[bytes, bytes]:
        asked = _parameters(scope, {"category", "price[gte]", "price[lt]", "sort", "limit", "count"})
        if asked.get("sort") != "price":
            raise Problem(400, "unknown_sort", "Products are sorted by price here.")
        page = await self.store.products(
            _uuid("category", asked.get("category", "")),
            _integer("price[gte]", asked.get("price[gte]", "0")),
            _integer("price[lt]", asked.get("price[lt]", "2147483647")),
            min(_integer("limit", asked.get("limit", "30")), 200),
            asked.get("count") == "exact",
        )
        return _list(page, scope)

    async def _orders(self, scope: dict[str, Any], authorization: bytes) -> tuple[bytes, bytes]:
        customer = self.tokens.verify(authorization)
        if customer is None:
            raise Problem(401, "not_signed_in", "Orders are shown to those who are signed in.")
        asked = _parameters(scope, {"expand", "sort", "limit"})
        if asked.get("sort") != "-created_at" or asked.get("expand") != "items.product.category":
            raise Problem(400, "unknown_question", "Orders are shown newest first and with everything in them here.")
        return _list(await self.store.orders(customer, min(_integer("limit", asked.get("limit", "30")), 200)), scope)


async def _json(receive: Receive) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > 1_000_000:
            raise Problem(413, "too_large", "That is too much.")
        if not message.get("more_body", False):
            break
    try:
        sent = loads(body)
    except ValueError:
        raise Problem(400, "malformed_json", "The body is not JSON.") from None
    if not isinstance(sent, dict):
        raise Problem(400, "malformed_json", "The body is no object.")
    return sent


def _review(sent: dict[str, Any]) -> tuple[UUID, int, str]:
    stars, text = sent.get("stars"), sent.get("text")
    if set(sent) != {"product", "stars", "text"}:
        raise Problem(400, "unknown_field", "A review has product, stars and text.")
    if type(stars) is not int or not 1 <= stars <= 5:
        raise Problem(422, "out_of_range", "stars are between 1 and 5.")
    if not isinstance(text, str) or not 1 <= len(text) <= 1000 or "\0" in text:
        raise Problem(422, "too_long", "text has between 1 and 1000 characters.")
    return _uuid("product", sent["product"], 422), stars, text


def _lines(sent: dict[str, Any]) -> list[tuple[UUID, int]]:
    items = sent.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= 50:
        raise Problem(422, "out_of_range", "A purchase has between 1 and 50 items.")
    lines = []
    for item in items:
        quantity = item.get("quantity") if isinstance(item, dict) else None
        if type(quantity) is not int or not 1 <= quantity <= 100:
            raise Problem(422, "out_of_range", "quantity is between 1 and 100.")
        lines.append((_uuid("product", item.get("product"), 422), quantity))
    return sorted(lines)


def _parameters(scope: dict[str, Any], known: set[str]) -> dict[str, str]:
    asked = {}
    for pair in scope["query_string"].decode("latin-1").replace("%5B", "[").replace("%5D", "]").split("&"):
        name, _, value = pair.partition("=")
        if name not in known:
            raise Problem(400, "unknown_parameter", f"There is no parameter {name!r}.")
        asked[name] = value
    return asked


def _uuid(name: str, text: Any, status: int = 400) -> UUID:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise Problem(status, "invalid_id", f"{name} is not an id.") from None


def _integer(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 11:
        return int(text)
    raise Problem(400, "invalid_value", f"{name} is not a whole number.")


def _list(page: Page, scope: dict[str, Any]) -> tuple[bytes, bytes]:
    total = b"" if page.total is None else b',"total":%d' % page.total
    if page.last is None:
        return b'{"data":%b,"meta":{"next_cursor":null%b}}' % (page.data, total), b""
    cursor = urlsafe_b64encode(dumps(page.last, separators=(",", ":")).encode()).rstrip(b"=")
    body = b'{"data":%b,"meta":{"next_cursor":"%b"%b}}' % (page.data, cursor, total)
    address = scope["path"].encode() + b"?" + scope["query_string"]
    return body, b'<%b&cursor=%b>; rel="next"' % (address, cursor)
