"""The benchmark's shop is the same for everybody, and its questions have answers worth asking for."""

import hashlib
from collections.abc import Iterator
from uuid import UUID

import pytest

from benchmarks.dataset import Dataset, Kind, instant_of, number_of, uuid_of
from benchmarks.workloads import (
    ORDERS_PAGE,
    PAGE,
    Oracle,
    OrdersAnswer,
    OrdersOf,
    ProductAnswer,
    ProductById,
    ProductsAnswer,
    Workload,
    questions,
    signed_in,
)

SHOP = Dataset(0.05)


def every_row(dataset: Dataset) -> Iterator[object]:
    yield from dataset.customers()
    yield from dataset.categories()
    yield from dataset.products()
    yield from dataset.orders()
    yield from dataset.items()


def test_the_rows_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256("\n".join(map(str, every_row(SHOP))).encode()).hexdigest()
    assert digest == "2fefdb20b5ccc3349ea5a924a48115ce9a062ee8e8310b8aeaf313ce76dd8579"


def test_scale_one_is_the_shop_of_the_published_figures() -> None:
    shop = Dataset()
    assert (shop.customer_count, shop.category_count, shop.product_count) == (10_000, 50, 20_000)
    assert (shop.order_count, shop.row_count) == (50_000, 230_050)
    assert len(signed_in(shop)) == 200


def test_an_id_is_a_version_7_uuid_in_the_order_of_creation() -> None:
    ids = [uuid_of(Kind.ORDER, number) for number in range(1_000)]
    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert (ids[7].int >> 80) / 1000 == instant_of(Kind.ORDER, 7).timestamp()


def test_an_id_leads_back_to_its_row_and_to_no_other() -> None:
    assert [number_of(Kind.ITEM, str(uuid_of(Kind.ITEM, number))) for number in range(100)] == list(range(100))
    forged = UUID(int=uuid_of(Kind.ITEM, 5).int + 1)
    with pytest.raises(ValueError, match="is not the id of a item"):
        number_of(Kind.ITEM, str(forged))


def test_references_lead_to_rows_that_exist() -> None:
    assert {product.category for product in SHOP.products()} == set(range(SHOP.category_count))
    assert max(item.product for item in SHOP.items()) < SHOP.product_count
    assert max(order.customer for order in SHOP.orders()) < SHOP.customer_count


def test_the_total_of_an_order_is_what_its_items_cost() -> None:
    spent: dict[int, int] = {}
    for item in SHOP.items():
        spent[item.order] = spent.get(item.order, 0) + item.price
    assert [order.total for order in SHOP.orders()] == [spent[number] for number in range(SHOP.order_count)]


@pytest.mark.parametrize("workload", Workload)
def test_questions_are_the_same_in_every_run(workload: Workload) -> None:
    assert questions(workload, SHOP) == questions(workload, Dataset(0.05))


def test_every_page_that_is_asked_for_is_full() -> None:
    oracle = Oracle(SHOP)
    for question in questions(Workload.W2, SHOP)[:200]:
        answer = oracle.answer(question)
        assert isinstance(answer, ProductsAnswer)
        assert (len(answer.products), answer.total) == (PAGE, None)
    for question in questions(Workload.W3, SHOP):
        history = oracle.answer(question)
        assert isinstance(history, OrdersAnswer)
        assert [len(lines) for _, lines in history.orders] == [3] * ORDERS_PAGE


def test_the_oracle_answers_by_the_words_of_the_question() -> None:
    oracle = Oracle(SHOP)
    product = SHOP.product(17)
    assert oracle.answer(ProductById(17)) == ProductAnswer(17, product.name, product.price, product.category)
    (question,) = questions(Workload.W2B, SHOP)[:1]
    found = sorted(
        (product.price, product.number)
        for product in SHOP.products()
        if product.category == question.category and question.low <= product.price < question.high
    )
    assert oracle.answer(question) == ProductsAnswer(tuple(number for _, number in found[:PAGE]), len(found))
    history = oracle.answer(OrdersOf(3))
    assert isinstance(history, OrdersAnswer)
    mine = [order.number for order in SHOP.orders() if order.customer == 3]
    assert [order for order, _ in history.orders] == mine[: -ORDERS_PAGE - 1 : -1]
