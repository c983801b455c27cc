"""Six messages about one payment, each three times, in any order and at any moment of it: one final state.

`make test` goes through 20 histories on each database, `make histories` through 1,000.
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from random import Random
from typing import Any

import msgspec

from backstay import Money
from backstay.commerce.catalogue import Variant
from backstay.commerce.ledger import LedgerEntry, Posting
from backstay.commerce.payments.play_money import SIGNATURE
from backstay.commerce.payments.port import Intent, State
from backstay.commerce.payments.signature import sign
from backstay.commerce.webhooks import PaymentEvent
from backstay.testing import Person, Trial
from tests.commerce.selling import Counter, Goods, money_of, stocked

HISTORIES = int(os.environ.get("HISTORIES", "20"))
TYPES = ("action_needed", "authorized", "captured", "refunded", "refunded", "never_heard_of")


async def hear(t: Trial, body: bytes) -> None:
    """Send a message to the shop, as its provider does, which signs it anew each time."""
    signature = sign(body, money_of(t)._secret, t.clock())
    headers = {"content-type": "application/json", SIGNATURE: signature}
    answer = await t.request("POST", "/api/webhooks/test", headers=headers, body=body)
    assert answer.status in (200, 204), answer


def history(payment: str, reference: str) -> list[bytes]:
    """The messages about a payment; of every second only the provider's own id says which payment it is."""
    made = []
    for number, word in enumerate(TYPES):
        about = {"payment": payment if number % 2 else "", "reference": reference}
        said = {"id": f"evt_{payment}_{number}", "type": f"payment.{word}", "created": 0, "data": about}
        made.append(msgspec.json.encode(said))
    return made


async def lived(t: Trial, goods: Goods, staff: Person, chance: Random) -> Any:
    """One purchase with two refunds, while its messages come whenever they come; how it ended."""
    guest = await Counter(t).open()
    (await guest.put(goods.assam)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    secret = order["payment"]["client_secret"]
    state = await truth(t, order["payment"]["id"])
    messages = history(state.payment, state.reference) * 3
    chance.shuffle(messages)
    cuts = sorted(chance.randrange(len(messages) + 1) for _ in range(4))
    parts = [messages[a:b] for a, b in zip([0, *cuts], [*cuts, len(messages)], strict=True)]

    async def come(part: list[bytes]) -> None:
        for message in part:
            await hear(t, message)
            if chance.randrange(3) == 0:
                await t.work()
        await t.work()

    await come(parts[0])
    assert await money_of(t).settle(secret, confirm=True)
    await come(parts[1])
    if (await guest.see(order["id"]))["status"] != "paid":  # every message came too early
        t.clock.advance(minutes=16)
        await t.work()
    for part, amount in ((parts[2], 100), (parts[3], 50)):
        headers = {"Idempotency-Key": f"{order['id']} {amount}"}
        refund = t.post(f"/api/orders/{order['id']}/refund", {"amount": amount}, as_=staff, headers=headers)
        (await refund).ok()
        await come(part)
    await come(parts[4])
    return await ended(t, guest, order["id"], state.payment)


async def truth(t: Trial, payment: str) -> State:
    """What the provider has in its books about a payment."""
    state = await money_of(t).lookup(Intent(payment, Money(1, "EUR"), "", ""))
    assert isinstance(state, State)
    return state


async def ended(t: Trial, guest: Counter, order: str, payment: str) -> Any:
    """All that is to be said of how a purchase ended, in every book."""
    seen = await guest.see(order)
    state = await truth(t, payment)
    async with t.transaction() as tx:
        postings = await tx.find(Posting, lambda one: one.order.payment.id == payment, limit=100)
        entries = await tx.find(LedgerEntry, lambda one: one.posting.order.payment.id == payment, limit=100)
        kept = await tx.count(PaymentEvent, lambda one: one.payment == payment)
    accounts = Tally[str]()
    for entry in entries:
        accounts[entry.account] += entry.amount
    return (
        (seen["status"], seen["payment"]["status"], seen["payment"]["captured"]),
        sorted((refund["amount"]["amount"], refund["status"]) for refund in seen["refunds"]),
        sorted(event["kind"] for event in seen["events"]),
        (state.status, state.authorized, state.captured, state.refunded, len(state.movements)),
        sorted(posting.kind for posting in postings),
        sorted((account, amount) for account, amount in accounts.items() if amount),
        kept,
    )


async def test_every_history_ends_in_the_same_state(t: Trial) -> None:
    goods = await stocked(t, assam=HISTORIES)
    staff = await t.user("staff@example.com", roles=["staff"])
    chance = Random(HISTORIES)
    ends = [await lived(t, goods, staff, chance) for _ in range(HISTORIES)]
    whole = 790 + 490
    assert ends[0][0] == ("partially_refunded", "captured", whole)
    assert ends[0][1] == [(50, "done"), (100, "done")]
    assert ends[0][3] == ("captured", whole, whole, 150, 3)
    assert ends[0][4] == ["authorization", "capture", "refund", "refund"]
    assert ends[0][6] == len(TYPES)
    assert [end for end in ends if end != ends[0]] == []
    async with t.transaction() as tx:
        left = await tx.get(Variant, goods.assam.id)
    assert (left.available, left.reserved) == (0, 0)
