"""A token is its holder's until it expires or its session ends."""

from __future__ import annotations

import hashlib

import pytest

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


async def test_one_session_ends_and_the_others_stay(world: World) -> None:
    first = await enter(world)
    second = (await world.accounts.login(ENTRY)).access_token
    assert first != second
    await world.accounts.logout(first)
    assert await refused(world, first)
    assert not await refused(world, second)
