"""New records inside a new record: each as if it were made alone, all of them or none, and every error at its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Len

from backstay import (
    App,
    Limits,
    Many,
    Model,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    field,
    made_from,
    many,
    on_delete,
    sequence,
    unique,
)
from backstay.errors import Denied
from backstay.model.field import Index
from backstay.model.value import Slug
from backstay.testing import Answer, Person, Trial

ABSENT = "01890a5d-ac96-774b-bcce-b302099a8001"


class Shelf(Model):
    """Where products stand; the staff makes them, and some are not shown."""

    name: Annotated[str, Len(1, 20)]
    slug: Slug = made_from("name")
    shown: bool = True
    parent: Shelf | None = None
    children: Many[Shelf] = many(via="parent")
    products: Many[Product] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=self.shown | me.has_role("staff"), create=me.has_role("staff"), update=me.has_role("staff"))

    def indexes(self) -> list[Index]:
        return [unique(self.name)]


class Tag(Model):
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.has_role("staff"), delete=me.has_role("staff"))


class Product(Model):
    name: Annotated[str, Len(1, 20)]
    draft: bool = False
    shelf: Shelf
    tags: Many[Tag] = many(through=True)

    def rules(self, me: User) -> Rules:
        return Rules(read=~self.draft | me.has_role("staff"), create=me.has_role("staff"))


class Order(Model):
    """One's own; it has at least one line, and a gift has no more than two."""

    number: int = sequence("order")
    customer: User = current_user()
    gift: bool = False
    note: str | None = None
    items: Many[Line] = many(via="order")
    events: Many[Event] = many()

    def rules(self, me: User) -> Rules:
        mine = self.customer == me
        return Rules(
            read=mine | me.has_role("staff"),
            create=mine & self.items.some() & (~self.gift | (self.items.count() <= 2)),
            update=mine,
        )  # fmt: skip


class Line(Model):
    order: Annotated[Order, on_delete("cascade")]
    product: Product
    quantity: Annotated[int, Ge(1)]
    discount: int = 0
    parts: Many[Part] = many()

    def rules(self, me: User) -> Rules:
        mine = self.order.customer == me
        return Rules(
            read=mine | me.has_role("staff"), create=mine & ((self.quantity < 100) | self.order.gift),
            fields=[field(self.discount, write=me.has_role("staff"))],
        )  # fmt: skip


class Part(Model):
    line: Annotated[Line, on_delete("cascade")]
    name: str
    rest: list[int] = []  # noqa: RUF012

    def rules(self, me: User) -> Rules:
        return Rules(read=self.line.order.customer == me, create=(self.line.order.customer == me) & (self.name != "no"))


class Event(Model):
    """What happened to an order: nobody but the application writes it."""

    order: Order
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=self.order.customer == me)


class Message(Model):
    """A contact form: anybody writes, and only the staff reads."""

    text: str
    attachments: Many[Attachment] = many()

    def rules(self, me: User) -> Rules:
        return Rules(create=anyone, read=me.has_role("staff"))


class Attachment(Model):
    message: Message
    name: Annotated[str, Len(1, 10)]

    def rules(self, me: User) -> Rules:
        return Rules(create=(self.message.text != "") | me.has_role("staff"), read=me.has_role("staff"))


class Team(Model):
    """Seen by its members, of whom it needs one."""

    name: str
    members: Many[Membership] = many(via="team")

    def rules(self, me: User) -> Rules:
        return Rules(read=self.members.some(lambda m: m.user == me), create=self.members.some(lambda m: m.user == me))


class Membership(Model):
    team: Team
    user: User = current_user()
    chief: bool = False

    def rules(self, me: User) -> Rules:
        return Rules(read=self.user == me, create=self.team.members.none(lambda m: m.user != me))


MODELS = [Shelf, Tag, Product, Order, Line, Part, Event, Message, Attachment, Team, Membership]


def make_app() -> App:
    app = App("nested", models=MODELS, limits=Limits(max_bulk=20, max_nesting=3, max_operations=5))

    @app.action("POST /api/careless", allow=anyone)
    async def careless(tx: Transaction, text: str) -> str:
        """Writes to us, and goes on whatever becomes of an order of nothing."""
        await tx.create(Message(text=text))
        with suppress(Denied):
            await tx.create(Order())
        return text

    return app


class Shop:
    """The application on trial, with a shelf, products and people."""

    def __init__(self, trial: Trial) -> None:
        self.t = trial

    async def fill(self) -> Shop:
        self.ada = await self.t.user("ada@example.com")
        self.bob = await self.t.user("bob@example.com")
        self.staff = await self.t.user("staff@example.com", roles=["staff"])
        self.shelf = await self.made("/api/shelfs", {"name": "Tea"})
        self.hidden_shelf = await self.made("/api/shelfs", {"name": "Cellar", "shown": False})
        self.tea = await self.made("/api/products", {"name": "Assam", "shelf": self.shelf})
        self.draft = await self.made("/api/products", {"name": "Secret", "draft": True, "shelf": self.shelf})
        self.tag = await self.made("/api/tags", {"name": "green"})
        return self

    async def made(self, path: str, body: Any) -> str:
        key: str = (await self.t.post(path, body, as_=self.staff)).ok().json["id"]
        return key

    async def post(self, path: str, body: Any, as_: Person | None = None) -> Answer:
        return await self.t.post(path, body, as_=as_ or self.ada)

    async def count(self) -> dict[str, int]:
        """How many records of each model there are."""
        async with self.t.transaction() as tx:
            return {model.__name__: await tx.count(model) for model in MODELS}

    def line(self, **values: Any) -> dict[str, Any]:
        return {"product": self.tea, "quantity": 2, **values}


def places(answer: Answer) -> list[tuple[str, str]]:
    return [(error["path"], error["code"]) for error in answer.json.get("errors", ())]


@pytest.fixture(params=["sqlite", "postgres"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    address = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_database")("nested")
    async with Trial(make_app(), address) as trial:
        yield await Shop(trial).fill()


async def test_children_are_made_with_their_parent(shop: Shop) -> None:
    made = await shop.post("/api/orders?expand=items.parts", {
        "note": "two", "items": [shop.line(parts=[{"name": "lid"}, {"name": "pot"}]), shop.line(quantity=3)],
    })  # fmt: skip
    assert made.status == 201, made.text
    order = made.json
    assert [line["quantity"] for line in order["items"]] == [2, 3]
    assert [line["order"] for line in order["items"]] == [order["id"]] * 2
    assert [[part["name"] for part in line["parts"]] for line in order["items"]] == [["lid", "pot"], []]
    assert (order["number"], order["customer"]) == (1, shop.ada.id)
    plain = await shop.post("/api/orders", {"items": [shop.line()]})
    assert (plain.status, "items" in plain.json, plain.json["number"]) == (201, False, 2)
    count = await shop.count()
    assert (count["Order"], count["Line"], count["Part"]) == (2, 3, 2)


async def test_what_a_record_refers_to_is_made_before_it(shop: Shop) -> None:
    body = {"name": "Sencha", "shelf": {"name": "Green", "parent": {"name": "Leaves"}}, "tags": [shop.tag]}
    made = await shop.post("/api/products?expand=shelf.parent,tags", body, shop.staff)
    assert made.status == 201, made.text
    assert (made.json["shelf"]["slug"], made.json["shelf"]["parent"]["name"]) == ("green", "Leaves")
    assert [tag["name"] for tag in made.json["tags"]] == ["green"]
    both = {"name": "Herbs", "children": [{"name": "Mint"}], "products": [{"name": "Sage"}], "parent": {"name": "All"}}
    shelf = (await shop.post("/api/shelfs?expand=children,products,parent", both, shop.staff)).ok().json
    names = (shelf["parent"]["name"], shelf["children"][0]["name"], shelf["products"][0]["name"])
    assert names == ("All", "Mint", "Sage")


async def test_every_wrong_value_of_every_record_is_told_at_its_place(shop: Shop) -> None:
    before = await shop.count()
    answer = await shop.post("/api/orders", {
        "number": 7, "gift": "yes",
        "items": [
            shop.line(),
            {"quantity": 0},
            shop.line(discount=5, order=ABSENT),
            3,
            shop.line(parts=[{"name": "lid"}, {"name": 5, "rest": [1, "x"]}], quantity=None),
            shop.line(parts={}),
        ],
    })  # fmt: skip
    assert answer.status == 422
    assert sorted(places(answer)) == [
        ("gift", "wrong_type"), ("items.1.product", "required"), ("items.1.quantity", "out_of_range"),
        ("items.2.discount", "read_only"), ("items.2.order", "read_only"), ("items.3", "wrong_type"),
        ("items.4.parts.1.name", "wrong_type"), ("items.4.parts.1.rest.1", "wrong_type"),
        ("items.4.quantity", "required"), ("items.5.parts", "wrong_type"), ("number", "read_only"),
    ]  # fmt: skip
    assert await shop.count() == before
    many = await shop.post("/api/orders", [{"items": [shop.line()]}, {"items": [shop.line(), {"product": 1}]}])
    assert places(many) == [("1.items.1.product", "wrong_type"), ("1.items.1.quantity", "required")]
    batch = [{"method": "PUT", "path": f"/api/orders/{ABSENT}", "body": {"items": [shop.line(quantity=0)]}}]
    assert places(await shop.post("/api/batch", batch)) == [("operations[0].items.0.quantity", "out_of_range")]
    for items in (None, "x", {}, 5):
        assert places(await shop.post("/api/orders", {"items": items})) == [("items", "wrong_type")]


async def test_a_name_that_does_not_exist_is_told_at_its_place(shop: Shop) -> None:
    answer = await shop.post("/api/orders", {"items": [shop.line(), shop.line(parts=[{"nme": "x"}])]})
    assert (answer.status, places(answer)) == (400, [("items.1.parts.0.nme", "unknown_field")])
    assert 'Did you mean "name"' in answer.json["detail"]


async def test_each_record_obeys_the_rules_of_its_own_model(shop: Shop) -> None:
    before = await shop.count()
    refused = [
        ({"items": []}, 403, [], "The rules of Order"),
        ({}, 403, [], "The rules of Order"),
        ({"gift": True, "items": [shop.line()] * 3}, 403, [], "The rules of Order"),
        ({"items": [shop.line(), shop.line(quantity=100)]}, 403, [("items.1", "denied")], "The rules of Line"),
        ({"items": [shop.line(parts=[{"name": "no"}])]}, 403, [("items.0.parts.0", "denied")], "The rules of Part"),
        ({"items": [shop.line()], "events": [{"text": "x"}]}, 403, [("events.0", "denied")], "Creating events"),
        ({"items": [shop.line(product={"name": "x", "shelf": shop.shelf})]}, 403,
         [("items.0.product", "denied")], "Creating products"),
    ]  # fmt: skip
    for body, status, at, said in refused:
        answer = await shop.post("/api/orders", body)
        assert (answer.status, places(answer)) == (status, at), body
        assert said in answer.json["detail"]
    assert await shop.count() == before
    assert (await shop.post("/api/orders", {"gift": True, "items": [shop.line(quantity=100)]})).status == 201


async def test_links_of_children_are_checked_as_ever(shop: Shop) -> None:
    answers = []
    for product in (shop.draft, ABSENT):
        answer = await shop.post("/api/orders", {"items": [shop.line(), shop.line(product=product)]})
        answers.append((answer.status, places(answer), answer.json["detail"]))
    assert answers[0] == answers[1] == (
        422, [("items.1.product", "not_found")], 'items.1: "product" names no record that you can see.',
    )  # fmt: skip


async def test_the_record_around_need_not_be_readable(shop: Shop) -> None:
    """Its maker cannot read it, nor refer to it afterwards; what was sent inside it is there all the same."""
    made = await shop.t.post("/api/messages", {"text": "Hello", "attachments": [{"name": "a"}, {"name": "b"}]})
    assert (made.status, made.body) == (201, b"")
    message = (await shop.t.get(made.headers["location"] + "?expand=attachments", as_=shop.staff)).json
    assert [attachment["name"] for attachment in message["attachments"]] == ["a", "b"]
    later = await shop.t.post("/api/attachments", {"message": message["id"], "name": "c"})
    assert places(later) == [("message", "not_found")]


async def test_rules_of_parent_and_child_may_look_at_each_other(shop: Shop) -> None:
    assert (await shop.post("/api/teams", {"name": "x"})).status == 403
    made = (await shop.post("/api/teams?expand=members", {"name": "x", "members": [{"chief": True}]})).ok()
    assert [(m["user"], m["chief"]) for m in made.json["members"]] == [(shop.ada.id, True)]
    late = await shop.post("/api/memberships", {"team": made.json["id"]}, shop.bob)
    assert places(late) == [("team", "not_found")]


async def test_a_taken_value_is_told_at_its_place_and_undoes_all(shop: Shop) -> None:
    before = await shop.count()
    answer = await shop.post("/api/shelfs", {"name": "x", "children": [{"name": "y"}, {"name": "Tea"}]}, shop.staff)
    assert (answer.status, places(answer)) == (409, [("children.1.name", "not_unique")])
    answer = await shop.post("/api/products", {"name": "x", "shelf": {"name": "Tea"}}, shop.staff)
    assert (answer.status, places(answer)) == (409, [("shelf.name", "not_unique")])
    assert await shop.count() == before


async def test_a_new_record_is_sent_inside_a_new_one_only(shop: Shop) -> None:
    order = (await shop.post("/api/orders", {"items": [shop.line()]})).json["id"]
    for method in ("PATCH", "PUT"):
        answer = await shop.t.request(method, f"/api/orders/{order}", {"items": [shop.line()]}, as_=shop.ada)
        assert (answer.status, places(answer)) == (422, [("items", "read_only")])
        assert "inside a new record only" in answer.json["detail"]
    answer = await shop.t.patch(f"/api/shelfs/{shop.shelf}", {"parent": {"name": "x"}}, as_=shop.staff)
    assert (answer.status, places(answer)) == (422, [("parent", "wrong_type")])
    put = await shop.t.request("PUT", f"/api/orders/{ABSENT}", {"items": [shop.line()]}, as_=shop.ada)
    assert (put.status, put.json["id"]) == (201, ABSENT)
    again = await shop.t.request("PUT", f"/api/orders/{ABSENT}", {"note": "kept"}, as_=shop.ada)
    assert again.status == 200
    assert (await shop.count())["Line"] == 2
    tags = await shop.post("/api/products", {"name": "x", "shelf": shop.shelf, "tags": [{"name": "new"}]}, shop.staff)
    assert (tags.status, places(tags)) == (422, [("tags.0", "wrong_type")])


async def test_lists_and_batches_take_them_too(shop: Shop) -> None:
    made = await shop.post("/api/orders?expand=items", [{"items": [shop.line()]}, {"items": [shop.line()] * 2}])
    assert (made.status, [len(order["items"]) for order in made.json["data"]]) == (201, [1, 2])
    refused = await shop.post("/api/orders", [{"items": [shop.line()]}, {"items": [shop.line(quantity=100)]}])
    assert (refused.status, places(refused)) == (403, [("1.items.0", "denied")])
    batch = [
        {"method": "POST", "path": "/api/orders", "body": {"items": [shop.line()]}},
        {"method": "POST", "path": "/api/orders", "body": {}},
    ]
    answer = await shop.post("/api/batch", batch)
    assert (answer.status, places(answer)) == (403, [("operations[1]", "denied")])
    assert (await shop.post("/api/batch", batch[:1])).json["data"][0]["status"] == 201
    assert (await shop.count())["Order"] == 3


async def test_there_is_a_limit_to_depth_and_number(shop: Shop) -> None:
    body: dict[str, Any] = {"name": "0"}
    for level in range(1, 5):
        body = {"name": str(level), "children": [body]}
    answer = await shop.post("/api/shelfs", body, shop.staff)
    assert (answer.status, places(answer)) == (422, [("children.0.children.0.children.0.children", "too_deep")])
    assert (await shop.post("/api/shelfs", body["children"][0], shop.staff)).status == 201
    twenty = [{"name": f"n{number}"} for number in range(20)]
    assert (await shop.post("/api/shelfs", {"name": "x", "children": twenty}, shop.staff)).code == "too_large"
    assert (
        await shop.post("/api/shelfs", [{"name": "x", "children": twenty[:10]}] * 2, shop.staff)
    ).code == "too_large"
    halves = [
        {"method": "POST", "path": "/api/shelfs", "body": {"name": f"{half}", "children": twenty[half : half + 10]}}
        for half in (0, 10)
    ]
    assert (await shop.post("/api/batch", halves, shop.staff)).code == "too_large"
    assert (await shop.post("/api/shelfs", {"name": "x", "children": twenty[:19]}, shop.staff)).status == 201


def test_the_document_says_what_may_stand_inside() -> None:
    app = make_app()
    document = app.openapi(["staff"])
    schemas = document["components"]["schemas"]
    order = schemas["OrderCreate"]["properties"]
    assert order["items"]["items"] == {"$ref": "#/components/schemas/LineCreateInOrder"}
    assert "events" not in order  # nobody makes those
    line = schemas["LineCreateInOrder"]
    assert set(line["properties"]) == {"product", "quantity", "discount", "parts"}
    assert line["required"] == ["product", "quantity"]
    assert line["properties"]["product"]["anyOf"][1] == {"$ref": "#/components/schemas/ProductCreate"}
    assert line["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/PartCreateInLine"}
    assert set(schemas["LineCreate"]["properties"]) == {"order", "product", "quantity", "discount", "parts"}
    assert "items" not in schemas["OrderUpdate"]["properties"]
    names = {
        parameter["$ref"].rpartition("/")[2] for parameter in document["paths"]["/api/orders"]["post"]["parameters"]
    }
    assert names >= {"orders.fields", "orders.expand"}
    plain = app.openapi(["nobody"])["components"]["schemas"]
    assert "anyOf" not in plain["LineCreateInOrder"]["properties"]["product"]  # who may make no products
    assert "discount" not in plain["LineCreateInOrder"]["properties"]


async def test_what_is_shown_of_a_write_is_looked_at_before_it(shop: Shop) -> None:
    before = await shop.count()
    body = {"items": [shop.line()]}
    for query, code in (
        ("fields=nothing", "unknown_field"), ("expand=nothing", "unknown_field"), ("limit=1", "unknown_parameter"),
        ("expand=number", "unknown_relation"),
    ):  # fmt: skip
        (await shop.post(f"/api/orders?{query}", body)).refused(code)
        (await shop.post(f"/api/orders?{query}", [body])).refused(code)
        (await shop.t.request("PUT", f"/api/orders/{ABSENT}?{query}", body, as_=shop.ada)).refused(code)
        (await shop.t.patch(f"/api/orders/{ABSENT}?{query}", {"note": "x"}, as_=shop.ada)).refused(code)
    (await shop.t.delete(f"/api/tags/{shop.tag}?fields=id", as_=shop.staff)).refused("unknown_parameter")
    (await shop.post("/api/batch?fields=id", [])).refused("unknown_parameter")
    assert (await shop.t.post("/api/messages?fields=id", {"text": "x"})).status == 401  # nobody reads it
    assert await shop.count() == before
    shown = (await shop.post("/api/orders?fields=id&expand[items][fields]=quantity&expand[items][limit]=1", body)).ok()
    assert set(shown.json) == {"id", "items"}
    assert shown.json["items"] == [{"quantity": 2}]
    order = shown.json["id"]
    changed = await shop.t.patch(f"/api/orders/{order}?fields=note", {"note": "x"}, as_=shop.ada)
    assert changed.ok().json == {"note": "x"}


async def test_an_action_that_swallows_a_refusal_commits_nothing_of_it(shop: Shop) -> None:
    """It is answered with what was refused, with a key too; whoever wrote at the same moment is not touched."""
    before = await shop.count()
    key = {"idempotency-key": "careless-1"}
    answers = await asyncio.gather(
        shop.post("/api/careless", {"text": "one"}),
        shop.t.post("/api/careless", {"text": "two"}, as_=shop.ada, headers=key),
        *(shop.post("/api/messages", {"text": str(number)}) for number in range(4)),
    )
    assert [answer.status for answer in answers] == [403, 403, 201, 201, 201, 201]
    assert [answer.code for answer in answers[:2]] == ["denied", "denied"]
    again = await shop.t.post("/api/careless", {"text": "two"}, as_=shop.ada, headers=key)
    assert (again.status, again.code) == (403, "denied")
    assert await shop.count() == {**before, "Message": before["Message"] + 4}
