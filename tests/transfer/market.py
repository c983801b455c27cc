"""A market to import into: shelves, goods, notes of people about them, a hook and rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

from backstay import (
    App,
    Conflict,
    Currency,
    Encrypted,
    Index,
    Model,
    Money,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    field,
    made_from,
    searchable,
    sequence,
    unique,
)


class Shelf(Model):
    name: Annotated[str, Len(1, 20)]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)

    def indexes(self) -> list[Index]:
        return [unique(self.name)]


class Room(Model):
    name: Annotated[str, Len(1, 20)]
    inside: Room | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)

    def indexes(self) -> list[Index]:
        return [unique(self.name)]


class Good(Model):
    code: Annotated[str, Len(1, 20)]
    name: str = "?"
    slug: str = made_from("name")
    number: int = sequence("good")
    price: Annotated[Money, Currency("EUR"), Ge(0)]
    worth: Money | None = None
    shelf: Shelf
    stock: Annotated[int, Le(1000)] = 0
    state: Literal["new", "used"] = "new"
    since: datetime | None = None
    tags: list[str] = []  # noqa: RUF012
    secret: Encrypted[str] | None = None

    def rules(self, me: User) -> Rules:
        staff = me.has_role("staff")
        return Rules(read=anyone, create=staff, update=staff, fields=[field(self.secret, read=staff)])

    def indexes(self) -> list[Index]:
        return [unique(self.code), searchable(self.name)]


class Note(Model):
    about: Good
    author: User = current_user()
    text: Annotated[str, Len(1, 50)]

    def rules(self, me: User) -> Rules:
        return Rules(read=self.author == me, create=me.signed_in)


app = App("market", models=[Shelf, Room, Good, Note])


@app.before_create(Note)
async def no_shouting(tx: Transaction, note: Note) -> None:
    if note.text.isupper():
        raise Conflict("No shouting.", code="shouting")
