"""The change log: what every write did, kept in the same transaction, and read in the order in which it became true.

Invariant: a change has a position once its transaction is committed, positions only grow and are never given twice,
and whoever reads behind a position it has seen misses nothing and reads nothing again. The changes of one record come
in the order in which they were made, those of one transaction stand together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, Literal, TypeAlias

from backstay.store.dialect import Dialect, SlotKind, literal
from backstay.store.port import Store, Writing, as_text

WriteAction: TypeAlias = Literal["create", "update", "delete"]
Action: TypeAlias = WriteAction | Literal["fact", "reset"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = '"position", "at", "model", "record", "action", "version", "old", "new", "actor", "fact"'
_PAGE = 1_000
_MARKS = (
    'SELECT s."number", c."model", c."record", c."action", c."version" FROM "_state" AS s '
    'LEFT JOIN "_changes" AS c ON c."position" IS NULL WHERE s."name" = \'position\''
)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that became true.

    `old` and `new` are the stored fields of the record as JSON text before and after, without secrets that can never
    be read; encrypted fields are as they are stored. A `fact` was told by own code and has its name in `fact`. A
    `reset` says that statements of own code wrote to the model, nobody knows what.
    """

    position: int
    at: datetime
    model: str
    record: str
    action: Action
    version: int
    old: bytes | None
    new: bytes | None
    actor: str | None
    fact: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """A state of the database by the log: everything up to a position, and changes that have none yet."""

    position: int
    loose: frozenset[tuple[str, str, str, int]] = frozenset()
    """Model, record, action and version of what is committed and not numbered."""


class ChangeLog:
    """The change log of one database, to be read from."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.epoch = ""
        """Changes when positions begin anew: after a restore, or a move to another database."""

    async def open(self) -> None:
        """Find the epoch of the log, or begin one."""
        while not self.epoch:
            rows = await self.store.run('SELECT "value" FROM "_state" WHERE "name" = \'epoch\'', ())
            if rows:
                self.epoch = as_text(rows[0][0]) or ""
            else:
                async with self.store.transaction() as writing:
                    await begin_epoch(writing, self.store.dialect)

    async def epoch_now(self) -> str:
        """The epoch as it stands in the database. One round trip."""
        rows = await self.store.run('SELECT "value" FROM "_state" WHERE "name" = \'epoch\'', ())
        return as_text(rows[0][0]) or "" if rows else ""

    async def marks(self, tx: Writing | None = None) -> Marks:
        """Up to where what can be read now is in the log, to be compared with a second look. One round trip."""
        run = tx.run if tx is not None else self.store.run
        if self.store.dialect.name == "sqlite":  # one writer, whose numbers are positions
            (row,) = await run(f"SELECT {self.store.dialect.last_position}", ())
            return Marks(int(row[0]))
        rows = await run(_MARKS, ())
        loose = frozenset(
            (as_text(model), as_text(record), as_text(action), int(version))
            for _, model, record, action, version in rows if model is not None
        )  # fmt: skip
        return Marks(int(rows[0][0]), loose)

    async def after(self, position: int, limit: int = 500) -> list[Change]:
        """The changes behind a position, in order, at most `limit`. One round trip."""
        dialect = self.store.dialect
        text = (
            f'SELECT {_COLUMNS} FROM "_changes" WHERE "position" > {dialect.slot(0, "bigint")} '
            f'ORDER BY "position" LIMIT {dialect.slot(1, "bigint")}'
        )
        return [_change(row) for row in await self.store.run(text, (position, limit))]

    async def head(self) -> int:
        """The last position there is; nothing is at 0. One round trip."""
        (row,) = await self.store.run(f"SELECT {self.store.dialect.last_position}", ())
        return int(row[0])

    async def begins_behind(self) -> int:
        """The position behind which everything is kept: a reader that stands before it has missed something."""
        (row,) = await self.store.run('SELECT min("position") FROM "_changes"', ())
        return int(row[0]) - 1 if row[0] is not None else await self.head()

    async def forget(self, before: datetime, upto: int | None = None) -> int:
        """Remove what was kept before an instant, oldest first, and not behind `upto`; returns how many changes.

        A thousand in a transaction, so nobody waits for long.
        """
        dialect, removed = self.store.dialect, 0
        oldest = (
            f'SELECT "position" FROM "_changes" WHERE "position" > 0 AND "position" <= {dialect.slot(1, "bigint")} '
            f'ORDER BY "position" LIMIT {_PAGE}'
        )
        text = (
            f'DELETE FROM "_changes" WHERE "position" IN ({oldest}) AND "at" < {dialect.slot(0, "bigint")} '
            'RETURNING "position"'
        )
        while True:
            async with self.store.transaction() as writing:
                gone = len(await writing.run(text, (microseconds(before), 2**62 if upto is None else upto)))
            removed += gone
            if gone < _PAGE:
                return removed


def appending(dialect: Dialect, number: int = 1) -> str:
    """The statement that keeps so many changes, in order; its parameters are `appended` of each."""
    kinds: tuple[SlotKind, ...] = ("bigint", "text", "text", "text", "bigint", "text", "text", "text", "text")
    rows = (
        ", ".join(dialect.slot(row * len(kinds) + at, kind) for at, kind in enumerate(kinds)) for row in range(number)
    )
    return f'INSERT INTO "_changes" ({_COLUMNS.partition(", ")[2]}) VALUES {", ".join(f"({row})" for row in rows)}'


def appended(
    at: datetime, model: str, record: str, action: Action, version: int, old: Any, new: Any, actor: str | None,
    fact: str = "",
) -> Sequence[Any]:  # fmt: skip
    """The parameters of `appending`; `old` and `new` as the driver gave them."""
    return microseconds(at), model, record, action, version, as_text(old), as_text(new), actor, fact


def keeping(model: str, action: WriteAction, dialect: Dialect, first: int) -> str:
    """The part of a statement that keeps the change of a row `w` with its version `v` and its record `j`.

    Its parameters begin at `first`: the instant, the actor, the id of the record, and for an update the old record.
    """
    record, old = dialect.slot(first + 2, "text"), dialect.slot(first + 3, "text")
    return _keeping(model, action, dialect, first, record, old, "w")


def keeping_held(model: str, dialect: Dialect, first: int) -> str:
    """The same for an update of a record that the statement itself has found: as it was, it is `was.j`.

    Its parameters begin at `first`: the instant, the actor and the id of the record.
    """
    return _keeping(model, "update", dialect, first, dialect.slot(first + 2, "text"), "was.j", "w, was")


def keeping_many(model: str, action: WriteAction, dialect: Dialect, first: int) -> str:
    """The same for many rows, each with its id `k`; the old records of an update are `was.j`, by `was.k`.

    Its parameters begin at `first`: the instant and the actor.
    """
    source = "w JOIN was ON was.k = w.k" if action == "update" else "w"
    return _keeping(model, action, dialect, first, "w.k", "was.j", source)


def _keeping(
    model: str, action: WriteAction, dialect: Dialect, first: int, record: str, old: str, source: str
) -> str:  # fmt: skip
    at, actor = dialect.slot(first, "bigint"), dialect.slot(first + 1, "text")
    old = {"create": "NULL", "update": old, "delete": "w.j"}[action]
    new = "NULL" if action == "delete" else "w.j"
    values = f"{at}, {literal(model)}, {record}, {literal(action)}, w.v, {old}, {new}, {actor}, ''"
    return f'INSERT INTO "_changes" ({_COLUMNS.partition(", ")[2]}) SELECT {values} FROM {source}'


async def begin_epoch(writing: Writing, dialect: Dialect) -> None:
    """Begin to count positions for new readers: what was read before says nothing about what is there now."""
    text = (
        f'INSERT INTO "_state" ("name", "value") VALUES (\'epoch\', {dialect.slot(0, "text")}) ON CONFLICT ("name") '
        'DO UPDATE SET "value" = excluded."value"'
    )
    await writing.run(text, (token_hex(8),))
    await writing.run('INSERT INTO "_state" ("name") VALUES (\'position\') ON CONFLICT ("name") DO NOTHING', ())


def microseconds(instant: datetime) -> int:
    """An instant as microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _change(row: Sequence[Any]) -> Change:
    position, at, model, record, action, version, old, new, actor, fact = row
    return Change(
        int(position), _EPOCH + timedelta(microseconds=int(at)), as_text(model) or "", as_text(record) or "",
        as_text(action),
        int(version), _bytes(old), _bytes(new), as_text(actor), as_text(fact) or "",
    )  # fmt: skip


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
