"""The ids of events: where a stream stands, sealed so that one fits only the question and the actor it was made for.

Invariant: an id says nothing to whoever holds it. It is encrypted with a nonce of its own, so that not even the number
of changes that its holder may not see can be told from two of them; one of another question, actor, set of roles or
key opens as nothing, and the stream begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import msgspec

from backstay.plan.actor import Actor
from backstay.store.keyring import KeyRing, Unreadable

_PURPOSE = "live event"
_LONGEST = 8_192
Loose = tuple[str, str, str, int]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a stream stands.

    One from the change log stands behind `position` with `count` rows in view, and has seen the `loose` changes that
    come behind it, too. One that asks again has a `digest` of what was sent.
    """

    epoch: str
    position: int
    count: int = 0
    loose: tuple[Loose, ...] = ()
    digest: str = ""


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Place).decode


class Places:
    """Seals and opens the places of one question of one actor."""

    def __init__(self, keys: Callable[[], KeyRing], question: str, actor: Actor) -> None:
        said = repr(
            (question, actor.id, sorted(actor.roles), sorted(actor.scopes or ()), sorted(actor.brought.items()))
        )
        self._keys = keys
        self._bound = (blake2b(said.encode(), digest_size=16).hexdigest(),)

    def seal(self, place: Place) -> str:
        """The id of an event."""
        return self._keys().seal_text(_PURPOSE, _encode(place), self._bound)

    def open(self, text: str) -> Place | None:
        """What an id says; nothing where it is none, or not one of ours."""
        if len(text) > _LONGEST:
            return None
        try:
            return _decode(self._keys().open_text(_PURPOSE, text, self._bound))
        except (Unreadable, msgspec.MsgspecError, ValueError):
            return None
