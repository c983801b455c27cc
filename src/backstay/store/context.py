"""What an action, a job, a step or a reaction is handed: who is asking, and a way to begin a transaction.

Invariant: what runs under a lease commits nothing after it has lost it: each of its transactions looks at the lease
last, and keeps it from others until it has committed.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from backstay.net.http import HTTP
from backstay.plan.actor import Actor
from backstay.store.engine import Engine
from backstay.store.inside import refuse_inside
from backstay.store.later import Driven
from backstay.store.port import Writing
from backstay.store.record import whoever
from backstay.store.repeat import Attempt
from backstay.store.transaction import Hooks, Transaction
from backstay.telemetry.failpoint import POINTS


class AccountMaker(Protocol):
    """What makes accounts; `auth/` is handed in where the application is put together."""

    async def create_user(self, email: str, password: str, roles: list[str], **values: Any) -> str:
        """Create an account above the rules; returns the id of its user."""
        ...


class Context:
    """The surroundings of one piece of the user's own code.

    >>> async def buy(ctx, product_id):
    ...     async with ctx.transaction() as tx:
    ...         product = await tx.get(Product, product_id)
    """

    def __init__(
        self, engine: Engine, hooks: Hooks, new_id: Callable[[], str], actor: Actor, accounts: AccountMaker,
        attempt: Attempt | None = None, address: str = "", http: Callable[[], HTTP] | None = None,
        language: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.accounts = accounts
        self.actor = actor
        self._hooks = hooks
        self._new_id = new_id
        self._attempt = attempt
        self._address = address
        self._http = http
        self._language = language
        self._hold: Callable[[Writing], Awaitable[None]] | None = None
        self.point = ""
        """What the transactions of this are called as failpoints, beside their number: `POST /api/orders`."""
        self._begun = 0
        self.key = ""
        """What is done here, the same each time it is tried: hand it to a provider as its idempotency key.

        The id of a job, the id of a flow with the name of its step; empty elsewhere.
        """

    def under(self, key: str, hold: Callable[[Writing], Awaitable[None]]) -> Context:
        """The same for what runs under a lease; `hold` raises inside a transaction where that is lost."""
        other = copy.copy(self)
        other.key, other._hold = key, hold
        return other

    @property
    def http(self) -> HTTP:
        """The client for other services: `await ctx.http.get("https://api.example.com/rates")`. Not in a transaction.

        Its requests carry the id of the request that they are made for, and its `traceparent`.
        """
        if self._http is None:
            raise RuntimeError("There is no client for other services here.")
        return self._http()

    def link(self, path: str) -> str:
        """The whole address of a path, for a mail or for the page of a payment provider: `ctx.link("/thanks")`.

        It begins with `BACKSTAY_PUBLIC_URL`, and never with what a request says of its host. Raises `ValueError` for
        what is no path of this application, and where production has no such setting.
        """
        if not path.startswith("/") or path.startswith(("//", "/\\")):
            raise ValueError(f"{path!r} is no path: it begins with one slash.")
        if not self._address:
            raise ValueError("Set BACKSTAY_PUBLIC_URL, with which links begin.")
        return self._address + path

    @property
    def resumed(self) -> bool:
        """Whether an action that `resumes` is called again: what it did in its first transaction is done.

        The request came again with the same `Idempotency-Key`, and the first one was not answered.
        """
        return self._attempt is not None and self._attempt.resumed

    @property
    def request_key(self) -> str:
        """What tells this request from all others, and is the same when it is sent again; empty without a key.

        It is made of its `Idempotency-Key`, of who sent it and of what it asks: keep it with what an action that
        `resumes` makes first, and find that by it when it is called again.
        """
        if self._attempt is None:
            return ""
        keyed = self._attempt.keyed
        return sha256(f"{keyed.scope}\n{keyed.key}".encode()).hexdigest()

    @property
    def language(self) -> str:
        """The language that who asks understands best (`Accept-Language`), of those that mail is there in: `de`.

        `BACKSTAY_LANGUAGE` where they say none, and where nobody asks.
        """
        return self._language()

    @property
    def me(self) -> Any:
        """The signed-in user, to be compared with. Where nobody is signed in, no comparison with it holds."""
        return whoever(self.engine.schema.user, self.actor)

    def has_role(self, role: str) -> bool:
        """Whether the actor has the role."""
        return role in self.actor.roles

    @asynccontextmanager
    async def transaction(self, *, as_system: bool = False) -> AsyncIterator[Transaction]:
        """Begin a transaction: it commits where the block ends, and an error undoes all of it.

        `as_system` sets the rules aside for all of it. Two round trips (begin and commit) on PostgreSQL.
        """
        actor = replace(self.actor, system=True) if as_system else self.actor
        self._begun += 1
        point = f"{self.point}.{self._begun}.commit" if self.point else ""
        async with Transaction.begin(self.engine, actor, self._hooks, self._new_id, self._attempt) as tx:
            yield tx
            if self._hold is not None:
                await self._hold(tx.writing)
            if point:
                POINTS.committing(point)
        if point:
            POINTS.committed(point)

    async def enqueue(
        self, job: Callable[..., Any], *, delay: timedelta | None = None, unique: str | None = None,
        order_key: str | None = None, priority: int | None = None, **arguments: Any,
    ) -> str:  # fmt: skip
        """Have a job done, in a transaction of its own: see `tx.enqueue`. Three round trips."""
        async with self.transaction() as tx:
            return await tx.enqueue(
                job, delay=delay, unique=unique, order_key=order_key, priority=priority, **arguments
            )

    async def start_flow(
        self, flow: Callable[..., Any], *, id: UUID | str = "", driven: bool = False, order_key: str | None = None,
        **arguments: Any,
    ) -> str:  # fmt: skip
        """Begin a flow, in a transaction of its own: see `tx.start_flow`. Three round trips."""
        async with self.transaction() as tx:
            return await tx.start_flow(flow, id=id, driven=driven, order_key=order_key, **arguments)

    async def signal(self, flow_id: UUID | str, name: str, data: Any = None) -> bool:
        """Tell a flow something, in a transaction of its own: see `tx.signal`. Four round trips."""
        async with self.transaction() as tx:
            return await tx.signal(flow_id, name, data)

    async def drive(self, flow_id: UUID | str, *, patience: timedelta = timedelta(0)) -> Driven:
        """Go on with a flow now, here, as far as it goes, and say how far that is. Not inside a transaction.

        Where somebody else is on it, they are waited for with this `patience`, holding nothing; then it is `held`.
        Whoever stops waiting stops nothing: what was begun goes on. Raises `NotFound` where there is no such flow.
        """
        refuse_inside("Driving a flow")
        if self.engine.later is None:
            raise RuntimeError("Nothing is done later here: the application has not been started.")
        return await self.engine.later.drive(str(flow_id), patience.total_seconds())
