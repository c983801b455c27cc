"""SQLAlchemy over Backstay's SQLite: `create_engine("sqlite+backstay:///data/app.db")`, and the same for async engines.

For an application that shares a file with Backstay in one process, and for Alembic. It is SQLAlchemy's own dialect
with another driver behind it, found by its name once Backstay is installed.
"""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

from sqlalchemy import MetaData, util
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.url import URL
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, StaticPool

from backstay.store import apsw_dbapi
from backstay.store.kept import KEPT

T = TypeVar("T")
_OWN = re.compile(r'CREATE TABLE \S+ \(\s+"?_row"? INTEGER NOT NULL')
"""How the table of a model of Backstay begins, and no other (`tables.py`)."""


@cache
def _kept() -> frozenset[str]:
    """The names of the tables that Backstay keeps for itself."""
    metadata = MetaData()
    for keep in KEPT:
        keep(metadata, "sqlite")
    return frozenset(metadata.tables)


class BackstayDialect(SQLiteDialect_pysqlite):
    """The dialect of `sqlite+backstay`."""

    driver = "backstay"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver."""
        return apsw_dbapi

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[Any]:
        """What `create_async_engine` takes for the same address."""
        return AsyncBackstayDialect

    def get_table_names(
        self, connection: Any, schema: Any = None, sqlite_include_internal: Any = False, **more: Any
    ) -> list[str]:  # fmt: skip
        """The tables there are, without those of Backstay: no migration of anybody else shall think them its own."""
        names = super().get_table_names(connection, schema, sqlite_include_internal, **more)  # type: ignore[no-untyped-call]
        texts = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        made = tuple(f"{name}__search" for name, text in texts if _OWN.match(text or ""))
        own = {name for name, text in texts if _OWN.match(text or "")} | _kept()
        return [name for name in names if name not in own and not name.startswith(made)]


class AsyncBackstayDialect(BackstayDialect):
    """The dialect of `sqlite+backstay` for async engines: each connection waits on a thread of its own."""

    is_async = True
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver, with connections that give the event loop time."""
        return _async_driver(apsw_dbapi)

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """A pool that is at home in an event loop."""
        return AsyncAdaptedQueuePool if cls._is_url_file_db(url) else StaticPool

    def get_driver_connection(self, connection: Any) -> Any:
        """The connection itself."""
        return connection


def _async_driver(module: ModuleType) -> Any:
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return SimpleNamespace(**{**names, "connect": _connect})


def _connect(database: str, timeout: float = 5.0, isolation_level: str | None = "", **_: Any) -> AsyncConnection:
    return AsyncConnection(database, timeout, isolation_level)


class AsyncConnection(apsw_dbapi.Connection):
    """A connection whose statements run on a thread of its own, so that waiting for a writer stops nobody else."""

    def __init__(self, database: str, timeout: float, isolation_level: str | None) -> None:
        self._thread = ThreadPoolExecutor(1, "sqlalchemy-sqlite")
        super().__init__(database, timeout, isolation_level)

    def wait(self, work: Callable[[], T]) -> T:
        """The outcome of some work on the thread, which the greenlet that SQLAlchemy runs in waits for."""
        return util.await_only(get_running_loop().run_in_executor(self._thread, work))

    def cursor(self) -> AsyncCursor:
        """A cursor."""
        return AsyncCursor(self)

    def commit(self) -> None:
        """End the transaction, if there is one, and keep it."""
        self.wait(super().commit)

    def rollback(self) -> None:
        """End the transaction, if there is one, and undo it."""
        self.wait(super().rollback)

    def close(self) -> None:
        """Close it; what is not committed is undone. The pool does so outside of any event loop too."""
        super().close()
        self._thread.shutdown(wait=False)

    def terminate(self) -> None:
        """Close it, wherever this is."""
        self.close()


class AsyncCursor(apsw_dbapi.Cursor):
    """A cursor of such a connection."""

    connection: AsyncConnection

    def execute(self, sql: str, parameters: apsw_dbapi.Parameters = ()) -> AsyncCursor:
        """Run one statement."""
        self.connection.wait(partial(super().execute, sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Iterable[apsw_dbapi.Parameters]) -> AsyncCursor:
        """Run one statement for each of many parameters."""
        self.connection.wait(partial(super().executemany, sql, parameters))
        return self
