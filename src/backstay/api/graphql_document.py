"""A parsed GraphQL document, and the values in it: constants, and places for what its variables bring.

Invariant: a text, a number or a list of them that comes by a variable never decides how the document is read; what
does decide (null, true and false, the names in objects, and all of an order or of groups) is part of a shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any

import msgspec
from graphql.language import (
    ArgumentNode,
    BooleanValueNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    Node,
    NonNullTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from backstay.errors import BadRequest, nearest

SHAPING = ("orderBy", "groupBy")
PAGING = ("after", "before")
_SEALED = ("where", "orderBy", "search")
PLAIN = {str, int, float}
ABSENT: Any = object()


class Document:
    """A parsed document: the operation to run, and which of its variables do more than bring a value."""

    def __init__(self, number: int, text: str, parsed: DocumentNode, name: str | None) -> None:
        self.number = number
        self.text = text
        self.parsed = parsed
        self.fragments: dict[str, FragmentDefinitionNode] = {}
        operations: list[OperationDefinitionNode] = []
        for definition in parsed.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self.fragments[definition.name.value] = definition
            elif isinstance(definition, OperationDefinitionNode):
                operations.append(definition)
            else:
                raise BadRequest("A document asks: it defines operations and fragments, no types.")
        self.operation = _chosen(operations, name)
        self.kind = self.operation.operation
        self.root_names = frozenset(self._names_in(self.operation.selection_set, set()))
        """The names of all fields of `Query` or `Mutation` that it may ask for."""
        definitions = self.operation.variable_definitions or ()
        self.names = [definition.variable.name.value for definition in definitions]
        self._defaults: dict[str, Any] = {
            definition.variable.name.value: exact(definition.default_value, {})
            for definition in definitions if definition.default_value is not None
        }  # fmt: skip
        self._required = {d.variable.name.value for d in definitions if isinstance(d.type, NonNullTypeNode)}
        self.shaping: set[str] = set()
        self.paged: list[FieldNode] = []
        self._find([self.operation, *self.fragments.values()], False)

    def _names_in(self, inside: SelectionSetNode, seen: set[str]) -> Iterator[str]:
        for node in inside.selections:
            if isinstance(node, FieldNode):
                yield node.name.value
            elif isinstance(node, InlineFragmentNode):
                yield from self._names_in(node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if (fragment := self.fragments.get(node.name.value)) is not None:
                    yield from self._names_in(fragment.selection_set, seen)

    def _find(self, nodes: Iterable[object], shaping: bool) -> None:
        """Find the variables that shape the question, and the lists that begin behind a cursor."""
        for node in nodes:
            if isinstance(node, VariableNode) and shaping:
                self.shaping.add(node.name.value)
            if isinstance(node, FieldNode) and any(one.name.value in PAGING for one in node.arguments or ()):
                self.paged.append(node)
            if isinstance(node, Node):
                inside = isinstance(node, ArgumentNode) and node.name.value in SHAPING
                self._find((getattr(node, key) for key in node.keys), shaping or inside)
            elif isinstance(node, tuple):
                self._find(node, shaping)

    def given(self, variables: Mapping[str, Any]) -> dict[Any, Any]:
        """The variables of the operation that have a value, sent or by default."""
        given = {name: variables[name] for name in self.names if name in variables}
        given = {**self._defaults, **given}
        for name in self._required:
            if given.get(name) is None:
                raise BadRequest(f"The variable ${name} needs a value.")
        return given


class Place(str):
    """Stands in a template for a text, a number or a list of them that a variable brings.

    It is a text because the words of a search have to be one.
    """

    __slots__ = ("path",)
    path: tuple[Any, ...]

    @classmethod
    def at(cls, *path: Any) -> Place:
        """The place that is reached by these names and positions."""
        place = cls("$")
        place.path = path
        return place


def exact(node: ValueNode, given: Mapping[Any, Any]) -> Any:
    """The value of a node with these variables; an absent one leaves out the field it stands for."""
    match node:
        case VariableNode(name=name):
            return given.get(name.value, ABSENT)
        case IntValueNode(value=text):
            if len(text) > 40:
                raise BadRequest("A number of the document has too many digits.")
            return int(text)
        case FloatValueNode(value=text):
            return float(text)
        case StringValueNode(value=text) | EnumValueNode(value=text):
            return text
        case BooleanValueNode(value=truth):
            return truth
        case ListValueNode(values=values):
            items = [exact(value, given) for value in values]
            return [None if item is ABSENT else item for item in items]
        case ObjectValueNode(fields=fields):
            if len({one.name.value for one in fields}) < len(fields):
                raise BadRequest("An object of the document has a field twice.")
            pairs = [(one.name.value, exact(one.value, given)) for one in fields]
            return {name: value for name, value in pairs if value is not ABSENT}
        case _:
            return None


def variables(node: ValueNode) -> Iterator[str]:
    """The names of the variables in a value."""
    match node:
        case VariableNode(name=name):
            yield name.value
        case ListValueNode(values=values):
            for value in values:
                yield from variables(value)
        case ObjectValueNode(fields=fields):
            for one in fields:
                yield from variables(one.value)


def pairs(node: FieldNode, given: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
    """What a list was asked, for the seal of its cursors: everything that decides its rows and their order."""
    values = [(a.name.value, exact(a.value, given)) for a in node.arguments or () if a.name.value in _SEALED]
    return tuple(
        (name, msgspec.json.encode(value, order="sorted").decode())
        for name, value in values if value is not None and value is not ABSENT
    )  # fmt: skip


def is_plain(value: list[Any]) -> bool:
    """Whether a list can be one value: it holds texts and numbers and nothing else."""
    return bool(value) and set(map(type, value)) <= PLAIN


def placed(value: Any, *path: Any) -> Any:
    """A variable's value with places for its texts and numbers; what decides the shape stays."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {name: placed(inner, *path, name) for name, inner in value.items()}
    if isinstance(value, list) and not is_plain(value):
        return [placed(inner, *path, i) for i, inner in enumerate(value)]
    return Place.at(*path)


def filled(value: Any, given: Mapping[Any, Any]) -> Any:
    """A value of a template with every place filled."""
    if isinstance(value, Place):
        return reduce(getitem, value.path, given)
    if isinstance(value, dict):
        return {name: filled(inner, given) for name, inner in value.items()}
    return [filled(inner, given) for inner in value] if isinstance(value, list) else value


def _chosen(operations: Sequence[OperationDefinitionNode], name: str | None) -> OperationDefinitionNode:
    names = [operation.name.value for operation in operations if operation.name is not None]
    if name is None and len(operations) == 1:
        return operations[0]
    if name is None:
        raise BadRequest("Name the operation to run." if operations else "The document has no operation.")
    if names.count(name) != 1:
        raise BadRequest(f'The document has no one operation "{name}".{nearest(name, names)}')
    return next(operation for operation in operations if operation.name is not None and operation.name.value == name)
