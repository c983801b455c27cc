"""What the type checkers cannot see is refused at start, by a message that names the word to write instead.

To them a condition is a bool, so `and`, `in`, `is` and their kin are fine; Python would answer them while the rule is
read, and a part of the rule would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backstay import (
    App,
    Many,
    Model,
    Rules,
    User,
    anyone,
    choose,
    computed,
    contains,
    current_user,
    is_null,
    many,
    not_,
    old,
    one_of,
)
from backstay.errors import DeclarationError
from backstay.model.declare import ModelMeta
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings
from backstay.store.context import Context


class Note(Model):
    """A note; its rules are given to it by each test."""

    title: str
    status: str
    tags: list[str] = []  # noqa: RUF012 - a default, taken out of the class when it is made
    author: User = current_user()
    ended: str | None = None
    pinned: bool = False
    lines: Many[Line] = many()


class Line(Model):
    """A line of a note."""

    note: Note
    text: str | None


def start(**members: Any) -> App:
    """An application whose note has these rules, indexes and computed fields."""
    note: Any = ModelMeta("Note", (Note,), {"__module__": __name__, "__annotations__": {}, **members})
    return App("start", models=[note, Line])


def refused(**members: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        start(**members)
    return str(caught.value)


RULES: dict[str, tuple[Callable[[Note, User], object], str]] = {
    "and": (lambda self, me: Rules(read=self.author == me and self.pinned), "& for and"),
    "or": (lambda self, me: Rules(read=self.author == me or self.pinned), "| for or"),
    "not": (lambda self, me: Rules(read=not self.pinned), "~ for not"),
    "if": (lambda self, me: Rules(read=self.pinned if me.signed_in else self.author == me), "choose() for if"),
    "a chain": (lambda self, me: Rules(read="a" < self.title < "b"), "& for and"),
    "in a tuple": (lambda self, me: Rules(read=self.status in ("draft", "sent")), "one_of() or contains() for in"),
    "not in": (lambda self, me: Rules(read=self.status not in ("draft", "sent")), "one_of() or contains() for in"),
    "in a set": (lambda self, me: Rules(read=self.status in {"draft"}), "one_of("),
    "in a list field": (lambda self, me: Rules(read="red" in self.tags), "contains(field, value)"),
    "in a text": (lambda self, me: Rules(read="ä" in self.title), "contains(field, value)"),
    "in many": (lambda self, me: Rules(read=any(line.text == "x" for line in self.lines)), ".some(...)"),
    "is None": (lambda self, me: Rules(read=self.ended is None), "is_null() for 'is None'"),
    "is not None": (lambda self, me: Rules(read=self.ended is not None), "is_null() for 'is None'"),
    "is": (lambda self, me: Rules(read=self.author is me), "== for 'is'"),
    "is not None and": (lambda self, me: Rules(read=self.ended is not None and self.pinned), "is_null() for 'is None'"),
    "is None or": (lambda self, me: Rules(read=self.ended is None or self.author == me), "is_null() for 'is None'"),
    "is inside": (
        lambda self, me: Rules(read=self.lines.some(lambda line: line.text is not None and line.text == "x")),
        "is_null() for 'is None'",
    ),
    "True": (lambda self, me: Rules(read=True), "write anyone"),
    "False": (lambda self, me: Rules(read=False), "write nobody"),
    "another bool": (lambda self, me: Rules(read=len("ab") > 1), "A plain True is not a condition"),
    "a relation": (lambda self, me: Rules(read=self.author), "such as self.author == me"),  # type: ignore[arg-type]
    "a condition compared": (lambda self, me: Rules(read=(self.title == "a") == self.pinned), "with & and |"),
    "old outside update": (lambda self, me: Rules(read=old(self.status) == "draft"), "old() and new() are for update"),
    "old of a constant": (lambda self, me: Rules(update=old("draft") == self.status), "such as old(self.status)"),
    "one of fields": (lambda self, me: Rules(read=one_of(self.title, self.status)), "one_of() takes constants"),
    "no rules": (lambda self, me: {"read": anyone}, "Return Rules(read=..., ...)"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_python_would_answer_is_refused(rule: str) -> None:
    rules, replacement = RULES[rule]
    message = refused(rules=rules)
    assert message.startswith("1 mistake in the declaration:\n  Note.rules"), message
    assert replacement in message


def test_the_words_that_are_named_do_start() -> None:
    def rules(self: Note, me: User) -> Rules:
        return Rules(
            read=(self.author == me) & self.pinned | not_(self.pinned),
            create=one_of(self.status, "draft", "sent") & contains(self.tags, "red"),
            update=is_null(self.ended) & (old(self.status) == "draft"),
            delete=self.lines.some(lambda line: line.text == "x"),
        )

    entity = start(rules=rules).schema.entities["Note"]
    assert {action: type(rule).__name__ for action, rule in entity.rules.items()} == {
        "read": "Or", "create": "And", "update": "And", "delete": "Quantified",
    }  # fmt: skip


COMPUTED: dict[str, tuple[Callable[[Any], object], str]] = {
    "if": (lambda self: "a" if self.pinned else "b", "choose() for if"),
    "is None": (lambda self: "over" if self.ended is not None else "open", "is_null() for 'is None'"),
    "or": (lambda self: self.ended or self.title, "| for or"),
    "misspelt": (lambda self: self.titel, 'Note has no field "titel". Did you mean "title"?'),
}


@pytest.mark.parametrize("field", COMPUTED)
def test_a_computed_field_that_python_would_answer_is_refused(field: str) -> None:
    value, replacement = COMPUTED[field]
    message = refused(made=computed(value))
    assert message.startswith("1 mistake in the declaration:\n  Note.made: "), message
    assert replacement in message


def test_a_chosen_computed_field_does_start() -> None:
    made = computed(lambda self: choose(is_null(self.ended), self.title, self.ended))
    assert start(made=made).schema.entities["Note"].computed["made"].kind.name == "text"


def test_every_misspelt_field_is_named_at_once() -> None:
    def rules(self: Any, me: Any) -> Rules:
        return Rules(read=self.auther == me, create=me.nmae == self.titel)

    message = refused(rules=rules)
    assert message.startswith("3 mistakes")
    for said in ('no field "auther". Did you mean "author"?', 'no field "nmae". Did you mean "name"?',
                 'no field "titel". Did you mean "title"?'):  # fmt: skip
        assert said in message


async def test_a_query_that_python_would_answer_is_refused() -> None:
    app = start()
    running = await app.start(Settings(database_url="sqlite:///:memory:", secret_key="x" * 32), extend=True)
    where: Callable[[Note], bool] = lambda note: note.ended is not None and note.pinned  # noqa: E731
    try:
        async with Context(running.engine, app.hooks, running.new_id, SYSTEM, running.accounts).transaction() as tx:
            for query in (tx.find(Note, where), tx.exists(Note, where), tx.count(Note, where)):
                with pytest.raises(TypeError, match=r"write is_null\(\) for 'is None'"):
                    await query
            with pytest.raises(TypeError, match="& for and"):
                await tx.find(Note, lambda note: note.title == "a" and note.pinned)
            assert await tx.find(Note, lambda note: ~is_null(note.ended) & note.pinned) == []
    finally:
        await app.stop()
