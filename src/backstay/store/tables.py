"""The tables of a schema as SQLAlchemy `Table`s, for creating them, for migrations and for raw statements.

Every constraint of a field that a database can keep is here too, each with a name. Besides the declared columns
a table has `_version` (what `If-Match` compares), folded copies of texts, and `_words` where it is searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, CreateTable

from backstay.model.field import Entity, Field, Schema
from backstay.model.folding import fold
from backstay.model.value import CIPHERTEXT, Kind
from backstay.store.dialect import literal, quoted
from backstay.store.kept import KEPT
from backstay.store.revocation import sqlite_triggers

_SQLITE: dict[str, Any] = {
    "text": sa.Text, "integer": sa.Integer, "big_integer": sa.Integer, "float": sa.REAL, "decimal": sa.Integer,
    "boolean": sa.Integer, "date": sa.Text, "time": sa.Text, "datetime": sa.Text, "duration": sa.Integer,
    "uuid": sa.Text, "json": sa.Text, "list": sa.Text, "money": sa.Integer,
}  # fmt: skip
_POSTGRES: dict[str, Any] = {
    "text": sa.Text(collation="C"), "integer": sa.BigInteger, "big_integer": sa.BigInteger, "float": sa.Double,
    "boolean": sa.Boolean, "date": sa.Date, "time": sa.Time, "datetime": sa.DateTime(timezone=True),
    "duration": sa.BigInteger, "uuid": sa.Uuid, "json": postgresql.JSONB, "list": postgresql.JSONB,
    "money": sa.BigInteger,
}  # fmt: skip


_ON_DELETE = {"restrict": "NO ACTION", "cascade": "CASCADE", "set_null": "SET NULL"}


def tables(schema: Schema, dialect: str) -> sa.MetaData:
    """The tables of all models for one database, and those of Backstay's own; not those of another application."""
    metadata = sa.MetaData()
    for entity in schema.entities.values():
        if entity.existing is None:
            _table(metadata, entity, dialect)
    for keep in KEPT:
        keep(metadata, dialect)
    return metadata


def _type(kind: Kind, dialect: str) -> Any:
    if kind.sealed:
        kind = CIPHERTEXT
    if kind.name == "enum":
        kind = Kind("integer" if kind.choices and isinstance(kind.choices[0], int) else "text")
    if dialect == "sqlite":
        return _SQLITE[kind.name]
    return sa.Numeric(kind.precision, kind.scale) if kind.name == "decimal" else _POSTGRES[kind.name]


def _table(metadata: sa.MetaData, entity: Entity, dialect: str) -> None:
    columns: list[Any] = []
    if dialect == "sqlite":
        columns.append(sa.Column("_row", sa.Integer, primary_key=True))
    for field in entity.fields.values():
        columns += _columns(field, dialect)
    columns.append(sa.Column("_version", sa.Integer, nullable=False, server_default="1"))
    if entity.search:
        columns.append(sa.Column("_words", _type(Kind("text"), dialect), nullable=False, server_default=" "))
        if dialect == "postgres":
            made = sa.Computed("array_to_tsvector(string_to_array(nullif(btrim(_words), ''), ' '))", persisted=True)
            columns.append(sa.Column("_terms", postgresql.TSVECTOR, made))
    checks = [check for field in entity.fields.values() for check in _checks(entity, field, dialect)]
    links = [
        sa.ForeignKeyConstraint(
            [field.column], [f"{field.target.table}.id"], name=f"fk_{entity.table}_{field.name}",
            ondelete=_ON_DELETE[field.on_delete], use_alter=dialect == "postgres",
        )
        for field in entity.fields.values() if field.target is not None and field.target.existing is None
    ]  # fmt: skip
    table = sa.Table(entity.table, metadata, *columns, *checks, *links, sqlite_strict=True)
    for index in _indexes(entity):
        name, names, unique = index
        sa.Index(name, *(table.c[column] for column in names), unique=unique)
    if entity.search and dialect == "postgres":
        sa.Index(f"ix_{entity.table}__terms", table.c["_terms"], postgresql_using="gin")


def _columns(field: Field, dialect: str) -> Iterator[Any]:
    kind = _type(field.kind, dialect)
    if field.name == "id":
        yield sa.Column("id", kind, nullable=False, unique=dialect == "sqlite", primary_key=dialect != "sqlite")
        return
    yield sa.Column(field.column, kind, nullable=field.nullable, info={"field": field})
    for second in field.columns[1:]:
        yield sa.Column(second, _type(Kind("text"), dialect), nullable=field.nullable)
    if field.folded:
        folded = _type(Kind("text"), dialect)
        yield sa.Column(field.folded, folded, nullable=field.nullable, info={"folds": field})


def _checks(entity: Entity, field: Field, dialect: str) -> Iterator[sa.CheckConstraint]:
    for number, text in enumerate(_check_texts(field, dialect)):
        yield sa.CheckConstraint(sa.text(text.replace(":", "\\:")), name=f"ck_{entity.table}_{field.name}_{number}")


def _check_texts(field: Field, dialect: str) -> Iterator[str]:
    kind, column = field.kind, quoted(field.column)
    if kind.sealed:
        return  # the database cannot read it
    unit = 10**kind.scale if dialect == "sqlite" and kind.name == "decimal" else 1
    if kind.name not in ("text", "list", "json", "enum", "boolean"):
        for bound, sign in ((kind.ge, ">="), (kind.gt, ">"), (kind.le, "<="), (kind.lt, "<")):
            if bound is not None:
                number = bound * unit if isinstance(bound, (int, float)) or unit > 1 else bound
                yield f"{column} {sign} {int(number) if unit > 1 else _number(number, dialect)}"
        if kind.multiple_of is not None and isinstance(kind.multiple_of, int):
            yield f"{column} % {kind.multiple_of * unit} = 0"
    length = "length" if dialect == "sqlite" else "char_length"
    if kind.name == "text":
        if kind.min_length:
            yield f"{length}({column}) >= {kind.min_length}"
        if kind.max_length is not None:
            yield f"{length}({column}) <= {kind.max_length}"
    if kind.name == "enum":
        choices = [literal(choice) if isinstance(choice, str) else str(choice) for choice in kind.choices]
        yield f"{column} IN ({', '.join(choices)})"
    if dialect == "sqlite":
        if kind.name == "boolean":
            yield f"{column} IN (0, 1)"
        if kind.name in ("json", "list"):
            yield f"json_valid({column})"
        if kind.name == "decimal":
            yield f"abs({column}) < {10**kind.precision}"


def _number(value: Any, dialect: str) -> str:
    if isinstance(value, (int, float)):
        return repr(value)
    from backstay.store import postgres_dialect, sqlite_dialect

    encoder = (sqlite_dialect if dialect == "sqlite" else postgres_dialect).encoder_of
    from backstay.model.value import parse

    kinds = {"datetime": "datetime", "date": "date", "time": "time", "timedelta": "duration", "Decimal": "float"}
    kind = Kind(kinds[type(value).__name__])  # type: ignore[arg-type]
    if kind.name == "float":
        return str(value)
    encode = encoder(kind)
    stored = encode(parse(kind, value)) if encode is not None else parse(kind, value).isoformat()
    return literal(stored) if isinstance(stored, str) else str(stored)


def _indexes(entity: Entity) -> Iterator[tuple[str, list[str], bool]]:
    seen: set[tuple[str, ...]] = set()
    for index in entity.indexes:
        if index.kind == "search":
            continue
        names = [column for name in index.fields for column in entity.fields[name].columns]
        seen.add(tuple(names))
        prefix = "uq" if index.kind == "unique" else "ix"
        if index.kind != "unique" and "id" not in names:
            names = [*names, "id"]  # every order ends with the id, so an index serves it whole
        yield f"{prefix}_{entity.table}_{'_'.join(index.fields)}", names, index.kind == "unique"
    for field in entity.fields.values():
        if (field.target is not None or field.existing) and not any(names[0] == field.column for names in seen):
            yield f"ix_{entity.table}_{field.name}", [field.column, "id"], False


def sequences(schema: Schema) -> list[str]:
    """The names of the sequences that fields draw numbers from."""
    defaults = [field.default for entity in schema.entities.values() for field in entity.fields.values()]
    return sorted({default.value for default in defaults if default is not None and default.source == "sequence"})


def link_statements(table: sa.Table, dialect: sa.Dialect) -> dict[str, str]:
    """The texts that add a table's foreign keys, by name: after all tables, which may stand in a circle."""
    links = sorted(table.foreign_key_constraints, key=lambda link: str(link.name))
    return {str(link.name): str(AddConstraint(link).compile(dialect=dialect)) for link in links if link.use_alter}


def added_column(column: Any, dialect: sa.Dialect) -> str:
    """The text of a column that is added to a table with records in it: they get the declared default, or null.

    Raises `RuntimeError` where there is neither.
    """
    text = str(CreateColumn(column).compile(dialect=dialect))
    field: Field | None = column.info.get("field") or column.info.get("folds")
    if not column.nullable and column.server_default is None:
        default = field.default if field is not None else None
        if field is None or default is None or default.source != "literal" or field.kind.sealed:
            raise RuntimeError(
                f"{column.table.name}.{column.name} is new and may not be null, but there are records without it.\n"
                f"{'Let' if field is not None and field.kind.sealed else 'Give the field a default, let'} it be null "
                "(| None), or start with a fresh database."
            )
        text += f" DEFAULT {_literal_of(field, default.value, folded='folds' in column.info, dialect=dialect.name)}"
    target = field.target if field is not None and "field" in column.info else None
    if dialect.name == "sqlite" and field is not None and target is not None and target.existing is None:
        text += f" REFERENCES {quoted(target.table)} (id) ON DELETE {_ON_DELETE[field.on_delete]}"
    return text


def fill_of(field: Field, dialect: str) -> list[tuple[str, str]] | None:
    """What records get that are there when a field comes, as SQL for each of its columns; nothing where none says."""
    default = field.default
    if default is None or default.source != "literal" or default.value is None or field.kind.sealed:
        return None
    if field.kind.name == "money":
        values = [str(default.value.amount), literal(default.value.currency)]
        return list(zip(field.columns, values, strict=False))
    filled = [(field.column, _literal_of(field, default.value, folded=False, dialect=dialect))]
    if field.folded:
        filled.append((field.folded, _literal_of(field, default.value, folded=True, dialect=dialect)))
    return filled


def dialect_of(name: str) -> sa.Dialect:
    """SQLAlchemy's dialect for the texts of a database."""
    return sqlite.dialect() if name == "sqlite" else postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]


def _literal_of(field: Field, value: Any, *, folded: bool, dialect: str) -> str:
    from backstay.store import postgres_dialect, sqlite_dialect

    encode = (sqlite_dialect if dialect == "sqlite" else postgres_dialect).encoder_of(field.kind)
    stored = fold(value) if folded else encode(value) if encode is not None else value
    if isinstance(stored, (bool, int, float)):
        return str(stored).upper()
    return literal(str(stored))


def create_statements(table: sa.Table, dialect: sa.Dialect) -> list[str]:
    """The text that creates a table and its indexes."""
    texts = [str(CreateTable(table).compile(dialect=dialect)).strip()]
    return texts + [
        str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=lambda i: str(i.name))
    ]


_BEGINNINGS: dict[str, list[str]] = {}
_KEPT = 16


def sqlite_beginning(schema: Schema) -> list[str]:
    """All texts that make the tables of a schema in an empty SQLite database.

    Remembered by the schema's fingerprint: tests begin with an empty database each, and compiling costs more than
    running.
    """
    if (texts := _BEGINNINGS.get(schema.fingerprint)) is None:
        dialect = sqlite.dialect()
        texts = []
        for table in tables(schema, "sqlite").tables.values():
            texts += create_statements(table, dialect)
            if "_words" in table.c:
                texts += search_statements(table.name)
        texts += sqlite_triggers(schema, {entity.table for entity in schema.entities.values()}).values()
        if len(_BEGINNINGS) >= _KEPT:
            _BEGINNINGS.pop(next(iter(_BEGINNINGS)))
        _BEGINNINGS[schema.fingerprint] = texts
    return texts


def search_statements(table: str) -> list[str]:
    """SQLite's search index of a table, kept in step by triggers."""
    search, name = quoted(f"{table}__search"), quoted(table)
    gone = f'INSERT INTO {search}({search}, rowid, "_words") VALUES (\'delete\', old."_row", old."_words")'
    come = f'INSERT INTO {search}(rowid, "_words") VALUES (new."_row", new."_words")'
    return [
        f"CREATE VIRTUAL TABLE {search} USING fts5(\"_words\", content={literal(table)}, content_rowid='_row', "
        "tokenize='ascii', detail='none', columnsize=0)",
        f"CREATE TRIGGER {quoted(table + '__search_i')} AFTER INSERT ON {name} BEGIN {come}; END",
        f"CREATE TRIGGER {quoted(table + '__search_d')} AFTER DELETE ON {name} BEGIN {gone}; END",
        f'CREATE TRIGGER {quoted(table + "__search_u")} AFTER UPDATE OF "_words" ON {name} BEGIN {gone}; {come}; END',
    ]
