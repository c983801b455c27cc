"""The hand-written handler on SQLite: one statement per question, run on the event loop.

What is written in one turn of the loop shares a commit, each in a savepoint of its own, and is answered after it.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import apsw

from benchmarks.handwritten.front import Front, Page
from benchmarks.handwritten.ids import new_id
from benchmarks.handwritten.json_text import Dialect
from benchmarks.handwritten.token import Tokens

JSON = Dialect(quote=lambda column: f"json_quote({column})", instant=lambda column: column)

PRODUCT = f"SELECT {JSON.text(JSON.product())} FROM product p WHERE p.id = ?1"
PRODUCTS = f"""
SELECT {JSON.text(JSON.product())}, p.price, p.id, {{count}} FROM product p
WHERE p.category_id = ?1 AND p.price >= ?2 AND p.price < ?3 ORDER BY p.price, p.id LIMIT ?4 + 1"""
PRODUCTS_COUNTED = PRODUCTS.replace(
    "{count}", "(SELECT count(*) FROM product p WHERE p.category_id = ?1 AND p.price >= ?2 AND p.price < ?3)"
)
PRODUCTS_ONLY = PRODUCTS.replace("{count}", "NULL")
ORDERS = f"""
SELECT {JSON.text(JSON.order())}, o.created_at, o.id, NULL FROM orders o
WHERE o.customer_id = ?1 ORDER BY o.created_at DESC, o.id DESC LIMIT ?2 + 1"""


REVIEW = f"""
INSERT INTO review SELECT ?1, ?2, id, ?4, ?5, ?6, ?6 FROM product WHERE id = ?3
RETURNING {JSON.text(JSON.review())}"""
TAKE = "UPDATE product SET stock = stock - ?2, updated_at = ?3 WHERE id = ?1 AND stock >= ?2 RETURNING price"
ORDER = f"INSERT INTO orders VALUES (?1, ?2, 'paid', ?3, ?4, ?4) RETURNING {JSON.text(JSON.purchase())}"
ITEM = "INSERT INTO item VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)"
Work = Callable[[apsw.Connection], bytes | None]


class SqliteStore:
    """The statements on one connection; a point read is shorter than a hop to a thread."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._work: list[tuple[Work, asyncio.Future[bytes | None]]] = []

    async def open(self) -> None:
        self._connection = apsw.Connection(self._file)
        self._connection.set_busy_timeout(5_000)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "mmap_size = 0", "cache_size = -65536"):
            self._connection.execute(f"PRAGMA {pragma}")

    async def product(self, product: UUID) -> bytes | None:
        found: str | None = self._connection.execute(PRODUCT, (str(product),)).get
        return found.encode() if found is not None else None

    async def products(self, category: UUID, low: int, high: int, limit: int, counted: bool) -> Page:
        statement = PRODUCTS_COUNTED if counted else PRODUCTS_ONLY
        return self._page(statement, (str(category), low, high, limit), limit)

    async def orders(self, customer: UUID, limit: int) -> Page:
        return self._page(ORDERS, (str(customer), limit), limit)

    async def review(self, author: UUID, product: UUID, stars: int, text: str) -> bytes | None:
        values = (str(new_id()), str(author), str(product), stars, text, _now())

        def work(connection: apsw.Connection) -> bytes | None:
            found: str | None = connection.execute(REVIEW, values).get
            return found.encode() if found is not None else None

        return await self._write(work)

    async def purchase(self, customer: UUID, lines: list[tuple[UUID, int]]) -> bytes | None:
        order, now = str(new_id()), _now()

        def work(connection: apsw.Connection) -> bytes | None:
            prices = [connection.execute(TAKE, (str(product), n, now)).get for product, n in lines]
            if None in prices:
                return None
            costs = [price * n for price, (_, n) in zip(prices, lines, strict=True)]
            made: str = connection.execute(ORDER, (order, str(customer), sum(costs), now)).get
            for (product, n), cost in zip(lines, costs, strict=True):
                connection.execute(ITEM, (str(new_id()), order, str(product), n, cost, now))
            return made.encode()

        return await self._write(work)

    async def _write(self, work: Work) -> bytes | None:
        loop = asyncio.get_running_loop()
        if not self._work:
            loop.call_soon(self._commit)
        future: asyncio.Future[bytes | None] = loop.create_future()
        self._work.append((work, future))
        return await future

    def _commit(self) -> None:
        """Everything of this turn; what finds too little is undone alone."""
        waiting, self._work = self._work, []
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            made = []
            for work, _ in waiting:
                connection.execute("SAVEPOINT one")
                made.append(work(connection))
                if made[-1] is None:
                    connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except apsw.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), answer in zip(waiting, made, strict=True):
            if not future.done():
                future.set_result(answer)

    def _page(self, statement: str, values: tuple[Any, ...], limit: int) -> Page:
        """A page of rows that are finished JSON: one more than asked for was fetched, to know whether more follow."""
        rows = list(self._connection.execute(statement, values))
        data = f"[{','.join([row[0] for row in rows[:limit]])}]".encode()
        last = rows[limit - 1][1:3] if len(rows) > limit else None
        return Page(data, last, rows[0][3] if rows else 0)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


app = Front(SqliteStore(os.environ["DATABASE_URL"].removeprefix("sqlite:///")), Tokens(os.environ["SECRET_KEY"]))
