"""A server is ended with `kill -9` under writes, again and again: every record that it answered with 201 is there.

`make test` kills it twice, `make durability` twenty times, on each database.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from backstay import Limits
from backstay.app import open_store
from backstay.settings import read_settings
from tests.api.fleet import Got, Server, one_answer, seconds

KILLS = int(os.environ.get("DURABILITY_KILLS", "2"))
CLIENTS = 8

FILE = """
from __future__ import annotations

from backstay import App, Model, Rules, User, anyone


class Item(Model):
    n: int

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


app = App("items", models=[Item])
"""


class Writers:
    """Clients that make items as long as they may, and remember which they were told of."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0
        self.told: dict[str, int] = {}
        self.others: list[Got] = []
        self.over = False
        self._enough, self._reached = 0, asyncio.Event()

    async def more(self, answers: int) -> None:
        """Wait until they were told of so many more."""
        self._enough, self._reached = len(self.told) + answers, asyncio.Event()
        await self._reached.wait()

    async def work(self) -> None:
        while not self.over:
            self.asked += 1
            n = self.asked
            try:
                got = await one_answer(self.port, "POST", "/api/items", {}, json.dumps({"n": n}).encode())
            except (OSError, EOFError):
                await asyncio.sleep(0.02)  # it was killed, or is not there yet
                continue
            if got.status == 201:
                self.told[msgspec.json.decode(got.body)["id"]] = n
                if len(self.told) >= self._enough:
                    self._reached.set()
            else:
                self.others.append(got)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_what_was_answered_is_there_after_a_kill(
    kind: str, tmp_path: Path, postgres_database: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/items.db" if kind == "sqlite" else postgres_database("killed")
    (tmp_path / "items.py").write_text(FILE)
    environment = {
        "DATABASE_URL": url, "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "error",
        "BACKSTAY_DATA": str(tmp_path / "data"),
        "BACKSTAY_ACCEPT": "durability",  # of a PostgreSQL that only its machine's end would hurt
    }  # fmt: skip
    server, rng = Server(tmp_path / "items.py", environment), random.Random(4)
    begun, ready = seconds(), []
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait)
        writers = Writers(server.port)
        async with asyncio.timeout(900):
            writing = asyncio.gather(*(writers.work() for _ in range(CLIENTS)))
            for _ in range(KILLS):
                await writers.more(50 + rng.randrange(100))
                await asyncio.to_thread(server.kill)
                again = seconds()
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(server.wait)
                ready.append(seconds() - again)
            writers.over = True
            await writing
    finally:
        await asyncio.to_thread(server.stop)
    store = open_store(read_settings({**os.environ, **environment}), Limits())
    await store.open()
    rows = await store.run('SELECT CAST("id" AS text), "n" FROM "items"', ())
    ids = {row[0] if isinstance(row[0], str) else row[0].decode(): row[1] for row in rows}
    (changes,) = await store.run('SELECT count(*) FROM "_changes"', ())
    await store.close()
    assert writers.others == []
    assert {key: n for key, n in writers.told.items() if ids.get(key) != n} == {}, "acknowledged, and lost"
    assert len(ids) - len(writers.told) <= CLIENTS * KILLS, "more than what was on its way"
    assert len(set(ids.values())) == len(ids), "made twice"
    assert changes[0] == len(ids), "a record without its change"
    assert len(writers.told) > 50 * KILLS
    with capsys.disabled():
        print(f"\n{kind}: {KILLS} kills in {seconds() - begun:.0f} s, {len(writers.told)} records answered, none lost; "
              f"it listened again after at most {max(ready):.1f} s")  # fmt: skip
