"""PostgreSQL's differences. JSON text is joined from escaped parts, which beats its JSON functions by a quarter.

Every parameter is cast, so a statement never depends on what the server would guess.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec

from backstay.errors import BadRequest
from backstay.model.value import Kind, Money
from backstay.plan.tree import ParamSpec
from backstay.store.dialect import QUOTE, Pieces, Text, duration, entry_kind, labelled, literal, money, unless_null
from backstay.store.json_text import entry_encoder, list_encoder

_TYPES = {
    "text": "text", "integer": "bigint", "big_integer": "bigint", "float": "float8", "decimal": "numeric",
    "boolean": "boolean", "date": "date", "time": "time", "datetime": "timestamptz", "duration": "bigint",
    "uuid": "uuid", "json": "jsonb", "list": "jsonb", "money": "bigint",
}  # fmt: skip


def type_of(kind: Kind) -> str:
    """The column type of a kind."""
    if kind.name == "enum":
        return "bigint" if kind.choices and isinstance(kind.choices[0], int) else "text"
    return _TYPES[kind.name]


def encoder_of(kind: Kind) -> Callable[[Any], Any] | None:
    """How a canonical value of a kind is handed to the driver; `None` where it takes it as it is."""
    match kind.name:
        case "duration":
            return lambda value: value // timedelta(microseconds=1)
        case "list":
            return list_encoder(kind)
        case "json":
            return lambda value: msgspec.json.encode(value).decode()
        case "money":
            return lambda value: value.amount if isinstance(value, Money) else value
        case _:
            return None


class PostgresDialect:
    """What PostgreSQL writes in its own way."""

    name = "postgres"
    true = "TRUE"
    false = "FALSE"
    gathers = True
    lowering = ""
    """A collation of the server that knows the small letter of every letter; found when the database is opened."""
    logs_inside = True
    change_id = "id"
    last_position = 'coalesce((SELECT "number" FROM "_state" WHERE "name" = \'position\'), 0)'

    def slot(self, position: int, kind: str) -> str:
        """A numbered parameter with its type."""
        return f"${position + 1}::{kind}"

    def param(self, position: int, spec: ParamSpec) -> str:
        """A numbered parameter with its type."""
        if spec.part in ("limit", "next", "offset"):
            return f"${position + 1}::bigint"
        if spec.part in ("currency", "folded"):
            return f"${position + 1}::text"
        if spec.part == "words":
            return f"${position + 1}::text::tsquery"
        if spec.part == "rank":
            return f"${position + 1}::text[]"
        if spec.source == "key":
            return f"${position + 1}::text::{type_of(spec.kind)}"
        kind = entry_kind(spec.kind) if spec.part == "entry" else spec.kind
        return f"${position + 1}::{type_of(kind)}{'[]' if spec.many else ''}"

    def encoder(self, spec: ParamSpec) -> Callable[[Any], Any] | None:
        """How the parameter is handed to the driver."""
        if spec.part == "words":
            return lambda words: " & ".join(f"'{word}'" for word in words) + ":*" if words else ""
        if spec.source == "key":
            return lambda value: value if isinstance(value, str) else str(value)
        if spec.source == "old" or spec.part in ("limit", "next", "offset", "currency", "folded", "rank"):
            return None
        if spec.part == "entry":
            return entry_encoder(spec.kind)
        one = encoder_of(spec.kind)
        if one is None or spec.source == "me":
            return None
        return (lambda values: [one(value) for value in values]) if spec.many else one

    def leaf(self, sql: str, kind: Kind, currency: str | None, nullable: bool) -> Pieces:
        """A value of a record, as JSON text."""
        match kind.name:
            case "boolean":
                return (f"CASE WHEN {sql} THEN 'true' WHEN NOT {sql} THEN 'false' ELSE 'null' END",)
            case "uuid" | "date" | "big_integer":
                return unless_null(sql, nullable, (QUOTE, sql, QUOTE))  # nothing in them needs escaping
            case "text" if kind.format == "slug":
                return unless_null(sql, nullable, (QUOTE, sql, QUOTE))
            case "decimal":
                return unless_null(sql, nullable, (QUOTE, f"round(({sql})::numeric, {kind.scale})", QUOTE))
            case "datetime":
                text = f"to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
                return unless_null(sql, nullable, (QUOTE, text, QUOTE))
            case "time":
                return unless_null(sql, nullable, (QUOTE, f"to_char({sql}, 'HH24:MI:SS.US')", QUOTE))
            case "duration":
                rest = f"abs({sql}) % 1000000"
                fraction = f"CASE WHEN {rest} = 0 THEN '' ELSE '.' || lpad(({rest})::text, 6, '0') END"
                return unless_null(sql, nullable, duration(sql, fraction))
            case "money":
                return unless_null(sql, nullable, money(sql, currency or Text(kind.currency)))
            case "text" | "enum" if type_of(kind) == "text":
                text = f"to_json({sql})"
            case _:
                text = sql
        return (f"coalesce(({text})::text, 'null')" if nullable else text,)

    def array(self, select: str) -> str:
        """The JSON text of a list of records."""
        return f"(SELECT concat('[', string_agg(j, ','), ']') FROM ({select}) AS rows)"

    def key(self, sql: str) -> str:
        """A value of a cursor, as text."""
        return f"({sql})::text"

    def scaled(self, sql: str, by: int) -> str:
        """A decimal, which knows its own scale."""
        return sql

    def one_of(self, left: str, right: str, stored: Kind | None = None) -> str:
        """Membership in an array parameter."""
        return f"{left} = ANY({right})"

    def contains(self, left: str, right: str) -> str:
        """A part of a text, by code point."""
        return f"strpos({left}, {right}) > 0"

    def starts_with(self, left: str, right: str) -> str:
        """The beginning of a text, by code point."""
        return f"starts_with({left}, {right})"

    def parsed(self, text: str) -> str:
        """What a JSON text says, as a value that entries of lists are compared with."""
        return f"({text})::jsonb"

    def has(self, left: str, right: str) -> str:
        """An entry of a list."""
        return f"{left} @> to_jsonb({right})"

    def matches(self, table: str, alias: str, needle: str) -> str:
        """The search index has the words."""
        return f'{alias}."_terms" @@ {needle}'

    def rank(self, alias: str, needle: str) -> str:
        """The summed positions of the words in the record."""
        return f"(SELECT coalesce(sum(strpos({alias}.\"_words\", ' ' || w)), 0) FROM unnest({needle}) AS w)"

    def date_part(self, sql: str, part: str, kind: Kind) -> str:
        """The day, month or year as text."""
        form = {"day": "YYYY-MM-DD", "month": "YYYY-MM", "year": "YYYY"}[part]
        moment = f"({sql}) AT TIME ZONE 'UTC'" if kind.name == "datetime" else f"({sql})::timestamp"
        return f"to_char({moment}, '{form}') COLLATE \"C\""

    def order(self, sql: str, descending: bool, nullable: bool) -> str:
        """A sort key; PostgreSQL's nulls stand where ours do."""
        return f"{sql} DESC" if descending else sql

    def measure(self, fn: str, value: str, kind: Kind, of: Kind) -> str:
        """An aggregate function."""
        match fn:
            case "count":
                return f"count({value})"
            case "count_distinct":
                return f"count(DISTINCT {value})"
            case "sum":
                total = f"coalesce(sum({value}), 0)"
                return f"{total}::bigint" if of.name == "duration" else total
            case "avg":
                # Of whole numbers, as they are stored elsewhere, so that the nearest float is the same one everywhere.
                unit = f" * {10**of.scale}" if of.name == "decimal" and of.scale else ""
                return f"((sum({value}){unit})::float8 / (count({value}){unit}))"
            case _ if of.name == "uuid":
                return f"{fn}(({value})::text)::uuid"
            case _:
                return f"{fn}({value})"

    def lock(self, alias: str, *, ends: bool = False) -> str:
        """Hold the row until the transaction ends.

        A foreign key holds what it refers to by FOR KEY SHARE: with FOR UPDATE two who refer to one row, and then both
        change it, would stand in each other's way for ever.
        """
        return f" FOR {'UPDATE' if ends else 'NO KEY UPDATE'} OF {alias}"

    def alike(self, kind: Kind, op: str) -> bool:
        """Texts and labels are equal whatever their collation, unless they declare one; they may sort by another."""
        assert kind.stored is not None
        if kind.stored.form == "text" and not kind.stored.collation:
            return op in ("eq", "in", "contains", "starts_with")
        return kind.stored.form == "label" and op == "eq"

    def lifted(self, sql: str, kind: Kind) -> str:
        """A column in the type and the collation that our own have."""
        assert kind.stored is not None
        match kind.stored.form:
            case "text":
                return f'({sql})::text COLLATE "C"'
            case "label":
                text = labelled(f"({sql})::text", kind, stored=False)
                return text if type_of(kind) == "bigint" else f'({text}) COLLATE "C"'
            case "interval":
                return f"(extract(epoch FROM {sql}) * 1000000)::bigint"
            case "array" if kind.item is not None and kind.item.name == "big_integer":
                return (
                    f"to_jsonb(({sql})::text[])"  # beyond 2^53 a number in JSON loses its last digits to many readers
                )
            case "array":
                return f"to_jsonb({sql})"
            case _:
                return sql

    def lowered(self, sql: str, kind: Kind) -> str:
        """A value in the type of its column, where the server would not make it so by itself."""
        assert kind.stored is not None
        match kind.stored.form:
            case "label":
                return f"({labelled(sql, kind, stored=True)})::{kind.stored.type}"
            case "interval":
                return f"{sql} * interval '1 microsecond'"
            case "array":
                entries = f"SELECT value::{kind.stored.type} FROM jsonb_array_elements_text({sql})"
                return f"CASE WHEN {sql} IS NOT NULL THEN ARRAY({entries}) END"
            case _:
                return sql

    def folded(self, sql: str) -> str:
        """What `fold` does, in words of the server; a text that is ASCII takes the short way."""
        if not self.lowering:
            raise BadRequest(
                "icontains is not offered here: this database has no collation that knows all letters (pg_c_utf8, "
                "C.utf8 or und-x-icu).", code="invalid_filter",
            )  # fmt: skip
        ascii_only = f"octet_length({sql}) = char_length({sql})"
        short, long = f'lower({sql} COLLATE "C") COLLATE "C"', f'{_folded(sql, self.lowering)} COLLATE "C"'
        return f"CASE WHEN {ascii_only} THEN {short} ELSE {long} END"


def _folded(sql: str, collation: str) -> str:
    """NFKD, case folding, no accents, NFC: what `lower` leaves to be folded is translated, as Python folds it."""
    marks, singles, others = _foldings()
    text = f'lower(normalize({sql}, NFKD) COLLATE "{collation}")'
    text = f"translate({text}, {literal(''.join(singles))}, {literal(''.join(singles.values()))})"
    for char, folded in others.items():
        text = f"replace({text}, {literal(char)}, {literal(folded)})"
    return f"normalize(regexp_replace({text}, {literal(f'[{marks}]')}, '', 'g'), NFC)"


@cache
def _foldings() -> tuple[str, dict[str, str], dict[str, str]]:
    """The ranges of combining characters, and what folds otherwise than to its small letter: to one letter, to more."""
    marks: list[list[str]] = []
    singles, others = dict[str, str](), dict[str, str]()
    for char in map(chr, (*range(128, 0xD800), *range(0xE000, 0x20000))):
        if unicodedata.combining(char):
            if marks and ord(marks[-1][1]) + 1 == ord(char):
                marks[-1][1] = char
            else:
                marks.append([char, char])
        elif char.casefold() != char.lower() and unicodedata.normalize("NFKD", char) == char:
            (singles if len(char.lower()) == len(char.casefold()) == 1 else others)[char.lower()] = char.casefold()
    return "".join(first if first == last else f"{first}-{last}" for first, last in marks), singles, others
