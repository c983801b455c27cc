"""Several processes write to one SQLite file: in turns, whole, and whatever becomes of any of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import apsw
import pytest

from backstay.store.sqlite_turn import WriteTurn
from tests.store.test_group_commit import opened
from tests.test_project import ROOT

TASKS, EACH = 8, 10
KEPT = EACH - EACH // 5  # every fifth is taken back


class Writers:
    """Processes that write to one file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, each: int = EACH) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.store.writing_process", str(self.file), name, str(TASKS), str(each)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.running[name] = process
        return process

    def rest(self, name: str) -> list[str]:
        """What a process still says until its end; that it said nothing is wrong, is checked too."""
        said, wrong = self.running[name].communicate(timeout=120)
        assert wrong == ""
        return said.splitlines()

    def found(self) -> tuple[list[str], dict[str, int]]:
        """The rows, and how often each process has counted."""
        connection = apsw.Connection(str(self.file))
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = [str(text) for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]
            return rows, {str(name): int(str(n)) for name, n in connection.execute("SELECT name, n FROM counts")}
        finally:
            connection.close()


@pytest.fixture
async def writers(tmp_path: Path) -> Iterator[Writers]:  # type: ignore[misc]
    store = await opened(tmp_path / "notes.db")
    async with store.transaction() as tx:
        await tx.run("DROP TABLE notes", ())
        await tx.run("CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT) STRICT", ())
        await tx.run("CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT", ())
        await tx.run("INSERT INTO counts VALUES ('a', 0), ('b', 0), ('c', 0)", ())
    await store.close()
    writers = Writers(tmp_path / "notes.db")
    yield writers
    for process in writers.running.values():
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_every_write_of_three_processes_is_there_once(writers: Writers) -> None:
    for name in "abc":
        writers.start(name)
    said = [text for name in "abc" for text in writers.rest(name)]
    rows, counts = writers.found()
    assert len(said) == 3 * TASKS * KEPT
    assert sorted(rows) == sorted(said)
    assert counts == {name: TASKS * KEPT for name in "abc"}


def test_a_process_that_is_killed_loses_nothing_that_it_said_and_stops_nobody(writers: Writers) -> None:
    killed, other = writers.start("a", each=100_000), writers.start("b")
    assert killed.stdout is not None
    said = [killed.stdout.readline().strip() for _ in range(100)]
    killed.kill()
    said += [line for line in killed.stdout.read().split("\n")[:-1] if line]  # what was on its way, whole lines
    rest = writers.rest("b")
    later = writers.start("c")
    rest += writers.rest("c")
    assert (other.returncode, later.returncode) == (0, 0)
    rows, counts = writers.found()
    assert len(rows) == len(set(rows)), "written twice"
    assert set(said + rest) - set(rows) == set(), "acknowledged, and lost"
    unsaid = set(rows) - set(said + rest)
    assert len(unsaid) <= TASKS, "more than what was on its way"
    assert all(text.startswith("a.") for text in unsaid)
    assert {name: sum(text.startswith(name) for text in rows) for name in "abc"} == counts, "half a transaction"


def test_who_has_just_written_does_not_get_in_before_who_waits(tmp_path: Path) -> None:
    (tmp_path / "notes.db").touch()
    first, second, probe = (WriteTurn(str(tmp_path / "notes.db")) for _ in range(3))
    for turn in (first, second, probe):
        turn.open()
    assert first.take_now()
    assert not second.take_now()
    has_it, may_leave = threading.Event(), threading.Event()

    def wait() -> None:
        second.take()
        has_it.set()
        may_leave.wait(30)
        second.leave()

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = monotonic() + 30
    while not _queued(probe):
        assert monotonic() < deadline
    first.leave()
    assert not first.take_now()
    assert has_it.wait(30)
    assert not first.take_now()
    may_leave.set()
    thread.join()
    assert first.take_now()
    for turn in (first, second, probe):
        turn.close()


def _queued(turn: WriteTurn) -> bool:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

    try:
        flock(turn._queue, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    flock(turn._queue, LOCK_UN)
    return False


def test_the_turn_of_a_killed_process_is_free(tmp_path: Path) -> None:
    (tmp_path / "notes.db").touch()
    path = str(tmp_path / "notes.db")
    taking = (
        f"from backstay.store.sqlite_turn import WriteTurn; t = WriteTurn({path!r}); t.open(); t.take(); "
        "print(1, flush=True); import time; time.sleep(60)"
    )
    turn = WriteTurn(path)
    turn.open()
    with subprocess.Popen([sys.executable, "-c", taking], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not turn.take_now()
        process.kill()
        process.wait()
        assert turn.take_now()
    turn.close()


def test_the_files_of_the_turn_have_the_rights_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "notes.db").touch(0o640)
    (tmp_path / "notes.db").chmod(0o640)
    turn = WriteTurn(str(tmp_path / "notes.db"))
    turn.open()
    assert {f"{file.name} {file.stat().st_mode & 0o777:o}" for file in tmp_path.iterdir()} == {
        "notes.db 640", "notes.db-queue 640", "notes.db-turn 640",
    }  # fmt: skip
    turn.close()
