"""What is acknowledged is on disk: each connection says so itself, whatever the file or the environment says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from backstay.store.sqlite import SQLiteStore

OWED = {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "foreign_keys": 1}


async def test_every_connection_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notes.db")
    careless = apsw.Connection(path)  # somebody has made the file before, carelessly
    careless.execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; CREATE TABLE t (x)").fetchall()
    careless.close()
    made: list[Any] = []
    connect = apsw.Connection

    class Seen(connect):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    monkeypatch.setattr(apsw, "Connection", Seen)
    store = SQLiteStore(path)
    await store.open()
    async with store.transaction() as writing:
        await writing.run("INSERT INTO t VALUES (1)", ())
    assert len(made) >= 2
    for connection in made:
        assert {name: connection.pragma(name) for name in OWED} == OWED
    await store.close()


def test_this_sqlite_has_not_the_fault_of_several_writers() -> None:
    assert apsw.sqlite_lib_version() >= "3.51.3"
