"""The mails of a shop: what each is told of an order, in the transaction in which that becomes true.

Invariant: one mail about each thing, however often its step runs: the receipt of an order, a refund, what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backstay.commerce.order import Order, OrderItem, Refund
from backstay.mail.values import MailLine, MailOrder
from backstay.store.transaction import Transaction

Address = Callable[[Order], str]
"""The address of the page of an order, for whoever it is mailed to."""


async def receipt(tx: Transaction, order: Order, link: str, *, tax_included: bool) -> None:
    """An order, whose items are loaded, was paid."""
    items: Sequence[OrderItem] = list(order.items)
    said = MailOrder(
        number=str(order.number), placed_at=order.created_at,
        lines=tuple(MailLine(item.name, item.quantity, item.price * item.quantity) for item in items),
        subtotal=order.subtotal, discount=order.discount if order.discount.amount else None,
        shipping=order.shipping if order.shipping.amount else None, tax=order.tax if order.tax.amount else None,
        tax_included=tax_included, total=order.total, address=lines_of(order.shipping_address),
    )  # fmt: skip
    await tx.mail(
        "receipt", to=order.email, about=f"receipt:{order.id}", language=order.language, order=said, link=link
    )


async def refunded(tx: Transaction, refund: Refund, order: Order, link: str) -> None:
    """Money of an order has gone back."""
    names = {str(item.id): item for item in order.items}
    lines = [
        MailLine(names[one["item"]].name, int(one["quantity"]), names[one["item"]].price * int(one["quantity"]))
        for one in refund.items if one["item"] in names
    ]  # fmt: skip
    await tx.mail(
        "refund", to=order.email, about=f"refund:{refund.id}", language=order.language, number=str(order.number),
        amount=refund.amount, whole=refund.amount == order.total, lines=lines, link=link,
    )  # fmt: skip


async def shipped(tx: Transaction, order: Order) -> None:
    """The goods of an order, whose items are loaded, are on their way."""
    lines = [MailLine(item.name, item.quantity, item.total) for item in order.items]
    await tx.mail(
        "shipped", to=order.email, about=f"shipped:{order.id}", language=order.language, number=str(order.number),
        lines=lines, tracking_number=order.tracking,
    )  # fmt: skip


def lines_of(address: object) -> tuple[str, ...]:
    """An address as lines."""
    if not isinstance(address, dict):
        return ()
    town = " ".join(filter(None, (address.get("postal_code"), address.get("city"))))
    found = (address.get("name"), address.get("line1"), address.get("line2"), town, address.get("country"))
    return tuple(line for line in found if line)
