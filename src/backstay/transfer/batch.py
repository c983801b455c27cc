"""The records of some rows, written in one transaction: found or made by their keys, related, filled and changed.

Invariant: of one batch all is true or nothing. Records go model by model in the order of the mapping; many of one model
go the fast road (`store/bulk.py`) where no rule and no hook of own code has a say, else each takes the road of a
request. A row that is refused is named, so that the others can be written without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backstay.auth.address import canonical_address
from backstay.errors import FieldError, Problem, Unavailable
from backstay.model.field import Entity
from backstay.model.predicate import Compare, Path, Slot, both
from backstay.model.value import Unfit
from backstay.plan.ask import Ask, Create, Listing, Selection, Update
from backstay.store.bulk import Bulk, Key, can_add, raise_sequence
from backstay.store.dialect import Dialect
from backstay.store.transaction import Hook, Hooks, Transaction
from backstay.transfer.cells import MISSING, Defaulted, Refused, holds, reader
from backstay.transfer.mapping import From, Step
from backstay.transfer.source import Row

_REMEMBERED = 200_000  # keys of records that are known to be there


class RowRefused(Exception):
    """One of the rows cannot be written: which, and why."""

    def __init__(self, at: int, refused: Refused) -> None:
        super().__init__(refused.said)
        self.at = at
        self.refused = refused


@dataclass(slots=True)
class Ready:
    """A row whose values are checked: for each step its values, or nothing where it makes none."""

    row: Row
    values: list[dict[str, Any] | None]
    notes: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()


@dataclass(slots=True)
class Done:
    """What a batch did, by model."""

    created: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    made: list[tuple[str, Key]] = field(default_factory=list)
    """The keys that were made, by the name of the step."""


@dataclass(slots=True)
class _Change:
    """What becomes of a record that was there before the batch."""

    at: int
    replaced: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)


class Work:
    """One step of the mapping, made ready: its readers, its key, and how it is written."""

    def __init__(self, step: Step, entity: Entity, at: Mapping[str, int], empty: Sequence[str], user: Entity) -> None:
        self.step = step
        self.entity = entity
        self.applies = holds(step.when, at, empty) if step.when else None
        sources = step.sources()
        self.readers = [
            (name, reader(name, source, entity.fields[name], at, empty))
            for name, source in sources.items() if not source.record
        ]  # fmt: skip
        self.refers = [(name, source.record) for name, source in sources.items() if source.record]
        self.sought = [(name, source.find) for name, source in sources.items() if source.find]
        self.key = step.key
        self.addressed = entity is user and "email" in sources
        self.adds = [name for name, source in sources.items() if source.existing == "add"]
        self.replaces = [name for name, source in sources.items() if _replaces(step, name, source)]

    def values(self, row: Row, defaults: list[str]) -> dict[str, Any] | Refused | None:
        """The values of a row for this record; nothing where it makes none."""
        if self.applies is not None and not self.applies(row.cells):
            return None
        values: dict[str, Any] = {}
        refused: list[Refused] = []
        for name, read in self.readers:
            value = read(row.cells)
            kind = type(value)
            if kind is Refused:
                refused.append(value)
            elif kind is Defaulted:
                defaults.append(value.reason)
                values[name] = value.value
            elif value is not MISSING:
                values[name] = value
        if refused:
            errors = tuple(self.placed(e) for one in refused for e in one.errors)
            return Refused(errors, all(one.skip for one in refused))
        if self.addressed and values.get("email"):
            try:
                values["email"] = canonical_address(values["email"])
            except Unfit as unfit:
                return Refused((self.placed(FieldError("email", unfit.code, f"{unfit}.")),))
        return values

    def placed(self, error: FieldError) -> FieldError:
        """An error with the name of the record that it is about."""
        return replace(error, path=".".join(part for part in (self.step.called, error.path) if part))

    def refused(self, at: int, *errors: FieldError) -> RowRefused:
        """A row makes no such record."""
        return RowRefused(at, Refused(tuple(self.placed(error) for error in errors)))


def _replaces(step: Step, name: str, source: From) -> bool:
    if name in step.key or source.existing == "add":
        return False
    return source.existing == "replace" or step.existing == "update"


class Batches:
    """Writes batch after batch of one import. It remembers which records are there, once they are on the disk."""

    def __init__(self, works: Sequence[Work], hooks: Hooks, dialect: Dialect, *, system: bool) -> None:
        self.works = works
        self._system = system
        self._dialect = dialect
        self._hooks = hooks
        self._bulks: dict[str, Bulk] = {}
        self._known: dict[tuple[str, tuple[str, ...]], dict[Key, str]] = {}
        self._fresh: dict[tuple[str, tuple[str, ...]], dict[Key, str]] = {}

    def forget(self) -> None:
        """The batch was undone: what it made is not there."""
        self._fresh = {}

    def keep(self) -> None:
        """The batch is on the disk."""
        for place, found in self._fresh.items():
            known = self._known.setdefault(place, {})
            if len(known) + len(found) > _REMEMBERED:
                known.clear()
            known |= found
        self._fresh = {}

    async def write(self, tx: Transaction, rows: Sequence[Ready], *, single: bool = False) -> Done:
        """Write the records of some rows; `single` writes one after another, to find the row that is refused.

        Raises `RowRefused`; in the fast road `Taken`, `Broken` and problems of no one row.
        """
        done = Done()
        ids: list[dict[str, str | None]] = [{} for _ in rows]
        for number, work in enumerate(self.works):
            await self._step(tx, work, number, rows, ids, done, single)
        return done

    async def _step(
        self, tx: Transaction, work: Work, number: int, rows: Sequence[Ready], ids: list[dict[str, str | None]],
        done: Done, single: bool,
    ) -> None:  # fmt: skip
        todo: list[tuple[int, dict[str, Any], Key | None]] = []
        for at, ready in enumerate(rows):
            given = ready.values[number]
            if given is None:
                ids[at][work.step.called] = None
            else:
                todo.append((at, dict(given), None))
        for name, find in work.sought:
            await self._seek(tx, work, name, find, todo)
        for name, record in work.refers:
            for at, values, _ in todo:
                values[name] = ids[at][record]
                if values[name] is None and not work.entity.fields[name].nullable:
                    raise work.refused(at, FieldError(name, "required", "is required."))
        if work.key:
            todo = [(at, values, _key(work, values)) for at, values, _ in todo]
            await self._look(tx, work.entity, work.key, [key for _, _, key in todo if key is not None])
        await self._put(tx, work, todo, ids, done, self._fast(work) and not single)

    async def _put(
        self, tx: Transaction, work: Work, todo: Sequence[tuple[int, dict[str, Any], Key | None]],
        ids: list[dict[str, str | None]], done: Done, fast: bool,
    ) -> None:  # fmt: skip
        called, name = work.step.called, work.entity.name
        pending: dict[str, dict[str, Any]] = {}
        changes: dict[str, _Change] = {}
        for at, values, key in todo:
            found = None if key is None else self._id(work.entity, work.key, key)
            if found is None:
                if fast:
                    found = values.setdefault("id", tx._new_id())
                    pending[found] = values
                else:
                    found = await self._create(tx, work, values, at)
                if key is not None:
                    self._fresh.setdefault((name, work.key), {})[key] = found
                    done.made.append((called, key))
                done.created[name] += 1
            else:
                if work.step.existing == "reject":
                    error = FieldError(" and ".join(work.key), "not_unique", "is there already.")
                    raise work.refused(at, error)
                done.found[name] += 1
                self._again(work, at, found, values, pending, changes)
            ids[at][called] = found
        if pending:
            await self._bulk(work.entity).add(tx, [*pending.values()])
        for key_of, change in changes.items():
            try:
                done.updated[name] += await _apply(tx, work.entity, key_of, change)
            except Unavailable:
                raise
            except Problem as problem:
                raise work.refused(change.at, *_of(problem)) from None

    def _again(
        self, work: Work, at: int, found: str, values: Mapping[str, Any], pending: Mapping[str, dict[str, Any]],
        changes: dict[str, _Change],
    ) -> None:  # fmt: skip
        """Another row speaks of a record that is there."""
        if (record := pending.get(found)) is not None:
            record |= {name: values[name] for name in work.replaces if name in values}
            record |= {name: _sum(record.get(name), values[name]) for name in work.adds if values.get(name) is not None}
            return
        if not work.replaces and not work.adds:
            return
        change = changes.setdefault(found, _Change(at))
        change.at = at
        change.replaced |= {name: values[name] for name in work.replaces if name in values}
        for name in work.adds:
            if values.get(name) is not None:
                change.added[name] = _sum(change.added.get(name), values[name])

    async def _create(self, tx: Transaction, work: Work, values: dict[str, Any], at: int) -> str:
        entity = work.entity
        try:
            key = values.get("id") if not self._system else None
            given = {name: value for name, value in values.items() if name != "id"} if key else values
            made = str(await tx.write(Create(entity.name, given, key)))
            for name, part in entity.fields.items():
                if part.default is not None and part.default.source == "sequence" and values.get(name) is not None:
                    await raise_sequence(tx, part.default.value, values[name])
            return made
        except Unavailable:
            raise
        except Problem as problem:
            raise work.refused(at, *_of(problem)) from None

    async def _seek(
        self, tx: Transaction, work: Work, name: str, find: str, todo: Sequence[tuple[int, dict[str, Any], Any]]
    ) -> None:
        """Put the ids of records in the place of the values they are found by."""
        target = work.entity.fields[name].target
        assert target is not None
        await self._look(tx, target, (find,), [(v[name],) for _, v, _ in todo if v.get(name) is not None])
        for at, values, _ in todo:
            if values.get(name) is not None:
                found = self._id(target, (find,), (values[name],))
                if found is None:
                    raise work.refused(at, FieldError(name, "not_found", "names no record that is there."))
                values[name] = found

    def _id(self, entity: Entity, names: tuple[str, ...], key: Key) -> str | None:
        place = entity.name, names
        return self._fresh.get(place, {}).get(key) or self._known.get(place, {}).get(key)

    async def _look(self, tx: Transaction, entity: Entity, names: tuple[str, ...], keys: Sequence[Key]) -> None:
        """See which of these records are there."""
        unknown = [key for key in dict.fromkeys(keys) if self._id(entity, names, key) is None]
        if not unknown:
            return
        if self._system:
            found = await self._bulk(entity).find(tx, names, unknown)
        else:
            found = {key: one for key in unknown if (one := await _visible(tx, entity, names, key)) is not None}
        self._fresh.setdefault((entity.name, names), {}).update(found)

    def _fast(self, work: Work) -> bool:
        if not self._system or not can_add(work.entity):
            return False
        hooks = self._hooks.by_moment
        before, after = (hooks.get((moment, work.entity.name), []) for moment in ("before_create", "after_create"))
        return not after and all(is_own(hook) for hook in before)

    def _bulk(self, entity: Entity) -> Bulk:
        if (known := self._bulks.get(entity.name)) is None:
            hooks = self._hooks.by_moment.get(("before_create", entity.name), [])
            known = self._bulks[entity.name] = Bulk(entity, self._dialect, [hook for hook in hooks if is_own(hook)])
        return known


def is_own(hook: Hook) -> bool:
    """Whether a hook is Backstay's own: such are a part of what a model is, and always run."""
    return str(getattr(hook, "__module__", "")).startswith("backstay.")


def _key(work: Work, values: Mapping[str, Any]) -> Key | None:
    key = tuple(values.get(name) for name in work.key)
    return None if None in key else key


def _sum(one: Any, other: Any) -> Any:
    return other if one is None else one + other


async def _visible(tx: Transaction, entity: Entity, names: tuple[str, ...], key: Key) -> str | None:
    """The id of a record with these values, as far as the actor sees it."""
    where = both(*(Compare("eq", Path((name,)), Slot(at, name)) for at, name in enumerate(names)))
    limit = Slot(len(names), "limit")
    ask = Ask((Listing(entity.name, Selection(False, (("id", "id"),)), where, limit=limit),), (*key, 1))
    (found,) = await tx._engine.read(ask, tx.actor, tx._writing)
    return str(found.rows[0].decode().split('"')[3]) if found.rows else None


async def _apply(tx: Transaction, entity: Entity, key: str, change: _Change) -> int:
    """Change a record that is there, where anything is different; whether it was."""
    await tx.hold(entity.name, key)
    record = await tx.as_system.get(entity.model, key)
    values = {
        name: value for name, value in change.replaced.items()
        if _comparable(record.__dict__.get(name)) != _comparable(value)
    }  # fmt: skip
    values |= {name: _sum(record.__dict__.get(name), value) for name, value in change.added.items()}
    if values:
        await tx.write(Update(entity.name, key, values))
    return bool(values)


def _comparable(value: Any) -> Any:
    inner = getattr(value, "__dict__", {}).get("id", value)
    return str(inner) if type(inner).__name__ == "UUID" else getattr(inner, "value", inner)


def _of(problem: Problem) -> Sequence[FieldError]:
    return problem.errors or (FieldError("", problem.code, problem.detail),)


def only_own(hooks: Hooks) -> Hooks:
    """The hooks without those of own code."""
    kept = {moment: [hook for hook in some if is_own(hook)] for moment, some in hooks.by_moment.items()}
    return replace(hooks, by_moment=kept)
