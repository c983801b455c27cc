"""One file, one SQLite library: what else opens a database that Backstay has open in this process is stopped.

POSIX takes back all locks of a process on a file as soon as any handle on it is closed. Two libraries do not know of
each other, so closing a connection of Python's own `sqlite3` would leave a writer here without its lock, and the file
in pieces (https://www.sqlite.org/howtocorrupt.html, 2.2.1). Other processes are no danger.
Invariant: from `claim` to `release` no connection of `sqlite3` to the file is made, whoever wants one.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import apsw

_OURS: Counter[str] = Counter()
_listening = False


def claim(path: str) -> None:
    """Take a file that is about to be opened. Raises `RuntimeError` where another library has it open."""
    global _listening
    if not _listening:
        sys.addaudithook(_look)
        _listening = True
    real = os.path.realpath(path)
    if not _OURS[real] and _is_open(real):
        raise RuntimeError(f"{path} is open in this process with another SQLite library already. {_advice(path)}")
    _OURS[real] += 1


def release(path: str) -> None:
    """Let a file go that was closed."""
    _OURS.subtract([os.path.realpath(path)])


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect" and _OURS and (name := _file_of(arguments[0])) and _OURS[name] > 0:
        raise RuntimeError(f"{name} is open in this process with the SQLite of Backstay. {_advice(name)}")


def _file_of(database: Any) -> str:
    """The file that `sqlite3.connect` is asked for; nothing where that is none."""
    with suppress(TypeError, UnicodeDecodeError):
        name = os.fsdecode(database)
        if name.startswith("file:"):
            name = name[5:].partition("?")[0]
            name = name[2:] if name.startswith("///") else name
        return os.path.realpath(name) if name and not name.startswith(":") else ""
    return ""


def _is_open(real: str) -> bool:
    """Whether this process has a handle on a file that is none of apsw's."""
    if any(os.path.realpath(one.filename) == real for one in apsw.connections() if one.filename):
        return False  # ours, and what else there may be cannot be told from it
    try:
        wanted, handles = os.stat(real), os.listdir("/dev/fd")
    except OSError:
        return False
    for handle in handles:
        with suppress(OSError, ValueError):
            found = os.fstat(int(handle))
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _advice(path: str) -> str:
    return (
        f'Two in one process break the file: let SQLAlchemy use create_engine("sqlite+backstay:///{path}"), which also '
        "serves create_async_engine, or keep the other one in a process of its own."
    )
