"""Who knows the password may change it, and everybody else who is signed in with it is signed out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backstay.auth.password import Passwords
from backstay.errors import BadRequest, Invalid, NotSignedIn
from backstay.plan.actor import ANONYMOUS, Actor
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY, codes, outcome
from tests.auth.test_own_sessions import bob, enter
from tests.auth.test_refresh import refresh, refused

CHANGE = {"current_password": "correct horse", "new_password": "battery staple"}


async def ada(world: World) -> Actor:
    """Ada, signed in."""
    (pair,) = await enter(world)
    return await world.accounts.identify(pair.access_token)


async def opens(world: World, password: str) -> bool:
    """Whether a password lets Ada in."""
    return (await outcome(world.accounts.login({**ENTRY, "password": password})))[0] == "done"


async def test_the_new_password_counts_and_all_other_sessions_end(world: World) -> None:
    first, second = await enter(world, 2)
    _, held = await bob(world)
    for pair in (first, second):
        await world.accounts.identify(pair.access_token)
    await world.accounts.change_password(await world.accounts.identify(first.access_token), CHANGE)
    assert await refused(world.accounts.identify(second.access_token))
    assert await refused(refresh(world, second))
    for pair in (first, held):
        assert not await refused(world.accounts.identify(pair.access_token))
        assert not await refused(refresh(world, pair))
    assert [await opens(world, password) for password in ("correct horse", "battery staple")] == [False, True]


async def test_a_wrong_current_password_changes_nothing(world: World) -> None:
    first, second = await enter(world, 2)
    actor = await world.accounts.identify(first.access_token)
    with pytest.raises(Invalid) as caught:
        await world.accounts.change_password(actor, {**CHANGE, "current_password": "wrong horse"})
    assert codes(caught.value) == [("current_password", "wrong_password")]
    assert not await refused(world.accounts.identify(second.access_token))
    assert await opens(world, "correct horse")


async def test_an_account_without_a_password_has_none_to_change(world: World) -> None:
    key = await world.accounts.create_user("root@example.com", None, nickname="root")
    with pytest.raises(Invalid) as caught:
        await world.accounts.change_password(Actor(key), CHANGE)
    assert codes(caught.value) == [("current_password", "wrong_password")]
    assert world.hasher.done == [("verify", "8 1 1")]


async def test_of_two_changes_at_once_one_counts(world: World) -> None:
    actor = await ada(world)
    chosen = ["battery staple", "a harbour at night"]
    said = await asyncio.gather(
        *(outcome(world.accounts.change_password(actor, {**CHANGE, "new_password": each})) for each in chosen)
    )
    assert sorted(each[0] == "done" for each in said) == [False, True]
    assert [await opens(world, each) for each in chosen] == [each[0] == "done" for each in said]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"new_password": "short"}, [("new_password", "too_short")]),
        ({"new_password": "Password1"}, [("new_password", "too_common")]),
        ({"new_password": "Ada@Example.com"}, [("new_password", "too_common")]),
        ({"new_password": "x" * 129}, [("new_password", "too_long")]),
        ({"new_password": None, "current_password": 1},
         [("current_password", "wrong_type"), ("new_password", "wrong_type")]),
        ({"password": "x"}, [("password", "unknown_field")]),
    ],
)  # fmt: skip
async def test_the_rules_are_those_of_a_sign_up(
    world: World, sent: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    actor = await ada(world)
    world.hasher.done.clear()
    with pytest.raises((Invalid, BadRequest)) as caught:
        await world.accounts.change_password(actor, {**CHANGE, **sent})
    assert codes(caught.value) == said
    assert world.hasher.done == []


async def test_it_is_for_the_signed_in(world: World) -> None:
    with pytest.raises(NotSignedIn):
        await world.accounts.change_password(ANONYMOUS, CHANGE)


async def test_nothing_is_held_while_a_password_is_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = await ada(world)
    seen: list[str] = []
    transaction, work = world.engine.store.transaction, Passwords._work

    def begun() -> Any:
        seen.append("begin")
        return transaction()

    async def worked(self: Passwords, job: Any) -> Any:
        seen.append("hash")
        return await work(self, job)

    monkeypatch.setattr(world.engine.store, "transaction", begun)
    monkeypatch.setattr(Passwords, "_work", worked)
    await world.accounts.change_password(actor, CHANGE)
    assert seen == ["hash", "hash", "begin"]
    assert ADA["password"] not in repr(await world.rows("account_credentials"))
