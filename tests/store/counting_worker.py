"""A process that raises counts until it is killed, and is one of those that may be elected to number changes.

On PostgreSQL it holds some transactions open for a while, so that numbers are drawn early and committed late.
"""

import asyncio
import random
import sys

from backstay.errors import Problem
from backstay.model.declare import Model
from backstay.model.schema import declare
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Update
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.identity import uuid7_maker
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore
from backstay.store.transaction import Hooks, Transaction


class Count(Model):
    name: str
    number: int = 0


def store_of(url: str) -> Store:
    """The store of an address."""
    return PostgresStore(url, connections=4) if "://" in url else SQLiteStore(url)


async def engine_of(url: str) -> Engine:
    """An engine on the counts."""
    store = store_of(url)
    await store.open()
    engine = Engine(declare([Count]), store, Limits())
    return engine


async def work(engine: Engine, keys: list[str], rng: random.Random) -> None:
    """One writer: two counts in each transaction, now and then a pause before it commits."""
    patient = engine.store.dialect.name == "postgres"
    while True:
        chosen = sorted(rng.sample(keys, 2))
        try:
            async with Transaction.begin(engine, SYSTEM, Hooks(), uuid7_maker()) as tx:
                for key in chosen:
                    await tx.write(Update("Count", key, {"name": str(rng.random())}))
                if patient and rng.random() < 0.3:
                    await asyncio.sleep(rng.random() / 20)
        except Problem:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.002)


async def main(url: str, seed: int, keys: list[str]) -> None:
    engine = await engine_of(url)
    engine.store.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(work(engine, keys, random.Random(seed * 10 + at)) for at in range(3)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
