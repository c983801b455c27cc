"""A declaration as it was at some moment, kept as JSON: what a migration leads from and to.

Invariant: what is read from a snapshot makes the same tables as the declaration that it was taken of, on any database.
Rules are kept in words, for people; a snapshot decides nothing about access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from backstay.model.declare import Model
from backstay.model.field import ACTIONS, Default, Entity, Field, Index, OnDelete, Schema, ToMany
from backstay.model.predicate import describe
from backstay.model.value import Kind, Money

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A schema without its code, and its rules in words by `Model.action`."""

    schema: Schema
    rules: Mapping[str, str]


def take(schema: Schema) -> bytes:
    """The snapshot of a declaration, as JSON that reads well and compares line by line."""
    models = [_model(entity) for entity in schema.entities.values() if entity.existing is None]
    body = {"format": FORMAT, "user": schema.user.name, "models": models}
    return msgspec.json.format(msgspec.json.encode(body), indent=1)


def snapshot_of(schema: Schema) -> Snapshot:
    """The snapshot of a declaration."""
    return read(take(schema))


def read(text: bytes) -> Snapshot:
    """What was taken. Raises `ValueError` for a snapshot of a newer format."""
    body = msgspec.json.decode(text)
    if body["format"] > FORMAT:
        raise ValueError(f"The snapshot has format {body['format']}: it was made by a newer Backstay.")
    entities: dict[str, Entity] = {}
    for raw in body["models"]:
        entities[raw["name"]] = Entity(
            raw["name"], raw["plural"], Model, hidden=raw["hidden"], made=raw["made"], was=raw["was"],
            indexes=tuple(Index(tuple(i["fields"]), i["kind"]) for i in raw["indexes"]), search=tuple(raw["search"]),
        )  # fmt: skip
    for raw in body["models"]:
        for one in raw["fields"]:
            entities[raw["name"]].fields[one["name"]] = _field_from(one, entities)
    for raw in body["models"]:
        for one in raw["to_many"]:
            target, through = entities[one["target"]], entities.get(one["through"])
            entities[raw["name"]].to_many[one["name"]] = ToMany(one["name"], target, one["via"], through, one["onward"])
    rules = {f"{raw['name']}.{action}": words for raw in body["models"] for action, words in raw["rules"].items()}
    user = entities.get(body["user"]) or Entity(body["user"], "", Model)  # one of another application has no table here
    return Snapshot(Schema(entities, user, ""), rules)


def _model(entity: Entity) -> dict[str, Any]:
    rules: dict[str, str] = {}
    if not entity.hidden:
        rules = {action: describe(entity.rules[action]) for action in ACTIONS}
    for field in entity.fields.values():
        for how, rule in (("read", field.read), ("write", field.write)):
            if (words := describe(rule)) != "anyone":
                rules[f"{field.name} ({how})"] = words
    return {
        "name": entity.name, "plural": entity.plural, "hidden": entity.hidden, "made": entity.made, "was": entity.was,
        "fields": [_field(field) for field in entity.fields.values()],
        "to_many": [
            {"name": r.name, "target": r.target.name, "via": r.via, "onward": r.onward,
             "through": r.through.name if r.through is not None else ""}
            for r in entity.to_many.values()
        ],
        "indexes": [{"fields": list(index.fields), "kind": index.kind} for index in entity.indexes],
        "search": list(entity.search),
        "rules": rules,
    }  # fmt: skip


def _field(field: Field) -> dict[str, Any]:
    default = field.default
    return {
        "name": field.name, "kind": _kind(field.kind), "nullable": field.nullable,
        "default": None if default is None else {"source": default.source, "value": _tagged(default.value)},
        "unique": field.unique, "write_only": field.write_only, "on_delete": field.on_delete, "was": field.was,
        "target": field.target.name if field.target is not None and field.target.existing is None else "",
        "column": field.column if field.target is not None and field.target.existing is not None else "",
        "label": field.label,
    }  # fmt: skip


def _field_from(raw: Mapping[str, Any], entities: Mapping[str, Entity]) -> Field:
    default = raw["default"]
    on_delete: OnDelete = raw["on_delete"]
    return Field(
        raw["name"], _kind_from(raw["kind"]), raw["nullable"],
        None if default is None else Default(default["source"], _plain(default["value"])),
        unique=raw["unique"], write_only=raw["write_only"], on_delete=on_delete, was=raw["was"], label=raw["label"],
        target=entities[raw["target"]] if raw["target"] else None, existing=raw["column"],
    )  # fmt: skip


_BLANK = Kind("text")


def _kind(kind: Kind) -> dict[str, Any]:
    """What a kind says beyond the least that a kind can say."""
    said: dict[str, Any] = {"name": kind.name}
    for part in fields(Kind):
        value = getattr(kind, part.name)
        if part.name in ("name", "enum") or value == getattr(_BLANK, part.name):
            continue
        said[part.name] = _kind(value) if isinstance(value, Kind) else _tagged(value)
    return said


def _kind_from(raw: Mapping[str, Any]) -> Kind:
    said: dict[str, Any] = {name: _kind_from(value) if name == "item" else _plain(value) for name, value in raw.items()}
    if "choices" in said:
        said["choices"] = tuple(said["choices"])
    return Kind(**said)


def _tagged(value: Any) -> Any:
    """A value as JSON that tells its type where JSON does not."""
    match value:
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case time():
            return {"time": value.isoformat()}
        case timedelta():
            return {"seconds": str(value / timedelta(seconds=1))}
        case Money():
            return {"money": value.amount, "currency": value.currency}
        case tuple() | list():
            return [_tagged(item) for item in value]
        case dict():
            return {"json": value}
        case _:
            return value


def _plain(value: Any) -> Any:
    match value:
        case {"decimal": text}:
            return Decimal(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
        case {"time": text}:
            return time.fromisoformat(text)
        case {"seconds": text}:
            return timedelta(seconds=float(text))
        case {"money": amount, "currency": currency}:
            return Money(amount, currency)
        case {"json": inner}:
            return inner
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
