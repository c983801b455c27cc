"""What changes a price: discount codes, ways to ship, and taxes. The sums are made by `commerce/pricing.py`.

Invariant: how often a code may still be used is a number that the database keeps from falling below zero, and one
customer's uses of it are numbered and unique: no race can use a code more often than it allows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

from backstay.commerce.catalogue import STAFF
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Many, Rules, anyone, index, many, on_delete, unique
from backstay.model.value import Money, Pattern


class Discount(Model):
    """A code that lowers what a cart costs."""

    code: Annotated[str, Pattern("[A-Z0-9_-]+"), Len(1, 40)]
    """As it is compared: in capitals."""
    kind: Literal["percent", "fixed", "free_shipping"]
    percent: Annotated[int, Ge(0), Le(10_000)] = 0
    """In hundredths of a percent: 1000 are 10 %."""
    amount: Annotated[Money, Ge(0)] | None = None
    minimum: Annotated[Money, Ge(0)] | None = None
    """What the lines must come to at least."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    left: Annotated[int, Ge(0)] | None = None
    """How often it can still be used; as often as anybody likes where there is no number."""
    per_customer: Annotated[int, Ge(1)] | None = None
    active: bool = True
    uses: Many[DiscountUse] = many()

    def rules(self, me: User) -> Rules:
        """Codes are the staff's; who has one, knows it."""
        staff = me.has_role(STAFF)
        return Rules(read=staff, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """A code names one discount."""
        return [unique(self.code)]


class DiscountUse(Model):
    """One use of a code by one customer, for one order."""

    discount: Annotated[Discount, on_delete("cascade")]
    who: Annotated[str, Len(1, 300)]
    """The account of the customer, or the address of a guest."""
    number: Annotated[int, Ge(1)]
    """Which of their uses it is."""
    order: Annotated[str, Len(1, 40)]

    def rules(self, me: User) -> Rules:
        """The staff reads them."""
        return Rules(read=me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """Each use of a customer once."""
        return [unique(self.discount, self.who, self.number), index(self.order)]


class ShippingMethod(Model):
    """A way that goods can go to a customer."""

    name: Annotated[str, Len(1, 100)]
    tax_class: Annotated[str, Len(1, 40)] = "standard"
    active: bool = True
    position: int = 0
    rates: Many[ShippingRate] = many()

    def rules(self, me: User) -> Rules:
        """Everybody sees them, the staff changes them."""
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)


class ShippingRate(Model):
    """What a way to ship costs into a country, up to a weight, from what total on. The first that fits counts."""

    method: Annotated[ShippingMethod, on_delete("cascade")]
    country: Annotated[str, Pattern(r"[A-Z]{2}|\*"), Len(1, 2)] = "*"
    """Two letters, or `*` for every country that has no rates of its own."""
    up_to_g: Annotated[int, Ge(0)] | None = None
    from_total: Annotated[int, Ge(0)] | None = None
    """In minor units of the price's currency."""
    price: Annotated[Money, Ge(0)]

    def rules(self, me: User) -> Rules:
        """Everybody sees them, the staff changes them."""
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """The rates of a method into a country."""
        return [index(self.method, self.country)]


class TaxRate(Model):
    """What a country takes of a class of goods."""

    country: Annotated[str, Pattern(r"[A-Z]{2}|\*"), Len(1, 2)]
    tax_class: Annotated[str, Len(1, 40)] = "standard"
    rate: Annotated[int, Ge(0), Le(100_000)]
    """In hundredths of a percent: 1900 are 19 %."""
    name: Annotated[str, Len(0, 60)] = ""

    def rules(self, me: User) -> Rules:
        """Everybody sees them, the staff changes them."""
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        """One rate for a class in a country."""
        return [unique(self.country, self.tax_class)]
