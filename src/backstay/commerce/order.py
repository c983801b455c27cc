"""Orders: what was bought, frozen as it was then, with its payment, its refunds and everything that happened to it.

Invariant: an order, its payment and its refunds change by guarded transitions alone (`move`): from a state that is
named, to one that may follow it. A payment belongs to one order, and what can still be given back of it, or of one
line, is a number that the database keeps from falling below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le, Len

from backstay.commerce.catalogue import STAFF, Country, Variant
from backstay.errors import Conflict, Problem
from backstay.model.declare import Model, User
from backstay.model.fact import fact
from backstay.model.field import Index
from backstay.model.rule import (
    Many,
    Rules,
    field_rule,
    index,
    many,
    nobody,
    now,
    on_delete,
    one_of,
    sequence,
    unique,
)
from backstay.model.value import Email, Encrypted, Json, Money
from backstay.store.transaction import Transaction

CART_TOKEN = "X-Cart-Token"
"""The header with the secret of a guest's cart; it opens the orders that came of the cart, too."""
ORDER_TOKEN = "X-Order-Token"
"""The header with the secret of the link that a guest was mailed; it opens one order, for a time."""

OrderStatus: TypeAlias = Literal[
    "pending", "authorized", "paid", "fulfilled", "cancelled", "refunded", "partially_refunded", "failed"
]
PaymentStatus: TypeAlias = Literal[
    "pending", "action_needed", "unknown", "authorized", "captured", "declined", "voided", "none"
]
RefundStatus: TypeAlias = Literal["pending", "done", "failed"]

_NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    "pending": frozenset({"authorized", "paid", "failed", "cancelled"}),
    "authorized": frozenset({"paid", "failed", "cancelled"}),
    "paid": frozenset({"fulfilled", "cancelled", "partially_refunded", "refunded"}),
    "fulfilled": frozenset({"partially_refunded", "refunded"}),
    "partially_refunded": frozenset({"fulfilled", "refunded"}),
    "cancelled": frozenset(),
    "refunded": frozenset(),
    "failed": frozenset(),
}
"""Which states may follow which. What was paid for an order that is cancelled goes back by a refund."""


class Payment(Model):
    """What one order costs, at one provider. Its id is what the provider's idempotency keys begin with."""

    provider: Annotated[str, Len(0, 40)]
    method: Annotated[str, Len(0, 100)] = ""
    status: PaymentStatus = "pending"
    amount: Annotated[Money, Ge(0)]
    captured: Annotated[int, Ge(0)] = 0
    refundable: Annotated[int, Ge(0)] = 0
    """What was captured and not given back, nor is about to be, in minor units."""
    refunded: Annotated[int, Ge(0)] = 0
    """What was given back."""
    reference: Annotated[str, Len(0, 255)] = ""
    """What the provider calls it."""
    client_secret: Encrypted[str] | None = None
    approve_url: Encrypted[str] | None = None
    reason: Annotated[str, Len(0, 60)] = ""
    """Why it was declined."""
    orders: Many[Order] = many()

    def rules(self, me: User) -> Rules:
        """Whoever may see the order sees how it was paid."""
        staff = me.has_role(STAFF)
        theirs = self.orders.some(lambda order: _is_of(order, me))
        return Rules(
            read=theirs | staff,
            fields=[field_rule(self.refundable, read=staff), field_rule(self.reference, read=staff)],
        )  # fmt: skip


class Order(Model):
    """What a customer bought, or is about to: prices, taxes and address as they were then."""

    number: int = sequence("order")
    status: OrderStatus = "pending"
    customer: User | None = None
    email: Email
    language: Annotated[str, Len(2, 5)] = "en"
    country: Country
    shipping_address: Json
    shipping_name: Annotated[str, Len(0, 100)] = ""
    code: Annotated[str, Len(0, 40)] = ""
    """The discount code that was used."""
    subtotal: Money
    """What the lines come to, as their prices are shown."""
    discount: Annotated[Money, Ge(0)]
    shipping: Annotated[Money, Ge(0)]
    """With its tax."""
    shipping_tax: Annotated[Money, Ge(0)]
    tax: Annotated[Money, Ge(0)]
    """All of it, that of shipping too."""
    total: Annotated[Money, Ge(0)]
    payment: Payment
    items: Many[OrderItem] = many()
    events: Many[OrderEvent] = many()
    refunds: Many[Refund] = many()
    tracking: Annotated[str, Len(0, 200)] = ""
    reserved_until: datetime | None = None
    """When the goods are given back, unless they are paid by then."""
    cart: Annotated[str, Len(0, 40)] = ""
    """The id of the cart that it came of."""
    request: Annotated[str, Len(0, 64)] | None = None
    """The key of the request that made it: sent again, it finds its order and no other of the same cart."""
    token_hash: Annotated[str, Len(0, 64)] = ""
    link_hash: Annotated[str, Len(0, 64)] = ""
    link_until: datetime | None = None

    placed = fact()
    paid = fact()
    cancelled = fact()
    fulfilled = fact()
    refunded = fact()
    failed = fact()

    def rules(self, me: User) -> Rules:
        """A customer sees their own, a guest with the secret of the cart or of the mailed link, the staff all."""
        staff = me.has_role(STAFF)
        return Rules(
            read=_is_of(self, me) | staff,
            fields=[
                field_rule(self.token_hash, read=nobody), field_rule(self.link_hash, read=nobody),
                field_rule(self.link_until, read=nobody), field_rule(self.cart, read=nobody),
                field_rule(self.request, read=nobody),
            ],
        )  # fmt: skip

    def indexes(self) -> list[Index]:
        """One number each, one order for a payment and for a request, and the orders of a customer, newest first."""
        return [
            unique(self.number), unique(self.payment), unique(self.request), index(self.customer, self.created_at),
            index(self.status, self.reserved_until), index(self.email), index(self.cart),
        ]  # fmt: skip


class OrderItem(Model):
    """One line of an order, as it was then."""

    order: Annotated[Order, on_delete("cascade")]
    variant: Variant
    position: Annotated[int, Ge(0)] = 0
    name: Annotated[str, Len(1, 420)]
    sku: Annotated[str, Len(1, 64)]
    options: Json | None = None
    quantity: Annotated[int, Ge(1), Le(1_000_000)]
    price: Annotated[Money, Ge(0)]
    """Of one, as it was shown: with its tax or without, as the shop shows them."""
    discount: Annotated[Money, Ge(0)]
    """Its part of the discount, of all of the line."""
    net: Annotated[Money, Ge(0)]
    tax: Annotated[Money, Ge(0)]
    total: Annotated[Money, Ge(0)]
    """What the line costs, with its tax and after its discount."""
    tax_rate: Annotated[int, Ge(0)] = 0
    """In hundredths of a percent: 1900 are 19 %."""
    tracked: bool = True
    owed: Annotated[int, Ge(0)] = 0
    """How many were sold before they were there."""
    returnable: Annotated[int, Ge(0)] = 0
    """How many of them can still be given back."""

    def rules(self, me: User) -> Rules:
        """As its order."""
        return Rules(read=_is_of(self.order, me) | me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """The lines of an order, and who bought a variant."""
        return [index(self.order, self.position), index(self.variant)]


class OrderEvent(Model):
    """One thing that happened to an order: its timeline."""

    order: Annotated[Order, on_delete("cascade")]
    kind: Annotated[str, Len(1, 40)]
    said: Annotated[str, Len(0, 500)] = ""
    by: User | None = None

    def rules(self, me: User) -> Rules:
        """As its order; who did it is the staff's business."""
        staff = me.has_role(STAFF)
        return Rules(read=_is_of(self.order, me) | staff, fields=[field_rule(self.by, read=staff)])

    def indexes(self) -> list[Index]:
        """The timeline of an order."""
        return [index(self.order, self.created_at)]


class Refund(Model):
    """Money that is given back, of one order. Its id is its idempotency key at the provider."""

    order: Annotated[Order, on_delete("cascade")]
    amount: Annotated[Money, Ge(0)]
    status: RefundStatus = "pending"
    reason: Annotated[str, Len(0, 500)] = ""
    items: Json
    """How many of which lines came back: `[{"item": "01b8…", "quantity": 1}]`."""
    restock: bool = True
    failure: Annotated[str, Len(0, 60)] = ""
    by: User | None = None

    def rules(self, me: User) -> Rules:
        """As its order; who did it is the staff's business."""
        staff = me.has_role(STAFF)
        return Rules(read=_is_of(self.order, me) | staff, fields=[field_rule(self.by, read=staff)])

    def indexes(self) -> list[Index]:
        """The refunds of an order, and those that are not done."""
        return [index(self.order, self.created_at), index(self.status)]


def _is_of(order: Any, me: User) -> bool:
    """Whether an order is somebody's own: the customer's, or that of the guest who has one of its secrets."""
    mine: bool = (
        (order.customer == me)
        | (order.token_hash == me.brings(CART_TOKEN))
        | ((order.link_hash == me.brings(ORDER_TOKEN)) & (order.link_until > now()))
    )
    return mine


async def move(
    tx: Transaction, order: Order, to: OrderStatus, *, allowed: Sequence[OrderStatus] = (), **values: Any
) -> Order:
    """Bring an order from a state that may precede it to another. Raises `Conflict` `wrong_state` where it is in none.

    `allowed` narrows the states it may come from. Two round trips.
    """
    before = [status for status, after in _NEXT.items() if to in after and (not allowed or status in allowed)]
    try:
        return await tx.update(order, status=to, where=lambda o: one_of(o.status, *before), **values)
    except Problem as problem:
        if problem.code != "precondition_failed":
            raise
        found = await tx.get(Order, order.id)
        raise Conflict(f"An order that is {found.status} cannot become {to}.", code="wrong_state") from None


async def happened(tx: Transaction, order: Order, kind: str, said: str = "") -> None:
    """Write a line into the timeline of an order."""
    by = tx.me if tx.actor.id is not None else None
    await tx.create(OrderEvent(order=order, kind=kind, said=said[:500], by=by))
