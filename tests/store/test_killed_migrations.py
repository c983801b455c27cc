"""A migration that is killed leaves the old form or the new one, with every record; started again, it works.

`make migrations` kills fifty times over 100,000 records; here it is a few times over some hundred.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pytest

from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.identity import uuid7_maker
from backstay.store.migrate import Migrator, taken
from tests.store.counting_worker import store_of
from tests.store.migrating_worker import after, before

KILLS = int(os.environ.get("MIGRATION_KILLS", "4"))
ROWS = int(os.environ.get("MIGRATION_ROWS", "400"))


async def run_to_the_end(url: str) -> float:
    """Seconds that an undisturbed migration takes, with its process."""
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.store.migrating_worker", url)
    assert await process.wait() == 0
    return perf_counter() - began


class Words:
    """A database of so many words, in the form of before."""

    def __init__(self, url: str, rows: int) -> None:
        self.url = url
        self.rows = rows
        self._store = store_of(url)
        self.migrator = Migrator(self._store, lambda: datetime.now(UTC))

    async def __aenter__(self) -> Words:
        store, old = self._store, before()
        await store.open()
        engine = Engine(old, store, Limits())
        await store.extend(old)
        await self.migrator.adopt(old)
        new_id, insertion = uuid7_maker(), engine.writes.insertion(old.entities["Word"])
        moment = datetime.now(UTC)
        async with store.transaction() as writing:
            for at in range(self.rows):
                values = {
                    "id": new_id(),
                    "created_at": moment,
                    "updated_at": moment,
                    "name": f"Wörd {at}",
                    "number": at,
                }
                given = insertion.values({**values, "spare": f"s{at}"})
                more = (0, None, values["id"]) if insertion.logs else ()
                await writing.run(insertion.text, [*given, *more])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()

    async def form(self) -> str:
        """Which form there is, after a look at every record."""
        current = await self.migrator.current()
        assert current is not None
        is_new = current.snapshot == taken(after())
        columns = '"title", "number", "stock"' if is_new else '"name", "number", "spare"'
        rows = await self._store.run(f'SELECT {columns} FROM "words" ORDER BY "id"', ())
        there = [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows]
        if is_new:
            assert there == [(f"Wörd {at}", str(at), 3) for at in range(self.rows)]
        else:
            assert there == [(f"Wörd {at}", at, f"s{at}") for at in range(self.rows)]
        return "new" if is_new else "old"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]) -> str:
    """An empty database."""
    return str(tmp_path / "words.db") if request.param == "sqlite" else postgres_database("migrations")


async def test_old_or_new_and_no_record_lost(url: str) -> None:
    async with Words(url, ROWS) as words:
        await kill_again_and_again(words)


async def kill_again_and_again(words: Words) -> None:
    """Kill migrations at random moments."""
    url, form, migrator = words.url, words.form, words.migrator
    takes = await run_to_the_end(url)
    assert await form() == "new"
    await migrator.rollback()
    assert await form() == "old"
    rng, found = random.Random(4), []
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.store.migrating_worker", url)
        await asyncio.sleep(takes * rng.uniform(0.3, 1.05))
        if process.returncode is None:
            process.kill()
        await process.wait()
        found.append(await form())
        if found[-1] == "new":
            await migrator.rollback()
            assert await form() == "old"
    await run_to_the_end(url)
    assert await form() == "new"
    kind = "postgres" if "://" in url else "sqlite"
    print(f"{kind}: {takes:.1f} s each, killed {KILLS} times: {found.count('old')} old, {found.count('new')} new")
    assert len(found) == KILLS


@pytest.mark.parametrize("how", ["whole", "halves"])
async def test_planted_a_migration_that_is_not_one_transaction_is_caught(url: str, how: str) -> None:
    """Ended at its last moment it leaves the old form; with a commit before that it is neither, and that is seen."""
    async with Words(url, 20) as words:
        worker = "tests.store.migrating_worker"
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", worker, url, how)
        assert await process.wait() == 9
        if how == "whole":
            assert await words.form() == "old"
        else:
            with pytest.raises(Exception, match="name"):
                await words.form()
