"""Rows are written here, and what became of each is kept in the change log, in the same transaction.

Invariant: no row of a logged entity is added, changed or ended without its change beside it, whoever asked for it and
whether it was named or goes with another (`on_delete`). Rules and hooks are `Transaction`'s; here nothing is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from backstay.model.field import Entity, Field
from backstay.plan.tree import Members
from backstay.store import rows
from backstay.store.changes import Action, WriteAction, appended, microseconds
from backstay.store.engine import Engine
from backstay.store.port import Taken, Writing, as_text

_TOGETHER = 50


class Writer:
    """Writes rows in one transaction, in the name of an actor; `wrote` tells whether there is anything to tell.

    `rows` counts the statements that changed some.
    """

    def __init__(self, engine: Engine, writing: Writing, actor: Any) -> None:
        self.wrote = False
        self.rows = 0
        self._engine = engine
        self._writing = writing
        self._actor = None if actor is None else str(actor)
        self._now = engine.clock()
        self._kept: list[Sequence[Any]] = []

    async def write(
        self, change: rows.RowWrite, values: Sequence[Any], entity: Entity, action: WriteAction, key: Any,
        old: Any = None, version: int = 0,
    ) -> Any:  # fmt: skip
        """Run the statement of one row and keep its change; returns the row as JSON, where the statement gives it.

        `old` is the row before as JSON, and `version` its version. Raises `Taken` where the id of a new one is. One
        round trip, or two on a database that cannot do both in one.
        """
        self.wrote = True
        if change.logs:
            values = [*values, microseconds(self._now), self._actor, key]
            if action == "update":
                values.append(as_text(old))
        found = await self._writing.run(change.text, values)
        self.rows += 1
        if not entity.logged:
            return found[0][0] if found else None
        if not found and action == "create":
            raise Taken(f"{entity.table}.{entity.key.column}")
        if not found:  # it went with what goes with it, round in a circle
            await self._keep(entity.name, key, action, version, old, None)
            return None
        version, row = found[0]
        if change.logs:
            return row
        if action == "delete":
            await self._keep(entity.name, key, action, version, row, None)
        else:
            await self._keep(entity.name, key, action, version, old, row)
        return row

    async def alter(self, text: str, values: Sequence[Any], key: Any) -> list[Any]:
        """Run a statement that finds one record, changes it and keeps that itself (`Held`). One round trip."""
        found = await self._writing.run(text, [*values, microseconds(self._now), self._actor, key])
        if found and found[0][-1] is not None:
            self.wrote = True
            self.rows += 1
        return found

    async def let_go(self, entity: Entity, keys: Sequence[Any], gone: frozenset[Any] = frozenset()) -> None:
        """End or let go what refers to records that are about to end, by its `on_delete`, and keep each change.

        The database would do the same by its constraints, without a word. A thousand records at a time.
        """
        gone |= {*keys}
        for many in entity.to_many.values() if entity.existing is not None else ():
            if many.as_list:  # as its own application does it: an association is of no one side
                text = rows.leave_all(many, self._engine.store.dialect)
                for key in keys:
                    await self._writing.run(text, (key,))
        for follower, relation in self._engine.followers(entity):
            while fresh := await self._following(follower, relation, keys, gone):
                named = list(fresh)
                if relation.on_delete == "cascade":
                    await self.let_go(follower, named, gone)
                    await self._many(follower, "delete", self._engine.writes.many_removed(follower), named, fresh)
                    gone |= {*named}
                else:
                    text = self._engine.writes.many_let_go(follower, relation)
                    await self._many(follower, "update", text, named, fresh)

    async def _following(
        self, entity: Entity, relation: Field, keys: Sequence[Any], gone: frozenset[Any]
    ) -> dict[str, tuple[int, Any]]:
        """The records that refer to these, with version and record."""
        text = self._engine.writes.following(entity, relation)
        found = await self._writing.run(text, (rows.ids(keys, relation.kind, self._engine.store.dialect),))
        return {key: (version, row) for raw, version, row in found if (key := as_text(raw) or "") not in gone}

    async def _many(
        self, entity: Entity, action: WriteAction, text: str, keys: Sequence[str],
        before: dict[str, tuple[int, Any]],
    ) -> None:  # fmt: skip
        self.rows += 1
        dialect = self._engine.store.dialect
        values: list[Any] = [rows.ids(keys, entity.key.kind, dialect)]
        if action == "update":
            values.append(rows.instant(self._now, dialect))
        if dialect.logs_inside and entity.logged:
            values += [microseconds(self._now), self._actor]
        found = {as_text(raw) or "": (version, row) for raw, version, row in await self._writing.run(text, values)}
        for key, (version, row) in before.items():
            if not entity.logged or (key in found and dialect.logs_inside):
                continue
            if action == "delete":
                await self._keep(entity.name, key, action, version, row, None)
            else:
                await self._keep(entity.name, key, action, found[key][0], row, found[key][1])

    async def join(self, members: Members, key: Any, member: Any, new_id: str, now: datetime) -> None:
        """Put a record into a many-to-many relation."""
        relation = members.relation
        assert relation.through is not None
        values = {"id": new_id, "created_at": now, "updated_at": now, relation.via: key, relation.onward: member}
        change = self._engine.writes.insertion(relation.through)
        await self.write(change, change.values(values), relation.through, "create", new_id)

    async def leave(self, members: Members, key: Any, member: Any) -> None:
        """Take a record out of a many-to-many relation."""
        between = members.relation.through
        assert between is not None
        left = await self._writing.run(rows.leave(members, self._engine.store.dialect), (key, member))
        for raw, version, row in left:
            await self._keep(between.name, as_text(raw) or "", "delete", version, row, None)

    async def tell(self, entity: Entity, key: str, fact: str, row: Any) -> None:
        """Keep a fact that own code tells about a record."""
        self.wrote = True
        await self._keep(entity.name, key, "fact", 0, None, row, fact)

    async def reset(self, model: str) -> None:
        """Keep that a statement of own code wrote to a model, nobody knows what."""
        self.wrote = True
        self.rows += 1
        await self._keep(model, "", "reset", 0, None, None)

    async def _keep(
        self, model: str, key: str, action: Action, version: int, old: Any, new: Any, fact: str = ""
    ) -> None:  # fmt: skip
        self._kept.append(appended(self._now, model, key, action, version, old, new, self._actor, fact))
        # Where statements keep their changes themselves, all are kept at once, else they would change their order.
        if self._engine.store.dialect.logs_inside or len(self._kept) == _TOGETHER:
            await self.flush()

    async def flush(self) -> None:
        """Keep the changes that wait to be kept together. One statement, before the transaction ends."""
        if self._kept:
            kept, self._kept = self._kept, []
            await self._writing.run(self._engine.writes.appending(len(kept)), [value for one in kept for value in one])
