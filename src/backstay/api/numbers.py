"""`/metrics`: the numbers of all processes of this server, for operators.

Invariant: whoever is no operator is told that nothing is served here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from backstay.api.http import Front, Header, Request, Response, Router
from backstay.api.live import Live
from backstay.api.operators import Operators
from backstay.auth.account import Accounts
from backstay.errors import NotFound
from backstay.jobs.outbox import Outbox
from backstay.store.engine import Engine
from backstay.telemetry.log import Log
from backstay.telemetry.metrics import Metrics, Value, exposition

_EVERY = 1.0  # seconds between two times that a process leaves what it has
_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
    (b"cache-control", b"no-store"),
)


class Numbers:
    """The numbers of one process, and the page of them all."""

    def __init__(
        self, metrics: Metrics, operators: Operators, engine: Engine, outbox: Outbox, log: Log, live: Live,
        accounts: Accounts | None,
    ) -> None:  # fmt: skip
        self.metrics = metrics
        self.front: Front
        self._operators = operators
        self._engine = engine
        self._outbox = outbox
        self._log = log
        self._live = live
        self._accounts = accounts
        self._sharing: asyncio.Task[None] | None = None

    def serve(self, router: Router) -> None:
        """Serve `/metrics`."""
        router.add("/metrics", GET=self._page)

    def start(self) -> None:
        """Leave what this process has where the others find it, from now on."""
        if self.metrics.folder is not None:
            self._sharing = asyncio.get_running_loop().create_task(self._share())

    async def stop(self) -> None:
        """Leave it a last time."""
        if self._sharing is not None:
            self._sharing.cancel()
            with suppress(asyncio.CancelledError):
                await self._sharing
            with suppress(OSError):
                self.metrics.share(self.here())

    async def _share(self) -> None:
        while True:
            with suppress(OSError):  # a full disk is no reason to stop
                self.metrics.share(self.here())
            await asyncio.sleep(_EVERY)

    def here(self) -> list[Value]:
        """What is known in this process."""
        shedding, store = self.front.shedding, self._engine.store
        found = [
            *self.metrics.counted(),
            Value("backstay_requests_in_flight", (), shedding.inside),
            Value("backstay_requests_shed_total", (), shedding.refused),
            Value("backstay_queue_seconds", (), store.waiting()),
            *(Value("backstay_events_total", (event,), count) for event, count in self._log.counts.items()),
        ]
        found.append(Value("backstay_live_streams", (), self._live.streams))
        found += [Value("backstay_live_events_total", (event,), count) for event, count in self._live.sent.items()]
        if (sizes := getattr(store, "commit_sizes", None)) is not None:
            found.append(sizes.value("backstay_commit_group_size"))
        if (connections := getattr(store, "connections", None)) is not None:
            busy, free = connections()
            found += [Value("backstay_connections", ("busy",), busy), Value("backstay_connections", ("free",), free)]
        return found

    async def _page(self, request: Request) -> Response:
        if not self._operators.allows(request):
            raise NotFound("Nothing is served here.")
        values = self.metrics.together(self.here())
        with suppress(Exception):  # a database that is away is no reason to say nothing at all
            async with asyncio.timeout(2):
                values += await self._stored()
        with suppress(Exception):  # a minute for many sessions is no reason to leave the rest out
            async with asyncio.timeout(2):
                if self._accounts is not None:
                    values.append(Value("backstay_sessions", (), await self._accounts.sessions.alive()))
        return Response(200, exposition(values), _HEADERS)

    async def _stored(self) -> list[Value]:
        """What is known to the database, which is the same for all processes."""
        head, positions = await self._engine.changes.head(), self._outbox.positions
        found = [
            Value("backstay_changes_head", (), head),
            Value("backstay_reactions_given_up", (), len(await positions.given_up())),
        ]
        for name in self._outbox.names():
            found.append(Value("backstay_reaction_lag", (name,), max(head - await positions.place(name), 0)))
        return found
