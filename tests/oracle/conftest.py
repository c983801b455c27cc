"""One PostgreSQL database for all worlds, each in a namespace of its own that goes with it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.servers import Postgres

Namespaces = Callable[[str], Awaitable[str]]


@pytest.fixture
async def namespace(postgres: Postgres) -> AsyncIterator[Namespaces]:
    """`await namespace("world")` makes an empty namespace and returns the address that leads into it."""
    made: list[str] = []
    connection = await asyncpg.connect(postgres.url())

    async def make(name: str) -> str:
        await connection.execute(f'CREATE SCHEMA "{name}"')
        made.append(name)
        return f"{postgres.url()}&search_path={name}"

    yield make
    for name in made:
        await connection.execute("SET client_min_messages = error")
        await connection.execute(f'DROP SCHEMA "{name}" CASCADE')
    await connection.close()
