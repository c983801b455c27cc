"""Migrations: a database follows the declaration, in one transaction, or stays as it was.

Invariant: after a migration, also one that was killed, the database is in the old form or in the new one, and no value
is lost: what is dropped or narrowed is set aside until `finish`. What records would lose or fail is asked before the
transaction commits, and refuses it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import msgspec

from backstay.model.field import Schema
from backstay.store.changes import microseconds
from backstay.store.dialect import quoted
from backstay.store.port import Store, Writing
from backstay.store.rebuild import Reshaping, reshape
from backstay.store.snapshot import Snapshot, read, take
from backstay.store.steps import ASIDE, Course, Step, aside_name, course
from backstay.telemetry.observation import Journal, Unheard

State = Literal["applied", "rolled_back"]
EXAMPLES = 3


class Refused(Exception):
    """A migration that cannot be carried out; says what is in the way of each step and what to do."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(finding.trouble for finding in findings))


@dataclass(frozen=True, slots=True)
class Finding:
    """A step, how many records it touches, and what is in its way, if anything is."""

    step: Step
    rows: int | None = None
    examples: tuple[str, ...] = ()
    blocked: bool = False

    @property
    def trouble(self) -> str:
        """What is in the way, and what to do, as a sentence; nothing where nothing is."""
        question = self.step.question
        if not self.blocked or question is None:
            return ""
        some = f" (such as {', '.join(self.examples)})" if self.examples else ""
        records = "record" if self.rows == 1 else "records"
        return f"{self.step.words} {self.rows} {records} {question.refuses}{some}. {question.hint}"


@dataclass(frozen=True, slots=True)
class Applied:
    """One declaration that the database has followed."""

    number: int
    name: str
    at: int
    took: int
    snapshot: bytes
    aside: tuple[tuple[str, str, str], ...]
    """What was set aside: the table, the column (or nothing, for the whole table) and the name it has now."""
    state: State


class Behind(Exception):
    """The database does not have the form that the declaration needs, and nothing has been changed."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = [f"  {finding.trouble or finding.step.words}" for finding in findings]
        super().__init__(
            "The database does not have the form that the declaration needs:\n" + "\n".join(lines)
            + "\nLook at it with `backstay migrate plan FILE`, then run `backstay migrate apply FILE`."
        )  # fmt: skip


class Data:
    """The database, inside a migration, for a data function: old columns are under their set-aside names.

    >>> async def data(db: Data) -> None:
    ...     await db.run("UPDATE people SET first = substr(_was_2_name, 1, instr(_was_2_name, ' ') - 1)")
    """

    def __init__(self, writing: Writing, dialect: str, number: int) -> None:
        self.dialect = dialect
        self.number = number
        """The number of this migration, which the names of what it sets aside begin with: `_was_<number>_`."""
        self._writing = writing

    async def run(self, text: str, *values: Any) -> list[Any]:
        """The rows of a statement; `?` stands for each value in turn."""
        if self.dialect == "sqlite":
            return await self._writing.run(text, values)
        parts = text.split("?")
        numbered = "".join(f"{part}${at}" for at, part in enumerate(parts[:-1], 1)) + parts[-1]
        rows = await self._writing.run(numbered, values)
        return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows]


DataFunction = Callable[[Data], Awaitable[None]]
Tell = Callable[[str, int, int], None]
"""Told while it goes on: what, how much of it is done, and how much there is."""


class Migrator:
    """Leads one database from declaration to declaration."""

    def __init__(self, store: Store, now: Callable[[], Any], journal: Journal | None = None) -> None:
        self._store = store
        self._now = now
        self._journal = journal or Unheard()

    async def history(self) -> list[Applied]:
        """What the database has followed, in order."""
        rows = await self._store.run(f'SELECT {_COLUMNS} FROM "_migrations" ORDER BY "number"', ())
        return [_applied(row) for row in rows]

    async def current(self) -> Applied | None:
        """What the database follows now; nothing where nobody has kept it yet."""
        applied = [one for one in await self.history() if one.state == "applied"]
        return applied[-1] if applied else None

    async def adopt(self, schema: Schema, name: str = "beginning") -> None:
        """Keep that the database has the form of a declaration, because it was just made so."""
        if await self.current() is not None:
            return
        async with self._store.transaction() as writing:
            await self._keep(writing, Applied(1, name, self._moment(), 0, taken(schema), (), "applied"))

    async def course(self, target: bytes) -> Course:
        """The way from where the database is to a snapshot."""
        number, before = await self._here()
        return course(before, read(target), self._store.dialect.name, number + 1)

    async def findings(self, way: Course) -> list[Finding]:
        """Each step with the records that it touches as they are now, and whether they are in its way."""
        found = []
        for step in way.steps:
            question = step.question
            if question is None:
                found.append(Finding(step))
                continue
            rows = await self._count(self._store.run, question.before)
            blocked = bool(question.refuses) and rows > 0
            some = await self._examples(self._store.run, question.before) if blocked else ()
            found.append(Finding(step, rows, some, blocked))
        return found

    async def apply(
        self, target: bytes, name: str, data: DataFunction | None = None, tell: Tell = lambda *_: None
    ) -> Applied:
        """Lead the database to a snapshot. Raises `Refused`, and then nothing has changed."""
        began = perf_counter()
        async with self._store.migrating() as writing:
            current = await self.current()  # another process may have been quicker
            if current is not None and current.snapshot == target:
                return current
            number, before = await self._here()
            number += 1
            way = course(before, read(target), self._store.dialect.name, number)
            try:
                await self._reshape(writing, way, number, data, tell)
            except Refused as refused:
                self._journal.event("migration_refused", migration=name, steps=len(refused.findings))
                raise
            took = round((perf_counter() - began) * 1e6)
            applied = Applied(number, name, self._moment(), took, target, _set_aside(way, number), "applied")
            await self._keep(writing, applied)
            for one in await self.history():
                if one.aside and _moved(one.aside, way) != [*one.aside]:
                    await self._set(writing, one.number, "aside", _listed(_moved(one.aside, way)))
        self._journal.event(
            "migrated", migration=name, number=number, seconds=round(took / 1e6, 3), set_aside=len(applied.aside)
        )
        return applied

    async def rollback(self, tell: Tell = lambda *_: None) -> Applied:
        """Lead the database back to what it followed before, with the values that were set aside since."""
        applied = [one for one in await self.history() if one.state == "applied"]
        if len(applied) < 2:
            raise ValueError("There is nothing before this one to go back to.")
        last, before = applied[-1], applied[-2]
        number = await self._last_number() + 1
        way = course(read(last.snapshot), read(before.snapshot), self._store.dialect.name, number)
        came_back = _restore(way, last.aside)
        async with self._store.migrating() as writing:
            await self._reshape(writing, way, number, None, tell)
            await self._set(writing, last.number, "state", "rolled_back")
            await self._set(writing, last.number, "aside", "[]")
            left = [*before.aside, *(one for one in last.aside if one not in came_back), *_set_aside(way, number)]
            await self._set(writing, before.number, "aside", _listed(_moved(left, way)))
        self._journal.event("rolled_back", migration=before.name, number=before.number)
        return before

    async def finish(self) -> list[str]:
        """Throw away what was set aside; returns the names of it. There is no way back then."""
        gone = []
        async with self._store.migrating() as writing:
            for applied in await self.history():
                for table, column, aside in applied.aside:
                    if column:
                        await writing.run(f"ALTER TABLE {quoted(table)} DROP COLUMN {quoted(aside)}", ())
                    else:
                        await writing.run(f"DROP TABLE {quoted(aside)}", ())
                    gone.append(f"{table}.{column}" if column else table)
                await self._set(writing, applied.number, "aside", "[]")
        if gone:
            self._journal.event("set_aside_gone", did=", ".join(gone))
        return gone

    # Parts.

    async def _here(self) -> tuple[int, Snapshot]:
        current = await self.current()
        if current is None:
            raise ValueError("Nobody has kept what this database follows.")
        return await self._last_number(), read(current.snapshot)

    async def _last_number(self) -> int:
        """The highest number that anything was named after; going back takes one as well."""
        history = await self.history()
        aside = [int(now.removeprefix(ASIDE).partition("_")[0]) for one in history for _, _, now in one.aside]
        return max([0, *(one.number for one in history), *aside])

    async def _reshape(self, writing: Writing, way: Course, number: int, data: DataFunction | None, tell: Tell) -> None:
        reshaping = Reshaping(writing, self._store.dialect, number, tell)
        await reshape(reshaping, way, lambda: self._between(writing, way, number, data))

    async def _between(self, writing: Writing, way: Course, number: int, data: DataFunction | None) -> None:
        """When everything new is there and nothing is strict yet: data functions run, and records are looked at."""
        if data is not None:
            await data(Data(writing, self._store.dialect.name, number))
        found = []
        for step in way.steps:
            question = step.question
            if question is None or question.after is None:
                continue
            if rows := await self._count(writing.run, question.after):
                found.append(Finding(step, rows, await self._examples(writing.run, question.after), True))
        if found:
            raise Refused(found)

    async def _count(self, run: Any, asked: tuple[str, str]) -> int:
        table, where = asked
        rows = await run(f"SELECT count(*) FROM {quoted(table)} WHERE {where}", ())
        return int(rows[0][0])

    async def _examples(self, run: Any, asked: tuple[str, str]) -> tuple[str, ...]:
        table, where = asked
        text = f'SELECT CAST("id" AS text) FROM {quoted(table)} WHERE {where} ORDER BY 1 LIMIT {EXAMPLES}'
        return tuple(_text(row[0]) for row in await run(text, ()))

    async def _keep(self, writing: Writing, one: Applied) -> None:
        slots = ", ".join(self._slot(at, kind) for at, kind in enumerate(_SLOTS))
        values = (one.number, one.name, one.at, one.took, one.snapshot.decode(), _listed(one.aside), one.state)
        await writing.run(f'INSERT INTO "_migrations" ({_COLUMNS}) VALUES ({slots})', values)

    async def _set(self, writing: Writing, number: int, column: Literal["state", "aside"], value: str) -> None:
        row = f'"number" = {self._slot(1, "bigint")}'
        await writing.run(f'UPDATE "_migrations" SET "{column}" = {self._slot(0, "text")} WHERE {row}', (value, number))

    def _slot(self, position: int, kind: Any) -> str:
        return self._store.dialect.slot(position, kind)

    def _moment(self) -> int:
        return microseconds(self._now())


async def keep_up(store: Store, schema: Schema, now: Callable[[], Any], *, development: bool) -> list[str]:
    """Make an empty database, and see that another one has the form of a declaration; a sentence for each thing done.

    In development it follows where nothing is lost and no record is in the way. Raises `Behind` otherwise.
    """
    migrator = Migrator(store, now)
    if not await store.names() & {entity.table for entity in schema.entities.values() if entity.existing is None}:
        done = await store.extend(schema)
        await migrator.adopt(schema)
        return done
    await store.extend(schema, own=True)
    if (current := await migrator.current()) is None:  # made before there were migrations
        done = await store.extend(schema)
        await migrator.adopt(schema)
        return done
    if current.snapshot == taken(schema):
        return []
    way = await migrator.course(taken(schema))
    if not way.empty:
        findings = await migrator.findings(way)
        stopping = [finding for finding in findings if finding.blocked or finding.step.effect == "loses"]
        if stopping or not development:
            raise Behind(stopping or [finding for finding in findings if finding.step.effect != "none"])
    await migrator.apply(taken(schema), "development" if development else "rules")
    await store.extend(schema, own=True)  # the triggers of tables that are new
    return [] if way.empty else [step.words for step in way.steps]


def _set_aside(way: Course, number: int) -> tuple[tuple[str, str, str], ...]:
    found = []
    for change in way.changes:
        if change.new is None:
            found.append((change.name, "", aside_name(number, change.name)))
        found += [(change.name, column, aside_name(number, column)) for column in change.aside]
    return tuple(found)


def _moved(aside: Sequence[tuple[str, str, str]], way: Course) -> list[tuple[str, str, str]]:
    """What is aside, by the names that its tables have now."""
    named = {str(change.old.name): change.name for change in way.changes if change.old is not None}
    return [(named.get(table, table) if column else table, column, now) for table, column, now in aside]


def _listed(aside: Sequence[tuple[str, str, str]]) -> str:
    return msgspec.json.encode(aside).decode()


def _restore(way: Course, aside: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Take from aside what comes back, instead of beginning with nothing; what is filled is what has no value there.

    Returns what came back.
    """
    came_back = []
    columns: Mapping[tuple[str, str], str] = {(table, column): name for table, column, name in aside}
    for change in way.changes:
        if change.old is None and (name := columns.get((change.name, ""))):
            change.restored_table = name
            came_back.append((change.name, "", name))
            continue
        before = str(change.old.name) if change.old is not None else change.name
        for column in [*change.added]:
            if (name := columns.get((before, column))) is not None:
                change.added.remove(column)
                change.restored.append((name, column))
                came_back.append((before, column, name))
                change.fills = [
                    (to, f"coalesce({quoted(to)}, {value})" if to == column else value) for to, value in change.fills
                ]
    return came_back


_COLUMNS = '"number", "name", "at", "took", "snapshot", "aside", "state"'
_SLOTS = ("bigint", "text", "bigint", "bigint", "text", "text", "text")
_TAKEN: dict[str, bytes] = {}


def taken(schema: Schema) -> bytes:
    """The snapshot of a declaration; remembered, because tests begin with the same one again and again."""
    if (known := _TAKEN.get(schema.fingerprint)) is None:
        if len(_TAKEN) >= 16:
            _TAKEN.pop(next(iter(_TAKEN)))
        known = _TAKEN[schema.fingerprint] = take(schema)
    return known


def _applied(row: Sequence[Any]) -> Applied:
    number, name, at, took, snapshot, aside, state = row
    listed = tuple((table, column, now) for table, column, now in msgspec.json.decode(_text(aside)))
    text = _text(snapshot).encode()
    return Applied(int(number), _text(name), int(at), int(took), text, listed, _text(state))  # type: ignore[arg-type]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
