"""Tokens are recognised, remembered for a second at most, and forgotten as soon as they are ended."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from backstay.auth import session
from backstay.auth.session import Sessions
from backstay.errors import CODES, NotSignedIn
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY, outcome


async def enter(world: World) -> str:
    await world.accounts.signup(ADA)
    return (await world.accounts.login(ENTRY)).access_token


async def refused(world: World, token: str) -> bool:
    said = await outcome(world.accounts.identify(token))
    if said[0] == "done":
        return False
    assert said == (NotSignedIn, 401, "invalid_token", CODES["invalid_token"].advice, (), {})
    return True


async def test_the_database_knows_only_the_hash_of_a_token(world: World) -> None:
    token = await enter(world)
    assert len(token) == 4 + 43
    assert await world.rows("account_tokens", "token_hash") == [(hashlib.sha256(token.encode()).hexdigest(),)]


@pytest.mark.parametrize(
    "token", ["", "bst_", "x" * 47, "bst_" + "a" * 42, "bst_" + "a" * 44, "bst_" + "é" * 43, "bst_" + "a" * 42 + "\n"]
)
async def test_what_cannot_be_a_token_costs_no_statement(world: World, token: str) -> None:
    before = world.engine.store.statements
    assert await refused(world, token)
    assert world.engine.store.statements == before


async def test_an_unknown_token_costs_one_statement_each_time(world: World) -> None:
    before = world.engine.store.statements
    assert await refused(world, "bst_" + "a" * 43)
    assert await refused(world, "bst_" + "a" * 43)
    assert world.engine.store.statements == before + 2


async def test_a_token_is_remembered_for_a_second(world: World) -> None:
    token = await enter(world)
    first = await world.accounts.identify(token)
    before = world.engine.store.statements
    for seconds, statements in ((0.5, 0), (0.5, 0), (0.01, 1), (1.0, 1), (0.01, 2)):
        world.pass_time(seconds=seconds)
        assert await world.accounts.identify(token) == first
        assert world.engine.store.statements == before + statements


async def test_an_access_token_ends_by_itself(world: World) -> None:
    token = await enter(world)
    world.pass_time(minutes=15, seconds=-1)
    assert not await refused(world, token)
    world.pass_time(seconds=1)
    world.pass_time(seconds=0.01)
    assert await refused(world, token)


async def test_a_clock_that_goes_back_keeps_no_token_alive(world: World) -> None:
    token = await enter(world)
    assert not await refused(world, token)
    await world.process().logout(token)
    world.pass_time(days=-1)
    world.seconds = 1.01
    assert await refused(world, token)


async def test_what_another_process_ends_is_ended_here_within_a_second(world: World) -> None:
    token = await enter(world)
    here, there = world.accounts, world.process()
    await here.identify(token)
    await there.identify(token)
    await there.logout(token)
    with pytest.raises(NotSignedIn):
        await there.identify(token)
    assert (await here.identify(token)).id
    world.pass_time(seconds=1.01)
    with pytest.raises(NotSignedIn):
        await here.identify(token)


async def test_one_session_ends_and_the_others_stay(world: World) -> None:
    first = await enter(world)
    second = (await world.accounts.login(ENTRY)).access_token
    assert first != second
    await world.accounts.logout(first)
    assert await refused(world, first)
    assert not await refused(world, second)


async def test_an_answer_that_was_under_way_when_a_session_ended_is_not_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await enter(world)
    answer, read, go = world.engine.answer, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        found = await answer(*arguments)
        read.set()
        await go.wait()
        return found

    monkeypatch.setattr(world.engine, "answer", slow)
    late = asyncio.create_task(world.accounts.identify(token))
    await read.wait()
    monkeypatch.undo()
    await world.accounts.logout(token)
    go.set()
    assert (await late).id  # it was asked before the end
    assert await refused(world, token)


async def test_only_so_many_tokens_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REMEMBERED", 3)
    tokens = [await enter(world), *[(await world.accounts.login(ENTRY)).access_token for _ in range(4)]]
    for token in tokens:
        await world.accounts.identify(token)
    assert list(world.accounts.sessions._seen) == [session.digest(token) for token in tokens[2:]]


async def test_forgetting_less_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await enter(world)
    await world.accounts.identify(token)
    monkeypatch.setattr(Sessions, "forget", lambda self: None)
    await world.accounts.logout(token)
    assert not await refused(world, token)
