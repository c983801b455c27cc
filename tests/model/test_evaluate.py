"""Conditions answered in memory: two-valued logic, every operand, and the row before a change."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest

from backstay.model.declare import Model, User
from backstay.model.evaluate import Circumstances, Row, holds, value_of
from backstay.model.field import Entity
from backstay.model.predicate import Compare, Condition, IsNull, Me, Not, Path, Search, Slot, Total, Value, both
from backstay.model.rule import (
    Many,
    choose,
    coalesce,
    computed,
    contains,
    icontains,
    is_null,
    many,
    new,
    not_,
    now,
    old,
    one_of,
    searchable,
    starts_with,
)
from backstay.model.schema import declare
from backstay.model.symbol import MeSymbol, RowSymbol, condition
from backstay.model.value import Currency, Digits, Money

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Author(User):
    books: "Many[Book]" = many(via="author")


class Shelf(Model):
    label: str
    books: "Many[Book]" = many(through=True)


class Book(Model):
    title: str
    author: Author | None
    editor: Author | None
    price: Annotated[Money, Currency("EUR")] | None
    fee: Money | None
    weight: Annotated[Decimal, Digits(6, 2)]
    pages: int | None
    printed: datetime | None
    day: date
    loan: timedelta
    tags: list[str]
    state: str

    def indexes(self) -> Any:
        return [searchable(self.title)]

    @computed
    def cost(self) -> Money | None:
        return self.price * 2 + 1  # type: ignore[operator,return-value]

    @computed
    def long(self) -> bool:
        return self.pages > 100  # type: ignore[operator]


SCHEMA = declare([Author, Shelf, Book])
BOOK, SHELF, AUTHOR = (SCHEMA.entities[name] for name in ("Book", "Shelf", "Author"))


def key(number: int) -> str:
    return str(UUID(int=number))


def book(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": key(number), "title": "Öl & Tee", "author": key(1), "editor": None, "price": Money(100, "EUR"),
        "fee": Money(5, "USD"), "weight": Decimal("1.50"), "pages": None, "printed": NOON, "day": date(2026, 11, 22),
        "loan": timedelta(days=1), "tags": ["new"], "state": "draft", **values,
    }  # fmt: skip


ROWS: dict[str, list[dict[str, Any]]] = {
    "Author": [{"id": key(1), "email": "ada@example.com", "roles": ["staff"], "name": "Ada", "disabled": False}],
    "Book": [book(10), book(11, pages=200, price=None, author=None), book(12, loan=timedelta(days=3))],
    "Shelf": [{"id": key(50), "label": "top"}],
    "ShelfBooks": [{"id": key(at), "shelf": key(50), "book": key(at - 50)} for at in (61, 62)],
}


class Kept:
    def find(self, entity: Entity, key: str) -> Row | None:
        return next((row for row in ROWS[entity.name] if row["id"] == key), None)

    def children(self, entity: Entity, via: str, key: str) -> Iterable[Row]:
        return [row for row in ROWS[entity.name] if row[via] == key]


ADA = Circumstances(SCHEMA.user, Kept(), NOON, key(1), frozenset({"staff"}))
NOBODY = Circumstances(SCHEMA.user, Kept(), NOON)
SELF: Any = RowSymbol(BOOK, Path(()))
ME: Any = MeSymbol(SCHEMA.user, Me())


def true(made: Any, row: Mapping[str, Any] = ROWS["Book"][0], given: Circumstances = ADA, **more: Any) -> bool:
    """Whether a condition holds; its negation must say the opposite to a signed-in actor."""
    rule: Condition = condition(made)
    answer = holds(rule, BOOK, row, given, **more)
    if given.me is not None:
        assert holds(Not(rule), BOOK, row, given, **more) is not answer
    return answer


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (SELF.title == "Öl & Tee", True),
        (SELF.title < "Z", False),  # by code point
        (contains(SELF.title, "öl"), False),
        (icontains(SELF.title, "OL"), True),
        (starts_with(SELF.title, "Öl"), True),
        (contains(SELF.tags, "new"), True),
        (contains(SELF.tags, "ne"), False),
        (one_of(SELF.state, "draft", "sent"), True),
        (SELF.pages > 0, False),
        (SELF.pages == None, True),  # noqa: E711
        (is_null(SELF.title), False),
        (SELF.price == 100, True),
        (SELF.price < Money(101, "EUR"), True),
        (one_of(SELF.price, 1, 100), True),
        (SELF.fee < Money(100, "EUR"), False),
        (SELF.fee == Money(5, "USD"), True),
        (SELF.fee.currency == "USD", True),
        (SELF.price.amount >= 100, True),
        (SELF.weight == "1.5", True),
        (SELF.weight * 2 == "3.00", True),
        (SELF.printed <= now(), True),
        (SELF.printed > now() - timedelta(days=1), True),
        (Compare("eq", Path(("printed", "month")), Value("2026-11")), True),
        (Compare("eq", Path(("day", "year")), Value("2026")), True),
        (SELF.loan == "P1D", True),
        (SELF.author == ME, True),
        (SELF.author.email == ME.email, True),
        (SELF.author.name == "Ada", True),
        (SELF.editor.name == "Ada", False),
        (contains(ME.roles, "staff"), True),
        (SELF.cost == 201, True),
        (SELF.long == False, True),  # noqa: E712
        (coalesce(SELF.pages, 7) == 7, True),
        (choose(SELF.price > 50, SELF.title, "cheap") == "Öl & Tee", True),
        (choose(is_null(SELF.pages), "none", SELF.title) == "none", True),
        (SELF.title + "!" == "Öl & Tee!", True),
        (SELF.author.books.count() == 2, True),
        (SELF.editor.books.count() == 0, True),
        (SELF.author.books.sum(lambda it: it.price) == 200, True),
        (SELF.author.books.max(lambda it: it.loan) == "P3D", True),
        (SELF.author.books.min(lambda it: it.pages) == 1, False),
        (SELF.author.books.sum(lambda it: it.loan, lambda it: it.pages > 1) == "PT0S", True),
        (SELF.author.books.some(lambda it: it.loan > SELF.loan), True),
        (SELF.author.books.every(lambda it: it.author == ME), True),
        (SELF.author.books.none(lambda it: it.title == "x"), True),
        (Search(Value("te ol")), False),
        (Search(Value("ol te")), True),
        (Search(Value("")), False),
    ],
)  # fmt: skip
def test_each_operand(made: Any, expected: bool) -> None:
    assert true(made if not isinstance(made, Search) else both(made, condition(ME.signed_in))) is expected


def test_nobody_is_let_in_by_a_negation() -> None:
    for made in (SELF.author == ME, ME.has_role("staff"), contains(ME.roles, "staff")):
        assert true(made, given=NOBODY) is False
        assert true(not_(made), given=NOBODY) is False
    mine = SELF.author.books.none(lambda it: it.author == ME)
    assert true(mine, given=NOBODY) is False
    assert true(not_(SELF.author.books.some(lambda it: it.author == ME)), given=NOBODY) is False
    assert true(not_(ME.signed_in), given=NOBODY) is True


def test_an_ownerless_record_is_nobodys() -> None:
    assert true(SELF.author == ME, ROWS["Book"][1], NOBODY) is False
    assert true(SELF.author == ME, ROWS["Book"][1]) is False


def test_old_and_new() -> None:
    before, after = book(10, state="draft"), book(10, state="sent")
    sent = (old(SELF.state) == "draft") & (new(SELF.state) == "sent")
    assert true(sent, after, old=before) is True
    assert true(sent, after, old=after) is False
    assert true(old(SELF.state) == "draft", after) is False  # nothing was there before


def test_records_through_another_model() -> None:
    shelf = ROWS["Shelf"][0]
    books = Path(("books",))
    assert value_of(Total("count", books, None, IsNull(Path(("pages",), 1))), SHELF, shelf, ADA) == 1
    assert value_of(Total("sum", books, Path(("pages",), 1), both()), SHELF, shelf, ADA) == 200


def test_values_that_were_lifted_out() -> None:
    given = Circumstances(SCHEMA.user, Kept(), NOON, values=("draft", [1, 100]))
    assert holds(Compare("eq", Path(("state",)), Slot(0)), BOOK, ROWS["Book"][0], given) is True
    assert holds(Compare("in", Path(("price",)), Slot(1)), BOOK, ROWS["Book"][0], given) is True


def test_computed_values() -> None:
    first, second, _ = ROWS["Book"]
    assert value_of(BOOK.computed["cost"].value, BOOK, first, ADA) == Money(201, "EUR")
    assert value_of(BOOK.computed["cost"].value, BOOK, second, ADA) is None
    assert value_of(BOOK.computed["long"].value, BOOK, second, ADA) is True
