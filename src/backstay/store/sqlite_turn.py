"""Whose turn it is to write, where several processes write to one SQLite file.

SQLite's own lock lets in whoever happens to look first, so that a process may wait for seconds while another writes
on. Here a process queues for the turn, with two locks of the operating system on files beside the database: who holds
the first is the next to get the second, so nobody who has just written gets in again before them.
Invariant: the turn is a courtesy and never a safeguard. The kernel takes back the locks of a process that dies, and
where somebody writes without a turn, or the files are removed, SQLite's lock still keeps every write whole.
"""

from __future__ import annotations

import os

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

    TURNS = True
except ImportError:  # Windows has SQLite's own lock alone
    TURNS = False


class WriteTurn:
    """The turn to write to one file; the store of one process has one of these."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._queue = self._turn = -1

    def open(self) -> None:
        """Open the two files, with the rights of the database that they stand beside."""
        if not TURNS or self._queue >= 0:
            return
        self._queue, self._turn = (self._open(f"{self._path}{name}") for name in ("-queue", "-turn"))

    def _open(self, path: str) -> int:
        database = os.stat(self._path)
        handle = os.open(path, os.O_RDONLY | os.O_CREAT, database.st_mode & 0o666)
        if os.geteuid() == 0:  # made by an administrator, used by whoever owns the database
            os.fchown(handle, database.st_uid, database.st_gid)
        return handle

    def take_now(self) -> bool:
        """Take the turn if nobody has it and nobody waits for it."""
        if not TURNS:
            return True
        try:
            flock(self._queue, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        try:
            flock(self._turn, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            flock(self._queue, LOCK_UN)
        return True

    def take(self) -> None:
        """Wait in the queue until it is our turn. It blocks: not for the event loop."""
        if not TURNS:
            return
        flock(self._queue, LOCK_EX)
        try:
            flock(self._turn, LOCK_EX)
        finally:
            flock(self._queue, LOCK_UN)

    def leave(self) -> None:
        """Let the next one in."""
        if TURNS:
            flock(self._turn, LOCK_UN)

    def close(self) -> None:
        """Close the files. A process that is asked to end while it waits does so without its turn."""
        if self._queue >= 0:
            os.close(self._queue)
            os.close(self._turn)
            self._queue = self._turn = -1
