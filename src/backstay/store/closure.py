"""Maintenance mode: an application that is closed for a while says so to everybody, and those who work on it go in.

Invariant: it is one row in the database, so all processes of all machines close and open with it, within a second.
A process that cannot ask stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from backstay.errors import Unavailable
from backstay.store.changes import microseconds
from backstay.store.engine import Engine

LOOK = 0.5
"""Seconds between two looks whether it is closed."""
_LATER = 60
_LONGEST = 3_600


@dataclass(frozen=True, slots=True)
class Closed:
    """Why it is closed, until when (nothing: until somebody opens it), and which networks may come in all the same."""

    reason: str = ""
    until: datetime | None = None
    allowed: tuple[str, ...] = ()

    def admits(self, client: str) -> bool:
        """Whether this address may come in."""
        try:
            address = ip_address(client)
        except ValueError:
            return False
        return any(address in ip_network(network) for network in self.allowed)

    def problem(self, now: datetime) -> Unavailable:
        """What everybody else is told."""
        seconds = _LATER if self.until is None else int((self.until - now).total_seconds()) + 1
        later = min(max(seconds, 1), _LONGEST)
        return Unavailable(self.reason or "We are working on it.", code="maintenance", retry_after=later)


class Closure:
    """Whether the application is closed; one object a process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed: Closed | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def now(self) -> Closed | None:
        """How it is closed at this moment, as far as this process has looked; no round trip."""
        closed = self._closed
        if closed is not None and closed.until is not None and self._engine.clock() >= closed.until:
            return None
        return closed

    def refusal(self, client: str) -> Unavailable | None:
        """What a client is told, or nothing where it may come in."""
        closed = self.now
        return None if closed is None or closed.admits(client) else closed.problem(self._engine.clock())

    async def look(self) -> Closed | None:
        """Ask the database. One round trip."""
        rows = await self._engine.store.run('SELECT "number", "value" FROM "_state" WHERE "name" = \'closed\'', ())
        self._closed = _closed(rows[0]) if rows else None
        return self.now

    def start(self) -> None:
        """Look again and again, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except Exception:  # noqa: S112 - the database is away, which its own readers tell; this stays as it was
                continue

    async def close(self, reason: str = "", minutes: float | None = None, allowed: Sequence[str] = ()) -> Closed:
        """Close it: for some minutes, or until it is opened. Raises `ValueError` for what is no network."""
        until = None if minutes is None else self._engine.clock() + timedelta(minutes=minutes)
        networks = tuple(str(ip_network(network, strict=False)) for network in allowed)
        number = 0 if until is None else microseconds(until)
        value = msgspec.json.encode({"reason": reason, "allowed": networks}).decode()
        dialect = self._engine.store.dialect
        text = (
            'INSERT INTO "_state" ("name", "number", "value") '
            f"VALUES ('closed', {dialect.slot(0, 'bigint')}, {dialect.slot(1, 'text')}) "
            'ON CONFLICT ("name") DO UPDATE SET "number" = excluded."number", "value" = excluded."value"'
        )
        async with self._engine.store.transaction() as writing:
            await writing.run(text, (number, value))
        self._closed = Closed(reason, until, networks)
        return self._closed

    async def open(self) -> bool:
        """Open it; whether it was closed."""
        was = await self.look()
        async with self._engine.store.transaction() as writing:
            await writing.run('DELETE FROM "_state" WHERE "name" = \'closed\'', ())
        self._closed = None
        return was is not None


def _closed(row: Sequence[Any]) -> Closed:
    number, value = row
    told = msgspec.json.decode(value)
    until = datetime.fromtimestamp(int(number) / 1_000_000, UTC) if int(number) else None
    return Closed(told["reason"], until, tuple(told["allowed"]))
