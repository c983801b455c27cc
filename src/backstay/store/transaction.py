"""The user's own code reads and writes through a `Transaction`: the same plans and the same rules as any client.

Invariant: every write goes through `Transaction.write`, whoever asked for it, so checks and hooks have one place; the
row itself and its change are written by `store/writer.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, NoReturn, Protocol, TypeAlias, TypeVar, cast
from uuid import UUID

import msgspec

from backstay.errors import Conflict, Denied, FieldError, Invalid, NotFound, Problem, Stale
from backstay.model.declare import Model
from backstay.model.fact import Fact
from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, Condition, Path, Slot, lift
from backstay.model.rule import Predicate
from backstay.model.symbol import RowSymbol, condition, key_of, operand, refuse_identity
from backstay.model.value import Unfit, parse, plain
from backstay.plan.actor import Actor
from backstay.plan.ask import Ask, Create, Delete, Listing, Nested, One, Selection, Sort, Update
from backstay.plan.nested import Nest, Unfolding, check_nest
from backstay.plan.scope import unscoped
from backstay.plan.tree import Check, Members, WritePlan
from backstay.plan.write import filled_by_table, parse_field, plan_write
from backstay.store import rows
from backstay.store.engine import Engine, Found, as_bytes, content_version
from backstay.store.later import Later, Wish
from backstay.store.port import Broken, Taken, Writing
from backstay.store.prepared import Prepared, PreparedShape
from backstay.store.record import canonical, instance, load, reference, said_of, taken, whoever
from backstay.store.repeat import Attempt, carrying
from backstay.store.sealing import opened_values, sealed_values
from backstay.store.whole import Whole
from backstay.store.writer import Writer

M = TypeVar("M", bound=Model)
Moment: TypeAlias = Literal[
    "before_create", "after_create", "before_update", "after_update", "before_delete", "after_delete"
]
Hook: TypeAlias = Callable[..., Awaitable[None]]
Where: TypeAlias = Callable[[M], Predicate]
Setting: TypeAlias = Callable[[M], object] | object
"""A value, or an expression over the record; the checkers then know what its argument is."""


class MailWriter(Protocol):
    """What keeps mail in a transaction; `mail/` is handed in where the application is put together."""

    async def write(
        self, tx: Transaction, mail: str, to: str, about: str, language: str, values: Mapping[str, Any]
    ) -> bool:
        """Keep a mail; false where there is one about this already."""
        ...


@dataclass(slots=True)
class Hooks:
    """The functions that run inside transactions, by moment and entity, and what writes mail."""

    by_moment: dict[tuple[Moment, str], list[Hook]] = field(default_factory=dict)
    post: MailWriter | None = None

    def add(self, moment: Moment, entity: str, hook: Hook) -> None:
        """Run `hook` at that moment of every write to the entity."""
        self.by_moment.setdefault((moment, entity), []).append(hook)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one change: the key of the record, and its row as JSON where that is all there is to it.

    `rows` is how many statements had changed rows then: where there are more now, the row may be another one.
    """

    key: Any
    row: Any
    rows: int


class KeyTaken(Conflict):
    """There is a record with the id that was chosen for a new one."""

    def __init__(self, entity: Entity, key: Any) -> None:
        error = FieldError("id", "not_unique", "is taken already.")
        super().__init__(f"Another {entity.name} has this id already.", code="not_unique", errors=[error])
        self.entity = entity
        self.key = key

    def hidden(self) -> Denied:
        """What somebody is told who cannot see that record: the same as where the rules forbid a new one."""
        return Denied(_DENIED["create"].format(self.entity.name))


class Transaction:
    """Reads and writes that become true together or not at all.

    All of it obeys the rules of the actor; `tx.as_system` is the same transaction above the rules. An error that
    leaves the block undoes everything.

    >>> async def sell(tx, product):
    ...     await tx.update(product, stock=lambda p: p.stock - 1, where=lambda p: p.stock > 0)
    """

    def __init__(
        self, engine: Engine, writing: Writing, actor: Actor, hooks: Hooks, new_id: Callable[[], str],
        whole: Whole | None = None,
    ) -> None:  # fmt: skip
        self.actor = actor
        self._whole = whole or Whole(Writer(engine, writing, actor.id))
        self._writer = self._whole.writer
        self._engine = engine
        self._writing = writing
        self._hooks = hooks
        self._new_id = new_id

    @classmethod
    @asynccontextmanager
    async def begin(
        cls, engine: Engine, actor: Actor, hooks: Hooks, new_id: Callable[[], str], attempt: Attempt | None = None
    ) -> AsyncIterator[Transaction]:
        """A new transaction: it is true where the block ends, and whoever waits for changes is told.

        With an `attempt` it is one of a request that carries a key.
        """
        async with (
            carrying(engine.store, attempt) as writing,
            cls.within(engine, writing, actor, hooks, new_id) as tx,
        ):
            yield tx
        if tx._writer.wrote:
            engine.store.ring()

    @classmethod
    @asynccontextmanager
    async def within(
        cls, engine: Engine, writing: Writing, actor: Actor, hooks: Hooks, new_id: Callable[[], str]
    ) -> AsyncIterator[Transaction]:
        """A part of what somebody else has begun, and commits or undoes: all of it is written where the block ends."""
        tx = cls(engine, writing, actor, hooks, new_id)
        yield tx
        await tx._whole.end()

    @property
    def writing(self) -> Writing:
        """The transaction of the database itself, for what is no record: for Backstay's own tables."""
        return self._writing

    @property
    def me(self) -> Any:
        """The signed-in user, to be compared with. Where nobody is signed in, no comparison with it holds."""
        return whoever(self._engine.schema.user, self.actor)

    @property
    def now(self) -> datetime:
        """What time it is for the application: that of `now()` in rules."""
        return self._engine.clock()

    @property
    def as_system(self) -> Transaction:
        """The same transaction with the authority of your own code: no rule applies, constraints still do."""
        return self._acting(replace(self.actor, system=True))

    def bringing(self, secrets: Mapping[str, str]) -> Transaction:
        """The same transaction as if the request had brought these secrets as well, by header: `me.brings` knows them.

        No round trip.
        """
        return self._acting(self.actor.bringing(secrets))

    def _acting(self, actor: Actor) -> Transaction:
        """The same transaction with the rights of another actor."""
        return Transaction(self._engine, self._writing, actor, self._hooks, self._new_id, self._whole)

    def ref(self, model: type[M], key: UUID | str | int) -> M:
        """What stands for the record with this id, to be changed or referred to, without reading it. No round trip.

        >>> async def sold(tx, product_id):
        ...     await tx.update(tx.ref(Product, product_id), stock=lambda p: p.stock - 1)
        """
        entity = self._engine.schema.of(model)
        return cast(M, reference(entity, parse(plain(entity.key.kind), key)))

    # Reading.

    async def get(self, model: type[M], key: UUID | str | int, *, expand: Sequence[str] = ()) -> M:
        """The record with this id. Raises `NotFound` where it is absent or hidden. One round trip."""
        entity = self._engine.schema.of(model)
        ask = Ask((One(entity.name, Slot(0, "id"), selection_of(expand)),), (key,))
        (found,) = await self._engine.read(ask, self.actor, self._writing)
        if found.one is None:
            raise NotFound(f"There is no such {entity.name}.")
        return cast(M, load(entity, msgspec.json.decode(found.one)))

    async def find(
        self, model: type[M], where: Where[M] | None = None, *, sort: str = "", limit: int = 100, offset: int = 0,
        expand: Sequence[str] = (),
    ) -> list[M]:  # fmt: skip
        """The records that satisfy a condition, at most `limit` (up to 200) of them. One round trip."""
        entity = self._engine.schema.of(model)
        values: list[Any] = [limit, offset]
        shape = lift(self._condition(entity, where), values)
        listing = Listing(
            entity.name, selection_of(expand), shape, parse_sort(sort), limit=Slot(0, "limit"), offset=Slot(1, "offset")
        )
        (found,) = await self._engine.read(Ask((listing,), tuple(values)), self.actor, self._writing)
        return [load(entity, msgspec.json.decode(row)) for row in found.rows]

    async def exists(self, model: type[M], where: Where[M] | None = None) -> bool:
        """Whether there is a record that satisfies the condition. One round trip."""
        return bool(await self.find(model, where, limit=1))

    async def count(self, model: type[M], where: Where[M] | None = None) -> int:
        """How many records satisfy the condition. One round trip."""
        entity = self._engine.schema.of(model)
        values: list[Any] = [1]
        shape = lift(self._condition(entity, where), values)
        selection = Selection(False, (("id", "id"),))
        listing = Listing(entity.name, selection, shape, limit=Slot(0, "limit"), count="exact")
        (found,) = await self._engine.read(Ask((listing,), tuple(values)), self.actor, self._writing)
        return found.total or 0

    def _condition(self, entity: Entity, where: Callable[[Any], Predicate] | None) -> Condition:
        if where is None:
            return ANYONE
        refuse_identity(where)
        return condition(where(RowSymbol(entity, Path(()))))

    async def read_one(self, root: One, key: Any, more: Sequence[Any] = ()) -> Found | None:
        """The record as JSON, as this actor may read it; nothing where it may not. `more` are values of the root."""
        try:
            (found,) = await self._engine.read(Ask((root,), (key, *more)), self.actor, self._writing)
        except Problem:
            return None
        return found if found.texts else None

    async def hold(self, model: str, key: str, guard: Condition = ANYONE, values: Sequence[Any] = ()) -> bool:
        """Keep a record from other transactions until this one ends; whether it is there and the guard holds.

        Whoever holds it already is waited for, and the guard, over fields of the record itself, is asked of what they
        left behind. One round trip.
        """
        entity = self._engine.schema.entities[model]
        return await self._holds(self._engine.guard(guard, entity, self.actor, lock=True), (*values, key))

    # Writing.

    async def create(self, record: M) -> M:
        """Add a record: `await tx.create(Review(product=p, stars=5, text="…"))`. Returns it as it was stored.

        Raises `Invalid` with every wrong value, `Denied` where the rule forbids it, `Conflict` where a value is
        taken. One round trip, and one more for each record it refers to and for a rule on the new row; above the rules
        there is only the one. After it, one more where hooks wrote, or fields are computed or encrypted.
        """
        entity = self._engine.schema.of(type(record))
        return await self._written(record, Create(entity.name, said_of(entity, record, everything=self.actor.system)))

    async def update(self, record: M, *, where: Where[M] | None = None, **values: Setting[M]) -> M:
        """Change a record. With `where` it is guarded: 412 `precondition_failed` unless it holds at that moment.

        A value may be an expression over the record as it stands in the database, so that nothing is lost
        between reading and writing: `await tx.update(p, stock=lambda p: p.stock - 1, where=lambda p: p.stock > 0)`.
        Returns it as it is stored then. One round trip on PostgreSQL, where no hook looks on, no relation is set and
        no searched text; else two, and more for the same reasons as `create`.
        """
        entity = self._engine.schema.of(type(record))
        lifted: list[Any] = []
        guard = lift(self._condition(entity, where), lifted)
        symbol: Any = RowSymbol(entity, Path(()))
        values = {entity.spelt(name): value for name, value in values.items()}
        sets = {name: operand(value(symbol)) for name, value in values.items() if callable(value)}
        plain = {name: value for name, value in values.items() if name not in sets}
        key = _key_of(entity, record)
        return await self._written(record, Update(entity.name, key, plain, guard, tuple(lifted), sets=sets))

    async def _written(self, record: M, ask: Create | Update) -> M:
        """The record as it stands after a change: what the statement gave, or read again where more was written."""
        written = await self._whole.carry_out(self._write(ask))
        if written.row is None or written.rows != self._writer.rows:
            return await self.as_system.get(type(record), written.key)
        return cast(M, load(self._engine.schema.entities[ask.model], msgspec.json.decode(written.row)))

    async def delete(self, record: M, *, where: Where[M] | None = None) -> None:
        """End a record; what refers to it decides by its `on_delete`."""
        entity = self._engine.schema.of(type(record))
        lifted: list[Any] = []
        guard = lift(self._condition(entity, where), lifted)
        await self.write(Delete(entity.name, _key_of(entity, record), guard, tuple(lifted)))

    async def emit(self, fact: Fact[M], record: M) -> None:
        """Tell a fact about a record: `await tx.emit(Order.paid, order)`.

        Reactions (`@app.on`) are handed the record as it stands now, after this transaction has committed, and never if
        it does not. Raises `NotFound` where there is no such record. Two round trips.
        """
        entity = self._engine.schema.of(fact.model)
        check = self._engine.stored(entity)
        key = _key_of(entity, record)
        found = await self._writing.run(check.text, check.values((key,), self.actor, self._engine.clock()))
        if not found:
            raise NotFound(f"There is no such {entity.name}.")
        await self._writer.tell(entity, str(key), fact.name, found[0][1])

    # What happens later.

    async def enqueue(
        self, job: Callable[..., Any], *, delay: timedelta | None = None, unique: str | None = None,
        order_key: str | None = None, priority: int | None = None, **arguments: Any,
    ) -> str:  # fmt: skip
        """Have a job done after this transaction has committed, and never if it does not; returns its id.

        `await tx.enqueue(send_receipt, order=order.id, unique=f"receipt:{order.id}")`. Of one `unique` there is one:
        where there is one already, nothing is added and its id is returned. Jobs with one `order_key` are done one
        after another. Raises `TypeError` for arguments that the job does not take. One round trip.
        """
        return await self._later.enqueue(self._putting_off(), job, arguments, Wish(delay, unique, order_key, priority))

    async def start_flow(
        self, flow: Callable[..., Any], *, id: UUID | str = "", driven: bool = False, order_key: str | None = None,
        **arguments: Any,
    ) -> str:  # fmt: skip
        """Begin a flow once this transaction has committed, and never if it does not; returns its id.

        `await tx.start_flow(buy, order=order.id, id=order.id)`. Where there is one with this id already, nothing is
        begun. A worker goes on with it at once, but leaves one that is `driven` to whoever has begun it: call
        `ctx.drive` after the commit. Raises `TypeError` for arguments that the flow does not take. One round trip.
        """
        wish = Wish(order_key=order_key)
        return await self._later.start(self._putting_off(), flow, arguments, str(id), wish, driven=driven)

    async def signal(self, flow_id: UUID | str, name: str, data: Any = None) -> bool:
        """Tell a flow something that it waits for, or will wait for, if this transaction commits.

        Returns whether there is such a flow and it has not ended. Of signals of one name that nobody has waited
        for yet the first counts. Two round trips.
        """
        return await self._later.signal(self._putting_off(), str(flow_id), name, data)

    @property
    def _later(self) -> Later:
        if self._engine.later is None:
            raise RuntimeError("Nothing is done later here: the application has not been started.")
        return self._engine.later

    def _putting_off(self) -> Writing:
        """Where it is written what happens later; whoever does it is told when this has committed."""
        self._writer.wrote = True
        return self._writing

    async def mail(self, mail: str, /, *, to: str, about: str, language: str = "", **values: Any) -> bool:
        """Write to somebody once this transaction is true: `await tx.mail("receipt", to=..., about=..., order=...)`.

        `mail` is the name of a template, `about` is what it is about, such as `f"receipt:{order.id}"`: there is one
        mail about each thing, and false is returned where it was written before. `language` is that of the reader,
        such as `de` or `ctx.language`; `values` are plain or frozen ones, no records, as the template wants them. It is
        sent in the background, at least once, with one Message-ID. Raises `LookupError` for a mail that has no template
        and `ValueError` for an address or a value that cannot be. Three round trips, none of them to a mail server.
        """
        if self._hooks.post is None:
            raise RuntimeError("No mail is written in here.")
        return await self._hooks.post.write(self, mail, to, about, language, values)

    async def write(self, ask: Create | Update | Delete) -> Any:
        """Carry out one change; returns the id of the record. The one road for clients and own code alike.

        Other new records may stand inside a new one. Rules that look beyond a row are asked when all of it stands, with
        what hooks have written. Where it fails halfway the transaction can only be undone, whoever catches the error.
        """
        return (await self._whole.carry_out(self._write(ask))).key

    async def _write(self, ask: Create | Update | Delete) -> Written:
        if not isinstance(ask, Create):
            return await self._write_one(ask)
        nest = Unfolding(self._engine.limits).unfold(self._engine.schema.entities[ask.model], ask)
        if nest.first or nest.then or nest.errors:
            check_nest(nest, lambda one: self._engine.shape(one, self.actor).shape)
        return await self._write_nest(nest, {})

    async def _write_nest(self, nest: Nest, linked: Mapping[str, Any]) -> Written:
        """A new record after those that it refers to, and before those that refer to it."""
        keys = {}
        for name, inner in nest.first:
            with self._whole.placed(name):
                keys[name] = (await self._write_nest(inner, {})).key
        return await self._write_one(nest.tied(keys, linked), nest.then)

    async def _write_one(self, ask: Create | Update | Delete, then: Sequence[tuple[str, Nest]] = ()) -> Written:
        engine = self._engine
        prepared = engine.shape(ask, self.actor)
        key = self._new_id() if isinstance(ask, Create) and ask.key is None else ask.key
        plan = plan_write(ask, prepared.shape, self.actor, key, engine.clock())
        try:
            return await self._carry_out(plan, ask, prepared, then)
        except Taken as taken:
            raise _not_unique(plan, taken.index) from None
        except Broken as broken:
            raise _refused(plan, broken) from None

    async def _carry_out(
        self, plan: WritePlan, ask: Create | Update | Delete, prepared: PreparedShape, then: Sequence[tuple[str, Nest]]
    ) -> Written:
        engine, entity, key = self._engine, plan.entity, plan.key
        if self._at_once(plan, ask):
            return await self._alter_at_once(plan, prepared)
        old: dict[str, Any] = {}
        before: Any = None
        version = 0
        kept: Sequence[Any] = ()
        if plan.before is not None:
            version, before, kept = await self._row_before(plan, ask, prepared.check(plan.before))
            if entity.search or self._hooked("before", plan) or self._hooked("after", plan):
                old = canonical(entity, msgspec.json.decode(before), sealed=True)
        if plan.action == "create":
            for name, part in entity.fields.items():
                if part.default is not None and part.default.source == "sequence" and plan.values.get(name) is None:
                    plan.values[name] = await self._writing.number(part.default.value)
        await self._run_hooks("before", plan, old)
        for link in plan.links:
            kept_by_hooks = link.field in entity.to_many or plan.values.get(link.field) == link.value
            if kept_by_hooks and not await self._holds(prepared.check(link.check), (link.value,)):
                said = "names no record that you can see."
                raise Invalid(f'"{link.field}" {said}', errors=[FieldError(link.field, "not_found", said)])
        stored = sealed_values(engine.keys, entity, plan.key, plan.values)
        values: list[Any]
        if plan.action == "create":
            unsaid = (part for name, part in entity.fields.items() if name not in plan.values)
            without = frozenset(part.name for part in unsaid if filled_by_table(part))
            change = engine.writes.insertion(entity, without, chosen=bool(ask.key))
            values = change.values(stored)
        elif plan.action == "update":
            change = prepared.alteration(tuple(plan.values))
            sets = prepared.set_values(self.actor, engine.clock())
            values = [*sets, *change.values({**old, **stored, "id": key})]
        else:
            await self._writer.let_go(entity, (key,))
            change = engine.writes.removal(entity)
            values = change.values({"id": key})
        row = await self._writer.write(change, values, entity, plan.action, key, before, version)
        rows_written = self._writer.rows
        if plan.action == "create" and entity.existing is not None:
            plan.values.update(canonical(entity, msgspec.json.decode(row)))
            key = plan.values["id"]
        for members in plan.members:
            await self._set_members(members, key, prepared)
        followed = bool(then) or bool(self._hooked("after", plan))
        await self._ask_after(plan, key, kept, prepared, followed=followed)
        for place, inner in then:
            with self._whole.placed(place):
                await self._write_nest(inner, dict.fromkeys(inner.ask.linked, key))
        await self._run_hooks("after", plan, old)
        return Written(key, row if _is_whole(entity) else None, rows_written)

    def _at_once(self, plan: WritePlan, ask: Any) -> bool:
        """Whether one statement can find the record and change it: nothing has to be known of it in between."""
        entity = plan.entity
        return (
            plan.action == "update"
            and self._engine.store.dialect.logs_inside
            and entity.logged
            and ask.version is None
            and not plan.links
            and (ask.guard == ANYONE or (plan.before is not None and plan.before.guard is not None))
            and not any(name in plan.values for name in entity.search)
            and not self._hooked("before", plan)
            and not self._hooked("after", plan)
        )

    async def _alter_at_once(self, plan: WritePlan, prepared: PreparedShape) -> Written:
        """A change in one round trip: the row is found by its rule and held, its guard is asked, and it is written."""
        engine, entity, key = self._engine, plan.entity, plan.key
        assert plan.before is not None
        values = self._encoded(prepared.check(plan.before), (*plan.guard_values, key))
        if values is None:
            await self._diagnose(plan)
        held = prepared.held(plan.before, tuple(plan.values))
        stored = sealed_values(engine.keys, entity, key, plan.values)
        values = [*values, *prepared.set_values(self.actor, engine.clock()), *held.values({**stored, "id": key})]
        found = await self._writer.alter(held.text, values, key)
        if not found:
            await self._diagnose(plan)
        *kept, holds, _, row = found[0]
        if not holds:
            raise Problem("The guard no longer holds.", code="precondition_failed")
        rows_written = self._writer.rows
        for members in plan.members:
            await self._set_members(members, key, prepared)
        await self._ask_after(plan, key, kept, prepared, followed=False)
        return Written(key, row if _is_whole(entity) else None, rows_written)

    async def _ask_after(
        self, plan: WritePlan, key: Any, kept: Sequence[Any], prepared: PreparedShape, *, followed: bool
    ) -> None:
        """The rule on the row as it stands now; what it says of other rows, when nothing more follows."""

        async def ask(check: Check) -> None:
            if not await self._holds(prepared.check(check), (key,), kept):
                raise Denied(_DENIED[plan.action].format(plan.entity.name))

        after = plan.after
        later = after.far if followed or self._whole.inside else None
        now = after.whole if later is None else after.near
        if now is not None:
            await ask(now)
        if later is not None:
            self._whole.due(partial(ask, later))

    async def _set_members(self, members: Members, key: Any, prepared: PreparedShape) -> None:
        """Make a many-to-many relation hold these records, and no others that the writer can see."""
        found = await self._writing.run(rows.members_now(members, self._engine.store.dialect), (key,))
        kind = plain(members.relation.target.key.kind)
        now = [parse(kind, as_bytes(row[0]).decode(), from_text=True) for row in found]
        for member in now:
            seen = members.visible is None or await self._holds(prepared.check(members.visible), (member,))
            if member not in members.keys and seen:
                await self._writer.leave(members, key, member)
        moment = self._engine.clock()
        for member in members.keys:
            if member not in now:
                await self._writer.join(members, key, member, self._new_id(), moment)

    async def _row_before(self, plan: WritePlan, ask: Any, before: Prepared) -> tuple[int, Any, Sequence[Any]]:
        """The version and the row as JSON, and what is kept of it; the guard is looked at."""
        assert plan.before is not None
        found = await self._check(before, (*plan.guard_values, plan.key))
        if not found:
            await self._diagnose(plan)
        version, text, *kept = found[0]
        version = version if plan.entity.version else content_version(version)
        if ask.version is not None and ask.version != version:
            raise Stale()
        if plan.before.guard is not None:
            holds = bool(kept.pop())
        elif ask.guard != ANYONE:
            guard = self._engine.guard(ask.guard, plan.entity, self.actor)
            holds = await self._holds(guard, (*plan.guard_values, plan.key))
        else:
            holds = True
        if not holds:
            raise Problem("The guard no longer holds.", code="precondition_failed")
        return version, text, kept

    async def _diagnose(self, plan: WritePlan) -> NoReturn:
        """Zero rows before a change: hidden or absent is 404, visible is 403."""
        root = One(plan.entity.name, Slot(0, "id"), Selection(False, (("id", "id"),)))
        if await self.read_one(root, plan.key) is None:
            raise NotFound()
        raise Denied(_DENIED[plan.action].format(plan.entity.name))

    async def _check(self, check: Prepared, values: Sequence[Any], kept: Sequence[Any] = ()) -> list[Any]:
        encoded = self._encoded(check, values, kept)
        return [] if encoded is None else await self._writing.run(check.text, encoded)

    def _encoded(self, check: Prepared, values: Sequence[Any], kept: Sequence[Any] = ()) -> list[Any] | None:
        try:
            return check.values(values, self.actor, self._engine.clock(), kept)
        except Problem:
            return None  # an id that is none names no record

    async def _holds(self, check: Prepared, values: Sequence[Any], kept: Sequence[Any] = ()) -> bool:
        return bool(await self._check(check, values, kept))

    def _hooked(self, when: Literal["before", "after"], plan: WritePlan) -> Sequence[Hook]:
        moment: Any = f"{when}_{plan.action}"
        return self._hooks.by_moment.get((moment, plan.entity.name), ())

    async def _run_hooks(self, when: Literal["before", "after"], plan: WritePlan, old: Mapping[str, Any]) -> None:
        if not (hooks := self._hooked(when, plan)):
            return
        old = opened_values(self._engine.keys, plan.entity, plan.key, old)
        record = instance(plan.entity, {**old, **plan.values})
        shown = taken(plan.entity, record)
        extra = (instance(plan.entity, old),) if plan.action == "update" else ()
        tx = self if self.actor.scopes is None else self._acting(unscoped(self.actor))
        for hook in hooks:
            await hook(tx, record, *extra)
        if when == "before" and plan.action != "delete":
            errors = []
            held = taken(plan.entity, record)
            for name, part in plan.entity.fields.items():
                value = held.get(name)
                if name in held and (name not in shown or value is not shown[name]):
                    try:
                        plan.values[name] = parse_field(part, value)
                    except Unfit as unfit:
                        errors += unfit.errors(name)
            if errors:
                raise Invalid(errors=errors)

    async def execute(
        self, statement: Any, values: Mapping[str, Any] | None = None, *, touches: Sequence[type[Model]]
    ) -> list[Any]:
        """Run a SQLAlchemy Core statement on this transaction, for what the model language does not offer.

        No rule is applied. `touches` names the models it writes (empty for a read), so that what is derived
        from them is refreshed. Tables are at `app.tables`.
        """
        for model in touches:
            await self._writer.reset(self._engine.schema.of(model).name)
        text, ordered = compile_core(statement, self._engine.store.dialect.name, values or {})
        return await self._writing.run(text, ordered)


_DENIED = {
    "create": "The rules of {} do not allow this record to you.",
    "update": "The rules of {} do not allow this change to you.",
    "delete": "The rules of {} do not allow you to delete this record.",
}


def _is_whole(entity: Entity) -> bool:
    """Whether the row that a statement gives is all there is to a record of this entity."""
    return entity.logged and not entity.computed and not entity.sealed


def _key_of(entity: Entity, record: Any) -> Any:
    """The key of a record that is stored."""
    if (key := key_of(record)) is None:
        raise ValueError(f"This {entity.name} is not stored: it has no id.")
    return parse(plain(entity.key.kind), key)


def _not_unique(plan: WritePlan, index: str) -> Conflict:
    entity = plan.entity
    names: Sequence[str] = ()
    if index in (f"{entity.table}.{entity.key.column}", f"{entity.table}_pkey", f"pk_{entity.table}"):
        names = ("id",)
    for known in entity.indexes:
        columns = [f"{entity.table}.{column}" for name in known.fields for column in entity.fields[name].columns]
        if index in (known.name or f"uq_{entity.table}_{'_'.join(known.fields)}", ", ".join(columns)):
            names = known.fields
    if names == ("id",):
        return KeyTaken(entity, plan.key)
    said = " and ".join(names) or "values"
    errors = [FieldError(name, "not_unique", "is taken already.") for name in names]
    return Conflict(f"Another {entity.name} has this {said} already.", code="not_unique", errors=errors)


def _refused(plan: WritePlan, broken: Broken) -> Problem:
    if broken.kind == "foreign" and plan.action == "delete":
        return Conflict(f"Other records still refer to this {plan.entity.name}.", code="still_referenced")
    if broken.kind == "foreign":
        return Invalid("A record that is referred to does not exist.")
    return Invalid(f"The database refused these values of {plan.entity.name}.")


# Questions.


def selection_of(expand: Sequence[str]) -> Selection:
    """Everything, with relations expanded along dotted paths."""
    tree: dict[str, Any] = {}
    for path in expand:
        here = tree
        for name in path.split("."):
            here = here.setdefault(name, {})
    return _selection(tree)


def _selection(tree: Mapping[str, Any]) -> Selection:
    return Selection(nested=tuple(Nested(name, name, _selection(inner)) for name, inner in tree.items()))


def parse_sort(text: str) -> tuple[Sort, ...]:
    """`"-price,name"` as sort keys."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    return tuple(Sort(tuple(key.lstrip("-").split(".")), key.startswith("-")) for key in keys)


def compile_core(statement: Any, dialect: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A SQLAlchemy statement as text and ordered values for the driver."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

        compiled = statement.compile(dialect=sqlite_dialect(), compile_kwargs={"render_postcompile": True})
    else:
        from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

        pg = asyncpg_dialect()  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=pg, compile_kwargs={"render_postcompile": True})
    params = {**compiled.construct_params(dict(values))}
    return str(compiled), [params[name] for name in compiled.positiontup or ()]
