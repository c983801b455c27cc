"""Sessions and their tokens: begun by a log-in, recognised on every request, ended at once.

Invariant: a token is 32 random bytes that only its holder knows; the database holds its SHA-256. A token that was
recognised is remembered for at most one second, so what another process ends is ended here within that second, and
what this process ends is forgotten before anybody is told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from secrets import token_urlsafe
from time import monotonic as monotonic_seconds

import msgspec

from backstay.auth.models import AccountSession
from backstay.errors import NotSignedIn
from backstay.model.predicate import And, Compare, IsNull, Now, Path, Slot
from backstay.model.rule import is_null
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask, Create, Listing, Nested, Selection, Update
from backstay.store.engine import Engine
from backstay.store.sql import Statement
from backstay.store.transaction import Transaction, reference

REMEMBERED = 10_000
SECONDS = 1.0
SESSION = AccountSession.__name__

_TOKEN = re.compile(r"bst_[A-Za-z0-9_-]{43}")


class Holder(msgspec.Struct, frozen=True):
    """The user behind a session or a password, as far as a sign-in needs to know."""

    id: str
    roles: list[str]
    disabled: bool


class _Row(msgspec.Struct, frozen=True):
    id: str
    user: Holder


HOLDER = Nested("user", "user", Selection(False, tuple((name, name) for name in Holder.__struct_fields__)))

_ASK = Ask((
    Listing(
        SESSION,
        Selection(False, (("id", "id"),), (HOLDER,)),
        And((
            Compare("eq", Path(("token_hash",)), Slot(0, "token")),
            IsNull(Path(("ended_at",))),
            Compare("gt", Path(("expires_at",)), Now()),
        )),
    ),
))  # fmt: skip


def digest(token: str) -> str:
    """What is stored of a token. No salt: 256 random bits have no dictionary."""
    return hashlib.sha256(token.encode()).hexdigest()


class Sessions:
    """The sessions of one application, as one process sees them."""

    def __init__(
        self, engine: Engine, new_id: Callable[[], str], lifetime: timedelta,
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:  # fmt: skip
        self.lifetime = lifetime
        self._engine = engine
        self._new_id = new_id
        self._monotonic = monotonic
        self._statement: Statement | None = None
        self._seen: dict[str, tuple[float, Actor]] = {}
        self._ended = 0

    async def begin(self, tx: Transaction, user: str) -> tuple[str, str]:
        """Begin a session of a user in a transaction with system authority: its id and its token. One round trip."""
        token = f"bst_{token_urlsafe(32)}"
        expires = self._engine.clock() + self.lifetime
        values = {"user": user, "token_hash": digest(token), "expires_at": expires}
        return await tx.write(Create(SESSION, values, self._new_id())), token

    async def identify(self, token: str) -> Actor:
        """Who holds this token. Raises `NotSignedIn` `invalid_token`, the same for every reason.

        No round trip within a second of the last one; otherwise one. What cannot be a token costs none.
        """
        if not _TOKEN.fullmatch(token):
            raise NotSignedIn(code="invalid_token")
        key = digest(token)
        if (seen := self._seen.get(key)) is not None and self._monotonic() - seen[0] <= SECONDS:
            return seen[1]
        ended, moment = self._ended, self._monotonic()
        if self._statement is None:
            self._statement = self._engine.statement(_ASK, SYSTEM)
        (found,) = await self._engine.answer(self._statement, (key,), SYSTEM)
        row = msgspec.json.decode(found.one, type=_Row) if found.one is not None else None
        if row is None or row.user.disabled:
            self._seen.pop(key, None)
            raise NotSignedIn(code="invalid_token")
        actor = Actor(row.user.id, frozenset(row.user.roles), session=row.id)
        if ended == self._ended:  # else this answer may be older than the end of the session
            self._remember(key, moment, actor)
        return actor

    def _remember(self, key: str, moment: float, actor: Actor) -> None:
        self._seen.pop(key, None)
        if len(self._seen) >= REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = (moment, actor)

    async def end(self, tx: Transaction, session: str) -> None:
        """End one session in a transaction with system authority; call `forget` once it is committed."""
        await tx.write(Update(SESSION, session, {"ended_at": self._engine.clock()}))

    async def end_all(self, tx: Transaction, user: str) -> None:
        """End every session of a user in a transaction with system authority; then call `forget`."""
        owner = reference(self._engine.schema.user, user)
        while live := await tx.find(AccountSession, lambda s: (s.user == owner) & is_null(s.ended_at)):
            for session in live:
                await self.end(tx, str(session.id))

    def forget(self) -> None:
        """Trust nothing remembered any more, nor any answer that is on its way."""
        self._ended += 1
        self._seen.clear()
