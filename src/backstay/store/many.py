"""The statements that add and find many records at once.

Invariant: they are those of `store/rows.py`, with as many rows: the same columns, and the same change beside each row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from backstay.model.field import Entity, Field
from backstay.model.value import plain
from backstay.plan.tree import Param, ParamSpec
from backstay.plan.write import stored
from backstay.store.changes import keeping_many
from backstay.store.dialect import Dialect, named, quoted
from backstay.store.rows import Part
from backstay.store.sql import Compiler

Encoders: TypeAlias = tuple[Callable[[Any], Any] | None, ...]


def insertion_of(entity: Entity, parts: Sequence[Part], size: int, dialect: Dialect) -> str:
    """The statement that adds so many records, and keeps their changes where one statement can."""
    specs = [part.spec for _ in range(size) for part in parts]
    compiler = Compiler(dialect, specs, bare=True)
    numbers = iter(range(len(specs)))
    rows = [
        f"({', '.join(compiler.stored(Param(next(numbers), part.spec.kind), part.spec.kind) for part in parts)})"
        for _ in range(size)
    ]
    names = ", ".join(quoted(part.column) for part in parts)
    text = f"INSERT INTO {named(entity)} ({names}) VALUES {', '.join(rows)}"
    if not entity.logged or not dialect.logs_inside:
        return text
    record = Compiler(dialect, [], bare=True).record(stored(entity))
    text += f' RETURNING {dialect.key(quoted("id"))} AS k, "_version" AS v, {record} AS j'
    kept = keeping_many(entity.name, "create", dialect, len(specs))
    return f"WITH w AS ({text}), c AS ({kept}) SELECT 1 WHERE false"


def logging_of(entity: Entity, dialect: Dialect) -> str:
    """The statement that keeps the changes of the rows behind a number, where inserting cannot keep them itself."""
    if not entity.logged or dialect.logs_inside:
        return ""
    record = Compiler(dialect, [], bare=True).record(stored(entity))
    rows = (
        f'SELECT "id" AS k, "_version" AS v, {record} AS j FROM {quoted(entity.table)} '
        f'WHERE "_row" > {dialect.slot(2, "bigint")} ORDER BY "_row"'
    )
    return f"WITH w AS ({rows}) {keeping_many(entity.name, 'create', dialect, 0)}"


def finding_of(entity: Entity, fields: Sequence[Field], size: int, dialect: Dialect) -> tuple[str, Encoders]:
    """The statement that finds ids by values; a row for each that is there: which it is, and its id as text.

    With how the values of one of them are handed to the driver.
    """
    specs = [ParamSpec("fixed", plain(field.kind)) for field in fields]
    compiler = Compiler(dialect, [spec for _ in range(size) for spec in specs])
    numbers = iter(range(size * len(specs)))
    rows = [
        f"({at}, {', '.join(compiler.expr(Param(next(numbers), spec.kind)) for spec in specs)})" for at in range(size)
    ]
    names = [f"v{number}" for number in range(len(fields))]
    same = " AND ".join(f"{compiler.at(0, field.column)} = k.{name}" for field, name in zip(fields, names, strict=True))
    key = dialect.key(compiler.at(0, entity.key.column))
    text = (
        f"WITH k (n, {', '.join(names)}) AS (VALUES {', '.join(rows)}) "
        f"SELECT k.n, {key} FROM k JOIN {named(entity)} AS t0 ON {same}"
    )
    return text, tuple(dialect.encoder(spec) for spec in specs)
