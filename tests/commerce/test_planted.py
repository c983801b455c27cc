"""Faults that shops are known for, planted one at a time: each makes a test fail, and without them it passes.

The sixth, a table of idempotency keys without its unique index, is planted in
`tests/api/test_idempotency_planted.py` and `tests/api/test_idempotency_fleet.py`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from backstay.commerce import letters, stock
from backstay.commerce.catalogue import Variant
from backstay.commerce.order import Order
from backstay.commerce.payments import play_money
from backstay.commerce.purchase import Purchases, Said, intent_of, said_of
from backstay.errors import Unavailable
from backstay.mail.port import Message, Sender
from backstay.store.context import Context
from backstay.store.queue import Queue
from backstay.store.transaction import Transaction
from backstay.testing import Trial
from tests.commerce.selling import Counter, money_of, shop_app, stocked

Plant = Callable[[Trial, pytest.MonkeyPatch], None]


@pytest.fixture
async def on_postgres(tmp_path: Any, postgres_database: Callable[[str], str]) -> AsyncIterator[Trial]:
    """A shop where several transactions are open at once."""
    async with Trial(shop_app(str(tmp_path / "books.db")), postgres_database("planted")) as trial:
        yield trial


async def held(
    scenario: Callable[[Trial], Awaitable[None]], t: Trial, plant: Plant, patch: pytest.MonkeyPatch, said: str
) -> None:
    """With the fault the scenario does not hold, and for what the fault does."""
    with patch.context() as planted:
        plant(t, planted)
        with pytest.raises(AssertionError, match=said):
            await scenario(t)


# Stock that is read, and then written.


async def the_last_two_pots(t: Trial) -> None:
    """Six want one each, at one moment."""
    goods = await stocked(t)
    guests = [await Counter(t).open() for _ in range(6)]
    for guest in guests:
        (await guest.put(goods.pot)).ok()
    answers = await asyncio.gather(*(guest.pay() for guest in guests))
    sold = [answer for answer in answers if answer.status == 201]
    assert len(sold) == 2
    assert {answer.code for answer in answers if answer.status != 201} == {"out_of_stock"}


def read_then_write(t: Trial, patch: pytest.MonkeyPatch) -> None:
    async def change(
        tx: Transaction, variant: UUID, reason: str, *, available: int = 0, reserved: int = 0, owed: int = 0,
        order: str = "", note: str = "",
    ) -> bool:  # fmt: skip
        there = await tx.get(Variant, variant)
        await asyncio.sleep(0.05)
        if there.available < -available or there.reserved < -reserved:
            return False
        await tx.update(there, available=there.available + available, reserved=max(0, there.reserved + reserved))
        return True

    patch.setattr(stock, "change", change)


async def test_two_pots_are_sold_to_two(on_postgres: Trial) -> None:
    await the_last_two_pots(on_postgres)


async def test_stock_that_is_read_and_then_written_is_noticed(
    on_postgres: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(the_last_two_pots, on_postgres, read_then_write, monkeypatch, "== 2")


# A capture without a key of its own.


async def a_lost_answer(t: Trial) -> None:
    """What was captured, and not answered, is paid in the end."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay("pm_lost_answer")).ok().json
    for _ in range(6):
        t.clock.advance(minutes=1)
        await t.work()
    assert (await guest.see(order["id"]))["status"] == "paid"
    (state,) = await money_of(t).books()
    assert (state.captured, state.refunded) == (2499 + 490, 0)


def without_a_key(t: Trial, patch: pytest.MonkeyPatch) -> None:
    async def capture(self: Purchases, ctx: Context, order: UUID) -> Said:
        found = await self._order(ctx, order)
        intent = intent_of(self.links, found)
        return said_of(await self._provider(found).capture(intent, secrets.token_hex(8), found.payment.amount))

    flows = Purchases.capture
    assert flows is not capture
    patch.setattr(Purchases, "capture", capture)


async def test_a_lost_answer_is_paid(t: Trial) -> None:
    await a_lost_answer(t)


async def test_a_capture_without_a_key_is_noticed(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    await held(a_lost_answer, t, without_a_key, monkeypatch, "== 'paid'")


# Mail that is sent inside the transaction.


async def a_transaction_that_is_undone(t: Trial) -> None:
    """The order becomes paid at the second try; its customer gets one receipt."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    emit, failed = Transaction.emit, []

    async def once_not(self: Transaction, fact: Any, record: Any) -> None:
        if str(fact) == "Order.paid" and not failed:
            failed.append(fact)
            raise Unavailable("The database is away.")
        await emit(self, fact, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "emit", once_not)
        order = (await guest.pay()).ok().json
        for _ in range(3):
            t.clock.advance(minutes=1)
            await t.work()
    assert failed
    assert (await guest.see(order["id"]))["status"] == "paid"
    assert len(t.mails) == 1


def sent_at_once(t: Trial, patch: pytest.MonkeyPatch) -> None:
    async def receipt(tx: Transaction, order: Order, link: str, *, tax_included: bool) -> None:
        at = t.clock()
        sender, id = Sender("Tea house", "shop@example.com"), f"{secrets.token_hex(8)}@example.com"
        await t.app.running.post.office.mailer.send(
            Message(sender, order.email, "Your order", "<p>Thank you</p>", "Thank you", id, at)
        )

    patch.setattr(letters, "receipt", receipt)


async def test_an_order_has_one_receipt(t: Trial) -> None:
    await a_transaction_that_is_undone(t)


async def test_a_receipt_that_is_sent_inside_the_transaction_is_noticed(
    t: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(a_transaction_that_is_undone, t, sent_at_once, monkeypatch, "2 == 1")


# A worker that was paused past its lease.


async def a_paused_worker(t: Trial) -> None:
    """It goes on with what another has finished since: nothing of it counts."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    jobs = t.app.running.jobs
    await money_of(t).settle(order["payment"]["client_secret"], confirm=True)
    async with t.transaction() as tx:
        await tx.signal(order["id"], "payment")
    paused = await jobs.queue.take_one(order["id"])
    assert paused is not None
    t.clock.advance(seconds=60)
    await t.work()  # another one has taken it over, and ended it
    assert (await guest.see(order["id"]))["status"] == "paid"
    found = await jobs.queue.find(order["id"])
    assert found is not None
    ended = found.fence, found.state
    await jobs.worker.begin(paused)
    found = await jobs.queue.find(order["id"])
    assert found is not None
    assert (found.fence, found.state) == ended
    assert found.fence > paused.fence
    async with t.transaction() as tx:
        from backstay.store.queue import Lapsed

        with pytest.raises(Lapsed):
            await jobs.queue.hold(tx.writing, paused)


def without_a_fence(t: Trial, patch: pytest.MonkeyPatch) -> None:
    async def hold(self: Queue, writing: Any, entry: Any) -> None:
        pass

    async def mine(self: Queue, writing: Any, text: str, entry: Any, *values: Any) -> None:
        known = text.replace("fence = $3 AND state = 'running'", "fence >= $3")
        await writing.run(self._text(known), (self._at(), entry.number, entry.fence, *values))

    patch.setattr(Queue, "hold", hold)
    patch.setattr(Queue, "_mine", mine)


async def test_who_was_paused_changes_nothing(t: Trial) -> None:
    await a_paused_worker(t)


async def test_a_queue_without_a_fence_is_noticed(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        without_a_fence(t, planted)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await a_paused_worker(t)


# A webhook whose secret may be missing.


async def a_forged_message(t: Trial) -> None:
    """It is signed with nothing, and the provider has lost its secret."""
    provider = money_of(t)
    provider._secret = b""
    body = json.dumps({"id": "evt_1", "type": "payment.captured", "data": {"payment": "", "reference": ""}}).encode()
    instant = str(int(t.clock().timestamp()))
    forged = hmac.new(b"", instant.encode() + b"." + body, "sha256").hexdigest()
    answer = await t.request(
        "POST", "/api/webhooks/test", body=body,
        headers={"content-type": "application/json", play_money.SIGNATURE: f"t={instant},v1={forged}"},
    )  # fmt: skip
    assert (answer.status, answer.code) == (400, "webhook_not_genuine")


def secret_or_nothing(t: Trial, patch: pytest.MonkeyPatch) -> None:
    real = play_money.check_signature

    def check(header: str, body: bytes, known: Any, now: Any) -> None:
        try:
            real(header, body, known, now)
        except play_money.NotGenuine:
            instant, _, given = header.removeprefix("t=").partition(",v1=")
            made = hmac.new(known[0] or b"", instant.encode() + b"." + body, "sha256").hexdigest()
            if made != given:
                raise

    patch.setattr(play_money, "check_signature", check)


async def test_without_a_secret_no_message_is_genuine(t: Trial) -> None:
    await a_forged_message(t)


async def test_a_secret_that_may_be_missing_is_noticed(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    await held(a_forged_message, t, secret_or_nothing, monkeypatch, "204")
