"""Every word of a declaration once, and every query of a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

from annotated_types import Ge, Len

from backstay import (
    URL,
    App,
    BigInt,
    Context,
    Currency,
    Digits,
    Email,
    Encrypted,
    Index,
    Json,
    Limits,
    Many,
    Model,
    Money,
    NotFound,
    Pattern,
    Reply,
    Rules,
    SealedAs,
    Secret,
    Slug,
    Transaction,
    User,
    anyone,
    choose,
    coalesce,
    computed,
    contains,
    current_user,
    field,
    icontains,
    index,
    is_null,
    made_from,
    many,
    new,
    nobody,
    not_,
    now,
    old,
    on_delete,
    one_of,
    role,
    searchable,
    sequence,
    signed_in,
    starts_with,
    unique,
)


class Size(Enum):
    """How large something is."""

    SMALL = "small"
    LARGE = "large"


class Member(User):
    """A user class of one's own."""

    nickname: str
    born: date | None = None
    notes: Many[Note] = many(via="author")
    friends: Many[Member] = many(through=True)

    def rules(self, me: User) -> Rules:
        return Rules(read=(self == me) | me.has_role("staff"), update=self == me)


class TopicNote(Model):
    """Which notes are about which topics."""

    topic: Annotated[Topic, on_delete("cascade")]
    note: Annotated[Note, on_delete("cascade")]


class Topic(Model):
    """What notes are about."""

    name: Annotated[str, Len(1, 80)]
    notes: Many[Note] = many(through=TopicNote)
    links: Many[TopicNote] = many()


class Note(Model):
    """A note with a field of every kind."""

    number: int = sequence("note")
    author: Member = current_user()
    reviewer: Annotated[Member, on_delete("set_null")] | None = None
    title: Annotated[str, Len(1, 200)]
    slug: Slug = made_from("title")
    state: Literal["draft", "sent", "gone"] = "draft"
    size: Size = Size.SMALL
    price: Annotated[Money, Currency("EUR"), Ge(0)]
    tip: Money | None = None
    weight: Annotated[Decimal, Digits(8, 3)]
    barcode: BigInt | None = None
    iban: Encrypted[Annotated[str, Len(15, 34)]] | None = None
    due: Encrypted[date | None] = None
    fee: Annotated[Encrypted[Money | None], SealedAs("Note.charge")] = None
    code: Annotated[str, Pattern("[A-Z]{3}")] = "ABC"
    home: URL | None = None
    contact: Email | None = None
    password: Secret
    extra: Json | None = None
    tags: list[str] = []  # noqa: RUF012
    public: bool = False
    ends: datetime | None = None
    made: datetime = now()
    pause: timedelta | None = None
    copies: Annotated[int, Ge(0)] = 0

    def rules(self, me: User) -> Rules:
        mine = self.author == me
        staff = me.has_role("staff")
        recent = self.made > now() - timedelta(days=30)
        fresh = is_null(self.ends) | (coalesce(self.ends, datetime.max.replace(tzinfo=UTC)) >= now())
        return Rules(
            read=self.public | mine | (staff & not_(self.state == "gone")),
            create=me.signed_in & one_of(self.state, "draft", "sent") & (self.copies <= 10),
            update=mine & (old(self.state) != "gone") & (new(self.copies) >= old(self.copies)) & fresh,
            delete=nobody,
            fields=[
                field(self.extra, read=staff),
                field(self.tip, read=mine, write=not_(recent)),
                field(self.barcode, read=contains(self.tags, "b") | starts_with(self.title, "B")),
                field(self.code, read=icontains(self.title, "ä") | (self.author.nickname != "x"), write=anyone),
            ],
        )

    def indexes(self) -> list[Index]:
        return [unique(self.slug), index(self.author, self.made), searchable(self.title)]

    @computed
    def worth(self) -> Money:
        return self.price * self.copies

    @computed
    def label(self) -> str:
        return self.title + ": " + choose(self.public, "public", "private")

    @computed
    def lines(self) -> int:
        return self.author.notes.count(lambda note: note.copies > 0) + self.author.notes.sum(lambda n: n.copies)

    @computed
    def dearest(self) -> int | None:
        return self.author.notes.max(lambda note: note.price.amount, lambda note: note.public)


app = App("words", models=[Member, TopicNote, Topic, Note], user=Member, limits=Limits(page=10), version="2.0.0")


@app.before_create(Note)
async def before_create(tx: Transaction, note: Note) -> None:
    note.title = note.title.strip()


@app.after_create(Note)
async def after_create(tx: Transaction, note: Note) -> None:
    await tx.update(note, copies=lambda n: n.copies + 1, where=lambda n: n.copies < 5)


@app.before_update(Note)
async def before_update(tx: Transaction, note: Note, before: Note) -> None:
    note.copies = max(note.copies, before.copies)


@app.after_update(Note)
async def after_update(tx: Transaction, note: Note, before: Note) -> None:
    assert note.id == before.id


@app.before_delete(Note)
async def before_delete(tx: Transaction, note: Note) -> None:
    if not await tx.exists(Topic, lambda topic: topic.notes.some(lambda inner: inner.slug == note.slug)):
        raise NotFound("No topic has it.")


@app.after_delete(Note)
async def after_delete(tx: Transaction, note: Note) -> None:
    await tx.as_system.delete(note.author, where=lambda member: member.notes.none())


@dataclass
class Line:
    """One line of a wish."""

    note: UUID
    copies: Annotated[int, Ge(1)]


@app.action("POST /api/wish", allow=signed_in, status=201)
async def wish(ctx: Context, lines: list[Line], until: datetime | None = None) -> Note:
    async with ctx.transaction(as_system=True) as tx:
        (first, *_) = await tx.find(
            Note,
            lambda note: note.public & note.author.friends.every(lambda friend: friend.nickname != "x"),
            sort="-made",
            limit=len(lines),
            expand=["author"],
        )
        made = await tx.create(Note(title=first.title, price=first.price * 2, weight=Decimal(1), password="x" * 9))
        assert await tx.count(Note, lambda note: note.author == tx.me) > 0
        return await tx.update(await tx.get(Note, made.id), ends=until or datetime.now(UTC))


@app.action("POST /api/pin", allow=signed_in)
async def pin(ctx: Context, name: str) -> Topic:
    async with ctx.transaction() as tx:
        topic = Topic(name=name)
        topic.links = [TopicNote(topic=topic, note=note) for note in await tx.find(Note)]
        return await tx.create(topic)


@app.action("GET /hello/{name}", allow=role("staff"))
async def hello(ctx: Context, name: str) -> Reply:
    return Reply(f"Hello {name}".encode())


@app.seed
async def seed(ctx: Context) -> None:
    await ctx.accounts.create_user("ada@example.com", "a long password", ["staff"], nickname="ada")
