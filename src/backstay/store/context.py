"""What an action, and later a job or a reaction, is handed: who is asking, and a way to begin a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from backstay.net.http import HTTP
from backstay.plan.actor import Actor
from backstay.store.engine import Engine
from backstay.store.record import whoever
from backstay.store.repeat import Attempt
from backstay.store.transaction import Hooks, Transaction


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
    ) -> None:  # fmt: skip
        self.engine = engine
        self.accounts = accounts
        self.actor = actor
        self._hooks = hooks
        self._new_id = new_id
        self._attempt = attempt
        self._address = address
        self._http = http

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
        async with Transaction.begin(self.engine, actor, self._hooks, self._new_id, self._attempt) as tx:
            yield tx
