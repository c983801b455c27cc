"""Roles, `disabled`, the address and the id of an account are set by its keeper: by no route and under no rule."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backstay import App, Model, Rules, User, anyone
from backstay.api.http import UNSAFE
from backstay.plan import write
from backstay.plan.actor import Actor
from backstay.plan.ask import Update
from backstay.testing import Person, Trial
from tests.api.test_token_attacks import PASSWORD


class Member(User):
    """Accounts whose rules let everybody do everything."""

    motto: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


class Note(Model):
    """Refers to a member, so that there are ways from one to the other."""

    text: str = ""
    author: Member | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


GRABBED: dict[str, Any] = {"roles": ["admin"], "disabled": True, "email": "grabbed@example.com"}
CHOSEN = "01a20603-d2e4-7000-b5b5-3f12c022c0ff"


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    """The application."""
    async with Trial(App("club", models=[Member, Note])) as trial:
        yield trial


async def people(t: Trial) -> dict[str, tuple[Any, ...]]:
    """Who there is, with what only the keeper sets."""
    rows = await t.app.running.store.run("SELECT id, email, roles, disabled FROM members ORDER BY id", ())
    return {row[0]: tuple(row[1:]) for row in rows}


def bodies(path: str, person: Person, name: str) -> list[Any]:
    """Ways to smuggle a value into the body of a route."""
    grab = {name: GRABBED[name]}
    whole = [
        grab, {"motto": "x", **grab}, {f"{name}[0]": "admin"}, {f"user.{name}": GRABBED[name]},
        {name.upper(): GRABBED[name]},
        {"user": grab}, {"author": {"id": person.id, **grab}}, {"author": grab}, {"password": PASSWORD, **grab},
        {"email": "new@example.com", "password": PASSWORD, **grab}, {"motto": json.dumps(grab), "$set": grab},
    ]  # fmt: skip
    if path == "/api/batch":
        to = f"/api/members/{person.id}"
        whole = [[{"method": m, "path": to, "body": grab}] for m in ("PATCH", "PUT")]
        whole += [[{"method": "POST", "path": "/api/members", "body": {"email": "new@example.com", **grab}}]]
        whole += [[{"method": "POST", "path": "/api/notes", "body": {"author": {"id": person.id, **grab}}}]]
    return [*whole, [grab]] if name != "email" else whole


@pytest.mark.parametrize("name", GRABBED)
@pytest.mark.parametrize("who", ["nobody", "owner", "admin", "key"])
async def test_no_route_sets_them(t: Trial, name: str, who: str) -> None:
    person = await t.user("ada@example.com", password=PASSWORD)
    admin = await t.user("root@example.com", roles=["admin", "staff"])
    made = await t.app.running.accounts.keys.make(Actor(person.id), {"name": "x", "scopes": ["write", "actions"]})
    as_ = {"nobody": None, "owner": person, "admin": admin, "key": made.text}[who]
    before = await people(t)
    for route in t.app.running.router.routes:
        for method in UNSAFE & set(route.handlers) - {"DELETE"}:
            for body in bodies(route.path, person, name):
                path = route.path.replace("{id}", person.id)
                answer = await t.request(method, path, body, as_=as_)
                assert answer.status < 500, (method, path, body, answer.body)
                if route.path == "/api/auth/logout" and who in ("owner", "admin"):
                    as_ = await t.sign_in(person if who == "owner" else admin)
    after = await people(t)
    assert {key: after[key] for key in before} == before
    for key in set(after) - set(before):  # made by a sign-up that had nothing to smuggle, or by the open rule
        email, roles, disabled = after[key]
        assert (roles, bool(disabled)) == ("[]", False)
        assert email != "grabbed@example.com" or name == "email"


@pytest.mark.parametrize("name", ["roles", "disabled"])
async def test_a_field_left_open_would_be_caught(t: Trial, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: what only the server sets is taken from a request."""
    closed = write._closed
    monkeypatch.setattr(write, "_closed", lambda resolver, field: field.name != name and closed(resolver, field))
    with pytest.raises((AssertionError, LookupError)):
        await test_no_route_sets_them(t, name, "owner")


@pytest.mark.parametrize("field", ["id", "created_at", "updated_at", "roles", "disabled", "is_admin", "_version"])
async def test_a_sign_up_opens_an_account_like_any_other(t: Trial, field: str) -> None:
    body = {"email": "eve@example.com", "password": PASSWORD, field: CHOSEN if field == "id" else GRABBED.get(field, 1)}
    answer = await t.post("/api/auth/signup", body)
    assert answer.code in ("invalid", "unknown_field")
    assert await people(t) == {}


async def test_an_id_can_be_chosen_for_no_account_by_signing_up(t: Trial) -> None:
    (await t.post("/api/auth/signup", {"email": "eve@example.com", "password": PASSWORD})).ok()
    assert CHOSEN not in await people(t)


async def test_nothing_but_the_command_line_and_own_code_makes_an_administrator(t: Trial) -> None:
    key = await t.app.running.accounts.create_user("root@example.com", PASSWORD, ["admin"])
    assert (await people(t))[key] == ("root@example.com", '["admin"]', 0)
    await t.app.running.accounts.set_roles("root@example.com", [])
    async with t.transaction() as tx:
        await tx.write(Update("Member", key, {"roles": ["staff"]}))
    assert (await people(t))[key][1] == '["staff"]'


async def test_own_code_by_the_rules_of_somebody_cannot_give_roles_either(t: Trial) -> None:
    admin = await t.user("root@example.com", roles=["admin"])
    async with t.transaction(as_=admin) as tx:
        with pytest.raises(Exception, match="roles"):
            await tx.write(Update("Member", admin.id, {"roles": ["king"]}))
