"""An application served for the time of one page, and the shell that its commands are typed into."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn
from click.testing import CliRunner

from backstay.cli.commands import backstay
from backstay.cli.load import load_app
from backstay.settings import read_settings

PORT = "localhost:8000"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def reachable(port: int, seconds: float = 20) -> None:
    """Wait until somebody answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            threading.Event().wait(0.02)


class InProcess:
    """`backstay dev` in a thread of this process, by another ASGI server."""

    def __init__(self, file: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        app = load_app(str(file))
        app.settings = read_settings({**environment, "BACKSTAY_ENV": "development", "LOG_LEVEL": "error"})

        async def serve() -> None:
            await app.start(extend=True, background=True)
            await app.seed_if_empty()
            await self._server.serve()
            await app.stop()

        config = uvicorn.Config(_without_lifespan(app), port=self.port, log_config=None, ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=_run, args=(serve,), daemon=True)
        self._thread.start()
        reachable(self.port)

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


def _run(serve: Any) -> None:
    asyncio.run(serve())


async def _empty(address: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()


def _without_lifespan(app: Any) -> Any:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return asgi


class Program:
    """`backstay dev` as a program of its own, exactly as a reader starts it."""

    def __init__(self, file: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.said = file.parent / "said.txt"
        program = str(Path(sys.executable).parent / "backstay")
        with self.said.open("w") as said:
            self._process = subprocess.Popen(
                [program, "dev", file.name, "--port", str(self.port), "--no-reload"], cwd=file.parent,
                env={**os.environ, **environment}, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        reachable(self.port, 60)

    def banner(self) -> str:
        """What it said about itself, without the log."""
        lines = self.said.read_text().replace(f"localhost:{self.port}", PORT).splitlines()
        return "\n".join(line for line in lines if line.startswith("  "))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


class Shell:
    """What a reader types, in a folder of its own."""

    def __init__(self, folder: Path, database: str, start: Any) -> None:
        self.folder = folder
        self.environment = {"DATABASE_URL": database, "BACKSTAY_DATA": "data"}
        self.variables: dict[str, str] = {}
        self.server: InProcess | Program | None = None
        self._start = start

    def run(self, command: str) -> str | None:
        """What a command answers; nothing where that is not compared."""
        assigned = re.fullmatch(r"([A-Z_]+)=(\S+)", command)
        if assigned:
            self.variables[assigned[1]] = assigned[2].strip("'\"")
            return ""
        words = shlex.split(command)
        if words[:2] in (["backstay", "dev"], ["backstay", "serve"]):
            self.serve(self.folder / words[2])
            if isinstance(self.server, Program) and not self.environment["DATABASE_URL"]:
                return self.server.banner()
            return None
        if words == ["rm", "-rf", "data"]:
            self.forget()
            return ""
        if words[0] == "backstay":
            outcome = CliRunner().invoke(backstay, words[1:], env=self.environment)
            return outcome.output
        assert words[0] == "curl", f"who runs {command}?"
        assert self.server is not None, "start the server first: $ backstay dev FILE"
        text = command.replace(PORT, f"localhost:{self.server.port}").replace("curl", "curl -sS --max-time 20", 1)
        before: str | None = None
        for _ in range(40):
            done = subprocess.run(
                ["bash", "-c", text], env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=30
            )
            if "/dev/mail" not in text or (done.returncode == 0 and done.stdout == before):
                break
            before = done.stdout
            time.sleep(0.5)  # mail is sent behind what it is about
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout.replace(f"localhost:{self.server.port}", PORT)

    def serve(self, file: Path) -> None:
        """Serve a file, instead of what was served. What else is in the file may read the environment."""
        self.stop()
        os.environ["DATABASE_URL"] = self.environment["DATABASE_URL"]
        try:
            self.server = self._start(file, self.environment)
        finally:
            del os.environ["DATABASE_URL"]

    def forget(self) -> None:
        """A fresh database."""
        self.stop()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        if address := self.environment["DATABASE_URL"]:
            asyncio.run(_empty(address))

    def stop(self) -> None:
        """End what is served."""
        if self.server is not None:
            self.server.stop()
            self.server = None
