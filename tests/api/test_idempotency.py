"""`Idempotency-Key`: a request that is sent again is done once and answered alike, whatever comes between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from annotated_types import Len

from backstay import App, Conflict, Context, Limits, Model, Reply, Rules, Transaction, User, anyone, signed_in, unique
from backstay.api.idempotency import EXCEPTIONS, parse_key
from backstay.errors import BadRequest, DeclarationError, Unavailable
from backstay.model.field import Index
from backstay.model.rule import current_user
from backstay.settings import read_settings
from backstay.store import repeat
from backstay.store.keyring import KeyRing
from backstay.testing import Answer, Person, Trial

KEY = "9d2c5680-7a1e-4a52-9a3e-2f9b3c1d0e11"
ONE = "01890a5d-ac96-774b-bcce-b302099a8001"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class Note(Model):
    text: Annotated[str, Len(1, 50)]
    writer: User | None = None
    owner: User | None = current_user()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)

    def indexes(self) -> list[Index]:
        return [unique(self.text)]


class Log:
    """What an application's own code did, beside the database."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.gate = asyncio.Event()
        self.inside = asyncio.Event()
        self.fail: Exception | None = None


def application(**limits: int) -> tuple[App, Log]:
    app, log = App("notes", models=[Note], limits=Limits(**limits)), Log()

    @app.after_update(Note)
    async def count(tx: Transaction, note: Note, old: Note) -> None:
        log.runs.append("update")

    @app.action("POST /api/jot", allow=anyone, status=201)
    async def jot(ctx: Context, text: str) -> Note:
        log.runs.append("jot")
        async with ctx.transaction() as tx:
            return await tx.create(Note(text=text))

    @app.action("POST /api/jot-whole", allow=anyone, status=201)
    async def jot_whole(tx: Transaction, text: str) -> Note:
        log.runs.append("whole")
        note = await tx.create(Note(text=text))
        log.inside.set()
        if log.gate is not None and text.startswith("slow"):
            await log.gate.wait()
        if log.fail is not None:
            raise log.fail
        return note

    @app.action("POST /api/late", allow=anyone)
    async def late(ctx: Context, text: str) -> None:
        log.runs.append("late")
        log.inside.set()
        if text.startswith("slow"):
            await log.gate.wait()
        if log.fail is not None:
            raise log.fail
        async with ctx.transaction() as tx:
            await tx.create(Note(text=text))

    @app.action("POST /api/two-steps", allow=anyone)
    async def two_steps(ctx: Context, text: str) -> None:
        log.runs.append("steps")
        async with ctx.transaction() as tx:
            await tx.create(Note(text=f"{text} 1"))
        log.inside.set()
        if text.startswith("slow"):
            await log.gate.wait()
        if log.fail is not None:
            raise log.fail
        async with ctx.transaction() as tx:
            await tx.create(Note(text=f"{text} 2"))

    @app.action("POST /api/journey", allow=anyone, resumes=True)
    async def journey(ctx: Context, text: str) -> str:
        log.runs.append("resumed" if ctx.resumed else "begun")
        if not ctx.resumed:
            async with ctx.transaction() as tx:
                await tx.create(Note(text=f"{text} 1"))
        log.inside.set()
        if log.fail is not None:
            raise log.fail
        if text.startswith("slow") and not ctx.resumed:
            await log.gate.wait()
        async with ctx.transaction(as_system=True) as tx:
            return f"{await tx.count(Note)} by {log.runs[-1]}"

    @app.action("POST /api/careless", allow=anyone)
    async def careless(ctx: Context, text: str) -> str:
        try:
            async with ctx.transaction() as tx:
                await tx.create(Note(text=text))
        except Exception as error:
            log.runs.append("went on")
            return str(error)
        log.runs.append("careless")
        return "done"

    @app.action("POST /api/quote", allow=anyone)
    async def quote(ctx: Context, weight: int) -> int:
        log.runs.append("quote")
        return weight * len(log.runs)

    @app.action("PATCH /api/custom/{text}", allow=signed_in)
    async def custom(tx: Transaction, text: str) -> Reply:
        await tx.create(Note(text=text))
        return Reply(f"made {text}", 299, "text/plain", [("x-made", text), ("x-made", "twice")])

    @app.action("DELETE /api/all", allow=anyone)
    async def empty(ctx: Context) -> None:
        async with ctx.transaction() as tx:
            for note in await tx.find(Note):
                await tx.delete(note)

    @app.action("POST /api/pay", allow=signed_in, idempotency_key="required")
    async def pay(tx: Transaction, text: str) -> Note:
        return await tx.create(Note(text=text))

    @app.action("POST /api/invite", allow=anyone)
    async def invite(ctx: Context, email: str) -> str:
        return await ctx.accounts.create_user(email, "correct horse battery", [])

    return app, log


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The address of an empty database of each kind, which several processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/notes.db"
    make: Callable[[str], str] = request.getfixturevalue("postgres_database")
    return make("repeats")


@pytest.fixture
async def trial(database: str) -> AsyncIterator[tuple[Trial, Log]]:
    app, log = application()
    async with Trial(app, database) as t:
        yield t, log


async def send(
    t: Trial, method: str, path: str, json: Any = None, *, key: str = KEY, as_: Person | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:  # fmt: skip
    return await t.request(method, path, json, as_=as_, headers={"idempotency-key": key, **(headers or {})})


def same(first: Answer, again: Answer) -> None:
    """The second is the first one, byte for byte, and says that it is a repetition."""
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    passing = ("x-request-id", "server-timing", "idempotency-replayed")
    assert (again.status, again.body) == (first.status, first.body)
    assert {n: v for n, v in again.headers.items() if n not in passing} == {
        n: v for n, v in first.headers.items() if n not in passing
    }


async def texts(t: Trial) -> list[str]:
    found = await t.get("/api/notes?sort=text&fields=text")
    return [note["text"] for note in found.ok().json["data"]]


async def raw(t: Trial, statement: str, *values: Any) -> list[Any]:
    """A statement about the table of records, past everything."""
    async with t.app.running.store.transaction() as writing:
        return await writing.run(statement, values)


async def records(t: Trial) -> int:
    return int((await raw(t, 'SELECT count(*) FROM "_repeats"'))[0][0])


async def test_a_created_record_is_created_once(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    first = (await send(t, "POST", "/api/notes", {"text": "tea"})).ok()
    assert first.status == 201
    assert first.headers["location"] == f"/api/notes/{first.json['id']}"
    same(first, await send(t, "POST", "/api/notes", {"text": "tea"}))
    assert await texts(t) == ["tea"]
    assert await records(t) == 1
    assert (await t.post("/api/notes", {"text": "tea"})).code == "not_unique"


async def test_every_kind_of_write_is_done_once(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    several = [{"text": "a"}, {"text": "b"}]
    batch = [{"method": "POST", "path": "/api/notes", "body": {"text": "c"}}]
    put = f"/api/notes/{ONE}"
    for number, (method, path, json) in enumerate((
        ("POST", "/api/notes", several), ("POST", "/api/batch", batch), ("PUT", put, {"text": "d"}),
        ("PATCH", put, {"text": "e"}), ("DELETE", put, None),
    )):  # fmt: skip
        key = f"{KEY}-{number}"
        first = (await send(t, method, path, json, key=key)).ok()
        same(first, await send(t, method, path, json, key=key))
    assert await texts(t) == ["a", "b", "c"]
    assert log.runs == ["update"]


@pytest.mark.parametrize("path", ["/api/notes", "/api/jot", "/api/jot-whole"])
async def test_of_many_at_once_one_is_done(trial: tuple[Trial, Log], path: str) -> None:
    t, log = trial
    answers = await asyncio.gather(*(send(t, "POST", path, {"text": "tea"}) for _ in range(20)))
    first = [answer for answer in answers if "idempotency-replayed" not in answer.headers]
    assert [answer.status for answer in first] == [201]
    for again in answers:
        if again is not first[0]:
            same(first[0], again)
    assert await texts(t) == ["tea"]
    assert len(log.runs) == (0 if path == "/api/notes" else 1)


async def test_a_key_belongs_to_what_was_asked(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    first = (await send(t, "POST", "/api/jot", {"text": "tea"})).ok()
    await send(t, "PUT", f"/api/notes/{ONE}", {"text": "one"})
    for method, path, json, headers in (
        ("POST", "/api/jot", {"text": "coffee"}, {}),
        ("POST", "/api/jot?x=1", {"text": "tea"}, {}),
        ("POST", "/api/jot", {"text": "tea"}, {"if-match": "*"}),
        ("POST", "/api/jot", {"text": "tea"}, {"if-none-match": "*"}),
        ("PUT", f"/api/notes/{ONE[:-1]}2", {"text": "one"}, {}),
    ):
        refused = await send(t, method, path, json, headers=headers)
        assert (refused.status, refused.code) == (422, "idempotency_key_reused"), (path, json, headers)
    assert await texts(t) == ["one", "tea"]
    spelt = b' {"text" : "\\u0074ea"}'
    again = await t.request("POST", "/api/jot", headers={"idempotency-key": KEY, "content-type": "application/json"},
                            body=spelt)  # fmt: skip
    same(first, again)


async def test_a_second_payload_is_refused_while_the_first_is_on_its_way(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    first = asyncio.create_task(send(t, "POST", "/api/two-steps", {"text": "slow"}))
    await log.inside.wait()
    (await send(t, "POST", "/api/two-steps", {"text": "other"})).refused("idempotency_key_reused")
    log.gate.set()
    (await first).ok()


async def test_callers_and_routes_have_keys_of_their_own(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
    made = [await send(t, "POST", "/api/notes", {"text": text}, as_=who)
            for text, who in (("a", ada), ("b", bob), ("c", None))]  # fmt: skip
    assert [one.ok().json["owner"] for one in made] == [ada.id, bob.id, None]
    same(made[1], await send(t, "POST", "/api/notes", {"text": "b"}, as_=bob))
    (await send(t, "POST", "/api/jot", {"text": "d"}, as_=bob)).ok()
    (await send(t, "PUT", f"/api/notes/{ONE}", {"text": "e"}, as_=bob)).ok()
    (await send(t, "PATCH", f"/api/notes/{ONE}", {"text": "f"}, as_=bob)).ok()
    assert await texts(t) == ["a", "b", "c", "d", "f"]
    fresh = await t.sign_in(ada)
    again = await t.post("/api/notes", {"text": "a"}, as_=fresh, headers={"idempotency-key": KEY})
    same(made[0], again)


def test_a_key_has_1_to_255_printable_characters() -> None:
    assert parse_key(b'"8e03978e-40d5"') == parse_key(b"8e03978e-40d5") == parse_key(b"  8e03978e-40d5\t")
    assert parse_key(rb'"a \"b\" \\ c"') == rb'a "b" \ c'
    assert parse_key(b"x" * 255) == b"x" * 255
    for bad in (
        b"",
        b"  ",
        b'""',
        b'"',
        b'"a',
        b'"a"b',
        rb'"a\b"',
        b"x" * 256,
        b"a\tb",
        b"a\x7f",
        b"\xc3\xa9",
        b"a\x00",
    ):
        with pytest.raises(BadRequest) as caught:
            parse_key(bad)
        assert (caught.value.status, caught.value.code) == (400, "invalid_idempotency_key")


async def test_a_key_that_is_none_is_refused(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    ada = await t.user("ada@example.com")
    (await send(t, "POST", "/api/notes", {"text": "a"}, key="7", as_=ada)).ok()
    (await send(t, "POST", "/api/notes", {"text": "b"}, key="x" * 20)).ok()
    for key, who in (("", ada), ("x" * 256, ada), ("x" * 19, None)):
        refused = await send(t, "POST", "/api/notes", {"text": "tea"}, key=key, as_=who)
        assert (refused.status, refused.code) == (400, "invalid_idempotency_key")
    (await send(t, "POST", "/api/auth/signup", {}, key="x" * 256)).refused("invalid_idempotency_key")
    assert (await send(t, "GET", "/api/notes", key="x" * 256)).status == 200
    assert await texts(t) == ["a", "b"]


async def test_what_was_refused_may_be_sent_again_and_corrected(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    (await send(t, "POST", "/api/notes", {"text": ""})).refused("invalid")
    (await send(t, "POST", "/api/notes", {"txt": "tea"})).refused("unknown_field")
    (await send(t, "POST", "/api/custom", {})).refused("not_found")
    await t.post("/api/notes", {"text": "tea"})
    (await send(t, "POST", "/api/notes", {"text": "tea"})).refused("not_unique")
    assert await records(t) == 0
    first = (await send(t, "POST", "/api/notes", {"text": "tea too"})).ok()
    same(first, await send(t, "POST", "/api/notes", {"text": "tea too"}))


async def test_those_who_wait_share_a_refusal(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    log.fail = Conflict("No.", code="closed")
    sent = [asyncio.create_task(send(t, "POST", "/api/late", {"text": "slow"})) for _ in range(5)]
    await log.inside.wait()
    await asyncio.sleep(0)
    log.gate.set()
    assert {((await one).status, (await one).code) for one in sent} == {(409, "closed")}
    assert (log.runs, await records(t), await texts(t)) == (["late"], 0, [])


# One transaction.


class Recorded:
    """The statements of each transaction of a trial, with how it ended."""

    def __init__(self, t: Trial) -> None:
        self.transactions: list[list[str]] = []
        self.break_after: int | None = None
        inner = t._store.transaction

        @asynccontextmanager
        async def transaction() -> AsyncIterator[Any]:
            if self.break_after is not None and len(self.transactions) >= self.break_after:
                raise Unavailable("The plug was pulled.")
            said: list[str] = []
            self.transactions.append(said)
            async with inner() as writing:
                run = writing.run

                async def watched(text: str, values: Any) -> Any:
                    said.append(text)
                    return await run(text, values)

                writing.run = watched  # type: ignore[method-assign]
                yield writing

        t._store.transaction = transaction  # type: ignore[method-assign]

    def take(self) -> list[list[str]]:
        """The writes since the last call, by transaction."""
        taken = [[text for text in said if not text.lstrip().startswith("SELECT")] for said in self.transactions]
        self.transactions.clear()
        return [said for said in taken if said]


def tables_of(said: list[str]) -> list[str]:
    return [text.split('"')[1] if '"' in text else text for text in said]


WAYS = {
    "POST /api/notes": ("POST", "/api/notes", {"text": "new"}, True),
    "PUT /api/notes/{id}": ("PUT", f"/api/notes/{ONE}", {"text": "put"}, True),
    "PATCH /api/notes/{id}": ("PATCH", f"/api/notes/{ONE}", {"text": "patched"}, True),
    "DELETE /api/notes/{id}": ("DELETE", f"/api/notes/{ONE}", None, True),
    "PATCH /api/users/{id}": ("PATCH", "/api/users/{ada}", {"name": "Ada"}, True),
    "POST /api/batch": ("POST", "/api/batch", [{"method": "POST", "path": "/api/notes", "body": {"text": "b"}}], True),
    "POST /graphql": (
        "POST", "/graphql", {"query": 'mutation { createNote(input: {text: "asked"}) { id } }'}, True,
    ),
    "POST /api/jot": ("POST", "/api/jot", {"text": "jotted"}, False),
    "POST /api/jot-whole": ("POST", "/api/jot-whole", {"text": "whole"}, True),
    "POST /api/careless": ("POST", "/api/careless", {"text": "careless"}, False),
    "POST /api/late": ("POST", "/api/late", {"text": "late"}, False),
    "POST /api/two-steps": ("POST", "/api/two-steps", {"text": "step"}, False),
    "POST /api/journey": ("POST", "/api/journey", {"text": "far"}, False),
    "PATCH /api/custom/{text}": ("PATCH", "/api/custom/here", None, True),
    "DELETE /api/all": ("DELETE", "/api/all", None, False),
    "POST /api/pay": ("POST", "/api/pay", {"text": "paid"}, True),
    "POST /api/invite": ("POST", "/api/invite", {"email": "eve@example.com"}, False),
    "POST /api/auth/password": (
        "POST", "/api/auth/password",
        {"current_password": "correct horse battery", "new_password": "another battery"}, False,
    ),
    "DELETE /api/auth/sessions": ("DELETE", "/api/auth/sessions", None, False),
    "DELETE /api/auth/sessions/{id}": ("DELETE", "/api/auth/sessions/{session}", None, False),
    "DELETE /api/auth/keys": ("DELETE", "/api/auth/keys", None, False),
    "DELETE /api/auth/keys/{id}": ("DELETE", "/api/auth/keys/{key}", None, False),
}  # fmt: skip
"""For each unsafe route a request that succeeds, and whether its answer is kept in the transaction of its effect."""
NOTHING_WRITTEN = {"POST /api/quote"}
NEVER_ALLOWED = {"POST /api/users", "PUT /api/users/{id}", "DELETE /api/users/{id}"}
"""Nobody may, by the rules of accounts: they are the same handlers as those of notes."""


async def test_every_unsafe_route_carries_its_key_in_the_transaction_of_its_effect(trial: tuple[Trial, Log]) -> None:
    """The routes are read from the router: a new one has no way around, or stands in the list of exceptions."""
    t, _ = trial
    served = {f"{method} {path}" for path, methods in t.app.routes() for method in methods if method in UNSAFE}
    assert served == {*WAYS, *EXCEPTIONS, *NOTHING_WRITTEN, *NEVER_ALLOWED}
    assert all(EXCEPTIONS.values())
    ada = await t.user("ada@example.com", password="correct horse battery")
    recorded = Recorded(t)
    for number, (route, (method, path, json, whole)) in enumerate(sorted(WAYS.items(), key=_last_ones_last)):
        if "sessions" in path:
            await t.sign_in(ada)
            sessions = (await t.get("/api/auth/sessions", as_=ada)).ok().json["data"]
            path = path.replace("{session}", next(one["id"] for one in sessions if not one["current"]))
        if "auth/keys" in path:
            made = await t.post("/api/auth/keys", {"name": "x", "scopes": ["read"]}, as_=ada)
            path = path.replace("{key}", made.ok().json["id"])
        path = path.replace("{ada}", ada.id)
        recorded.take()
        first = (await send(t, method, path, json, key=f"key {number}", as_=ada)).ok()
        # What a try is charged to is a transaction of its own, before all others, and stays whatever comes of it.
        transactions = [said for said in map(tables_of, recorded.take()) if said[0] != "_rates"]
        assert transactions[0][0] == "_repeats", route
        effect = [table for table in transactions[0] if table != "_repeats"]
        assert effect, f"{route} has its key in a transaction of its own: {transactions}"
        assert (transactions[0].count("_repeats") == 2) == whole, f"{route}: {transactions}"
        assert (transactions[-1] == ["_repeats"]) == (not whole), f"{route}: {transactions}"
        same(first, await send(t, method, path, json, key=f"key {number}", as_=ada))
        assert recorded.take() == [], route


def _last_ones_last(way: tuple[str, Any]) -> int:
    """Records are put before they are changed, and changed before they are deleted; all others when all is done."""
    return ["POST", "PUT", "PATCH", "DELETE"].index(way[1][0]) + 10 * (way[0] == "DELETE /api/all")


@pytest.mark.parametrize("route", sorted(EXCEPTIONS))
async def test_the_exceptions_take_no_notice_of_a_key(trial: tuple[Trial, Log], route: str) -> None:
    t, _ = trial
    ada = await t.user("ada@example.com", password="correct horse battery")
    held = (await t.post("/api/auth/login", {"email": ada.email, "password": "correct horse battery"})).ok().json
    method, _, path = route.partition(" ")
    json, who = {
        "signup": ({"email": "bob@example.com", "password": "correct horse battery"}, None),
        "login": ({"email": ada.email, "password": "correct horse battery"}, None),
        "refresh": ({"refresh_token": held["refresh_token"]}, None),
        "logout": (None, ada),
        "keys": ({"name": "x", "scopes": ["read"]}, ada),
        "ticket": (None, ada),
    }[path.rpartition("/")[2]]
    first = (await send(t, method, path, json, as_=who)).ok()
    again = await send(t, method, path, json, as_=who)
    assert "idempotency-replayed" not in {**first.headers, **again.headers}
    assert again.status == (401 if path.endswith("logout") else first.status)
    assert first.body != again.body or first.status in (202, 204)
    assert await records(t) == 0


# Crashes.


async def test_the_key_goes_with_the_effect_or_not_at_all(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    log.fail = ZeroDivisionError("secret")
    assert (await send(t, "POST", "/api/jot-whole", {"text": "tea"})).status == 500
    assert (await texts(t), await records(t)) == ([], 0)
    log.fail = None
    (await send(t, "POST", "/api/jot-whole", {"text": "tea"})).ok()
    assert (await texts(t), await records(t)) == (["tea"], 1)


@pytest.fixture
def lapse(trial: tuple[Trial, Log]) -> Callable[[], Any]:
    """Let the time pass in which an answer may still come."""
    return lambda: raw(trial[0], 'UPDATE "_repeats" SET lease_until = lease_until - 61')


async def test_an_answer_lost_between_effect_and_record_is_said_to_be_lost(
    trial: tuple[Trial, Log], lapse: Callable[[], Any]
) -> None:
    """The effect is committed and then the process dies: a repetition never does it again."""
    t, log = trial
    t.app.running.idempotency._wait = 0.05
    recorded = Recorded(t)
    recorded.break_after = 1
    assert (await send(t, "POST", "/api/jot", {"text": "tea"})).status == 201  # who asked has their answer
    recorded.break_after = None
    early = await send(t, "POST", "/api/jot", {"text": "tea"})
    assert (early.status, early.code, early.headers["retry-after"]) == (409, "in_progress", "1")
    (await send(t, "POST", "/api/jot", {"text": "coffee"})).refused("idempotency_key_reused")
    await lapse()
    for _ in range(2):
        late = await send(t, "POST", "/api/jot", {"text": "tea"})
        assert (late.status, late.code) == (409, "answer_lost")
    assert (log.runs, await texts(t)) == (["jot"], ["tea"])


async def test_a_task_that_is_cancelled_after_its_effect_does_it_no_second_time(
    trial: tuple[Trial, Log], lapse: Callable[[], Any]
) -> None:
    t, log = trial
    t.app.running.idempotency._wait = 0.05
    task = asyncio.create_task(send(t, "POST", "/api/two-steps", {"text": "slow"}))
    await log.inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (await send(t, "POST", "/api/two-steps", {"text": "slow"})).refused("in_progress")
    await lapse()
    (await send(t, "POST", "/api/two-steps", {"text": "slow"})).refused("answer_lost")
    assert (log.runs, await texts(t)) == (["steps"], ["slow 1"])


async def test_what_was_begun_and_not_answered_is_gone_on_with_at_once(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    task = asyncio.create_task(send(t, "POST", "/api/journey", {"text": "slow"}))
    await log.inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (await send(t, "POST", "/api/journey", {"text": "another"})).refused("idempotency_key_reused")
    resumed = (await send(t, "POST", "/api/journey", {"text": "slow"})).ok()
    assert resumed.json == "1 by resumed"
    same(resumed, await send(t, "POST", "/api/journey", {"text": "slow"}))
    assert (log.runs, await texts(t)) == (["begun", "resumed"], ["slow 1"])


async def test_who_goes_on_and_who_began_are_answered_alike(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    first = asyncio.create_task(send(t, "POST", "/api/journey", {"text": "slow"}))
    await log.inside.wait()
    idempotency = t.app.running.idempotency
    leaders, idempotency._leaders = idempotency._leaders, {}  # another process knows of none
    second = (await send(t, "POST", "/api/journey", {"text": "slow"})).ok()
    idempotency._leaders = leaders
    log.gate.set()
    answers = [second, (await first).ok()]
    assert [answer.json for answer in answers] == ["1 by resumed", "1 by resumed"]
    assert await texts(t) == ["slow 1"]


async def test_what_passes_is_not_the_last_word_on_what_was_begun(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    log.fail = Unavailable("The provider is away.")
    (await send(t, "POST", "/api/journey", {"text": "tea"})).refused("unavailable")
    log.fail = None
    assert (await send(t, "POST", "/api/journey", {"text": "tea"})).ok().json == "1 by resumed"
    assert (log.runs, await texts(t)) == (["begun", "resumed"], ["tea 1"])


async def test_where_the_first_one_is_cancelled_before_its_effect_the_next_one_does_it(
    trial: tuple[Trial, Log],
) -> None:
    t, log = trial
    first = asyncio.create_task(send(t, "POST", "/api/late", {"text": "slow"}))
    await log.inside.wait()
    others = [asyncio.create_task(send(t, "POST", "/api/late", {"text": "slow"})) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    log.gate.set()
    answers = [await other for other in others]
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True, True]
    assert len({answer.ok().body for answer in answers}) == 1
    assert (log.runs, await texts(t)) == (["late", "late"], ["slow"])


@pytest.mark.parametrize("error", [Conflict("Not now.", code="closed"), ZeroDivisionError("secret")])
async def test_a_request_that_fails_in_its_middle_is_not_begun_again(
    trial: tuple[Trial, Log], error: Exception
) -> None:
    t, log = trial
    log.fail = error
    first = await send(t, "POST", "/api/two-steps", {"text": "tea"})
    assert first.code == ("closed" if isinstance(error, Conflict) else "internal_error")
    log.fail = None
    same(first, await send(t, "POST", "/api/two-steps", {"text": "tea"}))
    assert (log.runs, await texts(t)) == (["steps"], ["tea 1"])


async def test_an_action_that_writes_nothing_is_answered_alike(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    first = (await send(t, "POST", "/api/quote", {"weight": 7})).ok()
    same(first, await send(t, "POST", "/api/quote", {"weight": 7}))
    (await send(t, "POST", "/api/quote", {"weight": 8})).refused("idempotency_key_reused")
    assert log.runs == ["quote"]


async def test_an_answer_of_ones_own_form_is_repeated_whole(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    ada = await t.user("ada@example.com")
    first = await send(t, "PATCH", "/api/custom/tea", as_=ada)
    assert (first.status, first.text, first.headers["x-made"]) == (299, "made tea", "tea\ntwice")
    same(first, await send(t, "PATCH", "/api/custom/tea", as_=ada))


async def test_an_action_may_require_a_key(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    ada = await t.user("ada@example.com")
    refused = await t.post("/api/pay", {"text": "tea"}, as_=ada)
    assert (refused.status, refused.code) == (400, "idempotency_key_required")
    assert (await t.post("/api/pay", {"text": "tea"})).status == 401
    (await send(t, "POST", "/api/pay", {"text": "tea"}, as_=ada)).ok()


def test_a_get_takes_no_key() -> None:
    app = App("notes", models=[Note])
    with pytest.raises(DeclarationError, match="a GET takes no key"):

        @app.action("GET /api/look", idempotency_key="required")
        async def look(ctx: Context) -> None: ...


# Waiting, and several processes.


async def test_who_waits_too_long_is_told_to_come_back(database: str) -> None:
    app, log = application(repeat_wait_ms=30)
    async with Trial(app, database) as t:
        first = asyncio.create_task(send(t, "POST", "/api/two-steps", {"text": "slow"}))
        await log.inside.wait()
        told = await send(t, "POST", "/api/two-steps", {"text": "slow"})
        assert (told.status, told.code, told.headers["retry-after"]) == (409, "in_progress", "1")
        log.gate.set()
        same((await first).ok(), await send(t, "POST", "/api/two-steps", {"text": "slow"}))


@asynccontextmanager
async def second_process(t: Trial, **limits: int) -> AsyncIterator[tuple[Trial, Log]]:
    """The same application over the same database, knowing nothing of the other but what the database says."""
    app, log = application(**limits)
    other = Trial(app)
    settings = t._settings
    await app.start(settings, extend=False, store=None, clock=other.clock)
    try:
        yield other, log
    finally:
        await app.stop()


async def test_another_process_and_a_restart_answer_alike(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    first = (await send(t, "POST", "/api/jot", {"text": "tea"})).ok()
    async with second_process(t) as (other, log):
        same(first, await send(other, "POST", "/api/jot", {"text": "tea"}))
        (await send(other, "POST", "/api/jot", {"text": "coffee"})).refused("idempotency_key_reused")
        assert log.runs == []


async def test_a_handler_that_catches_every_error_does_not_go_on(trial: tuple[Trial, Log]) -> None:
    """It lost its key to another process between looking and writing; whatever it makes of that is not answered."""
    t, log = trial
    async with second_process(t) as (other, others):
        first = (await send(other, "POST", "/api/careless", {"text": "tea"})).ok()
        blind = t.app.running.idempotency.repeats
        find, looks = blind.find, 0

        async def late(keyed: Any) -> Any:
            nonlocal looks
            looks += 1
            return None if looks == 1 else await find(keyed)

        blind.find = late  # type: ignore[method-assign]
        same(first, await send(t, "POST", "/api/careless", {"text": "tea"}))
        assert (others.runs, log.runs, await texts(t)) == (["careless"], [], ["tea"])


async def test_a_process_waits_for_the_answer_of_another(trial: tuple[Trial, Log]) -> None:
    """The effect is committed, its answer is not there yet: nothing is held while waiting."""
    t, log = trial
    async with second_process(t) as (other, others):
        first = asyncio.create_task(send(t, "POST", "/api/two-steps", {"text": "slow"}))
        await log.inside.wait()
        again = asyncio.create_task(send(other, "POST", "/api/two-steps", {"text": "slow"}))
        await asyncio.sleep(0)
        log.gate.set()
        same((await first).ok(), await again)
        assert others.runs == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("fails", [False, True])
async def test_a_process_waits_for_a_transaction_of_another(trial: tuple[Trial, Log], fails: bool) -> None:
    """The unique index decides: whoever comes second waits until the first commits, or does it where that failed."""
    t, log = trial
    async with second_process(t) as (other, others):
        first = asyncio.create_task(send(t, "POST", "/api/jot-whole", {"text": "slow"}))
        await log.inside.wait()
        others.gate.set()
        again = asyncio.create_task(send(other, "POST", "/api/jot-whole", {"text": "slow"}))
        await blocked(t)
        log.fail = Conflict("No.", code="closed") if fails else None
        log.gate.set()
        done, repeated = await first, await again
        if fails:
            done.refused("closed")
            assert "idempotency-replayed" not in repeated.ok().headers
        else:
            same(done.ok(), repeated)
        assert others.runs == (["whole"] if fails else [])
        assert await texts(t) == ["slow"]


async def blocked(t: Trial) -> None:
    """Until somebody waits for a lock."""
    for _ in range(2000):
        if (await raw(t, "SELECT count(*) FROM pg_locks WHERE NOT granted"))[0][0]:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_process_does_not_wait_for_ever_for_another(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    async with second_process(t, max_statement_ms=100) as (other, others):
        first = asyncio.create_task(send(t, "POST", "/api/jot-whole", {"text": "slow"}))
        await log.inside.wait()
        told = await send(other, "POST", "/api/jot-whole", {"text": "slow"})
        assert (told.status, told.code, told.headers["retry-after"]) == (409, "in_progress", "1")
        log.gate.set()
        (await first).ok()
        assert others.runs == []


# Time, size, secrecy.


async def test_a_key_is_kept_for_a_day_by_the_time_of_the_database(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    now = "unixepoch()" if t._store.dialect.name == "sqlite" else "extract(epoch FROM now())::bigint"
    first = (await send(t, "POST", "/api/jot-whole", {"text": "tea"})).ok()
    left = (await raw(t, f'SELECT expires_at - {now} FROM "_repeats"'))[0][0]
    assert 24 * 3600 - 60 < left <= 24 * 3600
    t.clock.advance(days=30)  # the time of a process decides nothing
    same(first, await send(t, "POST", "/api/jot-whole", {"text": "tea"}))
    await raw(t, f'UPDATE "_repeats" SET expires_at = {now}')
    (await send(t, "POST", "/api/jot-whole", {"text": "other"})).ok()
    assert await records(t) == 1  # the old record was taken over
    (await send(t, "POST", "/api/jot-whole", {"text": "tea"})).refused("idempotency_key_reused")
    assert log.runs == ["whole", "whole"]


def test_a_key_is_kept_for_24_hours_or_longer() -> None:
    assert read_settings({"BACKSTAY_IDEMPOTENCY_HOURS": "72"}).idempotency_hours == 72
    with pytest.raises(ValueError, match="BACKSTAY_IDEMPOTENCY_HOURS must be at least 24"):
        read_settings({"BACKSTAY_IDEMPOTENCY_HOURS": "23"})


async def test_what_has_expired_is_deleted_by_and_by(trial: tuple[Trial, Log], monkeypatch: pytest.MonkeyPatch) -> None:
    t, _ = trial
    seeing, now = t.app.running.idempotency, [0.0]
    monkeypatch.setattr(seeing, "_monotonic", lambda: now[0])
    monkeypatch.setattr(repeat.Repeats.purge, "__defaults__", (3,))
    monkeypatch.setattr("backstay.api.idempotency.PURGED", 3)
    seeing._purged = 0.0
    for number in range(8):
        (await send(t, "POST", "/api/quote", {"weight": 1}, key=f"a key that is long enough {number}")).ok()
    await raw(t, 'UPDATE "_repeats" SET expires_at = 5')
    left = []
    for number in range(4):
        now[0] += 60 if number == 0 else 0
        (await send(t, "POST", "/api/quote", {"weight": 1}, key=f"another that is long enough {number}")).ok()
        left.append(await records(t))
    assert left == [6, 4, 3, 4]  # three of the old ones each time until none is left, and one new one


async def test_an_answer_that_is_too_large_is_not_kept(database: str) -> None:
    app, _ = application(max_kept_answer=300)
    async with Trial(app, database) as t:
        (await send(t, "POST", "/api/notes", [{"text": "tea"}, {"text": "too"}])).ok()
        (await send(t, "POST", "/api/notes", [{"text": "tea"}, {"text": "too"}])).refused("answer_lost")
        assert await texts(t) == ["tea", "too"]


async def test_what_is_kept_cannot_be_read_where_it_lies(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    (await send(t, "POST", "/api/notes", {"text": "a secret of hers"})).ok()
    ((scope, key, asked, answer),) = await raw(t, 'SELECT scope, key, asked, answer FROM "_repeats"')
    stored = b"".join(part if isinstance(part, bytes) else part.encode() for part in (scope, key, asked, answer))
    assert b"a secret of hers" not in stored
    assert KEY.encode() not in stored
    assert len(stored) > 200


async def test_a_record_moved_elsewhere_is_no_answer(trial: tuple[Trial, Log]) -> None:
    t, log = trial
    await send(t, "POST", "/api/quote", {"weight": 1})
    await send(t, "POST", "/api/quote", {"weight": 1}, key=f"{KEY}-2")
    await raw(t, 'UPDATE "_repeats" SET asked = (SELECT min(asked) FROM "_repeats"), answer = '
                 '(SELECT min(answer) FROM "_repeats")')  # fmt: skip
    codes = sorted([(await send(t, "POST", "/api/quote", {"weight": 1}, key=key)).code for key in (KEY, f"{KEY}-2")])
    assert codes in (["answer_lost", "answer_lost"], ["", "answer_lost"])
    assert len(log.runs) == 2


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Exchange the keys of the application."""

    def use(t: Trial, *names: str) -> None:
        keys = KeyRing([(name, name.encode() * 32) for name in names])
        monkeypatch.setattr(t.app.running.idempotency.repeats, "_keys", lambda: keys)

    return use


async def test_an_answer_outlives_a_change_of_keys(trial: tuple[Trial, Log], ring: Callable[..., None]) -> None:
    t, log = trial
    ring(t, "a")
    first = (await send(t, "POST", "/api/jot", {"text": "tea"})).ok()
    ring(t, "b", "a")
    same(first, await send(t, "POST", "/api/jot", {"text": "tea"}))
    ring(t, "b")
    (await send(t, "POST", "/api/jot", {"text": "tea"})).refused("answer_lost")
    assert log.runs == ["jot"]


async def test_without_a_key_nothing_is_kept_and_nothing_is_asked(trial: tuple[Trial, Log]) -> None:
    t, _ = trial
    with t.counting() as statements:
        (await t.post("/api/notes", {"text": "tea"})).ok()
    assert [text for text in statements if "_repeats" in text] == []
    with t.counting() as keyed:
        (await send(t, "POST", "/api/notes", {"text": "too"})).ok()
    assert len(keyed) == len(statements) + 3  # to look, to claim, to answer
    with t.counting() as keyed:
        (await send(t, "POST", "/api/notes", {"text": "too"})).ok()
    assert len(keyed) == 1
