"""A shop made for questions: every kind of field, relation and rule, and few enough rows to check an answer by hand.

Invariant: nothing in it depends on the day or the machine. Ids, instants and the clock are fixed; names hold umlauts,
accents, both cases, an emoji and the signs of SQL patterns, so that an answer shows how text compares and folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len

from backstay import (
    App,
    BigInt,
    Currency,
    Digits,
    Index,
    Json,
    Many,
    Model,
    Money,
    Rules,
    Slug,
    User,
    anyone,
    choose,
    coalesce,
    computed,
    current_user,
    field,
    index,
    is_null,
    made_from,
    many,
    nobody,
    now,
    on_delete,
    searchable,
    sequence,
    unique,
)
from backstay.plan.ask import Create

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STAFF = "staff"
Euro = Annotated[Money, Currency("EUR")]


class Customer(User):
    """Somebody who buys; customers see themselves, the staff sees everybody."""

    city: str | None = None
    born: date | None = None
    orders: Many[Order] = many()

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        return Rules(
            read=(self == me) | staff, fields=[field(self.disabled, read=staff), field(self.roles, read=staff)]
        )


class Category(Model):
    """A shelf; shelves stand inside others."""

    name: str
    slug: Slug = made_from("name")
    parent: Category | None = None
    children: Many[Category] = many(via="parent")
    products: Many[Product] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)

    def indexes(self) -> list[Index]:
        return [unique(self.slug)]


class ProductLabel(Model):
    """A label on a product; a hidden one is for the staff."""

    product: Annotated[Product, on_delete("cascade")]
    label: Annotated[Label, on_delete("cascade")]
    hidden: bool = False

    def rules(self, me: User) -> Rules:
        return Rules(read=~self.hidden | me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        return [unique(self.product, self.label)]


class Label(Model):
    """Something said about many products; internal ones are for the staff."""

    name: str
    internal: bool = False
    products: Many[Product] = many(through=ProductLabel)

    def rules(self, me: User) -> Rules:
        return Rules(read=~self.internal | me.has_role(STAFF))


class Product(Model):
    """Something on sale: drafts, and what is not released yet, are seen by the staff alone."""

    name: Annotated[str, Len(1, 200)]
    slug: Slug = made_from("name")
    subtitle: str | None = None
    kind: Literal["tea", "ware", "book"]
    state: Literal["draft", "published"] = "draft"
    price: Annotated[Money, Currency("EUR"), Ge(0)]
    cost: Annotated[Money, Currency("EUR"), Ge(0)]
    deposit: Money | None = None
    weight: Annotated[Decimal, Digits(8, 3)] | None = None
    stock: Annotated[int, Ge(0)] = 0
    origin: str | None = None
    fair_trade: bool = False
    rating: float | None = None
    harvested: date | None = None
    released_at: datetime | None = None
    brewing: timedelta | None = None
    barcode: BigInt | None = None
    tags: list[str] = []  # noqa: RUF012 - a default, taken out of the class when it is made
    attributes: Json | None = None
    category: Category
    reviews: Many[Review] = many()
    items: Many[OrderItem] = many()
    labels: Many[Label] = many(through=ProductLabel)
    related: Many[Product] = many(through=True)

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        out = is_null(self.released_at) | (self.released_at <= now())
        return Rules(read=((self.state == "published") & out) | staff, fields=[field(self.cost, read=staff)])

    def indexes(self) -> list[Index]:
        return [unique(self.slug), index(self.category, self.price), searchable(self.name, self.subtitle)]

    @computed
    def available(self) -> bool:
        """Whether it can be bought now."""
        return self.stock > 0

    @computed
    def stock_value(self) -> Money:
        """What stands on the shelf, at its price."""
        return self.price * self.stock

    @computed
    def review_count(self) -> int:
        """How many reviews there are, with those that nobody is shown."""
        return self.reviews.count()

    @computed
    def caption(self) -> str:
        """The name, and what stands below it."""
        return self.name + ": " + coalesce(self.subtitle, "-")

    @computed
    def speed(self) -> str:
        """How long it takes, in words."""
        quick = coalesce(self.brewing, timedelta()) < timedelta(minutes=3)
        return choose(is_null(self.brewing), "none", choose(quick, "quick", "slow"))


class Order(Model):
    """What a customer bought; the note is for the customer's own eyes, even where the staff sees the order."""

    number: int = sequence("order")
    customer: Customer = current_user()
    status: Literal["pending", "paid", "fulfilled", "cancelled"] = "pending"
    total: Money
    discount: Euro | None = None
    placed_at: datetime
    paid_at: datetime | None = None
    gift: bool = False
    note: str | None = None
    items: Many[OrderItem] = many()

    def rules(self, me: User) -> Rules:
        mine = self.customer == me
        return Rules(read=mine | me.has_role(STAFF), fields=[field(self.note, read=mine)])

    def indexes(self) -> list[Index]:
        return [unique(self.number), index(self.customer, self.placed_at)]

    @computed
    def goods(self) -> Money:
        """The sum of its lines."""
        return self.items.sum(lambda item: item.price * item.quantity)


class OrderItem(Model):
    """One line of an order, at the price of that day."""

    order: Annotated[Order, on_delete("cascade")]
    product: Product
    quantity: Annotated[int, Ge(1)]
    price: Euro

    def rules(self, me: User) -> Rules:
        return Rules(read=(self.order.customer == me) | me.has_role(STAFF))


class Review(Model):
    """What a customer thinks; hidden ones are for their author and the staff, and so is the private remark."""

    product: Product
    author: Customer = current_user()
    stars: Annotated[int, Ge(1), Le(5)]
    text: str
    hidden: bool = False
    remark: str | None = None

    def rules(self, me: User) -> Rules:
        mine = (self.author == me) | me.has_role(STAFF)
        return Rules(read=~self.hidden | mine, fields=[field(self.remark, read=mine)])

    def indexes(self) -> list[Index]:
        return [unique(self.product, self.author), searchable(self.text)]


class Message(Model):
    """The contact form: anybody may write, the staff reads."""

    text: str

    def rules(self, me: User) -> Rules:
        return Rules(create=anyone, read=me.has_role(STAFF))


class AuditEntry(Model):
    """Kept for later, and read by nobody."""

    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=nobody)


MODELS: list[type[Model]] = [
    Customer, Category, ProductLabel, Label, Product, Order, OrderItem, Review, Message, AuditEntry,
]  # fmt: skip


def make_app() -> App:
    """The application; each database has one of its own."""
    return App("golden-shop", models=MODELS)


PEOPLE = {"ada": 1, "bjorn": 2, "chloe": 3, "sam": 4}

_GROUPS = ("Customer", "Category", "Label", "Product", "ProductLabel", "ProductRelated", "Order", "OrderItem",
           "Review", "Message", "AuditEntry")  # fmt: skip


def key(model: str, number: int) -> str:
    """The id of a row: `product 5` is 00000004-0000-7000-8000-000000000005."""
    return f"{_GROUPS.index(model) + 1:08x}-0000-7000-8000-{number:012d}"


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def rows() -> Iterator[Create]:
    """Every row, those that others refer to first."""
    for model in _GROUPS:
        for number, values in enumerate(_ROWS[model](), start=1):
            made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
            yield Create(model, {"created_at": made, "updated_at": made, **values}, key(model, number))


def _customers() -> Iterator[dict[str, Any]]:
    for email, name, city, born, roles in (
        ("ada@example.com", "Ada", "Berlin", "1985-12-10", []),
        ("bjorn@example.com", "Björn", "Zürich", "1990-02-28", []),
        ("chloe@example.com", "Chloé", None, None, []),
        ("sam@example.com", "Sam", "Berlin", "1979-07-01", [STAFF]),
    ):
        born_on = date.fromisoformat(born) if born else None
        yield {"email": email, "name": name, "city": city, "born": born_on, "roles": roles}


def _categories() -> Iterator[dict[str, Any]]:
    for name, slug, parent in (
        ("Tea", "tea", None),  # 1
        ("Green tea", "green-tea", 1),
        ("Black tea", "black-tea", 1),
        ("Ähren & Kräuter", "ahren-krauter", 1),
        ("Ware", "ware", None),  # 5
        ("Teapots", "teapots", 5),
        ("Cups", "cups", 5),
        ("Books", "books", None),
        ("Émile's choice", "emiles-choice", 8),
        ("Zubehör", "zubehor", None),  # 10, empty
    ):
        yield {"name": name, "slug": slug, "parent": key("Category", parent) if parent else None}


def _labels() -> Iterator[dict[str, Any]]:
    for name in ("bio", "Neu", "Ökotest", "do not advertise", "unused"):
        yield {"name": name, "internal": name == "do not advertise"}


def _products() -> Iterator[dict[str, Any]]:
    for line in _PRODUCTS:
        (name, category, kind, state, price, cost, weight, stock, origin, fair, rating, harvested, released, brewing,
         tags, more) = line  # fmt: skip
        yield {
            "name": name, "category": key("Category", category), "kind": kind, "state": state,
            "price": Money(price, "EUR"), "cost": Money(cost, "EUR"), "stock": stock, "origin": origin,
            "weight": None if weight is None else Decimal(weight), "fair_trade": fair, "rating": rating,
            "harvested": None if harvested is None else date.fromisoformat(harvested),
            "released_at": _instant(released), "brewing": None if brewing is None else timedelta(seconds=brewing),
            "tags": tags, **more,
        }  # fmt: skip


_PRODUCTS: tuple[Any, ...] = (
    ("Assam", 3, "tea", "published", 790, 310, "0.250", 40, "India", True, 4.5, "2025-06-10", "2025-09-01T08:00",
     240, ["black", "classic"],
     {"barcode": 4006381333931, "subtitle": "Malzig", "attributes": {"notes": ["malty", "süß"], "caffeine": True}}),
    ("assam gold", 3, "tea", "published", 1490, 700, "0.100", 0, "India", False, 4.0, "2025-05-02",
     "2025-10-15T22:30", 240, ["black"], {}),
    ("Ährentee Café", 4, "tea", "published", 650, 200, "0.150", 12, None, True, None, None, None, 480,
     ["herbal", "café"], {"subtitle": "Ohne Koffein"}),
    ("Éclair tea", 3, "tea", "published", 890, 410, None, 5, "France", False, 3.25, None, "2026-01-31T23:59", 180,
     ["black", "classic"], {}),
    ("Grüner Sencha", 2, "tea", "published", 1190, 500, "0.200", 25, "Japan", True, 5.0, "2026-05-01",
     "2026-05-20T06:00", 90.5, ["green", "bio"], {"subtitle": "Der grüne Tee für jeden Tag"}),
    ("Grüner Sencha Kagoshima", 2, "tea", "published", 1990, 900, "0.100", 3, "Japan", True, 4.5, "2026-04-20",
     "2026-05-20T06:00", 75, ["green", "bio"], {}),
    ("Gyokuro", 2, "tea", "draft", 3900, 2100, "0.050", 1, "Japan", False, None, "2026-05-10", None, 120,
     ["green"], {"subtitle": "Schattentee"}),  # 7, a draft
    ("Matcha 🍵", 2, "tea", "published", 2490, 1300, "0.040", 8, "Japan", False, 4.0, "2026-04-01", None, 15,
     ["green", "🍵"], {"barcode": 9007199254740993}),
    ("Darjeeling First Flush", 3, "tea", "published", 2290, 1100, "0.100", 30, "India", True, None, "2026-03-15",
     "2026-07-01T00:00", 150, ["black", "bio"], {}),  # 9, not released yet
    ("100% Kamille", 4, "tea", "published", 390, 90, "0.075", 200, "Germany", False, 2.5, None, None, 600,
     ["herbal"], {"attributes": []}),
    ("100_Blüten", 4, "tea", "published", 420, 130, "0.075", 0, "Germany", False, 3.0, None, None, 600,
     ["herbal"], {}),
    ("1001 Nacht", 4, "tea", "published", 450, 140, "0.075", 9, None, False, None, None, None, 300, [], {}),
    ("Tetsubin", 6, "ware", "published", 12900, 8000, "2.500", 2, "Japan", False, 4.75, None, None, None, [],
     {"deposit": Money(2000, "JPY"), "subtitle": "Gusseisen, für grünen Tee"}),
    ("Glass pot", 6, "ware", "published", 2490, 1200, "0.800", 7, "China", False, None, None, None, None,
     ["classic"], {"deposit": Money(500, "EUR")}),
    ("Kännchen für Zwei", 6, "ware", "published", 1990, 800, "0.650", 0, "Germany", False, 4.25, None,
     "2026-06-01T12:00", None, [], {"deposit": Money(500, "CHF")}),  # 15, released at this very moment
    ("Cup, white", 7, "ware", "published", 690, 250, "0.180", 60, "China", False, 3.0, None, None, None, [],
     {"deposit": Money(100, "EUR")}),
    ('Cup, "Delft" \\ blue', 7, "ware", "published", 790, 260, "0.180", 15, "Netherlands", True, 4.0, None, None,
     None, ["classic"], {}),
    ("Prototype cup", 7, "ware", "draft", 100, 90, None, 0, None, False, None, None, None, None, [], {}),  # 18, a draft
    ("The Book of Tea", 8, "book", "published", 1250, 600, "0.320", 11, "Japan", False, 4.5, None,
     "2025-11-11T11:11", None, ["classic"], {"barcode": 9780804832199, "attributes": {"pages": 128}}),
    ("Zen & Tee: l'Art du thé", 9, "book", "published", 990, 450, "0.210", 4, "France", False, None, None, None,
     None, [], {"subtitle": "Über den grünen Tee"}),
)  # fmt: skip


def _product_labels() -> Iterator[dict[str, Any]]:
    for product, label, hidden in (
        (5, 1, False), (6, 1, False), (8, 1, False), (10, 1, False), (8, 2, False), (5, 3, False), (6, 2, True),
        (1, 3, False), (13, 4, False), (7, 2, False),
    ):  # fmt: skip
        yield {"product": key("Product", product), "label": key("Label", label), "hidden": hidden}


def _related() -> Iterator[dict[str, Any]]:
    for one, other in ((1, 2), (1, 3), (5, 8), (5, 6), (5, 7), (13, 14), (6, 5)):
        yield {"product": key("Product", one), "other_product": key("Product", other)}


_ORDERS: tuple[Any, ...] = (
    # customer, status, total, discount, placed, paid, gift, note, lines: product, quantity, price
    (1, "fulfilled", (1580, "EUR"), None, "2026-03-01T09:00", "2026-03-01T09:05", False, None, ((1, 2, 790),)),
    (1, "paid", (3680, "EUR"), 200, "2026-03-15T18:30", "2026-03-16T07:00", True, "Bitte schön verpacken",
     ((5, 1, 1190), (8, 1, 2490))),
    (2, "fulfilled", (14500, "CHF"), None, "2026-03-31T23:30", "2026-04-01T00:30", False, None,
     ((13, 1, 12900), (16, 2, 690))),
    (3, "cancelled", (650, "EUR"), None, "2026-04-02T10:00", None, False, "Doch nicht", ((3, 1, 650),)),
    (2, "paid", (2980, "CHF"), 0, "2026-04-11T12:00", "2026-04-11T12:00", True, None, ((6, 1, 1990), (19, 1, 990))),
    (1, "pending", (2490, "EUR"), None, "2026-05-05T05:05", None, False, "Klingel defekt", ((14, 1, 2490),)),
    (3, "fulfilled", (4500, "JPY"), None, "2026-05-09T16:45", "2026-05-10T01:00", False, None, ((12, 10, 450),)),
    (1, "fulfilled", (3900, "EUR"), 390, "2026-05-20T20:20", "2026-05-20T20:21", False, None, ((7, 1, 3900),)),
    (2, "pending", (690, "EUR"), None, "2026-05-31T22:00", None, False, "Für das Büro", ((16, 1, 690),)),
    (3, "paid", (1640, "EUR"), 100, "2026-06-01T08:00", "2026-06-01T08:01", True, None,
     ((1, 1, 790), (3, 1, 650), (11, 1, 420))),
)  # fmt: skip


def _orders() -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_ORDERS, start=1001):
        customer, status, (amount, currency), discount, placed, paid, gift, note, _ = line
        yield {
            "number": number, "customer": key("Customer", customer), "status": status,
            "total": Money(amount, currency), "discount": None if discount is None else Money(discount, "EUR"),
            "placed_at": _instant(placed), "paid_at": _instant(paid), "gift": gift, "note": note,
        }  # fmt: skip


def _order_items() -> Iterator[dict[str, Any]]:
    for order, line in enumerate(_ORDERS, start=1):
        for product, quantity, price in line[-1]:
            yield {"order": key("Order", order), "product": key("Product", product), "quantity": quantity,
                   "price": Money(price, "EUR")}  # fmt: skip


def _reviews() -> Iterator[dict[str, Any]]:
    for product, author, stars, text, hidden, remark in (
        (1, 1, 5, "Kräftig und malzig, wie früher.", False, "aus dem Büro geschrieben"),
        (1, 3, 4, "Très bon thé", False, None),
        (1, 2, 2, "Spam spam spam", True, "gesperrt"),
        (5, 1, 5, "Grüner geht es nicht 🍵", False, None),
        (5, 2, 5, "Frisch", False, "Muster war gratis"),
        (6, 2, 4, "Gut, aber teuer", False, None),
        (8, 1, 3, "Bitter", False, "zu heiß aufgegossen"),
        (8, 3, 5, "Magnifique!", False, None),
        (13, 2, 5, "Ein Erbstück. 100% Eisen", False, None),
        (16, 2, 1, "Broken on arrival", False, None),
        (16, 1, 3, "ok", False, None),
        (3, 3, 2, "Hidden opinion", True, None),
        (7, 1, 5, "Bought before it was a draft again", False, None),
        (10, 3, 2, "Schmeckt nach Heu", False, None),
        (19, 2, 4, "A classic", False, None),
        (17, 1, 4, "Blue as the sea", False, None),
    ):
        yield {"product": key("Product", product), "author": key("Customer", author), "stars": stars, "text": text,
               "hidden": hidden, "remark": remark}  # fmt: skip


def _texts(*texts: str) -> Any:
    return lambda: ({"text": text} for text in texts)


_ROWS: dict[str, Any] = {
    "Customer": _customers, "Category": _categories, "Label": _labels, "Product": _products,
    "ProductLabel": _product_labels, "ProductRelated": _related, "Order": _orders, "OrderItem": _order_items,
    "Review": _reviews, "Message": _texts("Where is my parcel?", "Do you deliver to Zürich?"),
    "AuditEntry": _texts("opened"),
}  # fmt: skip
