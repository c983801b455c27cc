"""A trial: requests and refusals, people, time, ids, statements, and databases that are empty or refused."""

from __future__ import annotations

import doctest
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import pytest_asyncio

import backstay.testing
from backstay import App, Context, Many, Model, Problem, Reply, Rules, User, anyone, many, on_delete, sequence
from backstay.testing import Answer, Clock, Trial


class Member(User):
    nickname: str = ""


class Rack(Model):
    name: str
    number: int = sequence("rack")
    books: Many[Book] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.has_role("staff"), update=me.has_role("staff"))


class Book(Model):
    title: str
    rack: Rack

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


app = App("library", models=[Member, Rack, Book])
seen: list[str] = []


@app.after_create(Rack)
async def look(tx: Any, rack: Rack) -> None:
    seen.append(rack.name)


@app.action("POST /api/echo", allow=anyone)
async def echo(ctx: Context, text: str) -> Reply:
    return Reply(text, headers=[("X-Said", text)])


@app.action("POST /api/break", allow=anyone)
async def broken(ctx: Context) -> None:
    raise ZeroDivisionError("on purpose")


@app.seed
async def fill(ctx: Context) -> None:
    async with ctx.transaction() as tx:
        await tx.create(Rack(name="Seeded"))


@pytest_asyncio.fixture
async def t() -> AsyncIterator[Trial]:
    async with Trial(app) as trial:
        yield trial


async def test_requests_and_refusals(t: Trial) -> None:
    sam = await t.user("Sam@Example.com", roles=["staff"], nickname="Sam")
    assert sam.email == "sam@example.com"
    bo = await t.user("bo@example.com")
    rack = (await t.post("/api/racks", {"name": "Green tea & Ämter"}, as_=sam)).ok()
    assert (rack.status, rack.json["number"], rack.headers["content-type"]) == (201, 1, "application/json")
    one = f"/api/racks/{rack.json['id']}"
    found = (await t.get("/api/racks?name[icontains]=tea %26 ä&fields=name")).ok()
    assert found.json["data"] == [{"name": "Green tea & Ämter"}]
    assert (await t.patch(one, {"name": "Tea"}, as_=sam, headers={"If-Match": '"no"'})).status == 412
    assert (await t.patch(one, {"name": "Tea"}, as_=sam.token)).ok().json["name"] == "Tea"
    (await t.post("/api/racks", {"name": "Mine"}, as_=bo)).refused("denied")
    (await t.delete(one)).refused("not_signed_in")
    assert (await t.request("OPTIONS", "/api/racks")).status == 204
    assert (await t.request("HEAD", one)).body == b""
    kind = {"Content-Type": "application/json"}
    (await t.request("POST", "/api/racks", body=b"{", headers=kind, as_=sam)).refused("malformed_json")
    said = (await t.post("/api/echo", {"text": "hello"})).ok()
    assert (said.text, said.headers["x-said"], said.code) == ("hello", "hello", "")


async def test_a_mistake_is_said_readably(t: Trial) -> None:
    sam = await t.user("sam@example.com", roles=["staff"])
    answer = await t.post("/api/racks", {"name": 3, "colour": "red"}, as_=sam)
    with pytest.raises(AssertionError, match=r"POST /api/racks answered 4\d\d \w+: .*colour"):
        answer.ok()
    with pytest.raises(AssertionError, match="expected: not_found"):
        answer.refused("not_found")
    with pytest.raises(AssertionError, match=r"POST /api/echo answered 200: x\nexpected: not_found"):
        (await t.post("/api/echo", {"text": "x"})).refused("not_found")


async def test_what_broke_is_in_the_log_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    async with Trial(app) as t:
        with pytest.raises(AssertionError, match="standard error"):
            (await t.post("/api/break")).ok()
        assert "ZeroDivisionError: on purpose" in capsys.readouterr().err


async def test_people(t: Trial) -> None:
    ada = await t.user("ada@example.com", roles=["staff"], nickname="Countess")
    me = (await t.get("/api/auth/me", as_=ada)).ok().json
    assert (me["id"], me["roles"]) == (ada.id, ["staff"])
    assert ada.token not in repr(ada)
    with pytest.raises(Problem, match=r"taken|already"):
        await t.user("ada@example.com")
    # Nothing is remembered between requests: roles and sessions that end count at once.
    async with t.transaction() as tx:
        await tx.update(await tx.get(Member, ada.id), roles=[])
    (await t.post("/api/racks", {"name": "Mine"}, as_=ada)).refused("denied")
    assert (await t.post("/api/auth/logout", as_=ada)).ok()
    (await t.get("/api/auth/me", as_=ada)).refused("invalid_token")


async def test_signing_up_and_logging_in(t: Trial) -> None:
    entry = {"email": "bo@example.com", "password": "battery staple horse"}
    (await t.post("/api/auth/signup", entry)).ok()
    token = (await t.post("/api/auth/login", entry)).ok().json["access_token"]
    (await t.get("/api/auth/me", as_=token)).ok()
    await t.user("cy@example.com", password="battery staple horse")
    (await t.post("/api/auth/login", {**entry, "email": "cy@example.com"})).ok()
    (await t.post("/api/auth/login", {**entry, "password": "something else"})).refused("invalid_credentials")


async def test_time_stands_still_until_it_is_moved(t: Trial) -> None:
    ada = await t.user("ada@example.com", roles=["staff"])
    first = (await t.post("/api/racks", {"name": "One"}, as_=ada)).json
    assert first["created_at"] == "2030-01-01T00:00:00.000000Z"
    t.clock.advance(days=1, minutes=1)
    second = (await t.post("/api/racks", {"name": "Two"}, as_=ada)).json
    assert second["created_at"] == "2030-01-02T00:01:00.000000Z"
    t.clock.advance(days=28, hours=23, minutes=58, seconds=59.9)
    (await t.get("/api/auth/me", as_=ada)).ok()
    t.clock.advance(seconds=0.1)
    (await t.get("/api/auth/me", as_=ada)).refused("invalid_token")
    (await t.get("/api/auth/me", as_=await t.sign_in(ada))).ok()
    with pytest.raises(ValueError, match="time zone"):
        t.clock.set(datetime(2030, 1, 1))
    assert t.clock.set(datetime(2020, 1, 1, tzinfo=UTC)) == Clock(datetime(2020, 1, 1, tzinfo=UTC))()


async def test_ids_follow_one_another_and_are_the_same_again() -> None:
    async def ids() -> list[str]:
        async with Trial(app, at=datetime(2031, 5, 1, tzinfo=UTC)) as t:
            sam = await t.user("sam@example.com", roles=["staff"])
            made = [sam.id]
            for name in ("One", "Two"):
                made.append((await t.post("/api/racks", {"name": name}, as_=sam)).ok().json["id"])
                t.clock.advance(seconds=1)
            return made

    made = await ids()
    assert made == sorted(set(made))
    assert made == await ids()
    assert int(made[0].replace("-", "")[:12], 16) == datetime(2031, 5, 1, tzinfo=UTC).timestamp() * 1000


async def test_statements_are_counted(t: Trial) -> None:
    sam = await t.user("sam@example.com", roles=["staff"])
    with t.counting() as outer:
        with t.counting() as inner:
            (await t.get("/api/books?expand=rack", as_=sam)).ok()
        assert len(inner) == 1
        assert 'FROM "books"' in inner[0]
        (await t.post("/api/racks", {"name": "One"}, as_=sam)).ok()
        async with t.transaction() as tx:
            await tx.find(Rack)
    assert len(inner) == 1
    assert outer[0] == inner[0]
    assert "the next number of rack" in outer
    assert any(text.startswith("INSERT") for text in outer)
    await t.get("/api/books")
    assert outer[-1].startswith("SELECT")
    assert 'FROM "racks"' in outer[-1]


async def test_transactions_obey_whom_they_are_told(t: Trial) -> None:
    bo = await t.user("bo@example.com")
    async with t.transaction() as tx:
        rack = await tx.create(Rack(name="One"))
    with pytest.raises(Problem):
        async with t.transaction(as_=bo) as tx:
            await tx.create(Rack(name="Two"))
    async with t.transaction(as_=bo.token) as tx:
        assert tx.me.id == bo.me.id
        await tx.create(Book(title="A", rack=rack))
        assert await tx.count(Rack) == 1


async def test_each_trial_begins_empty_and_hooks_run_once() -> None:
    for _ in range(3):
        seen.clear()
        async with Trial(app) as t:
            assert await t.seed() == 1
            assert [rack["name"] for rack in (await t.get("/api/racks")).json["data"]] == ["Seeded"]
        assert seen == ["Seeded"]
    assert {moment: len(hooks) for moment, hooks in app.hooks.by_moment.items()} == {("after_create", "Rack"): 1}


async def test_one_trial_at_a_time(t: Trial) -> None:
    with pytest.raises(RuntimeError, match="one trial at a time"):
        async with Trial(app):
            pass
    (await t.get("/api/racks")).ok()


async def test_a_file_is_kept_and_then_refused(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/one.db"
    async with Trial(app, address) as t:
        await t.seed()
    with pytest.raises(RuntimeError, match="The database has racks: give tests an empty one"):
        async with Trial(app, address):
            pass
    async with Trial(app):
        pass  # the one that was refused was stopped


async def test_postgres_is_emptied_at_the_end(postgres_database: Callable[[str], str]) -> None:
    address = postgres_database("trial")
    for _ in range(2):
        async with Trial(app, address) as t:
            sam = await t.user("sam@example.com", roles=["staff"])
            with t.counting() as statements:
                rack = (await t.post("/api/racks", {"name": "One"}, as_=sam)).ok().json
            assert rack["number"] == 1
            assert statements
            (await t.post("/api/books", {"title": "A", "rack": rack["id"]}, as_=sam)).ok()


async def test_a_changed_declaration_has_its_own_tables() -> None:
    """What was remembered of one application is not given to another with the same names."""

    def make(link: Any) -> App:
        class Rack(Model):
            name: str

        class Book(Model):
            rack: Rack

        Book.__annotations__["rack"] = link(Rack)
        return App("library", models=[Rack, Book])

    async def deleting(one: App) -> int:
        async with Trial(one) as t:
            rack, book = (one.schema.entities[name].model for name in ("Rack", "Book"))
            async with t.transaction() as tx:
                kept: Any = await tx.create(rack(name="One"))
                await tx.create(book(rack=kept))
            try:
                async with t.transaction() as tx:
                    await tx.delete(kept)
            except Problem:
                pass
            async with t.transaction() as tx:
                return await tx.count(book)

    from typing import Annotated

    restrict, cascade = make(lambda rack: rack), make(lambda rack: Annotated[rack, on_delete("cascade")])
    assert [await deleting(one) for one in (restrict, cascade, restrict)] == [1, 0, 1]


async def test_a_trial_takes_milliseconds(capsys: pytest.CaptureFixture[str]) -> None:
    taken = []
    for _ in range(20):
        begun = perf_counter()
        async with Trial(app):
            taken.append((perf_counter() - begun) * 1000)
    middle = median(taken[1:])
    with capsys.disabled():
        print(f"\na trial: {taken[0]:.1f} ms the first time, then {middle:.1f} ms")
    assert len(taken) == 20


def test_an_answer_without_a_problem() -> None:
    answer = Answer("GET /x", 502, {}, b"gone")
    assert (answer.code, answer.text) == ("", "gone")
    with pytest.raises(AssertionError, match="GET /x answered 502: gone"):
        answer.ok()
    assert Answer("GET /x", 204, {}, b"").ok().json is None


def test_the_examples_run() -> None:
    outcome = doctest.testmod(backstay.testing)
    assert outcome.attempted > 5
    assert outcome.failed == 0
