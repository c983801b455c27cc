"""The record of a key: one transaction of all that bring it commits, and it is the one with the record in it."""

import asyncio
from typing import Any

import pytest

from backstay.errors import Conflict, Unavailable
from backstay.model.declare import Model
from backstay.model.rule import Rules, anyone
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create
from backstay.store import repeat
from backstay.store.context import Context
from backstay.store.keyring import KeyRing
from backstay.store.repeat import Attempt, Kept, Keyed, Repeated, Repeats, carrying
from tests.store.conftest import Build, House


class Note(Model):
    text: str

    def rules(self, me: Any) -> Rules:
        return Rules(read=anyone, create=anyone)


ASKED = Keyed("POST\n/api/notes\nada", "1f", b"what was asked")
RING = KeyRing([("test", b"k" * 32)])


def repeats_of(house: House) -> Repeats:
    return Repeats(house.engine.store, lambda: RING)


def context(house: House, attempt: Attempt | None) -> Context:
    return Context(house.engine, house.hooks, house.new_id, SYSTEM, None, attempt)  # type: ignore[arg-type]


async def write(house: House, attempt: Attempt, text: str = "tea") -> None:
    async with context(house, attempt).transaction() as tx:
        await tx.write(Create("Note", {"text": text}))


async def count(house: House) -> int:
    async with context(house, None).transaction() as tx:
        return await tx.count(Note)


async def test_the_record_is_found_once_it_is_committed(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    attempt = repeats.attempt(ASKED)
    async with context(house, attempt).transaction() as tx:
        await tx.write(Create("Note", {"text": "tea"}))
        await attempt.answer(201, b"made")
        assert not attempt.committed
    assert (attempt.committed, attempt.answered) == (True, True)
    assert await repeats.find(ASKED) == Kept(b"what was asked", 201, b"made", False)
    for other in (Keyed("POST\n/api/notes\nbob", "1f", b""), Keyed(ASKED.scope, "2f", b"")):
        assert await repeats.find(other) is None


async def test_the_record_is_undone_with_the_effect(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    attempt = repeats.attempt(ASKED)

    async def fail() -> None:
        async with context(house, attempt).transaction():
            await attempt.answer(201, b"made")
            raise Conflict()

    with pytest.raises(Conflict):
        await fail()
    assert (attempt.committed, attempt.answered, await repeats.find(ASKED)) == (False, False, None)
    await write(house, attempt)  # the same request may try again, and then carries its key
    assert attempt.committed
    assert await repeats.find(ASKED) == Kept(b"what was asked", None, None, False)
    await write(house, attempt, "too")
    await attempt.answer_late(201, b"made")
    assert await repeats.find(ASKED) == Kept(b"what was asked", 201, b"made", False)


async def test_whoever_comes_second_undoes_what_it_began(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    await write(house, repeats.attempt(ASKED))
    late = repeats.attempt(ASKED)
    with pytest.raises(Repeated):
        await write(house, late)
    assert (late.lost, late.committed, await count(house)) == (True, False, 1)
    assert not issubclass(Repeated, Exception)  # a handler that catches every error does not go on
    assert not await repeats.add(ASKED, 200, b"other")


async def test_two_at_once_are_one(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    attempts = [repeats.attempt(ASKED) for _ in range(8)]
    ended = await asyncio.gather(*(write(house, one) for one in attempts), return_exceptions=True)
    assert sorted(str(type(one)) for one in ended) == sorted(map(str, [type(None), *[Repeated] * 7]))
    assert await count(house) == 1


async def test_transactions_of_one_request_carry_its_key_once(build: Build) -> None:
    """Side by side: those that come while the first is open wait, since it may fail."""
    house = await build(Note)
    repeats = repeats_of(house)
    attempt = repeats.attempt(ASKED)
    await asyncio.gather(*(write(house, attempt, str(number)) for number in range(4)))
    assert (attempt.committed, attempt.lost, await count(house)) == (True, False, 4)


async def test_where_the_first_fails_the_next_carries_the_key(build: Build) -> None:
    house = await build(Note)
    attempt = repeats_of(house).attempt(ASKED)
    begun = asyncio.Event()

    async def fail() -> None:
        async with context(house, attempt).transaction():
            begun.set()
            raise Conflict()

    async def follow() -> None:
        await begun.wait()
        await write(house, attempt)

    failed, _ = await asyncio.gather(fail(), follow(), return_exceptions=True)
    assert isinstance(failed, Conflict)
    assert attempt.committed
    assert await repeats_of(house).find(ASKED) is not None


@pytest.mark.parametrize("build", ["postgres"], indirect=True)
async def test_one_transaction_inside_another_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the inner one committed without the record and the outer one failed, a repetition would do it again."""
    house = await build(Note)
    attempt = repeats_of(house).attempt(ASKED)
    monkeypatch.setattr(repeat, "TURN", 0.01)
    with pytest.raises(RuntimeError, match="one transaction open at a time"):
        async with context(house, attempt).transaction():
            await write(house, attempt)
    with pytest.raises(Unavailable, match="does not end"):
        async with context(house, attempt).transaction():
            await asyncio.create_task(write(house, attempt))
    assert (await count(house), attempt.committed) == (0, False)


async def test_a_record_lapses_and_expires(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    await write(house, repeats.attempt(ASKED))
    assert (await _shift(house, "lease_until", repeat.LEASE - 1), (await _found(repeats)).lapsed) == (None, False)
    assert (await _shift(house, "lease_until", 2), (await _found(repeats)).lapsed) == (None, True)
    await _shift(house, "lease_until", -2 * 24 * 3600)  # begun before the clock was set back by two days
    assert (await _found(repeats)).lapsed
    await _shift(house, "expires_at", 24 * 3600 - 2)
    assert await repeats.purge() == 0
    await _shift(house, "expires_at", 3)
    assert await repeats.find(ASKED) is None
    assert await repeats.purge() == 1
    assert await repeats.purge() == 0


async def test_a_purge_takes_the_oldest_first_and_no_more_than_it_may(build: Build) -> None:
    house = await build(Note)
    repeats = repeats_of(house)
    keys = [Keyed("scope", str(number), b"") for number in range(5)]
    for number, keyed in enumerate(keys):
        await repeats.add(keyed, 200, b"")
        await _shift(house, "expires_at", 24 * 3600 + 100 - number * 30, keyed.key)
    assert await repeats.purge(2) == 2
    async with house.engine.store.transaction() as writing:
        left = await writing.run('SELECT key FROM "_repeats" ORDER BY key', ())
    assert [row[0] if isinstance(row[0], str) else row[0].decode() for row in left] == ["2", "3", "4"]
    assert (await repeats.purge(), [await repeats.find(one) is None for one in keys]) == (2, [True] * 4 + [False])


async def test_an_error_of_the_database_is_no_repetition(build: Build) -> None:
    house = await build(Note)
    attempt = repeats_of(house).attempt(ASKED)

    class Dead:
        async def run(self, text: str, values: Any) -> Any:
            raise Unavailable("Gone.")

    with pytest.raises(Unavailable):
        await attempt.claim(Dead())  # type: ignore[arg-type]
    assert (attempt.lost, attempt.committed) == (False, False)
    async with carrying(house.engine.store, attempt):
        pass
    assert attempt.committed


async def _found(repeats: Repeats) -> Kept:
    found = await repeats.find(ASKED)
    assert found is not None
    return found


async def _shift(house: House, column: str, seconds: int, key: str = ASKED.key) -> None:
    async with house.engine.store.transaction() as writing:
        await writing.run(f"UPDATE \"_repeats\" SET {column} = {column} - {seconds} WHERE key = '{key}'", ())


async def test_who_is_cancelled_while_waiting_for_a_turn_does_not_go_on(build: Build) -> None:
    """Also where the turn comes in the same step: `asyncio.wait_for` of Python 3.11 would hide it."""
    attempt = repeats_of(await build(Note)).attempt(ASKED)
    attempt._ended = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(attempt.turn())
    await asyncio.sleep(0)
    attempt._ended.set_result(None)
    attempt._ended = None
    await asyncio.sleep(0)  # it is called, and has not had its step
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
