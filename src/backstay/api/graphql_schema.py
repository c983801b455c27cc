"""The GraphQL schema of one standing, made once and remembered, and what a document is checked against it for.

Invariant: a document is asked only after it was found valid in the schema of whoever asks it, and what is told of an
invalid one is told out of that schema alone: what is hidden reads like what is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    NamedTypeNode,
    print_schema,
    specified_rules,
    validate,
)
from graphql.validation import (
    ASTValidationRule,
    FieldsOnCorrectTypeRule,
    KnownArgumentNamesRule,
    KnownTypeNamesRule,
    OverlappingFieldsCanBeMergedRule,
    ValuesOfCorrectTypeRule,
)

from backstay.api.action import Action
from backstay.api.graphql_actions import ActionTypes, Calls
from backstay.api.graphql_changes import Verb, write_fields
from backstay.api.graphql_names import Names, camel
from backstay.api.graphql_scalars import scalar
from backstay.api.graphql_types import NODE, Fields, Types
from backstay.api.view import View
from backstay.errors import Problem
from backstay.model.field import Entity, Schema
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.planner import refused
from backstay.plan.scope import unscoped

_TOLD = 10
"""Errors that are told of one document."""
_REMEMBERED = 64
"""Schemas that are remembered, one for each standing."""
_VALID = 5_000
"""Documents that are remembered as valid."""
_SAID = {
    "create": "A new {0}, as whoever made it may read it.",
    "update": "Changes a {0}; it is answered as it stands then.",
    "delete": "Deletes a {0}; it is answered as it was.",
}
_NO_FIELD = "unknown field"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a document: a sentence, a stable code, and where it stands."""

    message: str
    code: str
    places: tuple[tuple[int, int], ...] = ()


class Refused(Exception):
    """A document that is not valid in the schema of whoever asks it."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__(wrong[0].message)
        self.wrong = tuple(wrong)


def _coded(rule: type[Any], code: str) -> type[ASTValidationRule]:
    """A rule of GraphQL whose errors carry a code of ours."""

    def report_error(self: Any, error: GraphQLError) -> None:
        if "code" not in (error.extensions or {}):
            error.extensions = {"code": "unknown_field" if _NO_FIELD in error.message else code}
        rule.report_error(self, error)

    return type(rule.__name__, (rule,), {"report_error": report_error})


_CODES = {
    FieldsOnCorrectTypeRule: "unknown_field", KnownTypeNamesRule: "unknown_field",
    KnownArgumentNamesRule: "unknown_parameter", ValuesOfCorrectTypeRule: "invalid_filter",
}  # fmt: skip
# Fields are merged, and seen to be the same, where a document is read: in one pass, however many there are.
_RULES = [
    _coded(rule, _CODES.get(rule, "bad_request")) for rule in specified_rules
    if rule is not OverlappingFieldsCanBeMergedRule
]  # fmt: skip


class Graph:
    """The schema of one standing. `never` are the fields of `Query` and `Mutation` that it may never use."""

    def __init__(self, of: View, names: Names, calls: Calls, never: Mapping[str, Problem]) -> None:
        self.types = Types(of, names)
        self._calls = ActionTypes(calls, self.types)
        self._never = never
        self._valid: set[int] = set()
        entities = [entity for entity in of.schema.by_plural().values() if of.opens(entity)]
        self.nodes = tuple(entity for entity in entities if entity.key.kind.name == "uuid")
        query, mutation = self._query(entities), self._mutation(of)
        self.schema = GraphQLSchema(
            GraphQLObjectType("Query", query), GraphQLObjectType("Mutation", mutation) if mutation else None,
            types=[self.types.record(entity) for entity in entities], assume_valid=True,
        )  # fmt: skip

    def _query(self, entities: Sequence[Entity]) -> Fields:
        found: Fields = {}
        if self.nodes:
            id_ = {"id": GraphQLArgument(GraphQLNonNull(GraphQLID))}
            found["node"] = GraphQLField(NODE, id_, description="The record with this id, of whatever model.")
        for name, (kind, entity) in root_fields(entities).items():
            made = {"one": self.types.one, "list": self.types.connection, "aggregate": self.types.aggregate}
            found[name] = made[kind](entity)
        return found | self._called(query=True) or {"nothing": GraphQLField(GraphQLBoolean)}

    def _mutation(self, of: View) -> Fields:
        found: Fields = {}
        for name, (verb, entity) in write_fields(of.schema.by_plural().values()).items():
            if of.access(entity, verb) is None:
                continue
            args: dict[str, GraphQLArgument] = {}
            if verb != "create":
                args["id"] = GraphQLArgument(GraphQLNonNull(scalar(entity.key.kind)))
            if verb != "delete":
                inputs = self.types.inputs
                if inputs.sends(entity, new=verb == "create"):
                    made = inputs.create(entity) if verb == "create" else inputs.update(entity)
                    args["input"] = GraphQLArgument(GraphQLNonNull(made))
                elif verb == "update":
                    continue
            found[name] = GraphQLField(self.types.record(entity), args, description=_SAID[verb].format(entity.name))
        return found | self._called(query=False)

    def _called(self, *, query: bool) -> Fields:
        """The actions that this standing may call, of the one kind or the other."""
        return {
            name: self._calls.field(call)
            for name, call in self._calls.calls.by_name.items()
            if call.query == query and self.types.view.calls(call.action.name, call.action.allow) is not None
        }

    def printed(self) -> str:
        """The schema in its own language (SDL)."""
        return print_schema(self.schema) + "\n"

    def knows(self, number: int) -> bool:
        """Whether the document with this number has been found valid."""
        return number in self._valid

    def keep(self, number: int) -> None:
        """Remember that the document with this number is valid."""
        if len(self._valid) >= _VALID:
            self._valid.clear()
        self._valid.add(number)

    def check(self, document: DocumentNode) -> None:
        """Raises `Refused` where a document is not valid."""
        errors = validate(self.schema, document, _RULES, max_errors=_TOLD, allow_empty_selection_sets=False)
        if errors:
            raise Refused([self._told(error) for error in errors[:_TOLD]])

    def _told(self, error: GraphQLError) -> Wrong:
        places = tuple((place.line, place.column) for place in error.locations or ())
        code = (error.extensions or {}).get("code", "too_expensive")
        node = error.nodes[0] if error.nodes else None
        at_root = " on type 'Query'" in error.message or " on type 'Mutation'" in error.message
        if code == "unknown_field" and at_root and isinstance(node, FieldNode) and node.name.value in self._never:
            problem = self._never[node.name.value]
            return Wrong(problem.detail, problem.code, places)
        if isinstance(node, NamedTypeNode) and code != "unknown_field":
            code = "bad_request"
        return Wrong(error.message, code, places)


class Graphs:
    """The schemas of one application, by standing; scopes of keys are left to the plan, which names what they lack."""

    def __init__(self, schema: Schema, limits: Limits, actions: Sequence[Action] = ()) -> None:
        self.schema = schema
        self.limits = limits
        self.names = Names(schema)
        entities = schema.by_plural().values()
        taken = {"node", *root_fields(entities), *write_fields(entities)}
        self.calls = Calls(actions, schema.entities, self.names, taken)
        self._made: dict[Any, Graph] = {}

    def of(self, actor: Actor) -> Graph:
        """The schema of whoever asks."""
        key = (actor.id is not None, actor.roles, frozenset(actor.brought))
        if (graph := self._made.get(key)) is None:
            seen = View(self.schema, actor.id is not None, actor.roles, False, None, frozenset(actor.brought))
            graph = Graph(seen, self.names, self.calls, self._never(seen, unscoped(actor)))
            if len(self._made) >= _REMEMBERED:
                self._made.pop(next(iter(self._made)))
            self._made[key] = graph
        return graph

    def whole(self) -> Graph:
        """The developer's own schema, with everything in it."""
        return Graph(View(self.schema, True, frozenset(), True), self.names, self.calls, {})

    def _never(self, seen: View, actor: Actor) -> dict[str, Problem]:
        """What a standing is told that asks for models it may never read: the same as by REST."""
        every = self.schema.by_plural().values()
        asked: dict[str, tuple[Verb | Literal["read"], Entity]] = {
            **{name: ("read", entity) for name, (_, entity) in root_fields(every).items()}, **write_fields(every),
        }  # fmt: skip
        found = {}
        for name, (verb, entity) in asked.items():
            if seen.access(entity, verb) is None:
                problem = refused(entity, (verb,), self.schema, actor, self.limits)
                if problem is not None:
                    found[name] = problem
        return found


def root_fields(entities: Any) -> dict[str, tuple[Any, Entity]]:
    """The fields of `Query`, by name. Where a plural is no other word than its singular, that one is `...ById`."""
    roots: dict[str, tuple[Any, Entity]] = {}
    entities = list(entities)
    for entity in entities:
        roots[camel(entity.plural)] = ("list", entity)
        roots[f"{camel(entity.plural)}Aggregate"] = ("aggregate", entity)
    for entity in entities:
        name = entity.name[0].lower() + entity.name[1:]
        roots[name if name not in roots else f"{name}ById"] = ("one", entity)
    return roots
