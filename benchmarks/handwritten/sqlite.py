"""The hand-written handler on SQLite: one statement per question, run on the event loop."""

import os
from typing import Any
from uuid import UUID

import apsw

from benchmarks.handwritten.front import Front, Page
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


class SqliteStore:
    """The statements on one connection; a point read is shorter than a hop to a thread."""

    def __init__(self, file: str) -> None:
        self._file = file

    async def open(self) -> None:
        self._connection = apsw.Connection(self._file)
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

    def _page(self, statement: str, values: tuple[Any, ...], limit: int) -> Page:
        """A page of rows that are finished JSON: one more than asked for was fetched, to know whether more follow."""
        rows = list(self._connection.execute(statement, values))
        data = f"[{','.join([row[0] for row in rows[:limit]])}]".encode()
        last = rows[limit - 1][1:3] if len(rows) > limit else None
        return Page(data, last, rows[0][3] if rows else 0)


app = Front(SqliteStore(os.environ["DATABASE_URL"].removeprefix("sqlite:///")), Tokens(os.environ["SECRET_KEY"]))
