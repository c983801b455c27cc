"""PostgreSQL goes away under load and comes back: answers are right or 503, and within five seconds all is well.

`make test` restarts it twice, `make recovery` ten times.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import Any

import asyncpg
import pytest

from backstay.app import open_store
from backstay.errors import Unavailable
from backstay.plan.limits import Limits
from backstay.settings import Settings
from backstay.store import postgres as postgres_store
from backstay.store.contended import TRIES, until_settled
from backstay.store.port import Contended
from backstay.store.postgres import PostgresStore
from tests.api.load import READS, WRITES, Load
from tests.servers import Postgres

RESTARTS = int(os.environ.get("RECOVERY_RESTARTS", "2"))
_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of our own, which nobody misses."""
    server = Postgres(careful=True)
    yield server
    server.stop()


@asynccontextmanager
async def loaded(server: Postgres) -> AsyncIterator[Load]:
    url = await asyncio.to_thread(server.create, f"outage{next(_numbers)}")
    settings = Settings(database_url=url, secret_key="0123456789abcdef" * 4, log_level="error", connections=4)
    load = await Load.begin(open_store(settings, Limits()), settings)
    try:
        await load.right_again()
        yield load
    finally:
        await load.app.stop()


async def test_it_is_restarted_again_and_again(server: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    back = []
    async with loaded(server) as load:
        for number in range(RESTARTS):
            await asyncio.to_thread(server.crash, ("immediate", "fast")[number % 2])
            await load.refused(READS + WRITES)
            await asyncio.to_thread(server.start_again)
            back.append(await load.right_again())
        said = await load.end(unsure=True)
    with capsys.disabled():
        print(f"\n{RESTARTS} restarts of PostgreSQL: {said}; right again after at most {max(back):.1f} s")


@asynccontextmanager
async def opened(server: Postgres, connections: int = 4, **limits: int) -> AsyncIterator[PostgresStore]:
    url = await asyncio.to_thread(server.create, f"outage{next(_numbers)}")
    store = PostgresStore(url, Limits(**limits), connections)
    await store.open()
    async with store.transaction() as tx:
        await tx.run("CREATE TABLE notes(id bigint PRIMARY KEY, text text)", ())
        await tx.run("INSERT INTO notes VALUES (1, 'a'), (2, 'b')", ())
    yield store
    await store.close()


async def test_one_side_of_a_deadlock_is_done_again(server: Postgres) -> None:
    async with opened(server) as store:
        both, tried = asyncio.Event(), count(1)

        async def work(first: int, second: int) -> None:
            async with store.transaction() as tx:
                await tx.run("UPDATE notes SET text = text || '!' WHERE id = $1::bigint", (first,))
                if next(tried) == 2:
                    both.set()
                await both.wait()
                await tx.run("UPDATE notes SET text = text || '?' WHERE id = $1::bigint", (second,))

        async with asyncio.timeout(30):
            await asyncio.gather(until_settled(lambda: work(1, 2)), until_settled(lambda: work(2, 1)))
        assert next(tried) == 4  # one of them, once more
        rows = await store.run("SELECT text FROM notes ORDER BY id", ())
        assert sorted(row[0].decode()[0] + "".join(sorted(row[0].decode()[1:])) for row in rows) == ["a!?", "b!?"]


async def test_who_is_in_the_way_every_time_is_told(server: Postgres) -> None:
    async with opened(server) as store:
        tried = count()

        async def work() -> None:
            next(tried)
            async with store.transaction() as tx:
                await tx.run("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$", ())

        with pytest.raises(Contended) as told:
            await until_settled(work)
        assert (told.value.status, told.value.headers) == (503, {"Retry-After": "1"})
        assert next(tried) == TRIES


@pytest.mark.parametrize("state", ["53100", "53200", "58030", "55P03"])
async def test_a_server_that_cannot_just_now_is_503(state: str, server: Postgres) -> None:
    """A full disk, no memory, an error of its disk, a lock that is not free."""
    async with opened(server) as store:
        with pytest.raises(Unavailable) as told:
            async with store.transaction() as tx:
                await tx.run(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$", ())
        assert (told.value.status, told.value.headers) == (503, {"Retry-After": "1"})
        assert isinstance(told.value.__cause__, asyncpg.PostgresError)
        assert await store.run("SELECT count(*) FROM notes", ()) == [(2,)]


async def test_a_mistake_stays_one(server: Postgres) -> None:
    async with opened(server) as store:
        with pytest.raises(asyncpg.UndefinedTableError):
            await store.run("SELECT * FROM nowhere", ())

        async def fail() -> None:
            async with store.transaction() as tx:
                await tx.run("DELETE FROM notes", ())
                raise FileNotFoundError

        with pytest.raises(FileNotFoundError):  # of own code in the block, and none of the database
            await fail()
        assert await store.run("SELECT count(*) FROM notes", ()) == [(2,)]


async def test_statements_are_prepared_again_when_their_tables_have_changed(server: Postgres) -> None:
    async with opened(server) as store:
        text, tried = "SELECT * FROM notes ORDER BY id", count()

        async def inside() -> list[Any]:
            next(tried)
            async with store.transaction() as tx:
                await tx.run("UPDATE notes SET text = 'c' WHERE id = 2", ())
                return await tx.run(text, ())

        async with store.transaction() as one, store.transaction() as two:  # two connections have it prepared
            for tx in (one, two):
                await tx.run(text, ())
        await store.run("ALTER TABLE notes ADD COLUMN more bigint", ())
        assert await until_settled(inside) == [(1, b"a", None), (2, b"c", None)]
        assert next(tried) == 2  # the first time was lost with its transaction, and nothing else is prepared still
        await store.run("ALTER TABLE notes DROP COLUMN more", ())
        assert await store.run(text, ()) == [(1, b"a"), (2, b"c")]  # nothing to be undone: the reader does not notice


async def test_a_connection_that_ended_is_lent_to_nobody(server: Postgres) -> None:
    """All of them end while all are in use and others wait in line: everybody is told, or is given a new one."""
    async with opened(server, connections=2) as store:
        seen: list[str] = []

        async def use(seconds: float) -> None:
            try:
                async with store.transaction() as tx:
                    await tx.run("SELECT pg_sleep($1::float8)::text", (seconds,))
                seen.append("done")
            except Unavailable as problem:
                seen.append(problem.detail)

        using = [asyncio.create_task(use(20)) for _ in range(2)]
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(use(0)) for _ in range(5)]
        await asyncio.sleep(0)
        assert store.waiting() > 0
        other = await asyncpg.connect(store.url)
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'")
        await other.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*using, *waiting)
        assert sorted(seen) == ["PostgreSQL does not answer."] * 2 + ["done"] * 5
        assert store.waiting() == 0


_ENDING = (
    "CREATE FUNCTION ending() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER ending AFTER DELETE ON notes DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION ending()",
)
"""What ends a connection in the middle of its COMMIT."""


async def test_a_commit_that_was_not_answered_is_not_called_undone(server: Postgres) -> None:
    async with opened(server) as store:
        for text in _ENDING:
            await store.run(text, ())
        with pytest.raises(Unavailable, match="before it said whether the change was made") as told:
            async with store.transaction() as tx:
                await tx.run("DELETE FROM notes", ())
        assert told.value.headers == {"Retry-After": "1"}
        assert not isinstance(told.value, Contended)  # it is not done again
        assert await store.run("SELECT count(*) FROM notes", ()) == [(2,)]


async def test_where_the_end_comes_before_the_commit_nothing_was_made(server: Postgres) -> None:
    async with opened(server) as store:

        async def delete() -> None:
            async with store.transaction() as tx:
                (pid,) = (await tx.run("DELETE FROM notes RETURNING pg_backend_pid()", ()))[0]
                other = await asyncpg.connect(store.url)
                await other.execute("SELECT pg_terminate_backend($1)", pid)
                await other.close()
                (held,) = store._pool.all
                for _ in range(500):  # the driver has to hear of it
                    if held.raw.is_closed():
                        break
                    await asyncio.sleep(0.01)

        with pytest.raises(Unavailable, match=r"^PostgreSQL does not answer\.$"):
            await delete()
        assert await store.run("SELECT count(*) FROM notes", ()) == [(2,)]


async def test_a_transaction_that_did_not_end_is_ended_with_its_connection(server: Postgres) -> None:
    async with opened(server, connections=1) as store:
        begun = asyncio.Event()

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.run("DELETE FROM notes", ())
                begun.set()
                await tx.run("SELECT pg_sleep(20)::text", ())

        task = asyncio.create_task(work())
        await begun.wait()
        for _ in range(2):  # the second time while it is rolled back
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            assert await store.run("SELECT count(*) FROM notes", ()) == [(2,)]


async def test_a_server_that_says_nothing_is_not_waited_for(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and says nothing, as behind a broken network: new ones are given up, and not all try."""
    monkeypatch.setattr(postgres_store, "DIAL", 0.3)
    async with opened(server, connections=2) as store:
        await store._pool.close()
        postmaster = int((server.directory / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)
        try:
            begun = monotonic()
            asked = [store.run("SELECT 1", ()) for _ in range(50)]
            told = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in told} == {Unavailable}
            assert monotonic() - begun < 2
        finally:
            os.kill(postmaster, signal.SIGCONT)
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await store.run("SELECT 1", ()) == [(1,)]
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
