"""`Admin`: the part of an application that people look after it with.

Invariant: the console is a client of the public API and has no powers of its own. Whoever opens its page sees a form to
sign in, and then what the rules show them; the routes of jobs are for one role, and for people, not for API keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

from backstay.admin.console import CONSOLE_CSP, console_file, console_page
from backstay.auth.person import person
from backstay.errors import Conflict, NotFound
from backstay.model.declare import Model
from backstay.model.rule import anyone, role
from backstay.store.context import Context
from backstay.store.exchange import Reply
from backstay.store.journal import Line
from backstay.store.later import Backlog
from backstay.store.part import Host, Surroundings
from backstay.store.queue import Entry

JobState = Literal["later", "ready", "running", "waiting", "done", "undone", "failed", "cancelled"]
_NONE_SUCH = "There is no such job or flow."


@dataclass
class Job:
    """A job or a flow, without its arguments, which are nobody's business here."""

    id: str
    task: str
    state: JobState
    attempts: int
    """How many tries failed since something was last achieved."""
    reason: str
    """Why the last one did."""
    code: str
    created_at: datetime
    due: datetime | None
    """When something is next done about it, or when it ended."""


@dataclass
class Jobs:
    """Jobs and flows, the newest first."""

    data: list[Job]


@dataclass
class Step:
    """A step of a flow, without what it was given and gave."""

    name: str
    state: str
    reason: str
    at: datetime | None


@dataclass
class JobWhole:
    """A job, or a flow with its steps."""

    job: Job
    steps: list[Step]


class Admin:
    """Look after an application: `App("shop", use=[Shop(), Admin()])`.

    It serves the console at `/admin`, and to those who have the `role` also `/api/admin/jobs`: what was given up on,
    tried again or ended. What else the console shows is what the rules show to whoever has signed in there.

    >>> Admin().role
    'admin'
    """

    def __init__(self, *, role: str = "admin") -> None:
        self.role = role
        self._name = ""
        self._backlog: Backlog | None = None

    @property
    def models(self) -> Sequence[type[Model]]:
        """None: it looks after those of others."""
        return ()

    def join(self, host: Host) -> None:
        """Serve the console and the routes of jobs."""
        self._name = host.name
        host.action("GET /admin", allow=anyone, documented=False)(self.page)
        host.action("GET /admin/{file}", allow=anyone, documented=False)(self.file)
        allowed = role(self.role)
        host.action("GET /api/admin/jobs", allow=allowed)(self.jobs)
        host.action("GET /api/admin/jobs/{id}", allow=allowed)(self.job)
        host.action("POST /api/admin/jobs/{id}/retry", allow=allowed)(self.retry)
        host.action("POST /api/admin/jobs/{id}/cancel", allow=allowed)(self.cancel)

    @asynccontextmanager
    async def open(self, around: Surroundings) -> AsyncIterator[None]:
        """Know the jobs of the application while it runs."""
        self._backlog = around.backlog
        yield

    async def page(self, ctx: Context) -> Reply:
        """The console."""
        headers = [("Content-Security-Policy", CONSOLE_CSP), ("Cache-Control", "no-cache")]
        return Reply(console_page(self._name), 200, "text/html; charset=utf-8", headers)

    async def file(self, ctx: Context, file: Annotated[str, Len(1, 40)], v: Annotated[str, Len(0, 20)] = "") -> Reply:
        """A script or a style of the console; `v` is its version, so that it may be kept for ever."""
        found = console_file(file)
        if found is None:
            raise NotFound("There is no such file.")
        kind, body = found
        headers = [("Content-Security-Policy", CONSOLE_CSP), ("Cache-Control", "public, max-age=31536000, immutable")]
        return Reply(body, 200, kind, headers)

    async def jobs(
        self, ctx: Context, state: JobState = "failed", task: Annotated[str, Len(0, 200)] = "",
        limit: Annotated[int, Ge(1), Le(200)] = 50,
    ) -> Jobs:  # fmt: skip
        """Jobs and flows in a state, the newest first; `failed` are those that were given up on and need a person."""
        return Jobs([_shown(entry) for entry in await self._known(ctx).some(state=state, task=task, limit=limit)])

    async def job(self, ctx: Context, id: Annotated[str, Len(1, 100)]) -> JobWhole:
        """One of them, with the steps of a flow."""
        found = await self._known(ctx).look_at(id)
        if found is None:
            raise NotFound(_NONE_SUCH)
        entry, lines = found
        return JobWhole(_shown(entry), [_step(line) for line in lines])

    async def retry(self, ctx: Context, id: Annotated[str, Len(1, 100)]) -> Job:
        """Try again now. 409 `wrong_state` for what was neither given up on nor waits for its next try."""
        return await self._changed(ctx, id, retry=True)

    async def cancel(self, ctx: Context, id: Annotated[str, Len(1, 100)], reason: Annotated[str, Len(0, 300)]) -> Job:
        """End a job, or have a flow taken back. 409 `wrong_state` for what somebody is on, or is over."""
        return await self._changed(ctx, id, reason=reason)

    async def _changed(self, ctx: Context, id: str, *, retry: bool = False, reason: str = "") -> Job:
        backlog = self._known(ctx)
        if await backlog.look_at(id) is None:
            raise NotFound(_NONE_SUCH)
        changed = await backlog.retry(id) if retry else await backlog.cancel(id, reason)
        found = await backlog.look_at(id)
        if found is None:
            raise NotFound(_NONE_SUCH)
        if not changed:
            done = "tried again" if retry else "cancelled"
            raise Conflict(f"It is {found[0].state}, and cannot be {done}.", code="wrong_state")
        return _shown(found[0])

    def _known(self, ctx: Context) -> Backlog:
        person(ctx.actor)
        assert self._backlog is not None
        return self._backlog


def _shown(entry: Entry) -> Job:
    return Job(
        entry.id, entry.task, entry.state, entry.attempts, entry.reason, entry.code, entry.created_at, entry.due
    )  # fmt: skip


def _step(line: Line) -> Step:
    return Step(line.name or "the whole", line.state, line.reason, line.at)
