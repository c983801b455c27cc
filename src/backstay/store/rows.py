"""How the values of a record are written into the columns of its table.

Invariant: whatever stands beside a field (the folded text, the search words, the currency, the version) is written
in the same statement as the field itself, so the two cannot disagree. The row of the change log is too, where a
database has statements that write to two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from backstay.model.field import Entity, Field, ToMany
from backstay.model.folding import fold, search_text
from backstay.model.value import CIPHERTEXT, INSTANT, KEY, TEXT, Kind, plain
from backstay.plan.tree import Members, Param, ParamSpec
from backstay.plan.write import Shape, stored
from backstay.store.changes import WriteAction, keeping, keeping_many
from backstay.store.dialect import Dialect, named, quoted
from backstay.store.sealing import only_sealed
from backstay.store.sql import Compiler

Takes: TypeAlias = tuple[tuple[Callable[[Mapping[str, Any]], Any], Callable[[Any], Any] | None], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One column that is written: its name, what it holds, and how its value is taken from those of the record."""

    column: str
    spec: ParamSpec
    take: Callable[[Mapping[str, Any]], Any]


def parts_of(field: Field) -> list[Part]:
    """The columns of one field."""
    name = field.name
    if field.kind.sealed:
        return [Part(field.column, ParamSpec("fixed", CIPHERTEXT), _of(name, only_sealed))]
    if field.kind.name == "money":
        amount = Part(field.column, ParamSpec("fixed", field.kind, part="amount"), _of(name, lambda v: v.amount))
        if len(field.columns) == 1:
            return [amount]
        currency = ParamSpec("fixed", TEXT, part="currency")
        return [amount, Part(field.columns[1], currency, _of(name, lambda v: v.currency))]
    parts = [Part(field.column, ParamSpec("fixed", field.kind), lambda values: values.get(name))]
    if field.folded:
        parts.append(Part(field.folded, ParamSpec("fixed", TEXT), _of(name, fold)))
    return parts


def _of(name: str, make: Callable[[Any], Any]) -> Callable[[Mapping[str, Any]], Any]:
    """What is made of a value; of null, null."""

    def take(values: Mapping[str, Any]) -> Any:
        value = values.get(name)
        return None if value is None else make(value)

    return take


def words_of(entity: Entity) -> Part:
    """The column that search looks in."""
    names = entity.search
    return Part("_words", ParamSpec("fixed", TEXT), lambda values: search_text([values.get(name) for name in names]))


@dataclass(frozen=True, slots=True)
class RowWrite:
    """The statement that adds, changes or ends a record; the values of a record become its parameters.

    Where the entity is in the change log it gives the version and the stored record as JSON; where a table of another
    application fills what is not said, a new record gives the stored record alone. `logs` says that it keeps
    the change itself: the parameters that `changes.keeping` names follow those of the record then.
    """

    text: str
    takes: Takes
    """For each parameter that comes from the record, in order: how it is taken, and how it is encoded."""
    logs: bool = False

    def values(self, record: Mapping[str, Any]) -> list[Any]:
        """The parameters as the driver takes them."""
        return taken_by(self.takes, record)


def taken_by(takes: Takes, record: Mapping[str, Any]) -> list[Any]:
    """The values of a record as the driver takes them."""
    found = []
    for take, encoder in takes:
        value = take(record)
        found.append(value if encoder is None or value is None else encoder(value))
    return found


def takes_of(parts: Sequence[Part], dialect: Dialect) -> Takes:
    """How the values of a record become the parameters of these columns."""
    return tuple((part.take, dialect.encoder(part.spec)) for part in parts)


def _id_of(entity: Entity) -> Part:
    """The key of a record, to find it by."""
    return Part(entity.key.column, ParamSpec("fixed", plain(entity.key.kind)), lambda values: values["id"])


def insertion(entity: Entity, without: frozenset[str], dialect: Dialect, *, chosen: bool = False) -> RowWrite:
    """The statement that adds a record with all its fields, without those that the database fills.

    Whether an id that was chosen is free is looked at before all else that must be unique: nothing is given where it
    is not.
    """
    parts = [part for field in entity.fields.values() if field.name not in without for part in parts_of(field)]
    if entity.search:
        parts.append(words_of(entity))
    compiler = Compiler(dialect, [part.spec for part in parts], bare=True)
    names = ", ".join(quoted(part.column) for part in parts)
    params = ", ".join(compiler.stored(Param(at, part.spec.kind), part.spec.kind) for at, part in enumerate(parts))
    text = f"INSERT INTO {named(entity)} " + (f"({names}) VALUES ({params})" if parts else "DEFAULT VALUES")
    if chosen and entity.logged:
        text += f" ON CONFLICT ({quoted(entity.key.column)}) DO NOTHING"
    return _write(text, entity, "create", parts, 0, compiler)


def alteration(shape: Shape, names: Sequence[str], dialect: Dialect) -> RowWrite:
    """The statement that changes these fields of a record, beside what the shape sets, and raises its version.

    The parameters of what the shape sets come first, then those of the record, which holds its `id` too.
    """
    change = altering(shape, names, dialect)
    sets = ", ".join([*(f"{column} = {text}" for column, text in change.worked_out), *change.sets])
    text = f"UPDATE {named(shape.entity)} AS t0 SET {sets} WHERE {change.found}"
    return _write(text, shape.entity, "update", change.parts, len(shape.set_params), change.compiler)


@dataclass(frozen=True, slots=True)
class Altering:
    """The pieces of an UPDATE: the columns it sets from the record as it stands, each with what to, and those it sets
    from values; how it finds the record, and the columns whose values it takes.
    """

    worked_out: Sequence[tuple[str, str]]
    sets: Sequence[str]
    found: str
    parts: Sequence[Part]
    compiler: Compiler


def altering(shape: Shape, names: Sequence[str], dialect: Dialect, first: int = 0) -> Altering:
    """What changes these fields of a record; its parameters stand behind `first` others."""
    entity = shape.entity
    parts = [part for name in names for part in parts_of(entity.fields[name])]
    if any(name in names for name in entity.search):
        parts.append(words_of(entity))
    behind, key = len(shape.set_params), _id_of(entity)
    specs = [*shape.set_params, *(part.spec for part in parts), key.spec]
    compiler = Compiler(dialect, specs, first=first)
    worked_out = [(quoted(field.column), compiler.stored(expr, field.kind)) for field, expr in shape.sets]
    params = [compiler.stored(Param(behind + at, part.spec.kind), part.spec.kind) for at, part in enumerate(parts)]
    sets = [f"{quoted(part.column)} = {param}" for part, param in zip(parts, params, strict=True)]
    if entity.version:
        sets.append(f"{quoted(entity.version)} = {compiler.at(0, entity.version)} + 1")
    if not sets and not worked_out:  # only relations to many change, and they stand elsewhere
        sets.append(f"{quoted(entity.key.column)} = {compiler.at(0, entity.key.column)}")
    found = compiler.identity(entity, 0, Param(behind + len(parts), key.spec.kind))
    return Altering(worked_out, sets, found, [*parts, key], compiler)


def removal(entity: Entity, dialect: Dialect) -> RowWrite:
    """The statement that ends a record."""
    key = _id_of(entity)
    compiler = Compiler(dialect, [key.spec], bare=True)
    text = f"DELETE FROM {named(entity)} WHERE {compiler.identity(entity, 0, Param(0, key.spec.kind))}"
    return _write(text, entity, "delete", [key], 0, compiler)


def _write(
    text: str, entity: Entity, action: WriteAction, parts: Sequence[Part], first: int, compiler: Compiler
) -> RowWrite:
    dialect = compiler.dialect
    takes = takes_of(parts, dialect)
    if not entity.logged and (entity.existing is None or action != "create"):
        return RowWrite(text, takes)
    compiler.bare = True
    if not entity.logged:
        return RowWrite(f"{text} RETURNING {compiler.record(stored(entity))}", takes)
    text += f' RETURNING "_version" AS v, {compiler.record(stored(entity))} AS j'
    if not dialect.logs_inside:
        return RowWrite(text, takes)
    kept = keeping(entity.name, action, dialect, first + len(parts))
    return RowWrite(f"WITH w AS ({text}), c AS ({kept}) SELECT v, j FROM w", takes, True)


def members_now(members: Members, dialect: Dialect) -> str:
    """The statement that reads which records a many-to-many relation holds, as text, by the key of its own."""
    between, left, right = _sides(members)
    compiler = Compiler(dialect, [ParamSpec("fixed", plain(left.kind))], bare=True)
    key = compiler.at(0, right.column)
    key = key if right.kind.stored is None else dialect.lifted(key, right.kind)
    return f"SELECT CAST({key} AS text) FROM {named(between)} WHERE {_names(left, 0, compiler)}"


def leave(members: Members, dialect: Dialect) -> str:
    """The statement that takes one record out of a many-to-many relation, by both keys; gives what stood between."""
    between, left, right = _sides(members)
    compiler = Compiler(dialect, [ParamSpec("fixed", plain(side.kind)) for side in (left, right)], bare=True)
    where = f"{_names(left, 0, compiler)} AND {_names(right, 1, compiler)}"
    return f"DELETE FROM {named(between)} WHERE {where}" + (_returning(between, dialect) if between.logged else "")


def leave_all(relation: ToMany, dialect: Dialect) -> str:
    """The statement that empties a many-to-many relation of a record, by its key."""
    assert relation.through is not None
    side = relation.through.fields[relation.via]
    compiler = Compiler(dialect, [ParamSpec("fixed", plain(side.kind))], bare=True)
    return f"DELETE FROM {named(relation.through)} WHERE {_names(side, 0, compiler)}"


def _sides(members: Members) -> tuple[Entity, Field, Field]:
    relation, between = members.relation, members.relation.through
    assert between is not None
    return between, between.fields[relation.via], between.fields[relation.onward]


def _names(side: Field, at: int, compiler: Compiler) -> str:
    """The condition that one side of a relation is the record whose key is the parameter at a place."""
    return compiler.tied(0, side.column, side.kind, Param(at, plain(side.kind)))


def following(entity: Entity, relation: Field, dialect: Dialect) -> str:
    """The statement that finds and locks records that refer to some; gives id, version and record of `FOLLOWERS`."""
    kind = plain(relation.kind)
    compiler = Compiler(dialect, [ParamSpec("fixed", kind, many=True)])
    refers = dialect.one_of(f"t0.{quoted(relation.column)}", compiler.expr(Param(0, kind, True)))
    columns = f"{dialect.key(_OWN_ID)}, {_OWN_VERSION}, {compiler.record(stored(entity))}"
    text = f'SELECT {columns} FROM {quoted(entity.table)} AS t0 WHERE {refers} ORDER BY t0."id" LIMIT {FOLLOWERS}'
    return text + dialect.lock("t0", ends=relation.on_delete == "cascade")


def many_removed(entity: Entity, dialect: Dialect) -> str:
    """The statement that ends records by their ids; gives id, version and record of each. It keeps that where it can.

    Parameters: the ids; where it keeps the changes, those of `changes.keeping_many`.
    """
    compiler = Compiler(dialect, [_MANY], bare=True)
    some = dialect.one_of('"id"', compiler.expr(Param(0, KEY, True)))
    text = f"DELETE FROM {quoted(entity.table)} WHERE {some}{_returning(entity, dialect)}"
    if not (dialect.logs_inside and entity.logged):
        return text
    return f"WITH w AS ({text}), c AS ({keeping_many(entity.name, 'delete', dialect, 1)}) SELECT k, v, j FROM w"


def many_let_go(entity: Entity, relation: Field, dialect: Dialect) -> str:
    """The statement that makes a relation null in records by their ids; gives id, version and record of each.

    Parameters: the ids, the instant; where it keeps the changes, those of `changes.keeping_many`.
    """
    compiler = Compiler(dialect, [_MANY, ParamSpec("fixed", INSTANT)], bare=True)
    table, some = quoted(entity.table), dialect.one_of('"id"', compiler.expr(Param(0, KEY, True)))
    sets = f'{quoted(relation.column)} = NULL, "updated_at" = {compiler.expr(Param(1, INSTANT))}'
    text = f'UPDATE {table} SET {sets}, "_version" = "_version" + 1 WHERE {some} {_returning(entity, dialect)}'
    if not (dialect.logs_inside and entity.logged):
        return text
    was = f"SELECT {dialect.key(quoted('id'))} AS k, {compiler.record(stored(entity))} AS j FROM {table} WHERE {some}"
    kept = keeping_many(entity.name, "update", dialect, 2)
    return f"WITH was AS ({was}), w AS ({text}), c AS ({kept}) SELECT k, v, j FROM w"


def _returning(entity: Entity, dialect: Dialect) -> str:
    record = Compiler(dialect, [], bare=True).record(stored(entity))
    return f" RETURNING {dialect.key(quoted('id'))} AS k, {quoted('_version')} AS v, {record} AS j"


def ids(keys: Sequence[Any], kind: Kind, dialect: Dialect) -> Any:
    """Many ids of one kind as one parameter."""
    encoder = dialect.encoder(ParamSpec("fixed", plain(kind), many=True))
    return encoder(keys) if encoder is not None else keys


def instant(moment: datetime, dialect: Dialect) -> Any:
    """An instant as a parameter."""
    encoder = dialect.encoder(ParamSpec("fixed", INSTANT))
    return encoder(moment) if encoder is not None else moment


FOLLOWERS = 1_000
_OWN_ID = 't0."id"'
_OWN_VERSION = 't0."_version"'
_MANY = ParamSpec("fixed", KEY, many=True)
