"""Who may manage an account: the person whose it is, signed in themself."""

from __future__ import annotations

from backstay.errors import Denied, NotSignedIn
from backstay.plan.actor import Actor


def person(actor: Actor) -> str:
    """The id of the person who asks. Every function that manages an account begins with it.

    Raises `NotSignedIn`, and `Denied` `not_for_keys` for an API key, whatever its scopes: what a program was given must
    not become a session, another key or a password.
    """
    if actor.id is None:
        raise NotSignedIn()
    if actor.key:
        raise Denied("API keys manage no accounts, sessions or keys: sign in as a person.", code="not_for_keys")
    return str(actor.id)
