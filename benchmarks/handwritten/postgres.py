"""The hand-written handler on PostgreSQL: one prepared statement per question, on connections of its own."""

import asyncio
import os
from collections import deque
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.handwritten.front import Front, Page
from benchmarks.handwritten.ids import new_id
from benchmarks.handwritten.json_text import Dialect
from benchmarks.handwritten.token import Tokens

CONNECTIONS = 8
SETTINGS = {"jit": "off", "timezone": "UTC", "plan_cache_mode": "force_generic_plan"}
JSON = Dialect(
    quote=lambda column: f"to_json({column})",
    instant=lambda column: f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
)

PRODUCT = f"SELECT {JSON.text(JSON.product())} FROM product p WHERE p.id = $1"

SHELF = "FROM product p WHERE p.category_id = $1 AND p.price >= $2 AND p.price < $3"
PRODUCTS = f"""
SELECT concat('[', string_agg({JSON.text(JSON.product())}, ',' ORDER BY place) FILTER (WHERE place <= $4), ']'),
       max(place) > $4, max(price) FILTER (WHERE place = $4), max(id::text) FILTER (WHERE place = $4), {{count}}
FROM (SELECT *, row_number() OVER (ORDER BY price, id) AS place {SHELF} ORDER BY price, id LIMIT $4::bigint + 1) AS p"""
PRODUCTS_COUNTED = PRODUCTS.replace("{count}", f"(SELECT count(*) {SHELF})")
PRODUCTS_ONLY = PRODUCTS.replace("{count}", "NULL::bigint")

ORDERS = f"""
SELECT concat('[', string_agg({JSON.text(JSON.order())}, ',' ORDER BY place) FILTER (WHERE place <= $2), ']'),
       max(place) > $2, max(created_at::text) FILTER (WHERE place = $2), max(id::text) FILTER (WHERE place = $2),
       NULL::bigint
FROM (SELECT *, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place
      FROM orders WHERE customer_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint + 1) AS o"""


REVIEW = f"""
INSERT INTO review SELECT $1, $2, id, $4, $5, now(), now() FROM product WHERE id = $3
RETURNING {JSON.text(JSON.review())}"""
PURCHASE = f"SELECT {JSON.text(JSON.purchase())} FROM purchase($1, $2, $3, $4, $5)"


@dataclass(frozen=True, slots=True)
class Lane:
    """One connection with its prepared statements."""

    connection: "asyncpg.Connection[Any]"
    product: Any
    products: Any
    products_counted: Any
    orders: Any
    review: Any
    purchase: Any

    @classmethod
    async def open(cls, url: str) -> "Lane":
        connection = await asyncpg.connect(url, server_settings=SETTINGS)
        # Text is taken as the bytes it comes in, since it is passed on as it is.
        await connection.set_type_codec("text", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
        statements = (PRODUCT, PRODUCTS_ONLY, PRODUCTS_COUNTED, ORDERS, REVIEW, PURCHASE)
        return cls(connection, *[await connection.prepare(statement) for statement in statements])


class PostgresStore:
    """The statements on a few connections that are handed round."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Lane] = []
        self._waiting: deque[asyncio.Future[Lane]] = deque()

    async def open(self) -> None:
        self._idle = [await Lane.open(self._url) for _ in range(CONNECTIONS)]

    async def product(self, product: UUID) -> bytes | None:
        lane = await self._take()
        try:
            found: bytes | None = await lane.product.fetchval(product)
            return found
        finally:
            self._give(lane)

    async def products(self, category: UUID, low: int, high: int, limit: int, counted: bool) -> Page:
        lane = await self._take()
        try:
            statement = lane.products_counted if counted else lane.products
            return _page(await statement.fetchrow(category, low, high, limit))
        finally:
            self._give(lane)

    async def orders(self, customer: UUID, limit: int) -> Page:
        lane = await self._take()
        try:
            return _page(await lane.orders.fetchrow(customer, limit))
        finally:
            self._give(lane)

    async def review(self, author: UUID, product: UUID, stars: int, text: str) -> bytes | None:
        lane = await self._take()
        try:
            found: bytes | None = await lane.review.fetchval(new_id(), author, product, stars, text.encode())
            return found
        finally:
            self._give(lane)

    async def purchase(self, customer: UUID, lines: list[tuple[UUID, int]]) -> bytes | None:
        """One round trip; the lines are sorted, so that two buyers never wait for each other."""
        ids, products, quantities = [new_id() for _ in lines], [line[0] for line in lines], [line[1] for line in lines]
        lane = await self._take()
        try:
            made: bytes = await lane.purchase.fetchval(customer, new_id(), ids, products, quantities)
            return made
        except asyncpg.RaiseError:
            return None
        finally:
            self._give(lane)

    async def _take(self) -> Lane:
        if self._idle:
            return self._idle.pop()
        turn: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return await turn

    def _give(self, lane: Lane) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(lane)
                return
        self._idle.append(lane)


def _page(row: Any) -> Page:
    data, more, key, row_id, total = row
    if not more:
        return Page(data, None, total)
    return Page(data, (key.decode() if isinstance(key, bytes) else key, row_id.decode()), total)


app = Front(PostgresStore(os.environ["DATABASE_URL"]), Tokens(os.environ["SECRET_KEY"]))
