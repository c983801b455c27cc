"""What a clock that was set back, or a database that went away, leaves of the turns and the waiting of reactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backstay.errors import Unavailable
from backstay.jobs.outbox import TURN
from backstay.store.positions import Positions
from backstay.testing import Trial
from tests.jobs.test_outbox import Stage, add, stage, trial

__all__ = ["stage", "trial"]

NAME = "Parcel.created:came"


async def test_a_turn_that_was_taken_before_the_clock_was_set_back_is_over(stage: Stage, trial: Trial) -> None:
    await add(trial, "a")
    dead, alive = (Positions(trial.app.running.engine) for _ in range(2))
    trial.clock.advance(days=2)
    assert await dead.take(NAME, TURN) is not None  # by a process that is killed now
    trial.clock.advance(seconds=TURN - 2)
    assert await alive.take(NAME, TURN) is None
    trial.clock.advance(days=-2)
    assert await alive.take(NAME, TURN) is not None


async def test_what_was_put_off_before_the_clock_was_set_back_is_due(stage: Stage, trial: Trial) -> None:
    await add(trial, "a")
    stage.fails["came a"] = 1
    trial.clock.advance(days=2)
    await trial.react()
    assert (stage.told, stage.fails["came a"]) == ([], 0)
    trial.clock.advance(days=-2)
    await trial.react()
    assert stage.told == ["came a"]


@asynccontextmanager
async def losing(store: Any, *, after: bool) -> AsyncIterator[None]:
    """Inside, the database goes away before a transaction begins, or `after` it has committed and before it says so."""
    begin = store.transaction

    @asynccontextmanager
    async def lost() -> AsyncIterator[Any]:
        if not after:
            raise Unavailable
        async with begin() as writing:
            yield writing
        raise Unavailable

    store.transaction = lost
    try:
        yield
    finally:
        store.transaction = begin


@pytest.mark.parametrize("after", [False, True])
async def test_a_turn_that_could_not_be_left_is_ones_own(after: bool, stage: Stage, trial: Trial) -> None:
    store = trial.app.running.store
    mine, other = (Positions(trial.app.running.engine) for _ in range(2))
    turn = await mine.take(NAME, TURN)
    assert turn is not None
    with pytest.raises(Unavailable):
        async with losing(store, after=after):
            await mine.leave(turn)
    again = await (other if after else mine).take(NAME, TURN)
    assert again is not None
    assert again.fence == turn.fence + 1


async def test_a_turn_of_which_nobody_said_whether_it_was_taken_is_ones_own(stage: Stage, trial: Trial) -> None:
    store = trial.app.running.store
    mine, other = (Positions(trial.app.running.engine) for _ in range(2))
    for after in (True, False):  # the second time the database is still away
        with pytest.raises(Unavailable):
            async with losing(store, after=after):
                await mine.take(NAME, TURN)
        trial.clock.advance(seconds=1)
    assert await other.take(NAME, TURN) is None
    assert await mine.take(NAME, TURN) is not None
    assert await mine.take(NAME, TURN) is None  # it is not told so twice
