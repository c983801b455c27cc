"""How an answer of Backstay's REST contract is asked for and read; the hand-written handlers speak it too."""

from typing import Any

from benchmarks.dataset import Kind, number_of, uuid_of
from benchmarks.workloads import (
    ORDERS_PAGE,
    PAGE,
    Answer,
    Line,
    OrdersAnswer,
    OrdersOf,
    ProductAnswer,
    ProductById,
    ProductsAnswer,
    ProductsByPrice,
    Question,
)


def path(question: Question) -> str:
    """The address of a question."""
    match question:
        case ProductById(product):
            return f"/api/products/{uuid_of(Kind.PRODUCT, product)}"
        case ProductsByPrice(category, low, high, counted):
            shelf = uuid_of(Kind.CATEGORY, category)
            count = "&count=exact" if counted else ""
            return f"/api/products?category={shelf}&price[gte]={low}&price[lt]={high}&sort=price&limit={PAGE}{count}"
        case OrdersOf():
            return f"/api/orders?expand=items.product.category&sort=-created_at&limit={ORDERS_PAGE}"


def read(question: Question, body: Any) -> Answer:
    """What the answer says."""
    match question:
        case ProductById():
            return ProductAnswer(
                number_of(Kind.PRODUCT, body["id"]),
                body["name"],
                body["price"]["amount"],
                number_of(Kind.CATEGORY, body["category"]),
            )
        case ProductsByPrice():
            numbers = tuple(number_of(Kind.PRODUCT, product["id"]) for product in body["data"])
            return ProductsAnswer(numbers, body["meta"].get("total"))
        case OrdersOf():
            return read_orders(body["data"])


def read_orders(orders: list[Any]) -> OrdersAnswer:
    """Orders whose items, products and categories are nested in them."""
    return OrdersAnswer(
        tuple((number_of(Kind.ORDER, order["id"]), tuple(sorted(map(_line, order["items"])))) for order in orders)
    )


def _line(item: Any) -> Line:
    return Line(
        number_of(Kind.ITEM, item["id"]),
        number_of(Kind.PRODUCT, item["product"]["id"]),
        number_of(Kind.CATEGORY, item["product"]["category"]["id"]),
        item["quantity"],
    )
