"""One entry of the queue is run: a job, or a flow as far as it goes; and what becomes of it is written.

Invariant: what is written is written under the fence that the entry was taken with. Whoever has lost it, stops, and
says nothing more about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from backstay.jobs.failure import Backoff, StepFailed, code_of, is_permanent, said_by
from backstay.jobs.flow import CANCELLED, Flow, Pause
from backstay.jobs.task import Task, Tasks, json_of
from backstay.store.contended import until_settled
from backstay.store.context import Context
from backstay.store.journal import Journal
from backstay.store.later import Driven
from backstay.store.queue import LEASE, Entry, Lapsed, Outcome, Queue
from backstay.telemetry.failpoint import POINTS
from backstay.telemetry.observation import Journal as Telling

_HELD = Outcome("running")


class Runner:
    """Runs entries that this process has taken. `kept` is for how many seconds what has ended is remembered."""

    def __init__(
        self, queue: Queue, journal: Journal, tasks: Tasks, context: Callable[[], Context], telling: Telling,
        backoff: Backoff, kept: float,
    ) -> None:  # fmt: skip
        self.queue = queue
        self.journal = journal
        self.context = context
        self.backoff = backoff
        self.stopping = False
        self.kept = kept
        self._tasks = tasks
        self._telling = telling

    async def run(self, entry: Entry) -> Driven:
        """Run it, and write what becomes of it; where it can be written."""
        task = self._tasks.all[entry.task]
        try:
            async with self._keeping(entry):
                outcome = await (self._flow if task.kind == "flow" else self._job)(task, entry)
        except Lapsed:
            outcome = _HELD
        self._tell(task, entry, outcome)
        if entry.order_key is not None or task.kind == "flow":
            self.queue.store.ring()  # for what waits behind it, and for who waits to hear of it
        return driven(entry.id, outcome)

    # Jobs.

    async def _job(self, task: Task, entry: Entry) -> Outcome:
        async def hold(writing: Any) -> None:
            await self.queue.hold(writing, entry)

        done = Outcome("done", self.kept)
        try:
            arguments = task.decode(entry.arguments)
            if task.one_transaction:

                async def once() -> None:
                    async with self.context().transaction() as tx:
                        await task.function(tx, **arguments)
                        await self.queue.end(tx.writing, entry, done)
                        POINTS.before(f"{task.name}.commit")
                    POINTS.after(f"{task.name}.commit")

                await until_settled(once)
                return done
            POINTS.before(f"{task.name}.call")
            async with asyncio.timeout(task.timeout):
                await task.function(self.context().under(entry.id, hold), **arguments)
            POINTS.after(f"{task.name}.call")
            outcome = done
        except Lapsed:
            raise
        except Exception as error:
            outcome = self._after(error, task, entry.attempts + 1)
        await self._end(task, entry, outcome)
        return outcome

    def _after(self, error: Exception, task: Task, failures: int) -> Outcome:
        """What follows from a failure."""
        if is_permanent(error) or isinstance(error, msgspec.ValidationError) or failures >= task.attempts:
            return Outcome("failed", None, failures, said_by(error), code_of(error))
        return Outcome("later", self.backoff.after(failures), failures, said_by(error), code_of(error))

    async def _end(self, task: Task, entry: Entry, outcome: Outcome) -> None:
        point = f"{task.name}.commit" if task.kind == "job" else f"{task.name}.end.commit"
        async with self.queue.store.transaction() as writing:
            await self.queue.end(writing, entry, outcome)
            POINTS.before(point)
        POINTS.after(point)

    # Flows.

    async def _flow(self, task: Task, entry: Entry) -> Outcome:
        flow = Flow(self, task, entry, await self.journal.read(entry.id))
        try:
            outcome = await self._drive(task, flow, entry)
        except Pause as pause:
            if pause.outcome is None:
                return await self._written(entry)
            outcome = pause.outcome
        await self._end(task, entry, outcome)
        return outcome

    async def _drive(self, task: Task, flow: Flow, entry: Entry) -> Outcome:
        try:
            result = json_of(await task.function(flow, **task.decode(entry.arguments)), f"What {task.name} returns")
        except StepFailed as error:
            return await self._take_back(flow, error.reason, error.code, said=f"{error.step}: {error.reason}")
        except Exception as error:
            after = self._after(error, task, flow.attempts + 1)
            if after.state == "later" and flow.failed is None:
                return after
            if flow.failed is None:
                await flow.fail(error)
            return await self._take_back(flow, said_by(error), code_of(error))
        return Outcome("done", self.kept, result=result)

    async def _take_back(self, flow: Flow, reason: str, code: str, *, said: str = "") -> Outcome:
        """Undo what was done, the last first; each is tried again until it is done or given up on."""
        stuck: list[str] = []
        for undo in reversed(flow.undos):
            line = undo.line
            if line.state not in ("undone", "stuck"):
                line = await flow.take_back(undo)
                if line.state == "stuck":
                    self._telling.event("undo_given_up", flow=flow.id, step=line.name, error=line.reason)
            if line.state == "stuck":
                stuck.append(f"{line.name} could not be taken back: {line.reason}")
        if stuck:
            return Outcome("failed", None, 0, "; ".join([*stuck, f"after {said or reason}"]), code)
        return Outcome("cancelled" if code == CANCELLED else "undone", self.kept, 0, said or reason, code)

    async def _written(self, entry: Entry) -> Outcome:
        """What was written about it already, by this process or by who has taken over."""
        found = await self.queue.find(entry.id)
        if found is None or found.fence != entry.fence:
            return _HELD
        return Outcome(found.state, None, found.attempts, found.reason, found.code, found.result)

    # Around both.

    @asynccontextmanager
    async def _keeping(self, entry: Entry) -> AsyncIterator[None]:
        """Have the entry for as long as the block takes; where it is lost, the block is ended by `Lapsed`."""
        loop, running = asyncio.get_running_loop(), asyncio.current_task()
        assert running is not None
        lost = False
        keeper: asyncio.Task[None] | None = None

        async def keep() -> None:
            nonlocal lost
            while True:
                with suppress(Exception):  # a database that is away: the lease says how long that may be
                    try:
                        await self.queue.keep(entry)
                    except Lapsed:
                        lost = True
                        running.cancel()
                        return
                await asyncio.sleep(LEASE / 3)

        def begin() -> None:
            nonlocal keeper
            keeper = loop.create_task(keep())

        timer = loop.call_later(LEASE / 3, begin)
        try:
            yield
        except asyncio.CancelledError:
            if not lost:
                raise
            running.uncancel()
            raise Lapsed(entry.id) from None
        finally:
            timer.cancel()
            if keeper is not None:
                keeper.cancel()

    def _tell(self, task: Task, entry: Entry, outcome: Outcome) -> None:
        if outcome.state == "later":
            self._telling.event(
                "job_failed", job=task.known, id=entry.id, attempts=outcome.attempts, error=outcome.reason
            )
        elif outcome.state == "failed":
            self._telling.event("job_given_up", job=task.known, id=entry.id, error=outcome.reason)
        elif outcome.state == "undone":
            self._telling.event("flow_undone", flow=task.known, id=entry.id, error=outcome.reason)


def driven(key: str, outcome: Outcome) -> Driven:
    """How far it has come, as own code is told."""
    state = "held" if outcome.state == "running" else outcome.state
    result = None if outcome.result is None else msgspec.json.decode(outcome.result)
    return Driven(key, state, result, outcome.reason, outcome.code)
