"""Mutations and actions by GraphQL: the same write path, rules and keys as by REST, one transaction for each field."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from annotated_types import Ge, Len

from backstay import (
    Also,
    App,
    Conflict,
    Context,
    Currency,
    Many,
    Model,
    Money,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    many,
    role,
    signed_in,
)
from backstay import field as field_rule
from backstay.testing import Person, Trial

STAFF = "staff"


class Rack(Model):
    name: Annotated[str, Len(1, 20)]
    boxes: Many["Box"]

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)


class Label(Model):
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


class Box(Model):
    name: Annotated[str, Len(1, 20)]
    price: Annotated[Money, Currency("EUR")] = Money(0, "EUR")
    state: Literal["open", "shut"] = "open"
    unit_count: Annotated[int, Ge(0)] = 0
    secret_note: str = ""
    owner: User = current_user()
    rack: Rack | None = None
    labels: Many[Label] = many(through=True)

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        return Rules(
            read=anyone, create=me.signed_in, update=mine, delete=mine,
            fields=[field_rule(self.secret_note, read=role(STAFF), write=role(STAFF))],
        )  # fmt: skip


class Letter(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=me.has_role(STAFF), create=anyone)


@dataclass
class Line:
    box: UUID
    how_many: Annotated[int, Ge(1)]


@dataclass
class Quote:
    line_count: int
    total: Money
    note: str | None = None


def make_app() -> App:
    app = App("boxes", models=[Rack, Label, Box, Letter])

    @app.action("POST /api/quote", allow=anyone)
    async def quote(ctx: Context, lines: list[Line], how: Literal["fast", "slow"] = "slow") -> Quote:
        """What it would cost."""
        return Quote(len(lines), Money(100 * sum(line.how_many for line in lines), "EUR"), how)

    @app.action("POST /api/boxes/{box_id}/shut", allow=signed_in)
    async def shut_box(tx: Transaction, box_id: UUID) -> Box:
        """Shut a box of one's own."""
        box = await tx.get(Box, box_id)
        if box.state == "shut":
            raise Conflict("It is shut.", code="shut_already")
        return await tx.update(box, state="shut")

    @app.action("GET /api/greeting", allow=anyone)
    async def greeting(ctx: Context, name: str = "you") -> str:
        return f"Hello {name}"

    @app.action("POST /api/pay", allow=signed_in, idempotency_key="required")
    async def pay(ctx: Context, amount: int) -> None: ...

    @app.action("POST /api/gift", allow=signed_in)
    async def gift(tx: Transaction) -> Also[Box]:
        return Also(await tx.as_system.create(Box(name="Gift")), {"token": "secret"})

    return app


@pytest.fixture(params=["sqlite", "postgres"])
async def t(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    url = "sqlite://"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_database")("graphql_mutations")
    async with Trial(make_app(), url) as trial:
        yield trial


async def ask(
    t: Trial, query: str, as_: Person | None = None, headers: dict[str, str] | None = None, **variables: Any
) -> Any:
    accept = {"accept": "application/graphql-response+json", **(headers or {})}
    return (await t.post("/graphql", {"query": query, "variables": variables}, as_=as_, headers=accept)).json


def codes(body: Any) -> list[str]:
    return [error["extensions"]["code"] for error in body["errors"]]


async def test_a_record_is_made_changed_and_deleted(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    label = (await ask(t, 'mutation { createLabel(input: {name: "blue"}) { id } }', ada))["data"]["createLabel"]["id"]
    made = await ask(
        t,
        """mutation ($input: BoxCreate!) { createBox(input: $input) {
             __typename id name price { amount } state unitCount owner { id } ownerId labels { name } } }""",
        ada,
        input={"name": "One", "price": {"amount": 250, "currency": "EUR"}, "unitCount": 3, "labels": [label]},
    )
    box = made["data"]["createBox"]
    assert box == {
        "__typename": "Box", "id": box["id"], "name": "One", "price": {"amount": 250}, "state": "open",
        "unitCount": 3, "owner": {"id": ada.id}, "ownerId": ada.id, "labels": [{"name": "blue"}],
    }  # fmt: skip
    assert (await t.get(f"/api/boxes/{box['id']}")).json["unit_count"] == 3
    changed = await ask(
        t, "mutation ($id: ID!) { updateBox(id: $id, input: {state: shut}) { state name } }", ada, id=box["id"]
    )
    assert changed["data"] == {"updateBox": {"state": "shut", "name": "One"}}
    gone = await ask(t, "mutation ($id: ID!) { deleteBox(id: $id) { id name } }", ada, id=box["id"])
    assert gone["data"] == {"deleteBox": {"id": box["id"], "name": "One"}}
    assert (await t.get(f"/api/boxes/{box['id']}")).status == 404


async def test_records_inside_a_record_are_made_with_it(t: Trial) -> None:
    staff = await t.user("staff@example.com", roles=[STAFF])
    made = await ask(
        t,
        """mutation { createRack(input: {name: "Left", boxes: [{name: "A", secretNote: "x"}, {name: "B"}]}) {
             boxes(orderBy: {name: ASC}) { name secretNote rack { name } } } }""",
        staff,
    )
    assert made["data"]["createRack"]["boxes"] == [
        {"name": "A", "secretNote": "x", "rack": {"name": "Left"}},
        {"name": "B", "secretNote": "", "rack": {"name": "Left"}},
    ]
    above = await ask(
        t, 'mutation { createBox(input: {name: "C", rack: {name: "Right"}}) { rack { name } rackId } }', staff
    )
    rack = above["data"]["createBox"]["rackId"]
    assert above["data"]["createBox"]["rack"] == {"name": "Right"}
    twice = await ask(
        t, 'mutation ($r: ID!) { createBox(input: {name: "D", rackId: $r, rack: {name: "X"}}) { id } }', staff, r=rack
    )
    assert codes(twice) == ["bad_request"]


async def test_fields_are_carried_out_in_order_and_each_alone(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    body = await ask(
        t,
        """mutation { a: createBox(input: {name: "A"}) { name }
                      b: createBox(input: {name: "", unitCount: -1}) { name }
                      c: createBox(input: {name: "C"}) { name }
                      __typename }""",
        ada,
    )
    assert body["data"] == {"a": {"name": "A"}, "b": None, "c": {"name": "C"}, "__typename": "Mutation"}
    (error,) = body["errors"]
    assert error["path"] == ["b"]
    assert error["extensions"]["code"] == "invalid"
    assert [(one["path"], one["code"]) for one in error["extensions"]["errors"]] == [
        ("name", "too_short"), ("unitCount", "out_of_range"),
    ]  # fmt: skip
    assert [box["name"] for box in (await t.get("/api/boxes?sort=name")).json["data"]] == ["A", "C"]


async def test_rules_hold_as_by_rest(t: Trial) -> None:
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
    box = (await ask(t, 'mutation { createBox(input: {name: "A"}) { id } }', ada))["data"]["createBox"]["id"]
    for query in (
        f'mutation {{ updateBox(id: "{box}", input: {{name: "B"}}) {{ id }} }}',
        f'mutation {{ deleteBox(id: "{box}") {{ id }} }}',
    ):
        body = await ask(t, query, bob)
        assert (codes(body), list(body["data"].values())) == (["denied"], [None])
        body = await ask(t, query.replace(box, "01890a5d-ac96-774b-bcce-b302099a8057"), bob)
        assert codes(body) == ["not_found"]
        assert codes(await ask(t, query)) == ["not_signed_in"]
    assert (await t.get(f"/api/boxes/{box}")).json["name"] == "A"
    assert codes(await ask(t, 'mutation { createBox(input: {name: "A"}) { id } }')) == ["not_signed_in"]
    refused = await ask(t, 'mutation { createRack(input: {name: "A"}) { id } }', ada)
    assert codes(refused)[0] == "denied"


async def test_a_field_that_may_not_be_set_is_in_no_input(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    told = []
    for name in ("secretNote", "secretMote"):
        for query, variables in (
            (f'mutation {{ createBox(input: {{name: "A", {name}: "x"}}) {{ id }} }}', {}),
            (f'mutation {{ updateBox(id: "x", input: {{{name}: "x"}}) {{ id }} }}', {}),
            ("mutation ($i: BoxCreate!) { createBox(input: $i) { id } }", {"i": {"name": "A", name: "x"}}),
        ):
            body = await ask(t, query, ada, **variables)
            assert codes(body) == ["unknown_field"], body
            plain = str(body).replace(name, "…").replace("secret_note", "…").replace("secret_mote", "…")
            told.append(plain)
    assert told[:3] == told[3:]
    assert (await t.get("/api/boxes")).json["data"] == []


async def test_what_one_may_write_and_not_read_is_null(t: Trial) -> None:
    body = await ask(t, 'mutation { createLetter(input: {text: "Hi"}) { id } }')
    assert body == {"data": {"createLetter": None}}
    staff = await t.user("staff@example.com", roles=[STAFF])
    assert (await ask(t, "{ letters { nodes { text } } }", staff))["data"]["letters"]["nodes"] == [{"text": "Hi"}]


async def test_a_key_makes_one_effect(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    key = {"idempotency-key": "a key that is long enough"}
    one = 'mutation { createBox(input: {name: "A"}) { id } }'
    first, again = await ask(t, one, ada, key), await ask(t, one, ada, key)
    assert first == again
    assert (await ask(t, one.replace('"A"', '"B"'), ada, key))["code"] == "idempotency_key_reused"
    both = 'mutation { a: createBox(input: {name: "B"}) { id } b: createBox(input: {name: "C"}) { id } }'
    other = {"idempotency-key": "another key, for two of them"}
    assert await ask(t, both, ada, other) == await ask(t, both, ada, other)
    assert len((await t.get("/api/boxes")).json["data"]) == 3


async def test_what_failed_and_left_nothing_is_done_anew(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    key = {"idempotency-key": "a key that is long enough"}
    box = (await ask(t, 'mutation { createBox(input: {name: "A", state: shut}) { id } }', ada))["data"]["createBox"]
    text = "mutation ($id: ID!) { shutBox(boxId: $id) { state } }"
    assert codes(await ask(t, text, ada, key, id=box["id"])) == ["shut_already"]
    await t.patch(f"/api/boxes/{box['id']}", {"state": "open"}, as_=ada)
    assert (await ask(t, text, ada, key, id=box["id"]))["data"] == {"shutBox": {"state": "shut"}}


async def test_actions_are_fields(t: Trial) -> None:
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
    box = (await ask(t, 'mutation { createBox(input: {name: "A"}) { id } }', ada))["data"]["createBox"]["id"]
    quoted = await ask(
        t,
        """mutation ($lines: [LineInput!]!) { quote(lines: $lines, how: fast) {
             lineCount sum: total { amount __typename } note __typename } }""",
        lines=[{"box": box, "howMany": 2}],
    )
    assert quoted["data"]["quote"]["lineCount"] == 1
    assert quoted["data"]["quote"]["sum"]["amount"] == 200
    assert quoted["data"]["quote"]["note"] == "fast"
    assert quoted["data"]["quote"]["__typename"] == "Quote"
    wrong = await ask(t, "mutation ($l: [LineInput!]!) { quote(lines: $l) { note } }", l=[{"box": box, "howMany": 0}])
    assert wrong["errors"][0]["extensions"]["errors"][0]["path"] == "lines[0].howMany"
    shut = f'mutation {{ shutBox(boxId: "{box}") {{ state owner {{ id }} }} }}'
    assert codes(await ask(t, shut)) == ["not_signed_in"]
    assert codes(await ask(t, shut, bob)) == ["denied"]
    assert (await ask(t, shut, ada))["data"] == {"shutBox": {"state": "shut", "owner": {"id": ada.id}}}
    assert codes(await ask(t, shut, ada)) == ["shut_already"]
    with t.counting() as statements:
        said = await ask(t, '{ greeting(name: "Ada") other: greeting boxes { nodes { name } } }')
    assert said["data"] == {"greeting": "Hello Ada", "other": "Hello you", "boxes": {"nodes": [{"name": "A"}]}}
    assert len(statements) == 1
    assert codes(await ask(t, "mutation { pay(amount: 5) }", ada)) == ["idempotency_key_required"]
    paid = await ask(t, "mutation { pay(amount: 5) }", ada, {"idempotency-key": "a key that is long enough"})
    assert paid == {"data": {"pay": True}}
    gift = await ask(t, "mutation { gift { record { name } more } }", ada)
    assert "errors" not in gift, gift
    assert gift["data"] == {"gift": {"record": {"name": "Gift"}, "more": {"token": "secret"}}}


async def test_a_page_of_another_site_changes_nothing(t: Trial) -> None:
    await t.app.running.accounts.create_user("ada@example.com", "correct horse battery", [])
    asked = {"email": "ada@example.com", "password": "correct horse battery", "cookie": True}
    login = (await t.post("/api/auth/login", asked, headers={"sec-fetch-site": "same-origin"})).ok()
    cookie = "; ".join(line.partition(";")[0] for line in login.headers["set-cookie"].splitlines())
    text = 'mutation { createBox(input: {name: "A"}) { id } }'
    foreign = {"cookie": cookie, "sec-fetch-site": "cross-site"}
    assert (await t.post("/graphql", {"query": text}, headers=foreign)).code == "cross_site"
    assert (await t.get("/api/boxes")).json["data"] == []
    own = await t.post("/graphql", {"query": text}, headers={"cookie": cookie, "sec-fetch-site": "same-origin"})
    assert own.json["data"]["createBox"]["id"]
