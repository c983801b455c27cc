"""One transaction on SQLite, as its block sees it, and what its process remembers of it until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from backstay.store.inside import AwaitedElsewhere, Block, enter, leave
from backstay.store.sqlite_connection import Rows


class Shared(Protocol):
    """What many transactions share: `store/sqlite_commit.py`."""

    async def begin(self, tx: SQLiteTransaction) -> None: ...
    def run(self, tx: SQLiteTransaction, text: str, values: Sequence[Any]) -> Rows: ...
    async def keep(self, tx: SQLiteTransaction) -> None: ...
    async def undo(self, tx: SQLiteTransaction, *, told: bool) -> None: ...


class SQLiteTransaction:
    """A savepoint among others, acknowledged where its block ends. A statement may take so many `seconds`."""

    __slots__ = ("_block", "_shared", "done", "fate", "ran", "seconds", "task")

    def __init__(self, shared: Shared, seconds: float) -> None:
        self._shared = shared
        self._block: Block
        self.seconds = seconds
        self.task: asyncio.Task[Any] | None = None
        self.ran: list[tuple[str, Sequence[Any], Rows | str]] = []
        """What was asked, with the rows or the refusal that it got."""
        self.fate: BaseException | None = None
        """Why it ended before its block did."""
        self.done: asyncio.Future[None] | None = None
        """Set where it is kept; done when that is on the disk."""

    async def __aenter__(self) -> SQLiteTransaction:
        await self._shared.begin(self)
        self._block = enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self._block)
        if self.fate is not None:
            if error is None or (isinstance(error, Exception) and error is not self.fate):
                raise self.fate
        elif error is None:
            await self._shared.keep(self)
        else:
            await self._shared.undo(self, told=isinstance(error, Exception))

    async def run(self, text: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement."""
        return self._shared.run(self, text, values)

    async def number(self, sequence: str) -> int:
        """The next number of a named sequence."""
        rows = self._shared.run(
            self,
            'INSERT INTO "_sequences" VALUES (?1, 1) '
            "ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (sequence,),
        )
        return int(rows[0][0])

    def awaited_elsewhere(self) -> AwaitedElsewhere:
        """What is said where its task waits for something else than this transaction."""
        return AwaitedElsewhere(
            "Inside a transaction only `tx` may be awaited, and this one awaited something else "
            f"({_place(self.task)}). It was undone. Await other things before or after the block."
        )


def _place(task: asyncio.Task[Any] | None) -> str:
    """Where a task waits: the innermost lines."""
    places: list[str] = []
    inner: Any = task.get_coro() if task is not None else None
    while inner is not None:
        frame = next((f for name in ("cr_frame", "gi_frame", "ag_frame") if (f := getattr(inner, name, None))), None)
        if frame is not None:
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        names = ("cr_await", "gi_yieldfrom", "ag_await")
        inner = next((found for name in names if (found := getattr(inner, name, None)) is not None), None)
    return "; ".join(places[-3:]) or "nobody knows where"
