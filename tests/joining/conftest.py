"""The application that was there, over a database of its own, alone or inside Backstay."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import apsw
import pytest
from starlette.testclient import TestClient

from backstay import App
from backstay.settings import Settings
from tests.joining.blog_backend import joined_app
from tests.joining.legacy_app.main import create_app, hashed
from tests.servers import Postgres

_numbers = count()
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Database:
    """One database, as each of the two reaches it."""

    kind: str
    ours: str
    theirs: str
    dump: Callable[[], str]
    """Everything that says what its tables are, without those of Backstay."""
    run: Callable[[str], list[Any]]

    @property
    def migrations(self) -> alembic.config.Config:
        """Alembic, as the application uses it."""
        config = alembic.config.Config()
        config.set_main_option("script_location", str(HERE / "legacy_app" / "migrations"))
        config.set_main_option("sqlalchemy.url", self.theirs.replace("%", "%%"))
        return config

    def migrate(self) -> None:
        """Bring it to the newest form, and put two people there."""
        alembic.command.upgrade(self.migrations, "head")
        for number, name, password in ((1, "Ada", "engine"), (2, "Bob", "bridge")):
            values = f"{number}, '{name.lower()}@example.com', '{name}', '{hashed(password)}', {number} = 2"
            self.run(f"INSERT INTO members (id, email, name, password_hash, editor) VALUES ({values})")
        if self.kind == "postgres":
            self.run("SELECT setval('members_id_seq', 2)")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the tables and the people of the application, made by its own migrations."""
    if request.param == "sqlite":
        found = _sqlite(tmp_path / "blog.db")
        found.migrate()
        yield found
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"blog{next(_numbers)}"
    found = _postgres(server, name)
    try:
        found.migrate()
        yield found
    finally:
        server.drop(name)


def _sqlite(path: Path) -> Database:
    def run(text: str) -> list[Any]:
        connection = apsw.Connection(str(path))
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()

    def dump() -> str:
        rows = run("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
        return "\n".join(text for table, text in rows if not _is_ours(table))

    return Database("sqlite", f"sqlite:///{path}", f"sqlite+backstay:///{path}", dump, run)


def _postgres(server: Postgres, name: str) -> Database:
    ours = server.create(name)
    theirs = f"postgresql+asyncpg://postgres@/{name}?host={server.directory}"
    reached = ["--host", str(server.directory), "--username=postgres", "--no-psqlrc", "--tuples-only", "--no-align"]

    def run(text: str) -> list[Any]:
        command = [server.program("psql"), *reached, "--set=ON_ERROR_STOP=1", "--command", text, name]
        said = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
        return [tuple(line.split("|")) for line in said.splitlines()]

    def dump() -> str:
        public = "'public'::regnamespace"
        found = [
            *run("SELECT table_name, column_name, data_type, is_nullable, column_default "
                 "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"),
            *run("SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                 f"WHERE connamespace = {public} ORDER BY 1, 2"),
            *run("SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"),
            *run("SELECT tgrelid::regclass::text, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                 f"WHERE NOT tgisinternal AND relnamespace = {public} ORDER BY 1, 2"),
        ]  # fmt: skip
        return "\n".join("|".join(row) for row in found)

    return Database("postgres", ours, theirs, dump, run)


def _is_ours(table: str) -> bool:
    return table.startswith("_") or table in ("sqlite_sequence", "mail_messages")


def settings_of(database: Database) -> Settings:
    """How Backstay is told of it."""
    return Settings(
        database_url=database.ours, secret_key="only for tests, known to everybody", log_level="error",
        env="development", connections=2,
    )  # fmt: skip


@pytest.fixture
def backend(database: Database) -> App:
    """The application inside Backstay, with two of its classes exposed."""
    app = joined_app(create_app(database.theirs))
    app.settings = settings_of(database)
    return app


@pytest.fixture(params=["alone", "mounted in Backstay"])
def blog(request: pytest.FixtureRequest, database: Database) -> Iterator[TestClient]:
    """A client of the application: as it is, and inside Backstay."""
    served: Any = create_app(database.theirs)
    if request.param != "alone":
        served = joined_app(served)
        served.settings = settings_of(database)
    with TestClient(served, base_url="http://localhost") as client:
        yield client
