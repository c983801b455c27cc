"""What a change means to whoever looks at a near question: the row appeared, changed, left, or nothing happened.

Invariant: the predicate of the plan is asked of the row before and of the row after, for each viewer; what is told is
made by the plan's own output, so a field that the viewer may not read, or did not ask for, is never in it, and a
change of nothing else tells nothing (law 4). A row that leaves is told by its id alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import msgspec

from backstay.model.field import Entity, Schema
from backstay.plan.glance import Glance, columns_of
from backstay.plan.tree import Column, Expr, Guarded, Leaf, ListRoot, OneRoot, Said
from backstay.store.changes import Change
from backstay.store.json_text import json_text
from backstay.store.keyring import KeyRing
from backstay.store.record import canonical
from backstay.store.sealing import opened_json

Kind: TypeAlias = Literal["create", "update", "delete"]
Told: TypeAlias = tuple[Kind, bytes] | None


class Side:
    """The row before or after a change: as JSON has it, and as its columns hold it."""

    __slots__ = ("columns", "raw")

    def __init__(self, entity: Entity, record: str, text: bytes, keys: Callable[[], KeyRing]) -> None:
        stored = msgspec.json.decode(text)
        self.raw: Mapping[str, Any] = opened_json(keys, entity, record, stored)
        self.columns = columns_of(entity, canonical(entity, stored, sealed=True))


class Altered:
    """A change with both its rows, taken apart once for all who look."""

    def __init__(self, change: Change, schema: Schema, keys: Callable[[], KeyRing]) -> None:
        self.change = change
        self._entity = schema.entities[change.model]
        self._keys = keys

    @cached_property
    def old(self) -> Side | None:
        """The row before."""
        return self._side(self.change.old)

    @cached_property
    def new(self) -> Side | None:
        """The row after."""
        return self._side(self.change.new)

    def _side(self, text: bytes | None) -> Side | None:
        return Side(self._entity, self.change.record, text, self._keys) if text is not None else None


class Onlooker:
    """A near question of one viewer, with the values of its parameters."""

    def __init__(self, root: OneRoot | ListRoot, bound: Sequence[Any]) -> None:
        self.entity = root.rows.source.entity
        self._where = root.rows.source.where
        self._items = root.rows.output.items
        self._bound = bound
        self._named = {field.column: field.name for field in self.entity.fields.values()}

    def concerned(self, altered: Altered) -> bool:
        """Whether the row was or is among those that are looked at."""
        return self._sees(altered.old) or self._sees(altered.new)

    def told(self, altered: Altered) -> Told:
        """What this viewer is told of a change; nothing where nothing that they see has changed."""
        old, new = altered.old, altered.new
        was, now = self._sees(old), self._sees(new)
        if now:
            assert new is not None
            shown = self._shown(new)
            if not was:
                return "create", shown
            assert old is not None
            return ("update", shown) if shown != self._shown(old) else None
        return ("delete", msgspec.json.encode({"id": altered.change.record})) if was else None

    def _sees(self, side: Side | None) -> bool:
        return side is not None and Glance(side.columns, self._bound).holds(self._where)

    def _shown(self, side: Side) -> bytes:
        glance = Glance(side.columns, self._bound)
        shown = {}
        for name, part in self._items:
            if isinstance(part, Said):
                shown[name] = part.text
            else:
                assert isinstance(part, Leaf)
                shown[name] = self._leaf(part.value, part, side, glance)
        return msgspec.json.encode(shown)

    def _leaf(self, expr: Expr, leaf: Leaf, side: Side, glance: Glance) -> Any:
        if isinstance(expr, Guarded):
            return self._leaf(expr.value, leaf, side, glance) if glance.holds(expr.when) else None
        if isinstance(expr, Column):
            return side.raw[self._named[expr.name]]
        value = glance.value(expr)
        if value is None:
            return None
        if leaf.kind.name == "money":
            currency = glance.value(leaf.currency) if leaf.currency is not None else leaf.kind.currency
            return {"amount": value, "currency": currency}
        return msgspec.Raw(json_text(leaf.kind, value))
