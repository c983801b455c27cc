"""An answer together with exactly which changes are in it, so that whoever reads on from there misses none.

Invariant: everything up to the position of the marks is in the answer, and so are the loose changes; nothing else is.
It is read between two equal looks at the log, and where others write all the time, in a transaction that sees one
state of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backstay.plan.actor import Actor
from backstay.store.changes import Marks
from backstay.store.engine import Engine, Found
from backstay.store.sql import Statement

LOOSE = 50
"""Changes without a position that marks name at the most."""
_TRIES = 3


async def answer_exactly(
    engine: Engine, statement: Statement, values: Sequence[Any], actor: Actor
) -> tuple[Found, Marks]:
    """The answer to a question of one root, and its marks. Three round trips, more where others write meanwhile."""
    log = engine.changes
    for _ in range(_TRIES):
        before = await log.marks()
        if len(before.loose) > LOOSE:
            await engine.store.settle()
            continue
        (found,) = await engine.answer(statement, values, actor)
        if await log.marks() == before:
            return found, before
    while True:
        async with engine.store.transaction() as tx:
            if engine.store.dialect.name == "postgres":
                await tx.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ())
            marks = await log.marks(tx)
            if len(marks.loose) <= LOOSE:
                return (await engine.answer(statement, values, actor, tx))[0], marks
        await engine.store.settle()
