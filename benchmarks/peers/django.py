"""Django REST framework on PostgreSQL, served by gunicorn."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from typing import Any, ClassVar

from benchmarks.dataset import Dataset, Kind, number_of, uuid_of
from benchmarks.peers import rest
from benchmarks.peers.ledger import count_postgres
from benchmarks.peers.port import HERE, SECRET, Place
from benchmarks.peers.rows import PARENTS_FIRST, Row, rows
from benchmarks.processes import HOST, Command, Server
from benchmarks.stocktaking import Count
from benchmarks.workloads import (
    PAGE,
    Answer,
    NewReview,
    OrdersOf,
    ProductAnswer,
    ProductById,
    ProductsAnswer,
    ProductsByPrice,
    Purchase,
    PurchaseAnswer,
    Question,
    signed_in,
)

TABLES: Mapping[Kind, tuple[str, Sequence[str]]] = {
    Kind.CATEGORY: ("shop_category", ("id", "name", "slug")),
    Kind.PRODUCT: (
        "shop_product",
        ("id", "name", "slug", "description", "price", "cost", "category_id", "stock"),
    ),
    Kind.ORDER: ("shop_order", ("id", "customer_id", "status", "total")),
    Kind.ITEM: ("shop_orderitem", ("id", "order_id", "product_id", "quantity", "price")),
}
USER_COLUMNS = (
    "id", "password", "is_superuser", "username", "first_name", "last_name", "email", "is_staff", "is_active",
    "date_joined",
)  # fmt: skip


class Django:
    """The framework with everything, and its usual API half."""

    name: ClassVar[str] = "django"
    databases: ClassVar[tuple[str, ...]] = ("postgres",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def load(self, dataset: Dataset) -> None:
        postgres, database = self._place.server, self._place.database
        python = str(self._place.tools.programs / "python")
        migrate = [python, "-m", "django", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=HERE.parent, env={**os.environ, **self._environment()}, check=True)
        postgres.copy(database, "auth_user", _users(dataset), USER_COLUMNS)
        for kind in PARENTS_FIRST[1:]:
            table, columns = TABLES[kind]
            found = rows(kind, dataset, _id_of, lambda instant: instant)
            postgres.copy(database, table, found, (*columns, "created_at", "updated_at"))
        tokens = ((_token(number), dataset.customer(number).created_at, number + 1) for number in signed_in(dataset))
        postgres.copy(database, "authtoken_token", tokens, ("key", "created", "user_id"))

    def command(self, port: int) -> Command:
        """Gunicorn's synchronous workers: tried against threads, they answer more and sooner."""
        gunicorn, workers = str(self._place.tools.programs / "gunicorn"), str(self._place.tools.workers)
        argv = [gunicorn, "--bind", f"{HOST}:{port}", "--workers", workers, "benchmarks.django_app.wsgi"]
        return Command(argv, HERE.parent, self._environment())

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        return {number: f"Token {_token(number)}" for number in customers}

    def path(self, question: Question) -> str:
        match question:
            case ProductById(product):
                return f"/api/products/{uuid_of(Kind.PRODUCT, product)}"
            case ProductsByPrice(category, low, high, counted):
                shelf = uuid_of(Kind.CATEGORY, category)
                count = f"&limit={PAGE}&count=true" if counted else ""
                return f"/api/products?category={shelf}&price__gte={low}&price__lt={high}{count}"
            case OrdersOf():
                return "/api/orders"
            case NewReview() | Purchase():
                return rest.path(question)

    body = staticmethod(rest.body)

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        place, tables = self._place, ("shop_product", "shop_orderitem")
        return count_postgres(place.server, place.database, tables, "product_id", products, uuid_of)

    def read(self, question: Question, body: Any) -> Answer:
        match question:
            case ProductById():
                shelf = number_of(Kind.CATEGORY, body["category"])
                return ProductAnswer(number_of(Kind.PRODUCT, body["id"]), body["name"], body["price"], shelf)
            case ProductsByPrice():
                numbers = tuple(number_of(Kind.PRODUCT, product["id"]) for product in body["results"])
                return ProductsAnswer(numbers, body.get("count"))
            case OrdersOf():
                return rest.read_orders(body["results"])
            case Purchase():
                return PurchaseAnswer(body["status"], body["total"])
            case NewReview():
                return rest.read(question, body)

    def _environment(self) -> Mapping[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "benchmarks.django_app.settings",
            "DATABASE_NAME": self._place.database,
            "DATABASE_HOST": str(self._place.server.socket_directory),
            "SECRET_KEY": SECRET,
        }


def _id_of(kind: Kind, number: int) -> Any:
    """Customers are Django's users, which are counted from one; everything else has a UUID."""
    return number + 1 if kind is Kind.CUSTOMER else uuid_of(kind, number)


def _users(dataset: Dataset) -> Iterator[Row]:
    for customer in dataset.customers():
        first, last = customer.name.split(" ")
        yield (
            customer.number + 1, "!", False, customer.email, first, last, customer.email, False, True,
            customer.created_at,
        )  # fmt: skip


def _token(number: int) -> str:
    return sha1(f"token of {number}".encode(), usedforsecurity=False).hexdigest()
