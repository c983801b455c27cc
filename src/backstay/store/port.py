"""The port every database stands behind: run a statement, hold a transaction, keep the tables.

Values cross it in the driver's own form (`Statement.encode` has made them so), rows come back as sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from backstay.errors import Unavailable
from backstay.model.field import Schema
from backstay.store.bell import Bell
from backstay.store.dialect import Dialect
from backstay.store.sql import Statement


def as_text(value: Any) -> Any:
    """A text as Python has it, whichever of the two the driver gave; what is none stays as it is."""
    return value.decode() if isinstance(value, bytes) else value


class Taken(Exception):
    """A unique constraint refused a write; `index` is the name of the constraint or its columns."""

    def __init__(self, index: str) -> None:
        super().__init__(index)
        self.index = index


class Broken(Exception):
    """Another constraint refused a write: `foreign` (still referenced, or refers to nothing) or `check`."""

    def __init__(self, kind: str, name: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.name = name


class Contended(Unavailable):
    """503 where another transaction was in the way: all of this one was undone, and the same work may be done again."""


class Writing(Protocol):
    """One transaction: its statements see its own changes."""

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement; raises `Taken` or `Broken` where a constraint refuses."""
        ...

    async def number(self, sequence: str) -> int:
        """The next number of a named sequence."""
        ...


class Store(Protocol):
    """A database."""

    statements: int
    """Data statements run since the start; tests count with it."""
    bell: Bell
    """Rings when there may be changes to read."""

    @property
    def dialect(self) -> Dialect: ...

    def waiting(self) -> float:
        """For how many seconds the first in line has waited for a connection or for the writer; 0.0 without a line."""
        ...

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def read(self, statement: Statement, values: Sequence[Any]) -> list[Any]: ...
    async def run(self, text: str, values: Sequence[Any]) -> list[Any]: ...
    def transaction(self) -> AbstractAsyncContextManager[Writing]: ...
    def migrating(self) -> AbstractAsyncContextManager[Writing]:
        """A transaction in which tables are changed: nobody else writes, references are checked at its end."""
        ...

    def ring(self) -> None:
        """Say that changes were committed here."""
        ...

    def listen(self) -> None:
        """From now on `bell` rings for changes of other processes too, until `close`."""
        ...

    async def settle(self) -> None:
        """Give every committed change its position now, where that is not done by the commit itself."""
        ...

    async def maintain(self, *, vacuum: bool = False) -> None:
        """The database's own housekeeping: statistics, the log folded in; with `vacuum` space is given back."""
        ...

    async def damage(self) -> list[str]:
        """What the database finds wrong with what it holds; it reads all of it."""
        ...

    async def posture(self) -> Mapping[str, str]:
        """What the database says of itself, by name: its settings that durability hangs on, its rights, its clock."""
        ...

    async def names(self) -> set[str]:
        """The tables that there are."""
        ...

    async def extend(self, schema: Schema, *, own: bool = False) -> list[str]:
        """Create what the schema needs and the database lacks; returns a sentence for each thing done.

        With `own` only what Backstay keeps for itself.
        """
        ...
