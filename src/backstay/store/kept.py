"""The tables that Backstay keeps for itself beside those of the models.

Invariant: their names begin with an underscore, which no model's can, and only the modules of the store that are
named beside each read or write them. They are created and extended with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from backstay.store.revocation import REVOCATIONS


def sequences(metadata: sa.MetaData, dialect: str) -> None:
    """Where SQLite counts what fields draw numbers from (`store/sqlite.py`); PostgreSQL has sequences of its own."""
    if dialect == "sqlite":
        sa.Table(
            "_sequences", metadata,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("value", sa.Integer, nullable=False),
            sqlite_strict=True,
        )  # fmt: skip


def revocations(metadata: sa.MetaData, dialect: str) -> None:
    """The numbers that are raised when rights are taken away, by slot (`store/revocation.py`)."""
    sa.Table(
        REVOCATIONS, metadata,
        sa.Column("slot", sa.Text, primary_key=True),
        sa.Column("value", sa.Integer if dialect == "sqlite" else sa.BigInteger, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


_TRANSACTION = "pg_current_xact_id()::text::bigint"


def changes(metadata: sa.MetaData, dialect: str) -> None:
    """The change log (`store/changes.py`): what happened to which record, in the order in which it became true.

    SQLite has one writer, so its own numbers are that order. On PostgreSQL numbers are drawn before transactions
    commit, and the position is stamped afterwards (`store/sequencer.py`).
    """
    if dialect == "sqlite":
        places = [sa.Column("position", sa.Integer, primary_key=True, autoincrement=True)]
    else:
        places = [
            sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
            sa.Column("position", sa.BigInteger),
            sa.Column(
                "tx", sa.BigInteger, nullable=False, server_default=sa.text("pg_current_xact_id()::text::bigint")
            ),
        ]
    text, number = _kinds(dialect)
    table = sa.Table(
        "_changes", metadata, *places,
        sa.Column("at", number, nullable=False),
        sa.Column("model", text, nullable=False),
        sa.Column("record", text, nullable=False),
        sa.Column("action", text, nullable=False),
        sa.Column("version", number, nullable=False),
        sa.Column("old", text),
        sa.Column("new", text),
        sa.Column("actor", text),
        sa.Column("fact", text, nullable=False),
        sqlite_strict=True, sqlite_autoincrement=True,
    )  # fmt: skip
    if dialect != "sqlite":
        sa.Index("ix__changes_fresh", table.c.id, postgresql_where=table.c.position.is_(None))
        sa.Index("uq__changes_position", table.c.position, unique=True)


def state(metadata: sa.MetaData, dialect: str) -> None:
    """Single values by name: the epoch of the change log, and the last position that was given (`store/changes.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_state", metadata,
        sa.Column("name", text, primary_key=True),
        sa.Column("number", number, nullable=False, server_default=sa.text("0")),
        sa.Column("value", text, nullable=False, server_default=sa.text("''")),
        sqlite_strict=True,
    )  # fmt: skip


def consumers(metadata: sa.MetaData, dialect: str) -> None:
    """How far each reader of the change log has come, and who reads for it just now (`store/positions.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_consumers", metadata,
        sa.Column("name", text, primary_key=True),
        sa.Column("position", number, nullable=False),
        sa.Column("fence", number, nullable=False, server_default=sa.text("0")),
        sa.Column("until", number, nullable=False, server_default=sa.text("0")),
        sqlite_strict=True,
    )  # fmt: skip


def deliveries(metadata: sa.MetaData, dialect: str) -> None:
    """Changes that a reaction failed on and will be handed again, or that it was given up on (`store/positions.py`)."""
    text, number = _kinds(dialect)
    table = sa.Table(
        "_deliveries", metadata,
        sa.Column("consumer", text, primary_key=True),
        sa.Column("position", number, primary_key=True, autoincrement=False),
        sa.Column("record", text, nullable=False),
        sa.Column("attempts", number, nullable=False),
        sa.Column("due", number, nullable=False),
        sa.Column("error", text, nullable=False),
        sa.Column("given_up", number, nullable=False, server_default=sa.text("0")),
        sqlite_strict=True,
    )  # fmt: skip
    sa.Index("ix__deliveries_due", table.c.consumer, table.c.given_up, table.c.due)


def migrations(metadata: sa.MetaData, dialect: str) -> None:
    """Which declarations the database has followed, and what each step there set aside (`store/migrate.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_migrations", metadata,
        sa.Column("number", number, primary_key=True, autoincrement=False),
        sa.Column("name", text, nullable=False),
        sa.Column("at", number, nullable=False),
        sa.Column("took", number, nullable=False),
        sa.Column("snapshot", text, nullable=False),
        sa.Column("aside", text, nullable=False),
        sa.Column("state", text, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


def repeats(metadata: sa.MetaData, dialect: str) -> None:
    """What was done for requests that carry a key, until it expires (`store/repeat.py`); times are whole seconds."""
    text, number = _kinds(dialect)
    table = sa.Table(
        "_repeats", metadata,
        sa.Column("scope", text, primary_key=True),
        sa.Column("key", text, primary_key=True),
        sa.Column("asked", sa.LargeBinary, nullable=False),
        sa.Column("status", number),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("created_at", number, nullable=False),
        sa.Column("lease_until", number, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip
    sa.Index("ix__repeats_expires_at", table.c.expires_at)


def rates(metadata: sa.MetaData, dialect: str) -> None:
    """What was charged to whom, until it counts no longer (`store/rates.py`); times are microseconds."""
    text, number = _kinds(dialect)
    table = sa.Table(
        "_rates", metadata,
        sa.Column("key", text, primary_key=True),
        sa.Column("marks", text, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip
    sa.Index("ix__rates_expires_at", table.c.expires_at)


def imports(metadata: sa.MetaData, dialect: str) -> None:
    """How far each import of files has come, and what it has done (`store/progress.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_imports", metadata,
        sa.Column("name", text, primary_key=True),
        sa.Column("place", number, nullable=False),
        sa.Column("tally", text, nullable=False),
        sa.Column("at", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


def jobs(metadata: sa.MetaData, dialect: str) -> None:
    """What is to be done later, and the flows that are under way (`store/queue.py`); times are microseconds.

    `due` is when there is next something to do about it: run it, take it from a process that is gone, wake it, or,
    where it has ended, forget it. `holds` is the order key while it runs, so that no two of one key run at once.
    """
    text, number = _kinds(dialect)
    if dialect == "sqlite":
        places = [sa.Column("number", sa.Integer, primary_key=True, autoincrement=True)]
    else:
        places = [sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True)]
    table = sa.Table(
        "_jobs", metadata, *places,
        sa.Column("id", text, nullable=False),
        sa.Column("task", text, nullable=False),
        sa.Column("arguments", text, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("rank", number, nullable=False),
        sa.Column("due", number),
        sa.Column("attempts", number, nullable=False, server_default=sa.text("0")),
        sa.Column("losses", number, nullable=False, server_default=sa.text("0")),
        sa.Column("fence", number, nullable=False, server_default=sa.text("0")),
        sa.Column("unique_key", text),
        sa.Column("order_key", text),
        sa.Column("holds", text),
        sa.Column("reason", text, nullable=False, server_default=sa.text("''")),
        sa.Column("code", text, nullable=False, server_default=sa.text("''")),
        sa.Column("result", text),
        sa.Column("created_at", number, nullable=False),
        sqlite_strict=True, sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Index("uq__jobs_id", table.c.id, unique=True)
    sa.Index("uq__jobs_unique_key", table.c.task, table.c.unique_key, unique=True)
    sa.Index("uq__jobs_holds", table.c.holds, unique=True)
    sa.Index("ix__jobs_rank", table.c.state, table.c["rank"], table.c.number)
    sa.Index("ix__jobs_due", table.c.state, table.c.due)
    sa.Index("ix__jobs_order_key", table.c.order_key, table.c.number)


def steps(metadata: sa.MetaData, dialect: str) -> None:
    """The journals of flows: what each step was given and what came of it (`store/journal.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_steps", metadata,
        sa.Column("flow", text, primary_key=True),
        sa.Column("name", text, primary_key=True),
        sa.Column("place", number, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("inputs", text, nullable=False),
        sa.Column("result", text),
        sa.Column("reason", text, nullable=False, server_default=sa.text("''")),
        sa.Column("code", text, nullable=False, server_default=sa.text("''")),
        sa.Column("until", number),
        sa.Column("at", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


def signals(metadata: sa.MetaData, dialect: str) -> None:
    """What flows were told, until they are forgotten with them (`store/journal.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_signals", metadata,
        sa.Column("flow", text, primary_key=True),
        sa.Column("name", text, primary_key=True),
        sa.Column("data", text, nullable=False),
        sa.Column("at", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


def schedules(metadata: sa.MetaData, dialect: str) -> None:
    """When what is done again and again is next due (`store/timetable.py`)."""
    text, number = _kinds(dialect)
    sa.Table(
        "_schedules", metadata,
        sa.Column("name", text, primary_key=True),
        sa.Column("cron", text, nullable=False),
        sa.Column("due", number, nullable=False),
        sqlite_strict=True,
    )  # fmt: skip


def _kinds(dialect: str) -> tuple[Any, Any]:
    return (sa.Text, sa.Integer) if dialect == "sqlite" else (sa.Text(collation="C"), sa.BigInteger)


KEPT: tuple[Callable[[sa.MetaData, str], None], ...] = (
    sequences,
    migrations,
    revocations,
    changes,
    state,
    consumers,
    deliveries,
    repeats,
    rates,
    imports,
    jobs,
    steps,
    signals,
    schedules,
)
"""Each adds one table to the metadata of a database, by the name of its dialect."""
