"""Why a request was refused, in the body of its problem: for development, where whoever asks wrote the rules.

Invariant: in production there is none of it, so a hidden record and an absent one are answered with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backstay.errors import Problem
from backstay.model.field import Action as ActionName
from backstay.model.field import Schema
from backstay.model.predicate import describe
from backstay.store.engine import Engine
from backstay.store.reason import reason

if TYPE_CHECKING:
    from backstay.api.action import Action
    from backstay.api.http import Request

_REFUSALS = frozenset({"denied", "not_found", "not_signed_in"})
_ACTIONS: Mapping[str, ActionName] = {
    "GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete",
}  # fmt: skip


class Explaining:
    """Explains what an application refuses."""

    def __init__(self, schema: Schema, actions: Sequence[Action], engine: Engine) -> None:
        self._entities = schema.by_plural()
        self._actions = {(action.method, action.path): action for action in actions}
        self._engine = engine

    async def of(self, request: Request, problem: Problem) -> Sequence[str]:
        """The reason in lines; none where no rule refused. A round trip for each clause of a rule."""
        if problem.code not in _REFUSALS:
            return ()
        if (action := self._actions.get((request.method, request.path))) is not None:
            return [f"{action.method} {action.path} is allowed to: {describe(action.allow)}."]
        parts = request.path.split("/")[1:]
        if len(parts) not in (2, 3) or parts[0] != "api" or parts[1] not in self._entities:
            return ()
        what = _ACTIONS.get(request.method)
        key = parts[2] if len(parts) == 3 and parts[2] != "aggregate" else None
        if what is None or (key is None and what not in ("create", "read")):
            return ()
        found = await reason(self._engine, request.actor, "You", what, self._entities[parts[1]], key)
        return found.lines
