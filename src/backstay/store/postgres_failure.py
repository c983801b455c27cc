"""What an error of PostgreSQL or its driver means for whoever asked: a constraint, try again, come back, or a mistake.

Invariant: what passes as `Contended` was undone by the server for certain, so the same work may be done again.
"""

from __future__ import annotations

import asyncpg

from backstay.errors import Unavailable
from backstay.store.port import Broken, Contended, Taken

FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What calling the driver may raise."""
AWAY = "PostgreSQL does not answer."
UNKNOWN = (
    "PostgreSQL went away before it said whether the change was made: look before you send it again, "
    "or send it again with the same Idempotency-Key."
)
_AGAIN = "The change was not made, because of another one at the same moment."
_NO_ROOM = "The database cannot do this just now."
_CONTENDED = (asyncpg.TransactionRollbackError, asyncpg.InvalidCachedStatementError)
_FULL = (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError)
_GONE = (
    OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InternalClientError,
    asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.ReadOnlySQLTransactionError,
)  # fmt: skip
"""After these a connection is of no use; the last one is what a standby says, where the address means another now."""


def meaning(error: Exception, *, ended: bool) -> Exception:
    """What is raised instead; the error itself where it is a mistake. `ended`: whether its connection has."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return Taken(error.constraint_name or "")
    if isinstance(error, (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError)):
        return Broken("foreign", error.constraint_name or "")
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return Broken("check", getattr(error, "constraint_name", "") or "")
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable(code="timeout")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return Unavailable("Another change holds what this one needs.")
    if isinstance(error, _CONTENDED):
        return Contended(_AGAIN)
    if isinstance(error, _FULL):
        return Unavailable(_NO_ROOM)
    if ended or isinstance(error, _GONE):
        return Unavailable(AWAY)
    return error


def useless(error: Exception) -> bool:
    """Whether the connection that this was said on is to be ended."""
    return isinstance(error, _GONE) and not isinstance(error, asyncpg.QueryCanceledError)
