"""Own code makes records inside records too; rules look when all of it stands, and nothing half made becomes true."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from annotated_types import Ge

from backstay.errors import Conflict, Denied, Invalid, Problem
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Many, Rules, anyone, current_user, many, new, on_delete, unique
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Create, Update
from backstay.store.transaction import Transaction
from tests.store.conftest import Build, House


class Box(Model):
    """It must hold something, and its weight is what the things in it weigh."""

    owner: User = current_user()
    name: str = ""
    open: bool = True
    weight: int = 0
    things: Many[Thing] = many()
    label: Label | None = None

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        held = self.things.sum(lambda thing: thing.weight)
        return Rules(
            read=anyone, create=mine & self.open & (self.weight == held), update=mine & (new(self.weight) == held),
        )  # fmt: skip


class Thing(Model):
    box: Annotated[Box, on_delete("cascade")]
    weight: Annotated[int, Ge(1)] = 1
    parts: Many[Part] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=self.box.owner == me, update=self.box.owner == me)


class Part(Model):
    thing: Annotated[Thing, on_delete("cascade")]
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=self.thing.box.owner == me)

    def indexes(self) -> list[Index]:
        return [unique(self.name)]


class Label(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


@pytest.fixture
async def house(build: Build) -> House:
    return await build(Box, Thing, Part, Label)


async def person(house: House, name: str = "ada") -> Actor:
    return Actor(await house.act(SYSTEM, lambda tx: tx.write(Create("User", {"email": f"{name}@example.com"}))))


async def counted(house: House) -> tuple[int, ...]:
    async def count(tx: Transaction) -> tuple[int, ...]:
        return tuple([await tx.count(model) for model in (Box, Thing, Part, Label)])

    found: tuple[int, ...] = await house.act(SYSTEM, count)
    return found


async def begun(house: House, actor: Actor, work: Any) -> Any:
    """Work in a transaction as an action has it."""
    async with Transaction.begin(house.engine, actor, house.hooks, house.new_id) as tx:
        return await work(tx)


async def test_own_code_makes_records_inside_records(house: House) -> None:
    ada = await person(house)

    async def work(tx: Transaction) -> Box:
        box = Box(weight=3, label=Label(text="fragile"))
        box.things = [Thing(box=box, weight=1), Thing(box=box, weight=2, parts=[])]
        box.things[1].parts = [Part(thing=box.things[1], name="lid")]
        return await tx.get(Box, (await tx.create(box)).id, expand=["things.parts", "label"])

    made = await house.act(ada, work)
    assert [thing.weight for thing in made.things] == [1, 2]
    assert ([part.name for part in made.things[1].parts], made.label.text) == (["lid"], "fragile")  # type: ignore[union-attr]
    assert await counted(house) == (1, 2, 1, 1)


async def test_a_stored_record_is_no_new_one(house: House) -> None:
    ada = await person(house)

    async def work(tx: Transaction) -> None:
        box = Box(weight=1)
        box.things = [Thing(box=box)]
        await tx.create(box)
        await tx.create(Box(things=await tx.find(Thing)))

    with pytest.raises(Invalid) as caught:
        await begun(house, ada, work)
    assert [(error.path, error.code) for error in caught.value.errors] == [("things.0", "wrong_type")]
    assert await counted(house) == (0, 0, 0, 0)


async def test_hooks_run_as_if_each_were_made_alone(house: House) -> None:
    """Before a record is written, and after it and all inside it are: then the hook of what is around it."""
    ada = await person(house)
    told: list[str] = []

    async def before(tx: Transaction, record: Any) -> None:
        told.append(f"before {type(record).__name__} {await counted_in(tx)}")
        if isinstance(record, Thing):
            record.weight += 1

    async def after(tx: Transaction, record: Any) -> None:
        told.append(f"after {type(record).__name__} {await counted_in(tx)}")
        if isinstance(record, Box):
            things = await tx.find(Thing, lambda thing: thing.box == record)
            await tx.update(record, weight=sum(thing.weight for thing in things))

    async def counted_in(tx: Transaction) -> str:
        return "".join([str(await tx.count(model)) for model in (Label, Box, Thing, Part)])

    for model in ("Box", "Thing", "Part", "Label"):
        house.hooks.add("before_create", model, before)
        house.hooks.add("after_create", model, after)
    body = {"label": {"text": "x"}, "things": [{"weight": 4, "parts": [{"name": "lid"}]}, {}]}
    key = await house.act(ada, lambda tx: tx.write(Create("Box", body)))
    assert told == [
        "before Label 0000", "after Label 1000", "before Box 1000", "before Thing 1100", "before Part 1110",
        "after Part 1111", "after Thing 1111", "before Thing 1111", "after Thing 1121", "after Box 1121",
    ]  # fmt: skip
    box = await house.act(SYSTEM, lambda tx: tx.get(Box, key))
    assert box.weight == 7  # which the rule about what is in it asks for


async def test_a_rule_is_asked_when_hooks_have_written_what_it_looks_at(house: House) -> None:
    ada = await person(house)

    async def fill(tx: Transaction, box: Box) -> None:
        await tx.create(Thing(box=box, weight=5))

    house.hooks.add("after_create", "Box", fill)
    await house.act(ada, lambda tx: tx.write(Create("Box", {"weight": 5})))
    with pytest.raises(Denied):
        await begun(house, ada, lambda tx: tx.write(Create("Box", {"weight": 4})))
    assert await counted(house) == (1, 1, 0, 0)


async def test_what_a_rule_says_of_the_row_alone_is_asked_before_own_code_goes_on(house: House) -> None:
    """A hook above the rules may close the box: its maker could not have made a closed one."""
    ada = await person(house)

    async def close(tx: Transaction, box: Box) -> None:
        await tx.as_system.update(box, open=False)

    house.hooks.add("after_create", "Box", close)
    key = await house.act(ada, lambda tx: tx.write(Create("Box", {})))
    assert not (await house.act(SYSTEM, lambda tx: tx.get(Box, key))).open
    with pytest.raises(Denied):
        await begun(house, ada, lambda tx: tx.write(Create("Box", {"open": False})))


async def test_a_rule_on_a_change_is_asked_at_the_end_of_it(house: House) -> None:
    ada = await person(house)
    key = await house.act(ada, lambda tx: tx.write(Create("Box", {"weight": 1, "things": [{}]})))

    async def follow(tx: Transaction, box: Box, before: Box) -> None:
        for thing in await tx.find(Thing, lambda thing: thing.box == box):
            await tx.update(thing, weight=max(box.weight, 1))

    with pytest.raises(Denied):
        await begun(house, ada, lambda tx: tx.write(Update("Box", key, {"weight": 6})))
    house.hooks.add("after_update", "Box", follow)
    await house.act(ada, lambda tx: tx.write(Update("Box", key, {"weight": 6})))
    with pytest.raises(Denied):
        await begun(house, ada, lambda tx: tx.write(Update("Box", key, {"weight": 0})))
    assert (await house.act(SYSTEM, lambda tx: tx.get(Box, key))).weight == 6


Failing = [
    ("the rule of a record", {"weight": 9}, Denied),
    ("the rule of a record around another", {"weight": 9, "things": [{}]}, Denied),
    ("a value that is taken, inside", {"weight": 1, "things": [{"parts": [{"name": "a"}, {"name": "a"}]}]}, Conflict),
    ("a hook of what is inside", {"weight": 13, "things": [{"weight": 13}]}, Conflict),
]  # fmt: skip


@pytest.mark.parametrize(("body", "problem"), [case[1:] for case in Failing], ids=[case[0] for case in Failing])
async def test_what_failed_halfway_is_undone_even_where_it_is_caught(
    house: House, body: dict[str, Any], problem: type[Problem]
) -> None:
    ada = await person(house)

    async def unlucky(tx: Transaction, thing: Thing) -> None:
        if thing.weight == 13:
            raise Conflict("Not thirteen.", code="unlucky")

    house.hooks.add("after_create", "Thing", unlucky)

    async def work(tx: Transaction) -> str:
        await tx.create(Label(text="x"))
        try:
            await tx.write(Create("Box", body))
        except problem:
            return "went on"
        raise AssertionError("it did not fail")

    with pytest.raises(problem):
        await begun(house, ada, work)
    assert await counted(house) == (0, 0, 0, 0)


async def test_a_change_or_an_end_that_was_refused_is_undone_even_where_it_is_caught(house: House) -> None:
    """The rule on the row after a change has seen the row written; what ends with a record ended before it was kept."""
    ada = await person(house)
    key = await house.act(ada, lambda tx: tx.write(Create("Box", {"weight": 1, "things": [{}]})))
    box: Box = await house.act(SYSTEM, lambda tx: tx.get(Box, key))

    async def keep(tx: Transaction, gone: Box) -> None:
        raise Denied("It stays.")

    house.hooks.add("after_delete", "Box", keep)

    async def change(tx: Transaction) -> None:
        await tx.update(box, weight=7)

    async def end(tx: Transaction) -> None:
        await tx.as_system.delete(box)

    for refused in (change, end):

        async def work(tx: Transaction, refused: Any = refused) -> None:
            await tx.create(Label(text="x"))
            with pytest.raises(Denied):
                await refused(tx)
            await tx.create(Label(text="y"))

        with pytest.raises(Denied):
            await begun(house, ada, work)
        assert (await house.act(SYSTEM, lambda tx: tx.get(Box, key))).weight == 1
        assert await counted(house) == (1, 1, 0, 0)


async def test_what_failed_before_anything_was_written_may_be_caught(house: House) -> None:
    ada = await person(house)

    async def work(tx: Transaction) -> None:
        await tx.create(Label(text="x"))
        for values in ({"weight": "x"}, {"things": [{"weight": 0}]}, {"label": house.new_id()}):
            with pytest.raises(Invalid):
                await tx.write(Create("Box", values))

    await begun(house, ada, work)
    assert await counted(house) == (0, 0, 0, 1)


async def test_a_hook_cannot_swallow_what_failed_halfway(house: House) -> None:
    ada = await person(house)

    async def careless(tx: Transaction, label: Label) -> None:
        try:
            await tx.create(Box(weight=9))
        except Denied:
            pass

    house.hooks.add("after_create", "Label", careless)
    with pytest.raises(Denied):
        await begun(house, ada, lambda tx: tx.create(Label(text="x")))
    assert await counted(house) == (0, 0, 0, 0)


async def test_a_nested_create_asks_each_rule_once(house: House) -> None:
    """One statement for each record, one for each rule on one, and those of the transaction."""
    ada = await person(house)
    body = {"weight": 3, "things": [{}, {}, {"parts": [{"name": "a"}]}]}
    await house.act(ada, lambda tx: tx.write(Create("Box", {**body, "things": [{}, {}, {}]})))
    before = house.engine.store.statements
    await house.act(ada, lambda tx: tx.write(Create("Box", body)))
    kept = 0 if house.engine.store.dialect.logs_inside else 1
    assert house.engine.store.statements - before - kept == 5 + 6
