"""One record at a time is written by its rules: on the row before, on the row after, and with nothing slipped in."""

import asyncio
from dataclasses import replace
from enum import Enum
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Len

from backstay.errors import BadRequest, Conflict, Denied, Invalid, NotFound, NotSignedIn, Problem, Stale
from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import (
    Many,
    Rules,
    anyone,
    current_user,
    field_rule,
    icontains,
    made_from,
    many,
    new,
    old,
    on_delete,
    one_of,
    searchable,
    sequence,
    unique,
)
from backstay.model.value import Money, Secret, Slug
from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor
from backstay.plan.ask import Create, Delete, Update
from backstay.plan.tree import TRUE, Check
from backstay.store.prepared import Prepared, PreparedShape, prepare
from backstay.store.transaction import Transaction
from tests.store.conftest import Build, House


class State(Enum):
    DRAFT = "draft"
    SENT = "sent"
    DONE = "done"


class Folder(Model):
    name: str
    owner: User

    def rules(self, me: User) -> Rules:
        return Rules(read=self.owner == me)


class Note(Model):
    """Owned, in a folder; only its owner changes it, a draft may be sent, and staff sets the rank."""

    owner: User = current_user()
    folder: Annotated[Folder | None, on_delete("set_null")] = None
    title: Annotated[str, Len(1, 20)]
    slug: Slug = made_from("title")
    state: State = State.DRAFT
    rank: Annotated[int, Ge(0)] = 0
    number: int = sequence("note")
    price: Money | None = None
    pin: Secret | None = None

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        moves = (old(self.state) == new(self.state)) | (
            one_of(old(self.state), State.DRAFT) & one_of(new(self.state), State.SENT)
        )
        return Rules(
            read=mine | me.has_role("staff"),
            create=me.signed_in & (self.rank < 10),
            update=mine & moves,
            delete=mine & (self.state == State.DRAFT),
            fields=[field_rule(self.rank, write=me.has_role("staff") | (self.owner == me))],
        )

    def indexes(self) -> list[Index]:
        return [unique(self.owner, self.title), searchable(self.title)]


async def people(house: House, *names: str) -> list[Actor]:
    async def make(tx: Transaction) -> list[str]:
        return [await tx.write(Create("User", {"email": f"{name}@example.com"})) for name in names]

    return [Actor(key) for key in await house.act(SYSTEM, make)]


async def write(house: House, actor: Actor, ask: Create | Update | Delete) -> str:
    key: str = await house.act(actor, lambda tx: tx.write(ask))
    return key


async def note(house: House, key: str) -> Any:
    return await house.act(SYSTEM, lambda tx: tx.get(Note, key))


@pytest.fixture
async def house(build: Build) -> House:
    return await build(Folder, Note)


async def test_what_the_server_sets_is_set(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "Grüner Tee", "price": {"amount": 199, "currency": "EUR"}}))
    made = await note(house, key)
    assert (made.owner.id.hex, made.slug, made.state, made.number) == (
        str(ada.id).replace("-", ""), "gruner-tee", State.DRAFT, 1,
    )  # fmt: skip
    assert made.price == Money(199, "EUR")
    second = await note(house, await write(house, ada, Create("Note", {"title": "b"})))
    assert second.number == 2
    assert second.id > made.id


async def test_every_wrong_value_is_told_at_once(house: House) -> None:
    (ada,) = await people(house, "ada")
    with pytest.raises(Invalid) as caught:
        await write(
            house, ada, Create("Note", {"title": "", "rank": -1, "owner": ada.id, "state": "gone", "number": 7})
        )
    assert {(error.path, error.code) for error in caught.value.errors} == {
        ("title", "too_short"), ("rank", "out_of_range"), ("owner", "read_only"), ("state", "not_a_choice"),
        ("number", "read_only"),
    }  # fmt: skip
    with pytest.raises(BadRequest, match='Did you mean "title"'):
        await write(house, ada, Create("Note", {"titel": "x"}))
    with pytest.raises(NotSignedIn):
        await write(house, ANONYMOUS, Create("Note", {"title": "x"}))


class Offer(Model):
    """Its cost must be said, and exists for the staff alone."""

    name: str
    cost: int

    def rules(self, me: User) -> Rules:
        staff = me.has_role("staff")
        return Rules(read=anyone, create=anyone, fields=[field_rule(self.cost, read=staff)])


async def test_a_hidden_field_that_is_required_is_not_named(build: Build) -> None:
    house = await build(Offer)
    (ada,) = await people(house, "ada")
    for values in ({}, {"name": "x"}, {"name": "x", "cost": 1}, {"name": "x", "absent": 1}):
        with pytest.raises(Denied) as caught:
            await write(house, ada, Create("Offer", values))
        assert (caught.value.detail, caught.value.errors) == ("Creating offers is not allowed to this account.", ())
        with pytest.raises(NotSignedIn):
            await write(house, ANONYMOUS, Create("Offer", values))
    with pytest.raises(Invalid, match='"cost" is required'):
        await write(house, Actor(ada.id, frozenset({"staff"})), Create("Offer", {"name": "x"}))


async def test_a_rule_on_the_new_row_is_checked_on_the_row_in_the_database(house: House) -> None:
    (ada,) = await people(house, "ada")
    with pytest.raises(Denied):
        await write(house, ada, Create("Note", {"title": "x", "rank": 10}))
    assert await house.act(SYSTEM, lambda tx: tx.count(Note)) == 0

    async def raise_rank(tx: Transaction, record: Note) -> None:
        record.rank = 11

    house.hooks.add("before_create", "Note", raise_rank)
    with pytest.raises(Denied):
        await write(house, ada, Create("Note", {"title": "x"}))
    assert await house.act(SYSTEM, lambda tx: tx.count(Note)) == 0


async def test_another_persons_record_is_not_found_and_a_visible_one_denied(house: House) -> None:
    ada, bob, eve = await people(house, "ada", "bob", "eve")
    staff = Actor(eve.id, frozenset({"staff"}))
    key = await write(house, ada, Create("Note", {"title": "x"}))
    for ask in (Update("Note", key, {"title": "y"}), Delete("Note", key)):
        with pytest.raises(NotFound):
            await write(house, bob, ask)
        with pytest.raises(Denied):
            await write(house, staff, ask)
        with pytest.raises(NotFound):
            await write(
                house, bob, type(ask)("Note", house.new_id(), *([{"title": "y"}] if isinstance(ask, Update) else []))
            )
    assert (await note(house, key)).title == "x"


async def test_a_record_cannot_be_given_away(house: House) -> None:
    """The rule holds for the old and for the new row: `owner` is sent by code that forgot it."""
    ada, bob = await people(house, "ada", "bob")
    key = await write(house, ada, Create("Note", {"title": "x"}))

    async def give(tx: Transaction, record: Note, before: Note) -> None:
        record.owner = await tx.as_system.get(User, str(bob.id))

    house.hooks.add("before_update", "Note", give)
    with pytest.raises(Denied):
        await write(house, ada, Update("Note", key, {"title": "y"}))
    assert str((await note(house, key)).owner.id) == ada.id


async def test_old_and_new_values_decide_together(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "x"}))
    with pytest.raises(Denied):
        await write(house, ada, Update("Note", key, {"state": "done"}))
    await write(house, ada, Update("Note", key, {"title": "y"}))
    await write(house, ada, Update("Note", key, {"state": "sent"}))
    with pytest.raises(Denied):
        await write(house, ada, Update("Note", key, {"state": "draft"}))
    with pytest.raises(Denied):
        await write(house, ada, Delete("Note", key))
    assert (await note(house, key)).state is State.SENT


class Offering(Model):
    """What its rule says of the row before is meant of that row alone, whatever the kind of the value."""

    name: str
    price: Money
    word: str | None = None
    other: str | None = None

    def rules(self, me: User) -> Rules:
        staff = me.has_role("staff")
        return Rules(
            read=anyone, create=anyone,
            update=(
                icontains(old(self.name), "TEE") & (old(self.price) <= Money(100, "EUR"))
                & ~(old(self.word) == "locked") & ~icontains(self.name, self.other)
            ) | staff,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "change", "allowed"),
    [
        ({"name": "Grüner Tee"}, {"name": "Kaffee"}, True),
        ({"name": "Kaffee"}, {"name": "Grüner Tee"}, False),
        ({}, {"price": {"amount": 999, "currency": "USD"}}, True),
        ({"price": {"amount": 100, "currency": "USD"}}, {"price": {"amount": 100, "currency": "EUR"}}, False),
        ({"price": {"amount": 101, "currency": "EUR"}}, {"price": {"amount": 100, "currency": "EUR"}}, False),
        ({"word": None}, {"word": "locked"}, True),
        ({"word": "locked"}, {"word": None}, False),
        ({"other": None}, {"other": "KAFFEE"}, True),
        ({}, {"other": "tÉE"}, False),
    ],
)
async def test_the_row_before_is_remembered_whole(build: Build, before: Any, change: Any, allowed: bool) -> None:
    house = await build(Offering)
    (ada,) = await people(house, "ada")
    values = {"name": "Tee", "price": {"amount": 100, "currency": "EUR"}, **before}
    key = await write(house, ada, Create("Offering", values))
    if allowed:
        await write(house, ada, Update("Offering", key, change))
        return
    with pytest.raises(Denied):
        await write(house, ada, Update("Offering", key, change))


async def test_what_is_referred_to_must_be_visible(house: House) -> None:
    ada, bob = await people(house, "ada", "bob")

    async def folder(tx: Transaction) -> str:
        return await tx.write(Create("Folder", {"name": "f", "owner": bob.id}))

    hidden = await house.act(SYSTEM, folder)
    errors = []
    for key in (hidden, house.new_id()):
        with pytest.raises(Invalid) as caught:
            await write(house, ada, Create("Note", {"title": "x", "folder": key}))
        errors.append((caught.value.detail, caught.value.errors))
    assert errors[0] == errors[1]
    await write(house, bob, Create("Note", {"title": "x", "folder": hidden}))


async def test_versions_and_guards(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "x"}))
    await write(house, ada, Update("Note", key, {"title": "y"}, version=1))
    with pytest.raises(Stale):
        await write(house, ada, Update("Note", key, {"title": "z"}, version=1))

    async def take(tx: Transaction) -> None:
        found = await tx.get(Note, key)
        await tx.update(found, rank=lambda n: n.rank + 3, where=lambda n: n.rank < 5)

    await house.act(ada, take)
    await house.act(ada, take)
    with pytest.raises(Problem) as caught:
        await house.act(ada, take)
    assert caught.value.code == "precondition_failed"
    assert (await note(house, key)).rank == 6


async def test_an_expression_loses_nothing_between_two_writers(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "x"}))
    found = await note(house, key)

    async def add(tx: Transaction) -> None:
        await tx.update(found, rank=lambda n: n.rank + 1)

    await asyncio.gather(*(house.act(ada, add) for _ in range(9)))
    assert (await note(house, key)).rank == 9


async def test_what_is_taken_is_a_conflict_that_names_the_fields(house: House) -> None:
    (ada,) = await people(house, "ada")
    await write(house, ada, Create("Note", {"title": "x"}))
    with pytest.raises(Conflict) as caught:
        await write(house, ada, Create("Note", {"title": "x"}))
    assert [error.path for error in caught.value.errors] == ["owner", "title"]


async def test_delete_does_what_was_declared(house: House) -> None:
    (ada,) = await people(house, "ada")

    async def folder(tx: Transaction) -> str:
        return await tx.write(Create("Folder", {"name": "f", "owner": ada.id}))

    home = await house.act(SYSTEM, folder)
    key = await write(house, ada, Create("Note", {"title": "x", "folder": home}))
    await write(house, SYSTEM, Delete("Folder", home))
    assert (await note(house, key)).folder is None
    with pytest.raises(Conflict) as caught:
        await write(house, SYSTEM, Delete("User", str(ada.id)))
    assert caught.value.code == "still_referenced"
    await write(house, ada, Delete("Note", key))
    with pytest.raises(NotFound):
        await note(house, key)


async def test_a_secret_is_written_and_never_read(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "x", "pin": "1234"}))
    assert not hasattr(await note(house, key), "pin")
    with pytest.raises(BadRequest):
        await house.act(ada, lambda tx: tx.find(Note, sort="pin"))


async def test_hooks_see_the_record_and_can_undo_everything(house: House) -> None:
    (ada,) = await people(house, "ada")
    seen: list[tuple[str, str, str]] = []

    async def after(tx: Transaction, record: Note, before: Note) -> None:
        seen.append((before.title, record.title, str(tx.me.id)))
        if record.title == "bad":
            raise Conflict("Not this one.", code="bad_title")

    house.hooks.add("after_update", "Note", after)
    key = await write(house, ada, Create("Note", {"title": "x"}))
    await write(house, ada, Update("Note", key, {"title": "y"}))
    with pytest.raises(Conflict, match="Not this one"):
        await write(house, ada, Update("Note", key, {"title": "bad"}))
    assert seen == [("x", "y", ada.id), ("y", "bad", ada.id)]
    assert (await note(house, key)).title == "y"


async def test_search_follows_the_text(house: House) -> None:
    (ada,) = await people(house, "ada")
    key = await write(house, ada, Create("Note", {"title": "Café Olé"}))

    async def found(words: str) -> int:
        from backstay.model.predicate import Slot
        from backstay.plan.ask import Ask, Listing

        (answer,) = await house.engine.read(Ask((Listing("Note", search=Slot(0, "search")),), (words,)), ada)
        return len(answer.rows)

    assert [await found(words) for words in ("cafe", "OLE caf", "tee", "!")] == [1, 1, 0, 0]
    await write(house, ada, Update("Note", key, {"title": "Tee"}))
    assert [await found(words) for words in ("cafe", "tee")] == [0, 1]
    await write(house, ada, Delete("Note", key))
    assert await found("tee") == 0


async def test_nobody_is_compared_with_nothing(house: House) -> None:
    """For the anonymous, `tx.me` equals no record's owner, not even an absent one."""
    (ada,) = await people(house, "ada")
    await write(house, ada, Create("Note", {"title": "x"}))

    async def mine(tx: Transaction) -> tuple[int, int]:
        system = tx.as_system
        return (
            await system.count(Note, lambda n: n.folder.owner == tx.me),
            await system.count(Note, lambda n: n.owner != tx.me),
        )

    assert await house.act(ANONYMOUS, mine) == (0, 0)


@pytest.mark.parametrize("dropped", ["before", "after", "links"])
async def test_a_dropped_check_is_noticed(house: House, dropped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: without any one of its checks a write that must fail goes through."""
    ada, bob = await people(house, "ada", "bob")
    key = await write(house, ada, Create("Note", {"title": "x"}))
    hidden = await house.act(SYSTEM, lambda tx: tx.write(Create("Folder", {"name": "f", "owner": bob.id})))
    check = PreparedShape.check

    def blind(self: PreparedShape, part: Check) -> Prepared:
        if part.lock is (dropped == "before"):
            open_to_all = replace(part, source=replace(part.source, where=TRUE))
            return prepare(open_to_all, self.dialect, self.limits)
        return check(self, part)

    monkeypatch.setattr(PreparedShape, "check", blind)
    if dropped == "before":
        await write(house, ada, Update("Note", key, {"title": "y"}))
        await write(house, ada, Update("Note", key, {"state": "sent"}))
        await write(house, ada, Delete("Note", key))
    elif dropped == "after":
        await write(house, ada, Create("Note", {"title": "y", "rank": 50}))
    else:
        await write(house, ada, Create("Note", {"title": "y", "folder": hidden}))


class Label(Model):
    name: str
    shown: bool = True

    def rules(self, me: User) -> Rules:
        return Rules(read=self.shown)


class Photo(Model):
    title: str
    labels: Many[Label] = many(through=True)

    def rules(self, me: User) -> Rules:
        return Rules(
            read=anyone, create=me.signed_in, update=self.labels.none(lambda label: label.name == "locked"),
            fields=[field_rule(self.labels, write=me.has_role("staff") | (self.title != "fixed"))],
        )  # fmt: skip


async def test_a_many_to_many_relation_is_written_as_a_list(build: Build) -> None:
    house = await build(Label, Photo)
    (ada,) = await people(house, "ada")

    async def label(tx: Transaction) -> list[str]:
        named = (("a", True), ("b", True), ("hidden", False), ("locked", True))
        return [await tx.write(Create("Label", {"name": n, "shown": s})) for n, s in named]

    a, b, hidden, locked = await house.act(SYSTEM, label)

    async def labels(key: str) -> list[str]:
        photo = await house.act(SYSTEM, lambda tx: tx.get(Photo, key, expand=["labels"]))
        return sorted(label.name for label in photo.labels)

    key = await write(house, ada, Create("Photo", {"title": "x", "labels": [a, b, a]}))
    assert await labels(key) == ["a", "b"]
    await write(house, ada, Update("Photo", key, {"labels": [b]}))
    assert await labels(key) == ["b"]
    await write(house, SYSTEM, Update("Photo", key, {"labels": [b, hidden]}))
    await write(house, ada, Update("Photo", key, {"labels": [a]}))  # what she cannot see, she cannot take out
    assert await labels(key) == ["a", "hidden"]
    await write(house, SYSTEM, Update("Photo", key, {"labels": [b]}))
    with pytest.raises(Invalid) as caught:
        await write(house, ada, Update("Photo", key, {"labels": [hidden]}))
    assert caught.value.errors[0].path == "labels"
    with pytest.raises(Denied):  # the rule holds for the row after the change, its relations included
        await write(house, ada, Update("Photo", key, {"labels": [locked]}))
    with pytest.raises(Invalid):
        await write(house, ada, Update("Photo", key, {"labels": "a"}))
    with pytest.raises(Denied):
        await write(house, ada, Create("Photo", {"title": "fixed", "labels": [a]}))
    assert await labels(key) == ["b"]
