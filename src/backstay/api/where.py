"""The filter object, `{"or": [{"stock": {"eq": 0}}, {"name": {"contains": "tea"}}]}`, read as a condition.

It is the same object in REST's `where`, in GraphQL and in live queries; `name_of` turns a protocol's spelling of a
field into ours. Nothing is looked up here: whether a name exists for this actor is for the planner to say.
Invariant: no part of the object is left out of the condition, also where another part decides it: what is always true
or false (`{}` inside `or`, an empty `or`) is said of the id, so that names and values beside it are still looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from backstay.errors import BadRequest, nearest
from backstay.model.predicate import (
    ANYONE,
    OPERATORS,
    QUANTIFIERS,
    Compare,
    Condition,
    IsNull,
    Not,
    Operator,
    Path,
    Quantified,
    Quantifier,
    Search,
    Value,
    both,
    either,
)

_MAX_DEPTH = 12
_NEGATED: dict[str, Operator] = {"ne": "eq", "not_in": "in"}


def parse_where(raw: object, name_of: Callable[[str], str] = str) -> Condition:
    """The condition of a filter object. Raises `BadRequest` that names the place."""
    return _object(raw, (), 0, "where", name_of, 0)


def compare(operator: str, path: Path, value: Any, place: str) -> Condition:
    """One comparison by its operator's name; null is a condition of its own."""
    if operator not in OPERATORS:
        raise BadRequest(
            f'{place}: "{operator}" is no operator.{nearest(operator, OPERATORS)}', code="unknown_operator"
        )
    if operator == "is_null":
        if value not in (True, False, "true", "false"):
            raise BadRequest(f"{place}: is_null takes true or false.", code="invalid_filter")
        return IsNull(path) if value in (True, "true") else Not(IsNull(path))
    if operator == "search":
        raise BadRequest(f"{place}: search is asked of the list, not of a field: search=words.", code="invalid_filter")
    if operator in ("in", "not_in") and isinstance(value, list) and None in value:
        raise BadRequest(f"{place}: a list of choices cannot hold null; use is_null.", code="invalid_filter")
    if value is None and operator in ("eq", "ne"):
        return IsNull(path) if operator == "eq" else Not(IsNull(path))
    if value is None:
        raise BadRequest(f"{place}: null has no {operator}; use is_null.", code="invalid_filter")
    positive = _NEGATED.get(operator)
    condition = Compare(positive or cast(Operator, operator), path, Value(value, place))
    return Not(condition) if positive else condition


def _object(
    raw: object, names: tuple[str, ...], root: int, place: str, name_of: Callable[[str], str], depth: int
) -> Condition:
    if not isinstance(raw, Mapping):
        raise BadRequest(f'{place} must be an object such as {{"price": {{"lt": 50}}}}.', code="invalid_filter")
    if not raw and names:
        raise BadRequest(f"{place} is empty: name an operator or a field.", code="invalid_filter")
    if depth > _MAX_DEPTH:
        raise BadRequest(f"{place} is nested deeper than {_MAX_DEPTH} levels.", code="too_expensive")
    return both(*(_entry(key, value, names, root, f"{place}.{key}", name_of, depth) for key, value in raw.items()))


def _part(
    raw: object, names: tuple[str, ...], root: int, place: str, name_of: Callable[[str], str], depth: int
) -> Condition:
    """A filter inside another one; an empty one is true of every record, which has an id."""
    found = _object(raw, names, root, place, name_of, depth)
    return Not(IsNull(Path(("id",), root))) if found == ANYONE else found


def _entry(
    key: str, value: Any, names: tuple[str, ...], root: int, place: str, name_of: Callable[[str], str], depth: int
) -> Condition:
    word = name_of(key)
    if word in ("and", "or"):
        if not isinstance(value, list):
            raise BadRequest(f"{place} must be a list of filters.", code="invalid_filter")
        parts = [_part(part, names, root, f"{place}[{i}]", name_of, depth + 1) for i, part in enumerate(value)]
        return both(*parts) if word == "and" else either(*parts) if parts else IsNull(Path(("id",), root))
    if word == "not":
        return Not(_part(value, names, root, place, name_of, depth + 1))
    if word == "search" and not names and isinstance(value, str):
        return Search(Value(value, place), root)
    if word in QUANTIFIERS and names:
        body = (_part if word == "every" else _object)(value, (), root + 1, place, name_of, depth + 1)
        return Quantified(cast(Quantifier, word), Path(names, root), body)
    if word in OPERATORS and names:
        return compare(word, Path(names, root), value, place)
    if isinstance(value, Mapping):
        return _object(value, (*names, word), root, place, name_of, depth + 1)
    return compare("eq", Path((*names, word), root), value, place)
