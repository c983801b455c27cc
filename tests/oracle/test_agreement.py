"""Conditions evaluated in memory and the naive answerer agree, on rules and on random conditions."""

from random import Random
from typing import Any

import pytest

from backstay.model.evaluate import Circumstances, Row, holds, value_of
from backstay.model.field import Entity
from backstay.model.predicate import lift
from backstay.plan.actor import SYSTEM
from tests.oracle.conditions import NOW, Conditions
from tests.oracle.naive import Naive
from tests.oracle.world import World, make_world


class Lists:
    """The rows of a world, found by going through them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def find(self, entity: Entity, key: str) -> Row | None:
        return next((row for row in self.world.rows[entity.name] if row["id"] == key), None)

    def children(self, entity: Entity, via: str, key: str) -> list[Row]:
        return [row for row in self.world.rows[entity.name] if row[via] == key]


@pytest.mark.parametrize("seed", range(8))
def test_evaluation_agrees_with_the_naive_answerer(seed: int) -> None:
    world = make_world(2_000_000 + seed)
    rng = Random(f"agreement {seed}")
    outcomes: set[bool] = set()
    for actor in [actor for actor in world.actors if actor != SYSTEM]:
        for entity in world.schema.entities.values():
            rows = world.rows[entity.name]
            conditions = [entity.rules["read"], *(one.read for one in entity.fields.values())]
            makers = [Conditions(rng, world.schema.user, me=me, search=True) for me in (True, False)]
            conditions += [rng.choice(makers).condition([entity], 2) for _ in range(6)]
            for condition in conditions:
                values: list[Any] = []
                condition = lift(condition, values) if rng.random() < 0.5 else condition
                naive = Naive(world, actor, values)
                given = Circumstances(
                    world.schema.user, Lists(world), NOW, actor.id, actor.roles, values
                )  # fmt: skip
                for row in rng.sample(rows, min(4, len(rows))):
                    expected = naive.holds(condition, [(entity, row)], True)
                    assert holds(condition, entity, row, given) == expected, (seed, entity, condition, row, actor)
                    outcomes.add(expected)
            given = Circumstances(world.schema.user, Lists(world), NOW, actor.id, actor.roles)
            for part in entity.computed.values():
                for row in rows[:3]:
                    naive = Naive(world, actor)
                    assert value_of(part.value, entity, row, given) == naive.compute(part, entity, row)
    assert outcomes == {True, False}
