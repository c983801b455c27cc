"""The same checkout, many times at once, to four processes, one of which is killed: one order, one charge, one receipt.

`make test` sends 12 keys 20 times each; `make idempotency` 1,000.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backstay.app import App
from backstay.cli.load import load_app
from backstay.commerce import Order, PlayMoney, Shop
from backstay.commerce.verify import verify
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings, read_settings
from tests.api.fleet import Client, Fleet, Got, seconds
from tests.commerce.selling import ADDRESS

KEYS = int(os.environ.get("CHECKOUT_KEYS", "12"))
COPIES = 20
AT_ONCE = 6  # keys
FILE = """
from dataclasses import replace

from backstay import App, Context, Limits, Money
from backstay.commerce import Product, Shop, Variant
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.stock import receive


class Served(PlayMoney):  # it refuses to stand in production, as these processes do
    def open(self, settings, http, clock):
        return super().open(replace(settings, env="development"), http, clock)


app = App("tea-house", limits=Limits(repeat_wait_ms=5_000), use=[
    Shop(payments=[Served("{books}")], most_pending=100_000, carts="1000000/minute", checkouts="1000000/minute"),
])


@app.seed
async def seed(ctx: Context) -> None:
    await ctx.accounts.create_user("ada@example.com", "correct horse battery", [])
    async with ctx.transaction(as_system=True) as tx:
        product = await tx.create(Product(name="Assam", published=True))
        variant = await tx.create(Variant(product=product, sku="ASSAM", price=Money(790, "EUR")))
        await receive(tx, variant.id, 1_000_000, "received", "")
"""


@dataclass
class Drill:
    """What was asked and answered."""

    fleet: Fleet
    client: Client
    app: App
    settings: Settings
    variant: str = ""
    token: str = ""
    carts: dict[int, tuple[str, dict[str, str]]] = field(default_factory=dict)
    got: dict[int, list[Got]] = field(default_factory=dict)

    async def fill(self, n: int) -> None:
        """A cart for a key: every second one by a guest. An account has one open cart, so guests' are used for both."""
        cart = json.loads((await self.client.send(n, "POST", "/api/carts", {}, b"{}")).body)
        mine = {"x-cart-token": cart["token"]}
        said = json.dumps({"variant": self.variant, "quantity": 1 + n % 3}).encode()
        await self.client.send(n, "POST", f"/api/carts/{cart['id']}/items", mine, said)
        self.carts[n] = cart["id"], mine

    async def pay(self, at: int, n: int, *, method: str = "pm_ok", **more: str) -> Got:
        """Check out the cart of a key."""
        cart, mine = self.carts[n]
        body = {
            "email": f"guest{n}@example.com", "shipping_address": ADDRESS,
            "payment": {"provider": "test", "method": method},
        }  # fmt: skip
        headers = {**mine, "idempotency-key": f"the checkout number {n}", **more}
        path = f"/api/carts/{cart}/checkout"
        return await self.client.send(at, "POST", path, headers, json.dumps(body).encode(), tries=2_000)

    async def each(self, work: Callable[[int], Any]) -> list[Any]:
        """Something for every key, some of them at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(n: int) -> Any:
            async with gate:
                return await work(n)

        return await asyncio.gather(*(one(n) for n in range(KEYS)))

    async def all_at_once(self) -> None:
        """Every key many times, to all processes in turn; in the middle one is killed, and started again."""
        begun, back = 0, []

        async def one(n: int) -> None:
            nonlocal begun
            begun += 1
            sending = [asyncio.create_task(self.pay(n + copy, n)) for copy in range(COPIES)]
            if begun == KEYS // 2:
                await asyncio.sleep(0.02)
                back.append(asyncio.create_task(asyncio.to_thread(self._kill_and_start, self.fleet.servers[n % 4])))
            self.got[n] = [await sent for sent in sending]

        await self.each(one)
        await asyncio.gather(*back)

    def _kill_and_start(self, server: Any) -> None:
        server.kill()
        server.start()
        server.wait()

    async def books(self) -> tuple[list[Order], list[Any], list[Any]]:
        """Our orders, the provider's payments, and what differs."""
        running = await self.app.start(self.settings)
        try:
            (shop,) = self.app.parts
            assert isinstance(shop, Shop)
            (provider,) = shop.payments
            assert isinstance(provider, PlayMoney)
            context = running.context_of(SYSTEM)
            orders: list[Order] = []
            async with context.transaction() as tx:
                while page := await tx.find(Order, sort="number", limit=200, offset=len(orders)):
                    orders += page
            found = await verify(context, shop.providers, shop.links)
            return orders, await provider.books(), list(found.findings)
        finally:
            await self.app.stop()


@asynccontextmanager
async def drill(folder: Path, database: str) -> AsyncIterator[Drill]:
    """Four processes over a shop with one thing in it."""
    file = folder / "tea_house.py"
    file.write_text(FILE.replace("{books}", str(folder / "books.db")))
    environment = {
        "DATABASE_URL": database, "SECRET_KEY": "of a whole fleet " * 2, "LOG_LEVEL": "error",
        "BACKSTAY_PUBLIC_URL": "https://shop.example", "BACKSTAY_DATA": str(folder / "data"),
        "BACKSTAY_ACCEPT": "durability",
    }  # fmt: skip
    app, settings = load_app(str(file)), read_settings({**os.environ, **environment})
    running = await app.start(settings, extend=True)
    app.settings = settings
    await app.seed_if_empty()
    async with running.context_of(SYSTEM).transaction() as tx:
        (variant,) = await tx.find(app.schema.entities["Variant"].model)
    await app.stop()
    fleet = Fleet(file, environment)
    try:
        await asyncio.to_thread(fleet.start)
        made = Drill(fleet, fleet.client(), app, settings, str(variant.id))
        yield made
        made.client.forget()
    finally:
        await asyncio.to_thread(fleet.stop)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_checkout_sent_many_times_is_one_order(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"sqlite:///{tmp_path}/shop.db"
    if kind == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        database = make("checkouts")
    async with drill(tmp_path, database) as d:
        await d.each(d.fill)
        begun = seconds()
        await d.all_at_once()
        taken = seconds() - begun
        for n, got in d.got.items():
            assert {one.status for one in got} == {201}, (n, Counter((one.status, one.code) for one in got))
            assert len({one.shown for one in got}) == 1, n
            assert sum(not one.replayed for one in got) <= 1, n
            # Who was killed may have had the flow: then the answer is the order as it stood when somebody had waited.
            assert json.loads(got[0].body)["status"] in ("paid", "pending"), n
        refused = await d.each(lambda n: d.pay(n, n, method="pm_declined"))  # another payload
        assert {(one.status, one.code) for one in refused} == {(422, "idempotency_key_reused")}

        for _ in range(100):
            orders, payments, differences = await d.books()
            if all(order.status == "paid" for order in orders):
                break
            await asyncio.sleep(0.5)
        assert [order.status for order in orders] == ["paid"] * KEYS
        assert len({order.cart for order in orders}) == KEYS
        assert {order.number for order in orders} >= {json.loads(got[0].body)["number"] for got in d.got.values()}
        charged = [state for state in payments if state.captured]
        assert len(charged) == KEYS
        assert all(state.captured == state.amount.amount and not state.refunded for state in charged)
        assert differences == []

        await asyncio.to_thread(d.fleet.stop)  # another day
        d.client.forget()
        await asyncio.to_thread(d.fleet.start)
        for n, again in enumerate(await d.each(lambda n: d.pay(n, n))):
            assert (again.status, again.shown, again.replayed) == (201, d.got[n][0].shown, True), n
        orders, payments, differences = await d.books()
        assert (len(orders), len([state for state in payments if state.captured]), differences) == (KEYS, KEYS, [])
        with capsys.disabled():
            print(f"\n{kind}: {KEYS} checkouts, {COPIES} copies each, 4 processes, one killed: {taken:.1f} s, "
                  f"{d.client.broken} connections broken, {KEYS} orders and charges")  # fmt: skip
