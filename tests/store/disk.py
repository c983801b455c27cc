"""A disk in the tests' hands: it counts how often it is waited for, waits until it is told, is full, and fails.

Invariant: what is not disturbed goes through to the real files, byte for byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import apsw

_numbers = count()


class Disk(apsw.VFS):
    """While it is `mounted`, every database that is opened lies on it."""

    def __init__(self) -> None:
        self.name = f"disk{next(_numbers)}"
        self.full = False
        self.unreadable = False
        self.failing = False
        self.dying = False
        """The next wait fails, and after it nothing can be written."""
        self.delay = 0.0
        self.syncs = 0
        """How often the write-ahead log was waited for."""
        self.syncing = threading.Event()
        self.going = threading.Event()
        self.going.set()
        super().__init__(self.name, "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:
        """A file of this disk."""
        path = name if name is None or isinstance(name, str) else name.filename()
        return _File(self, name, flags, bool(path and path.endswith("-wal")))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, whoever waits for the disk waits until the end of the block."""
        self.syncing.clear()
        self.going.clear()
        try:
            yield
        finally:
            self.going.set()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int], log: bool) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._log = log

    def xRead(self, amount: int, offset: int) -> bytes:
        if self._disk.unreadable:
            raise apsw.IOError("the disk does not answer")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.full:
            raise apsw.FullError("the disk is full")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        disk = self._disk
        if self._log:
            disk.syncs += 1
            disk.syncing.set()
            if not disk.going.wait(30):
                disk.going.set()
                raise RuntimeError("nobody let the disk go on")
        if disk.delay:
            time.sleep(disk.delay)
        if disk.dying:
            disk.full = True
        if disk.failing or disk.dying:
            raise apsw.IOError("the disk does not answer")
        super().xSync(flags)


@contextmanager
def mounted() -> Iterator[Disk]:
    """A disk under every database that is opened from now on."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()
