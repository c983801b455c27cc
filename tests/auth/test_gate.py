"""Whoever comes in passes one gate, and what takes rights away meets them there, before or after but never beside."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import backstay
from backstay.auth.gate import Gate
from backstay.auth.password import Passwords
from backstay.plan.actor import Actor
from backstay.plan.ask import Delete
from backstay.store.transaction import Transaction
from tests.auth.conftest import World
from tests.auth.test_accounts import ADA, ENTRY, outcome
from tests.auth.test_change_password import CHANGE, ada
from tests.auth.test_refresh import refused

SOURCE = Path(backstay.__file__).parent


def test_the_gate_alone_makes_sessions() -> None:
    """`Sessions.open` is called in one place, and no other file writes a new session."""
    opened, made = [], []
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sessions.open"):
                opened.append(file.relative_to(SOURCE).as_posix())
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Create" and "SESSION" in ast.unparse(node):
                made.append(file.relative_to(SOURCE).as_posix())
    assert (opened, made) == (["auth/gate.py"], ["auth/session.py"])


async def gone(world: World, actor: Actor) -> None:
    """The user is deleted."""
    async with Transaction.begin(world.engine, Actor(system=True), world.hooks, world.new_id) as tx:
        await tx.write(Delete("Member", actor.id or ""))


Event = Callable[[World, Actor], Awaitable[None]]
MEANWHILE: dict[str, Event] = {
    "another password": lambda world, actor: world.accounts.change_password(actor, CHANGE),
    "disabled": lambda world, actor: world.accounts.disable("ada@example.com"),
    "deleted": gone,
}


@pytest.mark.parametrize("event", MEANWHILE)
async def test_what_happens_after_the_password_was_checked_shuts_the_gate(
    world: World, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await ada(world)
    verify = Passwords.verify

    async def slow(self: Passwords, known: str | None, password: str) -> bool:
        monkeypatch.undo()
        right = await verify(self, known, password)
        await MEANWHILE[event](world, actor)
        return right

    monkeypatch.setattr(Passwords, "verify", slow)
    said = await outcome(world.accounts.login(ENTRY))
    assert said[1:3] == (401, "invalid_credentials")
    await world.accounts.disable("ada@example.com", False) if event == "disabled" else None
    live = await world.rows("account_sign_ins", "ended_at")
    assert [at is None for (at,) in live] == ([] if event == "deleted" else [event == "another password"])


async def waits(world: World) -> bool:
    """Whether somebody waits for a record that another transaction holds."""
    return bool(await world.engine.store.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'", ()))


async def at_the_gate(world: World, monkeypatch: pytest.MonkeyPatch, event: Event, actor: Actor) -> Any:
    """A log-in whose session is made, and not yet committed, while something else begins; its outcome."""
    admit, inside, go = Gate.admit, asyncio.Event(), asyncio.Event()

    async def slow(self: Gate, *arguments: Any) -> Any:
        pair = await admit(self, *arguments)
        inside.set()
        await go.wait()
        return pair

    monkeypatch.setattr(Gate, "admit", slow)
    login = asyncio.create_task(outcome(world.accounts.login(ENTRY)))
    await inside.wait()
    other = asyncio.create_task(event(world, actor))
    while not other.done() and not await waits(world):  # noqa: ASYNC110 - a database sets no event of the loop
        await asyncio.sleep(0)
    assert not other.done()
    go.set()
    said = await login
    await other
    return said


@pytest.mark.parametrize("world", ["postgres"], indirect=True)  # on SQLite nothing begins while one is at the gate
@pytest.mark.parametrize("event", ["another password", "disabled"])
async def test_a_session_made_at_the_same_moment_ends_too(
    world: World, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await ada(world)
    said = await at_the_gate(world, monkeypatch, MEANWHILE[event], actor)
    assert said[0] == "done"
    if event == "disabled":
        await world.accounts.disable("ada@example.com", False)
    assert await refused(world.accounts.identify(said[1].access_token))
    assert await refused(world.accounts.refresh({"refresh_token": said[1].tokens.refresh_token}))


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
async def test_a_gate_that_holds_nobody_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: the session is made without holding the user, so the change of password passes it by."""
    actor = await ada(world)

    async def careless(self: Transaction, *_: Any) -> bool:
        return True

    monkeypatch.setattr(Transaction, "hold", careless)
    with pytest.raises(AssertionError):
        await at_the_gate(world, monkeypatch, MEANWHILE["another password"], actor)


async def test_a_password_of_other_parameters_is_hashed_again_in_the_same_transaction(world: World) -> None:
    await world.accounts.signup(ADA)
    stronger = world.process()
    stronger.passwords = Passwords(memory_kib=16, rounds=1)
    ((before,),) = await world.rows("account_credentials", "password_hash")
    await stronger.login(ENTRY)
    ((after,),) = await world.rows("account_credentials", "password_hash")
    assert ("m=8," in before, "m=16," in after) == (True, True)
    assert (await stronger.login(ENTRY)).user_id
    stronger.close()
