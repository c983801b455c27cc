"""Records of an existing application as its own code knows them: instances of its mapped classes.

Invariant: such an instance belongs to no session. What was read is loaded; asking for anything else raises, as
SQLAlchemy has it for an instance that is detached, and nothing that is set on it is written by SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from backstay.model.symbol import key_of
from backstay.model.value import Kind
from backstay.store.mapped_kind import held_value


@dataclass(frozen=True, slots=True)
class _Attribute:
    """Where the class keeps a field: its column, and for a relation the relationship beside it."""

    column: str
    relation: str
    kind: Kind
    refers: bool


@dataclass(slots=True)
class MappedForm:
    """How one mapped class holds its records."""

    mapper: Mapper[Any]
    fields: dict[str, _Attribute] = field(default_factory=dict)
    many: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, column: str, relation: str, kind: Kind, *, refers: bool) -> None:
        """A field by its name: the attribute of its column and that of its relationship, where there is one."""
        self.fields[name] = _Attribute(column, relation, kind, refers)

    def add_many(self, name: str, attribute: str) -> None:
        """A relation to many by its name."""
        self.many[name] = attribute

    def make(self, values: Mapping[str, Any]) -> Any:
        """An instance that holds these values and no others."""
        record = self.mapper.class_manager.new_instance()
        for name, value in values.items():
            if (attribute := self.fields.get(name)) is not None:
                self._fill(record, attribute, name, value)
            elif (many := self.many.get(name)) is not None:
                set_committed_value(record, many, value)
            else:
                record.__dict__[name] = value  # a computed field, or a relation that the class does not know
        if values.get("id") is not None:
            make_transient_to_detached(record)
        return record

    def _fill(self, record: Any, attribute: _Attribute, name: str, value: Any) -> None:
        if not attribute.refers:
            set_committed_value(record, attribute.column, held_value(attribute.kind, value))
            return
        if attribute.relation:
            set_committed_value(record, attribute.relation, value)
        else:
            record.__dict__[name] = value
        key = None if value is None else key_of(value)
        set_committed_value(record, attribute.column, key)

    def take(self, record: Any) -> dict[str, Any]:
        """What an instance holds, by the names of the entity."""
        held = record.__dict__
        found = {}
        for name, attribute in self.fields.items():
            if attribute.relation and self._was_set(record, attribute.relation):
                found[name] = held[attribute.relation]
            elif attribute.column in held:
                found[name] = held[attribute.column]
        return found | {name: list(held[many]) for name, many in self.many.items() if many in held}

    def _was_set(self, record: Any, relation: str) -> bool:
        state = record.__dict__["_sa_instance_state"]
        return relation in record.__dict__ and relation in state.committed_state
