"""What is over goes, a page at a time and by indexes; what still decides anything stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backstay import App
from backstay.auth import account, purge
from backstay.auth.purge import KEPT, TELLING, Purge, Purged
from backstay.errors import Unavailable
from backstay.plan.actor import Actor
from backstay.testing import Trial
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY
from tests.auth.test_refresh import enter, refresh, refused


async def counts(world: World) -> tuple[int, ...]:
    """How many tokens, sessions, keys and knocks there are."""
    tables = ("account_tokens", "account_sign_ins", "account_keys", "account_knocks")
    return tuple([len(await world.rows(table, "id")) for table in tables])


async def ada(world: World) -> Actor:
    """Ada, signed in."""
    await world.accounts.signup(ADA)
    return await world.accounts.identify((await world.accounts.login(ENTRY)).access_token)


async def test_nothing_goes_that_somebody_may_come_with(world: World) -> None:
    first = await enter(world)
    second = await refresh(world, first)
    actor = await world.accounts.identify(second.access_token)
    await world.accounts.keys.make(actor, {"name": "x", "scopes": ["read"]})
    await world.accounts.signup({**ADA, "nickname": "b"})  # a knock
    for days in (1, 5.9, 0):
        world.pass_time(days=days)
        assert await world.accounts.purge.everything() == Purged()
    assert await counts(world) == (2, 1, 1, 1)
    assert await refused(refresh(world, first))  # the theft is still told
    assert await refused(refresh(world, second))


async def test_a_refresh_token_that_was_not_spent_stays_as_long_as_its_session(world: World) -> None:
    pair = await enter(world)
    world.pass_time(days=30, minutes=-1)
    assert await world.accounts.purge.everything() == Purged()
    assert not await refused(refresh(world, pair))


async def test_a_spent_token_goes_after_a_week_and_is_refused_then(world: World) -> None:
    first = await enter(world)
    second = await refresh(world, first)
    world.pass_time(seconds=TELLING.total_seconds() + 1)
    assert await world.accounts.purge.everything() == Purged(tokens=1)
    assert await refused(refresh(world, first))
    assert not await refused(refresh(world, second))


async def test_what_is_over_goes_after_a_month(world: World) -> None:
    owner = await ada(world)
    end = (world.moment + timedelta(days=1)).isoformat()
    made = [
        await world.accounts.keys.make(owner, {"name": "x", "scopes": ["read"], "expires_at": e}) for e in (None, end)
    ]
    await world.accounts.keys.revoke(owner, made[0].key.id)
    await world.accounts.signup({**ADA, "nickname": "b"})
    world.pass_time(seconds=KEPT.total_seconds() - 1)
    assert await world.accounts.purge.everything() == Purged()
    world.pass_time(seconds=2)
    assert await world.accounts.purge.everything() == Purged(keys=1, knocks=1)
    world.pass_time(days=1)
    assert await world.accounts.purge.everything() == Purged(tokens=1, keys=1)
    world.pass_time(days=30)
    assert await world.accounts.purge.everything() == Purged(sessions=1)
    assert await counts(world) == (0, 0, 0, 0)
    assert len(await world.rows("members")) == 1


async def test_only_a_page_goes_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "PAGE", 3)
    await ada(world)
    for _ in range(7):
        await world.accounts.login(ENTRY)
    world.pass_time(days=100)
    assert await world.accounts.purge.some() == Purged(tokens=3, sessions=3)
    assert await world.accounts.purge.everything() == Purged(tokens=5, sessions=5)
    assert await counts(world) == (0, 0, 0, 0)


async def test_two_processes_purge_at_once(world: World) -> None:
    await ada(world)
    for _ in range(20):
        await world.accounts.login(ENTRY)
    world.pass_time(days=100)
    done = await asyncio.gather(*(world.process().purge.everything() for _ in range(3)))
    assert sum(one.sessions for one in done) == 21
    assert await counts(world) == (0, 0, 0, 0)


async def test_every_hundredth_pair_takes_a_page_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PURGED_EVERY", 5)
    pair = await enter(world)
    seen = []
    for _ in range(9):
        world.pass_time(days=8)
        pair = (await world.accounts.login(ENTRY)).tokens
        await world.accounts.settle()
        seen.append(await counts(world))
    # A pair every eight days: with the fifth the one that is 32 days old goes, with the tenth those up to 40 days.
    assert [tokens for tokens, *_ in seen] == [2, 3, 4, 4, 5, 6, 7, 8, 4]
    assert [sessions for _, sessions, *_ in seen] == [2, 3, 4, 5, 6, 7, 8, 9, 8]
    assert not await refused(refresh(world, pair))


async def test_no_answer_waits_for_it_and_no_failure_is_heard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PURGED_EVERY", 1)
    go = asyncio.Event()

    async def down(self: Purge) -> Any:
        await go.wait()
        raise Unavailable("No database.")

    monkeypatch.setattr(Purge, "some", down)
    assert (await enter(world)).session
    go.set()
    await world.accounts.settle()


async def test_an_application_that_stops_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its store would be closed under it."""
    monkeypatch.setattr(account, "PURGED_EVERY", 1)
    some, seen = Purge.some, []

    async def slow(self: Purge) -> Purged:
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append(await some(self))
        return seen[-1]

    monkeypatch.setattr(Purge, "some", slow)
    async with Trial(App("club", models=[])) as trial:
        ada = await trial.user("ada@example.com", password=ENTRY["password"])
        await trial.app.running.accounts.login({"email": ada.email, "password": ENTRY["password"]})
        assert seen == []
    assert seen == [Purged()]


async def test_it_finds_its_way_by_indexes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[tuple[str, Any]] = []
    read = world.engine.store.read

    async def reading(statement: Any, values: Any) -> Any:
        texts.append((statement.text, values))
        return await read(statement, values)

    monkeypatch.setattr(world.engine.store, "read", reading)
    await world.accounts.purge.some()
    assert len(texts) == 6
    if world.engine.store.dialect.name == "sqlite":
        for text, values in texts:
            plan = [str(row[-1]) for row in await world.engine.store.run(f"EXPLAIN QUERY PLAN {text}", values)]
            assert any("USING INDEX ix_" in line or "USING COVERING INDEX ix_" in line for line in plan), plan
            assert not any(line.startswith("SCAN ") and "INDEX" not in line for line in plan), plan
