"""Random worlds in which something may be written: rules on every action and field, constraints, defaults, and links.

A world is one of `world.py` with more in its classes: taken values, ranges, values that the server sets, and what
becomes of a record when the one it refers to goes. Its rules look at the row before, at the row after, at both, at
roles and at other records.
"""

from datetime import datetime
from random import Random
from typing import Annotated, Any

from annotated_types import Ge, Le

from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, NOBODY, Compare, Condition, HasRole, Not, Path, SignedIn, at, both, either
from backstay.model.rule import current_user, made_from, now, on_delete, unique
from backstay.model.symbol import Symbol
from tests.oracle.conditions import Conditions
from tests.oracle.world import Spaces, World, actors_of, classes, declared, make_rows, ownership, spaces

STOCK = Annotated[int, Ge(0), Le(9)]


def make_writing_world(seed: int) -> World:
    """The world of a seed."""
    rng = Random(f"writing world {seed}")
    made = spaces(rng)
    keys = _enrich(rng, made)
    schema = declared(rng, classes(made), lambda conditions, entity: _writes(rng, conditions, entity), keys.__getitem__)
    rows, order = make_rows(rng, schema)
    return World(seed, schema, rows, actors_of(rng, rows), order)


def _enrich(rng: Random, made: Spaces) -> dict[str, list[Any]]:
    """More fields, more ways to go, and what is unique in each model."""
    keys: dict[str, list[Any]] = {}
    for name, space in made.items():
        hints: dict[str, Any] = space["__annotations__"]
        for field, hint in hints.items():
            if isinstance(hint, str) and not hint.startswith("Many[") and rng.random() < 0.3:
                hints[field] = Annotated[hint, on_delete("cascade")]
        for field in [field for field in hints if field.endswith("_short") and rng.random() < 0.7]:
            space[field] = made_from("label")
        more: list[tuple[str, Any, Any]] = [
            ("stock", STOCK, 1), ("flag", bool, False), ("since", datetime, now()), ("word", str | None, None),
        ]  # fmt: skip
        for field, hint, default in more:
            if rng.random() < 0.4:
                hints[field] = hint
                if default is not None and rng.random() < 0.7:
                    space[field] = default
        if name not in ("Person", "Bond") and rng.random() < 0.5:
            hints["owner"] = "Person | None" if rng.random() < 0.5 else "Person"
            if rng.random() < 0.8:
                space["owner"] = current_user()
        keys[name] = _keys(rng, name, hints)
    return keys


def _keys(rng: Random, name: str, hints: dict[str, Any]) -> list[Any]:
    plain = [
        field for field, hint in hints.items() if field in ("label", "owner", "stock", "flag", "word", "left", "right")
    ]  # fmt: skip
    if name == "Person" or not plain or rng.random() < 0.6:
        return []
    return [unique(*(Symbol(Path((field,))) for field in rng.sample(plain, min(len(plain), rng.choice((1, 2, 2))))))]


def _writes(
    rng: Random, conditions: Conditions, entity: Entity
) -> tuple[dict[str, Condition], dict[str, Condition]]:  # fmt: skip
    actions = {
        "create": _rule(rng, conditions, entity),
        "update": _moments(rng, conditions, entity),
        "delete": _rule(rng, conditions, entity),
    }
    fields = {}
    for name in [*entity.fields, *(name for name, many in entity.to_many.items() if many.as_list)]:
        if name in ("id", "email", "label") or rng.random() > 0.2:
            continue
        by_row = name in entity.fields and entity.fields[name].required  # else nobody could make one
        rule = _rule(rng, conditions, entity)
        fields[name] = rule if by_row else rng.choice((NOBODY, HasRole("staff"), SignedIn(), rule, rule))
    return actions, fields


def _rule(rng: Random, conditions: Conditions, entity: Entity) -> Condition:
    roll = rng.random()
    if roll < 0.4:
        return ANYONE
    if roll < 0.45:
        return NOBODY
    if roll < 0.55:
        return rng.choice((HasRole("staff"), SignedIn()))
    mine = ownership(rng, conditions.user, entity)
    if roll < 0.75 and mine is not None:
        return either(mine, HasRole("staff"))
    rule = conditions.condition([entity], 2)
    return either(rule, HasRole("staff")) if rng.random() < 0.5 else rule


def _moments(rng: Random, conditions: Conditions, entity: Entity) -> Condition:
    """A rule on changing that may look at the row before, at the row after, or at how the two differ."""
    rule = _rule(rng, conditions, entity)
    roll = rng.random()
    if roll < 0.45:
        return rule
    if roll < 0.55:
        return at(rule, "old")
    if roll < 0.65:
        return at(rule, "new")
    if roll < 0.7:
        return Not(at(conditions.condition([entity], 1), "old"))
    fields = [name for name, field in entity.fields.items() if field.kind.ordered and not field.write_only]
    name = rng.choice(fields)
    same = Compare("eq", Path((name,), 0, "old"), Path((name,), 0, "new"))
    if roll < 0.85:
        return both(rule, either(same, at(conditions.condition([entity], 1), rng.choice(("old", "new")))))
    return either(both(at(rule, "old"), at(conditions.condition([entity], 1), "new")), HasRole("staff"))
