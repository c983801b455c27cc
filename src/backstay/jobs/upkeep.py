"""The database is kept in shape: what is too old goes, and the database's own housekeeping is done.

One process does it, by a lease in the database, once an hour, and whoever is asked to.
Invariant: nothing goes that somebody has still to read: changes stay that a reaction was not told of, or that it was
given up on. Each step is short, so writers never wait for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

from backstay.store.engine import Engine
from backstay.store.lease import take
from backstay.store.positions import Positions
from backstay.telemetry.observation import Journal

EVERY = timedelta(hours=1)
_LOOK = 60.0  # seconds between two looks whether it is time


@dataclass(frozen=True, slots=True)
class Chore:
    """One thing to do: its name, and what does it and says in words what that was, or nothing."""

    name: str
    run: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one chore: what it did, or why it failed, and how many seconds it took."""

    chore: str
    said: str
    seconds: float
    failed: bool = False


class Upkeep:
    """Keeps one database in shape. `reactions` are the names of those whose changes must stay until they are told."""

    def __init__(
        self, engine: Engine, reactions: Sequence[str], keep: timedelta, journal: Journal, more: Sequence[Chore] = ()
    ) -> None:
        self._engine = engine
        self._reactions = reactions
        self._keep = keep
        self._journal = journal
        self._more = more
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look every minute whether it is time, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        """Finish the step at hand, and begin nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.if_due()
            except Exception as error:  # the database is away; the next look finds it
                self._journal.event("upkeep_waits", error=type(error).__name__)

    async def if_due(self) -> list[Done]:
        """Do it where nobody has done it for an hour. One round trip where somebody has."""
        return await self.once() if await take(self._engine, "upkeep", EVERY) else []

    async def once(self, *, vacuum: bool = False) -> list[Done]:
        """Do everything now. With `vacuum` space is given back too, for which the database may stand still."""

        async def housekeeping() -> str:
            await self._engine.store.maintain(vacuum=vacuum)
            return "vacuumed" if vacuum else "statistics made"

        chores = (Chore("changes", self._changes), *self._more, Chore("database", housekeeping))
        return [await self._do(chore) for chore in chores]

    async def _do(self, chore: Chore) -> Done:
        began = perf_counter()
        try:
            said = await chore.run()
        except Exception as error:
            done = Done(chore.name, f"{type(error).__name__}: {error}", perf_counter() - began, failed=True)
            self._journal.event("upkeep_failed", chore=chore.name, error=type(error).__name__)
            return done
        done = Done(chore.name, said, perf_counter() - began)
        if said:
            self._journal.event("upkeep", chore=chore.name, did=said, seconds=round(done.seconds, 3))
        return done

    async def _changes(self) -> str:
        """Forget changes that are too old, but none that somebody has still to read."""
        engine = self._engine
        await engine.store.settle()
        upto = await Positions(engine).read_by_all(self._reactions)
        gone = await engine.changes.forget(engine.clock() - self._keep, upto)
        said = f"{gone} changes forgotten" if gone else ""
        if upto is not None and await self._held_back(upto):
            said = ", ".join(
                filter(None, [said, f"older ones behind {upto} wait for reactions (backstay outbox list)"])
            )
        return said

    async def _held_back(self, upto: int) -> bool:
        changes = await self._engine.changes.after(upto, 1)
        return bool(changes) and changes[0].at < self._engine.clock() - self._keep
