"""A bank with encrypted fields, and an engine on its data with a key ring of its own."""

from backstay.model.declare import Model, User
from backstay.model.field import Schema
from backstay.model.rule import Rules, anyone
from backstay.model.schema import declare
from backstay.model.value import Encrypted, Json, Secret
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.keyring import KeyRing
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore


class Account(Model):
    name: str
    iban: Encrypted[str]
    limits: Encrypted[Json] | None = None
    pin: Encrypted[Secret] | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


def bank() -> Schema:
    """The schema of the bank."""
    return declare([Account])


def ring(keys: str) -> KeyRing:
    """A key ring of keys named by a letter each, the newest first: each letter makes its key."""
    return KeyRing([(letter, letter.encode() * 32) for letter in keys])


async def engine_of(schema: Schema, url: str, keys: str) -> Engine:
    """An engine on an open database."""
    store: Store = PostgresStore(url, connections=4) if "://" in url else SQLiteStore(url)
    await store.open()
    made = ring(keys)
    return Engine(schema, store, Limits(), keys=lambda: made)
