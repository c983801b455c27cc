"""A random world: models with rules, computed fields and hidden fields, rows of few values, and who may ask.

A world is made of its seed alone. Its rows are canonical values; `settle` puts them into a real database, with the
folded copies and search texts that the write path keeps there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from types import SimpleNamespace
from typing import Annotated, Any, Literal
from uuid import UUID

from backstay.model.declare import Model, User
from backstay.model.field import Entity, Field, Index, Schema
from backstay.model.folding import fold, search_text
from backstay.model.predicate import (
    ANYONE,
    NOBODY,
    Compare,
    Condition,
    HasRole,
    Me,
    Not,
    Or,
    Path,
    Quantified,
    SignedIn,
    Value,
    both,
    either,
)
from backstay.model.rule import FieldRule, Rules, computed, many, on_delete, searchable
from backstay.model.schema import declare
from backstay.model.symbol import Symbol
from backstay.model.value import BigInt, Currency, Digits, Json, Money, Secret, Slug
from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor
from backstay.store import postgres_dialect, sqlite_dialect
from backstay.store.dialect import quoted
from backstay.store.port import Store
from tests.oracle.conditions import NOW, ROLES, Conditions, value_of


class Shade(Enum):
    """An enumeration declared as a class."""

    LIGHT = "light"
    DARK = "dark"
    ODD = "Ä%"


KINDS: tuple[Any, ...] = (
    str, str, str, str, int, int, float, bool, bool, date, time, datetime, timedelta, UUID, BigInt,
    Annotated[Decimal, Digits(8, 2)], Annotated[Decimal, Digits(9, 3)], Annotated[Decimal, Digits(5, 0)],
    Literal["new", "paid", "Öld"], Literal[3, 1, 2], Shade, list[str], list[int], list[bool],
    Annotated[Money, Currency("EUR")], Annotated[Money, Currency("USD")], Money, Json, Secret, timedelta,
    list[Annotated[Decimal, Digits(8, 2)]], list[datetime], Annotated[Decimal, Digits(8, 2)],
)  # fmt: skip

Row = dict[str, Any]


@dataclass
class World:
    """One application with its rows and the people who ask."""

    seed: int
    schema: Schema
    rows: dict[str, list[Row]]
    actors: list[Actor]
    order: list[str] = field(default_factory=list)

    def describe(self, *, writing: bool = False) -> str:
        """The schema and rules, for a failing case."""
        from backstay.model.predicate import describe

        lines = []
        for entity in self.schema.entities.values():
            lines.append(f"{entity.name}: read={describe(entity.rules['read'])} search={entity.search}")
            if writing:
                lines += [f"    {action}={describe(rule)}" for action, rule in entity.rules.items()]
                lines.append(f"    {entity.indexes}")
            for part in (*entity.fields.values(), *entity.computed.values(), *entity.to_many.values()):
                kind = getattr(part, "kind", None)
                target = getattr(part, "target", None)
                said = f"{kind.name if kind else 'many'}{f' -> {target.name}' if target else ''}"
                value = f" = {describe(part.value)}" if hasattr(part, "value") else ""
                via = f" via {part.via} through {part.through}" if hasattr(part, "via") else ""
                null = " | None" if getattr(part, "nullable", False) else ""
                write = f" write={describe(part.write)}" if writing and hasattr(part, "write") else ""
                lines.append(f"    {part.name}: {said}{null}{via}{value}  read={describe(part.read)}{write}")
        return "\n".join(lines)


def make_world(seed: int) -> World:
    """The world of a seed."""
    rng = Random(f"world {seed}")
    schema = declared(rng, classes(spaces(rng)))
    rows, order = make_rows(rng, schema)
    return World(seed, schema, rows, actors_of(rng, rows), order)


def actors_of(rng: Random, rows: Mapping[str, Sequence[Row]]) -> list[Actor]:
    """Those who ask: nobody, the developer's own code, and people with roles and without."""
    people = [row["id"] for row in rows["Person"]]
    actors = [ANONYMOUS, ANONYMOUS, SYSTEM]
    for person in people[:3]:
        roles = frozenset(role for role in ROLES if rng.random() < 0.35)
        actors.append(Actor(person, roles))
    actors.append(Actor(people[0], frozenset({"staff"})))
    actors.append(Actor(people[-1], frozenset()))
    return actors


# Models.

Spaces = dict[str, dict[str, Any]]
"""What stands in the class of each model: annotations, and what is behind them."""


def spaces(rng: Random) -> Spaces:
    """Person and a few models: relations lead to earlier models or to themselves, joining models come last."""
    names = ["Person", *("Alpha", "Beta", "Gamma")[: rng.choice((2, 2, 3))]]
    made: Spaces = {name: {"__annotations__": {}} for name in names}
    for position, name in enumerate(names):
        hints = made[name]["__annotations__"]
        for number in range(rng.choice((2, 3, 4, 5, 6)) if position else 2):
            kind = rng.choice(KINDS)
            hints[f"{name[0].lower()}{number}"] = kind | None if rng.random() < 0.55 else kind
        hints["label"] = str
        if rng.random() < 0.5:
            hints[f"{name[0].lower()}_short"] = Slug
        for number in range(rng.choice((1, 1, 2, 2)) if position else rng.choice((0, 1))):
            target = rng.choice(names[: position + 1])
            relation = f"{name[0].lower()}_{target.lower()}{number or ''}"
            null = target == name or rng.random() < 0.5
            hint = f"{target} | None" if null else target
            hints[relation] = Annotated[hint, on_delete("set_null")] if null and rng.random() < 0.2 else hint
            if rng.random() < 0.75:
                back = f"{name.lower()}s_by{number or ''}"
                made[target]["__annotations__"][back] = f"Many[{name}]"
                made[target][back] = many(via=relation)
    _join(rng, names, made)
    return made


def classes(made: Spaces) -> list[type[Model]]:
    """The model classes."""
    models: list[type[Model]] = []
    for name, space in made.items():
        space["__module__"] = __name__
        models.append(type(Model)(name, (User if name == "Person" else Model,), space))
    return models


def _join(rng: Random, names: Sequence[str], spaces: Spaces) -> None:
    if rng.random() < 0.6:
        left, right = rng.choice(names[1:]), rng.choice(names)
        hints = {"left": left, "right": right, "note": str | None}
        spaces["Bond"] = {"__annotations__": hints}
        between = SimpleNamespace(__name__="Bond")
        spaces[left]["__annotations__"]["bonded"] = f"Many[{right}]"
        spaces[left]["bonded"] = many(via="left", through=between)
        spaces[left]["__annotations__"]["bonds"] = "Many[Bond]"
        spaces[left]["bonds"] = many(via="left")
    if rng.random() < 0.5:
        left, right = rng.choice(names[1:]), rng.choice(names)
        spaces[left]["__annotations__"]["tied"] = f"Many[{right}]"
        spaces[left]["tied"] = many(through=True)


Writes = Callable[[Conditions, Entity], tuple[dict[str, Condition], dict[str, Condition]]]
"""Rules on writing, by action and by field."""


def declared(
    rng: Random, models: list[type[Model]], writes: Writes = lambda conditions, entity: ({}, {}),
    indexes: Callable[[str], list[Any]] = lambda name: [],
) -> Schema:  # fmt: skip
    """The schema with computed fields and rules, which are made from the schema without them."""
    by_name = {model.__name__: model for model in models}
    plain = declare(models)
    conditions = Conditions(rng, plain.user, me=False)
    for name, model in by_name.items():
        for number in range(rng.choice((0, 1, 2))):
            made = conditions.computed(plain.entities[name])
            if made is None:
                continue
            value, kind = made
            setattr(
                model,
                f"{name[0].lower()}_made{number}",
                computed(lambda self, value=value, kind=kind: Symbol(value, kind)),
            )
    plain = declare(models)
    conditions = Conditions(rng, plain.user)
    for name, model in by_name.items():
        entity = plain.entities[name]
        texts = [
            field.name for field in entity.fields.values() if field.kind.textual and not field.write_only
        ]  # fmt: skip
        searched = rng.sample(texts, min(len(texts), rng.choice((1, 2)))) if rng.random() < 0.6 else []
        read = _read_rule(rng, conditions, entity)
        hidden = _hidden(rng, conditions, entity, searched)
        actions, fields = writes(conditions, entity)
        model.indexes = _indexes(searched, indexes(name))  # type: ignore[attr-defined]
        model.rules = _rules({"read": read, **actions}, hidden, fields)  # type: ignore[attr-defined,assignment,method-assign]
    return declare(models)


def _indexes(searched: Sequence[str], more: Sequence[Any]) -> Any:
    def indexes(self: Any) -> Any:
        return [*([searchable(*(getattr(self, name) for name in searched))] if searched else []), *more]

    return indexes


def _rules(actions: dict[str, Condition], hidden: dict[str, Condition], written: dict[str, Condition]) -> Any:
    def rules(self: Any, me: Any) -> Rules:
        fields = [
            FieldRule(getattr(self, name), Symbol(hidden.get(name, ANYONE)), Symbol(written.get(name, ANYONE)))
            for name in {**hidden, **written}
        ]
        return Rules(**{action: Symbol(rule) for action, rule in actions.items()}, fields=fields)  # type: ignore[arg-type]

    return rules


def _read_rule(rng: Random, conditions: Conditions, entity: Entity) -> Condition:
    roll = rng.random()
    if roll < 0.2:
        return ANYONE
    if roll < 0.24:
        return NOBODY
    if roll < 0.3:
        return rng.choice((HasRole("staff"), SignedIn(), Not(HasRole("editor"))))
    mine = ownership(rng, conditions.user, entity)
    if roll < 0.6 and mine is not None:
        return either(mine, HasRole("staff"), *([conditions.condition([entity], 1)] if rng.random() < 0.4 else []))
    rule = conditions.condition([entity], 2)
    return either(rule, HasRole("staff")) if rng.random() < 0.5 else rule


def ownership(rng: Random, user: Entity, entity: Entity) -> Condition | None:
    """A condition that ties a record to the actor, near or one step away."""
    if entity is user:
        return Compare("eq", Path(()), Me())
    found: list[Condition] = []
    for name, one in entity.fields.items():
        if one.target is user:
            found += [Compare("eq", Path((name,)), Me()), Compare("eq", Path((name, "email")), Me(("email",)))]
        elif one.target is not None and one.target is not entity:
            found += [
                Compare("eq", Path((name, other)), Me())
                for other, far in one.target.fields.items() if far.target is user
            ]  # fmt: skip
    for name, relation in entity.to_many.items():
        body = [
            Compare("eq", Path((other,), 1), Me())
            for other, far in relation.target.fields.items() if far.target is user
        ]  # fmt: skip
        found += [Quantified("some", Path((name,)), each) for each in body]
    return rng.choice(found) if found else None


def _hidden(rng: Random, conditions: Conditions, entity: Entity, searched: Sequence[str]) -> dict[str, Condition]:
    hidden: dict[str, Condition] = {}
    for name in entity.names:
        if name in ("id", "email", "label") or name in searched or rng.random() > 0.22:
            continue
        roll = rng.random()
        if roll < 0.35:
            hidden[name] = rng.choice((HasRole("staff"), Or((HasRole("editor"), HasRole("staff"))), SignedIn(), NOBODY))
        elif roll < 0.6 and (mine := ownership(rng, conditions.user, entity)) is not None:
            hidden[name] = mine
        elif roll < 0.8:
            hidden[name] = both(HasRole("staff"), conditions.atom([entity], 1))
        else:
            hidden[name] = conditions.condition([entity], 1)
    return hidden


# Rows.


def make_rows(rng: Random, schema: Schema) -> tuple[dict[str, list[Row]], list[str]]:
    """Rows of every model, and the models in the order in which they can be filled."""
    order = _inside_out(schema)
    rows: dict[str, list[Row]] = {}
    for name in order:
        entity = schema.entities[name]
        rows[name] = []
        pairs: set[tuple[Any, ...]] = set()
        needed = [one.target.name for one in entity.fields.values() if one.target is not None and not one.nullable]
        if not all(rows[target] for target in needed):
            continue
        for number in range(rng.choice((0, 5, 9, 12, 14)) if name != "Person" else 4):
            row = make_row(rng, entity, rows, number)
            taken = [
                pair for index in entity.indexes if index.kind == "unique" if (pair := pair_of(index, row)) is not None
            ]
            if pairs.isdisjoint(taken):
                rows[name].append(row)
                pairs.update(taken)
    return rows, order


def pair_of(index: Index, row: Row) -> tuple[Any, ...] | None:
    """The values that no two rows may have in common; those with a null are like no others."""
    values = tuple(row[name] for name in index.fields)
    return None if None in values else (index.fields, *values)


def _inside_out(schema: Schema) -> list[str]:
    """Names of entities, each behind those it refers to."""
    order: list[str] = []
    waiting = list(schema.entities.values())
    while waiting:
        for entity in waiting:
            targets = {one.target.name for one in entity.fields.values() if one.target not in (None, entity)}
            if targets <= set(order):
                order.append(entity.name)
                waiting.remove(entity)
                break
    return order


def make_row(rng: Random, entity: Entity, rows: dict[str, list[Row]], number: int) -> Row:
    """A random row; relations name rows that are there."""
    row: Row = {}
    for one in entity.fields.values():
        row[one.name] = value_for(rng, one, rows, number)
    return row


def value_for(rng: Random, one: Field, rows: dict[str, list[Row]], number: int) -> Any:
    """A value of a field; a relation names a row that is there."""
    if one.name == "id":
        return str(UUID(int=rng.getrandbits(128)))
    if one.name == "email":
        return f"p{number}@example.com"
    if one.name == "roles":
        return [role for role in ROLES if rng.random() < 0.4]
    if one.name in ("created_at", "updated_at"):
        return NOW - timedelta(days=rng.choice((0, 1, 30)), microseconds=rng.choice((0, 1)))
    if one.target is not None:
        there = rows.get(one.target.name, [])
        if one.nullable and (not there or rng.random() < 0.35):
            return None
        return rng.choice(there)["id"]
    if one.nullable and rng.random() < 0.4:
        return None
    if one.kind.format == "slug":
        return rng.choice(("tea", "green-tea", "a1", "zebra"))
    if one.kind.format == "email":
        return f"q{number}@example.com"
    return value_of(rng, one.kind)


# Into a database.


def columns_of(entity: Entity, row: Row, dialect: str) -> dict[str, Any]:
    """What stands in each column for a row, in the driver's form."""
    encoder_of = (sqlite_dialect if dialect == "sqlite" else postgres_dialect).encoder_of
    found: dict[str, Any] = {}
    for one in entity.fields.values():
        value = row[one.name]
        encode = encoder_of(one.kind)
        found[one.column] = value if value is None or encode is None else encode(value)
        if len(one.columns) > 1:
            found[one.columns[1]] = value.currency if value is not None else None
        if one.folded:
            found[one.folded] = fold(value) if value is not None else None
    if entity.search:
        found["_words"] = search_text([row[name] for name in entity.search])
    return found


async def settle(world: World, store: Store, rows: dict[str, list[Row]] | None = None) -> None:
    """Create the tables of a world and put its rows in."""
    await store.extend(world.schema)
    async with store.transaction() as tx:
        for name in world.order:
            entity = world.schema.entities[name]
            for row in (rows or world.rows)[name]:
                columns = columns_of(entity, row, store.dialect.name)
                names = ", ".join(quoted(column) for column in columns)
                marks = ", ".join(
                    f"?{i + 1}" if store.dialect.name == "sqlite" else f"${i + 1}" for i in range(len(columns))
                )
                await tx.run(f"INSERT INTO {quoted(entity.table)} ({names}) VALUES ({marks})", list(columns.values()))


__all__ = ["NOW", "Row", "Value", "World", "columns_of", "make_row", "make_world", "settle"]
