"""PocketBase, the real binary, with its own SQLite and its defaults."""

import json
import secrets
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from benchmarks.dataset import Dataset, Kind
from benchmarks.peers.ledger import count_sqlite
from benchmarks.peers.port import HERE, Place
from benchmarks.peers.rows import PARENTS_FIRST, Row, fill_sqlite, rows
from benchmarks.processes import HOST, Command, Server, ServerFailed, ask
from benchmarks.stocktaking import Count
from benchmarks.workloads import (
    ORDERS_PAGE,
    PAGE,
    Answer,
    Line,
    NewReview,
    OrdersAnswer,
    OrdersOf,
    ProductAnswer,
    ProductById,
    ProductsAnswer,
    ProductsByPrice,
    Purchase,
    PurchaseAnswer,
    Question,
    ReviewAnswer,
)

OPERATOR, PASSWORD = "operator@example.com", secrets.token_hex(16)
LETTERS = {kind: kind.name[0].lower() for kind in Kind}
TABLES: Mapping[Kind, tuple[str, Sequence[str]]] = {
    Kind.CUSTOMER: ("users", ("id", "name", "email", "created", "updated", "tokenKey", "password", "verified")),
    Kind.CATEGORY: ("categories", ("id", "name", "slug", "created", "updated")),
    Kind.PRODUCT: (
        "products",
        ("id", "name", "slug", "description", "price", "cost", "category", "stock", "created", "updated"),
    ),
    Kind.ORDER: ("orders", ("id", "customer", "status", "total", "created", "updated")),
    Kind.ITEM: ("order_items", ("id", "order", "product", "quantity", "price", "created", "updated")),
}


class PocketBase:
    """The backend in one file, written in Go."""

    name: ClassVar[str] = "pocketbase"
    databases: ClassVar[tuple[str, ...]] = ("sqlite",)

    def __init__(self, place: Place) -> None:
        self._program = place.tools.programs / "pocketbase"
        self._data = place.directory / "pb_data"
        self._migrations = HERE / "pocketbase_app" / "pb_migrations"
        self._hooks = HERE / "pocketbase_app" / "pb_hooks"

    def load(self, dataset: Dataset) -> None:
        self._run("migrate", "up")
        connection = sqlite3.connect(self._data / "data.db")
        for kind in PARENTS_FIRST:
            table, columns = TABLES[kind]
            found = rows(kind, dataset, id_of, _instant)
            fill_sqlite(connection, table, _accounts(found) if kind is Kind.CUSTOMER else found, columns)
        connection.commit()
        connection.execute("ANALYZE")
        connection.close()
        self._run("superuser", "upsert", OPERATOR, PASSWORD)

    def command(self, port: int) -> Command:
        return Command([self._program, "serve", "--http", f"{HOST}:{port}", *self._directories()], self._data.parent)

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        """Tokens through the operator's right to act as somebody: logging in would hash two hundred passwords."""
        login = {"identity": OPERATOR, "password": PASSWORD}
        operator = self._post(server, "_superusers/auth-with-password", login, "")["token"]
        return {
            number: self._post(server, f"users/impersonate/{id_of(Kind.CUSTOMER, number)}", {}, operator)["token"]
            for number in customers
        }

    def path(self, question: Question) -> str:
        match question:
            case ProductById(product):
                return f"/api/collections/products/records/{id_of(Kind.PRODUCT, product)}"
            case ProductsByPrice(category, low, high, counted):
                wanted = f"category='{id_of(Kind.CATEGORY, category)}' && price>={low} && price<{high}"
                count = "" if counted else "&skipTotal=1"
                return f"/api/collections/products/records?filter={quote(wanted)}&sort=price,id&perPage={PAGE}{count}"
            case OrdersOf():
                return (
                    "/api/collections/orders/records?expand=order_items_via_order.product.category"
                    f"&sort=-created,-id&perPage={ORDERS_PAGE}&skipTotal=1"
                )
            case NewReview():
                return "/api/collections/reviews/records"
            case Purchase():
                return "/api/purchase"

    def body(self, question: Question) -> Any:
        match question:
            case NewReview(customer, product, stars, text):
                author = id_of(Kind.CUSTOMER, customer)
                return {"author": author, "product": id_of(Kind.PRODUCT, product), "stars": stars, "text": text}
            case Purchase(_, lines):
                return {"items": [{"product": id_of(Kind.PRODUCT, p), "quantity": n} for p, n in lines]}
        return None

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        return count_sqlite(self._data / "data.db", ("products", "order_items"), "product", products, id_of)

    def read(self, question: Question, body: Any) -> Answer:
        match question:
            case ProductById():
                shelf = number_of(Kind.CATEGORY, body["category"])
                return ProductAnswer(number_of(Kind.PRODUCT, body["id"]), body["name"], body["price"], shelf)
            case ProductsByPrice(counted=counted):
                numbers = tuple(number_of(Kind.PRODUCT, product["id"]) for product in body["items"])
                return ProductsAnswer(numbers, body["totalItems"] if counted else None)
            case OrdersOf():
                return OrdersAnswer(
                    tuple((number_of(Kind.ORDER, order["id"]), _lines(order)) for order in body["items"])
                )
            case NewReview():
                return ReviewAnswer(number_of(Kind.PRODUCT, body["product"]), body["stars"], body["text"])
            case Purchase():
                return PurchaseAnswer(body["status"], body["total"])

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._program, *arguments, *self._directories()], check=True, stdout=subprocess.DEVNULL)

    def _directories(self) -> Sequence[str]:
        return (
            f"--dir={self._data}", f"--migrationsDir={self._migrations}", f"--hooksDir={self._hooks}",
            "--automigrate=false",
        )  # fmt: skip

    @staticmethod
    def _post(server: Server, action: str, body: Mapping[str, str], token: str) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": token}
        status, answer = ask("POST", server.port, f"/api/collections/{action}", headers, json.dumps(body).encode())
        if status != 200:
            raise ServerFailed(f"{action} was answered with {status}: {answer.decode()}")
        return json.loads(answer)


def id_of(kind: Kind, number: int) -> str:
    """An id after PocketBase's own pattern, fifteen small letters and digits."""
    return f"{LETTERS[kind]}{kind:x}{number:013d}"


def number_of(kind: Kind, text: str) -> int:
    """The number behind an id that `id_of` made."""
    if text[:2] != id_of(kind, 0)[:2]:
        raise ValueError(f"{text} is not the id of a {kind.name.lower()}")
    return int(text[2:])


def _accounts(customers: Iterator[Row]) -> Iterator[Row]:
    """What an account has besides: a key that its tokens are signed with, and no password that could be given."""
    for row in customers:
        yield (*row, f"key-of-{row[0]}".ljust(50, "x"), "!", True)


def _lines(order: Any) -> tuple[Line, ...]:
    items = order["expand"]["order_items_via_order"]
    return tuple(sorted(map(_line, items)))


def _line(item: Any) -> Line:
    product = item["expand"]["product"]
    category = product["expand"]["category"]
    return Line(
        number_of(Kind.ITEM, item["id"]),
        number_of(Kind.PRODUCT, product["id"]),
        number_of(Kind.CATEGORY, category["id"]),
        int(item["quantity"]),
    )


def _instant(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"
