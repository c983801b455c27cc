"""Reads a GraphQL document into the roots of an `Ask`, under one shape of its variables.

Invariant: no error that is raised here depends on the fields of a model, or it would give away those that are
hidden from the actor. What does not fit a model is handed on, for the planner to refuse in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from graphql.language import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NameNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
)

from backstay.api.graphql_document import ABSENT, SHAPING, Document, Place, exact, placed, variables
from backstay.api.where import parse_where
from backstay.errors import BadRequest, nearest
from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, Condition, Slot, lift
from backstay.plan.ask import After, Aggregate, Listing, Measure, Nested, One, Root, Selection, Sort
from backstay.plan.limits import Limits

RootKind = Literal["one", "list", "aggregate"]
Roots: TypeAlias = Mapping[str, tuple[RootKind, Entity]]

_WINDOW = ("limit", "offset")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "one": ("id",),
    "list": ("where", "orderBy", "search", "first", "after", *_WINDOW),
    "aggregate": ("where", "groupBy", "orderBy", "search", *_WINDOW),
    "nested": ("where", "orderBy", "first", *_WINDOW),
    "leaf": (),
}
_MEASURES = {"sum": "sum", "avg": "avg", "min": "min", "max": "max", "countDistinct": "count_distinct"}


@dataclass(frozen=True, slots=True)
class Part:
    """A member of an answer's object: its key, the name it has in what the engine found, and its own members.

    Without members the value stays as it was found; with the source `""` they are members of the object around.
    """

    key: str
    source: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """How the answer to one root is written: under which key, in which form, and what its cursors are sealed with."""

    key: str
    kind: RootKind
    entity: str
    parts: tuple[Part, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A document read under one shape of variables: the shape of its ask, and values with places in them."""

    roots: tuple[Root, ...]
    values: tuple[Any, ...]
    answers: tuple[Answer, ...]
    sealed: tuple[FieldNode | None, ...]
    """The lists that want a cursor, at the positions of their answers; empty where none does."""


@dataclass(slots=True)
class _Field:
    """A field that is wanted, with all the selections that were written for its key."""

    key: str
    name: str
    node: FieldNode
    selections: list[SelectionSetNode] = field(default_factory=list)


class Reading:
    """Reads one document under one shape of variables, and collects the values that its ask leaves open."""

    def __init__(
        self, document: Document, given: Mapping[Any, Any], roots: Roots, names: Callable[[str], str], limits: Limits
    ) -> None:
        self.roots = roots
        self.names = names
        self.limits = limits
        self.document = document
        self.given = given
        self.placed = {name: placed(value, name) for name, value in given.items()}
        self.values: list[Any] = []
        self.size = 0

    def template(self) -> Template:
        """The whole document."""
        fields = list(self._fields([self.document.operation.selection_set], "Query", 1))
        if not fields:
            raise BadRequest("This document asks for nothing.")
        if len(fields) > self.limits.max_roots:
            raise BadRequest(f"More than {self.limits.max_roots} fields of Query.", code="too_expensive")
        read = [self._root(wanted) for wanted in fields]
        sealed = tuple(
            wanted.node if any(_wants_cursor(part) for part in answer.parts) else None
            for wanted, (_, answer) in zip(fields, read, strict=True)
        )
        return Template(
            tuple(root for root, _ in read), tuple(self.values), tuple(answer for _, answer in read),
            sealed if any(sealed) else (),
        )  # fmt: skip

    # Roots.

    def _root(self, wanted: _Field) -> tuple[Root, Answer]:
        known = self.roots.get(wanted.name)
        if known is None:
            raise BadRequest(f'Query has no field "{wanted.name}".{nearest(wanted.name, self.roots)}',
                             code="unknown_field")  # fmt: skip
        kind, entity = known
        if not wanted.selections:
            inside = {"one": "id", "list": "nodes { id }", "aggregate": "count"}[kind]
            raise BadRequest(f"{wanted.name} needs a selection, such as {{ {inside} }}.")
        arguments = self._arguments(wanted, kind)
        read = {"one": self._one, "list": self._listing, "aggregate": self._aggregate}[kind]
        root, parts = read(wanted, entity, arguments)
        return root, Answer(wanted.key, kind, entity.plural, parts)

    def _one(self, wanted: _Field, entity: Entity, arguments: dict[str, Any]) -> tuple[Root, tuple[Part, ...]]:
        key = self._slot(arguments, "id")
        if key is None:
            raise BadRequest(f"{wanted.name} needs an id.")
        selection, parts = self._selection(wanted, entity, 2)
        return One(entity.name, key, selection), parts

    def _listing(self, wanted: _Field, entity: Entity, arguments: dict[str, Any]) -> tuple[Root, tuple[Part, ...]]:
        root = Listing(
            entity.name, where=self._where(arguments), sort=self._sort(arguments),
            search=self._slot(arguments, "search"), limit=self._limit(arguments),
            offset=self._slot(arguments, "offset"),
        )  # fmt: skip
        root = self._behind(root, wanted.node)
        selected: list[Selection] = []
        parts = []
        for part in self._inside(wanted, f"{entity.name}Connection", 2):
            self._arguments(part, "leaf")
            inner: tuple[Part, ...] = ()
            match part.name:
                case "nodes":
                    selection, inner = self._selection(part, entity, 3)
                    selected.append(selection)
                case "pageInfo":
                    inner = tuple(
                        Part(one.key, self._leaf_of(one, ("hasNextPage", "endCursor"), part.name))
                        for one in self._inside(part, "PageInfo", 3)
                    )
                case _:
                    self._leaf_of(part, ("totalCount", "nodes", "pageInfo"), wanted.name)
                    root = replace(root, count="exact")
            parts.append(Part(part.key, part.name, inner))
        if len(selected) > 1:
            raise BadRequest(f"{wanted.name} has nodes under two keys: ask for {wanted.name} under two keys instead.")
        return replace(root, selection=selected[0] if selected else Selection(everything=False)), tuple(parts)

    def _behind(self, root: Listing, node: FieldNode) -> Listing:
        """The list, begun where its cursor says: behind the keys of a row, or at an offset."""
        if node not in self.document.paged:
            return root
        number = self.document.paged.index(node)
        place = self.given[number]
        if place is not None and root.offset is not None:
            raise BadRequest("A list begins after a cursor or at an offset, not both.")
        if isinstance(place, list):
            keys = enumerate(place)
            return replace(
                root, after=After(tuple(None if key is None else self._lift(Place.at(number, i)) for i, key in keys))
            )
        return root if place is None else replace(root, offset=self._lift(Place.at(number), "after"))

    def _aggregate(self, wanted: _Field, entity: Entity, arguments: dict[str, Any]) -> tuple[Root, tuple[Part, ...]]:
        where, search = self._where(arguments), self._slot(arguments, "search")
        groups = self._groups(arguments.get("groupBy"))
        measures: dict[str, Measure] = {}
        parts = []
        for part in self._inside(wanted, f"{entity.name}Aggregate", 2):
            self._arguments(part, "leaf")
            if part.name == "group":
                inner = tuple(self._group(one, (), groups, 3) for one in self._inside(part, "group", 3))
                parts.append(Part(part.key, "", inner))
            elif (fn := _MEASURES.get(part.name)) is not None:
                inner = tuple(self._measure(one, fn, (), measures, 3) for one in self._inside(part, part.name, 3))
                parts.append(Part(part.key, fn, inner))
            else:
                self._leaf_of(part, ("count", "group", *_MEASURES), wanted.name)
                measures["count"] = Measure("count", "count")
                parts.append(Part(part.key, "count"))
        root = Aggregate(
            entity.name, groups, tuple(measures.values()), where, search, self._sort(arguments, groups=True),
            self._limit(arguments), self._slot(arguments, "offset"),
        )  # fmt: skip
        return root, tuple(parts)

    def _groups(self, raw: Any) -> tuple[tuple[str, ...], ...]:
        texts = [] if raw is None else raw if isinstance(raw, list) else [raw]
        if not all(isinstance(text, str) for text in texts):
            raise BadRequest('groupBy takes names, such as ["status", "customer.country"].', code="invalid_filter")
        return tuple(tuple(self.names(word) for word in text.split(".")) for text in texts)

    def _group(self, part: _Field, way: tuple[str, ...], groups: tuple[tuple[str, ...], ...], depth: int) -> Part:
        """One field of `group`: a path that is grouped by, or a relation on the way to one."""
        self._arguments(part, "leaf")
        path = (*way, self.names(part.name))
        name = ".".join(map(camel, path))
        if path in groups:
            if (inner := self._money(part, depth)) is None:
                raise BadRequest(f'Group by the fields inside "{name}" to select them.', code="unknown_field")
            return Part(part.key, path[-1], inner)
        if not any(path == known[: len(path)] for known in groups):
            known_paths = [".".join(map(camel, known)) for known in groups]
            raise BadRequest(f'"{name}" is not in groupBy.{nearest(name, known_paths)}', code="unknown_field")
        inside = self._inside(part, part.name, depth + 1)
        return Part(part.key, path[-1], tuple(self._group(one, path, groups, depth + 1) for one in inside))

    def _measure(self, part: _Field, fn: Any, way: tuple[str, ...], measures: dict[str, Measure], depth: int) -> Part:
        """One field of a number's object: a field to measure, or a relation (or money) on the way to it."""
        self._arguments(part, "leaf")
        path = (*way, self.names(part.name))
        if part.selections:
            inside = self._inside(part, part.name, depth + 1)
            return Part(part.key, path[-1], tuple(self._measure(one, fn, path, measures, depth + 1) for one in inside))
        label = f"{fn}.{'.'.join(path)}"
        measures[label] = Measure(label, fn, path)
        return Part(part.key, path[-1])

    # Records.

    def _selection(self, wanted: _Field, entity: Entity | None, depth: int) -> tuple[Selection, tuple[Part, ...]]:
        """What is wanted of a record; and its parts, where the answer is not simply what was selected."""
        fields: list[tuple[str, str]] = []
        nested: list[Nested] = []
        parts: list[Part] = []
        for part in self._inside(wanted, entity.name if entity is not None else "", depth):
            name = self.names(part.name)
            known = (entity.fields.get(name) or entity.computed.get(name)) if entity is not None else None
            inner: tuple[Part, ...] | None = ()
            if not part.selections:
                self._arguments(part, "leaf")
            elif known is not None and known.kind.name == "money" and not part.node.arguments:
                inner = self._money(part, depth)
            else:
                inner = None
            if inner is None:
                relation, inner = self._nested(part, name, _target(entity, name), depth)
                nested.append(relation)
            else:
                fields.append((part.key, name))
            parts.append(Part(part.key, part.key, inner))
        return Selection(False, tuple(fields), tuple(nested)), tuple(parts) if any(p.parts for p in parts) else ()

    def _nested(self, part: _Field, name: str, target: Entity | None, depth: int) -> tuple[Nested, tuple[Part, ...]]:
        arguments = self._arguments(part, "nested")
        where, sort = self._where(arguments), self._sort(arguments)
        limit, offset = self._limit(arguments), self._slot(arguments, "offset")
        selection, parts = self._selection(part, target, depth + 1)
        return Nested(part.key, name, selection, where, sort, limit, offset), parts

    def _money(self, part: _Field, depth: int) -> tuple[Part, ...] | None:
        """The parts of money that are wanted; nothing for all of it; `None` where the selection fits no money."""
        if not part.selections:
            return ()
        inside = list(self._fields(part.selections, "Money", depth + 1))
        leaves = all(not one.selections and not one.node.arguments for one in inside)
        if not inside or not leaves or not {one.name for one in inside} <= {"amount", "currency"}:
            return None
        plain = len(inside) == 2 and all(one.key == one.name for one in inside)
        return () if plain else tuple(Part(one.key, one.name) for one in inside)

    # Arguments.

    def _arguments(self, part: _Field, kind: str) -> dict[str, Any]:
        allowed = _ARGUMENTS[kind]
        found: dict[str, Any] = {}
        for argument in part.node.arguments or ():
            name = argument.name.value
            if name not in allowed:
                raise BadRequest(f'{part.name} has no argument "{name}".{nearest(name, allowed)}',
                                 code="unknown_parameter")  # fmt: skip
            if name in found:
                raise BadRequest(f"{part.name} has the argument {name} twice.")
            found[name] = self._value(argument.value, name in SHAPING)
        return {name: value for name, value in found.items() if value is not None and value is not ABSENT}

    def _value(self, node: ValueNode, as_sent: bool) -> Any:
        """The value of an argument: as it was sent where it shapes the question, else with places for variables."""
        for name in variables(node):
            if name not in self.document.names:
                raise BadRequest(f"The operation defines no variable ${name}.{nearest(name, self.document.names)}")
        return exact(node, self.given if as_sent else self.placed)

    def _lift(self, value: Any, place: str = "") -> Slot:
        self.values.append(value)
        return Slot(len(self.values) - 1, place)

    def _slot(self, arguments: dict[str, Any], name: str) -> Slot | None:
        return self._lift(arguments[name], name) if name in arguments else None

    def _limit(self, arguments: dict[str, Any]) -> Slot | None:
        if "first" in arguments and "limit" in arguments:
            raise BadRequest("first and limit mean the same: give one of them.", code="unknown_parameter")
        return self._slot(arguments, "first" if "first" in arguments else "limit")

    def _where(self, arguments: dict[str, Any]) -> Condition:
        if "where" not in arguments:
            return ANYONE
        return lift(parse_where(arguments["where"], self.names), self.values)

    def _sort(self, arguments: dict[str, Any], *, groups: bool = False) -> tuple[Sort, ...]:
        raw = arguments.get("orderBy", [])
        return tuple(self._sort_key(one, groups) for one in (raw if isinstance(raw, list) else [raw]))

    def _sort_key(self, raw: Any, groups: bool) -> Sort:
        path: list[str] = []
        while isinstance(raw, Mapping) and len(raw) == 1:
            ((word, raw),) = raw.items()
            path.append(self.names(word))
        if not path or raw not in ("ASC", "DESC"):
            raise BadRequest("orderBy takes one field each, with ASC or DESC: [{price: DESC}, {name: ASC}].",
                             code="invalid_sort")  # fmt: skip
        if groups and path[0] == "group":
            del path[0]
        return Sort(tuple(path), raw == "DESC")

    # Selections.

    def _inside(self, part: _Field, type_name: str, depth: int) -> list[_Field]:
        if not (found := list(self._fields(part.selections, type_name, depth))):
            raise BadRequest(f"{part.name} needs a selection of its fields: {part.name} {{ ... }}.")
        return found

    def _leaf_of(self, part: _Field, names: Sequence[str], owner: str) -> str:
        """The name of a field without fields inside, which `owner` must have."""
        if part.name not in names:
            hint = nearest(part.name, names) or (" Fields of a record stand in nodes { ... }." * ("nodes" in names))
            raise BadRequest(f'{owner} has no field "{part.name}".{hint}', code="unknown_field")
        if part.selections:
            raise BadRequest(f"{part.name} of {owner} has no fields inside.")
        self._arguments(part, "leaf")
        return part.name

    def _fields(self, selections: Sequence[SelectionSetNode], type_name: str, depth: int) -> Iterator[_Field]:
        """The fields of an object, those of fragments among them, each key once."""
        if depth > self.limits.document_depth:
            raise BadRequest(f"More than {self.limits.document_depth} levels.", code="too_expensive")
        found: dict[str, _Field] = {}
        for node in self._flat(selections, type_name, set()):
            self.size += 1
            if self.size > self.limits.document_tokens:
                raise BadRequest("Its fragments make this document too large.", code="too_expensive")
            name = node.name.value
            key = node.alias.value if node.alias is not None else name
            if name.startswith("__"):
                raise BadRequest(f"{name} is not answered: this endpoint reads records only.", code="unknown_field")
            part = found.setdefault(key, _Field(key, name, node))
            if part.name != name or frozenset(part.node.arguments or ()) != frozenset(node.arguments or ()):
                raise BadRequest(f'"{key}" stands for two different things: give one of them another alias.')
            if node.selection_set is not None:
                part.selections.append(node.selection_set)
        return iter(found.values())

    def _flat(self, selections: Iterable[SelectionSetNode], type_name: str, seen: set[str]) -> Iterator[FieldNode]:
        for node in (node for selection in selections for node in selection.selections if self._included(node)):
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._fragment(node, type_name, seen)
            elif isinstance(node, FragmentSpreadNode) and (name := node.name.value) not in seen:
                seen.add(name)
                if name not in self.document.fragments:
                    raise BadRequest(f"There is no fragment {name}.{nearest(name, self.document.fragments)}")
                yield from self._fragment(self.document.fragments[name], type_name, seen)

    def _fragment(
        self, node: InlineFragmentNode | FragmentDefinitionNode, type_name: str, seen: set[str]
    ) -> Iterator[FieldNode]:
        on = node.type_condition.name.value if node.type_condition is not None else type_name
        if on != type_name:
            # The planner refuses a field of this name where the record may be seen; elsewhere it refuses the record.
            yield FieldNode(name=NameNode(value=f"... on {on}"))
        else:
            yield from self._flat([node.selection_set], type_name, seen)

    def _included(self, node: SelectionNode) -> bool:
        included = True
        for directive in node.directives or ():
            name = directive.name.value
            if name not in ("include", "skip"):
                raise BadRequest(f"There is no directive @{name}.{nearest(name, ('include', 'skip'))}")
            given = {argument.name.value: self._value(argument.value, True) for argument in directive.arguments or ()}
            if set(given) != {"if"} or not isinstance(given["if"], bool):
                raise BadRequest(f"@{name} takes one argument: if, which is true or false.")
            included = included and given["if"] is (name == "include")
        return included


def camel(name: str) -> str:
    """A name as GraphQL spells it: `created_at` is `createdAt`, `address_2` stays."""
    return re.sub(r"(?<=[A-Za-z0-9])_([a-z])", lambda found: found[1].upper(), name)


def _target(entity: Entity | None, name: str) -> Entity | None:
    part = (entity.fields.get(name) or entity.to_many.get(name)) if entity is not None else None
    return part.target if part is not None else None


def _wants_cursor(part: Part) -> bool:
    return part.source == "pageInfo" and any(inner.source == "endCursor" for inner in part.parts)
