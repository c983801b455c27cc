"""When what is done again and again is next due, so that of all processes one does it, once for each time.

Invariant: a time is taken by moving it on in one guarded statement, in the transaction that puts its work into the
queue. Times that nobody was there for are made up for by one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from backstay.store.changes import microseconds
from backstay.store.port import Store, Writing
from backstay.store.queue import in_words_of, instant_of

_ADD = (
    'INSERT INTO "_schedules" (name, cron, due) VALUES ($1, $2, CAST($3 AS bigint)) ON CONFLICT (name) DO UPDATE SET '
    'cron = excluded.cron, due = excluded.due WHERE "_schedules".cron <> excluded.cron'
)
_DUE = 'SELECT due, {now} FROM "_schedules" WHERE name = $2'
_MOVE = (
    'UPDATE "_schedules" SET due = CAST($2 AS bigint) WHERE name = $3 AND due = CAST($4 AS bigint) AND due <= {now} '
    "RETURNING 1"
)
_NOW = "SELECT {now}"


class Timetable:
    """The times of one database, whose clock it goes by unless one is given."""

    def __init__(self, store: Store, clock: Callable[[], datetime] | None = None) -> None:
        self._store = store
        self._clock = clock

    async def now(self) -> datetime:
        """What time it is."""
        ((now,),) = await self._store.run(self._text(_NOW), (self._at(),))
        return _instant(now)

    async def add(self, name: str, cron: str, due: datetime) -> None:
        """Begin with this time, where the name is new or its times are others than before."""
        async with self._store.transaction() as writing:
            await writing.run(self._text(_ADD), (name, cron, microseconds(due)))

    async def due(self, name: str) -> tuple[datetime, datetime] | None:
        """The time that is next due, and what time it is. One round trip."""
        rows = await self._store.run(self._text(_DUE), (self._at(), name))
        return (_instant(rows[0][0]), _instant(rows[0][1])) if rows else None

    async def move(self, writing: Writing, name: str, due: datetime, following: datetime) -> bool:
        """Take a time that is due; whether nobody else has."""
        values = (self._at(), microseconds(following), name, microseconds(due))
        return bool(await writing.run(self._text(_MOVE), values))

    def _at(self) -> int | None:
        return None if self._clock is None else microseconds(self._clock())

    def _text(self, text: str) -> str:
        return in_words_of(self._store, text)


def _instant(micros: int) -> datetime:
    found = instant_of(micros)
    assert found is not None
    return found
