"""The thread on which a process waits for its SQLite disk, one job after another, while its event loop goes on.

Invariant: what follows a job runs on the event loop that gave it; a loop that was closed meanwhile is not missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]
Then: TypeAlias = Callable[[BaseException | None], None]


class DiskThread:
    """Begun by its first job. It ends with the process, whatever it waits for."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[asyncio.AbstractEventLoop, Job, Then] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def do(self, job: Job, then: Then) -> None:
        """Do a job on the thread, then tell the loop its error, or that there is none.

        A fraction of what `run_in_executor` costs, which makes three objects for each job and locks them.
        """
        if self._thread is None:
            self._thread = Thread(target=self._work, name="sqlite-disk", daemon=True)
            self._thread.start()
        self._jobs.put((asyncio.get_running_loop(), job, then))

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            loop, job, then = given
            error: BaseException | None = None
            try:
                job()
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(then, error)

    def end(self, last: Job, *, wait: bool) -> None:
        """Do one job more, after all others; `wait` for it, where none of them waits for somebody else."""
        if self._thread is None:
            last()
            return
        self._jobs.put((asyncio.get_running_loop(), last, lambda _: None))
        self._jobs.put(None)
        if wait:
            self._thread.join()
