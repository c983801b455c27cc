"""How far an import has come: one row for each, written in the transaction of the records that it stands for.

Invariant: a place moves on with the records before it or not at all, and only from where it was read; so an import
that is killed goes on where its last transaction ended, and of two at once one fails instead of doing it twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backstay.store.changes import microseconds
from backstay.store.dialect import Dialect
from backstay.store.port import Store, Writing


@dataclass(frozen=True, slots=True)
class Progress:
    """How many rows of an import are done, and what became of them as JSON text."""

    place: int
    tally: str


async def progress_of(name: str, store: Store) -> Progress | None:
    """How far an import has come; nothing where it has not begun. One round trip."""
    text = f'SELECT "place", "tally" FROM "_imports" WHERE "name" = {store.dialect.slot(0, "text")}'
    for place, tally in await store.run(text, (name,)):
        return Progress(int(place), tally.decode() if isinstance(tally, bytes) else tally)
    return None


async def move(name: str, was: Progress | None, now: Progress, at: datetime, tx: Writing, dialect: Dialect) -> bool:
    """Move the place of an import on; whether it still stood where it was read. One round trip."""
    slots = [dialect.slot(position, kind) for position, kind in enumerate(("text", "bigint", "text", "bigint"))]  # type: ignore[arg-type]
    values = [name, now.place, now.tally, microseconds(at)]
    if was is None:
        text = f'INSERT INTO "_imports" VALUES ({", ".join(slots)}) ON CONFLICT ("name") DO NOTHING RETURNING "place"'
    else:
        text = (
            f'UPDATE "_imports" SET "place" = {slots[1]}, "tally" = {slots[2]}, "at" = {slots[3]} '
            f'WHERE "name" = {slots[0]} AND "place" = {dialect.slot(4, "bigint")} RETURNING "place"'
        )
        values.append(was.place)
    return bool(await tx.run(text, values))


async def forget(name: str, store: Store) -> None:
    """Let an import begin anew."""
    async with store.transaction() as tx:
        await tx.run(f'DELETE FROM "_imports" WHERE "name" = {store.dialect.slot(0, "text")}', (name,))
