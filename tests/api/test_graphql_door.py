"""`/graphql` through the whole front: who sees which schema, what is answered in part, what is refused and how."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from click.testing import CliRunner
from graphql import build_schema, validate_schema

from backstay import App, BigInt, Currency, Email, Limits, Many, Model, Money, Rules, User, anyone, computed, role
from backstay import field as field_rule
from backstay.api.graphiql_page import GRAPHIQL_FILES
from backstay.api.graphql_exchange import Asked
from backstay.api.graphql_persisted import Persisted, hash_of, read_listed
from backstay.api.graphql_schema import Graphs
from backstay.cli.commands import backstay
from backstay.settings import Settings
from backstay.testing import Person, Trial

STAFF = "staff"
RESPONSE = "application/graphql-response+json"


class Rack(Model):
    """Where things stand."""

    name: str
    things: Many["Thing"]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.has_role(STAFF))


class Thing(Model):
    name: str
    price: Annotated[Money, Currency("EUR")]
    cost: Annotated[Money, Currency("EUR")] | None = None
    state: Literal["new", "used"] = "new"
    size: Literal["5 cm", "10 cm"] | None = None
    serial: BigInt | None = None
    rack: Rack
    owner: User | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, fields=[field_rule(self.cost, read=role(STAFF))])

    @computed
    def cheap(self) -> bool:
        """Whether it costs less than five."""
        return self.price < 500


class Letter(Model):
    """For the staff alone."""

    text: str
    sender: Email

    def rules(self, me: User) -> Rules:
        return Rules(read=me.has_role(STAFF), create=anyone)


class Diary(Model):
    text: str
    writer: User

    def rules(self, me: User) -> Rules:
        return Rules(read=self.writer == me)


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    async with Trial(App("things", models=[Rack, Thing, Letter, Diary])) as trial:
        async with trial.transaction() as tx:
            rack = await tx.create(Rack(name="Left"))
            await tx.create(Thing(name="Cup", price=Money(450, "EUR"), cost=Money(200, "EUR"), rack=rack))
            await tx.create(
                Thing(name="Pot", price=Money(900, "EUR"), size="5 cm", serial=2**60, rack=rack, state="used")
            )
            await tx.create(Letter(text="Hello", sender="ada@example.com"))
        yield trial


async def ask(t: Trial, query: str, as_: Person | None = None, **variables: Any) -> Any:
    answer = await t.post("/graphql", {"query": query, "variables": variables}, as_=as_, headers={"accept": RESPONSE})
    assert answer.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    return answer.json


def codes(body: Any) -> list[str]:
    return [error["extensions"]["code"] for error in body["errors"]]


async def test_three_roots_of_three_levels_are_one_statement(t: Trial) -> None:
    with t.counting() as statements:
        body = await ask(
            t,
            """query ($least: Long!) {
                 racks { totalCount nodes { name things(orderBy: {name: DESC}) { name rack { id name } } } }
                 things(where: {price: {gte: $least}}, orderBy: {name: ASC}, first: 1) {
                   edges { cursor node { name state size serial cheap __typename } } pageInfo { hasNextPage } }
                 thingsAggregate(groupBy: ["state"]) { count group { state } sum { price { amount __typename } } }
                 __typename
               }""",
            least=1,
        )
    assert len(statements) == 1
    (rack,) = body["data"]["racks"]["nodes"]
    assert [thing["name"] for thing in rack["things"]] == ["Pot", "Cup"]
    assert rack["things"][0]["rack"]["name"] == "Left"
    (edge,) = body["data"]["things"]["edges"]
    assert edge["node"] == {
        "name": "Cup", "state": "new", "size": None, "serial": None, "cheap": True, "__typename": "Thing",
    }  # fmt: skip
    assert body["data"]["thingsAggregate"] == [
        {"count": 1, "group": {"state": "new"}, "sum": {"price": {"amount": 450, "__typename": "Money"}}},
        {"count": 1, "group": {"state": "used"}, "sum": {"price": {"amount": 900, "__typename": "Money"}}},
    ]
    assert body["data"]["__typename"] == "Query"


async def test_what_one_may_not_ask_is_null_beside_what_one_may(t: Trial) -> None:
    text = "{ racks { nodes { name } } diaries { nodes { text } } again: racks { totalCount } }"
    with t.counting() as statements:
        body = await ask(t, text)
    assert len(statements) == 1
    assert body["data"] == {"racks": {"nodes": [{"name": "Left"}]}, "diaries": None, "again": {"totalCount": 1}}
    (error,) = body["errors"]
    assert error["path"] == ["diaries"]
    assert error["extensions"] == {"code": "not_signed_in"}
    ada = await t.user("ada@example.com")
    assert (await ask(t, text, ada))["data"]["diaries"] == {"nodes": []}


async def test_hidden_reads_like_absent_however_it_is_asked(t: Trial) -> None:
    staff = await t.user("staff@example.com", roles=[STAFF])
    asks = (
        "{ things { nodes { NAME { amount } } } }",
        "{ things { nodes { NAME } } }",
        "{ racks { nodes { things { NAME { currency } } } } }",
        "{ things(where: {NAME: {lt: 5}}) { totalCount } }",
        "{ things(where: {or: [{not: {NAME: {isNull: true}}}]}) { totalCount } }",
        "{ racks(where: {things: {some: {NAME: {lt: 5}}}}) { totalCount } }",
        "{ things(orderBy: {NAME: ASC}) { totalCount } }",
        "{ thingsAggregate { sum { NAME { amount } } } }",
        '{ thingsAggregate(groupBy: ["NAME"]) { count } }',
        "{ thingsAggregate(orderBy: {max: {NAME: ASC}}) { count } }",
        "query ($w: ThingFilter) { things(where: $w) { totalCount } }",
        "query ($o: [ThingOrder!]) { things(orderBy: $o) { totalCount } }",
    )
    for text in asks:
        told = []
        for name in ("cost", "coat"):
            sent = {"w": {name: {"lt": 5}}} if "$w" in text else {"o": {name: "ASC"}} if "$o" in text else {}
            body = await ask(t, text.replace("NAME", name), **sent)
            assert "data" not in body, text
            told.append(str(body).replace(name, "…"))
        assert told[0] == told[1], text
        assert codes(body)[0] in ("unknown_field", "bad_request"), body
        sent = {"w": {"cost": {"lt": 5}}} if "$w" in text else {"o": {"cost": "ASC"}} if "$o" in text else {}
        assert "unknown_field" not in str(await ask(t, text.replace("NAME", "cost"), staff, **sent))


async def test_no_suggestion_names_what_is_hidden(t: Trial) -> None:
    body = await ask(t, "{ things { nodes { cots nam } } }")
    assert "cost" not in str(body)
    assert "Did you mean 'name'?" in str(body)


async def test_a_model_that_one_may_never_read_is_refused_as_by_rest(t: Trial) -> None:
    ada, staff = await t.user("ada@example.com"), await t.user("staff@example.com", roles=[STAFF])
    for who in (None, ada):
        rest = await t.get("/api/letters", as_=who)
        for text in ("{ letters { totalCount } }", '{ letter(id: "x") { id } }', "{ lettersAggregate { count } }"):
            body = await ask(t, text, who)
            assert codes(body) == [rest.code]
            assert body["errors"][0]["message"] == rest.json["detail"]
    assert (await ask(t, "{ letters { nodes { text } } }", staff))["data"]["letters"]["nodes"] == [{"text": "Hello"}]


async def test_a_record_is_found_by_its_id_alone(t: Trial) -> None:
    (thing, _) = (await t.get("/api/things?sort=name")).json["data"]
    (rack,) = (await t.get("/api/racks")).json["data"]
    staff = await t.user("staff@example.com", roles=[STAFF])
    (letter,) = (await t.get("/api/letters", as_=staff)).json["data"]
    text = """query ($id: ID!) { node(id: $id) { __typename id ... on Thing { name ...More } ... on Node { key: id } } }
              fragment More on Thing { price { amount } }"""
    with t.counting() as statements:
        body = await ask(t, text, id=thing["id"])
    assert len(statements) == 1
    assert body["data"]["node"] == {
        "__typename": "Thing", "id": thing["id"], "name": "Cup", "price": {"amount": 450}, "key": thing["id"],
    }  # fmt: skip
    assert (await ask(t, text, id=rack["id"]))["data"]["node"]["__typename"] == "Rack"
    assert (await ask(t, text, id=letter["id"]))["data"] == {"node": None}
    assert (await ask(t, text, staff, id=letter["id"]))["data"]["node"]["__typename"] == "Letter"


async def test_the_schema_of_each_standing_is_valid_and_its_own(t: Trial) -> None:
    graphs = Graphs(t.app.schema, Limits())
    whole = graphs.whole()
    assert validate_schema(whole.schema) == []
    assert "cost: Money\n" in whole.printed()
    assert "size: String" in whole.printed()  # its choices are no names
    assert "enum ThingState {\n  new\n  used\n}" in whole.printed()
    ada = await t.user("ada@example.com")
    for who in (None, ada):
        text = "{ __schema { types { name fields { name } inputFields { name } } } }"
        told = str(await ask(t, text, who))
        assert "'price'" in told
        assert "'cost'" not in told
        assert "LetterConnection" not in told
    staff = await t.user("staff@example.com", roles=[STAFF])
    assert "LetterConnection" in str(await ask(t, text, staff))


async def test_schemas_are_made_once_and_their_number_is_bounded(t: Trial) -> None:
    graphs = t.app.running.graphql.graphs
    for number in range(80):
        await ask(t, "{ __typename }", await t.user(f"p{number}@example.com", roles=[f"role{number}"]))
    assert len(graphs._made) == 64
    before = list(graphs._made.values())
    await ask(t, "{ __typename }", await t.user("again@example.com", roles=["role79"]))
    assert list(graphs._made.values()) == before


async def test_introspection_is_off_in_production() -> None:
    app = App("things", models=[Rack, Thing, Letter, Diary])
    running = await app.start(Settings(database_url="sqlite://", secret_key="0123456789" * 4), extend=True)
    try:
        assert not running.graphql.introspection
    finally:
        await app.stop()
    running = await app.start(
        Settings(database_url="sqlite://", secret_key="0123456789" * 4, introspection=True), extend=True
    )
    try:
        assert running.graphql.introspection
    finally:
        await app.stop()


async def test_without_introspection_a_type_has_its_name_still(t: Trial) -> None:
    t.app.running.graphql.introspection = False
    body = await ask(t, "{ __schema { types { name } } }")
    assert codes(body) == ["introspection_off"]
    assert (await ask(t, "{ __typename racks { __typename } }"))["data"] == {
        "__typename": "Query", "racks": {"__typename": "RackConnection"},
    }  # fmt: skip


# By HTTP.


async def test_a_query_may_stand_in_the_address_and_a_mutation_may_not(t: Trial) -> None:
    found = await t.get("/graphql?query={ racks { nodes { name } } }")
    assert (found.status, found.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert found.json == {"data": {"racks": {"nodes": [{"name": "Left"}]}}}
    with_variables = await t.get('/graphql?query=query($n:Int){ racks(first:$n){totalCount} }&variables={"n":1}')
    assert with_variables.json == {"data": {"racks": {"totalCount": 1}}}
    refused = await t.get("/graphql?query=mutation { __typename }")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert codes(refused.json) == ["method_not_allowed"]
    assert codes((await t.get("/graphql?query={__typename}&x=1")).json) == ["unknown_parameter"]


async def test_a_refusal_has_its_status_for_those_who_know_the_type(t: Trial) -> None:
    for query, code in (("{", "bad_request"), ("{ nothing }", "unknown_field"), ("", "bad_request")):
        known = await t.post("/graphql", {"query": query}, headers={"accept": RESPONSE})
        old = await t.post("/graphql", {"query": query})
        assert (known.status, old.status) == (400, 200)
        assert codes(known.json) == codes(old.json) == [code]
    answer = await t.post("/graphql", {"query": "{ __typename }"}, headers={"accept": "text/html"})
    assert answer.status == 406
    told = (await ask(t, "{\n  racks { nam }\n}"))["errors"][0]
    assert told["locations"] == [{"line": 2, "column": 11}]


async def test_a_body_is_json_and_says_it(t: Trial) -> None:
    form = await t.request(
        "POST", "/graphql", body=b"query={__typename}", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert (form.status, codes(form.json)) == (415, ["unsupported_media_type"])
    for body in ({}, {"query": 5}, {"query": "{__typename}", "variables": []}, {"query": "{a}", "operationName": 1}):
        assert (await t.post("/graphql", body)).status == 400
    batch = await t.post("/graphql", [{"query": "{ __typename }"}])
    assert batch.status == 400


async def test_a_document_has_limits(t: Trial) -> None:
    wide = " ".join(f"a{i}: name" for i in range(61))
    named = " ".join(f"... on Rack {{ a{i}: name }}" for i in range(101))
    for text in (
        f"{{ racks {{ nodes {{ {wide} }} }} }}",
        f"{{ racks {{ nodes {{ {named} }} }} }}",
        "{ racks { nodes " + "{ things { rack " * 7 + "{ id }" + " } }" * 7 + " } }",
        f"{{ {' '.join(f'a{i}: __typename' for i in range(21))} }}",
        f"{{ {'a ' * 2001} }}",
        "{ racks(first: 200) { nodes { things(first: 200) { rack { things(first: 200) { id } } } } } }",
    ):
        body = await ask(t, text)
        assert codes(body) == ["too_expensive"], text


async def test_many_fields_of_one_name_are_merged_in_one_pass(t: Trial) -> None:
    body = await ask(t, f"{{ racks {{ nodes {{ {'name ' * 1900} }} }} }}")
    assert body["data"]["racks"]["nodes"] == [{"name": "Left"}]
    body = await ask(t, "{ racks { nodes { name name: id } } }")
    assert codes(body) == ["bad_request"]


# Documents that are known by an id.


async def test_a_document_may_be_known_by_its_hash(t: Trial) -> None:
    text = "{ racks { totalCount } }"
    named = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}
    unknown = await t.post("/graphql", named)
    assert (unknown.status, codes(unknown.json)) == (400, ["unknown_document"])
    assert unknown.json["errors"][0]["message"] == "PersistedQueryNotFound"
    answer = {"data": {"racks": {"totalCount": 1}}}
    assert (await t.post("/graphql", {"query": text, **named})).json == answer
    assert (await t.post("/graphql", named)).json == answer
    other = await t.post("/graphql", {"query": "{ __typename }", **named})
    assert codes(other.json) == ["bad_request"]
    assert (await t.post("/graphql", named)).json == answer


async def test_where_documents_are_listed_no_others_are_answered(tmp_path: Path) -> None:
    text = "{ racks { totalCount } }"
    file = tmp_path / "documents.json"
    for content in ({"one": text}, {"operations": [{"id": "one", "name": "One", "body": text}]}):
        file.write_text(json.dumps(content))
        app = App("things", models=[Rack, Thing, Letter, Diary])
        async with Trial(app) as t:
            app.running.graphql.persisted = Persisted(Limits(), read_listed(str(file)))
            for body in (
                {"documentId": "one"}, {"documentId": f"sha256:{hash_of(text)}"}, {"query": text},
            ):  # fmt: skip
                assert (await t.post("/graphql", body)).json == {"data": {"racks": {"totalCount": 0}}}
            named = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of("{ __typename }")}}}
            for body in ({"query": "{ __typename }"}, {"documentId": "two"}, {"query": "{ __typename }", **named}):
                assert codes((await t.post("/graphql", body)).json) == ["unknown_document"]
    for content in ("[", '{"a": 1}', '{"operations": [{}]}'):
        file.write_text(content)
        with pytest.raises(ValueError, match="BACKSTAY_GRAPHQL_DOCUMENTS"):
            read_listed(str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        read_listed(str(tmp_path / "none.json"))


def test_what_is_remembered_by_hash_is_bounded() -> None:
    persisted = Persisted(Limits(remembered_tokens=100))
    for number in range(100):
        text = f"{{ a{number}: __typename }}" + " " * 50
        extensions = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}
        assert persisted.text(Asked(text, extensions=extensions)) == text
    assert persisted._weight == sum(map(len, persisted._seen.values())) <= 800
    assert len(persisted._seen) > 5


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shop = Path(__file__).parents[2] / "examples" / "shop" / "shop.py"
    whole = CliRunner().invoke(backstay, ["graphql-schema", str(shop)]).output
    assert "type Product implements Node {" in whole
    assert "purchase(items: [LineInput!]!): Order" in whole
    assert build_schema(whole).query_type is not None
    assert "MessageConnection" in whole
    moderator = CliRunner().invoke(backstay, ["graphql-schema", str(shop), "--as-role", "moderator"]).output
    assert "MessageConnection" not in moderator


# The page.


async def test_a_browser_gets_a_page_that_loads_nothing_from_elsewhere(t: Trial) -> None:
    page = await t.get("/graphql", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "'self'" in page.headers["content-security-policy"]
    assert "http" not in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {f"/{name}" for name in named} == set(GRAPHIQL_FILES)
    for path, (kind, _) in GRAPHIQL_FILES.items():
        file = await t.get(path)
        assert (file.status, file.headers["content-type"]) == (200, kind)
    asked = await t.get("/graphql?query={__typename}", headers={"accept": "text/html, */*"})
    assert asked.json == {"data": {"__typename": "Query"}}


async def test_there_is_no_page_in_production() -> None:
    app = App("things", models=[Rack, Thing, Letter, Diary])
    running = await app.start(Settings(database_url="sqlite://", secret_key="0123456789" * 4), extend=True)
    try:
        assert not running.graphql.page
        assert not {route.path for route in running.router.routes} & set(GRAPHIQL_FILES)
    finally:
        await app.stop()
