"""Records as own code sees them: made from canonical values or from JSON, and taken apart again.

Invariant: a record holds what was read and nothing else; what was not loaded raises when it is asked for. Those of an
existing application are instances of its own class, made by the form that came with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, cast

from backstay.model.field import Entity
from backstay.model.symbol import is_record, key_of
from backstay.model.value import Kind, Unfit, as_python, parse, plain
from backstay.plan.actor import Actor


def canonical(entity: Entity, raw: Mapping[str, Any], *, sealed: bool = False) -> dict[str, Any]:
    """The stored fields of a record from its JSON; its encrypted values as they are, where they are still sealed."""
    return {
        name: raw[name] if sealed and part.kind.sealed else _canonical(part.kind, raw[name])
        for name, part in entity.fields.items() if name in raw
    }  # fmt: skip


def _canonical(kind: Kind, raw: Any) -> Any:
    if raw is None:
        return None
    try:
        return parse(_stored(kind), raw)
    except Unfit:
        if kind.stored is None:
            raise
        return raw  # another application wrote it, by rules of its own


@cache
def _stored(kind: Kind) -> Kind:
    """What a stored value of this kind is read as; there are as many kinds as declarations have fields."""
    return replace(plain(kind), max_length=1_000_000)


def instance(entity: Entity, values: Mapping[str, Any]) -> Any:
    """A record as the user's own code sees it, from canonical values."""
    return _made(entity, {name: _seen(entity, name, value) for name, value in values.items()})


def _seen(entity: Entity, name: str, value: Any) -> Any:
    part = entity.fields[name]
    return as_python(part.kind, value) if part.target is None else reference(part.target, value)


def reference(entity: Entity, key: Any) -> Any:
    """A record of which only the id is known."""
    return None if key is None else _made(entity, {"id": as_python(entity.key.kind, key)})


def whoever(user: Entity, actor: Actor) -> Any:
    """The record that stands for an actor; one without an id stands for nobody."""
    return _made(user, {}) if actor.id is None else reference(user, actor.id)


def load(entity: Entity, raw: Mapping[str, Any]) -> Any:
    """A record from its JSON, with whatever was expanded in it."""
    expanded = {name for name, part in entity.fields.items() if part.target and isinstance(raw.get(name), dict)}
    stored = canonical(entity, {name: value for name, value in raw.items() if name not in expanded})
    values = {name: _seen(entity, name, value) for name, value in stored.items()}
    for name, value in raw.items():
        if name in expanded:
            values[name] = load(cast(Entity, entity.fields[name].target), value)
        elif name in entity.to_many:
            values[name] = [load(entity.to_many[name].target, item) for item in value]
        elif (computed := entity.computed.get(name)) is not None:
            values[name] = as_python(computed.kind, _canonical(computed.kind, value))
    return _made(entity, values)


def _made(entity: Entity, values: Mapping[str, Any]) -> Any:
    if entity.existing is not None:
        return entity.existing.form.make(values)
    record = object.__new__(entity.model)
    record.__dict__.update(values)
    return record


def said_of(entity: Entity, record: Any, *, everything: bool, without: str = "") -> dict[str, Any]:
    """What a new record says of itself, as a client would send it: with the new records inside it, and ids of others.

    Without `everything` what the server sets is left out. A record inside another may name that one as what it refers
    to.
    """
    said: dict[str, Any] = {}
    for name, value in taken(entity, record).items():
        if (relation := entity.to_many.get(name)) is not None:
            said[name] = [_inside(relation.target, member, everything, relation.via, record) for member in value]
        elif (part := entity.fields.get(name)) is not None and name != without and (everything or not part.by_server):
            said[name] = value if part.target is None else _inside(part.target, value, everything)
    return said


def _inside(entity: Entity, value: Any, everything: bool, via: str = "", around: Any = None) -> Any:
    """A related record as it is sent: its id, or what it says of itself where it is new."""
    if not is_record(value):
        return value
    if (key := key_of(value)) is not None:
        return key
    leads_back = bool(via) and taken(entity, value).get(via) is around
    return said_of(entity, value, everything=everything, without=via if leads_back else "")


def taken(entity: Entity, record: Any) -> dict[str, Any]:
    """What a record holds, by the names of its entity."""
    return dict(record.__dict__) if entity.existing is None else entity.existing.form.take(record)
