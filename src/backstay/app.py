"""`App`: the one place that knows every room. It builds each part once and hands it to the next.

Invariant: an `App` that exists has a declaration without mistakes, and it is plain ASGI: any ASGI server runs it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from backstay.api.accounts import AccountRoutes
from backstay.api.action import Action, Key
from backstay.api.batch import Batch
from backstay.api.cookies import Cookies
from backstay.api.cors import Cors
from backstay.api.credentials import Credentials
from backstay.api.cursor import Cursors
from backstay.api.explaining import Explaining
from backstay.api.graphql import GraphQL
from backstay.api.graphql_effects import Effects
from backstay.api.graphql_persisted import read_listed
from backstay.api.health import Health, NotYet
from backstay.api.http import Front, Receive, Request, Response, Router, Scope, Send
from backstay.api.idempotency import Idempotency
from backstay.api.identity import Identify, OwnCredentials
from backstay.api.live import Live
from backstay.api.live_sse import EventStreams
from backstay.api.mailbox import serve_mailbox
from backstay.api.mount import ASGI, Mount, Mounts, route_path
from backstay.api.numbers import Numbers
from backstay.api.operators import Operators
from backstay.api.outbound import caps_of, passed_on
from backstay.api.pages import action_docs, serve_pages
from backstay.api.proxies import Hosts, Proxies
from backstay.api.rates import Askers, with_rates
from backstay.api.rest import Resource, Work
from backstay.auth.account import NO_ACCOUNTS, Accounts, OwnLogIn
from backstay.auth.models import HIDDEN
from backstay.auth.password import Passwords
from backstay.auth.tries import Tries
from backstay.errors import Problem, Unavailable
from backstay.jobs.flow import Flow
from backstay.jobs.jobs import Jobs
from backstay.jobs.outbox import Outbox, Reaction
from backstay.jobs.schedule import Every
from backstay.jobs.task import Task, Tasks
from backstay.jobs.upkeep import Chore, Upkeep
from backstay.mail.mailbox import Mailbox
from backstay.mail.models import HIDDEN as MAIL
from backstay.mail.port import Mailer
from backstay.mail.post import ATTEMPTS, SECONDS, Office, Post
from backstay.model.declare import Model
from backstay.model.fact import Fact, UpdateFact
from backstay.model.field import Schema
from backstay.model.rule import Predicate, nobody
from backstay.model.symbol import condition
from backstay.net.call import Wire
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.limits import Limits
from backstay.plan.rate import parse_rates
from backstay.settings import Settings, keys_of, read_settings, secret_of
from backstay.store.closure import Closure
from backstay.store.contended import until_settled
from backstay.store.context import Context
from backstay.store.declaration import Declaration, see_tables
from backstay.store.engine import Engine
from backstay.store.identity import uuid7_maker
from backstay.store.inside import refuse_inside
from backstay.store.keyring import KeyRing, ring_of
from backstay.store.migrate import keep_up
from backstay.store.part import Part, Surroundings
from backstay.store.port import Store
from backstay.store.rates import Rates
from backstay.store.repeat import Attempt, Repeats
from backstay.store.transaction import Hooks, Moment, Transaction
from backstay.store.watched import WatchedStore
from backstay.telemetry.log import Log
from backstay.telemetry.metrics import Metrics
from backstay.telemetry.trace import stage, tracer

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
M = TypeVar("M", bound=Model)
T = TypeVar("T")
Hook: TypeAlias = Callable[[Transaction, M], Awaitable[None]]
Reacting: TypeAlias = Callable[[Context, M], Awaitable[None]]
ReactingToUpdate: TypeAlias = Callable[[Context, M, M], Awaitable[None]]
UpdateHook: TypeAlias = Callable[[Transaction, M, M], Awaitable[None]]


class App:
    """An application: a name and its models. The object is the ASGI application that servers run.

    `models` are the classes that are kept and served; `use` are parts that bring models, actions and reactions of their
    own, such as `Shop(...)`; `user` is the class of its accounts where it is not the one subclass of `User` among them;
    `limits` change what a question may cost. `mailer` sends mail, where that is not the server of `EMAIL_URL`, and
    `mails` is the folder of templates, `mails/` beside this file otherwise. Raises `DeclarationError` with every
    mistake of the declaration at once.

    >>> from backstay import App, Model, Rules, User, anyone
    >>> class Note(Model):
    ...     text: str
    ...     def rules(self, me: User) -> Rules:
    ...         return Rules(read=anyone, create=me.signed_in)
    >>> app = App("notes", models=[Note])
    """

    def __init__(
        self, name: str, *, models: Sequence[type[Model]] = (), use: Sequence[Part] = (), user: type[Any] | None = None,
        identify: Identify | None = None, mount: Mapping[str, ASGI] | None = None,
        limits: Limits | None = None, version: str = "1.0.0", mailer: Mailer | None = None,
        mails: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.version = version
        self.limits = limits or Limits()
        self.identify_by = identify
        self.mounts = Mounts(mount)
        self.mailer = mailer
        self.mails = _beside(sys._getframe(1).f_globals) if mails is None else Path(mails)
        self.declaration = Declaration(
            [*models, *(model for part in use for model in part.models)], user, identify is not None, HIDDEN,
            self.limits, MAIL,
        )  # fmt: skip
        self.hooks = Hooks()
        self.actions: list[Action] = []
        self.reactions: list[Reaction] = []
        self.tasks = Tasks()
        self.tasks.add(
            Task(self._deliver, "job", Context, name="backstay.mail", attempts=2 * ATTEMPTS, timeout=SECONDS)
        )
        self.schedule: list[Every] = []
        self._seeds: list[Callable[..., Awaitable[Any]]] = []
        self.settings: Settings | None = None
        self._running: Running | None = None
        self.parts = tuple(use)
        for part in use:
            part.join(self)

    @property
    def schema(self) -> Schema:
        """The declaration, read. Raises `DeclarationError` with every mistake of it, at the first look."""
        return self.declaration.schema

    # What the user's file declares beside its models.

    def expose(
        self, model: type[Any], *, rules: Any = None, name: str = "", plural: str = "", without: Sequence[str] = (),
        shown: Sequence[str] = (), names: Mapping[str, str] | None = None, defaults: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Serve a mapped class of an existing SQLAlchemy application. Its table stays as it is, and stays its own.

        `rules` says who may do what: `lambda post, me: Rules(...)`, a function, or a class with a method `rules`, which
        may have computed fields as well; nobody may do anything without. `name` and `plural` are what the record and
        its address are called, `names` renames fields, `without` leaves attributes out, `shown` lists those that look
        like secrets and are none, and `defaults` fills attributes: `{"author_id": current_user()}`. Mistakes are
        reported when the application is first looked at. No round trip.
        """
        self.declaration.expose(
            model, rules=rules, name=name, plural=plural, without=tuple(without), shown=tuple(shown),
            names=dict(names or {}), defaults=dict(defaults or {}),
        )  # fmt: skip

    def _hook(self, moment: Moment, model: type[Any]) -> Callable[[F], F]:
        def keep(function: F) -> F:
            self.hooks.add(moment, self.declaration.name_of(model), function)
            return function

        return keep

    def before_create(self, model: type[M]) -> Callable[[Hook[M]], Hook[M]]:
        """Run `async def hook(tx, record)` inside the transaction, before a record is added; it may change it.

        Raise a `Conflict` or another problem to refuse. Queries of `tx` obey the rules of whoever asked.
        """
        return self._hook("before_create", model)

    def after_create(self, model: type[M]) -> Callable[[Hook[M]], Hook[M]]:
        """Run `async def hook(tx, record)` inside the transaction, after a record was added."""
        return self._hook("after_create", model)

    def before_update(self, model: type[M]) -> Callable[[UpdateHook[M]], UpdateHook[M]]:
        """Run `async def hook(tx, record, old)` inside the transaction, before a change; it may change `record`."""
        return self._hook("before_update", model)

    def after_update(self, model: type[M]) -> Callable[[UpdateHook[M]], UpdateHook[M]]:
        """Run `async def hook(tx, record, old)` inside the transaction, after a change."""
        return self._hook("after_update", model)

    def before_delete(self, model: type[M]) -> Callable[[Hook[M]], Hook[M]]:
        """Run `async def hook(tx, record)` inside the transaction, before a record is deleted."""
        return self._hook("before_delete", model)

    def after_delete(self, model: type[M]) -> Callable[[Hook[M]], Hook[M]]:
        """Run `async def hook(tx, record)` inside the transaction, after a record was deleted."""
        return self._hook("after_delete", model)

    def action(
        self, route: str, *, allow: Predicate = nobody, status: int | None = None, idempotency_key: Key = "accepted",
        limit: str = "", expand: Sequence[str] = (), documented: bool = True, resumes: bool = False,
    ) -> Callable[[F], F]:  # fmt: skip
        """Serve `async def action(ctx, ...)` at a route such as `"POST /api/quote"`, typed in and out.

        `allow` says who may call it: `anyone`, `signed_in`, `role("staff")`; nobody when it is not named. An action
        whose first argument is annotated `Transaction` is one transaction, which commits once its answer is made.
        `idempotency_key="required"` refuses calls without the header (400 `idempotency_key_required`): for what moves
        money. `limit="10/minute, 100/day"` is how often one account, or one client where nobody is signed in, may call
        it: 429 `too_many_requests` beyond that, in all processes together. A record that is returned is read by the
        rules of whoever asked, with the relations of `expand` opened: `("items.product",)`; `Also(record, {...})` has
        more beside its fields. What is not `documented` is in no description of the API. An action of several steps
        that `resumes` is called again, with `ctx.resumed`, where a request with the same `Idempotency-Key` was begun
        and not answered: it then finds what its first transaction wrote, and goes on from there.
        """

        def keep(function: F) -> F:
            self.actions.append(
                Action(route, function, condition(allow), status, idempotency_key, limit, expand, documented, resumes)
            )
            return function

        return keep

    @overload
    def on(self, fact: Fact[M], *, name: str = "") -> Callable[[Reacting[M]], Reacting[M]]: ...
    @overload
    def on(self, fact: UpdateFact[M], *, name: str = "") -> Callable[[ReactingToUpdate[M]], ReactingToUpdate[M]]: ...
    def on(self, fact: Any, *, name: str = "") -> Callable[[F], F]:
        """Run `async def reaction(ctx, record)` after a fact has become true: after commit, durably, in the background.

        Facts are `created(Review)`, `updated(Review)` (the reaction is handed the old record as well),
        `deleted(Review)`, and those that own code tells with `tx.emit(Order.paid, order)`. The record is as it was when
        the fact became true; `ctx` has the authority of own code. A reaction is told at least once, so it must bear to
        be told twice, and of the facts of one record in order. One that fails is told again, ten times in an hour and a
        half, and is then given up on: `backstay outbox` lists it. Where it stands is kept under `name`, otherwise under
        the names of the fact and the function; a new name begins with what happens from then on.

        >>> @app.on(created(Note))
        ... async def greet(ctx: Context, note: Note) -> None: ...
        """

        def keep(function: F) -> F:
            known = name or f"{fact}:{function.__name__}"
            if any(reaction.name == known for reaction in self.reactions):
                raise ValueError(f'There is a reaction "{known}" already: give one of them a name=.')
            self.declaration.tells(fact)
            self.reactions.append(Reaction(fact, function, known))
            return function

        return keep

    def job(
        self, *, name: str = "", attempts: int = 10, priority: int = 0, timeout: float = 60.0
    ) -> Callable[[F], F]:  # fmt: skip
        """Declare `async def job(ctx: Context, ...)`, which `tx.enqueue` has done after the commit, in the background.

        Its arguments are JSON and have types. It is done at least once, so it must bear to be done twice: `ctx.key` is
        the same each time. One that has a `tx: Transaction` instead is one transaction, whose effects are there once.
        It is tried up to `attempts` times, each for `timeout` seconds, and later each time; then `backstay jobs list`
        shows it. The highest `priority` comes first. Raises `DeclarationError`, and `ValueError` for a name twice.

        >>> @app.job(attempts=5)
        ... async def welcome(ctx: Context, note: UUID) -> None: ...
        """

        def keep(function: F) -> F:
            self.tasks.add(
                Task(
                    function, "job", (Context, Transaction), name=name, attempts=attempts, priority=priority,
                    timeout=timeout,
                )
            )  # fmt: skip
            return function

        return keep

    def flow(
        self, *, version: int, name: str = "", attempts: int = 10, priority: int = 0, timeout: float = 60.0
    ) -> Callable[[F], F]:  # fmt: skip
        """Declare `async def flow(flow: Flow, ...)`: named steps that go on where they stood, whatever process ends.

        `tx.start_flow` begins it. Raise `version` when its steps change; a start refuses versions that are under way
        and that the application has no more, so keep the old function beside it, under the same `name`. `attempts` and
        `timeout` are those of taking steps back, `attempts` that of steps without their own. Raises like `job`.

        >>> @app.flow(version=1)
        ... async def publish(flow: Flow, note: UUID) -> None: ...
        """

        def keep(function: F) -> F:
            self.tasks.add(
                Task(
                    function, "flow", Flow, name=name, version=version, attempts=attempts, priority=priority,
                    timeout=timeout,
                )
            )  # fmt: skip
            return function

        return keep

    def every(
        self, cron: str, *, zone: str = "UTC", name: str = "", attempts: int = 10, priority: int = 0,
        timeout: float = 60.0,
    ) -> Callable[[F], F]:  # fmt: skip
        """Declare a job that comes round again: `@app.every("0 3 * * *")`, at 3:00 each day.

        It is done once for each time, over all processes, and its runs do not overlap. Times at which no process was
        there are made up for by one. It has no arguments but, where it wants it, `due: datetime`. Raises like `job`.
        """

        def keep(function: F) -> F:
            task = Task(
                function, "job", (Context, Transaction), name=name, attempts=attempts, priority=priority,
                timeout=timeout,
            )  # fmt: skip
            self.schedule.append(Every.of(task, cron, zone))
            self.tasks.add(task)
            return function

        return keep

    async def _deliver(self, ctx: Context, message: UUID) -> None:
        """The job by which a mail is sent."""
        await self.running.post.deliver(ctx, message)

    def seed(self, function: F) -> F:
        """Run `async def seed(ctx)` once, when `backstay dev` finds a database without records."""
        self._seeds.append(function)
        return function

    async def seed_if_empty(self) -> int:
        """Run the seeds where no served table has a record yet; returns how many records there are then."""
        context = self.running.context_of(SYSTEM)
        if not self._seeds or await self._count(context):
            return 0
        for function in self._seeds:
            await function(context)
        return await self._count(context)

    async def _count(self, context: Context) -> int:
        async with context.transaction() as tx:
            own = (entity for entity in self.schema.by_plural().values() if entity.existing is None)
            return sum([await tx.count(entity.model) for entity in own])

    def routes(self) -> list[tuple[str, list[str]]]:
        """The paths that are served, each with its methods."""
        if self._running is not None:
            router = self._running.router
        else:
            router = Running(self, Settings(secret_key="x" * 32), open_store(Settings(), self.limits)).router
        return [(route.path, sorted(route.handlers)) for route in router.routes]

    def openapi(self, roles: Sequence[str] = ()) -> dict[str, Any]:
        """The OpenAPI document: the developer's whole one, or as somebody signed in with these roles sees it."""
        from backstay.api.openapi import openapi

        actor = Actor("", frozenset(roles)) if roles else SYSTEM
        actions = action_docs(self.actions)
        return openapi(
            self.schema,
            actor,
            self.limits,
            title=self.name,
            version=self.version,
            actions=actions,
            everything=not roles,
            accounts=self.declaration.accounts,
        )

    def graphql_schema(self, roles: Sequence[str] = ()) -> str:
        """The GraphQL schema (SDL): the developer's whole one, or as somebody signed in with these roles sees it.

        No round trip.
        """
        from backstay.api.graphql_schema import Graphs

        graphs = Graphs(self.schema, self.limits, self.actions)
        graph = graphs.of(Actor("", frozenset(roles))) if roles else graphs.whole()
        return graph.printed()

    @property
    def tables(self) -> Any:
        """The SQLAlchemy `MetaData` of the running application's database, for raw statements."""
        from backstay.store.tables import tables

        return tables(self.schema, self.running.store.dialect.name)

    # Beside other applications.

    def mount(self, path: str, app: ASGI) -> None:
        """Mount another ASGI application, such as one of FastAPI or Starlette, inside this one.

        It gets what is not served here, at `"/"` everything else, and WebSockets; its lifespan runs with ours, and its
        answers and errors are its own. Raises `ValueError` for a path that is taken or does not begin with `/`.
        """
        self.mounts.add(path, app)

    @asynccontextmanager
    async def lifespan(self, other: Any = None) -> AsyncIterator[None]:
        """Start and stop this application with another one that it is mounted in: `FastAPI(lifespan=app.lifespan)`.

        Servers do not tell a mounted application when to start.
        """
        await self.start(background=True)
        try:
            yield
        finally:
            await self.stop()

    def into(self, other: Any, path: str) -> None:
        """Mount this application inside one of FastAPI or Starlette, and start and stop it with it.

        >>> from fastapi import FastAPI
        >>> outer = FastAPI()
        >>> app.into(outer, "/backend")

        The lifespan of the other one begins before ours and ends after it. Raises `TypeError` for another kind of
        application: mount it by hand there, and run `app.lifespan` with its own.
        """
        router: Any = getattr(other, "router", None)
        around = getattr(router, "lifespan_context", None)
        if around is None or not callable(getattr(other, "mount", None)):
            raise TypeError(f"{type(other).__name__} is not FastAPI or Starlette: mount the app, and run app.lifespan.")

        @asynccontextmanager
        async def both(outer: Any) -> AsyncIterator[Any]:
            async with around(outer) as state, self.lifespan(outer):
                yield state

        other.mount(path, self)
        router.lifespan_context = both

    async def identify_scope(self, scope: Scope) -> Actor:
        """Who sends a request of a mounted application, by its ASGI scope; an `Actor` without id is nobody.

        Raises what a request here would be answered, such as `NotSignedIn` `invalid_token`. At most one round trip.
        """
        return await self.running.identify_scope(scope)

    # Running.

    @property
    def running(self) -> Running:
        """The parts of the started application."""
        if self._running is None:
            raise Unavailable("The application has not been started.")
        return self._running

    async def start(
        self, settings: Settings | None = None, *, extend: bool | None = None, store: Store | None = None,
        clock: Callable[[], datetime] | None = None, new_id: Callable[[], str] | None = None,
        passwords: Passwords | None = None, background: bool = False, wire: Wire | None = None,
        mailer: Mailer | None = None, serving: bool = True,
    ) -> Running:  # fmt: skip
        """Open the database and build the parts. In development missing tables and columns are created.

        What is not given is the real thing: the store of the settings, the time of day, ids of their own, Argon2, the
        network as the wire to other services, and the mailer of the application.
        With `background` this process tells reactions too, as one that serves does. Not `serving` is a command, which
        asks the application something and takes no requests: what only those need may be missing then.
        """
        settings = settings or self.settings or read_settings()
        Permit(settings.http_allow)  # what cannot be meant ends the start before anything is opened
        office = Office.of(settings, self.name, self.mails, mailer or self.mailer)
        store = store or open_store(settings, self.limits, apart=self.declaration.joins)
        await store.open()
        try:
            await self.mounts.start()  # one of them may make the tables that are exposed here
            try:
                return await self._begin(
                    settings, store, extend, background, clock, new_id, passwords, wire, office, serving
                )
            except BaseException:
                self._running = None
                await self.mounts.stop()
                raise
        except BaseException:
            await store.close()
            raise

    async def _begin(
        self, settings: Settings, store: Store, extend: bool | None, background: bool,
        clock: Callable[[], datetime] | None, new_id: Callable[[], str] | None, passwords: Passwords | None,
        wire: Wire | None, office: Office, serving: bool,
    ) -> Running:  # fmt: skip
        done: list[str] = []
        if extend is not False:
            done = await keep_up(
                store, self.schema, clock or (lambda: datetime.now(UTC)), development=settings.development
            )
        await see_tables(self.schema, store)
        self._running = Running(
            self, settings, store, clock=clock, new_id=new_id, passwords=passwords, wire=wire, office=office
        )
        await self._running.engine.changes.open()
        await self._running.outbox.open()
        await self._running.jobs.open()
        await self._running.closure.look()
        await self._running.open_parts(background=background, serving=serving)
        if background:
            store.listen()
            self._running.outbox.start()
            self._running.jobs.worker.start()
            self._running.closure.start()
            self._running.upkeep.start()
        for sentence in done:
            self._running.log.event("schema_changed", did=sentence)
        return self._running

    async def stop(self) -> None:
        """Close what was opened."""
        if self._running is not None:
            running, self._running = self._running, None
            await running.live.stop()
            await running.parts.aclose()
            await running.upkeep.stop()
            await running.closure.stop()
            await asyncio.gather(running.outbox.stop(), running.jobs.worker.stop())
            await running.close()
            await running.store.close()
            await self.mounts.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self.mounts.all and (mount := self._elsewhere(scope)) is not None:
            await mount(scope, receive, send)
        elif scope["type"] == "http":
            await self.running.front(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def _elsewhere(self, scope: Scope) -> Mount | None:
        """The mounted application that a request is for: it gets what is not served here."""
        path, running = route_path(scope), self.running
        if scope["type"] == "http" and running.router.serves(path):
            return None
        return self.mounts.of(path)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start(background=True)
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                try:
                    await self.stop()
                except Exception as error:
                    await send({"type": "lifespan.shutdown.failed", "message": f"{type(error).__name__}: {error}"})
                    return
                await send({"type": "lifespan.shutdown.complete"})
                return


class Running:
    """The parts of a started application."""

    def __init__(
        self, app: App, settings: Settings, store: Store, *, clock: Callable[[], datetime] | None = None,
        new_id: Callable[[], str] | None = None, passwords: Passwords | None = None, wire: Wire | None = None,
        office: Office | None = None,
    ) -> None:  # fmt: skip
        self.app = app
        self.parts = AsyncExitStack()
        self.settings = settings
        self.log = Log(settings.log_level, json=not settings.development)
        self.metrics = Metrics()
        watched = WatchedStore(store, self.metrics, self.log, settings.slow_statement_ms / 1000)
        self.store = store = cast(Store, watched)
        self.engine = Engine(app.schema, store, app.limits, clock, lambda: self.keys)
        self.new_id = new_id or uuid7_maker()
        # A copy: accounts add theirs, and what was declared stays as it was, however often it is started.
        self.hooks = Hooks({moment: [*hooks] for moment, hooks in app.hooks.by_moment.items()})
        lifetime, access = timedelta(days=settings.session_days), timedelta(minutes=settings.access_minutes)
        limits = with_rates(app.limits, settings.rate_limits)
        rates = Rates(store, clock, self.log)
        askers = Askers(rates, limits)
        office = office or Office.of(settings, app.name, app.mails, app.mailer)
        per_recipient = parse_rates(limits.mails_per_recipient)
        self.post = Post(self.engine, office, self.log, rates, per_recipient, app._deliver)
        self.hooks.post = self.post
        self._accounts = (
            Accounts(
                self.engine,
                self.hooks,
                self.new_id,
                lifetime=lifetime,
                access=access,
                passwords=passwords,
                actions=[action.name for action in app.actions],
                tries=Tries(rates, limits),
                mails=self.post.ready,
                journal=self.log,
            )
            if app.declaration.accounts
            else None
        )
        self.http = HTTP(
            Permit(settings.http_allow), caps_of(app.limits), wire, refuse_inside=refuse_inside,
            tell=lambda reason: self.log.event("outbound_refused", reason=reason),
        )  # fmt: skip
        self.outbox = Outbox(self.engine, app.reactions, lambda: self.context_of(SYSTEM), self.log)
        self.jobs = Jobs(
            self.engine, app.tasks, app.schedule, lambda: self.context_of(SYSTEM), self.log, clock, self.new_id,
            at_once=settings.jobs, days=settings.jobs_days,
        )  # fmt: skip
        self.engine.later = self.jobs.desk
        self.closure = Closure(self.engine)
        names, keep = [reaction.name for reaction in app.reactions], timedelta(days=settings.changes_days)
        chores = [Chore("accounts", self._purge), Chore("jobs", self.jobs.purge)]
        self.upkeep = Upkeep(self.engine, names, keep, self.log, chores)
        repeats = Repeats(
            store, lambda: self.keys, hours=settings.idempotency_hours, largest=app.limits.max_kept_answer
        )
        self.idempotency = Idempotency(repeats, app.limits, self.log)
        cursors = Cursors(secret_of(settings))
        secrets = sorted(app.schema.secrets)
        cors = Cors(settings.cors_origins, loopback=settings.development, secrets=secrets)
        credentials: Credentials | OwnCredentials
        if self._accounts is None:
            assert app.identify_by is not None
            credentials = OwnCredentials(app.identify_by, app.schema.user, cors.allows)
        else:
            credentials = Credentials(self._accounts, Cookies(development=settings.development), cors.allows)
        self.identify = credentials.identify
        self.live = Live(self.engine, self.log)
        self.event_streams = EventStreams(
            self.live, self.engine, rates, cors.allows, self._accounts, credentials.identify
        )
        router = Router()
        self.event_streams.serve(router)
        for entity in app.schema.by_plural().values():
            Resource(entity, self.engine, cursors, self.write, self.event_streams).serve(router)
        Batch(app.schema.by_plural().values(), app.limits, self.write).serve(router)
        introspection = settings.introspection or settings.development
        listed = read_listed(settings.graphql_documents) if settings.graphql_documents else None
        self.graphql = GraphQL(
            self.engine, cursors, app.actions, introspection=introspection, listed=listed, page=settings.development
        )
        self.graphql.effects = Effects(self.engine, self.graphql.documents, self.change, self.context, askers)
        self.graphql.serve(router)
        for action in app.actions:
            action.serve(router, self.engine, self.context, self.write, askers)
            if action.resumes:
                self.idempotency.resuming.add(f"{action.method} {action.path}")
        if self._accounts is not None:
            assert isinstance(credentials, Credentials)
            AccountRoutes(self._accounts, credentials).serve(router)
        accounts = self._accounts is not None
        serve_pages(router, app.schema, app.actions, app.limits, app.name, app.version, accounts=accounts)
        if settings.development and isinstance(office.mailer, Mailbox):
            serve_mailbox(router, office.mailer)
        operators = Operators(settings.metrics_token, settings.metrics_networks, development=settings.development)
        self.health = Health(
            {
                "database": self._see_database, "changes": self._see_changes, "reactions": self._see_reactions,
                "jobs": self._see_jobs,
            },
            operators,
        )  # fmt: skip
        self.health.serve(router)
        self.numbers = Numbers(self.metrics, operators, self.engine, self.outbox, self.log, self.live, self._accounts)
        self.numbers.serve(router)
        self.router = router
        self.front = Front(
            router, credentials.identify, app.limits, self._observe, self.idempotency.perform,
            cors=cors,
            hosts=Hosts(settings.allowed_hosts, loopback=settings.development),
            proxies=Proxies(settings.trusted_proxies, settings.forwarded_header), line=store.waiting,
            ask=askers.ask if askers.counted else None,
            everybody=app.identify_by is not None, closed=self._closed, secrets=secrets,
            explain=Explaining(app.schema, app.actions, self.engine).of if settings.development else None,
        )  # fmt: skip
        self.numbers.front = self.front
        self.front.timing = settings.development
        self.front.traces = self.traces = watched.traces = tracer()

    async def open_parts(self, *, background: bool, serving: bool) -> None:
        """Open the parts that the application uses, in their order; they are closed in the other one."""
        around = Surroundings(
            self.settings, self.http, self.engine.clock, lambda: self.context_of(SYSTEM), background, serving, self.jobs
        )  # fmt: skip
        for part in self.app.parts:
            await self.parts.enter_async_context(part.open(around))

    @property
    def accounts(self) -> Accounts:
        """The accounts. Raises `RuntimeError` where the application has a log-in of its own."""
        if self._accounts is None:
            raise RuntimeError(NO_ACCOUNTS)
        return self._accounts

    async def close(self) -> None:
        """End what is no store."""
        await self.http.close()
        await self.post.close()
        await self.numbers.stop()
        self.log.flush()
        if self._accounts is not None:
            await self._accounts.settle()
            self._accounts.close()

    def _closed(self, request: Request) -> Problem | None:
        return None if self.closure.now is None else self.closure.refusal(request.client)

    async def _purge(self) -> str:
        if self._accounts is None:
            return ""
        purged = await self._accounts.purge.everything()
        return f"{purged.all} tokens, sessions and keys that were over" if purged.all else ""

    async def identify_scope(self, scope: Scope) -> Actor:
        """Who sends a request, by its ASGI scope."""
        return await self.identify(self.front.request(scope))

    @cached_property
    def keys(self) -> KeyRing:
        """The key ring: what must not be read where it lies is sealed with it."""
        return ring_of(keys_of(self.settings), secret_of(self.settings))

    def context(self, request: Request) -> Context:
        """The surroundings of the user's own code for one request."""
        header = request.header(b"accept-language")
        made = self.context_of(
            request.actor, request.attempt, lambda: self.http.bound(passed_on(request, self.traces)),
            header.decode("latin-1") if header is not None else "",
        )  # fmt: skip
        made.point = f"{request.method} {request.route}"
        return made

    def context_of(
        self, actor: Actor, attempt: Attempt | None = None, http: Callable[[], HTTP] | None = None, accepts: str = ""
    ) -> Context:
        """The surroundings of own code that acts for somebody."""
        accounts = self._accounts.of(attempt) if self._accounts is not None else OwnLogIn()
        address, http = self.settings.address, http or (lambda: self.http)
        languages = self.post.office.templates.languages
        return Context(
            self.engine, self.hooks, self.new_id, actor, accounts, attempt, address, http,
            lambda: languages.accepted(accepts),
        )  # fmt: skip

    async def write(self, request: Request, work: Work) -> Response:
        """Do all the work of a request in one transaction; where it carries a key, its answer is kept there too.

        Where another transaction was in the way, all of it was undone, and is done again.
        """

        return await self.change(request, work, lambda response: response)

    async def change(
        self, request: Request, work: Callable[[Transaction], Awaitable[T]], respond: Callable[[T], Response] | None
    ) -> T:
        """Do a part of the work of a request in one transaction; `respond` makes the answer of it, if it is all."""

        async def once() -> T:
            async with self.context(request).transaction() as tx:
                result = await work(tx)
                if respond is not None:
                    await self.idempotency.keep(request, respond(result))
            return result

        with stage("run"):
            return await until_settled(once)

    def leave(self, *, relieved: bool = False) -> None:
        """Say that this process is about to stop, and begin nothing but what is asked for; once is enough.

        Where it was `relieved` by others on its address, each connection is told, and not who asks how they are.
        """
        self.health.leaving = self.health.leaving or not relieved
        if not self.front.leaving:
            self.front.leaving = True
            self.live.leave()
            both = asyncio.gather(self.outbox.stop(), self.jobs.worker.stop())
            self._resting: asyncio.Future[Any] = both

    async def _see_database(self) -> None:
        missing = {entity.table for entity in self.app.schema.entities.values()} - await self.store.names()
        known = {entity.table for entity in self.app.schema.entities.values() if entity.existing is not None}
        if missing - known:
            raise NotYet(f"there is no table {min(missing - known)}")

    async def _see_changes(self) -> None:
        await self.engine.changes.head()

    async def _see_reactions(self) -> None:
        if ended := self.outbox.ended():
            raise NotYet(f"{ended} is told nothing more")

    async def _see_jobs(self) -> None:
        if self.jobs.worker.ended():
            raise NotYet("no job is taken any more")

    def _observe(self, request: Request, status: int, seconds: float, error: BaseException | None) -> None:
        self.metrics.request(request.method, request.route, status, seconds)
        code = error.code if isinstance(error, Problem) else ""
        whom, where = request.actor, request.client
        self.log.request(
            request.id, request.method, request.path, status, seconds, whom.id, error, code, where, whom.key
        )


def open_store(settings: Settings, limits: Limits, *, apart: bool = False) -> Store:
    """The store that a database URL names; `apart` from the tables of another application, where there is room."""
    url = settings.database
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from backstay.store.sqlite import SQLiteStore

        return SQLiteStore(rest.removeprefix("/") or ":memory:", limits)
    if scheme in ("postgresql", "postgres"):
        from backstay.store.postgres import PostgresStore

        return PostgresStore(url, limits, settings.connections, apart=apart)
    raise ValueError(f"DATABASE_URL begins with sqlite:/// or postgresql://, not {scheme}://.")


def _beside(known: Mapping[str, Any]) -> Path | None:
    """The folder of mail templates beside the file that makes an application; none where it is not made in a file."""
    return Path(file).resolve().parent / "mails" if (file := known.get("__file__")) else None
