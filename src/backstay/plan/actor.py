"""Who is asking, as the planner sees it. `auth/` makes actors, or the log-in of an existing application does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from backstay.model.secret import secret_hash

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Actor:
    """An id, which is the key of a user, and roles. `system` is the developer's own code acting above the rules.

    `session` is the sign-in that the actor asks with, or `key` the API key; `scopes` are what a key may do, and `None`
    sets no limit (`plan/scope.py`). `brought` are the hashes of the secrets that came with the request, by header.
    """

    id: Any = None
    roles: frozenset[str] = frozenset()
    system: bool = False
    session: str = ""
    key: str = ""
    scopes: frozenset[str] | None = None
    brought: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)

    def bringing(self, secrets: Mapping[str, str]) -> Actor:
        """The same actor as if these secrets had come with the request too, by header."""
        hashes = {header.lower(): secret_hash(secret) for header, secret in secrets.items()}
        return replace(self, brought={**self.brought, **hashes}) if hashes else self

    @property
    def standing(self) -> tuple[bool, frozenset[str], bool, frozenset[str] | None, frozenset[str]]:
        """All that a plan may depend on: two actors of one standing share their plans; only `me` differs."""
        return self.id is not None, self.roles, self.system, self.scopes, frozenset(self.brought)


ANONYMOUS = Actor()
SYSTEM = Actor(system=True)
