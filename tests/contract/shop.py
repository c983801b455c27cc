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
RATES = (
    "login_per_account", "login_per_client", "signup_per_account", "signup_per_client", "refresh_per_client",
    "password_per_account",
)  # fmt: skip
PEOPLE = {"customer": [], "neighbour": [], "staff": ["staff", "moderator"]}


def address(who: str) -> str:
    """The email address of one of the people."""
    return f"contract-{who}@example.com"


class Shop:
    """The shop, from the first request to `stop()`."""

    def __init__(self, folder: Path, database: str = "", file: Path = FILE) -> None:
        self.file = file
        self.shelf: list[str] = []
        self._environment = {
            "DATABASE_URL": database or f"sqlite:///{folder}/shop.db", "BACKSTAY_DATA": str(folder / "data"),
            "SECRET_KEY": "of the shop that is explored " * 2, "LOG_LEVEL": "error", "BACKSTAY_ACCESS_MINUTES": "600",
            "BACKSTAY_ACCEPT": "login-rate, durability",  # a run of thousands, on a server that lives as long as it
            "BACKSTAY_RATE_LIMITS": "; ".join(f"{name}=100000/minute" for name in RATES),
        }  # fmt: skip
        asyncio.run(self._fill())
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.said = folder / "said.txt"
        program = str(Path(sys.executable).parent / "backstay")
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(
                [program, "serve", str(file), "--port", str(port)], cwd=folder,
                env={**os.environ, **self._environment}, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 300
        while True:
            try:
                requests.get(f"{self.url}/healthz", timeout=5).raise_for_status()
                return
            except requests.RequestException as unreached:
                if time.monotonic() > end or self._process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"The shop was not served: {self.said.read_text()}") from unreached
                threading.Event().wait(0.05)

    async def _fill(self) -> None:
        app = load_app(str(self.file))
        app.settings = read_settings({**os.environ, **self._environment, "BACKSTAY_ENV": "development"})
        running = await app.start(extend=True)
        try:
            await app.seed_if_empty()
            keys = {
                who: await running.accounts.create_user(address(who), PASSWORD, roles, name=who)
                for who, roles in PEOPLE.items()
            }
            if self.file == FILE:
                await self._buy(app, keys)
        finally:
            await app.stop()

    async def _buy(self, app: Any, people: dict[str, str]) -> None:
        """What the customer and the staff bought, some reviews of it, and what may be deleted: nothing refers to it."""
        names = ("User", "Category", "Product", "Order", "OrderItem", "Review")
        user, category, product, order, item, review = (app.schema.entities[name].model for name in names)
        async with app.running.context_of(SYSTEM).transaction() as tx:
            products = await tx.find(product, limit=200)
            for n in range(10):
                spare = await tx.create(category(name=f"Spare {n}"))
                price = {"price": products[0].price, "cost": products[0].cost}
                await tx.create(product(name=f"Spare {n}", category=spare, **price))
            for one in products[:5]:
                await tx.update(one, stock=1_000_000_000)
            self.shelf = [str(one.id) for one in products[:5]]
            for who in ("customer", "staff"):
                owner = await tx.get(user, people[who])
                made = await tx.create(order(customer=owner, status="paid"))
                for one in products:
                    await tx.create(item(order=made, product=one, quantity=1, price=one.price))
                for one in products[::2]:
                    await tx.create(review(product=one, author=owner, stars=3, text="Good."))

    def seen_by(self, who: str) -> dict[str, list[str]]:
        """The ids of some records of each model that somebody sees, the newest; of users and reviews one's own."""
        session = requests.Session()
        me = ""
        if who:
            held = self.login(who)
            session.headers["Authorization"] = f"Bearer {held['access_token']}"
            me = held["user"]["id"]
        found: dict[str, list[str]] = {"shelf": self.shelf, "users": [me] if me else []}
        for plural in ("categories", "products", "orders", "order_items", "reviews", "messages"):
            mine = {"author": me} if plural == "reviews" and me else {}
            asked = {"sort": "-created_at", "limit": "20", "fields": "id", **mine}
            answer = session.get(f"{self.url}/api/{plural}", params=asked, timeout=30)
            rows = answer.json()["data"] if answer.ok else []
            found[plural] = [row["id"] for row in rows if row["id"] not in self.shelf]
        return found

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

    def api_key(self, who: str) -> str:
        """The id of a new API key of somebody."""
        headers = {"Authorization": f"Bearer {self.login(who)['access_token']}"}
        wanted = {"name": "a key", "scopes": ["read"]}
        answer = requests.post(f"{self.url}/api/auth/keys", json=wanted, headers=headers, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def document(self, who: str) -> dict[str, Any]:
        """The OpenAPI document, as it is served to somebody; to nobody when empty."""
        headers = {"Authorization": f"Bearer {self.login(who)['access_token']}"} if who else {}
        answer = requests.get(f"{self.url}/openapi.json", headers=headers, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
