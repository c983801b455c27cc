"""Positions on PostgreSQL: whoever draws first may commit last, and no reader misses or repeats anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from backstay.model.declare import Model
from backstay.model.schema import declare
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Update
from backstay.plan.limits import Limits
from backstay.store.changes import Change
from backstay.store.engine import Engine
from backstay.store.postgres import PostgresStore
from backstay.store.transaction import Transaction
from tests.store.conftest import House


class Count(Model):
    name: str
    number: int = 0


@pytest.fixture
async def houses(postgres_database: Callable[[str], str]) -> AsyncIterator[list[House]]:
    """Two processes' worth of the same data."""
    url = postgres_database("sequencer")
    made = []
    for _ in range(2):
        store = PostgresStore(url)
        await store.open()
        schema = declare([Count])
        await store.extend(schema)
        house = House(Engine(schema, store, Limits()))
        await house.engine.changes.open()
        made.append(house)
    yield made
    for house in made:
        await house.engine.store.close()


def begin(house: House) -> Any:
    return Transaction.begin(house.engine, SYSTEM, house.hooks, house.new_id)


class Reader:
    """Reads on from where it came to, and remembers what it was given."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.position = 0
        self.seen: list[str] = []

    async def read(self) -> list[str]:
        """The names that are new."""
        await self.house.engine.store.settle()
        changes = await self.house.engine.changes.after(self.position)
        self.position = changes[-1].position if changes else self.position
        new = [name_of(change) for change in changes]
        self.seen += new
        return new


def name_of(change: Change) -> str:
    assert change.new is not None
    return change.new.partition(b'"name":"')[2].partition(b'"')[0].decode()


async def by_numbers(house: House, behind: int) -> list[tuple[int, str]]:
    """Planted: what a reader is given that goes by the numbers of the sequence."""
    rows = await house.engine.store.run(
        'SELECT "id", "new" FROM "_changes" WHERE "id" > $1::bigint ORDER BY "id"', (behind,)
    )
    return [(row[0], row[1].partition(b'"name":"')[2].partition(b'"')[0].decode()) for row in rows]


async def test_who_draws_first_and_commits_last_is_read_once(houses: list[House]) -> None:
    """Three writers, of which the first one to draw a number commits last; and one more is open all the time."""
    house, reader = houses[0], Reader(houses[1])
    naive: list[str] = []
    behind = 0
    async with begin(houses[1]) as longest:
        await longest.write(Create("Count", {"name": "longest"}))
        async with begin(house) as slow:
            await slow.write(Create("Count", {"name": "slow"}))
            async with begin(houses[1]) as quick:
                await quick.write(Create("Count", {"name": "quick"}))
            assert await reader.read() == ["quick"]
            for number, name in await by_numbers(house, behind):
                behind, naive = number, [*naive, name]
        assert await reader.read() == ["slow"]
    assert await reader.read() == ["longest"]
    assert await reader.read() == []
    naive += [name for _, name in await by_numbers(house, behind)]
    assert naive == ["quick"]  # a reader that goes by numbers has lost the two that were drawn before


async def test_changes_of_one_transaction_stay_together_and_those_of_one_record_in_order(houses: list[House]) -> None:
    first, second, reader = houses[0], houses[1], Reader(houses[1])
    async with begin(first) as tx:
        shared = await tx.write(Create("Count", {"name": "shared"}))
    await reader.read()

    async def other() -> None:
        async with begin(second) as tx:
            await tx.write(Create("Count", {"name": "b1"}))
            await tx.write(Update("Count", shared, {"name": "b2"}))  # waits for the one below
            await tx.write(Create("Count", {"name": "b3"}))

    async with begin(first) as tx:
        await tx.write(Create("Count", {"name": "a1"}))
        await tx.write(Update("Count", shared, {"name": "a2"}))
        waiting = asyncio.ensure_future(other())
        while not await waits(first):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await tx.write(Create("Count", {"name": "a3"}))
    await waiting
    assert await reader.read() == ["a1", "a2", "a3", "b1", "b2", "b3"]


async def waits(house: House) -> bool:
    """Whether a connection waits for a row."""
    rows = await house.engine.store.run(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", ()
    )
    return bool(rows[0][0])


async def test_the_elected_one_numbers_for_all_and_another_takes_over(houses: list[House]) -> None:
    first, second = houses
    for house in houses:
        house.engine.store.listen()
    reader = Reader(second)

    async def arrives(name: str, house: House) -> None:
        rung = second.engine.store.bell.rings
        async with begin(house) as tx:
            await tx.write(Create("Count", {"name": name}))
        for _ in range(100):
            changes = await second.engine.changes.after(reader.position)
            if changes:
                break
            await second.engine.store.bell.wait(rung, 1)
            rung = second.engine.store.bell.rings
        reader.position = changes[-1].position
        assert [name_of(change) for change in changes] == [name]

    await arrives("by the first", first)
    await arrives("by the second", second)
    await first.engine.store.close()  # whichever was elected: one of the two is left
    await arrives("with one alone", second)
    await arrives("and again", second)


async def test_a_batch_that_is_larger_than_a_stamp_is_numbered_in_order(
    houses: list[House], monkeypatch: pytest.MonkeyPatch
) -> None:
    from backstay.store import sequencer

    monkeypatch.setattr(sequencer, "STAMP", sequencer.STAMP.replace("LIMIT 5000", "LIMIT 3"))
    house, reader = houses[0], Reader(houses[1])
    async with begin(house) as tx:
        for at in range(10):
            await tx.write(Create("Count", {"name": str(at)}))
    assert await reader.read() == [str(at) for at in range(10)]
    assert reader.position == 10
