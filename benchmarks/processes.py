"""Servers as processes of the operating system: started, waited for, weighed, stopped."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
READY_WITHIN_SECONDS = 60


class ServerFailed(RuntimeError):
    """A peer did not start, or gave something else than the answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server: what to run, where, and with what added to the environment."""

    argv: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """A started server and the processes under it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @classmethod
    def start(cls, command: Command, port: int, log: Path) -> "Server":
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command.argv],
                cwd=command.directory,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, port, log)

    def wait(self, path: str, headers: Mapping[str, str]) -> None:
        """Return when the path is answered with 200; after a minute, or if the server ends, raise with its log."""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.get(path, headers)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise ServerFailed(f"no answer to {path} on port {self.port}; the log ends with\n{self.log_tail()}")

    def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        return ask("GET", self.port, path, headers)

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self) -> None:
        """Ask the whole group to end, and insist after five seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(5)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


def ask(method: str, port: int, path: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own: the status and the body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def cpu_seconds(root: int) -> float:
    """Processor time used so far by a process and everything under it, ended children included."""
    return sum(sum(map(int, fields[11:15])) for fields in _tree(root)) / TICKS


def largest_megabytes(root: int) -> float:
    """The resident memory of the largest process of the tree."""
    return max((int(fields[21]) * PAGE_BYTES for fields in _tree(root)), default=0) / 1_000_000


def _tree(root: int) -> Iterator[list[str]]:
    """The fields of /proc/<pid>/stat after the name, of a process and its descendants (see proc(5))."""
    fields: dict[int, list[str]] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields[int(entry.name)] = after_name
        children[int(after_name[1])].append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in fields:
            yield fields[pid]
            waiting.extend(children[pid])
