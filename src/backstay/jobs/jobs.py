"""Jobs and flows of one application in one process, put together.

Invariant: an application is not started where flows are under way in a version that it no longer has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from backstay.errors import DeclarationError, Mistake
from backstay.jobs.desk import Desk
from backstay.jobs.failure import Backoff
from backstay.jobs.flow import CANCELLED
from backstay.jobs.run import Runner
from backstay.jobs.schedule import Every, Schedule
from backstay.jobs.task import Tasks
from backstay.jobs.worker import Worker
from backstay.store.context import Context
from backstay.store.engine import Engine
from backstay.store.journal import WHOLE, Journal, Line
from backstay.store.queue import Entry, Queue
from backstay.store.timetable import Timetable
from backstay.telemetry.observation import Journal as Telling

_DAY = 86_400.0


class Jobs:
    """The queue, and what is done with it. `days` is for how long what has ended is remembered."""

    def __init__(
        self, engine: Engine, tasks: Tasks, every: Sequence[Every], context: Callable[[], Context], telling: Telling,
        clock: Callable[[], datetime] | None, new_id: Callable[[], str], *, at_once: int, days: int,
    ) -> None:  # fmt: skip
        # Where somebody has the time in hand, nothing is left to chance.
        backoff = Backoff() if clock is None else Backoff(chance=lambda: 0.5)
        self.tasks = tasks
        self.queue = Queue(engine.store, clock)
        self.journal = Journal(engine.store, clock)
        self._kept = days * _DAY
        self.runner = Runner(self.queue, self.journal, tasks, context, telling, backoff, self._kept)
        schedule = Schedule(every, self.queue, Timetable(engine.store, clock), new_id)
        self._schedule = schedule
        self.worker = Worker(self.queue, self.runner, tasks, schedule, telling, at_once)
        self.desk = Desk(self.queue, self.journal, tasks, self.worker, new_id)

    async def open(self) -> None:
        """Look whether what is under way can go on, and when what comes round again is next due.

        Raises `DeclarationError` where a version of a flow is missing.
        """
        if missing := await self.missing():
            raise DeclarationError(
                [
                    Mistake(task, f"{count} flows of this version are under way, and it is gone.",
                            "Keep its function until they have ended: @app.flow(version=..., name=...).")
                    for task, count in missing.items()
                ]
            )  # fmt: skip
        await self._schedule.open()

    async def missing(self) -> dict[str, int]:
        """How many flows are under way in which versions that the application does not have. One round trip."""
        there = await self.queue.versions()
        return {task: count for task, count in there.items() if task not in self.tasks.all}

    async def some(self, *, state: str = "", task: str = "", limit: int = 50) -> list[Entry]:
        """Jobs and flows, the newest first: those in a state, and those of a task by its name. One round trip."""
        return await self.queue.some(state=state, task=task, limit=limit)

    async def look_at(self, key: str) -> tuple[Entry, list[Line]] | None:
        """One of them, with the steps of a flow in their order. Two round trips."""
        entry = await self.queue.find(key)
        return None if entry is None else (entry, list((await self.journal.read(key)).values()))

    async def retry(self, key: str) -> bool:
        """Try again now what was given up on, or waits for its next try; whether there is such a job or flow."""
        async with self.queue.store.transaction() as writing:
            await self.journal.again(writing, key)
        return await self.queue.retry(key)

    async def cancel(self, key: str, reason: str = "Somebody has cancelled it.") -> bool:
        """End a job that nobody runs, or have a flow taken back; whether that was possible."""
        entry = await self.queue.find(key)
        if entry is None:
            return False
        if "@" not in entry.task:
            return await self.queue.cancel(key, self._kept, reason)
        async with self.queue.store.transaction() as writing:
            if not await self.queue.call_back(writing, key):
                return False
            line = Line(WHOLE, 0, "failed", reason=reason, code=CANCELLED)
            await self.journal.write(writing, key, line)
        self.queue.store.ring()
        return True

    async def purge(self) -> str:
        """Forget what ended long enough ago; what was done, in words."""
        gone = 0
        while page := await self.queue.purge():
            gone += page
        return f"{gone} jobs that had ended" if gone else ""
