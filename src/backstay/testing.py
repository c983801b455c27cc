"""What an application's own tests need: a `Trial` is the application, started, with its clock and its ids in hand.

Invariant: nothing of a trial depends on the moment, on chance or on the network. Time stands still until it is moved,
ids follow one another, requests go through the whole HTTP front in this process, and who somebody is is looked up anew
for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from backstay.app import App, open_store
from backstay.auth.address import canonical_address
from backstay.auth.models import AccountToken
from backstay.auth.password import Passwords
from backstay.errors import Unavailable
from backstay.mail.mailbox import Mail, Mailbox
from backstay.model.declare import plural_of
from backstay.model.field import Action, Schema
from backstay.net.fake import FakeServices
from backstay.net.permit import Permit
from backstay.plan.actor import ANONYMOUS, SYSTEM
from backstay.settings import Settings
from backstay.store.bell import Bell
from backstay.store.changes import Change
from backstay.store.dialect import Dialect, quoted
from backstay.store.identity import uuid7_maker
from backstay.store.port import Store, Writing
from backstay.store.reason import Reason, reason
from backstay.store.record import reference
from backstay.store.sql import Statement
from backstay.store.tables import sequences, tables
from backstay.store.transaction import Transaction

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
"""When a trial begins, unless it is told otherwise."""

_SESSIONS = f"FROM {quoted(plural_of(AccountToken.__name__))} "
_MINUTES = Settings().session_days * 24 * 60  # an access token is good for as long as its session
_SAFE = "%=&,+[]{}:\"'!*()-._~/"


class Clock:
    """The time of a trial: it stands still until somebody moves it.

    >>> clock = Clock(datetime(2030, 1, 1, tzinfo=UTC))
    >>> clock.advance(days=1, hours=2).isoformat()
    '2030-01-02T02:00:00+00:00'
    """

    def __init__(self, at: datetime = BEGINNING) -> None:
        self.set(at)

    def __call__(self) -> datetime:
        """What time it is."""
        return self._now

    def set(self, at: datetime) -> datetime:
        """Make it this instant, earlier or later. Raises `ValueError` for one without a time zone."""
        if at.tzinfo is None:
            raise ValueError("An instant has a time zone: datetime(2030, 1, 1, tzinfo=UTC).")
        self._now = at.astimezone(UTC)
        return self._now

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
        """Let this much time pass; returns the new instant."""
        return self.set(self._now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, to act as.

    `id` is as in JSON, `token` a real access token. `me` stands for the user as `tx.me` does: to be compared with, and
    to be set where a record refers to a user.
    """

    id: str
    email: str
    token: str = field(repr=False)
    me: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, headers by their lower-case names (those of one name on lines of their own), the body.

    >>> Answer("GET /api/notes", 200, {}, b'{"data": []}').ok().json
    {'data': []}
    """

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; `None` where there is none."""
        return msgspec.json.decode(self.body) if self.body else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def code(self) -> str:
        """The code of the problem that was answered, such as `not_found`; empty where it is none, and for a HEAD."""
        if self.body and self.headers.get("content-type", "").startswith("application/problem+json"):
            return str(self.json["code"])
        return ""

    def ok(self) -> Answer:
        """This answer, where the request succeeded; else an `AssertionError` that says what was answered."""
        if self.status >= 400:
            raise AssertionError(self._said())
        return self

    def refused(self, code: str) -> Answer:
        """This answer, where it is the problem with this code; else an `AssertionError` that says what it is."""
        if self.code != code:
            raise AssertionError(f"{self._said()}\nexpected: {code}")
        return self

    def _said(self) -> str:
        said = f"{self.asked} answered {self.status}"
        if not self.code:
            return f"{said}: {self.body.decode(errors='replace')}"
        problem = self.json
        wrong = "".join(f"\n  {e['path']}: {e['message']} ({e['code']})" for e in problem.get("errors", ()))
        traced = "\nThe log on standard error has the exception." if self.status >= 500 else ""
        return f"{said} {self.code}: {problem.get('detail') or problem['title']}{wrong}{traced}"


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event of a live answer: its name, its data from JSON, and its id."""

    name: str
    data: Any
    id: str


class LiveAnswer:
    """A live answer as its reader has it. `held` are the records by id, as the events so far leave them."""

    def __init__(self, store: _Watched, asked: str) -> None:
        self.held: dict[str, Any] = {}
        self.last = ""
        """The id to resume from."""
        self._store = store
        self._asked = asked
        self._start: Mapping[str, Any] = {}
        self._text = b""
        self._told: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._begun = asyncio.Event()

    async def next(self, seconds: float = 5.0) -> LiveEvent:
        """The next event, heartbeats left out. Raises `TimeoutError` after so many seconds, `EOFError` at the end."""
        if self._told.empty():
            await self._store.settle()
            self._store.bell.ring()
        async with asyncio.timeout(seconds):
            event = await self._told.get()
        if event is None:
            raise EOFError(f"{self._asked} has ended.")
        self._hold(event)
        return event

    async def silence(self, seconds: float = 0.3) -> None:
        """See that nothing is told for so long; else an `AssertionError` that says what is."""
        try:
            event = await self.next(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"{self._asked} told {event}")

    def close(self) -> None:
        """Go away."""
        self._gone.set()

    def _hold(self, event: LiveEvent) -> None:
        self.last = event.id
        if event.name in ("snapshot", "reset"):
            self.held.clear()
        if event.name == "snapshot":
            rows = event.data.get("data", [event.data]) if event.data is not None else []
            self.held.update((row["id"], row) for row in rows)
        elif event.name in ("create", "update"):
            self.held[event.data["id"]] = event.data
        elif event.name == "delete":
            del self.held[event.data["id"]]

    async def _see_begun(self, running: asyncio.Future[None]) -> None:
        """Wait for the status, and see that it is a stream."""
        waiting = asyncio.ensure_future(self._begun.wait())
        await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._start.get("status") != 200:
            await running
            said = self._text.decode(errors="replace")
            raise AssertionError(f"{self._asked} answered {self._start.get('status')}: {said}")

    async def _receive(self) -> Mapping[str, Any]:
        """ASGI: nothing comes but the end."""
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        """ASGI: take events as they come."""
        if message["type"] == "http.response.start":
            self._start = message
            if message["status"] == 200:
                self._begun.set()
            return
        self._text += message.get("body", b"")
        while self._start["status"] == 200 and b"\n\n" in self._text:
            one, _, self._text = self._text.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in one.decode().split("\n") if not line.startswith(":"))
            if "event" in fields:
                data = msgspec.json.decode(fields["data"])
                self._told.put_nowait(LiveEvent(fields["event"], data, fields.get("id", self.last)))
            elif "id" in fields:
                self.last = fields["id"]
        if not message.get("more_body"):
            self._told.put_nowait(None)
            self._begun.set()


class Trial:
    """An application under test: `async with Trial(app) as t`.

    Without `database` each trial has an empty SQLite database in memory, which takes some milliseconds. A given
    database must hold no records (`RuntimeError` where it does); one of PostgreSQL is emptied at the end, a file of
    SQLite is left as it is. An application is in one trial at a time.

    Nothing reaches the network: `t.http` answers what `ctx.http` asks (`t.http.answers("GET https://…", {...})`), and
    what it was not told to answer fails the trial. `http_allow` is `BACKSTAY_HTTP_ALLOW`.

    >>> import asyncio
    >>> from backstay import App, Model, Rules, User, anyone
    >>> class Note(Model):
    ...     text: str
    ...     def rules(self, me: User) -> Rules:
    ...         return Rules(read=anyone, create=me.signed_in)
    >>> app = App("notes", models=[Note])
    >>> async def test() -> int:
    ...     async with Trial(app) as t:
    ...         ada = await t.user("ada@example.com")
    ...         return (await t.post("/api/notes", {"text": "Tea"}, as_=ada)).status
    >>> asyncio.run(test())
    201
    """

    def __init__(
        self, app: App, database: str = "sqlite://", *, at: datetime = BEGINNING, http_allow: str = ""
    ) -> None:
        self.app = app
        self.clock = Clock(at)
        self._settings = Settings(
            database_url=database, secret_key="only for tests, known to everybody", log_level="error",
            env="development", connections=2, access_minutes=_MINUTES, http_allow=http_allow,
        )  # fmt: skip
        self._store = _Watched(open_store(self._settings, app.limits, apart=app.declaration.joins))
        self.http = FakeServices(Permit(http_allow))
        self._mailbox = Mailbox()

    async def __aenter__(self) -> Trial:
        """Start the application."""
        if _started(self.app):
            raise RuntimeError(f"{self.app.name} is started already: one trial at a time.")
        new_id = uuid7_maker(lambda: int(self.clock().timestamp() * 1000), count().__next__)
        # The cheapest passwords there are, for tests that sign up and log in.
        passwords = Passwords(memory_kib=8, rounds=1, at_once=1, blur_ms=0)
        await self.app.start(
            self._settings, extend=True, store=self._store, clock=self.clock, new_id=new_id, passwords=passwords,
            wire=self.http, mailer=self._mailbox,
        )  # fmt: skip
        try:
            await self._see_that_it_is_empty()
        except BaseException:
            await self.app.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        try:
            if self._store.dialect.name == "postgres":
                await self._empty()
        finally:
            await self.app.stop()
        if self.http.unexpected and error is None:
            raise AssertionError(f"Nobody answered {', '.join(self.http.unexpected)}: say what does by t.http.answers.")

    # Who, and what there is.

    async def user(
        self, email: str, *, roles: Sequence[str] = (), password: str | None = None, **values: Any
    ) -> Person:
        """Make an account, with roles and fields of its own, and sign in to it.

        No password is hashed unless one is given. Raises `Invalid`, and `Conflict` where the address has an account.
        """
        key = await self.app.running.accounts.create_user(email, password, list(roles), **values)
        return Person(key, canonical_address(email), await self.sign_in(key), reference(self.app.schema.user, key))

    async def sign_in(self, user: Person | str) -> str:
        """A new access token of a user, such as after the time in which the last one was good.

        Raises `LookupError` where there is no such user, or the account is disabled.
        """
        async with self.transaction() as tx:
            pair = await self.app.running.accounts.gate.admit(tx, user.id if isinstance(user, Person) else user)
        if pair is None:
            raise LookupError("There is no such user, or the account is disabled.")
        return pair.access_token

    @asynccontextmanager
    async def transaction(self, *, as_: Person | str | None = None) -> AsyncIterator[Transaction]:
        """A transaction with the rights of somebody; of your own code, above the rules, where nobody is named."""
        running = self.app.running
        running.accounts.identities.forget(None)
        actor = SYSTEM if as_ is None else await running.accounts.identify(_token(as_))
        async with running.context_of(actor).transaction() as tx:
            yield tx

    async def why(self, who: Person | str | None, action: Action, record: Any) -> Reason:
        """Why somebody may do something with a record, or may not: which clause of which rule holds.

        `who` is nobody where it is `None`; `record` is one that was read, or a model for a new one. `verdict` is
        `allowed`, `denied` or `depends` (on what is written); `lines` are for a person. A round trip for each clause.

        >>> async def test(t: Trial, note: Note) -> None:
        ...     assert (await t.why(None, "delete", note)).verdict == "denied"
        """
        running = self.app.running
        running.accounts.identities.forget(None)
        actor = ANONYMOUS if who is None else await running.accounts.identify(_token(who))
        model = record if isinstance(record, type) else type(record)
        key = None if isinstance(record, type) else str(record.id)
        name = "anonymous" if who is None else who.email if isinstance(who, Person) else who
        return await reason(running.engine, actor, name, action, self.app.schema.of(model), key)

    async def seed(self) -> int:
        """Run the application's seeds; returns how many records there are then."""
        return await self.app.seed_if_empty()

    async def react(self) -> int:
        """Let reactions be told of everything there is by now; returns of how many facts.

        Nothing happens in the background of a trial, so that a test knows when it did.
        """
        return await self.app.running.outbox.drain()

    async def work(self) -> int:
        """Do the jobs that are due by the clock of the trial, and go on with its flows; returns how many there were.

        Also what comes round again and is due. What failed is tried again when the clock has come to it: a second
        later, then two, four, and so on.
        """
        return await self.app.running.jobs.worker.drain()

    @property
    def mails(self) -> list[Mail]:
        """The mails that were sent, in order, as they are received: `to`, `subject`, `text`, `html`, `message_id`.

        A mail is sent after the transaction that wrote it, by `await t.work()`.
        """
        return self._mailbox.all()

    async def facts(self, *, behind: int = 0) -> list[Change]:
        """What has become true, in order: everything in the change log behind a position."""
        await self._store.settle()
        return await self.app.running.engine.changes.after(behind, 10_000)

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """The data statements that are run in the block, a list that grows. Looking up a token is not one.

        >>> async def one_statement(t: Trial) -> None:
        ...     with t.counting() as statements:
        ...         await t.get("/api/notes")
        ...     assert len(statements) == 1
        """
        statements: list[str] = []
        self._store.watching.append(statements)
        try:
            yield statements
        finally:
            self._store.watching = [one for one in self._store.watching if one is not statements]

    # Requests.

    async def get(
        self, path: str, *, as_: Person | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a GET. `as_` is who asks: a person, a token, or nobody."""
        return await self.request("GET", path, as_=as_, headers=headers)

    async def post(
        self, path: str, json: Any = None, *, as_: Person | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """The answer to a POST of JSON."""
        return await self.request("POST", path, json, as_=as_, headers=headers)

    async def patch(
        self, path: str, json: Any = None, *, as_: Person | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """The answer to a PATCH of JSON."""
        return await self.request("PATCH", path, json, as_=as_, headers=headers)

    async def delete(
        self, path: str, *, as_: Person | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a DELETE."""
        return await self.request("DELETE", path, as_=as_, headers=headers)

    async def request(
        self, method: str, path: str, json: Any = None, *, as_: Person | str | None = None,
        headers: Mapping[str, str] | None = None, body: bytes = b"",
    ) -> Answer:  # fmt: skip
        """The answer to any request: `path` with its query, as it is read (`/api/notes?text[icontains]=green tea`).

        `json` becomes the body, unless it is `None`; `body` is one that is not JSON.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        if as_ is not None:
            sent["authorization"] = f"Bearer {_token(as_)}"
        return await self._ask(f"{method} {path}", _scope(method, path, sent), body)

    @asynccontextmanager
    async def live(
        self, path: str, *, as_: Person | str | None = None, last: str = "", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[LiveAnswer]:
        """A live list or record: `path` is asked for with `Accept: text/event-stream`, and `next()` gives its events.

        `last` is the id of the event that is resumed from. Raises `AssertionError` where no stream is answered.

        >>> async def test(t: Trial) -> None:
        ...     async with t.live("/api/notes") as notes:
        ...         assert (await notes.next()).name == "snapshot"
        """
        sent = {"accept": "text/event-stream", **{name.lower(): value for name, value in (headers or {}).items()}}
        if last:
            sent["last-event-id"] = last
        if as_ is not None:
            sent["authorization"] = f"Bearer {_token(as_)}"
        self.app.running.accounts.identities.forget(None)
        answer = LiveAnswer(self._store, path)
        running = asyncio.ensure_future(self.app(_scope("GET", path, sent), answer._receive, answer._send))
        try:
            await answer._see_begun(running)
            yield answer
        finally:
            answer.close()
            await running

    async def _ask(self, asked: str, scope: Mapping[str, Any], body: bytes) -> Answer:
        start: Mapping[str, Any] = {}
        parts: list[bytes] = []
        coming = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Mapping[str, Any]:
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                parts.append(message.get("body", b""))

        self.app.running.accounts.identities.forget(None)
        await self.app(scope, receive, send)
        if start["status"] >= 500:
            self.app.running.log.flush()
        headers: dict[str, str] = {}
        for raw, value in start["headers"]:
            name = raw.decode().lower()
            headers[name] = f"{headers[name]}\n{value.decode()}" if name in headers else value.decode()
        return Answer(asked, start["status"], headers, b"".join(parts))

    # A given database.

    async def _see_that_it_is_empty(self) -> None:
        if self._settings.database_url in ("sqlite://", "sqlite:///:memory:"):
            return
        async with self.transaction() as tx:
            there = [entity.plural for entity in self.app.schema.by_plural().values() if await tx.exists(entity.model)]
        if there:
            raise RuntimeError(f"The database has {' and '.join(there)}: give tests an empty one of their own.")

    async def _empty(self) -> None:
        kept = {"_state", "_migrations"}  # the epoch and the last position stay, as they do for a reader
        names = ", ".join(quoted(name) for name in tables(self.app.schema, "postgres").tables if name not in kept)
        async with self._store.transaction() as writing:
            await writing.run(f"TRUNCATE {names}", ())
            for name in sequences(self.app.schema):
                await writing.run(f"ALTER SEQUENCE {quoted(f'_seq_{name}')} RESTART", ())


class _Watched:
    """A store that says what it is asked to whoever is counting."""

    def __init__(self, store: Store) -> None:
        self.watching: list[list[str]] = []
        self._store = store

    @property
    def statements(self) -> int:
        return self._store.statements

    @statements.setter
    def statements(self, number: int) -> None:
        self._store.statements = number

    @property
    def dialect(self) -> Dialect:
        return self._store.dialect

    @property
    def bell(self) -> Bell:
        return self._store.bell

    @bell.setter
    def bell(self, bell: Bell) -> None:
        self._store.bell = bell

    def migrating(self) -> AbstractAsyncContextManager[Writing]:
        return self._store.migrating()

    def ring(self) -> None:
        self._store.ring()

    def listen(self) -> None:
        self._store.listen()

    async def settle(self) -> None:
        await self._store.settle()

    async def maintain(self, *, vacuum: bool = False) -> None:
        await self._store.maintain(vacuum=vacuum)

    async def damage(self) -> list[str]:
        return await self._store.damage()

    async def posture(self) -> Mapping[str, str]:
        return await self._store.posture()

    def waiting(self) -> float:
        return self._store.waiting()

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def names(self) -> set[str]:
        return await self._store.names()

    async def extend(self, schema: Schema, *, own: bool = False) -> list[str]:
        return await self._store.extend(schema, own=own)

    async def read(self, statement: Statement, values: Sequence[Any]) -> list[Any]:
        if _SESSIONS not in statement.text:
            self.say(statement.text)
        return await self._store.read(statement, values)

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        self.say(text)
        return await self._store.run(text, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Writing]:
        async with self._store.transaction() as writing:
            yield _WatchedWriting(self, writing)

    def say(self, text: str) -> None:
        for statements in self.watching:
            statements.append(text)


class _WatchedWriting:
    """A transaction of a watched store."""

    def __init__(self, store: _Watched, writing: Writing) -> None:
        self._store = store
        self._writing = writing

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        self._store.say(text)
        return await self._writing.run(text, values)

    async def number(self, sequence: str) -> int:
        self._store.say(f"the next number of {sequence}")
        return await self._writing.number(sequence)


def _token(who: Person | str) -> str:
    return who.token if isinstance(who, Person) else who


def _scope(method: str, path: str, sent: Mapping[str, str]) -> dict[str, Any]:
    address, _, query = path.partition("?")
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
        "path": unquote(address), "raw_path": quote(address, safe=_SAFE).encode(), "root_path": "",
        "query_string": quote(query, safe=_SAFE).encode(), "client": None, "server": ("testserver", 80),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip


def _started(app: App) -> bool:
    try:
        app.running  # noqa: B018
    except Unavailable:
        return False
    return True
