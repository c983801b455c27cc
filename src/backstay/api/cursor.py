"""Cursors: where the next page begins, sealed so that one fits only the question and the actor it was made for."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import msgspec

from backstay.errors import BadRequest
from backstay.plan.actor import Actor

_SEAL = 12
_FREE = frozenset({"cursor", "limit", "page", "count", "fields", "expand"})


class Cursors:
    """Seals and opens the cursors of one application."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret, digest_size=32, person=b"cursor").digest()

    def seal(self, entity: str, pairs: Sequence[tuple[str, str]], actor: Actor, place: Any) -> str:
        """A cursor for the rows behind `place`: the last row's keys, or an offset."""
        payload = msgspec.json.encode(place)
        return urlsafe_b64encode(self._mark(entity, pairs, actor, payload) + payload).decode().rstrip("=")

    def open(self, token: str, entity: str, pairs: Sequence[tuple[str, str]], actor: Actor) -> Any:
        """What `seal` was given. Raises `invalid_cursor` for any other question, actor or text."""
        try:
            raw = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
            mark, payload = raw[:_SEAL], raw[_SEAL:]
            if len(token) > 4096 or not compare_digest(mark, self._mark(entity, pairs, actor, payload)):
                raise ValueError
            return msgspec.json.decode(payload)
        except ValueError:
            raise BadRequest("This cursor was not made for this question.", code="invalid_cursor") from None

    def _mark(self, entity: str, pairs: Sequence[tuple[str, str]], actor: Actor, payload: bytes) -> bytes:
        bound = sorted(pair for pair in pairs if pair[0].partition("[")[0] not in _FREE)
        text = repr((entity, actor.id, sorted(actor.roles), sorted(actor.brought.items()), bound)).encode()
        return blake2b(text + b"\0" + payload, key=self._key, digest_size=_SEAL).digest()
