"""The books: for each movement of money one posting, whose entries are signed and come to nothing.

Invariant: postings are added and never changed, each has a key that is unique, and `post` refuses one that does not
balance. So the same movement cannot be booked twice, and debits equal credits whatever happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from annotated_types import Len

from backstay.commerce.catalogue import STAFF, CurrencyCode
from backstay.commerce.order import Order
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Many, Rules, index, many, unique
from backstay.model.value import BigInt
from backstay.store.transaction import Transaction

Account: TypeAlias = Literal[
    "provider",  # what providers owe us
    "held",  # what they hold for us, of customers
    "promised",  # what customers have promised, as long as it is held
    "sales", "discounts", "shipping", "tax", "refunds", "fees",
]  # fmt: skip
Kind: TypeAlias = Literal["authorization", "void", "capture", "refund", "fee"]


class Posting(Model):
    """One movement of money, with its entries."""

    key: Annotated[str, Len(1, 120)]
    """What it is of: `capture:01b8…`."""
    kind: Kind
    order: Order
    entries: Many[LedgerEntry] = many()

    def rules(self, me: User) -> Rules:
        """The staff reads it."""
        return Rules(read=me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """Each movement once."""
        return [unique(self.key), index(self.order)]


class LedgerEntry(Model):
    """One side of a posting: debits are positive, credits negative, in minor units."""

    posting: Posting
    account: Account
    amount: BigInt
    currency: CurrencyCode

    def rules(self, me: User) -> Rules:
        """The staff reads it."""
        return Rules(read=me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """The entries of a posting, and those of an account."""
        return [index(self.posting), index(self.account, self.currency)]


async def post(
    tx: Transaction, kind: Kind, key: str, order: Order, currency: str, entries: Mapping[Account, int]
) -> Posting:
    """Book one movement. Raises `RuntimeError` where debits and credits differ: a fault of ours, and an alarm."""
    if sum(entries.values()) != 0:
        raise RuntimeError(f"The posting {kind}:{key} does not balance: {dict(entries)}.")
    posting = await tx.create(Posting(key=f"{kind}:{key}", kind=kind, order=order))
    for account, amount in entries.items():
        if amount:
            await tx.create(LedgerEntry(posting=posting, account=account, amount=amount, currency=currency))
    return posting


def authorized(amount: int) -> dict[Account, int]:
    """A customer's money is held for us."""
    return {"held": amount, "promised": -amount}


def let_go(amount: int) -> dict[Account, int]:
    """It is held no longer."""
    return {"held": -amount, "promised": amount}


def captured(total: int, *, shipping: int, discount: int, tax: int, held: int) -> dict[Account, int]:
    """It is ours, at the provider; what was held for it is held no longer."""
    return {
        "provider": total,
        "sales": -(total + discount - shipping - tax),
        "discounts": discount,
        "shipping": -shipping,
        "tax": -tax,
        "held": -held,
        "promised": held,
    }


def refunded(amount: int, *, tax: int) -> dict[Account, int]:
    """A part of it went back, with the tax in it."""
    return {"provider": -amount, "refunds": amount - tax, "tax": tax}
