"""What really goes to a database, written down where the driver is called, whoever calls it.

Invariant: nothing reaches SQLite or PostgreSQL past this: every connection that is open when the recording begins is
watched, and one that is opened later is an error. Statements that look up a bearer token are kept apart.
"""

from __future__ import annotations

from typing import Any

import apsw

from backstay.auth.models import AccountToken
from backstay.model.declare import plural_of
from backstay.store.dialect import quoted
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.revocation import REVOCATIONS
from backstay.store.sqlite import SQLiteStore

_SESSIONS = f"FROM {quoted(plural_of(AccountToken.__name__))} "
_RUNS = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany", "cursor", "copy_from_query"})


class Driver:
    """The statements that a store's connections were given, in order."""

    def __init__(self, store: Store) -> None:
        self.data: list[str] = []
        self.sessions: list[str] = []
        if isinstance(store, SQLiteStore):
            for connection in {id(c): c for c in (store._reader, store._writer.connection.raw)}.values():
                connection.exec_trace = self._trace
            store._connect = _refuse  # type: ignore[method-assign]
        elif isinstance(store, PostgresStore):
            for held in store._pool.all:
                held._prepared.clear()
                held.raw = _Recorded(held.raw, self)
            store._pool._dial = _refuse

    def keep(self, text: str) -> None:
        """Write one statement down."""
        (self.sessions if _SESSIONS in text or REVOCATIONS in text else self.data).append(text)

    def clear(self) -> None:
        """Forget everything so far."""
        self.data.clear()
        self.sessions.clear()

    def _trace(self, cursor: apsw.Cursor, text: str, bindings: Any) -> bool:
        self.keep(text)
        return True


class _Recorded:
    """A connection of asyncpg, or a statement it has prepared, that says what it runs."""

    def __init__(self, inner: Any, driver: Driver, text: str | None = None) -> None:
        self._inner = inner
        self._driver = driver
        self._text = text

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if name == "prepare":

            async def prepare(text: str, **options: Any) -> _Recorded:
                return _Recorded(await member(text, **options), self._driver, text)

            return prepare
        if name not in _RUNS:
            return member

        def run(*arguments: Any, **options: Any) -> Any:
            self._driver.keep(self._text if self._text is not None else str(arguments[0]))
            return member(*arguments, **options)

        return run


def _refuse(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("one more connection was opened, and nobody saw what it ran")
