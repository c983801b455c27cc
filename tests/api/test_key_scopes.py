"""A key reaches what its scopes name, through every route the router has, and answers there as for its owner."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backstay import App, Context, Many, Model, Rules, Transaction, User, anyone, current_user, many, nobody, signed_in
from backstay.auth.key import Keys
from backstay.plan import resolve
from backstay.plan.actor import Actor
from backstay.plan.scope import GRANTS
from backstay.testing import Answer, Person, Trial
from tests.golden.client import parse_rest, send, turn_to
from tests.golden.conftest import Door, open_shop

VERBS = tuple(GRANTS)
OPEN = {"/openapi.json", "/healthz", "/readyz", "/metrics"}
"""Routes that have nothing to do with records: a key may read them like everybody."""
FOR_ALL = {"/api/auth/signup", "/api/auth/login", "/api/auth/refresh", "/api/auth/me", "/graphql"}
"""Account routes that do not ask who somebody is, the one that says so, and the one where a document says what."""


class Box(Model):
    """Where things stand."""

    name: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in, update=me.signed_in, delete=me.signed_in)


class Thing(Model):
    """Something on a box."""

    name: str = ""
    stock: int = 0
    box: Box | None = None
    related: Many[Thing] = many(through=True)
    loans: Many[Loan] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in, update=me.signed_in, delete=me.signed_in)


class Loan(Model):
    """Who has a thing; seen by them, as long as it stands on no box called secret."""

    thing: Thing | None = None
    holder: User = current_user()
    days: int = 1

    def rules(self, me: User) -> Rules:
        mine = (self.holder == me) & ~(self.thing.box.name == "secret")
        return Rules(read=mine, create=mine, update=mine, delete=mine)


MODELS = [Box, Thing, Loan]
PLURALS = ("users", "boxes", "things", "loans")


def make_app() -> App:
    """An application with every kind of route."""
    app = App("lending", models=MODELS)

    @app.action("POST /api/quote", allow=anyone)
    async def quote(ctx: Context) -> int:
        async with ctx.transaction() as tx:
            return await tx.count(Thing) + await tx.count(Loan)

    @app.action("GET /api/first", allow=signed_in)
    async def first(ctx: Context) -> Thing:
        async with ctx.transaction() as tx:
            return (await tx.find(Thing, sort="name"))[0]

    @app.action("DELETE /api/never", allow=nobody)
    async def never(ctx: Context) -> None:
        raise AssertionError

    @app.before_create(Box)
    async def counted(tx: Transaction, box: Box) -> None:
        await tx.count(Loan)  # own code reads what it needs, whoever asked

    return app


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    """The application with one thing."""
    async with Trial(make_app()) as trial:
        yield trial


async def key_of(t: Trial, person: Person, *scopes: str) -> str:
    """A key of somebody."""
    made = await t.app.running.accounts.keys.make(Actor(person.id), {"name": "test", "scopes": list(scopes)})
    return made.text


def needs(answer: Answer) -> str:
    """The scope that is missing, if that is what was answered."""
    if answer.code != "insufficient_scope":
        return ""
    assert answer.status == 403
    (scope,) = [part for part in answer.headers["www-authenticate"].split('"') if ":" in part]
    assert scope in answer.json["detail"]
    return scope


def routes(t: Trial) -> Iterator[tuple[str, str]]:
    """Every method of every path that the router has."""
    for route in t.app.running.router.routes:
        for method in route.handlers:
            yield method, route.path


def wanted(method: str, path: str) -> tuple[str, str] | None:
    """The model and the verb of a route that serves records."""
    _, api, plural, *rest = [*path.split("/"), ""]
    if api != "api" or plural not in PLURALS or rest not in ([""], ["{id}", ""], ["aggregate", ""]):
        return None
    return plural, {"GET": "read", "HEAD": "read", "POST": "create", "PATCH": "update", "DELETE": "delete",
                    "PUT": "create"}[method]  # fmt: skip


NEW = "01a20603-d2e4-7000-b5b5-{:012x}"


async def test_every_route_to_records_is_open_to_its_scopes_and_to_no_others(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    places: list[str | None] = [None, *PLURALS]
    number = 0
    seen = set()
    for place in places:
        person = await t.user(f"{place}@example.com")
        for verb in (*VERBS, *(["actions", "action:quote"] if place is None else [])):
            scope = verb if place is None else f"{place}:{verb}"
            key = await key_of(t, person, scope)
            for method, path in routes(t):
                if (want := wanted(method, path)) is None:
                    continue
                number += 1
                seen.add(want)
                plural, action = want
                allowed = place in (None, plural) and action in GRANTS.get(verb, ())
                body = {"PATCH": {"name": "x"}, "POST": {}, "PUT": {}}.get(method)
                if plural == "loans" and method == "PATCH":
                    body = {"days": 2}
                to = path.replace("{id}", ada.id if plural == "users" and method != "PUT" else NEW.format(number))
                answer = await t.request(method, to, body, as_=key)
                told, missing = needs(answer), "" if allowed else f"{plural}:{action}"
                if method == "HEAD":  # which has no body to say it
                    told = missing if (answer.status == 403) == bool(missing) else "wrong"
                assert told == missing, (scope, method, path, answer.status, answer.body)
                assert answer.status < 500
    assert len(seen) == 4 * 4


async def test_every_other_route_is_known_to_this_test(t: Trial) -> None:
    """A route that is new is decided on here: for its scope, for all, or for no key."""
    person = await t.user("ada@example.com")
    everything = await key_of(t, person, "write", "actions")
    actions = {(action.method, action.path) for action in t.app.actions}
    for method, path in routes(t):
        if (
            wanted(method, path) is not None
            or path in OPEN | FOR_ALL | {"/api/batch"}
            or path.startswith(("/docs", "/dev/"))
        ):
            continue
        if (method if method != "HEAD" else "GET", path) in actions:
            continue
        body = {} if method in ("POST", "PUT", "PATCH") else None
        answer = await t.request(method, path.replace("{id}", person.id), body, as_=everything)
        assert method == "HEAD" or answer.code == "not_for_keys", (method, path)
        assert answer.status == 403, (method, path)


async def test_a_key_may_ask_whose_it_is(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    seen = await t.get("/api/auth/me", as_=await key_of(t, ada, "users:read"))
    assert seen.json["email"] == "ada@example.com"
    assert (await t.get("/api/auth/me", as_=await key_of(t, ada, "read"))).json == seen.json
    assert (await t.get("/api/auth/me", as_=await key_of(t, ada, "loans:write"))).json == {"id": ada.id}


# Ways from one model into another.

WAYS = [
    ("loans", "GET /api/loans?expand=thing", "things:read"),
    ("loans", "GET /api/loans?expand=thing.box", "things:read"),
    ("loans", "GET /api/loans?thing.name=x", "things:read"),
    ("loans", "GET /api/loans?fields=thing.name", "things:read"),
    ("loans", "GET /api/loans?sort=thing.name", "things:read"),
    ("loans", 'GET /api/loans?where={"thing":{"name":{"eq":"x"}}}', "things:read"),
    ("loans", 'GET /api/loans?where={"not":{"thing":{"stock":{"gt":1}}}}', "things:read"),
    ("loans", "GET /api/loans/aggregate?group_by=thing.name&count=*", "things:read"),
    ("loans", "GET /api/loans/aggregate?sum=thing.stock", "things:read"),
    ("loans", "GET /api/loans/01a20603-d2e4-7000-b5b5-3f12c022c0ce?expand=thing", "things:read"),
    ("things", "GET /api/things?expand=loans", "loans:read"),
    ("things", 'GET /api/things?where={"loans":{"some":{"days":{"gt":1}}}}', "loans:read"),
    ("things", 'GET /api/things?where={"loans":{"none":{"days":{"gt":1}}}}', "loans:read"),
    ("things", "GET /api/things?expand=box", "boxes:read"),
    ("things", "GET /api/things?box.name=x", "boxes:read"),
    ("loans", "GET /api/loans?holder.email=x@example.com", "users:read"),
]


@pytest.mark.parametrize(("plural", "asked", "needed"), WAYS)
async def test_a_question_needs_the_scope_of_every_model_it_touches(
    t: Trial, plural: str, asked: str, needed: str
) -> None:
    ada = await t.user("ada@example.com")
    path = asked.removeprefix("GET ")
    assert needs(await t.get(path, as_=await key_of(t, ada, f"{plural}:write"))) == needed
    more = [f"{plural}:read", needed, "boxes:read"]
    with_it, hers = await t.get(path, as_=await key_of(t, ada, *more)), await t.get(path, as_=ada)
    assert (with_it.status, with_it.body) == (hers.status, hers.body) or hers.status == 404 == with_it.status


async def test_what_joins_two_models_goes_with_them(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    one = (await t.post("/api/things", {"name": "a"}, as_=ada)).json["id"]
    key = await key_of(t, ada, "things:write")
    two = (await t.post("/api/things", {"name": "b", "related": [one]}, as_=key)).ok().json["id"]
    seen = await t.get(f"/api/things/{two}?expand=related", as_=key)
    assert [thing["name"] for thing in seen.json["related"]] == ["a"]


async def test_rules_are_not_held_to_scopes(t: Trial) -> None:
    """The rule of loans looks at things and boxes; that is its developer's doing."""
    ada = await t.user("ada@example.com")
    await t.post("/api/loans", {"days": 3}, as_=ada)
    seen = await t.get("/api/loans", as_=await key_of(t, ada, "loans:read"))
    assert [loan["days"] for loan in seen.json["data"]] == [3]


# Writing.


async def test_who_may_only_create_is_told_nothing_back(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    key = await key_of(t, ada, "things:create")
    answer = await t.post("/api/things", {"name": "a"}, as_=key)
    assert (answer.status, answer.body) == (201, b"")
    assert (await t.get(answer.headers["location"], as_=ada)).json["name"] == "a"
    assert needs(await t.get(answer.headers["location"], as_=key)) == "things:read"
    many_ = await t.post("/api/things", [{"name": "b"}, {"name": "c"}], as_=key)
    assert (many_.status, many_.json) == (201, {"data": []})


async def test_a_reference_needs_the_scope_to_see_it(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    box = (await t.post("/api/boxes", {"name": "s"}, as_=ada)).json["id"]
    narrow, wide = await key_of(t, ada, "things:write"), await key_of(t, ada, "things:write", "boxes:read")
    assert needs(await t.post("/api/things", {"box": box}, as_=narrow)) == "boxes:read"
    thing = (await t.post("/api/things", {"box": box}, as_=wide)).ok().json["id"]
    # What nobody speaks of needs no scope: a whole record without its box has none.
    assert (await t.request("PUT", f"/api/things/{thing}", {"name": "x"}, as_=narrow)).ok().json["box"] is None
    assert needs(await t.patch(f"/api/things/{thing}", {"box": box}, as_=narrow)) == "boxes:read"


async def test_a_put_needs_the_scope_of_what_it_does(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    there = (await t.post("/api/things", {"name": "a"}, as_=ada)).json["id"]
    create, update = await key_of(t, ada, "things:create"), await key_of(t, ada, "things:update")
    assert (await t.request("PUT", f"/api/things/{there}", {"name": "b"}, as_=update)).status == 200
    assert needs(await t.request("PUT", f"/api/things/{NEW.format(1)}", {}, as_=update)) == "things:create"
    assert (await t.request("PUT", f"/api/things/{NEW.format(2)}", {}, as_=create)).status == 201
    assert (await t.request("PUT", f"/api/things/{there}", {"name": "c"}, as_=create)).refused("denied")
    assert (await t.get(f"/api/things/{there}", as_=ada)).json["name"] == "b"


async def test_a_batch_is_held_to_the_scopes_and_undone_by_the_first_that_is_missing(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    key = await key_of(t, ada, "things:write")
    operations = [
        {"method": "POST", "path": "/api/things", "body": {"name": "a"}},
        {"method": "POST", "path": "/api/boxes", "body": {"name": "s"}},
    ]
    answer = (await t.post("/api/batch", operations, as_=key)).refused("insufficient_scope")
    assert answer.json["errors"][0]["path"] == "operations[1]"
    assert (await t.get("/api/things", as_=ada)).json["data"] == []
    (await t.post("/api/batch", operations[:1], as_=key)).ok()


async def test_hooks_run_as_the_owner(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    assert (await t.post("/api/boxes", {}, as_=await key_of(t, ada, "boxes:create"))).status == 201


# Actions.


async def test_an_action_is_called_by_its_own_scope_and_does_what_its_owner_may(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    await t.post("/api/things", {"name": "a"}, as_=ada)
    await t.post("/api/loans", {}, as_=ada)
    quote, every, data = [await key_of(t, ada, scope) for scope in ("action:quote", "actions", "write")]
    assert [(await t.post("/api/quote", {}, as_=key)).json for key in (quote, every)] == [2, 2]
    assert (await t.get("/api/first", as_=every)).json["name"] == "a"
    assert needs(await t.get("/api/first", as_=quote)) == "action:first"
    assert needs(await t.post("/api/quote", {}, as_=data)) == "action:quote"
    assert needs(await t.get("/api/things", as_=every)) == "things:read"
    (await t.delete("/api/never", as_=every)).refused("denied")


# The description, the log, the plans.


async def test_the_description_is_the_keys_own(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    document = (await t.get("/openapi.json", as_=await key_of(t, ada, "loans:read"))).json
    served = {path for path in document["paths"] if path.split("/")[2:3] in ([plural] for plural in PLURALS)}
    assert served == {"/api/loans", "/api/loans/{id}", "/api/loans/aggregate"}
    assert {*document["paths"]["/api/loans"]} == {"get"}
    assert "Box" not in document["components"]["schemas"]


async def test_the_log_names_the_key(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    key = await key_of(t, ada, "read")
    log = t.app.running.log
    log._stream, log.json, log.level = io.StringIO(), True, 0
    await t.get("/api/things", as_=key)
    await t.get("/api/things", as_=ada)
    log.flush()
    with_key, without = [json.loads(line) for line in log._stream.getvalue().splitlines()]
    (shown,) = await t.app.running.accounts.keys.own(Actor(ada.id))
    assert (with_key["actor"], with_key["key"]) == (ada.id, shown.id)
    assert (without["actor"], "key" in without) == (ada.id, False)


async def test_plans_are_shared_by_those_of_the_same_scopes_alone(t: Trial) -> None:
    """A plan that was made for somebody who may is not used for somebody who may not, in whatever order they come."""
    ada = await t.user("ada@example.com")
    may, must_not = await key_of(t, ada, "read"), await key_of(t, ada, "loans:read")
    for path in ("/api/things", "/api/things?expand=box", "/api/things?name=x"):
        for _ in range(2):
            assert (await t.get(path, as_=ada)).status == 200
            assert (await t.get(path, as_=may)).status == 200
            assert needs(await t.get(path, as_=must_not)) == "things:read"
    for _ in range(2):
        assert (await t.post("/api/things", {"name": "x"}, as_=ada)).status == 201
        assert needs(await t.post("/api/things", {"name": "x"}, as_=may)) == "things:create"


async def test_a_check_left_out_would_be_caught(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: the planner asks for no scope."""
    monkeypatch.setattr(resolve, "permitted", lambda *_: True)
    with pytest.raises(AssertionError):
        await test_every_route_to_records_is_open_to_its_scopes_and_to_no_others(t)


async def test_scopes_left_out_of_the_standing_would_be_caught(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: plans are remembered for everybody with the same roles."""
    monkeypatch.setattr(Actor, "standing", property(lambda self: (self.id is not None, self.roles, self.system)))
    with pytest.raises(AssertionError):
        await test_plans_are_shared_by_those_of_the_same_scopes_alone(t)


# Every golden question.

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Door]:
    """The golden shop."""
    door = await open_shop("sqlite", f"sqlite:///{tmp_path}/shop.db")
    yield door
    await door.app.stop()


async def test_a_key_is_answered_as_its_owner_or_refused(shop: Door) -> None:
    keys: Keys = shop.app.running.accounts.keys
    asked = 0
    for folder in sorted(GOLDEN.iterdir()):
        actor = (folder / "actor.txt").read_text().strip() if (folder / "rest.txt").exists() else "anonymous"
        if actor == "anonymous":
            continue
        asked += 1
        question = parse_rest((folder / "rest.txt").read_text())
        owner = shop.actors[actor]
        cursor = await turn_to(shop.app, question, shop.tokens[actor])
        hers = await send(shop.app, question, shop.tokens[actor], cursor)
        await keys.revoke_all(owner)
        for scopes in (["read"], ["write", "actions"], ["create", "actions"], ["orders:read"]):
            key = (await keys.make(owner, {"name": "x", "scopes": scopes})).text
            answer = await send(shop.app, question, key, cursor)
            same = (answer.status, answer.body) == (hers.status, hers.body)
            missing = answer.status == 403 and answer.parsed["code"] == "insufficient_scope"
            assert same or missing, folder.name
            assert same or scopes not in (["read"], ["write", "actions"]), folder.name
            assert missing or "create" not in scopes or hers.status != 200, folder.name
    assert asked > 30


async def test_a_document_is_asked_within_the_scopes_of_its_key(t: Trial) -> None:
    person = await t.user("ada@example.com")
    await t.post(
        "/api/things", {"name": "Cup", "box": (await t.post("/api/boxes", {}, as_=person)).json["id"]}, as_=person
    )
    key = await key_of(t, person, "things:read", "action:quote")

    async def ask(query: str, **variables: str) -> Any:
        body = (await t.post("/graphql", {"query": query, "variables": variables}, as_=key)).json
        return body.get("data"), [error["extensions"]["code"] for error in body.get("errors", ())]

    data, codes = await ask("{ things { totalCount } boxes { totalCount } first { id } }")
    assert data["things"] is not None
    assert (data["boxes"], data["first"]) == (None, None)
    assert codes == ["insufficient_scope"] * 2
    (thing, *_) = (await t.get("/api/things", as_=key)).json["data"]
    data, codes = await ask("mutation ($id: ID!) { deleteThing(id: $id) { id } quote }", id=thing["id"])
    assert (data["deleteThing"], codes) == (None, ["insufficient_scope"])
    assert data["quote"] is not None
    (box, *_) = (await t.get("/api/boxes", as_=person)).json["data"]
    assert await ask("query ($id: ID!) { node(id: $id) { id } }", id=box["id"]) == ({"node": None}, [])
