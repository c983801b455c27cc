"""Rotation: everything that encrypted fields have stored is sealed again with the newest key.

What is left to do is told from the values themselves, which name their keys, so a rotation that was stopped goes on
where it was, and several may run side by side. Invariant: only ciphertext changes. No record gets another version or
another `updated_at`, no hook runs, and nothing is said in the change log, because nothing that anybody reads is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.model.field import Entity, Field
from backstay.store.dialect import SlotKind, literal, quoted
from backstay.store.engine import Engine
from backstay.store.keyring import FORM, Unreadable
from backstay.store.port import Writing, as_text
from backstay.store.sealing import seal_again, seal_inside_again

BATCH = 200
"""Records that are sealed again in one transaction."""
NAMED = 20
"""Values that could not be read are counted, and so many of them named."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many values of one field are sealed with each key of the ring, and how many with none of them."""

    place: str
    keys: Mapping[str, int]
    unknown: int

    def left(self, newest: str) -> int:
        """How many are not sealed with the newest key."""
        return sum(number for key, number in self.keys.items() if key != newest) + self.unknown


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rotation did: how many records it sealed again, how many it could not read, how many values are left."""

    rotated: int
    unreadable: int
    left: int
    named: tuple[str, ...] = ()
    """Some of those that could not be read, each with the reason."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where encrypted values lie: in columns of their own, or inside the records that the change log keeps."""

    name: str
    entity: Entity
    table: str
    key: str
    kind: SlotKind
    record: str
    columns: tuple[str, ...]
    only: str
    """Which rows of the table it is about."""
    left: str
    """Which of them have something to seal again."""
    again: Callable[[str, str, str], str]
    """What a column holds afterwards, from its name, what it holds, and the id of the record."""


class Rotation:
    """The rotation of one application. `batch` is how many records are sealed again in one transaction."""

    def __init__(self, engine: Engine, *, batch: int = BATCH) -> None:
        self._engine = engine
        self._dialect = engine.store.dialect
        self._ring = engine.keys()
        self._batch = batch

    async def status(self) -> list[Tally]:
        """How many values are sealed with which key, for each encrypted field and its past in the change log.

        One round trip for each model, and one for its part of the change log; each reads all of it.
        """
        return [tally for entity in self._entities() for tally in await self._tallies(entity)]

    async def records(self) -> int:
        """How many records have something to be sealed again, those in the change log included."""
        places = [place for entity in self._entities() for place in self._places(entity)]
        return sum([await self._still(place) for place in places])

    async def run(self, progress: Callable[[int], None] = lambda records: None) -> Outcome:
        """Seal everything again that is not sealed with the newest key; `progress` is told how many records were.

        It can be stopped at any moment, and run again it goes on with what is left. What others hold locked comes
        last, one by one; what cannot be read stays as it is and is named.
        """
        rotated, unreadable, named = 0, 0, list[str]()
        for entity in self._entities():
            for place in self._places(entity):
                done, skipped = await self._pass(place, progress)
                if await self._still(place) > len(skipped):  # locked a moment ago
                    more, skipped = await self._pass(place, progress, waiting=True)
                    done += more
                rotated += done
                unreadable += len(skipped)
                named += [f"{place.name} {record}: {reason}" for record, reason in skipped.values()][:NAMED]
        left = sum(tally.left(self._ring.newest) for tally in await self.status())
        return Outcome(rotated, unreadable, left, tuple(named[:NAMED]))

    def _entities(self) -> list[Entity]:
        return [entity for entity in self._engine.schema.entities.values() if entity.sealed]

    # Sealing again.

    async def _pass(
        self, place: _Place, progress: Callable[[int], None], *, waiting: bool = False
    ) -> tuple[int, dict[Any, tuple[str, str]]]:
        """Go through what is left of a place once; how many rows were sealed again, and which could not be read.

        A row that others hold locked is left out, or `waiting` waited for while no other one is held.
        """
        done, after, skipped = 0, None, dict[Any, tuple[str, str]]()
        while True:
            async with self._engine.store.transaction() as writing:
                rows = await self._batch_of(writing, place, after, waiting)
                renewed = 0
                for key, record, *texts in rows:
                    try:
                        renewed += await self._renew(writing, place, key, record, texts)
                    except Unreadable as alarm:
                        skipped[key] = record, alarm.reason
            if not rows:
                return done, skipped
            after = rows[-1][0]
            done += renewed
            progress(renewed)

    async def _batch_of(self, writing: Writing, place: _Place, after: Any, waiting: bool) -> list[list[Any]]:
        behind = f" AND {quoted(place.key)} > {self._dialect.slot(0, place.kind)}" if after is not None else ""
        columns = ", ".join(f"t0.{quoted(name)}" for name in place.columns)
        identity = self._dialect.key(f"t0.{quoted(place.key)}")
        record = self._dialect.key(f"t0.{quoted(place.record)}")
        lock = self._dialect.lock("t0")
        text = (
            f"SELECT {identity}, {record}, {columns} FROM {quoted(place.table)} AS t0 "
            f"WHERE {place.only}{place.left}{behind} ORDER BY t0.{quoted(place.key)} "
            f"LIMIT {1 if waiting else self._batch}{lock}{' SKIP LOCKED' if lock and not waiting else ''}"
        )
        found = await writing.run(text, () if after is None else (after,))
        rows = [[as_text(value) for value in row] for row in found]
        return [[int(key) if place.kind == "bigint" else key, *rest] for key, *rest in rows]

    async def _still(self, place: _Place) -> int:
        text = f"SELECT count(*) FROM {quoted(place.table)} AS t0 WHERE {place.only}{place.left}"
        (row,) = await self._engine.store.run(text, ())
        return int(row[0])

    async def _renew(
        self, writing: Writing, place: _Place, key: Any, record: str, texts: Sequence[str | None]
    ) -> int:  # fmt: skip
        """Seal the values of one row again as far as they can be read; 1 where anything was. Raises `Unreadable`."""
        changed: dict[str, str] = {}
        broken: Unreadable | None = None
        for name, text in zip(place.columns, texts, strict=True):
            try:
                if text is not None and (again := place.again(name, text, record)) != text:
                    changed[name] = again
            except Unreadable as alarm:
                broken = alarm
        if not changed:
            if broken is not None:
                raise broken
            return 0
        slot = self._dialect.slot
        sets = ", ".join(f"{quoted(name)} = {slot(at, 'text')}" for at, name in enumerate(changed))
        where = f"{quoted(place.key)} = {slot(len(changed), place.kind)}"
        await writing.run(f"UPDATE {quoted(place.table)} SET {sets} WHERE {where}", (*changed.values(), key))
        if broken is not None:
            raise broken
        return 1

    # Where values lie.

    def _places(self, entity: Entity) -> Iterator[_Place]:
        ring = self._ring
        fields = {entity.fields[name].column: entity.fields[name] for name in entity.sealed}
        newest = ring.prefix(ring.newest)
        stale = [f"t0.{quoted(name)} IS NOT NULL AND NOT {_begins(f't0.{quoted(name)}', newest)}" for name in fields]
        yield _Place(
            entity.name, entity, entity.table, "id", "uuid", "id", tuple(fields), "", _either(stale),
            lambda name, text, record: seal_again(ring, fields[name], record, text),
        )  # fmt: skip
        if not entity.logged:
            return
        stale = [
            f"{self._says(f't0.{column}', field, FORM)} AND NOT {self._says(f't0.{column}', field, newest)}"
            for column in ('"old"', '"new"') for field in _logged(entity)
        ]  # fmt: skip
        if stale:
            yield _Place(
                f"change log of {entity.name}", entity, "_changes", self._dialect.change_id, "bigint", "record",
                ("old", "new"), f't0."model" = {literal(entity.name)} AND ', _either(stale),
                lambda name, text, record: seal_inside_again(ring, entity, record, text),
            )  # fmt: skip

    def _says(self, column: str, field: Field, beginning: str) -> str:
        """Whether a record in the change log has a value of a field that begins so."""
        return self._dialect.contains(column, literal(f'"{field.name}":"{beginning}'))

    # Counting.

    async def _tallies(self, entity: Entity) -> list[Tally]:
        fields = [entity.fields[name] for name in entity.sealed]
        found = await self._counted(
            f"FROM {quoted(entity.table)}",
            [[f"{_begins(quoted(f.column), self._ring.prefix(key))}" for key in self._ring.ids] for f in fields],
            [f"{quoted(f.column)} IS NOT NULL" for f in fields],
        )
        tallies = [self._tally(f"{entity.name}.{f.name}", one) for f, one in zip(fields, found, strict=True)]
        past = _logged(entity) if entity.logged else []
        sides = [(column, field) for field in past for column in ('"old"', '"new"')]
        found = await self._counted(
            f'FROM "_changes" WHERE "model" = {literal(entity.name)}',
            [[self._says(column, f, self._ring.prefix(key)) for key in self._ring.ids] for column, f in sides],
            [self._says(column, f, FORM) for column, f in sides],
        )
        for at, field in enumerate(past):
            both = [a + b for a, b in zip(found[2 * at], found[2 * at + 1], strict=True)]
            tallies.append(self._tally(f"{entity.name}.{field.name} (change log)", both))
        return tallies

    async def _counted(self, source: str, tests: Sequence[Sequence[str]], there: Sequence[str]) -> list[list[int]]:
        """For each value how often each test holds of it, and last how often there is one."""
        if not there:
            return []
        flat = [test for some, all_ in zip(tests, there, strict=True) for test in (*some, all_)]
        columns = ", ".join(f"sum(CASE WHEN {test} THEN 1 ELSE 0 END)" for test in flat)
        (row,) = await self._engine.store.run(f"SELECT {columns} {source}", ())
        numbers = [int(value or 0) for value in row]
        width = len(self._ring.ids) + 1
        return [numbers[at : at + width] for at in range(0, len(numbers), width)]

    def _tally(self, place: str, numbers: Sequence[int]) -> Tally:
        *known, all_ = numbers
        return Tally(place, dict(zip(self._ring.ids, known, strict=True)), all_ - sum(known))


def _logged(entity: Entity) -> list[Field]:
    """The encrypted fields that the change log keeps: a secret that can never be read is not in it."""
    return [field for name in entity.sealed if not (field := entity.fields[name]).write_only]


def _begins(column: str, text: str) -> str:
    return f"substr({column}, 1, {len(text)}) = {literal(text)}"


def _either(conditions: Sequence[str]) -> str:
    return "(" + " OR ".join(f"({one})" for one in conditions) + ")"
