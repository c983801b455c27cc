"""How the values of a record are written into the columns of its table.

Invariant: whatever stands beside a field (the folded text, the search words, the currency, the version) is written
in the same statement as the field itself, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from backstay.model.field import Entity, Field
from backstay.model.folding import fold, search_text
from backstay.model.value import KEY, TEXT
from backstay.plan.tree import Members, Param, ParamSpec
from backstay.plan.write import Shape
from backstay.store.dialect import Dialect, quoted
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


def _words_of(entity: Entity) -> Part:
    """The column that search looks in."""
    names = entity.search
    return Part("_words", ParamSpec("fixed", TEXT), lambda values: search_text([values.get(name) for name in names]))


@dataclass(frozen=True, slots=True)
class Change:
    """The statement that adds or changes a record; the values of a record become its parameters."""

    text: str
    takes: Takes
    """For each parameter that comes from the record, in order: how it is taken, and how it is encoded."""

    def values(self, record: Mapping[str, Any]) -> list[Any]:
        """The parameters as the driver takes them."""
        found = []
        for take, encoder in self.takes:
            value = take(record)
            found.append(value if encoder is None or value is None else encoder(value))
        return found


def insertion(entity: Entity, dialect: Dialect) -> Change:
    """The statement that adds a record with all its fields."""
    parts = [part for field in entity.fields.values() for part in parts_of(field)]
    if entity.search:
        parts.append(_words_of(entity))
    compiler = Compiler(dialect, [part.spec for part in parts])
    names = ", ".join(quoted(part.column) for part in parts)
    params = ", ".join(compiler.expr(Param(at, part.spec.kind)) for at, part in enumerate(parts))
    return Change(f"INSERT INTO {quoted(entity.table)} ({names}) VALUES ({params})", _takes(parts, dialect))


def alteration(shape: Shape, names: Sequence[str], dialect: Dialect) -> Change:
    """The statement that changes these fields of a record, beside what the shape sets, and raises its version.

    The parameters of what the shape sets come first, then those of the record, which holds its `id` too.
    """
    entity = shape.entity
    parts = [part for name in names for part in parts_of(entity.fields[name])]
    if any(name in names for name in entity.search):
        parts.append(_words_of(entity))
    parts.append(Part("id", ParamSpec("fixed", KEY), lambda values: values["id"]))
    first = len(shape.set_params)
    compiler = Compiler(dialect, [*shape.set_params, *(part.spec for part in parts)])
    sets = [f"{quoted(name)} = {compiler.expr(expr)}" for name, expr in shape.sets]
    params = [compiler.expr(Param(first + at, part.spec.kind)) for at, part in enumerate(parts)]
    sets += [f"{quoted(part.column)} = {param}" for part, param in zip(parts[:-1], params[:-1], strict=True)]
    text = (
        f'UPDATE {quoted(entity.table)} AS t0 SET {", ".join(sets)}, "_version" = t0."_version" + 1 '
        f'WHERE t0."id" = {params[-1]}'
    )
    return Change(text, _takes(parts, dialect))


def _takes(parts: Sequence[Part], dialect: Dialect) -> Takes:
    return tuple((part.take, dialect.encoder(part.spec)) for part in parts)


def members_now(members: Members, key: str, dialect: Dialect) -> tuple[str, list[Any]]:
    """The statement that reads which records a many-to-many relation holds, as text."""
    between, left, right = _sides(members)
    text = f"SELECT CAST({right} AS text) FROM {between} WHERE {left} = {dialect.param(0, ParamSpec('fixed', KEY))}"
    return text, [key]


def leave(members: Members, key: str, member: str, dialect: Dialect) -> tuple[str, list[Any]]:
    """The statement that takes one record out of a many-to-many relation."""
    between, left, right = _sides(members)
    spec = ParamSpec("fixed", KEY)
    where = f"{left} = {dialect.param(0, spec)} AND {right} = {dialect.param(1, spec)}"
    return f"DELETE FROM {between} WHERE {where}", [key, member]


def _sides(members: Members) -> tuple[str, str, str]:
    relation, between = members.relation, members.relation.through
    assert between is not None
    sides = between.fields[relation.via].column, between.fields[relation.onward].column
    return quoted(between.table), quoted(sides[0]), quoted(sides[1])


def delete(entity: Entity, key: str, dialect: Dialect) -> tuple[str, list[Any]]:
    """The statement that ends a record."""
    spec = ParamSpec("fixed", KEY)
    return f'DELETE FROM {quoted(entity.table)} WHERE "id" = {dialect.param(0, spec)}', [key]
