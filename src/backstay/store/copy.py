"""A copy of a database, to try something on: a file for SQLite, a database of its own on the server for PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from urllib.parse import urlsplit

from backstay.store.dialect import quoted
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore


@asynccontextmanager
async def copy_of(store: Store) -> AsyncIterator[Store]:
    """A store on a copy, which is gone when the block ends.

    PostgreSQL copies a database only while nobody else is connected to it: `ValueError` says so otherwise.
    """
    if isinstance(store, SQLiteStore):
        with tempfile.TemporaryDirectory(prefix="backstay-") as folder:
            path = os.path.join(folder, "copy.db")
            await store.copy_to(path)
            copy: Store = SQLiteStore(path)
            await copy.open()
            try:
                yield copy
            finally:
                await copy.close()
        return
    assert isinstance(store, PostgresStore)
    parts = urlsplit(store.url)
    name, new = parts.path.removeprefix("/"), f"backstay_copy_{token_hex(4)}"
    there = PostgresStore(parts._replace(path="/postgres").geturl(), connections=1)
    await store.close()
    await there.open()
    try:
        if not await there.alone(f"CREATE DATABASE {quoted(new)} TEMPLATE {quoted(name)}"):
            raise ValueError(
                "PostgreSQL copies a database only while nobody is connected to it: rehearse on a restored one."
            )
        copy = PostgresStore(parts._replace(path=f"/{new}").geturl(), connections=2)
        await copy.open()
        try:
            yield copy
        finally:
            await copy.close()
            await there.alone(f"DROP DATABASE {quoted(new)}")
    finally:
        await there.close()
