"""How an answer of Backstay's REST contract is asked for and read; the hand-written handlers speak it too."""

from typing import Any

from benchmarks.dataset import Kind, number_of, uuid_of
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
        case NewReview():
            return "/api/reviews"
        case Purchase():
            return "/api/purchase"


def body(question: Question) -> Any:
    """What is posted."""
    match question:
        case NewReview(_, product, stars, text):
            return {"product": str(uuid_of(Kind.PRODUCT, product)), "stars": stars, "text": text}
        case Purchase(_, lines):
            items = [{"product": str(uuid_of(Kind.PRODUCT, product)), "quantity": n} for product, n in lines]
            return {"items": items}
    return None


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
        case NewReview():
            return ReviewAnswer(number_of(Kind.PRODUCT, body["product"]), body["stars"], body["text"])
        case Purchase():
            return PurchaseAnswer(body["status"], body["total"]["amount"])


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
