"""Upkeep: what is too old goes, what somebody has still to read stays, and of several processes one does it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from backstay import App, Context, Model, Rules, User, anyone, created
from backstay.jobs.upkeep import Done
from backstay.store.positions import ATTEMPTS
from backstay.testing import Trial


class Parcel(Model):
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


class Office:
    """An application with one reaction, which can be made to fail."""

    def __init__(self) -> None:
        self.app = App("post", models=[Parcel])
        self.fails = False

        @self.app.on(created(Parcel), name="clerk")
        async def came(ctx: Context, parcel: Parcel) -> None:
            if self.fails:
                raise ValueError("no")


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def trial(
    office: Office, request: pytest.FixtureRequest, tmp_path: object, postgres_database: Callable[[str], str]
) -> AsyncIterator[Trial]:
    database = {"sqlite": f"sqlite:///{tmp_path}/post.db", "memory": "sqlite://"}.get(request.param)
    async with Trial(office.app, database or postgres_database("upkeep")) as trial:
        yield trial


async def add(trial: Trial, name: str) -> None:
    (await trial.post("/api/parcels", {"name": name})).ok()


def said(done: list[Done], chore: str) -> str:
    (one,) = [one for one in done if one.chore == chore]
    assert not one.failed, one.said
    return one.said


async def test_changes_go_when_they_are_too_old_and_everybody_has_read_them(trial: Trial) -> None:
    upkeep = trial.app.running.upkeep
    await add(trial, "old")
    await trial.react()
    trial.clock.advance(days=31)
    await add(trial, "new")
    await trial.react()
    assert said(await upkeep.once(), "changes") == "1 changes forgotten"
    assert [change.action for change in await trial.facts()] == ["create"]
    assert said(await upkeep.once(), "changes") == ""


async def test_what_a_reaction_has_not_been_told_stays(trial: Trial) -> None:
    await add(trial, "untold")
    trial.clock.advance(days=60)
    assert "wait for reactions" in said(await trial.app.running.upkeep.once(), "changes")
    assert len(await trial.facts()) == 1
    assert await trial.react() == 1


async def test_what_a_reaction_was_given_up_on_can_be_told_again_after_months(office: Office, trial: Trial) -> None:
    office.fails = True
    await add(trial, "a")
    for _ in range(ATTEMPTS):
        await trial.react()
        trial.clock.advance(hours=1)
    (failed,) = await trial.app.running.outbox.positions.given_up()
    trial.clock.advance(days=90)
    said(await trial.app.running.upkeep.once(), "changes")
    office.fails = False
    assert await trial.app.running.outbox.positions.again("clerk", failed.position)
    assert await trial.react() == 1
    assert await trial.app.running.outbox.positions.given_up() == []
    assert said(await trial.app.running.upkeep.once(), "changes") == "1 changes forgotten"


async def test_a_reaction_that_is_declared_no_more_holds_nothing_back(trial: Trial) -> None:
    await trial.app.running.outbox.positions.add("of last year", 0)
    await add(trial, "a")
    await trial.react()
    trial.clock.advance(days=31)
    assert said(await trial.app.running.upkeep.once(), "changes") == "1 changes forgotten"


async def test_it_is_done_once_an_hour_by_one_process(trial: Trial) -> None:
    upkeep = trial.app.running.upkeep
    rounds = await asyncio.gather(*[upkeep.if_due() for _ in range(4)])
    assert sorted(map(bool, rounds)) == [False, False, False, True]
    trial.clock.advance(minutes=59)
    assert await upkeep.if_due() == []
    trial.clock.advance(minutes=1)
    assert await upkeep.if_due() != []


async def test_a_chore_that_fails_is_told_and_the_others_are_done(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*, vacuum: bool = False) -> None:
        raise OSError("no")

    monkeypatch.setattr(trial.app.running.store, "maintain", fail)
    done = await trial.app.running.upkeep.once()
    failed = {one.chore: one.failed for one in done}
    assert failed == {"changes": False, "accounts": False, "jobs": False, "database": True}


async def test_a_vacuum_keeps_what_there_is(trial: Trial) -> None:
    for name in "abc":
        await add(trial, name)
    assert said(await trial.app.running.upkeep.once(vacuum=True), "database") == "vacuumed"
    assert len((await trial.get("/api/parcels")).ok().json["data"]) == 3
    assert await trial.app.running.store.damage() == []
