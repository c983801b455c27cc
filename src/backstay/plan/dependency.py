"""What the answer to a question depends on, so that it is known which changes can alter it.

A plan is *near* when each row of its answer depends on the row's own columns, on who asks and on nothing else: whether
a change matters can then be told from the row before and after it. Invariant: what is not known to be near is not;
such a plan is asked again after every change of a model that it touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backstay.model.field import Schema
from backstay.plan.tree import (
    Behind,
    Column,
    Leaf,
    ListRoot,
    OneRoot,
    Rank,
    ReadPlan,
    Said,
    looks_beyond,
)


@dataclass(frozen=True, slots=True)
class Dependency:
    """`models` are those whose changes can alter the answer; `personal` is an answer that is not the same for all of
    one standing, and a `timed` one alters by itself as time passes. `unknown` are models that others write too.
    """

    models: frozenset[str]
    near: bool
    personal: bool
    timed: bool
    unknown: frozenset[str]


def dependency_of(plan: ReadPlan, schema: Schema) -> Dependency:
    """What the answer to a plan of one root depends on."""
    sources = {spec.source for spec in plan.params}
    (root,) = plan.roots
    timed = "now" in sources
    unknown = frozenset(name for name in plan.models if not schema.entities[name].logged)
    near = isinstance(root, (OneRoot, ListRoot)) and not timed and not unknown and _near(root)
    return Dependency(plan.models, near, bool(sources & {"me", "brought"}), timed, unknown)


def _near(root: OneRoot | ListRoot) -> bool:
    rows = root.rows
    if rows.joins or rows.offset is not None or looks_beyond(rows.source.where):
        return False
    items = [part for _, part in rows.output.items]
    if not all(isinstance(part, (Leaf, Said)) for part in items) or looks_beyond(rows.output):
        return False
    secret = {field.column for field in rows.source.entity.fields.values() if field.write_only}
    known = [*_nodes(rows.source.where), *_nodes(rows.output)]
    return not any(
        isinstance(node, (Rank, Behind)) or (isinstance(node, Column) and node.name in secret) for node in known
    )


def _nodes(node: Any) -> Iterator[Any]:
    """Everything inside a predicate or an output."""
    if isinstance(node, tuple):
        for part in node:
            yield from _nodes(part)
    elif (names := getattr(node, "__dataclass_fields__", None)) is not None:
        yield node
        if not isinstance(node, Column):
            for name in names:
                if name not in ("entity", "kind", "params"):
                    yield from _nodes(getattr(node, name))


__all__ = ["Dependency", "dependency_of"]
