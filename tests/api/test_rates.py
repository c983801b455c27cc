"""Requests and actions have rates: by account or by network, whatever a client says of itself, through every route."""

from typing import Any

import pytest

from backstay import App, Context, Limits, Model, Rules, User, anyone, signed_in
from backstay.api.rates import with_rates
from backstay.errors import DeclarationError
from backstay.settings import Settings
from backstay.testing import Trial


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


def application(**limits: str) -> App:
    app = App("notes", models=[Note], limits=Limits(**limits))  # type: ignore[arg-type]

    @app.action("POST /quote", allow=anyone, limit="3/minute, 5/hour")
    async def quote(ctx: Context) -> str:
        return "Tea"

    @app.action("POST /import", allow=signed_in, limit="2/minute")
    async def import_all(ctx: Context, fail: bool = False) -> str:
        if fail:
            raise ZeroDivisionError
        return "done"

    return app


async def test_an_action_has_a_rate_for_each_account_and_each_client() -> None:
    async with Trial(application()) as t:
        ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
        for left in (2, 1, 0):
            answer = (await t.post("/quote")).ok()
            assert answer.headers["ratelimit-policy"] == '"POST /quote";q=3;w=60'
            assert answer.headers["ratelimit"] == f'"POST /quote";r={left};t=60'
        refused = (await t.post("/quote")).refused("too_many_requests")
        assert (refused.status, refused.headers["retry-after"]) == (429, "60")
        assert refused.headers["ratelimit"] == '"POST /quote";r=0;t=60'
        for who in (ada, bob):
            for _ in range(3):
                (await t.post("/quote", as_=who)).ok()
            (await t.post("/quote", as_=who)).refused("too_many_requests")
        t.clock.advance(minutes=1)
        for _ in range(2):
            (await t.post("/quote")).ok()
        assert (await t.post("/quote")).refused("too_many_requests").headers["retry-after"] == "3540"
        t.clock.advance(hours=1)
        (await t.post("/quote")).ok()


async def test_an_action_is_charged_before_its_work_and_not_for_those_who_may_not() -> None:
    async with Trial(application()) as t:
        ada = await t.user("ada@example.com")
        for _ in range(5):
            (await t.post("/import", {})).refused("not_signed_in")
        assert (await t.post("/import", {"fail": True}, as_=ada)).status == 500
        (await t.post("/import", {"fail": "x"}, as_=ada)).refused("invalid")
        (await t.post("/import", {}, as_=ada)).refused("too_many_requests")


def test_a_rate_that_is_none_is_a_mistake_of_the_declaration() -> None:
    app = App("notes", models=[])
    with pytest.raises(DeclarationError, match='"often" is no rate'):

        @app.action("POST /quote", limit="often")
        async def quote(ctx: Context) -> None: ...

    with pytest.raises(ValueError, match=r"Limits\(login_per_client\): .* is no rate"):
        Limits(login_per_client="often")


async def ask(app: App, path: str, *, peer: str = "203.0.113.9", token: str = "", **headers: str) -> int:
    """The status of a GET from an address."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw, "client": (peer, 1)}
    await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_requests_have_a_rate_whatever_they_ask_for() -> None:
    async with Trial(application(requests_per_client="6/minute", requests_per_actor="8/minute")) as t:
        token = await t.sign_in(await t.user("ada@example.com"))
        paths = ["/api/notes", "/api/notes/x", "/openapi.json", "/docs", "/api/notes/aggregate?count=*", "/api/auth/me"]
        found = [await ask(t.app, path.partition("?")[0]) for path in paths]
        assert 429 not in found
        assert [await ask(t.app, path.partition("?")[0]) for path in paths] == [429] * 6
        assert await ask(t.app, "/api/notes", peer="203.0.113.8") == 200
        # Who is signed in is counted by account, wherever they are; a token that is none is counted by network.
        assert [await ask(t.app, "/api/notes", token=token, peer=f"203.0.113.{n}") for n in range(10)] == (
            [200] * 8 + [429] * 2
        )
        assert [await ask(t.app, "/api/notes", token="bst_x", peer="192.0.2.1") for _ in range(8)] == (
            [401] * 6 + [429] * 2
        )


async def test_nobody_chooses_what_they_are_counted_as() -> None:
    async with Trial(application(requests_per_client="5/minute")) as t:
        for number in range(5):
            spoofed = f"198.51.100.{number}"
            assert await ask(t.app, "/api/notes", x_forwarded_for=spoofed, forwarded=f"for={spoofed}") == 200
        assert await ask(t.app, "/api/notes", x_forwarded_for="198.51.100.77", user_agent="another") == 429
        for number in range(5):
            assert await ask(t.app, "/api/notes", peer=f"2001:db8:1:2:{number}::1") == 200
        assert await ask(t.app, "/api/notes", peer="2001:db8:1:2:ffff::9") == 429
        assert await ask(t.app, "/api/notes", peer="2001:db8:1:3::1") == 200


async def test_addresses_that_have_no_route_are_not_written_of_and_health_is_always_said() -> None:
    async with Trial(application(requests_per_client="2/minute")) as t:
        for _ in range(5):
            assert await ask(t.app, "/healthz") == 200
        for _ in range(5):
            assert await ask(t.app, "/nothing") == 404
        assert await ask(t.app, "/api/notes") == 200


async def test_what_is_left_is_told_with_every_answer() -> None:
    async with Trial(application(requests_per_client="2/minute")) as t:
        first = await t.get("/api/notes")
        assert first.headers["ratelimit"] == '"requests per client";r=1;t=60'
        assert first.headers["ratelimit-policy"] == '"requests per client";q=2;w=60'
        missing = (await t.get("/api/notes/x")).refused("not_found")
        assert missing.headers["ratelimit"] == '"requests per client";r=0;t=60'


async def test_without_rates_nothing_is_counted() -> None:
    async with Trial(application()) as t:
        with t.counting() as statements:
            for _ in range(20):
                assert "ratelimit" not in (await t.get("/api/notes")).headers
        assert len(statements) == 20
        assert t.app.running.front.ask is None


def test_settings_change_rates() -> None:
    changed = with_rates(Limits(page=7), "requests_per_client=600/minute; login_per_account = 5/minute, 9/day ;")
    assert (changed.requests_per_client, changed.login_per_account) == ("600/minute", "5/minute, 9/day")
    assert (changed.page, changed.signup_per_client) == (7, Limits().signup_per_client)
    assert with_rates(Limits(), "login_per_client=").login_per_client == ""
    for wrong in ("page=7", "often", "login_per_client", "logins=5/minute", "login_per_client=often"):
        with pytest.raises(ValueError, match=r"^BACKSTAY_RATE_LIMITS: "):
            with_rates(Limits(), wrong)


async def test_an_application_starts_with_the_rates_of_its_settings() -> None:
    app = application()
    settings = Settings(database_url="sqlite://", secret_key="x" * 32, rate_limits="requests_per_client=1/minute")
    await app.start(settings, extend=True)
    try:
        assert [await ask(app, "/api/notes") for _ in range(2)] == [200, 429]
    finally:
        await app.stop()


async def test_every_unsafe_account_route_has_a_rate_or_a_reason() -> None:
    """Read from the router, so that a new one is not forgotten."""
    rated = {"signup", "login", "refresh", "password"}
    reasons = {
        "DELETE /api/auth/sessions": "ends sessions of its own, by a token that cannot be guessed",
        "DELETE /api/auth/sessions/{id}": "the same",
        "POST /api/auth/logout": "the same",
        "POST /api/auth/keys": "a person has fifty at the most",
        "DELETE /api/auth/keys": "ends keys of its own, by a token that cannot be guessed",
        "DELETE /api/auth/keys/{id}": "the same",
    }
    served = {f"{method} {path}" for path, methods in application().routes() for method in methods}
    unsafe = {one for one in served if "/api/auth/" in one and one.split()[0] not in ("GET", "HEAD")}
    assert unsafe == {f"POST /api/auth/{purpose}" for purpose in rated} | set(reasons)
    async with Trial(application(**{f"{p}_per_{'account' if p == 'password' else 'client'}": "1/hour" for p in rated},
                                 login_per_account="", signup_per_account="")) as t:  # fmt: skip
        ada = await t.user("ada@example.com", password="correct horse 9")
        bodies = {
            "signup": {"email": "bob@example.com", "password": "correct horse 9"},
            "login": {"email": "bob@example.com", "password": "correct horse 9"},
            "refresh": {"refresh_token": "x"},
            "password": {"current_password": "wrong wrong", "new_password": "correct horse 8"},
        }
        for purpose in rated:
            who = ada if purpose == "password" else None
            assert (await t.post(f"/api/auth/{purpose}", bodies[purpose], as_=who)).code != "too_many_requests"
            (await t.post(f"/api/auth/{purpose}", bodies[purpose], as_=who)).refused("too_many_requests")
