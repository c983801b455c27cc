"""Purchases from the cart to the end, by whichever way the provider answers."""

from __future__ import annotations

from backstay.commerce.catalogue import Variant
from backstay.testing import Trial
from tests.commerce.selling import Counter, confirm, money_of, shop_of, stocked


async def counts(t: Trial, variant: Variant) -> tuple[int, int]:
    """What of a variant can be sold, and what is reserved."""
    async with t.transaction() as tx:
        now = await tx.get(Variant, variant.id)
    return now.available, now.reserved


async def test_a_guest_buys(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.assam, 2)).ok()
    cart = (await guest.put(goods.pot)).ok().json
    assert (cart["subtotal"]["amount"], cart["shipping"]["amount"], cart["total"]["amount"]) == (4079, 490, 4569)
    order = (await guest.pay()).ok()
    assert order.status == 201
    said = order.json
    assert (said["status"], said["total"], said["payment"]["status"]) == (
        "paid", {"amount": 4569, "currency": "EUR"}, "captured",
    )  # fmt: skip
    assert [(line["name"], line["quantity"], line["total"]["amount"]) for line in said["items"]] == [
        ("Assam", 2, 1580), ("Tea pot", 1, 2499),
    ]  # fmt: skip
    assert await counts(t, goods.assam) == (8, 0)
    (state,) = await money_of(t).books()
    assert (state.status, state.captured) == ("captured", 4569)
    seen = await guest.see(said["id"])
    assert [event["kind"] for event in seen["events"]] == ["placed", "authorized", "paid"]


async def test_a_customer_confirms_with_their_bank(t: Trial) -> None:
    goods = await stocked(t)
    ada = await t.user("ada@example.com")
    buyer = await Counter(t, ada).open()
    (await buyer.put(goods.green)).ok()
    order = (await buyer.pay("pm_3ds")).ok().json
    assert (order["status"], order["payment"]["status"]) == ("pending", "action_needed")
    assert order["payment"]["client_secret"] in order["payment"]["approve_url"]
    assert await counts(t, goods.green) == (9, 1)
    await confirm(t, order)
    await t.work()
    seen = await buyer.see(order["id"])
    assert (seen["status"], seen["payment"]["status"], seen["payment"]["client_secret"]) == ("paid", "captured", None)
    assert await counts(t, goods.green) == (9, 0)


async def test_who_does_not_confirm_in_time_keeps_nothing(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot, 2)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    assert await counts(t, goods.pot) == (0, 2)
    t.clock.advance(minutes=16)
    await t.work()
    seen = await guest.see(order["id"])
    assert (seen["status"], seen["payment"]["status"]) == ("failed", "voided")
    assert await counts(t, goods.pot) == (2, 0)
    assert (await guest.pay()).ok().json["status"] == "paid"  # the cart is open again


async def test_who_refuses_at_the_bank_keeps_nothing(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    await confirm(t, order, "decline")
    await t.work()
    assert (await guest.see(order["id"]))["status"] == "failed"
    assert await counts(t, goods.pot) == (2, 0)


async def test_a_declined_payment_is_402_and_the_cart_is_open_again(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    for method in ("pm_declined", "pm_insufficient"):
        refused = (await guest.pay(method)).refused("payment_declined")
        assert refused.status == 402
        assert await counts(t, goods.pot) == (2, 0)
    assert (await guest.pay()).ok().json["status"] == "paid"


async def test_an_answer_that_is_lost_charges_once(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay("pm_lost_answer")).ok().json
    assert (order["status"], order["payment"]["status"]) == ("pending", "unknown")
    for _ in range(4):
        t.clock.advance(minutes=1)
        await t.work()
    assert (await guest.see(order["id"]))["status"] == "paid"
    (state,) = await money_of(t).books()
    assert (state.status, state.captured) == ("captured", 2499 + 490)
    assert await counts(t, goods.pot) == (1, 0)


async def test_a_payment_that_never_arrives_is_ended_by_cancelling(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay("pm_timeout")).ok().json
    headers = {**guest.headers, "Idempotency-Key": "cancel-this-order-please"}
    cancelled = (await t.post(f"/api/orders/{order['id']}/cancel", {}, headers=headers)).ok().json
    assert cancelled["status"] == "cancelled"
    assert await counts(t, goods.pot) == (2, 0)
    t.clock.advance(minutes=1)
    await t.work()
    assert (await guest.see(order["id"]))["payment"]["status"] == "voided"


async def test_the_same_key_is_one_order(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    first = (await guest.pay(key="the-same-key-each-time-1")).ok()
    again = (await guest.pay(key="the-same-key-each-time-1")).ok()
    assert first.body == again.body
    assert len(await money_of(t).books()) == 1
    (await guest.pay()).refused("cart_ordered")


async def test_a_message_of_the_provider_wakes_and_decides_nothing(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()
    order = (await guest.pay()).ok().json
    async with t.transaction() as tx:
        before = await tx.find(Variant, sort="id")
    context = t.app.running.context_of
    from backstay.plan.actor import SYSTEM

    assert await shop_of(t).deliver(context(SYSTEM)) >= 1
    await t.work()
    async with t.transaction() as tx:
        after = await tx.find(Variant, sort="id")
    assert [v.available for v in before] == [v.available for v in after]
    assert (await guest.see(order["id"]))["status"] == "paid"
    forged = await t.request("POST", "/api/webhooks/test", headers={"content-type": "application/json"}, body=b"{}")
    forged.refused("webhook_not_genuine")
