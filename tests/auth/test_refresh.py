"""A refresh token is spent once: whoever brings it again ends the session, unless two tabs met."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from backstay.auth import session
from backstay.auth.session import Pair
from backstay.errors import BadRequest, Invalid
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY, codes, outcome


async def enter(world: World) -> Pair:
    """A new session of Ada."""
    await world.accounts.signup(ADA)
    return (await world.accounts.login(ENTRY)).tokens


async def refresh(world: World, pair: Pair) -> Pair:
    """The next pair, by another process than the last one."""
    return await world.process().refresh({"refresh_token": pair.refresh_token})


async def refused(awaitable: Any) -> bool:
    """Whether the answer is that of an unknown token."""
    said = await outcome(awaitable)
    assert said[0] == "done" or said[1:3] == (401, "invalid_token")
    return said[0] != "done"


async def test_a_refresh_gives_a_new_pair_of_the_same_session(world: World) -> None:
    first = await enter(world)
    world.pass_time(minutes=20)
    assert await refused(world.accounts.identify(first.access_token))
    second = await refresh(world, first)
    assert second.session == first.session
    assert second.expires_in == 15 * 60
    assert len({first.access_token, first.refresh_token, second.access_token, second.refresh_token}) == 4
    assert (await world.accounts.identify(second.access_token)).session == first.session
    ((at,),) = await world.rows("account_sign_ins", "refreshed_at")
    assert str(at)[:16].replace("T", " ") == "2026-11-22 09:50"


async def test_the_database_knows_only_the_hashes(world: World) -> None:
    first = await enter(world)
    second = await refresh(world, first)
    stored = await world.rows("account_tokens", "token_hash, refresh_hash")
    assert stored == [
        tuple(hashlib.sha256(token.encode()).hexdigest() for token in (pair.access_token, pair.refresh_token))
        for pair in (first, second)
    ]
    for secret in (second.access_token, second.refresh_token):
        assert secret not in repr(second) + repr(await world.rows("account_tokens"))


async def test_the_tokens_of_a_pair_are_not_taken_for_one_another(world: World) -> None:
    pair = await enter(world)
    assert await refused(world.accounts.identify(pair.refresh_token))
    assert await refused(world.accounts.refresh({"refresh_token": pair.access_token}))
    swapped = {"refresh_token": "bsr_" + pair.access_token[4:]}
    assert await refused(world.accounts.refresh(swapped))
    assert not await refused(refresh(world, pair))


async def test_a_spent_token_that_comes_again_ends_the_session(world: World) -> None:
    first = await enter(world)
    other = (await world.accounts.login(ENTRY)).tokens
    second = await refresh(world, first)
    world.pass_time(seconds=10.1)
    third = await refresh(world, second)
    await world.accounts.identify(third.access_token)
    assert await refused(world.accounts.refresh({"refresh_token": first.refresh_token}))
    for pair in (first, second, third):
        assert await refused(world.accounts.identify(pair.access_token))
        assert await refused(refresh(world, pair))
    assert not await refused(world.accounts.identify(other.access_token))
    assert not await refused(refresh(world, other))


async def test_a_theft_would_go_unseen_without_an_end_of_the_grace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GRACE", timedelta(days=1))
    first = await enter(world)
    await refresh(world, first)
    world.pass_time(seconds=10.1)
    assert not await refused(refresh(world, first))


async def test_two_tabs_that_refresh_the_same_token_stay_signed_in(world: World) -> None:
    first = await enter(world)
    left = await refresh(world, first)
    world.pass_time(seconds=10)
    right = await refresh(world, first)
    assert left.session == right.session
    for pair in (left, right):
        assert not await refused(world.accounts.identify(pair.access_token))
        assert not await refused(refresh(world, pair))


async def test_tabs_that_refresh_at_the_same_moment_stay_signed_in(world: World) -> None:
    first = await enter(world)
    pairs = await asyncio.gather(*(refresh(world, first) for _ in range(5)))
    assert len({pair.refresh_token for pair in pairs}) == 5
    assert {pair.session for pair in pairs} == {first.session}
    for pair in pairs:
        assert not await refused(world.accounts.identify(pair.access_token))
    spent = await world.rows("account_tokens", "spent_at")
    assert [at is None for (at,) in spent] == [False, *[True] * 5]


async def test_of_many_at_once_too_late_none_gets_a_pair(world: World) -> None:
    first = await enter(world)
    await refresh(world, first)
    world.pass_time(seconds=11)
    assert await asyncio.gather(*(refused(refresh(world, first)) for _ in range(5))) == [True] * 5
    assert len(await world.rows("account_tokens")) == 2


async def test_a_session_ends_for_good_after_its_days(world: World) -> None:
    pair = await enter(world)
    world.pass_time(days=30, minutes=-5)
    pair = await refresh(world, pair)
    assert pair.expires_in == 5 * 60
    world.pass_time(minutes=5)
    assert await refused(world.accounts.identify(pair.access_token))
    assert await refused(refresh(world, pair))


async def test_the_end_of_a_session_is_the_end_of_its_family(world: World) -> None:
    first = await enter(world)
    left, right = await refresh(world, first), await refresh(world, first)
    await world.accounts.logout(left.access_token)
    for pair in (first, left, right):
        assert await refused(world.accounts.identify(pair.access_token))
        assert await refused(refresh(world, pair))


async def test_a_session_that_ends_while_it_is_refreshed_gives_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await enter(world)
    known = await world.accounts.sessions.renewable(first.refresh_token)
    await world.accounts.logout(first.access_token)

    async def before(token: str) -> Any:
        return known

    monkeypatch.setattr(world.accounts.sessions, "renewable", before)
    assert await refused(world.accounts.refresh({"refresh_token": first.refresh_token}))
    await world.engine.store.run("DELETE FROM members", ())
    assert await refused(world.accounts.refresh({"refresh_token": first.refresh_token}))
    assert await world.rows("account_tokens") == []


async def test_a_disabled_account_refreshes_nothing(world: World) -> None:
    pair = await enter(world)
    await world.engine.store.run("UPDATE members SET disabled = (1 = 1)", ())
    assert await refused(refresh(world, pair))
    await world.engine.store.run("UPDATE members SET disabled = (1 = 0)", ())
    assert not await refused(refresh(world, pair))


@pytest.mark.parametrize("token", ["", "bsr_", "x" * 47, "bsr_" + "a" * 42, "bsr_" + "a" * 44, "bsr_" + "é" * 43])
async def test_what_cannot_be_a_refresh_token_costs_no_statement(world: World, token: str) -> None:
    before = world.engine.store.statements
    assert await refused(world.accounts.refresh({"refresh_token": token}))
    assert world.engine.store.statements == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, [("refresh_token", "required")]),
        ({"refresh_token": 1}, [("refresh_token", "wrong_type")]),
        ({"refresh_token": "x", "token": "x"}, [("token", "unknown_field")]),
    ],
)
async def test_a_refresh_that_is_no_refresh_is_refused(
    world: World, body: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    with pytest.raises((Invalid, BadRequest)) as caught:
        await world.accounts.refresh(body)
    assert codes(caught.value) == said
