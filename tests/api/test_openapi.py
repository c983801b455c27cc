"""The OpenAPI document says what is served, to whom it is served, and no more; the page that shows it loads nothing."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import annotated_types as at
import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from backstay.api.docs_page import DOCS_CSP, docs_files
from backstay.api.idempotency import EXCEPTIONS, parse_key
from backstay.api.json_schema import ecma, json_schema, nullable
from backstay.api.openapi import ActionDoc, openapi
from backstay.errors import CODES
from backstay.model.declare import Model, User
from backstay.model.field import Schema
from backstay.model.predicate import describe, normal
from backstay.model.rule import (
    Many,
    Rules,
    anyone,
    computed,
    current_user,
    field_rule,
    made_from,
    many,
    nobody,
    now,
    searchable,
    sequence,
    signed_in,
)
from backstay.model.schema import declare
from backstay.model.symbol import condition
from backstay.model.value import URL, BigInt, Currency, Digits, Email, Json, Kind, Money, Pattern, Secret, Slug, Unfit
from backstay.model.value import parse as parse_value
from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor
from backstay.plan.limits import Limits

ADA = Actor("01890a5d-ac96-774b-bcce-b302099a8057")
STAFF = Actor("01890a5d-ac96-774b-bcce-b302099a8057", frozenset({"staff"}))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Member(User):
    nickname: str = ""


class Maker(Model):
    """Who makes things."""

    name: str
    products: Many["Product"]

    def rules(self, me: Member) -> Rules:
        return Rules(read=anyone)


class Tag(Model):
    word: Slug

    def rules(self, me: Member) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


class Ledger(Model):
    """For the books."""

    product: "Product"
    entry: str

    def rules(self, me: Member) -> Rules:
        return Rules(read=me.has_role("staff"), create=me.has_role("staff"))


class Draft(Model):
    """Nobody may do anything with it."""

    words: str


class Product(Model):
    """A thing that is sold.

    It has one field of every kind.
    """

    name: Annotated[str, at.Len(1, 80), at.DocInfo("What people call it.")]
    slug: Slug = made_from("name")
    contact: Email | None = None
    page: URL | None = None
    code: Annotated[str, Pattern(r"[A-Z]{2}-\d{3}")] = "AB-123"
    stock: Annotated[int, at.Ge(0)] = 0
    number: int = sequence("products")
    views: BigInt = 0
    rating: float | None = None
    weight: Annotated[Decimal, Digits(8, 3), at.Ge(0)]
    active: bool = True
    made_on: date | None = None
    opens_at: time | None = None
    seen_at: datetime = now()
    lasts: timedelta | None = None
    token: UUID | None = None
    extra: Json | None = None
    words: Annotated[list[str], at.MaxLen(5)] = []  # noqa: RUF012
    colour: Colour = Colour.RED
    size: Literal[1, 2, 3] = 1
    price: Annotated[Money, Currency("EUR")]
    cost_zz: Money | None = None
    secret_zz: Secret | None = None
    owner: Member = current_user()
    maker: Maker
    ledgers: Many[Ledger]
    tags: Many[Tag] = many(through=True)

    @computed
    def label_zz(self) -> str:
        """How it is called inside."""
        return self.name + " (inside)"

    @computed
    def doubled(self) -> int:
        return self.stock * 2

    def rules(self, me: Member) -> Rules:
        return Rules(
            read=anyone,
            create=me.signed_in,
            update=(self.owner == me) | me.has_role("staff"),
            delete=me.has_role("staff"),
            fields=[
                field_rule(self.cost_zz, read=me.has_role("staff"), write=me.has_role("staff")),
                field_rule(self.label_zz, read=me.has_role("staff")),
                field_rule(self.ledgers, read=me.has_role("staff")),
                field_rule(self.rating, read=self.owner == me),
                field_rule(self.views, write=nobody),
            ],
        )

    def indexes(self) -> list[Any]:
        return [searchable(self.name)]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return declare([Member, Maker, Tag, Ledger, Draft, Product])


def document(schema: Schema, actor: Actor, **more: Any) -> dict[str, Any]:
    return openapi(schema, actor, Limits(), title="Shop", version="1.2.3", **more)


def listed(found: dict[str, Any]) -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in found["paths"].items() for method in methods}


def operation(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [o for path in found["paths"].values() for o in path.values() if o["operationId"] == name]
    return one


def parameters(found: dict[str, Any], name: str) -> set[str]:
    known = found["components"]["parameters"]
    every = [known[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation(found, name)["parameters"]]
    names = [p["name"] for p in every]
    assert len(names) == len(set(names))
    return set(names)


def properties(found: dict[str, Any], name: str) -> dict[str, Any]:
    schema = found["components"]["schemas"][name]
    if "allOf" in schema:  # the whole of a record is its parts, all of them
        return properties(found, schema["allOf"][0]["$ref"].rpartition("/")[2])
    return schema["properties"]


def strings(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


VIEWS = [(ANONYMOUS, False), (ADA, False), (STAFF, False), (SYSTEM, False), (ANONYMOUS, True)]


@pytest.mark.parametrize(("actor", "everything"), VIEWS)
def test_every_document_is_valid(schema: Schema, actor: Actor, everything: bool) -> None:
    actions = [
        ActionDoc("POST", "/api/products/{id}/ship", "Ship", {"type": "object", "properties": {"to": {}}},
                  allow=normal(condition(signed_in))),
        ActionDoc("GET", "/api/quote", "A quote", {"type": "object", "properties": {"n": {"type": "integer"}},
                                                   "required": ["n"]}, {"type": "number"}),
    ]  # fmt: skip
    found = document(schema, actor, everything=everything, actions=actions)
    OpenAPIV31SpecValidator(found).validate()
    for name, part in found["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(part)
        assert part, f"{name} was begun and not written"
    assert json.loads(json.dumps(found)) == found
    references = {text for text in strings(found) if text.startswith("#/")}
    for reference in references:
        node: Any = found
        for step in reference[2:].split("/"):
            node = node[step]
    ids = [o["operationId"] for path in found["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))


def test_the_anonymous_document_lists_what_anybody_and_any_account_may_do(schema: Schema) -> None:
    found = document(schema, ANONYMOUS)
    assert listed(found) == {
        "GET /api/members", "GET /api/members/aggregate", "GET /api/members/{id}", "PATCH /api/members/{id}",
        "GET /api/makers", "GET /api/makers/aggregate", "GET /api/makers/{id}",
        "GET /api/tags", "GET /api/tags/aggregate", "GET /api/tags/{id}", "POST /api/tags",
        "GET /api/products", "GET /api/products/aggregate", "GET /api/products/{id}", "POST /api/products",
        "PATCH /api/products/{id}", "PUT /api/members/{id}", "PUT /api/tags/{id}", "PUT /api/products/{id}",
        "POST /api/auth/signup", "POST /api/auth/login", "POST /api/auth/logout", "GET /api/auth/me", "GET /healthz",
        "GET /readyz",
        "POST /api/auth/refresh", "GET /api/auth/sessions", "DELETE /api/auth/sessions",
        "DELETE /api/auth/sessions/{id}", "POST /api/auth/password", "POST /api/batch", "GET /openapi.json",
        "GET /api/auth/keys", "POST /api/auth/keys", "DELETE /api/auth/keys", "DELETE /api/auth/keys/{id}",
        "POST /api/live/ticket",
    }  # fmt: skip
    assert operation(found, "list_products")["security"] == [{}, {"bearer": []}, {"cookie": []}]
    assert operation(found, "create_product")["security"] == [{"bearer": []}, {"cookie": []}]
    assert operation(found, "list_members")["security"] == [{"bearer": []}, {"cookie": []}]
    assert listed(document(schema, ADA)) == listed(found)
    staff = listed(document(schema, STAFF)) - listed(found)
    assert staff == {
        "DELETE /api/products/{id}", "GET /api/ledgers", "GET /api/ledgers/aggregate", "GET /api/ledgers/{id}",
        "POST /api/ledgers", "PUT /api/ledgers/{id}",
    }  # fmt: skip
    assert listed(document(schema, ANONYMOUS, everything=True)) == listed(document(schema, STAFF))
    assert not any("draft" in text.lower() for text in strings(document(schema, SYSTEM)["paths"]))


@pytest.mark.parametrize("actor", [ANONYMOUS, ADA])
def test_a_field_hidden_by_role_is_nowhere(schema: Schema, actor: Actor) -> None:
    found = document(schema, actor)
    texts = " ".join(strings(found))
    assert "cost_zz" not in texts
    assert "label_zz" not in texts
    assert "ledger" not in texts.lower()
    assert "disabled" not in properties(found, "Member")


def test_a_field_hidden_by_role_is_there_for_the_role_and_for_the_developer(schema: Schema) -> None:
    for found in (document(schema, STAFF), document(schema, ANONYMOUS, everything=True), document(schema, SYSTEM)):
        assert {"cost_zz", "label_zz", "ledgers"} <= set(properties(found, "Product"))
        assert {"cost_zz", "label_zz", "ledgers"} <= set(properties(found, "ProductFilter"))
        assert "cost_zz" in properties(found, "ProductCreate")
        assert {"cost_zz.amount[gte]", "cost_zz.currency", "label_zz"} <= parameters(found, "list_products")
        assert "Ledger" in found["components"]["schemas"]
        assert "disabled" in properties(found, "Member")


def test_a_field_visible_by_row_is_there_and_may_be_null(schema: Schema) -> None:
    assert "rating" not in properties(document(schema, ANONYMOUS), "Product")
    assert properties(document(schema, ADA), "Product")["rating"]["type"] == ["number", "null"]


def test_a_secret_can_be_sent_and_is_never_read_or_filtered(schema: Schema) -> None:
    for actor, everything in VIEWS:
        found = document(schema, actor, everything=everything)
        assert properties(found, "ProductCreate")["secret_zz"]["writeOnly"] is True
        assert "secret_zz" not in properties(found, "Product")
        assert "secret_zz" not in properties(found, "ProductFilter")
        assert not {name for name in parameters(found, "list_products") if name.startswith("secret_zz")}


def test_rules_are_told_to_the_developer_only(schema: Schema) -> None:
    entity = schema.entities["Product"]
    rules = [entity.rules["update"], entity.rules["delete"], entity.fields["cost_zz"].read]
    for actor in (ANONYMOUS, ADA, STAFF):
        texts = " ".join(strings(document(schema, actor)))
        assert not any(describe(rule) in texts for rule in rules)
        assert "has_role" not in texts
        assert "self." not in texts
    texts = " ".join(strings(document(schema, ANONYMOUS, everything=True)))
    assert all(describe(rule) in texts for rule in rules)


def test_bodies_take_what_a_client_may_set(schema: Schema) -> None:
    found = document(schema, ADA)
    create = found["components"]["schemas"]["ProductCreate"]
    server = {"id", "created_at", "updated_at", "number", "seen_at", "owner", "views", "doubled"}
    assert not server & set(create["properties"])
    assert create["required"] == ["name", "weight", "price", "maker"]
    assert create["additionalProperties"] is False
    assert create["properties"]["colour"] == {"type": "string", "enum": ["red", "blue"], "default": "red"}
    assert create["properties"]["name"]["description"] == "What people call it."
    update = found["components"]["schemas"]["ProductUpdate"]
    assert update["minProperties"] == 1
    assert "required" not in update
    record = properties(found, "Product")
    assert {name for name, part in record.items() if part.get("readOnly")} == server
    assert "name" in record
    assert properties(document(schema, ANONYMOUS), "Signup").keys() == {"email", "password", "name", "nickname"}
    ship = ActionDoc("POST", "/x/{id}", "X", {"type": "object", "properties": {"id": {"type": "integer"}, "to": {}}})
    action = document(schema, ADA, actions=[ship])["paths"]["/x/{id}"]["post"]
    assert action["parameters"] == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The argument `id`.",
            "schema": {"type": "integer"},
        },
        {"$ref": "#/components/parameters/idempotency_key"},
    ]
    assert action["requestBody"]["content"]["application/json"]["schema"]["properties"] == {"to": {}}


def test_the_definitions_of_an_action_are_moved_into_the_document(schema: Schema) -> None:
    @dataclass
    class Line:
        product: str
        amount: int

    @dataclass
    class Maker:  # a model has this name too
        lines: list[Line]

    taken = {"type": "object", "properties": {"quote": msgspec.json.schema(Maker)}, "required": ["quote"]}
    action = ActionDoc("POST", "/api/quote", "A quote.\n\nAt today's price.", taken, msgspec.json.schema(list[Line]))
    found = document(schema, ANONYMOUS, actions=[action])
    OpenAPIV31SpecValidator(found).validate()
    assert not any("$defs" in text for text in strings(found))
    post = found["paths"]["/api/quote"]["post"]
    assert (post["summary"], post["description"]) == ("A quote.", "At today's price.")
    sent = post["requestBody"]["content"]["application/json"]["schema"]["properties"]["quote"]
    assert sent == {"$ref": "#/components/schemas/Maker_"}
    assert properties(found, "Maker_")["lines"]["items"] == {"$ref": "#/components/schemas/Line"}
    assert "name" in properties(found, "Maker")


def test_an_action_answers_with_the_record_as_its_viewer_reads_it(schema: Schema) -> None:
    action = ActionDoc("POST", "/api/make", "Make one", record="Product", status=201, name="make")
    for actor, seen in ((ANONYMOUS, False), (STAFF, True)):
        found = document(schema, actor, actions=[action])
        answer = operation(found, "make")["responses"]["201"]["content"]["application/json"]["schema"]
        assert answer == {"anyOf": [{"$ref": "#/components/schemas/Product"}, {"type": "null"}]}
        assert ("cost_zz" in properties(found, "Product")) is seen


def test_a_record_and_a_list_of_the_contract_fit(schema: Schema) -> None:
    found = document(schema, ADA)
    store = {"$id": "urn:document", **found}
    uuid, stamp = "01890a5d-ac96-774b-bcce-b302099a8057", "2026-11-22T09:30:00.000000Z"
    maker = {"id": uuid, "created_at": stamp, "updated_at": stamp, "name": "Ada"}
    record = {
        "id": uuid, "created_at": stamp, "updated_at": stamp, "name": "Tea", "slug": "tea", "contact": None,
        "page": None, "code": "AB-123", "stock": 3, "number": 1, "views": "12", "rating": None, "weight": "1.500",
        "active": True, "made_on": "2026-11-22", "opens_at": "14:30:00.000000", "seen_at": stamp,
        "lasts": "PT5400.500000S", "token": uuid, "extra": {"a": [1]}, "words": ["a"], "colour": "red", "size": 1,
        "price": {"amount": 1999, "currency": "EUR"}, "owner": uuid, "maker": uuid, "doubled": 6,
    }  # fmt: skip
    page = {"data": [record, {**record, "maker": maker, "tags": []}], "meta": {"next_cursor": None, "total": 2}}
    check = {"$ref": "urn:document#/components/schemas/ProductList"}
    registry = jsonschema.validators.validator_for(check)
    validator = registry({**check, "$defs": {"document": store}})
    validator.validate(page)
    for wrong in ({**record, "views": 12}, {**record, "maker": None}, {**record, "weight": 1.5}):
        assert not validator.is_valid({**page, "data": [wrong]})


def test_filters_are_those_of_the_contract(schema: Schema) -> None:
    found = document(schema, ANONYMOUS)
    names = parameters(found, "list_products")
    expected = {"where", "sort", "fields", "expand", "search", "limit", "cursor", "page", "count",
                "stock", "stock[gte]", "stock[lt]", "price", "price[gte]", "colour",
                "words[contains]", "maker", "active", "made_on[lt]", "doubled[gte]"}  # fmt: skip
    assert expected <= names
    assert not {"extra", "tags", "active[gte]", "words"} & names
    assert "search" not in parameters(found, "list_makers")
    assert {"group_by", "sum", "avg", "min", "max", "count", "count_distinct"} <= parameters(
        found, "aggregate_products"
    )
    store = {"$id": "urn:document", **found}
    validator = jsonschema.Draft202012Validator(
        {"$ref": "urn:document#/components/schemas/ProductFilter", "$defs": {"document": store}}
    )
    for good in (
        {"or": [{"stock": {"eq": 0}}, {"name": {"contains": "tea"}}]},
        {"name": "Tea", "contact": None, "price": {"gte": 1000}},
        {"maker": {"name": {"starts_with": "A"}}, "tags": {"some": {"word": "x"}}},
        {"maker": "01890a5d-ac96-774b-bcce-b302099a8057", "not": {"colour": {"in": ["red"]}}},
        {"words": {"contains": "a"}, "extra": {"is_null": True}, "search": "tea"},
    ):
        validator.validate(good)
    for wrong in ({"nam": "x"}, {"name": {"contain": "x"}}, {"active": {"lt": True}}, {"cost_zz": 1}, {"stock": "x"}):
        assert not validator.is_valid(wrong), wrong


def test_every_error_code_appears_with_its_status(schema: Schema) -> None:
    found = document(schema, ANONYMOUS)
    for code, known in CODES.items():
        response = found["components"]["responses"][f"Problem{known.status}"]
        assert f"`{code}`" in response["description"]
        body = response["content"]["application/problem+json"]["schema"]
        assert code in body["allOf"][1]["properties"]["code"]["anyOf"][0]["enum"]
    assert set(operation(found, "get_product")["responses"]) >= {"200", "304", "400", "401", "404", "429", "503"}
    assert set(operation(found, "update_product")["responses"]) >= {
        "200", "204", "400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "503",
    }  # fmt: skip
    created = operation(found, "create_product")["responses"]["201"]
    assert set(created["headers"]) == {"Location", "ETag", "Idempotency-Replayed", "X-Request-ID"}
    assert set(operation(found, "list_products")["responses"]["200"]["headers"]) == {"ETag", "Link", "X-Request-ID"}
    for status in (409, 429, 503):  # of 409 where it is `in_progress`
        assert "Retry-After" in found["components"]["responses"][f"Problem{status}"]["headers"]


def test_many_records_are_written_as_the_server_takes_them(schema: Schema) -> None:
    found = document(schema, ADA)
    sent = operation(found, "create_product")["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    one = {"$ref": "#/components/schemas/ProductCreate"}
    assert sent == [one, {"type": "array", "items": one, "maxItems": 1_000}]
    put = operation(found, "put_product")
    assert set(put["responses"]) >= {"200", "201", "204", "403", "404", "412", "422"}
    assert put["requestBody"]["content"]["application/json"]["schema"] == one
    assert {f"{way['method']} {way['path']}" for way in ways(found)} == {
        "PATCH /api/members/{id}", "PUT /api/members/{id}", "POST /api/tags", "PUT /api/tags/{id}",
        "POST /api/products", "PUT /api/products/{id}", "PATCH /api/products/{id}",
    }  # fmt: skip
    assert "DELETE /api/products/{id}" in {f"{way['method']} {way['path']}" for way in ways(document(schema, STAFF))}
    for way in ways(found):
        asked = found["paths"][way["path"]][way["method"].lower()]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        assert way["body"] in asked.get("oneOf", [asked])


def ways(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations that a batch can hold, with their paths as the document writes them."""
    whole, several = found["components"]["schemas"]["Batch"]["oneOf"]
    assert whole["properties"]["operations"] == several
    every = [way["properties"] for way in several["items"]["oneOf"]]
    return [
        {"method": way["method"]["const"], "body": way["body"],
         "path": way["path"].get("const") or re.sub(r"/\[.*", "/{id}", way["path"]["pattern"]).lstrip("^")}
        for way in every
    ]  # fmt: skip


def test_every_unsafe_operation_takes_a_key(schema: Schema) -> None:
    """But those that are excepted by name."""
    pay = ActionDoc("POST", "/pay", "Pay", key_required=True)
    found = document(schema, ADA, actions=[pay, ActionDoc("DELETE", "/all", "All"), ActionDoc("GET", "/look", "Look")])
    without = []
    for path, operations in found["paths"].items():
        for method, said in operations.items():
            refs = [parameter.get("$ref", "") for parameter in said.get("parameters", [])]
            named = [ref.rpartition("/")[2] for ref in refs if "idempotency" in ref]
            if path == "/pay":
                assert named == ["idempotency_key_required"]
            elif not named:
                without.append(f"{method.upper()} {path}")
            else:
                assert named == ["idempotency_key"]
            if named:
                assert {"400", "409", "422"} <= set(said["responses"])
    unsafe = [said for said in without if not said.startswith("GET ")]
    assert sorted(unsafe) == sorted(EXCEPTIONS)
    parameters = found["components"]["parameters"]
    assert (parameters["idempotency_key"]["in"], parameters["idempotency_key"]["name"]) == ("header", "Idempotency-Key")
    assert parameters["idempotency_key_required"]["required"] is True
    allowed = re.compile(parameters["idempotency_key"]["schema"]["pattern"])
    for key in ("a", "x" * 255, "a b", "~", 'a"b'):
        assert allowed.search(key)
        assert parse_key(key.encode())
    for key in ("", " ", " a", "a ", chr(34), "\u00e9", "a\tb"):
        assert not allowed.search(key)


def test_fixed_names_give_way_to_models() -> None:
    class Problem(Model):
        text: str

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone, create=anyone)

    class ProblemCreate(Model):
        text: str

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone)

    class Odd(Model):
        where: str
        limit: int

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone)

    found = document(declare([Problem, ProblemCreate, Odd]), ANONYMOUS)
    OpenAPIV31SpecValidator(found).validate()
    assert "text" in properties(found, "Problem")
    assert "id" in properties(found, "ProblemCreate")
    assert "detail" in properties(found, "Problem_")
    assert set(properties(found, "ProblemCreate_")) == {"text"}
    assert "limit[gte]" not in parameters(found, "list_odds")
    assert {"where", "limit"} <= set(properties(found, "OddFilter"))


SAFE = 2**53 - 1
EUR = Kind("money", currency="EUR", ge=0)
SAMPLES: list[tuple[Kind, list[Any], list[Any]]] = [
    (Kind("text"), ["", "ä", "x" * 10_000], ["x" * 10_001, 1, None, True, []]),
    (Kind("text", min_length=2, max_length=3), ["ab", "abc", "👍👍"], ["a", "abcd"]),
    (Kind("text", format="email"), ["ada@example.com"], ["ada", "ada@x", "a b@example.com", "a@@example.com"]),
    (Kind("text", format="url"), ["http://a", "HTTPS://example.com/x?y#z"], ["ftp://a", "a", "http://", "http://a b"]),
    (Kind("text", format="slug"), ["a", "a-1"], ["A", "-a", "a--b", "a_b", ""]),
    (Kind("text", pattern="[A-Z]{2}|x"), ["AB", "x"], ["ABC", "A", "xx", "aAB"]),
    (Kind("text", pattern=r"(?P<n>\d{,2})\-[\w\-]+"), ["12-a", "-x-y"], ["123-a", "12"]),
    (Kind("text", format="slug", pattern="a.*"), ["a-b"], ["b", "a_b"]),
    (Kind("integer"), [0, SAFE, -SAFE], [SAFE + 1, -SAFE - 1, 1.5, "1", True, None]),
    (Kind("integer", ge=0, le=5), [0, 5], [-1, 6]),
    (Kind("integer", gt=0, lt=5, multiple_of=2), [2, 4], [0, 1, 3, 5, 6]),
    (Kind("big_integer"), ["0", "-12", "9007199254740993"], ["", "1.5", "x", "12345678901234567890", None, True]),
    (Kind("big_integer", ge=0), ["0", "7"], ["-1"]),
    (Kind("float"), [0, 1.5, -2e30], ["1", True, None]),
    (Kind("float", ge=0.5, lt=Decimal("1.5")), [0.5, 1], [0.4, 1.5]),
    (Kind("decimal", precision=5, scale=2), ["0", "12.5", "-999.99"], ["1000", "1.234", "x", "", "1,5", 1.5, None]),
    (Kind("decimal", precision=2, scale=2, ge=0), ["0.99", "0"], ["1.00", "-0.5"]),
    (Kind("decimal", precision=3, scale=0), ["12"], ["1.5", "1234"]),
    (Kind("boolean"), [True, False], [0, "true", None]),
    (Kind("date"), ["2026-11-22"], ["2026-13-01", "22.11.2026", 20261122, ""]),
    (Kind("time"), ["14:30:00", "00:00:00.5"], ["14:30", "24:00:00", "14:30:60", "x", "14:30:00Z", 1]),
    (Kind("datetime"), ["2026-11-22T09:30:00Z", "2026-11-22T09:30:00.5+02:00"],
     ["2026-11-22", "2026-11-22T09:30:00", 1]),
    (Kind("duration"), ["PT1H30M", "P1D", "-PT0.5S", "P1DT1S", "PT5400.500000S"],
     ["P", "PT", "P1DT", "1h", "P1Y", "P1W", 5]),
    (Kind("uuid"), ["01890a5d-ac96-774b-bcce-b302099a8057"], ["01890a5dac96774bbcceb302099a8057", "x", 1, None]),
    (Kind("json"), [{}, [], 1, "x", True, 1.5, {"a": None}], [None]),
    (Kind("list", item=Kind("integer", ge=0), min_length=1, max_length=2), [[1], [1, 2]],
     [[], [1, 2, 3], [-1], ["x"], 1]),
    (Kind("list", item=Kind("text")), [["x"] * 1000, []], [["x"] * 1001, {}]),
    (Kind("enum", choices=("a", "b")), ["a", "b"], ["c", 1, None]),
    (Kind("enum", choices=(1, 2)), [1, 2], [3, "1", None]),
    (Kind("money"), [{"amount": -5, "currency": "CHF"}], [{"amount": 1}, {"amount": 1, "currency": "chf"}, 1, "1 EUR"]),
    (EUR, [{"amount": 1, "currency": "EUR"}], [{"amount": 1, "currency": "CHF"}, {"amount": -1, "currency": "EUR"},
                                               {"amount": 1.5, "currency": "EUR"}]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "good", "bad"), SAMPLES, ids=[f"{k.name}-{i}" for i, (k, _, _) in enumerate(SAMPLES)])
def test_schema_and_parser_agree(kind: Kind, good: list[Any], bad: list[Any]) -> None:
    written = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(written)
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(written, format_checker=formats)
    for value in good:
        parse_value(kind, value)
        validator.validate(value)
    for value in written.get("examples", []):
        parse_value(kind, value)
        validator.validate(value)
    for value in bad:
        assert not validator.is_valid(value), value
        with pytest.raises(Unfit):
            parse_value(kind, value)
    or_null = jsonschema.Draft202012Validator(nullable(written), format_checker=formats)
    or_null.validate(None)
    or_null.validate(good[0])
    assert all(value is None or not or_null.is_valid(value) for value in bad)


def test_every_kind_is_sampled() -> None:
    from typing import get_args

    from backstay.model.value import KindName

    assert {kind.name for kind, _, _ in SAMPLES} == set(get_args(KindName))


@pytest.mark.parametrize(
    ("python", "script"),
    [
        (r"[A-Z]{2}-\d{3}", r"[A-Z]{2}-\d{3}"),
        (r"\-\@\"[\w\-\.]{,5}", r"-@\"[\w\-.]{0,5}".replace('\\"', '"').replace(r"\-.", r"\-\.")),
        (r"(?P<year>\d+)x{}", r"(?:\d+)x\{\}"),
        (r"a{1,2}b{3}", r"a{1,2}b{3}"),
        (r"[^\]]]", r"[^\]]\]"),
        (r"(?i)x", ""),
        (r"\Ax\Z", ""),
        (r"a++", ""),
        (r"[]a]", ""),
    ],
)
def test_patterns_become_ecmascript(python: str, script: str) -> None:
    assert ecma(python) == script


def test_a_pattern_without_a_counterpart_is_said_in_words() -> None:
    assert json_schema(Kind("text", pattern="(?i)x+")) == {
        "type": "string", "maxLength": 10_000, "pattern": r"^(?:[^\u0000]*)$",
        "description": "Matches (?i)x+ as a whole (a regular expression of Python).",
    }  # fmt: skip


LOADS = re.compile(
    rb"""(?:src|href|action|data-document)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?(?!["']?data:)[^)]{0,60}"""
)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    files = docs_files("Tea & <Co>")
    kinds = {path: kind.partition(";")[0] for path, (kind, _) in files.items()}
    assert kinds == {
        "/docs": "text/html", "/docs/swagger-ui.css": "text/css", "/docs/swagger-ui-bundle.js": "text/javascript",
        "/docs/docs.css": "text/css", "/docs/init.js": "text/javascript",
    }  # fmt: skip
    page = files["/docs"][1]().decode()
    assert "<title>Tea &amp; &lt;Co&gt;: API documentation</title>" in page
    assert 'data-document="openapi.json"' in page
    assert "{" not in page
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert set(named) == {"data:,", "openapi.json", *(path.removeprefix("/") for path in files if path != "/docs")}
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    for path, (_, read) in files.items():
        body = read()
        assert body, path
        assert b"sourceMappingURL" not in body
        if path != "/docs/swagger-ui-bundle.js":  # a program may have such texts; the policy keeps it from loading them
            assert LOADS.findall(body) == [], path
    for path in ("/docs/docs.css", "/docs/init.js", "/docs/swagger-ui.css"):
        hosts = set(re.findall(rb"https?://([\w.-]+)", files[path][1]()))
        assert hosts <= {b"www.w3.org"}, path


def test_the_policy_of_the_page_names_this_server_only() -> None:
    policy = dict(part.strip().split(" ", 1) for part in DOCS_CSP.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in DOCS_CSP
    assert "http" not in DOCS_CSP
    assert "*" not in DOCS_CSP


def test_a_many_to_many_relation_is_sent_as_a_list_of_ids() -> None:
    class Mark(Model):
        name: str

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone)

    class Picture(Model):
        title: str
        marks: Many[Mark] = many(through=True)

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone, create=anyone)

    document = openapi(declare([Mark, Picture]), ANONYMOUS, Limits(), title="t", version="1")
    sent = document["components"]["schemas"]["PictureCreate"]["properties"]
    assert sent["marks"]["items"] == {"type": "string", "format": "uuid"}


def test_a_sum_is_not_held_by_the_bounds_of_one_value(schema: Schema) -> None:
    found = document(schema, ANONYMOUS)["components"]["schemas"]
    row = found["ProductGroups"]["properties"]["data"]["items"]["properties"]
    many = {"amount": 2**60, "currency": "EUR"}
    validator = jsonschema.Draft202012Validator({**row["sum"], "components": {"schemas": found}})
    assert validator.is_valid({"price": many, "stock": 2**60})
    assert not validator.is_valid({"price": {**many, "currency": "USD"}})
    assert not jsonschema.Draft202012Validator({**row["max"], "components": {"schemas": found}}).is_valid(
        {"price": many}
    )
