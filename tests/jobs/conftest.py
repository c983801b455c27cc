"""Applications with jobs, on SQLite in a file and in memory, and on PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest

from backstay import App
from backstay.testing import Trial

_numbers = count()
Open = Callable[[App], Awaitable[Trial]]


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def opened(
    request: pytest.FixtureRequest, tmp_path: Any, postgres_database: Callable[[str], str]
) -> AsyncIterator[Open]:
    """`await opened(app)` is a trial of an application, on each database in turn."""
    async with AsyncExitStack() as stack:

        async def make(app: App) -> Trial:
            number = next(_numbers)
            databases = {"sqlite": f"sqlite:///{tmp_path}/{number}.db", "memory": "sqlite://"}
            database = databases.get(request.param) or postgres_database(f"jobs{number}")
            return await stack.enter_async_context(Trial(app, database))

        yield make
