"""Where the server and its OpenAPI document once disagreed, each a test of its own: what the document says, holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import pytest
from annotated_types import Ge, Le

from backstay import App, Currency, Email, Many, Model, Money, Rules, User, anyone, current_user, many, searchable
from backstay.model.value import Kind, Unfit, parse
from backstay.testing import Trial

Euro = Annotated[Money, Currency("EUR")]


class Rack(Model):
    name: str
    goods: Many[Good] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Good(Model):
    name: str
    price: Euro = Money(0, "EUR")
    stars: Annotated[int, Ge(1), Le(5)] = 1
    rack: Rack | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=me.has_role("staff"))

    def indexes(self) -> list[Any]:
        return [searchable(self.name)]


class Note(Model):
    text: str
    email: Email | None = None
    owner: User = current_user()

    def rules(self, me: User) -> Rules:
        return Rules(read=self.owner == me, create=anyone, delete=self.owner == me)


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    async with Trial(App("fidelity", models=[Rack, Good, Note])) as trial:
        yield trial


def where(condition: Any) -> str:
    return f"where={quote(msgspec.json.encode(condition).decode())}"


@pytest.mark.parametrize(
    "beside",
    [{"or": []}, {"or": [{}, {"name": "x"}]}, {"not": {}}, {"and": [{"or": []}]}, {"goods": {"every": {}}},
     {"not": {"and": []}}],
)  # fmt: skip
async def test_what_decides_a_filter_hides_no_mistake_beside_it(t: Trial, beside: dict[str, Any]) -> None:
    for wrong, code in (({"nmae": "x"}, "unknown_field"), ({"id": {"eq": "x"}}, "invalid_filter")):
        for condition in ({**beside, **wrong}, {**wrong, **beside}, {"and": [beside, wrong]}, {"or": [wrong, beside]}):
            (await t.get(f"/api/racks?{where(condition)}")).refused(code)
    (await t.get(f"/api/racks?{where(beside)}")).ok()


async def test_an_empty_filter_means_what_it_says(t: Trial) -> None:
    await t.post("/api/goods", {"name": "tea"})
    found = {
        True: [{}, {"and": []}, {"and": [{}]}, {"or": [{}]}, {"not": {"or": []}}, {"or": [{}, {"name": "x"}]}],
        False: [{"or": []}, {"not": {}}, {"not": {"and": []}}, {"or": [{"not": {}}, {"name": "x"}]}],
    }
    for there, conditions in found.items():
        for condition in conditions:
            data = (await t.get(f"/api/goods?{where(condition)}")).ok().json["data"]
            assert bool(data) is there, condition
    for nothing in ({"name": {}}, {"rack": {}}, {"nmae": {}}):
        (await t.get(f"/api/goods?{where(nothing)}")).refused("invalid_filter")


async def test_who_may_never_do_it_is_told_first(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    tag = {"If-Match": "x"}
    key = "01890a5d-ac96-774b-bcce-b302099a8057"
    (await t.get("/api/notes?cursor=x&nonsense=1")).refused("not_signed_in")
    (await t.get(f"/api/notes/{key}?fields=")).refused("not_signed_in")
    (await t.request("DELETE", f"/api/notes/{key}", headers=tag)).refused("not_signed_in")
    (await t.request("PATCH", f"/api/goods/{key}", [], headers=tag, as_=ada)).refused("denied")
    (await t.request("POST", "/api/notes", [1])).refused("not_signed_in")  # whose would it be?
    (await t.request("POST", "/api/racks", 1, as_=ada)).refused("denied")
    (await t.request("DELETE", f"/api/notes/{key}", headers=tag, as_=ada)).refused("not_found")


async def test_allow_names_what_anybody_may_do(t: Trial) -> None:
    allowed = {}
    for path in (
        "/api/racks",
        "/api/racks/x",
        "/api/goods",
        "/api/goods/x",
        "/api/notes/x",
        "/api/goods/aggregate",
    ):
        allowed[path] = (await t.request("OPTIONS", path)).headers["allow"]
    assert allowed == {
        "/api/racks": "GET, HEAD, OPTIONS", "/api/racks/x": "GET, HEAD, OPTIONS",
        "/api/goods": "GET, HEAD, OPTIONS, POST", "/api/goods/x": "GET, HEAD, OPTIONS, PATCH, PUT",
        "/api/notes/x": "DELETE, GET, HEAD, OPTIONS, PUT", "/api/goods/aggregate": "GET, HEAD, OPTIONS",
    }  # fmt: skip
    answer = await t.request("TRACE", "/api/racks")
    assert (answer.code, answer.headers["allow"]) == ("method_not_allowed", "GET, HEAD, OPTIONS")


async def test_a_key_of_an_order_may_stand_twice(t: Trial) -> None:
    for name, stars in (("b", 1), ("a", 2), ("a", 1)):
        await t.post("/api/goods", {"name": name, "stars": stars})
    rows = (await t.get("/api/goods?sort=name,-name,stars,name")).ok().json["data"]
    assert [(row["name"], row["stars"]) for row in rows] == [("a", 1), ("a", 2), ("b", 1)]


async def test_records_and_values_are_counted_in_one_question(t: Trial) -> None:
    await t.post("/api/goods", [{"name": "a"}, {"name": "b"}])
    row = (await t.get("/api/goods/aggregate?count=*,rack,name")).ok().json["data"][0]
    assert row == {"count": 2, "count_of": {"rack": 0, "name": 2}}


async def test_a_page_too_far_says_what_to_do(t: Trial) -> None:
    (await t.get("/api/goods?page=501&limit=200")).ok()
    answer = (await t.get("/api/goods?page=502&limit=200")).refused("too_expensive")
    assert "cursor" in answer.json["detail"]
    (await t.get("/api/goods/aggregate?group_by=name&page=502&limit=200")).refused("too_expensive")


async def test_a_cursor_and_a_page_are_two_questions(t: Trial) -> None:
    await t.post("/api/goods", [{"name": "a"}, {"name": "b"}])
    cursor = (await t.get("/api/goods?limit=1")).json["meta"]["next_cursor"]
    (await t.get(f"/api/goods?limit=1&cursor={cursor}&page=1")).refused("invalid_cursor")
    assert (await t.get(f"/api/goods?limit=1&cursor={cursor}")).ok().json["data"][0]["name"] == "b"


async def test_too_many_words_cost_too_much(t: Trial) -> None:
    (await t.get("/api/goods?search=" + "+".join("abcdefghij"))).ok()
    (await t.get("/api/goods?search=" + "+".join("abcdefghijk"))).refused("too_expensive")
    (await t.get("/api/goods?search=" + "x" * 201)).refused("invalid_filter")


async def test_the_place_of_a_problem_is_an_address(t: Trial) -> None:
    answer = await t.get("/api/goods/%C3%A4%20%22%3C")
    assert (answer.status, answer.json["instance"]) == (404, "/api/goods/%C3%A4%20%22%3C")


@pytest.mark.parametrize("tag", ["x", '"x-1"', "", '"99999999999999999999-a"', 'W/"1-a"'])
async def test_a_tag_that_is_none_of_ours_matches_nothing(t: Trial, tag: str) -> None:
    ada = await t.user("ada@example.com")
    key = (await t.post("/api/notes", {"text": "a"}, as_=ada)).json["id"]
    (await t.request("DELETE", f"/api/notes/{key}", headers={"If-Match": tag}, as_=ada)).refused("stale")


def test_a_number_without_a_fraction_is_whole() -> None:
    assert parse(Kind("integer"), 12.0) == 12
    assert parse(Kind("enum", choices=(1, 2)), 2.0) == 2
    assert type(parse(Kind("enum", choices=(1, 2)), 2.0)) is int
    assert str(parse(Kind("decimal", precision=5, scale=2), 12.0)) == "12.00"
    for kind in (Kind("integer"), Kind("big_integer"), Kind("decimal", precision=5, scale=2)):
        for wrong in (12.5, float("inf"), float("nan"), 1e300, True):
            with pytest.raises(Unfit):
                parse(kind, wrong)
    with pytest.raises(Unfit):
        parse(Kind("integer"), "12.0", from_text=True)


@pytest.mark.parametrize("text", ["1e2", " 1", "1 ", "+1", "1_0", "Infinity", ".5", "5.", "0x1", "١", ""])
def test_a_decimal_is_written_in_digits(text: str) -> None:
    with pytest.raises(Unfit):
        parse(Kind("decimal", precision=5, scale=2), text)


@pytest.mark.parametrize("text", ["1_0", " 1", "nan", "inf", "Infinity", "0x1", "١", "", "1e999"])
def test_a_number_in_a_query_is_written_as_in_json(text: str) -> None:
    with pytest.raises(Unfit):
        parse(Kind("float"), text, from_text=True)


def test_the_domain_of_an_address_is_that_of_a_host() -> None:
    kind = Kind("text", format="email")
    for good in ("ada@example.com", "a.b+c@x-1.example", "ä@example.com", "0@0.00", "a@xn--mnchen-3ya.de"):
        parse(kind, good)
    for bad in ("a@b.c*m", "a@-b.com", "a@b-.com", "a@b..com", ".a@b.com", "a.@b.com", "a..b@b.com", "a@münchen.de"):
        with pytest.raises(Unfit):
            parse(kind, bad)
