"""Whose token it is: looked up once, then remembered until it expires or somebody's rights are taken away.

Invariant: a remembered token is believed only while the numbers that every revocation raises (`store/revocation.py`)
are what they were before it was looked up, and those are read again once they are older than a second. So what any
process ends is ended here within that second, and what this process ends is forgotten before anybody is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic as monotonic_seconds

from backstay.auth.token import Purpose, digest, purpose_of
from backstay.errors import NotSignedIn
from backstay.plan.actor import Actor
from backstay.store.engine import Engine
from backstay.store.revocation import read_revocations, slot_of

REMEMBERED = 10_000
SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a look-up found: for whom a token stands, and until when where it ends by itself."""

    actor: Actor
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Held:
    actor: Actor
    slot: str
    number: int
    until: float


Find = Callable[[str], Awaitable[Recognised | None]]


class Identities:
    """Who holds which token, as one process knows it. `find` looks up the digest of a token of each purpose."""

    def __init__(
        self, engine: Engine, find: Mapping[Purpose, Find], monotonic: Callable[[], float] = monotonic_seconds
    ) -> None:
        self._engine = engine
        self._find = dict(find)
        self._monotonic = monotonic
        self._held: dict[str, _Held] = {}
        self._numbers: Mapping[str, int] = {}
        self._read_at = float("-inf")
        self._forgotten = 0
        self._reading: asyncio.Task[None] | None = None

    async def identify(self, token: str) -> Actor:
        """Who holds this token. Raises `NotSignedIn` `invalid_token`, the same for every reason.

        No round trip for a token that is remembered, and one a second for all of them together; otherwise one. What
        cannot be a token costs none.
        """
        purpose = purpose_of(token)
        find = self._find.get(purpose) if purpose is not None else None
        if find is None:
            raise NotSignedIn(code="invalid_token")
        key = digest(token)
        if (held := self._held.get(key)) is not None and await self._still(held):
            return held.actor
        # Taken before it is asked: what is found may be older than a revocation that comes while it is under way.
        numbers, forgotten = self._numbers, self._forgotten
        moment, now = self._monotonic(), self._engine.clock()
        found = await find(key)
        if found is None or found.actor.id is None:
            self._held.pop(key, None)
            raise NotSignedIn(code="invalid_token")
        slot = slot_of(found.actor.id)
        lasts = (found.expires_at - now).total_seconds() if found.expires_at is not None else float("inf")
        if forgotten == self._forgotten:
            self._remember(key, _Held(found.actor, slot, numbers.get(slot, 0), moment + lasts))
        return found.actor

    async def look(self, token: str) -> Recognised:
        """Whose it is and until when, looked up now, whatever is remembered. Raises `NotSignedIn`. One round trip."""
        purpose = purpose_of(token)
        find = self._find.get(purpose) if purpose is not None else None
        found = await find(digest(token)) if find is not None else None
        if found is None or found.actor.id is None:
            raise NotSignedIn(code="invalid_token")
        return found

    def forget(self, user: str | None) -> None:
        """Trust nothing remembered of a user any more, of nobody where none is named, nor an answer that is on its way.

        Call it after what takes rights away is committed, and before anybody is told.
        """
        self._forgotten += 1
        if user is None:
            self._held.clear()
        else:
            self._held = {key: held for key, held in self._held.items() if held.actor.id != user}

    async def _still(self, held: _Held) -> bool:
        """Whether what was found is still so."""
        if self._monotonic() - self._read_at > SECONDS:
            await self._read()
        return self._monotonic() < held.until and self._numbers.get(held.slot, 0) == held.number

    async def _read(self) -> None:
        """Read the numbers, once for all who wait for them."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_now())
            self._reading.add_done_callback(lambda _: setattr(self, "_reading", None))
        await asyncio.shield(self._reading)

    async def _read_now(self) -> None:
        moment = self._monotonic()
        self._numbers = await read_revocations(self._engine.store)
        self._read_at = moment

    def _remember(self, key: str, held: _Held) -> None:
        self._held.pop(key, None)
        if len(self._held) >= REMEMBERED:
            self._held.pop(next(iter(self._held)))
        self._held[key] = held
