"""The outbox: own code is told of facts after they are true, from the change log.

Invariant: a reaction is told of every fact behind the position where it began, at least once, and of those of one
record in their order. Nothing is remembered here: where each reaction stands is in the database, so another process
goes on where this one stopped. A reaction that keeps failing is given up on and stays visible, never only in a log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from backstay.model.fact import Fact, UpdateFact
from backstay.store.changes import Change
from backstay.store.context import Context
from backstay.store.engine import Engine
from backstay.store.positions import Delivery, Lapsed, Positions, Turn, retry_after
from backstay.store.record import load
from backstay.store.sealing import opened_json
from backstay.telemetry.observation import Journal

TURN = 30.0  # seconds that a process reads for a reaction without saying so again
_REST = 1.0  # seconds after which it looks without having been told
_PAGE = 200
_ACTIONS = {"created": "create", "updated": "update", "deleted": "delete"}


@dataclass(frozen=True, slots=True)
class Reaction:
    """A function of own code, and the fact that it is told of; `name` is what its place in the log goes by."""

    fact: Fact[Any] | UpdateFact[Any]
    function: Callable[..., Awaitable[None]]
    name: str

    def concerns(self, change: Change) -> bool:
        """Whether this change is the fact."""
        if change.model != self.fact.model.__name__:
            return False
        if change.action == "fact":
            return change.fact == self.fact.name
        return change.action == _ACTIONS.get(self.fact.name)


class Outbox:
    """Tells the reactions of one application. One object a process; several processes take turns."""

    def __init__(
        self, engine: Engine, reactions: Sequence[Reaction], context: Callable[[], Context], journal: Journal
    ) -> None:
        self.positions = Positions(engine)
        self._engine = engine
        self._reactions = reactions
        self._context = context
        self._journal = journal
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Remember where new reactions begin: they are told of what happens from now on."""
        if self._reactions:
            await self._engine.store.settle()
            head = await self._engine.changes.head()
            for reaction in self._reactions:
                await self.positions.add(reaction.name, head)

    def start(self) -> None:
        """Tell reactions of facts as they come, until `stop`."""
        self._stopping = None
        self._tasks = [asyncio.get_running_loop().create_task(self._live(reaction)) for reaction in self._reactions]

    def names(self) -> list[str]:
        """What the reactions are called."""
        return [reaction.name for reaction in self._reactions]

    def ended(self) -> str:
        """A reaction that is told nothing more, though nobody stopped it; empty where there is none."""
        for reaction, task in zip(self._reactions, self._tasks, strict=False):
            if task.done():
                return reaction.name
        return ""

    async def stop(self) -> None:
        """Finish what a reaction is doing, and begin nothing more; who calls it again waits for the same end."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    async def drain(self) -> int:
        """Tell everything there is to tell by now, what reactions themselves cause included; how much that was."""
        told = 0
        while True:
            await self._engine.store.settle()
            round_ = sum([await self._turn(reaction) for reaction in self._reactions])
            told += round_
            if not round_:
                return told

    async def _live(self, reaction: Reaction) -> None:
        while True:
            rung = self._engine.store.bell.rings
            try:
                told = await self._turn(reaction)
            except Exception as error:  # the database is away; what was told and not kept is told again
                self._journal.event("reactions_wait", reaction=reaction.name, error=type(error).__name__)
                told = 0
                await asyncio.sleep(_REST)
            if not told:
                await self._engine.store.bell.wait(rung, _REST)

    async def _turn(self, reaction: Reaction) -> int:
        """Tell a reaction what is there for it, as far as nobody else does; returns how many facts it was told."""
        turn = await self.positions.take(reaction.name, TURN) if await self._anything(reaction) else None
        if turn is None:
            return 0
        told = 0
        try:
            told += await self._again(reaction, turn)
            while changes := await self._engine.changes.after(turn.position, _PAGE):
                turn, count = await self._tell_all(reaction, turn, changes)
                told += count
        except Lapsed:
            return told
        finally:
            with suppress(Exception):
                await asyncio.shield(self.positions.leave(turn))
        return told

    async def _anything(self, reaction: Reaction) -> bool:
        """Whether there is something behind the place of a reaction; a look that takes nobody's turn."""
        place = await self.positions.place(reaction.name)
        return bool(await self._engine.changes.after(place, 1)) or bool(await self.positions.due(reaction.name, 1))

    async def _tell_all(self, reaction: Reaction, turn: Turn, changes: Sequence[Change]) -> tuple[Turn, int]:
        """Tell the facts among some changes, and go on behind each that was told."""
        told = 0
        waiting = await self.positions.waiting(reaction.name)
        for change in changes:
            if not reaction.concerns(change):
                continue
            told += 1
            failed: list[Delivery] = []
            delivery = Delivery(reaction.name, change.position, change.record, 0, "")
            if change.record in waiting:
                failed = [delivery]
            elif error := await self._tell(reaction, change, turn):
                failed = [replace(delivery, attempts=1, error=error)]
                waiting |= {change.record}
            turn = await self.positions.advance(turn, change.position, TURN, failed)
        if turn.position != changes[-1].position:
            turn = await self.positions.advance(turn, changes[-1].position, TURN)
        return turn, told

    async def _again(self, reaction: Reaction, turn: Turn) -> int:
        """Tell what failed before and is due."""
        told = 0
        for delivery in await self.positions.due(reaction.name):
            change = await self.positions.change(delivery.position)
            error = await self._tell(reaction, change, turn) if change is not None else ""
            told += 1
            if not error:
                await self.positions.settle(turn, delivery, TURN, done=True)
                continue
            failed = replace(delivery, attempts=delivery.attempts + 1, error=error)
            await self.positions.settle(turn, failed, TURN, done=False)
            if retry_after(failed.attempts) is None:
                self._journal.event(
                    "reaction_given_up", reaction=reaction.name, record=delivery.record,
                    position=delivery.position, error=error,
                )  # fmt: skip
        return told

    async def _call(self, reaction: Reaction, change: Change) -> None:
        await reaction.function(self._context(), *records_of(change, self._engine))

    async def _tell(self, reaction: Reaction, change: Change, turn: Turn) -> str:
        """Tell one fact, and keep the turn while that takes; what went wrong, or nothing. Raises `Lapsed`."""
        telling = asyncio.ensure_future(self._call(reaction, change))
        try:
            while not (await asyncio.wait({telling}, timeout=TURN / 3))[0]:
                await self.positions.advance(turn, turn.position, TURN)
        except Lapsed:
            telling.cancel()
            raise
        except asyncio.CancelledError:  # what was begun is finished; whether it was told is kept by whoever comes next
            await asyncio.wait({telling})
            raise
        if (error := telling.exception()) is None:
            return ""
        said = f"{type(error).__name__}: {error}"[:500]
        self._journal.event("reaction_failed", reaction=reaction.name, record=change.record, error=said)
        return said


def records_of(change: Change, engine: Engine) -> list[Any]:
    """The record of a change as it was told of, and for an update as it was before."""
    entity = engine.schema.entities[change.model]
    texts = {"update": (change.new, change.old), "delete": (change.old,)}.get(change.action, (change.new,))
    raw = [msgspec.json.decode(text) for text in texts if text is not None]
    return [load(entity, opened_json(engine.keys, entity, change.record, one)) for one in raw]
