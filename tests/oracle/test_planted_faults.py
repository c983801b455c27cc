"""The oracle notices: each place where a rule enters a plan is left open once, and the answers must differ.

A fault is planted where the plan is made, by what called for the rule, so that one way to a row is open at a time.
"""

import sys
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any

import pytest

from backstay.model.predicate import ANYONE
from backstay.plan import planner, resolve
from backstay.plan.planner import _Planner
from backstay.plan.resolve import Resolver
from backstay.plan.tree import FALSE
from backstay.plan.tree import Test as Comparison
from backstay.store.sql import Compiler
from backstay.store.sqlite_dialect import SQLiteDialect
from tests.oracle.arena import CASES_PER_WORLD, Broken, Disagreement, arena, make_case
from tests.oracle.world import World, make_world

WORLDS = 60
Plant = Callable[[pytest.MonkeyPatch], None]
world_of = cache(make_world)


def called_by(*names: str, where: Callable[[dict[str, Any]], bool] = lambda values: True) -> bool:
    """Whether the function that is being replaced was called by these, the nearest first."""
    frame: FrameType | None = sys._getframe(2)
    values: dict[str, Any] = {}
    for name in names:
        if frame is None or frame.f_code.co_name != name:
            return False
        values, frame = frame.f_locals, frame.f_back
    return where(values)


def open_way(*names: str, where: Callable[[dict[str, Any]], bool] = lambda values: True) -> Plant:
    """No read rule where it is asked for along this way."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        rule = Resolver.rule

        def opened(self: Resolver, entity: Any, action: Any) -> Any:
            return ANYONE if called_by(*names, where=where) else rule(self, entity, action)

        patch.setattr(Resolver, "rule", opened)

    return plant


def show_part(name: str) -> Plant:
    """The visibility of a to-many relation by row is not asked for here."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        visibility = Resolver.visibility

        def opened(self: Resolver, part: Any) -> Any:
            return ANYONE if called_by(name) else visibility(self, part)

        patch.setattr(Resolver, "visibility", opened)

    return plant


def replaced(place: Any, name: str, made: Callable[[Any], Any]) -> Plant:
    """One function made anew from the old one."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(place, name, made(getattr(place, name)))

    return plant


def everything(visible: Any) -> Any:
    return lambda self, entity: {**entity.fields, **entity.computed, **entity.to_many}


def secrets(visible: Any) -> Any:
    def shown(self: Resolver, entity: Any) -> dict[str, Any]:
        return {**{name: one for name, one in entity.fields.items() if one.write_only}, **visible(self, entity)}

    return shown


def careless_next(next_: Any) -> Any:
    def made(key: Any, value: Any) -> Any:
        return FALSE if value is None else Comparison("lt" if key.descending else "gt", key.by, value)

    return made


FAULTS: dict[str, Plant] = {
    "the rows of a list": open_way("source", "_listing", where=lambda values: "rows" not in values),
    "the count of a list": open_way("source", "_listing", where=lambda values: "rows" in values),
    "search": open_way("source", "_listing", where=lambda values: values["root"].search is not None),
    "a page behind a cursor": open_way("source", "_listing", where=lambda values: values["root"].after is not None),
    "one record": open_way("source", "_one"),
    "numbers about groups": open_way("source", "_aggregate"),
    "an expanded record": open_way("source", "_to_one"),
    "expanded records": open_way("source", "_to_many"),
    "the model in between": open_way("related"),
    "a filter through a relation": open_way("source", "_within"),
    "a path through a relation": open_way("_path"),
    "quantifiers and totals": open_way("_many"),
    "a record on the way to a quantifier": open_way("_may_read"),
    "fields hidden by row": replaced(Resolver, "_guard", lambda guard: lambda self, part, value, frame, viewer: value),
    "an expanded relation hidden by row": show_part("_to_many"),
    "a quantified relation hidden by row": show_part("_many"),
    "fields hidden by role": replaced(Resolver, "visible", everything),
    "secrets": replaced(Resolver, "visible", secrets),
    "closed models": replaced(_Planner, "require", lambda require: lambda self, entity: None),
    "the anonymous": replaced(resolve, "fold", lambda fold: lambda rule, signed_in, roles: fold(rule, True, roles)),
    "roles": replaced(
        resolve, "fold",
        lambda fold: lambda rule, signed_in, roles: fold(rule, signed_in, roles | {"staff"}),
    ),
    "negation beside null": replaced(
        Compiler, "_negated", lambda negated: lambda self, text, no, unsure: f"NOT ({text})" if no else text
    ),
    "the place of nulls": replaced(
        SQLiteDialect, "order", lambda order: lambda self, sql, descending, null: sql + " DESC" * descending
    ),
    "nulls behind a cursor": replaced(planner, "_next", careless_next),
}  # fmt: skip


async def disagreement(world: World) -> str:
    """The first case of a world that is answered wrong, or nothing."""
    async with arena(world.seed, None, world=world) as here:
        for number in range(world.seed * CASES_PER_WORLD, (world.seed + 1) * CASES_PER_WORLD):
            try:
                await here.check(make_case(number, world))
            except Broken:
                raise
            except Disagreement as found:
                return str(found)
    return ""


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[fault](monkeypatch)
    for number in range(WORLDS):
        if await disagreement(world_of(number)):
            return
    pytest.fail(f"{fault}: left open, and no answer of {WORLDS * CASES_PER_WORLD} cases differs")
