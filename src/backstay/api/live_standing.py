"""Whether who asked is still who they were: a live stream ends within a second of whatever takes its rights away.

A look every 0.4 seconds, for all streams of the process together, at the numbers that every revocation raises
(`store/revocation.py`); whose number moved is looked up anew, and so is whose token has expired. Invariant: a stream
goes on only for the very actor that it was begun for, with the same roles and scopes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from backstay.auth.identify import Recognised
from backstay.errors import Problem
from backstay.plan.actor import Actor
from backstay.store.engine import Engine
from backstay.store.revocation import read_revocations, slot_of
from backstay.telemetry.observation import Journal

EVERY = 0.4
"""Seconds between two looks."""
_ASKED = 15  # seconds between two times that a log-in which is not ours is asked

Look = Callable[[], Awaitable[Recognised]]
End = Callable[[str, str], None]


@dataclass(slots=True, eq=False)
class Watched:
    """One stream: for whom, how that is looked up, and how it is ended."""

    actor: Actor
    look: Look
    end: End
    counted: bool
    """Whether revocations of this actor raise a number; otherwise it is asked now and then."""
    number: int = 0
    until: datetime | None = None
    asked: float = field(default=0.0)


class Standings:
    """The streams of one process, and whether they may go on."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    async def watch(self, actor: Actor, look: Look, end: End, *, counted: bool) -> Callable[[], None]:
        """End a stream when its actor is no more what they were; returns what ends the watch.

        Raises `NotSignedIn` where that is so already. Two round trips.
        """
        number = (await read_revocations(self._engine.store)).get(slot_of(actor.id), 0) if counted else 0
        found = await look()
        if changed(actor, found.actor):
            raise Problem(code="invalid_token")
        loop = asyncio.get_running_loop()
        watched = Watched(actor, look, end, counted, number, found.expires_at, loop.time())
        self._watched.add(watched)
        if self._task is None:
            self._task = asyncio.ensure_future(self._live())
        return lambda: self._watched.discard(watched)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if self._watched:
                try:
                    await self.look()
                except Exception as error:  # the database is away, and nothing is sent from it either
                    self._journal.event("live_waits", error=type(error).__name__)

    async def look(self) -> None:
        """End what may not go on. One round trip, and one for each whose rights may have changed."""
        numbers: Mapping[str, int] = await read_revocations(self._engine.store)
        now, clock = asyncio.get_running_loop().time(), self._engine.clock()
        for one in list(self._watched):
            number = numbers.get(slot_of(one.actor.id), 0) if one.counted else 0
            expired = one.until is not None and clock >= one.until
            asked = not one.counted and now - one.asked > _ASKED
            if number == one.number and not expired and not asked:
                continue
            one.asked = now
            try:
                found = await one.look()
            except Problem as problem:
                self._end(one, problem.code, "The token has ended: sign in again, or refresh it, and come back.")
                continue
            if changed(one.actor, found.actor):
                self._end(one, "rights_changed", "What this account may do has changed: come back for what it may now.")
            else:
                one.number, one.until = number, found.expires_at

    def _end(self, one: Watched, code: str, detail: str) -> None:
        self._watched.discard(one)
        one.end(code, detail)


def changed(was: Actor, now: Actor) -> bool:
    """Whether an actor is another one, or has other rights."""
    return (was.id, was.roles, was.scopes, was.session, was.key) != (
        now.id,
        now.roles,
        now.scopes,
        now.session,
        now.key,
    )
