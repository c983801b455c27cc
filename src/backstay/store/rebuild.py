"""Tables are given another form: everything new first and lenient, then, when the records fit, strict.

Invariant: it runs inside one transaction that the migrator holds. On SQLite foreign keys are off while it runs, tables
are made anew from the declaration and never from what is there; on PostgreSQL they are altered in place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CreateColumn

from backstay.model.folding import fold, search_text
from backstay.store.dialect import Dialect, quoted
from backstay.store.port import Writing, as_text
from backstay.store.steps import ASIDE, Course, TableChange, aside_name
from backstay.store.tables import create_statements, dialect_of, link_statements, search_statements

_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Reshaping:
    """The transaction of a migration, its number, and whom it tells how far it is."""

    writing: Writing
    dialect: Dialect
    number: int
    tell: Callable[[str, int, int], None]

    @property
    def sqlite(self) -> bool:
        """Whether tables are made anew instead of altered."""
        return self.dialect.name == "sqlite"

    @property
    def of(self) -> sa.Dialect:
        """SQLAlchemy's dialect, for texts."""
        return dialect_of(self.dialect.name)

    async def run(self, text: str) -> list[Any]:
        """The rows of a statement."""
        return await self.writing.run(text, ())


async def reshape(re: Reshaping, way: Course, between: Callable[[], Awaitable[None]]) -> None:
    """Give the tables of a course their new form; `between` runs when everything is there and nothing strict yet."""
    for name in way.sequences if not re.sqlite else ():
        await re.run(f"CREATE SEQUENCE IF NOT EXISTS {quoted(f'_seq_{name}')}")
    for change in way.changes:
        if change.new is None:
            await _put_aside(re, change)
    altered = [change for change in way.changes if change.old is not None and change.new is not None]
    for change in altered:
        await _expand(re, change)
    for change in way.changes:
        if change.old is None:
            await _make(re, change)
    await between()
    for at, change in enumerate(altered):
        re.tell(change.name, at, len(altered))
        await (_rebuild(re, change) if re.sqlite else _alter(re, change))
    if not re.sqlite:
        await _link(re, way)
    re.tell("", len(altered), len(altered))


async def _put_aside(re: Reshaping, change: TableChange) -> None:
    assert change.old is not None
    await _drop_search(re, change.name)
    if re.sqlite:
        await _drop_indexes(re, change.name)
        await re.run("PRAGMA legacy_alter_table = ON")
    else:
        for link in change.old.foreign_key_constraints:
            await re.run(f"ALTER TABLE {quoted(change.name)} DROP CONSTRAINT IF EXISTS {quoted(str(link.name))}")
        for index in change.old.indexes:
            await re.run(f"DROP INDEX IF EXISTS {quoted(str(index.name))}")
    await re.run(f"ALTER TABLE {quoted(change.name)} RENAME TO {quoted(aside_name(re.number, change.name))}")
    if re.sqlite:
        await re.run("PRAGMA legacy_alter_table = OFF")


async def _make(re: Reshaping, change: TableChange) -> None:
    """A table that is new, or comes back from aside."""
    assert change.new is not None
    texts = create_statements(change.new, re.of)
    if change.restored_table:
        await re.run(f"ALTER TABLE {quoted(change.restored_table)} RENAME TO {quoted(change.name)}")
        texts = texts[1:]
    for text in texts:
        await re.run(text)
    await _make_search(re, change.new)


# First everything new, lenient.


async def _expand(re: Reshaping, change: TableChange) -> None:
    assert change.old is not None and change.new is not None
    table = quoted(change.name)
    await _drop_search(re, str(change.old.name))
    if change.old.name != change.new.name:
        await re.run(f"ALTER TABLE {quoted(str(change.old.name))} RENAME TO {table}")
    if not re.sqlite and "_terms" in change.old.c and ("_words" in change.aside or change.words):
        await re.run(f'ALTER TABLE {table} DROP COLUMN "_terms"')
    for column in change.aside:
        aside = quoted(aside_name(re.number, column))
        await re.run(f"ALTER TABLE {table} RENAME COLUMN {quoted(column)} TO {aside}")
        if not re.sqlite:
            await re.run(f"ALTER TABLE {table} ALTER COLUMN {aside} DROP NOT NULL")
    for was, now in [*change.renamed, *change.restored]:
        await re.run(f"ALTER TABLE {table} RENAME COLUMN {quoted(was)} TO {quoted(now)}")
    for name in change.added:
        kind = change.new.c[name].type.compile(dialect=re.of)
        await re.run(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}")
    if not re.sqlite:
        await _loosen(re, change)
    if change.fills:
        sets = ", ".join(f"{quoted(column)} = {value}" for column, value in change.fills)
        await re.run(f"UPDATE {table} SET {sets}")
    for part in change.folded:
        await _fill(re, change.name, [part.column], part.folded, _folded)
    if change.words and change.entity is not None:
        columns = [change.entity.fields[name].column for name in change.entity.search]
        await _fill(re, change.name, columns, "_words", search_text)


def _folded(values: list[Any]) -> str | None:
    return None if values[0] is None else fold(values[0])


async def _fill(re: Reshaping, table: str, columns: list[str], into: str, make: Callable[[Any], Any]) -> None:
    """Give every record what Python makes of it, a batch at a time."""
    (row,) = await re.run(f"SELECT count(*) FROM {quoted(table)}")
    total, done, last = int(row[0]), 0, ""
    names = ", ".join(quoted(column) for column in columns)
    key = 'CAST("id" AS text)'
    slot = re.dialect.slot
    page = f"SELECT {key}, {names} FROM {quoted(table)} WHERE {key} > {slot(0, 'text')} ORDER BY 1 LIMIT {_BATCH}"
    if re.sqlite:
        page = page.replace(key, '"id"')
    one = f'UPDATE {quoted(table)} SET {quoted(into)} = {slot(0, "text")} WHERE "id" = {slot(1, "text")}'
    all_of = (
        f"UPDATE {quoted(table)} SET {quoted(into)} = v.made FROM unnest($1::text[], $2::uuid[]) AS v(made, key) "
        f'WHERE {quoted(table)}."id" = v.key'
    )
    while rows := await re.writing.run(page, (last,)):
        made = [(make([as_text(value) for value in row[1:]]), as_text(row[0])) for row in rows]
        if re.sqlite:
            for value, record in made:
                await re.writing.run(one, (value, record))
        else:
            await re.writing.run(all_of, ([value for value, _ in made], [record for _, record in made]))
        last = made[-1][1] or ""
        done += len(rows)
        re.tell(f"{table}.{into}", done, total)


# Then strict.


async def _rebuild(re: Reshaping, change: TableChange) -> None:
    """SQLite: the table as it is declared, with the records and what is aside."""
    assert change.new is not None
    name, old = change.name, f"_old_{change.name}"
    there = [(row[1], row[2]) for row in await re.run(f"PRAGMA table_info({quoted(name)})")]
    aside = [(column, kind) for column, kind in there if column.startswith(ASIDE)]
    watching = await re.writing.run("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?1", (name,))
    await _drop_indexes(re, name)
    await re.run("PRAGMA legacy_alter_table = ON")  # other tables go on referring to the name
    await re.run(f"ALTER TABLE {quoted(name)} RENAME TO {quoted(old)}")
    await re.run("PRAGMA legacy_alter_table = OFF")
    create, *indexes = create_statements(change.new, re.of)
    await re.run(create)
    for column, kind in aside:
        await re.run(f"ALTER TABLE {quoted(name)} ADD COLUMN {quoted(column)} {kind}")
    present = {column for column, _ in there}
    kept = [column.name for column in change.new.columns if column.name in present] + [column for column, _ in aside]
    names = ", ".join(quoted(column) for column in kept)
    await re.run(f"INSERT INTO {quoted(name)} ({names}) SELECT {names} FROM {quoted(old)}")
    await re.run(f"DROP TABLE {quoted(old)}")
    for text in [*indexes, *(row[0] for row in watching)]:  # those of `store/revocation.py` go with a table
        await re.run(text)
    await _make_search(re, change.new)


async def _loosen(re: Reshaping, change: TableChange) -> None:
    """PostgreSQL: constraints and indexes that are not those of the new form go."""
    assert change.old is not None and change.new is not None
    table = quoted(change.name)
    keep = _constraints(change.new, re)
    for name, text in _constraints(change.old, re).items():
        if keep.get(name) != text:
            await re.run(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted(name)}")
    keep = _indexes(change.new, re)
    for name, text in _indexes(change.old, re).items():
        if keep.get(name) != text:
            await re.run(f"DROP INDEX IF EXISTS {quoted(name)}")


async def _alter(re: Reshaping, change: TableChange) -> None:
    """PostgreSQL: the table in place, as it is declared."""
    assert change.old is not None and change.new is not None
    table = quoted(change.name)
    for column in change.new.columns:
        was = change.old.c.get(_former(change, column.name))
        if column.computed is not None:
            if column.name not in change.old.c or "_words" in change.aside or change.words:
                text = str(CreateColumn(column).compile(dialect=re.of))
                await re.run(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {text}")
            continue
        name = quoted(column.name)
        kind = column.type.compile(dialect=re.of)
        if was is not None and was.type.compile(dialect=re.of) != kind:
            cast = f"{name}::{kind.partition(' COLLATE')[0]}"
            await re.run(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind} USING {cast}")
        if (was is None or was.nullable) and not column.nullable:
            await re.run(f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL")
        elif was is not None and not was.nullable and column.nullable:
            await re.run(f"ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL")
        if was is None and isinstance(column.server_default, sa.DefaultClause):
            text = str(CreateColumn(column).compile(dialect=re.of))
            default = text.partition(" DEFAULT ")[2].partition(" NOT NULL")[0]
            await re.run(f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default}")
    known = _constraints(change.old, re)
    for name, text in _constraints(change.new, re).items():
        if known.get(name) != text and not text.startswith("link "):
            await re.run(text)
    rows = await re.run("SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema()")
    there = {as_text(row[0]) for row in rows}
    for name, text in _indexes(change.new, re).items():
        if name not in there:
            await re.run(text)


async def _link(re: Reshaping, way: Course) -> None:
    """PostgreSQL: foreign keys, when all tables are there."""
    rows = await re.run("SELECT conname::text FROM pg_constraint WHERE contype = 'f'")
    there = {as_text(row[0]) for row in rows}
    for change in way.changes:
        if change.new is not None:
            for name, text in link_statements(change.new, re.of).items():
                if name not in there:
                    await re.run(text)


def _former(change: TableChange, name: str) -> str:
    """What a column was called, if it was a column of the old table and is the same one."""
    if name in change.added or any(name == now for _, now in change.restored):
        return ""
    return next((was for was, now in change.renamed if now == name), name)


def _constraints(table: sa.Table, re: Reshaping) -> dict[str, str]:
    """The texts that add the checks and links of a table, by name."""
    found = {
        str(c.name): str(AddConstraint(c).compile(dialect=re.of))
        for c in table.constraints if isinstance(c, sa.CheckConstraint)
    }  # fmt: skip
    return found | {name: f"link {text}" for name, text in link_statements(table, re.of).items()}


def _indexes(table: sa.Table, re: Reshaping) -> dict[str, str]:
    ordered = sorted(table.indexes, key=lambda index: str(index.name))
    return dict(zip((str(index.name) for index in ordered), create_statements(table, re.of)[1:], strict=True))


# Search tables and indexes of SQLite.


async def _make_search(re: Reshaping, table: sa.Table) -> None:
    if re.sqlite and "_words" in table.c:
        for text in search_statements(str(table.name)):
            await re.run(text)
        search = quoted(f"{table.name}__search")
        await re.run(f"INSERT INTO {search}({search}) VALUES ('rebuild')")


async def _drop_search(re: Reshaping, table: str) -> None:
    if re.sqlite:
        for end in ("i", "d", "u"):
            await re.run(f"DROP TRIGGER IF EXISTS {quoted(f'{table}__search_{end}')}")
        await re.run(f"DROP TABLE IF EXISTS {quoted(f'{table}__search')}")


async def _drop_indexes(re: Reshaping, table: str) -> None:
    rows = await re.writing.run(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL", (table,)
    )
    for (name,) in rows:
        await re.run(f"DROP INDEX {quoted(name)}")
