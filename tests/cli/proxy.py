"""HAProxy in front of some servers, and clients behind it who count what went wrong.

It is set up without mercy: nothing is sent again, nothing is sent elsewhere, and connections to the servers are kept
and shared. So each answer that a server does not give is seen by a client.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from tests.docs.served import free_port, reachable
from tests.servers import absent

CONFIG = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 10s
    retries 0
    no option redispatch
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
{servers}
"""


class Proxy:
    """HAProxy in front of servers on these ports."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin")
        if program is None:
            absent("haproxy is not installed: apt-get install haproxy")
        self.port = free_port()
        lines = [f"    server s{port} 127.0.0.1:{port} check inter 100ms fall 2 rise 1" for port in ports]
        config = folder / "haproxy.cfg"
        config.write_text(CONFIG.format(port=self.port, servers="\n".join(lines)))
        self._process = subprocess.Popen(
            [program, "-db", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        reachable(self.port)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)


class Crowd:
    """Clients who ask without a pause, each over a connection that it keeps: two reads, then a write."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        """How often each kind of answer came; everything but `GET 200` and `POST 201` is a failure."""
        self.made: list[int] = []
        self.said: list[str] = []
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def failures(self) -> dict[str, int]:
        """What was not answered as it should have been."""
        return {kind: count for kind, count in self.answers.items() if kind not in ("GET 200", "POST 201")}

    def start(self, clients: int) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def stop(self) -> None:
        """Finish what was begun."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, requests: int) -> None:
        """Until so many more were answered."""
        until = self.answers.total() + requests
        while self.answers.total() < until:  # noqa: ASYNC110 - whoever counts is busy enough
            await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        n = number * 1_000_000
        while not self._stopping:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while not self._stopping:
                    n += 1
                    method = "GET" if n % 3 else "POST"
                    body = json.dumps({"n": n}).encode() if method == "POST" else b""
                    status, last, said = await _ask(reader, writer, method, body)
                    self.answers[f"{method} {status}"] += 1
                    if status == 201:
                        self.made.append(n)
                    elif status != 200:
                        self.said.append(said)
                    if last:
                        break
            except (OSError, EOFError) as error:
                self.answers[type(error).__name__] += 1
            finally:
                writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, body: bytes
) -> tuple[int, bool, str]:
    sent = f"{method} /api/notes HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
    writer.write(f"{sent}content-length: {len(body)}\r\n\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.rstrip().split("\r\n")
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    said = await reader.readexactly(int(found.get("content-length", "0")))
    return int(lines[0].split()[1]), found.get("connection", "").lower() == "close", head + said.decode()
