"""Every write is in the change log: folded from its beginning, the log gives the tables as they stand."""

import random
from typing import Annotated, Any

import msgspec
import pytest
from annotated_types import Ge

from backstay.errors import Conflict, Problem
from backstay.model.declare import Model, User
from backstay.model.rule import Many, many, on_delete
from backstay.model.value import Money, Secret
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Delete, Update
from backstay.store.changes import Change
from backstay.store.rows import FOLLOWERS
from backstay.store.transaction import Transaction
from backstay.store.writer import Writer
from tests.store.conftest import Build, House


class Shelf(Model):
    name: str
    inside: Annotated["Shelf | None", on_delete("cascade")] = None


class Label(Model):
    name: str


class Book(Model):
    title: str
    shelf: Annotated[Shelf, on_delete("cascade")]
    lent_to: Annotated["Reader | None", on_delete("set_null")] = None
    price: Money | None = None
    stock: Annotated[int, Ge(0)] = 0
    note: Secret = ""
    labels: Many[Label] = many(through=True)


class Page(Model):
    book: Annotated[Book, on_delete("cascade")]
    text: str


class Reader(Model):
    name: str


MODELS = (Shelf, Label, Book, Page, Reader)


async def library(build: Build) -> House:
    house = await build(*MODELS)
    await house.engine.changes.open()
    return house


async def log_of(house: House, position: int = 0) -> list[Change]:
    await house.engine.store.settle()
    found = []
    while page := await house.engine.changes.after(position, 7):
        found += page
        position = page[-1].position
    return found


async def write(house: House, *asks: Any) -> list[str]:
    async def work(tx: Transaction) -> list[str]:
        return [await tx.write(ask) for ask in asks]

    keys: list[str] = await house.act(SYSTEM, work)
    return keys


def folded(changes: list[Change]) -> dict[str, dict[str, Any]]:
    """The records that there are after these changes, by model and id; each change fits the one before it."""
    there: dict[str, dict[str, Any]] = {}
    for change in changes:
        name = f"{change.model} {change.record}"
        old = msgspec.json.decode(change.old) if change.old is not None else None
        new = msgspec.json.decode(change.new) if change.new is not None else None
        assert there.get(name, {}).get("record") == old, name
        if change.action == "delete":
            assert there.pop(name)["version"] == change.version
        else:
            assert change.version == there.get(name, {"version": 0})["version"] + 1
            there[name] = {"record": new, "version": change.version}
    return there


async def stored(house: House) -> dict[str, dict[str, Any]]:
    """The records that there are, by model and id."""
    there = {}
    for entity in house.engine.schema.entities.values():
        if not entity.logged:
            continue
        rows = await house.engine.store.run(f'SELECT CAST("id" AS text), "_version" FROM "{entity.table}"', ())
        for raw, version in rows:
            key = raw.decode() if isinstance(raw, bytes) else raw
            check = house.engine.stored(entity)
            async with house.engine.store.transaction() as writing:
                (row,) = await writing.run(check.text, check.values((key,), SYSTEM, house.engine.clock()))
            there[f"{entity.name} {key}"] = {"record": msgspec.json.decode(row[1]), "version": version}
    return there


async def test_each_kind_of_write_is_kept_with_the_row_before_and_after(build: Build) -> None:
    house = await library(build)
    (shelf,) = await write(house, Create("Shelf", {"name": "A"}))
    (book,) = await write(house, Create("Book", {"title": "Tea", "shelf": shelf, "note": "hush"}))
    await write(house, Update("Book", book, {"title": "Teas"}))
    await write(house, Delete("Book", book))
    made, created, changed, deleted = await log_of(house)
    assert [c.action for c in (made, created, changed, deleted)] == ["create", "create", "update", "delete"]
    assert [c.version for c in (created, changed, deleted)] == [1, 2, 2]
    assert (created.old, deleted.new) == (None, None)
    assert (changed.old, changed.new) == (created.new, deleted.old)
    assert created.new is not None
    assert changed.new is not None
    assert msgspec.json.decode(created.new)["title"] == "Tea"
    assert msgspec.json.decode(changed.new)["title"] == "Teas"
    assert {c.record for c in (created, changed, deleted)} == {book}
    assert b"hush" not in b"".join(c.new or b"" for c in (created, changed))
    assert [c.position for c in (made, created, changed, deleted)] == sorted({c.position for c in await log_of(house)})


async def test_what_is_undone_is_not_kept(build: Build) -> None:
    house = await library(build)

    async def fail(tx: Transaction) -> None:
        await tx.write(Create("Label", {"name": "x"}))
        raise Conflict("no")

    with pytest.raises(Conflict):
        await house.act(SYSTEM, fail)
    await write(house, Create("Label", {"name": "y"}))
    (only,) = await log_of(house)
    assert only.new is not None
    assert msgspec.json.decode(only.new)["name"] == "y"


async def test_what_goes_with_a_record_is_kept_too(build: Build) -> None:
    """Rows that the database would delete or let go in silence have their changes, in pages and round in circles."""
    house = await library(build)
    many_pages = FOLLOWERS + 2
    outer, reader, label = await write(
        house, Create("Shelf", {"name": "outer"}), Create("Reader", {"name": "Ada"}), Create("Label", {"name": "l"})
    )
    (inner,) = await write(house, Create("Shelf", {"name": "inner", "inside": outer}))
    await write(house, Update("Shelf", outer, {"inside": inner}))
    (book,) = await write(house, Create("Book", {"title": "b", "shelf": inner, "lent_to": reader, "labels": [label]}))
    await write(house, *(Create("Page", {"book": book, "text": str(at)}) for at in range(many_pages)))
    await write(house, Delete("Reader", reader))
    lent = [c for c in await log_of(house) if c.record == book][-1]
    assert (lent.action, lent.version) == ("update", 2)
    assert lent.new is not None
    assert msgspec.json.decode(lent.new)["lent_to"] is None
    await write(house, Delete("Shelf", outer))
    changes = await log_of(house)
    ended = [c.model for c in changes if c.action == "delete"]
    assert {name: ended.count(name) for name in set(ended)} == {
        "Reader": 1, "Shelf": 2, "Book": 1, "BookLabels": 1, "Page": many_pages,
    }  # fmt: skip
    assert folded(changes) == await stored(house)
    assert len(folded(changes)) == 1


async def test_a_log_of_random_writes_gives_the_tables(build: Build) -> None:
    house = await library(build)
    rng = random.Random(8)
    keys: dict[str, list[str]] = {model.__name__: [] for model in MODELS}

    def some(model: str) -> str:
        return rng.choice(keys[model])

    for model in ("Shelf", "Label", "Reader"):
        keys[model] += await write(house, *(Create(model, {"name": str(at)}) for at in range(4)))
    keys["Book"] += await write(house, *(Create("Book", {"title": "b", "shelf": some("Shelf")}) for _ in range(6)))
    refused = 0
    for step in range(120):
        ask: Any
        match rng.randrange(8):
            case 0:
                ask = Create("Page", {"book": some("Book"), "text": str(step)})
            case 1:
                ask = Create("Book", {"title": str(step), "shelf": some("Shelf"), "labels": [some("Label")]})
            case 2:
                ask = Update(
                    "Book", some("Book"), {"lent_to": some("Reader"), "labels": [some("Label"), some("Label")]}
                )
            case 3:
                ask = Update("Book", some("Book"), {"price": {"amount": step, "currency": "EUR"}, "labels": []})
            case 4:
                ask = Update("Shelf", some("Shelf"), {"inside": some("Shelf")})
            case 5:
                ask = Update("Book", some("Book"), {"title": "whole", "shelf": some("Shelf")}, whole=True)
            case 6 if rng.random() < 0.6:
                ask = Delete("Reader", some("Reader"))
            case 6:
                ask = Delete("Label", some("Label"))
            case _:
                ask = Delete(*rng.choice([("Book", some("Book")), ("Shelf", some("Shelf"))]))
        try:
            (key,) = await write(house, ask)
        except Problem:  # the record is gone already
            refused += 1
            continue
        if isinstance(ask, Create):
            keys[ask.model].append(key)
        elif isinstance(ask, Delete):
            new = {"title": "n", "shelf": (await write(house, Create("Shelf", {"name": "n"})))[0]}
            keys[ask.model] += await write(house, Create(ask.model, new if ask.model == "Book" else {"name": "n"}))
    assert refused < 90
    assert folded(await log_of(house)) == await stored(house)


async def test_statements_of_own_code_are_kept_as_a_reset(build: Build) -> None:
    from sqlalchemy import update

    from backstay.store.tables import tables

    house = await library(build)
    table = tables(house.engine.schema, house.engine.store.dialect.name).tables["labels"]

    async def rename(tx: Transaction) -> None:
        await tx.execute(update(table).values(name="all"), touches=[Label])

    await house.act(SYSTEM, rename)
    (only,) = await log_of(house)
    assert (only.action, only.model, only.record) == ("reset", "Label", "")


async def test_accounts_keep_nothing(build: Build) -> None:
    house = await library(build)
    assert [e.name for e in house.engine.schema.entities.values() if not e.logged] == []
    from backstay.auth.models import HIDDEN
    from backstay.model.schema import declare

    hidden = declare([], hidden=HIDDEN)
    assert {e.name for e in hidden.entities.values() if e.logged} == {User.__name__}


async def test_old_changes_are_forgotten_and_their_positions_are_not_given_again(build: Build) -> None:
    house = await library(build)
    log = house.engine.changes
    await write(house, *(Create("Label", {"name": str(at)}) for at in range(5)))
    last = (await log_of(house))[-1]
    assert await log.begins_behind() == last.position - 5
    assert await log.forget(last.at) == 0
    assert await log.forget(house.engine.clock()) == 5
    assert await log.begins_behind() == await log.head() == last.position
    await write(house, Create("Label", {"name": "next"}))
    assert [c.position for c in await log_of(house)] == [last.position + 1]


async def test_the_epoch_stays(build: Build) -> None:
    from backstay.store.changes import ChangeLog

    house = await library(build)
    again = ChangeLog(house.engine.store)
    await again.open()
    assert again.epoch == house.engine.changes.epoch
    assert len(again.epoch) == 16


async def disagree(house: House) -> bool:
    """Whether the log, folded, is not what there is."""
    changes, there = await log_of(house), await stored(house)
    try:
        return folded(changes) != there
    except AssertionError:
        return True


@pytest.mark.parametrize("fault", ["let_go", "_keep"])
async def test_a_change_that_is_not_kept_is_noticed(build: Build, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what goes with a record, or what leaves a relation, goes without a word."""
    house = await library(build)
    shelf, label = await write(house, Create("Shelf", {"name": "A"}), Create("Label", {"name": "l"}))
    (book,) = await write(house, Create("Book", {"title": "b", "shelf": shelf, "labels": [label]}))
    assert not await disagree(house)

    async def silent(self: Writer, *arguments: Any) -> None:
        return None

    monkeypatch.setattr(Writer, fault, silent)
    ask = Delete("Shelf", shelf) if fault == "let_go" else Update("Book", book, {"labels": []})
    await write(house, ask)
    monkeypatch.undo()
    assert await disagree(house)
