"""An order that is cancelled while its money is being taken costs nothing: what was taken goes back, and is in the
books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backstay import Money
from backstay.commerce.catalogue import Variant
from backstay.commerce.ledger import LedgerEntry
from backstay.commerce.order import OrderItem, Payment
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.payments.port import Authorization, Authorized, Intent, Outcome, Refused
from backstay.store.transaction import Transaction
from backstay.testing import Trial
from tests.commerce.selling import Counter, confirm, money_of, stocked

PAID = 2499 + 490


async def cancel(t: Trial, guest: Counter, order: Any) -> None:
    headers = {**guest.headers, "Idempotency-Key": f"cancel {order['id']}"}
    answer = (await t.post(f"/api/orders/{order['id']}/cancel", {}, headers=headers)).ok()
    assert answer.json["status"] == "cancelled"


async def waiting(t: Trial, method: str = "pm_3ds") -> tuple[Counter, Any, Variant]:
    """A guest whose order waits for its money."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    return guest, (await guest.pay(method)).ok().json, goods.pot


async def work(t: Trial) -> None:
    """Let everything be done that is to be done in an hour."""
    for _ in range(12):
        t.clock.advance(minutes=5)
        await t.work()


async def agree(t: Trial, guest: Counter, order: Any, pot: Variant, *, captured: int) -> Any:
    """Nothing is left of it, in any book; what was captured was given back."""
    (state,) = await money_of(t).books()
    assert (state.captured, state.refunded) == (captured, captured)
    assert state.status == ("captured" if captured else "voided")
    async with t.transaction() as tx:
        entries = await tx.find(LedgerEntry, limit=200)
        now = await tx.get(Variant, pot.id)
    assert sum(entry.amount for entry in entries) == 0
    for account in ("provider", "held", "promised"):
        assert sum(entry.amount for entry in entries if entry.account == account) == 0, account
    assert (now.available, now.reserved) == (2, 0)
    async with t.transaction() as tx:
        lines = await tx.find(OrderItem)
    assert [line.returnable for line in lines] == [0]  # nothing of it was sold: staff can put nothing back twice
    seen = await guest.see(order["id"])
    assert seen["status"] == "cancelled"
    assert [(refund["amount"]["amount"], refund["status"]) for refund in seen["refunds"]] == (
        [(captured, "done")] if captured else []
    )
    return seen


async def test_after_a_capture_that_nobody_answered(t: Trial) -> None:
    guest, order, pot = await waiting(t, "pm_lost_answer")
    for _ in range(10):
        (state,) = await money_of(t).books()
        if state.status == "captured":
            break
        t.clock.advance(seconds=1)
        await t.work()
    assert (await guest.see(order["id"]))["status"] == "authorized"  # it was taken, and nobody was told
    await cancel(t, guest, order)
    await work(t)
    seen = await agree(t, guest, order, pot, captured=PAID)
    assert seen["payment"]["status"] == "captured"


Done = Callable[..., Awaitable[Any]]


async def test_while_the_provider_captures(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, order, pot = await waiting(t)
    capture: Done = PlayMoney.capture

    async def slow(self: PlayMoney, intent: Intent, key: str, amount: Money) -> Outcome:
        answer: Outcome = await capture(self, intent, key, amount)
        await cancel(t, guest, order)
        return answer

    monkeypatch.setattr(PlayMoney, "capture", slow)
    await confirm(t, order)
    await work(t)
    await agree(t, guest, order, pot, captured=PAID)


async def test_while_the_provider_authorizes(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, order, pot = await waiting(t)
    authorize: Done = PlayMoney.authorize

    async def slow(self: PlayMoney, intent: Intent) -> Authorization:
        answer: Authorization = await authorize(self, intent)
        await cancel(t, guest, order)
        return answer

    monkeypatch.setattr(PlayMoney, "authorize", slow)
    await confirm(t, order)
    await work(t)
    await agree(t, guest, order, pot, captured=0)


async def test_what_is_authorized_for_another_amount_is_let_go(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, order, _ = await waiting(t)

    async def other(self: PlayMoney, intent: Intent) -> Authorization:
        return Authorized("pay_1", Money(intent.amount.amount - 1, "EUR"))

    monkeypatch.setattr(PlayMoney, "authorize", other)
    await confirm(t, order)
    await work(t)
    seen = await guest.see(order["id"])
    assert (seen["status"], seen["payment"]["reason"]) == ("failed", "another_amount")
    (state,) = await money_of(t).books()
    assert (state.status, state.captured) == ("voided", 0)


async def test_a_void_that_is_refused_is_in_the_timeline(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, order, _ = await waiting(t)

    async def refused(self: PlayMoney, intent: Intent, key: str) -> Outcome:
        return Refused("key_reused")

    monkeypatch.setattr(PlayMoney, "void", refused)
    await cancel(t, guest, order)
    await work(t)
    seen = await guest.see(order["id"])
    assert seen["payment"]["status"] != "voided"
    assert [event["said"] for event in seen["events"] if event["kind"] == "void_refused"] == ["key_reused"]


async def test_a_cancellation_waits_for_what_is_just_being_noted(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what the provider said would be refused for good, and money would be held of which nobody knows."""
    guest, order, pot = await waiting(t)
    await money_of(t).settle(order["payment"]["client_secret"], confirm=True)
    real, noting = Transaction.update, asyncio.Event()

    async def slow(self: Transaction, record: Any, **values: Any) -> Any:
        if isinstance(record, Payment) and values.get("status") == "authorized":
            noting.set()
            await asyncio.sleep(0.3)
        return await real(self, record, **values)

    monkeypatch.setattr(Transaction, "update", slow)
    confirming = asyncio.create_task(t.post(f"/api/orders/{order['id']}/confirm", headers=guest.headers))
    await noting.wait()
    await cancel(t, guest, order)
    await confirming
    await work(t)
    (state,) = await money_of(t).books()
    assert (state.status, state.refunded) in (("voided", 0), ("captured", PAID))
    await agree(t, guest, order, pot, captured=state.captured)
