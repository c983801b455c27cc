"""How the values of a record are written into the columns of its table.

Invariant: whatever stands beside a field (the folded text, the search words, the currency, the version) is written
in the same statement as the field itself, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backstay.model.field import Entity, Field
from backstay.model.folding import fold, search_text
from backstay.model.value import KEY, TEXT
from backstay.plan.tree import Members, Param, ParamSpec, WritePlan
from backstay.store.dialect import Dialect, quoted
from backstay.store.sql import Compiler, encode


def columns_of(field: Field, value: Any) -> list[tuple[str, ParamSpec, Any]]:
    """The columns of one field with their values."""
    if field.kind.name == "money":
        amount = (field.column, ParamSpec("fixed", field.kind, part="amount"), None if value is None else value.amount)
        if len(field.columns) == 1:
            return [amount]
        currency = ParamSpec("fixed", TEXT, part="currency")
        return [amount, (field.columns[1], currency, None if value is None else value.currency)]
    columns = [(field.column, ParamSpec("fixed", field.kind), value)]
    if field.folded:
        columns.append((field.folded, ParamSpec("fixed", TEXT), None if value is None else fold(value)))
    return columns


def words_of(entity: Entity, values: Mapping[str, Any]) -> tuple[str, ParamSpec, Any]:
    """The column that search looks in."""
    return "_words", ParamSpec("fixed", TEXT), search_text([values.get(name) for name in entity.search])


def insert(entity: Entity, values: Mapping[str, Any], dialect: Dialect) -> tuple[str, list[Any]]:
    """The statement that adds a record."""
    columns = [column for field in entity.fields.values() for column in columns_of(field, values.get(field.name))]
    if entity.search:
        columns.append(words_of(entity, values))
    compiler = Compiler(dialect, [spec for _, spec, _ in columns])
    names = ", ".join(quoted(name) for name, _, _ in columns)
    params = ", ".join(compiler.expr(Param(at, spec.kind)) for at, (_, spec, _) in enumerate(columns))
    text = f"INSERT INTO {quoted(entity.table)} ({names}) VALUES ({params})"
    return text, encode(compiler.encoders, [value for _, _, value in columns])


def update(
    plan: WritePlan, old: Mapping[str, Any], dialect: Dialect, set_values: Sequence[Any]
) -> tuple[str, list[Any]]:
    """The statement that changes a record and raises its version."""
    entity, values = plan.entity, plan.values
    columns = [column for name, value in values.items() for column in columns_of(entity.fields[name], value)]
    if any(name in values for name in entity.search):
        columns.append(words_of(entity, {**old, **values}))
    identity = ("id", ParamSpec("fixed", KEY), plan.key)
    first = len(plan.set_params)
    compiler = Compiler(dialect, [*plan.set_params, *(spec for _, spec, _ in columns), identity[1]])
    sets = [f"{quoted(name)} = {compiler.expr(expr)}" for name, expr in plan.sets]
    sets += [
        f"{quoted(name)} = {compiler.expr(Param(first + at, spec.kind))}" for at, (name, spec, _) in enumerate(columns)
    ]
    where = f't0."id" = {compiler.expr(Param(first + len(columns), KEY))}'
    text = f'UPDATE {quoted(entity.table)} AS t0 SET {", ".join(sets)}, "_version" = t0."_version" + 1 WHERE {where}'
    return text, encode(compiler.encoders, [*set_values, *(value for _, _, value in columns), plan.key])


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
