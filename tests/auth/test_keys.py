"""A program acts for a person with an API key: made once, known by its hash, as able as its owner at most."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backstay.auth import key as key_module
from backstay.auth.account import Accounts
from backstay.auth.key import NewKey
from backstay.errors import BadRequest, Denied, Invalid, NotFound, NotSignedIn, Problem
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.store.transaction import Transaction
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY, codes, outcome
from tests.auth.test_change_password import CHANGE
from tests.auth.test_own_sessions import bob

WANTED = {"name": "Till", "scopes": ["teams:read", "action:quote"]}
START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


async def ada(world: World) -> Actor:
    """Ada, signed in."""
    await world.accounts.signup(ADA)
    return await world.accounts.identify((await world.accounts.login(ENTRY)).access_token)


async def made(world: World, actor: Actor, **changes: Any) -> NewKey:
    """A new key of somebody."""
    return await world.accounts.keys.make(actor, {**WANTED, **changes})


async def refused(world: World, text: str, accounts: Accounts | None = None) -> bool:
    """Whether a key is answered like one that never was."""
    said = await outcome((accounts or world.accounts).identify(text))
    assert said[0] == "done" or said[1:3] == (401, "invalid_token")
    return said[0] != "done"


async def test_a_key_acts_for_its_owner_within_its_scopes(world: World) -> None:
    owner = await ada(world)
    await world.accounts.set_roles("ada@example.com", ["staff"])
    new = await made(world, owner)
    actor = await world.accounts.identify(new.text)
    assert actor == Actor(
        owner.id, frozenset({"staff"}), key=new.key.id, scopes=frozenset({"teams:read", "action:quote"})
    )


async def test_the_database_knows_its_hash_and_how_it_begins(world: World) -> None:
    new = await made(world, await ada(world))
    assert len(new.text) == 4 + 43
    assert new.text.startswith("bsk_")
    assert await world.rows("account_keys", "key_hash, start") == [
        (hashlib.sha256(new.text.encode()).hexdigest(), new.text[:8])
    ]
    assert new.text not in repr(await world.rows("account_keys")) + repr(new)


async def test_the_owner_sees_their_keys_and_nobody_elses_the_newest_first(world: World) -> None:
    owner = await ada(world)
    first = await made(world, owner)
    world.pass_time(minutes=1)
    end = START + timedelta(days=1)
    second = await made(world, owner, name="Robot", scopes=["write", "read"], expires_at=end.isoformat())
    third = await made(world, owner)
    other, _ = await bob(world)
    await made(world, other)
    await world.accounts.keys.revoke(owner, third.key.id)
    listed = await world.accounts.keys.own(owner)
    assert listed == [second.key, first.key]
    assert [(k.name, k.start, k.scopes, k.created_at, k.expires_at, k.used_at) for k in listed] == [
        ("Robot", second.text[:8], ["write"], START + timedelta(minutes=1), end, None),
        ("Till", first.text[:8], ["action:quote", "teams:read"], START, None, None),
    ]
    world.pass_time(days=2)
    assert await world.accounts.keys.own(owner) == listed  # that one expired is for its owner to see


async def test_a_key_expires(world: World) -> None:
    owner = await ada(world)
    new = await made(world, owner, expires_at=(START + timedelta(days=1)).isoformat())
    assert not await refused(world, new.text)
    world.pass_time(days=1, seconds=-1)
    assert not await refused(world, new.text)
    world.pass_time(seconds=1.01)
    assert await refused(world, new.text)
    assert await refused(world, new.text, world.process())


async def test_a_key_without_an_end_lasts(world: World) -> None:
    new = await made(world, await ada(world))
    world.pass_time(days=10_000)
    assert not await refused(world, new.text)


@pytest.mark.parametrize("way", ["one", "all", "deleted", "by SQL"])
async def test_a_revoked_key_is_refused_at_once_here_and_within_a_second_elsewhere(world: World, way: str) -> None:
    owner = await ada(world)
    new, other = await made(world, owner), await made(world, owner)
    theirs = await made(world, (await bob(world))[0])
    there = world.process()
    for accounts in (world.accounts, there, world.accounts, there):
        for each in (new, other, theirs):
            assert not await refused(world, each.text, accounts)
    if way == "one":
        await there.keys.revoke(owner, new.key.id)
    elif way == "all":
        await there.keys.revoke_all(owner)
    else:
        done = {"deleted": "DELETE FROM account_keys", "by SQL": "UPDATE account_keys SET ended_at = created_at"}[way]
        await world.engine.store.run(f"{done} WHERE id = '{new.key.id}'", ())
    if way in ("one", "all"):
        assert await refused(world, new.text, there)
    world.pass_time(seconds=1.01)
    for accounts in (world.accounts, there):
        assert await refused(world, new.text, accounts)
        assert await refused(world, other.text, accounts) == (way == "all")
        assert not await refused(world, theirs.text, accounts)


async def test_a_key_can_never_do_what_its_owner_cannot(world: World) -> None:
    owner = await ada(world)
    await world.accounts.set_roles("ada@example.com", ["staff"])
    new = await made(world, owner, scopes=["write", "actions"])
    assert (await world.accounts.identify(new.text)).roles == {"staff"}
    await world.process().set_roles("ada@example.com", [])
    world.pass_time(seconds=1.01)
    assert (await world.accounts.identify(new.text)).roles == frozenset()
    await world.process().disable("ada@example.com")
    world.pass_time(seconds=1.01)
    assert await refused(world, new.text)
    await world.accounts.disable("ada@example.com", False)
    assert not await refused(world, new.text)
    await world.engine.store.run("DELETE FROM members", ())
    world.pass_time(seconds=1.01)
    assert await refused(world, new.text)


async def test_the_key_of_somebody_else_is_not_found(world: World) -> None:
    new = await made(world, await ada(world))
    other, _ = await bob(world)
    for key in (new.key.id, "00000000-0000-7000-8000-000000999999", "x", ""):
        with pytest.raises(NotFound) as caught:
            await world.accounts.keys.revoke(other, key)
        assert caught.value.detail == NotFound().detail
    await world.accounts.keys.revoke_all(other)
    assert not await refused(world, new.text)


async def test_a_revoked_key_cannot_be_revoked_again(world: World) -> None:
    owner = await ada(world)
    new = await made(world, owner)
    await world.accounts.keys.revoke(owner, new.key.id)
    with pytest.raises(NotFound):
        await world.accounts.keys.revoke(owner, new.key.id)


# A key manages nothing.


async def managing(world: World, actor: Actor, token: str, session: str) -> list[Any]:
    """Everything that only a person may do, tried by somebody."""
    accounts = world.accounts
    return [
        await outcome(attempt)
        for attempt in (
            accounts.own_sessions(actor), accounts.end_session(actor, session), accounts.end_other_sessions(actor),
            accounts.change_password(actor, CHANGE), accounts.keys.own(actor), accounts.keys.make(actor, WANTED),
            accounts.keys.revoke(actor, actor.key), accounts.keys.revoke_all(actor), accounts.logout(token),
        )
    ]  # fmt: skip


async def test_a_key_manages_no_account_whatever_its_scopes(world: World) -> None:
    owner = await ada(world)
    new = await made(world, owner, scopes=["write", "actions"])
    actor = await world.accounts.identify(new.text)
    before = [await world.rows(table) for table in ("account_sign_ins", "account_keys", "account_credentials")]
    world.hasher.done.clear()
    for said in await managing(world, actor, new.text, owner.session):
        assert said[:3] == (Denied, 403, "not_for_keys")
    assert world.hasher.done == []
    await world.accounts.keys.settle()
    after = [await world.rows(table) for table in ("account_sign_ins", "account_keys", "account_credentials")]
    for old, now in zip((before[0], before[2]), (after[0], after[2]), strict=True):
        assert old == now
    assert len(after[1]) == 1


async def test_nobody_manages_nothing(world: World) -> None:
    for said in await managing(world, ANONYMOUS, "bst_" + "a" * 43, ""):
        assert said[0] is NotSignedIn


@pytest.mark.parametrize("kind", ["access", "refresh", "key"])
async def test_a_key_is_taken_for_no_other_token_and_no_other_for_a_key(world: World, kind: str) -> None:
    owner = await ada(world)
    new = await made(world, owner)
    pair = (await world.accounts.login(ENTRY)).tokens
    for text in ("bst_" + new.text[4:], "bsk_" + pair.access_token[4:], "bsk_" + pair.refresh_token[4:]):
        assert await refused(world, text)
    for text in (new.text, "bsr_" + new.text[4:]):
        said = await outcome(world.accounts.refresh({"refresh_token": text}))
        assert said[1:3] == (401, "invalid_token")


# What is asked of a new key.


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"name": ""}, [("name", "too_short")]), ({"name": "x" * 101}, [("name", "too_long")]),
        ({"name": 5}, [("name", "wrong_type")]), ({"name": "a\x00"}, [("name", "bad_character")]),
        ({"scopes": []}, [("scopes", "too_short")]), ({"scopes": "read"}, [("scopes", "wrong_type")]),
        ({"scopes": ["read"] * 51}, [("scopes", "too_long")]),
        ({"scopes": ["read", "raed", "teams:*", 1, "account_keys:read", "member:read"]},
         [("scopes[1]", "not_a_choice"), ("scopes[2]", "not_a_choice"), ("scopes[3]", "wrong_type"),
          ("scopes[4]", "not_a_choice"), ("scopes[5]", "not_a_choice")]),
        ({"expires_at": "2026-11-22T09:30:00Z"}, [("expires_at", "out_of_range")]),
        ({"expires_at": "tomorrow"}, [("expires_at", "wrong_type")]),
        ({"expires_at": 5}, [("expires_at", "wrong_type")]),
        ({"name": None, "scopes": None}, [("name", "wrong_type"), ("scopes", "wrong_type")]),
    ],
)  # fmt: skip
async def test_wrong_values_are_told_all_at_once(
    world: World, sent: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    owner = await ada(world)
    with pytest.raises(Invalid) as caught:
        await made(world, owner, **sent)
    assert codes(caught.value) == said
    assert await world.rows("account_keys") == []


async def test_a_key_has_no_other_fields_and_needs_two(world: World) -> None:
    owner = await ada(world)
    for name in ("user", "key_hash", "roles", "ended_at"):
        with pytest.raises(BadRequest) as caught:
            await made(world, owner, **{name: "x"})
        assert caught.value.code == "unknown_field"
    with pytest.raises(Invalid) as missing:
        await world.accounts.keys.make(owner, {})
    assert codes(missing.value) == [("name", "required"), ("scopes", "required")]


async def test_a_person_has_only_so_many_also_where_two_are_asked_for_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_module, "MOST", 3)
    owner = await ada(world)
    said = await asyncio.gather(*(outcome(made(world, owner)) for _ in range(6)))
    assert sorted(each[0] == "done" for each in said) == [False] * 3 + [True] * 3
    listed = await world.accounts.keys.own(owner)
    assert len(listed) == 3
    await world.accounts.keys.revoke(owner, listed[0].id)
    assert (await made(world, owner)).key.id


@pytest.mark.parametrize("world", ["postgres"], indirect=True)  # SQLite has one writer at a time
async def test_counting_without_holding_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: two counts at once see the same number."""
    count, together = Transaction.count, asyncio.Barrier(2)

    async def careless(self: Transaction, *_: Any) -> bool:
        return True

    async def slow(self: Transaction, *arguments: Any) -> int:
        found = await count(self, *arguments)
        await together.wait()
        return found

    owner = await ada(world)
    monkeypatch.setattr(key_module, "MOST", 1)
    monkeypatch.setattr(Transaction, "hold", careless)
    monkeypatch.setattr(Transaction, "count", slow)
    said = await asyncio.gather(*(outcome(made(world, owner)) for _ in range(2)))
    assert [each[0] for each in said] == ["done", "done"]


# When it was used.


async def used(world: World) -> list[Any]:
    """When each key was used, as its owner sees it."""
    await asyncio.gather(*(accounts.keys.settle() for accounts in world.processes))
    (owner,) = await world.rows("members", "id")
    return [key.used_at for key in await world.accounts.keys.own(Actor(str(owner[0])))]


async def test_the_use_of_a_key_is_written_down_every_ten_minutes_at_most(world: World) -> None:
    new = await made(world, await ada(world))
    there = world.process()
    world.processes = [world.accounts, there]
    assert await used(world) == [None]
    versions = []
    for minutes, written in ((0, 0), (5, 0), (5, 10), (9.9, 10), (0.2, 20.1)):
        world.pass_time(minutes=minutes)
        for accounts in (world.accounts, there, world.accounts):
            await accounts.identify(new.text)
        assert await used(world) == [START + timedelta(minutes=written)]
        versions += await world.rows("account_keys", "_version")
    assert [version for (version,) in versions] == [2, 2, 3, 3, 4]


async def test_no_answer_waits_for_it_and_no_failure_is_heard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    new = await made(world, await ada(world))
    go = asyncio.Event()

    async def down(*_: Any) -> bool:
        await go.wait()
        raise Problem("No database.", code="unavailable")

    monkeypatch.setattr(key_module, "holding", down)
    assert (await world.accounts.identify(new.text)).key
    go.set()
    world.processes = [world.accounts]
    assert await used(world) == [None]


async def test_only_so_much_is_remembered_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_module, "REMEMBERED", 2)
    owner = await ada(world)
    keys = [await made(world, owner) for _ in range(3)]
    for new in keys:
        await world.accounts.identify(new.text)
    await world.accounts.keys.settle()
    assert list(world.accounts.keys._noted) == [new.key.id for new in keys[1:]]
