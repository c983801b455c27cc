"""The one gate for identity: whichever way somebody proved who they are, their session is made here and nowhere else.

Invariant: the user is held while the session is made, so whatever takes rights away (another password, a disabled
account) either comes first and is seen here, or comes after and ends this session too. What every way in must pass
(a proven address, a second factor) belongs here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from backstay.auth.session import Pair, Sessions
from backstay.model.predicate import Compare, Path, Value
from backstay.store.transaction import Transaction

_OPEN = Compare("eq", Path(("disabled",)), Value(False))


class Gate:
    """Lets in whoever proved who they are."""

    def __init__(self, sessions: Sessions, user: str) -> None:
        self._sessions = sessions
        self._user = user

    async def admit(
        self, tx: Transaction, user: str, still: Callable[[], Awaitable[bool]] | None = None
    ) -> Pair | None:  # fmt: skip
        """Begin the session of a user in a transaction with system authority; nothing where they may not come in.

        `still` says whether the proof they brought holds, and is asked once nobody else can change it: a password may
        have been changed since it was checked. Three round trips and those of `still`.
        """
        if not await tx.hold(self._user, user, _OPEN):
            return None
        if still is not None and not await still():
            return None
        return await self._sessions.open(tx, user)
