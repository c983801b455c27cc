"""A folder of files, each named after a model, loaded in the order of their relations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backstay.errors import nearest
from backstay.model.field import Entity, Schema
from backstay.transfer.change import BadMapping
from backstay.transfer.mapping import Mapping, Source, plain_mapping, read_mapping
from backstay.transfer.source import columns_of

_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Seed:
    """One file, the model that it is for, and how its rows become records."""

    path: Path
    entity: Entity
    mapping: Mapping


def seeds_of(folder: Path, schema: Schema) -> list[Seed]:
    """The files of a folder, those first that others refer to. Raises `BadMapping` for a file that names no model.

    `products.csv` or `Product.json` is for the model Product; a mapping file `products.toml` beside it is used.
    """
    names = {name: entity for entity in schema.entities.values() if not entity.hidden for name in _names(entity)}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _ENDINGS:
            continue
        entity = names.get(path.stem)
        if entity is None:
            raise BadMapping(f"{path.name} is named after no model.{nearest(path.stem, names)}")
        found.setdefault(entity.name, []).append(path)
    if not found:
        raise BadMapping(f"{folder} holds no file named after a model, such as {next(iter(names))}.csv.")
    ordered = in_order([schema.entities[name] for name in found])
    return [Seed(path, entity, _mapping(path, entity, schema)) for entity in ordered for path in found[entity.name]]


def in_order(entities: list[Entity]) -> list[Entity]:
    """Models after those that they refer to; in a circle, as they are declared."""
    ordered: list[Entity] = []
    waiting = [*entities]
    while waiting:
        free = [one for one in waiting if not any(other in waiting and other is not one for other in _targets(one))]
        take = free or waiting[:1]
        ordered += take
        waiting = [one for one in waiting if one not in take]
    return ordered


def _targets(entity: Entity) -> list[Entity]:
    return [field.target for field in entity.fields.values() if field.target is not None]


def _names(entity: Entity) -> tuple[str, str]:
    return entity.name, entity.plural


def _mapping(path: Path, entity: Entity, schema: Schema) -> Mapping:
    beside = path.with_suffix(".toml")
    if beside.exists():
        return read_mapping(beside.read_text(), schema, beside.name)
    return plain_mapping(entity, columns_of(path, Source()))
