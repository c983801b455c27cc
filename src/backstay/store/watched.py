"""A store whose statements are timed: for the metrics, for the one who asked in development, and where one was slow.

Invariant: it changes nothing about what is asked and answered, and it says no value of any statement.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any

from backstay.store.bell import Bell
from backstay.store.port import Store, Writing
from backstay.store.sql import Statement
from backstay.telemetry.metrics import Metrics
from backstay.telemetry.observation import Journal
from backstay.telemetry.trace import Traces

_EXPLAINED = 1_000  # statements of which it is remembered that their plan was told
_SYSTEMS = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}  # as OpenTelemetry calls them
_PAUSE = 1.0  # seconds between two plans


@dataclass(slots=True)
class Tally:
    """What the database did for one request."""

    statements: int = 0
    seconds: float = 0.0

    def said(self, whole: float) -> bytes:
        """As the header `Server-Timing` has it, in milliseconds (W3C Server Timing)."""
        many = "1 statement" if self.statements == 1 else f"{self.statements} statements"
        return f'db;dur={self.seconds * 1000:.2f};desc="{many}", total;dur={whole * 1000:.2f}'.encode()


TALLY: ContextVar[Tally | None] = ContextVar("tally", default=None)


class WatchedStore:
    """A store, and what it takes. `slow` are the seconds from which a statement is told of; 0 tells of none."""

    def __init__(self, store: Store, metrics: Metrics, journal: Journal, slow: float) -> None:
        self.inner = store
        self.dialect = store.dialect
        self._metrics = metrics
        self._reads, self._own = metrics.statements["read"], metrics.statements["own"]
        self._writes = metrics.statements["write"]
        self.traces: Traces | None = None
        self._journal = journal
        self._slow = slow or float("inf")
        self._explained: dict[str, None] = {}
        self._last = -_PAUSE
        self._explaining: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        """Whatever is not timed."""
        return getattr(self.inner, name)

    @property
    def bell(self) -> Bell:
        """Rings when there may be changes to read."""
        return self.inner.bell

    @bell.setter
    def bell(self, bell: Bell) -> None:
        self.inner.bell = bell

    @property
    def statements(self) -> int:
        """Data statements run since the start."""
        return self.inner.statements

    @statements.setter
    def statements(self, number: int) -> None:
        self.inner.statements = number

    async def read(self, statement: Statement, values: Sequence[Any]) -> list[Any]:
        """The rows of a compiled plan."""
        began = perf_counter()
        try:
            return await self.inner.read(statement, values)
        finally:
            took = perf_counter() - began
            self._reads.add(took)
            if (tally := TALLY.get()) is not None or took > self._slow or self.traces is not None:
                self._say(tally, statement.text, values, took)

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement of our own."""
        began = perf_counter()
        try:
            return await self.inner.run(text, values)
        finally:
            took = perf_counter() - began
            self._own.add(took)
            if (tally := TALLY.get()) is not None or took > self._slow or self.traces is not None:
                self._say(tally, text, values, took)

    def transaction(self) -> AbstractAsyncContextManager[Writing]:
        """A transaction whose statements and commit are timed."""
        return _Timed(self, self.inner.transaction())

    def _say(self, tally: Tally | None, text: str, values: Sequence[Any], took: float) -> None:
        if tally is not None:
            tally.statements += 1
            tally.seconds += took
        if self.traces is not None:
            self.traces.statement(_SYSTEMS.get(self.dialect.name, "other_sql"), text, took, failed=_failing())
        if took > self._slow:
            task = asyncio.get_running_loop().create_task(self._tell(text, values, took))
            self._explaining.add(task)
            task.add_done_callback(self._explaining.discard)

    async def _tell(self, text: str, values: Sequence[Any], took: float) -> None:
        """Tell of a slow statement, once with how the database goes about it."""
        plan, now = "", monotonic()
        if text not in self._explained and now - self._last >= _PAUSE and not text.startswith("EXPLAIN"):
            self._last = now
            if len(self._explained) >= _EXPLAINED:
                self._explained.clear()
            self._explained[text] = None
            try:
                plan = await self._plan(text, values)
            except Exception:
                plan = ""  # some cannot be explained, and it was said already that it was slow
        self._journal.event("slow_statement", ms=round(took * 1000, 1), statement=text, plan=plan)

    async def _plan(self, text: str, values: Sequence[Any]) -> str:
        if self.inner.dialect.name == "sqlite":
            rows = await self.inner.run(f"EXPLAIN QUERY PLAN {text}", values)
            return "; ".join(str(row[3]) for row in rows)
        rows = await self.inner.run(f"EXPLAIN (GENERIC_PLAN) {text}", [None] * len(values))
        return "; ".join(row[0].decode().strip() for row in rows)


def _failing() -> bool:
    """Whether a statement is left by an exception just now."""
    return sys.exc_info()[0] is not None


class _Timed:
    """A transaction of a watched store."""

    def __init__(self, store: WatchedStore, inner: AbstractAsyncContextManager[Writing]) -> None:
        self._store = store
        self._inner = inner
        self._writing: Writing

    async def __aenter__(self) -> _Timed:
        self._writing = await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        began = perf_counter()
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            if error is None:
                self._store._metrics.commits.add(perf_counter() - began)

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement."""
        began = perf_counter()
        try:
            return await self._writing.run(text, values)
        finally:
            took = perf_counter() - began
            self._store._writes.add(took)
            if (tally := TALLY.get()) is not None or took > self._store._slow or self._store.traces is not None:
                self._store._say(tally, text, values, took)

    async def number(self, sequence: str) -> int:
        """The next number of a named sequence."""
        return await self._writing.number(sequence)
