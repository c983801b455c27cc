"""Several writes that are one to whoever asked: many new records, and a record put under an id.

Invariant: every one of them is `Transaction.write`, so rules, hooks and checks are those of a single write, and the
transaction around them makes all of them true or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.errors import Problem, Stale
from backstay.model.predicate import Slot
from backstay.plan.ask import Create, One, Selection, Update
from backstay.plan.bulk import check_all
from backstay.store.engine import Engine
from backstay.store.transaction import Transaction


async def create_all(tx: Transaction, engine: Engine, model: str, items: Sequence[Any]) -> list[Any]:
    """Add many records in order; returns their ids. What is wrong is told with its place: `3.stars`."""
    schema, limits = engine.schema, engine.limits
    check_all(model, items, schema, tx.actor, limits, lambda ask: engine.shape(ask, tx.actor).shape)
    keys = []
    for at, item in enumerate(items):
        try:
            keys.append(await tx.write(Create(model, item)))
        except Problem as problem:
            raise problem.placed(str(at)) from None
    return keys


@dataclass(frozen=True, slots=True)
class Put:
    """A whole record under an id, and what must be true of that id: a version, that it is there, that it is not."""

    model: str
    key: Any
    values: Mapping[str, Any]
    version: int | None = None
    there: bool = False
    absent: bool = False


async def put(tx: Transaction, ask: Put) -> bool:
    """Replace the record that the actor sees under the id, or add one; whether one was added.

    Raises `KeyTaken` where a record is there that the actor cannot see, or that somebody added a moment ago.
    """
    root = One(ask.model, Slot(0, "id"), Selection(False, (("id", "id"),)))
    if await tx.read_one(root, ask.key) is None:
        if ask.there or ask.version is not None:
            raise Stale()
        await tx.write(Create(ask.model, ask.values, ask.key))
        return True
    if ask.absent:
        raise Problem("There is a record under this id.", code="precondition_failed")
    await tx.write(Update(ask.model, ask.key, ask.values, version=ask.version, whole=True))
    return False
