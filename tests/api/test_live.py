"""Live lists and records: what a reader is told, by the rules that hold for them, and how they go on."""

from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest
from sqlalchemy import update

from backstay import App, Limits, Model, Rules, User, anyone, current_user
from backstay.api.live_subscription import Event
from backstay.testing import Trial

_numbers = count()


class Team(Model):
    """Whose notes are seen by its members."""

    name: str
    lead: User | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


class Note(Model):
    """A note: public, or its author's alone."""

    text: str
    public: bool = False
    stars: int = 0
    hint: str = ""
    team: Team | None = None
    author: User = current_user()

    def rules(self, me: User) -> Rules:
        mine = self.author == me
        return Rules(
            read=self.public | mine | (me.has_role("staff")),
            create=me.signed_in, update=mine, delete=mine,
        )  # fmt: skip


class Memo(Model):
    """A memo that the lead of its team can read: a rule beyond the row."""

    text: str
    team: Team

    def rules(self, me: User) -> Rules:
        return Rules(read=self.team.lead == me, create=anyone, update=anyone, delete=anyone)


@pytest.fixture(params=["sqlite", "postgres"])
async def t(
    request: pytest.FixtureRequest, tmp_path: object, postgres_database: Callable[[str], str]
) -> AsyncIterator[Trial]:
    address = (
        f"sqlite:///{tmp_path}/live.db" if request.param == "sqlite" else postgres_database(f"live{next(_numbers)}")
    )
    async with Trial(App("notes", models=[Team, Note, Memo]), address) as trial:
        yield trial


async def test_a_list_tells_what_changes_in_it(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    one = (await t.post("/api/notes", {"text": "one", "public": True}, as_=ada)).ok().json
    async with t.live("/api/notes") as notes:
        first = await notes.next()
        assert first.name == "snapshot"
        assert first.data == (await t.get("/api/notes")).json
        two = (await t.post("/api/notes", {"text": "two", "public": True}, as_=ada)).ok().json
        await t.patch(f"/api/notes/{one['id']}", {"text": "uno"}, as_=ada)
        await t.delete(f"/api/notes/{two['id']}", as_=ada)
        told = [await notes.next() for _ in range(3)]
        assert [event.name for event in told] == ["create", "update", "delete"]
        assert told[0].data == two
        assert told[1].data == (await t.get(f"/api/notes/{one['id']}")).json
        assert told[2].data == {"id": two["id"]}
        await notes.silence()


async def test_a_row_that_leaves_the_view_is_a_bare_delete(t: Trial) -> None:
    ada, eve = await t.user("ada@example.com"), await t.user("eve@example.com")
    one = (await t.post("/api/notes", {"text": "one", "public": True}, as_=ada)).ok().json
    async with t.live("/api/notes", as_=eve) as notes, t.live("/api/notes", as_=ada) as own:
        await notes.next(), await own.next()
        await t.patch(f"/api/notes/{one['id']}", {"public": False, "text": "secret"}, as_=ada)
        assert (await notes.next()).data == {"id": one["id"]}
        assert (await own.next()).name == "update"
        await t.patch(f"/api/notes/{one['id']}", {"text": "more secret"}, as_=ada)
        assert (await own.next()).name == "update"
        await notes.silence()
        await t.patch(f"/api/notes/{one['id']}", {"public": True}, as_=ada)
        assert (await notes.next()).name == "create"


async def test_a_change_of_what_was_not_asked_for_tells_nothing(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    one = (await t.post("/api/notes", {"text": "one", "public": True}, as_=ada)).ok().json
    async with t.live("/api/notes?fields=text&stars[gte]=0") as notes:
        assert (await notes.next()).data["data"] == [{"id": one["id"], "text": "one"}]
        await t.patch(f"/api/notes/{one['id']}", {"hint": "x"}, as_=ada)
        await notes.silence()
        await t.patch(f"/api/notes/{one['id']}", {"text": "uno"}, as_=ada)
        assert (await notes.next()).data == {"id": one["id"], "text": "uno"}


async def test_a_stream_resumes_behind_every_event(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    async with t.live("/api/notes") as notes:
        ids = [(await notes.next()).id]
        made = []
        for number in range(4):
            made.append((await t.post("/api/notes", {"text": f"{number}", "public": True}, as_=ada)).ok().json)
            ids.append((await notes.next()).id)
    for number, place in enumerate(ids):
        async with t.live("/api/notes", last=place) as notes:
            for record in made[number:]:
                event = await notes.next()
                assert (event.name, event.data) == ("create", record)
            await notes.silence(0.1)


async def test_an_id_of_another_question_or_actor_begins_anew(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    async with t.live("/api/notes") as notes:
        place = (await notes.next()).id
    for path, who in (("/api/notes?stars=1", None), ("/api/notes", ada)):
        async with t.live(path, as_=who, last=place) as notes:
            assert [(await notes.next()).name for _ in range(2)] == ["reset", "snapshot"]


async def test_a_record_is_live(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    one = (await t.post("/api/notes", {"text": "one", "public": True}, as_=ada)).ok().json
    (await t.get(f"/api/notes/{'0' * 8}-0000-7000-8000-{'0' * 12}", headers={"accept": "text/event-stream"})).refused(
        "not_found"
    )
    async with t.live(f"/api/notes/{one['id']}") as note:
        assert (await note.next()).data == one
        await t.post("/api/notes", {"text": "two", "public": True}, as_=ada)
        await t.patch(f"/api/notes/{one['id']}", {"text": "uno"}, as_=ada)
        assert (await note.next()).data["text"] == "uno"
        await t.delete(f"/api/notes/{one['id']}", as_=ada)
        assert (await note.next()).name == "delete"


async def test_a_rule_beyond_the_row_is_asked_again(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    team = (await t.post("/api/teams", {"name": "a"})).ok().json
    memo = (await t.post("/api/memos", {"text": "hello", "team": team["id"]})).ok()
    async with t.live("/api/memos?expand=team", as_=ada) as memos:
        assert (await memos.next()).data["data"] == []
        (await t.patch(f"/api/teams/{team['id']}", {"lead": ada.id}, as_=ada)).ok()
        event = await memos.next()
        assert event.name == "create"
        assert event.data["team"]["name"] == "a"
        place = event.id
        await t.patch(f"/api/teams/{team['id']}", {"name": "b"})
        event = await memos.next()
        assert event.name == "update"
        assert event.data["team"]["name"] == "b"
        await t.patch(f"/api/teams/{team['id']}", {"lead": None})
        assert (await memos.next()).name == "delete"
        here = memos.last
    async with t.live("/api/memos?expand=team", as_=ada, last=place) as memos:
        assert [(await memos.next()).name for _ in range(2)] == ["reset", "snapshot"]
    async with t.live("/api/memos?expand=team", as_=ada, last=here) as memos:
        await memos.silence()
    assert memo.status == 201


async def test_a_window_is_live(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    async with t.live("/api/notes?sort=-stars&limit=2&fields=stars") as notes:
        await notes.next()
        for stars in (1, 2):
            await t.post("/api/notes", {"text": "x", "stars": stars, "public": True}, as_=ada)
            assert (await notes.next()).data["stars"] == stars
        await t.post("/api/notes", {"text": "x", "stars": 3, "public": True}, as_=ada)
        assert [(await notes.next()).name for _ in range(2)] == ["reset", "snapshot"]
        assert sorted(row["stars"] for row in notes.held.values()) == [2, 3]
        best = (await t.post("/api/notes", {"text": "x", "stars": 4, "public": True}, as_=ada)).json
        assert {(await notes.next()).name for _ in range(2)} == {"create", "delete"}
        assert sorted(row["stars"] for row in notes.held.values()) == [3, 4]
        await t.delete(f"/api/notes/{best['id']}", as_=ada)
        assert {(await notes.next()).name for _ in range(2)} == {"create", "delete"}
        assert sorted(row["stars"] for row in notes.held.values()) == [2, 3]


@pytest.mark.parametrize("path", ["/api/notes?count=exact", "/api/notes?page=2", "/api/notes?cursor=x"])
async def test_what_cannot_be_live_is_refused(t: Trial, path: str) -> None:
    (await t.get(path, headers={"accept": "text/event-stream"})).refused("not_live")


async def test_what_a_get_refuses_a_stream_refuses(t: Trial) -> None:
    for path in ("/api/notes?nothing=1", "/api/notes?stars=x", "/api/memos"):
        plain = await t.get(path)
        live = await t.get(path, headers={"accept": "text/event-stream"})
        assert (live.status, live.code) == (plain.status, plain.code)
        assert plain.status >= 400


async def test_losing_a_session_or_a_role_ends_a_stream(t: Trial) -> None:
    ada, boss = await t.user("ada@example.com"), await t.user("boss@example.com", roles=["staff"])
    await t.post("/api/notes", {"text": "private"}, as_=ada)
    async with t.live("/api/notes", as_=boss) as notes, t.live("/api/notes", as_=ada) as own:
        assert len((await notes.next()).data["data"]) == 1
        await own.next()
        await t.app.running.accounts.set_roles("boss@example.com", [])
        event = await notes.next(2)
        assert (event.name, event.data["code"]) == ("end", "rights_changed")
        with pytest.raises(EOFError):
            await notes.next()
        (await t.post("/api/auth/logout", as_=ada)).ok()
        event = await own.next(2)
        assert (event.name, event.data["code"]) == ("end", "invalid_token")


async def test_an_expired_token_ends_a_stream(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    async with t.live("/api/notes", as_=ada) as notes:
        await notes.next()
        t.clock.advance(days=400)
        assert (await notes.next(2)).data["code"] == "invalid_token"


async def test_a_ticket_opens_one_stream(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    await t.post("/api/notes", {"text": "private"}, as_=ada)
    (await t.post("/api/live/ticket")).refused("not_signed_in")
    ticket = (await t.post("/api/live/ticket", as_=ada)).ok().json["ticket"]
    async with t.live(f"/api/notes?ticket={ticket}") as notes:
        assert len((await notes.next()).data["data"]) == 1
    live = {"accept": "text/event-stream"}
    (await t.get(f"/api/notes?ticket={ticket}", headers=live)).refused("invalid_token")
    late = (await t.post("/api/live/ticket", as_=ada)).ok().json["ticket"]
    t.clock.advance(seconds=31)
    (await t.get(f"/api/notes?ticket={late}", headers=live)).refused("invalid_token")
    (await t.get(f"/api/notes?ticket={ticket}")).refused("unknown_field")


async def test_raw_statements_begin_a_stream_anew(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    await t.post("/api/notes", {"text": "one", "public": True}, as_=ada)
    async with t.live("/api/notes") as notes:
        await notes.next()
        async with t.transaction() as tx:
            await tx.execute(update(t.app.tables.tables["notes"]).values(text="raw"), touches=[Note])
        assert [(await notes.next()).name for _ in range(2)] == ["reset", "snapshot"]
        assert [row["text"] for row in notes.held.values()] == ["raw"]


async def test_leaving_ends_streams_and_says_to_come_back(t: Trial) -> None:
    async with t.live("/api/notes") as notes:
        await notes.next()
        t.app.running.live.leave()
        assert (await notes.next()).data["code"] == "stopping"
    assert t.app.running.live.streams == 0


async def test_streams_are_bounded_for_one_account_and_for_one_process() -> None:
    limits = Limits(live_streams=3, live_per_actor=2)
    async with Trial(App("notes", models=[Team, Note, Memo], limits=limits)) as t:
        ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
        live = {"accept": "text/event-stream"}
        async with t.live("/api/notes", as_=ada) as one, t.live("/api/notes", as_=ada) as two:
            await one.next(), await two.next()
            (await t.get("/api/notes", as_=ada, headers=live)).refused("too_many_streams")
            async with t.live("/api/notes", as_=bob) as three:
                await three.next()
                (await t.get("/api/notes", as_=bob, headers=live)).refused("overloaded")
        async with t.live("/api/notes", as_=ada) as again:  # those that ended count no more
            assert (await again.next()).name == "snapshot"


@pytest.mark.parametrize("limits", [Limits(live_events=5), Limits(live_bytes=600)])
async def test_a_slow_reader_is_told_to_begin_anew(limits: Limits) -> None:
    async with Trial(App("notes", models=[Team, Note, Memo], limits=limits)) as t, t.live("/api/notes") as notes:
        await notes.next()
        (stream,) = t.app.running.live._open
        for number in range(20):  # nothing is read in between
            stream.subscription.push(Event("create", b'{"id":"%d","text":"%s"}' % (number, b"x" * 100), ""))
        event = await notes.next()
        assert (event.name, event.data) == ("reset", {"reason": "too_slow"})
        with pytest.raises(EOFError):
            await notes.next()
