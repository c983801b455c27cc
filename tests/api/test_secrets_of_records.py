"""Whoever brings the secret of a record has the rights that its rules give for it, and nobody else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
import pytest_asyncio
from annotated_types import Len

from backstay import (
    Also,
    App,
    Many,
    Model,
    Raw,
    Reply,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    field,
    many,
    nobody,
    secret_hash,
)
from backstay.testing import Trial

HEADER = "X-Basket-Token"


class Basket(Model):
    """What somebody carries, who may have no account."""

    owner: User | None = current_user()
    token_hash: Annotated[str, Len(0, 64)] = ""
    apples: Many[Apple] = many()

    def rules(self, me: User) -> Rules:
        mine = (self.owner == me) | (self.token_hash == me.brings(HEADER))
        return Rules(read=mine, update=mine, fields=[field(self.token_hash, read=nobody, write=nobody)])


class Apple(Model):
    """One apple of a basket."""

    basket: Basket
    name: str

    def rules(self, me: User) -> Rules:
        mine = (self.basket.owner == me) | (self.basket.token_hash == me.brings(HEADER))
        return Rules(read=mine, create=mine, delete=~(self.basket.token_hash == me.brings(HEADER)))


app = App("baskets", models=[Basket, Apple])


@app.action("POST /api/baskets", allow=anyone, status=201, expand=("apples",))
async def open_basket(tx: Transaction) -> Also[Basket]:
    """A basket of one's own, and for a stranger its secret."""
    token = secrets.token_hex(16)
    guest = tx.actor.id is None
    basket = await tx.as_system.create(
        Basket(owner=None if guest else tx.me, token_hash=secret_hash(token) if guest else "")
    )
    return Also(basket, {"token": token}, brings={HEADER: token}) if guest else Also(basket)


@app.action("POST /hooks/echo", allow=anyone, documented=False)
async def echo(tx: Transaction, raw: Raw) -> Reply:
    """The bytes that came."""
    return Reply(raw.body, headers=[("X-Signed", raw.headers["x-signature"])])


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def t(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    url = (
        "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_database")("secrets_of_records")
    )
    async with Trial(app, url) as trial:
        yield trial


async def basket(t: Trial, **how: Any) -> tuple[str, dict[str, str]]:
    opened = (await t.post("/api/baskets", **how)).ok().json
    return f"/api/baskets/{opened['id']}", {HEADER: opened.get("token", "")}


async def test_the_answer_to_a_stranger_has_the_secret_once(t: Trial) -> None:
    opened = (await t.post("/api/baskets")).ok()
    assert (opened.status, opened.json["apples"], len(opened.json["token"])) == (201, [], 32)
    path, mine = f"/api/baskets/{opened.json['id']}", {HEADER: opened.json["token"]}
    read = (await t.get(path, headers=mine)).ok().json
    assert sorted(read) == ["created_at", "id", "owner", "updated_at"]
    assert read["owner"] is None


async def test_the_secret_of_one_opens_that_one_and_no_other(t: Trial) -> None:
    one, first = await basket(t)
    other, second = await basket(t)
    (await t.get(one, headers=first)).ok()
    (await t.get(other, headers=first)).refused("not_found")
    (await t.get(one, headers={HEADER: "0" * 32})).refused("not_found")
    assert (await t.get(one)).status == 401
    assert (await t.get("/api/baskets", headers=first)).ok().json["data"][0]["id"] == one.rpartition("/")[2]
    assert len((await t.get("/api/baskets", headers=second)).json["data"]) == 1


async def test_rules_reach_the_secret_of_another_record(t: Trial) -> None:
    one, mine = await basket(t)
    _, others = await basket(t)
    apple = {"basket": one.rpartition("/")[2], "name": "Boskop"}
    assert (await t.post("/api/apples", apple, headers=others)).status == 422
    made = (await t.post("/api/apples", apple, headers=mine)).ok().json
    path = f"{one}?expand=apples"
    assert [a["name"] for a in (await t.get(path, headers=mine)).json["apples"]] == ["Boskop"]
    with t.counting() as statements:
        (await t.get(path, headers=mine)).ok()
    assert len(statements) == 1
    (await t.get(f"/api/apples/{made['id']}", headers=others)).refused("not_found")


async def test_without_the_header_no_comparison_holds_either_way(t: Trial) -> None:
    one, mine = await basket(t)
    apple = (await t.post("/api/apples", {"basket": one.rpartition("/")[2], "name": "Cox"}, headers=mine)).json
    ada = await t.user("ada@example.com")
    assert (await t.delete(f"/api/apples/{apple['id']}", as_=ada)).status in (403, 404)
    assert (await t.delete(f"/api/apples/{apple['id']}", headers=mine)).status == 403
    async with t.transaction() as tx:
        assert await tx.count(Apple) == 1


async def test_the_owner_needs_no_secret_and_a_stolen_cursor_is_worth_nothing(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    path, _ = await basket(t, as_=ada)
    (await t.get(path, as_=ada)).ok()
    one, mine = await basket(t)
    for name in ("Boskop", "Cox"):
        (await t.post("/api/apples", {"basket": one.rpartition("/")[2], "name": name}, headers=mine)).ok()
    page = (await t.get("/api/apples?limit=1", headers=mine)).ok().json
    following = f"/api/apples?limit=1&cursor={page['meta']['next_cursor']}"
    (await t.get(following, headers=mine)).ok()
    (await t.get(following, headers={HEADER: "0" * 32})).refused("invalid_cursor")


async def test_the_hash_is_nowhere_to_be_filtered_sorted_or_set(t: Trial) -> None:
    one, mine = await basket(t)
    known = secret_hash(mine[HEADER])
    (await t.get(f"/api/baskets?token_hash={known}", headers=mine)).refused("unknown_field")
    (await t.get("/api/baskets?sort=token_hash", headers=mine)).refused("unknown_field")
    (await t.patch(one, {"token_hash": known}, headers=mine)).refused("unknown_field")


async def test_answers_vary_with_the_header_and_browsers_may_send_it(t: Trial) -> None:
    answer = await t.get("/api/baskets", headers={HEADER: "0" * 32})
    assert HEADER.lower() in answer.headers["vary"].lower()
    asked = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "GET"}
    allowed = (await t.request("OPTIONS", "/api/baskets", headers=asked)).headers["access-control-allow-headers"]
    assert HEADER.lower() in allowed.lower()


async def test_a_raw_action_gets_the_bytes_of_any_type(t: Trial) -> None:
    headers = {"Content-Type": "text/plain", "X-Signature": "v1"}
    answer = await t.request("POST", "/hooks/echo", headers=headers, body=b"\x00not json")
    assert (answer.status, answer.body, answer.headers["x-signed"]) == (200, b"\x00not json", "v1")
    assert "/hooks/echo" not in (await t.get("/openapi.json")).json["paths"]
