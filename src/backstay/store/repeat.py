"""What was done for a request that carries a key, so that the same request sent again does nothing twice.

Invariant: the record of a key is written in the transaction that makes the effect, before anything else in it, under
a unique index of whose request it is and the key. So of all that bring one key at most one commits, and the others
find its record, whatever process they are in and whatever crashed. Keys are kept as hashes; what was asked and what was
answered are sealed. All times are those of the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from backstay.errors import Conflict, Unavailable
from backstay.store.keyring import KeyRing, Unreadable
from backstay.store.port import Store, Writing
from backstay.telemetry.failpoint import POINTS

LEASE = 60
"""Seconds from the effect until an answer that is not there yet counts as lost."""
TURN = 10.0
"""Seconds that a second transaction of one request waits for the first, which holds its key."""
PURGED = 500
"""Records that one purge deletes at the most."""
_ASKED, _ANSWERED = "idempotency asked", "idempotency answered"

_FIND = (
    # A lease that would last longer than any was begun before the clock was set back.
    f'SELECT asked, status, answer, lease_until <= {{now}} OR lease_until > {{now}} + {LEASE} FROM "_repeats" '
    "WHERE scope = $1 AND key = $2 AND expires_at > {now}"
)
# A record that has expired is taken over in the same statement, so that no second index entry is ever needed.
_CLAIM = (
    'INSERT INTO "_repeats" (scope, key, asked, status, answer, created_at, lease_until, expires_at) '
    "VALUES ($1, $2, $3, NULL, NULL, {now}, {now} + CAST($4 AS bigint), {now} + CAST($5 AS bigint)) "
    "ON CONFLICT (scope, key) DO UPDATE SET asked = excluded.asked, status = NULL, answer = NULL, "
    "created_at = excluded.created_at, lease_until = excluded.lease_until, expires_at = excluded.expires_at "
    'WHERE "_repeats".expires_at <= {now} RETURNING 1'
)
# The first answer stays: whoever comes with another one finds that there is one.
_ANSWER = (
    'UPDATE "_repeats" SET status = CAST($3 AS bigint), answer = $4 '
    "WHERE scope = $1 AND key = $2 AND status IS NULL RETURNING 1"
)
_PURGE = (
    'DELETE FROM "_repeats" WHERE (scope, key) IN (SELECT scope, key FROM "_repeats" '
    "WHERE expires_at <= {now} ORDER BY expires_at LIMIT CAST($1 AS bigint){unlocked}) RETURNING 1"
)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request by its key: whose it is and where it went, a hash of the key, a hash of what it asks."""

    scope: str
    key: str
    asked: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of a key: the hash of what was asked, and the answer with its status once there is one.

    `asked` is missing where the key that sealed the record is gone, `answer` also where it was too large. `lapsed`:
    whoever made the effect had the time to keep an answer.
    """

    asked: bytes | None
    status: int | None
    answer: bytes | None
    lapsed: bool


class Repeated(BaseException):
    """Somebody else has the key: whatever was begun is undone. No `Exception`, so that no handler takes it for one."""


def in_progress() -> Conflict:
    """What is said while the first request with a key is on its way, for longer than a second one waits."""
    return Conflict(code="in_progress", headers={"Retry-After": "1"})


class Repeats:
    """The records of one application. `hours` is how long each is kept, `largest` how many bytes of an answer."""

    def __init__(self, store: Store, keys: Callable[[], KeyRing], *, hours: int = 24, largest: int = 1_048_576) -> None:
        self.store = store
        self.largest = largest
        self._keys = keys
        self._seconds = hours * 3600
        self._texts: dict[str, str] = {}

    def _text(self, text: str) -> str:
        """A statement as this database says it."""
        if (said := self._texts.get(text)) is None:
            sqlite = self.store.dialect.name == "sqlite"
            now = "unixepoch()" if sqlite else "CAST(extract(epoch FROM clock_timestamp()) AS bigint)"
            said = text.format(now=now, unlocked="" if sqlite else " FOR UPDATE SKIP LOCKED")
            self._texts[text] = said = said.replace("$", "?") if sqlite else said
        return said

    async def find(self, keyed: Keyed) -> Kept | None:
        """The record of a key; nothing where there is none, or not any more. One round trip."""
        rows = await self.store.run(self._text(_FIND), (keyed.scope, keyed.key))
        if not rows:
            return None
        asked, status, answer, lapsed = rows[0]
        return Kept(
            self._open(_ASKED, asked, keyed), status, None if answer is None else self._open(_ANSWERED, answer, keyed),
            bool(lapsed),
        )  # fmt: skip

    def attempt(self, keyed: Keyed, *, resumed: bool = False) -> Attempt:
        """One request that goes to do what its key stands for; `resumed` where a part of that is done, and kept."""
        return Attempt(self, keyed, resumed=resumed)

    async def claim(self, writing: Writing, keyed: Keyed) -> bool:
        """Write the record of a key in a transaction; false where somebody has it. Waits for who is about to."""
        sealed = self._keys().seal(_ASKED, keyed.asked, (keyed.scope, keyed.key))
        values = (keyed.scope, keyed.key, sealed, LEASE, self._seconds)
        try:
            return bool(await writing.run(self._text(_CLAIM), values))
        except Unavailable as error:
            raise (in_progress() if error.code == "timeout" else error) from None

    async def answer(self, writing: Writing, keyed: Keyed, status: int, answer: bytes) -> bool:
        """Keep the answer beside the record, in the same transaction or in a later one; false where there is one."""
        sealed: Any = None
        if len(answer) <= self.largest:
            sealed = self._keys().seal(_ANSWERED, answer, (keyed.scope, keyed.key))
        return bool(await writing.run(self._text(_ANSWER), (keyed.scope, keyed.key, status, sealed)))

    async def add(self, keyed: Keyed, status: int, answer: bytes) -> bool:
        """Keep the answer to a request that wrote nothing; false where somebody kept one before."""
        async with self.store.transaction() as writing:
            if mine := await self.claim(writing, keyed):
                await self.answer(writing, keyed, status, answer)
        return mine

    async def purge(self, limit: int = PURGED) -> int:
        """Delete records that have expired, at most `limit` of them; how many there were. One transaction."""
        async with self.store.transaction() as writing:
            return len(await writing.run(self._text(_PURGE), (limit,)))

    def _open(self, purpose: str, sealed: bytes, keyed: Keyed) -> bytes | None:
        try:
            return self._keys().open(purpose, sealed, (keyed.scope, keyed.key))
        except Unreadable:
            return None


class Attempt:
    """One request on its way: its first transaction that commits has the record of its key in it."""

    def __init__(self, repeats: Repeats, keyed: Keyed, *, resumed: bool = False) -> None:
        self.keyed = keyed
        self.resumed = resumed
        """Whether the record was there, of a request that was not answered: what it did first is done."""
        self.committed = resumed
        self.answered = False
        self.lost = False
        """Whether somebody else has the key."""
        self._repeats = repeats
        self._writing: Writing | None = None
        self._holder: asyncio.Task[Any] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def held(self) -> bool:
        """Whether a transaction of this request carries the record, and may still fail."""
        return self._ended is not None

    async def turn(self) -> None:
        """Wait until no other transaction of this request carries the record; not while one is open here."""
        while self._ended is not None:
            if asyncio.current_task() is self._holder:
                raise RuntimeError("A request with an Idempotency-Key has one transaction open at a time.")
            try:
                async with asyncio.timeout(TURN):
                    await asyncio.shield(self._ended)
            except TimeoutError:
                raise Unavailable("Another transaction of this request does not end.") from None

    async def claim(self, writing: Writing) -> bool:
        """Whether this transaction carries the record, and not one before it. Raises `Repeated`."""
        if self.committed:
            return False
        self._ended, self._holder = asyncio.get_running_loop().create_future(), asyncio.current_task()
        try:
            if not await self._repeats.claim(writing, self.keyed):
                self.lost = True
                raise Repeated
        except BaseException:
            self.end(committed=False)
            raise
        self._writing = writing
        return True

    async def answer(self, status: int, answer: bytes) -> None:
        """Keep the answer in the transaction that carries the record, while it is open."""
        if self._writing is not None:
            await self._repeats.answer(self._writing, self.keyed, status, answer)
            self.answered = True

    async def answer_late(self, status: int, answer: bytes) -> bool:
        """Keep the answer in a transaction of its own, after the one that carried the record; false where one is."""
        method, route, *_ = self.keyed.scope.split("\n")
        async with self._repeats.store.transaction() as writing:
            first = await self._repeats.answer(writing, self.keyed, status, answer)
            POINTS.committing(f"{method} {route}.answer.commit")
        POINTS.committed(f"{method} {route}.answer.commit")
        self.answered = True
        return first

    def end(self, *, committed: bool) -> None:
        """The transaction that carried the record is over."""
        self.committed = committed
        self.answered = self.answered and committed
        ended, self._ended = self._ended, None
        self._writing = self._holder = None
        if ended is not None:
            ended.set_result(None)


@asynccontextmanager
async def carrying(store: Store, attempt: Attempt | None) -> AsyncIterator[Writing]:
    """A transaction of a request. Where the request has a key, the first one that commits carries its record."""
    if attempt is None or attempt.committed:
        async with store.transaction() as writing:
            yield writing
        return
    carries = False
    try:
        while True:
            await attempt.turn()
            async with store.transaction() as writing:
                if attempt.held:  # by one that was quicker
                    continue
                carries = await attempt.claim(writing)
                yield writing
                break
    except BaseException:
        if carries:
            attempt.end(committed=False)
        raise
    if carries:
        attempt.end(committed=True)
