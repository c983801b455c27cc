"""The routes of orders after they were placed: cancel, give money back, send the goods; and goods that come in.

Invariant: whoever asks finds the order by its rules, and what may be done with it is a guarded transition: of two who
ask for what cannot both be, one is told 409 `wrong_state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from annotated_types import Ge, Le, Len

from backstay.commerce import letters, stock
from backstay.commerce.catalogue import STAFF, Variant
from backstay.commerce.checkout import SHOWN
from backstay.commerce.order import ORDER_TOKEN, Order, happened, move
from backstay.commerce.purchase import WAKE, let_go
from backstay.commerce.refund import Refunds, Returned
from backstay.model.rule import anyone, role
from backstay.store.context import Context
from backstay.store.part import Host
from backstay.store.transaction import Transaction

LOADED = ("items", "payment")


@dataclass
class ReturnedLine:
    """A line of an order, and how many of it come back."""

    item: UUID
    quantity: Annotated[int, Ge(1), Le(1_000_000)]


class Orders:
    """What can be done with orders."""

    def __init__(self, refunds: Refunds, patience: timedelta) -> None:
        self.refunds = refunds
        self.patience = patience

    def join(self, host: Host) -> None:
        """Serve the routes."""
        key: Literal["required"] = "required"
        host.action("POST /api/orders/{id}/confirm", allow=anyone, expand=SHOWN, resumes=True)(self.confirm)
        host.action("POST /api/orders/{id}/cancel", allow=anyone, idempotency_key=key, expand=SHOWN, resumes=True)(
            self.cancel
        )
        host.action("POST /api/orders/{id}/refund", allow=role(STAFF), idempotency_key=key, expand=SHOWN, resumes=True)(
            self.refund
        )
        host.action("POST /api/orders/{id}/fulfil", allow=role(STAFF), expand=SHOWN)(self.fulfil)
        host.action("POST /api/variants/{id}/stock", allow=role(STAFF), idempotency_key=key)(self.change_stock)

    async def confirm(self, ctx: Context, id: UUID) -> Order:
        """Go on with an order whose customer is back from their bank: the provider is asked what they decided there.

        For those who may see the order. It may be asked as often as one likes, and answers with the order as it then
        stands: nothing of it depends on it, since messages of the provider and time bring it about as well.
        """
        await self.see_to(ctx, id)
        async with ctx.transaction() as tx:
            return await tx.get(Order, id)

    async def see_to(self, ctx: Context, id: UUID, token: str = "") -> None:
        """Have the provider asked, where an order waits for its customer, and wait a while for what becomes of it."""
        async with ctx.transaction() as tx:
            asking = tx.bringing({ORDER_TOKEN: token}) if token else tx
            order = await asking.get(Order, id, expand=("payment",))
            if order.status not in ("pending", "authorized"):
                return
            if order.payment.status in ("action_needed", "unknown"):
                await tx.as_system.signal(str(order.id), WAKE, {"why": "back"})
        await ctx.drive(str(order.id), patience=self.patience)

    async def cancel(self, ctx: Context, id: UUID, reason: Annotated[str, Len(0, 500)] = "") -> Order:
        """Cancel an order that has not been sent. What was paid is given back, and the goods can be sold again."""
        refund = ""
        if not ctx.resumed:
            async with ctx.transaction() as tx:
                refund = await self._cancel(tx, id, reason)
        return await self._after(ctx, id, refund)

    async def _cancel(self, tx: Transaction, id: UUID, reason: str) -> str:
        """Cancel it; the id of the refund, where something was paid."""
        await tx.get(Order, id)
        system = tx.as_system
        await system.hold("Order", str(id))
        order = await system.get(Order, id, expand=LOADED)
        before = order.status
        order = await move(system, order, "cancelled", allowed=("pending", "authorized", "paid"), reserved_until=None)
        await happened(system, order, "cancelled", reason)
        order = await system.get(Order, id, expand=LOADED)
        refund = ""
        if before == "paid":
            lines = [Returned(line.id, line.returnable) for line in order.items if line.returnable]
            made = await self.refunds.begin(
                system, order, lines, amount=None, reason=reason or "cancelled", restock=True, everything=True
            )
            refund = str(made.id)
        else:
            await let_go(system, order)
            await system.signal(str(order.id), WAKE, {"why": "cancelled"})
        await system.emit(Order.cancelled, order)
        return refund

    async def refund(
        self, ctx: Context, id: UUID, items: list[ReturnedLine] | None = None,
        amount: Annotated[int, Ge(1)] | None = None, reason: Annotated[str, Len(0, 500)] = "", restock: bool = True,
    ) -> Order:  # fmt: skip
        """Give back what lines cost (`items`), an `amount` in minor units, or without either all that is left.

        409 `over_refunded` where more is asked for than can be given back.
        """
        refund = ""
        if not ctx.resumed:
            async with ctx.transaction(as_system=True) as tx:
                await tx.hold("Order", str(id))
                order = await tx.get(Order, id, expand=LOADED)
                whole = items is None and amount is None
                lines = [Returned(one.item, one.quantity) for one in items or ()]
                if whole:
                    lines = [Returned(line.id, line.returnable) for line in order.items if line.returnable]
                made = await self.refunds.begin(
                    tx, order, lines, amount=amount, reason=reason, restock=restock, everything=whole
                )
                refund = str(made.id)
        return await self._after(ctx, id, refund)

    async def fulfil(self, tx: Transaction, id: UUID, tracking: Annotated[str, Len(0, 200)] = "") -> Order:
        """The goods of a paid order have been sent, under a number by which they can be followed."""
        system = tx.as_system
        order = await move(
            system, system.ref(Order, id), "fulfilled", allowed=("paid", "partially_refunded"), tracking=tracking
        )
        await happened(system, order, "fulfilled", tracking)
        await letters.shipped(system, await system.get(Order, id, expand=LOADED))
        await system.emit(Order.fulfilled, order)
        return order

    async def change_stock(
        self, tx: Transaction, id: UUID, quantity: Annotated[int, Ge(-1_000_000), Le(1_000_000)],
        reason: Annotated[str, Len(1, 20)] = "received", note: Annotated[str, Len(0, 500)] = "",
    ) -> Variant:  # fmt: skip
        """Goods came (`received`), were counted (`counted`) or are gone (`lost`): so many more, or fewer."""
        return await stock.receive(tx.as_system, id, quantity, reason, note)

    async def _after(self, ctx: Context, id: UUID, refund: str) -> Order:
        if refund:
            await ctx.drive(refund, patience=self.patience)
        async with ctx.transaction(as_system=True) as tx:
            return await tx.get(Order, id)
