"""A process that leads a database to another declaration, and is killed while it does."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

from annotated_types import Len

from backstay.model.declare import Model
from backstay.model.field import Index, Schema
from backstay.model.rule import searchable, was
from backstay.model.schema import declare
from backstay.store.migrate import Applied, Migrator, taken
from tests.store.counting_worker import store_of


def before() -> Schema:
    """The declaration that the database follows."""

    class Word(Model):
        name: str
        number: int
        spare: str | None = None

    return declare([Word])


def after() -> Schema:
    """The one that it is led to: a field renamed, one dropped, one new, one of another kind, and search."""

    class Word(Model):
        title: Annotated[str, was("name"), Len(0, 200)]
        number: str
        stock: int = 3

        def indexes(self) -> list[Index]:
            return [searchable(self.title)]

    return declare([Word])


def end_at_the_end(how: str) -> None:
    """Let the process end where all is done but to keep what was done; as if of `halves`, with that in the database."""

    async def keep(self: Migrator, writing: Any, one: Applied) -> None:
        if how == "halves":
            await writing.run("COMMIT", ())
        os._exit(9)

    Migrator._keep = keep  # type: ignore[method-assign]


async def main(url: str, how: str = "") -> None:
    if how:
        end_at_the_end(how)
    store = store_of(url)
    await store.open()
    await Migrator(store, lambda: datetime.now(UTC)).apply(taken(after()), "after")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
