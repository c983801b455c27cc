"""Every way in, read from the router: what no rule allows is denied, and what is hidden is not there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backstay.api.http import UNSAFE
from backstay.plan.actor import Actor
from backstay.settings import Settings
from backstay.testing import Answer, Person, Trial
from tests.security.conftest import Board, Diary, Page, Vault, make_app

PASSWORD = "correct horse battery"
NEVER = "01a20603-d2e4-7000-b5b5-3f12c022c0ce"
PUBLIC = {"/healthz", "/openapi.json", "/docs", "/docs/{file}"}


async def everybody(t: Trial) -> dict[str, Any]:
    """Somebody of each sort who may ask."""
    ada = await t.user("ada@example.com", password=PASSWORD)
    made = await t.app.running.accounts.keys.make(Actor(ada.id), {"name": "x", "scopes": ["write", "actions"]})
    return {
        "nobody": None, "somebody": ada, "an administrator": await t.user("root@example.com", roles=["admin", "staff"]),
        "a key": made.text,
    }  # fmt: skip


async def test_what_no_rule_allows_is_denied_to_everybody_by_every_way(t: Trial) -> None:
    async with t.transaction() as tx:
        vault = await tx.create(Vault(name="gold"))
    ways: list[tuple[str, str, Any]] = [("POST", "/api/closed", {})]
    for route in t.app.running.router.routes:
        if route.path.startswith("/api/vaults"):
            path = route.path.replace("{id}", str(vault.id))
            ways += [(method, path, {"name": "x"} if method in UNSAFE else None) for method in route.handlers]
    assert len(ways) == 11
    ways += [("POST", "/api/vaults", [{"name": "x"}]), ("GET", f"/api/vaults?name=gold&id={vault.id}", None),
             ("GET", "/api/vaults/aggregate?count=*", None)]  # fmt: skip
    batches: list[Any] = [
        {"method": "POST", "path": "/api/vaults", "body": {"name": "x"}},
        {"method": "PATCH", "path": f"/api/vaults/{vault.id}", "body": {"name": "x"}},
        {"method": "PUT", "path": f"/api/vaults/{vault.id}", "body": {"name": "x", "size": 1}},
        {"method": "DELETE", "path": f"/api/vaults/{vault.id}"},
    ]
    ways += [("POST", "/api/batch", [one]) for one in batches]
    for who, as_ in (await everybody(t)).items():
        for method, path, body in ways:
            answer = await t.request(method, path, body, as_=as_)
            assert answer.status in (401, 403), (who, method, path, answer.status, answer.body)
            assert b"gold" not in answer.body
    async with t.transaction() as tx:
        assert [(one.name, one.size) for one in await tx.find(Vault)] == [("gold", 0)]


@pytest.mark.parametrize("query", [
    "expand=vault", "vault.name=gold", "fields=vault.name", "sort=vault.name", 'where={"vault":{"name":{"eq":"gold"}}}',
])  # fmt: skip
async def test_nothing_leads_into_what_nobody_may_read(t: Trial, query: str) -> None:
    async with t.transaction() as tx:
        vault = await tx.create(Vault(name="gold"))
    for as_ in (await everybody(t)).values():
        answer = await t.get(f"/api/diaries?{query}", as_=as_)
        assert answer.status in (400, 401, 403) or answer.json["data"] == [], answer.body
        assert b"gold" not in answer.body
        refused = await t.post("/api/diaries", {"title": "x", "vault": str(vault.id)}, as_=as_)
        absent = await t.post("/api/diaries", {"title": "x", "vault": NEVER}, as_=as_)
        assert refused.status in (401, 403, 422)
        assert told(refused, str(vault.id)) == told(absent, NEVER)


def told(answer: Answer, key: str) -> str:
    """What an answer says, but for the id that was asked for and the number of the request."""
    heads = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
    body = answer.json if answer.body else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    return json.dumps([answer.status, heads, body], sort_keys=True).replace(key, "THE ID")


def places(t: Trial, key: str) -> list[tuple[str, str, Any, dict[str, str]]]:
    """Every place where the id of a diary may be named: of each route, each body and each parameter."""
    found: list[tuple[str, str, Any, dict[str, str]]] = []
    for route in t.app.running.router.routes:
        if "{id}" in route.path:
            for method in route.handlers:
                if method != "PUT" or not route.path.startswith("/api/diaries"):  # see residual channels
                    body = {"title": "x"} if method in UNSAFE else None
                    found.append((method, route.path.replace("{id}", key), body, {}))
                    found.append((method, route.path.replace("{id}", key), body, {"if-match": '"1-abc"'}))
    for path in ("/api/pages", "/api/boards"):
        name = "diary" if path == "/api/pages" else "about"
        found += [
            ("GET", f"{path}?{name}={key}", None, {}), ("GET", f"{path}?{name}.id={key}", None, {}),
            ("GET", f'{path}?where={{"{name}":{{"id":{{"in":["{key}"]}}}}}}', None, {}),
            ("GET", f"{path}/aggregate?count=*&{name}={key}", None, {}),
            ("POST", path, {"text": "x", name: key}, {}), ("POST", path, [{"text": "x", name: key}], {}),
            ("POST", "/api/batch", [{"method": "POST", "path": path, "body": {"text": "x", name: key}}], {}),
        ]  # fmt: skip
    asked = ("?id=", "?id[in]=", "?count=exact&id=", "?pages.diary=", "?expand=pages,owner&id=")
    found += [("GET", f"/api/diaries{query}{key}", None, {}) for query in asked]
    found += [
        ("POST", "/api/batch", [{"method": method, "path": f"/api/diaries/{key}", "body": {"title": "x"}}], {})
        for method in ("PATCH", "DELETE")
    ]
    return found


async def hidden(t: Trial) -> tuple[Person, str]:
    """Eve, and the diary of Ada."""
    ada, eve = await t.user("ada@example.com"), await t.user("eve@example.com")
    diary = (await t.post("/api/diaries", {"title": "mine"}, as_=ada)).ok().json["id"]
    (await t.post("/api/pages", {"diary": diary, "text": "dear diary"}, as_=ada)).ok()
    return eve, str(diary)


async def differences(t: Trial, eve: Person, diary: str) -> list[str]:
    """Where somebody can tell a record that is hidden from them from one that never was."""
    found = []
    for as_ in (None, eve):
        for there, absent in zip(places(t, diary), places(t, NEVER), strict=True):
            answers = [await t.request(m, p, body, as_=as_, headers=heads) for m, p, body, heads in (there, absent)]
            assert all(answer.status < 500 for answer in answers), (there, answers)
            if told(answers[0], diary) != told(answers[1], NEVER):
                found.append(f"{there[0]} {there[1]}")
    return found


async def test_a_hidden_record_is_answered_as_one_that_never_was_by_every_way(t: Trial) -> None:
    eve, diary = await hidden(t)
    assert len(places(t, diary)) > 40
    assert await differences(t, eve, diary) == []
    async with t.transaction() as tx:
        assert [one.title for one in await tx.find(Diary)] == ["mine"]
        assert [one.text for one in await tx.find(Page)] == ["dear diary"]
        assert {board.about for board in await tx.find(Board)} <= {None}


async def test_only_in_development_is_it_told_why(t: Trial) -> None:
    """Otherwise whoever is refused would be told what is there."""
    for env, told_why in (("production", False), ("development", True)):
        app = make_app()
        settings = Settings(database_url="sqlite://", secret_key="x" * 32, log_level="error", env=env)
        running = await app.start(settings, extend=True)
        assert ((running.front.explain is not None), running.front.timing) == (told_why, told_why)
        await app.stop()


async def test_a_rule_left_out_would_be_caught(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: who may not change a record is told so, as if they could see it."""
    from backstay.errors import Denied, NotFound

    eve, diary = await hidden(t)
    real = NotFound.__init__

    def telling(self: NotFound, detail: str = "", **values: Any) -> None:
        real(self, detail, **values)
        if not detail:
            raise Denied("You may not.")

    request = t.request

    async def asked(method: str, path: str, *rest: Any, **values: Any) -> Answer:
        with monkeypatch.context() as patch:
            if diary in path:
                patch.setattr(NotFound, "__init__", telling)
            return await request(method, path, *rest, **values)

    monkeypatch.setattr(t, "request", asked)
    assert len(await differences(t, eve, diary)) > 3
