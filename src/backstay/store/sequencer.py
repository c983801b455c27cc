"""PostgreSQL's sequencer: gives committed changes their positions, and tells every process that there are some.

Numbers from a sequence are drawn before a transaction commits, so a reader that goes by them misses what was drawn
early and committed late. Here one elected process looks at what is committed and has no position yet, and numbers it.
Invariant: at most one sequencer stamps at a time: it holds a lock on the very connection that stamps, and the database
lets go of it when that connection ends. A transaction that stays open holds up nobody: its changes are numbered when
they are there. `NOTIFY` takes a lock of the whole server at commit, so writers never notify in their transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from backstay.errors import Unavailable
from backstay.store.bell import Bell
from backstay.store.postgres_failure import FAILURES

LOCK = 8242712
_CHANGED, _WRITTEN = "backstay_changes", "backstay_written"
_BATCH = 5_000
_PAUSE = 0.01  # seconds between two looks under load, so that one look serves many writers
_IDLE = 1.0  # seconds after which it looks, and stands for election, without having been told

# The changes of one transaction stay together, behind those of every transaction that it waited for: whoever wrote a
# row after another transaction drew its last number after that one had drawn all of its own.
STAMP = f"""
WITH base AS (SELECT "number" FROM "_state" WHERE "name" = 'position' FOR UPDATE),
  fresh AS (
    SELECT "id", max("id") OVER (PARTITION BY "tx") AS last FROM "_changes" WHERE "position" IS NULL
  ),
  numbered AS (SELECT "id", row_number() OVER (ORDER BY last, "id") AS n FROM fresh ORDER BY n LIMIT {_BATCH}),
  stamped AS (
    UPDATE "_changes" AS c SET "position" = base."number" + numbered.n FROM numbered, base
    WHERE c."id" = numbered."id" AND c."position" IS NULL RETURNING c."position"
  ),
  kept AS (
    UPDATE "_state" SET "number" = (SELECT max("position") FROM stamped)
    WHERE "name" = 'position' AND EXISTS (SELECT FROM stamped)
  )
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('{_CHANGED}', '')::text END FROM stamped
"""


async def stamp(raw: Any) -> int:
    """Number what is committed and has no position, at most a batch; returns how many changes that were."""
    (row,) = await raw.fetch(STAMP)
    return int(row[0])


class Sequencer:
    """One process's candidate for the sequencer, and its ear for the news of whoever was elected."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], bell: Bell) -> None:
        self.elected = False
        self._connect = connect
        self._bell = bell
        self._wake = asyncio.Event()
        self._told = False
        self._raw: Any = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Stand for election and listen, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        """Stop, and let another process be elected."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def written(self) -> None:
        """This process has committed changes."""
        self._told = True
        self._wake.set()

    async def _live(self) -> None:
        while True:
            try:
                self._raw = await self._connect()
                await self._serve(self._raw)
            except (Unavailable, *FAILURES):  # the database is away; whoever is back first is elected
                await asyncio.sleep(_IDLE)
            finally:
                self.elected = False
                if self._raw is not None:
                    raw, self._raw = self._raw, None
                    raw.terminate()

    async def _serve(self, raw: Any) -> None:
        await raw.add_listener(_CHANGED, lambda *_: self._bell.ring())
        await raw.add_listener(_WRITTEN, lambda *_: self._wake.set())
        self._bell.ring()  # there may have been news while nobody listened
        while True:
            if not self.elected:
                self.elected = await raw.fetchval(f"SELECT pg_try_advisory_lock({LOCK})")
            told, self._told = self._told, False
            if self.elected:
                while await stamp(raw) == _BATCH:
                    pass
            elif told:
                await raw.execute(f"SELECT pg_notify('{_WRITTEN}', '')")
            await asyncio.sleep(_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE):
                    await self._wake.wait()
            self._wake.clear()
