"""Writers are killed, and one transaction stays open all the while: a reader sees each change once, in order.

`make changes` kills for a minute, as long as a transaction is open; here it is a few seconds.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Update
from backstay.store.identity import uuid7_maker
from backstay.store.transaction import Hooks, Transaction
from tests.store.counting_worker import engine_of

SECONDS = float(os.environ.get("CHANGES_SECONDS", "4"))
WORKERS, COUNTS = 3, 12


async def started(url: str, seed: int, keys: list[str]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.counting_worker", url, str(seed), *keys, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_every_change_is_read_once_and_in_order(
    kind: str, tmp_path: Path, postgres_database: Callable[[str], str]
) -> None:
    url = str(tmp_path / "counts.db") if kind == "sqlite" else postgres_database("killed")
    engine = await engine_of(url)
    await engine.store.extend(engine.schema)
    await engine.changes.open()

    def begin() -> Any:
        return Transaction.begin(engine, SYSTEM, Hooks(), uuid7_maker())

    async with begin() as tx:
        keys = [await tx.write(Create("Count", {"name": str(at)})) for at in range(COUNTS)]
    engine.store.listen()
    seen: dict[str, list[int]] = {}
    positions: list[int] = []

    async def read() -> None:
        while changes := await engine.changes.after(positions[-1] if positions else 0, 100):
            positions.extend(change.position for change in changes)
            for change in changes:
                seen.setdefault(change.record, []).append(change.version)

    async def keep_reading() -> None:
        while True:
            rung = engine.store.bell.rings
            await read()
            await engine.store.bell.wait(rung, 0.05)

    rng = random.Random(3)
    open_all_the_while = begin()
    longest = ""
    if kind == "postgres":
        tx = await open_all_the_while.__aenter__()
        longest = await tx.write(Create("Count", {"name": "longest"}))
    workers = [await started(url, at, keys) for at in range(WORKERS)]
    reading = asyncio.ensure_future(keep_reading())
    loop = asyncio.get_running_loop()
    end, kills = loop.time() + SECONDS, 0
    while loop.time() < end or kills < 3:
        await asyncio.sleep(0.3 + rng.random() / 2)
        victim = rng.randrange(WORKERS)
        workers[victim].kill()
        await workers[victim].wait()
        kills += 1
        workers[victim] = await started(url, WORKERS + kills, keys)
    for worker in workers:
        worker.kill()
        await worker.wait()
    if kind == "postgres":
        assert longest not in seen
        await open_all_the_while.__aexit__(None, None, None)
    async with begin() as tx:
        await tx.write(Update("Count", keys[0], {"name": "last"}))
    for _ in range(100):
        if keys[0] in seen and seen[keys[0]][-1] == await version(engine, keys[0]) and (not longest or longest in seen):
            break
        await asyncio.sleep(0.1)
    reading.cancel()
    await engine.store.settle()
    await read()
    there = {key: await version(engine, key) for key in [*keys, *([longest] if longest else [])]}
    assert {key: list(range(1, last + 1)) for key, last in there.items()} == seen
    assert positions == list(range(1, len(positions) + 1))
    assert kills >= 3
    assert sum(there.values()) > COUNTS * 2
    print(f"{kind}: {len(positions)} changes, {kills} kills")
    await engine.store.close()


async def version(engine: Any, key: str) -> int:
    """The version of a count, which every change raises by one."""
    slot = engine.store.dialect.slot(0, "text")
    rows = await engine.store.run(f'SELECT "_version" FROM "counts" WHERE CAST("id" AS text) = {slot}', (key,))
    return int(rows[0][0])
