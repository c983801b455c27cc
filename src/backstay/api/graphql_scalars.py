"""The kinds of values as GraphQL has them: scalars and the types of money, and the filters that compare them.

Invariant: a value is checked where every value is, by its kind; a scalar only names what it will be checked for.
"""

from __future__ import annotations

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLString,
)

from backstay.model.value import Kind

_LARGEST_INT = 2**31 - 1


def _scalar(name: str, said: str) -> GraphQLScalarType:
    return GraphQLScalarType(name, description=said)


EMAIL = _scalar("Email", "An email address, such as ada@example.com.")
URL = _scalar("URL", "A web address that begins with http:// or https://.")
SLUG = _scalar("Slug", "Lower-case letters and digits joined by single hyphens.")
LONG = _scalar("Long", "A whole number between -(2^53 - 1) and 2^53 - 1, as a number of JSON.")
BIG = _scalar("BigInt", "A whole number of at most 63 bits, as a text, so that no digit of it is lost.")
DECIMAL = _scalar("Decimal", 'A decimal number as a text, such as "12.50".')
DATE = _scalar("Date", "A day, such as 2026-11-30.")
TIME = _scalar("Time", "A time of day, such as 14:30:00.")
DATETIME = _scalar("DateTime", "An instant in UTC (RFC 3339), such as 2026-11-30T09:30:00.000000Z.")
DURATION = _scalar("Duration", "A duration in days, hours, minutes and seconds (ISO 8601), such as PT1H30M.")
JSON = _scalar("JSON", "Any JSON.")

DIRECTION = GraphQLEnumType(
    "Direction", {"ASC": "ASC", "DESC": "DESC"}, description="Ascending has nulls last, descending first."
)
MONEY = GraphQLObjectType(
    "Money",
    {
        "amount": GraphQLField(GraphQLNonNull(LONG), description="In minor units, such as cents."),
        "currency": GraphQLField(GraphQLNonNull(GraphQLString), description="ISO 4217."),
    },
    description="An amount in minor units with its currency.",
)
MONEY_INPUT = GraphQLInputObjectType(
    "MoneyInput",
    {
        "amount": GraphQLInputField(GraphQLNonNull(LONG), description="In minor units, such as cents."),
        "currency": GraphQLInputField(GraphQLNonNull(GraphQLString), description="ISO 4217."),
    },
    description="An amount in minor units with its currency.",
)
MONEY_GROUP = GraphQLObjectType(
    "MoneyGroup",
    {"amount": GraphQLField(LONG), "currency": GraphQLField(GraphQLString)},
    description="The parts of money that are grouped by: `total.currency`.",
)
MONEY_ORDER = GraphQLInputObjectType(
    "MoneyOrder", {"amount": GraphQLInputField(DIRECTION), "currency": GraphQLInputField(DIRECTION)}
)
_PARTS = ("day", "month", "year")
DATE_GROUP = GraphQLObjectType(
    "DateGroup",
    {"value": GraphQLField(DATETIME), **{part: GraphQLField(GraphQLString) for part in _PARTS}},
    description="What is grouped by of a day or an instant: itself, or the day, month or year it is in.",
)
DATE_ORDER = GraphQLInputObjectType("DateOrder", {part: GraphQLInputField(DIRECTION) for part in ("value", *_PARTS)})
_KINDS: dict[str, GraphQLScalarType] = {
    "integer": GraphQLInt, "big_integer": BIG, "float": GraphQLFloat, "decimal": DECIMAL, "boolean": GraphQLBoolean,
    "date": DATE, "time": TIME, "datetime": DATETIME, "duration": DURATION, "uuid": GraphQLID, "json": JSON,
}  # fmt: skip
_FORMATS = {"email": EMAIL, "url": URL, "slug": SLUG}


def scalar(kind: Kind) -> GraphQLScalarType:
    """The scalar of a kind that is no list, no money and no enum."""
    if kind.name == "integer" and kind.le is not None and kind.le > _LARGEST_INT:
        return LONG
    if kind.name == "enum":
        return GraphQLInt if all(isinstance(choice, int) for choice in kind.choices) else GraphQLString
    if kind.name == "text":
        return _FORMATS.get(kind.format, GraphQLString)
    return _KINDS[kind.name]


class Filters:
    """The types of filters for values, each made once for a schema."""

    def __init__(self) -> None:
        self._made: dict[str, GraphQLInputObjectType] = {}

    def of(self, kind: Kind, enum: GraphQLEnumType | None) -> GraphQLInputObjectType:
        """The filter for values of a kind."""
        if kind.name == "json":
            return self._filter("JSONFilter", {})
        if kind.name == "list":
            assert kind.item is not None
            item = scalar(kind.item) if kind.item.name != "money" else JSON
            return self._filter(f"{item.name}ListFilter", {"contains": GraphQLInputField(item)})
        if kind.name == "money":
            value = LONG if kind.currency else MONEY_INPUT
            said = "Minor units, such as cents." if kind.currency else ""
            parts = {
                "amount": GraphQLInputField(self._compared("LongFilter", LONG, True)),
                "currency": GraphQLInputField(self._compared("StringFilter", GraphQLString, True, text=True)),
            }
            if not kind.currency:
                compared = {op: GraphQLInputField(value) for op in ("eq", "ne", "lt", "lte", "gt", "gte")}
                return self._filter("MoneyFilter", {**compared, **parts})
            return self._filter("MinorUnitsFilter", {**_operators(value, ordered=True), **parts}, said)
        if enum is not None:
            return self._compared(f"{enum.name}Filter", enum, True)
        if kind.name == "text":
            return self._compared("StringFilter", GraphQLString, True, text=True)
        value = scalar(kind)
        more = {}
        if kind.name in ("date", "datetime"):
            text = self._compared("StringFilter", GraphQLString, True, text=True)
            more = {part: GraphQLInputField(text) for part in _PARTS}
        return self._filter(f"{value.name}Filter", {**_operators(value, ordered=kind.name != "boolean"), **more})

    def _compared(
        self, name: str, value: GraphQLScalarType | GraphQLEnumType, ordered: bool, *, text: bool = False
    ) -> GraphQLInputObjectType:
        more = {op: GraphQLInputField(value) for op in ("contains", "icontains", "startsWith")} if text else {}
        return self._filter(name, {**_operators(value, ordered=ordered), **more})

    def _filter(self, name: str, fields: dict[str, GraphQLInputField], said: str = "") -> GraphQLInputObjectType:
        if name not in self._made:
            fields = {**fields, "isNull": GraphQLInputField(GraphQLBoolean)}
            self._made[name] = GraphQLInputObjectType(name, fields, description=said or None)
        return self._made[name]


def _operators(
    value: GraphQLScalarType | GraphQLEnumType | GraphQLInputObjectType, *, ordered: bool
) -> dict[str, GraphQLInputField]:
    single = ("eq", "ne", "lt", "lte", "gt", "gte") if ordered else ("eq", "ne")
    many = GraphQLList(GraphQLNonNull(value))
    return {
        **{op: GraphQLInputField(value) for op in single},
        **{op: GraphQLInputField(many) for op in ("in", "notIn")},
    }
