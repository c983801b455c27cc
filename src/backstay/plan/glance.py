"""A plan answered for one row in memory: whether its predicate holds, and what an expression is worth.

This is the predicate that stands in the statement, with rules, visibility and filter in it; nothing is resolved again.
Invariant: two-valued logic as in SQL: a test with null is false and its negation true. It is for near plans alone
(`plan/dependency.py`); what looks beyond the row raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, eq, ge, gt, le, lt, mul, sub
from typing import Any, TypeAlias

from backstay.model.field import Entity
from backstay.model.folding import fold, search_text
from backstay.model.value import Money
from backstay.plan.tree import (
    All,
    Any_,
    Calc,
    Case,
    Column,
    Constant,
    DatePart,
    Expr,
    Guarded,
    Matches,
    Null,
    Param,
    Predicate,
    Test,
    Truth,
)

Columns: TypeAlias = Mapping[str, Any]

_SIGNS = {"eq": eq, "lt": lt, "lte": le, "gt": gt, "gte": ge}
_CALC = {"add": add, "subtract": sub, "multiply": mul, "concat": add}


@dataclass(frozen=True, slots=True)
class Glance:
    """One row as its table holds it, and the values of the plan's parameters."""

    columns: Columns
    bound: Sequence[Any]

    def holds(self, predicate: Predicate) -> bool:
        """Whether a predicate is true of the row."""
        match predicate:
            case Constant(value):
                return value
            case All(parts):
                return all(self.holds(part) for part in parts)
            case Any_(parts):
                return any(self.holds(part) for part in parts)
            case Test(op, left, right, negated):
                return self._test(op, self.value(left), self.value(right)) != negated
            case Null(of, negated):
                return (self.value(of) is None) != negated
            case Matches(entity, _, needle, negated):
                return self._matches(entity, self.bound[needle.index]) != negated
            case _:
                raise TypeError(f"{type(predicate).__name__} looks beyond the row")

    def _test(self, op: str, left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        match op:
            case "in":
                return left in right
            case "has" | "contains" | "icontains":
                return right in left
            case "starts_with":
                return bool(left.startswith(right))
            case _:
                return bool(_SIGNS[op](left, right))

    def _matches(self, entity: Entity, needle: Sequence[str]) -> bool:
        there = search_text([self.columns.get(name) for name in entity.search])
        return bool(needle) and f" {needle[-1]}" in there and all(f" {word} " in there for word in needle[:-1])

    def value(self, expr: Expr) -> Any:
        """The canonical value of an expression, or `None`."""
        match expr:
            case Param(index):
                return self.bound[index]
            case Column(_, name):
                return self.columns[name]
            case Guarded(when, value):
                return self.value(value) if self.holds(when) else None
            case Case(when, then, otherwise):
                return self.value(then if self.holds(when) else otherwise)
            case Truth(predicate):
                return self.holds(predicate)
            case Calc(op, args):
                return self._calculated(op, [self.value(arg) for arg in args])
            case DatePart(of, part):
                value = self.value(of)
                return value.isoformat()[: {"day": 10, "month": 7, "year": 4}[part]] if value is not None else None
            case _:
                raise TypeError(f"{type(expr).__name__} looks beyond the row")

    def _calculated(self, op: str, values: list[Any]) -> Any:
        if op == "coalesce":
            return next((value for value in values if value is not None), None)
        if any(value is None for value in values):
            return None
        return fold(values[0]) if op == "fold" else reduce(_CALC[op], values)


def columns_of(entity: Entity, values: Mapping[str, Any]) -> Columns:
    """The columns of a record from its canonical values by field; secrets are not among them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        field = entity.fields[name]
        found[field.column] = value.amount if isinstance(value, Money) else value
        if len(field.columns) == 2:
            found[field.columns[1]] = value.currency if value is not None else None
        if field.folded:
            found[field.folded] = fold(value) if value is not None else None
    return found
