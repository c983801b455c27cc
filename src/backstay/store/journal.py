"""The journal of a flow: what each of its steps was given and what came of it, and what the flow was told meanwhile.

Invariant: a line is written in the transaction that makes it true, or, for what happens outside the database, before it
is tried (`begun`) and after. A step that is `done` is never done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from backstay.store.changes import microseconds
from backstay.store.port import Store, Writing, as_text
from backstay.store.queue import in_words_of, instant_of

Stage: TypeAlias = Literal["begun", "done", "failed", "unknown", "undone", "stuck"]
"""Begun and perhaps done; done; not done for certain; given up on and perhaps done; taken back; could not be."""
WHOLE = ""
"""The name of the line that says that the flow as a whole has failed."""

_READ = (
    'SELECT name, place, state, inputs, result, reason, code, until, at FROM "_steps" WHERE flow = $1 ORDER BY place'
)
_WRITE = (
    'INSERT INTO "_steps" (flow, name, place, state, inputs, result, reason, code, until, at) '
    "VALUES ($2, $3, CAST($4 AS bigint), $5, $6, $7, $8, $9, {now} + CAST($10 AS bigint), {now}) "
    "ON CONFLICT (flow, name) DO UPDATE SET state = excluded.state, result = excluded.result, "
    "reason = excluded.reason, code = excluded.code, at = excluded.at, "
    'until = coalesce("_steps".until, excluded.until) RETURNING until - {now}'
)
_AGAIN = (
    "UPDATE \"_steps\" SET state = CASE WHEN result IS NULL THEN 'unknown' ELSE 'done' END "
    "WHERE flow = $1 AND state = 'stuck'"
)
_TELL = 'INSERT INTO "_signals" (flow, name, data, at) VALUES ($2, $3, $4, {now}) ON CONFLICT (flow, name) DO NOTHING'
_TAKE = 'DELETE FROM "_signals" WHERE flow = $1 AND name = $2 RETURNING data'


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a step; `inputs` and `result` are JSON."""

    name: str
    place: int
    state: Stage
    inputs: str = "[]"
    result: str | None = None
    reason: str = ""
    code: str = ""
    until: datetime | None = None
    at: datetime | None = None


class Journal:
    """The journals of one database. The time is the database's unless a clock is given."""

    def __init__(self, store: Store, clock: Callable[[], datetime] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._texts: dict[str, str] = {}

    async def read(self, flow: str) -> dict[str, Line]:
        """The lines of a flow by the names of its steps, in their order. One round trip."""
        rows = await self._store.run(self._text(_READ), (flow,))
        lines = [_line(row) for row in rows]
        return {line.name: line for line in lines}

    async def write(self, writing: Writing, flow: str, line: Line, seconds: float | None = None) -> float | None:
        """Write a line, or write it anew, in a transaction. One round trip.

        With `seconds` it is good for so long from its first writing; how many of them are left then.
        """
        micros = None if seconds is None else round(seconds * 1e6)
        values = (
            self._at(), flow, line.name, line.place, line.state, line.inputs, line.result, line.reason[:500], line.code,
            micros,
        )  # fmt: skip
        ((left,),) = await writing.run(self._text(_WRITE), values)
        return None if left is None else left / 1e6

    async def again(self, writing: Writing, flow: str) -> None:
        """Let what could not be taken back be tried again."""
        await writing.run(self._text(_AGAIN), (flow,))

    async def tell(self, writing: Writing, flow: str, name: str, data: str) -> None:
        """Keep a signal until it is taken; where one of its name waits there already, that one counts."""
        await writing.run(self._text(_TELL), (self._at(), flow, name, data))

    async def take(self, writing: Writing, flow: str, name: str) -> str | None:
        """The data of a signal, if the flow was told it; it is taken, and another one of its name may come."""
        rows = await writing.run(self._text(_TAKE), (flow, name))
        return str(as_text(rows[0][0])) if rows else None

    def _at(self) -> int | None:
        return None if self._clock is None else microseconds(self._clock())

    def _text(self, text: str) -> str:
        if (said := self._texts.get(text)) is None:
            said = self._texts[text] = in_words_of(self._store, text)
        return said


def _line(row: Any) -> Line:
    name, place, state, inputs, result, reason, code, until, at = row
    return Line(
        str(as_text(name)), int(place), as_text(state), str(as_text(inputs)), as_text(result), str(as_text(reason)),
        str(as_text(code)), instant_of(until), instant_of(at),
    )  # fmt: skip
