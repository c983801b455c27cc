"""What providers tell: each message is kept once, and wakes the purchase that it is about. It decides nothing.

Invariant: a message is believed only where its signature says whose it is, and even then nothing is done by what it
says: whoever it wakes asks the provider. So messages that are lost, doubled, late or forged change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from backstay.commerce.catalogue import STAFF
from backstay.commerce.order import Order, Payment, Refund
from backstay.commerce.payments.port import Event, Provider
from backstay.commerce.purchase import WAKE
from backstay.errors import NotFound
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Rules, anyone, index, unique
from backstay.store.context import Context
from backstay.store.exchange import Raw
from backstay.store.part import Host
from backstay.store.transaction import Transaction


class PaymentEvent(Model):
    """A message of a provider: that it came, and what it was about."""

    provider: Annotated[str, Len(1, 40)]
    event: Annotated[str, Len(1, 255)]
    kind: Annotated[str, Len(0, 100)] = ""
    payment: Annotated[str, Len(0, 64)] = ""

    def rules(self, me: User) -> Rules:
        """The staff reads them."""
        return Rules(read=me.has_role(STAFF))

    def indexes(self) -> list[Index]:
        """Each message once."""
        return [unique(self.provider, self.event), index(self.payment)]


class Webhooks:
    """Hears what the providers of a shop tell."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self.providers = providers

    def join(self, host: Host) -> None:
        """Serve the route."""
        host.action("POST /api/webhooks/{provider}", allow=anyone, documented=False)(self.hear)

    async def hear(self, ctx: Context, provider: str, raw: Raw) -> None:
        """Take a message of a provider. 400 `webhook_not_genuine` where it is not signed by it."""
        if provider not in self.providers:
            raise NotFound("There is no such provider.")
        await self.take(ctx, provider, await self.providers[provider].read_event(raw.body, raw.headers))

    async def take(self, ctx: Context, provider: str, event: Event) -> None:
        """Keep a message, and wake what it is about."""
        async with ctx.transaction(as_system=True) as tx:
            if await tx.exists(PaymentEvent, lambda one: (one.provider == provider) & (one.event == event.id)):
                return
            payment = await self._payment(tx, provider, event)
            await tx.create(
                PaymentEvent(
                    provider=provider, event=event.id, kind=event.type[:100], payment=str(payment.id) if payment else ""
                )
            )
            if payment is not None:
                await self._wake(tx, payment)

    async def _payment(self, tx: Transaction, provider: str, event: Event) -> Payment | None:
        try:
            key = UUID(event.payment)
        except ValueError:
            key = None
        if key is not None:
            found = await tx.find(Payment, lambda one: (one.id == key) & (one.provider == provider), limit=1)
        elif event.reference:
            found = await tx.find(
                Payment, lambda one: (one.reference == event.reference) & (one.provider == provider), limit=1
            )
        else:
            found = []
        return found[0] if found else None

    async def _wake(self, tx: Transaction, payment: Payment) -> None:
        for order in await tx.find(Order, lambda one: one.payment == payment, limit=1):
            await tx.signal(str(order.id), WAKE)
        waiting = await tx.find(Refund, lambda one: (one.order.payment == payment) & (one.status == "pending"))
        for refund in waiting:
            await tx.signal(str(refund.id), WAKE)
