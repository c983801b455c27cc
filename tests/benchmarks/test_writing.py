"""The writing workloads: what is bought, and that nobody who sells what is not there gets through."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from benchmarks.dataset import FEW, HOT, PLENTY, SCARCE, Dataset
from benchmarks.handwritten import ids
from benchmarks.handwritten.ids import new_id
from benchmarks.processes import ServerFailed
from benchmarks.stocktaking import Count, judge_rush, take_stock
from benchmarks.workloads import (
    RUSH,
    NewReview,
    Oracle,
    Purchase,
    PurchaseAnswer,
    ReviewAnswer,
    Workload,
    customer_of,
    questions,
    rush,
    signed_in,
)

SHOP = Dataset(0.05)


def test_everybody_buys_three_of_the_hot_products_or_the_one() -> None:
    for purchase in questions(Workload.W5, SHOP):
        assert isinstance(purchase, Purchase)
        assert len({product for product, _ in purchase.lines}) == 3
        assert all(product < HOT and 1 <= quantity <= 3 for product, quantity in purchase.lines)
    assert {q.lines[0][0] for q in questions(Workload.W5ONE, SHOP) if isinstance(q, Purchase)} == {0}
    assert {SHOP.product(number).stock for number in range(HOT)} == {PLENTY}
    assert {customer_of(question) for question in questions(Workload.W4, SHOP)} <= set(signed_in(SHOP))


def test_more_come_for_the_scarce_product_than_there_are_pieces() -> None:
    assert (SHOP.product(SCARCE).stock, len(rush(SHOP)), {q.lines for q in rush(SHOP)}) == (FEW, RUSH, {((SCARCE, 1),)})


def test_the_oracle_knows_what_writing_comes_to() -> None:
    oracle = Oracle(SHOP)
    assert oracle.answer(NewReview(1, 2, 3, "good")) == ReviewAnswer(2, 3, "good")
    cost = SHOP.product(5).price * 2 + SHOP.product(7).price
    assert oracle.answer(Purchase(1, ((5, 2), (7, 1)))) == PurchaseAnswer("paid", cost)


@pytest.mark.parametrize(
    ("now", "right"),
    [
        (Count(90, 15), True),
        (Count(90, 14), False),  # gone, and in nobody's order
        (Count(91, 15), False),  # sold, and still there
        (Count(-1, 106), False),  # sold what was not there
    ],
)
def test_what_is_gone_must_have_been_sold(now: Count, right: bool) -> None:
    with nullcontext() if right else pytest.raises(ServerFailed, match=r"shop: .* of product 0 are gone"):
        take_stock("shop", {0: Count(100, 5)}, {0: now})


@pytest.mark.parametrize(
    ("bought", "after", "others", "right"),
    [
        (FEW, Count(0, 7 + FEW), 409, True),
        (FEW + 1, Count(0, 7 + FEW), 409, False),  # one was told that it bought, and did not
        (FEW, Count(0, 8 + FEW), 409, False),
        (FEW, Count(-1, 7 + FEW), 409, False),
        (FEW, Count(0, 7 + FEW), 500, False),
    ],
)
def test_a_rush_sells_exactly_what_there_is(bought: int, after: Count, others: int, right: bool) -> None:
    with nullcontext() if right else pytest.raises(ServerFailed, match=f"of {FEW} pieces {bought} were bought"):
        judge_rush("shop", [201] * bought + [others] * (RUSH - bought), Count(FEW, 7), after)


def test_ids_of_new_rows_are_of_version_7_and_in_order() -> None:
    made = [new_id() for _ in range(100)]
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert [one.int >> 80 for one in made] == sorted(one.int >> 80 for one in made)
    assert len(set(made)) == 100


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/shop.db")
    monkeypatch.setenv("SECRET_KEY", "secret")
    from benchmarks.handwritten.sqlite import SqliteStore

    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript((Path(ids.__file__).parent.parent / "handwritten" / "sqlite.sql").read_text())
    at = "2030-01-01T00:00:00.000000Z"
    connection.execute("INSERT INTO category VALUES ('c', 'c', 'c', ?, ?)", (at, at))
    for number in range(3):
        values = (str(UUID(int=number)), f"{number}", 100, 60, number, at, at)
        connection.execute("INSERT INTO product VALUES (?1, ?2, ?2, 'd', ?3, ?4, 'c', ?5, ?6, ?7)", values)
    connection.commit()
    connection.close()
    store = SqliteStore(str(tmp_path / "shop.db"))
    await store.open()
    yield store
    store._connection.close()


async def test_one_that_finds_too_little_leaves_those_beside_it(store: Any) -> None:
    zero, one, two = (UUID(int=number) for number in range(3))
    customer = uuid4()
    outcomes = await asyncio.gather(
        store.purchase(customer, [(one, 1)]), store.purchase(customer, [(zero, 1), (two, 1)]),
        store.purchase(customer, [(two, 2)]), store.review(customer, two, 5, "fine"),
        store.review(customer, uuid4(), 5, "of nothing"),
    )  # fmt: skip
    assert [outcome is not None for outcome in outcomes] == [True, False, True, True, False]
    assert list(store._connection.execute("SELECT stock FROM product ORDER BY id")) == [(0,), (0,), (0,)]
    assert list(store._connection.execute("SELECT total FROM orders ORDER BY total")) == [(100,), (200,)]
    assert list(store._connection.execute("SELECT quantity, price FROM item ORDER BY price")) == [(1, 100), (2, 200)]
    assert list(store._connection.execute("SELECT stars, text FROM review")) == [(5, "fine")]
