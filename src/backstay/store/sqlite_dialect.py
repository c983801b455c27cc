"""SQLite's differences. Instants are fixed-width text, decimals scaled integers, booleans 0 and 1, lists JSON text.

A value that may hold anything is escaped by `json_quote`; what cannot need it stands between quotes as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from backstay.model.value import Kind, Money
from backstay.plan.tree import ParamSpec
from backstay.store.dialect import QUOTE, Pieces, Text, duration, labelled, money, quoted, unless_null
from backstay.store.json_text import entry_encoder, instant, list_encoder

FOLD = "backstay_fold"
"""The SQL function that folds a text as `model/folding.py` does."""


def _microseconds(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


def encoder_of(kind: Kind) -> Callable[[Any], Any] | None:
    """How a canonical value of a kind is stored; `None` where it is stored as it is."""
    match kind.name:
        case "boolean":
            return int
        case "datetime":
            return instant
        case "date":
            return lambda value: value.isoformat()
        case "time":
            return lambda value: value.isoformat("microseconds")
        case "duration":
            return _microseconds
        case "decimal":
            scale = kind.scale
            return lambda value: int(Decimal(value).scaleb(scale))
        case "list":
            return list_encoder(kind)
        case "json":
            return lambda value: msgspec.json.encode(value).decode()
        case "money":
            return lambda value: value.amount if isinstance(value, Money) else value
        case _:
            return None


class SQLiteDialect:
    """What SQLite writes in its own way."""

    name = "sqlite"
    true = "1"
    false = "0"
    gathers = False
    change_id = "position"
    logs_inside = False  # it has no statement that writes to two tables
    last_position = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = '_changes'), 0)"

    def slot(self, position: int, kind: str) -> str:
        """A numbered parameter."""
        return f"?{position + 1}"

    def param(self, position: int, spec: ParamSpec) -> str:
        """A numbered parameter; arrays are JSON text, taken apart where they are used."""
        return f"?{position + 1}"

    def encoder(self, spec: ParamSpec) -> Callable[[Any], Any] | None:
        """How the parameter is handed to the driver."""
        if spec.source in ("key", "old") or spec.part in ("limit", "next", "offset", "currency", "folded"):
            return None
        if spec.part == "words":
            return lambda words: " AND ".join(f'"{word}"' for word in words) + "*" if words else '""'
        if spec.part == "entry":
            return int if spec.kind.name == "boolean" else entry_encoder(spec.kind)
        one = encoder_of(spec.kind)
        if spec.part == "rank":
            return lambda words: msgspec.json.encode(words).decode()
        if spec.many:
            if one is None:
                return lambda values: msgspec.json.encode(values).decode()
            return lambda values: msgspec.json.encode([one(value) for value in values]).decode()
        return one if one is None or spec.source != "me" else None

    def leaf(self, sql: str, kind: Kind, currency: str | None, nullable: bool) -> Pieces:
        """A value of a record, as JSON text."""
        match kind.name:
            case "uuid" | "date" | "time" | "datetime" if not nullable:
                return QUOTE, sql, QUOTE  # nothing in them needs escaping
            case "text" if kind.format == "slug" and not nullable:
                return QUOTE, sql, QUOTE
            case "integer":
                return (f"coalesce({sql}, 'null')" if nullable else sql,)
            case "big_integer":
                return unless_null(sql, nullable, (QUOTE, sql, QUOTE))
            case "boolean":
                return (f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END",)
            case "decimal":
                return unless_null(sql, nullable, (QUOTE, *_decimal(sql, kind.scale), QUOTE))
            case "duration":
                rest = f"abs({sql}) % 1000000"
                fraction = f"CASE WHEN {rest} = 0 THEN '' ELSE printf('.%06d', {rest}) END"
                return unless_null(sql, nullable, duration(sql, fraction))
            case "json" | "list":
                return (f"coalesce({sql}, 'null')" if nullable else sql,)
            case "money":
                return unless_null(sql, nullable, money(sql, currency or Text(kind.currency)))
            case _:
                return (f"json_quote({sql})",)

    def array(self, select: str) -> str:
        """The JSON text of a list of records."""
        return f"(SELECT concat('[', group_concat(j, ','), ']') FROM ({select}))"

    def key(self, sql: str) -> str:
        """A value of a cursor: integers and texts as they are."""
        return sql

    def scaled(self, sql: str, by: int) -> str:
        """A scaled integer with so many more digits after the point."""
        return f"({sql} * {10**by})"

    def one_of(self, left: str, right: str, stored: Kind | None = None) -> str:
        """Membership in an array parameter."""
        value = "value" if stored is None else self.lowered("value", stored)
        return f"{left} IN (SELECT {value} FROM json_each({right}))"

    def contains(self, left: str, right: str) -> str:
        """A part of a text, by code point."""
        return f"instr({left}, {right}) > 0"

    def starts_with(self, left: str, right: str) -> str:
        """The beginning of a text, by code point."""
        return f"substr({left}, 1, length({right})) = {right}"

    def parsed(self, text: str) -> str:
        """What a JSON text says, as a value that entries of lists are compared with."""
        return f"(SELECT value FROM json_each('[' || ({text}) || ']'))"

    def has(self, left: str, right: str) -> str:
        """An entry of a list."""
        return f"EXISTS (SELECT 1 FROM json_each({left}) WHERE value = {right})"

    def matches(self, table: str, alias: str, needle: str) -> str:
        """The search index has the words."""
        search = quoted(f"{table}__search")
        return f'{alias}."_row" IN (SELECT rowid FROM {search} WHERE {search} MATCH {needle})'

    def rank(self, alias: str, needle: str) -> str:
        """The summed positions of the words in the record."""
        return f"(SELECT coalesce(sum(instr({alias}.\"_words\", ' ' || value)), 0) FROM json_each({needle}))"

    def date_part(self, sql: str, part: str, kind: Kind) -> str:
        """The beginning of the text of an instant or date."""
        return f"substr({sql}, 1, {({'day': 10, 'month': 7, 'year': 4})[part]})"

    def order(self, sql: str, descending: bool, nullable: bool) -> str:
        """A sort key; nulls last ascending, first descending, said only where there can be any."""
        text = f"{sql} DESC" if descending else sql
        return text + ((" NULLS FIRST" if descending else " NULLS LAST") if nullable else "")

    def measure(self, fn: str, value: str, kind: Kind, of: Kind) -> str:
        """An aggregate function."""
        match fn:
            case "count":
                return f"count({value})"
            case "count_distinct":
                return f"count(DISTINCT {value})"
            case "sum":
                return f"coalesce(sum({value}), 0)"
            case "avg":
                unit = f" * {10**of.scale}" if of.name == "decimal" and of.scale else ""
                return f"(CAST(sum({value}) AS REAL) / (count({value}){unit}))"
            case _:
                return f"{fn}({value})"

    def lock(self, alias: str, *, ends: bool = False) -> str:
        """Nothing: the one writer has the file."""
        return ""

    def alike(self, kind: Kind, op: str) -> bool:
        """Hexadecimal ids and numbers compare and sort as they are stored, labels are equal to labels."""
        form = kind.stored.form if kind.stored is not None else ""
        return form in ("hex", "number") or (form == "label" and op in ("eq", "in"))

    def lifted(self, sql: str, kind: Kind) -> str:
        """A column as SQLAlchemy fills it, in our own form."""
        assert kind.stored is not None
        match kind.stored.form:
            case "hex":
                places = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
                return "(" + " || '-' || ".join(f"substr({sql}, {at}, {size})" for at, size in places) + ")"
            case "number":
                return f"CAST(round({sql} * {10**kind.scale}) AS INTEGER)"
            case "instant":  # the fraction is missing where the database itself wrote CURRENT_TIMESTAMP
                return f"(replace(substr({sql} || '.000000', 1, 26), ' ', 'T') || 'Z')"
            case "clock":
                return f"substr({sql} || '.000000', 1, 15)"
            case "interval":
                return f"(unixepoch({sql}) * 1000000 + substr({sql} || '.000000', 21, 6))"
            case "label":
                return labelled(sql, kind, stored=False)
            case "text" if kind.stored.collation:
                return f"{sql} COLLATE BINARY"
            case _:
                return sql

    def lowered(self, sql: str, kind: Kind) -> str:
        """Our own form as SQLAlchemy would write it."""
        assert kind.stored is not None
        match kind.stored.form:
            case "hex":
                return f"replace({sql}, '-', '')"
            case "number":
                return f"{sql} / {10**kind.scale}.0"
            case "instant":
                return f"replace(substr({sql}, 1, 26), 'T', ' ')"
            case "interval":
                whole = f"({sql} - (({sql} % 1000000) + 1000000) % 1000000) / 1000000"
                rest = f"printf('.%06d', (({sql} % 1000000) + 1000000) % 1000000)"
                return f"datetime({whole}, 'unixepoch') || {rest}"
            case "label":
                return labelled(sql, kind, stored=True)
            case _:
                return sql

    def folded(self, sql: str) -> str:
        """A function of our own, which each connection of ours has."""
        return f"{FOLD}({sql})"


def _decimal(sql: str, scale: int) -> Pieces:
    """A scaled integer with its point."""
    if scale == 0:
        return (sql,)
    unit = 10**scale
    sign = f"CASE WHEN {sql} < 0 THEN '-' ELSE '' END"
    return sign, f"abs({sql}) / {unit}", Text("."), f"printf('%0{scale}d', abs({sql}) % {unit})"
