"""One process that serves: `python -m backstay.cli.worker LISTENER LIFELINE FOLDER`, started by `supervisor.py`.

LISTENER is the socket that all processes of one server share, LIFELINE the end of a socket whose other end is the
supervisor's: over it the process says that it is ready, and learns that the supervisor is gone. FOLDER is where the
processes leave their numbers for each other.

Invariant: what was accepted is answered. A connection is closed after an answer that said so, or when it has been idle
for longer than whoever holds it would use it again: a proxy that sends a request into a connection that is being closed
cannot know whether it arrived, and may not send it again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

from backstay.app import App
from backstay.cli.load import served

READY, LOOKED = b"r", b"l"
"""What is said over the lifeline: it serves; somebody asked whether it is ready."""
_BACKLOG = 4_096  # connections that wait to be heard
_LOOK = 0.2  # seconds between two looks at what is still open


class Worker:
    """An application on a listening socket, and how it ends.

    - SIGTERM: it says that it is about to stop for `drain_seconds`, and goes on; then it stops.
    - SIGINT, or a supervisor that is gone: it stops.
    - SIGHUP: another process has taken over. It takes no new connections, answers what comes on those it has, each
      for the last time, and stops when none is left, or after `linger_seconds`.

    To stop is to finish what is being answered.
    """

    def __init__(self, app: App, listener: int, lifeline: socket.socket, folder: Path) -> None:
        self._app = app
        self._listener = listener
        self._lifeline = lifeline
        self._folder = folder
        self._told = asyncio.Event()
        self._how: signal.Signals | None = None

    async def run(self) -> None:
        """From the start of the application to its end."""
        try:
            running = await self._app.start(background=True)
        except ValueError as error:  # something that it needs is not said, or cannot be meant
            raise SystemExit(f"Error: {error}") from None
        server = _server(self._app, self._listener, running.settings.linger_seconds)
        serving = asyncio.create_task(server.serve())
        running.metrics.folder = self._folder
        running.numbers.start()
        running.health.looked = lambda: self._say(LOOKED)
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(one, self._tell, one)
        loop.add_reader(self._lifeline, self._alone)
        self._say(READY)
        told = asyncio.create_task(self._told.wait())
        await asyncio.wait({told, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await self._leave()
            server.stop()
        await serving
        loop.remove_reader(self._lifeline)
        await self._app.stop()

    def _tell(self, how: signal.Signals) -> None:
        """The later word counts where it is the shorter way."""
        if self._how is None or how is signal.SIGINT or self._how is signal.SIGHUP:
            self._how = how
            self._told.set()

    def _alone(self) -> None:
        try:
            gone = not self._lifeline.recv(64)
        except OSError:
            gone = True  # it left without having read all that was said
        if gone:
            asyncio.get_running_loop().remove_reader(self._lifeline)
            self._tell(signal.SIGINT)

    def _say(self, what: bytes) -> None:
        try:
            self._lifeline.send(what, socket.MSG_DONTWAIT)
        except OSError:
            pass  # nobody listens, or much was said already

    async def _leave(self) -> None:
        """Until it can stop."""
        settings, loop = self._app.running.settings, asyncio.get_running_loop()
        began, empty = loop.time(), 0
        while self._how is not signal.SIGINT:
            relieved = self._how is signal.SIGHUP
            self._app.running.leave(relieved=relieved)
            if relieved:
                self._hear_nobody()
            after = loop.time() - began
            if after >= (settings.linger_seconds if relieved else settings.drain_seconds):
                return
            empty = 0 if self._open() else empty + 1
            if relieved and empty > 1:  # one that was being taken when it was to be the last is open by now
                return
            self._told.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._told.wait()
            except TimeoutError:
                pass

    def _hear_nobody(self) -> None:
        """Take no more connections from the listening socket, and leave it to the others who share it.

        To close it is the server's business, and ends all connections; so in its place comes one that nobody knows.
        """
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            silent.setblocking(False)
            os.dup2(silent.fileno(), self._listener)

    def _open(self) -> int:
        """How many connections to this process are open."""
        count = 0
        for name in os.listdir("/dev/fd"):
            try:
                if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as one:
                    if one.family in (socket.AF_INET, socket.AF_INET6):
                        one.getpeername()
                        count += one.getsockname()[1] == self._app.running.settings.port
            except OSError:
                continue  # closed meanwhile, or connected to nobody
        return count


def _server(app: App, listener: int, idle: int) -> Any:
    """The HTTP server on a socket that is there already, in this process and its event loop."""
    from granian._granian import SocketHolder
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    with socket.socket(fileno=os.dup(listener)) as heard:
        heard.listen(_BACKLOG)

    make: Any = SocketHolder
    holder = make(listener, False) if sys.platform == "darwin" else make(listener, False, _BACKLOG)

    class Listening(Server):
        def _init_shared_socket(self) -> None:
            self._ssp: Any = None
            self._shd: Any = holder

    return Listening(
        app, interface=Interfaces.ASGINL, log_level=LogLevels.error, websockets=False,
        # Whoever connects is heard, and told early where there is too much: what waits unheard in front of the door
        # is in nobody's queue. A connection may be idle, or send its headers, for longer than a proxy keeps one: who
        # closes earlier than the proxy may close while a request is on its way.
        backlog=_BACKLOG, backpressure=_BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=1000 * idle, max_buffer_size=65_536),
    )  # fmt: skip


def main() -> None:
    """Serve until told otherwise."""
    import uvloop

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is taken over yet from a process that only starts
    lifeline = socket.socket(fileno=int(sys.argv[2]))
    app = served()

    async def work() -> None:
        await Worker(app, int(sys.argv[1]), lifeline, Path(sys.argv[3])).run()

    try:
        uvloop.run(work())
    except KeyboardInterrupt:
        pass  # before it had begun to serve


if __name__ == "__main__":
    main()
