"""One purchase after it was placed: the payment is asked for, taken, and the order becomes what that makes of it.

Invariant: the provider is asked while no transaction is open, and what it said is noted by guarded transitions, each in
one transaction with its line in the books, the stock ledger and the timeline. Every step may run twice: the provider
knows our keys, and a transition that was made is not made again. What nobody knows is asked again until somebody does;
messages of providers only wake the flow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from backstay.commerce import ledger, letters, stock
from backstay.commerce.cart import Cart
from backstay.commerce.link import Links
from backstay.commerce.order import Order, OrderItem, happened, move
from backstay.commerce.payments.port import (
    ActionNeeded,
    Authorized,
    Declined,
    Done,
    Intent,
    Provider,
    Refused,
    Unknown,
)
from backstay.commerce.stock import Goods
from backstay.commerce.terms import Terms
from backstay.jobs.flow import Flow
from backstay.model.rule import coalesce, one_of
from backstay.store.context import Context
from backstay.store.transaction import Transaction

WAKE = "payment"
"""What wakes a purchase that waits: a message of its provider, or the customer who came back."""
_PAUSES = (1, 2, 5, 10, 30, 60, 120, 300)
"""Seconds until the provider is asked again, of whom nobody knows what it did."""

Standing: TypeAlias = Literal["held", "paid", "ask_again", "act", "over", "taken"]
"""Where a purchase stands after a step: the money is held, or it is paid; ask again; the customer has to act; it is
over; or the money was taken of an order that is not to be, and has to go back."""
GiveBack: TypeAlias = Callable[[Transaction, Order, str], Awaitable[object]]
"""Begins a refund of all that was taken of an order, and says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider answered, between the call and the transaction that notes it."""

    what: Literal["authorized", "declined", "act", "unknown", "done", "refused"]
    reference: str = ""
    reason: str = ""
    amount: int = 0
    client_secret: str = ""
    approve_url: str = ""


class Purchases:
    """Carries out what was ordered. `providers` are those of the shop, by name; `give_back` begins a whole refund."""

    def __init__(self, terms: Terms, providers: Mapping[str, Provider], links: Links, give_back: GiveBack) -> None:
        self.terms = terms
        self.providers = providers
        self.links = links
        self._give_back = give_back

    async def purchase(self, flow: Flow, order: UUID) -> None:
        """From an order that was placed to one that is paid, or that is not to be."""
        asked = 0
        while True:
            standing = await flow.step(f"authorize {asked}", self.authorize, order, record=self.authorized)
            if standing == "held":
                break
            if standing == "over":
                return await self._give_up(flow, order, "declined")
            left = await flow.step(f"time left {asked}", self.time_left, order)
            if left <= 0:
                return await self._give_up(flow, order, "expired")
            most = timedelta(seconds=left)
            patience = most if standing == "act" else min(most, pause(asked))
            await flow.wait(f"{WAKE} {asked}", timeout=patience, signal=WAKE)
            asked += 1
        asked = 0
        while True:
            standing = await flow.step(f"capture {asked}", self.capture, order, record=self.captured)
            if standing == "paid":
                return None
            if standing == "over":
                return await self._give_up(flow, order, "not_captured")
            if standing == "taken":
                await flow.step("give back", self.give_back, order)
                return None
            await flow.wait(f"capture answer {asked}", timeout=pause(asked), signal=WAKE)
            asked += 1

    async def _give_up(self, flow: Flow, order: UUID, why: str) -> None:
        """The goods are given back at once; then the provider is asked until it is sure that it holds nothing."""
        await flow.step("release", self.release, order, why)
        asked = 0
        while (standing := await flow.step(f"void {asked}", self.void, order, record=self.voided)) == "ask_again":
            await flow.wait(f"void answer {asked}", timeout=pause(asked), signal=WAKE)
            asked += 1
        if standing == "taken":
            await flow.step("give back", self.give_back, order)

    # Asking the provider: no transaction is open.

    async def authorize(self, ctx: Context, order: UUID) -> Said:
        """Bring the payment as far as it goes without the customer."""
        found = await self._order(ctx, order)
        if found.status in ("cancelled", "failed"):
            return Said("refused", reason=found.status)
        if found.payment.status in ("authorized", "captured", "none"):
            return Said("authorized", found.payment.reference, amount=found.payment.amount.amount)
        intent = intent_of(self.links, found)
        answer = await self._provider(found).authorize(intent)
        if isinstance(answer, Authorized) and answer.amount != intent.amount:
            return Said("declined", answer.reference, "another_amount")  # it is not what was ordered: let it go
        return said_of(answer)

    async def capture(self, ctx: Context, order: UUID) -> Said:
        """Take what is held."""
        found = await self._order(ctx, order)
        if found.payment.status == "none":
            return Said("done", amount=0)
        if found.status in ("cancelled", "failed"):
            return Said("refused", reason=found.status)
        key, amount = f"{found.payment.id}:capture", found.payment.amount
        return said_of(await self._provider(found).capture(intent_of(self.links, found), key, amount))

    async def void(self, ctx: Context, order: UUID) -> Said:
        """Make sure that nothing is held, nor ever will be."""
        found = await self._order(ctx, order)
        if found.payment.status in ("none", "voided"):
            return Said("done")
        return said_of(await self._provider(found).void(intent_of(self.links, found), f"{found.payment.id}:void"))

    async def time_left(self, ctx: Context, order: UUID) -> int:
        """For how many seconds the goods are still kept."""
        found = await self._order(ctx, order)
        until = found.reserved_until
        return 0 if until is None else max(0, int((until - ctx.engine.clock()).total_seconds()))

    # Noting what it said: one transaction each.

    async def authorized(self, tx: Transaction, said: Said, order: UUID) -> Standing:
        """What came of asking for the money."""
        found = await held(tx, order, "payment")
        payment = found.payment
        if said.what == "refused" or found.status in ("cancelled", "failed"):
            return "over"
        if payment.status in ("authorized", "captured", "none"):
            return "held"
        if said.what == "authorized":
            await tx.update(
                payment, status="authorized", reference=said.reference, client_secret=None, approve_url=None,
                where=lambda p: one_of(p.status, "pending", "action_needed", "unknown"),
            )  # fmt: skip
            found = await move(tx, found, "authorized")
            await ledger.post(
                tx, "authorization", str(payment.id), found, payment.amount.currency,
                ledger.authorized(payment.amount.amount),
            )  # fmt: skip
            await happened(tx, found, "authorized")
            return "held"
        if said.what == "act":
            await tx.update(
                payment, status="action_needed", reference=said.reference, client_secret=said.client_secret or None,
                approve_url=said.approve_url or None,
            )  # fmt: skip
            return "act"
        if said.what == "declined":
            await tx.update(payment, status="declined", reference=said.reference, reason=said.reason[:60])
            await happened(tx, found, "declined", said.reason)
            return "over"
        await tx.update(payment, status="unknown", reference=said.reference or payment.reference)
        return "ask_again"

    async def captured(self, tx: Transaction, said: Said, order: UUID) -> Standing:
        """What came of taking it: the goods are sold, and the order is paid."""
        found = await held(tx, order, "payment", "items")
        payment = found.payment
        if payment.status == "captured" or found.status == "paid":
            return "paid"
        if said.what == "refused":
            return "over"
        if said.what != "done":
            return "ask_again"
        if payment.status != "none":
            await self._taken(tx, found)
        if found.status in ("cancelled", "failed"):
            return "taken"
        paid = await move(tx, found, "paid", reserved_until=None)
        await stock.sell(tx, goods_of(found.items), str(found.number))
        await happened(tx, paid, "paid")
        await letters.receipt(tx, found, self.links.to(found), tax_included=self.terms.prices_include_tax)
        await tx.emit(Order.paid, paid)
        return "paid"

    async def release(self, tx: Transaction, order: UUID, why: str) -> None:
        """The order will not be: what was kept for it can be sold again, and its code used again."""
        found = await held(tx, order, "items")
        if found.status in ("pending", "authorized"):
            found = await move(tx, found, "failed", reserved_until=None)
            await let_go(tx, await tx.get(Order, order, expand=("items",)))
            await reopen(tx, found)
            await happened(tx, found, "failed", why)
            await tx.emit(Order.failed, found)

    async def voided(self, tx: Transaction, said: Said, order: UUID) -> Standing:
        """What came of letting it go. What was taken after all, by a capture that nobody answered, goes back."""
        found = await held(tx, order, "payment")
        payment = found.payment
        if said.what == "refused" and said.reason == "already_captured":
            if payment.status != "captured":
                await self._taken(tx, found)
            return "taken"
        if said.what == "refused":  # money may be held still: somebody has to look
            await happened(tx, found, "void_refused", said.reason)
            return "over"
        if said.what != "done":
            return "ask_again"
        if payment.status == "authorized":
            await ledger.post(
                tx, "void", str(payment.id), found, payment.amount.currency, ledger.let_go(payment.amount.amount)
            )
        if payment.status not in ("declined", "none", "voided"):
            await tx.update(payment, status="voided", client_secret=None, approve_url=None)
        return "over"

    async def give_back(self, tx: Transaction, order: UUID) -> None:
        """All that was taken goes back to the customer, by a refund."""
        found = await held(tx, order, "items", "payment")
        if found.payment.refundable:
            await self._give_back(tx, found, found.status)

    async def _taken(self, tx: Transaction, order: Order) -> None:
        """The money is ours, at the provider."""
        payment = order.payment
        total = payment.amount.amount
        await tx.update(
            payment, status="captured", captured=total, refundable=total, client_secret=None, approve_url=None
        )
        await ledger.post(
            tx, "capture", str(payment.id), order, payment.amount.currency,
            ledger.captured(total, shipping=shipping_net(order), discount=order.discount.amount,
                            tax=order.tax.amount, held=total),
        )  # fmt: skip

    # What all of them need.

    async def _order(self, ctx: Context, order: UUID) -> Order:
        async with ctx.transaction() as tx:
            return await tx.get(Order, order, expand=("payment",))

    def _provider(self, order: Order) -> Provider:
        return self.providers[order.payment.provider]


async def held(tx: Transaction, order: UUID, *expand: str) -> Order:
    """An order that nobody else changes until this transaction ends, as it then is. Two round trips.

    Whoever notes what a provider said looks first at what the order has become: between that look and what is written,
    nobody may cancel it, or what is noted would be refused for good, and money held for nobody.
    """
    await tx.hold("Order", str(order))
    return await tx.get(Order, order, expand=expand)


def intent_of(links: Links, order: Order) -> Intent:
    """What one payment is to take, of an order whose payment is loaded."""
    payment = order.payment
    return Intent(
        str(payment.id), payment.amount, str(order.number), order.email, payment.method,
        links.to(order), payment.reference,
    )  # fmt: skip


def said_of(answer: Authorized | Declined | ActionNeeded | Unknown | Done | Refused) -> Said:
    """An answer of a provider, as all of them are noted."""
    match answer:
        case Authorized():
            return Said("authorized", answer.reference, amount=answer.amount.amount)
        case Declined():
            return Said("declined", answer.reference, answer.reason)
        case ActionNeeded():
            return Said("act", answer.reference, "", 0, answer.client_secret, answer.approve_url)
        case Done():
            return Said("done", answer.reference, amount=answer.amount.amount)
        case Refused():
            return Said("refused", reason=answer.reason)
        case Unknown():
            return Said("unknown", answer.reference, answer.why)


def goods_of(items: Any) -> list[Goods]:
    """The goods of the lines of an order."""
    lines: list[OrderItem] = list(items)
    return [Goods(line.variant.id, line.quantity, line.name, tracked=line.tracked, owed=line.owed) for line in lines]


def shipping_net(order: Order) -> int:
    """What shipping costs without its tax."""
    return order.shipping.amount - order.shipping_tax.amount


def pause(asked: int) -> timedelta:
    """How long to wait until somebody is asked once more."""
    return timedelta(seconds=_PAUSES[min(asked, len(_PAUSES) - 1)])


async def reopen(tx: Transaction, order: Order) -> None:
    """The cart of an order that will not be is open again, unless its customer has opened another one."""
    if not order.cart:
        return
    known = UUID(order.cart)
    found = await tx.find(Cart, lambda one: (one.id == known) & (one.status == "ordered"), limit=1)
    if found:
        cart, customer = found[0], found[0].customer
        if customer is None:
            await tx.update(cart, status="open", order=None)
        elif not await tx.exists(Cart, lambda one: (one.customer == customer) & (one.slot == "open")):
            await tx.update(cart, status="open", slot="open", order=None)


async def let_go(tx: Transaction, order: Order) -> None:
    """The goods of an order that will not be can be sold again, and its code used again.

    Nothing of it was sold, so no line of it can come back: not even where its money was taken meanwhile.
    """
    await stock.release(tx, goods_of(order.items), str(order.number))
    for line in order.items:
        await tx.update(line, returnable=0)
    await give_back_code(tx, order)


async def give_back_code(tx: Transaction, order: Order) -> None:
    """A code whose order will not be can be used again."""
    from backstay.commerce.offer import Discount, DiscountUse

    for use in await tx.find(DiscountUse, lambda use: use.order == str(order.id), expand=("discount",)):
        discount = use.discount
        await tx.delete(use)
        if discount.left is not None:
            await tx.update(tx.ref(Discount, discount.id), left=lambda d: coalesce(d.left, 0) + 1)
