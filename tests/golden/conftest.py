"""The shop on both databases, open as long as the golden questions are asked.

`pytest tests/golden --rewrite-golden` writes the files of all questions anew; nothing else ever does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from backstay import App
from backstay.plan.actor import SYSTEM, Actor
from backstay.settings import Settings
from backstay.store.transaction import Hooks, Transaction
from tests.golden.driver import Driver
from tests.golden.shop import NOW, PEOPLE, STAFF, key, make_app, rows
from tests.servers import Postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the files of the golden questions anew")


@pytest.fixture
def rewriting(request: pytest.FixtureRequest) -> bool:
    """Whether files are to be written; without the explicit flag never."""
    return bool(request.config.getoption("--rewrite-golden", default=False))


@dataclass
class Door:
    """The shop on one database: its front, what its driver was given, and a real token for everybody."""

    database: str
    app: App
    driver: Driver
    tokens: dict[str, str | None]
    actors: dict[str, Actor]


async def open_shop(database: str, url: str) -> Door:
    """A running shop with all its rows."""
    app = make_app()
    settings = Settings(database_url=url, secret_key="golden " * 8, log_level="error", connections=1)
    running = await app.start(settings, extend=True)
    running.engine.clock = lambda: NOW
    async with Transaction.begin(running.engine, SYSTEM, Hooks(), running.new_id) as tx:
        for row in rows():
            await tx.write(row)
        tokens: dict[str, str | None] = {"anonymous": None}
        actors = {"anonymous": Actor()}
        for name, number in PEOPLE.items():
            person = key("Customer", number)
            spelled = "staff" if name == "sam" else f"customer:{name}"
            pair = await running.accounts.gate.admit(tx, person)
            assert pair is not None
            tokens[spelled] = pair.access_token
            actors[spelled] = Actor(person, frozenset([STAFF] if spelled == "staff" else []))
    return Door(database, app, Driver(running.store.inner), tokens, actors)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def doors(tmp_path_factory: pytest.TempPathFactory, golden_postgres: str) -> AsyncIterator[list[Door]]:
    """The shop on SQLite and on PostgreSQL."""
    file = Path(tmp_path_factory.mktemp("golden")) / "shop.db"
    opened = [await open_shop("sqlite", f"sqlite:///{file}"), await open_shop("postgres", golden_postgres)]
    yield opened
    for door in opened:
        await door.app.stop()


@pytest.fixture(scope="session")
def golden_postgres(postgres: Postgres) -> Iterator[str]:
    """An empty database for the shop."""
    yield postgres.create("golden")
    postgres.drop("golden")
