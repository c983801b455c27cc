"""Stock: goods are reserved for an order, then sold or released; each step is one guarded statement and a ledger line.

Invariant: nothing is read first and decided on after. A step changes a variant only where the change leaves no count
below zero, variants are always taken in the order of their ids, and for each change there is a line in the stock ledger
of the same transaction: the counts of a variant are the sums of its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from backstay.commerce.catalogue import StockMovement, Variant
from backstay.errors import Conflict, FieldError, NotFound, Problem
from backstay.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Goods:
    """So many of one variant; `owed` of them before they are there. `name` is what people call it."""

    variant: UUID
    quantity: int
    name: str = ""
    place: str = ""
    """Where it was asked for, for errors: `items.0.quantity`."""
    tracked: bool = True
    backorder: bool = False
    owed: int = 0


class OutOfStock(Conflict):
    """409: there is less than was asked for; `errors` names each line, and how many there are."""

    def __init__(self, short: Sequence[tuple[Goods, int]]) -> None:
        said = [f"only {left} of {goods.name or goods.variant}" if left else f"no {goods.name or goods.variant}"
                for goods, left in short]  # fmt: skip
        errors = [
            FieldError(goods.place or "quantity", "out_of_stock", f"{goods.quantity} were asked for, {left} are left.")
            for goods, left in short
        ]
        super().__init__(f"There is {' and '.join(said)} left.", code="out_of_stock", errors=errors)


async def reserve(tx: Transaction, goods: Iterable[Goods], order: str) -> list[Goods]:
    """Keep goods for an order: `available` becomes `reserved`, or with back-orders `owed`. Says what is owed of each.

    Raises `OutOfStock` with every line that there is too little for; the transaction is then to be undone. Some four
    round trips for each variant.
    """
    short: list[tuple[Goods, int]] = []
    kept: list[Goods] = []
    for one in in_order(goods):
        if not one.tracked or await change(
            tx, one.variant, "reserved", available=-one.quantity, reserved=one.quantity, order=order
        ):
            kept.append(one)
        elif one.backorder:
            await change(tx, one.variant, "reserved", owed=one.quantity, order=order)
            kept.append(Goods(one.variant, one.quantity, one.name, one.place, backorder=True, owed=one.quantity))
        else:
            short.append((one, (await tx.get(Variant, one.variant)).available))
    if short:
        raise OutOfStock(short)
    return kept


async def release(tx: Transaction, goods: Iterable[Goods], order: str) -> None:
    """Give back what was reserved for an order that will not be: it can be sold again."""
    for one in in_order(goods):
        if one.owed:
            await changed(tx, one.variant, "released", owed=-one.owed, order=order)
        elif one.tracked:
            await changed(tx, one.variant, "released", available=one.quantity, reserved=-one.quantity, order=order)


async def sell(tx: Transaction, goods: Iterable[Goods], order: str) -> None:
    """Goods that were reserved have been paid: they are no longer the shop's. Those owed are owed on."""
    for one in in_order(goods):
        if one.tracked and not one.owed:
            await changed(tx, one.variant, "sold", reserved=-one.quantity, order=order)


async def take_back(tx: Transaction, goods: Iterable[Goods], order: str) -> None:
    """Goods came back and can be sold again."""
    for one in in_order(goods):
        if one.owed:
            await changed(tx, one.variant, "returned", owed=-one.owed, order=order)
        elif one.tracked:
            await changed(tx, one.variant, "returned", available=one.quantity, order=order)


async def change(
    tx: Transaction, variant: UUID, reason: str, *, available: int = 0, reserved: int = 0, owed: int = 0,
    order: str = "", note: str = "",
) -> bool:  # fmt: skip
    """Change the counts of a variant, if none of them falls below zero by it; false where one would."""
    try:
        after = await tx.update(
            tx.ref(Variant, variant),
            available=lambda v: v.available + available,
            reserved=lambda v: v.reserved + reserved,
            owed=lambda v: v.owed + owed,
            where=lambda v: (v.available >= -available) & (v.reserved >= -reserved) & (v.owed >= -owed),
        )
    except Problem as problem:
        if problem.code != "precondition_failed":
            raise
        return False
    await tx.create(
        StockMovement(
            variant=after, available=available, reserved=reserved, owed=owed, reason=reason, order=order, note=note,
            by=tx.me if tx.actor.id is not None else None,
        )
    )  # fmt: skip
    if available < 0 and after.low_at is not None and after.available <= after.low_at < after.available - available:
        await tx.emit(Variant.low, after)
    return True


async def changed(
    tx: Transaction,
    variant: UUID,
    reason: str,
    *,
    available: int = 0,
    reserved: int = 0,
    owed: int = 0,
    order: str = "",
) -> None:
    """Change the counts of a variant where they must allow it; that they do not is a fault of ours, and an alarm."""
    if not await change(tx, variant, reason, available=available, reserved=reserved, owed=owed, order=order):
        raise RuntimeError(f"The stock of {variant} does not allow what order {order} needs ({reason}).")


async def receive(tx: Transaction, variant: UUID, quantity: int, reason: str, note: str) -> Variant:
    """Goods came, were counted, or are lost: `quantity` more or fewer. What is owed is served first.

    Raises `NotFound`, and `Conflict` `out_of_stock` where more are to go than can be sold.
    """
    found = await tx.get(Variant, variant)
    served = min(max(quantity, 0), found.owed)
    try:
        fits = await change(tx, variant, reason, available=quantity - served, owed=-served, note=note)
    except NotFound:
        raise NotFound("There is no such variant.") from None
    if not fits:
        raise OutOfStock([(Goods(variant, -quantity, found.sku), found.available)])
    return await tx.get(Variant, variant)


def in_order(goods: Iterable[Goods]) -> list[Goods]:
    """The one order in which variants are taken, so that two purchases never wait for each other in a ring."""
    return sorted(goods, key=lambda one: one.variant.bytes)
