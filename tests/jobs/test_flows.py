"""Flows: steps that are journaled, waits that hold nothing, and steps that are taken back in reverse."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backstay import App, Conflict, Context, Flow, Model, NotFound, Permanent, Rules, StepFailed, Transaction, User
from backstay.errors import DeclarationError
from backstay.store.inside import AwaitedElsewhere
from tests.jobs.conftest import Open


class Purchase(Model):
    """What is bought, as far as it has come."""

    state: str = "pending"
    charged: int = 0

    def rules(self, me: User) -> Rules:
        return Rules()


class Shop:
    """An application with one flow, whose provider says what it is asked, and fails as it is told to."""

    def __init__(self) -> None:
        self.app = App("shop", models=[Purchase])
        self.asked: list[str] = []
        self.fails: dict[str, list[Exception]] = {}

        async def ask(what: str) -> None:
            self.asked.append(what)
            if self.fails.get(what.split()[0]):
                raise self.fails[what.split()[0]].pop(0)

        async def place(tx: Transaction, purchase: UUID) -> str:
            await ask("place")
            await tx.update(await tx.get(Purchase, purchase), state="placed")
            return "number 1"

        async def release(tx: Transaction, purchase: UUID) -> None:
            await tx.update(await tx.get(Purchase, purchase), state="released")
            await ask("release")

        async def authorize(ctx: Context, purchase: UUID, amount: int) -> dict[str, int]:
            await ask(f"authorize {ctx.key.removeprefix(str(purchase))} {amount}")
            return {"authorized": amount}

        async def authorized(tx: Transaction, result: dict[str, int], purchase: UUID, amount: int) -> None:
            await tx.update(await tx.get(Purchase, purchase), charged=result["authorized"])

        async def void(ctx: Context, purchase: UUID, amount: int, result: dict[str, int] | None) -> None:
            await ask(f"void {ctx.key.removeprefix(str(purchase))} {result}")

        async def capture(ctx: Context, purchase: UUID) -> None:
            await ask("capture")

        @self.app.flow(version=1, attempts=3)
        async def buy(flow: Flow, purchase: UUID, amount: int) -> str:
            number = await flow.step("place", place, purchase, undo=release)
            await flow.step("authorize", authorize, purchase, amount, undo=void, record=authorized)
            if (signal := await flow.wait("confirmed", timeout=timedelta(minutes=15))) is None:
                raise Permanent("Nobody has confirmed it.", code="unconfirmed")
            self.asked.append(f"confirmed by {signal.data}")
            await flow.step("capture", capture, purchase)
            return str(number)

        self.buy = buy
        self.ask: Callable[[str], Awaitable[None]] = ask


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def begin(trial: Any, shop: Shop, **how: Any) -> str:
    async with trial.transaction() as tx:
        purchase = await tx.create(Purchase())
        return str(await tx.start_flow(shop.buy, purchase=purchase.id, amount=5, id=purchase.id, **how))


async def state(trial: Any, key: str) -> tuple[str, int]:
    async with trial.transaction() as tx:
        purchase = await tx.get(Purchase, key)
        return purchase.state, purchase.charged


async def test_a_flow_goes_on_where_it_stood_and_does_no_step_twice(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    key = await begin(trial, shop)
    assert await trial.work() == 1
    assert await trial.work() == 0
    assert await state(trial, key) == ("placed", 5)
    async with trial.transaction() as tx:
        assert await tx.signal(key, "confirmed", {"by": "ada"})
    assert await trial.work() == 1
    assert shop.asked == ["place", "authorize :authorize 5", "confirmed by {'by': 'ada'}", "capture"]
    found = await trial.app.running.jobs.desk.state(key)
    assert found is not None
    assert (found.state, found.result) == ("done", "number 1")
    async with trial.transaction() as tx:
        assert not await tx.signal(key, "confirmed")
        assert not await tx.signal("nobody", "confirmed")


async def test_a_wait_that_is_over_goes_on_without_the_signal(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    key = await begin(trial, shop)
    await trial.work()
    trial.clock.advance(minutes=14, seconds=59)
    assert await trial.work() == 0
    trial.clock.advance(seconds=1)
    assert await trial.work() == 1
    found = await trial.app.running.jobs.desk.state(key)
    assert found is not None
    assert (found.state, found.reason, found.code) == ("undone", "Nobody has confirmed it.", "unconfirmed")
    assert shop.asked[2:] == ["void :authorize:undo {'authorized': 5}", "release"]
    assert await state(trial, key) == ("released", 5)


async def test_the_request_drives_it_and_hears_how_far_it_came(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    ctx = trial.app.running.jobs.runner.context()
    key = await begin(trial, shop, driven=True)
    assert await trial.work() == 0  # it is left to whoever began it
    assert (await ctx.drive(key)).state == "waiting"
    assert (await ctx.drive(key)).state == "waiting"
    await ctx.signal(key, "confirmed", 1)
    found = await ctx.drive(key)
    assert (found.state, found.result, found.ended) == ("done", "number 1", True)
    with pytest.raises(NotFound):
        await ctx.drive("nobody")
    async with trial.transaction() as tx:
        with pytest.raises(AwaitedElsewhere):
            await ctx.drive(key)
        assert await tx.start_flow(shop.buy, purchase=key, amount=7, id=key) == key
    assert (await ctx.drive(key)).state == "done"


async def test_a_worker_takes_over_what_its_driver_has_left(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    key = await begin(trial, shop, driven=True)
    trial.clock.advance(seconds=14)
    assert await trial.work() == 0
    trial.clock.advance(seconds=1)
    assert await trial.work() == 1
    ctx = trial.app.running.jobs.runner.context()
    assert (await ctx.drive(key)).state == "waiting"
    assert shop.asked == ["place", "authorize :authorize 5"]


async def test_a_step_that_fails_is_tried_again_with_the_same_key(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    shop.fails["authorize"] = [ConnectionError("no"), ConnectionError("no")]
    key = await begin(trial, shop, driven=True)
    found = await trial.app.running.jobs.runner.context().drive(key)
    assert (found.state, found.reason) == ("later", "authorize: ConnectionError: no")
    for seconds in (1, 2):
        trial.clock.advance(seconds=seconds)
        assert await trial.work() == 1
    assert shop.asked == ["place", *["authorize :authorize 5"] * 3]
    assert await state(trial, key) == ("placed", 5)


async def test_a_step_that_is_refused_was_not_done_and_those_before_are_taken_back(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    shop.fails["authorize"] = [Conflict("The card was declined.", code="declined")]
    key = await begin(trial, shop, driven=True)
    found = await trial.app.running.jobs.runner.context().drive(key)
    assert (found.state, found.reason, found.code) == ("undone", "authorize: The card was declined.", "declined")
    assert shop.asked == ["place", "authorize :authorize 5", "release"]
    assert await state(trial, key) == ("released", 0)


async def test_a_step_that_nobody_knows_of_is_taken_back_too(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    shop.fails["authorize"] = [TimeoutError()] * 3
    key = await begin(trial, shop)
    for seconds in (0, 1, 2):
        trial.clock.advance(seconds=seconds)
        await trial.work()
    found = await trial.app.running.jobs.desk.state(key)
    assert found is not None
    assert (found.state, found.reason) == ("undone", "authorize: TimeoutError: it took too long")
    assert shop.asked[4:] == ["void :authorize:undo None", "release"]


async def test_an_undo_is_tried_again_and_becomes_visible_when_it_is_given_up_on(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    jobs = trial.app.running.jobs
    key = await begin(trial, shop)
    await trial.work()
    trial.clock.advance(minutes=15)
    shop.fails["void"] = [OSError("away")] * 3
    for _ in range(5):
        await trial.work()
        trial.clock.advance(seconds=10)
    entry = await jobs.queue.find(key)
    assert entry is not None
    said = "authorize could not be taken back: OSError: away; after Nobody has confirmed it."
    assert (entry.state, entry.reason) == ("failed", said)
    assert await state(trial, key) == ("released", 5)  # the others were taken back
    assert await jobs.retry(key)
    await trial.work()
    entry = await jobs.queue.find(key)
    assert entry is not None
    assert (entry.state, entry.reason) == ("undone", "Nobody has confirmed it.")
    assert [said for said in shop.asked if said.startswith("void")] == ["void :authorize:undo {'authorized': 5}"] * 4


async def test_a_flow_is_cancelled_by_taking_it_back(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    jobs = trial.app.running.jobs
    key = await begin(trial, shop)
    await trial.work()
    assert await jobs.cancel(key, "not wanted")
    await trial.work()
    entry = await jobs.queue.find(key)
    assert entry is not None
    assert (entry.state, entry.reason) == ("cancelled", "confirmed: not wanted")
    assert await state(trial, key) == ("released", 5)
    assert not await jobs.cancel(key)
    assert not await jobs.cancel("nobody")


async def test_a_flow_may_catch_a_failed_step_and_go_another_way(opened: Open) -> None:
    app, ways = App("ways", models=[Purchase]), []

    async def first(ctx: Context) -> None:
        ways.append("first")
        raise Conflict("closed", code="closed")

    async def second(ctx: Context) -> int:
        ways.append("second")
        return 2

    @app.flow(version=1)
    async def go(flow: Flow) -> int:
        try:
            await flow.step("first", first)
        except StepFailed as failed:
            ways.append(f"{failed.step} {failed.code}")
        found: int = await flow.step("second", second)
        await flow.wait("end")
        return found

    trial = await opened(app)
    async with trial.transaction() as tx:
        key = await tx.start_flow(go)
    await trial.work()
    async with trial.transaction() as tx:
        await tx.signal(key, "end")
    await trial.work()
    found = await trial.app.running.jobs.desk.state(key)
    assert found is not None
    assert (found.state, found.result) == ("done", 2)
    assert ways == ["first", "first closed", "second", "first closed"]


async def test_a_signal_that_comes_early_is_there_when_it_is_waited_for(shop: Shop, opened: Open) -> None:
    trial = await opened(shop.app)
    key = await begin(trial, shop)
    async with trial.transaction() as tx:
        await tx.signal(key, "confirmed", "early")
        await tx.signal(key, "confirmed", "again")
        await tx.signal(key, "other")
    assert await trial.work() == 1
    assert shop.asked[2:] == ["confirmed by early", "capture"]


async def test_a_start_is_refused_that_lacks_a_version_under_way(tmp_path: Any) -> None:
    from backstay.testing import Trial

    shop, database = Shop(), f"sqlite:///{tmp_path}/shop.db"
    async with Trial(shop.app, database) as trial:
        key = await begin(trial, shop)
        await trial.work()
        async with trial.transaction() as tx:
            await tx.delete(await tx.get(Purchase, key))
    newer = App("shop", models=[Purchase])

    @newer.flow(version=2)
    async def buy(flow: Flow) -> None: ...

    with pytest.raises(DeclarationError, match="buy@1: 1 flows of this version are under way"):
        async with Trial(newer, database):
            pass
    newer.flow(version=1, name="buy")(shop.buy)
    async with Trial(newer, database):
        pass


async def test_steps_are_done_one_after_another_under_names_of_their_own(opened: Open) -> None:
    app = App("wrong", models=[Purchase])

    async def nothing(ctx: Context) -> None:
        await asyncio.sleep(0)

    @app.flow(version=1, attempts=1)
    async def twice(flow: Flow) -> None:
        await flow.step("a", nothing)
        await flow.step("a", nothing)

    @app.flow(version=1, attempts=1)
    async def at_once(flow: Flow) -> None:
        await asyncio.gather(flow.step("a", nothing), flow.step("b", nothing))

    trial = await opened(app)
    async with trial.transaction() as tx:
        keys = [await tx.start_flow(twice), await tx.start_flow(at_once)]
    await trial.work()
    found = [await trial.app.running.jobs.desk.state(key) for key in keys]
    reasons = [one.reason for one in found if one is not None]
    assert "every step and wait has a name of its own" in reasons[0]
    assert "The steps of a flow are done one after another" in reasons[1]
