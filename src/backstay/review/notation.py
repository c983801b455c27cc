"""A condition as JSON and back, so that two revisions of an application can be compared outside of both.

Invariant: two conditions that are written alike mean the same. A name is written with what it stands for (the kind of a
field, where a relation leads, how a computed field is made), so that a rule over something that was redefined is
another rule; and a constant is written with its type, because `1` is not `True`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, cast

from backstay.model.field import Entity
from backstay.model.predicate import (
    Always,
    And,
    Arithmetic,
    Brought,
    Choice,
    Compare,
    Condition,
    HasRole,
    IsNull,
    Me,
    Not,
    Now,
    Operand,
    Or,
    Path,
    Quantified,
    Search,
    SignedIn,
    Total,
    Value,
    normal,
)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Always, And, Arithmetic, Brought, Choice, Compare, HasRole, IsNull, Me, Not, Now, Or, Path, Quantified, Search,
        SignedIn, Total, Value,
    )
}  # fmt: skip


def written(condition: Condition | Operand, entity: Entity | None, user: Entity) -> Any:
    """A condition over records of an entity as JSON; of an action, which has no record, without one."""
    return _Writer(user).node(condition, (entity,))


def read(raw: Any) -> Condition:
    """What was written, its constants as their types and texts. Raises `ValueError` for what is no condition."""
    try:
        return cast(Condition, _read(raw))
    except (KeyError, TypeError) as error:
        raise ValueError(f"This is no condition: {error}.") from None


def roles_of(raw: Any) -> frozenset[str]:
    """The roles that a written condition names, anywhere inside."""
    if isinstance(raw, Mapping):
        here = frozenset((raw["role"],)) if raw.get("is") == "HasRole" else frozenset[str]()
        return here.union(*(roles_of(part) for part in raw.values()))
    if isinstance(raw, list):
        return frozenset[str]().union(*(roles_of(part) for part in raw))
    return frozenset()


class _Writer:
    def __init__(self, user: Entity) -> None:
        self.user = user
        self._inside: list[str] = []

    def node(self, node: Any, frames: tuple[Entity | None, ...]) -> Any:
        """A condition or an operand; `frames` are the record and those of the quantifiers around it."""
        match node:
            case Path(names, root, when):
                here = frames[root] if root < len(frames) else None
                return {"is": "Path", "names": self._names(names, here)[0], "root": root, "when": when}
            case Me(names):
                return {"is": "Me", "names": self._names(names, self.user)[0]}
            case Value(value):
                return {"is": "Value", "value": _constant(value)}
            case Now(offset):
                return {"is": "Now", "offset": offset / timedelta(microseconds=1)}
            case Quantified(kind, path, body):
                inner = (*frames, self._target(path, frames))
                return {"is": "Quantified", "kind": kind, "path": self.node(path, frames),
                        "body": self.node(body, inner)}  # fmt: skip
            case Total(fn, path, of, where):
                inner = (*frames, self._target(path, frames))
                value = None if of is None else self.node(of, inner)
                return {"is": "Total", "fn": fn, "path": self.node(path, frames), "of": value,
                        "where": self.node(where, inner)}  # fmt: skip
            case tuple():
                return [self.node(part, frames) for part in node]
            case str() | bool() | int():
                return node
            case _:
                said = {part.name: self.node(getattr(node, part.name), frames) for part in fields(node)}
                return {"is": type(node).__name__, **said}

    def _target(self, path: Path, frames: tuple[Entity | None, ...]) -> Entity | None:
        return self._names(path.names, frames[path.root])[1] if path.root < len(frames) else None

    def _names(self, names: Sequence[str], here: Entity | None) -> tuple[list[str], Entity | None]:
        """The names of a path, each with what it stands for, and where the path ends."""
        said = []
        for name in names:
            if here is None:
                said.append(name)
            elif (relation := here.to_many.get(name)) is not None:
                through = f" through {relation.through.name}.{relation.onward}" if relation.through is not None else ""
                said.append(f"{name}: many {relation.target.name} by {relation.via}{through}")
                here = relation.target
            elif (computed := here.computed.get(name)) is not None:
                said.append(f"{name}: {self._made(here, computed.value, f'{here.name}.{name}')}")
                here = None
            elif (field := here.fields.get(name)) is not None:
                kind = f"{field.kind.name} {field.kind.currency}".strip()
                said.append(f"{name}: {field.target.name if field.target is not None else kind}")
                here = field.target
            else:
                said.append(name)
                here = None
        return said, here

    def _made(self, entity: Entity, value: Any, name: str) -> str:
        if name in self._inside:
            return "itself"
        self._inside.append(name)
        try:
            whole = self.node(normal(value) if _is_condition(value) else value, (entity,))
            return json.dumps(whole, sort_keys=True, separators=(",", ":"))
        finally:
            self._inside.pop()


def _is_condition(value: Any) -> bool:
    return isinstance(value, (Always, And, Compare, HasRole, IsNull, Not, Or, Quantified, Search, SignedIn))


def _constant(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_constant(item) for item in value]
    return f"{type(value).__name__} {value!r}"


def _read(raw: Any) -> Any:
    if isinstance(raw, list):
        return tuple(_read(part) for part in raw)
    if not isinstance(raw, dict):
        return raw
    kind = raw["is"]
    said = {name: _read(part) for name, part in raw.items() if name != "is"}
    if kind == "Now":
        said["offset"] = timedelta(microseconds=said["offset"])
    return _KINDS[kind](**said)
