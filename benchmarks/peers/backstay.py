"""Backstay itself, served as its users serve it: the full product with its rules, tokens, limits and metrics."""

import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from benchmarks.dataset import Dataset, Kind, uuid_of
from benchmarks.peers import rest
from benchmarks.peers.ledger import count_postgres, count_sqlite
from benchmarks.peers.port import HERE, SECRET, Place
from benchmarks.peers.rows import PARENTS_FIRST, Row, fill_sqlite, rows, text_id, text_instant
from benchmarks.processes import HOST, Command, Server, free_port
from benchmarks.stocktaking import Count
from benchmarks.workloads import signed_in

APP = HERE / "backstay_app" / "shop.py"
TABLES: Mapping[Kind, tuple[str, Sequence[str]]] = {
    Kind.CUSTOMER: ("users", ("name", "email")),
    Kind.CATEGORY: ("categories", ("name", "slug")),
    Kind.PRODUCT: ("products", ("name", "slug", "description", "price", "cost", "category_id", "stock")),
    Kind.ORDER: ("orders", ("customer_id", "status", "total")),
    Kind.ITEM: ("order_items", ("order_id", "product_id", "quantity", "price")),
}
OF_EVERY_USER: Mapping[str, Any] = {"roles": "[]", "disabled": 0}
FOLDED = "__folded"
SESSIONS, TOKENS = "account_sign_ins", "account_tokens"
SESSION_COLUMNS = ("id", "user_id", "expires_at", "created_at", "updated_at")
TOKEN_COLUMNS = ("id", "session_id", "token_hash", "refresh_hash", "expires_at", "created_at", "updated_at")


class Backstay:
    """What the others are measured against."""

    name: ClassVar[str] = "backstay"
    databases: ClassVar[tuple[str, ...]] = ("sqlite", "postgres")

    path = staticmethod(rest.path)
    body = staticmethod(rest.body)
    read = staticmethod(rest.read)

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = place.directory / "shop.db"

    def load(self, dataset: Dataset) -> None:
        """Let the product make its tables, then fill them directly."""
        port = free_port()
        server = Server.start(self.command(port), port, self._place.directory / "tables.log")
        try:
            server.wait("/healthz", {})
        finally:
            server.stop()
        if self._place.postgres is None:
            self._fill_sqlite(dataset)
            return
        postgres, database = self._place.postgres, self._place.database
        for kind in PARENTS_FIRST:
            table = TABLES[kind][0]
            names, found = _fitted(kind, dataset, postgres.columns(database, table), lambda instant: instant)
            postgres.copy(database, table, found, names)
        postgres.copy(database, SESSIONS, _sessions(dataset, lambda instant: instant), SESSION_COLUMNS)
        postgres.copy(database, TOKENS, _tokens(dataset, lambda instant: instant), TOKEN_COLUMNS)

    def command(self, port: int) -> Command:
        tools = self._place.tools
        argv = [
            str(tools.backstay),
            "serve",
            str(APP),
            "--host",
            HOST,
            "--port",
            str(port),
            "--workers",
            str(tools.workers),
        ]
        return Command(argv, self._place.directory, self._environment())

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        tables = ("products", "order_items")
        if self._place.postgres is None:
            return count_sqlite(self._file, tables, "product_id", products, text_id)
        place = self._place
        return count_postgres(place.server, place.database, tables, "product_id", products, uuid_of)

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        return {number: f"Bearer {_token(number)}" for number in customers}

    def _environment(self) -> Mapping[str, str]:
        if self._place.postgres is None:
            return {"DATABASE_URL": f"sqlite:///{self._file}", "SECRET_KEY": SECRET}
        return {"DATABASE_URL": self._place.postgres.url(self._place.database), "SECRET_KEY": SECRET}

    def _fill_sqlite(self, dataset: Dataset) -> None:
        connection = sqlite3.connect(self._file)
        for kind in PARENTS_FIRST:
            table = TABLES[kind][0]
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            names, found = _fitted(kind, dataset, columns, text_instant)
            fill_sqlite(connection, table, found, names)
        fill_sqlite(connection, SESSIONS, _sessions(dataset, text_instant), SESSION_COLUMNS)
        fill_sqlite(connection, TOKENS, _tokens(dataset, text_instant), TOKEN_COLUMNS)
        connection.commit()
        connection.execute("ANALYZE")
        connection.close()


def _fitted(
    kind: Kind, dataset: Dataset, columns: Sequence[str], at: Callable[[datetime], Any]
) -> tuple[Sequence[str], Iterator[Row]]:
    """The columns of a table that we have values for, and the rows made to fit: a folded copy stands beside a text."""
    fields = ("id", *TABLES[kind][1], "created_at", "updated_at")
    more = OF_EVERY_USER if kind is Kind.CUSTOMER else {}
    names = [name for name in columns if name.removesuffix(FOLDED) in fields or name in more]

    def fit(row: Row) -> Row:
        values = {**more, **dict(zip(fields, row, strict=True))}
        return tuple(
            values[name.removesuffix(FOLDED)].lower() if name.endswith(FOLDED) else values[name] for name in names
        )

    return names, map(fit, rows(kind, dataset, text_id, at))


def _sessions(dataset: Dataset, at: Callable[[datetime], Any]) -> Iterator[Row]:
    """A session for everybody who asks, begun as a log-in would have, but without hashing two hundred passwords."""
    now = datetime.now(UTC)
    for number in signed_in(dataset):
        customer = text_id(Kind.CUSTOMER, number)
        yield (customer, customer, at(now + timedelta(days=1)), at(now), at(now))


def _tokens(dataset: Dataset, at: Callable[[datetime], Any]) -> Iterator[Row]:
    """The access token of each of these sessions, good for as long; nobody refreshes."""
    now = datetime.now(UTC)
    for number in signed_in(dataset):
        token_hash, refresh_hash = (sha256(f"{_token(number)}{end}".encode()).hexdigest() for end in ("", " again"))
        customer = text_id(Kind.CUSTOMER, number)
        yield (customer, customer, token_hash, refresh_hash, at(now + timedelta(days=1)), at(now), at(now))


def _token(number: int) -> str:
    """A token in the form of the product's own: 32 bytes that only its holder knows."""
    return "bst_" + urlsafe_b64encode(sha256(f"token of {number}".encode()).digest()).rstrip(b"=").decode()
