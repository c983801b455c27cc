"""How often somebody may try: by address and by client, the same for accounts that are there and that are not."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from backstay.auth.account import Accounts
from backstay.auth.tries import Tries
from backstay.errors import NotSignedIn, Problem
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.store.rates import Rates, TooMany
from tests.auth.conftest import World

PASSWORD = "correct horse battery"
LIMITS = Limits(
    login_per_account="5/minute, 8/hour", login_per_client="20/minute", signup_per_account="2/hour",
    signup_per_client="6/hour", refresh_per_client="4/minute", password_per_account="3/hour",
)  # fmt: skip


def limited(world: World, limits: Limits = LIMITS) -> Accounts:
    """The accounts of a process with rates, by the clock of the world."""
    accounts = world.process()
    accounts._tries = Tries(Rates(world.engine.store, lambda: world.moment), limits)
    return accounts


async def outcome(work: Awaitable[object]) -> str:
    """The code of what is answered, with the sentence and the headers; nothing where it went well."""
    try:
        await work
    except Problem as problem:
        return f"{problem.code}: {problem.detail} {problem.headers}"
    return ""


def entry(email: str, password: str = "wrong " * 2) -> dict[str, str]:
    return {"email": email, "password": password}


async def test_known_and_unknown_addresses_are_answered_alike_try_for_try(world: World) -> None:
    accounts = limited(world)
    await accounts.create_user("ada@example.com", PASSWORD, nickname="ada")
    said = {}
    for email in ("ada@example.com", "nobody@example.com"):
        world.hasher.done.clear()
        said[email] = [await outcome(accounts.login(entry(email), "203.0.113.9")) for _ in range(7)]
        said[email].append(str(world.hasher.done))
    assert said["ada@example.com"] == said["nobody@example.com"]
    assert [one.partition(":")[0] for one in said["ada@example.com"][:7]] == (
        ["invalid_credentials"] * 5 + ["too_many_requests"] * 2
    )
    assert "5 in a minute are allowed. Try again in 60 seconds." in said["ada@example.com"][6]
    assert len(world.hasher.done) == 5  # what is refused is not hashed for


async def test_the_right_password_is_refused_too_once_there_were_too_many(world: World) -> None:
    accounts = limited(world)
    await accounts.create_user("ada@example.com", PASSWORD, nickname="ada")
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            await accounts.login(entry("ada@example.com"), "203.0.113.9")
    with pytest.raises(TooMany):
        await accounts.login(entry("ada@example.com", PASSWORD), "203.0.113.9")
    world.pass_time(seconds=61)
    await accounts.login(entry("ada@example.com", PASSWORD), "203.0.113.9")
    for _ in range(2):
        with pytest.raises(NotSignedIn):
            await accounts.login(entry("ada@example.com"), "203.0.113.9")
    with pytest.raises(TooMany, match="8 in an hour"):
        await accounts.login(entry("ada@example.com", PASSWORD), "203.0.113.9")


async def test_an_address_is_one_in_all_its_spellings_and_from_all_clients_and_processes(world: World) -> None:
    spellings = ["ada@example.com", "ADA@Example.com", " ada@example.com ", "ａｄａ@example.com", "ada@EXAMPLE.COM"]
    for number, email in enumerate(spellings):
        with pytest.raises(NotSignedIn):
            await limited(world).login(entry(email), f"198.51.100.{number}")
    with pytest.raises(TooMany):
        await limited(world).login(entry("Ada@example.com"), "198.51.100.99")
    with pytest.raises(NotSignedIn):
        await limited(world).login(entry("bob@example.com"), "198.51.100.99")


async def test_a_client_is_one_for_all_addresses_that_it_tries(world: World) -> None:
    accounts = limited(world)
    for number in range(20):
        with pytest.raises(NotSignedIn):
            await accounts.login(entry(f"user{number}@example.com" if number % 2 else "no address"), "203.0.113.9")
    with pytest.raises(TooMany, match="20 in a minute"):
        await accounts.login(entry("another@example.com"), "203.0.113.9")
    with pytest.raises(NotSignedIn):
        await accounts.login(entry("another@example.com"), "203.0.113.8")


async def test_what_cannot_be_a_try_is_not_charged(world: World) -> None:
    accounts = limited(world)
    for _ in range(30):
        with pytest.raises(Problem, match="email"):
            await accounts.login({"password": "x"}, "203.0.113.9")
    with pytest.raises(NotSignedIn):
        await accounts.login(entry("ada@example.com"), "203.0.113.9")


async def test_sign_ups_are_charged_for_free_and_for_taken_addresses_alike(world: World) -> None:
    accounts = limited(world)
    await accounts.create_user("ada@example.com", PASSWORD, nickname="ada")
    for email in ("ada@example.com", "free@example.com"):
        for number in range(2):
            await accounts.signup({**entry(email, PASSWORD), "nickname": f"{email} {number}"}, "203.0.113.9")
        with pytest.raises(TooMany, match="2 in an hour"):
            await accounts.signup({**entry(email, PASSWORD), "nickname": "x"}, "203.0.113.8")
    for number in range(2):
        email = f"user{number}@example.com"
        await accounts.signup({**entry(email, PASSWORD), "nickname": f"n{number}"}, "203.0.113.9")
    with pytest.raises(TooMany, match="6 in an hour"):
        await accounts.signup({**entry("last@example.com", PASSWORD), "nickname": "y"}, "203.0.113.9")


async def test_refreshing_is_charged_to_the_client(world: World) -> None:
    accounts = limited(world)
    await accounts.create_user("ada@example.com", PASSWORD, nickname="ada")
    token = (await accounts.login(entry("ada@example.com", PASSWORD), "203.0.113.9")).tokens.refresh_token
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            await accounts.refresh({"refresh_token": "bsr_" + "x" * 43}, "203.0.113.9")
    token = (await accounts.refresh({"refresh_token": token}, "203.0.113.9")).refresh_token
    with pytest.raises(TooMany):
        await accounts.refresh({"refresh_token": token}, "203.0.113.9")
    await accounts.refresh({"refresh_token": token}, "203.0.113.8")


async def test_a_stolen_session_does_not_help_to_guess_the_password(world: World) -> None:
    accounts = limited(world)
    actor = Actor(await accounts.create_user("ada@example.com", PASSWORD, nickname="ada"))
    for _ in range(3):
        with pytest.raises(Problem, match="is not your password"):
            await accounts.change_password(actor, {"current_password": "guess" * 3, "new_password": "another one 1"})
    with pytest.raises(TooMany):
        await accounts.change_password(actor, {"current_password": PASSWORD, "new_password": "another one 1"})


async def test_a_limit_that_is_taken_away_is_away(world: World) -> None:
    accounts = limited(world, Limits(login_per_account="", login_per_client=""))
    for _ in range(30):
        with pytest.raises(NotSignedIn):
            await accounts.login(entry("ada@example.com"), "203.0.113.9")
