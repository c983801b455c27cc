"""A server that works for long takes no more memory and no more files than one that has worked for a while.

`make test` looks on for a few seconds, `make soak` for ten minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.fleet import Client, Fleet
from tests.cli.test_stopping import FILE, seen

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
WARM = 0.25  # of the time, after which nothing may grow
MAY_GROW = 4_000_000 if SECONDS >= 60 else 12_000_000  # bytes


LEAK = """
left = []


@app.before_create(Note)
async def leave(tx, note):
    left.extend({leaks} for _ in range(10))
"""
"""What each write leaves behind."""


@contextmanager
def served(folder: Path, more: str = "") -> Iterator[Fleet]:
    """One server with one process."""
    file = folder / "notes.py"
    file.write_text(FILE.replace("VERSION", "0") + more)
    made = Fleet(file, {
        "DATABASE_URL": f"sqlite:///{folder}/notes.db", "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "info",
    }, 1)  # fmt: skip
    made.start()
    try:
        yield made
    finally:
        made.stop()


def taken(process: int) -> tuple[int, int]:
    """The memory and the open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{process}/fd"))


async def test_memory_and_files_stay(tmp_path: Path) -> None:
    with served(tmp_path) as fleet:
        memory, files = await looked_on(fleet, SECONDS)
    assert memory < MAY_GROW
    assert files <= 4


@pytest.mark.parametrize(("leak", "leaks"), [("memory", "bytes(150_000)"), ("files", "open('/dev/null')")])
async def test_planted_what_a_request_leaves_behind_is_seen(tmp_path: Path, leak: str, leaks: str) -> None:
    with served(tmp_path, LEAK.format(leaks=leaks)) as fleet:
        memory, files = await looked_on(fleet, 6.0)
    assert memory > 12_000_000 if leak == "memory" else files > 4


async def looked_on(fleet: Fleet, seconds: float) -> tuple[float, int]:
    """Let visitors ask so long; by how many bytes, and files, the process has grown after a quarter of it."""
    (server,) = fleet.servers
    await seen(lambda: '"event":"serving"' in server.log.read_text())
    (process,) = server.workers()
    client, stopping, asked = fleet.client(), False, 0
    failed: list[str] = []

    async def visitor(number: int) -> None:
        """Reads of every kind, errors, now and then a write, and a new connection."""
        nonlocal asked
        n = 0
        while not stopping:
            n += 1
            own = Client([server.port]) if n % 20 == 0 else client
            headers = {"idempotency-key": f"the key of visitor {number}, {n}"} if n % 50 == 0 else {}
            method, path, body, expected = (
                ("POST", "/api/notes", json.dumps({"n": n}).encode(), 201) if n % 25 == 0
                else ("GET", f"/api/nowhere/{n}", b"", 404) if n % 7 == 0
                else ("GET", f"/api/notes?n[gt]={n}&limit={n % 50 + 1}&count=exact", b"", 200) if n % 3 == 0
                else ("GET", "/api/notes?sort=-n", b"", 200)
            )  # fmt: skip
            got = await own.send(0, method, path, headers, body)
            if got.status != expected:
                failed.append(f"{method} {path} {got.status} {got.body!r}")
            if own is not client:
                own.forget()
            asked += 1
            await asyncio.sleep(0.02)

    visitors = [asyncio.create_task(visitor(number)) for number in range(4)]
    taken_: list[tuple[int, int]] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (passed := loop.time() - began) < seconds:
        await asyncio.sleep(seconds / 60)
        if passed > seconds * WARM:
            taken_.append(taken(process))
    stopping = True
    await asyncio.gather(*visitors)
    client.forget()
    assert failed == []
    third = len(taken_) // 3
    first, last = taken_[:third], taken_[-third:]
    memory = [statistics.median(one[0] for one in part) for part in (first, last)]
    files = [max(one[1] for one in part) for part in (first, last)]
    print(
        f"{asked} requests in {seconds:.0f} s: {memory[0] / 1e6:.1f} MB, then {memory[1] / 1e6:.1f} MB; files {files}"
    )
    return memory[1] - memory[0], files[1] - files[0]
