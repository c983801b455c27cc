"""The records of some rows, written in one transaction: found or made by their keys, related, filled and changed.

Invariant: of one batch all is true or nothing. Records go model by model in the order of the mapping; many of one model
go the fast road (`store/bulk.py`) where no rule and no hook of own code has a say, else each takes the road of a
request. A row that is refused is named, so that the others can be written without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
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
_REMEMBERED_ROWS = 20_000  # values of one step; then it begins anew


class RowRefused(Exception):
    """One of the rows cannot be written: which, and why."""

    def __init__(self, at: int, refused: Refused) -> None:
        super().__init__(refused.said)
        self.at = at
        self.refused = refused


@dataclass(slots=True)
class Ready:
    """A row whose values are checked: for each step what it makes, or nothing where it makes none."""

    row: Row
    made: list[Made | None]
    notes: Sequence[str] = ()
    defaults: Sequence[str] = ()


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


@dataclass(frozen=True, slots=True)
class Made:
    """The values of one record, checked; its key, where no other record is a part of that. Rows share them."""

    values: dict[str, Any]
    key: Key | None
    defaults: tuple[str, ...] = ()


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
        self.of_itself = any(entity.fields[name].target is entity for name, _ in self.sought)
        others = {name for name, _ in (*self.refers, *self.sought)}
        self.own_key = bool(step.key) and others.isdisjoint(step.key)
        self.addressed = entity is user and "email" in sources
        self.adds = [name for name, source in sources.items() if source.existing == "add"]
        self.replaces = [name for name, source in sources.items() if _replaces(step, name, source)]
        columns = [c for source in sources.values() for c in (source.column, source.times, source.default_column) if c]
        places = sorted({at[column] for column in columns})
        self._pick = itemgetter(*places) if places else (lambda cells: None)
        self._remembered: dict[Any, Made | Refused] = {}

    def made(self, row: Row) -> Made | Refused | None:
        """The values of a row for this record; nothing where it makes none."""
        if self.applies is not None and not self.applies(row.cells):
            return None
        cells = self._pick(row.cells)
        try:
            return self._remembered[cells]
        except KeyError:
            made = self._make(row)
            if len(self._remembered) >= _REMEMBERED_ROWS:
                self._remembered.clear()
            self._remembered[cells] = made
            return made
        except TypeError:  # a list or an object of a JSON file
            return self._make(row)

    def _make(self, row: Row) -> Made | Refused:
        values: dict[str, Any] = {}
        refused: list[Refused] = []
        defaults: list[str] = []
        cells = row.cells
        for name, read in self.readers:
            value = read(cells)
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
        return Made(values, self.key_of(values) if self.own_key else None, tuple(defaults))

    def key_of(self, values: Mapping[str, Any]) -> Key | None:
        """What a record is found by; nothing where a part of it is not there."""
        key = tuple([values.get(name) for name in self.key])
        return key if key and None not in key else None

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
        ids: dict[str, list[str | None]] = {}
        for number, work in enumerate(self.works):
            made = [ready.made[number] for ready in rows]
            if work.of_itself:
                ids[work.step.called] = await self._one_by_one(tx, work, made, ids, done, single=single)
                continue
            if work.sought or (work.key and not work.own_key):
                made = await self._tied(tx, work, made, ids)
            if work.key:
                await self._look(tx, work.entity, work.key, [one.key for one in made if one is not None and one.key])
            ids[work.step.called] = await self._put(tx, work, made, ids, done, self._fast(work) and not single)
        return done

    async def _one_by_one(
        self, tx: Transaction, work: Work, made: Sequence[Made | None], ids: Mapping[str, Sequence[str | None]],
        done: Done, *, single: bool,
    ) -> list[str | None]:  # fmt: skip
        """Records of a model that refer to others of it, which may stand before them in the same file."""
        mine: list[str | None] = []
        for at, one in enumerate(made):
            here = {name: others[at : at + 1] for name, others in ids.items()}
            try:
                tied = await self._tied(tx, work, [one], here)
                if work.key:
                    await self._look(tx, work.entity, work.key, [two.key for two in tied if two and two.key])
                mine += await self._put(tx, work, tied, here, done, self._fast(work) and not single)
            except RowRefused as refusal:
                raise RowRefused(at, refusal.refused) from None
        return mine

    async def _tied(
        self, tx: Transaction, work: Work, made: Sequence[Made | None], ids: Mapping[str, Sequence[str | None]]
    ) -> list[Made | None]:
        """The same records with the ids of those that they refer to, and the keys that have such a part."""
        tied: list[Made | None] = [None if one is None else replace(one, values={**one.values}) for one in made]
        for name, find in work.sought:
            await self._seek(tx, work, name, find, tied)
        for name, record in work.refers:
            for at, one in enumerate(tied):
                if one is not None:
                    one.values[name] = self._referred(work, name, at, ids[record])
        return [None if one is None else replace(one, key=work.key_of(one.values)) for one in tied]

    def _referred(self, work: Work, name: str, at: int, ids: Sequence[str | None]) -> str | None:
        if ids[at] is None and not work.entity.fields[name].nullable:
            raise work.refused(at, FieldError(name, "required", "is required."))
        return ids[at]

    async def _put(
        self, tx: Transaction, work: Work, made: Sequence[Made | None], ids: Mapping[str, Sequence[str | None]],
        done: Done, fast: bool,
    ) -> list[str | None]:  # fmt: skip
        """Find or make the records of one step; returns their ids, row by row."""
        name, place = work.entity.name, (work.entity.name, work.key)
        known, fresh = self._known.get(place, {}), self._fresh.setdefault(place, {})
        pending: dict[str, dict[str, Any]] = {}
        changes: dict[str, _Change] = {}
        refers = [(relation, ids[record]) for relation, record in work.refers]
        touches = bool(work.adds or work.replaces)
        mine: list[str | None] = [None] * len(made)
        seen = 0
        for at, one in enumerate(made):
            if one is None:
                continue
            key = one.key
            found = None if key is None else fresh.get(key) or known.get(key)
            if found is not None and not touches and work.step.existing != "reject":
                mine[at] = found
                seen += 1
                continue
            values = {**one.values}
            for relation, others in refers:
                values[relation] = others[at] or self._referred(work, relation, at, others)
            if found is not None:
                if work.step.existing == "reject":
                    raise work.refused(at, FieldError(" and ".join(work.key), "not_unique", "is there already."))
                seen += 1
                self._again(work, at, found, values, pending, changes)
            else:
                if fast:
                    found = values.setdefault("id", tx._new_id())
                    pending[found] = values
                else:
                    found = await self._create(tx, work, values, at)
                if key is not None:
                    fresh[key] = found
                    done.made.append((work.step.called, key))
                done.created[name] += 1
            mine[at] = found
        done.found[name] += seen
        if pending:
            await self._bulk(work.entity).add(tx, [*pending.values()])
        for record, change in changes.items():
            try:
                done.updated[name] += await _apply(tx, work.entity, record, change)
            except Unavailable:
                raise
            except Problem as problem:
                raise work.refused(change.at, *_of(problem)) from None
        return mine

    def _again(
        self, work: Work, at: int, found: str, values: Mapping[str, Any], pending: Mapping[str, dict[str, Any]],
        changes: dict[str, _Change],
    ) -> None:  # fmt: skip
        """Another row speaks of a record that is there."""
        if (record := pending.get(found)) is not None:
            for name in work.replaces:
                if name in values:
                    record[name] = values[name]
            for name in work.adds:
                if values.get(name) is not None:
                    record[name] = _sum(record.get(name), values[name])
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
        self, tx: Transaction, work: Work, name: str, find: str, tied: Sequence[Made | None]
    ) -> None:  # fmt: skip
        """Put the ids of records in the place of the values they are found by."""
        target = work.entity.fields[name].target
        assert target is not None
        sought = [
            (at, one.values) for at, one in enumerate(tied) if one is not None and one.values.get(name) is not None
        ]
        await self._look(tx, target, (find,), [(values[name],) for _, values in sought])
        for at, values in sought:
            found = self._id(target, (find,), (values[name],))
            if found is None:
                raise work.refused(at, FieldError(name, "not_found", "names no record that is there."))
            values[name] = found

    def _id(self, entity: Entity, names: tuple[str, ...], key: Key) -> str | None:
        place = entity.name, names
        return self._fresh.get(place, {}).get(key) or self._known.get(place, {}).get(key)

    async def _look(self, tx: Transaction, entity: Entity, names: tuple[str, ...], keys: Sequence[Key]) -> None:
        """See which of these records are there."""
        place = entity.name, names
        unknown = [*({*keys} - self._known.get(place, {}).keys() - self._fresh.get(place, {}).keys())]
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
