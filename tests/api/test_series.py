"""Many records in one request: a list of new ones, one put under an id, and a batch; all of it or nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Le, Len

from backstay import App, Conflict, Limits, Model, Rules, User, anyone
from backstay.api.http import Request
from backstay.model.field import Index
from backstay.model.rule import current_user, field_rule, made_from, unique
from backstay.model.value import Digits, Money, Secret, Slug
from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor
from backstay.plan.ask import Create
from backstay.settings import Settings
from backstay.store.transaction import Hooks, Transaction

ONE, TWO, THREE = (f"01890a5d-ac96-774b-bcce-b302099a800{number}" for number in (1, 2, 3))
PEOPLE = {name: f"01890a5d-ac96-774b-bcce-b302099a805{number}" for number, name in enumerate(("ada", "bob", "staff"))}


class State(Enum):
    DRAFT = "draft"
    SENT = "sent"


class Shelf(Model):
    name: str
    owner: User

    def rules(self, me: User) -> Rules:
        return Rules(read=self.owner == me, create=me.signed_in, update=self.owner == me, delete=self.owner == me)


class Book(Model):
    """Its owner sees it; the staff sees it too, and alone what it cost."""

    owner: User = current_user()
    title: Annotated[str, Len(1, 20)]
    stars: Annotated[int, Ge(1), Le(5)]
    slug: Slug = made_from("title")
    shelf: Shelf | None = None
    state: State = State.DRAFT
    price: Money | None = None
    weight: Annotated[Decimal, Digits(6, 2)] = Decimal("1.50")
    bought: date | None = None
    lent: timedelta = timedelta(days=2)
    words: list[str] = ["new"]  # noqa: RUF012
    pin: Secret | None = None
    cost: int = 7

    def rules(self, me: User) -> Rules:
        staff = me.has_role("staff")
        return Rules(
            read=(self.owner == me) | staff, create=me.signed_in & (self.title != "forbidden"),
            update=(self.owner == me) & (self.title != "forbidden"), delete=self.owner == me,
            fields=[field_rule(self.cost, read=staff)],
        )  # fmt: skip

    def indexes(self) -> list[Index]:
        return [unique(self.owner, self.title)]


class Wish(Model):
    """Anybody may leave one; nobody reads it."""

    text: str

    def rules(self, me: User) -> Rules:
        return Rules(create=anyone)


class Library:
    """An application that believes whoever says who they are."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def ask(
        self, who: str, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """The status, the parsed body and the headers of one answer."""
        sent: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        named = {
            **({"authorization": who} if who else {}),
            **({} if body is None else {"content-type": "application/json"}),
            **headers,
        }
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
        await self.app(scope, receive, send)
        heads = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], json.loads(sent[1]["body"] or "null"), heads

    async def titles(self, who: str = "ada") -> list[str]:
        _, body, _ = await self.ask(who, "GET", "/api/books?sort=title")
        return [book["title"] for book in body["data"]]

    async def above(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """Something done above the rules."""
        running = self.app.running
        async with Transaction.begin(running.engine, SYSTEM, Hooks(), running.new_id) as tx:
            return await work(tx)


@pytest.fixture(params=["sqlite", "postgres"])
async def library(
    request: pytest.FixtureRequest, tmp_path: Any, postgres_database: Callable[[str], str]
) -> AsyncIterator[Library]:
    address = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else postgres_database("series")
    app = App("library", models=[Shelf, Book, Wish], limits=Limits(max_bulk=50, max_operations=5))

    @app.before_create(Book)
    async def not_this(tx: Transaction, record: Book) -> None:
        if record.title == "burnt":
            raise Conflict("This one burnt.", code="burnt")

    await app.start(Settings(database_url=address, secret_key="x" * 32, env="development"))

    async def identify(request: Request) -> Actor:
        who = (request.header(b"authorization") or b"").decode()
        return Actor(PEOPLE[who], frozenset({who} & {"staff"})) if who in PEOPLE else ANONYMOUS

    app.running.front.identify = identify
    library = Library(app)
    for name, key in PEOPLE.items():
        await library.above(lambda tx, n=name, k=key: tx.write(Create("User", {"email": f"{n}@example.com"}, k)))  # type: ignore[misc]
    yield library
    await app.stop()


def book(title: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "stars": 3, **more}


def places(body: Any) -> list[tuple[str, str]]:
    return [(error["path"], error["code"]) for error in body["errors"]]


# Lists.


async def test_a_list_makes_many_in_its_order(library: Library) -> None:
    status, body, _ = await library.ask("ada", "POST", "/api/books", [book("b"), book("a", state="sent")])
    assert (status, list(body)) == (201, ["data"])
    assert [(one["title"], one["state"], one["owner"]) for one in body["data"]] == [
        ("b", "draft", PEOPLE["ada"]), ("a", "sent", PEOPLE["ada"]),
    ]  # fmt: skip
    assert body["data"][0]["id"] < body["data"][1]["id"]
    assert "cost" not in body["data"][0]
    assert await library.titles() == ["a", "b"]
    assert (await library.ask("ada", "GET", f"/api/books/{body['data'][0]['id']}"))[1] == body["data"][0]
    assert (await library.ask("ada", "POST", "/api/books", []))[:2] == (201, {"data": []})
    assert (await library.ask("", "POST", "/api/wishes", [{"text": "x"}, {"text": "y"}]))[:2] == (201, {"data": []})


async def test_every_wrong_value_of_every_item_is_told_at_once(library: Library) -> None:
    items = [book("a"), {"title": "", "stars": 9}, 3, {"stars": 1, "owner": PEOPLE["bob"]}]
    status, body, _ = await library.ask("ada", "POST", "/api/books", items)
    assert status == 422
    assert set(places(body)) == {
        ("1.title", "too_short"), ("1.stars", "out_of_range"), ("2", "wrong_type"), ("3.title", "required"),
        ("3.owner", "read_only"),
    }  # fmt: skip
    status, body, _ = await library.ask("ada", "POST", "/api/books", [book("a"), book("b", cots=1)])
    assert (status, places(body)) == (400, [("1.cots", "unknown_field")])
    hidden = await library.ask("ada", "POST", "/api/books", [book("a"), book("b", cost=1)])
    assert (hidden[0], places(hidden[1])) == (400, [("1.cost", "unknown_field")])
    assert await library.titles() == []


@pytest.mark.parametrize(
    ("last", "status", "place"),
    [
        (book("forbidden"), 403, ("2", "denied")),
        (book("a"), 409, ("2.owner", "not_unique")),
        (book("c", shelf=ONE), 422, ("2.shelf", "not_found")),
        (book("burnt"), 409, ("2", "burnt")),
    ],
)
async def test_one_that_fails_undoes_all(library: Library, last: Any, status: int, place: tuple[str, str]) -> None:
    answer, body, _ = await library.ask("ada", "POST", "/api/books", [book("a"), book("b"), last])
    assert (answer, places(body)[0]) == (status, place)
    assert await library.titles() == []


async def test_a_list_has_a_limit_and_needs_the_right(library: Library) -> None:
    status, body, _ = await library.ask("ada", "POST", "/api/books", [book(f"{n:02}") for n in range(51)])
    assert (status, body["code"]) == (413, "too_large")
    lists: list[Any] = [[], [book("a")], [book("a")] * 51, [{}], [3]]
    for items in lists:
        assert (await library.ask("", "POST", "/api/books", items))[0] == 401
    assert (await library.ask("ada", "POST", "/api/books", [book(f"{n:02}") for n in range(50)]))[0] == 201
    assert (await library.ask("ada", "POST", "/api/books", "a"))[1]["code"] == "malformed_json"


# PUT.


async def test_put_makes_what_is_not_there_and_replaces_what_is(library: Library) -> None:
    address = f"/api/books/{ONE}"
    status, made, heads = await library.ask("ada", "PUT", address, book("a", state="sent", pin="1", words=[]))
    assert (status, heads["location"], made["id"], made["slug"]) == (201, address, ONE, "a")
    full = book("b", slug="own", state="sent", price={"amount": 1, "currency": "EUR"}, weight="3.00",
                bought="2026-01-01", lent="PT60S", words=["x"])  # fmt: skip
    status, changed, _ = await library.ask("ada", "PUT", address, full)
    assert (status, {name: changed[name] for name in full if name != "lent"}) == (
        200, {name: value for name, value in full.items() if name != "lent"},
    )  # fmt: skip
    assert changed["created_at"] == made["created_at"]
    status, bare, heads = await library.ask("ada", "PUT", address, book("c"))
    assert (status, heads["etag"][:2]) == (200, '"3')
    fresh = (await library.ask("ada", "POST", "/api/books", book("d")))[1]
    same = set(fresh) - {"id", "title", "slug", "created_at", "updated_at"}
    assert {name: bare[name] for name in same} == {name: fresh[name] for name in same}
    assert (bare["title"], bare["slug"]) == ("c", "c")


async def test_put_leaves_what_its_sender_cannot_write(library: Library) -> None:
    await library.above(lambda tx: tx.write(Create("Book", {**book("a"), "owner": PEOPLE["ada"], "cost": 99}, ONE)))
    assert (await library.ask("ada", "PUT", f"/api/books/{ONE}", book("b")))[0] == 200
    kept = await library.above(lambda tx: tx.get(Book, ONE))
    assert (kept.title, kept.cost, str(kept.owner.id)) == ("b", 99, PEOPLE["ada"])


async def test_put_tells_every_wrong_and_missing_value(library: Library) -> None:
    address = f"/api/books/{ONE}"
    for _ in range(2):  # where there is none, and where there is one
        status, body, _ = await library.ask("ada", "PUT", address, {"stars": 9, "owner": PEOPLE["bob"]})
        assert status == 422
        assert set(places(body)) == {("stars", "out_of_range"), ("owner", "read_only"), ("title", "required")}
        assert (await library.ask("ada", "PUT", address, book("a", cost=1)))[1]["code"] == "unknown_field"
        await library.ask("ada", "PUT", address, book("a"))
    assert (await library.ask("ada", "PUT", "/api/books/one", book("a")))[0] == 404
    assert (await library.ask("ada", "PUT", address, [book("a")]))[0] == 400


async def test_put_on_a_hidden_record_is_answered_as_a_denied_create(library: Library) -> None:
    await library.ask("ada", "PUT", f"/api/books/{ONE}", book("a"))
    denied = await library.ask("bob", "PUT", f"/api/books/{TWO}", book("forbidden"))
    for headers in ({}, {"if_none_match": "*"}):
        for values in (book("x"), book("forbidden")):
            hidden = await library.ask("bob", "PUT", f"/api/books/{ONE}", values, **headers)
            assert hidden[0] == denied[0] == 403
            unlike = {"instance", "request_id", "why"}  # which is for development alone
            assert {k: v for k, v in hidden[1].items() if k not in unlike} == {
                k: v for k, v in denied[1].items() if k not in unlike
            }
    for address in (ONE, TWO):
        status, body, _ = await library.ask("bob", "PUT", f"/api/books/{address}", book("x"), if_match='"1"')
        assert (status, body["code"]) == (412, "stale")
        assert (await library.ask("", "PUT", f"/api/books/{address}", book("x")))[0] == 401
    # Seen, and not to be changed: the update rule refuses.
    status, body, _ = await library.ask("staff", "PUT", f"/api/books/{ONE}", book("x"))
    assert (status, body["detail"]) == (403, "The rules of Book do not allow this change to you.")
    assert await library.titles() == ["a"]


async def test_a_hidden_id_is_told_of_before_any_other_value_that_is_taken(library: Library) -> None:
    """Otherwise it would depend on the database which of the two is told."""
    await library.ask("bob", "PUT", f"/api/books/{ONE}", book("of bob"))
    await library.ask("ada", "PUT", f"/api/books/{TWO}", book("a"))
    for ask in (
        ("PUT", f"/api/books/{ONE}", book("a")),
        ("POST", "/api/batch", [{"method": "PUT", "path": f"/api/books/{ONE}", "body": book("a")}]),
    ):
        status, body, _ = await library.ask("ada", *ask)
        assert (status, body["code"]) == (403, "denied"), body
    assert (await library.ask("ada", "PUT", f"/api/books/{THREE}", book("a")))[0] == 409


async def test_put_with_conditions(library: Library) -> None:
    address = f"/api/books/{ONE}"
    assert (await library.ask("ada", "PUT", address, book("a"), if_match="*"))[0] == 412
    assert (await library.ask("ada", "PUT", address, book("a"), if_none_match="*"))[0] == 201
    status, body, _ = await library.ask("ada", "PUT", address, book("b"), if_none_match="*")
    assert (status, body["code"]) == (412, "precondition_failed")
    tag = (await library.ask("ada", "GET", address))[2]["etag"]
    assert (await library.ask("ada", "PUT", address, book("b"), if_match=tag))[0] == 200
    assert (await library.ask("ada", "PUT", address, book("c"), if_match=tag))[0] == 412
    assert (await library.ask("ada", "PUT", address, book("c"), if_none_match=tag))[0] == 400
    assert await library.titles() == ["b"]


async def test_two_that_put_the_same_new_record_both_succeed(library: Library) -> None:
    answers = await asyncio.gather(
        *(library.ask("ada", "PUT", f"/api/books/{ONE}", book(f"title {n}")) for n in range(4))
    )
    assert sorted(status for status, _, _ in answers) == [200, 200, 200, 201]
    assert len(await library.titles()) == 1


async def test_what_is_put_and_not_read_is_answered_without_a_body(library: Library) -> None:
    status, body, heads = await library.ask("", "PUT", f"/api/wishes/{ONE}", {"text": "x"})
    assert (status, body, heads["location"]) == (201, None, f"/api/wishes/{ONE}")
    assert (await library.ask("", "PUT", f"/api/wishes/{ONE}", {"text": "y"}))[0] == 403


# Batches.


async def test_a_batch_is_done_in_order(library: Library) -> None:
    operations = [
        {"method": "PUT", "path": f"/api/shelfs/{ONE}", "body": {"name": "s", "owner": PEOPLE["ada"]}},
        {"method": "POST", "path": "/api/books", "body": book("a", shelf=ONE)},
        {"method": "PUT", "path": f"/api/books/{TWO}", "body": book("b")},
        {"method": "PATCH", "path": f"/api/books/{TWO}", "body": {"stars": 5}},
        {"method": "DELETE", "path": f"/api/books/{TWO}"},
    ]
    for sent in ({"operations": operations}, operations):
        status, body, _ = await library.ask("ada", "POST", "/api/batch", sent)
        assert status == 200
        first, second, third, fourth, last = body["data"]
        assert (first["status"], second["status"], third["status"], fourth["status"]) == (
            201 if sent is not operations else 200, 201, 201, 200,
        )  # fmt: skip
        assert second["location"] == f"/api/books/{second['body']['id']}"
        assert (second["body"]["shelf"], third["body"]["stars"], fourth["body"]["stars"]) == (ONE, 3, 5)
        assert last == {"status": 204, "body": None}
        assert await library.titles() == ["a"]
        await library.ask("ada", "DELETE", second["location"])
    wish = [{"method": "POST", "path": "/api/wishes", "body": {"text": "x"}}]
    (answer,) = (await library.ask("", "POST", "/api/batch", wish))[1]["data"]
    assert (answer["status"], answer["body"]) == (201, None)
    assert (await library.ask("", "POST", "/api/batch", []))[:2] == (200, {"data": []})


@pytest.mark.parametrize(
    ("last", "status", "place"),
    [
        (("POST", "/api/books", book("forbidden")), 403, ("operations[2]", "denied")),
        (("POST", "/api/books", book("b", stars=9)), 422, ("operations[2].stars", "out_of_range")),
        (("POST", "/api/books", book("b", cost=9)), 400, ("operations[2].cost", "unknown_field")),
        (("PATCH", f"/api/books/{THREE}", {"stars": 1}), 404, ("operations[2]", "not_found")),
        (("PATCH", f"/api/books/{ONE}", {"stars": 1}), 404, ("operations[2]", "not_found")),
        (("PATCH", f"/api/books/{TWO}", {"title": "forbidden"}), 403, ("operations[2]", "denied")),
        (("PUT", f"/api/books/{ONE}", book("b")), 403, ("operations[2]", "denied")),
        (("PUT", f"/api/books/{THREE}", book("a")), 409, ("operations[2].owner", "not_unique")),
        (("DELETE", f"/api/books/{ONE}", None), 404, ("operations[2]", "not_found")),
        (("DELETE", f"/api/users/{PEOPLE['ada']}", None), 403, ("operations[2]", "denied")),
        (("POST", "/api/nothing", {}), 404, ("operations[2]", "not_found")),
        (("POST", "/api/auth/login", {}), 404, ("operations[2]", "not_found")),
        (("POST", "/api/books?x=1", {}), 404, ("operations[2]", "not_found")),
        (("DELETE", "/api/books", None), 405, ("operations[2]", "method_not_allowed")),
        (("POST", f"/api/books/{ONE}", {}), 405, ("operations[2]", "method_not_allowed")),
        (("PATCH", f"/api/books/{TWO}", {}), 400, ("operations[2]", "bad_request")),
    ],
)
async def test_the_first_failure_undoes_the_batch(
    library: Library, last: Any, status: int, place: tuple[str, str]
) -> None:
    await library.ask("bob", "PUT", f"/api/books/{ONE}", book("of bob"))
    operations = [
        {"method": "PUT", "path": f"/api/books/{TWO}", "body": book("a")},
        {"method": "PATCH", "path": f"/api/books/{TWO}", "body": {"stars": 4}},
        dict(zip(("method", "path", "body"), last, strict=True)),
    ]
    answer, body, _ = await library.ask("ada", "POST", "/api/batch", {"operations": operations})
    assert (answer, places(body)[0]) == (status, place), body
    assert await library.titles() == []
    assert await library.titles("bob") == ["of bob"]


async def test_what_is_no_batch_is_told_at_once(library: Library) -> None:
    wrong = [
        3,
        {"method": "GET", "path": "/api/books", "body": {}},
        {"method": "POST", "path": 1, "bdy": {}},
        {"method": "DELETE", "path": f"/api/books/{ONE}", "body": {}},
        {"method": ["POST"], "path": "/api/books", "body": []},
    ]
    status, body, _ = await library.ask("ada", "POST", "/api/batch", wrong)
    assert (status, places(body)) == (422, [
        ("operations[0]", "wrong_type"), ("operations[1].method", "not_a_choice"),
        ("operations[2].bdy", "unknown_field"), ("operations[2].path", "wrong_type"),
        ("operations[2].body", "wrong_type"), ("operations[3].body", "unknown_field"),
        ("operations[4].method", "not_a_choice"), ("operations[4].body", "wrong_type"),
    ])  # fmt: skip
    bodies: list[Any] = [3, {}, {"operations": [], "more": 1}, {"operations": {}}]
    for sent in bodies:
        assert (await library.ask("ada", "POST", "/api/batch", sent))[1]["code"] == "malformed_json"
    six = [{"method": "POST", "path": "/api/books", "body": book("a")}] * 6
    assert (await library.ask("ada", "POST", "/api/batch", six))[0] == 413
