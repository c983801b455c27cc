"""What a question about groups may not ask: two things in one place, and sums over two currencies."""

from typing import Annotated

import pytest

from backstay.errors import BadRequest
from backstay.model.declare import Model, User
from backstay.model.rule import Rules, anyone
from backstay.model.schema import declare
from backstay.model.value import Currency, Money
from backstay.plan.actor import ANONYMOUS
from backstay.plan.ask import Aggregate, Ask, Measure
from backstay.plan.limits import Limits
from backstay.plan.planner import plan_read


class Sale(Model):
    sum: int
    paid: Money
    price: Annotated[Money, Currency("EUR")]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


SCHEMA = declare([Sale])


def plan(groups: tuple[tuple[str, ...], ...], *measures: Measure) -> None:
    plan_read(Ask((Aggregate("Sale", groups, measures),)), SCHEMA, ANONYMOUS, Limits())


@pytest.mark.parametrize(
    ("groups", "measures"),
    [
        ((("price",), ("price", "currency")), (Measure("count", "count"),)),
        ((("sum",),), (Measure("sum.price", "sum", ("price",)),)),
    ],
)
def test_one_place_of_the_answer_is_taken_once(groups: tuple[tuple[str, ...], ...], measures: tuple[Measure]) -> None:
    with pytest.raises(BadRequest, match="twice"):
        plan(groups, *measures)


@pytest.mark.parametrize("path", [("paid",), ("paid", "amount")])
def test_amounts_of_two_currencies_are_not_added(path: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest, match=r"group_by=paid\.currency"):
        plan((), Measure("sum.paid", "sum", path))
    plan((("paid", "currency"),), Measure("total", "sum", path))
