"""Money that goes back: a refund is written first, with what it takes of what can be given back, then carried out.

Invariant: what may still be given back of a payment, and of a line, is lowered by the statement that writes the refund,
so two refunds never give back the same; where a provider refuses, it is raised again. The refund's id is its key there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backstay.commerce import ledger, letters, stock
from backstay.commerce.currency import written
from backstay.commerce.link import Links
from backstay.commerce.order import Order, OrderItem, Payment, Refund, happened, move
from backstay.commerce.payments.port import Provider
from backstay.commerce.pricing import half_up, share
from backstay.commerce.purchase import WAKE, Said, Standing, held, intent_of, pause, said_of
from backstay.commerce.stock import Goods
from backstay.errors import Conflict, FieldError, Invalid, NotFound, Problem
from backstay.jobs.flow import Flow
from backstay.model.value import Money
from backstay.store.context import Context
from backstay.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Returned:
    """So many of one line."""

    item: UUID
    quantity: int


class Refunds:
    """Gives money back. `providers` are those of the shop, by name."""

    def __init__(self, providers: Mapping[str, Provider], links: Links) -> None:
        self.providers = providers
        self.links = links

    async def begin(
        self, tx: Transaction, order: Order, returned: Sequence[Returned], *, amount: int | None, reason: str,
        restock: bool, everything: bool = False, driven: bool = True,
    ) -> Refund:  # fmt: skip
        """Write a refund of an order whose items and payment are loaded, and begin to carry it out.

        Of lines, it is what they cost; with an `amount` it is that. `everything` is all that is left. Raises `Conflict`
        `over_refunded` where more is asked for than can be given back.
        """
        worth = 0
        taken: list[dict[str, Any]] = []
        lines = {line.id: line for line in order.items}
        for one in sorted(returned, key=lambda one: one.item.bytes):
            if (line := lines.get(one.item)) is None:
                raise NotFound("There is no such line in this order.")
            worth += await self._take(tx, line, one.quantity)
            taken.append({"item": str(line.id), "quantity": one.quantity})
        if everything:
            amount = order.payment.refundable
        asked = worth if amount is None else amount
        if asked < 0 or (asked == 0 and not taken and not everything):
            raise Invalid.of([FieldError("amount", "too_small", "must be more than nothing, or name lines.")])
        try:
            await tx.update(
                order.payment, refundable=lambda p: p.refundable - asked, where=lambda p: p.refundable >= asked
            )
        except Problem as problem:
            if problem.code != "precondition_failed":
                raise
            said = f"{order.payment.refundable} can be given back at most."
            raise Conflict(said, code="over_refunded") from None
        refund = await tx.create(
            Refund(
                order=order, amount=Money(asked, order.total.currency), reason=reason, items=taken, restock=restock,
                by=tx.me if tx.actor.id is not None else None,
            )
        )  # fmt: skip
        await happened(tx, order, "refund_begun", f"{written(Money(asked, order.total.currency))}. {reason}".strip())
        await tx.start_flow(self.refund, id=str(refund.id), driven=driven, refund=refund.id)
        return refund

    async def everything(self, tx: Transaction, order: Order, reason: str) -> Refund:
        """Give back all that was taken of an order that is not to be. No goods of it were sold; a worker does it."""
        return await self.begin(tx, order, (), amount=None, reason=reason, restock=False, everything=True, driven=False)

    async def _take(self, tx: Transaction, line: OrderItem, quantity: int) -> int:
        """Lower what can come back of a line; what that many of it cost."""
        try:
            after = await tx.update(
                line, returnable=lambda i: i.returnable - quantity, where=lambda i: i.returnable >= quantity
            )
        except Problem as problem:
            if problem.code != "precondition_failed":
                raise
            said = f"{line.returnable} of {line.name} can come back at most."
            raise Conflict(said, code="over_returned") from None
        before = line.quantity - after.returnable - quantity
        return share(line.total.amount, line.quantity, before, quantity)

    async def refund(self, flow: Flow, refund: UUID) -> None:
        """Ask the provider until it says yes or no."""
        asked = 0
        while await flow.step(f"refund {asked}", self.give_back, refund, record=self.noted) == "ask_again":
            await flow.wait(f"refund answer {asked}", timeout=pause(asked), signal=WAKE)
            asked += 1

    async def give_back(self, ctx: Context, refund: UUID) -> Said:
        """Ask the provider to give it back; the same key is the same refund there."""
        async with ctx.transaction() as tx:
            found = await tx.get(Refund, refund, expand=("order.payment",))
        payment = found.order.payment
        if found.status != "pending":
            return Said("done" if found.status == "done" else "refused", reason=found.failure)
        if payment.status == "none" or found.amount.amount == 0:
            return Said("done")
        provider = self.providers[payment.provider]
        return said_of(await provider.refund(intent_of(self.links, found.order), str(found.id), found.amount))

    async def noted(self, tx: Transaction, said: Said, refund: UUID) -> Standing:
        """What came of it."""
        found = await tx.get(Refund, refund)
        await held(tx, found.order.id)
        found = await tx.get(Refund, refund, expand=("order.payment", "order.items"))
        order = found.order
        if found.status != "pending":
            return "over"
        if said.what == "refused":
            await self._not_given(tx, found, said.reason)
            return "over"
        if said.what != "done":
            return "ask_again"
        amount = found.amount.amount
        await tx.update(found, status="done")
        if amount:
            payment = await tx.update(order.payment, refunded=lambda p: p.refunded + amount)
            await ledger.post(
                tx, "refund", str(found.id), order, found.amount.currency,
                ledger.refunded(amount, tax=tax_in(order, payment.refunded - amount, amount)),
            )  # fmt: skip
        if found.restock:
            await stock.take_back(tx, _goods(found), str(order.number))
        order = await self._settle(tx, order)
        await happened(tx, order, "refunded", written(Money(amount, found.amount.currency)))
        await letters.refunded(tx, found, found.order, self.links.to(order))
        await tx.emit(Order.refunded, order)
        return "over"

    async def _settle(self, tx: Transaction, order: Order) -> Order:
        """An order of which money was given back is refunded, or partially; one that was cancelled stays so."""
        payment = await tx.get(Payment, order.payment.id)
        waiting = await tx.count(Refund, lambda one: (one.order == order) & (one.status == "pending"))
        if order.status == "cancelled":
            return order
        if payment.refundable == 0 and not waiting:
            return await move(tx, order, "refunded")
        return (
            order if order.status in ("partially_refunded", "refunded") else await move(tx, order, "partially_refunded")
        )

    async def _not_given(self, tx: Transaction, refund: Refund, reason: str) -> None:
        """The provider refused: what was set aside can be given back again, and somebody has to look at it."""
        amount = refund.amount.amount
        await tx.update(refund, status="failed", failure=reason[:60])
        await tx.update(refund.order.payment, refundable=lambda p: p.refundable + amount)
        for line in refund.items:
            quantity = int(line["quantity"])
            await tx.update(tx.ref(OrderItem, line["item"]), returnable=lambda i: i.returnable + quantity)  # noqa: B023
        await happened(tx, refund.order, "refund_failed", reason)


def tax_in(order: Order, before: int, amount: int) -> int:
    """The tax in what is given back of an order, of which `before` went back earlier.

    As it is in the whole; and of all that goes back, in however many parts, it is that of all, without a cent lost.
    """
    total, tax = order.total.amount, order.tax.amount
    return half_up((before + amount) * tax, total) - half_up(before * tax, total) if total else 0


def _goods(refund: Refund) -> list[Goods]:
    lines = {line.id: line for line in refund.order.items}
    found = []
    for one in refund.items:
        line = lines[UUID(one["item"])]
        owed = min(line.owed, int(one["quantity"]))
        found.append(Goods(line.variant.id, int(one["quantity"]), line.name, tracked=line.tracked, owed=owed))
    return found
