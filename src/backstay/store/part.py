"""Parts of an application that somebody else wrote: models, actions and reactions that an `App` takes with `use`.

Invariant: a part has no powers of its own. It declares with the words of a user's file, in the order of `use`, and
everything it brings is served, documented and guarded as if it stood there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from backstay.model.declare import Model
from backstay.model.rule import Predicate
from backstay.net.http import HTTP
from backstay.settings import Settings
from backstay.store.context import Context
from backstay.store.later import Backlog

Declares = Callable[[Any], Any]
"""A decorator, as those of `App` are."""


class Host(Protocol):
    """What a part declares with: the words of `App`."""

    name: str

    def action(
        self, route: str, *, allow: Predicate = ..., status: int | None = ...,
        idempotency_key: Literal["accepted", "required"] = ..., limit: str = ..., expand: Sequence[str] = ...,
        documented: bool = ..., resumes: bool = ...,
    ) -> Declares:  # fmt: skip
        """Serve a function at a route."""
        ...

    def on(self, fact: Any, *, name: str = "") -> Declares:
        """Run a function after a fact has become true."""
        ...

    def job(self, *, name: str = ..., attempts: int = ..., priority: int = ..., timeout: float = ...) -> Declares:
        """Run a function after the commit that wants it."""
        ...

    def every(
        self, cron: str, *, zone: str = ..., name: str = ..., attempts: int = ..., priority: int = ...,
        timeout: float = ...,
    ) -> Declares:  # fmt: skip
        """Run a function again and again."""
        ...

    def flow(
        self, *, version: int, name: str = ..., attempts: int = ..., priority: int = ..., timeout: float = ...
    ) -> Declares:  # fmt: skip
        """Run a function of steps that goes on where it stood."""
        ...

    def before_create(self, model: type[Any]) -> Declares:
        """Run a function before a record is added."""
        ...

    def before_update(self, model: type[Any]) -> Declares:
        """Run a function before a record is changed."""
        ...

    def before_delete(self, model: type[Any]) -> Declares:
        """Run a function before a record is deleted."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a part is opened with when the application starts: settings, the client for other services, the clock.

    `context` gives the surroundings of own code, above the rules; `background` is whether this process also does what
    nobody asks for; `serving` whether it takes requests, and is no command that only asks something; `backlog` are the
    jobs and flows of the application, for people who look after them.
    """

    settings: Settings
    http: HTTP
    clock: Callable[[], datetime]
    context: Callable[[], Context]
    background: bool
    serving: bool
    backlog: Backlog


class Part(Protocol):
    """A part of an application: `App("shop", use=[Shop(currency="EUR")])`."""

    @property
    def models(self) -> Sequence[type[Model]]:
        """The models that it brings."""
        ...

    def join(self, host: Host) -> None:
        """Declare the rest, once the models are read."""
        ...

    def open(self, around: Surroundings) -> AbstractAsyncContextManager[None]:
        """Be ready from the start of the application to its stop."""
        ...
