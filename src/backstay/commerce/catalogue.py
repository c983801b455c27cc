"""What is sold: products on shelves, each in one or more variants, which have prices and stock.

Invariant: of a variant `available`, `reserved` and `owed` are never negative, by constraints of the database; what is
on the shelf is `available + reserved`. They change by guarded statements alone (`commerce/stock.py`).
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, Len

from backstay.model.declare import Model, User
from backstay.model.fact import fact
from backstay.model.field import Index
from backstay.model.rule import (
    Many,
    Rules,
    anyone,
    computed,
    field_rule,
    index,
    made_from,
    many,
    nobody,
    not_,
    on_delete,
    searchable,
    unique,
)
from backstay.model.value import URL, Json, Money, Pattern, Slug

STAFF = "staff"
"""The role of those who run the shop."""

Country = Annotated[str, Pattern("[A-Z]{2}"), Len(2, 2)]
"""A country by its two letters (ISO 3166-1): `DE`."""
CurrencyCode = Annotated[str, Pattern("[A-Z]{3}"), Len(3, 3)]
"""A currency by its three letters (ISO 4217): `EUR`."""


class Category(Model):
    """A shelf of the shop; shelves can stand inside others."""

    name: Annotated[str, Len(1, 100)]
    slug: Slug = made_from("name")
    description: Annotated[str, Len(0, 1000)] = ""
    parent: Category | None = None
    position: int = 0
    products: Many[Product] = many()

    def rules(self, me: User) -> Rules:
        """Everybody sees them, the staff changes them."""
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """An address for each."""
        return [unique(self.slug)]


class Product(Model):
    """Something the shop sells, in one variant or more. Nobody but the staff sees it until it is published."""

    name: Annotated[str, Len(1, 200)]
    slug: Slug = made_from("name")
    description: Annotated[str, Len(0, 5000)] = ""
    category: Category | None = None
    tax_class: Annotated[str, Len(1, 40)] = "standard"
    published: bool = False
    variants: Many[Variant] = many()
    media: Many[Medium] = many()

    def rules(self, me: User) -> Rules:
        """Everybody sees what is published, the staff sees and changes all."""
        staff = me.has_role(STAFF)
        return Rules(read=self.published | staff, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """An address for each, lists by category, and search."""
        return [unique(self.slug), index(self.category, self.name), searchable(self.name, self.description)]

    @computed
    def lowest_price(self) -> int | None:
        """What its cheapest variant costs, in minor units of the shop's currency."""
        return self.variants.min(lambda variant: variant.price.amount)

    @computed
    def available(self) -> int:
        """How many there are to be sold now, of all variants together."""
        return self.variants.sum(lambda variant: variant.available)


class Variant(Model):
    """What is really bought: a product in one size, colour or kind, with its price, its weight and its stock."""

    product: Annotated[Product, on_delete("cascade")]
    sku: Annotated[str, Len(1, 64)]
    name: Annotated[str, Len(0, 200)] = ""
    options: Json | None = None
    """What makes it this one: `{"size": "M", "colour": "blue"}`."""
    price: Annotated[Money, Ge(0)]
    cost: Annotated[Money, Ge(0)] | None = None
    weight_g: Annotated[int, Ge(0), Le(10_000_000)] = 0
    position: int = 0
    available: Annotated[int, Ge(0)] = 0
    """How many can be sold now. Goods come and go with `POST /api/variants/{id}/stock`."""
    reserved: Annotated[int, Ge(0)] = 0
    """How many are on the shelf for orders that are not paid yet."""
    owed: Annotated[int, Ge(0)] = 0
    """How many were sold, or are reserved, before they were there."""
    tracked: bool = True
    """Whether its stock is counted at all; a download has none."""
    backorder: bool = False
    """Whether it can be sold while there is none."""
    low_at: Annotated[int, Ge(0)] | None = None
    """With so many left, or fewer, the shop is told: the fact `Variant.low`."""
    prices: Many[Price] = many()

    low = fact()

    def rules(self, me: User) -> Rules:
        """As its product; what it cost the shop, and what others have reserved, is the staff's business."""
        staff = me.has_role(STAFF)
        return Rules(
            read=self.product.published | staff, create=staff, update=staff, delete=staff,
            fields=[
                field_rule(self.cost, read=staff), field_rule(self.low_at, read=staff),
                field_rule(self.available, write=nobody), field_rule(self.reserved, read=staff, write=nobody),
                field_rule(self.owed, read=staff, write=nobody),
            ],
        )  # fmt: skip

    def indexes(self) -> list[Index]:
        """A number for each."""
        return [unique(self.sku), index(self.product, self.position)]

    @computed
    def on_hand(self) -> int:
        """How many are on the shelf."""
        return self.available + self.reserved

    @computed
    def buyable(self) -> bool:
        """Whether one can be bought now."""
        return (self.available > 0) | self.backorder | not_(self.tracked)


class Price(Model):
    """What a variant costs in another currency than the shop's own."""

    variant: Annotated[Variant, on_delete("cascade")]
    currency: CurrencyCode
    amount: Annotated[int, Ge(0)]

    def rules(self, me: User) -> Rules:
        """As its product."""
        staff = me.has_role(STAFF)
        return Rules(read=self.variant.product.published | staff, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """One price in each currency."""
        return [unique(self.variant, self.currency)]


class Medium(Model):
    """A picture of a product, by its address."""

    product: Annotated[Product, on_delete("cascade")]
    url: URL
    alt: Annotated[str, Len(0, 300)] = ""
    position: int = 0

    def rules(self, me: User) -> Rules:
        """As its product."""
        staff = me.has_role(STAFF)
        return Rules(read=self.product.published | staff, create=staff, update=staff, delete=staff)


class StockMovement(Model):
    """One line of the stock ledger: what changed on a shelf, and why. Lines are added, and never changed."""

    variant: Variant
    available: int = 0
    reserved: int = 0
    owed: int = 0
    reason: Annotated[str, Pattern("opening|received|counted|lost|reserved|released|sold|returned"), Len(1, 20)]
    order: Annotated[str, Len(0, 40)] = ""
    """The number of the order that it was for."""
    note: Annotated[str, Len(0, 500)] = ""
    by: User | None = None

    def rules(self, me: User) -> Rules:
        """The staff reads it."""
        return Rules(read=me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """The history of one variant, and of one order."""
        return [index(self.variant, self.created_at), index(self.order)]


def name_of(variant: Variant) -> str:
    """What people call a variant, whose product is loaded."""
    return f"{variant.product.name}, {variant.name}" if variant.name else variant.product.name
