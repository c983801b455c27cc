"""What is looked at of the declaration: rules that are open to all, and relations that are read without an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ForeignKeyConstraint

from backstay.api.action import Action
from backstay.doctor.examination import Check, Patient
from backstay.model.field import Action as ActionName
from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, Always, And, Compare, Condition, Me, Or, Path, normal


def _served(patient: Patient) -> Iterator[Entity]:
    yield from patient.app.schema.by_plural().values()


def open_changes(patient: Patient) -> Iterator[str]:
    actions: tuple[ActionName, ...] = ("update", "delete")
    for entity in _served(patient):
        for action in actions:
            if normal(entity.rules[action]) == ANYONE:
                yield f"anyone may {action} every {entity.name}, signed in or not."


def open_creates(patient: Patient) -> Iterator[str]:
    for entity in _served(patient):
        if normal(entity.rules["create"]) == ANYONE:
            yield f"anyone may create {entity.name}, signed in or not."


def open_actions(patient: Patient) -> Iterator[str]:
    for action in patient.app.actions:
        if _unlimited(action):
            yield f"{action.method} {action.path} may be called by anyone, as often as they like."


def _unlimited(action: Action) -> bool:
    return action.allow == ANYONE and action.method != "GET" and not action.rates


def closed_models(patient: Patient) -> Iterator[str]:
    for entity in _served(patient):
        if all(normal(rule) == Always(False) for rule in entity.rules.values()):
            yield f"nobody may do anything with {entity.name}."


def relations(patient: Patient) -> Iterator[str]:
    """Those of tables that somebody else made; ours have theirs."""
    for entity in patient.app.schema.entities.values():
        if entity.existing is None:
            continue
        first = {columns[0] for columns in _indexed(entity.model.__table__)}
        for field in entity.fields.values():
            if field.target is not None and field.column not in first:
                yield f"{entity.name}.{field.name} has no index: the whole table is read for one {field.target.name}."


def _indexed(table: Any) -> Iterator[list[str]]:
    """The columns of each index of a table of SQLAlchemy's, and of what is unique there."""
    for index in (*table.indexes, *table.constraints):
        columns = [column.name for column in getattr(index, "columns", ())]
        if columns and not isinstance(index, ForeignKeyConstraint):
            yield columns


def owners(patient: Patient) -> Iterator[str]:
    for entity in patient.app.schema.entities.values():
        if entity.existing is not None or entity.hidden:
            continue
        first = {index.fields[0] for index in entity.indexes if index.kind != "search"} | {"id"}
        for name in _compared(normal(entity.rules["read"])):
            field = entity.fields.get(name)
            if field is not None and field.target is None and name not in first:
                yield f"the read rule of {entity.name} asks for {name}, which has no index."


def _compared(rule: Condition) -> Iterator[str]:
    """Fields of the record itself that a rule compares with who asks."""
    match rule:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _compared(part)
        case Compare("eq", Path(names), Me()) if len(names) == 1:
            yield names[0]


CHECKS = (
    Check("open-changes", "unsafe", "What anyone may change or delete is named in a rule on purpose.",
          "Narrow the rule, or accept it.", open_changes),
    Check("open-creates", "advice", "What anyone may create has a limit.",
          "Narrow the rule, or set requests_per_client.", open_creates),
    Check("open-actions", "advice", "Actions that anyone may call have a limit.",
          'Write limit="10/minute" beside its allow.', open_actions),
    Check("closed-models", "advice", "Each model that is served has rules.", "Write its rules.", closed_models),
    Check("relation-index", "advice", "Each relation of an existing table has an index.",
          "Let its own migrations add one.", relations),
    Check("rule-index", "advice", "What a read rule compares with who asks has an index.",
          "Add it to `indexes`.", owners),
)  # fmt: skip
