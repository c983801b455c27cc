"""What accounts need no longer is taken away: tokens, sessions and keys that are over, a page at a time.

Invariant: nothing goes that still decides anything. A spent refresh token stays while it may tell of a theft, and what
is over stays for a month, for whoever asks what happened. It finds its way by indexes and never reads a whole table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from backstay.auth.models import AccountKey, AccountKnock, AccountSignIn, AccountToken
from backstay.model.declare import Model
from backstay.model.predicate import Compare, Path, Slot
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Ask, Listing, Selection, Sort
from backstay.store import rows
from backstay.store.engine import Engine

PAGE = 200
KEPT = timedelta(days=30)
"""How long what is over is kept."""
TELLING = timedelta(days=7)
"""How long a spent refresh token is kept: one that comes again after that is refused without ending its session."""


@dataclass(frozen=True, slots=True)
class Purged:
    """How many of each were taken away."""

    tokens: int = 0
    sessions: int = 0
    keys: int = 0
    knocks: int = 0

    @property
    def all(self) -> int:
        """How many in all."""
        return self.tokens + self.sessions + self.keys + self.knocks


class Purge:
    """Takes away what is over. `lifetime` is that of a session."""

    def __init__(self, engine: Engine, lifetime: timedelta) -> None:
        self._engine = engine
        self._lifetime = lifetime

    async def everything(self) -> Purged:
        """Take away all that is over, in transactions of at most `PAGE` records each."""
        total = Purged()
        while (some := await self.some()).all:
            sums = (a + b for a, b in zip(_numbers(total), _numbers(some), strict=True))
            total = Purged(*sums)
        return total

    async def some(self) -> Purged:
        """Take away at most a page of each kind. Six round trips, and two more for each kind that there is."""
        now = self._engine.clock()
        ended = await self._page(AccountToken, "expires_at", now - self._lifetime)
        spent = await self._page(AccountToken, "spent_at", now - TELLING)
        sessions = await self._page(AccountSignIn, "expires_at", now - max(KEPT, self._lifetime))
        revoked = await self._page(AccountKey, "ended_at", now - KEPT)
        expired = await self._page(AccountKey, "expires_at", now - KEPT)
        knocks = await self._page(AccountKnock, "created_at", now - KEPT)
        return Purged(ended + spent, sessions, revoked + expired, knocks)

    async def _page(self, model: type[Model], field: str, before: datetime) -> int:
        """Take away the oldest records whose instant lies before this one."""
        engine, entity = self._engine, self._engine.schema.of(model)
        older = Compare("lt", Path((field,)), Slot(0, "before"))
        page = Listing(entity.name, _ID, older, (Sort((field,)),), limit=Slot(1, "limit"))
        (found,) = await engine.read(Ask((page,), (before, PAGE)), SYSTEM)
        if not found.texts:
            return 0
        keys = [msgspec.json.decode(row)["id"] for row in found.rows]
        async with engine.store.transaction() as writing:
            text = engine.writes.many_removed(entity)
            gone = await writing.run(text, (rows.ids(keys, entity.key.kind, engine.store.dialect),))
        return len(gone)


def _numbers(purged: Purged) -> tuple[int, int, int, int]:
    return purged.tokens, purged.sessions, purged.keys, purged.knocks


_ID = Selection(False, (("id", "id"),))
