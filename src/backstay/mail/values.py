"""What the mails of the house are told: frozen values, and never records, so that a mail says what was true then.

Invariant: what is not said here is no part of such a mail; a value of another kind is refused where the mail is
written, inside the transaction, and not where it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from backstay.model.value import Money


class MailLine(msgspec.Struct, frozen=True):
    """One line of an order: what it is, how many, and what all of them cost together; `note` is for size or colour."""

    name: str
    quantity: int
    total: Money
    note: str = ""


class MailOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a mail shows it. What is `None` has no line; with `tax_included` the tax is a part of the total."""

    number: str
    placed_at: datetime
    lines: tuple[MailLine, ...]
    total: Money
    subtotal: Money | None = None
    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    tax_included: bool = True
    address: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """`receipt`: an order was paid."""

    order: MailOrder
    link: str = ""


class OrderLink(msgspec.Struct, frozen=True):
    """`order_link`: a guest asked for the link to an order; it is good for so many hours."""

    number: str
    link: str
    hours: int


class Refund(msgspec.Struct, frozen=True):
    """`refund`: money goes back; `whole` says that it is all of it, `lines` for what."""

    number: str
    amount: Money
    whole: bool = True
    lines: tuple[MailLine, ...] = ()
    link: str = ""


class Shipped(msgspec.Struct, frozen=True):
    """`shipped`: an order, or the part of it that `lines` names, is on its way."""

    number: str
    lines: tuple[MailLine, ...] = ()
    carrier: str = ""
    tracking_number: str = ""
    tracking_link: str = ""


class LowStock(msgspec.Struct, frozen=True):
    """`low_stock`: to the shop itself: few of something are left."""

    name: str
    available: int
    sku: str = ""
    link: str = ""


class AccountKnock(msgspec.Struct, frozen=True):
    """`account_knock`: somebody tried to open an account with an address that has one."""

    link: str = ""


class Welcome(msgspec.Struct, frozen=True):
    """`welcome`: an account was opened."""

    link: str = ""


HOUSE: dict[str, type[msgspec.Struct]] = {
    "receipt": Receipt, "order_link": OrderLink, "refund": Refund, "shipped": Shipped, "low_stock": LowStock,
    "account_knock": AccountKnock, "welcome": Welcome,
}  # fmt: skip
"""The mails of the house and what each is told."""
RESERVED = frozenset(
    "application button code date figure form heading home language layout money p row small stacked subject table "
    "title".split()
)


def plain_values(mail: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON, which is what a template is given. Raises `ValueError` for those that the mail cannot have."""
    try:
        plain: dict[str, Any] = msgspec.to_builtins(dict(values), builtin_types=())
    except (TypeError, msgspec.ValidationError) as error:
        raise ValueError(f'The values of the mail "{mail}" are plain or frozen ones, and no records: {error}') from None
    if (house := HOUSE.get(mail)) is None:
        if taken := sorted(RESERVED & plain.keys()):
            raise ValueError(f'A value of the mail "{mail}" cannot be called {taken[0]}: templates have that already.')
        return plain
    if unknown := sorted(plain.keys() - {field.name for field in msgspec.structs.fields(house)}):
        raise ValueError(f'The mail "{mail}" has no value {unknown[0]}.')
    try:
        told: dict[str, Any] = msgspec.to_builtins(msgspec.convert(plain, house))
    except msgspec.ValidationError as error:
        raise ValueError(f'The mail "{mail}" cannot be told this: {error}') from None
    return told
