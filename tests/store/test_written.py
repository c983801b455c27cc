"""What `create` and `update` give back is what is stored, without reading it again, and no statement is needless."""

import asyncio
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from annotated_types import Ge

from backstay.errors import Problem
from backstay.model.declare import Model
from backstay.model.rule import Many, computed, many
from backstay.model.value import BigInt, Digits, Json, Money, Secret
from backstay.plan.actor import SYSTEM
from backstay.store.record import taken
from backstay.store.transaction import Transaction
from tests.store.conftest import Build, House


class Tone(Enum):
    LOW = "low"
    HIGH = "high"


class Tag(Model):
    name: str


class Piece(Model):
    """A field of every kind."""

    title: str
    pin: Secret = ""
    size: int = 3
    grains: BigInt = 2**60
    weight: float = 2.0
    ratio: Annotated[Decimal, Digits(10, 2)] = Decimal("1.50")
    done: bool = True
    day: date = date(2026, 11, 22)
    hour: time = time(14, 30)
    moment: datetime | None = None
    span: timedelta = timedelta(hours=1, minutes=30)
    other: UUID | None = None
    tone: Tone = Tone.HIGH
    price: Money = Money(1250, "EUR")
    words: list[str] = ["a", "ä"]  # noqa: RUF012
    extra: Json = {"deep": [1, 2.5, None]}  # noqa: RUF012
    about: Tag | None = None
    tags: Many[Tag] = many(through=True)


class Shelf(Model):
    stock: Annotated[int, Ge(0)]


class Book(Model):
    shelf: Shelf


class Doubled(Model):
    size: int

    @computed
    def double(self) -> int:
        return self.size * 2


async def of(house: House, work: Any) -> Any:
    return await house.act(SYSTEM, work)


async def test_what_is_given_back_is_what_is_read(build: Build) -> None:
    house = await build(Tag, Piece)
    entity = house.engine.schema.entities["Piece"]

    async def work(tx: Transaction) -> None:
        tag = await tx.create(Tag(name="x"))
        for piece in (
            Piece(title="Ö", moment=datetime.fromisoformat("2026-11-22T09:30:00.123456+01:00"), about=tag,
                  other=UUID(int=5)),
            Piece(title="", pin="secret", weight=-0.0, tags=[tag]),
        ):  # fmt: skip
            made = await tx.create(piece)
            assert taken(entity, made) == taken(entity, await tx.get(Piece, made.id))
            changed = await tx.update(made, size=lambda p: p.size + 1, tone=Tone.LOW)
            assert (changed.size, changed.tone) == (4, Tone.LOW)
            assert taken(entity, changed) == taken(entity, await tx.get(Piece, made.id))
            assert not hasattr(made, "pin")

    await of(house, work)


async def test_what_a_hook_wrote_afterwards_is_in_it(build: Build) -> None:
    house = await build(Shelf)

    async def fill(tx: Transaction, shelf: Shelf) -> None:
        await tx.update(shelf, stock=7)

    house.hooks.add("after_create", "Shelf", fill)
    made = await of(house, lambda tx: tx.create(Shelf(stock=1)))
    assert made.stock == 7


async def test_what_is_computed_is_in_it(build: Build) -> None:
    house = await build(Doubled)
    made = await of(house, lambda tx: tx.create(Doubled(size=4)))
    assert made.double == 8
    assert (await of(house, lambda tx: tx.update(made, size=5))).double == 10


async def test_the_statements_of_a_sale(build: Build) -> None:
    """PostgreSQL finds, changes and keeps in one; on SQLite the changes are kept by one statement at the end."""
    house = await build(Shelf, Tag)
    kept = 0 if house.engine.store.dialect.logs_inside else 1
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=5)))

    async def said(work: Any) -> int:
        before = house.engine.store.statements
        await of(house, work)
        return house.engine.store.statements - before

    async def sell(tx: Transaction) -> None:
        await tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1)

    async def three(tx: Transaction) -> None:
        for name in "abc":
            await tx.create(Tag(name=name))

    await of(house, sell)  # compiled once
    assert await said(sell) == 1 + 2 * kept
    assert await said(three) == 3 + kept
    assert (await of(house, lambda tx: tx.get(Shelf, shelf.id))).stock == 3


async def test_a_guard_is_asked_of_the_row_that_is_held(build: Build) -> None:
    house = await build(Shelf)
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=1)))

    async def sell(tx: Transaction) -> None:
        await tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1)

    await of(house, sell)
    with pytest.raises(Problem) as refused:
        await of(house, sell)
    assert refused.value.code == "precondition_failed"
    with pytest.raises(Problem) as kept:
        await of(house, lambda tx: tx.delete(shelf, where=lambda s: s.stock >= 1))
    assert kept.value.code == "precondition_failed"


async def test_of_twenty_who_buy_at_once_five_get_one(build: Build) -> None:
    """A guard is asked of what the one before has left, and so is what the change log says was there."""
    house = await build(Shelf)
    await house.engine.changes.open()
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=5)))

    async def sell(tx: Transaction) -> int:
        return (await tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1)).stock

    sold = await asyncio.gather(*(of(house, sell) for _ in range(20)), return_exceptions=True)
    assert sorted(one for one in sold if isinstance(one, int)) == [0, 1, 2, 3, 4]
    assert [one.code for one in sold if isinstance(one, Problem)] == ["precondition_failed"] * 15
    await house.engine.store.settle()
    _, *changes = await house.engine.changes.after(0)
    assert [(c.version, msgspec.json.decode(c.old or b"")["stock"], msgspec.json.decode(c.new or b"")["stock"])
            for c in changes] == [(2, 5, 4), (3, 4, 3), (4, 3, 2), (5, 2, 1), (6, 1, 0)]  # fmt: skip


async def test_a_thousand_changes_are_kept_in_their_order(build: Build) -> None:
    """More than are kept together: nothing is lost between the statements that keep them."""
    house = await build(Shelf)
    await house.engine.changes.open()

    async def work(tx: Transaction) -> None:
        shelf = await tx.create(Shelf(stock=0))
        for _ in range(120):
            await tx.update(shelf, stock=lambda s: s.stock + 1)

    await of(house, work)
    await house.engine.store.settle()
    log = [change for change in await house.engine.changes.after(0) if change.model == "Shelf"]
    assert [change.version for change in log] == list(range(1, 122))
    assert all(later.old == earlier.new for earlier, later in pairwise(log))


async def test_two_buyers_of_the_last_piece(build: Build) -> None:
    """The second waits for the first and sees what it left behind."""
    house = await build(Shelf)
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=1)))

    async def buy() -> str:
        try:
            await of(house, lambda tx: tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1))
        except Problem as problem:
            return problem.code
        return "bought"

    assert sorted(await asyncio.gather(*[buy() for _ in range(8)])) == ["bought"] + ["precondition_failed"] * 7


async def test_two_who_refer_to_a_record_and_then_change_it(build: Build) -> None:
    """Each holds what it refers to by its foreign key, and neither stands in the way of the other for ever."""
    house = await build(Shelf, Book)
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=9)))
    both = asyncio.Barrier(2) if house.engine.store.dialect.logs_inside else None  # where two can be inside at once

    async def put(tx: Transaction) -> None:
        await tx.create(Book(shelf=shelf))
        if both is not None:
            await both.wait()
        await tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1)

    await asyncio.gather(of(house, put), of(house, put))
    assert (await of(house, lambda tx: tx.get(Shelf, shelf.id))).stock == 7


async def test_who_waited_works_with_what_is_there_now(build: Build) -> None:
    """No constraint is asked of what would have become of a row that is no more: there was none, and one came back."""
    house = await build(Shelf)
    shelf = await of(house, lambda tx: tx.create(Shelf(stock=0)))
    came, waits = asyncio.Event(), asyncio.Event()

    async def bring_back(tx: Transaction) -> None:
        await tx.update(shelf, stock=lambda s: s.stock + 1)
        came.set()
        if house.engine.store.dialect.logs_inside:  # where two can be inside at once
            await waits.wait()
            await asyncio.sleep(0.2)

    async def buy(tx: Transaction) -> None:
        waits.set()
        await tx.update(shelf, stock=lambda s: s.stock - 1, where=lambda s: s.stock >= 1)

    bringing = asyncio.create_task(of(house, bring_back))
    await came.wait()
    await of(house, buy)
    await bringing
    assert (await of(house, lambda tx: tx.get(Shelf, shelf.id))).stock == 0
