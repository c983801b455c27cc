"""A disk that loses power: what was written and not synced may be there afterwards, in parts and in any order.

It goes through to the real files, and keeps beside each of them what a machine would find after a power cut: all that
was synced, and of every sector written since then any one of its states. The names in a folder are such a thing too: a
new file may be missing and a removed one back, until somebody waits for the folder, as SQLite does with the first sync
of a log. Invariant: an image never holds less than what was synced.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import RLock

import apsw

SECTOR = 512
_LOGS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_numbers = count()


class _Shadow:
    """What of one file is safe, and what is not yet."""

    def __init__(self, safe: bytes, *, known: bool) -> None:
        self.known = known
        """Whether its name is in the folder for certain."""
        self._now = bytearray(safe)
        self._size = len(safe)
        self._sizes: list[int] = []
        self._states: dict[int, list[bytes]] = {}
        self._safe = bytearray(safe)

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > len(self._now):
            self._now.extend(bytes(end - len(self._now)))
            self._sizes.append(end)
        self._now[offset:end] = data
        for sector in range(offset // SECTOR, (end + SECTOR - 1) // SECTOR):
            self._states.setdefault(sector, []).append(bytes(self._now[sector * SECTOR : (sector + 1) * SECTOR]))

    def truncate(self, size: int) -> None:
        del self._now[size:]
        self._sizes.append(size)

    def sync(self) -> None:
        size = len(self._now)
        del self._safe[size:]
        self._safe.extend(bytes(size - len(self._safe)))
        for sector in self._states:
            piece = self._now[sector * SECTOR : (sector + 1) * SECTOR]
            self._safe[sector * SECTOR : sector * SECTOR + len(piece)] = piece
        self._size = size
        self._states.clear()
        self._sizes.clear()

    def fail(self, rng: random.Random) -> None:
        """A sync that failed: the system takes what was written for clean, whether or not it came to the disk."""
        if (found := self.after_a_cut(rng)) is not None:
            self._safe, self._size = bytearray(found), len(found)
        self._states.clear()
        self._sizes.clear()

    def after_a_cut(self, rng: random.Random) -> bytes | None:
        if not self.known and rng.random() < 0.5:
            return None
        found = bytearray(self._safe)
        for sector, states in self._states.items():
            if (at := rng.randrange(len(states) + 1)) < len(states):  # else it was never written
                piece = states[at]
                found.extend(bytes(max(0, sector * SECTOR + len(piece) - len(found))))
                found[sector * SECTOR : sector * SECTOR + len(piece)] = piece
        if self._sizes and (size := rng.choice([self._size, *self._sizes])) < len(found):
            del found[size:]
        return bytes(found)


class Power(apsw.VFS):
    """While it is `supplied`, every database that is opened lies on it.

    `at` is called before every write and sync; a sync that `fails` is told so, and never made good.
    """

    def __init__(self) -> None:
        self.name = f"power{next(_numbers)}"
        self.at: Callable[[], None] = lambda: None
        self.fails: Callable[[], bool] = lambda: False
        self.failed = 0
        self.lock = RLock()
        self.shadows: dict[str, _Shadow] = {}
        self.removed: dict[str, _Shadow] = {}
        super().__init__(self.name, "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:
        """A file of this disk."""
        path = name if name is None or isinstance(name, str) else name.filename()
        with self.lock:
            if path is not None and path not in self.shadows:
                there = Path(path)
                self.shadows[path] = _Shadow(there.read_bytes() if there.exists() else b"", known=there.exists())
            return _File(self, name, flags, None if path is None else self.shadows[path])

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """A file is removed; where nobody waits for the folder, it may be there again."""
        super().xDelete(filename, syncdir)
        with self.lock:
            if (shadow := self.shadows.pop(filename, None)) is not None and shadow.known and not syncdir:
                shadow.known = False
                self.removed[filename] = shadow

    def folder_synced(self) -> None:
        """From now on it is certain which files there are."""
        self.removed.clear()
        for shadow in self.shadows.values():
            shadow.known = True

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Write what would be found after a power cut now into an empty folder."""
        folder.mkdir()
        with self.lock:
            for path, shadow in {**self.removed, **self.shadows}.items():
                if (found := shadow.after_a_cut(rng)) is not None:
                    (folder / Path(path).name).write_bytes(found)


class _File(apsw.VFSFile):
    def __init__(
        self, power: Power, name: str | apsw.URIFilename | None, flags: list[int], shadow: _Shadow | None
    ) -> None:
        super().__init__("unix", name, flags)
        self._power = power
        self._shadow = shadow
        opened = flags[0]
        self._first = bool(opened & apsw.SQLITE_OPEN_CREATE and opened & _LOGS)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._power.at()
        super().xWrite(data, offset)
        if self._shadow is not None:
            with self._power.lock:
                self._shadow.write(data, offset)

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        if self._shadow is not None:
            with self._power.lock:
                self._shadow.truncate(size)

    def xSync(self, flags: int) -> None:
        self._power.at()
        if self._shadow is not None:
            with self._power.lock:
                if self._power.fails():
                    self._power.failed += 1
                    self._shadow.fail(random.Random(self._power.failed))
                    raise apsw.IOError("the disk does not answer")
                if self._first:
                    self._first = False
                    self._power.folder_synced()
                self._shadow.sync()  # the files themselves need not be: nobody cuts the power of this machine


@contextmanager
def supplied() -> Iterator[Power]:
    """Power under every database that is opened from now on."""
    power = Power()
    try:
        yield power
    finally:
        power.unregister()
