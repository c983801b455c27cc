"""Who is asking, as the planner sees it. `auth/` makes actors, or the log-in of an existing application does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """An id, which is the key of a user, and roles. `system` is the developer's own code acting above the rules.

    `session` is the sign-in that the actor asks with, or `key` the API key; `scopes` are what a key may do, and `None`
    sets no limit (`plan/scope.py`).
    """

    id: Any = None
    roles: frozenset[str] = frozenset()
    system: bool = False
    session: str = ""
    key: str = ""
    scopes: frozenset[str] | None = None

    @property
    def standing(self) -> tuple[bool, frozenset[str], bool, frozenset[str] | None]:
        """All that a plan may depend on: two actors of one standing share their plans; only `me` differs."""
        return self.id is not None, self.roles, self.system, self.scopes


ANONYMOUS = Actor()
SYSTEM = Actor(system=True)
