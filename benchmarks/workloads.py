"""What is asked and written: the requests of each workload, and the answers that the data set itself gives to them.

The requests are the same for every peer. The answers are reduced to what has to agree (which rows, in which order, how
nested), and are worked out here from the data set by plain loops, so a peer that answers something else is found out.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from benchmarks.dataset import HOT, ITEMS_PER_ORDER, SCARCE, WORDS, Dataset

PAGE = 30
ORDERS_PAGE = 20
SIGNED_IN = 200
RUSH = 640
"""So many buyers come at once for the product of which there are few."""


class Workload(StrEnum):
    """The workloads, those that write last, since the shop changes under them."""

    W1 = "W1"
    W2 = "W2"
    W2B = "W2b"
    W3 = "W3"
    W4 = "W4"
    W5 = "W5"
    W5ONE = "W5one"


WRITING = (Workload.W4, Workload.W5, Workload.W5ONE)
BUYING = (Workload.W5, Workload.W5ONE)


DESCRIPTIONS = {
    Workload.W1: "one product by id, anonymous",
    Workload.W2: "thirty products by category and price range, sorted by price",
    Workload.W2B: "the same with the exact count",
    Workload.W3: "twenty newest orders of the signed-in customer with items, each item's product and its category",
    Workload.W4: "create a review of a product, signed in and validated",
    Workload.W5: "purchase of three of 100 products: stock down, never below zero, order and items in, one transaction",
    Workload.W5ONE: "purchase of the one product that everybody buys",
}


@dataclass(frozen=True, slots=True)
class ProductById:
    """W1."""

    product: int


@dataclass(frozen=True, slots=True)
class ProductsByPrice:
    """W2, and W2b when counted: thirty products with low <= price < high, by price and then by id."""

    category: int
    low: int
    high: int
    counted: bool


@dataclass(frozen=True, slots=True)
class OrdersOf:
    """W3: the newest orders of the customer who asks."""

    customer: int


@dataclass(frozen=True, slots=True)
class NewReview:
    """W4: what the customer who asks says of a product."""

    customer: int
    product: int
    stars: int
    text: str


@dataclass(frozen=True, slots=True)
class Purchase:
    """W5 and W5one: what the customer who asks buys, product and quantity."""

    customer: int
    lines: tuple[tuple[int, int], ...]


Question = ProductById | ProductsByPrice | OrdersOf | NewReview | Purchase


@dataclass(frozen=True, slots=True)
class ProductAnswer:
    """One product, and the three values that show it is whole."""

    product: int
    name: str
    price: int
    category: int


@dataclass(frozen=True, slots=True)
class ProductsAnswer:
    """Products in the order given; `total` only where it was asked for."""

    products: tuple[int, ...]
    total: int | None


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """An item of an order with what is nested in it: its product, and that product's category."""

    item: int
    product: int
    category: int
    quantity: int


@dataclass(frozen=True, slots=True)
class OrdersAnswer:
    """Orders in the order given, each with its lines by item."""

    orders: tuple[tuple[int, tuple[Line, ...]], ...]


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """The review as it was stored."""

    product: int
    stars: int
    text: str


@dataclass(frozen=True, slots=True)
class PurchaseAnswer:
    """The order that was made, and what it costs."""

    status: str
    total: int


Answer = ProductAnswer | ProductsAnswer | OrdersAnswer | ReviewAnswer | PurchaseAnswer


def questions(workload: Workload, dataset: Dataset) -> list[Question]:
    """The questions of a workload, always the same for the same data set."""
    chance = random.Random(f"{workload.value[:2]} {dataset.scale}")
    if workload is Workload.W1:
        return [ProductById(chance.randrange(dataset.product_count)) for _ in range(8_000)]
    if workload is Workload.W3:
        return [OrdersOf(number) for number in chance.sample(signed_in(dataset), len(signed_in(dataset)))]
    if workload in WRITING:
        make = {Workload.W4: _review, Workload.W5: _purchase, Workload.W5ONE: _purchase_of_one}[workload]
        return [make(chance, dataset, chance.choice(signed_in(dataset))) for _ in range(4_000)]
    return [_products_by_price(chance, dataset, workload is Workload.W2B) for _ in range(4_000)]


def signed_in(dataset: Dataset) -> Sequence[int]:
    """The customers who are signed in: regulars, since theirs are the long histories."""
    return range(min(SIGNED_IN, dataset.regular_count))


def rush(dataset: Dataset) -> list[Purchase]:
    """One piece each of what there is too little of."""
    buyers = signed_in(dataset)
    return [Purchase(buyers[number % len(buyers)], ((SCARCE, 1),)) for number in range(RUSH)]


def customer_of(question: Question) -> int | None:
    """Who is signed in to ask it; nobody where it is asked by anybody."""
    return question.customer if isinstance(question, (OrdersOf, NewReview, Purchase)) else None


def _review(chance: random.Random, dataset: Dataset, customer: int) -> NewReview:
    product = chance.randrange(dataset.product_count)
    text = f"{dataset.product(product).name}: " + " ".join(chance.choices(WORDS, k=chance.randrange(5, 30)))
    return NewReview(customer, product, chance.randrange(1, 6), text)


def _purchase(chance: random.Random, dataset: Dataset, customer: int) -> Purchase:
    return Purchase(customer, tuple((product, chance.randrange(1, 4)) for product in chance.sample(range(HOT), 3)))


def _purchase_of_one(chance: random.Random, dataset: Dataset, customer: int) -> Purchase:
    return Purchase(customer, ((0, chance.randrange(1, 4)),))


def _products_by_price(chance: random.Random, dataset: Dataset, counted: bool) -> ProductsByPrice:
    low = chance.randrange(100, 5_000)
    return ProductsByPrice(chance.randrange(dataset.category_count), low, low + chance.randrange(2_000, 5_000), counted)


@dataclass(frozen=True)
class Oracle:
    """Answers every question from the data set, slowly and plainly."""

    dataset: Dataset

    def answer(self, question: Question) -> Answer:
        """What a peer has to answer."""
        match question:
            case ProductById(number):
                product = self.dataset.product(number)
                return ProductAnswer(number, product.name, product.price, product.category)
            case ProductsByPrice(category, low, high, counted):
                found = [number for price, number in self._shelves[category] if low <= price < high]
                return ProductsAnswer(tuple(found[:PAGE]), len(found) if counted else None)
            case OrdersOf(customer):
                newest = self._histories[customer][::-1][:ORDERS_PAGE]
                return OrdersAnswer(tuple((order, self._lines(order)) for order in newest))
            case NewReview(_, product, stars, text):
                return ReviewAnswer(product, stars, text)
            case Purchase(_, lines):
                return PurchaseAnswer("paid", sum(self.dataset.product(product).price * n for product, n in lines))

    def _lines(self, order: int) -> tuple[Line, ...]:
        first = order * ITEMS_PER_ORDER
        items = [self.dataset.item(number) for number in range(first, first + ITEMS_PER_ORDER)]
        return tuple(
            Line(item.number, item.product, self.dataset.product(item.product).category, item.quantity)
            for item in items
        )

    @cached_property
    def _shelves(self) -> dict[int, list[tuple[int, int]]]:
        shelves: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for product in self.dataset.products():
            shelves[product.category].append((product.price, product.number))
        for shelf in shelves.values():
            shelf.sort()
        return shelves

    @cached_property
    def _histories(self) -> dict[int, list[int]]:
        histories: dict[int, list[int]] = defaultdict(list)
        for order in range(self.dataset.order_count):
            histories[self.dataset.customer_of(order)].append(order)
        return histories
