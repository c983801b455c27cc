"""How GraphQL spells what is declared: fields in camelCase, types after their models, choices as enum values.

Invariant: the names follow from the whole declaration and never from who asks, so a type has one name for everybody,
and no two types have the same.
"""

from __future__ import annotations

import re
from enum import Enum

from backstay.errors import BadRequest
from backstay.model.field import Computed, Entity, Field, Schema
from backstay.model.predicate import OPERATORS
from backstay.model.value import Kind

_SCALARS = (
    "String", "Int", "Float", "Boolean", "ID", "Email", "URL", "Slug", "Long", "BigInt", "Decimal", "Date", "Time",
    "DateTime", "Duration", "JSON",
)  # fmt: skip
_RESERVED = (
    "Query", "Mutation", "Subscription", "Node", "PageInfo", "Direction", "Money", "MoneyInput", "MoneyGroup",
    "MoneyOrder", "MoneyFilter", "MinorUnitsFilter", "DateGroup", "DateOrder", *_SCALARS,
    *(f"{name}Filter" for name in _SCALARS), *(f"{name}ListFilter" for name in _SCALARS),
)  # fmt: skip
_SUFFIXES = (
    "", "Connection", "Edge", "Filter", "ManyFilter", "Order", "Aggregate", "AggregateOrder", "Group", "GroupOrder",
    "Sum", "Avg", "Extremes", "Counts", "Create", "Update",
)  # fmt: skip
_VALUE = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]*")
_NO_VALUES = ("true", "false", "null")


def camel(name: str) -> str:
    """A name as GraphQL spells it: `created_at` is `createdAt`, `address_2` stays."""
    return re.sub(r"(?<=[A-Za-z0-9])_([a-z])", lambda found: found[1].upper(), name)


def is_enum(kind: Kind) -> bool:
    """Whether all choices can be spelled as the values of an enum; otherwise they are texts or numbers."""
    return kind.name == "enum" and all(
        isinstance(choice, str) and _VALUE.fullmatch(choice) and choice not in _NO_VALUES for choice in kind.choices
    )


class Names:
    """The names of one declaration."""

    def __init__(self, schema: Schema) -> None:
        self._types: dict[tuple[str, str], str] = {}
        self._taken = set(_RESERVED)
        self._enums: dict[type[Enum], str] = {}
        entities = list(schema.by_plural().values())
        for suffix in _SUFFIXES:
            for entity in entities:
                self._types[entity.name, suffix] = self.claim(entity.name + suffix)
        for entity in entities:
            parts: list[Field | Computed] = [*entity.fields.values(), *entity.computed.values()]
            for part in parts:
                if is_enum(part.kind):
                    self._types[entity.name, f".{part.name}"] = self._enum(entity, part.name, part.kind)
        known = {camel(name) for entity in schema.entities.values() for name in entity.names}
        self._ids = {
            f"{camel(name)}Id": name
            for entity in schema.entities.values() for name, field in entity.fields.items() if field.target is not None
        }  # fmt: skip
        self._ids = {word: name for word, name in self._ids.items() if word not in known}
        self.words = {
            **self._ids,
            **{camel(name): name for entity in schema.entities.values() for name in entity.names},
        }

    def claim(self, name: str) -> str:
        """A name for a type, with a `_` behind it while another type has it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def name(self, word: str) -> str:
        """Our name for a word of a document: `createdAt` is `created_at`, and `categoryId` is `category`."""
        if word in OPERATORS:
            return word
        if (known := self.words.get(word)) is not None or not word.isidentifier():
            return known or word
        if camel(word) != word:
            raise BadRequest(f'"{word}" is spelled "{camel(word)}" here.', code="unknown_field")
        return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), word)

    def type(self, entity: Entity, suffix: str = "") -> str:
        """The name of a type that is made for a model."""
        return self._types[entity.name, suffix]

    def enum(self, entity: Entity, part: str) -> str:
        """The name of the enum of a field."""
        return self._types[entity.name, f".{part}"]

    def key_of(self, field: Field) -> str:
        """What the id of a related record is called, `categoryId`; nothing where a model has a field of that name."""
        word = f"{camel(field.name)}Id"
        return word if self._ids.get(word) == field.name else ""

    def _enum(self, entity: Entity, part: str, kind: Kind) -> str:
        """A name for an enum: that of the Python one, shared by all fields of it, or the model's with the field's."""
        if kind.enum is None:
            return self.claim(entity.name + "".join(word[:1].upper() + word[1:] for word in part.split("_")))
        if kind.enum not in self._enums:
            self._enums[kind.enum] = self.claim(kind.enum.__name__)
        return self._enums[kind.enum]
