"""What one standing may know of the declaration: which fields are there, which actions are worth listing.

Invariant: a field whose read rule can never hold for this standing is not there, whoever asks and for whatever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backstay.model.field import Action, Computed, Entity, Field, Schema, ToMany
from backstay.model.predicate import ANYONE, NOBODY, Condition, fold, normal
from backstay.plan.actor import Actor
from backstay.plan.planner import made_by_me
from backstay.plan.scope import callable_by, permitted

Access = Literal["open", "signed_in"]
Part = Field | Computed | ToMany
_NO_ROLES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """A standing, and what the declaration looks like from there. `everything` is the developer's view."""

    schema: Schema
    signed_in: bool
    roles: frozenset[str]
    everything: bool
    scopes: frozenset[str] | None = None
    brought: frozenset[str] = frozenset()

    def fold(self, condition: Condition) -> Condition:
        """The condition with all that is known of this standing decided."""
        return normal(condition) if self.everything else self._folded(normal(condition), self.signed_in, self.roles)

    def _folded(self, rule: Condition, signed_in: bool, roles: frozenset[str]) -> Condition:
        return fold(rule, signed_in, roles, self.brought)

    def access(self, entity: Entity, action: Action) -> Access | None:
        """Whether an action is listed, and whether it needs somebody signed in.

        Listed is what this standing may do for some record, and for the anonymous also what any account may
        do. What needs a role is listed for those who have it.
        """
        if not self.everything and not permitted(self.scopes, entity, action):
            return None
        rule = normal(entity.rules[action])
        for_nobody = self._folded(rule, False, _NO_ROLES) == NOBODY
        if action == "create":
            for_nobody = for_nobody or made_by_me(entity)
            if not all(self.sends(field) for field in entity.fields.values() if field.required):
                return None  # what a new record needs, this standing cannot say
        if self.everything or self.signed_in:
            return None if self.fold(rule) == NOBODY else "signed_in" if for_nobody else "open"
        if not for_nobody:
            return "open"
        return None if self._folded(rule, True, _NO_ROLES) == NOBODY else "signed_in"

    def calls(self, name: str, allow: Condition) -> Access | None:
        """Whether an action of the application's own is listed, as for `access`."""
        if not self.everything and not callable_by(self.scopes, name):
            return None
        for_nobody = fold(normal(allow), False, _NO_ROLES) != ANYONE
        if self.everything:
            return None if normal(allow) == NOBODY else "signed_in" if for_nobody else "open"
        signed_in = self.signed_in or for_nobody  # the anonymous are told what any account may do
        return None if fold(normal(allow), signed_in, self.roles) != ANYONE else "signed_in" if for_nobody else "open"

    def sees(self, part: Part) -> bool:
        """Whether a field is there for this standing."""
        return not (isinstance(part, Field) and part.write_only) and self.fold(part.read) != NOBODY

    def parts(self, entity: Entity) -> list[Part]:
        """Stored, computed and to-many fields that are there for this standing, in the order of the declaration."""
        every: list[Part] = [*entity.fields.values(), *entity.computed.values(), *entity.to_many.values()]
        return [part for part in every if self.sees(part)]

    def sends(self, field: Field, access: Access | None = "signed_in") -> bool:
        """Whether a client may ever set the field, in an operation with this access."""
        if field.by_server:
            return False
        if not field.write_only and not self.sees(field):
            return False
        return self.allows(field.write, access)

    def allows(self, rule: Condition, access: Access | None = "signed_in") -> bool:
        """Whether a rule can ever hold, in an operation with this access."""
        rule = normal(rule)
        if self.everything:
            return rule != NOBODY
        return self._folded(rule, self.signed_in or access == "signed_in", self.roles) != NOBODY

    def opens(self, entity: Entity) -> bool:
        """Whether records of the entity can be reached by path and expanded."""
        return not entity.hidden and self.access(entity, "read") is not None


def view(schema: Schema, actor: Actor, everything: bool) -> View:
    """The view of an actor; the developer's own code sees everything."""
    return View(
        schema, actor.id is not None, actor.roles, everything or actor.system, actor.scopes, frozenset(actor.brought)
    )
