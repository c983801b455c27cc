"""Servers are stopped and take new code behind a proxy that forgives nothing, and no client notices.

`make test` does each a few times, `make reload` twenty times.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.fleet import Client, Fleet, Server
from tests.cli.proxy import Crowd, Proxy

TIMES = int(os.environ.get("RELOADS", "3"))

FILE = """
from backstay import App, Context, Model, Rules, User, anyone


class Note(Model):
    n: int

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


app = App("notes", models=[Note], version="VERSION")


@app.action("GET /api/version", allow=anyone)
async def version(ctx: Context) -> str:
    return app.version


@app.action("GET /api/slow", allow=anyone)
async def slow(ctx: Context, seconds: float) -> str:
    import asyncio

    await asyncio.sleep(seconds)
    return "done"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to serve, in its first version."""
    made = tmp_path / "notes.py"
    made.write_text(FILE.replace("VERSION", "0"))
    return made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path}/notes.db", "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "warning",
        "BACKSTAY_DRAIN_SECONDS": "1", "BACKSTAY_LINGER_SECONDS": "45", "BACKSTAY_METRICS_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip


Started = Callable[..., list[Server]]


@pytest.fixture
def started(file: Path, environment: dict[str, str]) -> Iterator[Started]:
    """Starts servers of the file."""
    fleets: list[Fleet] = []

    def start(size: int = 1, workers: int = 1, **more: str) -> list[Server]:
        fleet = Fleet(file, {**environment, **more}, size, workers)
        fleets.append(fleet)
        fleet.start()
        return fleet.servers

    yield start
    for fleet in fleets:
        fleet.stop()


async def get(server: Server, path: str) -> tuple[int, str]:
    """An answer over a connection of its own."""
    client = Client([server.port])
    try:
        got = await client.ask(server.port, "GET", path, {}, b"")
    finally:
        client.forget()
    return got.status, got.body.decode()


async def until(server: Server, path: str, answer: str) -> None:
    """Until this is in what a server answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                if answer in (await get(server, path))[1]:
                    return
            except (OSError, EOFError):
                pass
            await asyncio.sleep(0.05)


async def seen(sight: Callable[[], bool]) -> None:
    """Until something is so."""
    async with asyncio.timeout(30):
        while not sight():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and that nobody asked about has no command line."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


async def kept(server: Server) -> int:
    """How many records there are."""
    body = (await get(server, "/api/notes?count=exact&limit=1"))[1]
    return int(body.rpartition('"total":')[2].partition("}")[0])


async def test_new_code_is_taken_and_no_connection_is_dropped(file: Path, started: Started) -> None:
    (server,) = started()
    proxy = Proxy(file.parent, [server.port])
    crowd = Crowd(proxy.port)
    try:
        await until(server, "/readyz", '"status":"ok"')
        crowd.start(4)
        for version in range(1, TIMES + 1):
            await crowd.more(60)
            file.write_text(FILE.replace("VERSION", str(version)))
            server.tell(signal.SIGHUP)
            await until(server, "/api/version", f'"{version}"')
            await crowd.more(60)
        await crowd.stop()
        assert crowd.failures == {}, crowd.said[:3]
        assert await kept(server) == len(crowd.made)
        # What the processes counted that are gone is still counted.
        await until(server, "/metrics", f'{{method="POST",route="/api/notes",status="201"}} {len(crowd.made)}.0')
    finally:
        proxy.stop()


async def test_one_server_after_the_other_is_stopped_and_no_request_fails(file: Path, started: Started) -> None:
    servers = started(2)
    proxy = Proxy(file.parent, [server.port for server in servers])
    crowd = Crowd(proxy.port)
    try:
        for server in servers:
            await until(server, "/readyz", '"status":"ok"')
        await asyncio.sleep(0.3)  # the proxy asks ten times a second
        crowd.start(4)
        for time in range(TIMES):
            server = servers[time % 2]
            await crowd.more(60)
            assert await asyncio.to_thread(server.end) == 0
            await crowd.more(60)
            server.start()
            await until(server, "/readyz", '"status":"ok"')
            await asyncio.sleep(0.3)
        await crowd.stop()
        assert crowd.failures == {}, crowd.said[:3]
        assert await kept(servers[0]) == len(crowd.made)
    finally:
        proxy.stop()


async def test_planted_a_server_that_does_not_wait_until_it_is_known_to_stop_loses_requests(
    file: Path, started: Started
) -> None:
    servers = started(2, BACKSTAY_DRAIN_SECONDS="0")
    proxy = Proxy(file.parent, [server.port for server in servers])
    crowd = Crowd(proxy.port)
    try:
        for server in servers:
            await until(server, "/readyz", '"status":"ok"')
        await asyncio.sleep(0.3)
        crowd.start(4)
        for time in range(5):
            await crowd.more(60)
            await asyncio.to_thread(servers[time % 2].end)
            await crowd.more(60)
            servers[time % 2].start()
            await until(servers[time % 2], "/readyz", '"status":"ok"')
            await asyncio.sleep(0.3)
            if crowd.failures:
                break
        await crowd.stop()
        assert crowd.failures
    finally:
        proxy.stop()


async def test_a_connection_that_was_kept_is_answered_a_last_time(file: Path, started: Started) -> None:
    (server,) = started()
    await until(server, "/readyz", '"status":"ok"')
    (old,) = server.workers()
    kept_one, other = Client([server.port]), Client([server.port])
    for client in (kept_one, other):
        assert "connection" not in (await client.ask(server.port, "GET", "/api/version", {}, b"")).headers
    file.write_text(FILE.replace("VERSION", "1"))
    server.tell(signal.SIGHUP)
    await until(server, "/api/version", '"1"')
    for client in (kept_one, other):
        last = await client.ask(server.port, "GET", "/api/version", {}, b"")
        assert (last.status, last.body, last.headers["connection"]) == (200, b'"0"', "close")
        client.forget()
    await seen(lambda: old not in server.workers())


async def test_what_was_begun_is_finished(started: Started) -> None:
    (server,) = started()
    slow = asyncio.create_task(get(server, "/api/slow?seconds=1.5"))
    await until(server, "/healthz", '"status":"ok"')
    assert await asyncio.to_thread(server.end) == 0
    assert await slow == (200, '"done"')


async def test_code_that_does_not_start_leaves_the_old_one_at_work(file: Path, started: Started) -> None:
    (server,) = started(LOG_LEVEL="info")
    await until(server, "/api/version", '"0"')
    file.write_text(FILE.replace("VERSION", "1").replace("n: int", "n: Nothing"))
    server.tell(signal.SIGHUP)
    await seen(lambda: '"event":"reload_failed"' in server.log.read_text())
    assert await get(server, "/api/version") == (200, '"0"')
    file.write_text(FILE.replace("VERSION", "2"))
    server.tell(signal.SIGHUP)
    await until(server, "/api/version", '"2"')


async def test_a_process_that_dies_is_replaced_and_none_outlives_who_started_it(started: Started) -> None:
    (server,) = started(workers=2, LOG_LEVEL="info")
    await seen(lambda: '"event":"serving"' in server.log.read_text())
    first, second = server.workers()
    os.kill(first, signal.SIGKILL)
    await seen(lambda: len(now := set(server.workers())) == 2 and first not in now)
    now = server.workers()
    assert second in now
    server.tell(signal.SIGKILL)
    await seen(lambda: not any(alive(worker) for worker in now))


async def test_whoever_watches_is_told_before_it_stops(started: Started) -> None:
    (server,) = started(BACKSTAY_DRAIN_SECONDS="1")
    await until(server, "/readyz", '"status":"ok"')
    client = Client([server.port])
    assert (await client.send(0, "GET", "/api/version", {}, b"", 1)).headers.get("connection") is None
    ended = asyncio.create_task(asyncio.to_thread(server.end))
    await until(server, "/readyz", "about to stop")
    assert not ended.done()
    last = await client.send(0, "GET", "/api/version", {}, b"", 1)
    assert (last.status, last.body, last.headers["connection"]) == (200, b'"0"', "close")
    client.forget()
    assert await ended == 0
