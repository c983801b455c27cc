"""Sessions in cookies: given and taken away, believed from pages of this site alone, and never shared by a cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from backstay import App, Context, Model, Reply, Rules, User, anyone, signed_in
from backstay.api import credentials
from backstay.api.http import UNSAFE, Request
from backstay.plan.actor import Actor
from backstay.testing import Answer, Person, Trial

ACCESS, REFRESH = "__Host-backstay_access", "__Host-backstay_refresh"
PASSWORD = "correct horse battery"
ORIGIN = "https://shop.example.com"
HOST = "shop.example.com"
FRONT = "https://app.example.com"
HERE = {"host": HOST, "sec-fetch-site": "same-origin", "origin": ORIGIN}


class Note(Model):
    """Something to write."""

    text: str = ""
    owner: User | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in, update=me.signed_in, delete=me.signed_in)


def make_app() -> App:
    """An application with actions that answer in their own way."""
    app = App("notes", models=[Note])

    @app.action("GET /api/public", allow=anyone)
    async def public(ctx: Context) -> Reply:
        return Reply("hello", headers=[("Cache-Control", "public, max-age=60")])

    @app.action("GET /api/plain", allow=anyone)
    async def plain(ctx: Context) -> Reply:
        return Reply("hello")

    @app.action("POST /api/notes/{note}/pin", allow=signed_in)
    async def pin(ctx: Context, note: str) -> None:
        return None

    return app


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    """The application, as production serves it, with Ada."""
    trial = Trial(make_app())
    trial._settings = replace(trial._settings, env="production", cors_origins=(FRONT,), access_minutes=15)
    async with trial:
        yield trial


async def ada(t: Trial) -> Person:
    """Somebody with a password."""
    return await t.user("ada@example.com", password=PASSWORD)


def cookies_of(answer: Answer) -> dict[str, str]:
    """The cookies that an answer sets, each with its attributes; `Trial` joins what is there twice."""
    return dict(one.split("=", 1) for one in answer.headers.get("set-cookie", "").split("\n") if one)


class Browser:
    """Keeps cookies as a browser does, and says where a request comes from."""

    def __init__(self, t: Trial) -> None:
        self.t = t
        self.cookies: dict[str, str] = {}

    async def send(
        self, method: str, path: str, json: Any = None, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        """One request, with the cookies there are."""
        sent = dict(HERE if headers is None else headers)
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.t.request(method, path, json, headers=sent, **more)
        for name, text in cookies_of(answer).items():
            value, *attributes = text.split("; ")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    async def enter(self) -> Answer:
        """Sign in with cookies."""
        body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
        return (await self.send("POST", "/api/auth/login", body)).ok()


@pytest.fixture
async def browser(t: Trial) -> Browser:
    """A browser in which Ada is signed in."""
    await ada(t)
    made = Browser(t)
    await made.enter()
    return made


# Given and taken away.


async def test_the_tokens_are_in_cookies_and_not_in_the_body(t: Trial) -> None:
    person = await ada(t)
    answer = await Browser(t).enter()
    assert {**answer.json, "user": answer.json["user"]["id"]} == {"user": person.id, "expires_in": 900}
    seconds = 30 * 24 * 3600
    kept = f"; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax; Secure"
    (access, refresh) = cookies_of(answer).items()
    assert (access[0], access[1][:4], access[1][47:]) == (ACCESS, "bst_", kept)
    assert (refresh[0], refresh[1][:4], refresh[1][47:]) == (REFRESH, "bsr_", kept)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "shop.localhost:1"])
async def test_on_this_machine_in_development_they_are_plain(host: str) -> None:
    async with Trial(make_app()) as t:
        await ada(t)
        browser = Browser(t)
        headers = {"host": host, "sec-fetch-site": "same-origin"}
        body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
        answer = await browser.send("POST", "/api/auth/login", body, headers=headers)
        assert set(cookies_of(answer)) == {"backstay_access", "backstay_refresh"}
        assert all("Secure" not in text and "HttpOnly; SameSite=Lax" in text for text in cookies_of(answer).values())
        assert (await browser.send("GET", "/api/auth/me", headers={"host": host})).json["email"] == "ada@example.com"


@pytest.mark.parametrize("host", ["shop.example.com", "localhost.evil.com", "192.168.1.5:8000", ""])
async def test_elsewhere_they_never_are(host: str) -> None:
    trial = Trial(make_app())
    trial._settings = replace(trial._settings, allowed_hosts=("*",))
    async with trial as t:
        await ada(t)
        body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
        sent = {"host": host, "sec-fetch-site": "same-origin"}
        answer = await t.request("POST", "/api/auth/login", body, headers=sent)
        assert set(cookies_of(answer)) == {ACCESS, REFRESH}


async def test_in_production_a_plain_cookie_says_nothing(t: Trial) -> None:
    person = await ada(t)
    answer = await t.get("/api/auth/me", headers={"host": "localhost", "cookie": f"backstay_access={person.token}"})
    assert answer.refused("not_signed_in")


async def test_a_cookie_signs_in_and_a_log_out_takes_it_away(browser: Browser) -> None:
    assert (await browser.send("GET", "/api/auth/me")).json["email"] == "ada@example.com"
    stolen = dict(browser.cookies)
    left = await browser.send("POST", "/api/auth/logout")
    assert (left.status, browser.cookies) == (204, {})
    assert all("Max-Age=0; HttpOnly; SameSite=Lax; Secure" in text for text in cookies_of(left).values())
    (await browser.send("GET", "/api/auth/me")).refused("not_signed_in")
    browser.cookies = stolen
    (await browser.send("GET", "/api/auth/me")).refused("invalid_token")
    (await browser.send("POST", "/api/auth/refresh")).refused("invalid_token")


async def test_a_log_out_needs_no_access_token_that_lasts(browser: Browser) -> None:
    browser.t.clock.advance(hours=1)
    (await browser.send("GET", "/api/auth/me")).refused("invalid_token")
    stolen = dict(browser.cookies)
    assert (await browser.send("POST", "/api/auth/logout")).status == 204
    browser.cookies = stolen
    (await browser.send("POST", "/api/auth/refresh")).refused("invalid_token")


async def test_a_log_out_where_nothing_is_left_is_a_log_out(browser: Browser) -> None:
    stolen = dict(browser.cookies)
    await browser.send("POST", "/api/auth/logout")
    browser.cookies = stolen
    assert (await browser.send("POST", "/api/auth/logout")).status == 204
    assert browser.cookies == {}
    (await browser.send("POST", "/api/auth/logout")).refused("not_signed_in")


async def test_an_ended_access_cookie_is_answered_as_one_until_it_is_refreshed(browser: Browser) -> None:
    first = dict(browser.cookies)
    browser.t.clock.advance(minutes=16)
    for path in ("/api/auth/me", "/api/notes"):  # nobody signed in becomes nobody without a word
        (await browser.send("GET", path)).refused("invalid_token")
    refreshed = await browser.send("POST", "/api/auth/refresh")
    assert (refreshed.status, refreshed.json) == (200, {"expires_in": 900})
    assert {name: browser.cookies[name] == value for name, value in first.items()} == {ACCESS: False, REFRESH: False}
    assert all(f"Max-Age={30 * 24 * 3600 - 16 * 60}" in text for text in cookies_of(refreshed).values())
    (await browser.send("GET", "/api/notes")).ok()


async def test_an_access_cookie_that_is_missing_is_one_that_has_ended(browser: Browser) -> None:
    del browser.cookies[ACCESS]
    (await browser.send("GET", "/api/notes")).refused("invalid_token")
    (await browser.send("POST", "/api/auth/refresh")).ok()
    (await browser.send("GET", "/api/notes")).ok()


async def test_tabs_that_refresh_at_once_stay_signed_in(browser: Browser) -> None:
    browser.t.clock.advance(minutes=16)
    left, right = Browser(browser.t), Browser(browser.t)
    left.cookies, right.cookies = dict(browser.cookies), dict(browser.cookies)
    (await left.send("POST", "/api/auth/refresh")).ok()
    (await right.send("POST", "/api/auth/refresh")).ok()
    for tab in (left, right):
        (await tab.send("GET", "/api/auth/me")).ok()
    right.cookies = left.cookies | right.cookies  # the later answer is what the browser keeps
    browser.t.clock.advance(minutes=16)
    (await right.send("POST", "/api/auth/refresh")).ok()


async def test_a_refresh_cookie_that_comes_again_later_ends_the_session_for_all(browser: Browser) -> None:
    stolen = Browser(browser.t)
    stolen.cookies = dict(browser.cookies)
    (await browser.send("POST", "/api/auth/refresh")).ok()
    browser.t.clock.advance(seconds=11)
    answer = (await stolen.send("POST", "/api/auth/refresh")).refused("invalid_token")
    assert stolen.cookies == {}
    assert len(cookies_of(answer)) == 2
    (await browser.send("GET", "/api/auth/me")).refused("invalid_token")
    (await browser.send("POST", "/api/auth/refresh")).refused("invalid_token")
    assert browser.cookies == {}
    (await browser.send("GET", "/api/notes")).ok()  # as nobody


async def test_an_access_token_that_ends_takes_no_cookie_away(browser: Browser) -> None:
    """Another tab may just have refreshed: what is late must not forget what is new."""
    browser.t.clock.advance(minutes=16)
    answer = (await browser.send("GET", "/api/auth/me")).refused("invalid_token")
    assert "set-cookie" not in answer.headers


async def test_a_refresh_token_in_the_body_counts_before_one_in_a_cookie(browser: Browser) -> None:
    pair = (await browser.t.post("/api/auth/login", {"email": "ada@example.com", "password": PASSWORD})).json
    answer = await browser.send("POST", "/api/auth/refresh", {"refresh_token": pair["refresh_token"]})
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("wanted", [False, None])
async def test_without_asking_there_are_no_cookies(t: Trial, wanted: bool | None) -> None:
    await ada(t)
    body = {"email": "ada@example.com", "password": PASSWORD, **({} if wanted is None else {"cookie": wanted})}
    answer = await t.request("POST", "/api/auth/login", body)
    assert "set-cookie" not in answer.headers
    assert answer.json["access_token"]


@pytest.mark.parametrize("wanted", [None, "true", 1, []])
async def test_cookie_is_true_or_false(t: Trial, wanted: Any) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD, "cookie": wanted}
    answer = (await t.post("/api/auth/login", body, headers=HERE)).refused("invalid")
    assert [(e["path"], e["code"]) for e in answer.json["errors"]] == [("cookie", "wrong_type")]


# Forged requests.

CROSS: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site", "origin": "https://evil.com"},
    "another site that hides its origin": {"sec-fetch-site": "cross-site", "origin": "null"},
    "another site that names us": {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    "an allowed origin that is another site": {"sec-fetch-site": "cross-site", "origin": FRONT},
    "a neighbour that is not allowed": {"sec-fetch-site": "same-site", "origin": "https://other.example.com"},
    "a neighbour that names nobody": {"sec-fetch-site": "same-site"},
    "a neighbour that names us": {"sec-fetch-site": "same-site", "origin": ORIGIN},
    "a word that is none": {"sec-fetch-site": "yes", "origin": ORIGIN},
    "an old browser on another site": {"origin": "https://evil.com"},
    "an old browser that hides its origin": {"origin": "null"},
    "an old browser on the plain page of a TLS host": {"origin": "http://shop.example.com"},
    "another port": {"origin": "https://shop.example.com:8443"},
    "a longer name": {"origin": "https://shop.example.com.evil.com"},
    "a user before the host": {"origin": "https://shop.example.com@evil.com"},
    "nothing that tells": {},
    "only a referrer": {"referer": "https://shop.example.com/"},
}
GOOD: dict[str, dict[str, str]] = {
    "a page of ours": {"sec-fetch-site": "same-origin", "origin": ORIGIN},
    "a page of ours without an origin": {"sec-fetch-site": "same-origin"},
    "an extension or the person": {"sec-fetch-site": "none"},
    "an allowed neighbour": {"sec-fetch-site": "same-site", "origin": FRONT},
    "an old browser on a page of ours": {"origin": ORIGIN},
    "an old browser that says the port": {"origin": ORIGIN + ":443"},
    "an old browser on an allowed page": {"origin": FRONT},
}


def unsafe_routes(t: Trial) -> list[tuple[str, str]]:
    """Every method of every route that may change something."""
    found = [(m, route.path) for route in t.app.running.router.routes for m in route.handlers if m in UNSAFE]
    assert len(found) > 15
    return found


async def https(t: Trial) -> None:
    """Let all requests look as if they came by TLS."""
    t.app.running.front.proxies.scheme = lambda scope: "https"  # type: ignore[method-assign]


async def written(t: Trial) -> int:
    """How many records of every kind there are, and of what accounts keep."""
    tables = [entity.table for entity in t.app.schema.entities.values()]
    counts = [await t.app.running.store.run(f'SELECT count(*), sum("_version") FROM "{name}"', ()) for name in tables]
    return hash(tuple(tuple(rows[0]) for rows in counts))


@pytest.mark.parametrize("way", CROSS)
async def test_no_route_does_anything_for_a_page_of_elsewhere(browser: Browser, way: str) -> None:
    await https(browser.t)
    before = await written(browser.t)
    for method, path in unsafe_routes(browser.t):
        body: Any = {"email": "eve@example.com", "password": "a harbour at night", "text": "forged"}
        sent = {"host": HOST, **CROSS[way]}
        answer = await browser.send(method, path.replace("{id}", "x").replace("{note}", "x"), body, headers=sent)
        answer.refused("cross_site")
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    assert await written(browser.t) == before


@pytest.mark.parametrize("way", GOOD)
async def test_pages_of_ours_and_allowed_neighbours_may(browser: Browser, way: str) -> None:
    await https(browser.t)
    sent = {"host": HOST, **GOOD[way]}
    assert (await browser.send("POST", "/api/notes", {"text": "mine"}, headers=sent)).status == 201
    for method, path in unsafe_routes(browser.t):
        if path in ("/api/auth/logout", "/api/auth/password", "/api/auth/keys"):
            continue
        answer = await browser.send(method, path.replace("{id}", "x").replace("{note}", "x"), {}, headers=sent)
        assert answer.code != "cross_site", path
    assert (await browser.send("POST", "/api/auth/logout", headers=sent)).status == 204


async def test_a_page_of_elsewhere_cannot_sign_somebody_in(t: Trial) -> None:
    await https(t)
    await ada(t)
    body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
    for way, headers in CROSS.items():
        answer = await t.post("/api/auth/login", body, headers={"host": HOST, **headers})
        assert (answer.code, "set-cookie" in answer.headers) == ("cross_site", False), way
    for way, headers in GOOD.items():
        assert len(cookies_of(await t.post("/api/auth/login", body, headers={"host": HOST, **headers}))) == 2, way


async def test_without_cookies_it_is_nobodys_business_where_a_request_comes_from(t: Trial) -> None:
    person = await ada(t)
    for headers in CROSS.values():
        assert (await t.post("/api/notes", {"text": "x"}, as_=person, headers=headers)).status == 201
        other = {**headers, "cookie": "theme=dark; session=1"}
        assert (await t.post("/api/notes", {"text": "x"}, as_=person, headers=other)).status == 201
        (await t.post("/api/notes", {"text": "x"}, headers=other)).refused("not_signed_in")


async def test_reading_is_not_asked_where_it_comes_from(browser: Browser) -> None:
    for headers in CROSS.values():
        for method in ("GET", "HEAD"):
            assert (await browser.send(method, "/api/notes", headers={"host": HOST, **headers})).status == 200


async def test_reading_changes_nothing(browser: Browser) -> None:
    before = await written(browser.t)
    for route in browser.t.app.running.router.routes:
        for method in set(route.handlers) - UNSAFE:
            path = route.path.replace("{id}", "01a20603-d2e4-7000-b5b5-3f12c022c0ce")
            answer = await browser.send(method, path, headers={"host": HOST, "sec-fetch-site": "cross-site"})
            assert answer.status < 500
    assert await written(browser.t) == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"]
)
async def test_what_a_form_can_send_is_not_taken(browser: Browser, kind: str) -> None:
    """Also by actions that need no body: it would have been read by nobody."""
    for method, path in unsafe_routes(browser.t):
        answer = await browser.t.request(
            method, path.replace("{id}", "x").replace("{note}", "x"), body=b'{"text": "forged"}',
            headers={**HERE, "content-type": kind, "content-length": "18",
                     "cookie": f"{ACCESS}={browser.cookies[ACCESS]}"},
        )  # fmt: skip
        assert (answer.status, answer.code) == (415, "unsupported_media_type"), (method, path)


async def test_a_guard_left_out_would_be_caught(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: cookies are believed wherever they come from."""
    monkeypatch.setattr(credentials.Credentials, "guard", lambda self, request: None)
    with pytest.raises(AssertionError):
        await test_no_route_does_anything_for_a_page_of_elsewhere(browser, "another site")


async def test_a_guard_on_some_routes_would_be_caught(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: refreshing is not guarded."""
    guard = credentials.Credentials.guard

    def careless(self: credentials.Credentials, request: Request) -> None:
        if request.path != credentials.REFRESH:
            guard(self, request)

    monkeypatch.setattr(credentials.Credentials, "guard", careless)
    with pytest.raises(AssertionError):
        await test_no_route_does_anything_for_a_page_of_elsewhere(browser, "another site")


# Two ways at once.


async def test_what_is_said_counts_before_what_a_browser_sends_by_itself(browser: Browser) -> None:
    other = await browser.t.user("bob@example.com")
    said = {**HERE, "authorization": f"Bearer {other.token}"}
    assert (await browser.send("GET", "/api/auth/me", headers=said)).json["email"] == "bob@example.com"
    wrong = {**HERE, "authorization": "Bearer bst_" + "a" * 43}
    (await browser.send("GET", "/api/auth/me", headers=wrong)).refused("invalid_token")
    # A request that names its token cannot be forged by a page of elsewhere.
    cross = {"sec-fetch-site": "cross-site", "authorization": f"Bearer {other.token}"}
    assert (await browser.send("POST", "/api/notes", {"text": "x"}, headers=cross)).status == 201


async def test_one_cookie_twice_is_refused(browser: Browser) -> None:
    mine = f"{ACCESS}={browser.cookies[ACCESS]}"
    for sent in (f"{mine}; {ACCESS}=bst_{'a' * 43}", f"{ACCESS}=; {mine}", f"{mine}; {REFRESH}=a; {REFRESH}=b"):
        answer = await browser.t.get("/api/auth/me", headers={"cookie": sent})
        assert (answer.status, answer.code) == (400, "bad_request"), sent
    assert (await browser.t.get("/api/auth/me", headers={"cookie": f"{mine}; a=1; a=2; {mine}"})).status == 200


async def test_only_an_access_token_in_a_cookie_signs_in(browser: Browser) -> None:
    keys = browser.t.app.running.accounts.keys
    (user,) = ((await browser.send("GET", "/api/auth/me")).json["id"],)
    key = (await keys.make(Actor(user), {"name": "x", "scopes": ["write"]})).text
    for value in (key, browser.cookies[REFRESH], "", "x", "bst_", browser.cookies[ACCESS] + "x", "é" * 47):
        answer = await browser.t.get("/api/auth/me", headers={"cookie": f"{ACCESS}={value}"})
        assert answer.code == "invalid_token", value
    for value in (key, browser.cookies[ACCESS], "", "x"):
        headers = {**HERE, "cookie": f"{REFRESH}={value}"}
        assert (await browser.t.post("/api/auth/refresh", headers=headers)).code == "invalid_token", value


# Caches.


async def test_no_answer_to_somebody_is_kept_by_a_cache_that_others_share(browser: Browser) -> None:
    for route in browser.t.app.running.router.routes:
        if "GET" in route.handlers:
            path = route.path.replace("{id}", "01a20603-d2e4-7000-b5b5-3f12c022c0ce")
            answer = await browser.send("GET", path)
            control = answer.headers["cache-control"]
            assert "private" in control or "no-store" in control, path
            assert "public" not in control, path
            assert "Cookie" in answer.headers["vary"], path


async def test_an_answer_to_nobody_may_be_public_and_varies_by_cookie(t: Trial) -> None:
    answer = await t.get("/api/public")
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert {"Cookie", "Authorization"} <= set(answer.headers["vary"].split(", "))


async def test_errors_too_are_for_their_sender(browser: Browser) -> None:
    browser.t.clock.advance(minutes=16)
    answer = (await browser.send("GET", "/api/public")).refused("invalid_token")
    assert answer.headers["cache-control"] == "no-store"


async def test_an_allowed_front_end_may_read_with_credentials(browser: Browser) -> None:
    sent = {"host": HOST, "sec-fetch-site": "same-site", "origin": FRONT}
    answer = await browser.send("POST", "/api/auth/refresh", headers=sent)
    assert (answer.headers["access-control-allow-origin"], answer.headers["access-control-allow-credentials"]) == (
        FRONT, "true",
    )  # fmt: skip
