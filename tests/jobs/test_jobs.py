"""Jobs: done after the commit that wants them, at least once, in order of a key, and given up on in sight."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backstay import App, Conflict, Context, Model, Permanent, Rules, Transaction, User, anyone
from backstay.errors import DeclarationError
from tests.jobs.conftest import Open


class Note(Model):
    text: str = ""
    seen: int = 0

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


class House:
    """An application whose jobs say what they did, and fail as often as they are told to."""

    def __init__(self) -> None:
        self.app = App("house", models=[Note])
        self.said: list[str] = []
        self.fails: dict[str, list[Exception]] = {}

        @self.app.job(attempts=3)
        async def say(ctx: Context, word: str, times: int = 1) -> None:
            if self.fails.get(word):
                raise self.fails[word].pop(0)
            self.said += [word] * times
            self.keys.append(ctx.key)

        @self.app.job(priority=5)
        async def urgent(ctx: Context, word: str) -> None:
            self.said.append(word)

        @self.app.job()
        async def see(tx: Transaction, note: UUID) -> None:
            if self.fails.get("see"):
                await tx.update(await tx.get(Note, note), seen=lambda n: n.seen + 100)
                raise self.fails["see"].pop(0)
            await tx.update(await tx.get(Note, note), seen=lambda n: n.seen + 1)

        self.keys: list[str] = []
        self.say, self.urgent, self.see = say, urgent, see


@pytest.fixture
def house() -> House:
    return House()


async def test_a_job_is_done_after_the_commit_that_wants_it_and_never_without(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        key = await tx.enqueue(house.say, word="tea", times=2)

    async def put_off_and_fail() -> None:
        async with trial.transaction() as tx:
            await tx.enqueue(house.say, word="never")
            raise Conflict("no")

    with pytest.raises(Conflict):
        await put_off_and_fail()
    assert await trial.work() == 1
    assert (house.said, house.keys) == (["tea", "tea"], [key])
    assert await trial.work() == 0


async def test_arguments_are_checked_when_they_are_put_off(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        with pytest.raises(TypeError, match="say: Object missing required field `word`"):
            await tx.enqueue(house.say)
        with pytest.raises(TypeError, match="Expected `str`, got `int`"):
            await tx.enqueue(house.say, word=3)
        with pytest.raises(TypeError, match="unknown field `wrod`"):
            await tx.enqueue(house.say, word="a", wrod="b")
        with pytest.raises(TypeError, match="is no job"):
            await tx.enqueue(test_arguments_are_checked_when_they_are_put_off)
        with pytest.raises(TypeError, match="hand on an id"):
            await tx.enqueue(house.say, word="a" * 70_000)
    assert await trial.work() == 0


async def test_a_job_that_is_one_transaction_has_its_effects_once(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        note = await tx.create(Note(text="a"))
        await tx.enqueue(house.see, note=note.id)
    house.fails["see"] = [ValueError("no")]
    assert await trial.work() == 1
    trial.clock.advance(seconds=1)
    assert await trial.work() == 1
    async with trial.transaction() as tx:
        assert (await tx.get(Note, note.id)).seen == 1


async def test_one_that_fails_is_tried_again_later_and_given_up_on_in_sight(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    queue = trial.app.running.jobs.queue
    async with trial.transaction() as tx:
        key = await tx.enqueue(house.say, word="tea")
    house.fails["tea"] = [ValueError(f"no {n}") for n in range(3)]
    tried = []
    for seconds in (0, 0.9, 0.1, 1.9, 0.1, 600):
        trial.clock.advance(seconds=seconds)
        tried.append(await trial.work())
    assert tried == [1, 0, 1, 0, 1, 0]
    entry = await queue.find(key)
    assert entry is not None
    assert (entry.state, entry.attempts, entry.reason) == ("failed", 3, "ValueError: no 2")
    assert await trial.app.running.jobs.retry(key)
    assert await trial.work() == 1
    assert house.said == ["tea"]
    assert not await trial.app.running.jobs.retry(key)


@pytest.mark.parametrize("error", [Permanent("never", code="never"), Conflict("never", code="never")])
async def test_one_that_can_never_succeed_is_not_tried_again(error: Any, house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        key = await tx.enqueue(house.say, word="tea")
    house.fails["tea"] = [error]
    await trial.work()
    entry = await trial.app.running.jobs.queue.find(key)
    assert entry is not None
    assert (entry.state, entry.attempts, entry.reason, entry.code) == ("failed", 1, "never", "never")


async def test_of_one_unique_key_there_is_one(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        first = await tx.enqueue(house.say, word="a", unique="receipt:1")
        assert await tx.enqueue(house.say, word="b", unique="receipt:1") == first
        assert await tx.enqueue(house.urgent, word="c", unique="receipt:1") != first
    await trial.work()
    async with trial.transaction() as tx:
        assert await tx.enqueue(house.say, word="d", unique="receipt:1") == first
    await trial.work()
    assert house.said == ["c", "a"]


async def test_the_urgent_come_first_and_the_delayed_when_it_is_time(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    async with trial.transaction() as tx:
        await tx.enqueue(house.say, word="late", delay=timedelta(minutes=1), priority=9)
        await tx.enqueue(house.say, word="low", priority=-1)
        await tx.enqueue(house.say, word="first")
        await tx.enqueue(house.say, word="second")
        await tx.enqueue(house.urgent, word="urgent")
        await tx.enqueue(house.say, word="more urgent", priority=6)
    assert await trial.work() == 5
    assert house.said == ["more urgent", "urgent", "first", "second", "low"]
    trial.clock.advance(seconds=59)
    assert await trial.work() == 0
    trial.clock.advance(seconds=1)
    assert await trial.work() == 1


async def test_of_one_order_key_each_waits_for_the_one_before(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    house.fails["a1"] = [ValueError("no")]
    async with trial.transaction() as tx:
        for word in ("a1", "a2", "b1", "a3"):
            await tx.enqueue(house.say, word=word, order_key=word[0], priority=int(word[1]))
    assert await trial.work() == 2
    assert house.said == ["b1"]
    trial.clock.advance(seconds=1)
    assert await trial.work() == 3
    assert house.said == ["b1", "a1", "a2", "a3"]


async def test_two_of_one_order_key_are_never_taken_at_once(house: House, opened: Open) -> None:
    trial = await opened(house.app)
    queue, names = trial.app.running.jobs.queue, trial.app.tasks.names()
    async with trial.transaction() as tx:
        for word in ("1", "2", "3"):
            await tx.enqueue(house.say, word=word, order_key="k")
    (first,) = await queue.take(names, 10)
    assert first.arguments == '{"word":"1"}'
    assert await queue.take(names, 10) == []


def test_a_declaration_with_mistakes_names_them() -> None:
    app = App("house", models=[Note])

    async def wrong(ctx: Context, note: Note, delay: int, many, /) -> None:  # type: ignore[no-untyped-def]
        ...

    with pytest.raises(DeclarationError) as raised:
        app.job(attempts=0)(wrong)
    assert [mistake.place for mistake in raised.value.mistakes] == [
        "wrong", "wrong(note)", "wrong(delay)", "wrong(many)",
    ]  # fmt: skip

    async def without(note: str) -> None: ...

    with pytest.raises(DeclarationError, match="Context or Transaction"):
        app.job()(without)

    async def fine(ctx: Context) -> None: ...

    app.job()(fine)
    with pytest.raises(ValueError, match='a job "fine" already'):
        app.job()(fine)
