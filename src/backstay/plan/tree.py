"""What was allowed: plans, made of resolved parts only. Every name is a column, every value a numbered parameter.

Invariant: these types are built by the planner alone (a test reads the source to see to it), so holding a
`ReadPlan` or a `WritePlan` is the proof that rules, visibility and limits are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from backstay.model.field import Action, Entity, Field, ToMany
from backstay.model.predicate import Condition
from backstay.model.value import BOOLEAN, INTEGER, KEY, TEXT, Kind

# Expressions.


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the statement, by its position; `many` means one array. What is kept from before may be null."""

    index: int
    kind: Kind
    many: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table instance with the number `scope`."""

    scope: int
    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True, slots=True)
class Lookup:
    """A value of the one record whose id is `key`; null where there is none, or none that may be seen."""

    entity: Entity
    scope: int
    key: Expr
    where: Predicate
    value: Expr


@dataclass(frozen=True, slots=True)
class Guarded:
    """A value where the predicate holds, else null."""

    when: Predicate
    value: Expr


@dataclass(frozen=True, slots=True)
class Case:
    """One of two values."""

    when: Predicate
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Calc:
    """Arithmetic on values of one kind."""

    op: str
    args: tuple[Expr, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class TotalOf:
    """A number over the rows of a source."""

    fn: str
    source: Source
    value: Expr | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Truth:
    """A predicate as a boolean value, never null."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class DatePart:
    """The day, month or year of an instant or date, as text."""

    of: Expr
    part: Literal["day", "month", "year"]


@dataclass(frozen=True, slots=True)
class Rank:
    """How late a search's words stand in the record, summed up: the least is the best. Knows no other record."""

    scope: int
    needle: Param


Expr: TypeAlias = Param | Column | Lookup | Guarded | Case | Calc | TotalOf | Truth | DatePart | Rank


def kind_of(expr: Expr) -> Kind:
    """The kind of an expression's value."""
    match expr:
        case Param(_, kind, _, _) | Column(_, _, kind, _) | Calc(_, _, kind) | TotalOf(_, _, _, kind):
            return kind
        case Lookup(value=value) | Guarded(_, value):
            return kind_of(value)
        case Case(_, then, otherwise):
            return kind_of(otherwise if isinstance(then, Param) else then)
        case Truth():
            return BOOLEAN
        case DatePart():
            return TEXT
        case Rank():
            return INTEGER


def nullable(expr: Expr) -> bool:
    """Whether an expression can be null; values from outside never are, null has conditions of its own."""
    match expr:
        case Truth() | Rank():
            return False
        case Column(nullable=answer) | Param(nullable=answer):
            return answer
        case Calc("coalesce", args):
            return all(nullable(arg) for arg in args)
        case Calc(_, args):
            return any(nullable(arg) for arg in args)
        case Case(_, then, otherwise):
            return nullable(then) or nullable(otherwise)
        case TotalOf(fn):
            return fn not in ("count", "sum")
        case DatePart(of):
            return nullable(of)
        case _:
            return True


# Predicates. Negation stands on atoms only; each atom is compiled two-valued.


@dataclass(frozen=True, slots=True)
class Constant:
    """Always or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison: `eq lt lte gt gte in contains icontains starts_with has` (a list has an entry)."""

    op: str
    left: Expr
    right: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Null:
    """Whether an expression is null."""

    of: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """Whether the key is the id of a row of the source. An index on the key can serve it."""

    key: Expr
    source: Source
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the source has a row."""

    source: Source
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Matches:
    """Whether the record's search text has all words of the needle."""

    entity: Entity
    scope: int
    needle: Param
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """Whether the row comes after these values in an order of one direction without nulls: a row comparison."""

    keys: tuple[Expr, ...]
    values: tuple[Param, ...]
    descending: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """At least one part holds."""

    parts: tuple[Predicate, ...]


Predicate: TypeAlias = Constant | Test | Null | Within | Exists | Matches | Behind | All | Any_

TRUE, FALSE = Constant(True), Constant(False)


def looks_beyond(node: Any) -> bool:
    """Whether the answer of a predicate or an expression depends on any other row than its own."""
    if isinstance(node, (Lookup, Within, Exists, TotalOf)):
        return True
    if isinstance(node, tuple):
        return any(looks_beyond(part) for part in node)
    names = () if isinstance(node, (Column, Param, Matches, Rank)) else getattr(node, "__dataclass_fields__", ())
    return any(looks_beyond(getattr(node, name)) for name in names)


# Rows.


@dataclass(frozen=True, slots=True)
class Link:
    """How rows belong to the row around them: `column` of this table equals an expression outside."""

    column: str
    outer: Expr
    kind: Kind = KEY


@dataclass(frozen=True, slots=True)
class Through:
    """The joining table of a many-to-many relation: its rows link outwards, and `onward` names the target's id."""

    entity: Entity
    scope: int
    link: Link
    onward: str
    where: Predicate


@dataclass(frozen=True, slots=True)
class Source:
    """A table instance with its predicate: the rules of its entity are in `where` already."""

    entity: Entity
    scope: int
    where: Predicate
    link: Link | None = None
    through: Through | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """The one related record of each row, or nothing."""

    entity: Entity
    scope: int
    key: Expr
    where: Predicate


@dataclass(frozen=True, slots=True)
class Order:
    """One key of an order. Nulls come last ascending and first descending."""

    by: Expr
    descending: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an encrypted value is bound to: its label, and the id of its record."""

    label: str
    key: Column


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value in the answer. Money of an open currency has the currency beside it, an encrypted value its id."""

    value: Expr
    kind: Kind
    currency: Expr | None = None
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A text that is known beforehand, such as the name of a type."""

    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """An object in the answer. With `present`, the key of a joined row or money, it is null where that is absent."""

    items: tuple[tuple[str, Output], ...]
    present: Expr | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """A list of objects in the answer."""

    rows: Rows


Output: TypeAlias = Leaf | Said | Record | Records


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a source in an order, a window of them, and what is made of each."""

    source: Source
    output: Record
    joins: tuple[Join, ...] = ()
    order: tuple[Order, ...] = ()
    limit: Param | None = None
    offset: Param | None = None
    keys: tuple[Expr, ...] = ()
    """The values a cursor is made of; empty where none is wanted."""


@dataclass(frozen=True, slots=True)
class OneRoot:
    """At most one record, with its version: what `content` it has, where no column counts its changes."""

    rows: Rows
    alias: str
    content: Record | None = None


@dataclass(frozen=True, slots=True)
class ListRoot:
    """A page of records; `count_of` is counted beside it, up to `count_cap` where that is set."""

    rows: Rows
    alias: str
    count_of: Source | None = None
    count_cap: int | None = None
    backwards: bool = False
    behind: bool = False
    """Whether it begins behind a cursor or an offset, so that no rows do not mean that there are none."""
    keyed: bool = False
    """Whether the keys of every row are wanted, and not only those of the last one."""


@dataclass(frozen=True, slots=True)
class MeasureOf:
    """One number of a group."""

    alias: str
    fn: str
    value: Expr | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class GroupRoot:
    """Groups with their numbers."""

    source: Source
    groups: tuple[tuple[tuple[str, ...], Leaf], ...]
    measures: tuple[MeasureOf, ...]
    order: tuple[tuple[int, bool], ...]
    """Positions among groups and then measures, and whether descending."""
    limit: Param
    offset: Param | None
    alias: str


RootPlan: TypeAlias = OneRoot | ListRoot | GroupRoot


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Where a parameter's value comes from and what it must be.

    `slot` is the value at `index` of the ask, parsed as `kind`; `me`, `brought` and `now` come with the request;
    `fixed` is a constant of a rule; `key` is a value of a cursor and `old` one of the row before a change, both
    in the store's own form.
    """

    source: Literal["slot", "me", "brought", "now", "fixed", "key", "old"]
    kind: Kind
    index: int = 0
    many: bool = False
    part: Literal["", "amount", "currency", "folded", "words", "rank", "limit", "next", "offset", "entry"] = ""
    place: str = ""
    from_text: bool = False
    value: Any = None
    bound: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of a rule while planning: `allowed` and `denied` by the clause named, or `by_row`."""

    entity: str
    action: Action
    verdict: Literal["allowed", "denied", "by_row"]
    clause: Condition


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """A question that was allowed, ready to be compiled to one statement."""

    roots: tuple[RootPlan, ...]
    params: tuple[ParamSpec, ...]
    decisions: tuple[Decision, ...]
    models: frozenset[str]
    windows: tuple[tuple[int, ...], ...] = ()
    """The limits along each way from a root inwards, as positions of parameters: their product is what it may cost."""


@dataclass(frozen=True, slots=True)
class Check:
    """A predicate that one row must satisfy, found by its id; no row means that it failed."""

    source: Source
    key: Param
    params: tuple[ParamSpec, ...]
    output: Record | None = None
    """What is read of the row at the same time, with the developer's authority."""
    captured: tuple[Expr, ...] = ()
    """Values of the row before a change, kept for the `old` parameters of the check after it."""
    lock: bool = False
    ends: bool = False
    """Whether the row that is locked is about to end: then nobody may begin to refer to it either."""
    content: Record | None = None
    """What the actor sees of the row, which is its version where no column counts its changes."""
    guard: Predicate | None = None
    """A condition of the developer's own that is looked at on the same row; it decides what is told, not what is found.
    """

    @property
    def versioned(self) -> bool:
        """Whether the row's version is asked for."""
        return self.content is not None or bool(self.source.entity.version)


@dataclass(frozen=True, slots=True)
class After:
    """The rule on the row as it stands after a change: the `whole` of it, and two parts where it looks at other rows.

    What it says of the row alone is `near`; what it says of others is `far`, and is asked when all of them stand.
    """

    whole: Check | None = None
    near: Check | None = None
    far: Check | None = None


@dataclass(frozen=True, slots=True)
class LinkCheck:
    """A record that a written relation refers to, and that the actor must be able to see."""

    field: str
    value: Any
    check: Check


@dataclass(frozen=True, slots=True)
class Members:
    """The records that a many-to-many relation holds after a write, of those that its writer can see.

    `visible` finds whether one of them can be seen; without it, all are.
    """

    relation: ToMany
    keys: tuple[Any, ...]
    visible: Check | None = None


@dataclass(frozen=True, slots=True)
class WritePlan:
    """One allowed change: values already checked against the declaration, and what must hold before and after."""

    action: Literal["create", "update", "delete"]
    entity: Entity
    key: Any
    """Nothing where the database numbers a new record."""
    values: dict[str, Any]
    before: Check | None
    after: After
    links: tuple[LinkCheck, ...]
    decisions: tuple[Decision, ...]
    guard_values: tuple[Any, ...] = ()
    sets: tuple[tuple[Field, Expr], ...] = ()
    """Fields set by an expression over the record, such as `stock - 1`; their parameters are `set_params`."""
    set_params: tuple[ParamSpec, ...] = ()
    members: tuple[Members, ...] = ()
