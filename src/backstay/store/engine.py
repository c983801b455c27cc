"""Plan, compile, run: one road for every question, whoever asked it and through whichever protocol.

Plans are remembered by the shape of the question and the standing of the actor, bounded, so that a request that
has been asked before costs a dictionary look-up and its statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, cast

from backstay.model.field import Entity, Field, Schema
from backstay.model.predicate import Condition
from backstay.plan.actor import Actor
from backstay.plan.ask import Ask, Write
from backstay.plan.bind import binders, check_cost
from backstay.plan.limits import Limits
from backstay.plan.planner import plan_read
from backstay.plan.tree import ListRoot, OneRoot
from backstay.plan.write import plan_guard, plan_stored, shape_key, shape_of
from backstay.store.changes import ChangeLog
from backstay.store.keyring import KeyRing, no_keys
from backstay.store.later import Later
from backstay.store.port import Store, Writing
from backstay.store.prepared import EntityWrites, Prepared, PreparedShape, prepare
from backstay.store.sealing import marks_of, open_texts
from backstay.store.sql import SEPARATOR, Statement, compile_read
from backstay.telemetry.trace import stage

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Found:
    """The answer to one root, in the same form whatever was asked.

    `texts` are JSON as the driver gave it, one for each row; `version` belongs to a single record; `total` was
    counted where it was asked for (`capped` says that there are at least as many); `keys` of the last row are set
    where more rows follow, and `places` are the keys of all rows where the list is keyed.
    """

    texts: list[Any]
    version: int = 0
    total: int | None = None
    capped: bool = False
    more: bool = False
    keys: tuple[Any, ...] | None = None
    places: Sequence[tuple[Any, ...]] = ()
    sealed: bytes | None = None
    """The rows as they are stored, where they hold encrypted values: what an entity tag can be made of."""

    @property
    def rows(self) -> list[bytes]:
        """The JSON of each row."""
        return [as_bytes(text) for text in self.texts]

    @property
    def one(self) -> bytes | None:
        """The only row, or nothing."""
        return as_bytes(self.texts[0]) if self.texts else None

    @property
    def array(self) -> bytes:
        """All rows as one JSON array, joined before it is encoded."""
        if self.texts and isinstance(self.texts[0], str):
            return f"[{','.join(self.texts)}]".encode()
        return b"[" + b",".join(self.texts) + b"]"


class Engine:
    """Answers asks from one store."""

    def __init__(
        self, schema: Schema, store: Store, limits: Limits, clock: Callable[[], datetime] | None = None,
        keys: Callable[[], KeyRing] | None = None,
    ) -> None:  # fmt: skip
        self.schema = schema
        self.store = store
        self.limits = limits
        self.clock = clock or (lambda: datetime.now(UTC))
        self.keys = keys or no_keys
        self.writes = EntityWrites(store.dialect)
        self.changes = ChangeLog(store)
        self.later: Later | None = None
        """What does what own code puts off; set where the application is put together."""
        self._remembered: dict[Any, Any] = {}
        self._followers: dict[str, list[tuple[Entity, Field]]] = {}

    def statement(self, ask: Ask, actor: Actor) -> Statement:
        """The compiled plan of a question; remembered."""
        key = (ask.roots, actor.standing)
        statement: Statement | None = self._remembered.get(key)
        if statement is None:
            with stage("plan"):
                plan = plan_read(ask, self.schema, actor, self.limits)
            with stage("compile"):
                statement = compile_read(plan, self.store.dialect)
            statement.timed = any(spec.source == "now" for spec in statement.plan.params)
            statement.binders = binders(statement.plan.params, self.limits)
            straight = [(position, None) for position in range(len(statement.binders))]
            statement.as_bound = list(statement.encoders) == straight
            statement.sealed = marks_of(statement.plan)
            self.remember(key, statement)
        return statement

    def shape(self, ask: Write, actor: Actor) -> PreparedShape:
        """The shape of a change with its statements; remembered."""
        key = shape_key(ask, actor)
        if (known := self._remembered.get(key)) is None:
            with stage("plan"):
                shape = shape_of(ask, self.schema, actor, self.limits)
            known = PreparedShape(shape, self.store.dialect, self.limits)
            self.remember(key, known)
        return cast(PreparedShape, known)

    def guard(self, condition: Condition, entity: Entity, actor: Actor, *, lock: bool = False) -> Prepared:
        """The statement that finds a record if it satisfies a condition of own code; remembered."""
        key = ("guard", entity.name, condition, actor.standing, lock)
        if (known := self._remembered.get(key)) is None:
            with stage("plan"):
                check = plan_guard(condition, entity, self.schema, actor, self.limits, lock=lock)
            known = prepare(check, self.store.dialect, self.limits)
            self.remember(key, known)
        return cast(Prepared, known)

    def stored(self, entity: Entity) -> Prepared:
        """The statement that reads all stored fields of a record, above the rules; remembered."""
        key = ("stored", entity.name)
        if (known := self._remembered.get(key)) is None:
            known = prepare(plan_stored(entity, self.schema, self.limits), self.store.dialect, self.limits)
            self.remember(key, known)
        return cast(Prepared, known)

    def followers(self, entity: Entity) -> list[tuple[Entity, Field]]:
        """Where records are deleted or let go with one of this entity, and the change log must say so."""
        if (known := self._followers.get(entity.name)) is None:
            known = self._followers[entity.name] = self.schema.followers(entity)
        return known

    def remember(self, key: Any, compiled: Statement | PreparedShape | Prepared) -> None:
        """Keep what was planned and compiled; the oldest goes when there is too much."""
        if len(self._remembered) >= self.limits.remembered_plans:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[key] = compiled

    async def read(self, ask: Ask, actor: Actor, tx: Writing | None = None) -> list[Found]:
        """The answers of all roots, in order: one statement."""
        return await self.answer(self.statement(ask, actor), ask.values, actor, tx)

    async def answer(
        self, statement: Statement, values: Sequence[Any], actor: Actor, tx: Writing | None = None
    ) -> list[Found]:
        """Run a compiled plan with these values."""
        if tx is not None:
            return await self._answer(statement, values, actor, tx)
        with stage("run"):
            return await self._answer(statement, values, actor, None)

    async def _answer(
        self, statement: Statement, values: Sequence[Any], actor: Actor, tx: Writing | None
    ) -> list[Found]:
        plan = statement.plan
        now = self.clock() if statement.timed else _NEVER
        bound = [make(values, actor, now, ()) for make in statement.binders]
        if plan.windows:
            check_cost(plan, bound, self.limits)
        encoded = statement.encode(bound)
        if tx is None:
            rows = await self.store.read(statement, encoded)
        else:
            rows = await tx.run(statement.text, encoded)
        found = take_apart(statement, rows, bound)
        if statement.sealed:
            for one, marks in zip(found, statement.sealed, strict=True):
                if marks and one.texts:
                    one.sealed = one.array
                    one.texts = open_texts(self.keys(), marks, one.texts)
        return found


def take_apart(statement: Statement, rows: Sequence[Sequence[Any]], bound: Sequence[Any]) -> list[Found]:
    """The rows of a statement, sorted into the answers of its roots."""
    roots = statement.plan.roots
    if statement.gathered:
        return [_gathered(cast(ListRoot, roots[0]), rows[0], bound)]
    if not statement.branches:
        return [_found(roots[0], rows, bound)]
    parts: list[list[Any]] = [[] for _ in statement.branches]
    for row in rows:
        parts[row[0]].append(row[1:])
    found = [Found([]) for _ in roots]
    totals: list[tuple[int, Any]] = []
    for (number, kind), part in zip(statement.branches, parts, strict=True):
        if kind == "total":
            totals.append((number, part[0][0]))
        else:
            found[number] = _found(roots[number], part, bound, counted=False)
    for number, total in totals:
        _count(found[number], cast(ListRoot, roots[number]), int(total))
    return found


def _found(root: Any, rows: Sequence[Sequence[Any]], bound: Sequence[Any], *, counted: bool = True) -> Found:
    if isinstance(root, OneRoot):
        return Found([row[0] for row in rows], _version(root, rows[0]) if rows else 0)
    if not isinstance(root, ListRoot):
        return Found([row[0] for row in rows])
    assert root.rows.limit is not None
    limit = bound[root.rows.limit.index] - 1
    more = len(rows) > limit
    kept = rows[:limit] if more else rows
    found = Found([row[0] for row in kept], more=more)
    if more and root.rows.keys:
        found.keys = tuple(_key(value) for value in kept[-1][1 : 1 + len(root.rows.keys)])
    if root.keyed and root.rows.keys:
        found.places = [tuple(_key(value) for value in row[1 : 1 + len(root.rows.keys)]) for row in kept]
    if counted and root.count_of is not None:
        _count(found, root, int(rows[0][-1]) if rows else 0)
    if root.backwards:
        found.texts.reverse()
        found.places = found.places[::-1]
    return found


def _version(root: OneRoot, row: Sequence[Any]) -> int:
    """The version of a record: the number its table counts, or one made of what its viewer sees of it."""
    if root.content is None:
        return int(row[1])
    return content_version(row[0] if row[1] is None else row[1])


def content_version(text: Any) -> int:
    """A number that differs where the content of a record does."""
    return int.from_bytes(blake2b(as_bytes(text), digest_size=7).digest())


def _gathered(root: ListRoot, row: Sequence[Any], bound: Sequence[Any]) -> Found:
    assert root.rows.limit is not None
    texts = row[0].split(SEPARATOR) if row[0] is not None else []
    found = Found(texts, more=row[1] >= bound[root.rows.limit.index])
    if found.more and root.rows.keys:
        found.keys = tuple(_key(value) for value in row[2 : 2 + len(root.rows.keys)])
    if root.count_of is not None:
        _count(found, root, row[-1])
    if root.backwards:
        texts.reverse()
    return found


def _count(found: Found, root: ListRoot, total: int) -> None:
    found.capped = root.count_cap is not None and total > root.count_cap
    found.total = min(total, root.count_cap) if root.count_cap is not None else total


def as_bytes(value: Any) -> bytes:
    """JSON text as bytes, whichever of the two the driver gave."""
    return value if isinstance(value, bytes) else value.encode()


def _key(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
