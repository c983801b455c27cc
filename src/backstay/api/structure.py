"""Dataclasses and structs as arguments of actions: read once, then checked value by value.

Invariant: every value inside a structure is checked by the kind and the constraints of its annotation, exactly as an
argument of its own would be; an unknown name is refused.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from backstay.api.json_schema import json_schema, nullable
from backstay.errors import FieldError, Mistake, nearest
from backstay.model.declare import Reader
from backstay.model.field import Field
from backstay.model.value import Money, Unfit, as_python
from backstay.plan.write import parse_field

_DEEPEST = 8
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Structure:
    """How one structured argument is read: what makes it, its plain values, the structures inside it."""

    make: Callable[..., Any]
    fields: dict[str, Field]
    inside: dict[str, Structure]
    optional: frozenset[str]
    many: bool = False
    nullable: bool = False


def is_structure(hint: Any) -> bool:
    """Whether an annotation is a dataclass or a struct, a list of them, or one of these or nothing."""
    kind, _, _ = taken_apart(hint)
    if kind is Money or not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)


def read_structure(reader: Reader, place: str, hint: Any, depth: int = 0) -> Structure:
    """The structure of an annotation; mistakes are kept by the reader."""
    kind, many, nullable = taken_apart(hint)
    fields: dict[str, Field] = {}
    inside: dict[str, Structure] = {}
    hints = get_type_hints(kind, include_extras=True)
    optional = set()
    for name, has_default in _members(kind):
        where = f"{place}.{name}"
        if has_default:
            optional.add(name)
        if is_structure(hints[name]):
            if depth == _DEEPEST:
                reader.mistakes.append(Mistake(place, "it is nested too deeply.", "Use Json for trees."))
                break
            inside[name] = read_structure(reader, where, hints[name], depth + 1)
        elif (field := reader.read_argument(where, name, hints[name])) is not None:
            fields[name] = field
    return Structure(kind, fields, inside, frozenset(optional), many, nullable)


def parse_structure(structure: Structure, raw: Any, path: str, errors: list[FieldError]) -> Any:
    """The value of a structured argument; what is wrong is added to `errors`, each with its place."""
    if raw is None and structure.nullable:
        return None
    if not structure.many:
        return _one(structure, raw, path, errors)
    if not isinstance(raw, list):
        errors.append(FieldError(path, "wrong_type", "must be a list."))
        return []
    if len(raw) > _MOST:
        errors.append(FieldError(path, "too_long", f"must have at most {_MOST} entries, and has {len(raw)}."))
        return []
    return [_one(structure, item, f"{path}[{at}]", errors) for at, item in enumerate(raw)]


def structure_schema(structure: Structure) -> dict[str, Any]:
    """The structure as JSON Schema."""
    properties = {name: argument_schema(field) for name, field in structure.fields.items()}
    properties |= {name: structure_schema(part) for name, part in structure.inside.items()}
    required = [name for name in properties if name not in structure.optional]
    one = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    schema = {"type": "array", "items": one, "maxItems": _MOST} if structure.many else one
    return nullable(schema) if structure.nullable else schema


def argument_schema(field: Field) -> dict[str, Any]:
    """A plain value that is sent, as JSON Schema."""
    schema = json_schema(field.kind, sent=True)
    return nullable(schema) if field.nullable else schema


def _one(structure: Structure, raw: Any, path: str, errors: list[FieldError]) -> Any:
    if not isinstance(raw, dict):
        errors.append(FieldError(path, "wrong_type", "must be an object."))
        return None
    known = {**structure.fields, **structure.inside}
    before = len(errors)
    errors += [
        FieldError(f"{path}.{name}", "unknown_field", f"is not known here.{nearest(name, known)}")
        for name in raw if name not in known
    ]  # fmt: skip
    values: dict[str, Any] = {}
    for name in known:
        place = f"{path}.{name}"
        if name not in raw:
            if name not in structure.optional:
                errors.append(FieldError(place, "required", "is required."))
        elif name in structure.inside:
            values[name] = parse_structure(structure.inside[name], raw[name], place, errors)
        else:
            field = structure.fields[name]
            try:
                values[name] = as_python(field.kind, parse_field(field, raw[name]))
            except Unfit as unfit:
                errors += unfit.errors(place)
    return structure.make(**values) if len(errors) == before else None


def taken_apart(hint: Any) -> tuple[Any, bool, bool]:
    """What an annotation is of, whether it is a list of that, and whether it may be nothing."""
    nullable = False
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        nullable = len(parts) < len(get_args(hint))
        if len(parts) != 1:
            return None, False, nullable
        hint = parts[0]
    if get_origin(hint) is list:
        return get_args(hint)[0], True, nullable
    return hint, False, nullable


def _members(kind: Any) -> list[tuple[str, bool]]:
    """The names of a structure that its maker takes, each with whether it has a default."""
    if issubclass(kind, msgspec.Struct):
        return [(member.name, not member.required) for member in msgspec.structs.fields(kind)]
    missing = dataclasses.MISSING
    return [
        (member.name, member.default is not missing or member.default_factory is not missing)
        for member in dataclasses.fields(kind) if member.init
    ]  # fmt: skip
