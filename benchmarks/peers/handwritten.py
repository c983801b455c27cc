"""The hand-written limit as a peer, on PostgreSQL and on SQLite, served by granian like Backstay."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmarks.dataset import Dataset, Kind, uuid_of
from benchmarks.handwritten.token import Tokens
from benchmarks.peers import rest
from benchmarks.peers.ledger import count_postgres, count_sqlite
from benchmarks.peers.port import HERE, SECRET, Place
from benchmarks.peers.rows import PARENTS_FIRST, fill_sqlite, rows, text_id, text_instant
from benchmarks.processes import HOST, Command, Server
from benchmarks.stocktaking import Count

TABLES = {
    Kind.CUSTOMER: "customer",
    Kind.CATEGORY: "category",
    Kind.PRODUCT: "product",
    Kind.ORDER: "orders",
    Kind.ITEM: "item",
}


class Handwritten:
    """One statement per question that makes the JSON, and the least of Python around it."""

    name: ClassVar[str] = "handwritten"
    databases: ClassVar[tuple[str, ...]] = ("sqlite", "postgres")

    path = staticmethod(rest.path)
    body = staticmethod(rest.body)
    read = staticmethod(rest.read)

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = place.directory / "shop.db"

    def load(self, dataset: Dataset) -> None:
        if self._place.postgres is None:
            self._load_sqlite(dataset)
            return
        database, postgres = self._place.database, self._place.postgres
        postgres.run(database, (HERE / "handwritten" / "postgres.sql").read_text())
        for kind in PARENTS_FIRST:
            postgres.copy(database, TABLES[kind], rows(kind, dataset, uuid_of, lambda instant: instant))

    def command(self, port: int) -> Command:
        store = "sqlite" if self._place.postgres is None else "postgres"
        return Command(
            [
                self._place.tools.programs / "granian", "--interface", "asgi", "--loop", "uvloop", "--no-ws",
                "--workers", str(self._place.tools.workers), "--host", HOST, "--port", str(port),
                f"benchmarks.handwritten.{store}:app",
            ],
            HERE.parent,
            {"DATABASE_URL": self._url(), "SECRET_KEY": SECRET},
        )  # fmt: skip

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        tables = ("product", "item")
        if self._place.postgres is None:
            return count_sqlite(self._file, tables, "product_id", products, text_id)
        place = self._place
        return count_postgres(place.server, place.database, tables, "product_id", products, uuid_of)

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        tokens = Tokens(SECRET)
        return {number: f"Bearer {tokens.sign(uuid_of(Kind.CUSTOMER, number))}" for number in customers}

    def _url(self) -> str:
        if self._place.postgres is None:
            return f"sqlite:///{self._file}"
        return self._place.postgres.url(self._place.database)

    def _load_sqlite(self, dataset: Dataset) -> None:
        connection = sqlite3.connect(self._file)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((HERE / "handwritten" / "sqlite.sql").read_text())
        for kind in PARENTS_FIRST:
            fill_sqlite(connection, TABLES[kind], rows(kind, dataset, text_id, text_instant))
        connection.commit()
        connection.execute("ANALYZE")
        connection.close()
