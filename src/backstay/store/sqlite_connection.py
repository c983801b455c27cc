"""The connection that writes to SQLite: its limits, what may not be said on it, and how it is opened again.

Invariant: a transaction is begun and ended by the methods here alone. After a failed commit the connection is given up;
the next one writes a page to the disk before anybody relies on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any

import apsw

from backstay.store.port import Broken, Taken

Rows = list[Any]
OF_THE_DISK = (
    apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError,
    apsw.ReadOnlyError, apsw.ProtocolError, apsw.BusyError, apsw.LockedError,
)  # fmt: skip
"""Errors after which nothing is known of what the connection holds."""

_STEPS = 20_000  # virtual machine instructions between two looks at the clock
# Not the texts that anybody else would send: what is in the driver's cache is not asked about again.
_BEGIN, _COMMIT, _ROLLBACK = (f"{word} -- for all" for word in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"))
_NAME = "_one_of_many"
_SAVE, _KEEP, _UNDO = f"SAVEPOINT {_NAME}", f"RELEASE {_NAME}", f"ROLLBACK TO {_NAME}"


class WritingConnection:
    """One connection at a time, made by `connect`. `limited` is whether statements may take too long."""

    def __init__(self, connect: Callable[[], apsw.Connection], *, limited: bool) -> None:
        self.raw: apsw.Connection | None = None
        self._connect = connect
        self._limited = limited
        self._deadline = inf
        self._own = False

    def open(self) -> None:
        """Open it for the first time."""
        self.raw = self._made()

    def _made(self) -> apsw.Connection:
        raw = self._connect()
        if self._limited:
            raw.set_progress_handler(self._late, _STEPS)
        raw.authorizer = self._authorize
        return raw

    def _late(self) -> bool:
        return monotonic() > self._deadline

    def _authorize(self, action: int, one: str | None, two: str | None, _: str | None, __: str | None) -> int:
        """What a statement inside a transaction must not do, since the transaction belongs to others too."""
        foreign = (
            action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH)
            or (action == apsw.SQLITE_TRANSACTION and not self._own)
            or (action == apsw.SQLITE_SAVEPOINT and two != _NAME)
            or (action == apsw.SQLITE_PRAGMA and one == "defer_foreign_keys")
        )
        return apsw.SQLITE_DENY if foreign else apsw.SQLITE_OK

    @property
    def open_now(self) -> bool:
        """Whether there is a connection."""
        return self.raw is not None

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still there; some errors end it."""
        return self.raw is not None and self.raw.in_transaction

    def run(self, text: str, values: Sequence[Any], seconds: float) -> Rows:
        """The rows of one statement; a change that takes longer is interrupted, and everything is undone with it."""
        assert self.raw is not None
        self._deadline = monotonic() + seconds
        return self.raw.execute(text, values).fetchall()

    def save(self) -> None:
        """Begin the savepoint of one transaction."""
        assert self.raw is not None
        self.raw.execute(_SAVE)

    def keep(self) -> None:
        """End it, with what it did."""
        assert self.raw is not None
        self.raw.execute(_KEEP)

    def undo(self) -> None:
        """End it, without."""
        assert self.raw is not None
        self.raw.execute(_UNDO)
        self.raw.execute(_KEEP)

    def begin(self) -> None:
        """Begin the transaction of all; `apsw.BusyError` where another process has one."""
        self._control(_BEGIN)

    def commit(self) -> None:
        """Commit it: returns when it is on the disk."""
        self._control(_COMMIT)

    def rollback(self) -> None:
        """Undo all of it."""
        self._control(_ROLLBACK)

    def _control(self, text: str) -> None:
        assert self.raw is not None
        self._own = True
        try:
            self.raw.execute(text)
        finally:
            self._own = False

    def give_up(self) -> None:
        """Close it, whatever it says."""
        raw, self.raw = self.raw, None
        if raw is not None:
            with suppress(apsw.Error):
                raw.close(True)

    def open_again(self) -> None:
        """Open another one, and write one page to the disk; nothing is open where that fails.

        What the failed commit left in the write-ahead log is overwritten by it, so that no recovery finds it there.
        """
        self.raw = raw = self._made()
        self._deadline = inf
        try:
            self._own = True
            (version,) = raw.execute("PRAGMA user_version").fetchone()  # type: ignore[misc]
            raw.execute(f"BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT")
        except apsw.Error:
            self.give_up()
            raise
        finally:
            self._own = False


def refusal_of(error: apsw.ConstraintError) -> Taken | Broken:
    """What the port says where a constraint refuses."""
    message = str(error)
    if "UNIQUE" in message:
        return Taken(message.split(": ", 1)[-1])
    if "FOREIGN KEY" in message:
        return Broken("foreign")
    return Broken("check", message.split(": ", 1)[-1])
