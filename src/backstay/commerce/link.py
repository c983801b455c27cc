"""The link that is mailed with an order: it opens that order, for a time, for whoever has it.

Invariant: a link is signed with a key of the application, over the order and its end, so that it can be made anew for
each mail and is kept nowhere but as its hash.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from uuid import UUID

from backstay.commerce.order import Order
from backstay.commerce.terms import Terms
from backstay.model.secret import secret_hash
from backstay.settings import Settings, secret_of


class Links:
    """Makes the links to the orders of one shop, once it is open."""

    def __init__(self, terms: Terms) -> None:
        self._page = terms.order_page
        self._key = b""

    def open(self, settings: Settings, *, serving: bool = True) -> None:
        """Take the key and the address of the application. Raises `ValueError` where production has no address.

        A command that does not serve has no need of one.
        """
        if not settings.address and serving:
            raise ValueError("Set BACKSTAY_PUBLIC_URL: customers come back to it from payments and mails.")
        self._key = sha256(b"links to orders" + secret_of(settings)).digest()
        if self._page.startswith("/"):
            self._page = settings.address + self._page

    def token(self, order: UUID) -> str:
        """The secret of the link to an order; the same one each time."""
        return hmac.digest(self._key, str(order).encode(), "sha256").hex()

    def hash(self, order: UUID) -> str:
        """What the order keeps of it."""
        return secret_hash(self.token(order))

    def to(self, order: Order) -> str:
        """The whole address of the page of an order."""
        return self._page.replace("{id}", str(order.id)).replace("{token}", self.token(order.id))
