"""Many new records are looked at together, before the first of them is written.

Invariant: this only refuses earlier, and more at once, what would be refused of one of them; each record is still
planned by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from backstay.errors import FieldError, Invalid, Problem
from backstay.model.field import Schema
from backstay.plan.actor import Actor
from backstay.plan.ask import Create
from backstay.plan.limits import Limits
from backstay.plan.nested import Unfolding, wrong_values
from backstay.plan.resolve import Resolver
from backstay.plan.write import Shape, permit


def check_all(
    model: str, items: Sequence[Any], schema: Schema, actor: Actor, limits: Limits, shape_of: Callable[[Create], Shape]
) -> None:
    """Raise `Invalid` with every wrong value of every item, each at a place such as `3.stars`.

    Whoever may never create one is told that first, then what does not exist for them, at the first item with it.
    """
    entity = schema.entities[model]
    permit(Resolver(schema, actor, limits), entity, "create")
    if len(items) > limits.max_bulk:
        raise Problem(f"At most {limits.max_bulk} records are created at once.", code="too_large")
    errors: list[FieldError] = []
    unfolding = Unfolding(limits)
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            errors.append(FieldError(str(at), "wrong_type", "must be an object."))
            continue
        try:
            wrong = wrong_values(unfolding.unfold(entity, Create(model, item)), shape_of)
        except Problem as refused:
            raise refused.placed(str(at)) from None
        errors += [replace(error, path=f"{at}.{error.path}") for error in wrong]
    if errors:
        raise Invalid.of(errors)
