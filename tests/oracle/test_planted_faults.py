"""The oracle notices: each place where a rule enters a plan is left open once, and the answers must differ.

A fault is planted where the plan is made, by what called for the rule, so that one way to a row is open at a time. The
faults of writes are left out checks, one at a time, and doors that write above the rules.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import FrameType
from typing import Any

import pytest

from backstay.api import batch, rest
from backstay.model.predicate import ANYONE
from backstay.plan import planner, resolve, write
from backstay.plan.planner import _Planner
from backstay.plan.resolve import Resolver
from backstay.plan.tree import FALSE, After
from backstay.plan.tree import Test as Comparison
from backstay.store import rows, series, transaction
from backstay.store.engine import Engine
from backstay.store.sql import Compiler
from backstay.store.sqlite_dialect import SQLiteDialect
from backstay.store.transaction import KeyTaken, Transaction
from backstay.store.whole import Whole
from tests.oracle import write_arena
from tests.oracle.arena import CASES_PER_WORLD, Broken, Disagreement, arena, make_case
from tests.oracle.world import World, make_world
from tests.oracle.write_arena import ACTS_PER_WORLD, Case, Expected
from tests.oracle.writing_world import make_writing_world

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
    "the anonymous": replaced(resolve, "fold", lambda fold: lambda rule, signed_in, *who: fold(rule, True, *who)),
    "roles": replaced(
        resolve, "fold",
        lambda fold: lambda rule, signed_in, roles, *more: fold(rule, signed_in, roles | {"staff"}, *more),
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


# Writes.


def above_the_rules(carry_out: Any) -> Any:
    """A door that hands on a transaction above the rules; it is the first argument."""
    return lambda tx, *arguments: carry_out(tx.as_system, *arguments)


def only_sight_above(put: Any) -> Any:
    """Whatever is there under an id is seen, and then written by the rules."""

    async def made(tx: Any, ask: Any) -> Any:
        looked = tx.as_system.read_one

        class Seeing:
            read_one = staticmethod(looked)
            write = staticmethod(tx.write)

        return await put(Seeing(), ask)

    return made


def above_inside(write_nest: Any) -> Any:
    """What is inside a record is written above the rules."""

    async def made(self: Any, nest: Any, linked: Any) -> Any:
        return await write_nest(self.as_system if self._whole.inside else self, nest, linked)

    return made


def unlike_null(old: Any) -> Any:
    """What was kept from before is never null."""
    return lambda self, kept, frames: replace(old(self, kept, frames), nullable=False)


def forgetful(keep_old: Any) -> Any:
    """`old(...)` means what stands there now."""
    return lambda self: []


def only_the_text(parts_of: Any) -> Any:
    """What stands beside a field is not written with it."""
    return lambda field: [*parts_of(field)[:1], *([] if not field.folded else [unfolded(parts_of(field)[1])])]


def unfolded(part: Any) -> Any:
    return replace(part, take=lambda values: values.get(part.column.removesuffix("__folded")))


WRITE_FAULTS: dict[str, Plant] = {
    "the row before": replaced(write, "_open", lambda open_: lambda condition: ANYONE),
    "the row after": replaced(write, "_after", lambda after: lambda *arguments: (After(), ())),
    "old values": replaced(Resolver, "keep_old", forgetful),
    "old values beside null": replaced(Resolver, "_old", unlike_null),
    "sight of what is changed": open_way("source", "_before", "_shape_update"),
    "sight of what is deleted": open_way("source", "_before", "_shape_delete"),
    "why a change was refused": open_way("source", "_one"),
    "links of a new record": open_way("source", "_visible", "<dictcomp>", "_sight", "_shape_create"),
    "links of a change": open_way("source", "_visible", "<dictcomp>", "_sight", "_shape_update"),
    "members that are not seen": replaced(
        write, "_members", lambda members: lambda *arguments: tuple(
            replace(one, visible=None) for one in members(*arguments)
        ),
    ),
    "fields closed by role": replaced(write, "_closed", lambda closed: lambda resolver, field: field.read_only),
    "fields closed by row": replaced(write, "_write_rules", lambda rules: lambda *arguments: []),
    "fields that are hidden": replaced(Resolver, "visible", everything),
    "models closed by role": replaced(
        write, "permit", lambda permit: lambda resolver, entity, action: resolver.rule(entity, action)
    ),
    "what is not said of a whole record": replaced(write, "_unsaid", lambda unsaid: lambda *arguments: ()),
    "what a whole record needs": replaced(series, "Update", lambda update: lambda *a, whole, **k: update(*a, **k)),
    "If-Match": replaced(rest, "version_of", lambda version_of: lambda request: None),
    "guards": replaced(
        Engine, "guard", lambda guard: lambda self, condition, entity, actor: guard(self, ANYONE, entity, actor)
    ),
    "a list of new records": replaced(rest, "create_all", above_the_rules),
    "a look at a list before": replaced(series, "check_all", lambda check_all: lambda *arguments: None),
    "a batch": replaced(batch, "_carry_out", lambda done: lambda one, tx, root: done(one, tx.as_system, root)),
    "PUT": replaced(rest, "put", above_the_rules),
    "PUT in a batch": replaced(batch, "put", above_the_rules),
    "PUT on what is hidden": replaced(rest, "put", only_sight_above),
    "an id taken by what is hidden": replaced(KeyTaken, "hidden", lambda hidden: lambda self: self),
    "rules on what is inside": replaced(Transaction, "_write_nest", above_inside),
    "rules on other rows": replaced(Whole, "due", lambda due: lambda self, check: None),
    "rules on other rows, when they stand": replaced(write, "looks_beyond", lambda looks_beyond: lambda part: False),
    "a look at all that is inside": replaced(transaction, "check_nest", lambda check: lambda nest, shape_of: None),
    "the relation to what is around": replaced(write, "_may_tie", lambda may_tie: lambda *arguments: True),
    "folded texts": replaced(rows, "parts_of", only_the_text),
}  # fmt: skip


@cache
def acts_of(number: int) -> list[tuple[Case, Expected]]:
    """The acts of a world, each with how it must end."""
    world, first = make_writing_world(number), number * ACTS_PER_WORLD
    cases = [write_arena.make_case(at, world) for at in range(first, first + ACTS_PER_WORLD)]
    return [(case, write_arena.expected(case, world)) for case in cases]


async def wrong_write(number: int) -> str:
    """The first act of a world that ends as it should not, or nothing."""
    acts = acts_of(number)
    async with write_arena.write_arena(number, None, acts[0][1].world) as here:
        for case, expected in acts:
            try:
                await here.check(case, expected)
            except Broken:
                raise
            except Disagreement as found:
                return str(found)
    return ""


@pytest.mark.parametrize("fault", WRITE_FAULTS)
async def test_a_planted_fault_of_writes_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITE_FAULTS[fault](monkeypatch)
    for number in range(WORLDS):
        if await wrong_write(number):
            return
    pytest.fail(f"{fault}: left out, and {WORLDS * ACTS_PER_WORLD} writes end as they should")
