"""People see where they are signed in, and end it there; nobody sees or ends the sessions of somebody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backstay.auth import session
from backstay.auth.session import Pair
from backstay.errors import NotFound, NotSignedIn
from backstay.plan.actor import ANONYMOUS, Actor
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY
from tests.auth.test_refresh import refresh, refused

BOB = {**ADA, "email": "bob@example.com", "nickname": "bob"}
START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


async def enter(world: World, times: int = 1) -> list[Pair]:
    """Sessions of Ada, a minute after one another."""
    await world.accounts.signup(ADA)
    pairs = []
    for _ in range(times):
        pairs.append((await world.accounts.login(ENTRY)).tokens)
        world.pass_time(minutes=1)
    return pairs


async def bob(world: World) -> tuple[Actor, Pair]:
    """Somebody else."""
    await world.accounts.signup(BOB)
    pair = (await world.accounts.login({**ENTRY, "email": "bob@example.com"})).tokens
    return await world.accounts.identify(pair.access_token), pair


async def test_the_own_live_sessions_are_listed_newest_first(world: World) -> None:
    first, second, third = await enter(world, 3)
    await bob(world)
    await world.accounts.logout(third.access_token)
    await refresh(world, first)
    actor = await world.accounts.identify(second.access_token)
    days = timedelta(days=30)
    seen = await world.accounts.own_sessions(actor)
    assert [(s.id, s.created_at, s.refreshed_at, s.expires_at, s.current) for s in seen] == [
        (second.session, START + timedelta(minutes=1), None, START + days + timedelta(minutes=1), True),
        (first.session, START, START + timedelta(minutes=3), START + days, False),
    ]
    world.pass_time(days=30, minutes=-2, seconds=-1)
    assert [s.id for s in await world.accounts.own_sessions(actor)] == [second.session]


async def test_only_so_many_are_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LISTED", 2)
    pairs = await enter(world, 3)
    actor = await world.accounts.identify(pairs[0].access_token)
    assert [s.id for s in await world.accounts.own_sessions(actor)] == [pairs[2].session, pairs[1].session]


async def test_one_session_is_ended_with_its_tokens(world: World) -> None:
    first, second = await enter(world, 2)
    actor = await world.accounts.identify(first.access_token)
    await world.accounts.identify(second.access_token)
    await world.accounts.end_session(actor, second.session)
    assert await refused(world.accounts.identify(second.access_token))
    assert await refused(refresh(world, second))
    assert not await refused(world.accounts.identify(first.access_token))
    with pytest.raises(NotFound):
        await world.accounts.end_session(actor, second.session)
    await world.accounts.end_session(actor, first.session)
    assert await refused(world.accounts.identify(first.access_token))


async def test_the_session_of_somebody_else_is_not_found(world: World) -> None:
    (first,) = await enter(world)
    other, held = await bob(world)
    for key in (first.session, "00000000-0000-7000-8000-000000999999", "x", ""):
        with pytest.raises(NotFound) as caught:
            await world.accounts.end_session(other, key)
        assert caught.value.detail == NotFound().detail
    assert not await refused(world.accounts.identify(first.access_token))
    await world.accounts.end_other_sessions(other)
    assert not await refused(world.accounts.identify(first.access_token))
    assert not await refused(world.accounts.identify(held.access_token))


async def test_all_other_sessions_are_ended(world: World) -> None:
    first, second, third = await enter(world, 3)
    for pair in (first, third):
        await world.accounts.identify(pair.access_token)
    await world.accounts.end_other_sessions(await world.accounts.identify(second.access_token))
    for pair in (first, third):
        assert await refused(world.accounts.identify(pair.access_token))
        assert await refused(refresh(world, pair))
    assert not await refused(world.accounts.identify(second.access_token))
    assert not await refused(refresh(world, second))


async def test_sessions_are_for_the_signed_in(world: World) -> None:
    for asked in (
        world.accounts.own_sessions(ANONYMOUS),
        world.accounts.end_session(ANONYMOUS, "00000000-0000-7000-8000-000000000001"),
        world.accounts.end_other_sessions(ANONYMOUS),
    ):
        with pytest.raises(NotSignedIn):
            await asked
