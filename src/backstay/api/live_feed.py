"""The one reader of the change log in a process, which tells every view what concerns it.

Invariant: a view that was put in at a position is told every change behind it, in order, once. The reader holds nothing
while nobody looks, and whatever one view raises harms no other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from backstay.store.altered import Altered
from backstay.store.changes import Change
from backstay.store.engine import Engine
from backstay.telemetry.observation import Journal

_PAGE = 500
_REST = 1.0  # seconds after which it looks without having been told


class View(Protocol):
    """Whoever is told of changes."""

    models: frozenset[str]

    def tell(self, altered: Altered) -> None:
        """A row of one of the models was changed."""
        ...

    def restart(self, reason: str) -> None:
        """Nobody knows what happened: begin anew."""
        ...


class Feed:
    """Reads for one process. `position` is how far all views have been told."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.position = 0
        self.epoch = ""
        self._engine = engine
        self._journal = journal
        self._views: dict[str, set[View]] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        """Read from now on; whoever asks again waits for the same beginning."""
        if self._begun is None:
            self._begun = asyncio.ensure_future(self._begin())
        try:
            await asyncio.shield(self._begun)
        except BaseException:
            if self._begun.done():
                self._begun = None
            raise
        if not self._views:  # what nobody was told of meanwhile, nobody waits for
            head = await self._engine.changes.head()
            if not self._views:
                self.position = max(self.position, head)

    async def _begin(self) -> None:
        changes = self._engine.changes
        self.epoch = await changes.epoch_now()
        self.position = await changes.head()
        self._task = asyncio.ensure_future(self._live())

    async def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._task = self._begun = None

    def add(self, view: View) -> None:
        """Tell a view from now on."""
        for model in view.models:
            self._views.setdefault(model, set()).add(view)

    def remove(self, view: View) -> None:
        """Tell a view no more."""
        for model in view.models:
            if (views := self._views.get(model)) is not None:
                views.discard(view)
                if not views:
                    del self._views[model]

    async def behind(self, position: int) -> list[Change]:
        """Some changes behind a position, in order."""
        return await self._engine.changes.after(position, _PAGE)

    def altered(self, change: Change) -> Altered:
        """A change with its rows."""
        return Altered(change, self._engine.schema, self._engine.keys)

    async def _live(self) -> None:
        bell = self._engine.store.bell
        while True:
            rung = bell.rings
            try:
                more = await self._look()
            except Exception as error:  # the database is away; what happens meanwhile is read when it is back
                self._journal.event("live_waits", error=type(error).__name__)
                await asyncio.sleep(_REST)
                continue
            if not more:
                await bell.wait(rung, _REST)
                if bell.rings == rung and self._views:
                    with suppress(Exception):
                        await self._look_at_epoch()

    async def _look(self) -> bool:
        if not self._views:
            return False
        changes = await self.behind(self.position)
        if not changes:
            return False
        if changes[0].position > self.position + 1 and await self._engine.changes.begins_behind() > self.position:
            self._restart("forgotten")
        for change in changes:
            self._tell(change)
        self.position = changes[-1].position
        return True

    async def _look_at_epoch(self) -> None:
        epoch = await self._engine.changes.epoch_now()
        if epoch != self.epoch:
            self.epoch, self.position = epoch, await self._engine.changes.head()
            self._restart("epoch")

    def _restart(self, reason: str) -> None:
        for view in {view for views in self._views.values() for view in views}:
            view.restart(reason)

    def _tell(self, change: Change) -> None:
        views = self._views.get(change.model)
        if not views or change.action == "fact":
            return
        altered = self.altered(change)
        for view in list(views):
            try:
                if change.action == "reset":
                    view.restart("written")
                else:
                    view.tell(altered)
            except Exception as error:
                self._journal.event("live_failed", error=type(error).__name__)
                view.restart("failed")
