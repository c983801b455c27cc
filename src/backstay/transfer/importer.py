"""An import: rows in, records written a thousand at a time, bad rows into a file of their own, the place kept.

Invariant: the place of an import moves on in the transaction of the records before it. Killed at any moment, it goes on
where that transaction ended: no row is lost and none comes twice, in the database and in the file of rejects alike.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from backstay.errors import FieldError, Problem, Unavailable
from backstay.plan.actor import Actor
from backstay.store.engine import Engine
from backstay.store.port import Broken, Taken
from backstay.store.progress import Progress, forget, move, progress_of
from backstay.store.transaction import Hooks, Transaction
from backstay.transfer.batch import Batches, Done, Made, Ready, RowRefused, Work, only_own
from backstay.transfer.cells import Refused, holds
from backstay.transfer.mapping import Mapping
from backstay.transfer.source import Row, columns_of, mark_of, rows

BATCH = 2_000
"""Rows of one transaction."""

_TRIES = 5
"""How often a batch is tried where the database is busy."""


class Stopped(Exception):
    """The import cannot go on; the text says why and what to do."""


class Tally(msgspec.Struct):
    """What became of the rows so far."""

    rows: int = 0
    imported: int = 0
    skipped: dict[str, int] = {}
    rejected: dict[str, int] = {}
    counted: dict[str, int] = {}
    defaulted: dict[str, int] = {}
    created: dict[str, int] = {}
    found: dict[str, int] = {}
    updated: dict[str, int] = {}
    bytes: int = 0
    """How long the file of rejects is."""
    done: bool = False

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        self.rows += other.rows
        self.imported += other.imported
        for name in ("skipped", "rejected", "counted", "defaulted", "created", "found", "updated"):
            setattr(self, name, dict(Counter(getattr(self, name)) + Counter(getattr(other, name))))


@dataclass(frozen=True, slots=True)
class Away:
    """A row that makes no record, and what it is counted under."""

    row: Row
    refused: Refused
    reason: str = ""


@dataclass(slots=True)
class Options:
    """How an import is carried out."""

    actor: Actor
    hooks: bool = True
    dry: bool = False
    rejects: Path | None = None
    batch: int = BATCH
    name: str = ""
    """What its place is kept under; without, the content of the files and of the mapping, and whose rights it has."""
    told: Callable[[int, int], None] = field(default=lambda done, of: None)
    """Told how many rows are done, of about how many."""


class Importer:
    """One import of some files by one mapping. `await run()` once."""

    def __init__(
        self, mapping: Mapping, paths: Sequence[Path], engine: Engine, hooks: Hooks, new_id: Callable[[], str],
        options: Options,
    ) -> None:  # fmt: skip
        self.options = options
        self.tally = Tally()
        self.begun_at = 0
        """How many rows were done before this run."""
        self.name = options.name
        self._mapping = mapping
        self._paths = paths
        self._engine = engine
        self._hooks = hooks if options.hooks else only_own(hooks)
        self._new_id = new_id
        self._columns = list(dict.fromkeys(mapping.columns))
        at = {name: place for place, name in enumerate(self._columns)}
        empty, schema = mapping.source.empty, engine.schema
        works = [Work(step, schema.entities[step.model], at, empty, schema.user) for step in mapping.steps]
        self._works = works
        self._dirt = [(dirt, holds(dirt.when, at, empty)) for dirt in mapping.dirt]
        self._batches = Batches(works, self._hooks, engine.store.dialect, system=options.actor.system)
        self._was: Progress | None = None
        self._rejects: BinaryIO | None = None
        self._would: set[Any] = set()

    async def run(self, *, again: bool = False) -> Tally:
        """Carry it out, from where it stands. Returns what became of all rows, those of earlier runs too."""
        mark, total = mark_of(self._paths)
        whose = "" if self.options.actor.system else f":{self.options.actor.id}"
        self.name = self.name or f"{mark}:{self._mapping.mark}{whose}"
        store = self._engine.store
        if again and not self.options.dry:
            await forget(self.name, store)
        self._was = None if self.options.dry else await progress_of(self.name, store)
        if self._was is not None:
            self.tally = msgspec.json.decode(self._was.tally, type=Tally)
        self.begun_at = self.tally.rows
        if self.tally.done:
            return self.tally
        gc.disable()  # nothing here goes in circles, and looking for circles takes a sixth of the time
        try:
            source = rows(self._paths, self._mapping.source, self._columns, self.tally.rows)
            while some := list(islice(source, self.options.batch)):
                await self._commit([self._look(row) for row in some])
                self.options.told(self.tally.rows, max(total, self.tally.rows))
                gc.collect(1)
            await self._finish()
        finally:
            gc.enable()
            if self._rejects is not None:
                self._rejects.close()
        return self.tally

    def _look(self, row: Row) -> Ready | Away:
        """The values of a row, before anything is written."""
        if row.wrong:
            return Away(row, Refused((FieldError("row", "wrong_type", f"{row.wrong}."),)))
        notes = []
        for dirt, test in self._dirt:
            if test(row.cells):
                if dirt.do != "count":
                    said = Refused((FieldError("row", "bad_format", f"is {dirt.name}."),), skip=dirt.do == "skip")
                    return Away(row, said, dirt.name)
                notes.append(dirt.name)
        made: list[Made | None] = []
        defaults: tuple[str, ...] = ()
        for work in self._works:
            one = work.made(row)
            if one is None or type(one) is Made:
                made.append(one)
                if one is not None and one.defaults:
                    defaults += one.defaults
            elif type(one) is Refused:
                return Away(row, one)
        return Ready(row, made, notes, defaults)

    async def _commit(self, items: list[Ready | Away]) -> None:
        """Write a batch. A row that is refused is taken out, and those before and behind it are written."""
        single, tries = False, 0
        while items:
            some = items
            try:
                await self._try(some, single=single)
                return
            except RowRefused as refusal:
                at = [place for place, item in enumerate(items) if isinstance(item, Ready)][refusal.at]
                away = Away(items[at].row, refusal.refused)
                if at:
                    await self._commit(items[:at])
                items = [away, *items[at + 1 :]]
                single = False
            except Unavailable:
                tries += 1
                if tries >= _TRIES:
                    raise
                await asyncio.sleep(0.2 * 2**tries)
            except (Taken, Broken, Problem):
                if single:
                    raise
                single = True  # the fast road does not say which: one after another tells

    async def _try(self, items: Sequence[Ready | Away], *, single: bool) -> None:
        ready = [item for item in items if isinstance(item, Ready)]
        store = self._engine.store
        now = msgspec.json.decode(msgspec.json.encode(self.tally), type=Tally)
        now.add(_counted(items))
        now.bytes = self._reject([item for item in items if isinstance(item, Away)])
        try:
            async with Transaction.begin(self._engine, self.options.actor, self._hooks, self._new_id) as tx:
                done = await self._batches.write(tx, ready, single=single)
                self._count(now, done)
                if self.options.dry:
                    raise _Dry
                moved = Progress(now.rows, msgspec.json.encode(now).decode())
                if not await move(self.name, self._was, moved, self._engine.clock(), tx._writing, store.dialect):
                    raise Stopped("Another process carries out this import just now: let it, or end it first.")
        except _Dry:
            self._batches.forget()
            self.tally = now
            return
        except BaseException:
            self._batches.forget()
            raise
        self._batches.keep()
        self._was = moved
        self.tally = now

    def _count(self, tally: Tally, done: Done) -> None:
        created = done.created
        if self.options.dry:  # what an earlier batch would have made is there by now
            names = {step.called: step.model for step in self._mapping.steps}
            known = Counter(names[made[0]] for made in done.made if made in self._would)
            self._would.update(done.made)
            created, done.found = created - known, done.found + known
        for name, counted in (("created", created), ("found", done.found), ("updated", done.updated)):
            setattr(tally, name, dict(Counter(getattr(tally, name)) + counted))

    async def _finish(self) -> None:
        self.tally.done = True
        if self.options.dry:
            return
        text = msgspec.json.encode(self.tally).decode()
        store = self._engine.store
        async with store.transaction() as tx:
            await move(self.name, self._was, Progress(self.tally.rows, text), self._engine.clock(), tx, store.dialect)

    # Rejects.

    def _reject(self, items: Sequence[Away]) -> int:
        """Write bad rows behind those that are there; returns how long the file is then. It is on the disk by then."""
        bad = [item for item in items if not item.refused.skip]
        path = self.options.rejects
        if path is None or self.options.dry:
            return 0
        if self._rejects is None:
            if not bad:
                return self.tally.bytes
            self._rejects = path.open("r+b" if path.exists() and self.tally.bytes else "wb")
        file = self._rejects
        file.truncate(self.tally.bytes)  # what a killed run has written beyond what it kept
        file.seek(self.tally.bytes)
        for item in bad:
            file.write(msgspec.json.encode(self._record(item)) + b"\n")
        file.flush()
        if bad:
            os.fsync(file.fileno())
        return file.tell()

    def _record(self, item: Away) -> dict[str, Any]:
        row = item.row
        where = {
            "file": self._paths[row.file].name, "line": row.line, "reason": item.refused.reason,
            "message": item.refused.said,
        }  # fmt: skip
        if row.raw is None or isinstance(row.raw, dict):
            return {"_rejected": where, **(row.raw or {})}
        with suppress(OSError):
            header = self._header(row.file)
            if isinstance(row.raw, list) and len(row.raw) == len(header):
                return {"_rejected": where} | {name: _written(cell) for name, cell in zip(header, row.raw, strict=True)}
        return {"_rejected": where, "_row": [_written(c) for c in row.raw] if isinstance(row.raw, list) else row.raw}

    def _header(self, file: int) -> list[str]:
        return columns_of(self._paths[file], self._mapping.source)


class _Dry(Exception):
    """Takes back what was only tried."""


def _written(cell: Any) -> Any:
    return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell


def _counted(items: Sequence[Ready | Away]) -> Tally:
    tally = Tally(rows=len(items))
    for item in items:
        if isinstance(item, Ready):
            tally.imported += 1
            for counts, reasons in ((tally.counted, item.notes), (tally.defaulted, item.defaults)):
                for reason in reasons:
                    counts[reason] = counts.get(reason, 0) + 1
        else:
            counts, reason = tally.skipped if item.refused.skip else tally.rejected, item.reason or item.refused.reason
            counts[reason] = counts.get(reason, 0) + 1
    return tally
