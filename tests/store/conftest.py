"""A house to test in: an engine over SQLite or a real PostgreSQL, hooks, and a way to act as somebody."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from backstay.model.declare import Model
from backstay.model.schema import declare
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.identity import uuid7_maker
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore
from backstay.store.transaction import Hooks, Transaction

_numbers = count()


class House:
    """An application's data without its protocols."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.hooks = Hooks()
        self.new_id = uuid7_maker()

    async def act(self, actor: Actor, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """Do some work in one transaction as an actor."""
        async with Transaction.begin(self.engine, actor, self.hooks, self.new_id) as tx:
            return await work(tx)


Build = Callable[..., Awaitable[House]]


@pytest.fixture(params=["sqlite", "postgres"])
async def build(
    request: pytest.FixtureRequest, tmp_path: Any, postgres_database: Callable[[str], str]
) -> AsyncIterator[Build]:
    """`await build(Model, ...)` makes a house on each database in turn."""
    opened: list[Store] = []

    async def make(*models: type[Model]) -> House:
        store: Store
        if request.param == "sqlite":
            store = SQLiteStore(str(tmp_path / f"{next(_numbers)}.db"))
        else:
            store = PostgresStore(postgres_database(f"house{next(_numbers)}"))
        await store.open()
        opened.append(store)
        schema = declare(models)
        await store.extend(schema)
        return House(Engine(schema, store, Limits()))

    yield make
    for store in opened:
        await store.close()
