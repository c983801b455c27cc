"""Every random write ends as the naive writer ends it, on both databases: the same answer, and the same rows.

`make oracle` carries out ten times as many. A failure names its case; `ORACLE_WORLD=17 pytest
tests/oracle/test_write_oracle.py` carries out the acts of one world again.
"""

import os
from collections import Counter

import pytest

from tests.oracle.conftest import Namespaces
from tests.oracle.write_arena import ACTS_PER_WORLD, make_case, write_arena

ACTS = 12_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1_000
ALONE = os.environ.get("ORACLE_WORLD")
WORLDS = [int(ALONE)] if ALONE else range(ACTS // ACTS_PER_WORLD)
ended: Counter[str] = Counter()


@pytest.mark.parametrize("world", WORLDS)
async def test_every_write_ends_as_the_naive_one(world: int, namespace: Namespaces) -> None:
    async with write_arena(world, await namespace(f"acts{world}")) as here:
        for number in range(world * ACTS_PER_WORLD, (world + 1) * ACTS_PER_WORLD):
            ended[await here.check(make_case(number, here.world))] += 1
        await here.check_that_nothing_is_left()


@pytest.mark.skipif(ALONE is not None, reason="one world has not every kind of write")
def test_the_writes_are_worth_carrying_out() -> None:
    """Every kind of write is done often, and refused for every reason there is."""
    assert sum(ended.values()) == ACTS
    done = {kind: ended[f"{kind} done"] for kind in ("POST", "PATCH", "PUT", "DELETE", "many", "batch", "guarded")}
    assert all(number * 100 >= ACTS for number in done.values()), ended
    assert sum(done.values()) * 4 >= ACTS, ended
    nested = {kind: ended[f"nested {kind} done"] for kind in ("POST", "PUT", "many", "batch")}
    assert all(number * 500 >= ACTS for number in nested.values()), ended
    assert ended["nested POST denied"] * 100 >= ACTS, ended
    codes = {name.partition(" ")[2] for name in ended}
    assert codes >= {
        "invalid", "not_found", "denied", "not_signed_in", "unknown_field", "stale", "precondition_failed",
        "not_unique", "still_referenced",
    }  # fmt: skip
