"""Many new records of one model at once, above the rules: one statement for a hundred of them, and their changes.

Invariant: what is written here is what `Transaction.create` would have written. Values were checked by `parse_field`,
defaults are those of `plan/write.py`, columns those of `store/rows.py`, and each record has its change in the change
log, in the same transaction. Hooks of own code do not run here: who must run them creates one record after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from backstay.errors import FieldError, Invalid
from backstay.model.field import Entity, Field
from backstay.plan.write import default_of, filled_by_table, parse_field
from backstay.store.changes import microseconds
from backstay.store.dialect import Dialect, quoted
from backstay.store.many import Encoders, finding_of, insertion_of, logging_of
from backstay.store.record import instance, taken
from backstay.store.rows import Part, parts_of, words_of
from backstay.store.sealing import sealed_values
from backstay.store.transaction import Hook, Transaction

_SIZES = (128, 16, 1)
"""How many rows a statement has, so that few statements are prepared; 128 stay below every limit on parameters."""

Key = tuple[Any, ...]


def can_add(entity: Entity) -> bool:
    """Whether new records of a model can be added many at once: those of Backstay's own tables."""
    return entity.existing is None


class Bulk:
    """Adds and finds records of one model. One object for many transactions; `hooks` are those of Backstay's own."""

    def __init__(self, entity: Entity, dialect: Dialect, hooks: Sequence[Hook] = ()) -> None:
        self.entity = entity
        self._dialect = dialect
        self._hooks = hooks
        self._parts = [part for field in entity.fields.values() for part in parts_of(field)]
        if entity.search:
            self._parts.append(words_of(entity))
        alone = {field.column: field.name for field in entity.fields.values() if _is_plain(field)}
        self._takes = [(alone.get(part.column, part.take), _remembering(part, dialect)) for part in self._parts]
        self._sequences = [
            (name, field.default.value) for name, field in entity.fields.items()
            if field.default is not None and field.default.source == "sequence"
        ]  # fmt: skip
        fields = entity.fields.items()
        self._required = [name for name, field in fields if field.required]
        self._unsaid = [(name, field) for name, field in fields if not field.required and not filled_by_table(field)]
        self._texts: dict[int, str] = {}
        self._finds: dict[tuple[tuple[str, ...], int], tuple[str, Encoders]] = {}
        self._logging = logging_of(entity, dialect)

    async def add(self, tx: Transaction, records: Sequence[dict[str, Any]]) -> None:
        """Add records, each with its `id` and with canonical values; they are filled with their defaults.

        Raises `Invalid` where a record lacks a value, `Taken` or `Broken` where the database refuses one of them.
        Two round trips for 128 records on SQLite, one on PostgreSQL.
        """
        writing, now, engine = tx._writing, tx._engine.clock(), tx._engine
        drawn: dict[str, int] = {}
        for record in records:
            self._fill(record, tx, now)
            for hook in self._hooks:
                await self._run(hook, tx, record)
            for name, sequence in self._sequences:
                if record.get(name) is None:
                    record[name] = await writing.number(sequence)
                else:
                    drawn[sequence] = max(drawn.get(sequence, 0), record[name])
        for sequence, number in drawn.items():
            await raise_sequence(tx, sequence, number)
        tx._writer.wrote = True
        actor = None if tx.actor.id is None else str(tx.actor.id)
        logged = [microseconds(now), actor]
        for some in _pieces(records):
            values = self._values(some, engine.keys)
            text = self._text(len(some))
            if not self.entity.logged:
                await writing.run(text, values)
            elif self._dialect.logs_inside:
                await writing.run(text, [*values, *logged])
            else:
                (row,) = await writing.run(f'SELECT max("_row") FROM {quoted(self.entity.table)}', ())
                await writing.run(text, values)
                await writing.run(self._logging, [*logged, row[0] or 0])

    async def find(self, tx: Transaction, names: tuple[str, ...], keys: Sequence[Key]) -> dict[Key, str]:
        """The ids of the records with these values, of several fields at once. One round trip for 128 of them."""
        found: dict[Key, str] = {}
        for some in _pieces(keys):
            text, encoders = self._find(names, len(some))
            values = [
                value if encode is None else encode(value)
                for key in some
                for value, encode in zip(key, encoders, strict=True)
            ]
            for at, key in await tx._writing.run(text, values):
                found[some[int(at)]] = key.decode() if isinstance(key, bytes) else str(key)
        return found

    def _fill(self, record: dict[str, Any], tx: Transaction, now: datetime) -> None:
        lacking = []
        for name, field in self._unsaid:
            if name not in record:
                record[name] = default_of(field, record, tx.actor, record["id"], now)
        for name in self._required:
            if name not in record:
                lacking.append(FieldError(name, "required", "is required."))
        if lacking:
            raise Invalid(f'"{lacking[0].path}" is required.', errors=lacking)

    async def _run(self, hook: Hook, tx: Transaction, record: dict[str, Any]) -> None:
        shown = instance(self.entity, record)
        before = taken(self.entity, shown)
        await hook(tx, shown)
        for name, value in taken(self.entity, shown).items():
            if value is not before.get(name):
                record[name] = parse_field(self.entity.fields[name], value)

    def _values(self, records: Sequence[dict[str, Any]], keys: Any) -> list[Any]:
        """The parameters of some rows: made column by column, and put in the order of the rows."""
        if self.entity.sealed:
            records = [{**sealed_values(keys, self.entity, record["id"], record)} for record in records]
        columns = []
        for take, encode in self._takes:
            column = [record[take] for record in records] if isinstance(take, str) else [*map(take, records)]
            columns.append(column if encode is None else [None if v is None else encode(v) for v in column])
        return [*chain.from_iterable(zip(*columns, strict=True))]

    def _text(self, size: int) -> str:
        if (known := self._texts.get(size)) is None:
            known = self._texts[size] = insertion_of(self.entity, self._parts, size, self._dialect)
        return known

    def _find(self, names: tuple[str, ...], size: int) -> tuple[str, Encoders]:
        if (known := self._finds.get((names, size))) is None:
            fields = [self.entity.fields[name] for name in names]
            known = self._finds[names, size] = finding_of(self.entity, fields, size, self._dialect)
        return known


async def raise_sequence(tx: Transaction, sequence: str, number: int) -> None:
    """See to it that a sequence never gives a number again that was written by hand. One round trip."""
    dialect = tx._engine.store.dialect
    if dialect.name == "sqlite":
        text = (
            'INSERT INTO "_sequences" VALUES (?1, ?2) '
            "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
        )
        await tx._writing.run(text, (sequence, number))
        return
    name = quoted(f"_seq_{sequence}")
    text = f"SELECT setval($1::text::regclass, GREATEST($2::bigint, (SELECT last_value FROM {name})))"
    await tx._writing.run(text, (name, number))


def _is_plain(field: Field) -> bool:
    """Whether a column holds the value of a field as it is, and nothing that is made of it."""
    return field.kind.name != "money" and not field.kind.sealed and not filled_by_table(field)


def _remembering(part: Part, dialect: Dialect) -> Callable[[Any], Any] | None:
    """How a column is handed to the driver; of instants, which repeat themselves in files, the last are remembered."""
    encode = dialect.encoder(part.spec)
    if encode is None or part.spec.kind.name != "datetime":
        return encode
    return lru_cache(1_000)(encode)


def _pieces(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    at = 0
    for size in _SIZES:
        while len(items) - at >= size:
            yield items[at : at + size]
            at += size
