"""PostgreSQL by asyncpg: connections held by ourselves, statements prepared once, JSON passed on as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg

from backstay.errors import Unavailable
from backstay.model.field import Schema
from backstay.plan.limits import Limits
from backstay.store.bell import Bell
from backstay.store.dialect import quoted
from backstay.store.inside import enter, leave
from backstay.store.postgres_dialect import PostgresDialect
from backstay.store.postgres_failure import AWAY, FAILURES, UNKNOWN, meaning, useless
from backstay.store.postgres_pool import Connection, Pool, keep_alive
from backstay.store.sequencer import LOCK, Sequencer, stamp
from backstay.store.sql import Statement

_LOWERING = (
    "SELECT (SELECT collname::text FROM pg_collation WHERE collname IN ('pg_c_utf8', 'C.utf8', 'C.UTF-8', 'und-x-icu') "
    "AND collencoding IN (-1, 6) ORDER BY collname <> 'pg_c_utf8', collname LIMIT 1)"
)


DIAL = 5.0
"""For how many seconds a new connection may take."""
_NAMESPACE = "backstay"
_FIRST_HERE = f"SELECT set_config('search_path', '\"{_NAMESPACE}\", ' || current_setting('search_path'), false)"


class PostgresTransaction:
    """One connection, between BEGIN and COMMIT."""

    def __init__(self, store: PostgresStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement."""
        self._store.statements += 1
        return await self._fetch(text, values)

    async def number(self, sequence: str) -> int:
        """The next number of a named sequence."""
        rows = await self._fetch("SELECT nextval($1::text::regclass)", (quoted(f"_seq_{sequence}"),))
        return int(rows[0][0])

    async def _fetch(self, text: str, values: Sequence[Any]) -> list[Any]:
        try:
            return await self._connection.fetch(text, values)
        except FAILURES as error:
            raise _said(error, self._connection) from error


class PostgresStore:
    """One PostgreSQL database over a few connections."""

    def __init__(
        self, url: str, limits: Limits | None = None, connections: int = 8, *, apart: bool = False
    ) -> None:  # fmt: skip
        self.url = url
        self._apart = apart
        self._namespace = ""
        self.dialect = PostgresDialect()
        self.statements = 0
        self.bell = Bell()
        self._sequencer = Sequencer(self._dial, self.bell)
        self._limits = limits or Limits()
        self._pool = Pool(self._connect, connections)

    async def open(self) -> None:
        """Connect once, so that a wrong address is known at start."""
        if self._apart:
            await self._set_apart()
        (found,) = await self.run(_LOWERING, ())
        self.dialect.lowering = found[0].decode() if found[0] is not None else ""

    async def _set_apart(self) -> None:
        """Keep our tables in a schema of their own, where the migrations of another application do not see them.

        Those that stand among its tables already, from the time before it joined, stay there.
        """
        raw = await self._dial()
        try:
            if await raw.fetchval("SELECT to_regclass('\"_state\"') IS NULL"):
                await raw.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(_NAMESPACE)}")
                self._namespace = _NAMESPACE
        except asyncpg.InsufficientPrivilegeError:
            raise RuntimeError(
                f'Backstay keeps its tables in a schema "{_NAMESPACE}" beside those of the application that is joined, '
                "and may not create it. Let somebody who may run: "
                f"CREATE SCHEMA {_NAMESPACE} AUTHORIZATION the_user_of_DATABASE_URL"
            ) from None
        finally:
            await raw.close()

    async def _connect(self) -> Any:
        raw = await self._dial()
        try:
            await raw.set_type_codec("text", schema="pg_catalog", format="binary", encoder=_encode, decoder=bytes)
            # The driver takes the last day there is for infinity; the tuple form means what it says.
            for name, encoder, decoder in (("date", _days, _date), ("timestamptz", _microseconds, _instant)):
                await raw.set_type_codec(name, schema="pg_catalog", format="tuple", encoder=encoder, decoder=decoder)
        except BaseException as error:
            raw.terminate()
            if isinstance(error, FAILURES):
                raise Unavailable(AWAY) from error
            raise
        return raw

    async def _dial(self) -> Any:
        try:
            raw = await asyncpg.connect(
                self.url,
                timeout=DIAL,
                server_settings={
                    "statement_timeout": str(self._limits.max_statement_ms), "jit": "off", "timezone": "UTC",
                    "max_parallel_workers_per_gather": "0", "plan_cache_mode": "force_generic_plan",
                    "application_name": "backstay",
                },
            )  # fmt: skip
            keep_alive(raw)
            if self._namespace:
                try:
                    await raw.execute(_FIRST_HERE)
                except BaseException:  # whoever dials may be told to stop just now
                    raw.terminate()
                    raise
        except FAILURES as error:
            raise Unavailable(f"PostgreSQL does not answer: {type(error).__name__}.") from error
        return raw

    async def close(self) -> None:
        """End all connections."""
        await self._sequencer.stop()
        await self._pool.close()

    def waiting(self) -> float:
        """For how many seconds the first in line has waited for a connection."""
        return self._pool.waiting()

    def connections(self) -> tuple[int, int]:
        """How many connections are busy, and how many are free."""
        return self._pool.busy, self._pool.free

    async def read(self, statement: Statement, values: Sequence[Any]) -> list[Any]:
        """The rows of a compiled plan."""
        self.statements += 1
        return await self.run(statement.text, values)

    async def run(self, text: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement outside a transaction."""
        connection = await self._pool.take()
        try:
            return await connection.fetch(text, values)
        except FAILURES as error:
            raise _said(error, connection) from error
        finally:
            self._pool.give(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """BEGIN to COMMIT; an error rolls all of it back.

        A connection on which it did not end for certain is ended itself, so that nobody gets it with a half.
        """
        connection = await self._pool.take()
        block = enter()
        over = False
        try:
            begun = connection.raw.transaction()
            try:
                await begun.start()
            except FAILURES as error:
                raise _said(error, connection) from error
            try:
                yield PostgresTransaction(self, connection)
            except BaseException:
                with suppress(*FAILURES):  # what is raised is why it is rolled back
                    await begun.rollback()
                    over = True
                raise
            try:
                await begun.commit()
            except FAILURES as error:
                over = isinstance(error, asyncpg.PostgresError) and not connection.raw.is_closed()
                raise _said(error, connection, away=UNKNOWN) from error
            over = True
        finally:
            leave(block)
            if not over:
                connection.raw.terminate()
            self._pool.give(connection)

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[PostgresTransaction]:
        """One at a time, as long as it takes; it waits five seconds for a table and holds up nobody longer."""
        async with self.transaction() as tx:
            await tx.run("SELECT pg_advisory_xact_lock(8242711)::text", ())
            await tx.run("SET LOCAL statement_timeout = 0", ())
            await tx.run("SET LOCAL lock_timeout = '5s'", ())
            yield tx

    def ring(self) -> None:
        """Say that changes were committed here: the sequencer numbers them, and rings then."""
        self._sequencer.written()

    def listen(self) -> None:
        """Stand for election as the sequencer, and ring for what whoever is elected has numbered."""
        self._sequencer.start()

    async def settle(self) -> None:
        """Number what is committed, where no sequencer is at work."""
        async with self._lent() as raw, raw.transaction():
            if await raw.fetchval(f"SELECT pg_try_advisory_xact_lock({LOCK})"):
                while await stamp(raw):
                    pass

    async def alone(self, text: str) -> bool:
        """Run a statement that stands in no transaction; whether the database was free for it."""
        try:
            async with self._lent() as raw:
                await raw.execute(text, timeout=600)
        except asyncpg.ObjectInUseError:
            return False
        return True

    async def maintain(self, *, vacuum: bool = False) -> None:
        """Statistics of our tables, over a connection of its own; with `vacuum` dead rows go too.

        Neither holds up readers or writers. PostgreSQL does both by itself as well (autovacuum).
        """
        raw = await self._dial()
        try:
            await raw.execute("SET statement_timeout = 0")
            tables = await raw.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            for (table,) in tables:
                await raw.execute(f"{'VACUUM (ANALYZE)' if vacuum else 'ANALYZE'} {quoted(table)}")
        except FAILURES as error:
            raise meaning(error, ended=raw.is_closed()) from error
        finally:
            await raw.close()

    async def damage(self) -> list[str]:
        """What checksums have found in this database since its counters began; nothing where they are off."""
        rows = await self.run(
            "SELECT coalesce(checksum_failures, 0)::text FROM pg_stat_database WHERE datname = current_database()", ()
        )
        failures = int(rows[0][0])
        return [f"{failures} pages do not fit their checksums: restore a backup"] if failures else []

    async def posture(self) -> Mapping[str, str]:
        """The settings that durability hangs on, what its user may do, how it is reached, and its clock. Two trips."""
        rows = await self.run(
            "SELECT name::text, setting::text FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', "
            "'synchronous_commit', 'server_version_num', 'max_connections')", ()
        )  # fmt: skip
        found = {row[0].decode(): row[1].decode() for row in rows}
        ((superuser, remote, ssl, now, scanned),) = await self.run(
            "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
            "inet_server_addr() IS NOT NULL AND inet_server_addr() <> inet_client_addr(), "
            "coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), "
            "extract(epoch FROM clock_timestamp())::text, "
            "(SELECT coalesce(string_agg(relname::text, ','), '') FROM pg_stat_user_tables WHERE n_live_tup > 10000 "
            "AND seq_scan > 100 AND seq_tup_read > seq_scan * n_live_tup / 2 AND relname NOT LIKE '\\_%')", ()
        )  # fmt: skip
        known = {"superuser": superuser, "remote": remote, "ssl": ssl}
        return {**found, **{name: "yes" if is_so else "no" for name, is_so in known.items()}, "now": now.decode(),
                "scanned": scanned.decode()}  # fmt: skip

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Any]:
        """A connection as the driver has it, for what is no statement of a plan."""
        connection = await self._pool.take()
        try:
            yield connection.raw
        except FAILURES as error:
            raise _said(error, connection) from error
        finally:
            self._pool.give(connection)

    async def names(self) -> set[str]:
        """The tables that there are."""
        rows = await self.run("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()", ())
        return {row[0].decode() for row in rows}

    async def extend(self, schema: Schema, *, own: bool = False) -> list[str]:
        """Create tables, columns and indexes that are missing; one process at a time does it.

        With `own` only those of Backstay's own.
        """
        from sqlalchemy.dialects import postgresql

        from backstay.store.revocation import postgres_triggers
        from backstay.store.tables import added_column, create_statements, link_statements, sequences, tables

        dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
        done: list[str] = []
        async with self.transaction() as tx:
            await tx.run("SELECT pg_advisory_xact_lock(8242711)::text", ())
            rows = await tx.run(
                "SELECT table_name::text, column_name::text FROM information_schema.columns "
                "WHERE table_schema = current_schema()", ()
            )  # fmt: skip
            there = {(row[0].decode(), row[1].decode()) for row in rows}
            names = {name for name, _ in there}
            rows = await tx.run("SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema()", ())
            indexes = {row[0].decode() for row in rows}
            for name in sequences(schema):
                await tx.run(f"CREATE SEQUENCE IF NOT EXISTS {quoted(f'_seq_{name}')}", ())
            made = tables(schema, "postgres").tables.values()
            for table in made:
                if own and not table.name.startswith("_"):
                    continue
                creating = create_statements(table, dialect)
                if table.name not in names:
                    for text in creating:
                        await tx.run(text, ())
                    done.append(f"created table {table.name}")
                    continue
                for column in table.columns:
                    if (table.name, column.name) not in there:
                        text = added_column(column, dialect)
                        await tx.run(f"ALTER TABLE {quoted(table.name)} ADD COLUMN {text}", ())
                        done.append(f"added column {table.name}.{column.name}")
                for text in creating[1:]:
                    if (name := text.split(" ON ")[0].split()[-1].strip('"')) not in indexes:
                        await tx.run(text, ())
                        done.append(f"created index {name}")
            rows = await tx.run("SELECT conname::text FROM pg_constraint WHERE contype = 'f'", ())
            links = {row[0].decode() for row in rows}
            for table in made:
                for name, text in link_statements(table, dialect).items():
                    if name not in links and not own:
                        await tx.run(text, ())
            rows = await tx.run(
                "SELECT tgname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE relnamespace = current_schema()::regnamespace",
                (),
            )
            triggers = {row[0].decode() for row in rows}
            rows = await tx.run("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()", ())
            for name, text in postgres_triggers(schema, {row[0].decode() for row in rows}).items():
                if name not in triggers:
                    await tx.run(text, ())
        return done


def _said(error: Any, connection: Connection, away: str = AWAY) -> Exception:
    """What is raised instead of an error of the driver; a connection that is of no use after it is ended."""
    problem = meaning(error, ended=connection.raw.is_closed())
    if useless(error):
        connection.raw.terminate()
        problem = Unavailable(away)
    return problem


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _days(value: date) -> tuple[int]:
    return (value.toordinal() - _EPOCH.toordinal(),)


def _date(days: tuple[int]) -> date:
    return date.fromordinal(days[0] + _EPOCH.toordinal())


def _microseconds(value: datetime) -> tuple[int]:
    return ((value - _EPOCH) // timedelta(microseconds=1),)


def _instant(microseconds: tuple[int]) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds[0])


def _encode(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
