"""Opening an account, signing in and out, and what the command line does, on every database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backstay import App
from backstay.auth.password import Passwords
from backstay.errors import BadRequest, Conflict, Denied, Invalid, NotFound, NotSignedIn, Problem
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.limits import Limits
from backstay.telemetry.observation import EVENTS
from backstay.testing import Trial
from tests.auth.conftest import Member, Team, World

ADA = {"email": "ada@example.com", "password": "correct horse", "nickname": "ada"}
ENTRY = {"email": "ada@example.com", "password": "correct horse"}


async def outcome(awaitable: Any) -> tuple[Any, ...]:
    """All that a caller can tell of an answer."""
    try:
        return ("done", await awaitable)
    except Problem as problem:
        return (type(problem), problem.status, problem.code, problem.detail, problem.errors, problem.headers)


def codes(problem: Problem) -> list[tuple[str, str]]:
    return [(error.path, error.code) for error in problem.errors]


async def test_sign_up_log_in_ask_and_log_out(world: World) -> None:
    assert await world.accounts.signup({**ADA, "age": 36}) is None
    entered = await world.accounts.login(ENTRY)
    user = msgspec.json.decode(entered.user)
    assert {k: user[k] for k in ("id", "email", "nickname", "age", "roles", "credit")} == {
        "id": entered.user_id, "email": "ada@example.com", "nickname": "ada", "age": 36, "roles": [], "credit": 0,
    }  # fmt: skip
    assert "disabled" not in user
    assert entered.tokens.expires_in == 15 * 60
    actor = await world.accounts.identify(entered.access_token)
    assert actor == Actor(entered.user_id, frozenset(), False, actor.session)
    assert await world.accounts.me(actor) == entered.user
    await world.accounts.logout(entered.access_token)
    with pytest.raises(NotSignedIn, match="unknown, ended or expired"):
        await world.accounts.identify(entered.access_token)
    with pytest.raises(NotSignedIn):
        await world.accounts.logout(entered.access_token)


async def test_me_is_for_the_signed_in(world: World) -> None:
    with pytest.raises(NotSignedIn):
        await world.accounts.me(ANONYMOUS)


# Nobody learns whether an address has an account.


async def failures(world: World) -> list[tuple[tuple[Any, ...], list[tuple[str, str]], int]]:
    """Each way a log-in fails: its answer, the hashing it did, the statements it ran."""
    await world.accounts.signup(ADA)
    await world.accounts.signup({**ADA, "email": "bob@example.com", "nickname": "bob"})
    await world.accounts.disable("bob@example.com")
    await world.add(Member(email="eve@example.com", nickname="eve"))
    seen = []
    for entry in (
        {**ENTRY, "password": "wrong horse"},
        {**ENTRY, "email": "nobody@example.com"},
        {**ENTRY, "email": "no address"},
        {**ENTRY, "email": "ada@example.com\x00"},
        {**ENTRY, "password": "correct horse\x00"},
        {**ENTRY, "password": "x" * 1_000},
        {**ENTRY, "password": ""},
        {**ENTRY, "email": "bob@example.com"},
        {**ENTRY, "email": "eve@example.com"},
    ):
        world.hasher.done.clear()
        before = world.engine.store.statements
        answer = await outcome(world.accounts.login(entry))
        seen.append((answer, list(world.hasher.done), world.engine.store.statements - before))
    return seen


async def test_every_failed_log_in_is_the_same_answer_after_the_same_work(world: World) -> None:
    said = "The email address or the password is wrong."
    expected = ((NotSignedIn, 401, "invalid_credentials", said, (), {}), [("verify", "8 1 1")], 1)
    assert await failures(world) == [expected] * 9


async def test_a_log_in_without_the_dummy_hash_would_be_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Passwords.verify

    async def lazy(self: Passwords, known: str | None, password: str) -> bool:
        return known is not None and await whole(self, known, password)

    monkeypatch.setattr(Passwords, "verify", lazy)
    assert len({tuple(done) for _, done, _ in await failures(world)}) == 2


async def test_what_must_not_tell_who_has_an_account_is_blurred(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed log-ins and every sign-up, whatever becomes of it; and nobody who is let in waits."""
    blurred: list[str] = []

    async def blur(self: Passwords) -> None:
        blurred.append(what)

    monkeypatch.setattr(Passwords, "blur", blur)
    what = "free"
    await world.accounts.signup(ADA)
    what = "taken"
    await world.accounts.signup({**ADA, "nickname": "b"})
    for said, email in (("another value", "new@example.com"), ("another value and taken", ADA["email"])):
        what = said
        with pytest.raises(Conflict):
            await world.accounts.signup({**ADA, "email": email})
    what = "let in"
    await world.accounts.login(ENTRY)
    for said, wrong in (("wrong password", {"password": "wrong horse"}), ("nobody", {"email": "nobody@example.com"})):
        what = said
        await outcome(world.accounts.login({**ENTRY, **wrong}))
    assert blurred == ["free", "taken", "another value", "another value and taken", "wrong password", "nobody"]


async def test_every_failed_log_in_asks_the_same_of_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only as much: the same text, and no transaction."""
    texts: list[str] = []
    read, begin = world.engine.store.read, world.engine.store.transaction

    async def reading(statement: Any, values: Any) -> Any:
        texts.append(statement.text)
        return await read(statement, values)

    def beginning() -> Any:
        texts.append("BEGIN")
        return begin()

    await failures(world)
    monkeypatch.setattr(world.engine.store, "read", reading)
    monkeypatch.setattr(world.engine.store, "transaction", beginning)
    for email in ("ada@example.com", "nobody@example.com", "bob@example.com", "eve@example.com", "none"):
        await outcome(world.accounts.login({"email": email, "password": "wrong horse"}))
    assert len(texts) == 5
    assert len(set(texts)) == 1


async def test_a_sign_up_with_a_taken_address_is_the_same_answer_after_the_same_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much hashing, one commit, and as many round trips to a database that is one away."""
    begin, begun = world.engine.store.transaction, []

    @asynccontextmanager
    async def beginning() -> Any:
        begun.append(True)
        async with begin() as writing:
            yield writing
        begun.append(False)

    monkeypatch.setattr(world.engine.store, "transaction", beginning)
    seen, trips = [], []
    for nickname in ("first", "second"):
        world.hasher.done.clear()
        begun.clear()
        before = world.engine.store.statements
        answer = await outcome(world.accounts.signup({**ADA, "nickname": nickname}))
        seen.append((answer, list(world.hasher.done), begun.count(False)))
        trips.append(world.engine.store.statements - before + 2 * begun.count(True))
    assert seen == [(("done", None), [("hash", "8 1 1")], 1)] * 2
    assert abs(trips[0] - trips[1]) <= (0 if world.engine.store.dialect.name == "postgres" else 1)
    assert await world.rows("members", "email, nickname, _version") == [("ada@example.com", "first", 1)]
    assert len(await world.rows("account_credentials")) == 1
    assert len(await world.rows("account_knocks")) == 1


async def test_who_has_an_address_may_be_deleted_while_it_is_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.accounts.signup(ADA)
    ((owner,),) = await world.rows("members", "id")
    await world.engine.store.run("DELETE FROM members", ())

    async def too_late(address: str) -> str:
        return str(owner)

    monkeypatch.setattr(world.accounts, "_find", too_late)
    assert await world.accounts.signup(ADA) is None
    assert await world.rows("members") == []


async def test_a_taken_address_keeps_its_password(world: World) -> None:
    await world.accounts.signup(ADA)
    await world.accounts.signup({**ADA, "password": "battery staple", "nickname": "b"})
    assert (await outcome(world.accounts.login({**ENTRY, "password": "battery staple"})))[2] == "invalid_credentials"
    assert (await world.accounts.login(ENTRY)).user_id


@pytest.mark.parametrize("email", ["ada@example.com", "new@example.com"])
async def test_another_value_that_is_taken_is_said_whether_or_not_the_address_is(world: World, email: str) -> None:
    await world.accounts.signup(ADA)
    await world.accounts.signup({**ADA, "email": "bob@example.com", "nickname": "bob"})
    with pytest.raises(Conflict) as caught:
        await world.accounts.signup({**ADA, "email": email, "nickname": "bob"})
    assert codes(caught.value) == [("nickname", "not_unique")]
    assert await world.rows("members", "email") == [("ada@example.com",), ("bob@example.com",)]


@pytest.mark.parametrize("email", ["ada@example.com", "new@example.com"])
async def test_a_hook_refuses_a_taken_address_like_a_free_one(world: World, email: str) -> None:
    await world.accounts.signup(ADA)
    seen: list[str] = []

    async def only_short(tx: Any, member: Member) -> None:
        seen.append(member.email)
        assert tx.me == member
        if len(member.nickname) > 5:
            raise Denied("Too long a nickname.")

    world.hooks.add("after_create", "Member", only_short)
    with pytest.raises(Denied, match="Too long a nickname"):
        await world.accounts.signup({**ADA, "email": email, "nickname": "longer"})
    assert seen == [email]
    assert await world.rows("members", "email, _version") == [("ada@example.com", 1)]


async def test_two_sign_ups_at_once_make_one_account(world: World) -> None:
    bodies = [{**ADA, "nickname": f"n{number}"} for number in range(6)]
    assert await asyncio.gather(*(world.accounts.signup(body) for body in bodies)) == [None] * 6
    assert await world.rows("members", "email") == [("ada@example.com",)]
    assert len(await world.rows("account_credentials")) == 1


async def test_who_comes_second_by_a_moment_is_answered_like_everybody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.accounts.signup(ADA)

    async def too_early(address: str) -> None:
        return None

    monkeypatch.setattr(world.accounts, "_find", too_early)
    assert await world.accounts.signup({**ADA, "nickname": "second"}) is None
    with pytest.raises(Conflict) as caught:
        await world.accounts.signup({**ADA, "email": "eve@example.com"})
    assert codes(caught.value) == [("nickname", "not_unique")]
    assert await world.rows("members", "nickname") == [("ada",)]


@pytest.mark.parametrize("twin", [" ADA@EXAMPLE.COM ", "\uff41da@example.com", "ada@ex\uff41mple.com"])
async def test_a_twin_of_an_address_is_that_address(world: World, twin: str) -> None:
    await world.accounts.signup(ADA)
    assert (await world.accounts.login({**ENTRY, "email": twin})).user_id
    await world.accounts.signup({**ADA, "email": twin, "nickname": "twin"})
    assert await world.rows("members", "email") == [("ada@example.com",)]


async def test_own_code_stores_the_canonical_form_too(world: World) -> None:
    await world.add(Member(email="Eve@Example.COM", nickname="eve"))
    with pytest.raises(Conflict):
        await world.add(Member(email="eve@example.com", nickname="e"))
    with pytest.raises(Invalid) as caught:
        await world.add(Member(email="eve\u200b@example.com", nickname="e"))
    assert codes(caught.value) == [("email", "bad_character")]
    assert await world.rows("members", "email") == [("eve@example.com",)]


# What a sign-up takes.


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"roles": ["admin"]}, [("roles", "read_only")]),
        ({"id": "00000000-0000-7000-8000-000000000999"}, [("id", "read_only")]),
        ({"created_at": "2020-01-01T00:00:00Z"}, [("created_at", "read_only")]),
        ({"credit": 5}, [("credit", "read_only")]),
        ({"motto": "x"}, [("motto", "read_only")]),
        ({"age": "old", "nickname": None}, [("nickname", "required"), ("age", "wrong_type")]),
        ({"email": "nobody", "password": "short", "age": 1.5},
         [("age", "wrong_type"), ("email", "bad_format"), ("password", "too_short")]),
        ({"email": None, "password": 12345678}, [("email", "wrong_type"), ("password", "wrong_type")]),
        ({"password": "Password1"}, [("password", "too_common")]),
        ({"password": "Ada@Example.com"}, [("password", "too_common")]),
        ({"team": "00000000-0000-7000-8000-000000000999"}, [("team", "not_found")]),
    ],
)  # fmt: skip
async def test_what_only_the_server_sets_and_what_is_wrong_is_refused(
    world: World, sent: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    with pytest.raises(Invalid) as caught:
        await world.accounts.signup({**ADA, **sent})
    assert codes(caught.value) == said
    assert world.hasher.done == []
    assert await world.rows("members") == []


@pytest.mark.parametrize("name", ["disabled", "is_admin", "password_hash", "user", "nicknam"])
async def test_a_field_that_does_not_exist_for_the_new_user_is_unknown(world: World, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await world.accounts.signup({**ADA, name: False})
    assert (caught.value.code, codes(caught.value)) == ("unknown_field", [(name, "unknown_field")])
    assert await world.rows("members") == []


async def test_everything_that_is_missing_is_said_at_once(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        await world.accounts.signup({})
    assert codes(caught.value) == [("nickname", "required"), ("email", "required"), ("password", "required")]


async def test_a_new_user_refers_only_to_what_they_can_see(world: World) -> None:
    seen = await world.add(Team(name="open"))
    hidden = await world.add(Team(name="hidden", secret=True))
    with pytest.raises(Invalid) as caught:
        await world.accounts.signup({**ADA, "team": str(hidden.id)})
    assert codes(caught.value) == [("team", "not_found")]
    await world.accounts.signup({**ADA, "team": str(seen.id)})
    assert msgspec.json.decode((await world.accounts.login(ENTRY)).user)["team"] == str(seen.id)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, [("email", "required"), ("password", "required")]),
        ({"email": 1, "password": ["x"]}, [("email", "wrong_type"), ("password", "wrong_type")]),
        ({"email": "ada@example.com", "password": None}, [("password", "wrong_type")]),
        ({**ENTRY, "pasword": "x"}, [("pasword", "unknown_field")]),
        ({**ENTRY, "cookie": True}, [("cookie", "unknown_field")]),
    ],
)
async def test_a_log_in_that_is_no_log_in_is_refused(
    world: World, body: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    with pytest.raises((Invalid, BadRequest)) as caught:
        await world.accounts.login(body)
    assert codes(caught.value) == said


# The command line.


async def test_the_command_line_makes_the_first_administrator(world: World) -> None:
    key = await world.accounts.create_user("Root@Example.com", "correct horse", ["admin", "staff"], nickname="root")
    entered = await world.accounts.login({**ENTRY, "email": "root@example.com"})
    assert entered.user_id == key
    assert (await world.accounts.identify(entered.access_token)).roles == {"admin", "staff"}
    with pytest.raises(Conflict) as taken:
        await world.accounts.create_user("root@example.com", "correct horse", nickname="r")
    assert codes(taken.value) == [("email", "not_unique")]
    with pytest.raises(Invalid) as wrong:
        await world.accounts.create_user("root", "short", nickname="r")
    assert codes(wrong.value) == [("email", "bad_format"), ("password", "too_short")]


async def test_an_account_without_a_password_cannot_be_entered(world: World) -> None:
    await world.accounts.create_user("ada@example.com", None, nickname="ada")
    assert (await outcome(world.accounts.login(ENTRY)))[2] == "invalid_credentials"


async def test_roles_and_disabling_are_seen_at_once_here(world: World) -> None:
    await world.accounts.signup(ADA)
    token = (await world.accounts.login(ENTRY)).access_token
    await world.accounts.identify(token)
    await world.accounts.set_roles("ADA@example.com", ["staff", "staff"])
    assert (await world.accounts.identify(token)).roles == {"staff"}
    await world.accounts.disable("ada@example.com")
    with pytest.raises(NotSignedIn):
        await world.accounts.identify(token)
    await world.accounts.disable("ada@example.com", False)
    with pytest.raises(NotSignedIn):
        await world.accounts.identify(token)
    assert (await world.accounts.identify((await world.accounts.login(ENTRY)).access_token)).roles == {"staff"}
    for change in (world.accounts.set_roles("x@example.com", []), world.accounts.disable("x@example.com")):
        with pytest.raises(NotFound):
            await change


async def test_whoever_disables_an_account_its_tokens_end_within_a_second(world: World) -> None:
    await world.accounts.signup(ADA)
    entered = await world.accounts.login(ENTRY)
    await world.accounts.identify(entered.access_token)
    await world.engine.store.run("UPDATE members SET disabled = (1 = 1)", ())
    world.pass_time(seconds=1.01)
    with pytest.raises(NotSignedIn):
        await world.accounts.identify(entered.access_token)


async def test_a_password_hashed_with_other_parameters_is_hashed_again(world: World) -> None:
    await world.accounts.signup(ADA)
    ((old,),) = await world.rows("account_credentials", "password_hash")
    world.hasher._parameters = Passwords(memory_kib=16, rounds=1)._hasher._parameters
    await world.accounts.login(ENTRY)
    ((new,),) = await world.rows("account_credentials", "password_hash")
    assert (old.split("$")[3], new.split("$")[3]) == ("m=8,t=1,p=1", "m=16,t=1,p=1")
    await world.accounts.login(ENTRY)
    assert await world.rows("account_credentials", "password_hash") == [(new,)]


async def test_nothing_is_held_while_hashing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    open_now = 0
    transaction = world.engine.store.transaction

    def watched() -> Any:
        nonlocal open_now
        open_now += 1
        return transaction()

    work = Passwords._work

    async def alone(self: Passwords, job: Any) -> Any:
        assert open_now == 0
        return await work(self, job)

    monkeypatch.setattr(world.engine.store, "transaction", watched)
    monkeypatch.setattr(Passwords, "_work", alone)
    await world.accounts.signup(ADA)
    assert open_now == 1
    open_now = 0
    await world.accounts.login(ENTRY)
    assert open_now == 1


async def test_deleting_a_user_takes_passwords_and_sessions_along(world: World) -> None:
    await world.accounts.signup(ADA)
    token = (await world.accounts.login(ENTRY)).access_token
    await world.engine.store.run("DELETE FROM members", ())
    assert [await world.rows(t) for t in ("account_credentials", "account_sign_ins", "account_tokens")] == [[]] * 3
    world.pass_time(seconds=2)
    with pytest.raises(NotSignedIn):
        await world.accounts.identify(token)


async def test_secrets_are_in_no_text_of_ours(world: World) -> None:
    await world.accounts.signup(ADA)
    entered = await world.accounts.login(ENTRY)
    tables = ("members", "account_credentials", "account_sign_ins", "account_tokens")
    stored = [await world.rows(table) for table in tables]
    for secret in ("correct horse", entered.access_token[4:], entered.tokens.refresh_token[4:]):
        assert secret not in repr(entered)
        assert secret not in repr(stored)
    assert entered.access_token.startswith("bst_")
    assert world.accounts.sessions.lifetime == timedelta(days=30)


@pytest.mark.parametrize(
    "limits",
    [Limits(max_page=50), Limits(max_page=1), Limits(max_depth=1), Limits(max_nodes=2), Limits(max_conditions=2),
     Limits(max_path=0), Limits(max_sort=1)],
)  # fmt: skip
async def test_small_limits_for_callers_do_not_shut_the_accounts(limits: Limits) -> None:
    entry = {"email": "ada@example.com", "password": "correct horse"}
    async with Trial(App("small", models=[], limits=limits)) as t:
        (await t.post("/api/auth/signup", entry)).ok()
        first, second = [(await t.post("/api/auth/login", entry)).ok().json for _ in range(2)]
        pair = (await t.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]})).ok().json
        ada = pair["access_token"]
        assert len((await t.get("/api/auth/sessions", as_=ada)).ok().json["data"]) == 2
        (await t.post("/api/auth/keys", {"name": "x", "scopes": ["read"]}, as_=ada)).ok()
        assert len((await t.get("/api/auth/keys", as_=ada)).ok().json["data"]) == 1
        changed = {"current_password": entry["password"], "new_password": "another horse"}
        (await t.post("/api/auth/password", changed, as_=ada)).ok()
        (await t.get("/api/auth/sessions", as_=second["access_token"])).refused("invalid_token")
        t.clock.advance(days=100)
        assert (await t.app.running.accounts.purge.everything()).sessions == 2


class Told:
    """What an operator was told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, event: str, **values: Any) -> None:
        assert {*values} <= {*EVENTS[event].fields}
        self.events.append((event, values))


async def test_operators_are_told_who_came_in_and_who_did_not(world: World) -> None:
    told = world.accounts._journal = Told()
    await world.accounts.signup(ADA)
    entered = await world.accounts.login(ENTRY, "203.0.113.9")
    for entry in ({**ENTRY, "password": "wrong horse"}, {"email": "secret-4711@example.com", "password": "secret"}):
        with pytest.raises(NotSignedIn):
            await world.accounts.login(entry, "203.0.113.9")
    await world.accounts.disable("ada@example.com")
    with pytest.raises(NotSignedIn):
        await world.accounts.login(ENTRY)
    assert told.events == [
        ("signed_in", {"user": entered.user_id, "session": entered.tokens.session, "client": "203.0.113.9"}),
        ("sign_in_refused", {"why": "credentials", "user": entered.user_id, "client": "203.0.113.9"}),
        ("sign_in_refused", {"why": "credentials", "user": "", "client": "203.0.113.9"}),
        ("sign_in_refused", {"why": "disabled", "user": entered.user_id, "client": ""}),
    ]


async def test_operators_are_told_of_a_refresh_token_that_somebody_else_has(world: World) -> None:
    told = world.accounts._journal = Told()
    await world.accounts.signup(ADA)
    entered = await world.accounts.login(ENTRY)
    body = {"refresh_token": entered.tokens.refresh_token}
    await world.accounts.refresh(body)
    world.pass_time(seconds=5)
    await world.accounts.refresh(body)  # two tabs at once
    assert [name for name, _ in told.events] == ["signed_in"]
    world.pass_time(seconds=6)
    with pytest.raises(NotSignedIn):
        await world.accounts.refresh(body, "203.0.113.9")
    assert told.events[1:] == [
        ("token_reused", {"user": entered.user_id, "session": entered.tokens.session, "client": "203.0.113.9"})
    ]


async def test_operators_are_told_of_too_many_tries() -> None:
    async with Trial(App("shop", models=[])) as t:
        told = t.app.running.accounts._journal = Told()
        refused = []
        while not refused or refused[-1].status == 401:
            refused.append(await t.post("/api/auth/login", {"email": "ada@example.com", "password": "wrong horse"}))
        assert refused[-1].code == "too_many_requests"
        assert [values["why"] for _, values in told.events] == ["credentials"] * (len(refused) - 1) + ["too_many"]
