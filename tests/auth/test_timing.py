"""The instrument of `make timing` tells what it should; what it measured stands in decision 10."""

from __future__ import annotations

from pathlib import Path

import pytest

from backstay.auth.password import Passwords
from tests.auth import timing
from tests.auth.timing import Outcome, area, run


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [([2, 3], [1], 1), ([1], [2, 3], 0), ([1, 3], [2], 0.5), ([1], [1], 0.5), ([1, 1, 2], [1, 1], 2 / 3)],
)
def test_the_area_is_how_often_the_first_kind_is_slower(first: list[float], second: list[float], found: float) -> None:
    assert area(first, second) == found
    assert Outcome(first, second).auc == max(found, 1 - found)


class Lazy(Passwords):
    """The fault planted: where there is no hash, nothing is hashed."""

    async def verify(self, known: str | None, password: str) -> bool:
        return known is not None and await super().verify(known, password)


async def test_a_log_in_that_hashes_nothing_for_nobody_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "WARM", 3)
    found = await run(f"sqlite:///{tmp_path}/lazy.db", Lazy(), 20)
    assert found["log-in"].auc > timing.OWED
