"""The books of a shop compared: orders, payments, ledger, stock, codes, and what each provider says.

Invariant: everything is worked out anew from what was written down line by line, and nothing is corrected: what does
not agree is said, with what was found, what was expected, and what to do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from backstay.commerce.catalogue import StockMovement, Variant
from backstay.commerce.ledger import Posting
from backstay.commerce.link import Links
from backstay.commerce.offer import Discount, DiscountUse
from backstay.commerce.order import Order
from backstay.commerce.payments.port import Provider, Unknown
from backstay.commerce.purchase import intent_of
from backstay.model.declare import Model
from backstay.store.context import Context

M = TypeVar("M", bound=Model)
_PAGE = 200
_OVERDUE = timedelta(minutes=5)
_TAKEN = ("paid", "fulfilled", "partially_refunded", "refunded")


@dataclass(frozen=True, slots=True)
class Finding:
    """Two books that do not agree, or an order that does not move. `of` is a number people know it by."""

    book: str
    of: str
    found: str
    expected: str
    advice: str


@dataclass(slots=True)
class Verified:
    """What was compared, and what does not agree."""

    counted: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def agree(self, book: str, of: str, found: object, expected: object, advice: str) -> None:
        """Compare two values."""
        if found != expected:
            self.findings.append(Finding(book, of, str(found), str(expected), advice))


async def verify(
    ctx: Context,
    providers: Mapping[str, Provider],
    links: Links,
    step: Callable[[str, int], None] = lambda book, count: None,
) -> Verified:
    """Compare all books. `step` is told how far it has come. A round trip for each 200 records, and for each payment
    one question to its provider.
    """
    verified = Verified()
    reserved: Counter[UUID] = Counter()
    await _orders(ctx, providers, links, verified, reserved, step)
    await _ledger(ctx, verified, step)
    await _stock(ctx, verified, reserved, step)
    await _codes(ctx, verified)
    return verified


async def _orders(
    ctx: Context, providers: Mapping[str, Provider], links: Links, verified: Verified, reserved: Counter[UUID],
    step: Callable[[str, int], None],
) -> None:  # fmt: skip
    async for order in _all(ctx, Order, ("items", "payment", "refunds")):
        verified.counted["orders"] += 1
        step("orders", verified.counted["orders"])
        number, payment = f"order {order.number}", order.payment
        lines = list(order.items)
        total = sum(line.total.amount for line in lines) + order.shipping.amount
        verified.agree("order", number, order.total.amount, total, "Its total is not the sum of its lines.")
        verified.agree("payment", number, payment.amount, order.total, "Another amount was asked for than it costs.")
        _state(ctx, verified, order)
        for line in lines:
            if order.status in ("pending", "authorized") and line.tracked and not line.owed:
                reserved[line.variant.id] += line.quantity
        given = sum(one.amount.amount for one in order.refunds if one.status == "done")
        waiting = sum(one.amount.amount for one in order.refunds if one.status == "pending")
        verified.agree(
            "refunds", number, payment.refundable, payment.captured - given - waiting,
            "What can still be given back is not what was taken less what went back.",
        )  # fmt: skip
        if payment.status != "none":
            await _at_provider(providers, links, verified, order, given)


def _state(ctx: Context, verified: Verified, order: Order) -> None:
    number, payment = f"order {order.number}", order.payment
    if order.status in _TAKEN:
        expected = "none" if order.total.amount == 0 else "captured"
        verified.agree("payment", number, payment.status, expected, "It counts as paid: look at its payment.")
    elif order.status == "failed" and payment.status in ("authorized", "captured"):
        verified.agree("payment", number, payment.status, "voided", "It failed, and money is held: void or refund it.")
    overdue = order.reserved_until is not None and order.reserved_until + _OVERDUE < ctx.engine.clock()
    if order.status in ("pending", "authorized") and overdue:
        verified.agree(
            "order", number, order.status, "paid or failed", "It does not move: backstay jobs list shows its flow."
        )


async def _at_provider(
    providers: Mapping[str, Provider], links: Links, verified: Verified, order: Order, given: int
) -> None:
    number, payment = f"order {order.number}", order.payment
    provider = providers.get(payment.provider)
    if provider is None:
        verified.agree("provider", number, payment.provider, "a provider of the shop", "Name it in payments=[...].")
        return
    state = await provider.lookup(intent_of(links, order))
    verified.counted["payments"] += 1
    if isinstance(state, Unknown):
        verified.agree("provider", number, "no answer", "an answer", "Try again when the provider answers.")
        return
    advice = "The provider's books say otherwise: look there, and correct by a refund or a capture."
    verified.agree("provider", number, f"captured {state.captured}", f"captured {payment.captured}", advice)
    verified.agree("provider", number, f"refunded {state.refunded}", f"refunded {given}", advice)
    if order.status in ("failed", "cancelled") and state.status == "authorized":
        verified.agree("provider", number, "authorized", "voided", "Money is held for an order that will not be.")


async def _ledger(ctx: Context, verified: Verified, step: Callable[[str, int], None]) -> None:
    provider: Counter[tuple[str, str]] = Counter()
    balance: dict[str, Counter[str]] = defaultdict(Counter)
    async for posting in _all(ctx, Posting, ("entries", "order")):
        verified.counted["postings"] += 1
        step("ledger", verified.counted["postings"])
        entries = list(posting.entries)
        verified.agree(
            "ledger", posting.key, sum(entry.amount for entry in entries), 0, "Debits and credits of it differ."
        )
        for entry in entries:
            balance[entry.currency][entry.account] += entry.amount
            if entry.account == "provider":
                provider[(str(posting.order.id), posting.kind)] += entry.amount
    for currency, accounts in balance.items():
        verified.agree("ledger", currency, sum(accounts.values()), 0, "Debits and credits of this currency differ.")
        verified.agree("ledger", currency, accounts["held"] + accounts["promised"], 0, "What is held is not promised.")
    async for order in _all(ctx, Order, ("payment", "refunds")):
        number, key = f"order {order.number}", str(order.id)
        given = sum(one.amount.amount for one in order.refunds if one.status == "done")
        verified.agree(
            "ledger", number, provider[(key, "capture")], order.payment.captured, "What was taken is not booked."
        )
        verified.agree("ledger", number, -provider[(key, "refund")], given, "What was given back is not booked.")


async def _stock(ctx: Context, verified: Verified, reserved: Counter[UUID], step: Callable[[str, int], None]) -> None:
    moved: dict[UUID, Counter[str]] = defaultdict(Counter)
    async for line in _all(ctx, StockMovement):
        verified.counted["movements"] += 1
        step("stock", verified.counted["movements"])
        moved[line.variant.id].update({"available": line.available, "reserved": line.reserved, "owed": line.owed})
    async for variant in _all(ctx, Variant):
        verified.counted["variants"] += 1
        sums = moved[variant.id]
        for name in ("available", "reserved", "owed"):
            verified.agree(
                "stock", f"{variant.sku} {name}", getattr(variant, name), sums[name],
                "Its count is not the sum of its movements: count the shelf, and book the difference.",
            )  # fmt: skip
        verified.agree(
            "stock", f"{variant.sku} reserved", variant.reserved, reserved[variant.id],
            "What is reserved is not what orders wait for.",
        )  # fmt: skip


async def _codes(ctx: Context, verified: Verified) -> None:
    uses: Counter[tuple[UUID, str]] = Counter()
    async for use in _all(ctx, DiscountUse):
        verified.counted["uses of codes"] += 1
        uses[(use.discount.id, use.who)] += 1
    async for discount in _all(ctx, Discount):
        for (key, who), count in uses.items():
            if key == discount.id and discount.per_customer is not None and count > discount.per_customer:
                verified.agree("codes", f"{discount.code} of {who}", count, discount.per_customer, "Used too often.")


async def _all(ctx: Context, model: type[M], expand: tuple[str, ...] = ()) -> AsyncIterator[M]:
    """Every record, in the order of their ids."""
    last: Any = None
    while True:
        async with ctx.transaction(as_system=True) as tx:
            if last is None:
                page = await tx.find(model, sort="id", limit=_PAGE, expand=expand)
            else:
                page = await tx.find(model, _behind(last), sort="id", limit=_PAGE, expand=expand)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        last = page[-1].id


def _behind(last: Any) -> Callable[[Any], Any]:
    return lambda record: record.id > last
