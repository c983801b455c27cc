"""Flows: functions of own code that survive the process. Their steps are journaled, and a flow goes on behind the last.

A flow is run from its beginning each time somebody goes on with it; a step that is in the journal is not done again,
but gives what it gave then. So between its steps a flow decides by nothing but what it was given and what steps gave.
Invariant: a step's line in the journal commits with the effects that the step has in the database, under the fence of
who has the flow. What a step does elsewhere is done under a key that is the same each time, since it may be done twice.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol, get_type_hints

import msgspec

from backstay.jobs.failure import Backoff, StepFailed, code_of, is_permanent, said_by
from backstay.jobs.task import Task, accepts, json_of, value_of
from backstay.store.contended import until_settled
from backstay.store.context import Context
from backstay.store.journal import WHOLE, Journal, Line, Stage
from backstay.store.queue import Entry, Lapsed, Outcome, Queue
from backstay.store.transaction import Transaction
from backstay.telemetry.failpoint import POINTS

CANCELLED = "cancelled"
"""The code of a flow that a person has ended."""


class Surroundings(Protocol):
    """What a flow needs of the process that drives it."""

    queue: Queue
    journal: Journal
    backoff: Backoff

    @property
    def stopping(self) -> bool: ...
    def context(self) -> Context: ...


class Pause(BaseException):
    """The flow stops here for now, with this outcome; without one, what becomes of it is written or another's affair.

    No `Exception`, so that no handler of own code takes it for one.
    """

    def __init__(self, outcome: Outcome | None = None) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Signal:
    """What a flow was told, with its data as JSON has it."""

    name: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Undo:
    """How a step is taken back that was done, or perhaps was."""

    line: Line
    function: Callable[..., Awaitable[Any]]
    inputs: Sequence[Any]
    result: Any


class Flow:
    """What a flow is handed: its steps, and waiting. `id` is the flow's own.

    >>> @app.flow(version=1)
    ... async def buy(flow: Flow, order: UUID) -> None:
    ...     await flow.step("authorize", authorize, order, undo=void)
    ...     if await flow.wait("confirmed", timeout=timedelta(minutes=15)) is None:
    ...         raise Permanent("Nobody has confirmed it.")
    ...     await flow.step("capture", capture, order)
    """

    def __init__(self, around: Surroundings, task: Task, entry: Entry, lines: dict[str, Line]) -> None:
        self.id = entry.id
        self.undos: list[Undo] = []
        self.attempts = entry.attempts
        """How often what comes next has failed."""
        self._around = around
        self._task = task
        self._entry = entry
        self._lines = lines
        self._passed: set[str] = set()
        self._busy = False

    @property
    def failed(self) -> Line | None:
        """Why all of it is to be taken back, where that is known."""
        return self._lines.get(WHOLE)

    async def step(
        self, name: str, function: Callable[..., Awaitable[Any]], *inputs: Any,
        undo: Callable[..., Awaitable[Any]] | None = None, record: Callable[..., Awaitable[Any]] | None = None,
        attempts: int = 0, timeout: float = 60.0,
    ) -> Any:  # fmt: skip
        """Do something once, under a name of its own in this flow, and return what it returns.

        `async def place(tx: Transaction, ...)` is done in the transaction that journals it. `async def authorize(ctx:
        Context, ...)` is done outside of one, at least once, and for a provider `ctx.key` is the same each time. Its
        result is journaled after it; with `record` it is handed to `record(tx, result, *inputs)` in that transaction,
        and where that returns something, this is the result of the step, and alone is kept. Inputs and results are
        JSON, of the types that the functions say.

        It is tried `attempts` times (those of the flow), each for `timeout` seconds, and not again where it raises
        `Permanent` or a problem below 500. Then it raises `StepFailed`. Where the flow fails behind it, `undo` is
        called with the same inputs, and with the result where it has an argument `result`; that is `None` where nobody
        knows whether it was done. One transaction; two and the call itself for a step that has a `Context`.
        """
        place = self._pass(name)
        one, hints, returns = accepts(function)
        recorded = None if record is None else get_type_hints(record).get("return")
        if recorded not in (None, type(None)):
            returns = recorded
        line = self._lines.get(name)
        text = json_of(inputs, f"What {name} is given") if line is None else line.inputs
        values = [msgspec.convert(value, hint) for value, hint in zip(msgspec.json.decode(text), hints, strict=True)]
        if line is not None and line.state != "begun":
            result = value_of(line.result, returns)
            if undo is not None and line.state != "failed":
                self.undos.append(Undo(line, undo, values, result))
            if line.result is None:
                raise StepFailed(name, line.reason, line.code)
            return result
        if (whole := self.failed) is not None:
            if line is not None and undo is not None:
                self.undos.append(Undo(line, undo, values, None))
            raise StepFailed(name, whole.reason, whole.code)
        self._go_on()
        line = line or Line(name, place, "begun", text)
        self._busy = True
        happened = False
        try:
            if one:
                result = value_of(await self._in_transaction(line, function, values), returns)
            else:
                if name not in self._lines and undo is not None:  # what nobody takes back is only tried again
                    await self._write(line, f"{name}.begin")
                POINTS.before(f"{self._task.name}.{name}.call")
                async with asyncio.timeout(timeout):
                    found = await function(self._context(name), *values)
                POINTS.after(f"{self._task.name}.{name}.call")
                happened = True
                kept = None if returns is recorded else found
                done = replace(line, state="done", result=json_of(kept, f"What {name} returns"))
                await self._write(done, name, record, (found, *values))
                result = value_of(self._lines[name].result, returns)
        except Lapsed:
            raise Pause from None
        except Exception as error:
            most = attempts or self._task.attempts
            line = await self._failed(line, error, most, perhaps=not one and (happened or not is_permanent(error)))
            if undo is not None and line.state == "unknown":
                self.undos.append(Undo(line, undo, values, None))
            raise StepFailed(name, line.reason, line.code) from error
        finally:
            self._busy = False
        if undo is not None:
            self.undos.append(Undo(self._lines[name], undo, values, result))
        return result

    async def wait(self, name: str, *, timeout: timedelta | None = None, signal: str = "") -> Signal | None:
        """Wait for a signal of this name, holding nothing; `None` where the time is over before it comes.

        A signal that came before the flow waits for it is there at once. Where a flow waits more than once for the same
        `signal`, each time has a name of its own. One transaction, and one more when it goes on.
        """
        signal = signal or name
        place = self._pass(name)
        line = self._lines.get(name)
        if line is not None and line.state == "done":
            data = msgspec.json.decode(line.result or "null")
            return None if data is None else Signal(signal, data["data"])
        if (whole := self.failed) is not None:
            raise StepFailed(name, whole.reason, whole.code)
        self._go_on()
        seconds = None if timeout is None else max(timeout.total_seconds(), 0.0)
        begun = line or Line(name, place, "begun")

        async def once() -> Line | None:
            found = None
            async with self._around.context().transaction() as tx:
                # First it is held: a signal that comes now waits for this to commit, and one that came is seen.
                await self._around.queue.hold(tx.writing, self._entry)
                told = await self._around.journal.take(tx.writing, self.id, signal)
                left = None
                if told is None:
                    left = await self._around.journal.write(tx.writing, self.id, begun, seconds)
                if told is None and (left is None or left > 0):
                    await self._around.queue.end(tx.writing, self._entry, Outcome("waiting", left))
                else:
                    result = "null" if told is None else f'{{"data":{told}}}'
                    found = replace(begun, state="done", result=result)
                    await self._around.journal.write(tx.writing, self.id, found)
                POINTS.before(f"{self._task.name}.{name}.commit")
            POINTS.after(f"{self._task.name}.{name}.commit")
            return found

        self._busy = True
        try:
            found = await until_settled(once)
        except Lapsed:
            found = None
        except Exception as error:
            wait = self._around.backoff.after(self.attempts + 1)
            raise Pause(Outcome("later", wait, self.attempts + 1, f"{name}: {said_by(error)}")) from error
        finally:
            self._busy = False
        if found is None:
            raise Pause
        self._keep(found)
        data = msgspec.json.decode(found.result or "null")
        return None if data is None else Signal(signal, data["data"])

    # What the driver does with it.

    async def fail(self, error: Exception) -> None:
        """Keep why the flow as a whole has failed."""
        await self._write(Line(WHOLE, len(self._passed), "failed", reason=said_by(error), code=code_of(error)), "fail")

    async def take_back(self, undo: Undo) -> Line:
        """Undo a step; its line, `undone` or `stuck`. Raises `Pause` where it is to be tried again."""
        self._go_on()
        line = undo.line
        one, _, _ = accepts(undo.function)
        named = {"result": undo.result} if "result" in inspect.signature(undo.function).parameters else {}
        done = replace(line, state="undone")
        try:
            if one:

                async def record(tx: Transaction) -> None:
                    await undo.function(tx, *undo.inputs, **named)

                await self._write(done, f"{line.name}.undo", record)
            else:
                point = f"{self._task.name}.{line.name}.undo.call"
                POINTS.before(point)
                async with asyncio.timeout(self._task.timeout):
                    await undo.function(self._context(f"{line.name}:undo"), *undo.inputs, **named)
                POINTS.after(point)
                await self._write(done, f"{line.name}.undo")
        except Lapsed:
            raise Pause from None
        except Exception as error:
            return await self._failed(line, error, self._task.attempts, state="stuck")
        return done

    # Inside.

    def _pass(self, name: str) -> int:
        if self._busy:
            raise RuntimeError("The steps of a flow are done one after another: await each of them.")
        if not name or name in self._passed:
            raise RuntimeError(f"{self._task.name}: every step and wait has a name of its own, and {name!r} is none.")
        self._passed.add(name)
        return len(self._passed)

    def _go_on(self) -> None:
        if self._around.stopping:
            raise Pause(Outcome("ready", 0.0, self.attempts))

    def _context(self, name: str) -> Context:
        async def hold(writing: Any) -> None:
            await self._around.queue.hold(writing, self._entry)

        return self._around.context().under(f"{self.id}:{name}", hold)

    def _committing(self, name: str) -> AbstractAsyncContextManager[Transaction]:
        """A transaction under the fence, which is a failpoint."""
        return committing(self._around, self._entry, f"{self._task.name}.{name}.commit")

    async def _in_transaction(self, line: Line, function: Any, values: Sequence[Any]) -> str:
        async def once() -> Line:
            async with self._committing(line.name) as tx:
                result = json_of(await function(tx, *values), f"What {line.name} returns")
                done = replace(line, state="done", result=result)
                await self._around.journal.write(tx.writing, self.id, done)
            return done

        self._keep(await until_settled(once))
        return self._lines[line.name].result or "null"

    async def _write(
        self, line: Line, point: str, record: Callable[..., Awaitable[Any]] | None = None, given: Sequence[Any] = ()
    ) -> None:
        async def once() -> Line:
            async with self._committing(point) as tx:
                written = line
                if record is not None:
                    said = await record(tx, *given)
                    if said is not None:
                        written = replace(line, result=json_of(said, f"What is recorded of {line.name}"))
                await self._around.journal.write(tx.writing, self.id, written)
            return written

        self._keep(await until_settled(once))

    def _keep(self, line: Line) -> None:
        self._lines[line.name] = line
        self.attempts = 0

    async def _failed(
        self, line: Line, error: Exception, most: int, *, perhaps: bool = False, state: Stage | None = None
    ) -> Line:
        """The line of what is given up on; `perhaps` it was done. Raises `Pause` where it is tried again."""
        reason, code = said_by(error), code_of(error)
        if not is_permanent(error) and self.attempts + 1 < most:
            wait = self._around.backoff.after(self.attempts + 1)
            raise Pause(Outcome("later", wait, self.attempts + 1, f"{line.name}: {reason}", code)) from error
        failed = replace(line, state=state or ("unknown" if perhaps else "failed"), reason=reason, code=code)
        try:
            await self._write(failed, f"{line.name}.failed")
        except Lapsed:
            raise Pause from None
        return failed


@asynccontextmanager
async def committing(around: Surroundings, entry: Entry, point: str) -> Any:
    """A transaction of own code that commits only under the fence of who has the entry."""
    async with around.context().transaction() as tx:
        yield tx
        await around.queue.progress(tx.writing, entry)
        POINTS.before(point)
    POINTS.after(point)
