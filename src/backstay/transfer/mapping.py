"""A mapping file: which models are made of the rows of a file, which field of which column, and what to do with dirt.

Invariant: a `Mapping` names only models and fields that there are; every mistake of the file is found before the first
row is read, and says its place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Table
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from backstay.errors import nearest
from backstay.model.declare import linear
from backstay.model.field import Entity, Field, Schema
from backstay.transfer.change import BadMapping, change_of


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written."""

    format: Literal["", "csv", "json", "jsonl"] = ""
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    empty: tuple[str, ...] = ("",)
    """Texts that mean that there is no value, after blanks around them are taken away."""
    formulas: bool = False
    """Whether `backstay export` wrote the file, which marks what a spreadsheet would take for a formula."""


class When(Struct, frozen=True, forbid_unknown_fields=True, rename={"state": "is"}):
    """A condition on one cell; all that is said must hold."""

    column: str
    state: Literal["empty", "filled"] | None = None
    equals: str | int | float | bool | UnsetType = UNSET
    one_of: tuple[str, ...] = ()
    matches: str = ""
    less_than: float | None = None
    at_least: float | None = None


class Dirt(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of dirt: what it is called in the tally, how it is known, and what becomes of the row."""

    name: str
    when: When | tuple[When, ...]
    do: Literal["count", "skip", "reject"]


class From(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the value of a field comes from."""

    column: str = ""
    value: Any = UNSET
    record: str = ""
    find: str = ""
    change: tuple[str | dict[str, Any], ...] = ()
    times: str = ""
    default: Any = UNSET
    default_column: str = ""
    bad: Literal["reject", "skip", "default"] = "reject"
    existing: Literal["keep", "replace", "add"] = "keep"


class Step(Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "as"}):
    """One record that is made of a row, or found by its key."""

    model: str
    fields: dict[str, str | From]
    name: str = ""
    key: tuple[str, ...] = ()
    when: When | tuple[When, ...] = ()
    existing: Literal["keep", "update", "reject"] = "keep"

    @property
    def called(self) -> str:
        """What other records of the row call it."""
        return self.name or self.model

    def sources(self) -> dict[str, From]:
        """Where each field comes from; a text alone is the name of a column."""
        return {name: From(column=said) if isinstance(said, str) else said for name, said in self.fields.items()}


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    record: tuple[Step, ...] = ()
    source: Source = Source()
    dirt: tuple[Dirt, ...] = ()


class Mapping(Struct, frozen=True):
    """A mapping that was checked against the declaration; `mark` differs where its text does."""

    source: Source
    dirt: tuple[Dirt, ...]
    steps: tuple[Step, ...]
    mark: str

    @property
    def columns(self) -> list[str]:
        """Every column that it reads."""
        said: dict[str, None] = {}
        for dirt in self.dirt:
            said |= dict.fromkeys(when.column for when in conditions(dirt.when))
        for step in self.steps:
            said |= dict.fromkeys(when.column for when in conditions(step.when))
            for source in step.sources().values():
                said |= dict.fromkeys((source.column, source.times, source.default_column))
        return [name for name in said if name]


def conditions(when: When | tuple[When, ...]) -> tuple[When, ...]:
    """Conditions that must all hold."""
    return (when,) if isinstance(when, When) else when


def read_mapping(text: str, schema: Schema, name: str = "mapping.toml") -> Mapping:
    """The mapping of a TOML text. Raises `BadMapping` that names the place and what to write instead."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadMapping(f"{name} is no TOML: {error}.") from None
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise BadMapping(f"{name}: {_said(str(error))}") from None
    if not file.record:
        raise BadMapping(f'{name} names no model: write [[record]] with model = "…" and its fields.')
    known: dict[str, Entity] = {}
    for step in file.record:
        place = f"{name}, record {step.called}"
        entity = _entity(step, schema, place)
        if step.called in known:
            raise BadMapping(f'{place}: there are two of them: give one a name with as = "…".')
        _check(step, entity, known, place)
        known[step.called] = entity
    for dirt in file.dirt:
        for when in conditions(dirt.when):
            _check_when(when, f"{name}, dirt {dirt.name}")
    return Mapping(file.source, file.dirt, file.record, blake2b(text.encode(), digest_size=16).hexdigest())


def plain_mapping(entity: Entity, columns: list[str]) -> Mapping:
    """The mapping of a file whose columns are called like the fields of a model, as `backstay export` writes them.

    A column `category.slug` finds the record of a relation by that field. Records that are there are found by their
    `id`, or by the first fields that are unique together and all among the columns.
    """
    fields: dict[str, str | From] = {}
    for column in columns:
        relation, _, by = column.partition(".")
        if by and (field := entity.fields.get(relation)) is not None and field.target is None:
            column, by = relation, ""  # an object that is a value
        fields[relation] = From(column=column, find=by if by != "id" else "") if by else column
    if lacking := [name for name, field in entity.fields.items() if field.required and name not in fields]:
        raise BadMapping(f'{entity.name} needs "{lacking[0]}", and there is no such column.')
    if wrong := [name for name in fields if name not in entity.fields]:
        hint = nearest(wrong[0], entity.fields)
        raise BadMapping(f'{entity.name} has no field "{wrong[0]}" that can be written.{hint}')
    unique = [index.fields for index in entity.indexes if index.kind == "unique" and set(index.fields) <= {*fields}]
    key = ("id",) if "id" in fields else unique[0] if unique else ()
    step = Step(entity.name, fields, key=key, existing="update" if key else "keep")
    _check(step, entity, {}, entity.name)
    return Mapping(Source(formulas=True), (), (step,), f"plain:{entity.name}:{','.join(columns)}")


def _said(text: str) -> str:
    return re.sub(r"`\$?\.?([^`]*)`", r'"\1"', text).replace(" - at", ", at") + "."


def _entity(step: Step, schema: Schema, place: str) -> Entity:
    shown = [name for name, entity in schema.entities.items() if not entity.hidden]
    if step.model not in shown:
        raise BadMapping(f'{place}: there is no model "{step.model}".{nearest(step.model, shown)}')
    return schema.entities[step.model]


def _check(step: Step, entity: Entity, known: Table[str, Entity], place: str) -> None:
    sources = step.sources()
    for name, source in sources.items():
        here = f"{place}, {name}"
        if (field := entity.fields.get(name)) is None:
            raise BadMapping(f'{here}: {entity.name} has no field "{name}".{nearest(name, entity.fields)}')
        _check_source(source, field, known, here)
    for name in step.key:
        if name not in sources:
            raise BadMapping(f'{place}: the key "{name}" is no field that is filled here.{nearest(name, sources)}')
        if entity.fields[name].kind.sealed or entity.fields[name].kind.name in ("json", "list", "money"):
            raise BadMapping(f'{place}: records cannot be found by "{name}", which is encrypted, a list or money.')
    lacking = [name for name, field in entity.fields.items() if field.required and name not in sources]
    if lacking:
        raise BadMapping(f'{place}: {entity.name} needs "{lacking[0]}": say where it comes from.')
    for when in conditions(step.when):
        _check_when(when, place)
    if step.existing == "update" and not step.key:
        raise BadMapping(f'{place}: what is updated is found by a key: write key = ["…"].')


def _check_source(source: From, field: Field, known: Table[str, Entity], place: str) -> None:
    ways = [bool(source.column), source.value is not UNSET, bool(source.record)]
    if sum(ways) != 1:
        raise BadMapping(f"{place}: it comes from one of column, value and record.")
    if source.record:
        target = known.get(source.record)
        if target is None:
            hint = nearest(source.record, [*known])
            raise BadMapping(f'{place}: there is no record "{source.record}" before this one.{hint}')
        if field.target is not target:
            raise BadMapping(f'{place}: "{source.record}" is a {target.name}, and this field is none.')
    if source.find:
        if field.target is None or not source.column:
            raise BadMapping(f"{place}: find is for relations: the field of the other model that the column names.")
        if source.find not in field.target.fields:
            hint = nearest(source.find, field.target.fields)
            raise BadMapping(f'{place}: {field.target.name} has no field "{source.find}".{hint}')
    if source.bad == "default" and source.default is UNSET:
        raise BadMapping(f'{place}: bad = "default" needs a default.')
    if source.existing == "add" and field.kind.name not in ("integer", "big_integer", "float", "decimal", "money"):
        raise BadMapping(f'{place}: existing = "add" is for numbers and money.')
    for number, change in enumerate(source.change):
        change_of(change, f"{place}, change {number + 1}")


def _check_when(when: When, place: str) -> None:
    said = (when.state, when.one_of, when.matches, when.less_than, when.at_least)
    if when.equals is UNSET and not any(one not in (None, "", ()) for one in said):
        raise BadMapping(f"{place}: a condition says is, equals, one_of, matches, less_than or at_least.")
    if when.matches and not linear(when.matches):
        raise BadMapping(f"{place}: {when.matches} is no regular expression, or repeats a repetition.")
