"""A server that works for long takes no more memory and no more files than one that has worked for a while.

`make test` looks on for a few seconds, `make soak` for ten minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.fleet import Client, Fleet
from tests.cli.test_stopping import FILE, seen

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
WARM = 0.25  # of the time, after which nothing may grow
MAY_GROW = 4_000_000 if SECONDS >= 60 else 12_000_000  # bytes


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """One server with one process."""
    file = tmp_path / "notes.py"
    file.write_text(FILE.replace("VERSION", "0"))
    made = Fleet(file, {
        "DATABASE_URL": f"sqlite:///{tmp_path}/notes.db", "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "info",
    }, 1)  # fmt: skip
    made.start()
    yield made
    made.stop()


def taken(process: int) -> tuple[int, int]:
    """The memory and the open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{process}/fd"))


async def test_memory_and_files_stay(fleet: Fleet) -> None:
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
    while (passed := loop.time() - began) < SECONDS:
        await asyncio.sleep(SECONDS / 60)
        if passed > SECONDS * WARM:
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
        f"{asked} requests in {SECONDS:.0f} s: {memory[0] / 1e6:.1f} MB, then {memory[1] / 1e6:.1f} MB; files {files}"
    )
    assert memory[1] - memory[0] < MAY_GROW
    assert files[1] <= files[0] + 4
