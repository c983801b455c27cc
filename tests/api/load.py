"""Clients who never stop asking an application in this process, and what each was answered and when.

What they ask covers the ways to the database: a record made by a client, one made by an action that changes a hot row,
a list, and a token that is looked up. Invariant: an answer is right, or a 503 with `Retry-After`; everything else is a
fault.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec

from backstay import App, Limits, Model, Rules, Transaction, User, anyone, created
from backstay.app import Running
from backstay.auth.password import Passwords
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings
from backstay.store.context import Context
from backstay.store.port import Store
from tests.api.asking import ask

Kind = str
READS: tuple[Kind, ...] = ("list", "me")
WRITES: tuple[Kind, ...] = ("create", "count")
KINDS = READS + WRITES


class Item(Model):
    n: int

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


class Tally(Model):
    total: int = 0

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


def application() -> tuple[App, list[int]]:
    """The application, and what its reaction was told of."""
    app = App("items", models=[Item, Tally], limits=Limits(max_wait_ms=5_000))
    heard: list[int] = []

    @app.action("POST /api/count", allow=anyone, status=201)
    async def count(tx: Transaction, n: int) -> Item:
        (tally,) = await tx.find(Tally)
        await tx.as_system.update(tally, total=lambda t: t.total + 1)
        return await tx.create(Item(n=n))

    @app.on(created(Item))
    async def hear(ctx: Context, item: Item) -> None:
        heard.append(item.n)

    return app, heard


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: what was asked, when, for how many seconds it took, and whether it was what one wants."""

    kind: Kind
    began: float
    took: float
    status: int
    detail: str = ""

    @property
    def right(self) -> bool:
        """Whether it is no refusal."""
        return self.status < 300


@dataclass
class Load:
    """An application under load, from `begin` to `end`."""

    app: App
    running: Running
    heard: list[int]
    token: str
    answers: list[Answered] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    counted: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _numbers: int = 0
    _over: bool = False

    @classmethod
    async def begin(
        cls, store: Store, settings: Settings, clients: int = 3, clock: Callable[[], datetime] | None = None
    ) -> Load:
        """Start the application on a store, with so many clients for each kind of request."""
        app, heard = application()
        running = await app.start(
            settings,
            extend=True,
            store=store,
            background=True,
            clock=clock,
            passwords=Passwords(memory_kib=8, rounds=1),
        )
        entry = {"email": "ada@example.com", "password": "correct horse battery"}
        await running.accounts.create_user(entry["email"], entry["password"], name="Ada")
        token = (await running.accounts.login(entry)).access_token
        async with running.context_of(SYSTEM).transaction() as tx:
            await tx.create(Tally())
        load = cls(app, running, heard, token)
        load._tasks = [asyncio.create_task(load._client(kind)) for kind in KINDS for _ in range(clients)]
        return load

    async def _client(self, kind: Kind) -> None:
        while not self._over:
            self._numbers += 1
            await self.ask(kind, self._numbers)
            await asyncio.sleep(0.002)

    async def ask(self, kind: Kind, n: int) -> None:
        """One request, and what is wrong with its answer."""
        began = monotonic()
        body, headers, path = b"", {}, {"list": "/api/items?limit=1", "me": "/api/auth/me"}.get(kind, "")
        if kind == "me":
            headers = {"authorization": f"Bearer {self.token}"}
            self.running.accounts.identities.forget(None)  # so that it is looked up
        if kind in WRITES:
            path = "/api/items" if kind == "create" else "/api/count"
            body, headers = json.dumps({"n": n}).encode(), {"content-type": "application/json"}
        async with asyncio.timeout(30):
            status, said, answer = await ask(self.app, "POST" if body else "GET", path, body, headers)
        found: Any = msgspec.json.decode(answer)
        self.answers.append(Answered(kind, began, monotonic() - began, status, str(found.get("detail", ""))))
        if status == 503:
            if said.get("retry-after") != "1":
                self.faults.append(f"{kind}: 503 without Retry-After")
        elif status != (201 if body else 200):
            self.faults.append(f"{kind}: {status} {answer[:200]!r}")
        elif body:
            self.told[found["id"]] = n
            self.counted += kind == "count"
            if found["n"] != n:
                self.faults.append(f"{kind}: another record than the one that was made")

    async def right_again(self, kinds: Sequence[Kind] = KINDS, seconds: float = 5.0, times: int = 5) -> float:
        """Wait until each of these was answered rightly so many times from now on; in how many seconds."""
        begun, seen = monotonic(), len(self.answers)
        while True:
            right = Counter(one.kind for one in self.answers[seen:] if one.right and one.began >= begun)
            if all(right[kind] >= times for kind in kinds):
                return monotonic() - begun
            if monotonic() - begun > seconds:
                raise AssertionError(f"not served again in {seconds} s: {dict(right)}, {self.answers[-8:]}")
            await asyncio.sleep(0.01)

    async def refused(self, kinds: Sequence[Kind], seconds: float = 10.0) -> None:
        """Wait until each of these was refused once more."""
        begun, seen = monotonic(), len(self.answers)
        while set(kinds) - {one.kind for one in self.answers[seen:] if one.status == 503}:
            assert monotonic() - begun < seconds, f"nobody is refused: {self.answers[-8:]}"
            await asyncio.sleep(0.01)

    async def end(self, *, unsure: bool = False) -> str:
        """Stop asking, and compare with what the database has; a sentence with figures.

        `unsure`: some who were refused were told that their change may have been made.
        """
        self._over = True
        await asyncio.gather(*self._tasks)  # raises where a request hung, or broke
        store = self.running.store
        await store.settle()
        rows = await store.run('SELECT CAST("id" AS text), "n" FROM "items"', ())
        there = {row[0] if isinstance(row[0], str) else row[0].decode(): row[1] for row in rows}
        (total,) = (await store.run('SELECT "total" FROM "tallies"', ()))[0]
        (changes,) = (await store.run('SELECT count(*) FROM "_changes" WHERE "model" = \'Item\'', ()))[0]
        for _ in range(100):
            if not set(there.values()) - set(self.heard):
                break
            await asyncio.sleep(0.05)
        await self.app.stop()
        assert self.faults == [], self.faults[:5]
        assert {key: n for key, n in self.told.items() if there.get(key) != n} == {}, "acknowledged, and lost"
        assert len(set(there.values())) == len(there), "made twice"
        assert changes == len(there), "a record without its change"
        assert set(there.values()) - set(self.heard) == set(), "a reaction was not told"
        more = len(there) - len(self.told)
        unknown = sum("before it said" in one.detail for one in self.answers) if unsure else 0
        assert 0 <= more <= unknown, "told that it was not made, and made"
        assert 0 <= total - self.counted <= unknown
        refused = sum(one.status == 503 for one in self.answers)
        longest = max(one.took for one in self.answers)
        return (
            f"{len(self.answers)} answers, {refused} of them 503, {len(self.told)} records acknowledged and none lost; "
            f"the longest took {longest:.1f} s"
        )
