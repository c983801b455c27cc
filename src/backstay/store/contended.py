"""Work that another transaction was in the way of, such as one side of a deadlock, is done again, a few times.

Invariant: it is done again only where the database has undone all of it for certain; whoever comes to the end of the
tries is told 503, and nothing was done for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from secrets import randbelow
from typing import TypeVar

from backstay.store.port import Contended

T = TypeVar("T")
TRIES = 4
_PAUSE = 0.01  # seconds at the most before the second try, twice as many before each later one


async def until_settled(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns; it is one whole transaction, and has no effect outside. Raises `Contended` after the last.

    The pauses are of chance, so that two who were in each other's way do not meet again.
    """
    for tried in range(TRIES - 1):
        try:
            return await work()
        except Contended:
            await asyncio.sleep(_PAUSE * 2**tried * randbelow(1_000) / 1_000)
    return await work()
