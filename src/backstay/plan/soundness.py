"""Every rule, visibility and computed field is planned once at start, so that none can fail at a request.

Roles and sign-in are left open: each atom is resolved by itself, whoever it may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backstay.errors import BadRequest, Mistake
from backstay.model.field import Computed, Entity, Field, Schema, ToMany
from backstay.model.predicate import And, Condition, HasRole, Not, Or, SignedIn, normal
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.resolve import Resolver, SealedField


def mistakes(schema: Schema, limits: Limits) -> list[Mistake]:
    """What cannot be compiled: a text compared with a number, a calculation between kinds that do not go together."""
    found = []
    for entity in schema.entities.values():
        for place, attempt in _attempts(schema, limits, entity):
            try:
                attempt()
            except BadRequest as error:
                sealed = isinstance(error, SealedField)
                hint = "Keep what rules need in a field of its own." if sealed else "Compare values of one kind."
                found.append(Mistake(f"{entity.name}.{place}", error.detail, hint))
    return found


def _attempts(schema: Schema, limits: Limits, entity: Entity) -> Iterator[tuple[str, Callable[[], object]]]:
    somebody = Actor("00000000-0000-7000-8000-000000000000")

    def condition(atom: Condition) -> Callable[[], object]:
        resolver = Resolver(schema, somebody, limits)
        return lambda: resolver.predicate(atom, [resolver.frame(entity)], viewer=False)

    for action, rule in entity.rules.items():
        for atom in atoms(normal(rule)):
            yield f"rules.{action}", condition(atom)
    parts: list[Field | Computed | ToMany] = [
        *entity.fields.values(), *entity.computed.values(), *entity.to_many.values(),
    ]  # fmt: skip
    for part in parts:
        for atom in atoms(normal(part.read)):
            yield f"{part.name} (read)", condition(atom)
        for atom in atoms(normal(getattr(part, "write", part.read))):
            yield f"{part.name} (write)", condition(atom)
    for computed in entity.computed.values():
        resolver = Resolver(schema, somebody, limits)
        yield computed.name, lambda r=resolver, c=computed: r.computed(c, r.frame(entity))  # type: ignore[misc]


def atoms(condition: Condition) -> Iterator[Condition]:
    """The atoms of a normal condition that speak of the record."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from atoms(part)
        case HasRole() | SignedIn() | Not(HasRole()) | Not(SignedIn()):
            return
        case _:
            yield condition
