"""No request lasts for ever: each has a deadline, and its body an earlier one.

One look around a second ends what is late, so a deadline costs a request two entries in a dictionary and no timer.
Invariant: what is cancelled here is answered with a problem; a cancellation from elsewhere passes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from backstay.errors import Problem, Unavailable
from backstay.plan.limits import Limits

_LOOK = 1.0  # seconds between two looks around
Task = asyncio.Task[Any]


class Deadlines:
    """The tasks of one process that answer requests, and until when."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = perf_counter) -> None:
        self.begun: dict[Task, float] = {}
        """Since when each is at it. The front writes this itself, for every request passes here."""
        self.bodies: dict[Task, float] = {}
        """Since when each waits for the body of its request."""
        self.looking = False
        self._seconds = limits.max_request_seconds
        self._body_seconds = limits.max_body_seconds
        self._clock = clock
        self._late: dict[Task, Problem] = {}

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look around from now on, until nothing is left to look for."""
        self.looking = True
        loop.call_later(_LOOK, self._look_around, loop)

    def problem(self, task: Task | None) -> Problem | None:
        """What a cancelled task is to answer where it was cancelled for being late; nothing otherwise."""
        late = self._late.pop(task, None) if task is not None else None
        if late is not None and task is not None:
            task.uncancel()
        return late

    def look(self) -> None:
        """Cancel what is late."""
        now = self._clock()
        for task, since in self.bodies.items():
            if now - since > self._body_seconds and task not in self._late:
                said = f"A body has {self._body_seconds} seconds to arrive."
                self._late[task] = Problem(said, code="request_timeout")
                task.cancel()
        for task, since in self.begun.items():
            if now - since > self._seconds and task not in self._late:
                self._late[task] = Unavailable(code="timeout")
                task.cancel()

    def _look_around(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        self.looking = bool(self.begun)
        if self.looking:
            loop.call_later(_LOOK, self._look_around, loop)
