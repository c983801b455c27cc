"""The line for a connection is short: who stood in it for too long is refused when one is free, others are served."""

import asyncio
from typing import Any

import pytest

from backstay.errors import Unavailable
from backstay.store import postgres_pool
from backstay.store.postgres_pool import Pool


class Line:
    """A connection that says nothing."""

    def is_closed(self) -> bool:
        return False


async def dial() -> Any:
    return Line()


async def test_who_waited_too_long_is_refused_and_who_came_late_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(postgres_pool, "monotonic", lambda: now[0])
    pool = Pool(dial, 1)
    first = await pool.take()
    early = [asyncio.create_task(pool.take()) for _ in range(300)]  # in one moment: nobody has waited yet
    await asyncio.sleep(0)
    now[0] = 0.4
    late = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.give(first)
    assert await early[0] is first  # within its time
    now[0] = 0.6
    pool.give(first)
    assert await late is first
    refused = await asyncio.gather(*early[1:], return_exceptions=True)
    assert {type(one) for one in refused} == {Unavailable}
    assert {one.code for one in refused if isinstance(one, Unavailable)} == {"overloaded"}
    pool.give(first)
    assert await pool.take() is first
