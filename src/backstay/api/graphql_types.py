"""The types of one standing's GraphQL schema: records, lists, groups and numbers, made from the declaration.

Invariant: every type asks the same `View` as the OpenAPI document, so a field that this standing may not read is in
none of them, and no suggestion can name it. What may be null follows from the declaration alone: it is the same for
everybody.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
)

from backstay.api.graphql_inputs import Inputs
from backstay.api.graphql_names import Names, camel, is_enum
from backstay.api.graphql_scalars import DATE_GROUP, JSON, LONG, MONEY, MONEY_GROUP, scalar
from backstay.api.openapi_schemas import said
from backstay.api.view import Part, View
from backstay.model.field import Computed, Entity, Field, ToMany
from backstay.model.predicate import ANYONE, normal
from backstay.model.value import Kind
from backstay.plan.planner import SUMMABLE

Fields: TypeAlias = dict[str, GraphQLField]
_NODE = "A record that is found by its id alone."

NODE = GraphQLInterfaceType("Node", {"id": GraphQLField(GraphQLNonNull(GraphQLID))}, description=_NODE)
PAGE_INFO = GraphQLObjectType(
    "PageInfo",
    {
        "hasNextPage": GraphQLField(GraphQLNonNull(GraphQLBoolean)),
        "hasPreviousPage": GraphQLField(GraphQLNonNull(GraphQLBoolean)),
        "startCursor": GraphQLField(GraphQLString, description="The place of the first record, for `before`."),
        "endCursor": GraphQLField(GraphQLString, description="The place of the last record, for `after`."),
    },
)


class Types:
    """The output types that are made for one view, each once."""

    def __init__(self, of: View, names: Names) -> None:
        self.view = of
        self.names = names
        self._made: dict[str, GraphQLObjectType] = {}
        self._enums: dict[str, GraphQLEnumType] = {}
        self.inputs = Inputs(of, names, self.enum)

    # Values.

    def enum(self, entity: Entity, part: Field | Computed) -> GraphQLEnumType | None:
        """The enum of a field whose choices can be spelled as one."""
        if not is_enum(part.kind):
            return None
        name = self.names.enum(entity, part.name)
        if name not in self._enums:
            doc = inspect.getdoc(part.kind.enum) if part.kind.enum is not None else None
            values = {str(choice): GraphQLEnumValue(choice) for choice in part.kind.choices}
            self._enums[name] = GraphQLEnumType(name, values, description=doc or part.doc or None)
        return self._enums[name]

    def value(self, entity: Entity, part: Field | Computed) -> GraphQLOutputType:
        """What a field holds."""
        kind = part.kind
        if (enum := self.enum(entity, part)) is not None:
            return enum
        if kind.name == "money":
            return JSON if kind.sealed else MONEY
        if kind.name == "list":
            assert kind.item is not None
            item = MONEY if kind.item.name == "money" else scalar(kind.item)
            return GraphQLList(GraphQLNonNull(JSON if kind.item.name == "money" else item))
        return scalar(kind)

    # Records.

    def record(self, entity: Entity) -> GraphQLObjectType:
        """A record; of a model that this standing can never read there is the id alone."""
        name = self.names.type(entity)
        if name not in self._made:
            node = entity.key.kind.name == "uuid" and self.view.opens(entity)
            self._made[name] = GraphQLObjectType(
                name, lambda: self._fields(entity), interfaces=[NODE] if node else [],
                description=said(entity) or None,
            )  # fmt: skip
        return self._made[name]

    def _fields(self, entity: Entity) -> Fields:
        if not self.view.opens(entity):
            return {"id": self._field(entity, entity.key)}
        found: Fields = {}
        for part in self.view.parts(entity):
            if isinstance(part, ToMany):
                if self.view.opens(part.target):
                    found[camel(part.name)] = self._many(part)
            elif isinstance(part, Field) and part.target is not None:
                if self.view.opens(part.target):
                    found[camel(part.name)] = self._one(part, part.target)
                if word := self.names.key_of(part):
                    told = f"The id of `{camel(part.name)}`."
                    found[word] = GraphQLField(self._nullable(scalar(part.kind), part), description=told)
            else:
                found[camel(part.name)] = self._field(entity, part)
        return found

    def _field(self, entity: Entity, part: Field | Computed) -> GraphQLField:
        return GraphQLField(self._nullable(self.value(entity, part), part), description=part.doc or None)

    def _nullable(self, of: Any, part: Part) -> GraphQLOutputType:
        """A type that may be null where the field may be, or may be seen of some records only."""
        maybe = isinstance(part, Computed) or (isinstance(part, Field) and part.reads_null)
        result: GraphQLOutputType = of if maybe or normal(part.read) != ANYONE else GraphQLNonNull(of)
        return result

    def _one(self, part: Field, target: Entity) -> GraphQLField:
        record: Any = self.record(target)
        sure = normal(target.rules["read"]) == ANYONE and target.existing is None
        return GraphQLField(self._nullable(record, part) if sure else record, description=part.doc or None)

    def _many(self, part: ToMany) -> GraphQLField:
        args = {name: arg for name, arg in self.inputs.window(part.target).items() if name != "search"}
        return GraphQLField(_all(self.record(part.target)), args, description=part.doc or None)

    # Lists.

    def connection(self, entity: Entity) -> GraphQLField:
        """The root field of a list."""
        name = self.names.type(entity, "Connection")
        if name not in self._made:
            record = self.record(entity)
            edge = GraphQLObjectType(
                self.names.type(entity, "Edge"),
                {
                    "node": GraphQLField(GraphQLNonNull(record)),
                    "cursor": GraphQLField(GraphQLNonNull(GraphQLString), description="Its place, for `after`."),
                },
            )
            self._made[name] = GraphQLObjectType(
                name,
                {
                    "nodes": GraphQLField(_all(record)),
                    "edges": GraphQLField(_all(edge)),
                    "totalCount": GraphQLField(GraphQLNonNull(GraphQLInt), description="How many there are in all."),
                    "pageInfo": GraphQLField(GraphQLNonNull(PAGE_INFO)),
                },
            )
        args = self.inputs.window(entity)
        after = ("after", "Behind the record with this cursor.")
        paging = (after, ("before", "Before the record with this cursor; with `last`."))
        args |= {word: GraphQLArgument(GraphQLString, description=told) for word, told in paging}
        args["last"] = GraphQLArgument(GraphQLInt, description="So many, from the end of the list.")
        return GraphQLField(self._made[name], args, description=said(entity) or None)

    def one(self, entity: Entity) -> GraphQLField:
        """The root field of one record."""
        args = {"id": GraphQLArgument(GraphQLNonNull(scalar(entity.key.kind)))}
        return GraphQLField(self.record(entity), args, description=said(entity) or None)

    # Groups and numbers.

    def aggregate(self, entity: Entity) -> GraphQLField:
        """The root field of numbers about groups."""
        name = self.names.type(entity, "Aggregate")
        if name not in self._made:
            fields: Fields = {
                "count": GraphQLField(GraphQLNonNull(GraphQLInt), description="How many records."),
                "group": GraphQLField(
                    GraphQLNonNull(self._groups(entity)), description="What `groupBy` names of them."
                ),
            }
            for word, suffix in (
                ("sum", "Sum"), ("avg", "Avg"), ("min", "Extremes"), ("max", "Extremes"), ("countDistinct", "Counts"),
            ):  # fmt: skip
                if self._measured(entity, suffix, set()):
                    fields[word] = GraphQLField(GraphQLNonNull(self._numbers(entity, suffix)))
            self._made[name] = GraphQLObjectType(name, fields)
        args = {word: arg for word, arg in self.inputs.window(entity).items() if word not in ("orderBy", "first")}
        paths = GraphQLList(GraphQLNonNull(GraphQLString))
        told = 'Paths to group by, such as "status", "customer.city" or "placedAt.month".'
        args["groupBy"] = GraphQLArgument(paths, description=told)
        args["orderBy"] = GraphQLArgument(GraphQLList(GraphQLNonNull(self.inputs.group_order(entity))))
        return GraphQLField(GraphQLList(GraphQLNonNull(self._made[name])), args)

    def _ordered(self, entity: Entity) -> list[Field | Computed]:
        return [part for part in self.view.parts(entity) if not isinstance(part, ToMany) and part.kind.ordered]

    def _walk(
        self, entity: Entity, leaf: Callable[[Field | Computed], Any], inner: Callable[[Entity], Any],
        passes: Callable[[Entity], bool] = lambda target: True,
    ) -> Fields:  # fmt: skip
        """The fields of an object that mirrors a record: what `leaf` makes of values, and `inner` of relations."""
        found: Fields = {}
        for part in self._ordered(entity):
            if isinstance(part, Field) and part.target is not None:
                if self.view.opens(part.target) and passes(part.target):
                    found[camel(part.name)] = GraphQLField(inner(part.target))
                if (word := self.names.key_of(part)) and (kind := leaf(part)) is not None:
                    found[word] = GraphQLField(kind)
            elif (kind := leaf(part)) is not None:
                found[camel(part.name)] = GraphQLField(kind)
        return found

    def _groups(self, entity: Entity) -> GraphQLObjectType:
        name = self.names.type(entity, "Group")

        def leaf(part: Field | Computed) -> GraphQLOutputType:
            if part.kind.name == "money":
                return MONEY if part.kind.currency else MONEY_GROUP
            return DATE_GROUP if part.kind.name in ("date", "datetime") else self.value(entity, part)

        if name not in self._made:
            self._made[name] = GraphQLObjectType(name, lambda: self._walk(entity, leaf, self._groups))
        return self._made[name]

    def _number(self, entity: Entity, part: Field | Computed, suffix: str) -> GraphQLOutputType | None:
        kind: Kind = part.kind
        if suffix == "Counts":
            return GraphQLInt
        if suffix in ("Sum", "Avg") and (kind.name not in SUMMABLE):
            return None
        if suffix == "Avg":
            return GraphQLFloat
        if suffix == "Extremes" and kind.name == "boolean":
            return None
        if (suffix == "Sum" and kind.name == "integer") or (kind.name == "money" and not kind.currency):
            return LONG
        return self.value(entity, part)

    def _measured(self, entity: Entity, suffix: str, seen: set[str]) -> bool:
        """Whether there is anything to measure of a record, or of those that it leads to."""
        if entity.name in seen:
            return False
        seen.add(entity.name)
        return any(
            self._number(entity, part, suffix) is not None
            or (isinstance(part, Field) and part.target is not None and self.view.opens(part.target)
                and self._measured(part.target, suffix, seen))
            for part in self._ordered(entity)
        )  # fmt: skip

    def _numbers(self, entity: Entity, suffix: str) -> GraphQLObjectType:
        name = self.names.type(entity, suffix)
        if name not in self._made:
            self._made[name] = GraphQLObjectType(
                name,
                lambda: self._walk(
                    entity,
                    lambda part: self._number(entity, part, suffix),
                    lambda target: self._numbers(target, suffix),
                    lambda target: self._measured(target, suffix, set()),
                ),
            )
        return self._made[name]


def _all(of: GraphQLObjectType) -> GraphQLOutputType:
    return GraphQLNonNull(GraphQLList(GraphQLNonNull(of)))
