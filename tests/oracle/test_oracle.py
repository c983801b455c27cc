"""Every random question is answered as the naive answerer answers it, by both databases.

`make oracle` asks ten times as many. A failure names its case; `ORACLE_WORLD=17 pytest tests/oracle/test_oracle.py`
asks the cases of one world again.
"""

import os
from collections import Counter

import pytest

from tests.oracle.arena import CASES_PER_WORLD, arena, make_case
from tests.oracle.conftest import Namespaces

CASES = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 2_000
ALONE = os.environ.get("ORACLE_WORLD")
WORLDS = [int(ALONE)] if ALONE else range(CASES // CASES_PER_WORLD)
asked: Counter[str] = Counter()


@pytest.mark.parametrize("world", WORLDS)
async def test_every_answer_is_the_naive_one(world: int, namespace: Namespaces) -> None:
    async with arena(world, await namespace(f"world{world}")) as here:
        for number in range(world * CASES_PER_WORLD, (world + 1) * CASES_PER_WORLD):
            asked[await here.check(make_case(number, here.world))] += 1


@pytest.mark.skipif(ALONE is not None, reason="one world has not every kind of question")
def test_the_questions_are_worth_asking() -> None:
    """Most have something in their answers, and every kind of refusal occurs."""
    assert sum(asked.values()) == CASES
    for kind, least in (("Listing", 20), ("Aggregate", 8), ("One", 6), ("unknown_field", 1)):
        assert asked[kind] * 100 >= least * CASES, asked
    assert asked["not_signed_in"] > 0
    assert asked["denied"] > 0
