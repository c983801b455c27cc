"""FastAPI and SQLAlchemy on PostgreSQL, served by uvicorn."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jwt
from sqlalchemy import create_engine

from benchmarks.dataset import Dataset, Kind, number_of, uuid_of
from benchmarks.fastapi_app.models import Base, Category, Customer, Order, OrderItem, Product
from benchmarks.peers.ledger import count_postgres
from benchmarks.peers.port import HERE, SECRET, Place
from benchmarks.peers.rest import read_orders
from benchmarks.peers.rows import PARENTS_FIRST, rows
from benchmarks.processes import HOST, Command, Server
from benchmarks.stocktaking import Count
from benchmarks.workloads import (
    ORDERS_PAGE,
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
    ReviewAnswer,
)

MODELS: Mapping[Kind, type[Base]] = {
    Kind.CUSTOMER: Customer,
    Kind.CATEGORY: Category,
    Kind.PRODUCT: Product,
    Kind.ORDER: Order,
    Kind.ITEM: OrderItem,
}


class FastApi:
    """The usual Python stack."""

    name: ClassVar[str] = "fastapi"
    databases: ClassVar[tuple[str, ...]] = ("postgres",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def load(self, dataset: Dataset) -> None:
        postgres, database = self._place.server, self._place.database
        engine = create_engine(postgres.url(database, "postgresql+psycopg"))
        Base.metadata.create_all(engine)
        engine.dispose()
        for kind in PARENTS_FIRST:
            table = Base.metadata.tables[MODELS[kind].__tablename__]
            postgres.copy(database, table.name, rows(kind, dataset, uuid_of, lambda instant: instant))

    def command(self, port: int) -> Command:
        return Command(
            [
                self._place.tools.programs / "uvicorn", "benchmarks.fastapi_app.main:app", "--host", HOST,
                "--port", str(port), "--workers", str(self._place.tools.workers), "--no-access-log",
            ],
            HERE.parent,
            {
                "DATABASE_URL": self._place.server.url(self._place.database, "postgresql+asyncpg"),
                "SECRET_KEY": SECRET,
            },
        )  # fmt: skip

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        expires = int(time.time()) + 86_400
        return {
            number: "Bearer "
            + jwt.encode({"sub": str(uuid_of(Kind.CUSTOMER, number)), "exp": expires}, SECRET, algorithm="HS256")
            for number in customers
        }

    def path(self, question: Question) -> str:
        match question:
            case ProductById(product):
                return f"/api/products/{uuid_of(Kind.PRODUCT, product)}"
            case ProductsByPrice(category, low, high, counted):
                shelf = uuid_of(Kind.CATEGORY, category)
                count = "&count=true" if counted else ""
                return f"/api/products?category={shelf}&price_from={low}&price_below={high}&limit={PAGE}{count}"
            case OrdersOf():
                return f"/api/orders?limit={ORDERS_PAGE}"
            case NewReview():
                return "/api/reviews"
            case Purchase():
                return "/api/purchase"

    def body(self, question: Question) -> Any:
        match question:
            case NewReview(_, product, stars, text):
                return {"product_id": str(uuid_of(Kind.PRODUCT, product)), "stars": stars, "text": text}
            case Purchase(_, lines):
                return {"items": [{"product_id": str(uuid_of(Kind.PRODUCT, p)), "quantity": n} for p, n in lines]}
        return None

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        place, tables = self._place, ("products", "order_items")
        return count_postgres(place.server, place.database, tables, "product_id", products, uuid_of)

    def read(self, question: Question, body: Any) -> Answer:
        match question:
            case ProductById():
                shelf = number_of(Kind.CATEGORY, body["category_id"])
                return ProductAnswer(number_of(Kind.PRODUCT, body["id"]), body["name"], body["price"], shelf)
            case ProductsByPrice():
                return ProductsAnswer(
                    tuple(number_of(Kind.PRODUCT, product["id"]) for product in body["data"]), body["total"]
                )
            case OrdersOf():
                return read_orders(body["data"])
            case NewReview():
                return ReviewAnswer(number_of(Kind.PRODUCT, body["product_id"]), body["stars"], body["text"])
            case Purchase():
                return PurchaseAnswer(body["status"], body["total"])
