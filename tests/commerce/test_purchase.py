"""Purchases from the cart to the end, by whichever way the provider answers."""

from __future__ import annotations

from typing import Any

import pytest

from backstay import Context
from backstay.commerce.catalogue import Variant
from backstay.errors import Unavailable
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


async def test_who_comes_back_from_the_bank_need_not_wait_for_its_message(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.green)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    path = f"/api/orders/{order['id']}/confirm"
    other = await Counter(t).open()
    (await t.post(path)).refused("not_signed_in")
    (await t.post(path, headers=other.headers)).refused("not_found")
    assert (await t.post(path, headers=guest.headers)).ok().json["status"] == "pending"
    assert await money_of(t).settle(order["payment"]["client_secret"], confirm=True)  # no message is delivered
    for _ in range(2):
        back = (await t.post(path, headers=guest.headers)).ok().json
        assert (back["status"], back["payment"]["status"]) == ("paid", "captured")
    assert await counts(t, goods.green) == (9, 0)


async def test_who_is_signed_in_by_cookies_confirms_on_the_page_of_play_money(t: Trial) -> None:
    """Its form is no JSON: cookies say nothing there, and the secret in its address says all."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.green)).ok()
    order = (await guest.pay("pm_3ds")).ok().json
    answered = await t.request(
        "POST", f"/dev/pay/{order['payment']['client_secret']}", body=b"answer=confirm",
        headers={"content-type": "application/x-www-form-urlencoded", "cookie": "backstay_access=bst_of_somebody",
                 "sec-fetch-site": "same-origin"},
    )  # fmt: skip
    assert answered.status == 303, answered
    assert answered.headers["location"].startswith("http://localhost:8000/shop/orders/")
    await t.work()
    assert (await guest.see(order["id"]))["status"] == "paid"


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


async def test_who_asks_again_is_told_of_their_own_order(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of the next one of the same cart: the first was declined while nobody was there to be told."""
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.pot)).ok()

    async def interrupted(self: Context, *said: Any, **how: Any) -> Any:
        raise Unavailable("The process ends.")

    with monkeypatch.context() as patched:
        patched.setattr(Context, "drive", interrupted)
        assert (await guest.pay("pm_declined", key="the first of them all")).status == 503
    t.clock.advance(seconds=60)  # nobody has it any more
    await t.work()
    other = (await guest.pay("pm_ok", key="another one of this cart")).ok().json
    assert (other["status"], other["number"]) == ("paid", 2)
    (await guest.pay("pm_declined", key="the first of them all")).refused("payment_declined")
    assert (await guest.pay("pm_ok", key="another one of this cart")).ok().json["id"] == other["id"]


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


async def test_a_receipt_is_mailed_once_and_its_link_opens_the_order(t: Trial) -> None:
    goods = await stocked(t)
    guest = await Counter(t).open()
    (await guest.put(goods.assam, 2)).ok()
    order = (await guest.pay(language="de")).ok().json
    assert t.mails == []
    await t.work()
    (mail,) = t.mails
    assert (mail.to, mail.subject) == ("guest@example.com", f"Ihre Bestellung {order['number']}")
    assert "Assam" in mail.text
    (address,) = [word for word in mail.text.split() if "/shop/orders/" in word]
    path = address.removeprefix("http://localhost:8000")
    page = (await t.get(path)).ok()
    assert "Thank you: your payment has arrived." in page.text
    token = path.partition("token=")[2]
    read = (await t.get(f"/api/orders/{order['id']}", headers={"X-Order-Token": token})).ok().json
    assert read["number"] == order["number"]
    assert (await t.get(path.replace(token[:8], "00000000"))).status == 404
    t.clock.advance(days=31)
    assert (await t.get(path)).status == 404
    await t.work()
    assert len(t.mails) == 1


async def test_a_part_is_given_back_and_told(t: Trial) -> None:
    goods = await stocked(t)
    ada = await t.user("ada@example.com")
    staff = await t.user("staff@example.com", roles=["staff"])
    buyer = await Counter(t, ada).open()
    (await buyer.put(goods.assam, 3)).ok()
    order = (await buyer.pay()).ok().json
    said = {"items": [{"item": order["items"][0]["id"], "quantity": 1}], "reason": "broken"}
    path = f"/api/orders/{order['id']}/refund"
    key = {"Idempotency-Key": "a-key-of-the-staff-1"}
    assert (await t.post(path, said, as_=ada, headers=key)).status == 403
    partly = (await t.post(path, said, as_=staff, headers=key)).ok().json
    assert partly["status"] == "partially_refunded"
    seen = await buyer.see(order["id"])
    assert [(one["amount"]["amount"], one["status"]) for one in seen["refunds"]] == [(790, "done")]
    assert await counts(t, goods.assam) == (8, 0)
    rest = (await t.post(path, {}, as_=staff, headers={"Idempotency-Key": "a-key-of-the-staff-2"})).ok().json
    assert rest["status"] == "refunded"
    (state,) = await money_of(t).books()
    assert (state.captured, state.refunded) == (3 * 790 + 490, 3 * 790 + 490)
    (await t.post(path, {"amount": 1}, as_=staff, headers={"Idempotency-Key": "a-key-of-the-staff-3"})).refused(
        "over_refunded"
    )
    await t.work()
    assert [mail.subject for mail in t.mails] == [
        f"Your order {order['number']}", f"Refund for your order {order['number']}",
        f"Refund for your order {order['number']}",
    ]  # fmt: skip


async def test_what_was_paid_and_not_sent_can_be_cancelled_and_what_was_sent_cannot(t: Trial) -> None:
    goods = await stocked(t)
    ada = await t.user("ada@example.com")
    staff = await t.user("staff@example.com", roles=["staff"])
    orders = []
    for _ in range(2):
        buyer = await Counter(t, ada).open()
        (await buyer.put(goods.pot)).ok()
        orders.append((await buyer.pay()).ok().json)
    cancelled = await t.post(f"/api/orders/{orders[0]['id']}/cancel", {}, as_=ada, headers={"Idempotency-Key": "one"})
    assert cancelled.ok().json["status"] == "cancelled"
    assert await counts(t, goods.pot) == (1, 0)
    sent = await t.post(f"/api/orders/{orders[1]['id']}/fulfil", {"tracking": "00340"}, as_=staff)
    assert (sent.ok().json["status"], sent.json["tracking"]) == ("fulfilled", "00340")
    late = await t.post(f"/api/orders/{orders[1]['id']}/cancel", {}, as_=ada, headers={"Idempotency-Key": "two"})
    late.refused("wrong_state")
    states = await money_of(t).books()
    assert sorted((state.captured, state.refunded) for state in states) == [(2989, 0), (2989, 2989)]
