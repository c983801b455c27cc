"""What raises the numbers of revocations stays through every change of the tables, and comes where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from annotated_types import Len

from backstay.auth.models import HIDDEN, AccountKey
from backstay.model.declare import Model
from backstay.model.field import Schema
from backstay.model.schema import declare
from backstay.store.migrate import Migrator, keep_up, taken
from backstay.store.revocation import read_revocations
from tests.auth.conftest import Member, Team, World
from tests.auth.test_accounts import ADA, ENTRY


def now() -> datetime:
    return datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def changed(hidden: Sequence[type[Model]] = HIDDEN) -> Schema:
    """Members with another field and another constraint, so that SQLite makes their table anew."""
    space: dict[str, Any] = {"__annotations__": {"city": str, "nickname": Annotated[str, Len(1, 60)]}, "city": ""}
    later = type(Member)("Member", (Member,), {**space, "__module__": Member.__module__})
    return declare([later, Team], hidden=hidden)


def renamed() -> Schema:
    """Members by another name, in another table."""
    space: dict[str, Any] = {"__was__": "Member", "__module__": Member.__module__, "__annotations__": {}}
    return declare([type(Member)("Guest", (Member,), space), Team], hidden=HIDDEN)


async def raised(world: World, text: str) -> bool:
    """Whether a statement raises a number."""
    before = await read_revocations(world.engine.store)
    await world.engine.store.run(text, ())
    return await read_revocations(world.engine.store) != before


async def all_raise(world: World, table: str = "members") -> None:
    """Whatever takes rights away is seen."""
    assert await raised(world, f"UPDATE {table} SET roles = '[\"staff\"]'")
    assert await raised(world, f"UPDATE {table} SET disabled = (1 = 1)")
    assert await raised(world, "UPDATE account_sign_ins SET ended_at = created_at")
    assert await raised(world, "UPDATE account_keys SET ended_at = created_at")
    assert await raised(world, f"DELETE FROM {table}")


async def filled(world: World) -> World:
    """Ada with a session and a key."""
    await world.accounts.signup(ADA)
    world.pairs = [(await world.accounts.login(ENTRY)).tokens]
    actor = await world.accounts.identify(world.pairs[0].access_token)
    await world.accounts.keys.make(actor, {"name": "x", "scopes": ["read"]})
    await Migrator(world.engine.store, now).adopt(world.engine.schema)
    return world


async def test_at_first_all_of_it_is_seen(world: World) -> None:
    await all_raise(await filled(world))


async def test_a_migration_leaves_them_where_they_are(world: World) -> None:
    """At its end, and not at the next start: processes of before go on meanwhile."""
    await filled(world)
    await Migrator(world.engine.store, now).apply(taken(changed()), "next")
    await all_raise(world)


async def test_so_does_the_way_back(world: World) -> None:
    await filled(world)
    migrator = Migrator(world.engine.store, now)
    await migrator.apply(taken(changed()), "next")
    await migrator.rollback()
    await all_raise(world)


async def test_they_follow_a_table_to_its_new_name(world: World) -> None:
    await filled(world)
    await Migrator(world.engine.store, now).apply(taken(renamed()), "next")
    await all_raise(world, "guests")


@pytest.mark.parametrize("with_migration", [True, False])
async def test_what_is_missing_comes_at_the_start(world: World, with_migration: bool) -> None:
    await filled(world)
    store = world.engine.store
    for table in ("members", "account_sign_ins"):
        for end in ("changed", "gone"):
            on = f" ON {table}" if store.dialect.name == "postgres" else ""
            await store.run(f'DROP TRIGGER "_revoke_{table}_{end}"{on}', ())
    assert not await raised(world, "UPDATE members SET roles = '[\"editor\"]'")
    await keep_up(store, changed() if with_migration else world.engine.schema, now, development=True)
    await all_raise(world)


async def test_a_database_from_before_there_were_keys_gets_them_with_their_table(world: World) -> None:
    await filled(world)
    store = world.engine.store
    await store.run("DROP TABLE account_keys", ())
    before = declare([Member, Team], hidden=[model for model in HIDDEN if model is not AccountKey])
    await store.run("DELETE FROM _migrations", ())
    await Migrator(store, now).adopt(before)
    await keep_up(store, world.engine.schema, now, development=True)
    actor = await world.accounts.identify(world.pairs[0].access_token)
    await world.accounts.keys.make(actor, {"name": "x", "scopes": ["read"]})
    await all_raise(world)
