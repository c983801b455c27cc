"""What an API key may do: scopes, which name models with verbs, and actions.

Invariant: what no scope of a key names is denied to it, and a scope only takes away: what it names is still decided by
the rules, for the owner of the key. Only `permitted` and `permit_call` decide, so there is nothing to forget elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from backstay.errors import Denied, NotSignedIn, nearest
from backstay.model.field import Action, Entity
from backstay.model.predicate import ANYONE, Condition, fold, normal
from backstay.model.value import Unfit
from backstay.plan.actor import Actor

GRANTS: dict[str, frozenset[Action]] = {
    "read": frozenset({"read"}),
    "create": frozenset({"create"}),
    "update": frozenset({"read", "update"}),
    "delete": frozenset({"read", "delete"}),
    "write": frozenset({"read", "create", "update", "delete"}),
}
"""The verbs, and what each allows: nobody can change or delete what they cannot see."""
CALLS = "actions"
_CALL = "action"
_GIVING = {action: [verb for verb, given in GRANTS.items() if action in given] for action in GRANTS["write"]}


def permitted(scopes: frozenset[str] | None, entity: Entity, action: Action) -> bool:
    """Whether the scopes of an actor name this; always where there are none. What joins two models goes with them."""
    if scopes is None or entity.made:
        return True
    named = entity.plural != _CALL  # `action:read` is an action's
    return any(verb in scopes or (named and f"{entity.plural}:{verb}" in scopes) for verb in _GIVING[action])


def permit_call(actor: Actor, name: str, allow: Condition) -> Actor:
    """As whom an action runs that this actor calls: what it does is its developer's, so scopes end at its door.

    Raises `NotSignedIn`, or `Denied` where the actor may not call it, `insufficient_scope` where no scope names it.
    """
    if fold(normal(allow), actor.id is not None, actor.roles, frozenset(actor.brought)) != ANYONE:
        if actor.id is None:
            raise NotSignedIn("This needs somebody signed in: log in and send the access token.")
        raise Denied("This is not allowed to this account.")
    if not callable_by(actor.scopes, name):
        raise out_of_scope(f"{_CALL}:{name}")
    return unscoped(actor)


def callable_by(scopes: frozenset[str] | None, name: str) -> bool:
    """Whether the scopes of an actor name this action; always where there are none."""
    return scopes is None or CALLS in scopes or f"{_CALL}:{name}" in scopes


def scopes_of(models: Iterable[str], actions: Iterable[str]) -> list[str]:
    """Every scope that there is for these models and actions."""
    known = [*GRANTS, CALLS, *(f"{_CALL}:{name}" for name in actions)]
    return known + [f"{model}:{verb}" for model in models if model != _CALL for verb in GRANTS]


def unscoped(actor: Actor) -> Actor:
    """The actor as whom the developer's own code acts for somebody: scopes limit what is asked from outside."""
    return actor if actor.scopes is None else replace(actor, scopes=None)


def out_of_scope(needed: str) -> Denied:
    """What a key is told whose scopes do not name what is asked (RFC 6750, 3.1)."""
    return Denied(
        f"The scopes of this API key do not name {needed}.", code="insufficient_scope",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )  # fmt: skip


def parse_scope(text: object, models: Collection[str], actions: Collection[str]) -> str:
    """A scope, if it names something there is. Raises `Unfit` with the nearest one that does.

    >>> parse_scope("orders:read", ["orders"], [])
    'orders:read'
    """
    if not isinstance(text, str):
        raise Unfit("wrong_type", "must be a text")
    known = scopes_of(models, actions)
    if text not in known:
        raise Unfit("not_a_choice", f"names no scope of this application.{nearest(text[:100], known)}".rstrip("."))
    return text


def canonical(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes without those that others include."""
    every = frozenset(scopes)
    return frozenset(scope for scope in every if not any(_includes(other, scope) for other in every - {scope}))


def _includes(wide: str, narrow: str) -> bool:
    """Whether whoever has the one scope has the other."""
    (place, _, verb), (inner, _, wanted) = wide.rpartition(":"), narrow.rpartition(":")
    if inner == _CALL:
        return wide == CALLS
    if place == _CALL or CALLS in (wide, narrow):
        return False
    return place in ("", inner) and GRANTS[wanted] <= GRANTS[verb]
