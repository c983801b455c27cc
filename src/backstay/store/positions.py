"""How far each reader of the change log has come, and what it could not do yet.

Invariant: one process reads for a consumer at a time. Whoever takes over raises the fence, and a process that was
paused past its time can write nothing more under the old one. A change that failed is kept here until it succeeds or
is given up on, and the later changes of its record wait behind it; those of other records do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from secrets import randbelow
from typing import Any

from backstay.store.changes import Change, microseconds
from backstay.store.engine import Engine
from backstay.store.port import Writing

_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to read for a consumer until it lapses: where it stands, under which fence."""

    consumer: str
    position: int
    fence: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A change that a reaction failed on: how often, when it is due again, and what was said."""

    consumer: str
    position: int
    record: str
    attempts: int
    error: str


class Lapsed(Exception):
    """Another process reads for this consumer now."""


class Positions:
    """The consumers of one change log. Instants are those of the engine's clock; seconds are given as numbers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = engine.store.dialect
        self._mark = 1 + randbelow(_SECOND - 1)
        self._unsure: set[str] = set()
        """Whose turns this process may still have without using them."""

    async def add(self, consumer: str, position: int) -> None:
        """Begin to remember a consumer, where it is new: it reads what comes behind this position."""
        async with self._engine.store.transaction() as writing:
            await self._run(
                writing,
                'INSERT INTO "_consumers" ("name", "position") VALUES (%t, %n) ON CONFLICT ("name") DO NOTHING',
                consumer, position,
            )  # fmt: skip

    async def place(self, consumer: str) -> int:
        """The position that a consumer has come to."""
        rows = await self._look('SELECT "position" FROM "_consumers" WHERE "name" = %t', consumer)
        return int(rows[0][0]) if rows else 0

    async def take(self, consumer: str, seconds: float) -> Turn | None:
        """Read for a consumer for so many seconds, unless another process does. One transaction.

        A turn that this process could not take or leave for certain, because the database went away, is its own. One
        that would last longer than any turn was taken before the clock was set back, and is over.
        """
        now, until = self._now(), self._until(seconds)
        mine = self._mark if consumer in self._unsure else -1
        try:
            async with self._engine.store.transaction() as writing:
                rows = await self._run(
                    writing,
                    'UPDATE "_consumers" SET "fence" = "fence" + 1, "until" = %n WHERE "name" = %t AND '
                    '("until" < %n OR "until" > %n OR mod("until", %n) = %n) RETURNING "position", "fence"',
                    until, consumer, now, until + _SECOND, _SECOND, mine,
                )  # fmt: skip
        except BaseException:
            self._unsure.add(consumer)
            raise
        self._unsure.discard(consumer)
        return Turn(consumer, int(rows[0][0]), int(rows[0][1])) if rows else None

    async def advance(self, turn: Turn, position: int, seconds: float, failed: Sequence[Delivery] = ()) -> Turn:
        """Go on to a position, with what failed on the way kept, and keep the turn. Raises `Lapsed`."""
        async with self._engine.store.transaction() as writing:
            await self._hold(writing, turn, position, seconds)
            for delivery in failed:
                await self._park(writing, delivery)
        return Turn(turn.consumer, position, turn.fence)

    async def settle(self, turn: Turn, delivery: Delivery, seconds: float, *, done: bool) -> None:
        """Remove a delivery that succeeded, or keep that it failed again or was given up on. Raises `Lapsed`."""
        async with self._engine.store.transaction() as writing:
            await self._hold(writing, turn, turn.position, seconds)
            if done:
                await self._run(
                    writing, 'DELETE FROM "_deliveries" WHERE "consumer" = %t AND "position" = %n',
                    delivery.consumer, delivery.position,
                )  # fmt: skip
            else:
                await self._park(writing, delivery)

    async def leave(self, turn: Turn) -> None:
        """Let another process read at once."""
        try:
            async with self._engine.store.transaction() as writing:
                await self._run(
                    writing, 'UPDATE "_consumers" SET "until" = 0 WHERE "name" = %t AND "fence" = %n',
                    turn.consumer, turn.fence,
                )  # fmt: skip
        except BaseException:
            self._unsure.add(turn.consumer)
            raise

    async def waiting(self, consumer: str) -> frozenset[str]:
        """The records whose later changes wait behind one that failed."""
        rows = await self._look('SELECT "record" FROM "_deliveries" WHERE "consumer" = %t AND "given_up" = 0', consumer)
        return frozenset(_text(row[0]) for row in rows)

    async def due(self, consumer: str, limit: int = 100) -> list[Delivery]:
        """The first waiting delivery of each record that is due again, in order.

        One that is due later than any can be was put off before the clock was set back.
        """
        now = self._now()
        first = 'SELECT min("position") FROM "_deliveries" WHERE "consumer" = %t AND "given_up" = 0 GROUP BY "record"'
        rows = await self._look(
            'SELECT "consumer", "position", "record", "attempts", "error" FROM "_deliveries" WHERE "consumer" = %t '
            f'AND ("due" <= %n OR "due" > %n) AND "position" IN ({first}) ORDER BY "position" LIMIT {limit}',
            consumer, now, now + round(LONGEST * 1e6), consumer,
        )  # fmt: skip
        return [_delivery(row) for row in rows]

    async def given_up(self) -> list[Delivery]:
        """Everything that somebody has to look at."""
        rows = await self._look(
            'SELECT "consumer", "position", "record", "attempts", "error" FROM "_deliveries" WHERE "given_up" = 1 '
            'ORDER BY "consumer", "position"'
        )  # fmt: skip
        return [_delivery(row) for row in rows]

    async def read_by_all(self, consumers: Collection[str]) -> int | None:
        """The position up to which nobody needs the changes any more; nothing where nobody needs any.

        These consumers have read it, and nothing that one of them failed on lies before it. Two round trips.
        """
        rows = await self._look('SELECT "name", "position" FROM "_consumers"')
        bounds = [int(position) for name, position in rows if _text(name) in consumers]
        rows = await self._look('SELECT "consumer", min("position") FROM "_deliveries" GROUP BY "consumer"')
        bounds += [int(position) - 1 for name, position in rows if _text(name) in consumers]
        return min(bounds, default=None)

    async def again(self, consumer: str, position: int) -> bool:
        """Hand a delivery that was given up on once more; whether there was one."""
        async with self._engine.store.transaction() as writing:
            rows = await self._run(
                writing,
                'UPDATE "_deliveries" SET "given_up" = 0, "due" = 0, "attempts" = 0 WHERE "consumer" = %t '
                'AND "position" = %n AND "given_up" = 1 RETURNING "position"', consumer, position,
            )  # fmt: skip
        self._engine.store.ring()
        return bool(rows)

    async def change(self, position: int) -> Change | None:
        """The change at a position, if it is kept still."""
        found = await self._engine.changes.after(position - 1, 1)
        return found[0] if found and found[0].position == position else None

    async def _hold(self, writing: Writing, turn: Turn, position: int, seconds: float) -> None:
        until = self._until(seconds)
        rows = await self._run(
            writing,
            'UPDATE "_consumers" SET "position" = %n, "until" = %n WHERE "name" = %t AND "fence" = %n '
            'RETURNING "fence"', position, until, turn.consumer, turn.fence,
        )  # fmt: skip
        if not rows:
            raise Lapsed

    async def _park(self, writing: Writing, delivery: Delivery) -> None:
        again = retry_after(delivery.attempts)
        due = self._now() + round((again or 0) * 1e6)
        await self._run(
            writing,
            'INSERT INTO "_deliveries" ("consumer", "position", "record", "attempts", "due", "error", "given_up") '
            'VALUES (%t, %n, %t, %n, %n, %t, %n) ON CONFLICT ("consumer", "position") DO UPDATE SET '
            '"attempts" = excluded."attempts", "due" = excluded."due", "error" = excluded."error", '
            '"given_up" = excluded."given_up"',
            delivery.consumer, delivery.position, delivery.record, delivery.attempts, due, delivery.error,
            int(again is None),
        )  # fmt: skip

    def _until(self, seconds: float) -> int:
        """When a turn ends that begins now. The fraction of its second says which process has it."""
        return (self._now() // _SECOND + round(seconds)) * _SECOND + self._mark

    def _now(self) -> int:
        return microseconds(self._engine.clock())

    async def _run(self, writing: Writing, text: str, *values: Any) -> list[Any]:
        return await writing.run(self._numbered(text), values)

    async def _look(self, text: str, *values: Any) -> list[Any]:
        return await self._engine.store.run(self._numbered(text), values)

    def _numbered(self, text: str) -> str:
        """The text with its marks, `%t` for a text and `%n` for a number, as parameters."""
        parts = text.split("%")
        made = [
            self._dialect.slot(at, "text" if part[0] == "t" else "bigint") + part[1:]
            for at, part in enumerate(parts[1:])
        ]
        return parts[0] + "".join(made)


ATTEMPTS = 10
LONGEST = 600.0  # seconds that a delivery waits at the most


def retry_after(attempts: int) -> float | None:
    """Seconds until a delivery is tried again after so many failures: twice as long each time, from one second to ten
    minutes; nothing when it is given up on. One that waits behind another has not failed and is due at once.
    """
    if attempts >= ATTEMPTS:
        return None
    return min(LONGEST, 2.0 ** (attempts - 1)) if attempts else 0.0


def _delivery(row: Sequence[Any]) -> Delivery:
    consumer, position, record, attempts, error = row
    return Delivery(_text(consumer), int(position), _text(record), int(attempts), _text(error))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
