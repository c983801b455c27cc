"""A token is remembered until rights are taken away, however that comes about, and then for a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backstay.auth import identify
from backstay.auth.identify import Identities
from backstay.auth.token import digest
from backstay.errors import Problem, Unavailable
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Update
from backstay.store.revocation import read_revocations, slot_of
from backstay.store.transaction import Transaction
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY
from tests.auth.test_change_password import CHANGE
from tests.auth.test_session import enter, refused


class Asked:
    """How often the numbers were read and tokens looked up by this process."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.reads = self.looks = 0
        finders = world.accounts.identities._find
        recognise = finders["access"]

        async def read(store: Any) -> Any:
            self.reads += 1
            return await read_revocations(store)

        async def look(key: str) -> Any:
            self.looks += 1
            return await recognise(key)

        patch.setattr(identify, "read_revocations", read)
        patch.setitem(finders, "access", look)

    def since(self) -> tuple[int, int]:
        """Reads and look-ups since it was last asked."""
        found, self.reads, self.looks = (self.reads, self.looks), 0, 0
        return found


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Counts what this process asks the database about tokens."""
    return Asked(world, monkeypatch)


async def test_a_token_is_looked_up_once_and_the_numbers_once_a_second(world: World, asked: Asked) -> None:
    token = await enter(world)
    first = await world.accounts.identify(token)
    assert asked.since() == (0, 1)
    for seconds, said in ((0, (1, 0)), (0.5, (0, 0)), (0.5, (0, 0)), (0.01, (1, 0)), (1, (0, 0)), (60, (1, 0))):
        world.pass_time(seconds=seconds)
        assert await world.accounts.identify(token) == first
        assert asked.since() == said


async def test_the_numbers_are_read_for_all_tokens_together(world: World, asked: Asked) -> None:
    tokens = [await enter(world), *[(await world.accounts.login(ENTRY)).access_token for _ in range(4)]]
    for token in tokens:
        await world.accounts.identify(token)
    asked.since()
    world.pass_time(seconds=1.01)
    await asyncio.gather(*(world.accounts.identify(token) for token in tokens for _ in range(3)))
    assert asked.since() == (1, 0)


async def test_who_gives_up_waiting_spoils_the_reading_for_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await enter(world)
    await world.accounts.identify(token)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(store: Any) -> Any:
        begun.set()
        await go.wait()
        return await read_revocations(store)

    monkeypatch.setattr(identify, "read_revocations", slow)
    tasks = [asyncio.create_task(world.accounts.identify(token)) for _ in range(2)]
    await begun.wait()
    tasks[0].cancel()
    go.set()
    gone, stayed = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(stayed, Actor)


async def test_where_the_numbers_cannot_be_read_nobody_is_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await enter(world)
    await world.accounts.identify(token)

    async def down(store: Any) -> Any:
        raise Unavailable("No database.")

    monkeypatch.setattr(identify, "read_revocations", down)
    with pytest.raises(Problem) as caught:
        await world.accounts.identify(token)
    assert caught.value.status == 503
    monkeypatch.undo()
    assert (await world.accounts.identify(token)).id


# Everything that takes rights away, done by another process.


async def raw(world: World, text: str) -> None:
    """SQL past everything."""
    async with world.engine.store.transaction() as writing:
        await writing.run(text, ())


async def own_code(world: World, there: Any, token: str) -> None:
    """An action changes the roles."""
    user = (await there.identify(token)).id
    async with Transaction.begin(world.engine, SYSTEM, world.hooks, world.new_id) as tx:
        await tx.write(Update("Member", user, {"roles": ["staff"]}))


async def other_session(world: World, there: Any, token: str) -> None:
    """Another session of the same person ends this one."""
    other = await there.identify((await there.login(ENTRY)).access_token)
    await there.end_session(other, (await there.identify(token)).session)


async def other_sessions(world: World, there: Any, token: str) -> None:
    await there.end_other_sessions(await there.identify((await there.login(ENTRY)).access_token))


async def password(world: World, there: Any, token: str) -> None:
    await there.change_password(await there.identify((await there.login(ENTRY)).access_token), CHANGE)


async def theft(world: World, there: Any, token: str) -> None:
    """A spent refresh token of the same session comes again."""
    (pair,) = world.pairs
    await there.refresh({"refresh_token": pair.refresh_token})
    world.pass_time(seconds=10.01)
    with pytest.raises(Problem):
        await there.refresh({"refresh_token": pair.refresh_token})


Taking = Callable[[World, Any, str], Awaitable[Any]]
ENDS: dict[str, Taking] = {
    "signed out": lambda world, there, token: there.logout(token),
    "ended by another session": other_session,
    "ended with all others": other_sessions,
    "another password": password,
    "a stolen refresh token": theft,
    "disabled": lambda world, there, token: there.disable("ada@example.com"),
    "disabled by SQL": lambda world, there, token: raw(world, "UPDATE members SET disabled = (1 = 1)"),
    "deleted by SQL": lambda world, there, token: raw(world, "DELETE FROM members"),
    "ended by SQL": lambda world, there, token: raw(world, "UPDATE account_sign_ins SET ended_at = created_at"),
    "session deleted by SQL": lambda world, there, token: raw(world, "DELETE FROM account_sign_ins"),
}
CHANGES: dict[str, Taking] = {
    "by the command line": lambda world, there, token: there.set_roles("ada@example.com", ["staff"]),
    "by own code": own_code,
    "by SQL": lambda world, there, token: raw(world, "UPDATE members SET roles = '[\"staff\"]'"),
}


async def remembered(world: World) -> tuple[str, Any]:
    """A token that this process has remembered, with fresh numbers, and another process."""
    await world.accounts.signup(ADA)
    entered = await world.accounts.login(ENTRY)
    world.pairs = [entered.tokens]
    for _ in range(2):
        assert (await world.accounts.identify(entered.access_token)).roles == frozenset()
    return entered.access_token, world.process()


@pytest.mark.parametrize("way", ENDS)
async def test_what_ends_a_session_elsewhere_is_seen_within_a_second(world: World, way: str) -> None:
    token, there = await remembered(world)
    await ENDS[way](world, there, token)
    world.pass_time(seconds=1.01)
    assert await refused(world, token)


@pytest.mark.parametrize("way", CHANGES)
async def test_other_roles_are_seen_within_a_second(world: World, way: str) -> None:
    token, there = await remembered(world)
    await CHANGES[way](world, there, token)
    world.pass_time(seconds=1.01)
    assert (await world.accounts.identify(token)).roles == {"staff"}


@pytest.mark.parametrize("way", ["signed out", "disabled"])
async def test_what_this_process_ends_is_ended_at_once(world: World, way: str) -> None:
    token, _ = await remembered(world)
    await ENDS[way](world, world.accounts, token)
    assert await refused(world, token)
    assert not world.accounts.identities._held


@pytest.mark.parametrize("way", ["signed out", "disabled by SQL"])
async def test_without_the_triggers_it_would_be_believed(world: World, way: str) -> None:
    """The fault planted: nothing raises the numbers."""
    token, there = await remembered(world)
    for table in ("account_sign_ins", "members"):
        on = f" ON {table}" if world.engine.store.dialect.name == "postgres" else ""
        await raw(world, f'DROP TRIGGER "_revoke_{table}_changed"{on}')
    await ENDS[way](world, there, token)
    world.pass_time(seconds=1.01)
    assert not await refused(world, token)
    await world.engine.store.extend(world.engine.schema)  # which puts back what is missing
    await raw(world, "UPDATE members SET roles = '[\"staff\"]'")
    world.pass_time(seconds=1.01)
    assert await refused(world, token)


async def test_the_numbers_are_raised_by_nothing_else(world: World, asked: Asked) -> None:
    token, there = await remembered(world)
    before = await read_revocations(world.engine.store)
    asked.since()
    await there.signup({**ADA, "email": "bob@example.com", "nickname": "bob"})
    pair = (await there.login(ENTRY)).tokens
    await there.refresh({"refresh_token": pair.refresh_token})
    await raw(world, "UPDATE members SET nickname = 'x' || nickname, roles = roles, disabled = (1 = 0)")
    await there.set_roles("ada@example.com", [])
    assert await read_revocations(world.engine.store) == before
    world.pass_time(seconds=1.01)
    assert not await refused(world, token)
    assert asked.since() == (1, 0)


async def test_one_persons_end_costs_others_no_look_up(world: World, asked: Asked) -> None:
    token, there = await remembered(world)
    await there.signup({**ADA, "email": "bob@example.com", "nickname": "bob"})
    other = (await there.login({**ENTRY, "email": "bob@example.com"})).access_token
    people = [(await world.accounts.identify(each)).id or "" for each in (token, other)]
    assert slot_of(people[0]) != slot_of(people[1])
    asked.since()
    await there.logout(other)
    asked.since()
    world.pass_time(seconds=1.01)
    assert not await refused(world, token)
    assert asked.since() == (1, 0)
    assert await refused(world, other)
    assert asked.since() == (0, 1)


# What comes while a look-up is under way.


async def late(world: World, token: str, patch: pytest.MonkeyPatch) -> tuple[asyncio.Task[Actor], asyncio.Event]:
    """A look-up that has its answer from the database and does not know it yet."""
    finders, read, go = world.accounts.identities._find, asyncio.Event(), asyncio.Event()
    recognise = finders["access"]

    async def slow(key: str) -> Any:
        found = await recognise(key)
        if key == digest(token):
            read.set()
            await go.wait()
        return found

    patch.setitem(finders, "access", slow)
    task = asyncio.create_task(world.accounts.identify(token))
    await read.wait()
    patch.undo()
    return task, go


async def test_an_answer_under_way_when_this_process_ends_the_session_is_not_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await enter(world)
    task, go = await late(world, token, monkeypatch)
    await world.accounts.logout(token)
    go.set()
    assert (await task).id  # it was asked before the end
    assert await refused(world, token)


async def test_an_answer_under_way_when_another_process_ends_the_session_is_not_believed_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, other = await enter(world), (await world.accounts.login(ENTRY)).access_token
    await world.accounts.identify(other)
    task, go = await late(world, token, monkeypatch)
    await world.process().logout(token)
    world.pass_time(seconds=1.01)
    await world.accounts.identify(other)  # this process knows of the end before the answer comes
    go.set()
    assert (await task).id
    assert await refused(world, token)


async def test_a_number_taken_after_the_look_up_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: the answer is remembered with the number that is known when it comes."""
    remember = Identities._remember

    def careless(self: Identities, key: str, held: Any) -> None:
        remember(self, key, identify._Held(held.actor, held.slot, self._numbers.get(held.slot, 0), held.until))

    monkeypatch.setattr(Identities, "_remember", careless)
    caught = test_an_answer_under_way_when_another_process_ends_the_session_is_not_believed_later
    with pytest.raises(AssertionError), pytest.MonkeyPatch.context() as patch:
        await caught(world, patch)


async def test_only_so_many_tokens_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "REMEMBERED", 3)
    tokens = [await enter(world), *[(await world.accounts.login(ENTRY)).access_token for _ in range(4)]]
    for token in tokens:
        await world.accounts.identify(token)
    assert list(world.accounts.identities._held) == [digest(token) for token in tokens[2:]]


async def test_forgetting_less_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = await remembered(world)
    monkeypatch.setattr(Identities, "forget", lambda self, user: None)
    await world.accounts.logout(token)
    assert not await refused(world, token)
