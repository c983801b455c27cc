"""Random conditions and operands over a schema, for rules and for questions alike.

They are made so that they mean something: names lead somewhere and both sides of a comparison are of one kind.
`names_of` says which names may be used, so that a question can keep to what its actor sees.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from backstay.model.field import Computed, Entity, Field, ToMany
from backstay.model.predicate import (
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
    Path,
    Quantified,
    Search,
    SignedIn,
    Total,
    Value,
    both,
    either,
)
from backstay.model.value import INTEGER, KEY, TEXT, Kind, Money, calculated

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ROLES = ("staff", "editor")

TEXTS = (
    "", "a", "A", "b", "Ä", "ä", "ß", "ss", "İ", "i", "😀", "a😀b", "50%", "5", "a_b", "O'Neil", 'say "hi"', "tea",
    "Tea time", "green tea", "Ährentee Café", "back\\slash", "a,b", "zebra", "e\u0301", "é", "tab\tline\n", "ﬁx", "Ⅷ",
)  # fmt: skip
NEEDLES = ("tea", "TEA t", "t", "ähr", "cafe ahrentee", "green te", "a", "ss", "i", "", "%", "_", "hi say", "zz", "5")
POOLS: dict[str, tuple[Any, ...]] = {
    "text": TEXTS,
    "integer": (0, 1, 2, 3, -1, 7, 1000, 2**53 - 1),
    "big_integer": (0, 1, -5, 2**53 + 1, 2**56),
    "float": (0.0, 0.5, 1.5, -2.25, 1000.125, 3.0),
    "boolean": (True, False),
    "date": (date(2026, 11, 22), date(2026, 11, 1), date(2025, 12, 31), date(999, 1, 1), date.max, date.min),
    "time": (time(0), time(9, 30), time(23, 59, 59, 999999), time(9, 30, 0, 1)),
    "datetime": (
        NOW, NOW - timedelta(days=1), NOW + timedelta(microseconds=1), datetime(2026, 11, 1, tzinfo=UTC),
        datetime(987, 6, 5, 4, 3, 2, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC), datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ),
    "duration": (
        timedelta(), timedelta(seconds=1), timedelta(hours=1, microseconds=1), -timedelta(seconds=90),
        timedelta(milliseconds=1500), -timedelta(microseconds=1),
    ),
    "uuid": ("01890a5d-ac96-774b-bcce-b302099a8057", "ffffffff-0000-4000-8000-000000000000"),
}  # fmt: skip


def value_of(rng: Random, kind: Kind) -> Any:
    """A canonical value of a kind, one of few, so that values meet."""
    match kind.name:
        case "decimal":
            unit = Decimal(1).scaleb(-kind.scale)
            return rng.choice((0, 1, -1, 250, 5, 12345, 100, -999)) * unit
        case "enum":
            return rng.choice(kind.choices)
        case "money":
            code = kind.currency or rng.choice(("EUR", "USD"))
            return Money(rng.choice((0, 1, 100, 250, -5, 99999)), code)
        case "list":
            assert kind.item is not None
            return [value_of(rng, kind.item) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        case "integer" if kind.ge is not None and kind.le is not None:
            return rng.choice((kind.ge, kind.ge + 1, kind.le))
        case "json":
            return rng.choice(({"a": [1, None, "ä"]}, [], "text", 1, True, {"q": 'x"y'}))
        case _:
            return rng.choice(POOLS[kind.name])


Names = Callable[[Entity], list[str]]


def every_name(entity: Entity) -> list[str]:
    """All names, as rules may use them."""
    secret = {name for name, field in entity.fields.items() if field.write_only}
    return [name for name in entity.names if name not in secret]


@dataclass
class Conditions:
    """Makes conditions that may name `me`, may `search`, and may be `tangled`: with calculations in them."""

    rng: Random
    user: Entity
    names_of: Names = every_name
    me: bool = True
    search: bool = False
    tangled: bool = True

    def condition(self, frames: list[Entity], depth: int = 2) -> Condition:
        """A condition of at most `depth` levels."""
        rng = self.rng
        roll = rng.random()
        if depth > 0 and roll < 0.4:
            parts = [self.condition(frames, depth - 1) for _ in range(rng.choice((2, 2, 3)))]
            return both(*parts) if rng.random() < 0.5 else either(*parts)
        if depth > 0 and roll < 0.55:
            return Not(self.condition(frames, depth - 1))
        return self.atom(frames, depth)

    def atom(self, frames: list[Entity], depth: int) -> Condition:
        """One atom; quantifiers have a condition inside."""
        rng = self.rng
        if self.me and rng.random() < 0.3:
            return self._about_me(frames)
        if depth > 0 and rng.random() < 0.3 and (many := self._many(frames)) is not None:
            path, target = many
            return Quantified(rng.choice(("some", "none", "every")), path, self.condition([*frames, target], depth - 1))
        root = rng.randrange(len(frames))
        if self.search and frames[root].search and rng.random() < 0.08:
            return Search(Value(rng.choice(NEEDLES)), root)
        operand, kind = self.operand(frames, depth)
        if rng.random() < 0.12:
            return IsNull(operand)
        return self._comparison(operand, kind, frames)

    def _about_me(self, frames: list[Entity]) -> Condition:
        rng = self.rng
        roll = rng.random()
        if roll < 0.2:
            return HasRole(rng.choice(ROLES))
        if roll < 0.3:
            return SignedIn()
        if roll < 0.4:
            return Compare("eq", Me(("email",)), Value(f"p{rng.randrange(4)}@example.com"))
        if roll < 0.5:
            return Compare("contains", Me(("roles",)), Value(rng.choice(ROLES)))
        candidates = [
            path for path, kind, field in self._paths(frames, 2)
            if kind.name == "uuid" and isinstance(field, Field) and field.target is self.user
        ]  # fmt: skip
        candidates += [Path((), root) for root, entity in enumerate(frames) if entity is self.user]
        if not candidates:
            return HasRole(rng.choice(ROLES))
        return Compare("eq", rng.choice(candidates), Me())

    def _comparison(self, operand: Operand, kind: Kind, frames: list[Entity]) -> Condition:
        rng = self.rng
        stored = isinstance(operand, Path)
        if kind.name == "list":
            assert kind.item is not None
            return Compare("contains", operand, Value(value_of(rng, kind.item)))
        operators = ["eq", "eq", "in"]
        if kind.name != "boolean":
            operators += ["lt", "lte", "gt", "gte"]
        open_money = kind.name == "money" and not kind.currency
        if open_money:
            operators.remove("in")
        if kind.name == "text":
            operators += ["contains", "starts_with", "contains"]
            if stored and self._folds(operand, frames):
                operators += ["icontains", "icontains"]
        op: Any = rng.choice(operators)
        if op == "in":
            return Compare(op, operand, Value([self._constant(kind) for _ in range(rng.choice((0, 1, 2, 3)))]))
        if stored and rng.random() < 0.15:
            others = [path for path, other, _ in self._paths(frames, 2) if _comparable(kind, other)]
            if others and op in ("eq", "lt", "lte", "gt", "gte"):
                return Compare(op, operand, rng.choice(others))
        if kind.name == "datetime" and rng.random() < 0.3 and op != "in":
            return Compare(op, operand, Now(timedelta(days=rng.choice((0, -1, 1)))))
        constant = Value(self._constant(kind))
        if stored and op in ("eq", "lt", "gt") and not open_money and rng.random() < 0.05:
            return Compare(op, constant, operand)
        return Compare(op, operand, constant)

    def _constant(self, kind: Kind) -> Any:
        value = value_of(self.rng, kind)
        fixed = isinstance(value, Money) and kind.currency and self.rng.random() < 0.5
        return value.amount if fixed and isinstance(value, Money) else value

    def _folds(self, operand: Operand, frames: list[Entity]) -> bool:
        """Whether a path ends at a stored text."""
        assert isinstance(operand, Path)
        entity = frames[operand.root]
        for name in operand.names:
            field = entity.fields.get(name)
            if field is None:
                return False
            if field.target is None:
                return operand.names[-1] == name and field.kind.textual
            entity = field.target
        return False

    # Operands.

    def operand(self, frames: list[Entity], depth: int) -> tuple[Operand, Kind]:
        """An operand and its kind; mostly a path."""
        rng = self.rng
        if self.tangled and rng.random() < 0.2:
            made = rng.choice((self._arithmetic, self._total, self._choice))(frames, depth)
            if made is not None:
                return made
        paths = [(path, kind) for path, kind, _ in self._paths(frames, 3) if kind.name != "json"]
        return rng.choice(paths or [(Path(("id",)), KEY)])

    def _paths(self, frames: list[Entity], hops: int) -> list[tuple[Path, Kind, Field | Computed]]:
        """One random way from each record in sight to a value, several times."""
        found = []
        for root, entity in enumerate(frames):
            for _ in range(4):
                names, kind, field = self._way(entity, hops)
                found.append((Path(names, root), kind, field))
        return found

    def _way(self, entity: Entity, hops: int) -> tuple[tuple[str, ...], Kind, Field | Computed]:
        rng = self.rng
        name = rng.choice([name for name in self.names_of(entity) if name not in entity.to_many] or ["id"])
        if (computed := entity.computed.get(name)) is not None:
            return (name,), computed.kind, computed
        field = entity.fields[name]
        if field.target is not None and hops > 0 and rng.random() < 0.6:
            names, kind, last = self._way(field.target, hops - 1)
            return (name, *names), kind, last
        if field.kind.name == "money" and rng.random() < 0.4:
            part = rng.choice(("amount", "currency"))
            return (name, part), INTEGER if part == "amount" else TEXT, field
        if field.kind.name in ("datetime", "date") and rng.random() < 0.25:
            return (name, rng.choice(("day", "month", "year"))), TEXT, Computed("", TEXT, True, Value(""))
        return (name,), field.kind, field

    def _many(self, frames: list[Entity]) -> tuple[Path, Entity] | None:
        """A to-many relation of a record in sight, or of the one record it refers to."""
        rng = self.rng
        found = []
        for root, entity in enumerate(frames):
            usable = self.names_of(entity)
            found += [(Path((name,), root), many.target) for name, many in entity.to_many.items() if name in usable]
            for step, field in entity.fields.items():
                if field.target is not None and step in usable:
                    onward = self.names_of(field.target)
                    found += [
                        (Path((step, name), root), many.target)
                        for name, many in field.target.to_many.items() if name in onward
                    ]  # fmt: skip
        return rng.choice(found) if found else None

    def _number(self, frames: list[Entity], kind: Kind | None = None) -> tuple[Path, Kind] | None:
        found = [
            (path, found) for path, found, _ in self._paths(frames, 1)
            if (found.name in ("integer", "decimal", "float", "duration") or (found.name == "money" and found.currency))
            and (kind is None or (found.name, found.scale, found.currency) == (kind.name, kind.scale, kind.currency))
        ]  # fmt: skip
        return self.rng.choice(found) if found else None

    def _beside(self, frames: list[Entity], kind: Kind) -> tuple[Path, Kind] | None:
        """Another number that can be calculated with one of this kind."""
        other = self._number(frames)
        return other if other is not None and calculated("add", [kind, other[1]]) is not None else None

    def _arithmetic(self, frames: list[Entity], depth: int) -> tuple[Operand, Kind] | None:
        rng = self.rng
        if rng.random() < 0.3:
            texts = [path for path, kind, _ in self._paths(frames, 1) if kind.name == "text"]
            if not texts:
                return None
            return Arithmetic("concat", (rng.choice(texts), Value(rng.choice(("-", "ä", ""))), rng.choice(texts))), TEXT
        if (first := self._number(frames)) is None:
            return None
        path, kind = first
        if kind.name == "integer" and rng.random() < 0.2 and depth > 0:
            inner = self._arithmetic(frames, depth - 1)
            if inner is not None and inner[1].name == "integer":
                return Arithmetic("add", (path, inner[0])), Kind("integer")
        if rng.random() < 0.3:
            return Arithmetic("coalesce", (path, Value(value_of(rng, kind)))), kind
        wide = Kind(kind.name, scale=kind.scale, precision=18, currency=kind.currency)
        if rng.random() < 0.3 and kind.name in ("decimal", "money", "integer"):
            return Arithmetic("multiply", (path, Value(rng.choice((0, 2, -1))))), wide
        op: Any = rng.choice(("add", "subtract"))
        other = self._beside(frames, kind)
        right: Operand = other[0] if other is not None and rng.random() < 0.5 else Value(value_of(rng, kind))
        if other is not None and right == other[0]:
            wide = calculated(op, [kind, other[1]]) or wide
        return Arithmetic(op, (path, right)), wide

    def _total(self, frames: list[Entity], depth: int) -> tuple[Operand, Kind] | None:
        rng = self.rng
        if depth <= 0 or (many := self._many(frames)) is None:
            return None
        path, target = many
        inner = [*frames, target]
        where = self.condition(inner, 0) if rng.random() < 0.5 else both()
        if rng.random() < 0.5:
            return Total("count", path, None, where), INTEGER
        values = [
            (Path(way, len(frames)), kind) for way, kind, _ in (self._way(target, 1) for _ in range(6))
            if kind.name in ("integer", "decimal", "float", "duration") or (kind.name == "money" and kind.currency)
        ]  # fmt: skip
        if not values:
            return Total("count", path, None, where), INTEGER
        value, kind = rng.choice(values)
        fn: Any = rng.choice(("sum", "min", "max"))
        return Total(fn, path, value, where), Kind(kind.name, scale=kind.scale, precision=18, currency=kind.currency)

    def _choice(self, frames: list[Entity], depth: int) -> tuple[Operand, Kind] | None:
        rng = self.rng
        found = [
            (path, kind) for path, kind, _ in self._paths(frames, 1)
            if kind.name in ("text", "integer", "decimal", "datetime", "boolean")
        ]  # fmt: skip
        if not found or depth <= 0:
            return None
        path, kind = rng.choice(found)
        then: Operand = path
        otherwise: Operand = Value(value_of(rng, kind))
        if rng.random() < 0.5:
            then, otherwise = otherwise, then
        return Choice(self.condition(frames, 0), then, otherwise), kind

    def computed(self, entity: Entity) -> tuple[Operand | Condition, Kind | None] | None:
        """The value of a computed field, and its kind unless it is a condition."""
        if self.rng.random() < 0.3:
            return self.condition([entity], 1), None
        made = self.rng.choice((self._arithmetic, self._total, self._choice))([entity], 1)
        return made


def _comparable(kind: Kind, other: Kind) -> bool:
    numbers = ("integer", "float", "big_integer")
    if kind.name in numbers or kind == KEY:
        return other.name in numbers if kind.name in numbers else other.name == "uuid"
    if kind.name == other.name == "enum":
        return type(kind.choices[0]) is type(other.choices[0])
    return kind.name == other.name and kind.name not in ("list", "json")


def is_relation(part: Field | Computed | ToMany) -> bool:
    """Whether a part leads to records."""
    return isinstance(part, ToMany) or (isinstance(part, Field) and part.target is not None)
