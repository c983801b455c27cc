"""The shape of a change with its statements: everything about a write that does not depend on its values.

Invariant: a shape belongs to one key of `shape_key`, so what is remembered here for one actor is only ever used for
actors of the same standing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

from backstay.model.field import Entity, Field
from backstay.plan.actor import Actor
from backstay.plan.bind import Binder, binders
from backstay.plan.limits import Limits
from backstay.plan.tree import Check
from backstay.plan.write import Shape, stored
from backstay.store import rows
from backstay.store.changes import appending, keeping_held
from backstay.store.dialect import Dialect, named
from backstay.store.sql import Encoders, compile_check, encode
from backstay.telemetry.trace import stage

T = TypeVar("T")
_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled check: its text, and what makes its parameters."""

    check: Check
    text: str
    encoders: Encoders
    binders: tuple[Binder, ...]

    def values(self, values: Sequence[Any], actor: Actor, now: datetime, old: Sequence[Any] = ()) -> list[Any]:
        """The parameters as the driver takes them. Raises `BadRequest` where a value is none."""
        return encode(self.encoders, [make(values, actor, now, old) for make in self.binders])


@dataclass(frozen=True, slots=True)
class Held:
    """The statement that finds and holds a record, and changes it where its guard holds.

    It gives a row where the check before finds the record: what is kept of it, whether the guard holds, and then its
    new version and its new record, or nulls. Its parameters are those of the check, of the change, and those that
    `changes.keeping_held` names.
    """

    text: str
    takes: rows.Takes

    def values(self, record: Mapping[str, Any]) -> list[Any]:
        """The parameters of the change that come from the record, as the driver takes them."""
        return rows.taken_by(self.takes, record)


def hold(shape: Shape, before: Prepared, names: tuple[str, ...], dialect: Dialect) -> Held:
    """The statement of a change that its check before stands in: the row is held first, as it now is.

    What is worked out from the row is worked out where it is held. The UPDATE sees the row as it was when the statement
    began, until it finds that somebody has changed it since; PostgreSQL checks the constraints of the new row before
    that, and would refuse what a row that is no more would have become.
    """
    assert shape.before is not None
    first = len(before.encoders)
    change = rows.altering(shape, names, dialect, first)
    guarded = shape.before.guard is not None
    was, _ = compile_check(
        before.check, dialect, [f"{text} AS s{at}" for at, (_, text) in enumerate(change.worked_out)]
    )
    sets = ", ".join([*(f"{column} = was.s{at}" for at, (column, _) in enumerate(change.worked_out)), *change.sets])
    kept = "".join(f"was.o{at}, " for at in range(len(shape.before.captured)))
    holds = "was.g = 1" if guarded else "TRUE"
    writes = (
        f"UPDATE {named(shape.entity)} AS t0 SET {sets} FROM was WHERE {change.found} AND {holds} "
        f'RETURNING t0."_version" AS v, {change.compiler.record(stored(shape.entity))} AS j'
    )
    keeps = keeping_held(shape.entity.name, dialect, first + len(shape.set_params) + len(change.parts))
    return Held(
        f"WITH was AS ({was}), w AS ({writes}), c AS ({keeps}) "
        f"SELECT {kept}{holds}, w.v, w.j FROM was LEFT JOIN w ON TRUE",
        rows.takes_of(change.parts, dialect),
    )


def prepare(check: Check, dialect: Dialect, limits: Limits) -> Prepared:
    """The statement of a check."""
    with stage("compile"):
        text, encoders = compile_check(check, dialect)
        return Prepared(check, text, encoders, binders(check.params, limits))


@dataclass(slots=True)
class PreparedShape:
    """A shape, and the statements of it that were needed so far."""

    shape: Shape
    dialect: Dialect
    limits: Limits
    _checks: dict[int, Prepared] = field(default_factory=dict)
    _alterations: dict[tuple[str, ...], rows.RowWrite] = field(default_factory=dict)
    _held: dict[tuple[str, ...], Held] = field(default_factory=dict)
    _set_binders: tuple[Binder, ...] | None = None

    def check(self, check: Check) -> Prepared:
        """The statement of one of the shape's own checks."""
        if (known := self._checks.get(id(check))) is None:
            known = self._checks[id(check)] = prepare(check, self.dialect, self.limits)
        return known

    def alteration(self, names: tuple[str, ...]) -> rows.RowWrite:
        """The statement that changes these fields; hooks may add some to those that were named."""
        if (known := self._alterations.get(names)) is None:
            with stage("compile"):
                known = self._alterations[names] = rows.alteration(self.shape, names, self.dialect)
        return known

    def held(self, check: Check, names: tuple[str, ...]) -> Held:
        """The statement that finds the record by the check before and changes these fields, at once."""
        if (known := self._held.get(names)) is None:
            before = self.check(check)
            with stage("compile"):
                known = self._held[names] = hold(self.shape, before, names, self.dialect)
        return known

    def set_values(self, actor: Actor, now: datetime) -> list[Any]:
        """The parameters of what is set by an expression."""
        if self._set_binders is None:
            self._set_binders = binders(self.shape.set_params, self.limits)
        if not self._set_binders:
            return []
        encoders = [self.dialect.encoder(spec) for spec in self.shape.set_params]
        return encode(tuple(enumerate(encoders)), [make((), actor, now, ()) for make in self._set_binders])


class EntityWrites:
    """The statements of one database that write records, by entity: those that no shape changes."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._known: dict[tuple[str, str], Any] = {}

    def insertion(
        self, entity: Entity, without: frozenset[str] = frozenset(), *, chosen: bool = False
    ) -> rows.RowWrite:
        """The statement that adds a record, whose id was `chosen` or is new, without the fields the database fills."""
        if len(self._known) >= _KEPT:  # clients choose what they send, so there may be many of these
            self._known.clear()
        name = " ".join((entity.name, *sorted(without)))
        kind = "insertion" if not chosen else "insertion under an id"
        return self._once(kind, name, lambda: rows.insertion(entity, without, self.dialect, chosen=chosen))

    def removal(self, entity: Entity) -> rows.RowWrite:
        """The statement that ends a record."""
        return self._once("removal", entity.name, lambda: rows.removal(entity, self.dialect))

    def following(self, entity: Entity, relation: Field) -> str:
        """The statement that finds some of the records that refer to others."""
        name = f"{entity.name}.{relation.name}"
        return self._once("following", name, lambda: rows.following(entity, relation, self.dialect))

    def many_removed(self, entity: Entity) -> str:
        """The statement that ends records by their ids."""
        return self._once("many_removed", entity.name, lambda: rows.many_removed(entity, self.dialect))

    def many_let_go(self, entity: Entity, relation: Field) -> str:
        """The statement that makes a relation null in records by their ids."""
        name = f"{entity.name}.{relation.name}"
        return self._once("many_let_go", name, lambda: rows.many_let_go(entity, relation, self.dialect))

    def appending(self, number: int) -> str:
        """The statement that keeps so many changes."""
        return self._once("appending", str(number), lambda: appending(self.dialect, number))

    def _once(self, kind: str, name: str, make: Callable[[], T]) -> T:
        if (known := self._known.get((kind, name))) is None:
            with stage("compile"):
                known = self._known[kind, name] = make()
        return cast(T, known)
