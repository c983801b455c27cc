"""The shop that every peer holds: the same rows on every machine and in every run.

A row is computed from its number alone, so nothing is stored, any row can be asked for by itself, and a peer may load
the rows in whatever order its own schema likes. References are numbers too; a peer turns a number into its kind of id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

START = datetime(2025, 1, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
ITEMS_PER_ORDER = 3
CENTS = range(100, 10_000)
HOT = 100
"""How many products everybody buys: the first ones, of which there are `PLENTY`."""
PLENTY = 1_000_000_000
SCARCE, FEW = HOT, 50
"""The product behind them, of which there are so few that a rush of buyers must leave most without."""
STATUSES = ("paid", "shipped", "delivered", "returned", "cancelled")
WORDS = (
    "amber birch cedar copper cotton ebony fern flint granite hazel indigo ivory jade juniper larch linen "
    "maple marble moss oak olive onyx opal pearl pine quartz rowan saffron sage slate spruce teal thyme willow"
).split()


class Kind(IntEnum):
    """The five tables, each with its own stream of random numbers and its own pace of ids."""

    CUSTOMER = 1
    CATEGORY = 2
    PRODUCT = 3
    ORDER = 4
    ITEM = 5


MILLISECONDS_APART = {
    Kind.CUSTOMER: 30_000,
    Kind.CATEGORY: 1_000,
    Kind.PRODUCT: 10_000,
    Kind.ORDER: 60_000,
    Kind.ITEM: 60_000 // ITEMS_PER_ORDER,
}


class Customer(NamedTuple):
    """Somebody who buys."""

    number: int
    name: str
    email: str
    created_at: datetime


class Category(NamedTuple):
    """A shelf of the shop."""

    number: int
    name: str
    slug: str
    created_at: datetime


class Product(NamedTuple):
    """Something sold; `price` and `cost` are in cents, and `cost` is nobody's business but the staff's."""

    number: int
    name: str
    slug: str
    description: str
    price: int
    cost: int
    category: int
    stock: int
    created_at: datetime


class Order(NamedTuple):
    """What one customer bought at one time; `total` is in cents."""

    number: int
    customer: int
    status: str
    total: int
    created_at: datetime


class Item(NamedTuple):
    """One line of an order."""

    number: int
    order: int
    product: int
    quantity: int
    price: int
    created_at: datetime


def mix(kind: Kind, number: int, salt: int = 0) -> int:
    """A well stirred 64-bit number for one property of one row (splitmix64)."""
    z = (number * 0x9E3779B97F4A7C15 + kind * 0xD1B54A32D192ED03 + salt * 0x8CB92BA72F3D8DD7) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)


def uuid_of(kind: Kind, number: int) -> UUID:
    """The row's id in the form of a UUID version 7: ordered by number, with random looking ends."""
    milliseconds = START_MS + number * MILLISECONDS_APART[kind]
    low = mix(kind, number, salt=99) & 0x3FFFFFFFFFFFFFFF
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (low & 0xFFF) << 64 | 0b10 << 62 | low)


def number_of(kind: Kind, text: str) -> int:
    """The number behind an id that `uuid_of` made; a ValueError for any other id."""
    number, rest = divmod((UUID(text).int >> 80) - START_MS, MILLISECONDS_APART[kind])
    if rest or uuid_of(kind, number) != UUID(text):
        raise ValueError(f"{text} is not the id of a {kind.name.lower()} of the data set")
    return number


def instant_of(kind: Kind, number: int) -> datetime:
    """When the row was created: the instant inside its id."""
    return START + timedelta(milliseconds=number * MILLISECONDS_APART[kind])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A shop of a given size; scale 1 is the size that the published figures are made with."""

    scale: float = 1.0

    @property
    def customer_count(self) -> int:
        return max(100, round(10_000 * self.scale))

    @property
    def category_count(self) -> int:
        """Fifty, also for larger shops, so that a larger shop has fuller shelves."""
        return max(5, min(50, round(50 * self.scale)))

    @property
    def product_count(self) -> int:
        return max(500, round(20_000 * self.scale))

    @property
    def order_count(self) -> int:
        return max(500, round(50_000 * self.scale))

    @property
    def regular_count(self) -> int:
        """The first customers are regulars with forty orders each; the others share the rest."""
        return self.customer_count // 50

    @property
    def row_count(self) -> int:
        orders = self.order_count
        return self.customer_count + self.category_count + self.product_count + orders * (1 + ITEMS_PER_ORDER)

    def customer(self, number: int) -> Customer:
        name = f"{_word(Kind.CUSTOMER, number, 1).title()} {_word(Kind.CUSTOMER, number, 2).title()}"
        return Customer(number, name, f"customer{number}@example.com", instant_of(Kind.CUSTOMER, number))

    def category(self, number: int) -> Category:
        name = f"{WORDS[number % len(WORDS)].title()} {number}"
        return Category(number, name, name.lower().replace(" ", "-"), instant_of(Kind.CATEGORY, number))

    def product(self, number: int) -> Product:
        words = [_word(Kind.PRODUCT, number, salt) for salt in range(1, 12)]
        name = f"{words[0].title()} {words[1]} {number}"
        price = _price(number)
        return Product(
            number=number,
            name=name,
            slug=name.lower().replace(" ", "-"),
            description=f'Made of {", ".join(words[2:10])} and "{words[10]}", by hand, to last for years.',
            price=price,
            cost=price * 6 // 10,
            category=mix(Kind.PRODUCT, number, 22) % self.category_count,
            stock=_stock(number),
            created_at=instant_of(Kind.PRODUCT, number),
        )

    def order(self, number: int) -> Order:
        first = number * ITEMS_PER_ORDER
        total = sum(self._bought(item)[2] for item in range(first, first + ITEMS_PER_ORDER))
        status = STATUSES[mix(Kind.ORDER, number, 2) % len(STATUSES)]
        return Order(number, self.customer_of(number), status, total, instant_of(Kind.ORDER, number))

    def item(self, number: int) -> Item:
        return Item(number, number // ITEMS_PER_ORDER, *self._bought(number), instant_of(Kind.ITEM, number))

    def customers(self) -> Iterator[Customer]:
        return map(self.customer, range(self.customer_count))

    def categories(self) -> Iterator[Category]:
        return map(self.category, range(self.category_count))

    def products(self) -> Iterator[Product]:
        return map(self.product, range(self.product_count))

    def orders(self) -> Iterator[Order]:
        return map(self.order, range(self.order_count))

    def items(self) -> Iterator[Item]:
        return map(self.item, range(self.order_count * ITEMS_PER_ORDER))

    def customer_of(self, order: int) -> int:
        """Four orders in twenty-five are the regulars' in turn, the others fall on everybody else by chance."""
        batch, place = divmod(order, 25)
        if place < 4:
            return (batch * 4 + place) % self.regular_count
        return self.regular_count + mix(Kind.ORDER, order, 1) % (self.customer_count - self.regular_count)

    def _bought(self, item: int) -> tuple[int, int, int]:
        """Which product, how many, and what they cost together."""
        product = mix(Kind.ITEM, item, 1) % self.product_count
        quantity = 1 + mix(Kind.ITEM, item, 2) % 4
        return product, quantity, _price(product) * quantity


def _price(product: int) -> int:
    return CENTS[mix(Kind.PRODUCT, product, 21) % len(CENTS)]


def _stock(product: int) -> int:
    if product < HOT:
        return PLENTY
    return FEW if product == SCARCE else mix(Kind.PRODUCT, product, 23) % 200


def _word(kind: Kind, number: int, salt: int) -> str:
    return WORDS[mix(kind, number, salt) % len(WORDS)]
