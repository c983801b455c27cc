"""The connections of one process to PostgreSQL: dialled, lent, given back, and replaced when the server was away.

Invariant: a connection that has ended, or still stands in a transaction, is lent to nobody; and nobody waits for a
database that is away: while it cannot be reached, who asks is told so at once, and one of them tries again after a
pause that grows from a twentieth of a second to a whole one.
"""

from __future__ import annotations

import asyncio
import socket  # noqa: TID251 - options of a line that the driver has opened
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import asyncpg

from backstay.errors import Unavailable
from backstay.store.postgres_failure import AWAY

LONGEST_LINE = 0.5
"""Seconds in line for a connection, after which somebody is refused who could have one now."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_GOODBYE = 2.0  # seconds that a server has to answer to the end of a connection
_ALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2), ("TCP_USER_TIMEOUT", 15_000))


class Connection:
    """A server connection with the statements it has prepared. `changed` is called where the tables have changed."""

    def __init__(self, raw: Any, changed: Callable[[], None]) -> None:
        self.raw = raw
        self._changed = changed
        self._prepared: dict[str, Any] = {}

    async def fetch(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a statement, prepared on first use, and again where its tables have changed since."""
        if (prepared := self._prepared.get(text)) is None:
            prepared = await self._prepare(text)
        try:
            rows: list[Any] = await prepared.fetch(*values)
        except asyncpg.InvalidCachedStatementError:
            self._changed()
            if self.raw.is_in_transaction():  # which is lost by the error
                raise
            rows = await (await self._prepare(text)).fetch(*values)
        return rows

    async def _prepare(self, text: str) -> Any:
        if len(self._prepared) >= 1000:
            self._prepared.clear()
        prepared = self._prepared[text] = await self.raw.prepare(text)
        return prepared

    def forget(self) -> None:
        """Prepare everything again."""
        self._prepared.clear()


class Pool:
    """At most `size` connections. `dial` makes one, or raises `Unavailable`.

    Who has stood in line for `LONGEST_LINE` when a connection is free is refused instead: many may come in one moment,
    before anybody has waited, and then their line would be as long as they are many.
    """

    def __init__(self, dial: Callable[[], Awaitable[Any]], size: int) -> None:
        self.all: list[Connection] = []
        self._dial = dial
        self._size = size
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[float, asyncio.Future[Connection | None]]] = deque()
        self._dialling = 0
        self._pause = 0.0
        self._not_before = 0.0
        self._why: BaseException | None = None

    @property
    def free(self) -> int:
        """How many connections nobody has."""
        return len(self._free)

    @property
    def busy(self) -> int:
        """How many are lent."""
        return len(self.all) - len(self._free)

    def waiting(self) -> float:
        """For how many seconds the first in line has waited for a connection."""
        return monotonic() - self._waiting[0][0] if self._waiting else 0.0

    async def take(self) -> Connection:
        """A connection that is nobody else's until it is given back. Raises `Unavailable` where there is none."""
        while True:
            while self._free:
                connection = self._free.pop()
                if not connection.raw.is_closed():
                    return connection
                self.all.remove(connection)
            if len(self.all) + self._dialling < self._size:
                return await self._open()
            future: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((monotonic(), future))
            try:
                given = await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._hand_on(future.result())
                raise
            if given is not None:
                return given  # else one has ended, and there is room for another

    def give(self, connection: Connection) -> None:
        """Give a connection back; one that has ended makes room for another."""
        if connection.raw.is_closed():
            if connection in self.all:  # nothing is, after `close`
                self.all.remove(connection)
            self._hand_on(None)
        else:
            self._hand_on(connection)

    def _hand_on(self, connection: Connection | None) -> None:
        while self._waiting:
            since, future = self._waiting.popleft()
            if future.done():
                continue
            if connection is not None and monotonic() - since > LONGEST_LINE:
                future.set_exception(Unavailable("The database is busy with others.", code="overloaded"))
                continue
            future.set_result(connection)
            return
        if connection is not None:
            self._free.append(connection)

    async def _open(self) -> Connection:
        self._dialling += 1
        try:
            if monotonic() < self._not_before:
                raise Unavailable(AWAY) from self._why
            raw = await self._dial()
        except BaseException as error:
            if isinstance(error, Unavailable) and monotonic() >= self._not_before:
                self._why = error.__cause__
                self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                self._not_before = monotonic() + self._pause
            self._dialling -= 1
            self._hand_on(None)
            raise
        self._dialling -= 1
        self._pause = 0.0
        connection = Connection(raw, self.forget)
        self.all.append(connection)
        return connection

    def forget(self) -> None:
        """Prepare every statement again: the tables have changed."""
        for connection in self.all:
            connection.forget()

    async def close(self) -> None:
        """End all connections, politely where the server answers."""
        for connection in self.all:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await connection.raw.close(timeout=_GOODBYE)
        self.all.clear()
        self._free.clear()


def keep_alive(raw: Any) -> None:
    """Let the system look whether the other end is still there: a machine that vanishes says no goodbye."""
    line = raw._transport.get_extra_info("socket")
    if line is None or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _ALIVE:
        if hasattr(socket, name):  # not everywhere
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
