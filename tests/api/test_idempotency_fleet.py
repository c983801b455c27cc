"""The same request, many times at once, to four processes, one of which is killed: it is done once.

`make test` sends 50 keys 20 times each; `make idempotency` 1,000, and plants faults in the processes to see them told.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backstay import Limits
from backstay.app import open_store
from backstay.cli.load import load_app
from backstay.plan.actor import SYSTEM
from backstay.settings import read_settings
from backstay.store.port import Store
from tests.api.fleet import Client, Fleet, Got, seconds

KEYS = int(os.environ.get("IDEMPOTENCY_KEYS", "50"))
COPIES = 20
AT_ONCE = 12  # keys

FILE = """
from __future__ import annotations

from backstay import App, Context, Limits, Model, Rules, Transaction, User, anyone, current_user, signed_in


class Item(Model):
    n: int
    by: User = current_user()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


class Tally(Model):
    total: int = 0

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


app = App("items", models=[Item, Tally], limits=Limits(repeat_wait_ms=2_000))


@app.action("POST /api/count", allow=signed_in, status=201)
async def count(tx: Transaction, n: int) -> Item:
    (tally,) = await tx.find(Tally)
    await tx.as_system.update(tally, total=lambda t: t.total + 1)
    return await tx.create(Item(n=n))


@app.action("POST /api/steps", allow=signed_in, status=201)
async def steps(ctx: Context, n: int) -> Item:
    async with ctx.transaction() as tx:
        item = await tx.create(Item(n=n))
    async with ctx.transaction(as_system=True) as tx:
        return await tx.get(Item, item.id)
"""
"""An application in which a second effect can be counted: nothing in it is unique but the ids."""


def ask(n: int) -> tuple[str, bytes]:
    """The request of a key, one of every way to write."""
    ways: tuple[tuple[str, Any], ...] = (
        ("/api/items", {"n": n}), ("/api/count", {"n": n}), ("/api/steps", {"n": n}),
        ("/api/batch", [{"method": "POST", "path": "/api/items", "body": {"n": n}}]),
    )  # fmt: skip
    path, body = ways[n % len(ways)]
    return path, json.dumps(body).encode()


def other(n: int) -> tuple[str, bytes]:
    """Another request to the same route."""
    path, body = ask(n)
    return path, body.replace(f'"n": {n}'.encode(), f'"n": {n + 1_000_000}'.encode())


_EFFECTS = "SELECT n, count(*) FROM items JOIN users ON users.id = items.by_id WHERE users.name = '{}' GROUP BY n"


@dataclass
class Drill:
    """Everything that was asked and answered, and what must be true of it."""

    fleet: Fleet
    client: Client
    tokens: dict[str, str]
    store: Store
    got: dict[int, list[Got]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def send(self, at: int, n: int, asked: tuple[str, bytes], who: str = "ada") -> Got:
        headers = {"authorization": f"Bearer {self.tokens[who]}", "idempotency-key": f"key of {n}"}
        return await self.client.send(at, "POST", asked[0], headers, asked[1])

    async def all_at_once(self, keys: int, *, kill: bool) -> None:
        """Every key many times, to all processes in turn; in the middle one is killed, and started again."""
        gate, begun = asyncio.Semaphore(AT_ONCE), 0
        back: asyncio.Task[None] | None = None

        async def one(n: int) -> None:
            nonlocal begun, back
            async with gate:
                begun += 1
                sending = [asyncio.create_task(self.send(n + copy, n, ask(n))) for copy in range(COPIES)]
                if kill and begun == keys // 2:
                    await asyncio.sleep(0)
                    back = asyncio.create_task(self.kill_and_start(self.fleet.servers[n % 4]))
                self.got[n] = [await sent for sent in sending]

        await asyncio.gather(*(one(n) for n in range(keys)))
        if back is not None:
            await back

    async def each(self, keys: int, work: Callable[[int], Awaitable[Got]]) -> list[Got]:
        """Something for every key, some of them at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(n: int) -> Got:
            async with gate:
                return await work(n)

        return await asyncio.gather(*(one(n) for n in range(keys)))

    async def kill_and_start(self, server: Any) -> None:
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait)

    def open_ones(self) -> set[int]:
        """Keys whose effect is there and whose answer died with the process that had made it."""
        return {n for n, got in self.got.items() if any(one.code in ("in_progress", "answer_lost") for one in got)}

    async def judge(self, who: str, keys: int) -> None:
        """One effect for each key, the same answer to all."""
        items = Counter(dict(await self.store.run(_EFFECTS.format(who), ())))
        for n in range(keys):
            if items[n] != 1:
                self.faults.append(f"{who}'s key {n} has {items[n]} effects")
        if set(items) - set(range(keys)):
            self.faults.append(f"{who} has effects of other requests")
        if who != "ada":
            return
        for n, got in self.got.items():
            if n in self.open_ones():
                if n % 4 != 2 or any(one.status < 300 for one in got):
                    self.faults.append(f"the answer to key {n} is lost")
                continue
            if got[0].status not in (200, 201) or len({one.shown for one in got}) > 1:
                self.faults.append(f"the answers to key {n} differ: {[(one.status, one.body[:80]) for one in got]}")
            if sum(not one.replayed for one in got) > 1:
                self.faults.append(f"key {n} was answered twice as if it were the first time")


@asynccontextmanager
async def drill(folder: Path, database: str, planted: str = "", before: str = "") -> AsyncIterator[Drill]:
    """Four processes over a database with two people in it."""
    file = folder / "items.py"
    file.write_text(FILE + planted)
    environment = {
        "DATABASE_URL": database, "SECRET_KEY": "of a whole fleet " * 2, "LOG_LEVEL": "error",
        "BACKSTAY_ACCEPT": "durability",
        "BACKSTAY_ACCESS_MINUTES": "600", "BACKSTAY_DATA": str(folder / "data"),
    }  # fmt: skip
    app = load_app(str(file))
    settings = read_settings({**os.environ, **environment})
    store = open_store(settings, Limits())
    if before:
        await store.open()
        async with store.transaction() as writing:
            await writing.run(before, ())
        await store.close()
    running = await app.start(settings, extend=True)
    tokens: dict[str, str] = {}
    for name in ("ada", "bob"):
        entry = {"email": f"{name}@example.com", "password": "correct horse battery"}
        await running.accounts.create_user(entry["email"], entry["password"], name=name)
        tokens[name] = (await running.accounts.login(entry)).access_token
    async with running.context_of(SYSTEM).transaction() as tx:
        await tx.create(app.schema.entities["Tally"].model())
    await app.stop()
    await store.open()
    fleet = Fleet(file, environment)
    try:
        await asyncio.to_thread(fleet.start)
        made = Drill(fleet, fleet.client(), tokens, store)
        yield made
        made.client.forget()
    finally:
        await asyncio.to_thread(fleet.stop)
        await store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/items.db"
    make: Callable[[str], str] = request.getfixturevalue("postgres_database")
    return make("fleet")


async def test_a_request_sent_many_times_to_many_processes_is_done_once(
    tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with drill(tmp_path, database) as d:
        begun = seconds()
        await d.all_at_once(KEYS, kill=True)
        taken = seconds() - begun
        await d.judge("ada", KEYS)
        assert d.faults == []
        lost = d.open_ones()
        assert len(lost) <= AT_ONCE

        refused = await d.each(KEYS, lambda n: d.send(n, n, other(n)))  # another request
        assert {(one.status, one.code) for one in refused} == {(422, "idempotency_key_reused")}

        theirs = await d.each(KEYS, lambda n: d.send(n, n, ask(n), "bob"))  # another person
        assert {(one.status < 300, one.replayed) for one in theirs} == {(True, False)}
        await d.judge("bob", KEYS)
        assert d.faults == []

        await asyncio.to_thread(d.fleet.stop)  # another day
        d.client.forget()
        await asyncio.to_thread(d.fleet.start)
        async with d.store.transaction() as writing:
            await writing.run('UPDATE "_repeats" SET lease_until = lease_until - 3600', ())
        for n, again in enumerate(await d.each(KEYS, lambda n: d.send(n, n, ask(n)))):
            if n in lost:
                assert (again.status, again.code) == (409, "answer_lost"), n
            else:
                assert (again.shown, again.replayed) == (d.got[n][0].shown, True), n
        await d.judge("ada", KEYS)
        assert d.faults == []
        rows = await d.store.run("SELECT total FROM tallies", ())
        assert rows[0][0] == 2 * len([n for n in range(KEYS) if n % 4 == 1])
        with capsys.disabled():
            kind = d.store.dialect.name
            print(f"\n{kind}: {KEYS} keys, {COPIES} copies each, 4 processes, one killed: {taken:.1f} s, "
                  f"{d.client.broken} connections broken, {len(lost)} answers lost, 0 second effects")  # fmt: skip
