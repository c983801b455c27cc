"""Reactions are told after commit, at least once, in order for each record; what fails is told again, then shown."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from backstay import App, Conflict, Context, Model, Rules, Transaction, User, anyone, created, deleted, fact, updated
from backstay.jobs import outbox as outbox_module
from backstay.store.positions import ATTEMPTS, Positions
from backstay.testing import Trial


class Parcel(Model):
    name: str
    weight: int = 1
    sent = fact()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


class Stage:
    """An application whose reactions write down what they are told, and fail where a test wants it."""

    def __init__(self) -> None:
        self.app = App("post", models=[Parcel])
        self.told: list[str] = []
        self.fails: dict[str, int] = {}

        @self.app.on(created(Parcel))
        async def came(ctx: Context, parcel: Parcel) -> None:
            self.note(f"came {parcel.name}")

        @self.app.on(updated(Parcel), name="changes")
        async def changed(ctx: Context, parcel: Parcel, old: Parcel) -> None:
            self.note(f"{old.name} {old.weight} became {parcel.weight}")

        @self.app.on(deleted(Parcel))
        async def went(ctx: Context, parcel: Parcel) -> None:
            self.note(f"went {parcel.name}")

        @self.app.on(Parcel.sent)
        async def was_sent(ctx: Context, parcel: Parcel) -> None:
            self.note(f"sent {parcel.name}")
            async with ctx.transaction() as tx:
                await tx.update(await tx.get(Parcel, parcel.id), weight=0)

    def note(self, text: str) -> None:
        if self.fails.get(text, 0) > 0:
            self.fails[text] -= 1
            raise ValueError("no")
        self.told.append(text)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(params=["sqlite", "postgres"])
async def trial(
    stage: Stage, request: pytest.FixtureRequest, postgres_database: Callable[[str], str]
) -> AsyncIterator[Trial]:
    database = "sqlite://" if request.param == "sqlite" else postgres_database("outbox")
    async with Trial(stage.app, database) as trial:
        yield trial


async def add(trial: Trial, name: str) -> str:
    return str((await trial.post("/api/parcels", {"name": name})).ok().json["id"])


async def test_each_fact_is_told_once_after_it_became_true(stage: Stage, trial: Trial) -> None:
    key = await add(trial, "a")
    await trial.patch(f"/api/parcels/{key}", {"weight": 5})
    await trial.delete(f"/api/parcels/{key}")
    assert stage.told == []
    assert await trial.react() == 3
    assert stage.told == ["came a", "a 1 became 5", "went a"]
    assert await trial.react() == 0


async def test_what_was_undone_is_never_told(stage: Stage, trial: Trial) -> None:
    key = await add(trial, "a")

    async def tell_and_fail() -> None:
        async with trial.transaction() as tx:
            await tx.emit(Parcel.sent, await tx.get(Parcel, key))
            raise Conflict("no")

    with pytest.raises(Conflict):
        await tell_and_fail()
    await trial.react()
    assert stage.told == ["came a"]


async def test_own_facts_are_told_and_what_they_cause_is_told_too(stage: Stage, trial: Trial) -> None:
    key = await add(trial, "a")
    async with trial.transaction() as tx:
        await tx.emit(Parcel.sent, await tx.get(Parcel, key))
    assert await trial.react() == 3
    assert stage.told == ["came a", "sent a", "a 1 became 0"]
    assert [f"{c.action} {c.fact}".strip() for c in await trial.facts()] == ["create", "fact sent", "update"]


async def test_one_that_fails_is_told_again_and_others_do_not_wait(stage: Stage, trial: Trial) -> None:
    stage.fails = {"a 1 became 2": 2}
    first, second = await add(trial, "a"), await add(trial, "b")
    await trial.patch(f"/api/parcels/{first}", {"weight": 2})
    await trial.patch(f"/api/parcels/{first}", {"weight": 3})
    await trial.patch(f"/api/parcels/{second}", {"weight": 9})
    await trial.react()
    assert stage.told == ["came a", "came b", "b 1 became 9"]
    trial.clock.advance(seconds=0.9)
    await trial.react()
    assert stage.told[3:] == []
    trial.clock.advance(seconds=0.1)
    await trial.react()
    trial.clock.advance(seconds=2)
    await trial.react()
    assert stage.told[3:] == ["a 1 became 2", "a 2 became 3"]


async def test_one_that_keeps_failing_is_given_up_on_and_can_be_told_again(stage: Stage, trial: Trial) -> None:
    stage.fails = {"came a": ATTEMPTS}
    await add(trial, "a")
    for _ in range(ATTEMPTS):
        await trial.react()
        trial.clock.advance(seconds=600)
    positions = trial.app.running.outbox.positions
    (lost,) = await positions.given_up()
    assert (lost.consumer, lost.attempts, lost.error) == ("Parcel.created:came", ATTEMPTS, "ValueError: no")
    await trial.react()
    assert stage.told == []
    assert await positions.again(lost.consumer, lost.position)
    assert not await positions.again(lost.consumer, lost.position + 1)
    await trial.react()
    assert stage.told == ["came a"]
    assert await positions.given_up() == []


async def test_another_process_goes_on_where_one_stopped(stage: Stage, trial: Trial) -> None:
    """A turn that was not given back lapses; what its holder writes afterwards is refused."""
    positions = trial.app.running.outbox.positions
    paused = await positions.take("Parcel.created:came", outbox_module.TURN)
    assert paused is not None
    await add(trial, "a")
    await trial.react()
    assert stage.told == []
    trial.clock.advance(seconds=outbox_module.TURN + 1)
    await trial.react()
    assert stage.told == ["came a"]
    with pytest.raises(outbox_module.Lapsed):
        await positions.advance(paused, 99, outbox_module.TURN)
    assert await trial.react() == 0


async def test_a_place_without_a_fence_tells_twice(stage: Stage, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: whoever was paused past its turn can still move the place, back to what was told already."""

    async def without(self: Positions, writing: Any, turn: Any, position: int, seconds: float) -> None:
        await self._run(writing, 'UPDATE "_consumers" SET "position" = %n WHERE "name" = %t', position, turn.consumer)

    positions = trial.app.running.outbox.positions
    paused = await positions.take("Parcel.created:came", outbox_module.TURN)
    assert paused is not None
    await add(trial, "a")
    trial.clock.advance(seconds=outbox_module.TURN + 1)
    await trial.react()
    monkeypatch.setattr(Positions, "_hold", without)
    await positions.advance(paused, paused.position, outbox_module.TURN)
    await trial.react()
    assert stage.told == ["came a", "came a"]


async def test_a_new_reaction_begins_with_what_happens_from_then_on(tmp_path: Any) -> None:
    database = f"sqlite:///{tmp_path}/post.db"
    first = Stage()
    async with Trial(App("post", models=[Parcel]), database) as trial:
        await add(trial, "before")
        async with trial.transaction() as tx:
            await tx.delete((await tx.find(Parcel))[0])
    async with Trial(first.app, database) as trial:
        await add(trial, "after")
        await trial.react()
    assert first.told == ["came after"]


def test_two_reactions_of_one_name_are_refused() -> None:
    app = App("post", models=[Parcel])

    @app.on(created(Parcel))
    async def note(ctx: Context, parcel: Parcel) -> None: ...

    with pytest.raises(ValueError, match=r"Parcel\.created:note"):
        app.on(created(Parcel))(note)


async def test_hooks_tell_facts_in_the_transaction_of_the_write(stage: Stage) -> None:
    @stage.app.after_create(Parcel)
    async def at_once(tx: Transaction, parcel: Parcel) -> None:
        await tx.emit(Parcel.sent, parcel)

    async with Trial(stage.app) as trial:
        await add(trial, "a")
        await trial.react()
    assert stage.told == ["came a", "sent a", "a 1 became 0"]
