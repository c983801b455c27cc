"""The link that a guest is mailed: it opens one order, for a time, for whoever has it.

Invariant: a link is signed with a key of the application, over the order and its end, so that it can be made anew for
each mail and is kept nowhere but as its hash.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from backstay.model.secret import secret_hash


@dataclass(frozen=True, slots=True)
class Link:
    """The secret of a link, its hash, and until when it opens anything."""

    token: str = field(repr=False)
    until: datetime

    @property
    def hash(self) -> str:
        """What the order keeps of it."""
        return secret_hash(self.token)


class Links:
    """Makes links; `key` gives the application's secret for them."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def of(self, order: UUID, until: datetime) -> Link:
        """The link to an order that ends then; the same one each time."""
        text = f"{order} {int(until.timestamp())}".encode()
        return Link(hmac.digest(self._key(), text, "sha256").hex(), until)
