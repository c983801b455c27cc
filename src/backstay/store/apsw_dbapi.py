"""Python's database interface (PEP 249) over apsw, so that SQLAlchemy and Alembic use the SQLite that Backstay uses.

Two SQLite libraries in one process must never have one file open: closing it in one drops the locks of the other, and
the file breaks. Here both are one. Transactions begin as with Python's own module, by the first statement that
changes rows; they take the writer's lock at once, and wait for it.
Invariant: this holds what others run. Backstay's own statements never come this way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, NoReturn, TypeAlias

import apsw

apilevel = "2.0"
threadsafety = 3
paramstyle = "qmark"
sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(int(part) for part in sqlite_version.split("."))

Binary = bytes
Date, Time, Timestamp = date, time, datetime
DateFromTicks, TimestampFromTicks = date.fromtimestamp, datetime.fromtimestamp
STRING, BINARY, NUMBER, DATETIME, ROWID = str, bytes, float, datetime, int

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
_WRITES = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*+(INSERT|UPDATE|DELETE|REPLACE|SAVEPOINT|WITH)\b", re.I | re.S)
_INSIDE = re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE)\b", re.I)


class Warning(Exception):
    """PEP 249: something worth knowing."""


class Error(Exception):
    """PEP 249: the base of all errors."""


class InterfaceError(Error):
    """PEP 249: this interface was used wrongly."""


class DatabaseError(Error):
    """PEP 249: an error of the database."""


class DataError(DatabaseError):
    """PEP 249: a value that does not fit."""


class OperationalError(DatabaseError):
    """PEP 249: a statement that is wrong, a database that is busy, a disk that fails."""


class IntegrityError(DatabaseError):
    """PEP 249: a constraint refused."""


class InternalError(DatabaseError):
    """PEP 249: the database is in a state that it should not be in."""


class ProgrammingError(DatabaseError):
    """PEP 249: too few parameters, a connection that is closed."""


class NotSupportedError(DatabaseError):
    """PEP 249: something that is not offered."""


_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], type[Error]], ...] = (
    (apsw.ConstraintError, IntegrityError),
    ((apsw.TooBigError, apsw.MismatchError), DataError),
    ((apsw.CorruptError, apsw.InternalError), InternalError),
    ((apsw.BindingsError, apsw.MisuseError, apsw.ConnectionClosedError, apsw.CursorClosedError), ProgrammingError),
    (apsw.Error, OperationalError),
)


def _raised(error: BaseException) -> NoReturn:
    """The error in the words of PEP 249."""
    if isinstance(error, (apsw.ConnectionClosedError, apsw.CursorClosedError)):
        raise ProgrammingError("Cannot operate on a closed database.") from error
    for kind, meant in _KINDS:
        if isinstance(error, kind):
            raise meant(str(error)) from error
    raise error


def connect(database: str, timeout: float = 5.0, isolation_level: str | None = "", **_: Any) -> Connection:
    """A connection to a file, or to `:memory:`; `timeout` is how many seconds it waits for another writer.

    Without `isolation_level` each statement is true at once. Other arguments of Python's module are not needed.
    """
    return Connection(database, timeout, isolation_level)


class Connection:
    """A connection: PEP 249, and of Python's own module what SQLAlchemy uses."""

    def __init__(self, database: str, timeout: float, isolation_level: str | None) -> None:
        self.isolation_level = isolation_level
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        try:
            self.raw = apsw.Connection(database, flags=flags)
            self.raw.set_busy_timeout(int(timeout * 1000))
            self.raw.execute("PRAGMA synchronous = FULL")
        except apsw.Error as error:
            _raised(error)

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self)

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self.raw.in_transaction)

    @property
    def total_changes(self) -> int:
        """How many rows have been changed since it was opened."""
        return int(self.raw.total_changes())

    def commit(self) -> None:
        """End the transaction, if there is one, and keep it."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """End the transaction, if there is one, and undo it."""
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        try:
            if self.raw.in_transaction:
                self.raw.execute(how)
        except apsw.Error as error:
            _raised(error)

    def close(self) -> None:
        """Close it; what is not committed is undone."""
        try:
            self.raw.close()
        except apsw.Error as error:
            _raised(error)

    def create_function(
        self, name: str, narg: int, func: Callable[..., Any] | None, *, deterministic: bool = False
    ) -> None:
        """Give SQL a function of Python."""
        self.raw.create_scalar_function(name, func, narg, deterministic=deterministic)

    def create_collation(self, name: str, func: Callable[[str, str], int] | None) -> None:
        """Give SQL a way to compare texts."""
        self.raw.create_collation(name, func)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end("COMMIT" if kind is None else "ROLLBACK")


class Cursor:
    """A cursor; the rows of a statement are read when it is run."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.description: list[tuple[Any, ...]] | None = None
        self._rows: list[Any] = []
        self._next = 0

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run one statement."""
        self._run(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Run one statement for each of many parameters."""
        total = 0
        for each in parameters:
            self._run(sql, each)
            total += max(self.rowcount, 0)
        self.rowcount = total
        self.description = None
        return self

    def executescript(self, sql: str) -> Cursor:
        """Run many statements, after a commit of what is open."""
        self.connection.commit()
        try:
            self.connection.raw.execute(sql)
        except apsw.Error as error:
            _raised(error)
        return self

    def _run(self, sql: str, parameters: Parameters) -> None:
        raw = self.connection.raw
        self.description, self._rows, self._next, self.rowcount = None, [], 0, -1
        try:
            writes = _writes(sql)
            if writes and self.connection.isolation_level is not None and not raw.in_transaction:
                raw.execute("BEGIN IMMEDIATE")
            cursor = raw.cursor()
            cursor.exec_trace = self._describe
            self._rows = cursor.execute(sql, parameters or None).fetchall()
            if writes:
                self.rowcount = int(raw.changes())
                self.lastrowid = int(raw.last_insert_rowid())
        except (apsw.Error, TypeError, OverflowError) as error:
            if isinstance(error, (TypeError, OverflowError)):
                raise InterfaceError(str(error)) from error
            _raised(error)

    def _describe(self, cursor: apsw.Cursor, _: str, __: Any) -> bool:
        described = [(column[0], None, None, None, None, None, None) for column in cursor.get_description()]
        self.description = described or None
        return True

    def fetchone(self) -> Any:
        """The next row; nothing behind the last."""
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows."""
        start = self._next
        self._next = min(start + (size or self.arraysize), len(self._rows))
        return self._rows[start : self._next]

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        start, self._next = self._next, len(self._rows)
        return self._rows[start:]

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        if (row := self.fetchone()) is None:
            raise StopIteration
        return row

    def close(self) -> None:
        """Let the rows go."""
        self._rows = []

    def setinputsizes(self, sizes: Any) -> None:
        """Nothing: SQLite needs no sizes."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing: SQLite needs no sizes."""


def _writes(sql: str) -> bool:
    """Whether a statement changes rows, and so begins a transaction; a savepoint is one of its own otherwise."""
    found = _WRITES.match(sql)
    return found is not None and (found[1].upper() != "WITH" or _INSIDE.search(sql) is not None)
