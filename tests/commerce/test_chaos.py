"""600 purchases by 32 buyers while workers are killed; `make chaos` runs 10,000 with 200 kills."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commerce.chaos import Chaos

PURCHASES = int(os.environ.get("CHAOS_PURCHASES", "600"))
KILLS = int(os.environ.get("CHAOS_KILLS", "20"))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_whatever_dies_the_books_agree(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/shop.db"
    if kind == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        database = make("chaos")
    chaos = Chaos(tmp_path, database, seed=os.environ.get("CHAOS_SEED", "1"))
    report = await chaos.run(PURCHASES, KILLS)
    print(f"{kind}: {report.said()}")
    assert report.faults == []
    assert report.findings == []
    assert report.kills >= KILLS * 3 // 4
    assert sum(one.status == 201 for one in report.bought) > PURCHASES // 3
