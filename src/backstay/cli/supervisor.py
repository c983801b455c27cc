"""What stands above the processes that serve: it starts them, replaces them, and ends them.

All of them share one listening socket, which belongs to this process, so a connection that waits to be heard outlives
each of them.

Invariant: this process loads none of the application's code, so what it starts is the code of the moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from backstay.cli.worker import LOOKED, READY
from backstay.settings import Settings
from backstay.telemetry.log import Log

_WATCHED = 60.0  # seconds for which a look at /readyz says that somebody watches it
_SOON = 5.0  # seconds within which a process that ended had not really begun
_LONGEST = 30.0  # seconds between two tries to start one


class Child:
    """One process that serves."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: socket.socket) -> None:
        self.process = process
        self.lifeline = lifeline
        self.began = monotonic()
        self.ready = asyncio.Event()
        self.leaving = False
        """It was told to end."""

    def tell(self, how: signal.Signals) -> None:
        """Tell it how to end."""
        self.leaving = True
        if self.process.returncode is None:
            self.process.send_signal(how)


class Supervisor:
    """So many processes that serve on one address.

    - SIGTERM: where somebody watches `/readyz`, the processes say for `drain_seconds` that they are about to stop, and
      go on answering; then they stop, and so does this one. SIGINT: without the seconds.
    - SIGHUP: as many new processes are started, with the code of now. When all of them serve, the old ones are
      relieved. Where one of them does not come up, they are stopped, and the old ones go on.

    A process that ends by itself is replaced, at once, and later each time where it ends again soon.
    """

    def __init__(self, settings: Settings, workers: int, log: Log) -> None:
        self._settings = settings
        self._workers = workers
        self._log = log
        self._children: list[Child] = []
        """Those that serve now; `_all` are those that have not ended."""
        self._all: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked = -_WATCHED
        self._told: asyncio.Queue[signal.Signals | None] = asyncio.Queue()
        self._renewing = asyncio.Lock()
        self._stopping = False

    async def run(self) -> int:
        """Serve until told to stop; the exit code, 1 where the first processes do not come up. Raises `OSError`."""
        with (
            listening(self._settings.host, self._settings.port) as self._listener,
            TemporaryDirectory(prefix="backstay-", ignore_cleanup_errors=True) as self._folder,
        ):
            loop = asyncio.get_running_loop()
            for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(one, self._told.put_nowait, one)
            self._later(self._begin())
            while (how := await self._told.get()) is signal.SIGHUP:
                self._later(self._renew())
            await self._stop(how or signal.SIGINT)
            self._log.flush()
            return 0 if how else 1

    async def _begin(self) -> None:
        async with self._renewing:
            self._children = [await self._start() for _ in range(self._workers)]
            if not await self._come_up(self._children):
                self._told.put_nowait(None)
                return
            self._log.event("serving", host=self._settings.host, port=self._settings.port, pid=os.getpid())

    async def _start(self) -> Child:
        """Start a process."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        handles = (self._listener.fileno(), theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "backstay.cli.worker", *map(str, handles), self._folder, pass_fds=handles
        )
        theirs.close()
        child = Child(process, ours)
        self._all.add(child)
        asyncio.get_running_loop().add_reader(ours, self._hear, child)
        self._later(self._watch(child))
        return child

    def _hear(self, child: Child) -> None:
        try:
            said = child.lifeline.recv(4_096)
        except OSError:
            said = b""
        if READY in said:
            child.ready.set()
        if LOOKED in said:
            self._looked = monotonic()
        if not said:
            asyncio.get_running_loop().remove_reader(child.lifeline)

    async def _watch(self, child: Child) -> None:
        """Put another in the place of a process that ends by itself."""
        code = await child.process.wait()
        asyncio.get_running_loop().remove_reader(child.lifeline)
        child.lifeline.close()
        self._all.discard(child)
        was_ready = child.ready.is_set()
        child.ready.set()
        if child.leaving or self._stopping or not was_ready:
            return
        self._log.event("worker_ended", pid=child.process.pid, code=code)
        wait = 0.0 if monotonic() - child.began > _SOON else 1.0
        while child in self._children and not self._stopping:
            await asyncio.sleep(wait)
            if child not in self._children or self._stopping:
                return
            fresh = await self._start()
            if child not in self._children:
                fresh.tell(signal.SIGINT)
                return
            self._children[self._children.index(child)] = fresh
            if await self._come_up([fresh]):
                return
            child, wait = fresh, min(max(wait, 0.5) * 2, _LONGEST)

    async def _come_up(self, children: list[Child]) -> bool:
        """Whether all of them serve; or else at least one of them ended."""
        await asyncio.gather(*(child.ready.wait() for child in children))
        return all(child.process.returncode is None for child in children)

    async def _renew(self) -> None:
        """Let new processes take over from those that there are."""
        async with self._renewing:
            new = [await self._start() for _ in range(self._workers)]
            if not await self._come_up(new) or self._stopping:
                self._log.event("reload_failed", pid=os.getpid())
                for child in new:
                    child.tell(signal.SIGINT)
                return
            old, self._children = self._children, new
            for child in old:
                child.tell(signal.SIGHUP)
                self._later(self._end(child, self._settings.linger_seconds))
            self._log.event("reloaded", pid=os.getpid(), workers=len(new))

    async def _end(self, child: Child, seconds: float) -> None:
        """Wait for the end of a process that was told, and end it where it does not."""
        try:
            async with asyncio.timeout(seconds + self._settings.stop_seconds):
                await child.process.wait()
        except TimeoutError:
            self._log.event("worker_killed", pid=child.process.pid)
            child.process.kill()
            await child.process.wait()

    async def _stop(self, how: signal.Signals) -> None:
        """End all processes; another signal meanwhile ends them without the seconds."""
        self._stopping = True
        if monotonic() - self._looked > _WATCHED:
            how = signal.SIGINT  # nobody watches, so there is nobody to tell
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._tell_all, signal.SIGINT)
        self._tell_all(how)
        await asyncio.gather(*(self._end(child, self._settings.drain_seconds) for child in self._all))
        self._log.event("stopped", pid=os.getpid())

    def _tell_all(self, how: signal.Signals) -> None:
        for child in self._all:
            child.tell(how)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address, which the processes that serve listen on. Raises `OSError` where that is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
