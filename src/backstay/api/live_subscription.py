"""One subscription: what waits to be sent to one reader, bounded, and what was sent last.

Invariant: what a reader does not take is not kept beyond the limits: the rest is dropped, the reader is told to begin
anew, and the stream ends. Nothing here knows a protocol; what is given out are `Event`s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from backstay.api.live_place import Loose, Place, Places
from backstay.plan.limits import Limits
from backstay.store.altered import Told
from backstay.store.changes import Change

Name: TypeAlias = Literal["snapshot", "create", "update", "delete", "reset", "end", ""]
"""What an event is called; a heartbeat has no name."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a reader is told; `id` resumes behind it, and an empty one begins anew."""

    name: Name
    body: bytes = b""
    id: str | None = None


class Subscription:
    """What one reader of one question is told. `places` seal where it stands, `tell` counts what is told."""

    __slots__ = (
        "_bytes", "_leave", "_limits", "_over", "_tell", "_waiting", "_wake", "again", "catching", "count", "digest",
        "epoch", "loose", "places", "position", "room",
    )  # fmt: skip

    def __init__(self, places: Places, limits: Limits, tell: Callable[[str], None]) -> None:
        self.places = places
        self.epoch = ""
        self.position = 0
        self.count = 0
        self.room: int | None = None
        """How many rows may be in view before it is a window; nothing where there is no limit."""
        self.loose: set[Loose] = set()
        self.digest = ""
        self.again = ""
        """Why it is to begin anew; empty while it need not."""
        self.catching = False
        """Whether it is told what it has missed: of too much of that it is told to begin anew."""
        self._leave: Callable[[], None] | None = None
        self._limits = limits
        self._tell = tell
        self._waiting: deque[Event] = deque()
        self._bytes = 0
        self._over = False
        self._wake: asyncio.Future[None] | None = None

    @property
    def id(self) -> str:
        """The id of the event that brings a reader to where this stands."""
        loose = tuple(sorted(self.loose))
        return self.places.seal(Place(self.epoch, self.position, self.count, loose, self.digest))

    def begin(self) -> None:
        """Forget where it stood."""
        self.again = self.digest = ""
        self.catching = False
        self.stand(0, 0, frozenset())

    def stand(self, position: int, count: int, loose: frozenset[Loose]) -> None:
        """Stand at a place of the change log."""
        self.position, self.count, self.loose = position, count, set(loose)

    def attach(self, leave: Callable[[], None]) -> None:
        """It is told of changes from now on, until it calls `leave`."""
        self._leave = leave

    @property
    def attached(self) -> bool:
        """Whether it is told of changes."""
        return self._leave is not None

    def leave(self) -> None:
        """Be told of no more changes."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave()

    # From the log.

    def passes(self, change: Change) -> bool:
        """Whether a change is news; what is no news is passed over."""
        if change.position <= self.position:
            return False
        self.position = change.position
        if self.loose:
            known = (change.model, change.record, change.action, change.version)
            if known in self.loose:
                self.loose.discard(known)
                return False
        return True

    def tell(self, told: Told) -> None:
        """Tell one thing that became true of one row."""
        if told is None:
            return
        kind, body = told
        self.count += {"create": 1, "update": 0, "delete": -1}[kind]
        if self.room is not None and self.count > self.room:
            self.restart("window")
        else:
            self.push(Event(kind, body, self.id))

    # Out.

    def push(self, event: Event) -> None:
        """Let an event wait for its reader; where there is no room for it, the stream ends."""
        if self._over or self.again:
            return
        large = event.name == "snapshot"
        self._bytes += 0 if large else len(event.body)
        self._waiting.append(event)
        self._tell(event.name)
        if len(self._waiting) > self._limits.live_events or self._bytes > self._limits.live_bytes:
            if self.catching:
                self.restart("gap")
                return
            self._drop()
            self._waiting.append(Event("reset", b'{"reason":"too_slow"}', ""))
            self._tell("reset")
            self.finish()
        self._rouse()

    def restart(self, reason: str) -> None:
        """Begin anew: what waits is worth nothing any more."""
        if not self._over:
            self._drop()
            self.again = self.again or reason
            self.leave()
            self._rouse()

    def end(self, code: str, detail: str) -> None:
        """End the stream, and say why, behind what waits."""
        if not self._over:
            self._waiting.append(Event("end", b'{"code":"%s","detail":"%s"}' % (code.encode(), detail.encode())))
            self._tell("end")
            self.finish()

    def finish(self) -> None:
        """Nothing more comes behind what waits."""
        self._over = True
        self.leave()
        self._rouse()

    async def next(self, seconds: float) -> Event | None:
        """What comes next: a heartbeat after so many seconds, `None` where it is over or is to begin anew."""
        while not self._waiting:
            if self._over or self.again:
                return None
            self._wake = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake
            except TimeoutError:
                return Event("")
            finally:
                self._wake = None
        event = self._waiting.popleft()
        if event.name != "snapshot":
            self._bytes -= len(event.body)
        return event

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._over and not self._waiting

    def _drop(self) -> None:
        self._waiting.clear()
        self._bytes = 0

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
