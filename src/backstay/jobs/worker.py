"""The worker of one process: it takes what is ready from the queue, some at once, and stops when it is told to.

Invariant: what was begun is finished before it stops, a flow with the step that it is at. Nothing is remembered here
that another process needs: a worker that is killed is replaced by whichever looks next.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from backstay.jobs.run import Runner
from backstay.jobs.schedule import Schedule
from backstay.jobs.task import Tasks
from backstay.store.later import Driven
from backstay.store.queue import Entry, Queue
from backstay.telemetry.observation import Journal

_REST = 1.0  # seconds after which it looks without having been told


class Worker:
    """Runs up to `at_once` entries at once. One object a process."""

    def __init__(
        self, queue: Queue, runner: Runner, tasks: Tasks, schedule: Schedule, telling: Journal, at_once: int
    ) -> None:  # fmt: skip
        self.at_once = at_once
        self._queue = queue
        self._runner = runner
        self._tasks = tasks
        self._schedule = schedule
        self._telling = telling
        self._running: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take what is ready, until `stop`."""
        if self._tasks.all and self.at_once:
            self._loop = asyncio.get_running_loop().create_task(self._live())

    def ended(self) -> bool:
        """Whether it takes nothing more, though nobody stopped it."""
        return self._loop is not None and self._loop.done() and self._stopping is None

    def busy(self) -> int:
        """How many entries it is at."""
        return len(self._running)

    def begin(self, entry: Entry) -> asyncio.Task[Driven]:
        """Run an entry that was taken, whoever waits for it or stops waiting."""
        task = asyncio.get_running_loop().create_task(self._runner.run(entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def stop(self) -> None:
        """Take nothing more, and finish what was begun; who calls it again waits for the same end."""
        if self._stopping is None:
            self._runner.stopping = True
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        while self._running:
            await asyncio.wait(self._running)

    async def drain(self) -> int:
        """Do all there is to do by now, one after another, what that itself causes included; how much it was."""
        done = 0
        while True:
            look = await self._queue.look()
            await self._schedule.fire(look.now)
            await self._stage()
            if not (taken := await self._queue.take(self._tasks.names(), 1)):
                return done
            await self._runner.run(taken[0])
            done += 1

    async def _live(self) -> None:
        while True:
            rung = self._queue.store.bell.rings
            try:
                seconds = await self._turn()
            except Exception as error:  # the database is away
                self._telling.event("jobs_wait", error=type(error).__name__)
                await asyncio.sleep(_REST)
                continue
            if len(self._running) >= self.at_once:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            elif seconds > 0:
                await self._queue.store.bell.wait(rung, seconds)

    async def _turn(self) -> float:
        """Take what there is and there is room for; for how many seconds there is nothing to do then."""
        look = await self._queue.look()
        fired = await self._schedule.fire(look.now)
        room = self.at_once - len(self._running)
        if (look.ready or fired) and room > 0:
            await self._stage()
            # Shielded: what is taken is run, also where the worker is told to stop in this moment.
            taken = await asyncio.shield(asyncio.get_running_loop().create_task(self._take(room)))
            if taken:
                return 0.0
        next_ = [seconds for seconds in (look.seconds, self._schedule.seconds(look.now)) if seconds is not None]
        return min([_REST, *(max(seconds, 0.01) for seconds in next_ if seconds > 0)])

    async def _take(self, room: int) -> int:
        taken = await self._queue.take(self._tasks.names(), room)
        for entry in taken:
            self.begin(entry)
        return len(taken)

    async def _stage(self) -> None:
        for key, task in await self._queue.stage():
            self._telling.event("job_given_up", job=task, id=key, error="poison")
