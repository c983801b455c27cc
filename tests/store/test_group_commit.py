"""Transactions of one process share a commit: acknowledged with it, undone alone, and lost together or done again."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from backstay.errors import Unavailable
from backstay.plan.limits import Limits
from backstay.store import sqlite_commit
from backstay.store.inside import AwaitedElsewhere, inside_transaction, refuse_inside
from backstay.store.port import Taken
from backstay.store.sqlite import SQLiteStore
from backstay.store.sqlite_transaction import SQLiteTransaction
from backstay.store.sqlite_turn import WriteTurn
from tests.store.conftest import Build
from tests.store.disk import Disk, mounted

INSERT = "INSERT INTO notes(text) VALUES (?)"
ENDLESS = (
    "INSERT INTO notes(text) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'e' || i FROM n"
)


@pytest.fixture
def disk() -> Iterator[Disk]:
    with mounted() as disk:
        yield disk


@pytest.fixture
async def store(disk: Disk, tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = await opened(tmp_path / "notes.db", Limits(max_statement_ms=50))
    yield store
    await store.close()


async def opened(path: Path | str, limits: Limits | None = None) -> SQLiteStore:
    store = SQLiteStore(str(path), limits)
    await store.open()
    async with store.transaction() as tx:
        await tx.run("CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT UNIQUE) STRICT", ())
    return store


async def write(store: SQLiteStore, *texts: str) -> None:
    async with store.transaction() as tx:
        for text in texts:
            await tx.run(INSERT, (text,))


async def written(store: SQLiteStore) -> list[str]:
    return [text for (text,) in await store.run("SELECT text FROM notes ORDER BY id", ())]


async def together(*work: Awaitable[Any]) -> list[Any]:
    """What each came to, all begun in one turn of the loop."""
    async with asyncio.timeout(60):
        return await asyncio.gather(*work, return_exceptions=True)


def started(*work: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(one) for one in work]


async def waited_for(disk: Disk) -> None:
    assert await asyncio.to_thread(disk.syncing.wait, 30)


def kinds(outcomes: list[Any]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


async def test_many_share_one_commit(store: SQLiteStore, disk: Disk) -> None:
    before = disk.syncs
    assert await together(*(write(store, f"{n}") for n in range(20))) == [None] * 20
    assert disk.syncs - before == 1
    assert await written(store) == [f"{n}" for n in range(20)]


async def test_nobody_is_told_of_what_is_not_on_the_disk_and_reads_go_on(store: SQLiteStore, disk: Disk) -> None:
    await write(store, "old")
    with disk.held():
        first = started(write(store, "a"), write(store, "b"))
        await waited_for(disk)
        later = started(write(store, "c"))
        for _ in range(100):
            assert await written(store) == ["old"]
            await asyncio.sleep(0)
        assert not any(task.done() for task in first + later)
    assert await together(*first, *later) == [None] * 3
    assert await written(store) == ["old", "a", "b", "c"]


async def test_who_comes_while_the_disk_is_waited_for_is_in_the_next_commit(store: SQLiteStore, disk: Disk) -> None:
    before = disk.syncs
    with disk.held():
        tasks = started(write(store, "first"))
        await waited_for(disk)
        tasks += started(*(write(store, f"{n}") for n in range(10)))
        await asyncio.sleep(0)
    await together(*tasks)
    assert disk.syncs - before == 2


async def test_others_have_their_step_between_those_who_waited(store: SQLiteStore, disk: Disk) -> None:
    """Reads are not held up by a long line of writes; and the line is told of, but not the time of the disk."""
    turns, seen, behind = 0, Counter[int](), []

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work(text: str) -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, (text,))
            seen[turns] += 1
            behind.append(store.waiting())

    (ticking,) = started(tick())
    with disk.held():
        tasks = started(write(store, "first"))
        await waited_for(disk)
        tasks += started(*(work(f"{n}") for n in range(20)))
        await asyncio.sleep(0)
        assert store.waiting() == 0.0
    await together(*tasks)
    ticking.cancel()
    assert sorted(seen.values()) == [4, 8, 8]
    assert [waits > 0 for waits in behind] == [True] * 16 + [False] * 4
    assert store.waiting() == 0.0
    assert await written(store) == ["first", *(f"{n}" for n in range(20))]


async def test_one_that_fails_undoes_its_own_alone(store: SQLiteStore) -> None:
    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("half",))
            raise LookupError

    outcomes = await together(write(store, "a"), fail(), write(store, "b"), write(store, "c", "a"), write(store, "d"))
    assert kinds(outcomes) == ["NoneType", "LookupError", "NoneType", "Taken", "NoneType"]
    assert await written(store) == ["a", "b", "d"]


async def test_a_refusal_is_told_when_its_reason_is_on_the_disk(store: SQLiteStore, disk: Disk) -> None:
    with disk.held():
        tasks = started(write(store, "a"), write(store, "a"))
        await waited_for(disk)
        assert not tasks[1].done()
    assert kinds(await together(*tasks)) == ["NoneType", "Taken"]
    disk.failing = True
    assert kinds(await together(write(store, "b"), write(store, "b"))) == ["Unavailable", "Unavailable"]


async def test_a_refusal_without_a_reason_among_the_others_is_told_at_once(store: SQLiteStore, disk: Disk) -> None:
    async def refuse() -> None:
        async with store.transaction():
            raise LookupError

    await write(store, "a")
    with disk.held():
        taken, kept, refused = tasks = started(write(store, "a"), write(store, "b"), refuse())
        await waited_for(disk)
        assert (taken.done(), kept.done(), refused.done()) == (True, False, True)
    assert kinds(await together(*tasks)) == ["Taken", "NoneType", "LookupError"]


@pytest.mark.parametrize("path", ["notes.db", ":memory:"])
async def test_only_the_transaction_may_be_awaited_inside(path: str, tmp_path: Path) -> None:
    store = await opened(tmp_path / path if path != ":memory:" else path)

    async def away(wait: Callable[[], Awaitable[Any]], *, swallow: bool = False) -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("half",))
            try:
                await wait()  # here
                await tx.run(INSERT, ("the other half",))
            except AwaitedElsewhere:
                if not swallow:
                    raise

    async def child() -> None:
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

    waits: list[Callable[[], Awaitable[Any]]] = [lambda: asyncio.sleep(0), lambda: asyncio.sleep(0.001), child]
    for wait in waits:
        before, guilty, quiet, after = await together(
            write(store, "a"), away(wait), away(wait, swallow=True), write(store, "b")
        )
        assert (before, after) == (None, None)
        for error in (guilty, quiet):
            assert isinstance(error, AwaitedElsewhere)
            assert "only `tx` may be awaited" in str(error)
            assert f"{__file__}:{_line('# here')} in away" in str(error)
        with pytest.raises(AwaitedElsewhere):
            await away(wait)  # also where nobody else is there to notice
        assert await written(store) == ["a", "b"]
        async with store.transaction() as tx:
            await tx.run("DELETE FROM notes", ())
    await store.close()


def _line(mark: str) -> int:
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), 1) if line.endswith(mark))


async def test_a_transaction_that_is_over_cannot_be_used(store: SQLiteStore) -> None:
    async with store.transaction() as tx:
        await tx.run(INSERT, ("a",))
    with pytest.raises(RuntimeError, match="has ended"):
        await tx.run(INSERT, ("b",))


async def test_a_second_one_inside_is_refused(store: SQLiteStore) -> None:
    async def both() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("a",))
            await write(store, "b")

    with pytest.raises(AwaitedElsewhere, match="open already"):
        await both()
    assert await written(store) == []


@pytest.mark.parametrize("text", ["COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT x", "RELEASE _", "ATTACH ':memory:' AS x",
                                  "PRAGMA defer_foreign_keys = ON", "SELECT 1; ROLLBACK"])  # fmt: skip
async def test_no_statement_ends_what_belongs_to_all(text: str, store: SQLiteStore) -> None:
    async def end() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("x",))
            await tx.run(text, ())

    outcomes = await together(write(store, "a"), end(), write(store, "b"))
    assert kinds(outcomes) == ["NoneType", "RuntimeError", "NoneType"]
    assert await written(store) == ["a", "b"]


async def test_when_one_statement_takes_too_long_the_innocent_are_done_again(store: SQLiteStore, disk: Disk) -> None:
    async def count(tx: SQLiteTransaction) -> int:
        return int((await tx.run("SELECT count(*) FROM notes", ()))[0][0])

    async def innocent(text: str) -> int:
        async with store.transaction() as tx:
            await tx.run(INSERT, (text,))
            try:
                await tx.run(INSERT, (text,))
            except Taken:
                return await count(tx)
        raise AssertionError

    async def changing() -> None:
        async with store.transaction() as tx:
            await tx.run("INSERT INTO notes(text) SELECT random()", ())
            await tx.run("SELECT random()", ())

    async def endless() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("mine",))
            await tx.run(ENDLESS, ())

    before = disk.syncs
    one, other, guilty, two = await together(innocent("a"), changing(), endless(), innocent("b"))
    assert (one, two) == (1, 2)
    assert await written(store) == ["a", "b"]
    assert disk.syncs - before == 1
    assert isinstance(guilty, Unavailable)
    assert (guilty.code, guilty.headers) == ("timeout", {"Retry-After": "1"})
    assert isinstance(other, Unavailable)
    assert (other.code, other.headers) == ("unavailable", {"Retry-After": "1"})


async def test_a_read_that_takes_too_long_harms_nobody(store: SQLiteStore) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    async def read() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("x",))
            with pytest.raises(Unavailable) as late:
                await tx.run(endless, ())
            assert late.value.code == "timeout"

    assert await together(write(store, "a"), read(), write(store, "b")) == [None] * 3
    assert await written(store) == ["a", "x", "b"]


async def test_a_clause_that_undoes_everything_undoes_its_own_alone(store: SQLiteStore) -> None:
    async def clash() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("x",))
            await tx.run("INSERT OR ROLLBACK INTO notes(text) VALUES ('a')", ())

    outcomes = await together(write(store, "a"), clash(), write(store, "b"))
    assert kinds(outcomes) == ["NoneType", "Taken", "NoneType"]
    assert await written(store) == ["a", "b"]


@pytest.mark.parametrize("size", [10, 200_000], ids=["at the commit", "at a statement"])
async def test_a_full_disk_is_told_and_forgotten(size: int, store: SQLiteStore, disk: Disk) -> None:
    await write(store, "old")
    async with store.transaction() as tx:
        await tx.run("PRAGMA cache_size = 10", ())  # so that much is written before the commit
    disk.full = True
    for _ in range(2):
        outcomes = await together(
            write(store, "a"), write(store, *(f"{n}" * size for n in range(5))), write(store, "b")
        )
        for outcome in outcomes:
            assert isinstance(outcome, Unavailable)
            assert (outcome.status, outcome.code, outcome.headers) == (503, "unavailable", {"Retry-After": "1"})
            assert isinstance(outcome.__cause__, apsw.FullError)
        assert await written(store) == ["old"]
    disk.full = False
    assert await together(write(store, "c"), write(store, "d")) == [None, None]
    assert await written(store) == ["old", "c", "d"]


async def test_a_failed_commit_is_the_last_of_its_connection(store: SQLiteStore, disk: Disk) -> None:
    await write(store, "old")
    failed = store._writer.connection.raw
    disk.failing = True
    assert kinds(await together(write(store, "a"), write(store, "b"))) == ["Unavailable", "Unavailable"]
    assert store._writer.connection.raw is None
    disk.failing = False
    assert await together(write(store, "c")) == [None]
    assert store._writer.connection.raw not in (None, failed)
    assert await written(store) == ["old", "c"]


async def test_what_failed_is_not_found_by_a_recovery(store: SQLiteStore, disk: Disk, tmp_path: Path) -> None:
    """The log holds a whole transaction whose sync failed: after a crash of the machine it must not come back."""
    await write(store, "old")
    disk.dying = True
    assert kinds(await together(write(store, "a"))) == ["Unavailable"]
    assert recovered(tmp_path, "before") == ["old", "a"]  # this is what must not stay
    disk.dying = disk.full = False
    async with store.transaction():
        pass  # changes nothing, and brings the connection back
    assert recovered(tmp_path, "after") == ["old"]
    disk.failing = True  # and where the disk takes what is written, it does not even come to that
    assert kinds(await together(write(store, "b"))) == ["Unavailable"]
    assert recovered(tmp_path, "at once") == ["old"]


def recovered(folder: Path, name: str) -> list[str]:
    """What another machine would find in the files as they are now."""
    copy = folder / name
    copy.mkdir()
    for file in ("notes.db", "notes.db-wal"):
        shutil.copy(folder / file, copy / file)
    connection = apsw.Connection(str(copy / "notes.db"), vfs="unix")
    try:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]
    finally:
        connection.close()


async def test_who_leaves_early_harms_nobody(store: SQLiteStore, disk: Disk) -> None:
    with disk.held():
        kept, stays = started(write(store, "kept"), write(store, "stays"))
        await waited_for(disk)
        waiting, next_one = started(write(store, "never begun"), write(store, "next"))
        await asyncio.sleep(0)
        assert (kept.cancel(), waiting.cancel()) == (True, True)
    outcomes = await together(kept, stays, waiting, next_one)
    assert kinds(outcomes) == ["CancelledError", "NoneType", "CancelledError", "NoneType"]
    assert await written(store) == ["kept", "stays", "next"]


async def test_one_that_is_cancelled_inside_is_undone(store: SQLiteStore) -> None:
    async def wait() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, ("half",))
            await asyncio.Event().wait()

    (task,) = started(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert kinds(await together(task, write(store, "a"))) == ["CancelledError", "NoneType"]
    assert await written(store) == ["a"]


async def test_the_loop_is_free_while_another_process_writes(store: SQLiteStore, tmp_path: Path) -> None:
    stranger = apsw.Connection(str(tmp_path / "notes.db"))
    stranger.execute("BEGIN IMMEDIATE; INSERT INTO notes(text) VALUES ('stranger')")
    tasks = started(write(store, "a"), write(store, "b"))
    for _ in range(100):
        assert await written(store) == []
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    assert store._writer.connection.raw is not None
    assert store._writer.connection.raw.pragma("busy_timeout") == 0  # with another one the loop would have stood still
    stranger.execute("COMMIT")
    assert await together(*tasks) == [None, None]
    assert await written(store) == ["stranger", "a", "b"]
    stranger.close()


@pytest.mark.parametrize("manner", ["with a turn", "without"])
async def test_who_waits_too_long_is_told(
    manner: str, store: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_commit, "PATIENCE", 0.01)
    turn = WriteTurn(str(tmp_path / "notes.db"))
    stranger = apsw.Connection(str(tmp_path / "notes.db"))
    turn.open()
    if manner == "with a turn":
        assert turn.take_now()
    else:
        stranger.execute("BEGIN IMMEDIATE")
    outcomes = await together(write(store, "a"), write(store, "b"))
    for outcome in outcomes:
        assert isinstance(outcome, Unavailable)
        assert (outcome.code, outcome.headers) == ("unavailable", {"Retry-After": "1"})
    turn.close()
    stranger.close()
    monkeypatch.undo()
    await write(store, "c")
    assert await written(store) == ["c"]


async def test_closing_finishes_what_is_on_its_way(store: SQLiteStore, disk: Disk, tmp_path: Path) -> None:
    with disk.held():
        tasks = started(write(store, "a"))
        await waited_for(disk)
        tasks += started(write(store, "b"))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        assert not closing.done()
    await closing
    assert kinds(await together(*tasks)) == ["NoneType", "Unavailable"]
    again = SQLiteStore(str(tmp_path / "notes.db"))
    await again.open()
    assert await written(again) == ["a"]
    await again.close()


async def test_closing_does_not_wait_for_a_turn(disk: Disk, tmp_path: Path) -> None:
    store = await opened(tmp_path / "notes.db")
    turn = WriteTurn(str(tmp_path / "notes.db"))
    turn.open()
    assert turn.take_now()
    tasks = started(write(store, "a"))
    await asyncio.sleep(0)
    await store.close()
    assert kinds(await together(*tasks)) == ["Unavailable"]
    turn.close()


async def test_code_knows_whether_it_is_inside(build: Build) -> None:
    house = await build()
    store = house.engine.store
    found = []

    async def later(open_still: asyncio.Event) -> None:
        await open_still.wait()
        found.append(inside_transaction())

    ended = asyncio.Event()
    assert not inside_transaction()
    async with store.transaction():
        assert inside_transaction()
        with pytest.raises(AwaitedElsewhere, match="Sending a request is not possible inside a transaction"):
            refuse_inside("Sending a request")
        task = asyncio.ensure_future(later(ended))
    assert not inside_transaction()
    refuse_inside("Sending a request")
    ended.set()
    await task
    assert found == [False]
    with pytest.raises(LookupError):
        async with store.transaction():
            raise LookupError
    assert not inside_transaction()


async def test_how_many_share_a_commit_is_counted(disk: Disk, store: SQLiteStore) -> None:
    before = store.commit_sizes.counts[:]
    await write(store, "alone")
    await asyncio.gather(*(write(store, f"{at}") for at in range(5)))
    added = [now - then for now, then in zip(store.commit_sizes.counts, before, strict=True)]
    assert sum(added) == 2
    assert (added[0], added[3]) == (1, 1)  # one alone, and five together: up to eight
    assert store.commit_sizes.total == 1 + 1 + 5  # the table of the test too
