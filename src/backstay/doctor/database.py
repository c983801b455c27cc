"""What is looked at of the database: whether what it acknowledges is kept, who may see it, and what waits in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from backstay.doctor.examination import Check, Patient
from backstay.store.migrate import Migrator, taken

_APART = 5.0  # seconds
_BEHIND = timedelta(minutes=10)


def durable(patient: Patient) -> Iterator[str]:
    for name, wanted in (("fsync", "on"), ("full_page_writes", "on")):
        if (found := patient.posture.get(name, wanted)) != wanted:
            yield f"PostgreSQL has {name} = {found}: a power loss can destroy the database."
    if (found := patient.posture.get("synchronous_commit", "on")) in ("off", "local"):
        yield f"PostgreSQL has synchronous_commit = {found}: what was acknowledged can be lost."
    if (found := patient.posture.get("synchronous", "2")) not in ("2", "3"):
        yield f"SQLite has synchronous = {found}: what was acknowledged can be lost."
    if (found := patient.posture.get("journal_mode", "wal")) not in ("wal", "memory"):
        yield f"SQLite has journal_mode = {found}: readers wait for writers."


def encrypted(patient: Patient) -> Iterator[str]:
    if patient.posture.get("remote") == "yes" and patient.posture.get("ssl") == "no":
        yield "the connection to PostgreSQL on another machine is not encrypted."


def rights(patient: Patient) -> Iterator[str]:
    if patient.posture.get("superuser") == "yes":
        yield "it is connected as a superuser of PostgreSQL, who may read files and run programs there."


def version(patient: Patient) -> Iterator[str]:
    if (number := int(patient.posture.get("server_version_num", "150000"))) < 140_000:
        yield f"PostgreSQL {number // 10_000} is no longer maintained."


def connections(patient: Patient) -> Iterator[str]:
    most, used = int(patient.posture.get("max_connections", "0")), patient.settings.connections
    if most and used * 4 > most:
        yield f"one process takes {used + 1} of PostgreSQL's {most} connections: four of them do not fit."


def clock(patient: Patient) -> Iterator[str]:
    if (told := patient.posture.get("now")) is not None:
        apart = abs(datetime.now(UTC).timestamp() - float(told))
        if apart > _APART:
            yield f"the clocks of this machine and of the database are {apart:.0f} seconds apart."


def scans(patient: Patient) -> Iterator[str]:
    for table in filter(None, patient.posture.get("scanned", "").split(",")):
        yield f"questions read all of {table} again and again."


async def migrations(patient: Patient) -> list[str]:
    running = patient.running
    way = await Migrator(running.store, running.engine.clock).course(taken(patient.app.schema))
    number = len([step for step in way.steps if step.question is not None or step.words])
    return [f"{number} changes of the declaration are not in the database."] if number else []


async def damage(patient: Patient) -> list[str]:
    return await patient.running.store.damage() if patient.running.store.dialect.name == "postgres" else []


async def reactions(patient: Patient) -> list[str]:
    found = await patient.running.outbox.positions.given_up()
    return [f"{len(found)} facts were not told: their reactions kept failing."] if found else []


async def lag(patient: Patient) -> list[str]:
    running, behind = patient.running, []
    for reaction in patient.app.reactions:
        changes = await running.engine.changes.after(await running.outbox.positions.place(reaction.name), 1)
        if changes and running.engine.clock() - changes[0].at > _BEHIND:
            behind.append(f"{reaction.name} has not been told of what happened at {changes[0].at:%Y-%m-%d %H:%M}.")
    return behind


async def closed(patient: Patient) -> list[str]:
    found = await patient.running.closure.look()
    return [f"it is closed: {found.reason or 'without a reason'}"] if found is not None else []


CHECKS = (
    Check("durability", "unsafe", "What is acknowledged survives a power loss.",
          "Set it to on: `ALTER SYSTEM SET name = on; SELECT pg_reload_conf()`.", durable),
    Check("database-tls", "unsafe", "A database on another machine is reached over TLS.",
          "Add sslmode=verify-full to DATABASE_URL.", encrypted),
    Check("database-superuser", "advice", "The database user owns its tables and nothing else.",
          "CREATE ROLE shop LOGIN, make it the owner of the database, and name it in DATABASE_URL.", rights),
    Check("database-version", "advice", "The database is maintained.", "Plan its upgrade.", version),
    Check("connections", "advice", "Four processes fit into PostgreSQL's connections.",
          "Lower BACKSTAY_CONNECTIONS, or raise max_connections.", connections),
    Check("clock", "unsafe", "This machine and the database agree on the time.", "Run an NTP client on both.", clock),
    Check("whole-tables", "advice", "What is asked for often has an index.",
          "See the slow statements in the log, and add what they filter by to `indexes`.", scans),
    Check("migrations", "advice", "The database has the form of the declaration.", "backstay migrate plan", migrations),
    Check("checksums", "unsafe", "PostgreSQL has found no page that is damaged.", "Restore a backup.", damage),
    Check("reactions-given-up", "advice", "Every fact was told.", "backstay outbox list", reactions),
    Check("reactions-behind", "advice", "Facts are told within ten minutes.",
          "See that a process serves, and why its reactions take so long.", lag),
    Check("closed", "advice", "It is open.", "backstay up", closed),
)  # fmt: skip
