"""The access matrix: who may do what with every model, its fields and the application's actions.

Invariant: it is made of the rules that requests are planned with, folded in the same way. `never` and `always` are
decided; `by row` comes with the condition that is left for the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from backstay.app import App
from backstay.model.field import ACTIONS, Computed, Entity, Field, ToMany
from backstay.model.predicate import ANYONE, NOBODY, Condition, SignedIn, both, describe, fold, headers_of, normal
from backstay.plan.planner import made_by_me
from backstay.review.implication import Standing, columns
from backstay.review.notation import roles_of, written

Reach: TypeAlias = Literal["never", "by row", "always"]
Part: TypeAlias = Field | Computed | ToMany


@dataclass(frozen=True, slots=True)
class Rule:
    """One decision of the application: what it is called, as it is enforced, and in words.

    `was` is its name before a declared rename. `of` says what it decides about; `old_data` that there may have been
    data behind it when the rule was not there. `made` is how a computed field is made.
    """

    name: str
    condition: Condition
    of: Literal["model", "field", "action"]
    was: str
    entity: Entity | None = None
    old_data: bool = True
    made: Any = None
    own: bool = True
    """Whether the declaration says something of its own here; fields without rules follow their model."""

    @property
    def words(self) -> str:
        """The rule as it is written in Python."""
        return describe(self.condition)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one kind of viewer may do; `where` is the condition on the record where it is by row."""

    reach: Reach
    where: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One action, or one field with a rule of its own, for every kind of viewer."""

    name: str
    rule: str
    cells: tuple[Cell, ...]

    def conditions(self, viewers: tuple[str, ...]) -> dict[str, list[str]]:
        """The conditions of this row, each with the viewers it stands for."""
        found: dict[str, list[str]] = {}
        for viewer, cell in zip(viewers, self.cells, strict=True):
            if cell.where:
                found.setdefault(cell.where, []).append(viewer)
        return found


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Who may do what with the records of one model, and with its fields that have rules of their own."""

    model: str
    plural: str
    actions: tuple[Row, ...]
    fields: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who may do what: a row for each action, a cell for each kind of viewer."""

    viewers: tuple[str, ...]
    models: tuple[ModelAccess, ...]
    actions: tuple[Row, ...]


def matrix(app: App) -> Matrix:
    """The access matrix of an application. Pure, no round trip."""
    found = list(rules(app))
    everybody = viewers(app)

    def row(rule: Rule, name: str) -> Row:
        return Row(name, rule.words, tuple(cell(rule, standing) for standing in everybody))

    models = []
    for entity in app.schema.by_plural().values():
        own = [rule for rule in found if rule.entity is entity]
        actions = tuple(row(rule, rule.name.rpartition(".")[2]) for rule in own if rule.of == "model")
        fields = tuple(row(rule, rule.name.partition(".")[2]) for rule in own if rule.of == "field" and rule.own)
        models.append(ModelAccess(entity.name, entity.plural, actions, fields))
    called = tuple(row(rule, rule.name) for rule in found if rule.of == "action")
    return Matrix(tuple(standing.name for standing in everybody), tuple(models), called)


def viewers(app: App) -> list[Standing]:
    """The kinds of viewers that the rules tell apart: nobody, somebody, and somebody with each role by itself."""
    roles = frozenset[str]().union(
        *(roles_of(written(rule.condition, rule.entity, app.schema.user)) for rule in rules(app))
    )
    return columns(roles, headers_of(*(rule.condition for rule in rules(app))))


def cell(rule: Rule, standing: Standing) -> Cell:
    """What a rule says for one standing."""
    left = standing.fold(rule.condition)
    if left == ANYONE:
        return Cell("always")
    if left == NOBODY or rule.of == "action":  # an action has no row that could decide
        return Cell("never")
    return Cell("by row", describe(left))


def rules(app: App) -> Iterator[Rule]:
    """Every decision of an application, in the order of the declaration."""
    for entity in app.schema.by_plural().values():
        former = entity.was or entity.name
        for action in ACTIONS:
            rule = normal(entity.rules[action])
            if action == "create" and made_by_me(entity) and fold(rule, False, frozenset()) != NOBODY:
                rule = both(SignedIn(), rule)  # whose it would be, the server cannot say
            yield Rule(f"{entity.name}.{action}", rule, "model", f"{former}.{action}", entity)
        parts: list[Part] = [*entity.fields.values(), *entity.computed.values(), *entity.to_many.values()]
        for part in parts:
            yield from _of_field(entity, part, f"{former}.{getattr(part, 'was', '') or part.name}")
    for own in app.actions:
        name = f"{own.method} {own.path}"
        yield Rule(name, own.allow, "action", name)


def _of_field(entity: Entity, part: Part, former: str) -> Iterator[Rule]:
    name = f"{entity.name}.{part.name}"
    made = part.value if isinstance(part, Computed) else None
    old_data = entity.existing is not None or made is not None
    secret = isinstance(part, Field) and part.write_only
    read = NOBODY if secret else normal(part.read)
    yield Rule(f"{name}.read", read, "field", f"{former}.read", entity, old_data, made, read != ANYONE)
    if isinstance(part, Computed):
        return
    by_server = isinstance(part, Field) and part.by_server
    write = NOBODY if by_server else normal(part.write)
    said = normal(part.write) != ANYONE
    yield Rule(f"{name}.write", write, "field", f"{former}.write", entity, old_data, None, said)
