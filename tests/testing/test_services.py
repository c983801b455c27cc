"""A trial answers for other services, and an application can do with them what it may do in earnest."""

from collections.abc import Callable
from typing import Any

import pytest

from backstay import (
    AddressRefused,
    App,
    Conflict,
    Context,
    Model,
    Problem,
    Rules,
    Transaction,
    Unanswered,
    Unreachable,
    User,
    anyone,
)
from backstay.testing import Trial

RATES = "https://rates.example.com"


class Price(Model):
    amount: int

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


def make() -> App:
    app = App("prices", models=[Price])

    @app.action("GET /api/rate", allow=anyone)
    async def rate(ctx: Context, currency: str) -> Any:
        answer = await ctx.http.get(f"{RATES}/latest", params={"base": currency})
        return answer.ok().json["rate"]

    @app.action("POST /api/fetch", allow=anyone)
    async def fetch(ctx: Context, url: str) -> Any:
        return (await ctx.http.get(url, follow=2)).status

    @app.action("POST /api/charge", allow=anyone)
    async def charge(ctx: Context) -> Any:
        try:
            answer = await ctx.http.post(f"{RATES}/charges", json={"amount": 7}, headers={"Idempotency-Key": "k"})
        except Unreachable:
            return "not done"
        except Unanswered:
            return "nobody knows"
        if answer.status == 402:
            raise Conflict("The card was declined.", code="declined")
        return answer.json["id"]

    @app.action("POST /api/inside", allow=anyone)
    async def inside(ctx: Context) -> None:
        async with ctx.transaction() as tx:
            await tx.create(Price(amount=1))
            await ctx.http.get(f"{RATES}/latest")

    @app.before_create(Price)
    async def ask(tx: Transaction, price: Price) -> None:
        if price.amount == 13:
            await app.running.http.get(f"{RATES}/latest")

    return app


async def test_a_service_answers() -> None:
    async with Trial(make()) as t:
        t.http.answers(f"GET {RATES}/latest", {"rate": 3})
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await t.get("/api/rate?currency=EUR", headers={"X-Request-ID": "req-7", "traceparent": trace})
        assert answer.ok().json == 3
        (sent,) = t.http.sent
        assert (sent.method, sent.url, sent.params) == ("GET", f"{RATES}/latest", {"base": "EUR"})
        assert (sent.headers["x-request-id"], sent.headers["traceparent"]) == ("req-7", trace)
        await t.get("/api/rate?currency=EUR", headers={"traceparent": "nonsense\t"})
        assert "traceparent" not in t.http.sent[1].headers
        assert t.http.sent[1].headers["x-request-id"] not in ("", "req-7")


async def test_answers_come_in_turn_and_the_last_one_stays() -> None:
    async with Trial(make()) as t:
        t.http.answers(f"GET {RATES}/latest?base=USD", {"rate": 9})
        t.http.answers(f"get {RATES}/latest", {"rate": 1})
        t.http.answers(f"GET {RATES}/latest", lambda sent: {"rate": sent.params["base"]})
        asked = ["EUR", "USD", "GBP", "CHF", "USD"]
        assert [(await t.get(f"/api/rate?currency={one}")).json for one in asked] == [1, 9, "GBP", "CHF", 9]


async def test_three_outcomes_are_told_apart() -> None:
    async with Trial(make()) as t:
        t.http.answers(f"POST {RATES}/charges", {"id": "ch_1"}, status=201)
        t.http.answers(f"POST {RATES}/charges", status=402)
        t.http.fails(f"POST {RATES}/charges", Unreachable)
        t.http.fails(f"POST {RATES}/charges")
        said = [(await t.post("/api/charge", {})) for _ in range(4)]
        assert [one.json if one.status < 400 else one.code for one in said] == [
            "ch_1", "declined", "not done", "nobody knows",
        ]  # fmt: skip
        assert t.http.sent[0].json == {"amount": 7}
        assert t.http.sent[0].headers["idempotency-key"] == "k"


async def test_what_is_not_caught_is_a_problem_that_tells_nothing() -> None:
    async with Trial(make()) as t:
        t.http.answers(f"GET {RATES}/latest", {"error": "key 4711 is wrong"}, status=403)
        t.http.fails(f"GET {RATES}/latest", Unreachable)
        t.http.fails(f"GET {RATES}/latest")
        found = [await t.get("/api/rate?currency=EUR") for _ in range(3)]
        assert [(one.status, one.code) for one in found] == [
            (502, "upstream_failed"), (502, "upstream_unreachable"), (504, "upstream_unanswered"),
        ]  # fmt: skip
        for one in found:
            assert "4711" not in one.text
            assert "rates.example.com" not in one.text


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/", "http://rates.example.com/", "https://localhost/", "https://2130706433/"]
)
async def test_an_address_of_a_caller_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with Trial(make()) as t:
        refused = (await t.post("/api/fetch", {"url": url})).refused("outbound_refused")
        assert refused.status == 422
        assert "127.0.0.1" not in refused.text
        assert t.http.sent == []
    async with Trial(make()) as t:
        t.http.answers(f"GET {RATES}/away", status=302, headers={"Location": url})
        (await t.post("/api/fetch", {"url": f"{RATES}/away"})).refused("outbound_refused")
        assert len(t.http.sent) == 1


async def test_what_the_operator_allows() -> None:
    async with Trial(make(), http_allow="billing.internal:8080, 10.0.0.0/8") as t:
        t.http.answers("GET http://billing.internal:8080")
        t.http.answers("GET http://10.1.2.3:99/")
        for url in ("http://billing.internal:8080/", "http://10.1.2.3:99"):
            assert (await t.post("/api/fetch", {"url": url})).ok().json == 200
        (await t.post("/api/fetch", {"url": "http://billing.internal/"})).refused("outbound_refused")


async def test_what_nobody_answers_fails_the_trial() -> None:
    with pytest.raises(AssertionError, match=r"Nobody answered GET https://rates\.example\.com/latest"):
        async with Trial(make()) as t:
            assert (await t.get("/api/rate?currency=EUR")).status == 500

    async def failing() -> None:
        async with Trial(make()) as t:
            await t.get("/api/rate?currency=EUR")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # the first error is the one that is said
        await failing()
    with pytest.raises(ValueError, match="is no request"):
        Trial(make()).http.answers("rates.example.com")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_no_request_inside_a_transaction(kind: str, postgres_database: Callable[[str], str]) -> None:
    """Neither in an action's own block nor in a hook of a write, on both databases; and nothing was written."""
    database = "sqlite://" if kind == "sqlite" else postgres_database("outbound")
    async with Trial(make(), database) as t:
        (await t.post("/api/inside", {})).refused("internal_error")
        (await t.post("/api/prices", {"amount": 13})).refused("internal_error")
        assert t.http.sent == []
        assert (await t.get("/api/prices?count=exact")).json["meta"]["total"] == 0
        (await t.post("/api/prices", {"amount": 1})).ok()


def test_every_failure_is_a_problem_with_a_code_of_its_own() -> None:
    kinds = (AddressRefused, Unreachable, Unanswered)
    assert all(issubclass(kind, Problem) for kind in kinds)
    assert [kind("why").code for kind in kinds] == ["outbound_refused", "upstream_unreachable", "upstream_unanswered"]
