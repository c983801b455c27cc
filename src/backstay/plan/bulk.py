"""Many new records are looked at together, before the first of them is written.

Invariant: this only refuses earlier, and more at once, what `plan_create` would refuse for one of them; each record
is still planned by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backstay.errors import BadRequest, FieldError, Invalid, Problem
from backstay.model.field import Schema
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.resolve import Resolver
from backstay.plan.write import Names, names_of, permit, values_of


def check_all(model: str, items: Sequence[Any], schema: Schema, actor: Actor, limits: Limits) -> None:
    """Raise `Invalid` with every wrong value of every item, each at a place such as `3.stars`.

    Whoever may never create one is told that first, then what does not exist for them, at the first item with it.
    """
    entity = schema.entities[model]
    resolver = Resolver(schema, actor, limits)
    permit(resolver, entity, "create")
    if len(items) > limits.max_bulk:
        raise Problem(f"At most {limits.max_bulk} records are created at once.", code="too_large")
    errors: list[FieldError] = []
    named: dict[frozenset[str], Names] = {}
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            errors.append(FieldError(str(at), "wrong_type", "must be an object."))
            continue
        try:
            names = named.get(frozenset(item))
            if names is None:
                names = named[frozenset(item)] = names_of(resolver, entity, item, creating=True)
            values_of(names, item)
        except BadRequest as unknown:
            raise unknown.placed(str(at)) from None
        except Invalid as invalid:
            errors += invalid.placed(str(at)).errors
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Invalid(f'"{errors[0].path}" {errors[0].message}{more}', errors=errors)
