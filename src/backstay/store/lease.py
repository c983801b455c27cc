"""Who does what only one process is to do: a name in the database is taken for a while.

Invariant: of all processes that ask while nobody has the name, one gets it; it is free again when its time is over,
whatever became of that process.
"""

from __future__ import annotations

from datetime import timedelta

from backstay.store.changes import microseconds
from backstay.store.engine import Engine


async def take(engine: Engine, name: str, lasts: timedelta) -> bool:
    """Take a name for so long; whether nobody had it. One round trip where somebody has it, else four."""
    dialect, now = engine.store.dialect, microseconds(engine.clock())
    taken = (
        f'SELECT 1 FROM "_state" WHERE "name" = {dialect.slot(0, "text")} AND "number" > {dialect.slot(1, "bigint")}'
    )
    if await engine.store.run(taken, (name, now)):
        return False
    taking = (
        f'INSERT INTO "_state" ("name", "number") VALUES ({dialect.slot(0, "text")}, {dialect.slot(1, "bigint")}) '
        'ON CONFLICT ("name") DO UPDATE SET "number" = excluded."number" '
        f'WHERE "_state"."number" <= {dialect.slot(2, "bigint")} RETURNING 1'
    )
    async with engine.store.transaction() as writing:
        return bool(await writing.run(taking, (name, now + lasts // timedelta(microseconds=1), now)))
