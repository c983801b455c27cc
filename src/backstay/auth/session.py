"""Sessions and their tokens: begun at the gate, recognised, refreshed, ended.

Invariant: a token is 32 random bytes that only its holder knows; the database holds its SHA-256. A refresh token is
spent once, under the lock of its row; whoever brings it again later than `GRACE` ends the session and all its tokens.
What ends a session here is told to `auth/identify.py` once it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backstay.auth.identify import Recognised
from backstay.auth.models import AccountSignIn, AccountToken
from backstay.auth.token import digest, new_token, purpose_of
from backstay.errors import NotFound, NotSignedIn, Problem
from backstay.model.predicate import And, Compare, IsNull, Now, Path, Slot
from backstay.model.rule import is_null
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask, Create, Listing, Nested, Selection, Sort, Update
from backstay.store.engine import Engine
from backstay.store.record import reference
from backstay.store.sql import Statement
from backstay.store.transaction import Transaction

LISTED = 200
GRACE = timedelta(seconds=10)
"""How long a spent refresh token still gives a pair: two tabs of one person may refresh at the same moment."""
SESSION, TOKEN = AccountSignIn.__name__, AccountToken.__name__


class Holder(msgspec.Struct, frozen=True):
    """The user behind a session or a password, as far as a sign-in needs to know."""

    id: str
    roles: list[str]
    disabled: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """What the holder of a session is given, once: two tokens, and how many seconds the first and the session last."""

    session: str
    access_token: str
    refresh_token: str
    expires_in: int
    session_ends_in: int

    def __repr__(self) -> str:
        return f"Pair({self.session!r})"


class _Session(msgspec.Struct, frozen=True):
    id: str
    expires_at: datetime
    user: Holder


class Sitting(msgspec.Struct, frozen=True):
    """A session as its owner sees it, without its tokens."""

    id: str
    created_at: datetime
    refreshed_at: datetime | None
    expires_at: datetime
    current: bool = False


class Held(msgspec.Struct, frozen=True):
    """A token of a session that is alive, by its id. Whether it is spent is decided when it is spent."""

    id: str
    session: _Session


class _Access(msgspec.Struct, frozen=True):
    expires_at: datetime
    session: _Session


HOLDER = Nested("user", "user", Selection(False, tuple((name, name) for name in Holder.__struct_fields__)))

_ID, _END = ("id", "id"), ("expires_at", "expires_at")
_SESSION = Nested("session", "session", Selection(False, (_ID, _END), (HOLDER,)))
_HELD = Selection(False, (_ID,), (_SESSION,))
_ALIVE = (IsNull(Path(("session", "ended_at"))), Compare("gt", Path(("session", "expires_at")), Now()))
_ASK = Ask((
    Listing(TOKEN, Selection(False, (_END,), (_SESSION,)), And((
        Compare("eq", Path(("token_hash",)), Slot(0, "token")), Compare("gt", Path(("expires_at",)), Now()), *_ALIVE,
    ))),
))  # fmt: skip
_OWN = Listing(
    SESSION,
    Selection(False, tuple((name, name) for name in ("id", "created_at", "refreshed_at", "expires_at"))),
    And((
        Compare("eq", Path(("user", "id")), Slot(0, "user")), IsNull(Path(("ended_at",))),
        Compare("gt", Path(("expires_at",)), Now()),
    )),
    (Sort(("created_at",), descending=True),), limit=Slot(1, "limit"),
)  # fmt: skip
_COUNTED = Listing(
    SESSION, Selection(False, (_ID,)),
    And((IsNull(Path(("ended_at",))), Compare("gt", Path(("expires_at",)), Now()))),
    limit=Slot(0, "limit"), count="exact",
)  # fmt: skip
_ASK_REFRESH = Listing(TOKEN, _HELD, And((Compare("eq", Path(("refresh_hash",)), Slot(0, "token")), *_ALIVE)))


class Sessions:
    """The sessions of one application."""

    def __init__(
        self, engine: Engine, new_id: Callable[[], str], lifetime: timedelta, access: timedelta
    ) -> None:  # fmt: skip
        self.lifetime = lifetime
        self.access = access
        self._engine = engine
        self._new_id = new_id
        self.issued = 0
        """How many pairs this process has given."""
        self._statement: Statement | None = None

    async def open(self, tx: Transaction, user: str) -> Pair:
        """Begin a session of a user in a transaction with system authority: the gate's alone. Two round trips."""
        end = self._engine.clock() + self.lifetime
        session = await tx.write(Create(SESSION, {"user": user, "expires_at": end}, self._new_id()))
        return await self._issue(tx, session, end)

    async def _issue(self, tx: Transaction, session: str, end: datetime) -> Pair:
        """A new pair of a session, whose access token is good for no longer than the session."""
        now = self._engine.clock()
        expires = min(now + self.access, end)
        access, refresh = new_token("access"), new_token("refresh")
        hashes = {"token_hash": digest(access), "refresh_hash": digest(refresh)}
        await tx.write(Create(TOKEN, {"session": session, **hashes, "expires_at": expires}, self._new_id()))
        self.issued += 1
        seconds = [int((moment - now).total_seconds()) for moment in (expires, end)]
        return Pair(session, access, refresh, *seconds)

    async def renewable(self, token: str) -> Held:
        """The refresh token of a session that is alive, spent or not. Raises `NotSignedIn` `invalid_token`.

        One round trip; none for what cannot be a refresh token.
        """
        if purpose_of(token) != "refresh":
            raise NotSignedIn(code="invalid_token")
        (found,) = await self._engine.read(Ask((_ASK_REFRESH,), (digest(token),)), SYSTEM)
        known = msgspec.json.decode(found.one, type=Held) if found.one is not None else None
        if known is None or known.session.user.disabled:
            raise NotSignedIn(code="invalid_token")
        return known

    async def renew(self, tx: Transaction, known: Held) -> Pair | None:
        """Spend a refresh token for a new pair, in a transaction with system authority.

        Nothing where it was spent longer than `GRACE` ago: then somebody else holds it, and its session is ended;
        commit, and forget them. Raises `NotSignedIn` where the session ended meanwhile.
        """
        now, session = self._engine.clock(), known.session
        unspent = IsNull(Path(("spent_at",)))
        try:
            if not await holding(tx, Update(TOKEN, known.id, {"spent_at": now}, unspent)):
                spent = (await tx.get(AccountToken, known.id)).spent_at
                if spent is None or now - spent > GRACE:
                    await self.end(tx, session.id)
                    return None
            alive = IsNull(Path(("ended_at",)))
            if not await holding(tx, Update(SESSION, session.id, {"refreshed_at": now}, alive)):
                raise NotSignedIn(code="invalid_token")
        except NotFound:  # its user was deleted meanwhile
            raise NotSignedIn(code="invalid_token") from None
        return await self._issue(tx, session.id, session.expires_at)

    async def recognise(self, key: str) -> Recognised | None:
        """For whom the access token with this digest stands, while its session is alive. One round trip."""
        if self._statement is None:
            self._statement = self._engine.statement(_ASK, SYSTEM)
        (found,) = await self._engine.answer(self._statement, (key,), SYSTEM)
        held = msgspec.json.decode(found.one, type=_Access) if found.one is not None else None
        if held is None or held.session.user.disabled:
            return None
        user = held.session.user
        return Recognised(Actor(user.id, frozenset(user.roles), session=held.session.id), held.expires_at)

    async def alive(self) -> int:
        """How many sessions of all users are alive. One round trip, which looks at each of them."""
        (found,) = await self._engine.read(Ask((_COUNTED,), (1,)), SYSTEM)
        return found.total or 0

    async def own(self, actor: Actor) -> list[Sitting]:
        """The live sessions of an actor, the newest first, at most `LISTED`. One round trip."""
        (found,) = await self._engine.read(Ask((_OWN,), (actor.id, LISTED)), SYSTEM)
        read = [msgspec.json.decode(row, type=Sitting) for row in found.rows]
        return [msgspec.structs.replace(sitting, current=sitting.id == actor.session) for sitting in read]

    async def end_own(self, tx: Transaction, user: str, session: str) -> None:
        """End one live session of a user in a transaction with system authority.

        Raises `NotFound` where it has ended, is of somebody else or is no session.
        """
        owner = Compare("eq", Path(("user", "id")), Slot(0, "user"))
        guard = And((owner, IsNull(Path(("ended_at",))), Compare("gt", Path(("expires_at",)), Now())))
        if not await holding(tx, Update(SESSION, session, {"ended_at": self._engine.clock()}, guard, (user,))):
            raise NotFound()

    async def end(self, tx: Transaction, session: str) -> None:
        """End one session in a transaction with system authority."""
        await tx.write(Update(SESSION, session, {"ended_at": self._engine.clock()}))

    async def end_all(self, tx: Transaction, user: str, *, but: str = "") -> None:
        """End every session of a user, but one, in a transaction with system authority."""
        owner = reference(self._engine.schema.user, user)
        kept = UUID(but) if but else UUID(int=0)
        while live := await tx.find(
            AccountSignIn, lambda s: (s.user == owner) & (s.id != kept) & is_null(s.ended_at)
        ):  # fmt: skip
            for session in live:
                await self.end(tx, str(session.id))


async def holding(tx: Transaction, change: Update) -> bool:
    """Carry out a guarded change; whether its guard held. The row is locked until the transaction ends either way."""
    try:
        await tx.write(change)
    except Problem as problem:
        if problem.code != "precondition_failed":
            raise
        return False
    return True
