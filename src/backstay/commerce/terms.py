"""The terms of a shop: what `Shop(...)` was given, once, for all who need a part of it.

Invariant: terms are frozen; nothing of a shop depends on anything else than these, its database and its clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """How a shop does business.

    `currency` is that of its prices, `currencies` the others that it takes; `country` is where it is, and what
    a customer who has not said theirs is shown. With `prices_include_tax` prices are what a customer pays in the end.
    """

    currency: str
    currencies: tuple[str, ...] = ()
    country: str = "DE"
    prices_include_tax: bool = True
    reserved_for: timedelta = timedelta(minutes=15)
    """How long goods are kept for an order that is not paid."""
    link_for: timedelta = timedelta(days=30)
    """How long the link that a guest is mailed opens their order."""
    order_page: str = "/shop/orders/{id}?token={token}"
    """Where customers see their order after a payment and from a mail: a path here, or an address of your front end."""
    most_lines: int = 100
    most_of_one: int = 1_000
    most_pending: int = 5
    """How many orders one account, or one address of a guest, may have reserved and not paid."""
    carts: str = "60/minute"
    """How many carts one client may open."""
    checkouts: str = "30/minute"
    """How often one client, or one account, may check out."""
    driven_for: timedelta = field(default=timedelta(seconds=10))
    """How long a request waits for a payment before it answers with the order as it stands."""

    def takes(self, currency: str) -> bool:
        """Whether something can be bought in this currency."""
        return currency == self.currency or currency in self.currencies
