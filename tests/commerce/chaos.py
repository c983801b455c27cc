"""Chaos: buyers who never give up, workers that are killed, messages that are lost; and four books compared at the end.

The books are what buyers were answered, our tables, the provider's ledger, and the mail that was sent. What was
acknowledged must be there, nothing may be sold twice or charged twice, and nothing may stay open.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backstay import Money
from backstay.app import App, Running
from backstay.cli.load import load_app
from backstay.commerce.catalogue import Category, Product, Variant
from backstay.commerce.offer import Discount, DiscountUse, ShippingMethod, ShippingRate, TaxRate
from backstay.commerce.order import Order, OrderEvent
from backstay.commerce.shop import Shop
from backstay.commerce.stock import change
from backstay.commerce.verify import Finding, verify
from backstay.mail.mailbox import Mailbox
from backstay.mail.models import MailMessage
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings, read_settings
from tests.api.fleet import Client, Got, Server

FILE = """
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from backstay import App, Limits
from backstay.commerce import PlayMoney, Shop
from backstay.commerce.payments.play_deliveries import Mischief
from backstay.mail.mailbox import Mailbox


class Served(PlayMoney):
    def open(self, settings, http, clock):
        return super().open(replace(settings, env="development"), http, clock)


mischief = Mischief(seed="{seed}", duplicate=30, delay=30, reorder=30, drop=20, most_seconds=3)
app = App("chaos", mailer=Mailbox(Path("{mails}")), limits=Limits(mails_per_recipient="1000000/hour"), use=[Shop(
    payments=[Served("{books}", mischief=mischief, slow=1)], reserved_for=timedelta(seconds=20),
    driven_for=timedelta(seconds=5), carts="1000000/minute", checkouts="1000000/minute", most_pending=1000,
)])
"""
METHODS = ("pm_ok",) * 10 + ("pm_3ds",) * 4 + ("pm_lost_answer",) * 3 + ("pm_declined", "pm_insufficient", "pm_timeout")
SCARCE, PLENTY = 20, 30
CODE, USES = "HUNDRED", 100
ADDRESS = {"name": "Ada", "line1": "Teeweg 1", "city": "Hamburg", "country": "DE"}
OPEN = ("pending", "authorized")


@dataclass
class Bought:
    """What a buyer was told of one purchase."""

    status: int
    code: str = ""
    order: dict[str, Any] = field(default_factory=dict)
    refused: bool = False


@dataclass
class Report:
    """What happened, and what is wrong about it."""

    bought: list[Bought] = field(default_factory=list)
    refunds: int = 0
    cancelled: int = 0
    kills: int = 0
    broken: int = 0
    letters: int = 0
    """Receipts that were sent."""
    again: int = 0
    """How many of them once more, with the same Message-ID."""
    faults: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def said(self) -> str:
        """The figures in one line."""
        told = Counter(f"{one.status} {one.code}".strip() for one in self.bought)
        return (
            f"{len(self.bought)} purchases ({', '.join(f'{n} x {name}' for name, n in sorted(told.items()))}), "
            f"{self.refunds} refunds, {self.cancelled} cancelled, {self.kills} kills, {self.broken} lines broken; "
            f"{self.letters} receipts, {self.again} of them sent again; "
            f"compared {dict(self.counted)}; {len(self.faults)} faults, {len(self.findings)} differences"
        )


class Chaos:
    """One run of it over one database."""

    def __init__(self, folder: Path, database: str, *, seed: str = "1", workers: int = 4) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.file = folder / "chaos.py"
        self.mails = folder / "mails"
        self.file.write_text(FILE.format(seed=seed, books=folder / "books.db", mails=self.mails))
        self.environment = {
            "DATABASE_URL": database, "SECRET_KEY": "of the whole shop " * 2, "LOG_LEVEL": "error",
            "BACKSTAY_ACCEPT": "durability", "BACKSTAY_PUBLIC_URL": "https://shop.example",
            "BACKSTAY_ACCESS_MINUTES": "600", "BACKSTAY_DATA": str(folder / "data"),
        }  # fmt: skip
        self.server = Server(self.file, self.environment, workers)
        self.report = Report()
        self.variants: list[str] = []
        self.stocked: dict[str, int] = {}
        self.tokens: list[str] = []
        self.staff = ""

    @property
    def settings(self) -> Settings:
        """What the servers are started with."""
        return read_settings({**os.environ, **self.environment})

    @asynccontextmanager
    async def application(self) -> AsyncIterator[tuple[App, Any]]:
        """The application in this process, while no server runs."""
        app = load_app(str(self.file))
        running = await app.start(self.settings, extend=True)
        try:
            yield app, running
        finally:
            await app.stop()

    async def stock(self) -> None:
        """Fill the shop, and make people who buy in it."""
        async with self.application() as (_, running):
            for name in ("ada", "bob", "eve", "staff"):
                entry = {"email": f"{name}@example.com", "password": "correct horse battery"}
                roles = ["staff"] if name == "staff" else []
                await running.accounts.create_user(entry["email"], entry["password"], roles)
                token = (await running.accounts.login(entry)).access_token
                if name == "staff":
                    self.staff = token
                else:
                    self.tokens.append(token)
            async with running.context_of(SYSTEM).transaction() as tx:
                shelf = await tx.create(Category(name="Everything"))
                await tx.create(TaxRate(country="DE", tax_class="standard", rate=1900))
                post = await tx.create(ShippingMethod(name="Post"))
                await tx.create(ShippingRate(method=post, price=Money(490, "EUR")))
                await tx.create(Discount(code=CODE, kind="percent", percent=1000, left=USES))
                for n in range(SCARCE + PLENTY):
                    product = await tx.create(Product(name=f"Thing {n}", category=shelf, published=True))
                    variant = await tx.create(Variant(product=product, sku=f"T{n}", price=Money(100 + 37 * n, "EUR")))
                    there = 5 if n < SCARCE else 100_000
                    await change(tx, variant.id, "opening", available=there)
                    self.variants.append(str(variant.id))
                    self.stocked[str(variant.id)] = there

    async def run(self, purchases: int, kills: int, buyers: int = 32) -> Report:
        """Sell, kill, and compare."""
        await self.stock()
        await asyncio.to_thread(self.server.start)
        await asyncio.to_thread(self.server.wait)
        client = Client([self.server.port])
        try:
            left = iter(range(purchases))
            killing = asyncio.create_task(self._kill(kills, purchases))
            await asyncio.gather(*(self._buyer(client, left) for _ in range(buyers)))
            await killing
            await self._calm(client)
        finally:
            self.report.broken = client.broken
            client.forget()
            self.server.stop()
        await self.compare()
        return self.report

    async def _buyer(self, client: Client, left: Any) -> None:
        for _ in left:
            await self._buy(client)

    async def _kill(self, kills: int, purchases: int) -> None:
        """End a worker at random moments, spread over all of the purchases."""
        for number in range(kills):
            while len(self.report.bought) < purchases * (number + 1) // (kills + 2):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(self.chance.random() * 0.3)
            if workers := self.server.workers():
                try:
                    os.kill(self.chance.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.report.kills += 1

    async def _ask(
        self, client: Client, method: str, path: str, body: Any = None, *, key: str = "", **headers: str
    ) -> Got:
        """The answer to a request that is sent until there is one."""
        sent = {"idempotency-key": key or secrets.token_hex(16), **headers}
        text = b"" if body is None else json.dumps(body).encode()
        return await client.send(0, method, path, sent, text, tries=2_000)

    async def _buy(self, client: Client) -> None:
        who: dict[str, str] = {}
        if self.chance.random() < 0.5:
            who["authorization"] = f"Bearer {self.chance.choice(self.tokens)}"
            # One account has one open cart, which its purchases at one moment would share: they buy as guests too.
            who = {} if self.chance.random() < 0.7 else who
        opened = await self._ask(client, "POST", "/api/carts", {}, **who)
        if opened.status != 201:
            self.report.faults.append(f"a cart was answered {opened.status} {opened.body[:200]!r}")
            return
        cart = json.loads(opened.body)
        if "token" in cart:
            who["x-cart-token"] = cart["token"]
        path = f"/api/carts/{cart['id']}"
        for _ in range(self.chance.randint(1, 3)):
            hot = self.chance.random() < 0.4
            variant = self.variants[self.chance.randrange(SCARCE) if hot else SCARCE + self.chance.randrange(PLENTY)]
            said = {"variant": variant, "quantity": self.chance.randint(1, 2)}
            await self._ask(client, "POST", f"{path}/items", said, **who)
        if self.chance.random() < 0.4:
            await self._ask(client, "PATCH", path, {"code": CODE}, **who)
        method = self.chance.choice(METHODS)
        body = {
            "email": f"guest-{secrets.token_hex(6)}@example.com", "shipping_address": ADDRESS,
            "payment": {"provider": "test", "method": method},
        }  # fmt: skip
        got = await self._ask(client, "POST", f"{path}/checkout", body, **who)
        bought = Bought(got.status, got.code, json.loads(got.body) if got.status == 201 else {})
        self.report.bought.append(bought)
        if got.status != 201:
            if got.status not in (402, 409):
                self.report.faults.append(f"a checkout was answered {got.status} {got.body[:200]!r}")
            return
        await self._afterwards(client, bought, who)

    async def _afterwards(self, client: Client, bought: Bought, who: dict[str, str]) -> None:
        order = bought.order
        if secret := order["payment"].get("client_secret"):
            fate = self.chance.random()
            if fate < 0.9:
                answer = "confirm" if fate < 0.8 else "decline"
                bought.refused = answer == "decline"
                form = {"content-type": "application/x-www-form-urlencoded"}
                await client.send(0, "POST", f"/dev/pay/{secret}", form, f"answer={answer}".encode(), tries=2_000)
            return
        fate = self.chance.random()
        path = f"/api/orders/{order['id']}"
        if order["status"] == "paid" and fate < 0.05:
            staff = {"authorization": f"Bearer {self.staff}"}
            line = order["items"][0]
            said = {"items": [{"item": line["id"], "quantity": 1}]} if fate < 0.03 else {}
            got = await self._ask(client, "POST", f"{path}/refund", said, **staff)
            self.report.refunds += got.status == 200
            if got.status not in (200, 409):
                self.report.faults.append(f"a refund was answered {got.status} {got.body[:200]!r}")
        elif fate > 0.97:
            got = await self._ask(client, "POST", f"{path}/cancel", {}, **who)
            self.report.cancelled += got.status == 200

    async def _calm(self, client: Client) -> None:
        """Wait until no order, refund or payment is open; what stays so is a fault."""
        staff = {"authorization": f"Bearer {self.staff}"}
        last = ""
        for _ in range(2_000):  # whoever is asked without an answer is asked again after up to five minutes
            orders = await client.send(0, "GET", "/api/orders?status[in]=pending,authorized&count=exact", staff, b"")
            refunds = await client.send(0, "GET", "/api/refunds?status=pending&count=exact", staff, b"")
            query = "/api/payments?status[in]=pending,action_needed,unknown,authorized&count=exact"
            payments = await client.send(0, "GET", query, staff, b"")
            if orders.status == refunds.status == payments.status == 200:
                found = [json.loads(one.body) for one in (orders, refunds, payments)]
                if not any(one["data"] for one in found):
                    return
                last = f"{[one['meta']['total'] for one in found]} orders, refunds and payments stay open: {found}"
            else:
                last = f"{orders.status} {orders.body[:200]!r}"
            await asyncio.sleep(0.2)
        self.report.faults.append(last)

    async def compare(self) -> None:
        """The books of buyers, tables and provider, one beside the other."""
        report = self.report
        async with self.application() as (app, running):
            (shop,) = app.parts
            assert isinstance(shop, Shop)
            context = running.context_of(SYSTEM)
            verified = await verify(context, shop.providers, shop.links)
            report.findings, report.counted = verified.findings, verified.counted
            states = {state.payment: state for state in await shop.providers["test"].books()}  # type: ignore[attr-defined]
            async with context.transaction() as tx:
                orders: dict[str, Order] = {}
                offset = 0
                while page := await tx.find(Order, sort="id", limit=200, offset=offset, expand=("payment", "items")):
                    orders |= {str(order.id): order for order in page}
                    offset += len(page)
                variants = await tx.find(Variant, limit=200)
                (discount,) = await tx.find(Discount)
                uses = await tx.count(DiscountUse)
            paid = await self._post(running)
            stuck = [one for state in ("failed", "undone") for one in await running.jobs.some(state=state, limit=20)]
            report.faults += [f"{one.task} {one.id} was given up on: {one.reason}" for one in stuck]
        self._receipts(paid)
        self._acknowledged(orders)
        self._charges(orders, states)
        self._sold(orders, variants)
        if (discount.left or 0) + uses != USES or uses > USES:
            report.faults.append(f"the code was used {uses} times, and has {discount.left} left of {USES}")

    async def _post(self, running: Running) -> list[int]:
        """Send what lies there to be sent; the numbers of all orders that were paid at some time."""
        paid: list[int] = []
        async with running.context_of(SYSTEM).transaction() as tx:
            seen = 0
            while page := await tx.find(
                OrderEvent, lambda event: event.kind == "paid", sort="id", limit=200, offset=seen, expand=("order",)
            ):
                paid += [event.order.number for event in page]
                seen += len(page)
        for _ in range(120):
            await running.jobs.worker.drain()
            async with running.context_of(SYSTEM).transaction() as tx:
                if not await tx.count(MailMessage, lambda mail: mail.state == "waiting"):
                    return paid
            await asyncio.sleep(0.5)
        self.report.faults.append("mail stays unsent")
        return paid

    def _receipts(self, paid: list[int]) -> None:
        """Each order that was paid has one receipt, however often that was delivered, and no other has any."""
        sent: dict[int, list[str]] = {}
        for mail in Mailbox(self.mails).all():
            if (found := re.fullmatch(r"Your order (\d+)", mail.subject)) is not None:
                sent.setdefault(int(found[1]), []).append(mail.message_id)
        self.report.letters = sum(map(len, sent.values()))
        self.report.again = self.report.letters - sum(len(set(ids)) for ids in sent.values())
        self.report.faults += [
            f"order {n} has {len(set(ids))} receipts" for n, ids in sent.items() if len(set(ids)) != 1
        ]
        if sorted(paid) != sorted(sent):
            self.report.faults.append(f"receipts and paid orders differ: {sorted(set(paid) ^ set(sent))[:20]}")

    def _acknowledged(self, orders: dict[str, Order]) -> None:
        """Every order that a buyer was told of is there, as they were told."""
        for one in self.report.bought:
            if one.status != 201:
                continue
            order = orders.get(one.order["id"])
            if order is None:
                self.report.faults.append(f"order {one.order['number']} was acknowledged, and is lost")
                continue
            told = (one.order["number"], one.order["total"]["amount"])
            if (order.number, order.total.amount) != told:
                self.report.faults.append(f"order {order.number} is another one than was told: {told}")
            if one.order["status"] == "paid" and order.status in ("pending", "authorized", "failed"):
                self.report.faults.append(f"order {order.number} was told to be paid, and is {order.status}")
            if one.refused and order.status not in ("failed", "cancelled"):
                self.report.faults.append(f"order {order.number} was refused at the bank, and is {order.status}")
        keys = Counter(one.order["id"] for one in self.report.bought if one.status == 201)
        self.report.faults += [f"order {key} was sold to {n} buyers" for key, n in keys.items() if n > 1]

    def _charges(self, orders: dict[str, Order], states: dict[str, Any]) -> None:
        """Nothing is charged twice, nor without an order, nor held for one that will not be."""
        by_payment = {str(order.payment.id): order for order in orders.values()}
        for payment, state in states.items():
            captures = [one for one in state.movements if one.kind == "capture" and one.status == "done"]
            if len(captures) > 1 or state.captured > state.amount.amount:
                self.report.faults.append(f"payment {payment} was charged {len(captures)} times")
            order = by_payment.get(payment)
            if order is None:
                if state.captured != state.refunded:
                    self.report.faults.append(f"payment {payment} was charged without an order")
            elif order.status in ("failed", "cancelled") and state.captured != state.refunded:
                self.report.faults.append(f"order {order.number} is {order.status}, and was charged")
            elif order.status in ("failed", "cancelled") and state.status == "authorized":
                self.report.faults.append(f"order {order.number} is {order.status}, and money is held for it")

    def _sold(self, orders: dict[str, Order], variants: list[Variant]) -> None:
        """What was there is what is there and what was sold, to the unit."""
        gone: Counter[str] = Counter()
        for order in orders.values():
            if order.status in ("paid", "fulfilled", "partially_refunded", "refunded", "cancelled"):
                paid = order.payment.status in ("captured", "none")
                for line in order.items:
                    gone[str(line.variant.id)] += line.returnable if paid else 0
        for variant in variants:
            there, sold = self.stocked[str(variant.id)], gone[str(variant.id)]
            if variant.available + variant.reserved + sold != there:
                self.report.faults.append(
                    f"{variant.sku}: {there} were there, {sold} are sold, {variant.available} are left"
                )
