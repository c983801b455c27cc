"""What the caller said, in names, before anybody has looked whether it exists or is allowed.

An `Ask` has a shape and values. The shape is hashable and the same for all questions that differ in values only,
so that it can be the key under which a compiled statement is remembered. REST, GraphQL and Python build the
same asks; nothing in here knows what an address or a document looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from backstay.model.predicate import ANYONE, Condition, Operand, Slot


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of an order."""

    path: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of a record: every readable field, or the named ones as (alias, name), and nested records.

    A nested record whose alias is among those stands there, the others at the end. A name that begins with `=` is no
    field: the rest of it is answered as it is.
    """

    everything: bool = True
    fields: tuple[tuple[str, str], ...] = ()
    nested: tuple[Nested, ...] = ()


@dataclass(frozen=True, slots=True)
class Nested:
    """Related records inside a record, or the parts of money. For one record or money only the selection counts."""

    alias: str
    relation: str
    selection: Selection = Selection()
    where: Condition = ANYONE
    sort: tuple[Sort, ...] = ()
    limit: Slot | None = None
    offset: Slot | None = None


@dataclass(frozen=True, slots=True)
class After:
    """The place in an order behind which a page begins: one slot per key, or `None` where the key was null."""

    keys: tuple[Slot | None, ...]


@dataclass(frozen=True, slots=True)
class One:
    """One record by its id."""

    model: str
    key: Slot
    selection: Selection = Selection()
    where: Condition = ANYONE
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Records in an order, a page at a time; `keyed` where a page may go on behind each of them."""

    model: str
    selection: Selection = Selection()
    where: Condition = ANYONE
    sort: tuple[Sort, ...] = ()
    search: Slot | None = None
    limit: Slot | None = None
    offset: Slot | None = None
    after: After | None = None
    backwards: bool = False
    count: Literal["none", "exact", "estimated"] = "none"
    alias: str = ""
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """One number about a group: `count` (of rows, or of values where a path is named), `sum`, `avg`, `min`, `max`."""

    alias: str
    fn: Literal["count", "count_distinct", "sum", "avg", "min", "max"]
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Numbers about groups of records."""

    model: str
    group_by: tuple[tuple[str, ...], ...] = ()
    measures: tuple[Measure, ...] = ()
    where: Condition = ANYONE
    search: Slot | None = None
    sort: tuple[Sort, ...] = ()
    limit: Slot | None = None
    offset: Slot | None = None
    alias: str = ""


Root: TypeAlias = One | Listing | Aggregate


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: its shape, and the values that the shape's slots point to."""

    roots: tuple[Root, ...]
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Create:
    """A new record with these values."""

    model: str
    values: Mapping[str, Any]
    key: Any = None
    """The id, where the caller may choose it; otherwise the server makes one."""
    linked: Mapping[str, Any] = field(default_factory=dict)
    """Relations that the server sets, to the record that this one was sent inside; nobody has to see it for that."""
    fresh: frozenset[str] = frozenset()
    """Relations among the values whose record was sent inside this one, and has just been made."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change of one record: the values to set, a guard it must satisfy, and the version it was read at."""

    model: str
    key: Any
    values: Mapping[str, Any]
    guard: Condition = ANYONE
    guard_values: tuple[Any, ...] = field(default=())
    version: int | None = None
    sets: Mapping[str, Operand] = field(default_factory=dict)
    """Fields set by an expression over the record; only the developer's own code can say one."""
    whole: bool = False
    """The values are all there is to say: a field that is not named gets its default, else null."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The end of one record."""

    model: str
    key: Any
    guard: Condition = ANYONE
    guard_values: tuple[Any, ...] = field(default=())
    version: int | None = None


Write: TypeAlias = Create | Update | Delete
