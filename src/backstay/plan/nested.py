"""A new record that is sent with others inside it is taken apart here: each of them is a create of its own.

What it refers to, `"category": {"name": "Tea"}`, is made before it; what refers to it, `"items": [{"quantity": 2}]`,
after it. Invariant: nothing is allowed here. Each of them is planned alone, by the rules and the names of its own
model, and the relation that ties two of them is the server's to set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backstay.errors import FieldError, Invalid, Problem
from backstay.model.field import Entity
from backstay.plan.ask import Create
from backstay.plan.limits import Limits
from backstay.plan.write import Shape, values_of


@dataclass(frozen=True, slots=True)
class Nest:
    """A new record, the ones that it refers to, and the ones that refer to it, each with its place in it."""

    ask: Create
    first: tuple[tuple[str, Nest], ...] = ()
    """By the relations that name them, which stand in the values of the ask."""
    then: tuple[tuple[str, Nest], ...] = ()
    """By places such as `items.3`. Their `linked` names the relation that leads back."""
    errors: tuple[FieldError, ...] = ()
    """What is no record where one has to be."""

    def tied(self, keys: Mapping[str, Any], linked: Mapping[str, Any]) -> Create:
        """The create, once the ids of the records around it are known."""
        return replace(self.ask, values={**self.ask.values, **keys}, linked=linked, fresh=frozenset(keys))


class Unfolding:
    """Takes the creates of one request apart, and counts their records."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._count = 0

    def unfold(self, entity: Entity, ask: Create) -> Nest:
        """The new records of a create. Raises `Problem` `too_large` where they are more than one request may make."""
        return self._nest(entity, ask, 0)

    def _nest(self, entity: Entity, ask: Create, depth: int) -> Nest:
        self._count += 1
        if self._count > self.limits.max_bulk:
            raise Problem(f"At most {self.limits.max_bulk} records are created at once.", code="too_large")
        held = [name for name, value in ask.values.items() if holds_records(entity, name, value)]
        if not held:
            return Nest(ask)
        if depth == self.limits.max_nesting:
            said = f"must not be nested deeper than {self.limits.max_nesting} levels."
            return Nest(ask, errors=tuple(FieldError(name, "too_deep", said) for name in held))
        first: list[tuple[str, Nest]] = []
        then: list[tuple[str, Nest]] = []
        errors: list[FieldError] = []
        for name in held:
            value = ask.values[name]
            if (relation := entity.to_many.get(name)) is None:
                target = entity.fields[name].target
                assert target is not None
                first.append((name, self._nest(target, Create(target.name, value), depth + 1)))
            elif not isinstance(value, list | tuple):
                errors.append(FieldError(name, "wrong_type", "must be a list of new records."))
            else:
                for at, item in enumerate(value):
                    place = f"{name}.{at}"
                    if isinstance(item, Mapping):
                        then.append((place, self._child(relation.target, relation.via, item, depth + 1)))
                    else:
                        errors.append(FieldError(place, "wrong_type", "must be an object: a new record."))
        return Nest(ask, tuple(first), tuple(then), tuple(errors))

    def _child(self, entity: Entity, via: str, values: Mapping[str, Any], depth: int) -> Nest:
        rest = {name: value for name, value in values.items() if name != via}
        nest = self._nest(entity, Create(entity.name, rest, linked={via: None}), depth)
        if via not in values:
            return nest
        error = FieldError(via, "read_only", "is set by the server: it is the record around this one.")
        return replace(nest, errors=(error, *nest.errors))


def holds_records(entity: Entity, name: str, value: Any) -> bool:
    """Whether new records are sent under a name: in a relation to many, or an object in the place of an id."""
    if (relation := entity.to_many.get(name)) is not None:
        return relation.through is None
    return isinstance(value, Mapping) and name in entity.fields and entity.fields[name].target is not None


def check_nest(nest: Nest, shape_of: Callable[[Create], Shape]) -> None:
    """Raise what is wrong with any of the records, before the first of them is made.

    Whoever may not create one of them is told that first, and what does not exist for them; else `Invalid` has every
    wrong value of all of them, each at its place: `items.3.quantity`.
    """
    if errors := wrong_values(nest, shape_of):
        raise Invalid.of(errors)


def wrong_values(nest: Nest, shape_of: Callable[[Create], Shape]) -> list[FieldError]:
    """Every wrong value of all of the records. Raises what is told before any value."""
    return [error for place, one, shape in [*_shapes(nest, shape_of, "")] for error in _wrong(place, one, shape)]


def _shapes(nest: Nest, shape_of: Callable[[Create], Shape], place: str) -> Iterator[tuple[str, Nest, Shape]]:
    try:
        yield place, nest, shape_of(nest.ask)
    except Problem as problem:
        raise (problem.placed(place) if place else problem) from None
    for name, inner in (*nest.first, *nest.then):
        yield from _shapes(inner, shape_of, f"{place}.{name}" if place else name)


def _wrong(place: str, nest: Nest, shape: Shape) -> list[FieldError]:
    made = dict(nest.first)
    errors = [FieldError(name, "read_only", why) for name, why in shape.names.closed.items() if name in made]
    try:
        values_of(shape.names, {name: value for name, value in nest.ask.values.items() if name not in made})
    except Invalid as invalid:
        errors += invalid.errors
    known = {error.path for error in errors}
    errors += [error for error in nest.errors if error.path not in known]
    return [replace(error, path=f"{place}.{error.path}") for error in errors] if place else errors
