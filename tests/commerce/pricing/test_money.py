"""Random carts, codes, taxes, shipping and refunds: every sum agrees to the unit, in currencies of 0, 2 and 3 decimals.

What should come out is worked out here a second time, with exact fractions. `make test` tries some thousand carts,
`make money` a million. The faults at the end are ones that people make; each of them has to be seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from backstay.commerce import pricing
from backstay.commerce.ledger import captured, refunded
from backstay.commerce.pricing import ANYWHERE, Code, CodeRefused, Line, Method, NoShipping, Rate, Rates, Totals, price
from backstay.commerce.refund import tax_in

CASES = int(os.environ.get("MONEY_CASES", "3000"))
CURRENCIES = {"JPY": 0, "EUR": 2, "KWD": 3}
CLASSES = ("standard", "food", "books", "none")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def draw(chance: Random) -> dict[str, Any]:
    """A cart, and the terms under which it is sold."""
    currency = chance.choice(sorted(CURRENCIES))
    most = 10 ** (12 if chance.random() < 0.05 else chance.randint(0, 4 + CURRENCIES[currency]))
    lines = [
        Line(str(at), chance.choice((1, 1, 2, 3, 7, chance.randint(1, 1_000))), chance.randint(0, most),
             chance.choice(CLASSES))
        for at in range(chance.choice((1, 1, 2, 3, 5, 20)))
    ]  # fmt: skip
    rates = Rates.of(
        (country, tax_class, chance.choice((0, 250, 550, 700, 770, 1900, 2000, 2550, chance.randint(0, 9_999))))
        for country in ("DE", "CH", ANYWHERE) for tax_class in CLASSES if chance.random() < 0.7
    )  # fmt: skip
    code = None
    if chance.random() < 0.6:
        kind = chance.choice(("percent", "fixed", "free_shipping"))
        minimum = chance.choice((0, 0, chance.randint(0, most)))
        code = Code(kind, chance.randint(0, 10_000), chance.randint(0, 3 * most), minimum)  # type: ignore[arg-type]
    method = None
    if chance.random() < 0.8:
        bands = [
            Rate(chance.choice(("DE", ANYWHERE)), chance.choice((None, 500, 5_000)), chance.choice((None, most)),
                 chance.randint(0, 5_000))
            for _ in range(chance.randint(1, 4))
        ]  # fmt: skip
        method = Method(chance.choice(CLASSES), tuple(bands))
    return {
        "lines": lines, "currency": currency, "country": chance.choice(("DE", "CH", "FR")), "rates": rates,
        "includes_tax": chance.random() < 0.5, "now": NOW, "code": code, "method": method,
        "weight_g": chance.randint(0, 6_000),
    }  # fmt: skip


def rounded(exact: Fraction) -> int:
    """Half up, of what is not negative."""
    return int(exact + Fraction(1, 2))


def check(asked: dict[str, Any], totals: Totals) -> None:
    """All that must be so of what a cart costs."""
    rates, includes, code = asked["rates"], asked["includes_tax"], asked["code"]
    amounts = [line.unit * line.quantity for line in asked["lines"]]
    assert totals.subtotal == sum(amounts)
    wanted = 0
    if code is not None and code.kind == "percent":
        wanted = rounded(Fraction(totals.subtotal * code.percent, 10_000))
    elif code is not None and code.kind == "fixed":
        wanted = min(code.amount, totals.subtotal)
    assert totals.discount == wanted
    assert 0 <= totals.discount <= totals.subtotal
    assert sum(line.discount for line in totals.lines) == totals.discount
    for line, amount in zip(totals.lines, amounts, strict=True):
        assert 0 <= line.discount <= amount
        if totals.subtotal:
            assert abs(line.discount - Fraction(totals.discount * amount, totals.subtotal)) < 1
        tax_class = asked["lines"][int(line.key)].tax_class
        own = rates.known.get((asked["country"], tax_class))
        assert line.tax_rate == (own if own is not None else rates.known.get((ANYWHERE, tax_class), 0))
        _taxed(amount - line.discount, line.net, line.tax, line.tax_rate, includes=includes)
        assert line.total == line.net + line.tax
    shipping_net = totals.shipping - totals.shipping_tax
    if asked["method"] is not None and (code is None or code.kind != "free_shipping"):
        fitting = _fitting(asked, totals.subtotal - totals.discount)
        rate = rates.rate(asked["country"], asked["method"].tax_class)
        _taxed(min(fitting), shipping_net, totals.shipping_tax, rate, includes=includes)
    else:
        assert (totals.shipping, totals.shipping_tax) == (0, 0)
    assert totals.tax == sum(line.tax for line in totals.lines) + totals.shipping_tax
    assert totals.total == sum(line.total for line in totals.lines) + totals.shipping
    if includes:  # what was shown is what is paid
        assert totals.total == totals.subtotal - totals.discount + totals.shipping
    assert min(totals.total, totals.tax, totals.shipping, totals.shipping_tax, shipping_net) >= 0


def _fitting(asked: dict[str, Any], worth: int) -> list[int]:
    for where in (asked["country"], ANYWHERE):
        found = [
            rate.price for rate in asked["method"].rates
            if rate.country == where and asked["weight_g"] <= (rate.up_to_g if rate.up_to_g is not None else 10**9)
            and worth >= (rate.from_total or 0)
        ]  # fmt: skip
        if found:
            return found
    raise AssertionError("nothing fits, and yet there is a price")


def _taxed(amount: int, net: int, tax: int, rate: int, *, includes: bool) -> None:
    if includes:
        assert net == rounded(Fraction(amount * 10_000, 10_000 + rate))
        assert net + tax == amount
    else:
        assert (net, tax) == (amount, rounded(Fraction(amount * rate, 10_000)))


def give_back(chance: Random, totals: Totals) -> None:
    """All lines come back, in any order and in any parts; then the money, in any parts: nothing is lost or made."""
    came = 0
    for line in totals.lines:
        before, worth = 0, 0
        while before < line.quantity:
            quantity = chance.randint(1, line.quantity - before)
            part = pricing.share(line.total, line.quantity, before, quantity)
            assert 0 <= part <= line.total
            assert abs(part - Fraction(line.total * quantity, line.quantity)) < 1
            before, worth = before + quantity, worth + part
        assert worth == line.total
        came += worth
    assert came == totals.total - totals.shipping
    order: Any = SimpleNamespace(total=SimpleNamespace(amount=totals.total), tax=SimpleNamespace(amount=totals.tax))
    went = taxes = 0
    entries = captured(
        totals.total, shipping=totals.shipping - totals.shipping_tax, discount=totals.discount, tax=totals.tax,
        held=totals.total,
    )  # fmt: skip
    assert sum(entries.values()) == 0
    books = dict(entries)
    while went < totals.total:
        amount = chance.randint(1, totals.total - went) if chance.random() < 0.7 else totals.total - went
        tax = tax_in(order, went, amount)
        assert 0 <= tax <= amount
        booked = refunded(amount, tax=tax)
        assert sum(booked.values()) == 0
        for account, moved in booked.items():
            books[account] = books.get(account, 0) + moved
        went, taxes = went + amount, taxes + tax
    assert taxes == totals.tax
    assert (books["provider"], books["tax"]) == (0, 0)


def work(cases: int, seed: int = 1) -> int:
    """So many carts; how many of them had a price."""
    chance, priced = Random(seed), 0
    for number in range(cases):
        asked = draw(chance)
        if os.environ.get("MONEY_CASES") and number % 50_000 == 0:
            print(f"{number:,} of {cases:,}", flush=True)
        try:
            totals = price(**asked)
        except CodeRefused:
            assert sum(line.unit * line.quantity for line in asked["lines"]) < asked["code"].minimum
            continue
        except NoShipping:
            continue
        check(asked, totals)
        give_back(chance, totals)
        priced += 1
    return priced


def test_every_sum_agrees_to_the_unit() -> None:
    assert work(CASES) > CASES / 2


def test_worked_by_hand() -> None:
    """19 % in 19.99 and 7 % in 7.90, ten percent off, 4.90 for shipping: every cent of it on paper.

    27.89 less 2.79 is 25.10. Of 2.79, 19.99/27.89 are 1.9997, and 7.90/27.89 are 0.7903: 2.00 and 0.79. Net of 17.99 is
    17.99/1.19 = 15.1176, of 7.11 is 7.11/1.07 = 6.6449, of 4.90 is 4.90/1.19 = 4.1176.
    """
    rates = Rates.of([("DE", "standard", 1900), ("DE", "food", 700)])
    lines = [Line("0", 1, 1999), Line("1", 1, 790, "food")]
    post = Method("standard", (Rate("DE", None, None, 490),))
    ten = Code("percent", percent=1000)
    found = price(
        lines, currency="EUR", country="DE", rates=rates, includes_tax=True, now=NOW, code=ten, method=post
    )  # fmt: skip
    assert [(line.discount, line.net, line.tax, line.total) for line in found.lines] == [
        (200, 1512, 287, 1799), (79, 664, 47, 711),
    ]  # fmt: skip
    assert (found.subtotal, found.discount, found.shipping, found.shipping_tax, found.tax, found.total) == (
        2789, 279, 490, 78, 412, 3000,
    )  # fmt: skip


def _banker(dividend: int, divisor: int) -> int:
    return round(Fraction(dividend, divisor))


def _by_float(dividend: int, divisor: int) -> int:
    return int(dividend / divisor + 0.5)


def _down(dividend: int, divisor: int) -> int:
    return dividend // divisor


def _even(amount: int, over: list[int]) -> list[int]:
    return [_banker(amount * weight, sum(over) or 1) for weight in over]


def _rounded_share(total: int, quantity: int, before: int, returned: int) -> int:
    return _banker(total * returned, quantity)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("half_up", _banker), ("half_up", _by_float), ("half_up", _down), ("spread", _even), ("share", _rounded_share)],
    ids=["half to even", "floating point", "rounded down", "spread by rounding", "shares by rounding"],
)
def test_planted_faults_are_seen(name: str, fault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, name, fault)
    with pytest.raises(AssertionError):
        work(3_000)


def test_a_tax_that_is_rounded_for_each_refund_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(order: Any, before: int, amount: int) -> int:
        return pricing.half_up(amount * order.tax.amount, order.total.amount)

    monkeypatch.setitem(globals(), "tax_in", alone)
    with pytest.raises(AssertionError):
        work(3_000)
