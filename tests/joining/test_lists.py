"""Lists in the columns of an existing application: the same forms as in our own, with every digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backstay import App, Rules, anyone
from backstay.testing import Trial

GREATEST = 2**63 - 1


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    numbers: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    words: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))


async def test_numbers_in_a_list_keep_every_digit(postgres_database: Callable[[str], str]) -> None:
    address = postgres_database("shelves")
    app = App("shelves")
    app.expose(Shelf, plural="shelves", rules=lambda shelf, me: Rules(read=anyone, create=anyone))
    await _tables(address)
    async with Trial(app, address) as t:
        made = (await t.post("/api/shelves", {"numbers": [str(GREATEST), 2**53 + 1], "words": ["a"]})).ok().json
        assert made["numbers"] == [str(GREATEST), str(2**53 + 1)]
        for number, found in ((2**53 + 1, 1), (2**53, 0), (str(GREATEST), 1)):
            condition = quote(msgspec.json.encode({"numbers": {"contains": number}}).decode())
            assert len((await t.get(f"/api/shelves?where={condition}")).ok().json["data"]) == found
        answered: dict[str, Any] = (await t.get(f"/api/shelves/{made['id']}")).ok().json
        assert (answered["numbers"], answered["words"]) == (made["numbers"], ["a"])


async def _tables(address: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(
            "CREATE TABLE shelves (id serial PRIMARY KEY, numbers bigint[] NOT NULL, words text[] NOT NULL)"
        )
    finally:
        await connection.close()
