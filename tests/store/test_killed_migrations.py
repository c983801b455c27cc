"""A migration that is killed leaves the old form or the new one, with every record; started again, it works.

`make migrations` kills fifty times over 100,000 records; here it is a few times over some hundred.
"""

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


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_old_or_new_and_no_record_lost(
    kind: str, tmp_path: Path, postgres_database: Callable[[str], str]
) -> None:
    url = str(tmp_path / "words.db") if kind == "sqlite" else postgres_database("migrations")
    store = store_of(url)
    await store.open()
    old, new = before(), after()
    engine = Engine(old, store, Limits())
    await store.extend(old)
    migrator = Migrator(store, lambda: datetime.now(UTC))
    await migrator.adopt(old)
    new_id, insertion = uuid7_maker(), engine.writes.insertion(old.entities["Word"])
    moment = datetime.now(UTC)
    async with store.transaction() as writing:
        for at in range(ROWS):
            values = {"id": new_id(), "created_at": moment, "updated_at": moment, "name": f"Wörd {at}", "number": at}
            given = insertion.values({**values, "spare": f"s{at}"})
            more = (0, None, values["id"]) if insertion.logs else ()
            await writing.run(insertion.text, [*given, *more])

    async def form() -> str:
        """Which form there is, after a look at every record."""
        current = await migrator.current()
        assert current is not None
        is_new = current.snapshot == taken(new)
        columns = '"title", "number", "stock"' if is_new else '"name", "number", "spare"'
        rows = await store.run(f'SELECT {columns} FROM "words" ORDER BY "id"', ())
        there = [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows]
        if is_new:
            assert there == [(f"Wörd {at}", str(at), 3) for at in range(ROWS)]
        else:
            assert there == [(f"Wörd {at}", at, f"s{at}") for at in range(ROWS)]
        return "new" if is_new else "old"

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
    print(f"{kind}: {takes:.1f} s each, killed {KILLS} times: {found.count('old')} old, {found.count('new')} new")
    assert len(found) == KILLS
    await store.close()
