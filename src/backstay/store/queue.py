"""The queue of what is to be done later, in the application's own database: added to in the transaction that wants it.

Invariant: one process at a time runs an entry. Whoever takes it raises its fence and has it until its lease is over;
what a process writes about it, or in a transaction that it begins for it, commits only under the fence that it took. Of
two with one order key the later is not taken before the earlier has ended. All instants are those of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from backstay.store.changes import microseconds
from backstay.store.port import Store, Writing, as_text

State: TypeAlias = Literal["later", "ready", "running", "waiting", "done", "undone", "failed", "cancelled"]
OPEN = ("later", "ready", "running", "waiting")
"""The states in which something is still to come."""
LEASE = 15.0
"""Seconds that a process has an entry without saying so again."""
LOSSES = 5
"""So many processes end while they have an entry before nobody tries it any more."""
_SECOND = 1_000_000
_OPEN = ", ".join(f"'{state}'" for state in OPEN)
_PURGED = 500

_COLUMNS = (
    'number, id, task, arguments, state, -"rank", due, attempts, losses, fence, unique_key, order_key, reason, code, '
    "result, created_at"
)
_ADD = (
    'INSERT INTO "_jobs" (id, task, arguments, state, "rank", due, fence, unique_key, order_key, holds, created_at) '
    "VALUES ($2, $3, $4, $5, $6, {now} + CAST($7 AS bigint), CAST($8 AS bigint), $9, $10, $11, {now}) "
    "ON CONFLICT DO NOTHING RETURNING id, number"
)
_KNOWN = 'SELECT id FROM "_jobs" WHERE id = $1 OR (task = $2 AND unique_key = $3)'
_LOOK = (
    "SELECT (SELECT min(due) FROM \"_jobs\" WHERE state IN ('later', 'running', 'waiting')), "
    "(SELECT count(*) FROM (SELECT 1 FROM \"_jobs\" WHERE state = 'ready' LIMIT 1) AS found), {now}"
)
# What was put off is ready when its time has come, and what a process had that is gone: unless it was the end of too
# many of them. A lease that would last longer than any was taken before the clock was set back.
_STAGE = (
    "WITH picked AS MATERIALIZED (SELECT number FROM \"_jobs\" WHERE (state IN ('later', 'running', 'waiting') "
    f"AND due <= {{now}}) OR (state = 'running' AND due > {{now}} + {round(LEASE * 2) * _SECOND}) "
    "ORDER BY number LIMIT 200{unlocked}) "
    "UPDATE \"_jobs\" SET state = CASE WHEN state = 'running' AND losses >= CAST($2 AS bigint) THEN 'failed' "
    "ELSE 'ready' END, reason = CASE WHEN state = 'running' AND losses >= CAST($2 AS bigint) THEN CAST($3 AS text) "
    "ELSE reason END, "
    "losses = losses + CASE WHEN state = 'running' THEN 1 ELSE 0 END, fence = fence + 1, holds = NULL "
    "WHERE number IN (SELECT number FROM picked) RETURNING id, task, state"
)
_FREE = (
    'j.order_key IS NULL OR NOT EXISTS (SELECT 1 FROM "_jobs" AS e WHERE e.order_key = j.order_key AND e.number <> '
    f"j.number AND e.state IN ({_OPEN}) AND (e.number < j.number OR e.state = 'running'))"
)
_TAKEN = (
    "UPDATE \"_jobs\" SET state = 'running', fence = fence + 1, holds = order_key, "
    f"due = {{now}} + {round(LEASE * _SECOND)} WHERE number IN (SELECT number FROM picked) RETURNING {_COLUMNS}"
)
_TAKE = (
    "WITH picked AS MATERIALIZED (SELECT j.number FROM \"_jobs\" AS j WHERE j.state = 'ready' AND j.task IN "
    f'(SELECT {{each}}) AND ({_FREE}) ORDER BY j."rank", j.number LIMIT CAST($3 AS bigint){{unlocked_j}}) {_TAKEN}'
)
_TAKE_ONE = (
    "WITH picked AS MATERIALIZED (SELECT j.number FROM \"_jobs\" AS j WHERE j.id = $2 AND (j.state = 'ready' OR "
    f"(j.state IN ('later', 'waiting') AND j.due <= {{now}})) AND ({_FREE}){{unlocked_j}}) {_TAKEN}"
)
_MINE = "number = $2 AND fence = $3 AND state = 'running'"
_KEEP = f'UPDATE "_jobs" SET due = {{now}} + {round(LEASE * _SECOND)} WHERE {_MINE} RETURNING 1'
_PROGRESS = (
    f'UPDATE "_jobs" SET attempts = 0, losses = 0, due = {{now}} + {round(LEASE * _SECOND)} WHERE {_MINE} RETURNING 1'
)
_HOLD = "SELECT 1 FROM \"_jobs\" WHERE number = $1 AND fence = $2 AND state = 'running'{locked}"
_END = (
    'UPDATE "_jobs" SET state = $4, due = {now} + CAST($5 AS bigint), attempts = CAST($6 AS bigint), losses = 0, '
    f"reason = $7, code = $8, result = $9, holds = NULL WHERE {_MINE} RETURNING 1"
)
_WAKE = (
    "UPDATE \"_jobs\" SET state = CASE WHEN state = 'waiting' THEN 'ready' ELSE state END "
    f"WHERE id = $1 AND state IN ({_OPEN}) RETURNING state"
)
_ONE = f'SELECT {_COLUMNS} FROM "_jobs" WHERE id = $1'
_SOME = (
    f"SELECT {_COLUMNS} FROM \"_jobs\" WHERE (CAST($1 AS text) = '' OR state = $1) "
    "AND (CAST($2 AS text) = '' OR task = $2 OR task LIKE $3) ORDER BY number DESC LIMIT CAST($4 AS bigint)"
)
_RETRY = (
    "UPDATE \"_jobs\" SET state = 'ready', due = {now}, attempts = 0, losses = 0, reason = '', code = '' "
    "WHERE id = $2 AND state IN ('failed', 'later') RETURNING task"
)
_CANCEL = (
    "UPDATE \"_jobs\" SET state = 'cancelled', due = {now} + CAST($3 AS bigint), reason = $4 "
    "WHERE id = $2 AND state IN ('later', 'ready', 'failed') RETURNING task"
)
_CALL_BACK = (
    "UPDATE \"_jobs\" SET state = 'ready', due = {now}, attempts = 0, losses = 0 "
    "WHERE id = $2 AND state IN ('later', 'ready', 'waiting', 'failed') RETURNING task"
)
_VERSIONS = f"SELECT task, count(*) FROM \"_jobs\" WHERE state IN ({_OPEN}) AND task LIKE '%@%' GROUP BY task"
_DEPTH = (
    'SELECT task, state, count(*), ({now} - min(due)) FROM "_jobs" '
    "WHERE state NOT IN ('done', 'undone', 'cancelled') GROUP BY task, state"
)
_ENDED = (
    "SELECT id FROM \"_jobs\" WHERE state IN ('done', 'undone', 'cancelled') AND due <= {now} ORDER BY due "
    f"LIMIT {_PURGED}"
)
_PURGE = (
    'DELETE FROM "_signals" WHERE flow IN (SELECT {each_of_first})',
    'DELETE FROM "_steps" WHERE flow IN (SELECT {each_of_first})',
    "DELETE FROM \"_jobs\" WHERE id IN (SELECT {each_of_first}) AND state IN ('done', 'undone', 'cancelled')",
)
POISON = f"{LOSSES} processes ended while they had it."


class Lapsed(Exception):
    """Another process has taken it over: what this one does about it would not count."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to do, as the queue has it. `attempts` are those that failed, `due` when something is next done."""

    number: int
    id: str
    task: str
    arguments: str
    state: State
    priority: int
    due: datetime | None
    attempts: int
    losses: int
    fence: int
    unique: str | None
    order_key: str | None
    reason: str
    code: str
    result: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What is put into the queue; `delay` in seconds. One that is `driven` is taken already, by whoever adds it."""

    id: str
    task: str
    arguments: str
    priority: int = 0
    delay: float = 0.0
    unique: str | None = None
    order_key: str | None = None
    driven: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an entry: its next state, in how many seconds something is next done about it, and why."""

    state: State
    seconds: float | None = 0.0
    attempts: int = 0
    reason: str = ""
    code: str = ""
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to do: whether something is ready, in how many seconds something else will be, and the time."""

    ready: bool
    seconds: float | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Depth:
    """How many entries of a task are in a state, and for how many seconds the oldest has been due."""

    task: str
    state: State
    count: int
    seconds: float


class Queue:
    """The queue of one database. The time is the database's unless a clock is given."""

    def __init__(self, store: Store, clock: Callable[[], datetime] | None = None) -> None:
        self.store = store
        self._clock = clock
        self._texts: dict[str, str] = {}

    # Adding.

    async def add(self, writing: Writing, order: Order) -> tuple[str, int]:
        """Put something in: its id and its number. Of one unique key there is one. One round trip.

        Where there is one already, its id and 0, after one more.
        """
        state = "running" if order.driven else "later" if order.delay > 0 else "ready"
        seconds = LEASE if order.driven else max(order.delay, 0.0)
        values = (
            self._at(), order.id, order.task, order.arguments, state, -order.priority, round(seconds * _SECOND),
            int(order.driven), order.unique, order.order_key, order.order_key if order.driven else None,
        )  # fmt: skip
        if rows := await writing.run(self._text(_ADD), values):
            return order.id, int(rows[0][1])
        rows = await writing.run(self._text(_KNOWN), (order.id, order.task, order.unique))
        return str(as_text(rows[0][0])), 0

    # Taking.

    async def look(self) -> Look:
        """Whether there is something to take, or when there will be. One round trip."""
        ((due, ready, now),) = await self.store.run(self._text(_LOOK), (self._at(),))
        seconds = None if due is None else (due - now) / _SECOND
        return Look(bool(ready) or (seconds is not None and seconds <= 0), seconds, instant_of(now) or _EPOCH)

    async def stage(self) -> list[tuple[str, str]]:
        """Make ready what is due; which of them were given up on, as id and task, for ending too many processes."""
        async with self.store.transaction() as writing:
            rows = await writing.run(self._text(_STAGE), (self._at(), LOSSES - 1, POISON))
        texts = [tuple(str(as_text(value)) for value in row) for row in rows]
        return [(key, task) for key, task, state in texts if state == "failed"]

    async def take(self, tasks: Collection[str], number: int) -> list[Entry]:
        """Take what is ready of these tasks, the most urgent first. One transaction of one statement."""
        async with self.store.transaction() as writing:
            values = (self._at(), msgspec.json.encode(list(tasks)).decode(), number)
            rows = await writing.run(self._text(_TAKE), values)
        return sorted(map(_entry, rows), key=lambda entry: (-entry.priority, entry.number))

    async def take_one(self, key: str) -> Entry | None:
        """Take this one, if nobody has it and it is ready."""
        async with self.store.transaction() as writing:
            rows = await writing.run(self._text(_TAKE_ONE), (self._at(), key))
        return _entry(rows[0]) if rows else None

    # Having. All of these raise `Lapsed` where another process has taken over.

    async def keep(self, entry: Entry) -> None:
        """Have it for another lease."""
        async with self.store.transaction() as writing:
            await self._mine(writing, _KEEP, entry)

    async def hold(self, writing: Writing, entry: Entry) -> None:
        """Let a transaction commit only while it is had: nobody takes it over before that has ended."""
        if not await writing.run(self._text(_HOLD), (entry.number, entry.fence)):
            raise Lapsed(entry.id)

    async def progress(self, writing: Writing, entry: Entry) -> None:
        """The same, where something was achieved: earlier failures count no longer."""
        await self._mine(writing, _PROGRESS, entry)

    async def end(self, writing: Writing, entry: Entry, outcome: Outcome) -> None:
        """Give it back, with what becomes of it."""
        micros = None if outcome.seconds is None else round(outcome.seconds * _SECOND)
        values = (outcome.state, micros, outcome.attempts, outcome.reason[:500], outcome.code, outcome.result)
        await self._mine(writing, _END, entry, *values)

    async def _mine(self, writing: Writing, text: str, entry: Entry, *values: Any) -> None:
        if not await writing.run(self._text(text), (self._at(), entry.number, entry.fence, *values)):
            raise Lapsed(entry.id)

    async def wake(self, writing: Writing, key: str) -> bool:
        """Make one that waits ready; whether it is there and has not ended. Keeps its state still until the end."""
        return bool(await writing.run(self._text(_WAKE), (key,)))

    # Looking, and deciding by hand.

    async def find(self, key: str) -> Entry | None:
        """The entry with this id."""
        rows = await self.store.run(self._text(_ONE), (key,))
        return _entry(rows[0]) if rows else None

    async def some(self, *, state: str = "", task: str = "", limit: int = 50) -> list[Entry]:
        """Entries, the newest first: those in a state, and of a task by its name."""
        rows = await self.store.run(self._text(_SOME), (state, task, f"{task}@%", limit))
        return list(map(_entry, rows))

    async def retry(self, key: str) -> bool:
        """Try again now what was given up on, or waits for its next try."""
        return await self._change(_RETRY, key)

    async def cancel(self, key: str, kept: float, reason: str) -> bool:
        """End what nobody runs, without doing it."""
        return await self._change(_CANCEL, key, round(kept * _SECOND), reason)

    async def call_back(self, writing: Writing, key: str) -> bool:
        """Make a flow ready that nobody runs, whatever it waits for; whether there is one."""
        return bool(await writing.run(self._text(_CALL_BACK), (self._at(), key)))

    async def _change(self, text: str, key: str, *values: Any) -> bool:
        async with self.store.transaction() as writing:
            rows = await writing.run(self._text(text), (self._at(), key, *values))
        self.store.ring()
        return bool(rows)

    async def versions(self) -> dict[str, int]:
        """How many flows of each version are under way."""
        rows = await self.store.run(self._text(_VERSIONS), ())
        return {str(as_text(task)): int(count) for task, count in rows}

    async def depth(self) -> list[Depth]:
        """How much there is to do, and what was given up on."""
        rows = await self.store.run(self._text(_DEPTH), (self._at(),))
        return [
            Depth(str(as_text(task)), as_text(state), int(count), max(int(micros or 0) / _SECOND, 0.0))
            for task, state, count, micros in rows
        ]

    async def purge(self) -> int:
        """Forget what ended long enough ago, at most a page; how much that was."""
        async with self.store.transaction() as writing:
            rows = await writing.run(self._text(_ENDED), (self._at(),))
            keys = msgspec.json.encode([as_text(row[0]) for row in rows]).decode()
            for text in _PURGE if rows else ():
                await writing.run(self._text(text), (keys,))
        return len(rows)

    def _at(self) -> int | None:
        return None if self._clock is None else microseconds(self._clock())

    def _text(self, text: str) -> str:
        """A statement as this database says it."""
        if (said := self._texts.get(text)) is None:
            said = self._texts[text] = in_words_of(self.store, text)
        return said


def in_words_of(store: Store, text: str) -> str:
    """A statement as a database says it.

    `{now}` is the instant that the first parameter gives, or the database's where that is null. `{each}` are the texts
    of a JSON list, which is the second parameter, or `{each_of_first}` the first; the others lock rows.
    """
    sqlite = store.dialect.name == "sqlite"
    now = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)" if sqlite else (
        "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)"
    )  # fmt: skip
    each = "value FROM json_each({0})" if sqlite else "value FROM jsonb_array_elements_text(CAST({0} AS text)::jsonb)"
    unlocked = "" if sqlite else " FOR UPDATE SKIP LOCKED"
    said = text.format(
        now=f"coalesce(CAST($1 AS bigint), {now})", each=each.format("$2"), each_of_first=each.format("$1"),
        unlocked=unlocked,
        unlocked_j="" if sqlite else " FOR UPDATE OF j SKIP LOCKED", locked="" if sqlite else " FOR NO KEY UPDATE",
    )  # fmt: skip
    return said.replace("$", "?") if sqlite else said


def _entry(row: Sequence[Any]) -> Entry:
    number, key, task, arguments, state, priority, due, attempts, losses, fence, unique, order, *rest = row
    reason, code, result, created = rest
    return Entry(
        int(number), str(as_text(key)), str(as_text(task)), str(as_text(arguments)), as_text(state), int(priority),
        instant_of(due), int(attempts), int(losses), int(fence), as_text(unique), as_text(order),
        str(as_text(reason)), str(as_text(code)), as_text(result), instant_of(created) or _EPOCH,
    )  # fmt: skip


def begun(order: Order, number: int) -> Entry:
    """The entry of an order that is `driven`, as whoever has added it has it."""
    return Entry(
        number, order.id, order.task, order.arguments, "running", order.priority, None, 0, 0, 1, order.unique,
        order.order_key, "", "", None, _EPOCH,
    )  # fmt: skip


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(micros: int | None) -> datetime | None:
    """An instant as Python has it."""
    return None if micros is None else datetime.fromtimestamp(micros / _SECOND, UTC)
