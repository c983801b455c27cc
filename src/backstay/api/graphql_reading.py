"""Reads a GraphQL document into the roots of an `Ask`, under one shape of its variables.

Invariant: no error that is raised here depends on the fields of a model, or it would give away those that are
hidden from the actor. What does not fit a model is handed on, for the planner to refuse in its own words.
"""

from __future__ import annotations

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
from backstay.api.graphql_names import Names, camel
from backstay.api.where import parse_where
from backstay.errors import BadRequest, nearest
from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, Condition, Slot, lift
from backstay.plan.ask import After, Aggregate, Listing, Measure, Nested, One, Root, Selection, Sort
from backstay.plan.limits import Limits

RootKind = Literal["one", "node", "list", "aggregate", "typename", "introspection", "call"]
Roots: TypeAlias = Mapping[str, tuple[RootKind, Entity]]

NODE = "node"
TYPENAME = "__typename"
INTROSPECTION = ("__schema", "__type")
_WINDOW = ("limit", "offset")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "one": ("id",),
    "list": ("where", "orderBy", "search", "first", "after", "last", "before", *_WINDOW),
    "aggregate": ("where", "groupBy", "orderBy", "search", *_WINDOW),
    "nested": ("where", "orderBy", "first", *_WINDOW),
    "leaf": (),
}
_MEASURES = {
    "sum": ("sum", "Sum"), "avg": ("avg", "Avg"), "min": ("min", "Extremes"), "max": ("max", "Extremes"),
    "countDistinct": ("count_distinct", "Counts"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A member of an answer's object: its key, the name it has in what the engine found, and its own members.

    Without members the value stays as it was found; with the source `""` they are members of the object around, or
    the value itself where there are none; a source that begins with `=` is a text that is known. `at` is the root of
    the ask, counted from the first of its answer, whose records it holds.
    """

    key: str
    source: str
    parts: tuple[Part, ...] = ()
    at: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How the answer to one field is written: under which key, in which form, and what its cursors are sealed with.

    `roots` of the ask, from `at` on, are asked for it.
    """

    key: str
    kind: RootKind
    entity: str = ""
    parts: tuple[Part, ...] = ()
    at: int = 0
    roots: int = 1
    pairs: tuple[tuple[str, str], ...] = ()
    offset: int = 0
    backwards: bool = False
    behind: bool = False
    """Whether it begins behind a cursor or an offset."""


@dataclass(frozen=True, slots=True)
class Template:
    """A document read under one shape of variables: the shape of its ask, and values with places in them."""

    roots: tuple[Root, ...]
    values: tuple[Any, ...]
    answers: tuple[Answer, ...]
    sealed: tuple[FieldNode | None, ...]
    """The lists that want a cursor, at the positions of their answers."""
    calls: tuple[Any, ...] = ()
    """The actions that are called."""


@dataclass(slots=True)
class Wanted:
    """A field that is wanted, with all the selections that were written for its key."""

    key: str
    name: str
    node: FieldNode
    selections: list[SelectionSetNode] = field(default_factory=list)


class Reading:
    """Reads one document under one shape of variables, and collects the values that its ask leaves open."""

    def __init__(
        self, document: Document, given: Mapping[Any, Any], roots: Roots, names: Names, limits: Limits,
        nodes: Sequence[Entity] = (), call: Callable[[Wanted], Any] | None = None,
    ) -> None:  # fmt: skip
        self.roots = roots
        self.types = names
        self.limits = limits
        self.document = document
        self.given = given
        self.nodes = nodes
        self.call = call
        """Reads a field that is an action, and nothing where it is none."""
        self.calls: list[Any] = []
        self.placed = {name: placed(value, name) for name, value in given.items()}
        self.values: list[Any] = []
        self.size = 0
        self._aliases = 0

    def template(self) -> Template:
        """The whole document."""
        fields = list(self._fields([self.document.operation.selection_set], "Query", 1))
        if not fields:
            raise BadRequest("This document asks for nothing.")
        if len(fields) > self.limits.max_roots:
            raise BadRequest(f"More than {self.limits.max_roots} fields of Query.", code="too_expensive")
        roots: list[Root] = []
        answers: list[Answer] = []
        sealed: list[FieldNode | None] = []
        for wanted in fields:
            read, answer = self._root(wanted)
            at = answer.at if answer.kind == "call" else len(roots)
            answers.append(replace(answer, at=at, roots=len(read)))
            sealed.append(wanted.node if answer.kind == "list" and any(map(_seals, answer.parts)) else None)
            roots += read
        seals = tuple(sealed) if any(sealed) else ()
        return Template(tuple(roots), tuple(self.values), tuple(answers), seals, tuple(self.calls))

    def names(self, word: str) -> str:
        """Our name for a word of the document."""
        return self.types.name(word)

    # Roots.

    def _root(self, wanted: Wanted) -> tuple[Sequence[Root], Answer]:
        if wanted.name == TYPENAME:
            return (), Answer(wanted.key, "typename", "Query")
        if wanted.name in INTROSPECTION:
            return (), Answer(wanted.key, "introspection")
        if self.call is not None and (called := self.call(wanted)) is not None:
            self.calls.append(called)
            return (), Answer(wanted.key, "call", at=len(self.calls) - 1)
        if wanted.name == NODE and NODE not in self.roots:
            return self._node(wanted)
        known = self.roots.get(wanted.name)
        if known is None:
            raise BadRequest(f'Query has no field "{wanted.name}".{nearest(wanted.name, self.roots)}',
                             code="unknown_field")  # fmt: skip
        kind, entity = known
        if not wanted.selections:
            inside = {"one": "id", "list": "nodes { id }", "aggregate": "count"}[kind]
            raise BadRequest(f"{wanted.name} needs a selection, such as {{ {inside} }}.")
        arguments = self._arguments(wanted, kind)
        match kind:
            case "one":
                return self._one(wanted, entity, arguments)
            case "list":
                return self._listing(wanted, entity, arguments)
            case _:
                return self._aggregate(wanted, entity, arguments)

    def _one(self, wanted: Wanted, entity: Entity, arguments: dict[str, Any]) -> tuple[Sequence[Root], Answer]:
        selection = self._selection(wanted, entity, 2)
        return (One(entity.name, self._id(wanted, arguments), selection),), Answer(wanted.key, "one", entity.plural)

    def _id(self, wanted: Wanted, arguments: dict[str, Any]) -> Slot:
        key = self._slot(arguments, "id")
        if key is None:
            raise BadRequest(f"{wanted.name} needs an id.")
        return key

    def _node(self, wanted: Wanted) -> tuple[Sequence[Root], Answer]:
        """A record of any model: one branch of the statement looks in each of those that may be read."""
        key = self._id(wanted, self._arguments(wanted, "one"))
        roots = [One(entity.name, key, self._selection(wanted, entity, 2, any_type=True)) for entity in self.nodes]
        return roots, Answer(wanted.key, "node")

    def _listing(self, wanted: Wanted, entity: Entity, arguments: dict[str, Any]) -> tuple[Sequence[Root], Answer]:
        root = Listing(
            entity.name, where=self._where(arguments), sort=self._sort(arguments),
            search=self._slot(arguments, "search"), limit=self._limit(arguments),
            offset=self._slot(arguments, "offset"), backwards="last" in arguments,
        )  # fmt: skip
        if root.backwards and root.offset is not None:
            raise BadRequest("last goes without offset: it counts from the end.", code="unknown_parameter")
        if root.backwards and root.search is not None and not root.sort:
            raise BadRequest("Found by rank, a list has no order to go back in: name one.", code="invalid_sort")
        root = self._behind(root, wanted.node)
        selections: list[Selection] = []
        parts = [self._of_list(part, wanted, entity, selections) for part in self._inside(
            wanted, self.types.type(entity, "Connection"), 2)]  # fmt: skip
        counted = any(part.source == "totalCount" for part in parts)
        root = replace(
            root, selection=selections[0] if selections else Selection(everything=False),
            count="exact" if counted else "none", keyed=any(map(_seals, parts)),
        )  # fmt: skip
        # What is wanted of a record in two ways is asked in two branches of the statement.
        more = [replace(root, selection=selection, count="none") for selection in selections[1:]]
        behind = root.after is not None or root.offset is not None
        answer = Answer(wanted.key, "list", entity.plural, tuple(parts), backwards=root.backwards, behind=behind)
        return (root, *more), answer

    def _of_list(self, part: Wanted, wanted: Wanted, entity: Entity, selections: list[Selection]) -> Part:
        """One field of a connection; what is wanted of its records is added to the selections."""
        self._arguments(part, "leaf")

        def rows(of: Wanted, depth: int) -> int:
            selection = self._selection(of, entity, depth)
            if selection not in selections:
                selections.append(selection)
            return selections.index(selection)

        match part.name:
            case "nodes":
                return Part(part.key, "nodes", at=rows(part, 3))
            case "edges":
                inner = []
                for one in self._inside(part, self.types.type(entity, "Edge"), 3):
                    self._arguments(one, "leaf")
                    if one.name == "node":
                        inner.append(Part(one.key, "node", at=rows(one, 4)))
                    else:
                        inner.append(Part(one.key, self._leaf_of(one, ("cursor", TYPENAME), "edges")))
                typed = tuple(self._typed(one, self.types.type(entity, "Edge")) for one in inner)
                return Part(part.key, "edges", typed)
            case "pageInfo":
                names = ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor", TYPENAME)
                found = [Part(one.key, self._leaf_of(one, names, part.name)) for one in self._inside(
                    part, "PageInfo", 3)]  # fmt: skip
                return Part(part.key, "pageInfo", tuple(self._typed(one, "PageInfo") for one in found))
            case _:
                source = self._leaf_of(part, ("totalCount", "nodes", "edges", "pageInfo", TYPENAME), wanted.name)
                return self._typed(Part(part.key, source), self.types.type(entity, "Connection"))

    def _typed(self, part: Part, name: str) -> Part:
        return replace(part, source=f"={name}") if part.source == TYPENAME else part

    def _behind(self, root: Listing, node: FieldNode) -> Listing:
        """The list, begun where its cursor says: behind the keys of a row, or at an offset."""
        named = {argument.name.value for argument in node.arguments or ()} & {"after", "before"}
        if len(named) > 1:
            raise BadRequest("A list begins after one cursor or before one, not both.", code="unknown_parameter")
        if node not in self.document.paged:
            return root
        number = self.document.paged.index(node)
        place = self.given[number]
        if place is not None and root.backwards != ("before" in named):
            said = "before goes with last, and after with first."
            raise BadRequest(said, code="unknown_parameter")
        if place is not None and root.offset is not None:
            raise BadRequest("A list begins after a cursor or at an offset, not both.")
        if isinstance(place, list):
            keys = enumerate(place)
            return replace(
                root, after=After(tuple(None if key is None else self._lift(Place.at(number, i)) for i, key in keys))
            )
        return root if place is None else replace(root, offset=self._lift(Place.at(number), "after"))

    def _aggregate(self, wanted: Wanted, entity: Entity, arguments: dict[str, Any]) -> tuple[Sequence[Root], Answer]:
        where, search = self._where(arguments), self._slot(arguments, "search")
        groups = self._groups(arguments.get("groupBy"))
        measures: dict[str, Measure] = {}
        parts = []
        name = self.types.type(entity, "Aggregate")
        for part in self._inside(wanted, name, 2):
            self._arguments(part, "leaf")
            if part.name == "group":
                inside = self._inside(part, self.types.type(entity, "Group"), 3)
                inner = tuple(self._group(one, (), groups, 3, entity) for one in inside)
                parts.append(Part(part.key, "", inner))
            elif (known := _MEASURES.get(part.name)) is not None:
                fn, suffix = known
                of = self.types.type(entity, suffix)
                inner = tuple(
                    self._measure(one, fn, (), measures, 3, (entity, suffix)) for one in self._inside(part, of, 3)
                )
                parts.append(Part(part.key, fn, inner))
            else:
                source = self._leaf_of(part, ("count", "group", *_MEASURES, TYPENAME), wanted.name)
                parts.append(self._typed(Part(part.key, source), name))
                if source == "count":
                    measures["count"] = Measure("count", "count")
        root = Aggregate(
            entity.name, groups, tuple(measures.values()), where, search, self._sort(arguments, groups),
            self._limit(arguments), self._slot(arguments, "offset"),
        )  # fmt: skip
        return (root,), Answer(wanted.key, "aggregate", entity.plural, tuple(parts))

    def _groups(self, raw: Any) -> tuple[tuple[str, ...], ...]:
        texts = [] if raw is None else raw if isinstance(raw, list) else [raw]
        if not all(isinstance(text, str) for text in texts):
            raise BadRequest('groupBy takes names, such as ["status", "customer.country"].', code="invalid_filter")
        return tuple(tuple(self.names(word) for word in text.split(".")) for text in texts)

    def _group(
        self, part: Wanted, way: tuple[str, ...], groups: tuple[tuple[str, ...], ...], depth: int,
        entity: Entity | None,
    ) -> Part:  # fmt: skip
        """One field of `group`: a path that is grouped by, or a relation on the way to one."""
        self._arguments(part, "leaf")
        if part.name == TYPENAME:
            return Part(part.key, f"={self.types.type(entity, 'Group') if entity is not None else 'MoneyGroup'}")
        path = (*way, self.names(part.name))
        name = ".".join(map(camel, path))
        if path in groups:
            if part.selections and (inside := self._value_of(part, depth)):
                return Part(part.key, path[-1], inside)
            if (inner := self._money(part, depth)) is None:
                raise BadRequest(f'Group by the fields inside "{name}" to select them.', code="unknown_field")
            return Part(part.key, path[-1], inner)
        if not any(path == known[: len(path)] for known in groups):
            known_paths = [".".join(map(camel, known)) for known in groups]
            raise BadRequest(f'"{name}" is not in groupBy.{nearest(name, known_paths)}', code="unknown_field")
        target = _target(entity, path[-1])
        inside_type = self.types.type(target, "Group") if target is not None else ""
        found = self._inside(part, inside_type, depth + 1)
        return Part(part.key, path[-1], tuple(self._group(one, path, groups, depth + 1, target) for one in found))

    def _value_of(self, part: Wanted, depth: int) -> tuple[Part, ...]:
        """`placedAt { value }`, where a day or an instant is grouped by itself."""
        inside = list(self._fields(part.selections, "DateGroup", depth + 1))
        if not {one.name for one in inside} <= {"value", TYPENAME}:
            return ()
        return tuple(Part(one.key, "" if one.name == "value" else "=DateGroup") for one in inside)

    def _measure(
        self, part: Wanted, fn: Any, way: tuple[str, ...], measures: dict[str, Measure], depth: int,
        of: tuple[Entity | None, str],
    ) -> Part:  # fmt: skip
        """One field of a number's object: a field to measure, or a relation (or money) on the way to it."""
        self._arguments(part, "leaf")
        entity, suffix = of
        if part.name == TYPENAME:
            return Part(part.key, f"={self.types.type(entity, suffix) if entity is not None else 'Money'}")
        path = (*way, self.names(part.name))
        target = _target(entity, path[-1])
        found = self._money(part, depth) if target is None or not part.selections else None
        if found is None:
            name = self.types.type(target, suffix) if target is not None else part.name
            inside = self._inside(part, name, depth + 1)
            inner = tuple(self._measure(one, fn, path, measures, depth + 1, (target, suffix)) for one in inside)
            return Part(part.key, path[-1], inner)
        label = f"{fn}.{'.'.join(path)}"
        measures[label] = Measure(label, fn, path)
        return Part(part.key, path[-1], found)

    # Records.

    def _selection(self, wanted: Wanted, entity: Entity | None, depth: int, *, any_type: bool = False) -> Selection:
        """What is wanted of a record, in the order of the document."""
        fields: list[tuple[str, str]] = []
        nested: list[Nested] = []
        type_name = self.types.type(entity) if entity is not None else ""
        found = list(self._fields(wanted.selections, type_name, depth, any_type=any_type))
        if not found and not any_type:
            raise BadRequest(f"{wanted.name} needs a selection of its fields: {wanted.name} {{ ... }}.")
        for part in found:
            if part.name == TYPENAME:
                self._arguments(part, "leaf")
                fields.append((part.key, f"={type_name}"))
                continue
            name = self.names(part.name)
            known = (entity.fields.get(name) or entity.computed.get(name)) if entity is not None else None
            fields.append((part.key, name))
            if not part.selections:
                self._arguments(part, "leaf")
            elif known is not None and known.kind.name == "money" and not part.node.arguments:
                money = self._money(part, depth)
                if money is None or money:
                    nested.append(self._parts_of_money(part, name, money, depth))
            else:
                nested.append(self._nested(part, name, _target(entity, name), depth))
        return Selection(False, tuple(fields), tuple(nested))

    def _nested(self, part: Wanted, name: str, target: Entity | None, depth: int) -> Nested:
        arguments = self._arguments(part, "nested")
        where, sort = self._where(arguments), self._sort(arguments)
        limit, offset = self._limit(arguments), self._slot(arguments, "offset")
        selection = self._selection(part, target, depth + 1)
        return Nested(part.key, name, selection, where, sort, limit, offset)

    def _parts_of_money(self, part: Wanted, name: str, money: tuple[Part, ...] | None, depth: int) -> Nested:
        """Money that is not wanted whole; what fits no money is left for the planner to refuse."""
        if money is None:
            return Nested(part.key, name, self._selection(part, None, depth + 1))
        fields = tuple((one.key, one.source) for one in money)
        return Nested(part.key, name, Selection(False, fields))

    def _money(self, part: Wanted, depth: int) -> tuple[Part, ...] | None:
        """The parts of money that are wanted; nothing for all of it; `None` where the selection fits no money."""
        if not part.selections:
            return ()
        inside = list(self._fields(part.selections, "Money", depth + 1))
        leaves = all(not one.selections and not one.node.arguments for one in inside)
        if not inside or not leaves or not {one.name for one in inside} <= {"amount", "currency", TYPENAME}:
            return None
        if [(one.key, one.name) for one in inside] == [("amount", "amount"), ("currency", "currency")]:
            return ()
        return tuple(Part(one.key, "=Money" if one.name == TYPENAME else one.name) for one in inside)

    # Arguments.

    def _arguments(self, part: Wanted, kind: str) -> dict[str, Any]:
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
        named = [name for name in ("first", "limit", "last") if name in arguments]
        if "last" in named and len(named) > 1:
            raise BadRequest("first and last are two ends of a list: give one of them.", code="unknown_parameter")
        if len(named) > 1:
            raise BadRequest("first and limit mean the same: give one of them.", code="unknown_parameter")
        return self._slot(arguments, named[0]) if named else None

    def _where(self, arguments: dict[str, Any]) -> Condition:
        if "where" not in arguments:
            return ANYONE
        return lift(parse_where(arguments["where"], self.names), self.values)

    def _sort(self, arguments: dict[str, Any], groups: tuple[tuple[str, ...], ...] | None = None) -> tuple[Sort, ...]:
        raw = arguments.get("orderBy", [])
        return tuple(self._sort_key(one, groups) for one in (raw if isinstance(raw, list) else [raw]))

    def _sort_key(self, raw: Any, groups: tuple[tuple[str, ...], ...] | None) -> Sort:
        path: list[str] = []
        while isinstance(raw, Mapping) and len(raw) == 1:
            ((word, raw),) = raw.items()
            path.append(self.names(word))
        if not path or raw not in ("ASC", "DESC"):
            raise BadRequest("orderBy takes one field each, with ASC or DESC: [{price: DESC}, {name: ASC}].",
                             code="invalid_sort")  # fmt: skip
        if groups is not None and path[0] == "group":
            del path[0]
            if path[-1:] == ["value"] and tuple(path[:-1]) in groups:
                del path[-1]  # a day or an instant itself, and not the month it is in
        return Sort(tuple(path), raw == "DESC")

    # Selections.

    def _inside(self, part: Wanted, type_name: str, depth: int) -> list[Wanted]:
        if not (found := list(self._fields(part.selections, type_name, depth))):
            raise BadRequest(f"{part.name} needs a selection of its fields: {part.name} {{ ... }}.")
        return found

    def _leaf_of(self, part: Wanted, names: Sequence[str], owner: str) -> str:
        """The name of a field without fields inside, which `owner` must have."""
        if part.name not in names:
            hint = nearest(part.name, names) or (" Fields of a record stand in nodes { ... }." * ("nodes" in names))
            raise BadRequest(f'{owner} has no field "{part.name}".{hint}', code="unknown_field")
        if part.selections:
            raise BadRequest(f"{part.name} of {owner} has no fields inside.")
        self._arguments(part, "leaf")
        return part.name

    def _fields(
        self, selections: Sequence[SelectionSetNode], type_name: str, depth: int, *, any_type: bool = False
    ) -> Iterator[Wanted]:
        """The fields of an object, those of fragments among them, each key once."""
        if depth > self.limits.document_depth:
            raise BadRequest(f"More than {self.limits.document_depth} levels.", code="too_expensive")
        found: dict[str, Wanted] = {}
        for node in self._flat(selections, type_name, set(), any_type):
            self.size += 1
            if self.size > self.limits.document_tokens:
                raise BadRequest("Its fragments make this document too large.", code="too_expensive")
            name = node.name.value
            key = node.alias.value if node.alias is not None else name
            if name.startswith("__") and name != TYPENAME and name not in INTROSPECTION:
                raise BadRequest(f"There is no {name}.", code="unknown_field")
            part = found.setdefault(key, Wanted(key, name, node))
            if part.name != name or not _same_arguments(part.node, node):
                raise BadRequest(f'"{key}" stands for two different things: give one of them another alias.')
            if node.selection_set is not None:
                part.selections.append(node.selection_set)
        if len(found) > self.limits.document_width:
            raise BadRequest(f"More than {self.limits.document_width} fields of one object.", code="too_expensive")
        self._aliases += sum(part.key != part.name for part in found.values())
        if self._aliases > self.limits.document_aliases:
            raise BadRequest(f"More than {self.limits.document_aliases} aliases.", code="too_expensive")
        return iter(found.values())

    def _flat(
        self, selections: Iterable[SelectionSetNode], type_name: str, seen: set[str], any_type: bool
    ) -> Iterator[FieldNode]:
        for node in (node for selection in selections for node in selection.selections if self._included(node)):
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._fragment(node, type_name, seen, any_type)
            elif isinstance(node, FragmentSpreadNode) and (name := node.name.value) not in seen:
                seen.add(name)
                if name not in self.document.fragments:
                    raise BadRequest(f"There is no fragment {name}.{nearest(name, self.document.fragments)}")
                yield from self._fragment(self.document.fragments[name], type_name, seen, any_type)

    def _fragment(
        self, node: InlineFragmentNode | FragmentDefinitionNode, type_name: str, seen: set[str], any_type: bool
    ) -> Iterator[FieldNode]:
        on = node.type_condition.name.value if node.type_condition is not None else type_name
        if on in (type_name, "Node"):
            yield from self._flat([node.selection_set], type_name, seen, any_type)
        elif not any_type:
            # The planner refuses a field of this name where the record may be seen; elsewhere it refuses the record.
            yield FieldNode(name=NameNode(value=f"... on {on}"))

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


def _target(entity: Entity | None, name: str) -> Entity | None:
    part = (entity.fields.get(name) or entity.to_many.get(name)) if entity is not None else None
    return part.target if part is not None else None


def _same_arguments(one: FieldNode, other: FieldNode) -> bool:
    if one is other:
        return True
    mine, theirs = one.arguments or (), other.arguments or ()
    return len(mine) == len(theirs) and frozenset(mine) == frozenset(theirs)


def _seals(part: Part) -> bool:
    """Whether cursors of records are wanted."""
    return any(inner.source in ("cursor", "startCursor", "endCursor") for inner in part.parts)
