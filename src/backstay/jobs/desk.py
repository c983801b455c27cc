"""Where own code puts off what is to happen later, starts flows, tells them things and drives them (`store/later.py`).

Invariant: what is put off is written in the transaction that wants it, with arguments that its function takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from backstay.errors import NotFound
from backstay.jobs.run import driven
from backstay.jobs.task import Tasks, json_of
from backstay.jobs.worker import Worker
from backstay.store.journal import Journal
from backstay.store.later import Driven, Wish
from backstay.store.port import Writing
from backstay.store.queue import Entry, Order, Outcome, Queue, begun

_REST = 1.0  # seconds after which somebody who waits looks without having been told
_EXPECTED = 10_000
"""Flows that this process has begun to drive them itself, and has not come to yet."""


class Desk:
    """What transactions and contexts of one process say what is to happen later to."""

    def __init__(
        self, queue: Queue, journal: Journal, tasks: Tasks, worker: Worker, new_id: Callable[[], str]
    ) -> None:  # fmt: skip
        self._queue = queue
        self._journal = journal
        self._tasks = tasks
        self._worker = worker
        self._new_id = new_id
        self._expected: dict[str, Entry] = {}

    async def enqueue(
        self, writing: Writing, job: Callable[..., Any], arguments: Mapping[str, Any], wish: Wish
    ) -> str:  # fmt: skip
        """Put a job into the queue; its id, or that of the one that has its unique key."""
        task = self._tasks.of(job, "job")
        priority = task.priority if wish.priority is None else wish.priority
        delay = wish.delay.total_seconds() if wish.delay is not None else 0.0
        order = Order(
            self._new_id(), task.known, task.encode(arguments), priority, delay, wish.unique, wish.order_key
        )  # fmt: skip
        key, _ = await self._queue.add(writing, order)
        return key

    async def start(
        self, writing: Writing, flow: Callable[..., Any], arguments: Mapping[str, Any], key: str, wish: Wish,
        *, driven: bool,
    ) -> str:  # fmt: skip
        """Begin a flow; its id."""
        task = self._tasks.of(flow, "flow")
        order = Order(
            key or self._new_id(), task.known, task.encode(arguments), task.priority, order_key=wish.order_key,
            driven=driven and wish.order_key is None,
        )  # fmt: skip
        found, number = await self._queue.add(writing, order)
        if number and order.driven:
            if len(self._expected) >= _EXPECTED:
                self._expected.pop(next(iter(self._expected)))
            self._expected[found] = begun(order, number)
        return found

    async def signal(self, writing: Writing, flow: str, name: str, data: Any) -> bool:
        """Tell a flow something."""
        text = json_of(data, f"What {name} says")
        if not await self._queue.wake(writing, flow):
            return False
        await self._journal.tell(writing, flow, name, text)
        return True

    async def drive(self, flow: str, patience: float) -> Driven:
        """Go on with a flow, or wait a while for who does."""
        until = monotonic() + patience
        if (expected := self._expected.pop(flow, None)) is not None:
            found = await asyncio.shield(self._worker.begin(expected))
            if found.state != "held":
                return found
        while True:
            rung = self._queue.store.bell.rings
            if (entry := await self._queue.take_one(flow)) is not None:
                found = await asyncio.shield(self._worker.begin(entry))
            elif (there := await self._queue.find(flow)) is not None:
                found = _state_of(there)
            else:
                raise NotFound("There is no such flow.")
            left = until - monotonic()
            if found.state not in ("held", "ready") or left <= 0:
                return found
            await self._queue.store.bell.wait(rung, min(left, _REST))

    async def state(self, flow: str) -> Driven | None:
        """How far a flow has come, without going on with it."""
        there = await self._queue.find(flow)
        return None if there is None else _state_of(there)


def _state_of(entry: Entry) -> Driven:
    return driven(entry.id, Outcome(entry.state, None, 0, entry.reason, entry.code, entry.result))
