"""From the cells of a row to the values of a field: the mapping's changes, then the check that every client meets.

Invariant: a value that leaves here was made by `parse` for its field, as one in a request is. What a text became once
is remembered, since the columns of real files repeat themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import UNSET

from backstay.errors import FieldError
from backstay.model.field import Field
from backstay.model.value import Unfit, parse
from backstay.transfer.change import change_of
from backstay.transfer.mapping import From, When, conditions

Cells = Sequence[Any]
_REMEMBERED = 50_000  # cells of one field; then it begins anew


class Missing:
    """Stands where there is no value: the field gets its default."""


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Defaulted:
    """A value that stands for a cell that cannot be one."""

    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row makes no record; `skip` means that this was expected."""

    errors: tuple[FieldError, ...]
    skip: bool = False

    @property
    def reason(self) -> str:
        """What it is counted under: the first thing that is wrong."""
        return f"{self.errors[0].path}: {self.errors[0].code}"

    @property
    def said(self) -> str:
        """It in a sentence."""
        return " ".join(f'"{error.path}" {error.message}' for error in self.errors)


def reader(
    name: str, source: From, field: Field, at: Mapping[str, int], empty: Sequence[str]
) -> Callable[[Cells], Any]:
    """A function from cells to the value of a field, `MISSING`, `Defaulted` or `Refused`.

    `at` says where each column stands. A relation that is found by a field of its target gives that field's value.
    """
    make = _maker(name, source, field, frozenset(empty))
    if source.value is not UNSET:
        constant = make(source.value, None, None)
        return lambda cells: constant
    places = tuple(at[column] for column in (source.column, source.times, source.default_column) if column)
    known: dict[Any, Any] = {}

    def new(cell: Any, one: tuple[Any, Any, Any]) -> Any:
        if len(known) >= _REMEMBERED:
            known.clear()
        made = known[cell] = make(*one)
        return made

    column = at[source.column]
    if len(places) == 1:

        def read_one(cells: Cells) -> Any:
            cell = cells[column]
            try:
                return known[cell]
            except KeyError:
                return new(cell, (cell, None, None))
            except TypeError:  # a list or an object of a JSON file
                return make(cell, None, None)

        return read_one
    times = at[source.times] if source.times else None
    other = at[source.default_column] if source.default_column else None

    def read(cells: Cells) -> Any:
        one = cells[column], None if times is None else cells[times], None if other is None else cells[other]
        try:
            return known[one]
        except KeyError:
            return new(one, one)
        except TypeError:
            return make(*one)

    return read


def _maker(name: str, source: From, field: Field, empty: frozenset[str]) -> Callable[[Any, Any, Any], Any]:
    changes = [change_of(change, name) for change in source.change]
    kind = field.kind
    if source.find:
        assert field.target is not None
        kind = field.target.fields[source.find].kind

    def nothing() -> Any:
        if source.default is not UNSET:
            return parse(kind, source.default, from_text=isinstance(source.default, str))
        if field.required:
            return Refused((FieldError(name, "required", "is required."),))
        return MISSING if field.default is not None or not field.nullable else None

    def value_of(raw: Any, times: Any) -> Any:
        for change in changes:
            raw = change(raw)
        if raw is None or (isinstance(raw, str) and raw.strip() in empty):
            return nothing()
        if times is not None:
            raw = _times(raw, times)
        if kind.name == "money" and isinstance(raw, str) and raw.startswith("{"):
            raw = _decoded(raw)  # as an export writes it into a cell
        return parse(kind, raw, from_text=not isinstance(raw, float))

    def make(raw: Any, times: Any, other: Any) -> Any:
        if raw is None or (isinstance(raw, str) and raw.strip() in empty):
            raw = other
        try:
            if raw is None or (isinstance(raw, str) and raw.strip() in empty):
                return nothing()
            return value_of(raw, times)
        except Unfit as unfit:
            error = FieldError(name, unfit.code, f"{unfit}.")
            if source.bad == "default":
                value = parse(kind, source.default, from_text=True) if source.default is not None else None
                return Defaulted(value, f"{name}: {unfit.code}")
            return Refused((error,), skip=source.bad == "skip")

    return make


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _times(raw: Any, times: Any) -> Any:
    try:
        factor = Decimal(str(times).strip())
        found = Decimal(str(raw)) * factor
    except InvalidOperation:
        raise Unfit("wrong_type", "must be multiplied with a number") from None
    return int(found) if found == found.to_integral_value() else str(found)


def holds(whens: When | tuple[When, ...], at: Mapping[str, int], empty: Sequence[str]) -> Callable[[Cells], bool]:
    """Whether conditions hold of the cells of a row."""
    tests = [_test(when, at[when.column], frozenset(empty)) for when in conditions(whens)]
    if len(tests) == 1:
        return tests[0]
    first, *others = tests
    return lambda cells: first(cells) and all([test(cells) for test in others])


def _test(when: When, place: int, empty: frozenset[str]) -> Callable[[Cells], bool]:
    regex = re.compile(when.matches) if when.matches else None
    known: dict[Any, bool] = {}

    def look(cell: Any) -> bool:
        text = "" if cell is None else str(cell).strip()
        none = cell is None or text in empty
        if when.state is not None and none != (when.state == "empty"):
            return False
        if when.equals is not UNSET and text != str(when.equals):
            return False
        if when.one_of and text not in when.one_of:
            return False
        if regex is not None and (len(text) > 10_000 or not regex.search(text)):
            return False
        if when.less_than is None and when.at_least is None:
            return True
        try:
            number = float(text)
        except ValueError:
            return False
        return (when.less_than is None or number < when.less_than) and (
            when.at_least is None or number >= when.at_least
        )

    def test(cells: Cells) -> bool:
        cell = cells[place]
        try:
            return known[cell]
        except KeyError:
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[cell] = look(cell)
            return found
        except TypeError:
            return look(cell)

    return test
