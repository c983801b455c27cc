"""Actions as fields of `Query` (those that are a GET) and `Mutation`, with their arguments and results typed.

Invariant: a type is made of the same annotations by which the action's arguments are checked, and what it answers is
shaped by what was selected, never widened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
)

from backstay.api.action import Action
from backstay.api.graphql_names import Names, camel, is_enum
from backstay.api.graphql_scalars import (
    DATE,
    DATETIME,
    DECIMAL,
    DURATION,
    JSON,
    LONG,
    MONEY,
    MONEY_INPUT,
    TIME,
    scalar,
)
from backstay.api.graphql_types import Types
from backstay.api.structure import Structure, is_structure, taken_apart
from backstay.model.field import Entity, Field
from backstay.model.value import Money
from backstay.store.exchange import Also, Reply

_PLAIN: dict[Any, Any] = {
    str: GraphQLString, int: LONG, float: GraphQLFloat, bool: GraphQLBoolean, Decimal: DECIMAL, datetime: DATETIME,
    date: DATE, time: TIME, timedelta: DURATION, UUID: GraphQLID, Money: MONEY,
}  # fmt: skip
_DEEPEST = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """An action under its name in GraphQL: the record that it answers with, one or several, or else what it says.

    `also` where there is more beside the record; then both stand in an object of their own.
    """

    name: str
    action: Action
    entity: Entity | None
    several: bool = False
    also: bool = False

    @property
    def query(self) -> bool:
        """Whether it changes nothing."""
        return self.action.method == "GET"


class Calls:
    """The actions that are served by GraphQL too: all but those that take or give bytes of their own."""

    def __init__(
        self, actions: Sequence[Action], entities: Mapping[str, Entity], names: Names, taken: set[str]
    ) -> None:
        self.by_name: dict[str, Call] = {}
        self._types: dict[Any, str] = {}
        self._names = names
        for action in actions:
            if action.raw or action.returns is Reply or not action.documented:
                continue
            name = camel(action.name)
            while name in taken or name in self.by_name:
                name += "Action"
            record, several = action.record()
            also = get_origin(action.returns) is Also or action.returns is Also
            entity = next((one for one in entities.values() if one.model.__name__ == record), None) if record else None
            if entity is not None and entity.hidden:
                entity = None
            self.by_name[name] = Call(name, action, entity, several, also)
            self._claim(("result", name), f"{name[0].upper()}{name[1:]}Result")
            for argument, field in action.fields.items():
                if is_enum(field.kind):
                    self._claim(("enum", name, argument), f"{name[0].upper()}{name[1:]}{_upper(argument)}")
            for structure in action.structs.values():
                self._claim_all(structure)
            self._claim_hint(action.returns, 0)

    def _claim(self, key: Any, name: str) -> None:
        if key not in self._types:
            self._types[key] = self._names.claim(name)

    def _claim_all(self, structure: Structure) -> None:
        self._claim(("in", structure.make), f"{getattr(structure.make, '__name__', 'Argument')}Input")
        for inside in structure.inside.values():
            self._claim_all(inside)

    def _claim_hint(self, hint: Any, depth: int) -> None:
        kind, _, _ = taken_apart(hint)
        if depth < _DEEPEST and is_structure(hint):
            self._claim(("out", kind), kind.__name__)
            for inner in get_type_hints(kind).values():
                self._claim_hint(inner, depth + 1)

    def name_of(self, what: str, key: Any) -> str:
        """The name of a type that is made for an action."""
        return self._types[what, key]

    def enum_of(self, name: str, argument: str) -> str:
        """The name of the enum of an argument."""
        return self._types["enum", name, argument]

    def result_type(self, call: Call) -> str:
        """The name of the object that an action answers with, where it is one of its own; else an empty text."""
        if call.also and call.entity is not None:
            return self.name_of("result", call.name)
        kind, _, _ = taken_apart(call.action.returns)
        return self._types.get(("out", kind), "")


class ActionTypes:
    """The types of actions for one view, each made once."""

    def __init__(self, calls: Calls, types: Types) -> None:
        self.calls = calls
        self.types = types
        self._inputs: dict[Any, GraphQLInputObjectType] = {}
        self._outputs: dict[Any, GraphQLObjectType] = {}

    def field(self, call: Call) -> GraphQLField:
        """The field of an action."""
        args = {
            camel(name): GraphQLArgument(self._needed(self._value(call, name, field), field.default is None, field))
            for name, field in call.action.fields.items()
        }
        for name, structure in call.action.structs.items():
            made = self._structure(structure)
            needed = name not in call.action.optional and not structure.nullable
            args[camel(name)] = GraphQLArgument(GraphQLNonNull(made) if needed else made)
        return GraphQLField(self._result(call), args, description=call.action.doc or None)

    # Arguments.

    def _needed(self, kind: Any, needed: bool, field: Field) -> Any:
        return GraphQLNonNull(kind) if needed and not field.nullable else kind

    def _value(self, call: Call | None, name: str, field: Field) -> Any:
        kind = field.kind
        if call is not None and is_enum(kind):
            values = {str(choice): GraphQLEnumValue(choice) for choice in kind.choices}
            key = ("enum", call.name, name)
            if key not in self._inputs:
                self._inputs[key] = GraphQLEnumType(self.calls.enum_of(call.name, name), values)  # type: ignore[assignment]
            return self._inputs[key]
        if kind.name == "money":
            return MONEY_INPUT
        if kind.name == "list":
            assert kind.item is not None
            return GraphQLList(GraphQLNonNull(MONEY_INPUT if kind.item.name == "money" else scalar(kind.item)))
        return scalar(kind)

    def _structure(self, structure: Structure) -> Any:
        key = structure.make
        if key not in self._inputs:
            fields: dict[str, GraphQLInputField] = {}
            self._inputs[key] = GraphQLInputObjectType(self.calls.name_of("in", key), lambda: fields)
            for name, field in structure.fields.items():
                needed = name not in structure.optional
                fields[camel(name)] = GraphQLInputField(self._needed(self._value(None, name, field), needed, field))
            for name, inside in structure.inside.items():
                made = self._structure(inside)
                needed = name not in structure.optional and not inside.nullable
                fields[camel(name)] = GraphQLInputField(GraphQLNonNull(made) if needed else made)
        made = self._inputs[key]
        return GraphQLList(GraphQLNonNull(made)) if structure.many else made

    # Results.

    def _result(self, call: Call) -> Any:
        if call.entity is None:
            returns = call.action.returns
            return GraphQLBoolean if returns in (None, type(None)) else self._output(returns, 0)
        record: Any = self.types.record(call.entity)
        if call.several:
            record = GraphQLList(GraphQLNonNull(record))
        if not call.also:
            return record
        name = self.calls.name_of("result", call.name)
        if name not in self._outputs:
            fields = {"record": GraphQLField(record), "more": GraphQLField(JSON)}
            self._outputs[name] = GraphQLObjectType(name, fields)
        return self._outputs[name]

    def _output(self, hint: Any, depth: int) -> Any:
        kind, many, nullable = taken_apart(hint)
        made: Any = JSON
        if get_origin(kind) is Literal:
            made = GraphQLString if all(isinstance(one, str) for one in get_args(kind)) else JSON
        elif isinstance(kind, type) and kind in _PLAIN:
            made = _PLAIN[kind]
        elif depth < _DEEPEST and is_structure(hint):
            if kind not in self._outputs:
                hints = get_type_hints(kind)
                name = self.calls.name_of("out", kind)
                self._outputs[kind] = GraphQLObjectType(
                    name,
                    lambda: {camel(one): GraphQLField(self._output(of, depth + 1)) for one, of in hints.items()},
                )
            made = self._outputs[kind]
        if many:
            made = GraphQLList(GraphQLNonNull(made))
        return made if nullable or depth == 0 or made is JSON else GraphQLNonNull(made)


def said_of(result: Any) -> Any:
    """A result of own code in the plain forms of JSON."""
    return msgspec.json.decode(msgspec.json.encode(result))


def _upper(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
