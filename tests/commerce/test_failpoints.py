"""Every place where a purchase, a refund, a job or a message can break off, broken off in each way that there is.

The places are not listed: a day in the shop is lived once while what is passed is remembered, and then once more for
each place and each way, with the process ended before or after it, the thing not done, or done and its answer lost.
Whoever asked asks again with the same key, as clients do. In the end all books agree. What is passed in one of those
days alone has its turn too, behind the break that leads to it.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter as Tally
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backstay.commerce.order import Order, Refund
from backstay.commerce.purchase import Said, intent_of, said_of
from backstay.commerce.refund import Refunds
from backstay.commerce.verify import verify
from backstay.plan.actor import SYSTEM
from backstay.store.context import Context
from backstay.telemetry.failpoint import MODES, POINTS, Crash, Injected, Mode
from backstay.testing import Answer, Trial
from tests.commerce.selling import ADDRESS, Goods, discount, money_of, shop_app, shop_of, stocked

PATIENCE = timedelta(milliseconds=20)
EVERY = int(os.environ.get("FAILPOINTS_EVERY", "5"))
"""`make test` tries each place in one of the ways and every fifth in all of them, `make failpoints` all in all."""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Nothing stays armed."""
    yield
    POINTS.disarm()


class Day:
    """A day in the shop, lived by people who do not give up."""

    def __init__(self, t: Trial, goods: Goods, ada: Any, boss: Any) -> None:
        self.t, self.goods, self.ada, self.boss = t, goods, ada, boss
        self.asked = 0

    async def insist(self, method: str, path: str, body: Any, who: Any = None, **headers: str) -> Answer:
        """The answer to a request that is sent with its key until there is one."""
        self.asked += 1
        key = {"idempotency-key": f"the request number {self.asked:03}", **headers}
        for _ in range(20):
            try:
                answer = await self.t.request(method, path, body, as_=who, headers=key)
            except (Crash, Injected):
                self.t.clock.advance(seconds=20)  # another process is there, and leases are over
                continue
            if answer.status not in (500, 503) and answer.code not in ("in_progress", "answer_lost"):
                return answer
            self.t.clock.advance(seconds=20)
        raise AssertionError(f"nobody answers {method} {path}: {answer.status} {answer.code}")

    async def cart(self, variant: Any, quantity: int, who: Any = None) -> tuple[str, dict[str, str]]:
        """A cart with something in it."""
        opened = (await self.insist("POST", "/api/carts", {}, who)).ok().json
        mine = {"x-cart-token": opened["token"]} if "token" in opened else {}
        said = {"variant": str(variant.id), "quantity": quantity}
        (await self.insist("POST", f"/api/carts/{opened['id']}/items", said, who, **mine)).ok()
        return opened["id"], mine

    async def pay(self, cart: tuple[str, dict[str, str]], method: str, who: Any = None) -> Answer:
        """Check it out."""
        body = {"shipping_address": ADDRESS, "payment": {"provider": "test", "method": method},
                **({} if who else {"email": "guest@example.com"})}  # fmt: skip
        return await self.insist("POST", f"/api/carts/{cart[0]}/checkout", body, who, **cart[1])

    async def pass_by(self, minutes: float = 0.5) -> None:
        """Some time goes by, and what is due is done; a process that ends is another one afterwards."""
        self.t.clock.advance(minutes=minutes)
        for work in (self.t.work, lambda: shop_of(self.t).deliver(self.t.app.running.context_of(SYSTEM))):
            try:
                await work()
            except (Crash, Injected):
                self.t.clock.advance(seconds=20)

    async def live(self) -> dict[str, str]:
        """What happens: bought, confirmed, refunded in part, sent, cancelled, declined, lost and expired."""
        guest = await self.cart(self.goods.assam, 3)
        (await self.insist("PATCH", f"/api/carts/{guest[0]}", {"code": "TEN"}, **guest[1])).ok()
        order = (await self.pay(guest, "pm_3ds")).ok().json
        look = f"/api/orders/{order['id']}?expand=payment"
        for _ in range(12):
            if secret := order["payment"].get("client_secret"):
                await money_of(self.t).settle(secret, confirm=True)
                await self.insist("POST", f"/api/orders/{order['id']}/confirm", {}, **guest[1])
            if order["status"] == "paid":
                break
            await self.pass_by()
            order = (await self.t.get(look, headers=guest[1])).ok().json
        line = (await self.t.get(f"/api/order_items?order={order['id']}", headers=guest[1])).ok().json["data"][0]
        said = {"items": [{"item": line["id"], "quantity": 1}], "reason": "a torn bag"}
        refunded = await self.insist("POST", f"/api/orders/{order['id']}/refund", said, self.boss)
        sent = await self.insist("POST", f"/api/orders/{order['id']}/fulfil", {"tracking": "T1"}, self.boss)
        bought = (await self.pay(await self.cart(self.goods.green, 1, self.ada), "pm_ok", self.ada)).ok().json
        cancelled = await self.insist("POST", f"/api/orders/{bought['id']}/cancel", {}, self.ada)
        declined = await self.pay(await self.cart(self.goods.green, 1, self.ada), "pm_declined", self.ada)
        lost = (await self.pay(await self.cart(self.goods.pot, 1), "pm_lost_answer")).ok().json
        late = (await self.pay(await self.cart(self.goods.pot, 1), "pm_timeout")).ok().json
        for minutes in (0.5, 1, 2, 3, 5, 5, 6, 6, 6, 10, 10, 10):
            await self.pass_by(minutes)
        assert declined.code == "payment_declined"
        assert (refunded.status, sent.status, cancelled.status) == (200, 200, 200)
        return {"guest": order["id"], "ada": bought["id"], "lost": lost["id"], "late": late["id"]}

    async def agree(self, ids: dict[str, str]) -> None:
        """All books, at the end of the day."""
        for _ in range(10):
            await self.pass_by(10)
        shop, context = shop_of(self.t), self.t.app.running.context_of(SYSTEM)
        found = await verify(context, shop.providers, shop.links)
        assert list(found.findings) == []
        async with self.t.transaction() as tx:
            orders = {str(order.id): order for order in await tx.find(Order, limit=50, expand=("payment", "items"))}
        assert len(orders) == 5
        states = {name: (orders[id].status, orders[id].payment.status) for name, id in ids.items()}
        # Whether the goods were sent before or after the money went back depends on what was broken.
        assert states.pop("guest") in (("fulfilled", "captured"), ("partially_refunded", "captured"))
        assert states == {
            "ada": ("cancelled", "captured"), "lost": ("paid", "captured"),
            "late": ("failed", "voided"),
        }  # fmt: skip
        books = {state.payment: state for state in await money_of(self.t).books()}
        guest, ada = (orders[ids[name]] for name in ("guest", "ada"))
        assert books[str(guest.payment.id)].captured == guest.total.amount
        assert 0 < books[str(guest.payment.id)].refunded < guest.total.amount
        assert books[str(ada.payment.id)].refunded == ada.total.amount
        (cut,) = [line.returnable for line in guest.items]
        assert cut == 2
        letters = Tally((mail.to, mail.subject) for mail in {mail.message_id: mail for mail in self.t.mails}.values())
        receipts = {
            subject: n for (_, subject), n in letters.items() if "way" not in subject and "Refund" not in subject
        }
        assert set(receipts.values()) == {1}
        assert len([1 for subject in receipts if subject.startswith("Your order")]) == 3  # guest's, ada's, the lost one


async def live(t: Trial) -> None:
    """One day, and its books."""
    goods = await stocked(t)
    await discount(t, "TEN", kind="percent", percent=1000, left=5)
    day = Day(t, goods, await t.user("ada@example.com"), await t.user("boss@example.com", roles=["staff"]))
    await day.agree(await day.live())


async def broken(t: Trial, *points: tuple[str, Mode]) -> list[str]:
    """The same day with one place broken in one way, or a second one that is passed because of the first."""
    with POINTS.recording() as seen:
        for name, mode in points:
            POINTS.arm(name, mode)
        try:
            await live(t)
        except AssertionError as error:
            raise AssertionError(f"{points}: {error}") from error
        assert sorted(POINTS.fired) == sorted(f"{name}={mode}" for name, mode in points)
    POINTS.disarm()
    return list(seen)


def wanted(names: list[str]) -> list[tuple[str, Mode]]:
    """Which place in which way."""
    return [
        (name, mode) for at, name in enumerate(names) for number, mode in enumerate(MODES)
        if at % EVERY == 0 or at % len(MODES) == number
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", *(["postgres"] if EVERY == 1 else [])])
async def test_whatever_breaks_off_the_books_agree(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = "sqlite://" if kind == "sqlite" else request.getfixturevalue("postgres_database")("failpoints")
    tried = 0

    def opened() -> Trial:
        nonlocal tried
        tried += 1
        return Trial(shop_app(str(tmp_path / f"{tried}.db"), driven_for=PATIENCE), database)

    with POINTS.recording() as names:
        async with opened() as t:
            await live(t)
    known = list(names)
    assert len(known) >= 40, known
    for part in (
        "purchase.authorize 0.call", "purchase.capture 0.call", "purchase.void 0.call", "refund.refund 0.call",
        "purchase.release.commit", "backstay.mail.call", "POST /api/carts/{id}/checkout.1.commit",
        "POST /api/carts/{id}/checkout.answer.commit", "POST /api/orders/{id}/cancel.1.commit",
        "POST /api/orders/{id}/refund.1.commit", "POST /api/orders/{id}/confirm.1.commit",
    ):  # fmt: skip
        assert part in known, (part, known)
    behind: dict[str, tuple[str, Mode]] = {}
    for name, mode in wanted(known):
        async with opened() as t:
            for one in await broken(t, (name, mode)):
                if one not in known:
                    behind.setdefault(one, (name, mode))
    for name, first in behind.items():  # it has its turn, behind what leads to it
        for mode in MODES:
            async with opened() as t:
                await broken(t, first, (name, mode))
    with capsys.disabled():
        print(f"\n{kind}: {len(known)} places, {len(behind)} more behind a break, {tried - 1} days with a break, "
              "0 disagreements")  # fmt: skip


async def test_a_fault_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a refund whose key is another one each time gives money back twice where its answer is lost."""
    real = Refunds.give_back

    async def forgetful(self: Refunds, ctx: Context, refund: UUID) -> Said:
        async with ctx.transaction() as tx:
            found = await tx.get(Refund, refund, expand=("order.payment",))
        if found.status != "pending":
            return await real(self, ctx, refund)
        intent = intent_of(self.links, found.order)
        return said_of(await self.providers["test"].refund(intent, secrets.token_hex(8), found.amount))

    monkeypatch.setattr(Refunds, "give_back", forgetful)
    async with Trial(shop_app(str(tmp_path / "books.db"), driven_for=PATIENCE), "sqlite://") as t:
        with pytest.raises(AssertionError):
            await broken(t, ("refund.refund 0.call", "lost"))
