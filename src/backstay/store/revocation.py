"""When rights are taken away: numbers that triggers of the database raise, so that one small statement tells it.

Invariant: whatever ends a session or a key, changes the roles of a user, shuts or deletes an account, raises the number
of that user's slot in the same transaction, whoever wrote it and however: the API, own code, raw SQL, a cascade.
A number never falls, so who knows a set of numbers knows that nothing was taken away since.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from backstay.model.field import Schema
from backstay.store.dialect import literal, quoted
from backstay.store.port import Store

REVOCATIONS = "_revocations"
_DIGITS = 2
_READ = f"SELECT slot, value FROM {quoted(REVOCATIONS)}"


@dataclass(frozen=True, slots=True)
class _Watched:
    """A table whose rows give somebody rights: the column with the user's id, and those that take rights away."""

    table: str
    owner: str
    columns: tuple[str, ...]


def slot_of(user: object) -> str:
    """The slot of a user: one in 256, so that few others are looked up again with them and few writers meet there."""
    return str(user)[-_DIGITS:]


async def read_revocations(store: Store) -> Mapping[str, int]:
    """The numbers as they are now. One round trip, for all users together."""
    rows = await store.run(_READ, ())
    return {slot if isinstance(slot, str) else slot.decode(): value for slot, value in rows}


def sqlite_triggers(schema: Schema, tables: Container[str]) -> dict[str, str]:
    """The texts that make the triggers of those tables on SQLite, by name."""
    found = {}
    for watched in _watched(schema, tables):
        changed, gone = _names(watched)
        owner = f"substr(old.{quoted(watched.owner)}, -{_DIGITS})"
        counted = "ON CONFLICT (slot) DO UPDATE SET value = value + 1"
        raised = f"INSERT INTO {quoted(REVOCATIONS)} VALUES ({owner}, 1) {counted}"
        found[changed] = (
            f"CREATE TRIGGER {quoted(changed)} AFTER UPDATE OF {_list(watched)} ON {quoted(watched.table)} "
            f"WHEN {_differs(watched, 'IS NOT')} BEGIN {raised}; END"
        )
        when = f"WHEN {_alive(watched)} " if _alive(watched) else ""
        found[gone] = f"CREATE TRIGGER {quoted(gone)} AFTER DELETE ON {quoted(watched.table)} {when}BEGIN {raised}; END"
    return found


def postgres_triggers(schema: Schema, tables: Container[str]) -> dict[str, str]:
    """The texts that make the triggers of those tables on PostgreSQL, by name; the function comes first, under none."""
    found = {"": (
        f"CREATE OR REPLACE FUNCTION \"_revoke\"() RETURNS trigger LANGUAGE plpgsql AS $_revoke$ BEGIN "
        f"INSERT INTO {quoted(REVOCATIONS)} AS known VALUES (right(to_jsonb(OLD) ->> TG_ARGV[0], {_DIGITS}), 1) "
        "ON CONFLICT (slot) DO UPDATE SET value = known.value + 1; RETURN NULL; END $_revoke$"
    )}  # fmt: skip
    for watched in _watched(schema, tables):
        changed, gone = _names(watched)
        call = f'EXECUTE FUNCTION "_revoke"({literal(watched.owner)})'
        found[changed] = (
            f"CREATE TRIGGER {quoted(changed)} AFTER UPDATE OF {_list(watched)} ON {quoted(watched.table)} "
            f"FOR EACH ROW WHEN ({_differs(watched, 'IS DISTINCT FROM')}) {call}"
        )
        when = f"WHEN ({_alive(watched)}) " if _alive(watched) else ""
        found[gone] = f"CREATE TRIGGER {quoted(gone)} AFTER DELETE ON {quoted(watched.table)} FOR EACH ROW {when}{call}"
    return found


def _watched(schema: Schema, tables: Container[str]) -> Iterator[_Watched]:
    for entity in schema.entities.values():
        if entity.existing is None and entity.table in tables and (names := getattr(entity.model, "__revoking__", ())):
            owners = [field.column for field in entity.fields.values() if field.target is schema.user]
            owner = "id" if entity is schema.user else owners[0]
            yield _Watched(entity.table, owner, tuple(entity.fields[name].column for name in names))


def _names(watched: _Watched) -> tuple[str, str]:
    return f"_revoke_{watched.table}_changed", f"_revoke_{watched.table}_gone"


def _list(watched: _Watched) -> str:
    return ", ".join(quoted(column) for column in watched.columns)


def _differs(watched: _Watched, sign: str) -> str:
    return " OR ".join(f"old.{quoted(column)} {sign} new.{quoted(column)}" for column in watched.columns)


def _alive(watched: _Watched) -> str:
    """Deleting what had ended takes nothing away."""
    return 'old."ended_at" IS NULL' if "ended_at" in watched.columns else ""
