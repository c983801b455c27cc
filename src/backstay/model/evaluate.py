"""A condition answered in memory for one record: the same answer that SQL gives, without a database.

Everything is handed in: who is asking, the instant, and where related records are found. Invariant: two-valued
logic. The condition is folded as the planner folds it, then an atom with null is false and its negation true.
Names mean what they say here (the developer's authority); what a viewer may see is for the planner to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add, ge, gt, le, lt, mul, sub
from typing import Any, Protocol, TypeAlias

from backstay.model.field import Computed, Entity, Field
from backstay.model.folding import fold as fold_text
from backstay.model.folding import search_text, words
from backstay.model.predicate import (
    Always,
    And,
    Arithmetic,
    Brought,
    Choice,
    Compare,
    Condition,
    IsNull,
    Me,
    Not,
    Now,
    Operand,
    Or,
    Path,
    Quantified,
    Search,
    Slot,
    Total,
    Value,
    fold,
    normal,
)
from backstay.model.value import INSTANT, INTEGER, TEXT, Kind, Money, calculated, minor_units, parse, plain

Row: TypeAlias = Mapping[str, Any]
"""Canonical values by field name; a relation holds the id of its record."""

_ORDERS = {"lt": lt, "lte": le, "gt": gt, "gte": ge}
_ARITHMETIC = {"add": add, "subtract": sub, "multiply": mul, "concat": add}


class Records(Protocol):
    """Where related records are found."""

    def find(self, entity: Entity, key: Any) -> Row | None:
        """The record with this id."""
        ...

    def children(self, entity: Entity, via: str, key: Any) -> Iterable[Row]:
        """The records whose relation `via` names this id."""
        ...


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who is asking, when, and what else there is. `values` are those a condition's slots point to."""

    user: Entity
    records: Records
    now: datetime
    me: Any = None
    roles: frozenset[str] = frozenset()
    values: Sequence[Any] = ()
    brought: Mapping[str, str] = field(default_factory=dict)
    """The hashes of the secrets that the request brings, by header."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One record in sight, and how it was before a change."""

    entity: Entity
    row: Row
    old: Row | None = None


def holds(
    condition: Condition, entity: Entity, row: Row, circumstances: Circumstances, *, old: Row | None = None
) -> bool:
    """Whether a condition is true of a record. `old` is the record before a change, for `old(...)`."""
    return _Evaluation(circumstances).holds(condition, [Sight(entity, row, old)])


def value_of(
    operand: Operand | Condition, entity: Entity, row: Row, circumstances: Circumstances, *, old: Row | None = None
) -> Any:
    """The canonical value of an operand, or of a computed field, for a record."""
    return _Evaluation(circumstances).computed(operand, [Sight(entity, row, old)])


class _Evaluation:
    """Answers for one set of circumstances. `sights[0]` is the record, the others the quantifiers around it."""

    def __init__(self, circumstances: Circumstances) -> None:
        self.given = circumstances

    def holds(self, condition: Condition, sights: list[Sight]) -> bool:
        """The condition, with everything about the actor decided first."""
        given = self.given
        folded = fold(normal(condition), given.me is not None, given.roles, frozenset(given.brought))
        return self._walk(folded, sights)

    def _walk(self, condition: Condition, sights: list[Sight]) -> bool:
        match condition:
            case Always(value):
                return value
            case And(parts):
                return all(self._walk(part, sights) for part in parts)
            case Or(parts):
                return any(self._walk(part, sights) for part in parts)
            case Not(part):
                return not self._walk(part, sights)
            case Compare():
                return self._compare(condition, sights)
            case IsNull(operand):
                return self.value(operand, sights) is None
            case Search(needle, root):
                return self._search(self._constant(needle, TEXT), sights[root])
            case Quantified(kind, path, body):
                found = any(self._walk(body, [*sights, sight]) for sight in self._many(path, sights))
                return found != (kind == "none")
            case _:
                raise TypeError(f"{condition} is not folded")

    def _compare(self, atom: Compare, sights: list[Sight]) -> bool:
        kind = self._kind(atom.left, sights) or self._kind(atom.right, sights) or TEXT
        left = self._side(atom.left, kind, sights)
        if atom.op in ("contains", "icontains", "starts_with"):
            kind = kind.item if kind.item is not None else TEXT
        right = self._side(atom.right, kind, sights, many=atom.op == "in")
        if left is None or right is None:
            return False
        match atom.op:
            case "in":
                return left in right
            case "contains":
                return right in left
            case "icontains":
                return fold_text(right) in fold_text(left)
            case "starts_with":
                return bool(left.startswith(right))
        if isinstance(left, Money) and isinstance(right, Money):
            if left.currency != right.currency:
                return False
            left, right = left.amount, right.amount
        return bool(left == right if atom.op == "eq" else _ORDERS[atom.op](left, right))

    def _search(self, needle: str, sight: Sight) -> bool:
        *whole, last = words(needle) or [""]
        there = search_text([sight.row.get(name) for name in sight.entity.search])
        return bool(last) and f" {last}" in there and all(f" {word} " in there for word in whole)

    def _many(self, path: Path, sights: list[Sight]) -> Iterator[Sight]:
        """The records of a to-many relation, each in sight."""
        *way, name = path.names
        start = sights[path.root]
        entity, row = start.entity, self._moment(start, path)
        for step in way:
            field = entity.fields[step]
            assert field.target is not None
            entity, row = field.target, self._find(field.target, row[step] if row is not None else None)
        if row is None:
            return
        relation = entity.to_many[name]
        for child in self.given.records.children(relation.through or relation.target, relation.via, row["id"]):
            target = self._find(relation.target, child[relation.onward]) if relation.through is not None else child
            if target is not None:
                yield Sight(relation.target, target)

    # Operands.

    def computed(self, value: Operand | Condition, sights: list[Sight]) -> Any:
        """An operand's value, or the truth of a condition."""
        if isinstance(value, (Path, Value, Slot, Me, Brought, Now, Arithmetic, Total, Choice)):
            return self.value(value, sights)
        return self.holds(value, sights)

    def value(self, operand: Operand, sights: list[Sight]) -> Any:
        """The canonical value of an operand, or `None`."""
        match operand:
            case Path(names, root):
                return self._read(sights[root].entity, self._moment(sights[root], operand), names)
            case Value() | Slot():
                return self._raw(operand)
            case Me(names):
                user = self._find(self.given.user, self.given.me) if names else None
                return self._read(self.given.user, user, names) if names else self.given.me
            case Brought(header):
                return self.given.brought[header]
            case Now(offset):
                return self.given.now + offset
            case Arithmetic(op, args):
                return self._arithmetic(op, args, self._kind(operand, sights) or INTEGER, sights)
            case Total():
                return self._total(operand, sights)
            case Choice(when, then, otherwise):
                kind = self._kind(operand, sights) or TEXT
                return self._side(then if self.holds(when, sights) else otherwise, kind, sights)

    def _side(self, operand: Operand, kind: Kind, sights: list[Sight], *, many: bool = False) -> Any:
        """An operand beside a value of `kind`: constants are read as that kind."""
        return (
            self._constant(operand, kind, many) if isinstance(operand, (Slot, Value)) else self.value(operand, sights)
        )

    def _raw(self, operand: Slot | Value) -> Any:
        return operand.value if isinstance(operand, Value) else self.given.values[operand.index]

    def _constant(self, operand: Operand, kind: Kind, many: bool = False) -> Any:
        assert isinstance(operand, (Slot, Value))
        raw, kind = self._raw(operand), plain(kind)
        return [_fit(kind, item) for item in raw] if many else _fit(kind, raw)

    def _arithmetic(self, op: str, args: tuple[Operand, ...], kind: Kind, sights: list[Sight]) -> Any:
        beside = INTEGER if op == "multiply" and kind.name in ("money", "decimal") else kind
        values = [self._side(arg, beside, sights) for arg in args]
        if op == "coalesce":
            return next((value for value in values if value is not None), None)
        if any(value is None for value in values):
            return None
        if kind.name != "money":
            return reduce(_ARITHMETIC[op], values)
        return Money(reduce(_ARITHMETIC[op], [getattr(value, "amount", value) for value in values]), kind.currency)

    def _total(self, total: Total, sights: list[Sight]) -> Any:
        inner = [[*sights, sight] for sight in self._many(total.path, sights)]
        inner = [sights for sights in inner if self.holds(total.where, sights)]
        if total.of is None:
            return len(inner)
        values = [value for sights in inner if (value := self.value(total.of, sights)) is not None]
        if total.fn == "count":
            return len(values)
        if total.fn == "sum":
            return reduce(add, values) if values else _nothing(self._kind(total, sights) or INTEGER)
        by = (min if total.fn == "min" else max) if values else None
        return by(values) if by is not None else None

    def _moment(self, sight: Sight, path: Path) -> Row | None:
        return sight.old if path.when == "old" else sight.row

    def _find(self, entity: Entity, key: Any) -> Row | None:
        return self.given.records.find(entity, key) if key is not None else None

    def _read(self, entity: Entity, row: Row | None, names: tuple[str, ...]) -> Any:
        if row is None:
            return None
        if not names:
            return row["id"]
        name, rest = names[0], names[1:]
        if (computed := entity.computed.get(name)) is not None:
            return self.computed(computed.value, [Sight(entity, row)])
        field = entity.fields[name]
        value = row[name]
        if not rest or value is None or (field.target is not None and rest == ("id",)):
            return value
        if field.target is not None:
            return self._read(field.target, self._find(field.target, value), rest)
        if isinstance(value, Money):
            return value.amount if rest == ("amount",) else value.currency
        assert isinstance(value, date)
        return value.isoformat()[: {"day": 10, "month": 7, "year": 4}[rest[0]]]

    # Kinds, which constants are read as.

    def _kind(self, operand: Operand, sights: list[Sight]) -> Kind | None:
        match operand:
            case Path(names, root):
                return _kind_at(sights[root].entity, names, self)
            case Me(names):
                return _kind_at(self.given.user, names, self)
            case Now():
                return INSTANT
            case Brought() | Arithmetic("concat"):
                return TEXT
            case Arithmetic(op, args):
                kinds = [kind for arg in args if (kind := self._kind(arg, sights)) is not None]
                return calculated(op, kinds) if kinds else None
            case Total(fn, path, of, _):
                if of is None or fn == "count":
                    return INTEGER
                entity = sights[path.root].entity
                for step in path.names[:-1]:
                    entity = entity.fields[step].target or entity
                return self._kind(of, [*sights, Sight(entity.to_many[path.names[-1]].target, {})])
            case Choice(_, then, otherwise):
                return self._kind(then, sights) or self._kind(otherwise, sights)
            case _:
                return None


def _kind_at(entity: Entity, names: tuple[str, ...], evaluation: _Evaluation) -> Kind:
    if not names:
        return plain(entity.key.kind)
    part: Field | Computed = entity.computed[names[0]] if names[0] in entity.computed else entity.fields[names[0]]
    if len(names) == 1 or isinstance(part, Computed):
        return part.kind
    if part.target is not None:
        return _kind_at(part.target, names[1:], evaluation)
    return INTEGER if names[1] == "amount" else TEXT


def _fit(kind: Kind, raw: Any) -> Any:
    """A constant as a canonical value."""
    return parse(kind, minor_units(kind, raw))


def _nothing(kind: Kind) -> Any:
    """The sum of no values."""
    if kind.name == "money":
        return Money(0, kind.currency)
    return timedelta() if kind.name == "duration" else 0


__all__ = ["Circumstances", "Records", "Row", "Sight", "holds", "value_of"]
