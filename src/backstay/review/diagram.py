"""The models of an application as an entity diagram of Mermaid.

Invariant: each relation is drawn once, from the field that holds it; what only joins two models is a line between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from backstay.model.field import Entity, Field, Schema


def diagram(schema: Schema) -> Iterator[str]:
    """The lines of an `erDiagram`, in the order of the declaration."""
    served = list(schema.by_plural().values())
    yield "erDiagram"
    for entity in served:
        yield f"  {entity.name} {{"
        for field in entity.fields.values():
            yield f"    {_kind(field)} {field.name}{_key(field)}"
        yield "  }"
    for entity in served:
        yield from _relations(entity, served)


def _relations(entity: Entity, served: list[Entity]) -> Iterator[str]:
    for field in entity.fields.values():
        if field.target in served and field.target is not None:
            many = "|o" if field.unique else "}o"
            yield f"  {entity.name} {many}--{'o|' if field.nullable else '||'} {field.target.name} : {field.name}"
    for relation in entity.to_many.values():
        if relation.as_list and relation.target in served:
            yield f"  {entity.name} }}o--o{{ {relation.target.name} : {relation.name}"


def _kind(field: Field) -> str:
    return field.target.name if field.target is not None else field.kind.name


def _key(field: Field) -> str:
    keys = [name for name, is_one in (("PK", field.name == "id"), ("FK", field.target is not None),
                                      ("UK", field.unique and field.name != "id")) if is_one]  # fmt: skip
    return f" {', '.join(keys)}" if keys else ""
