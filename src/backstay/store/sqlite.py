"""SQLite by apsw: reads on the event loop, writes in groups that share a commit, all that is acknowledged on disk.

`synchronous=FULL` and WAL are set here and not by the operator. A read that takes longer than the loop can spare
is interrupted, run again on a thread of its own, and its statement is remembered as expensive.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any

import apsw

from backstay.errors import Unavailable
from backstay.model.field import Schema
from backstay.model.folding import fold
from backstay.plan.limits import Limits
from backstay.store.bell import Bell
from backstay.store.dialect import quoted
from backstay.store.one_library import claim, release
from backstay.store.port import Broken
from backstay.store.sql import Statement
from backstay.store.sqlite_commit import GroupCommit
from backstay.store.sqlite_connection import OF_THE_DISK, refusal_of
from backstay.store.sqlite_dialect import FOLD, SQLiteDialect
from backstay.store.sqlite_transaction import SQLiteTransaction
from backstay.store.sqlite_turn import WriteTurn
from backstay.telemetry.metrics import Histogram

Rows = list[Any]
SAFE_VERSION = (3, 51, 3)
_STEPS = 2_000  # virtual machine instructions between two looks at the budget
_IDLE = -(2**62)
_APART = 100  # how often a statement that was too long runs on a thread before the loop tries it again
_THREADS = 2
_UNREADABLE = "The database cannot be read just now."
_LISTEN = 0.05  # seconds between two looks for what other processes wrote


class SQLiteMigration:
    """The transaction of a migration."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def run(self, text: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement."""
        try:
            return self._connection.execute(text, values).fetchall()
        except apsw.ConstraintError as error:
            raise refusal_of(error) from None

    async def number(self, sequence: str) -> int:
        """No record is added by a migration."""
        raise NotImplementedError("A migration adds no record.")


class SQLiteStore:
    """One SQLite file (or memory), as one process sees it; other processes may write to the file too."""

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        self.path = path
        self.dialect = SQLiteDialect()
        self.bell = Bell()
        self._listening: asyncio.Task[None] | None = None
        self._reads = 0
        self._limits = limits or Limits()
        self._uri = "file::memory:?cache=private" if path == ":memory:" else path
        self._writer = GroupCommit(lambda: self._connect(), WriteTurn(path) if path != ":memory:" else None)
        # Instructions and not time: a busy machine must not turn a cheap statement into an expensive one.
        self._budget = self._limits.max_steps_on_loop // _STEPS
        self._steps = _IDLE
        self._claimed = False
        self._spare: list[apsw.Connection] = []
        self._pool: ThreadPoolExecutor | None = None
        self._reader: apsw.Connection

    @property
    def statements(self) -> int:
        """Data statements run since the start."""
        return self._reads + self._writer.statements

    @statements.setter
    def statements(self, number: int) -> None:
        self._reads = number - self._writer.statements

    @property
    def commit_sizes(self) -> Histogram:
        """How many transactions each commit held."""
        return self._writer.sizes

    async def open(self) -> None:
        """Open the file, creating it and its folder where needed."""
        version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if version < SAFE_VERSION:
            raise RuntimeError(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt a shared file; 3.51.3 or newer is needed."
            )
        if self.path != ":memory:":
            make_folder(self.path)
            make_file(self.path)
            claim(self.path)
            self._claimed = True
        self._writer.open()
        assert self._writer.connection.raw is not None
        # One connection serves both in memory, which has no file to share.
        self._reader = self._writer.connection.raw if self.path == ":memory:" else self._connect(query_only=True)
        self._reader.set_progress_handler(self._late, _STEPS)
        self._reader.set_busy_timeout(0)  # nobody waits for a lock on the loop

    def _connect(self, *, query_only: bool = False) -> apsw.Connection:
        connection = apsw.Connection(self.path, statementcachesize=1000)
        connection.set_busy_timeout(5_000)
        connection.create_scalar_function(FOLD, _fold, 1, deterministic=True)
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "mmap_size = 0", "cache_size = -65536",
                       "temp_store = MEMORY", "trusted_schema = OFF"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.set_busy_timeout(0)  # it waits for its turn, and on a thread
        return connection

    async def close(self) -> None:
        """Close the file; the write-ahead log is folded in, unless the disk does not let us."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        if self._pool is not None:
            self._pool.shutdown()
        await self._writer.close()
        for connection in (*self._spare, self._reader):
            with suppress(apsw.Error):
                connection.close()
        if self._claimed:
            release(self.path)
            self._claimed = False

    def _late(self) -> bool:
        self._steps += 1
        return self._steps > self._budget

    async def read(self, statement: Statement, values: Sequence[Any]) -> Rows:
        """The rows of a compiled plan."""
        self._reads += 1
        if statement.apart and self.path != ":memory:":
            statement.apart -= 1
            return await self._read_apart(statement.text, values)
        self._steps = 0
        try:
            return self._reader.execute(statement.text, values).fetchall()
        except apsw.InterruptError:
            if self.path == ":memory:":
                raise Unavailable(code="timeout") from None
            statement.apart = _APART
        except apsw.BusyError:
            pass  # it is waited for on a thread
        except OF_THE_DISK as error:
            raise Unavailable(_UNREADABLE) from error
        finally:
            self._steps = _IDLE
        return await self._read_apart(statement.text, values)

    async def _read_apart(self, text: str, values: Sequence[Any]) -> Rows:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "sqlite-read")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read_on_thread, text, values)

    def _read_on_thread(self, text: str, values: Sequence[Any]) -> Rows:
        try:
            connection = self._spare.pop() if self._spare else self._connect(query_only=True)
        except OF_THE_DISK as error:
            raise Unavailable(_UNREADABLE) from error
        deadline = time.monotonic() + self._limits.max_statement_ms / 1000
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            return connection.execute(text, values).fetchall()
        except apsw.InterruptError:
            raise Unavailable(code="timeout") from None
        except OF_THE_DISK as error:
            raise Unavailable(_UNREADABLE) from error
        finally:
            self._spare.append(connection)

    async def run(self, text: str, values: Sequence[Any]) -> Rows:
        """The rows of a small statement of our own, such as looking up a session."""
        try:
            return self._reader.execute(text, values).fetchall()
        except apsw.BusyError:
            return await self._read_apart(text, values)
        except OF_THE_DISK as error:
            raise Unavailable(_UNREADABLE) from error

    def waiting(self) -> float:
        """For how many seconds the last in line waits behind what others write; a slow disk makes no line."""
        return self._writer.waiting()

    def transaction(self) -> SQLiteTransaction:
        """A savepoint in the transaction that is shared with others; where its block ends, it is on the disk."""
        return SQLiteTransaction(self._writer, self._limits.max_statement_ms / 1000)

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[SQLiteMigration]:
        """A transaction of its own, that nobody shares: foreign keys are off in it, and looked at when all is done.

        With them on, making a table anew would empty those that refer to it. It waits a minute for other writers.
        """
        connection = self._reader if self.path == ":memory:" else self._connect()
        authorizer, connection.authorizer = connection.authorizer, None
        connection.set_busy_timeout(60_000)
        try:
            connection.execute("PRAGMA foreign_keys = OFF")  # inside a transaction this would be ignored
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield SQLiteMigration(connection)
                if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
                    raise Broken("foreign", str(broken[0][0]))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.execute("PRAGMA foreign_keys = ON")
        except apsw.BusyError:
            raise Unavailable("The database is busy with another writer.") from None
        finally:
            connection.authorizer = authorizer
            if connection is not self._reader:
                connection.close()

    def ring(self) -> None:
        """Say that changes were committed here."""
        self.bell.ring()

    def listen(self) -> None:
        """Ring for other processes too: the file tells by a number whether somebody else has written to it."""
        if self._listening is None and self.path != ":memory:":
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        seen = None
        while True:
            with suppress(*OF_THE_DISK):  # it is looked at again
                (now,) = self._reader.execute("PRAGMA data_version").fetchall()
                if now != seen:
                    seen = now
                    self.bell.ring()
            await asyncio.sleep(_LISTEN)

    async def settle(self) -> None:
        """Nothing: one writer gives positions as it commits."""

    async def maintain(self, *, vacuum: bool = False) -> None:
        """Statistics where they are stale and the log folded into the file, on a thread; with `vacuum` made anew.

        A `vacuum` waits for other writers for a minute and holds them up while it copies the file.
        """
        if self.path == ":memory:":
            self._reader.execute("PRAGMA optimize")
            return
        await asyncio.get_running_loop().run_in_executor(None, self._maintain, vacuum)

    def _maintain(self, vacuum: bool) -> None:
        connection = self._connect()
        try:
            connection.set_busy_timeout(60_000)
            for pragma in ("analysis_limit = 1000", "optimize = 0x10002", "wal_checkpoint(PASSIVE)"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if vacuum:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.BusyError:
            raise Unavailable("The database is busy with another writer.") from None
        finally:
            connection.close()

    async def damage(self) -> list[str]:
        """What `integrity_check` and `foreign_key_check` find, on a thread."""
        if self.path == ":memory:":
            return _damage(self._reader)
        return await asyncio.get_running_loop().run_in_executor(None, self._damage_on_thread)

    def _damage_on_thread(self) -> list[str]:
        connection = self._connect(query_only=True)
        try:
            return _damage(connection)
        finally:
            connection.close()

    async def posture(self) -> Mapping[str, str]:
        """The pragmas that durability hangs on, as the connection has them that writes."""
        raw = self._writer.connection.raw
        assert raw is not None
        names = ("synchronous", "journal_mode", "foreign_keys")
        found = {name: str(raw.execute(f"PRAGMA {name}").fetchall()[0][0]) for name in names}
        return {**found, "version": apsw.sqlite_lib_version()}

    async def copy_to(self, path: str) -> None:
        """Write a copy of the database into a new file."""
        self._reader.execute("VACUUM INTO ?1", (path,)) if self.path == ":memory:" else await self._copy(path)

    async def _copy(self, path: str) -> None:
        target = apsw.Connection(path)
        try:
            with target.backup("main", self._reader, "main") as backup:
                while not backup.done:
                    backup.step(1_000)
                    await asyncio.sleep(0)
        finally:
            target.close()

    async def names(self) -> set[str]:
        """The tables that there are."""
        rows = self._reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {str(row[0]) for row in rows}

    async def extend(self, schema: Schema, *, own: bool = False) -> list[str]:
        """Create tables, columns and indexes that are missing; with `own` only those of Backstay's own."""
        from sqlalchemy.dialects import sqlite

        from backstay.store.revocation import sqlite_triggers
        from backstay.store.tables import (
            added_column,
            create_statements,
            search_statements,
            sqlite_beginning,
            tables,
        )

        dialect = sqlite.dialect()
        done: list[str] = []
        async with SQLiteTransaction(self._writer, inf) as tx:  # an index of a large table takes its time
            names = {row[0] for row in await tx.run("SELECT name FROM sqlite_master", ())}
            if not names:
                for text in sqlite_beginning(schema):
                    await tx.run(text, ())
                return [f"created table {one.table}" for one in schema.entities.values() if one.existing is None]
            for table in tables(schema, "sqlite").tables.values():
                if own and not table.name.startswith("_"):
                    continue
                if table.name not in names:
                    for text in create_statements(table, dialect):
                        await tx.run(text, ())
                    done.append(f"created table {table.name}")
                else:
                    there = {row[1] for row in await tx.run(f"PRAGMA table_info({quoted(table.name)})", ())}
                    for column in table.columns:
                        if column.name not in there:
                            text = added_column(column, dialect)
                            await tx.run(f"ALTER TABLE {quoted(table.name)} ADD COLUMN {text}", ())
                            done.append(f"added column {table.name}.{column.name}")
                    for text in create_statements(table, dialect)[1:]:
                        if (name := text.split(" ON ")[0].split()[-1].strip('"')) not in names:
                            await tx.run(text, ())
                            done.append(f"created index {name}")
                if "_words" in table.c and f"{table.name}__search" not in names:
                    for text in search_statements(table.name):
                        await tx.run(text, ())
            there = {row[0] for row in await tx.run("SELECT name FROM sqlite_master WHERE type = 'table'", ())}
            for name, text in sqlite_triggers(schema, there).items():
                if name not in names:
                    await tx.run(text, ())
        return done


def _fold(*texts: Any) -> str | None:
    """What stands beside our own texts, made where an existing table has no such column."""
    (text,) = texts
    return None if text is None else fold(str(text))


def _damage(connection: apsw.Connection) -> list[str]:
    try:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check").fetchall() if row[0] != "ok"]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [str(error)]
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [*said, *(f"{table}, row {row}: it refers to nothing in {parent}" for table, row, parent, _ in broken)]


def make_file(path: str) -> None:
    """The file of a database, readable by its owner alone where it has to be made; those beside it have its mode."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def make_folder(path: str) -> None:
    """The folder of a database file, readable by its owner alone where it has to be made."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
