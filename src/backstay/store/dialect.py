"""What a dialect of SQL must be able to say. A dialect is a table of differences; everything else is `sql.py`.

Fragments are SQL text made of identifiers from the schema and numbered parameters. No value is ever in them,
except currency codes and names of fields, which come from the declaration and are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from backstay.model.field import Entity
from backstay.model.value import Kind
from backstay.plan.tree import ParamSpec


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of JSON text that is known beforehand: names and punctuation."""

    text: str


Pieces: TypeAlias = tuple[Text | str, ...]
"""JSON text in the making: known texts, and SQL that gives the rest. Neighbouring texts are joined beforehand."""


def concat(pieces: Sequence[Text | str]) -> str:
    """One SQL value made of all pieces; null counts as nothing, and a function takes at most ninety of them."""
    merged: list[Text | str] = []
    for piece in pieces:
        if isinstance(piece, Text) and merged and isinstance(merged[-1], Text):
            merged[-1] = Text(merged[-1].text + piece.text)
        else:
            merged.append(piece)
    parts = [literal(piece.text) if isinstance(piece, Text) else piece for piece in merged]
    if len(parts) == 1 and isinstance(merged[0], Text):
        return parts[0]
    return " || ".join(f"concat({', '.join(parts[at : at + 90])})" for at in range(0, len(parts), 90))


def unless_null(sql: str, nullable: bool, pieces: Sequence[Text | str]) -> Pieces:
    """The pieces, or JSON's null where the value is null."""
    return (f"CASE WHEN {sql} IS NULL THEN 'null' ELSE {concat(pieces)} END",) if nullable else tuple(pieces)


QUOTE = Text('"')


def money(amount: str, currency: Text | str) -> Pieces:
    """The JSON text of money."""
    return Text('{"amount":'), amount, Text(',"currency":"'), currency, Text('"}')


def duration(sql: str, fraction: str) -> Pieces:
    """The ISO 8601 text of a duration in microseconds; how a fraction of a second is written differs."""
    sign = f"CASE WHEN {sql} < 0 THEN '-' ELSE '' END"
    return QUOTE, sign, Text("PT"), f"abs({sql}) / 1000000", fraction, Text('S"')


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def named(entity: Entity) -> str:
    """The table of an entity, behind the schema of the database where it lies in one of its own."""
    namespace = entity.existing.namespace if entity.existing is not None else ""
    return f"{quoted(namespace)}.{quoted(entity.table)}" if namespace else quoted(entity.table)


def labelled(sql: str, kind: Kind, *, stored: bool) -> str:
    """A choice as what is stored for it, or what is stored as the choice it stands for."""
    assert kind.stored is not None
    if kind.choices == kind.stored.labels:
        return sql
    choices = [str(choice) if isinstance(choice, int) else literal(choice) for choice in kind.choices]
    pairs = zip(choices, map(literal, kind.stored.labels), strict=True)
    whens = [f"WHEN {c} THEN {label}" if stored else f"WHEN {label} THEN {c}" for c, label in pairs]
    return f"CASE {sql} {' '.join(whens)} END"


def literal(text: str) -> str:
    """A text from the declaration as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def entry_kind(kind: Kind) -> Kind:
    """How an entry of a list stands in its JSON: short numbers and booleans as themselves, all else as text."""
    return kind if kind.name in ("integer", "float", "boolean", "enum") else Kind("text")


SlotKind: TypeAlias = Literal["text", "bigint", "uuid"]


class Dialect(Protocol):
    """The differences between databases, as text."""

    name: str
    true: str
    false: str
    gathers: bool
    """Whether a list is fetched as one joined text, where the driver makes a row dear."""
    logs_inside: bool
    """Whether the statement that writes a row keeps the change too; elsewhere a second one does."""
    change_id: str
    """The column by which the rows of the change log are told apart."""
    last_position: str
    """The last position of the change log, as a value."""

    def slot(self, position: int, kind: SlotKind) -> str:
        """A parameter of a statement of Backstay's own."""
        ...

    def param(self, position: int, spec: ParamSpec) -> str: ...
    def encoder(self, spec: ParamSpec) -> Callable[[Any], Any] | None: ...
    def leaf(self, sql: str, kind: Kind, currency: str | None, nullable: bool) -> Pieces: ...
    def array(self, select: str) -> str: ...
    def key(self, sql: str) -> str: ...
    def scaled(self, sql: str, by: int) -> str: ...
    def one_of(self, left: str, right: str, stored: Kind | None = None) -> str: ...
    def contains(self, left: str, right: str) -> str: ...
    def starts_with(self, left: str, right: str) -> str: ...
    def parsed(self, text: str) -> str: ...
    def has(self, left: str, right: str) -> str: ...
    def matches(self, table: str, alias: str, needle: str) -> str: ...
    def rank(self, alias: str, needle: str) -> str: ...
    def date_part(self, sql: str, part: str, kind: Kind) -> str: ...
    def order(self, sql: str, descending: bool, nullable: bool) -> str: ...
    def measure(self, fn: str, value: str, kind: Kind, of: Kind) -> str: ...
    def lock(self, alias: str, *, ends: bool = False) -> str:
        """Hold the row until the transaction ends. Others may refer to it meanwhile, unless it `ends`."""
        ...

    def alike(self, kind: Kind, op: str) -> bool:
        """Whether an existing column answers a comparison as it is stored, so that an index of its can serve it."""
        ...

    def lifted(self, sql: str, kind: Kind) -> str:
        """A column of an existing table in the form that Backstay gives such values."""
        ...

    def lowered(self, sql: str, kind: Kind) -> str:
        """A value in that form, as such a column stores it."""
        ...

    def folded(self, sql: str) -> str:
        """A text as `fold` makes it, where no folded copy stands beside it."""
        ...
