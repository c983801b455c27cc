"""What a change of an application changes: a small one is changed in many ways, and each is told for what it is."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from backstay import App
from backstay.review.comparison import Comparison, compare
from backstay.review.description import Description, described, read

SOURCE = """
from __future__ import annotations
from typing import Annotated, Literal
from annotated_types import Len
from backstay import *
from backstay.model.value import WriteOnly


class Shelf(Model):
    title: Annotated[str, Len(1, 40)]
    books: Many[Book] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Book(Model):
    shelf: Shelf
    owner: User = current_user()
    title: Annotated[str, Len(1, 40)]
    state: Literal["new", "read"] = "new"
    price: int = 0
    pages: int | None = None
    secret: Annotated[str, WriteOnly()] = ""

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        staff = me.has_role("staff")
        return Rules(
            read=mine | staff, create=me.signed_in, update=mine, delete=nobody,
            fields=[field(self.price, read=staff)],
        )

    def indexes(self) -> list[Index]:
        return [unique(self.owner, self.title)]

    @computed
    def cheap(self) -> bool:
        return self.price < 10


app = App("library", models=[Shelf, Book])


@app.action("POST /api/lend", allow=signed_in)
async def lend(ctx: Context, book: int) -> int:
    return book
"""


def application(source: str) -> App:
    module = ModuleType("library_under_review")
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, "library.py", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    app: App = module.__dict__["app"]
    return app


def description(*changes: tuple[str, str]) -> Description:
    source = SOURCE
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return read(described(application(source)))


BEFORE = description()


def compared(*changes: tuple[str, str], accept: tuple[str, ...] = ()) -> Comparison:
    return compare(BEFORE, description(*changes), accept)


def test_nothing_has_changed() -> None:
    assert compared() == Comparison((), (), ())


def test_a_description_is_the_same_text_every_time() -> None:
    assert described(application(SOURCE)) == described(application(SOURCE))


RULES = [
    # by row -> always
    ("read=mine | staff", "read=anyone", "Book.read", "widened",
     [("anonymous", "never", "always"), ("signed in", "by row", "always")]),
    # never -> by row
    ("delete=nobody", "delete=mine", "Book.delete", "widened",
     [("signed in", "never", "by row")]),
    # never -> always
    ("delete=nobody", "delete=staff", "Book.delete", "widened", [("staff", "never", "always")]),
    # two conditions
    ("update=mine", 'update=mine | (self.state == "new")', "Book.update", "widened",
     [("anonymous", "never", "by row"), ("signed in", "by row", "by another row")]),
    ("update=mine", 'update=self.state == "new"', "Book.update", "incomparable",
     [("anonymous", "never", "by row"), ("signed in", "by row", "by another row")]),
    ("update=mine", 'update=mine & (self.state == "new")', "Book.update", "narrowed",
     [("signed in", "by row", "by another row")]),
    ("read=mine | staff", "read=staff", "Book.read", "narrowed", [("signed in", "by row", "never")]),
    ("read=mine | staff", "read=staff | mine | (mine & staff)", "Book.read", "reworded", None),
    ("update=mine", "update=mine & ~(self.id == None)", "Book.update", "narrowed", None),
    # somebody with two roles is in no cell
    ("delete=nobody", 'delete=staff & me.has_role("boss")', "Book.delete", "widened", []),
    # fields
    ("field(self.price, read=staff)", "field(self.price, read=anyone)", "Book.price.read", "widened",
     [("anonymous", "never", "always"), ("signed in", "never", "always")]),
    ("field(self.price, read=staff)", "field(self.price, read=staff, write=staff)", "Book.price.write", "narrowed",
     [("anonymous", "always", "never"), ("signed in", "always", "never")]),
    ("secret: Annotated[str, WriteOnly()]", "secret: str", "Book.secret.read", "widened", None),
    ("owner: User = current_user()", "owner: User", "Book.owner.write", "widened", None),
    ("owner: User = current_user()", "owner: User | None = current_user()", "Book.create", None, None),
    # what it says is as it was, and something else is read
    ("return self.price < 10", "return self.price < 20", "Book.cheap.read", "incomparable", []),
    ("allow=signed_in", "allow=anyone", "POST /api/lend", "widened", [("anonymous", "never", "always")]),
    ("allow=signed_in", 'allow=role("staff")', "POST /api/lend", "narrowed", [("signed in", "always", "never")]),
    ("POST /api/lend", "POST /api/borrow", "POST /api/borrow", "widened", None),
    ("POST /api/lend", "POST /api/borrow", "POST /api/lend", "gone", None),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "name", "turn", "cells"), RULES)
def test_each_turn_of_a_rule(
    old: str, new: str, name: str, turn: str | None, cells: list[tuple[str, str, str]] | None
) -> None:
    found = compared((old, new))
    changes = {change.name: change for change in found.rules}
    assert (changes[name].turn if name in changes else None) == turn
    if cells is not None:
        told = [(cell.viewer, cell.before, cell.now) for cell in changes[name].cells]
        assert told[: len(cells)] == cells
        assert cells or not told
    widens = turn in ("widened", "incomparable")
    assert (name in found.unnamed) == widens
    assert name not in compared((old, new), accept=(name,)).unnamed
    assert (name in compared((old, new), accept=(name,)).needless) == (not widens)


def test_anonymous_creation_opens_where_the_owner_may_be_nobody() -> None:
    signed, open_ = ("create=me.signed_in", "create=anyone"), ("owner: User =", "owner: User | None =")
    before, now = description(signed), description(signed, open_)
    assert compare(before, now).unnamed == ("Book.create",)


def test_the_same_words_over_something_else_are_another_rule() -> None:
    computed = ("update=mine", "update=mine & self.cheap")
    before, now = description(computed), description(computed, ("self.price < 10", "self.price < 20"))
    assert compare(before, now).unnamed == ("Book.update", "Book.cheap.read")
    told = {change.name: change for change in compare(before, now).rules}
    assert told["Book.update"].turn == "incomparable"
    assert (told["Book.cheap.read"].before, told["Book.cheap.read"].now) == ("self.price < 10", "self.price < 20")


def test_a_new_model_is_named_by_what_it_allows() -> None:
    model = """
class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.has_role("staff"))


app = App("""
    found = compared(("\napp = App(", model), ("[Shelf, Book]", "[Shelf, Book, Note]"))
    assert found.unnamed == ("Note.read", "Note.create")
    assert [change.words for change in found.schema] == ["Note is new: its table notes is made."]
    assert [change.effect for change in found.api] == ["compatible"] * len(found.api)


def test_a_renamed_field_keeps_its_rule() -> None:
    renamed = [
        ("price: int = 0", 'cost: Annotated[int, was("price")] = 0'), ("self.price < 10", "self.cost < 10"),
    ]  # fmt: skip
    kept = compared(*renamed, ("field(self.price", "field(self.cost"))
    assert kept.unnamed == ("Book.cheap.read",)  # made of something else, for all that can be shown
    assert "Book.cost.read" in compared(*renamed, ("fields=[field(self.price, read=staff)],", "")).unnamed


def test_a_new_field_of_a_model_is_no_access_to_what_was_there() -> None:
    assert compared(("price: int = 0", "price: int = 0\n    note: str = ''")).unnamed == ()
    made = ("@computed\n    def cheap", "@computed\n    def cost(self) -> int:\n        return self.price\n\n"
            "    @computed\n    def cheap")  # fmt: skip
    assert compared(made).unnamed == ("Book.cost.read",)


TABLES = [
    ("title: Annotated[str, Len(1, 40)]\n    state", "title: Annotated[str, Len(1, 80)]\n    state",
     ["Book.title: max_length is 80, and was 40."]),
    ("price: int = 0", "price: int = 0\n    note: str | None = None",
     ["Book.note is new: text, may be null; it is empty in records that are there."]),
    ("    pages: int | None = None\n", "", ["Book.pages is gone: its values are set aside until `migrate finish`."]),
    ("unique(self.owner, self.title)", "index(self.owner)",
     ["Book: an index over owner is made.", "Book: owner and title need not be unique any more."]),
    ("pages: int | None = None", "pages: int = 1",
     ["Book.pages may not be null any more; where it is, it gets its default.",
      "Book.pages has another default; records that are there keep what they have."]),
    ('Literal["new", "read"]', 'Literal["new", "read", "lost"]',
     ["Book.state: choices is new, read, lost, and was new, read."]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), TABLES)
def test_each_change_of_a_table(old: str, new: str, words: list[str]) -> None:
    found = compared((old, new))
    assert [change.words for change in found.schema] == words
    assert found.unnamed == ()


API = [
    ("    pages: int | None = None\n", "", "breaking", "pages is gone.", "BookCreate (request)"),
    ("    pages: int | None = None\n", "", "breaking", "pages is gone.", "BookPart (answer)"),
    ("price: int = 0", "price: int", "breaking", "price must be sent.", "BookCreate (request)"),
    ("price: int = 0", "price: int = 0\n    note: str", "breaking", "note is new and must be sent.",
     "BookCreate (request)"),
    ("price: int = 0", "price: int = 0\n    note: str = ''", "compatible", "note is new.", "BookPart (answer)"),
    ("title: Annotated[str, Len(1, 40)]\n    state", "title: Annotated[str, Len(1, 30)]\n    state", "breaking",
     "title has maxLength 30, and had 40.", "BookCreate (request)"),
    ("title: Annotated[str, Len(1, 40)]\n    state", "title: Annotated[str, Len(1, 80)]\n    state", "compatible",
     "title has maxLength 80, and had 40.", "BookCreate (request)"),
    ("title: Annotated[str, Len(1, 40)]\n    state", "title: Annotated[str, Len(1, 80)]\n    state", "breaking",
     "title has maxLength 80, and had 40.", "BookPart (answer)"),
    ('Literal["new", "read"]', 'Literal["new", "read", "lost"]', "breaking", "state may be lost.", "BookPart (answer)"),
    ('Literal["new", "read"]', 'Literal["new"]', "breaking", "state is not read any more.", "BookCreate (request)"),
    ("state: Literal", "state: None | Literal", "breaking", "state may be null.", "BookPart (answer)"),
    ("delete=nobody", "delete=staff", "compatible", "is new.", "DELETE /api/books/{id}"),
    ("update=mine, ", "", "breaking", "is gone.", "PATCH /api/books/{id}"),
    ("allow=signed_in", "allow=anyone", "compatible", "needs nobody signed in any more.", "POST /api/lend"),
    ("book: int)", "book: int, days: int)", "breaking", "days is new and must be sent.", "POST /api/lend (request)"),
    ("book: int)", "book: int, days: int = 1)", "compatible", "days is new.", "POST /api/lend (request)"),
    ("book: int)", "book: str)", "breaking", "book may not be integer any more.", "POST /api/lend (request)"),
    ("-> int:\n    return book", "-> str:\n    return ''", "breaking", "may be string.", "POST /api/lend (answer 200)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "effect", "words", "place"), API)
def test_each_change_of_the_api(old: str, new: str, effect: str, words: str, place: str) -> None:
    found = compared((old, new))
    told = [(one, change.words, change.effect) for change in found.api for one in change.places]
    assert (place, words, effect) in told, "\n".join(map(str, told))


def test_texts_are_no_change_of_the_api() -> None:
    told = compared(("class Book(Model):", 'class Book(Model):\n    """Something to read."""\n'))
    assert told == Comparison((), (), ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "rules": [{"name": "x"}]}'])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        read(text)
