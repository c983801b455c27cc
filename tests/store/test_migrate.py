"""Each kind of change is planned, explained, applied and rolled back, on both databases, over records."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from annotated_types import Ge, Le, Len

from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import Many, Rules, anyone, many, on_delete, searchable, unique, was
from backstay.model.rule import index as indexed
from backstay.model.schema import declare
from backstay.model.value import Currency, Digits, Money
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create
from backstay.plan.limits import Limits
from backstay.plan.write import parse_field
from backstay.store.bulk import Bulk
from backstay.store.engine import Engine
from backstay.store.migrate import Data, Migrator, Refused, taken
from backstay.store.snapshot import read, take
from backstay.telemetry.observation import EVENTS
from tests.store.conftest import House

Rows = list[dict[str, Any]]


def model(name_: str, was_named: str = "", /, *, rules: Any = None, indexes: Any = None, **fields: Any) -> type[Model]:
    """A model made here and now: a field is an annotation, or an annotation and its default."""
    space: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "__was__": was_named}
    for key, said in fields.items():
        annotation, *default = said if isinstance(said, tuple) else (said,)
        space["__annotations__"][key] = annotation
        if default:
            space[key] = default[0]
    if rules is not None:
        space["rules"] = rules
    if indexes is not None:
        space["indexes"] = indexes
    return type(Model)(name_, (Model,), space)  # type: ignore[return-value]


ROWS = int(os.environ.get("MIGRATION_CHANGED", "4"))
"""How many records there are at each change; 4 are enough to say what becomes of them."""
LOOKED_AT = range(0, ROWS, max(1, ROWS // 100))
"""Which of them are read, one by one."""


def text(at: int) -> dict[str, Any]:
    return {"name": f"Näme {at % 1000}"}


@dataclass
class Change:
    """One kind of change: what was declared and what is, how a record looks that is there, and what becomes of it."""

    before: Callable[[], list[type[Model]]]
    after: Callable[[], list[type[Model]]]
    record: Callable[[int], dict[str, Any]] = text
    becomes: Callable[[int], dict[str, Any]] = lambda at: {}
    words: str = ""
    refused: str = ""
    data: Callable[[Data], Awaitable[None]] | None = None
    lost: tuple[str, ...] = field(default=())
    """Fields that come back from a rollback with other values than they had."""


def thing(*args: Any, **fields: Any) -> Callable[[], list[type[Model]]]:
    return lambda: [model("Thing", *args, **fields)]


async def split(db: Data) -> None:
    name = f"_was_{db.number}_name"
    cut = f"instr({name}, ' ')" if db.dialect == "sqlite" else f"strpos({name}, ' ')"
    await db.run(f"UPDATE things SET first = substr({name}, 1, {cut} - 1), last = substr({name}, {cut} + 1)")
    await db.run("UPDATE things SET first__folded = lower(first), last__folded = lower(last)")


async def number_them(db: Data) -> None:
    await db.run("UPDATE things SET code = ?", 7)


async def make_different(db: Data) -> None:
    await db.run("UPDATE things SET name = 'n ' || id, name__folded = 'n ' || id")


async def allow(db: Data) -> None:
    await db.run("UPDATE things SET state = 'open' WHERE state = 'odd'")


CHANGES: dict[str, Change] = {
    "add a field that may be null": Change(
        thing(name=str), thing(name=str, note=(str | None, None)), becomes=lambda at: {"note": None},
        words="Thing.note is new: text, may be null; it is empty",
    ),
    "add a field with a default": Change(
        thing(name=str), thing(name=str, stock=(Annotated[int, Ge(0)], 3)), becomes=lambda at: {"stock": 3},
        words="records that are there get its default",
    ),
    "add a text with a default": Change(
        thing(name=str), thing(name=str, kind=(str, "ÄPFEL")), becomes=lambda at: {"kind": "ÄPFEL"},
    ),
    "add a field with nothing to fill it": Change(
        thing(name=str), thing(name=str, code=int), refused=f"{ROWS} records have no value for Thing.code",
    ),
    "add a field that a data function fills": Change(
        thing(name=str), thing(name=str, code=int), becomes=lambda at: {"code": 7}, data=number_them,
    ),
    "drop a field": Change(
        thing(name=str, note=(str | None, None)), thing(name=str), record=lambda at: {**text(at), "note": f"n{at}"},
        words="Thing.note is gone: its values are set aside",
    ),
    "rename a field": Change(
        thing(name=str), thing(title=Annotated[str, was("name")]), words="Thing.name is called title.",
        becomes=lambda at: {"title": f"Näme {at % 1000}"},
    ),
    "rename a model": Change(
        lambda: [t := model("Thing", name=str), model("Part", of=Annotated[t, on_delete("cascade")])],
        lambda: [t := model("Item", "Thing", name=str), model("Part", of=Annotated[t, on_delete("cascade")])],
        words="Thing is called Item: its table things becomes items.",
    ),
    "narrow a text": Change(
        thing(name=str), thing(name=Annotated[str, Len(0, 8)]), words="must hold now",
    ),
    "narrow a text that does not fit": Change(
        thing(name=str), thing(name=Annotated[str, Len(0, 3)]), refused=f"{ROWS} records do not satisfy",
    ),
    "widen a text": Change(thing(name=Annotated[str, Len(0, 8)]), thing(name=Annotated[str, Len(0, 90)])),
    "narrow a number": Change(
        thing(name=str, number=int), thing(name=str, number=Annotated[int, Le(2)]),
        record=lambda at: {**text(at), "number": 3 if at == 3 else 1}, refused="1 record do not satisfy",
    ),
    "split a field": Change(
        thing(name=str), thing(first=str, last=str), data=split,
        becomes=lambda at: {"first": "Näme", "last": str(at % 1000)}, words="Thing.first is new",
    ),
    "unique over duplicates": Change(
        thing(name=str), thing(name=str, indexes=lambda self: [unique(self.name)]), record=lambda at: {"name": "same"},
        refused=f"{ROWS} records share their name with another record",
    ),
    "unique after a data function": Change(
        thing(name=str), thing(name=str, indexes=lambda self: [unique(self.name)]), record=lambda at: {"name": "same"},
        data=make_different, words="name must be unique now", lost=("name",),
    ),
    "never null any more": Change(
        thing(name=str | None), thing(name=str), record=lambda at: {"name": None} if at == 1 else text(at),
        refused="1 record have no value for Thing.name",
    ),
    "never null any more, with a default": Change(
        thing(name=(str | None, None)), thing(name=(str, "none")),
        record=lambda at: {"name": None} if at == 1 else text(at),
        becomes=lambda at: {"name": "none" if at == 1 else f"Näme {at % 1000}"}, lost=("name",),
    ),
    "may be null now": Change(thing(name=str), thing(name=(str | None, None)), words="Thing.name may be null now."),
    "a choice that records have is gone": Change(
        thing(state=Literal["open", "odd"]), thing(state=Literal["open", "done"]),
        record=lambda at: {"state": "odd" if at == 2 else "open"}, refused="1 record do not satisfy",
    ),
    "a choice is gone after a data function": Change(
        thing(state=Literal["open", "odd"]), thing(state=Literal["open", "done"]), data=allow, lost=("state",),
        record=lambda at: {"state": "odd" if at == 2 else "open"}, becomes=lambda at: {"state": "open"},
    ),
    "a choice is added": Change(
        thing(state=Literal["open"]), thing(state=Literal["open", "done"]), record=lambda at: {"state": "open"},
    ),
    "a whole number becomes a decimal": Change(
        thing(size=int), thing(size=Annotated[Decimal, Digits(12, 2)]), record=lambda at: {"size": at},
        becomes=lambda at: {"size": f"{at}.00"}, words="its values are converted",
    ),
    "a decimal loses digits": Change(
        thing(size=Annotated[Decimal, Digits(12, 3)]), thing(size=Annotated[Decimal, Digits(12, 1)]),
        record=lambda at: {"size": f"{at}.120"}, becomes=lambda at: {"size": f"{at}.1"},
    ),
    "a text becomes a number": Change(
        thing(name=str), thing(name=(int | None, None)), words="nothing leads from one to the other",
        becomes=lambda at: {"name": None},
    ),
    "money in one currency": Change(
        thing(price=Money), thing(price=Annotated[Money, Currency("EUR")]),
        record=lambda at: {"price": {"amount": at, "currency": "EUR"}},
    ),
    "money in any currency": Change(
        thing(price=Annotated[Money, Currency("EUR")]), thing(price=Money),
        record=lambda at: {"price": {"amount": at, "currency": "EUR"}},
    ),
    "money in another currency": Change(
        thing(price=Money), thing(price=Annotated[Money, Currency("EUR")]),
        record=lambda at: {"price": {"amount": at, "currency": "USD"}}, refused="have another currency than EUR",
    ),
    "an index": Change(
        thing(name=str), thing(name=str, indexes=lambda self: [indexed(self.name)]), words="an index over name is made",
    ),
    "search": Change(
        thing(name=str), thing(name=str, indexes=lambda self: [searchable(self.name)]), words="is searched in name",
    ),
    "no search": Change(thing(name=str, indexes=lambda self: [searchable(self.name)]), thing(name=str)),
    "another search": Change(
        thing(name=str, note=(str, "x"), indexes=lambda self: [searchable(self.name)]),
        thing(name=str, note=(str, "x"), indexes=lambda self: [searchable(self.name, self.note)]),
    ),
    "on_delete": Change(
        lambda: [t := model("Thing", name=str), model("Part", of=t)],
        lambda: [t := model("Thing", name=str), model("Part", of=Annotated[t, on_delete("cascade")])],
        words="Part.of: on_delete is cascade now.",
    ),
    "a model is new": Change(thing(name=str), lambda: [model("Thing", name=str), model("Other", name=str)]),
    "a model is gone": Change(
        lambda: [model("Thing", name=str), model("Other", name=str)], thing(name=str), words="Other is gone",
    ),
    "a relation becomes many to many": Change(
        lambda: [t := model("Other", name=str), model("Thing", name=str, other=(t | None, None))],
        lambda: [t := model("Other", name=str), model("Thing", name=str, others=(Many[t], many(through=True)))],
        words="What joins Thing and Other is new",
    ),
    "another default": Change(thing(name=(str, "a")), thing(name=(str, "b")), words="has another default"),
    "a rule alone": Change(
        thing(name=str), thing(name=str, rules=lambda self, me: Rules(read=anyone)),
        words="The rule Thing.read was: nobody. It is now: anyone.",
    ),
}  # fmt: skip


@pytest.fixture
def migrating(build: Any) -> Any:
    return build


async def rows_of(house: House, entity_name: str) -> Rows:
    """Records of an entity as JSON, in the order of their ids: those that are looked at. All of them are there."""
    entity = house.engine.schema.entities[entity_name]
    found = await house.engine.store.run(f'SELECT CAST("id" AS text) FROM "{entity.table}" ORDER BY 1', ())
    assert len(found) == ROWS
    found = [found[at] for at in LOOKED_AT]
    check = house.engine.stored(entity)
    rows = []
    for (raw,) in found:
        key = raw.decode() if isinstance(raw, bytes) else raw
        ((_, json, *_rest),) = await house.engine.store.run(
            check.text, check.values((key,), SYSTEM, house.engine.clock())
        )
        rows.append(msgspec.json.decode(json))
    return rows


def as_declared(house: House, models: list[type[Model]]) -> House:
    """The same data under another declaration."""
    engine = house.engine
    return House(Engine(declare(models), engine.store, Limits()))


async def settled(house: House) -> Migrator:
    migrator = Migrator(house.engine.store, house.engine.clock)
    await migrator.adopt(house.engine.schema)
    return migrator


@pytest.mark.parametrize("name", CHANGES)
async def test_each_kind_of_change(name: str, build: Any) -> None:
    change = CHANGES[name]
    before = change.before()
    house = await build(*before)
    migrator = await settled(house)
    entity = "Thing"

    async def fill(tx: Any) -> None:
        for at in range(4):
            await tx.write(Create(entity, change.record(at)))
        declared = house.engine.schema.entities[entity]
        bulk = Bulk(declared, house.engine.store.dialect)
        for first in range(4, ROWS, 1000):
            await bulk.add(tx, [
                {"id": house.new_id()}
                | {name: parse_field(declared.fields[name], value) for name, value in change.record(at).items()}
                for at in range(first, min(first + 1000, ROWS))
            ])  # fmt: skip

    await house.act(SYSTEM, fill)
    there = await rows_of(house, entity)
    after = as_declared(house, change.after())
    target = taken(after.engine.schema)
    findings = await migrator.findings(await migrator.course(target))
    assert change.words in " ".join(finding.step.words for finding in findings)
    if change.refused:
        assert change.refused in " ".join(finding.trouble for finding in findings)
        with pytest.raises(Refused, match=change.refused):
            await migrator.apply(target, "change")
        assert await rows_of(house, entity) == there
        return
    await migrator.apply(target, "change", change.data)
    renamed = "Item" if name == "rename a model" else entity
    now = await rows_of(after, renamed)
    assert [{**row, **change.becomes(at)} for at, row in zip(LOOKED_AT, now, strict=True)] == now
    await writes_still_work(after, renamed, now)
    assert (await migrator.course(target)).empty
    await migrator.rollback()
    back = await rows_of(house, entity)
    kept = [{k: v for k, v in row.items() if k not in change.lost} for row in there]
    assert [{k: v for k, v in row.items() if k not in change.lost} for row in back] == kept
    assert (await migrator.course(taken(house.engine.schema))).empty
    await migrator.apply(target, "again", change.data)
    await migrator.finish()
    seen = await rows_of(after, renamed)
    assert [{**row, **change.becomes(at)} for at, row in zip(LOOKED_AT, seen, strict=True)] == now
    left = await aside(house)
    assert left == []


async def writes_still_work(house: House, entity: str, rows: Rows) -> None:
    """A new record by the new declaration, and it is taken back."""
    values = {k: v for k, v in rows[0].items() if k not in ("id", "created_at", "updated_at")}
    if "name" in values and values["name"] is not None and isinstance(values["name"], str):
        values["name"] = "new"

    async def add(tx: Any) -> None:
        key = await tx.write(Create(entity, values))
        await tx.as_system.delete(await tx.as_system.get(house.engine.schema.entities[entity].model, key))

    await house.act(SYSTEM, add)


async def aside(house: House) -> list[str]:
    """What is set aside in the database."""
    if house.engine.store.dialect.name == "sqlite":
        rows = await house.engine.store.run(
            "SELECT m.name || '.' || p.name FROM sqlite_master AS m, pragma_table_info(m.name) AS p "
            "WHERE p.name LIKE '\\_was\\_%' ESCAPE '\\' OR m.name LIKE '\\_was\\_%' ESCAPE '\\'",
            (),
        )
    else:
        rows = await house.engine.store.run(
            "SELECT (table_name || '.' || column_name)::text FROM information_schema.columns "
            "WHERE table_schema = current_schema() "
            "AND (column_name LIKE '\\_was\\_%' OR table_name LIKE '\\_was\\_%')", ()
        )  # fmt: skip
    return [row[0] for row in rows]


async def test_a_snapshot_makes_the_same_tables() -> None:
    from backstay.store.tables import create_statements, dialect_of, tables

    class Everything(Model):
        name: Annotated[str, Len(1, 9)] = "x"
        price: Annotated[Money, Currency("EUR"), Ge(0)] = Money(5, "EUR")
        size: Annotated[Decimal, Digits(9, 2), Le(Decimal("99.5"))] = Decimal("1.5")
        state: Literal["a", "b"] = "a"
        tags: list[Annotated[str, Len(0, 5)]]
        owner: User

        def indexes(self) -> list[Index]:
            return [searchable(self.name), unique(self.name, self.owner)]

    schema = declare([Everything])
    again = read(take(schema)).schema
    for dialect in ("sqlite", "postgres"):
        made = [
            [create_statements(table, dialect_of(dialect)) for table in tables(one, dialect).tables.values()]
            for one in (schema, again)
        ]
        assert made[0] == made[1]
    assert take(schema) == take(schema)


class Told:
    """What an operator was told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, event: str, **values: Any) -> None:
        assert {*values} <= {*EVENTS[event].fields}
        self.events.append((event, values))


async def test_what_it_does_is_told(build: Any) -> None:
    class Thing(Model):
        name: str
        note: int = 0

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone, create=anyone)

    house, told = await build(Thing), Told()
    migrator = Migrator(house.engine.store, house.engine.clock, told)
    await migrator.adopt(house.engine.schema)
    await house.act(SYSTEM, lambda tx: tx.write(Create("Thing", {"name": "secret-4711"})))

    def declared(thing: type[Model]) -> bytes:
        return taken(declare([thing]))

    def numbered() -> bytes:
        class Thing(Model):
            name: int

            def rules(self, me: User) -> Rules:
                return Rules(read=anyone, create=anyone)

        return declared(Thing)

    def shorter() -> bytes:
        class Thing(Model):
            name: str

            def rules(self, me: User) -> Rules:
                return Rules(read=anyone, create=anyone)

        return declared(Thing)

    with pytest.raises(Refused):
        await migrator.apply(numbered(), "numbers")
    await migrator.apply(shorter(), "shorter")
    await migrator.apply(shorter(), "again")
    await migrator.rollback()
    await migrator.apply(shorter(), "shorter")
    await migrator.finish()
    await migrator.finish()
    assert all(values.pop("seconds", 0.0) >= 0 for _, values in told.events)
    numbers = [values.pop("number") for name, values in told.events if name == "migrated"]
    assert numbers[0] < numbers[1]
    assert told.events == [
        ("migration_refused", {"migration": "numbers", "steps": 1}),
        ("migrated", {"migration": "shorter", "set_aside": 1}),
        ("rolled_back", {"migration": "beginning", "number": 1}),
        ("migrated", {"migration": "shorter", "set_aside": 1}),
        ("set_aside_gone", {"did": "things.note"}),
    ]
