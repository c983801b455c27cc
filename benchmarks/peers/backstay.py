"""Backstay itself, served as its users serve it: the full product with its rules, tokens, limits and metrics."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmarks.dataset import Dataset, Kind
from benchmarks.peers import rest
from benchmarks.peers.port import HERE, SECRET, Place
from benchmarks.processes import HOST, Command, Server

APP = HERE / "backstay_app" / "shop.py"
TABLES: Mapping[Kind, tuple[str, Sequence[str]]] = {
    Kind.CUSTOMER: ("users", ("id", "name", "email", "created_at", "updated_at")),
    Kind.CATEGORY: ("categories", ("id", "name", "slug", "created_at", "updated_at")),
    Kind.PRODUCT: (
        "products",
        ("id", "name", "slug", "description", "price", "cost", "category", "stock", "created_at", "updated_at"),
    ),
    Kind.ORDER: ("orders", ("id", "customer", "status", "total", "created_at", "updated_at")),
    Kind.ITEM: ("order_items", ("id", "order", "product", "quantity", "price", "created_at", "updated_at")),
}


class Backstay:
    """What the others are measured against."""

    name: ClassVar[str] = "backstay"
    databases: ClassVar[tuple[str, ...]] = ("sqlite", "postgres")

    path = staticmethod(rest.path)
    read = staticmethod(rest.read)

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = place.directory / "shop.db"

    def load(self, dataset: Dataset) -> None:
        """Let the product make its tables, then fill them directly."""
        ...

    def command(self, port: int) -> Command:
        argv = [
            self._place.tools.backstay,
            "serve",
            APP,
            "--host",
            HOST,
            "--port",
            port,
            "--workers",
            self._place.tools.workers,
        ]
        return Command([str(part) for part in argv], self._place.directory, self._environment())

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        if self._place.postgres is None:
            url = f"sqlite:///{self._file}"
        else:
            url = self._place.postgres.url(self._place.database)
        return {"DATABASE_URL": url, "SECRET_KEY": SECRET}
