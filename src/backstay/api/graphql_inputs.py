"""The input types of one standing's GraphQL schema: filters, orders, and what a record is made of.

Invariant: as for what is answered, a field that this standing may not read is in no filter and in no order, and one
that it may not set is in no input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
)

from backstay.api.graphql_names import Names, camel
from backstay.api.graphql_scalars import DATE_ORDER, DIRECTION, JSON, MONEY_INPUT, MONEY_ORDER, Filters, scalar
from backstay.api.view import View
from backstay.model.field import Computed, Entity, Field, ToMany

InputFields: TypeAlias = dict[str, GraphQLInputField]
Enum: TypeAlias = Callable[[Entity, Field | Computed], GraphQLEnumType | None]


class Inputs:
    """The input types that are made for one view, each once."""

    def __init__(self, of: View, names: Names, enum: Enum) -> None:
        self.view = of
        self.names = names
        self._enum = enum
        self._filters = Filters()
        self._made: dict[str, GraphQLInputObjectType] = {}

    def _type(self, entity: Entity, suffix: str, fields: Callable[[], InputFields], told: str = "") -> Any:
        name = self.names.type(entity, suffix)
        if name not in self._made:
            self._made[name] = GraphQLInputObjectType(name, fields, description=told or None)
        return self._made[name]

    def window(self, entity: Entity) -> dict[str, GraphQLArgument]:
        """What a list takes: which records, in which order, how many."""
        found = {
            "where": GraphQLArgument(self.filter(entity)),
            "orderBy": GraphQLArgument(GraphQLList(GraphQLNonNull(self.order(entity)))),
            "first": GraphQLArgument(GraphQLInt, description="At most so many."),
            "limit": GraphQLArgument(GraphQLInt, description="The same as `first`."),
            "offset": GraphQLArgument(GraphQLInt, description="Behind so many others."),
        }
        if entity.search:
            told = "Words that the record has, best first where no order is named."
            found["search"] = GraphQLArgument(GraphQLString, description=told)
        return found

    # Filters.

    def filter(self, entity: Entity) -> GraphQLInputObjectType:
        """Which records: all of what it says must be true of one."""
        told = "All of it must be true of a record."
        made: GraphQLInputObjectType = self._type(entity, "Filter", lambda: self._filter(entity), told)
        return made

    def _filter(self, entity: Entity) -> InputFields:
        own = self.filter(entity)
        several = GraphQLInputField(GraphQLList(GraphQLNonNull(own)))
        found: InputFields = {"and": several, "or": several, "not": GraphQLInputField(own)}
        if entity.search:
            found["search"] = GraphQLInputField(GraphQLString)
        for part in self.view.parts(entity):
            if isinstance(part, ToMany):
                if self.view.opens(part.target):
                    found[camel(part.name)] = GraphQLInputField(self._many(part.target))
            elif part.kind.sealed:
                continue
            elif isinstance(part, Field) and part.target is not None:
                if self.view.opens(part.target):
                    found[camel(part.name)] = GraphQLInputField(self.filter(part.target))
                if word := self.names.key_of(part):
                    found[word] = GraphQLInputField(self._filters.of(part.kind, None))
            else:
                found[camel(part.name)] = GraphQLInputField(self._filters.of(part.kind, self._enum(entity, part)))
        return found

    def _many(self, target: Entity) -> GraphQLInputObjectType:
        inner = GraphQLInputField(self.filter(target))
        made: GraphQLInputObjectType = self._type(
            target, "ManyFilter", lambda: {"some": inner, "none": inner, "every": inner}
        )
        return made

    # Orders.

    def order(self, entity: Entity) -> GraphQLInputObjectType:
        """One key of an order: one field, or one of a record that it leads to."""
        told = "One field with its direction; several keys are several of these."
        made: GraphQLInputObjectType = self._type(
            entity, "Order", lambda: dict(self._keys(entity, self.order, grouped=False)), told
        )
        return made

    def _keys(
        self, entity: Entity, inner: Callable[[Entity], GraphQLInputObjectType], *, grouped: bool
    ) -> Iterator[tuple[str, GraphQLInputField]]:
        for part in self.view.parts(entity):
            if isinstance(part, ToMany) or not part.kind.ordered:
                continue
            if isinstance(part, Field) and part.target is not None:
                if self.view.opens(part.target):
                    yield camel(part.name), GraphQLInputField(inner(part.target))
                if word := self.names.key_of(part):
                    yield word, GraphQLInputField(DIRECTION)
            elif grouped and part.kind.name in ("date", "datetime"):
                yield camel(part.name), GraphQLInputField(DATE_ORDER)
            elif grouped and part.kind.name == "money" and not part.kind.currency:
                yield camel(part.name), GraphQLInputField(MONEY_ORDER)
            else:
                yield camel(part.name), GraphQLInputField(DIRECTION)

    def group_order(self, entity: Entity) -> GraphQLInputObjectType:
        """One key of an order of groups: what is grouped by, or a number."""

        def fields() -> InputFields:
            order = GraphQLInputField(self.order(entity))
            return {
                "count": GraphQLInputField(DIRECTION),
                "group": GraphQLInputField(self._grouped(entity)),
                **dict.fromkeys(("sum", "avg", "min", "max", "countDistinct"), order),
            }

        made: GraphQLInputObjectType = self._type(entity, "AggregateOrder", fields)
        return made

    def _grouped(self, entity: Entity) -> GraphQLInputObjectType:
        made: GraphQLInputObjectType = self._type(
            entity, "GroupOrder", lambda: dict(self._keys(entity, self._grouped, grouped=True))
        )
        return made

    # What a record is made of.

    def create(self, entity: Entity) -> GraphQLInputObjectType:
        """A new record. A record that it refers to stands in it by its id, or is made with it."""
        told = "What a new record is made of."
        made: GraphQLInputObjectType = self._type(entity, "Create", lambda: self._values(entity, new=True), told)
        return made

    def update(self, entity: Entity) -> GraphQLInputObjectType:
        """A change: what is not named stays as it is."""
        told = "What is to be changed; the rest stays."
        made: GraphQLInputObjectType = self._type(entity, "Update", lambda: self._values(entity, new=False), told)
        return made

    def _values(self, entity: Entity, *, new: bool) -> InputFields:
        found: InputFields = {}
        for field in entity.fields.values():
            if not self.view.sends(field) or field.name == "id":
                continue
            told = field.doc or None
            if field.target is not None:
                if word := self.names.key_of(field):
                    found[word] = GraphQLInputField(scalar(field.kind), description=told)
                if new and self._makes(field.target):
                    found[camel(field.name)] = GraphQLInputField(self.create(field.target), description=told)
                continue
            kind = self._sent(entity, field)
            needed = new and field.required
            found[camel(field.name)] = GraphQLInputField(GraphQLNonNull(kind) if needed else kind, description=told)
        for relation in entity.to_many.values():
            if not self.view.sees(relation) or not self.view.allows(relation.write):
                continue
            told = relation.doc or None
            if relation.as_list:
                ids = GraphQLList(GraphQLNonNull(scalar(relation.target.key.kind)))
                found[camel(relation.name)] = GraphQLInputField(ids, description=told)
            elif new and relation.through is None and self._makes(relation.target):
                several = GraphQLList(GraphQLNonNull(self.create(relation.target)))
                found[camel(relation.name)] = GraphQLInputField(several, description=told)
        return found

    def _makes(self, entity: Entity) -> bool:
        """Whether a record may be made inside another one, and there is anything to say of it."""
        return not entity.hidden and self.view.access(entity, "create") is not None

    def sends(self, entity: Entity, *, new: bool) -> bool:
        """Whether there is anything to say of a record."""
        return bool(self._values(entity, new=new))

    def _sent(self, entity: Entity, field: Field) -> Any:
        kind = field.kind
        if (enum := self._enum(entity, field)) is not None:
            return enum
        if kind.name == "money":
            return MONEY_INPUT
        if kind.name == "list":
            assert kind.item is not None
            return GraphQLList(GraphQLNonNull(JSON if kind.item.name == "money" else scalar(kind.item)))
        made: GraphQLInputType = scalar(kind)
        return made
