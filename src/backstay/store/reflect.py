"""What there is in a database that is not ours: its tables, columns, keys, relations and comments, read and no more.

Invariant: nothing is written, not even a journal mode: SQLite is opened to be read only, PostgreSQL in a transaction
that may only read. Backstay's own tables and columns are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backstay.store.dialect import quoted


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type as the database spells it, in lower case; the labels where it is a choice."""

    name: str
    type: str
    nullable: bool
    default: str = ""
    comment: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key; `on_delete` is `restrict`, `cascade` or `set_null`."""

    columns: tuple[str, ...]
    table: str
    on_delete: str


@dataclass(slots=True)
class Table:
    """One table."""

    name: str
    comment: str = ""
    columns: list[Column] = field(default_factory=list)
    key: tuple[str, ...] = ()
    uniques: list[tuple[str, ...]] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


async def tables_of(url: str, without: Sequence[str] = ()) -> list[Table]:
    """The tables of the database at an address, by name, but for some. Raises `ValueError` for another kind."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return _ours_out(_sqlite(rest.removeprefix("/")), without)
    if scheme in ("postgresql", "postgres"):
        return _ours_out(await _postgres(url), without)
    raise ValueError(f"It begins with sqlite:/// or postgresql://, not {scheme}://.")


def _ours_out(tables: list[Table], without: Sequence[str]) -> list[Table]:
    kept = [table for table in tables if not _hidden(table.name) and table.name not in without]
    for table in kept:
        table.columns = [c for c in table.columns if not c.name.startswith("_") and not c.name.endswith("__folded")]
        for some in (table.uniques, table.indexes):
            some[:] = [
                columns for columns in dict.fromkeys(some)
                if columns and not any(name.startswith("_") or name.endswith("__folded") for name in columns)
            ]  # fmt: skip
        table.indexes = [columns for columns in table.indexes if columns not in table.uniques]
    return sorted(kept, key=lambda table: table.name)


def _hidden(name: str) -> bool:
    return name.startswith(("_", "sqlite_")) or "__search" in name or name == "alembic_version"


_ON_DELETE = {"c": "cascade", "n": "set_null", "CASCADE": "cascade", "SET NULL": "set_null"}


def _sqlite(path: str) -> list[Table]:
    import apsw

    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [_sqlite_table(connection, str(name)) for (name,) in rows]
    finally:
        connection.close()


def _sqlite_table(connection: Any, name: str) -> Table:
    def ask(pragma: str, of: str) -> list[Any]:
        found: list[Any] = connection.execute(f"PRAGMA {pragma}({quoted(of)})").fetchall()
        return found

    table = Table(name)
    keys: list[tuple[int, str]] = []
    for _, column, kind, strict, default, place, hidden in ask("table_xinfo", name):
        if place:
            keys.append((place, column))
        if hidden in (0, 2, 3):
            nullable = not strict and not place
            table.columns.append(Column(column, (kind or "blob").lower(), nullable, str(default or "")))
    table.key = tuple(column for _, column in sorted(keys))
    links: dict[int, list[Any]] = {}
    for number, _, target, column, _, _, on_delete, _ in ask("foreign_key_list", name):
        links.setdefault(number, []).append((target, column, on_delete))
    for some in links.values():
        target, _, on_delete = some[0]
        table.links.append(Link(tuple(one[1] for one in some), target, _ON_DELETE.get(on_delete, "restrict")))
    for _, index, unique, origin, partial in ask("index_list", name):
        columns = [row[2] for row in ask("index_info", index)]
        if origin != "pk" and not partial and None not in columns:
            (table.uniques if unique else table.indexes).append(tuple(columns))
    return table


_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class'),
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
ORDER BY c.relname, a.attnum"""

_CONSTRAINTS = """
SELECT c.relname::text, k.contype::text, k.confdeltype::text, t.relname::text,
  (SELECT array_agg(a.attname::text ORDER BY n.place) FROM unnest(k.conkey) WITH ORDINALITY AS n (number, place)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_class t ON t.oid = k.confrelid
WHERE k.contype IN ('p', 'u', 'f') AND c.relnamespace = current_schema()::regnamespace
ORDER BY c.relname, k.conname"""

_INDEXES = """
SELECT c.relname::text, i.indisunique,
  (SELECT array_agg(a.attname::text ORDER BY n.place)
   FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS n (number, place)
   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.number)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam
WHERE NOT i.indisprimary AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
  AND c.relnamespace = current_schema()::regnamespace
ORDER BY c.relname, x.relname"""


async def _postgres(url: str) -> list[Table]:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(readonly=True):
            columns, constraints, indexes = [await connection.fetch(t) for t in (_COLUMNS, _CONSTRAINTS, _INDEXES)]
    finally:
        await connection.close()
    tables: dict[str, Table] = {}
    for name, column, kind, nullable, default, comment, of_table, labels in columns:
        table = tables.setdefault(name, Table(name, of_table or ""))
        table.columns.append(
            Column(column, kind.lower(), nullable, default or "", comment or "", tuple(labels or ()))
        )  # fmt: skip
    for name, kind, on_delete, target, some in constraints:
        _constrain(tables.get(name), kind, on_delete, target, tuple(some or ()))
    for name, unique, some in indexes:
        if (table_ := tables.get(name)) is not None and None not in some:
            (table_.uniques if unique else table_.indexes).append(tuple(some))
    return list(tables.values())


def _constrain(table: Table | None, kind: str, on_delete: str, target: str, columns: Sequence[str]) -> None:
    if table is None:
        return
    if kind == "p":
        table.key = tuple(columns)
    elif kind == "u":
        table.uniques.append(tuple(columns))
    else:
        table.links.append(Link(tuple(columns), target, _ON_DELETE.get(on_delete, "restrict")))
