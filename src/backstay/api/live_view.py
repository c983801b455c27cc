"""Two ways to keep a question awake: from the rows of the change log, or by asking it again.

`LoggedView` serves near questions: each change is held against the plan's own predicate, before and after. `AskedView`
serves all others, and windows: after a change that may matter it runs its statement once for all who ask it, and tells
what differs from what was sent. Invariant: views are shared only by subscriptions whose plan and parameters are the
same, and `me` is among them wherever the plan speaks of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import Any

import msgspec

from backstay.api.live_feed import Feed
from backstay.api.live_subscription import Event, Subscription
from backstay.plan.actor import Actor
from backstay.plan.dependency import Dependency
from backstay.plan.tree import GroupRoot, ListRoot
from backstay.store.altered import Altered, Onlooker
from backstay.store.changes import Marks
from backstay.store.engine import Engine, Found, as_bytes
from backstay.store.exact import answer_exactly
from backstay.store.sql import Statement
from backstay.telemetry.observation import Journal

PAUSE = 0.05
"""Seconds between two times that a view asks again, at the least."""
TIMED = 5.0
"""Seconds after which what alters by itself is asked again."""


class _Id(msgspec.Struct, frozen=True):
    id: Any


_id_of = msgspec.json.Decoder(_Id).decode


class Question:
    """One compiled question of one actor, with the values of its parameters."""

    def __init__(self, statement: Statement, values: Sequence[Any], actor: Actor, depends: Dependency) -> None:
        (root,) = statement.plan.roots
        assert not isinstance(root, GroupRoot)
        self.statement = statement
        self.values = values
        self.actor = actor
        self.depends = depends
        self.root = root
        self.bound: Sequence[Any] = ()

    def bind(self, engine: Engine) -> None:
        """Check the values. Raises `BadRequest`."""
        now = engine.clock()
        self.bound = [make(self.values, self.actor, now, ()) for make in self.statement.binders]

    @property
    def room(self) -> int | None:
        """How many rows are answered at the most; nothing for one record."""
        if not isinstance(self.root, ListRoot) or self.root.rows.limit is None:
            return None
        return int(self.bound[self.root.rows.limit.index]) - 1

    async def ask(self, engine: Engine) -> Found:
        """The answer as it is now. One round trip."""
        return (await engine.answer(self.statement, self.values, self.actor))[0]

    async def ask_exactly(self, engine: Engine) -> tuple[Found, Marks]:
        """The answer, and exactly which changes are in it. Three round trips."""
        return await answer_exactly(engine, self.statement, self.values, self.actor)


class LoggedView:
    """A near question that is told of from the change log."""

    def __init__(self, question: Question, feed: Feed) -> None:
        self.models = question.depends.models
        self.statement = question.statement
        self.onlooker = Onlooker(question.root, question.bound)
        self._feed = feed
        self._told: set[Subscription] = set()

    async def join(self, subscription: Subscription) -> None:
        """Tell a subscription what came behind its place, and from now on what comes."""
        while subscription.position < self._feed.position and not subscription.again:
            changes = await self._feed.behind(subscription.position)
            if not changes:
                break
            for change in changes:
                if change.model in self.models and change.action == "reset":
                    subscription.restart("written")
                elif change.model in self.models and change.action != "fact":
                    self._tell(subscription, self._feed.altered(change))
            subscription.position = max(subscription.position, changes[-1].position)
        if subscription.again or subscription.over:
            return
        if not self._told:
            self._feed.add(self)
        self._told.add(subscription)
        subscription.attach(lambda: self._leave(subscription))

    def _leave(self, subscription: Subscription) -> None:
        self._told.discard(subscription)
        if not self._told:
            self._feed.remove(self)

    def tell(self, altered: Altered) -> None:
        """A row was changed."""
        told = self.onlooker.told(altered)
        for subscription in list(self._told):
            if subscription.passes(altered.change):
                subscription.tell(told)

    def _tell(self, subscription: Subscription, altered: Altered) -> None:
        if subscription.passes(altered.change):
            subscription.tell(self.onlooker.told(altered))

    def restart(self, reason: str) -> None:
        """Nobody knows what happened."""
        for subscription in list(self._told):
            subscription.restart(reason)


class AskedView:
    """A question that is asked again; `near` ones after changes of rows that are looked at, others after any."""

    def __init__(self, question: Question, feed: Feed, engine: Engine, journal: Journal) -> None:
        self.models = question.depends.models
        self.statement = question.statement
        self._question = question
        self._feed = feed
        self._engine = engine
        self._journal = journal
        self._onlooker = Onlooker(question.root, question.bound) if question.depends.near else None
        self._told: set[Subscription] = set()
        self._rows: dict[Any, int] = {}
        self._digest = 0
        self._stale = asyncio.Event()
        self._asking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def join(self, subscription: Subscription) -> Found:
        """Ask now, and tell a subscription from now on what differs from this answer."""
        if not self._told and self._task is None:
            self._feed.add(self)
            self._task = asyncio.ensure_future(self._live())
        try:
            async with self._asking:
                found = await self._ask()
        except BaseException:
            self._rest()
            raise
        if subscription.over:
            self._rest()
            return found
        self._told.add(subscription)
        subscription.attach(lambda: self._leave(subscription))
        subscription.digest = f"{self._digest:032x}"
        return found

    def _leave(self, subscription: Subscription) -> None:
        self._told.discard(subscription)
        self._rest()

    def _rest(self) -> None:
        if not self._told and self._task is not None and not self._asking.locked():
            self._feed.remove(self)
            self._task.cancel()
            self._task = None

    def tell(self, altered: Altered) -> None:
        """A row was changed."""
        if self._onlooker is None or self._onlooker.concerned(altered):
            self._stale.set()

    def restart(self, reason: str) -> None:
        """Nobody knows what happened: it is asked again, and what differs is told."""
        self._stale.set()

    async def _live(self) -> None:
        timed = self._question.depends.timed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TIMED if timed else None):
                    await self._stale.wait()
            began = monotonic()
            try:
                async with self._asking:
                    await self._ask()
            except Exception as error:  # the database is away, or busy: what was missed is seen next time
                self._stale.set()
                self._journal.event("live_waits", error=type(error).__name__)
                await asyncio.sleep(1.0)
            self._rest()
            await asyncio.sleep(max(PAUSE, 2 * (monotonic() - began)))

    async def _ask(self) -> Found:
        """Run the statement, and tell everybody what differs from the last time."""
        self._stale.clear()
        found = await self._question.ask(self._engine)
        rows: dict[Any, tuple[int, bytes]] = {}
        for text in found.texts:
            body = as_bytes(text)
            rows[_id_of(body).id] = (_mark(body), body)
        gone = [key for key in self._rows if key not in rows]
        for key in gone:
            self._digest ^= self._rows.pop(key)
            self._push("delete", msgspec.json.encode({"id": key}))
        for key, (mark, body) in rows.items():
            if (known := self._rows.get(key)) != mark:
                self._digest ^= mark ^ (known or 0)
                self._rows[key] = mark
                self._push("create" if known is None else "update", body)
        return found

    def _push(self, name: Any, body: bytes) -> None:
        for subscription in list(self._told):
            subscription.digest = f"{self._digest:032x}"
            subscription.push(Event(name, body, subscription.id))


def _mark(body: bytes) -> int:
    return int.from_bytes(blake2b(body, digest_size=16).digest())
