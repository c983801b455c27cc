"""API keys: a program acts for a person with one, as far as its scopes go, until it expires or is revoked.

Invariant: a key is shown once and stored as its SHA-256. It stands for its owner as they are now, with their roles of
this moment and shut out with them, so it never can what its owner cannot; its scopes only take away from that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic as monotonic_seconds
from typing import Any, TypeAlias

import msgspec

from backstay.auth.form import parse_key
from backstay.auth.identify import REMEMBERED, Recognised
from backstay.auth.models import AccountKey
from backstay.auth.person import person
from backstay.auth.session import HOLDER, Holder, holding
from backstay.auth.token import digest, new_token
from backstay.errors import Conflict, NotFound, Problem
from backstay.model.predicate import And, Compare, IsNull, Now, Or, Path, Slot
from backstay.model.rule import Predicate, is_null
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask, Create, Listing, Selection, Sort, Update
from backstay.store.engine import Engine
from backstay.store.record import reference
from backstay.store.transaction import Transaction

Begin: TypeAlias = Callable[[str | None], AbstractAsyncContextManager[Transaction]]
KEY = AccountKey.__name__
MOST = 50
"""How many keys one person may have that are not revoked."""
NOTED = timedelta(minutes=10)
"""How often it is written down, at most, that a key was used."""
_START = 8


class Key(msgspec.Struct, frozen=True):
    """An API key as its owner sees it: never the key itself."""

    id: str
    name: str
    start: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key, with the text that is shown this once."""

    key: Key
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.key.start!r})"


class _Found(msgspec.Struct, frozen=True):
    id: str
    scopes: list[str]
    expires_at: datetime | None
    used_at: datetime | None
    user: Holder


def _named(kind: type[msgspec.Struct], *but: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in kind.__struct_fields__ if name not in but)


_LIVE = IsNull(Path(("ended_at",)))
_OF = Compare("eq", Path(("user", "id")), Slot(0, "user"))
_LASTS = Or((IsNull(Path(("expires_at",))), Compare("gt", Path(("expires_at",)), Now())))
_BY_HASH = Compare("eq", Path(("key_hash",)), Slot(0, "key"))
_ASK = (Listing(KEY, Selection(False, _named(_Found, "user"), (HOLDER,)), And((_BY_HASH, _LIVE, _LASTS))),)
_OWN = Listing(
    KEY, Selection(False, _named(Key)), And((_OF, _LIVE)), (Sort(("created_at",), descending=True),),
    limit=Slot(1, "limit"),
)  # fmt: skip
_NOT_LATELY = Or((IsNull(Path(("used_at",))), Compare("lte", Path(("used_at",)), Slot(0, "moment"))))


class Keys:
    """The API keys of one application. `begin` begins a transaction with system authority in the name of a user."""

    def __init__(
        self, engine: Engine, begin: Begin, forget: Callable[[str], None], new_id: Callable[[], str],
        actions: Collection[str], monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._begin = begin
        self._forget = forget
        self._new_id = new_id
        self._actions = actions
        self._monotonic = monotonic
        self._noted: dict[str, float] = {}
        self._noting: set[asyncio.Task[None]] = set()

    def through(self, begin: Begin) -> Keys:
        """These, with transactions of another kind."""
        other = copy(self)
        other._begin = begin
        return other

    async def make(self, actor: Actor, body: Mapping[str, Any]) -> NewKey:
        """A new key from `{"name", "scopes", "expires_at"}`, the last of which may be left out: it then never expires.

        Raises `NotSignedIn`, `Denied` `not_for_keys`, `BadRequest` `unknown_field`, `Invalid` for wrong values, and
        `Conflict` where there are too many keys. Four round trips and two more to begin and to commit.
        """
        user, engine = person(actor), self._engine
        wanted = parse_key(body, engine.schema.by_plural(), self._actions, engine.clock())
        text, id_, scopes = new_token("key"), self._new_id(), sorted(wanted.scopes)
        async with self._begin(user) as tx:
            await tx.hold(engine.schema.user.name, user)  # two at once must not both be the last one
            if await tx.count(AccountKey, self._live_of(user)) >= MOST:
                raise Conflict(f"A person has at most {MOST} API keys: revoke one that is not needed any more.")
            values = {"user": user, "name": wanted.name, "start": text[:_START], "key_hash": digest(text),
                      "scopes": scopes, "expires_at": wanted.expires_at}  # fmt: skip
            await tx.write(Create(KEY, values, id_))
            made = (await tx.get(AccountKey, id_)).created_at
        return NewKey(Key(id_, wanted.name, text[:_START], scopes, made, wanted.expires_at, None), text)

    async def own(self, actor: Actor) -> list[Key]:
        """The keys of whoever asks that are not revoked, the newest first; expired ones too. One round trip."""
        (found,) = await self._engine.read(Ask((_OWN,), (person(actor), MOST)), SYSTEM)
        return [msgspec.json.decode(row, type=Key) for row in found.rows]

    async def revoke(self, actor: Actor, key: str) -> None:
        """End one key of whoever asks, at once here and within a second elsewhere.

        Raises `NotFound` where it has ended, is of somebody else or is no key.
        """
        user = person(actor)
        async with self._begin(user) as tx:
            if not await self._end(tx, user, key):
                raise NotFound()
        self._forget(user)

    async def revoke_all(self, actor: Actor) -> None:
        """End every key of whoever asks."""
        user = person(actor)
        async with self._begin(user) as tx:
            await tx.hold(self._engine.schema.user.name, user)  # no other is made meanwhile
            for key in await tx.find(AccountKey, self._live_of(user)):
                await self._end(tx, user, str(key.id))
        self._forget(user)

    async def recognise(self, key: str) -> Recognised | None:
        """For whom the key with this digest acts. One round trip."""
        (found,) = await self._engine.read(Ask(_ASK, (key,)), SYSTEM)
        known = msgspec.json.decode(found.one, type=_Found) if found.one is not None else None
        if known is None or known.user.disabled:
            return None
        actor = Actor(known.user.id, frozenset(known.user.roles), key=known.id, scopes=frozenset(known.scopes))
        return Recognised(actor, known.expires_at)

    def note(self, key: str) -> None:
        """Write down that a key is being used, at most every `NOTED`. Nobody waits for it."""
        now = self._monotonic()
        if now - self._noted.get(key, float("-inf")) < NOTED.total_seconds():
            return
        self._noted.pop(key, None)
        if len(self._noted) >= REMEMBERED:
            self._noted.pop(next(iter(self._noted)))
        self._noted[key] = now
        task = asyncio.create_task(self._write_down(key))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def settle(self) -> None:
        """Wait until everything that `note` was told is written down."""
        await asyncio.gather(*self._noting)

    async def _write_down(self, key: str) -> None:
        now = self._engine.clock()
        with suppress(Problem):  # whoever uses the key need not hear that it cannot be written down
            async with self._begin(None) as tx:
                await holding(tx, Update(KEY, key, {"used_at": now}, _NOT_LATELY, (now - NOTED,)))

    async def _end(self, tx: Transaction, user: str, key: str) -> bool:
        return await holding(tx, Update(KEY, key, {"ended_at": self._engine.clock()}, And((_OF, _LIVE)), (user,)))

    def _live_of(self, user: str) -> Callable[[AccountKey], Predicate]:
        owner = reference(self._engine.schema.user, user)
        return lambda key: (key.user == owner) & is_null(key.ended_at)
