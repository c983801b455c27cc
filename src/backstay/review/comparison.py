"""What a change of an application changes: in its API, in its tables and in who may do what.

Invariant: no access widens unsaid. A rule that differs is `narrowed` or `reworded` only where the form of both shows
that nobody may do more than before; otherwise it has to be named, also where nothing can be shown either way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from backstay.model.predicate import ANYONE, NOBODY, Condition, headers_of
from backstay.review import interface
from backstay.review.description import Decision, Description
from backstay.review.implication import Judgement, columns, judge
from backstay.store.snapshot import Snapshot
from backstay.store.snapshot import read as read_snapshot
from backstay.store.steps import course

Turn: TypeAlias = Literal["widened", "incomparable", "narrowed", "reworded", "new", "gone"]
_CONSTRAINTS = (
    "ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "precision", "scale", "choices",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One thing that differs in the tables, in words, and what it does to the records that are there."""

    words: str
    effect: str


@dataclass(frozen=True, slots=True)
class CellChange:
    """What one kind of viewer may do, before and now."""

    viewer: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One rule that differs. What `widens` must be named, unless it was `accepted`."""

    name: str
    turn: Turn
    before: str
    now: str
    cells: tuple[CellChange, ...] = ()
    wider_for: tuple[str, ...] = ()
    accepted: bool = False

    @property
    def widens(self) -> bool:
        """Whether somebody may do more, or may do more for all that can be shown."""
        return self.turn in ("widened", "incomparable")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a change changes."""

    api: tuple[interface.Change, ...]
    schema: tuple[SchemaChange, ...]
    rules: tuple[RuleChange, ...]
    needless: tuple[str, ...] = ()
    """What was accepted and does not widen."""

    @property
    def unnamed(self) -> tuple[str, ...]:
        """The rules that widen and were not named, as they are to be written."""
        return tuple(change.name for change in self.rules if change.widens and not change.accepted)


def compare(before: Description, now: Description, accept: Sequence[str] = ()) -> Comparison:
    """What a change changes; `accept` names the rules that are meant to widen. Raises `ValueError` for an old snapshot.

    Pure, no round trip.
    """
    rules = [replace(one, accepted=one.widens and one.name in accept) for one in _rules(before, now)]
    named = {one.name for one in rules if one.accepted}
    return Comparison(
        tuple(interface.changes(before.openapi, now.openapi)),
        tuple(_schema(read_snapshot(before.schema), read_snapshot(now.schema), before.schema, now.schema)),
        tuple(rules),
        tuple(name for name in dict.fromkeys(accept) if name not in named),
    )


# Rules.


def _rules(before: Description, now: Description) -> Iterator[RuleChange]:
    going_on = set()
    for name, rule in now.decisions.items():
        old = before.decisions.get(name) or before.decisions.get(rule.was)
        if old is not None:
            going_on.add(old.name)
            if (change := _changed(old, rule)) is not None:
                yield change
        elif rule.condition != NOBODY and (change := _new(before, rule)) is not None:
            yield change
    for name, rule in before.decisions.items():
        if name not in going_on and rule.of != "field":
            yield RuleChange(name, "gone", rule.words, "", _cells(rule, None, rule.roles))


def _new(before: Description, rule: Decision) -> RuleChange | None:
    """A rule where there was none: a model or an action that may be used now, or a field."""
    if rule.of == "field":
        if not {_read_of_model(rule.name), _read_of_model(rule.was)} & before.decisions.keys():
            return None  # its model is new, and what that allows is said of it
        if not rule.old_data:  # nothing was kept in it before
            return RuleChange(rule.name, "new", "", rule.words) if rule.condition != ANYONE else None
    nothing = replace(rule, condition=NOBODY, words="nobody", roles=frozenset())
    found = judge(NOBODY, rule.condition, rule.roles, by_row=rule.of != "action")
    turn: Turn = "widened" if found.widens else "new"
    return RuleChange(rule.name, turn, "", rule.words, _cells(nothing, rule, rule.roles), found.wider_for)


def _read_of_model(name: str) -> str:
    return f"{name.partition('.')[0]}.read"


def _changed(old: Decision, new: Decision) -> RuleChange | None:
    roles = old.roles | new.roles
    found = judge(old.condition, new.condition, roles, by_row=new.of != "action")
    if old.made != new.made and not found.widens and new.condition != NOBODY:
        found = Judgement("incomparable", ("whoever reads it",))  # the same right to another value
    if found.verdict == "same":
        return None
    before, now = (old.words, new.words) if old.made == new.made else (old.formula, new.formula)
    return RuleChange(new.name, found.verdict, before, now, _cells(old, new, roles), found.wider_for)


def _cells(old: Decision, new: Decision | None, roles: frozenset[str]) -> tuple[CellChange, ...]:
    """The cells of the matrix that differ."""
    everybody = columns(roles, headers_of(old.condition, *(() if new is None else (new.condition,))))
    found = []
    for standing in everybody:
        was = standing.fold(old.condition)
        now = standing.fold(new.condition) if new is not None else NOBODY
        by_row = old.of != "action"
        if was != now:
            before, after = _reach(was, by_row), _reach(now, by_row)
            if before == after == "by row":
                after = "by another row"
            if before != after:
                found.append(CellChange(standing.name, before, after))
    return tuple(found)


def _reach(left: Condition, by_row: bool) -> str:
    if left == ANYONE:
        return "always"
    return "never" if left == NOBODY or not by_row else "by row"


# Tables.


def _schema(was: Snapshot, now: Snapshot, before: bytes, after: bytes) -> Iterator[SchemaChange]:
    for step in course(Snapshot(was.schema, {}), Snapshot(now.schema, {}), "sqlite", 1).steps:
        if not step.words.endswith("must hold now."):  # said below, as it is declared
            yield SchemaChange(step.words, step.effect)
    old, new = _fields(before), _fields(after)
    for name, (kind, former) in new.items():
        if (known := old.get(name) or old.get(former)) is None or known[0].get("name") != kind.get("name"):
            continue
        for part in _CONSTRAINTS:
            if known[0].get(part) != kind.get(part):
                words = f"{name}: {part} is {_told(kind.get(part))}, and was {_told(known[0].get(part))}."
                yield SchemaChange(words, "locks")


def _fields(snapshot: bytes) -> dict[str, tuple[dict[str, Any], str]]:
    """The kind of each field, and what the field was called."""
    return {
        f"{model['name']}.{field['name']}": (
            field["kind"], f"{model['was'] or model['name']}.{field['was'] or field['name']}",
        )
        for model in json.loads(snapshot)["models"]
        for field in model["fields"]
    }  # fmt: skip


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "nothing" if value is None else str(value)
