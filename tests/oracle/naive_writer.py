"""The naive writer: every change carried out on lists of dictionaries, in the order that the documentation tells.

It knows the declaration and nothing of plans or SQL. What is refused is refused with the one code that is right, and
then nothing has changed. Values arrive with the knowledge whether their field takes them: parsing is not its business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backstay.errors import CODES
from backstay.model.field import Action, Entity, Field, ToMany
from backstay.model.predicate import And, Condition, Me, Operand, Path, Quantified, Total, Value, fold, normal
from backstay.model.value import slug_of
from backstay.plan.actor import Actor
from backstay.plan.ask import Selection
from tests.oracle.conditions import NOW
from tests.oracle.naive import Frames, Naive
from tests.oracle.world import Row, World, pair_of


@dataclass(frozen=True)
class Said:
    """A value as it is sent, as it is meant, and whether its field takes it (null apart).

    New records that are sent in its place are `inside`: one under a relation to one, a list under a relation to many.
    """

    json: Any
    value: Any = None
    fits: bool = True
    inside: "Values | Sequence[Values] | None" = None


Values = Mapping[str, Said]


@dataclass(frozen=True)
class Op:
    """One write of one record."""

    method: str
    model: str
    values: Values = field(default_factory=dict)
    key: str = ""
    version: int | None = None
    there: bool = False
    absent: bool = False
    guard: Condition | None = None
    sets: Mapping[str, Operand] = field(default_factory=dict)


class Refused(Exception):
    """What the writer is told."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.status = CODES[code].status


class TakenId(Refused):
    """There is a record with the id that was chosen."""


@dataclass(frozen=True)
class Done:
    """What one write answers: the status, and the record as its writer may read it."""

    status: int
    record: Any = None
    key: str = ""


class Moments(Naive):
    """Answers rules about a change: `before` it, what speaks of the new row is open; after it, old values are kept."""

    def __init__(self, world: World, actor: Actor, before: tuple[Naive, Row] | None = None) -> None:
        super().__init__(world, actor)
        self.before = before

    def holds(self, condition: Condition, frames: Frames, dev: bool, negated: bool = False) -> bool:
        atom = not hasattr(condition, "parts") and not hasattr(condition, "part")
        if self.before is None and atom and speaks_of_new(condition):
            return True
        return super().holds(condition, frames, dev, negated)

    def value(self, operand: Operand, frames: Frames, dev: bool) -> Any:
        if self.before is not None and isinstance(operand, Path) and operand.when == "old":
            naive, row = self.before
            return naive.read(frames[0][0], row, operand.names, True)
        return super().value(operand, frames, dev)


def speaks_of_new(node: Any) -> bool:
    """Whether anything in an atom names a value after the change."""
    if isinstance(node, Path):
        return node.when == "new"
    if isinstance(node, tuple):
        return any(speaks_of_new(part) for part in node)
    return any(speaks_of_new(getattr(node, name)) for name in getattr(node, "__dataclass_fields__", {}))


def looks_beyond(entity: Entity, node: Any) -> bool:
    """Whether any other row decides about a condition: only which refusal comes first depends on that."""
    match node:
        case Quantified() | Total():
            return True
        case Me(names):
            return bool(names)
        case Path(names):
            if not names:
                return False
            if names[0] in entity.computed:
                return looks_beyond(entity, entity.computed[names[0]].value)
            return entity.fields[names[0]].target is not None and names[1:] not in ((), ("id",))
        case tuple():
            return any(looks_beyond(entity, part) for part in node)
    inside = getattr(node, "__dataclass_fields__", {}) if not isinstance(node, Value) else {}
    return any(looks_beyond(entity, getattr(node, name)) for name in inside)


class Writer:
    """Writes for one actor on a copy of a world."""

    def __init__(self, world: World, actor: Actor) -> None:
        self.world = copied(world)
        self.actor = actor
        self.versions = {row["id"]: 1 for rows in world.rows.values() for row in rows}
        self.made: list[str] = []

    # Doors.

    def knock(self, op: Op) -> None:
        """Who may never do this at all is told that before anything else."""
        entity = self.world.schema.entities[op.model]
        actions: dict[str, tuple[Action, ...]] = {
            "PUT": ("update", "create"),
            "PATCH": ("update",),
            "POST": ("create",),
        }
        naive = Naive(self.world, self.actor)
        rules = [entity.rules[action] for action in actions.get(op.method, ("delete",))]
        closed = not self.actor.system and all(naive.possible(rule) is False for rule in rules)
        mine = [one for one in entity.fields.values() if one.default is not None and one.default.source == "me"]
        nobody = self.actor.id is None and not self.actor.system
        if closed or (op.method == "POST" and nobody and not all(one.nullable for one in mine)):
            raise Refused("not_signed_in" if self.actor.id is None else "denied")

    def many(self, model: str, items: Sequence[Values]) -> list[Done]:
        """Many new records or none; every value of every item is looked at before the first is added."""
        entity = self.world.schema.entities[model]
        self._permit(entity, "create")
        if any([self._look(entity, item) for item in items]):
            raise Refused("invalid")
        return self._shown_at_last([(entity, self.create(entity, item), 201) for item in items])

    def batch(self, ops: Sequence[Op]) -> list[Done]:
        """Several writes, each seeing what those before it did."""
        return [self.do(op) for op in ops]

    def do(self, op: Op) -> Done:
        """One write."""
        entity = self.world.schema.entities[op.model]
        if op.method == "DELETE":
            self.delete(entity, op)
            return Done(204)
        key, status = op.key, 200
        match op.method:
            case "POST":
                key, status = self.create(entity, op.values), 201
            case "PUT":
                status = self.put(entity, op)
            case "PATCH":
                self.update(entity, op)
        (done,) = self._shown_at_last([(entity, key, status)])
        return done

    def _shown_at_last(self, made: Sequence[tuple[Entity, str, int]]) -> list[Done]:
        return [Done(status, self.shown(entity, key), key) for entity, key, status in made]

    def shown(self, entity: Entity, key: str) -> Any:
        """A record as its writer may read it, or nothing."""
        naive = Naive(self.world, self.actor)
        row = naive.find(entity, key)
        if row is None or naive.closed(entity) or not naive.may_read(entity, row):
            return None
        return naive.render(Selection(), entity, row)

    # Writes.

    def create(self, entity: Entity, said: Values, key: str = "") -> str:
        """A new record, with those that were sent inside it; its id."""
        if self._look(entity, said):
            raise Refused("invalid")
        due: list[Callable[[], None]] = []
        made = self._create(entity, said, key, {}, due)
        for ask in due:
            ask()
        return made

    def _look(self, entity: Entity, said: Values, via: str = "") -> bool:
        """Whether any value of a new record is wrong, or of one inside it; refuses what is refused before that."""
        self._permit(entity, "create")
        self._names(entity, {name: one for name, one in said.items() if name != via}, creating=True, via=via)
        wrong = via in said or self._wrong(entity, {**said, **({via: Said("")} if via else {})}, creating=True, via=via)
        for target, back, inside in self._inside(entity, said):
            wrong = self._look(target, inside, back) or wrong
        return wrong

    def _inside(self, entity: Entity, said: Values) -> list[tuple[Entity, str, Values]]:
        """The new records sent inside one, each with the relation that leads back; those that it refers to first."""
        first: list[tuple[Entity, str, Values]] = []
        then: list[tuple[Entity, str, Values]] = []
        for name, one in said.items():
            if (many := entity.to_many.get(name)) is not None and one.inside is not None:
                then += [(many.target, many.via, values) for values in one.inside]  # type: ignore[misc]
            elif one.inside is not None and (target := entity.fields[name].target) is not None:
                first.append((target, "", one.inside))  # type: ignore[arg-type]
        return first + then

    def _create(self, entity: Entity, said: Values, key: str, linked: Row, due: list[Callable[[], None]]) -> str:
        new: Row = {}
        for name, one in said.items():
            if name in entity.fields and one.inside is not None:
                target = entity.fields[name].target
                assert target is not None
                new[name] = self._create(target, one.inside, "", {}, due)  # type: ignore[arg-type]
        key = key or self._new_id()
        row: Row = {name: new.get(name, one.value) for name, one in said.items() if name in entity.fields}
        row |= linked
        for name, field_ in entity.fields.items():
            if name not in row:
                row[name] = self._default(field_, row, key)
        self._links(entity, said, {name: row[name] for name in said if name in entity.fields and name not in new})
        if any(one["id"] == key for one in self.world.rows[entity.name]):
            raise TakenId("not_unique")
        self._insert(entity, row)
        self._members(entity, said, key)
        written = [*said, *linked]
        self._after(entity, "create", written, row, None, near=True)
        due.append(lambda: self._after(entity, "create", written, row, None))
        for target, back, inside in self._inside(entity, said):
            if back:
                self._create(target, inside, "", {back: key}, due)
        return key

    def update(self, entity: Entity, op: Op, whole: bool = False) -> None:
        """A change of one record; a whole one says all that its writer may say."""
        self._permit(entity, "update")
        self._names(entity, op.values, creating=False)
        if self._wrong(entity, op.values, creating=False, whole=whole):
            raise Refused("invalid")
        changed = {name: one.value for name, one in op.values.items() if name in entity.fields}
        if whole:
            for one in self._unsaid(entity, op.values):
                changed[one.name] = self._default(one, changed, op.key)
        written = [*op.values, *changed, *op.sets]
        before, row = self._before(entity, "update", written, op)
        self._links(entity, op.values, changed)
        fresh = {**row, "updated_at": NOW, **changed}
        for name, operand in op.sets.items():
            fresh[name] = before.value(operand, [(entity, row)], True)
            if not within(entity.fields[name], fresh[name]):
                raise Refused("invalid")
        self._unique(entity, fresh)
        self._there(entity, fresh)
        old = dict(row)
        row.update(fresh)
        self.versions[row["id"]] += 1
        self._members(entity, op.values, op.key)
        self._after(entity, "update", written, row, (before, old))

    def put(self, entity: Entity, op: Op) -> int:
        """A whole record under an id; the status."""
        naive = Naive(self.world, self.actor)
        there = naive.find(entity, op.key)
        if there is None or naive.closed(entity) or not naive.may_read(entity, there):
            if op.there or op.version is not None:
                raise Refused("stale")
            try:
                self.create(entity, op.values, op.key)
            except TakenId:
                raise Refused("denied") from None  # the same as where no new one is allowed
            return 201
        if op.absent:
            raise Refused("precondition_failed")
        self.update(entity, op, whole=True)
        return 200

    def delete(self, entity: Entity, op: Op) -> None:
        """The end of one record, and of those that go with it."""
        self._permit(entity, "delete")
        _, row = self._before(entity, "delete", (), op)
        going = [(entity.name, row["id"])]
        for name, key in going:
            for other, one, child in self._referring(name, key):
                if one.on_delete == "cascade" and (other, child["id"]) not in going:
                    going.append((other, child["id"]))
        rest = {name: [row for row in rows if (name, row["id"]) not in going] for name, rows in self.world.rows.items()}
        self.world = replace(self.world, rows=rest)
        for name, key in going:
            for _, one, child in self._referring(name, key):
                if one.on_delete != "set_null":
                    raise Refused("still_referenced")
                child |= {one.name: None, "updated_at": NOW}
                self.versions[child["id"]] += 1

    def _referring(self, name: str, key: str) -> list[tuple[str, Field, Row]]:
        target = self.world.schema.entities[name]
        return [
            (other.name, one, row)
            for other in self.world.schema.entities.values() for one in other.fields.values() if one.target is target
            for row in self.world.rows[other.name] if row[one.name] == key
        ]  # fmt: skip

    def _new_id(self) -> str:
        """An id like those of the server, so that it compares alike; which of them it is does not matter."""
        self.made.append(f"0199ffff-0000-7000-8000-{len(self.made) + 1:012x}")
        return self.made[-1]

    # What must be so.

    def _permit(self, entity: Entity, action: Action) -> None:
        naive = Naive(self.world, self.actor)
        if not self.actor.system and naive.possible(entity.rules[action]) is False:
            raise Refused("not_signed_in" if self.actor.id is None else "denied")

    def _names(self, entity: Entity, said: Values, *, creating: bool, via: str = "") -> None:
        known = Naive(self.world, self.actor).names(entity)
        writable = [
            name for name, one in entity.fields.items() if self.actor.system or one.write_only or name in known
        ]  # fmt: skip
        if creating and any(one.required and name not in writable for name, one in entity.fields.items()):
            raise Refused("not_signed_in" if self.actor.id is None else "denied")
        if via and (via not in writable or self._closed(entity.fields[via])):
            raise Refused("not_signed_in" if self.actor.id is None else "denied")
        if any(name not in writable and name not in known for name in said):
            raise Refused("unknown_field")

    def _wrong(self, entity: Entity, said: Values, *, creating: bool, whole: bool = False, via: str = "") -> bool:
        """Whether any value is not taken, or one is missing."""
        for name, one in said.items():
            if name == via:
                continue
            part = entity.to_many.get(name) or entity.fields.get(name)
            if (
                part is None
                or self._closed(part, creating)
                or not one.fits
                or (one.inside is not None and not creating)
            ):
                return True
            if isinstance(part, Field) and one.json is None and not part.nullable:
                return True
        needed = [one for one in entity.fields.values() if one.required and one.name not in said]
        known = Naive(self.world, self.actor).names(entity)
        open_ = [one for one in needed if (one.write_only or one.name in known) and not self._kept(one)]
        return bool(needed if creating else open_ if whole else ())

    def _closed(self, part: Field | ToMany, creating: bool = False) -> bool:
        if isinstance(part, ToMany) and not part.as_list and (part.through is not None or not creating):
            return True
        return not self.actor.system and self._kept(part)

    def _kept(self, part: Field | ToMany) -> bool:
        """Whether a field is the server's to set, whatever the row is."""
        if isinstance(part, Field) and (part.read_only or (part.default is not None and part.default.by_server)):
            return True
        return Naive(self.world, self.actor).possible(part.write) is False

    def _unsaid(self, entity: Entity, said: Values) -> list[Field]:
        known = Naive(self.world, self.actor).names(entity)
        return [
            one for name, one in entity.fields.items()
            if name not in said and (one.write_only or name in known) and not self._kept(one)
        ]  # fmt: skip

    def _default(self, one: Field, row: Row, key: str) -> Any:
        if one.default is None:
            return None
        match one.default.source:
            case "id":
                return key
            case "now":
                return NOW
            case "me":
                if self.actor.id is None and not one.nullable:
                    raise Refused("not_signed_in")
                return self.actor.id
            case "slug":
                return slug_of(str(row.get(one.default.value) or ""))
        return one.default.value

    def _links(self, entity: Entity, said: Values, changed: Row) -> None:
        """What is referred to is seen by its writer."""
        naive = Naive(self.world, self.actor)
        referred = [(entity.fields[name].target, key) for name, key in changed.items()]
        for name, one in said.items():
            if name in entity.to_many and entity.to_many[name].as_list:
                referred += [(entity.to_many[name].target, key) for key in one.value]
        for target, key in referred:
            if target is None or key is None or self.actor.system:
                continue
            found = naive.find(target, key)
            if found is None or not naive.may_read(target, found):
                raise Refused("invalid")

    def _before(
        self, entity: Entity, action: Action, written: Sequence[str], op: Op
    ) -> tuple[Naive, Row]:  # fmt: skip
        """The row before a change, if it may be changed and is as it is said to be."""
        naive = Moments(copied(self.world), self.actor)
        row = naive.find(entity, op.key)
        if row is None or not naive.may_read(entity, row):
            raise Refused("not_found")
        if not self._allowed(naive, entity, action, written, row):
            raise Refused("denied")
        if op.version is not None and op.version != self.versions[op.key]:
            raise Refused("stale")
        if op.guard is not None and not naive.holds(op.guard, [(entity, row)], True):
            raise Refused("precondition_failed")
        now = Naive(self.world, self.actor).find(entity, op.key)
        assert now is not None
        return naive, now

    def _allowed(
        self, naive: Naive, entity: Entity, action: Action, written: Sequence[str], row: Row, *, near: bool = False
    ) -> bool:
        """The rule of the action and those of the fields that are written; `near` is what they say of the row alone."""
        if self.actor.system:
            return True
        parts: dict[str, Field | ToMany] = {**entity.fields, **entity.to_many}
        rules = [entity.rules[action], *(parts[name].write for name in dict.fromkeys(written) if name in parts)]
        if near:
            known = [fold(normal(rule), self.actor.id is not None, self.actor.roles) for rule in rules]
            each = [part for rule in known for part in (rule.parts if isinstance(rule, And) else (rule,))]
            rules = [part for part in each if not looks_beyond(entity, part)]
        return all([naive.holds(rule, [(entity, row)], True) for rule in rules])

    def _after(
        self, entity: Entity, action: Action, written: Sequence[str], row: Row, before: tuple[Naive, Row] | None, *,
        near: bool = False,
    ) -> None:  # fmt: skip
        naive = Moments(self.world, self.actor, before or (Naive(self.world, self.actor), row))
        if not self._allowed(naive, entity, action, written, row, near=near):
            raise Refused("denied")

    # What the database keeps.

    def _insert(self, entity: Entity, row: Row) -> None:
        self._unique(entity, row)
        self._there(entity, row)
        self.world.rows[entity.name].append(row)
        self.versions[row["id"]] = 1

    def _unique(self, entity: Entity, row: Row) -> None:
        for index in entity.indexes:
            if index.kind == "unique" and (pair := pair_of(index, row)) is not None:
                others = (other for other in self.world.rows[entity.name] if other["id"] != row["id"])
                if any(pair_of(index, other) == pair for other in others):
                    raise Refused("not_unique")

    def _there(self, entity: Entity, row: Row) -> None:
        for name, one in entity.fields.items():
            there = one.target is None or row[name] in (None, row["id"])
            if not there and Naive(self.world, self.actor).find(one.target, row[name]) is None:  # type: ignore[arg-type]
                raise Refused("invalid")

    def _members(self, entity: Entity, said: Values, key: str) -> None:
        """Make a many-to-many relation hold these records; what its writer cannot see stays."""
        naive = Naive(self.world, self.actor)
        for name, one in said.items():
            relation = entity.to_many.get(name)
            if relation is None or not relation.as_list:
                continue
            between = relation.through
            assert between is not None
            rows = self.world.rows[between.name]
            held = {row[relation.onward]: row for row in rows if row[relation.via] == key}
            for member, row in held.items():
                found = naive.find(relation.target, member)
                assert found is not None
                if member not in one.value and naive.may_read(relation.target, found):
                    rows.remove(row)
            for member in dict.fromkeys(one.value):
                if member not in held:
                    fresh: Row = dict.fromkeys(between.fields)
                    fresh |= {"id": self._new_id(), "created_at": NOW, "updated_at": NOW}
                    fresh |= {relation.via: key, relation.onward: member}
                    self._insert(between, fresh)


def copied(world: World) -> World:
    """The world with rows of its own."""
    return replace(world, rows={name: [dict(row) for row in rows] for name, rows in world.rows.items()})


def within(one: Field, value: Any) -> bool:
    """Whether a number is in the range of its field."""
    kind = one.kind
    return value is None or ((kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le))
