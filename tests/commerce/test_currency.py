"""Amounts are written with the decimals of their currency, and only there."""

from __future__ import annotations

import pytest

from backstay import Money
from backstay.commerce.currency import digits_of, written


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1999, "EUR", "19.99 EUR"), (5, "EUR", "0.05 EUR"), (-5, "EUR", "-0.05 EUR"), (0, "EUR", "0.00 EUR"),
        (100, "USD", "1.00 USD"), (1999, "JPY", "1999 JPY"), (-1, "JPY", "-1 JPY"), (1050, "KWD", "1.050 KWD"),
        (-1, "BHD", "-0.001 BHD"), (10_001, "CLF", "1.0001 CLF"), (2**60, "EUR", "11529215046068469.76 EUR"),
    ],
)  # fmt: skip
def test_an_amount_is_written_with_its_decimals(amount: int, currency: str, shown: str) -> None:
    assert written(Money(amount, currency)) == shown


def test_what_iso_4217_says_of_decimals() -> None:
    assert {digits_of(one) for one in "EUR USD GBP CHF SEK HUF TWD".split()} == {2}
    assert {digits_of(one) for one in "JPY KRW VND CLP ISK XOF".split()} == {0}
    assert {digits_of(one) for one in "BHD IQD JOD KWD LYD OMR TND".split()} == {3}
