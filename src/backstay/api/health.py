"""How this process is: alive, and ready for requests or not.

Invariant: what is asked of the database for it is asked at most once a second, however many ask, and why a process is
not ready is told to operators alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from backstay.api.http import JSON, Header, Request, Response, Router
from backstay.api.operators import Operators
from backstay.errors import Unavailable

_FRESH = 1.0  # seconds that what was found out stays true
_PATIENCE = 2.0  # seconds that each part has to answer
_NO_STORE: Header = (b"cache-control", b"no-store")

Look = Callable[[], Awaitable[None]]
"""Looks at one part, and raises where something is wrong with it."""


class Health:
    """The health of one process. `looked` is called whenever somebody asks whether it is ready."""

    def __init__(self, parts: dict[str, Look], operators: Operators) -> None:
        self.leaving = False
        """It answers, and will not for long: whoever shares requests out sends it no more."""
        self.looked: Callable[[], None] = lambda: None
        self._parts = parts
        self._operators = operators
        self._found: dict[str, str] = {}
        self._until = 0.0
        self._looking: asyncio.Task[None] | None = None

    def serve(self, router: Router) -> None:
        """Serve `/healthz` and `/readyz`."""
        router.add("/healthz", GET=self._healthz)
        router.add("/readyz", GET=self._readyz)

    async def _healthz(self, request: Request) -> Response:
        return Response(200, b'{"status":"ok"}', [JSON, _NO_STORE])

    async def _readyz(self, request: Request) -> Response:
        self.looked()
        if self.leaving:
            raise Unavailable("It is about to stop.", code="not_ready")
        found = await self.look()
        wrong = ", ".join(f"{part}: {said}" for part, said in found.items() if said != "ok")
        theirs = self._operators.allows(request)
        if wrong:
            raise Unavailable(f"{wrong}." if theirs else "", code="not_ready")
        checks = ",".join(f'"{part}":"ok"' for part in found) if theirs else ""
        body = f'{{"status":"ok","checks":{{{checks}}}}}' if checks else '{"status":"ok"}'
        return Response(200, body.encode(), [JSON, _NO_STORE])

    async def look(self) -> dict[str, str]:
        """How each part is, `ok` or what is wrong, as it was within the last second."""
        if monotonic() >= self._until:
            if self._looking is None:
                self._looking = asyncio.get_running_loop().create_task(self._look())
            await asyncio.shield(self._looking)
        return self._found

    async def _look(self) -> None:
        try:
            said = await asyncio.gather(*(_said(look) for look in self._parts.values()))
            self._found = dict(zip(self._parts, said, strict=True))
            self._until = monotonic() + _FRESH
        finally:
            self._looking = None


async def _said(look: Look) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            await look()
    except TimeoutError:
        return f"no answer within {_PATIENCE:.0f} seconds"
    except NotYet as why:
        return str(why)
    except Exception as error:
        return type(error).__name__
    return "ok"


class NotYet(Exception):
    """A part is not ready, for a reason that may be told."""
