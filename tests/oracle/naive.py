"""The naive answerer: every question answered row by row from lists of dictionaries.

It knows the declaration and nothing of plans or SQL, is as slow as it likes, and is meant to be obviously right.
Negation is carried as a polarity down to the atoms: an atom with null is false and its negation true, and for the
anonymous an atom that names `me` is false either way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from backstay.model.field import Computed, Entity, Field, ToMany
from backstay.model.folding import fold, search_text, words
from backstay.model.predicate import (
    Always,
    And,
    Arithmetic,
    Choice,
    Compare,
    Condition,
    HasRole,
    IsNull,
    Me,
    Not,
    Now,
    Operand,
    Or,
    Path,
    Quantified,
    Search,
    SignedIn,
    Slot,
    Total,
    Value,
)
from backstay.model.value import Kind, Money
from backstay.plan.actor import Actor
from backstay.plan.ask import Aggregate, Listing, Nested, One, Root, Selection, Sort
from tests.oracle.conditions import NOW
from tests.oracle.world import Row, World

Frames = list[tuple[Entity, Row]]


@dataclass(frozen=True)
class Refused(Exception):
    """The question is refused; any of these codes is right."""

    codes: frozenset[str]


@dataclass
class Answer:
    """What one root answers: values as JSON has them."""

    rows: list[Any]
    total: int | None = None
    more: bool = False


class Naive:
    """Answers for one actor in one world."""

    def __init__(self, world: World, actor: Actor, values: Sequence[Any] = ()) -> None:
        self.world = world
        self.actor = actor
        self.values = values
        self.anonymous = actor.id is None and not actor.system
        self._read: dict[tuple[str, str], bool] = {}

    # Conditions. `dev` is the authority of the declaration, without it names are seen as the actor sees them.

    def holds(self, condition: Condition, frames: Frames, dev: bool, negated: bool = False) -> bool:
        match condition:
            case Always(value):
                return value != negated
            case Not(part):
                return self.holds(part, frames, dev, not negated)
            case And(parts):
                combine = any if negated else all
                return combine([self.holds(part, frames, dev, negated) for part in parts])
            case Or(parts):
                combine = all if negated else any
                return combine([self.holds(part, frames, dev, negated) for part in parts])
            case SignedIn():
                return (self.actor.id is not None) != negated
            case HasRole(role):
                return (self.actor.id is not None) and (role in self.actor.roles) != negated
            case Quantified():
                return self._quantified(condition, frames, dev, negated)
        if self.actor.id is None and mentions_me(condition):
            return False
        return self._atom(condition, frames, dev) != negated

    def _quantified(self, quantified: Quantified, frames: Frames, dev: bool, negated: bool) -> bool:
        opposite = quantified.kind == "every"  # every is: none of the opposite
        none = (quantified.kind != "some") != negated
        if none and self.actor.id is None and mentions_me(quantified.body):
            return False
        for row in self.related(quantified.path, frames, dev):
            if self.holds(quantified.body, [*frames, row], dev, opposite):
                return not none
        return none

    def _atom(self, atom: Condition, frames: Frames, dev: bool) -> bool:
        match atom:
            case IsNull(operand):
                return self.value(operand, frames, dev) is None
            case Search(needle, root):
                return self.matches(frames[root], self.value(needle, frames, dev))
            case Compare(op, left, right):
                return compare(op, self.value(left, frames, dev), self.value(right, frames, dev))
        raise AssertionError(atom)

    def matches(self, frame: tuple[Entity, Row], needle: str) -> bool:
        entity, row = frame
        there = search_text([row[name] for name in entity.search]).split()
        *whole, last = words(needle) or [""]
        if not last:
            return False
        return all(word in there for word in whole) and any(word.startswith(last) for word in there)

    # Operands.

    def value(self, operand: Operand, frames: Frames, dev: bool) -> Any:
        match operand:
            case Path(names, root):
                return self.read(*frames[root], names, dev)
            case Value(value):
                return value
            case Slot(index):
                return self.values[index]
            case Me(names):
                if not names:
                    return self.actor.id
                me = self.find(self.world.schema.user, self.actor.id)
                return self.read(self.world.schema.user, me, names, True) if me is not None else None
            case Now(offset):
                return NOW + offset
            case Choice(when, then, otherwise):
                return self.value(then if self.holds(when, frames, dev) else otherwise, frames, dev)
            case Arithmetic(op, args):
                return calculate(op, [self.value(arg, frames, dev) for arg in args])
            case Total(fn, path, of, where):
                rows = [row for row in self.related(path, frames, dev) if self.holds(where, [*frames, row], dev)]
                if of is None:
                    return len(rows)
                assert isinstance(of, Path)
                found = [self.value(of, [*frames, row], dev) for row in rows]
                target = self._target([entity for entity, _ in frames], path)
                return measure(
                    fn, [value for value in found if value is not None], nothing(self.kind(target, of.names))
                )
        raise AssertionError(operand)

    def read(self, entity: Entity, row: Row, names: tuple[str, ...], dev: bool) -> Any:
        """The value at the end of a path, or None where there is none or it may not be seen."""
        if not names:
            return row["id"]
        part = part_of(entity, names[0])
        if not dev and not self.sees(part, entity, row):
            return None
        if isinstance(part, Computed):
            return self.compute(part, entity, row)
        assert isinstance(part, Field)
        value = row[part.name]
        if len(names) == 1 or value is None:
            return value
        if part.target is not None:
            if names[1:] == ("id",):  # the relation holds it: its record need not be seen
                return value
            target = self.find(part.target, value)
            if target is None or (not dev and not self.may_read(part.target, target)):
                return None
            return self.read(part.target, target, names[1:], dev)
        if isinstance(value, Money):
            return value.amount if names[1] == "amount" else value.currency
        return value.isoformat()[: {"day": 10, "month": 7, "year": 4}[names[1]]]

    def compute(self, part: Computed, entity: Entity, row: Row) -> Any:
        if isinstance(part.value, (Path, Value, Me, Now, Arithmetic, Total, Choice)):
            return self.value(part.value, [(entity, row)], True)
        assert not isinstance(part.value, Slot)
        return self.holds(part.value, [(entity, row)], True)

    # Rows.

    def find(self, entity: Entity, key: Any) -> Row | None:
        return next((row for row in self.world.rows[entity.name] if row["id"] == key), None)

    def may_read(self, entity: Entity, row: Row) -> bool:
        key = (entity.name, row["id"])
        if key not in self._read:
            self._read[key] = self.actor.system or self.holds(entity.rules["read"], [(entity, row)], True)
        return self._read[key]

    def sees(self, part: Field | Computed | ToMany, entity: Entity, row: Row) -> bool:
        return self.actor.system or self.holds(part.read, [(entity, row)], True)

    def related(self, path: Path, frames: Frames, dev: bool) -> Frames:
        entity, row = frames[path.root]
        for step in path.names[:-1]:
            key = self.read(entity, row, (step,), dev)
            field = entity.fields[step]
            assert field.target is not None
            found = self.find(field.target, key)
            if found is None or (not dev and not self.may_read(field.target, found)):
                return []
            entity, row = field.target, found
        return self.children(entity.to_many[path.names[-1]], entity, row, dev)

    def children(self, many: ToMany, entity: Entity, row: Row, dev: bool) -> Frames:
        """The records of a to-many relation of one record."""
        if not dev and not self.sees(many, entity, row):
            return []
        found: list[Row] = []
        between = many.through or many.target
        for child in self.world.rows[between.name]:
            if child[many.via] != row["id"] or not (dev or self.may_read(between, child)):
                continue
            target = child if many.through is None else self.find(many.target, child[many.onward])
            if target is not None and (dev or self.may_read(many.target, target)):
                found.append(target)
        return [(many.target, one) for one in found]

    # What an actor can know of at all.

    def possible(self, condition: Condition, negated: bool = False) -> bool | None:
        """Whether a condition holds for this actor whatever the rows are; None where it depends on them."""
        match condition:
            case Always(value):
                return value != negated
            case Not(part):
                return self.possible(part, not negated)
            case And(parts) | Or(parts):
                known = [self.possible(part, negated) for part in parts]
                decisive = isinstance(condition, Or) != negated
                if decisive in known:
                    return decisive
                return None if None in known else not decisive
            case SignedIn() | HasRole():
                return self.holds(condition, [], True, negated)
            case Quantified(kind, _, body):
                none = (kind != "some") != negated
                if self.actor.id is None and none and mentions_me(body):
                    return False
                return none if self.possible(body, kind == "every") is False else None
        return False if self.actor.id is None and mentions_me(condition) else None

    def hidden(self, part: Field | Computed | ToMany) -> bool:
        if isinstance(part, Field) and part.write_only:
            return True
        return not self.actor.system and self.possible(part.read) is False

    def names(self, entity: Entity) -> list[str]:
        """The names that exist for this actor."""
        parts = (*entity.fields.values(), *entity.computed.values(), *entity.to_many.values())
        return [part.name for part in parts if not self.hidden(part)]

    def closed(self, entity: Entity) -> bool:
        return not self.actor.system and self.possible(entity.rules["read"]) is False

    # Questions.

    def answer(self, root: Root) -> Answer:
        """The answer, or `Refused`."""
        codes: set[str] = set()
        self._check(root, codes)
        if codes:
            raise Refused(frozenset(codes))
        entity = self.world.schema.entities[root.model]
        match root:
            case One():
                rows = [row for row in self._rows(root, entity) if row["id"] == self.values[root.key.index]]
                return Answer([self.render(root.selection, entity, row) for row in rows])
            case Listing():
                return self._listing(root, entity)
            case Aggregate():
                return self._aggregate(root, entity)

    def _rows(self, root: Root, entity: Entity) -> list[Row]:
        found = []
        for row in self.world.rows[entity.name]:
            if not self.may_read(entity, row) or not self.holds(root.where, [(entity, row)], False):
                continue
            search = None if isinstance(root, One) else root.search
            if search is None or self.matches((entity, row), self.values[search.index]):
                found.append(row)
        return found

    def _listing(self, root: Listing, entity: Entity) -> Answer:
        rows = self._rows(root, entity)
        total = None if root.count == "none" else len(rows)
        if root.search is not None and not root.sort:
            needle = words(self.values[root.search.index])
            rows.sort(key=lambda row: row["id"])
            rows.sort(key=lambda row: rank(needle, search_text([row[name] for name in entity.search])))
        else:
            self.sort(rows, root.sort, entity)
        if root.backwards:
            rows.reverse()
        offset = self.values[root.offset.index] if root.offset is not None else 0
        limit = self.values[root.limit.index] if root.limit is not None else 30
        page = rows[offset : offset + limit]
        if root.backwards:
            page.reverse()
        more = len(rows) > offset + limit
        return Answer([self.render(root.selection, entity, row) for row in page], total, more)

    def sort(self, rows: list[Row], sort: Sequence[Sort], entity: Entity) -> None:
        """By the keys, nulls last ascending and first descending, and by id in the direction of the last key."""
        keys = [*sort]
        if ("id",) not in [key.path for key in keys]:
            keys.append(Sort(("id",), keys[-1].descending if keys else False))
        for key in reversed(keys):

            def by(row: Row, path: tuple[str, ...] = key.path) -> Any:
                return ordered(self.read(entity, row, path, False))

            rows.sort(key=by, reverse=key.descending)

    def render(self, selection: Selection, entity: Entity, row: Row) -> dict[str, Any]:
        """A record as JSON has it."""
        named = selection.fields
        if selection.everything:
            named = tuple((name, name) for name in self.names(entity) if name not in entity.to_many)
        made: dict[str, Any] = {}
        for alias, name in named:
            part = part_of(entity, name)
            assert not isinstance(part, ToMany)
            made[alias] = json_of(part.kind, self.read(entity, row, (name,), False))
        for nested in selection.nested:
            made[nested.alias] = self._nested(nested, entity, row)
        return made

    def _nested(self, nested: Nested, entity: Entity, row: Row) -> Any:
        part = part_of(entity, nested.relation)
        if isinstance(part, Field):
            assert part.target is not None
            target = self.find(part.target, self.read(entity, row, (part.name,), False))
            if target is None or not self.may_read(part.target, target):
                return None
            return self.render(nested.selection, part.target, target)
        assert isinstance(part, ToMany)
        rows = [
            child for _, child in self.children(part, entity, row, False)
            if self.holds(nested.where, [(part.target, child)], False)
        ]  # fmt: skip
        self.sort(rows, nested.sort, part.target)
        offset = self.values[nested.offset.index] if nested.offset is not None else 0
        limit = self.values[nested.limit.index] if nested.limit is not None else 100
        return [self.render(nested.selection, part.target, child) for child in rows[offset : offset + limit]]

    def _aggregate(self, root: Aggregate, entity: Entity) -> Answer:
        groups: dict[Any, list[Row]] = {} if root.group_by else {(): []}
        for row in self._rows(root, entity):
            key = tuple(self.read(entity, row, path, False) for path in root.group_by)
            groups.setdefault(key, []).append(row)
        made = []
        for key, rows in groups.items():
            numbers = []
            for each in root.measures:
                values = [self.read(entity, row, each.path, False) for row in rows] if each.path else rows
                values = [value for value in values if value is not None]
                if each.path and self.kind(entity, each.path).name == "money" and values:
                    values = values if self.kind(entity, each.path).currency else [value.amount for value in values]
                empty = nothing(self.kind(entity, each.path)) if each.path else 0
                numbers.append(measure(each.fn, values, empty))
            made.append((key, tuple(numbers)))
        labels = [*root.group_by, *(tuple(each.alias.split(".")) for each in root.measures)]
        order = [(labels.index(key.path), key.descending) for key in root.sort]
        order += [(i, False) for i in range(len(root.group_by)) if i not in [position for position, _ in order]]
        for position, descending in reversed(order):

            def by(one: tuple[Any, Any], position: int = position) -> Any:
                return ordered((*one[0], *one[1])[position])

            made.sort(key=by, reverse=descending)
        offset = self.values[root.offset.index] if root.offset is not None else 0
        limit = self.values[root.limit.index] if root.limit is not None else 200
        answers = []
        for key, found in made[offset : offset + limit]:
            answer: dict[str, Any] = {}
            for path, value in zip(root.group_by, key, strict=True):
                plant(answer, path, json_of(self.kind(entity, path), value))
            for each, value in zip(root.measures, found, strict=True):
                kind = self.kind(entity, each.path) if each.path else Kind("integer")
                if each.fn in ("count", "count_distinct") or (kind.name == "money" and not kind.currency):
                    kind = Kind("integer")
                kind = Kind("float") if each.fn == "avg" else kind
                plant(answer, tuple(each.alias.split(".")), json_of(kind, value))
            answers.append(answer)
        return Answer(answers)

    def _target(self, entities: list[Entity], path: Path) -> Entity:
        entity = entities[path.root]
        for name in path.names:
            target = getattr(part_of(entity, name), "target", None)
            assert target is not None
            entity = target
        return entity

    def kind(self, entity: Entity, path: tuple[str, ...]) -> Kind:
        part = part_of(entity, path[0])
        if isinstance(part, Field) and part.target is not None and len(path) > 1:
            return self.kind(part.target, path[1:])
        if len(path) > 1:
            return Kind("integer") if path[1] == "amount" else Kind("text")
        assert not isinstance(part, ToMany)
        return part.kind

    # Names that do not exist for this actor, and models that are closed to it.

    def _check(self, root: Root, codes: set[str]) -> None:
        entity = self.world.schema.entities[root.model]
        self._closed(entity, codes)
        self._condition(root.where, [entity], codes)
        if isinstance(root, Aggregate):
            for path in (*root.group_by, *(each.path for each in root.measures if each.path)):
                self._path(path, entity, codes)
            return
        if isinstance(root, Listing):
            for key in root.sort:
                self._path(key.path, entity, codes)
        self._selection(root.selection, entity, codes)

    def _closed(self, entity: Entity, codes: set[str]) -> None:
        if self.closed(entity):
            codes.add("not_signed_in" if self.anonymous else "denied")

    def _selection(self, selection: Selection, entity: Entity, codes: set[str]) -> None:
        for _, name in selection.fields:
            self._path((name,), entity, codes)
        for nested in selection.nested:
            if nested.relation not in self.names(entity):
                codes.add("unknown_field")
                continue
            part = part_of(entity, nested.relation)
            assert not isinstance(part, Computed)
            assert part.target is not None
            self._closed(part.target, codes)
            self._condition(nested.where, [part.target], codes)
            for key in nested.sort:
                self._path(key.path, part.target, codes)
            self._selection(nested.selection, part.target, codes)

    def _condition(self, condition: Condition, entities: list[Entity], codes: set[str]) -> None:
        match condition:
            case And(parts) | Or(parts):
                for part in parts:
                    self._condition(part, entities, codes)
            case Not(part):
                self._condition(part, entities, codes)
            case Compare(_, left, right):
                self._operand(left, entities, codes)
                self._operand(right, entities, codes)
            case IsNull(operand):
                self._operand(operand, entities, codes)
            case Quantified(_, path, body):
                if (target := self._to_many(path, entities, codes)) is not None:
                    self._condition(body, [*entities, target], codes)

    def _operand(self, operand: Operand, entities: list[Entity], codes: set[str]) -> None:
        match operand:
            case Path(names, root):
                self._path(names, entities[root], codes)
            case Arithmetic(_, args):
                for arg in args:
                    self._operand(arg, entities, codes)
            case Choice(when, then, otherwise):
                self._condition(when, entities, codes)
                self._operand(then, entities, codes)
                self._operand(otherwise, entities, codes)
            case Total(_, path, of, where):
                if (target := self._to_many(path, entities, codes)) is not None:
                    self._condition(where, [*entities, target], codes)
                    if of is not None:
                        self._operand(of, [*entities, target], codes)

    def _to_many(self, path: Path, entities: list[Entity], codes: set[str]) -> Entity | None:
        entity = entities[path.root]
        for name in path.names:
            if name not in self.names(entity):
                codes.add("unknown_field")
                return None
            entity = self._target([entity], Path((name,)))
        return entity

    def _path(self, names: tuple[str, ...], entity: Entity, codes: set[str]) -> None:
        if not names:
            return
        if names[0] not in self.names(entity):
            codes.add("unknown_field")
            return
        part = part_of(entity, names[0])
        if isinstance(part, Field) and part.target is not None:
            self._path(names[1:], part.target, codes)


# Values.


def part_of(entity: Entity, name: str) -> Field | Computed | ToMany:
    return {**entity.fields, **entity.computed, **entity.to_many}[name]


def mentions_me(node: Any) -> bool:
    """Whether `me` stands anywhere in a condition or operand."""
    if isinstance(node, (Me, HasRole, SignedIn)):
        return True
    if isinstance(node, tuple):
        return any(mentions_me(part) for part in node)
    inside = getattr(node, "__dataclass_fields__", {}) if not isinstance(node, (Value, Path, Slot)) else {}
    return any(mentions_me(getattr(node, name)) for name in inside)


def compare(op: str, left: Any, right: Any) -> bool:
    """One comparison of canonical values; with null it is false."""
    if left is None or right is None:
        return False
    if op == "in":
        return any(compare("eq", left, one) for one in right)
    if op == "contains":
        return right in left
    if op == "icontains":
        return fold(right) in fold(left)
    if op == "starts_with":
        return bool(left.startswith(right))
    if isinstance(left, Money) and isinstance(right, Money) and left.currency != right.currency:
        return False
    left, right = (one.amount if isinstance(one, Money) else one for one in (left, right))
    tests: dict[str, Callable[[], bool]] = {
        "eq": lambda: left == right, "lt": lambda: left < right, "lte": lambda: left <= right,
        "gt": lambda: left > right, "gte": lambda: left >= right,
    }  # fmt: skip
    return tests[op]()


def calculate(op: str, values: list[Any]) -> Any:
    """Arithmetic; null where anything is, except for coalesce."""
    if op == "coalesce":
        return next((value for value in values if value is not None), None)
    if any(value is None for value in values):
        return None
    money = next((value.currency for value in values if isinstance(value, Money)), None)
    numbers = [value.amount if isinstance(value, Money) else value for value in values]
    result = numbers[0]
    for number in numbers[1:]:
        result = result - number if op == "subtract" else result * number if op == "multiply" else result + number
    return result if money is None else Money(result, money)


def measure(fn: str, values: list[Any], empty: Any = 0) -> Any:
    """A number about values without nulls."""
    if fn == "count":
        return len(values)
    if fn == "count_distinct":
        return len(set(values))
    if not values:
        return empty if fn == "sum" else None
    if fn in ("min", "max"):
        return (min if fn == "min" else max)(values)
    total = values[0]
    for value in values[1:]:
        total = total + value
    if fn == "sum":
        return total
    if isinstance(total, timedelta):
        total = total // timedelta(microseconds=1)
    return float(total.amount if isinstance(total, Money) else total) / len(values)


def nothing(kind: Kind) -> Any:
    """The sum of no values."""
    if kind.name == "money" and kind.currency:
        return Money(0, kind.currency)
    zeros = {"decimal": Decimal(0), "float": 0.0, "duration": timedelta()}
    return zeros.get(kind.name, 0)


def rank(needle: list[str], text: str) -> int:
    """The summed places of the words in a record's search text, counted from one."""
    return sum(text.find(f" {word}") + 1 for word in needle)


def ordered(value: Any) -> tuple[bool, Any]:
    """A key for sorting: nulls behind everything."""
    if value is None:
        return True, 0
    return False, value.amount if isinstance(value, Money) else value


def plant(answer: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        answer = answer.setdefault(name, {})
    answer[path[-1]] = value


def json_of(kind: Kind, value: Any) -> Any:
    """A canonical value as it stands in parsed JSON."""
    if value is None:
        return None
    match kind.name:
        case "decimal":
            return f"{value + 0:.{kind.scale}f}"  # no negative zero
        case "big_integer":
            return str(value)
        case "float":
            return float(value)
        case "money":
            return {"amount": value.amount, "currency": value.currency}
        case "list":
            return [json_of(kind.item, entry) for entry in value] if kind.item is not None else value
        case "duration":
            microseconds = abs(value) // timedelta(microseconds=1)
            whole, rest = divmod(microseconds, 1_000_000)
            sign = "-" if value < timedelta() else ""
            return f"{sign}PT{whole}{f'.{rest:06}' if rest else ''}S"
    if isinstance(value, datetime):
        return f"{value.year:04}-{value:%m-%dT%H:%M:%S.%f}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat("microseconds")
    return value


__all__ = ["Answer", "Naive", "Refused"]
