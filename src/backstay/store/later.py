"""What own code says of things that are to happen later, in the transaction that makes them true or not.

What does them lies above the store, and is handed in where the application is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias

from backstay.store.journal import Line
from backstay.store.port import Writing
from backstay.store.queue import Entry

FlowState: TypeAlias = Literal["done", "waiting", "later", "ready", "held", "undone", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a job is to be done: after a delay, once for a key, in order with others of a key, how urgently."""

    delay: timedelta | None = None
    unique: str | None = None
    order_key: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Driven:
    """How far a flow has come.

    - `done`: `result` is what its function returned.
    - `waiting`: for a signal. `later`: a step failed and is tried again. `ready`: somebody will go on with it.
    - `held`: somebody else is on it just now.
    - `undone`: it failed because of `reason`, with the `code` of a problem, and all of it was taken back.
    - `failed`: it failed, and a person has to look: `backstay jobs show`.
    - `cancelled`: a person has ended it, and all of it was taken back.
    """

    id: str
    state: FlowState
    result: Any = None
    reason: str = ""
    code: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "undone", "failed", "cancelled")


class Later(Protocol):
    """What keeps and does what is to happen later."""

    async def enqueue(
        self, writing: Writing, job: Callable[..., Any], arguments: Mapping[str, Any], wish: Wish
    ) -> str: ...
    async def start(
        self, writing: Writing, flow: Callable[..., Any], arguments: Mapping[str, Any], key: str, wish: Wish,
        *, driven: bool,
    ) -> str: ...  # fmt: skip
    async def signal(self, writing: Writing, flow: str, name: str, data: Any) -> bool: ...
    async def drive(self, flow: str, patience: float) -> Driven: ...


class Backlog(Protocol):
    """What is put off, given up on and done, for people who look after it."""

    async def some(self, *, state: str = "", task: str = "", limit: int = 50) -> list[Entry]:
        """Jobs and flows, the newest first: those in a state, and those of a task by its name. One round trip."""
        ...

    async def look_at(self, key: str) -> tuple[Entry, list[Line]] | None:
        """One of them, with the steps of a flow in their order. Two round trips."""
        ...

    async def retry(self, key: str) -> bool:
        """Try again now what was given up on, or waits for its next try; whether there is such a job or flow."""
        ...

    async def cancel(self, key: str, reason: str = ...) -> bool:
        """End a job that nobody runs, or have a flow taken back; whether that was possible."""
        ...
