"""Real processes that serve one application over one database, and clients who do not give up.

A server is `backstay serve` with a port of its own, so that a test decides which process gets what, and kills it as a
machine would. A client asks over a kept connection and goes to the next server where one is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.served import free_port, reachable


class Server:
    """One process that serves a file."""

    def __init__(self, file: Path, environment: dict[str, str], workers: int = 1) -> None:
        self._workers = workers
        self.port = free_port()
        self._file = file
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log = file.parent / f"server-{self.port}.log"

    def start(self) -> None:
        """Begin to serve; `wait` says when it answers."""
        program = str(Path(sys.executable).parent / "backstay")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", self._file.name, "--port", str(self.port), "--workers", str(self._workers)],
                cwd=self._file.parent,
                env={**os.environ, **self._environment}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Until it listens."""
        reachable(self.port, 120)

    def pids(self) -> list[int]:
        """The numbers of its processes: the one that was started, and its workers."""
        assert self._process is not None
        found = [self._process.pid]
        for pid in found:  # grows
            children = Path(f"/proc/{pid}/task/{pid}/children")
            found += [int(child) for child in children.read_text().split()] if children.exists() else []
        return found

    def kill(self) -> None:
        """End it in the middle of whatever it is doing."""
        self._end(signal.SIGKILL)

    def tell(self, how: signal.Signals) -> None:
        """Send the one above the processes that serve a signal."""
        assert self._process is not None
        self._process.send_signal(how)

    def end(self) -> int:
        """Ask it to end, and wait for that; its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        process.terminate()
        return process.wait(60)

    def workers(self) -> list[int]:
        """The processes that serve."""
        assert self._process is not None
        said = subprocess.run(["ps", "--ppid", str(self._process.pid), "-o", "pid="], capture_output=True, text=True)
        return [int(line) for line in said.stdout.split()]

    def stop(self) -> None:
        """Ask it to end."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            if how is signal.SIGTERM:
                process.terminate()
                process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(20)


@dataclass
class Got:
    """What a client got in the end."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def replayed(self) -> bool:
        """Whether it says that it is a repetition."""
        return self.headers.get("idempotency-replayed") == "true"

    @property
    def shown(self) -> tuple[int, bytes, str, str, str]:
        """What must be the same for all who asked the same."""
        kept = (self.headers.get(name, "") for name in ("content-type", "location", "etag"))
        return self.status, self.body, *kept  # type: ignore[return-value]

    @property
    def code(self) -> str:
        """The code of a problem."""
        return self.body.partition(b'"code":"')[2].partition(b'"')[0].decode()


async def one_answer(port: int, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Got:
    """What a server answers, asked once over a connection of its own. Raises `OSError` or `EOFError` without one."""
    line = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await _over(line, method, path, headers, body)
    finally:
        line[1].close()


async def _over(
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str, path: str, headers: dict[str, str],
    body: bytes,
) -> Got:  # fmt: skip
    reader, writer = line
    sent = {"host": "test", "content-length": str(len(body)), "content-type": "application/json", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    try:
        writer.write("\r\n".join(lines).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *rest = head.rstrip().split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        answer = await reader.readexactly(int(found.get("content-length", "0")))
    except BaseException:
        writer.close()
        raise
    return Got(int(status.split()[1]), answer, found)


class Client:
    """Asks several servers over kept connections."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.broken = 0
        """How often a connection ended before its answer."""
        self._free: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {port: [] for port in ports}

    async def send(
        self, at: int, method: str, path: str, headers: dict[str, str], body: bytes, tries: int = 200
    ) -> Got:
        """The answer of a server, or of the next one where that is gone; `in_progress` and 503 are asked again."""
        patience, said = 3, ""
        for attempt in range(tries):
            try:
                got = await self.ask(self.ports[(at + attempt) % len(self.ports)], method, path, headers, body)
            except (OSError, EOFError) as error:
                said = repr(error)
                self.broken += 1
                self.forget()  # what was open to one that is gone is of no use
                await asyncio.sleep(0.02)
                continue
            said = repr(got)
            if got.status == 503 or (got.code == "in_progress" and patience):
                patience -= got.status != 503
                await asyncio.sleep(0.05)
                continue
            return got
        raise AssertionError(f"nobody answers {method} {path}: {said}")

    async def ask(self, port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> Got:
        """One answer of one server. Raises `OSError` or `EOFError` where the connection ends before it."""
        free = self._free[port]
        line = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        got = await _over(line, method, path, headers, body)
        free.append(line)
        return got

    def forget(self) -> None:
        """Close what is open."""
        for lines in self._free.values():
            for _, writer in lines:
                writer.close()
            lines.clear()


class Fleet:
    """Some servers of one file, started together."""

    def __init__(self, file: Path, environment: dict[str, str], size: int = 4, workers: int = 1) -> None:
        self.servers = [Server(file, environment, workers) for _ in range(size)]

    def start(self) -> None:
        """Start all; the first alone makes the tables."""
        self.servers[0].start()
        self.servers[0].wait()
        for server in self.servers[1:]:
            server.start()
        for server in self.servers[1:]:
            server.wait()

    def stop(self) -> None:
        """End all."""
        for server in self.servers:
            server.stop()

    def client(self) -> Client:
        """Somebody who asks them."""
        return Client([server.port for server in self.servers])


def seconds() -> float:
    """A clock for figures."""
    return time.monotonic()
