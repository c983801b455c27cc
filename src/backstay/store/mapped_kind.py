"""The types of SQLAlchemy's columns as kinds of values, and how such a column stores them.

Invariant: a kind that comes from here means exactly what the application means by its column. Where that cannot be
told (a type that changes values in Python, bytes, numbers without a size), there is no kind but a reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from backstay.model.value import BIG_INTEGER, Kind, Stored

_LONGEST = 1_000_000
_PROCESSING = ("process_bind_param", "process_result_value", "process_literal_param", "column_expression",
               "bind_expression", "bind_processor", "result_processor")  # fmt: skip


def kind_of(type_: TypeEngine[Any]) -> Kind | str:
    """The kind of what a column of this type holds, or why there is none, as the end of a sentence."""
    if isinstance(type_, sa.Interval):  # a decorator of SQLAlchemy's own
        return Kind("duration", stored=Stored("interval"))
    if isinstance(type_, TypeDecorator):
        return _decorated(type_)
    if isinstance(type_, sa.Enum):
        return _enum(type_)
    if isinstance(type_, (postgresql.ARRAY, sa.ARRAY)):
        return _array(type_)
    match type_:
        case sa.Boolean():
            return Kind("boolean")
        case sa.SmallInteger():
            return Kind("integer", ge=-(2**15), le=2**15 - 1)
        case sa.BigInteger():
            return Kind("big_integer", ge=-BIG_INTEGER - 1, le=BIG_INTEGER)
        case sa.Integer():
            return Kind("integer", ge=-(2**31), le=2**31 - 1)
        case sa.Float():
            return Kind("float")
        case sa.Numeric():
            return _numeric(type_)
        case sa.DateTime():
            return Kind("datetime", stored=Stored("instant", "aware" if type_.timezone else "naive"))
        case sa.Date():
            return Kind("date")
        case sa.Time():
            return "it has a time zone" if type_.timezone else Kind("time", stored=Stored("clock"))
        case postgresql.INTERVAL():
            return Kind("duration", stored=Stored("interval"))
        case sa.Uuid():
            return Kind("uuid", stored=Stored("hex", "" if type_.native_uuid else "char"))
        case sa.JSON():
            return Kind("json")
        case sa.String():
            return _text(type_)
        case sa.LargeBinary():
            return "bytes have no form in JSON"
        case _:
            return "it is no kind of value that the API has"


def _text(type_: sa.String) -> Kind:
    collation = "citext" if isinstance(type_, postgresql.CITEXT) else type_.collation or ""
    if collation in ("C", "POSIX", "BINARY"):
        collation = ""
    return Kind("text", max_length=type_.length or _LONGEST, stored=Stored("text", collation=collation))


def _numeric(type_: sa.Numeric[Any]) -> Kind | str:
    if not type_.asdecimal:
        return Kind("float")
    if type_.precision is None or type_.scale is None:
        return "it does not say how many digits it has"
    if not 0 <= type_.scale <= type_.precision <= 18:
        return "it has more than 18 digits"
    return Kind("decimal", precision=type_.precision, scale=type_.scale, stored=Stored("number"))


def _enum(type_: sa.Enum) -> Kind | str:
    """The choices are the values of the Python class where those are texts or numbers; stored are the labels."""
    labels = tuple(type_.enums)
    name = "text"
    if type_.native_enum:
        schema = f'"{type_.schema}".' if type_.schema else ""
        name = f'{schema}"{type_.name}"'
    if (python := type_.enum_class) is None:
        return Kind("enum", choices=labels, stored=Stored("label", name, labels))
    members = _members(type_, python)
    values = [member.value for member in members]
    for kind in (str, int):
        if all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            return Kind("enum", choices=tuple(values), stored=Stored("label", name, labels), enum=python)
    return Kind("enum", choices=labels, stored=Stored("label", name, labels), enum=python)


def _members(type_: sa.Enum, python: type[Enum]) -> list[Enum]:
    """The members of the class in the order of the labels that are stored for them."""
    by_label = type_._valid_lookup  # label by member, as the type itself made it
    labels = {label: member for member, label in by_label.items() if isinstance(member, python)}
    return [labels[label] for label in type_.enums]


def _array(type_: Any) -> Kind | str:
    item = kind_of(type_.item_type)
    names = {"text": "text", "integer": "bigint", "big_integer": "bigint", "float": "float8", "boolean": "boolean"}
    if not isinstance(item, Kind) or item.name not in names or type_.dimensions not in (None, 1):
        return "lists hold texts, numbers and booleans, one deep"
    return Kind("list", item=replace(item, stored=None), stored=Stored("array", names[item.name]))


def _decorated(type_: TypeDecorator[Any]) -> Kind | str:
    """A decorator that adds nothing but a name is what it decorates; what one does to values only Python knows."""
    given = [name for name in _PROCESSING if getattr(type(type_), name) is not getattr(TypeDecorator, name)]
    return "its values are made in Python, where no statement can follow" if given else kind_of(type_.impl_instance)


def held_value(kind: Kind, value: Any) -> Any:
    """A value as Backstay gives it to own code, in the form in which the application holds it."""
    if isinstance(value, datetime) and kind.stored is not None and kind.stored.type == "naive":
        return value.astimezone(UTC).replace(tzinfo=None)
    if kind.enum is not None and isinstance(value, (str, int)) and not isinstance(value, Enum):
        return next((member for member in kind.enum if value in (member.value, member.name)), value)
    return value
