"""Records as own code sees them: made from canonical values or from JSON, and taken apart again.

Invariant: a record holds what was read and nothing else; what was not loaded raises when it is asked for. Those of an
existing application are instances of its own class, made by the form that came with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from backstay.model.field import Entity
from backstay.model.symbol import is_record, key_of
from backstay.model.value import Kind, Money, Unfit, as_python, parse, plain
from backstay.plan.actor import Actor


@dataclass(frozen=True, slots=True)
class _Way:
    """How a field comes out of a stored record: what makes its JSON canonical, and what own code sees of that."""

    reads: Callable[[Any], Any] | None
    shows: Callable[[Any], Any] | None
    sealed: bool
    target: Entity | None


def canonical(entity: Entity, raw: Mapping[str, Any], *, sealed: bool = False) -> dict[str, Any]:
    """The stored fields of a record from its JSON; its encrypted values as they are, where they are still sealed."""
    values = {}
    for name, way in _ways(entity).items():
        if name in raw:
            value = raw[name]
            stays = value is None or way.reads is None or (sealed and way.sealed)
            values[name] = value if stays else way.reads(value)  # type: ignore[misc]
    return values


_WAYS: WeakKeyDictionary[Entity, dict[str, _Way]] = WeakKeyDictionary()
_AS_THEY_ARE = frozenset(("text", "integer", "boolean", "uuid", "json", "enum"))
"""The kinds that JSON holds in their canonical form."""


def _ways(entity: Entity) -> dict[str, _Way]:
    if (known := _WAYS.get(entity)) is None:
        known = _WAYS[entity] = {
            name: _Way(_reads(part.kind), _shows(entity, name), part.kind.sealed, part.target)
            for name, part in entity.fields.items()
        }
    return known


def _reads(kind: Kind) -> Callable[[Any], Any] | None:
    """What makes the JSON of a stored value canonical. What we have stored was checked when it came."""
    if kind.stored is not None:
        return partial(_canonical, kind)
    if kind.name in _AS_THEY_ARE:
        return None
    if kind.name == "money":
        return lambda raw: Money(raw["amount"], raw["currency"])
    return partial(parse, _stored(kind))


def _shows(entity: Entity, name: str) -> Callable[[Any], Any] | None:
    """What makes of a canonical value what own code sees."""
    part = entity.fields[name]
    if part.target is not None:
        return partial(reference, part.target)
    if part.kind.name == "uuid":
        return UUID
    return partial(as_python, part.kind) if part.kind.name in ("enum", "list") else None


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
    ways = _ways(entity)
    return _made(entity, {name: _seen(ways[name], value) for name, value in values.items()})


def _seen(way: _Way, value: Any) -> Any:
    return value if value is None or way.shows is None else way.shows(value)


def reference(entity: Entity, key: Any) -> Any:
    """A record of which only the id is known."""
    return None if key is None else _made(entity, {"id": as_python(entity.key.kind, key)})


def whoever(user: Entity, actor: Actor) -> Any:
    """The record that stands for an actor; one without an id stands for nobody."""
    return _made(user, {}) if actor.id is None else reference(user, actor.id)


def load(entity: Entity, raw: Mapping[str, Any]) -> Any:
    """A record from its JSON, with whatever was expanded in it."""
    ways, values = _ways(entity), {}
    for name, value in raw.items():
        if (way := ways.get(name)) is not None:
            if way.target is not None and isinstance(value, dict):
                values[name] = load(way.target, value)
            else:
                values[name] = _seen(way, value if value is None or way.reads is None else way.reads(value))
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
