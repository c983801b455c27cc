"""Two worlds that differ only in what an actor may not see are one world to that actor, to the byte.

The second world is made by changing, adding and removing what is hidden, one thing at a time; a change is kept only
if everything the actor may see is as before. Ranks, counts, cursors, groups and errors must all be the same then.
"""

from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from backstay.errors import Problem
from backstay.model.predicate import ANYONE
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask
from backstay.plan.resolve import Resolver
from backstay.store.engine import Engine
from tests.oracle.arena import Arena, arena
from tests.oracle.conftest import Namespaces
from tests.oracle.naive import Naive
from tests.oracle.question import Questions
from tests.oracle.world import World, make_row, make_world

QUESTIONS = 40
CHANGES = 40


def view(world: World, actor: Actor) -> dict[str, Any]:
    """Everything an actor may see."""
    naive = Naive(world, actor)
    seen: dict[str, Any] = {}
    for entity in world.schema.entities.values():
        names = naive.names(entity)
        for row in world.rows[entity.name]:
            if not naive.may_read(entity, row):
                continue
            shown: dict[str, Any] = {}
            for name in names:
                if name in entity.to_many:
                    children = naive.children(entity.to_many[name], entity, row, False)
                    shown[name] = sorted(child["id"] for _, child in children)
                else:
                    shown[name] = naive.read(entity, row, (name,), False)
            seen[f"{entity.name} {row['id']}"] = shown
    return seen


def other_world(world: World, actor: Actor, rng: Random) -> tuple[World, int]:
    """A world that differs in what the actor cannot see, and in how many places."""
    before = view(world, actor)
    changes = 0
    for _ in range(CHANGES):
        changed = replace(world, rows=deepcopy(world.rows))
        if change(changed, rng) and view(changed, actor) == before:
            world = changed
            changes += 1
    return world, changes


def change(world: World, rng: Random) -> bool:
    """One random change; false where it cannot be made."""
    name = rng.choice(world.order)
    entity, rows = world.schema.entities[name], world.rows[name]
    if entity.hidden or not rows:
        return False
    roll = rng.random()
    if roll < 0.3:
        rows.append(make_row(rng, entity, world.rows, rng.getrandbits(32)))
        return True
    row = rng.choice(rows)
    if roll < 0.5:
        if any(row["id"] in other.values() for others in world.rows.values() for other in others if other is not row):
            return False
        rows.remove(row)
        return True
    fresh = make_row(rng, entity, world.rows, 100)
    names = [one for one in entity.fields if one not in ("id", "email") and entity.fields[one].target is not entity]
    for one in rng.sample(names, 1 if rng.random() < 0.7 else len(names)):
        row[one] = fresh[one]
    return True


async def told(engine: Engine, ask: Ask, actor: Actor) -> Any:
    """All that an actor is told."""
    try:
        return await engine.read(ask, actor)
    except Problem as problem:
        return problem.code, problem.detail


async def differences(here: Arena, there: Arena, actor: Actor, seed: int) -> int:
    """How many questions tell the two worlds apart."""
    found = 0
    for number in range(QUESTIONS):
        ask = Questions(Random(f"two worlds {seed} {number}"), here.world, actor).ask()
        for one, other in zip(here.engines, there.engines, strict=True):
            found += await told(one, ask, actor) != await told(other, ask, actor)
    return found


def pair(seed: int) -> tuple[World, World, Actor]:
    """A world, its twin, and the actor they are twins for."""
    rng = Random(f"twins {seed}")
    for attempt in range(100):
        world = make_world(1_000_000 + 100 * seed + attempt)
        actor = rng.choice([actor for actor in world.actors if actor != SYSTEM])
        twin, changes = other_world(world, actor, rng)
        if changes >= 4:  # in some worlds little is hidden from this actor
            return world, twin, actor
    raise AssertionError("nothing is hidden anywhere")


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_hidden_changes_nothing(seed: int, namespace: Namespaces) -> None:
    world, twin, actor = pair(seed)
    async with (
        arena(world.seed, await namespace("here"), world=world) as here,
        arena(twin.seed, await namespace("there"), world=twin) as there,
    ):
        assert await differences(here, there, actor, seed) == 0


async def test_a_rule_left_out_tells_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resolver, "rule", lambda self, entity, action: ANYONE)
    found = 0
    for seed in range(3):
        world, twin, actor = pair(seed)
        async with arena(world.seed, None, world=world) as here, arena(twin.seed, None, world=twin) as there:
            found += await differences(here, there, actor, seed)
    assert found > 0
