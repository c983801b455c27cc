"""Whatever is brought instead of a token is refused with the same code, through every route, and does nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from hmac import digest as hmac
from typing import Any

import pytest

from backstay import App, Context, Model, Rules, User, anyone, signed_in
from backstay.api.http import UNSAFE
from backstay.auth import token as token_module
from backstay.auth.session import Sessions
from backstay.plan.actor import Actor
from backstay.testing import Person, Trial

PASSWORD = "correct horse battery"
HOW_IT_IS = {"/healthz", "/readyz", "/metrics"}
"""What tells how the process is asks nobody who they are; its operators have a token of another kind."""
UNLIKE = {"x-request-id", "content-length", "server-timing"}
SECRET = b"only for tests, known to everybody"
"""What every trial has for its secret, so that a token signed with it is as good as a forger could make one."""


class Note(Model):
    """Something that anybody may read and write."""

    text: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


def make_app() -> App:
    """An application whose routes nearly all are open to everybody."""
    app = App("notes", models=[Note])

    @app.action("POST /api/open", allow=anyone)
    async def opened(ctx: Context) -> int:
        return 1

    @app.action("GET /api/closed", allow=signed_in)
    async def closed(ctx: Context) -> int:
        return 1

    return app


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    """The application, with Ada."""
    async with Trial(make_app()) as trial:
        yield trial


def part(value: Any) -> str:
    """A part of a JWT."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def jwt(header: dict[str, Any], claims: dict[str, Any], key: bytes | None) -> str:
    """A JSON Web Token, signed with HMAC or not at all."""
    body = f"{part(header)}.{part(claims)}"
    return f"{body}.{part(hmac(key, body.encode(), 'sha256')) if key is not None else ''}"


async def attempts(t: Trial) -> dict[str, str]:
    """Everything that somebody may bring in the place of an access token, by what it is."""
    accounts = t.app.running.accounts
    people = {name: await t.user(f"{name}@example.com", password=PASSWORD) for name in ("ada", "bob", "eve", "old")}

    async def pair(person: Person) -> dict[str, str]:
        entry = {"email": person.email, "password": PASSWORD}
        found: dict[str, str] = (await t.post("/api/auth/login", entry)).ok().json
        return found

    async def key(person: Person, end: str | None = None) -> tuple[str, str]:
        wanted = {"name": "x", "scopes": ["write", "actions"], "expires_at": end}
        made = await accounts.keys.make(Actor(person.id), wanted)
        return made.key.id, made.text

    soon = t.clock().replace(minute=30).isoformat()
    expired = [(await pair(people["old"]))["access_token"], (await key(people["old"], soon))[1]]
    t.clock.advance(days=40)
    ada = await pair(people["ada"])
    out = await pair(people["ada"])
    await t.post("/api/auth/logout", as_=out["access_token"])
    shut, shut_key = await pair(people["bob"]), (await key(people["bob"]))[1]
    await accounts.disable("bob@example.com")
    gone, gone_key = await pair(people["eve"]), (await key(people["eve"]))[1]
    async with t.transaction() as tx:
        await tx.delete(await tx.get(User, people["eve"].id))
    revoked = await key(people["ada"])
    await accounts.keys.revoke(Actor(people["ada"].id), revoked[0])
    good, good_key = ada["access_token"], (await key(people["ada"]))[1]
    claims = {"sub": people["ada"].id, "roles": ["admin"], "exp": 9_999_999_999, "iat": 0}
    return {
        "made up": "bst_" + "a" * 43, "a made-up key": "bsk_" + "a" * 43, "expired": expired[0],
        "an expired key": expired[1], "signed out": out["access_token"], "of a disabled account": shut["access_token"],
        "a key of a disabled account": shut_key, "of a deleted account": gone["access_token"],
        "a key of a deleted account": gone_key, "a revoked key": revoked[1], "a refresh token": ada["refresh_token"],
        "a refresh token renamed": "bst_" + ada["refresh_token"][4:], "a key renamed": "bst_" + good_key[4:],
        "an access token renamed": "bsk_" + good[4:], "without its prefix": good[4:], "one letter other":
        good[:-1] + ("A" if good[-1] != "A" else "B"), "one letter more": good + "A", "one letter less": good[:-1],
        "twice": good + good, "upper case": "BST_" + good[4:], "with a space inside": good[:20] + " " + good[20:],
        "with another after a comma": f"{good},{good}", "its hash": "bst_" + sha256(good.encode()).hexdigest()[:43],
        "its whole hash": sha256(good.encode()).hexdigest(), "an id of a user": people["ada"].id, "nothing": " ",
        "a NUL": good + "\x00", "not ASCII": "bst_" + "é" * 43, "SQL": "bst_' OR 1=1 --" + "a" * 30,
        "oversized": "bst_" + "a" * 7_000, "none": jwt({"alg": "none"}, claims, None),
        "None in another case": jwt({"alg": "nOnE", "typ": "JWT"}, claims, None),
        "none with a signature": jwt({"alg": "none"}, claims, SECRET),
        "HS256 with our secret": jwt({"alg": "HS256", "typ": "JWT"}, claims, SECRET),
        "HS256 with an empty key": jwt({"alg": "HS256"}, claims, b""),
        "RS256 signed with HMAC": jwt({"alg": "RS256"}, claims, SECRET),
        "a kid that is a path": jwt({"alg": "HS256", "kid": "../../dev/null"}, claims, b""),
        "keys of its own": jwt({"alg": "HS256", "jku": "https://evil.com/jwks.json", "jwk": {"kty": "oct", "k": ""}},
                               claims, b""),
        "critical": jwt({"alg": "HS256", "crit": ["x"], "x": 1}, claims, SECRET),
        "five parts": ".".join([part({"alg": "dir", "enc": "A256GCM"}), *["", part(b"x" * 12), "eA", part(b"x" * 16)]]),
    }  # fmt: skip


async def written(t: Trial) -> int:
    """What there is in every table, told by one number."""
    tables = [entity.table for entity in t.app.schema.entities.values()]
    counts = [await t.app.running.store.run(f'SELECT count(*), sum("_version") FROM "{name}"', ()) for name in tables]
    return hash(tuple(tuple(rows[0]) for rows in counts))


async def every_route(t: Trial, authorization: str) -> list[tuple[str, str, int, str]]:
    """What each route answers to this, with bodies that would do something."""
    found = []
    for route in (one for one in t.app.running.router.routes if one.path not in HOW_IT_IS):
        for method in route.handlers:
            path = route.path.replace("{id}", "01a20603-d2e4-7000-b5b5-3f12c022c0ce")
            body: Any = {"email": "new@example.com", "password": PASSWORD} if "auth" in path else {"text": "x"}
            answer = await t.request(
                method, path, body if method in UNSAFE else None, headers={"authorization": authorization}
            )
            found.append((method, route.path, answer.status, answer.code))
    return found


async def test_every_route_refuses_everything_that_is_no_token(t: Trial) -> None:
    """Also those that are open to everybody: whoever says who they are is not taken for nobody."""
    tried = await attempts(t)
    before = await written(t)
    for what, token in tried.items():
        for method, path, status, code in await every_route(t, f"Bearer {token}"):
            if path == "/api/auth/refresh":  # which looks at its body alone, as clients send ended tokens along
                assert (status, code) == (400, "unknown_field"), what
            else:
                assert (status, code) == (401, "" if method == "HEAD" else "invalid_token"), (what, method, path)
    assert await written(t) == before


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "bearer", "Basic YWRhOnB3", "Token {}", "{}", "Bearer: {}", "", "Digest a=b"]
)
async def test_every_other_way_to_say_it_is_refused(t: Trial, authorization: str) -> None:
    ada = await t.user("ada@example.com")
    before = await written(t)
    for method, path, status, code in await every_route(t, authorization.format(ada.token)):
        assert (status, code) == (401, "" if method == "HEAD" else "invalid_token"), (method, path)
    assert await written(t) == before


async def test_the_answer_is_the_same_for_every_reason(t: Trial) -> None:
    said = set()
    for token in (await attempts(t)).values():
        answer = await t.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})
        kept = {k: v for k, v in answer.json.items() if k != "request_id"}
        heads = {k: v for k, v in answer.headers.items() if k not in UNLIKE}
        said.add(json.dumps([kept, heads], sort_keys=True))
    assert len(said) == 1


async def test_what_has_not_the_form_of_a_token_asks_the_database_nothing(
    t: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = await attempts(t)
    store = t.app.running.store
    asked: list[str] = []
    read = store.read

    async def reading(statement: Any, values: Any) -> Any:
        asked.append(statement.text)
        return await read(statement, values)

    monkeypatch.setattr(store, "read", reading)
    for what, token in tried.items():
        asked.clear()
        await t.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})
        formed = len(token) == 47 and token.startswith(("bst_", "bsk_")) and token.isascii() and " " not in token
        assert len(asked) == (1 if formed and "'" not in token else 0), what


async def test_a_token_is_taken_from_no_other_place(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    for name in ("access_token", "token", "authorization", "api_key", "key"):
        answer = await t.get(f"/api/auth/me?{name}={ada.token}")
        assert answer.code in ("not_signed_in", "unknown_parameter")
    for header in ("x-api-key", "x-access-token", "token", "x-authorization", "proxy-authorization"):
        (await t.get("/api/auth/me", headers={header: ada.token})).refused("not_signed_in")
    (await t.post("/api/auth/password", {"access_token": ada.token})).refused("not_signed_in")


async def test_the_scheme_is_read_as_the_standard_says(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await t.get("/api/auth/me", headers={"authorization": f"{scheme} {ada.token}"})).status == 200


async def test_two_headers_are_no_token(t: Trial) -> None:
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
    for other in (bob.token, ada.token):
        scope = {
            "type": "http", "method": "GET", "path": "/api/auth/me", "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode()) for token in (ada.token, other)],
        }  # fmt: skip
        answer = await t._ask("GET /api/auth/me", scope, b"")
        assert (answer.status, answer.code) == (400, "bad_request")


# Refresh tokens.


async def test_a_refresh_gives_a_session_to_nobody_but_whose_token_it_is(t: Trial) -> None:
    people = [await t.user(f"{name}@example.com", password=PASSWORD) for name in ("ada", "bob")]
    entered = [(await t.post("/api/auth/login", {"email": p.email, "password": PASSWORD})).json for p in people]
    body = {"refresh_token": entered[0]["refresh_token"]}
    pair = (await t.post("/api/auth/refresh", body, as_=people[1])).ok().json
    assert (await t.get("/api/auth/me", as_=pair["access_token"])).json["email"] == "ada@example.com"


async def test_everything_but_a_refresh_token_is_refused_where_one_is_asked_for(t: Trial) -> None:
    tried = await attempts(t)
    del tried["a refresh token"]
    before = await written(t)
    for what, token in tried.items():
        answer = await t.post("/api/auth/refresh", {"refresh_token": token})
        assert (answer.status, answer.code) == (401, "invalid_token"), what
        answer = await t.post("/api/auth/refresh", {"refresh_token": "bsr_" + token[4:]})
        assert (answer.status, answer.code) == (401, "invalid_token") or what == "a refresh token renamed", what
        if what == "a refresh token renamed":
            before = await written(t)  # that was the token itself
    assert await written(t) == before


async def test_a_token_of_another_purpose_would_be_caught(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: whatever has a form is looked up as an access token, and refresh hashes are looked at too."""
    recognise = Sessions.recognise

    async def careless(self: Sessions, key: str) -> Any:
        rows = await self._engine.store.run("SELECT token_hash, refresh_hash FROM account_tokens", ())
        same = {refresh: access for access, refresh in rows}
        return await recognise(self, same.get(key, key))

    identities = t.app.running.accounts.identities
    monkeypatch.setattr(token_module, "_PURPOSES", dict.fromkeys(token_module._PURPOSES, "access"))
    monkeypatch.setitem(identities._find, "access", lambda key: careless(t.app.running.accounts.sessions, key))
    with pytest.raises(AssertionError):
        await test_every_route_refuses_everything_that_is_no_token(t)
