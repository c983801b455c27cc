"""The fields of a GraphQL document that do something, read: changes of records, and actions.

Invariant: what is said to a field is kept with places for variables, as in a question, and each field has the values of
its own selection, for each is a transaction of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from backstay.api.graphql_actions import Call, Calls
from backstay.api.graphql_reading import TYPENAME, Part, Reading, Wanted
from backstay.errors import BadRequest
from backstay.model.field import Entity
from backstay.model.predicate import Slot
from backstay.plan.ask import One, Selection

Verb = Literal["create", "update", "delete"]
VERBS: tuple[Verb, ...] = ("create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Effect:
    """One field that does something: what is said to it, with places for variables, and what is wanted of its answer.

    `root` reads a record by its key, the first of `values`; `parts` shape what is no record.
    """

    key: str
    said: Mapping[str, Any]
    verb: Verb | Literal["call", "typename"]
    entity: Entity | None = None
    call: Call | None = None
    root: One | None = None
    values: tuple[Any, ...] = ()
    parts: tuple[Part, ...] = ()


def write_fields(entities: Iterable[Entity]) -> dict[str, tuple[Verb, Entity]]:
    """The fields of `Mutation` that change records, by name."""
    return {f"{verb}{entity.name}": (verb, entity) for entity in entities for verb in VERBS}


class EffectReading(Reading):
    """Reads the fields of a document that do something, each with the values of its own selection."""

    def __init__(self, calls: Calls, writes: Mapping[str, tuple[Verb, Entity]], *rest: Any) -> None:
        super().__init__(*rest)
        self.known = calls
        self.writes = writes

    def effects(self) -> tuple[Effect, ...]:
        """The whole document, in its order."""
        fields = list(self._fields([self.document.operation.selection_set], "Mutation", 1))
        if not fields:
            raise BadRequest("This document asks for nothing.")
        if len(fields) > self.limits.max_roots:
            raise BadRequest(f"More than {self.limits.max_roots} fields of Mutation.", code="too_expensive")
        return tuple(self.effect(wanted) for wanted in fields)

    def effect(self, wanted: Wanted) -> Effect:
        """One field."""
        if wanted.name == TYPENAME:
            return Effect(wanted.key, {}, "typename")
        said = {
            argument.name.value: self._value(argument.value, False) for argument in wanted.node.arguments or ()
        }  # fmt: skip
        self.values = [None]  # the key of the record, which is known when it is there
        if (call := self.known.by_name.get(wanted.name)) is not None:
            return self._call(wanted, call, said)
        if (known := self.writes.get(wanted.name)) is None:
            raise BadRequest(f'Mutation has no field "{wanted.name}".', code="unknown_field")
        verb, entity = known
        root = One(entity.name, Slot(0, "id", True), self._selection(wanted, entity, 2))
        return Effect(wanted.key, said, verb, entity, root=root, values=tuple(self.values))

    def _call(self, wanted: Wanted, call: Call, said: Mapping[str, Any]) -> Effect:
        effect = Effect(wanted.key, said, "call", call.entity, call)
        if call.entity is None:
            name = self.known.result_type(call)
            return replace(effect, parts=self._said(wanted, 2, name) if wanted.selections else ())
        if not call.also:
            root = One(call.entity.name, Slot(0, "id"), self._selection(wanted, call.entity, 2))
            return replace(effect, root=root, values=tuple(self.values))
        parts = []
        root = One(call.entity.name, Slot(0, "id"), Selection(False))
        for part in self._inside(wanted, self.known.result_type(call), 2):
            if part.name == "record":
                root = replace(root, selection=self._selection(part, call.entity, 3))
            source = f"={self.known.result_type(call)}" if part.name == TYPENAME else part.name
            parts.append(Part(part.key, source))
        if sum(part.source == "record" for part in parts) > 1:
            raise BadRequest(f"{wanted.name} has record under two keys: ask for it once.")
        return replace(effect, root=root, values=tuple(self.values), parts=tuple(parts))

    def _said(self, wanted: Wanted, depth: int, name: str) -> tuple[Part, ...]:
        """What is wanted of a result that is no record."""
        return tuple(
            Part(
                part.key,
                f"={name}" if part.name == TYPENAME else snake(part.name),
                self._said(part, depth + 1, "") if part.selections else (),
            )
            for part in self._inside(wanted, name, depth)
        )


def snake(word: str) -> str:
    """A word of a document as a name of own code."""
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), word)
