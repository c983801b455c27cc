"""The example shop, with what is needed to do everything in it once, served by a process of its own.

Invariant: it is the shop that users run, with its seed. What is added are people to ask as, what one of them bought,
and limits on requests that a run of thousands does not meet.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import requests

from backstay.cli.load import load_app
from backstay.plan.actor import SYSTEM
from backstay.settings import read_settings
from tests.docs.served import free_port

FILE = Path(__file__).parents[2] / "examples" / "shop" / "shop.py"
PASSWORD = "three words and a password"
PEOPLE = {"customer": [], "neighbour": [], "staff": ["staff", "moderator"]}


def address(who: str) -> str:
    """The email address of one of the people."""
    return f"contract-{who}@example.com"


class Shop:
    """The shop, from the first request to `stop()`."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.keys: dict[str, list[str]] = {}
        self._environment = {
            "DATABASE_URL": database or f"sqlite:///{folder}/shop.db", "BACKSTAY_DATA": str(folder / "data"),
            "SECRET_KEY": "k" * 40, "LOG_LEVEL": "error", "BACKSTAY_ACCESS_MINUTES": "600",
        }  # fmt: skip
        asyncio.run(self._fill())
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.said = folder / "said.txt"
        program = str(Path(sys.executable).parent / "backstay")
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(
                [program, "serve", str(FILE), "--port", str(port)], cwd=folder,
                env={**os.environ, **self._environment}, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                requests.get(f"{self.url}/healthz", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                if time.monotonic() > end or self._process.poll() is not None:
                    self.stop()
                    raise
                threading.Event().wait(0.05)

    async def _fill(self) -> None:
        app = load_app(str(FILE))
        app.settings = read_settings({**os.environ, **self._environment, "BACKSTAY_ENV": "development"})
        running = await app.start(extend=True)
        try:
            await app.seed_if_empty()
            keys = {
                who: await running.accounts.create_user(address(who), PASSWORD, roles, name=who)
                for who, roles in PEOPLE.items()
            }
            await self._buy(app, keys)
        finally:
            await app.stop()

    async def _buy(self, app: Any, keys: dict[str, str]) -> None:
        """What the customer and the staff bought, so that they may review it: every product. Then, what there is."""
        names = ("User", "Category", "Product", "Order", "OrderItem")
        user, category, product, order, item = (app.schema.entities[name].model for name in names)
        async with app.running.context_of(SYSTEM).transaction() as tx:
            products = await tx.find(product, limit=200)
            for n in range(10):  # to be deleted: nothing refers to them
                spare = await tx.create(category(name=f"Spare {n}"))
                await tx.create(
                    product(name=f"Spare {n}", price=products[0].price, cost=products[0].cost, category=spare)
                )
            shelf = [await tx.update(one, stock=1_000_000) for one in products[:5]]
            self.keys["shelf"] = [str(one.id) for one in shelf]
            for who in ("customer", "staff"):
                made = await tx.create(order(customer=await tx.get(user, keys[who]), status="paid"))
                for one in products:
                    await tx.create(item(order=made, product=one, quantity=1, price=one.price))
            for entity in app.schema.by_plural().values():
                newest = await tx.find(entity.model, sort="-created_at", limit=20)
                self.keys[entity.plural] = [str(one.id) for one in newest if str(one.id) not in self.keys["shelf"]]
            self.keys |= {who: [key] for who, key in keys.items()}

    def login(self, who: str) -> dict[str, Any]:
        """What a log-in answers."""
        entry = {"email": address(who), "password": PASSWORD}
        answer = requests.post(f"{self.url}/api/auth/login", json=entry, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def session(self, who: str) -> str:
        """The id of a new session of somebody."""
        headers = {"Authorization": f"Bearer {self.login(who)['access_token']}"}
        answer = requests.get(f"{self.url}/api/auth/sessions", headers=headers, timeout=30)
        return next(str(one["id"]) for one in answer.json()["data"] if one["current"])

    def document(self, token: str = "") -> dict[str, Any]:
        """The OpenAPI document, as it is served to the bearer of a token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = requests.get(f"{self.url}/openapi.json", headers=headers, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
