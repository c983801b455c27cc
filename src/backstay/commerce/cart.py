"""Carts: what somebody is about to buy, with an account or without one.

Invariant: a cart belongs to its customer, or to whoever has its secret; it changes while it is open, through the routes
here, and what it costs is worked out anew by the server each time. Nothing is reserved for it before the checkout.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Le, Len

from backstay.commerce.catalogue import Country, CurrencyCode, Variant
from backstay.commerce.offer import ShippingMethod
from backstay.commerce.order import CART_TOKEN, Order
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Many, Rules, field_rule, index, many, nobody, on_delete, unique
from backstay.model.value import Money

CartStatus: TypeAlias = Literal["open", "ordered", "merged"]


class Cart(Model):
    """What somebody is about to buy."""

    customer: User | None = None
    status: CartStatus = "open"
    slot: Literal["open"] | None = None
    """There while it is the open cart of an account, which has one."""
    currency: CurrencyCode
    country: Country | None = None
    """Where it is to go, as far as that is known: taxes and shipping depend on it."""
    code: Annotated[str, Len(0, 40)] = ""
    """A discount code."""
    method: ShippingMethod | None = None
    items: Many[CartItem] = many()
    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money
    token_hash: Annotated[str, Len(0, 64)] = ""
    order: Order | None = None
    """What it became."""

    def rules(self, me: User) -> Rules:
        """Its customer sees it, or whoever brings its secret. Nobody else does, the staff neither."""
        mine = (self.customer == me) | (self.token_hash == me.brings(CART_TOKEN))
        return Rules(
            read=mine,
            fields=[field_rule(self.token_hash, read=nobody), field_rule(self.slot, read=nobody)],
        )  # fmt: skip

    def indexes(self) -> list[Index]:
        """One open cart for an account; carts that were left, by age."""
        return [unique(self.customer, self.slot), index(self.status, self.updated_at)]


class CartItem(Model):
    """So many of one variant, at the price that was shown last."""

    cart: Annotated[Cart, on_delete("cascade")]
    variant: Annotated[Variant, on_delete("cascade")]
    quantity: Annotated[int, Ge(1), Le(1_000_000)]
    price: Annotated[Money, Ge(0)]

    def rules(self, me: User) -> Rules:
        """As its cart."""
        return Rules(read=(self.cart.customer == me) | (self.cart.token_hash == me.brings(CART_TOKEN)))

    def indexes(self) -> list[Index]:
        """A variant once in a cart."""
        return [unique(self.cart, self.variant)]
