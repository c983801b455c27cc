"""SQLite is locked, its disk is full or fails, under load: answers are right or 503, reads go on, and all is well soon.

`make test` locks it for a moment, `make recovery` for ten seconds.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import apsw
import pytest

from backstay.app import open_store
from backstay.errors import Unavailable
from backstay.plan.limits import Limits
from backstay.settings import Settings
from backstay.store import sqlite_commit
from backstay.store.sqlite import SQLiteStore
from tests.api.fleet import Server, one_answer
from tests.api.load import READS, WRITES, Load
from tests.api.test_killed_server import FILE
from tests.store.disk import Disk, mounted

LOCKED = float(os.environ.get("RECOVERY_LOCKED", "0.6"))  # seconds
OUTAGES = int(os.environ.get("RECOVERY_OUTAGES", "2"))


@pytest.fixture
def disk() -> Iterator[Disk]:
    with mounted() as disk:
        yield disk


@asynccontextmanager
async def loaded(folder: Path) -> AsyncIterator[Load]:
    settings = Settings(
        database_url=f"sqlite:///{folder}/items.db", secret_key="0123456789abcdef" * 4, log_level="error"
    )
    load = await Load.begin(open_store(settings, Limits()), settings)
    try:
        await load.right_again()
        yield load
    finally:
        await load.app.stop()


async def test_another_process_locks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if LOCKED < sqlite_commit.PATIENCE:
        monkeypatch.setattr(sqlite_commit, "PATIENCE", LOCKED / 3)
    async with loaded(tmp_path) as load:
        with closing(apsw.Connection(str(tmp_path / "items.db"))) as stranger:
            stranger.set_busy_timeout(10_000)
            await asyncio.to_thread(stranger.execute, "BEGIN IMMEDIATE")
            seen = len(load.answers)
            await asyncio.gather(load.refused(WRITES), asyncio.sleep(LOCKED))
            found = load.answers[seen:]
            stranger.execute("ROLLBACK")
        back = await load.right_again()
        said = await load.end()
    read = [one for one in found if one.kind in READS]
    assert len(read) > 50
    assert all(one.right for one in read), "a read was held up by who writes"
    assert max(one.took for one in found) < sqlite_commit.PATIENCE + 1
    with capsys.disabled():
        print(f"\nlocked for {LOCKED:.1f} s: {said}; writes went on after {back:.2f} s")


@pytest.mark.parametrize("how", ["full", "failing"])
async def test_its_disk_is_full_or_fails(
    how: str, disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with loaded(tmp_path) as load:
        for _ in range(OUTAGES):
            setattr(disk, how, True)
            await load.refused(WRITES)
            await load.right_again(READS)
            setattr(disk, how, False)
            back = await load.right_again()
        said = await load.end()
    with capsys.disabled():
        print(f"\n{how}, {OUTAGES} times: {said}; writes went on after {back:.2f} s")


async def test_its_file_may_not_grow(tmp_path: Path) -> None:
    """What the system itself says where there is no room: a process of its own, whose files are limited."""
    (tmp_path / "items.py").write_text(FILE)
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/items.db", "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "error",
        "BACKSTAY_DATA": str(tmp_path / "data"),
    }  # fmt: skip
    server = Server(tmp_path / "items.py", environment)
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait)
        sizes = [path.stat().st_size for path in tmp_path.glob("items.db*")]

        async def made(n: int) -> int:
            got = await one_answer(server.port, "POST", "/api/items", {}, b'{"n": %d}' % n)
            if got.status == 503:
                assert got.headers["retry-after"] == "1"
            return got.status

        assert await made(1) == 201
        limit_files(server, max(sizes) + 100_000)
        statuses = [await made(n) for n in range(2, 200)]
        assert set(statuses) == {201, 503}
        assert statuses[-1] == 503
        listed = await one_answer(server.port, "GET", "/api/items?count=exact&limit=1", {})
        assert f'"total":{1 + statuses.count(201)}'.encode() in listed.body
        limit_files(server, resource.RLIM_INFINITY)
        assert await made(200) == 201
        listed = await one_answer(server.port, "GET", "/api/items?count=exact&limit=1", {})
        assert f'"total":{2 + statuses.count(201)}'.encode() in listed.body
    finally:
        await asyncio.to_thread(server.stop)


def limit_files(server: Server, size: int) -> None:
    for pid in server.pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_read_that_fails_is_503_and_the_next_one_is_right(disk: Disk, tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "notes.db"))
    await store.open()
    async with store.transaction() as tx:
        await tx.run("CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT) STRICT", ())
        await tx.run("INSERT INTO notes VALUES (1, 'a')", ())
    store._reader.execute("PRAGMA cache_size = 0")
    store.listen()
    disk.unreadable = True
    with pytest.raises(Unavailable) as told:
        await store.run("SELECT text FROM notes", ())
    assert (told.value.code, told.value.headers) == ("unavailable", {"Retry-After": "1"})
    assert isinstance(told.value.__cause__, apsw.IOError)
    rung = store.bell.rings
    await asyncio.sleep(0.1)  # for who listens to look, and fail
    disk.unreadable = False
    assert await store.run("SELECT text FROM notes", ()) == [("a",)]
    with closing(apsw.Connection(str(tmp_path / "notes.db"))) as stranger:
        stranger.execute("INSERT INTO notes VALUES (2, 'b')")
    await store.bell.wait(rung, 5)
    assert store.bell.rings > rung, "nobody listens any more"
    await store.close()


async def test_a_clock_that_is_stepped_back_and_forth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By days, between any two looks at it: nothing is lost, ended or put off by it, and ids go on rising."""
    steps, looks = (timedelta(), timedelta(days=2), timedelta(days=-2), timedelta(hours=1)), count()

    def clock() -> datetime:
        return datetime.now(UTC) + steps[next(looks) % len(steps)]

    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/items.db", secret_key="0123456789abcdef" * 4, log_level="error",
        access_minutes=14_400,
    )  # fmt: skip
    load = await Load.begin(open_store(settings, Limits()), settings, clock=clock)
    try:
        await load.right_again(times=50)
        ids = list(load.told)
        said = await load.end()
    finally:
        await load.app.stop()
    assert len(ids) == len(set(ids))
    assert not [one for one in load.answers if one.status != 200 and one.status != 201]
    with capsys.disabled():
        print(f"\nthe clock stepped {next(looks)} times: {said}")
