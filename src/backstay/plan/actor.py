"""Who is asking, as the planner sees it. `auth/` makes actors, or the log-in of an existing application does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """An id, which is the key of a user, and roles. `system` is the developer's own code acting above the rules."""

    id: Any = None
    roles: frozenset[str] = frozenset()
    system: bool = False
    session: str = ""

    @property
    def standing(self) -> tuple[bool, frozenset[str], bool]:
        """All that a plan may depend on: two actors of one standing share their plans; only `me` differs."""
        return self.id is not None, self.roles, self.system


ANONYMOUS = Actor()
SYSTEM = Actor(system=True)
