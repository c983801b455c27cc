"""How many decimals a currency has, and how an amount is written for people.

Invariant: an amount is a whole number of minor units everywhere; the point is put in here alone, for reading.
"""

from __future__ import annotations

from backstay.model.value import Money

_DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
"""What differs from two, by ISO 4217."""


def digits_of(currency: str) -> int:
    """How many decimals a currency has: 2 for EUR, 0 for JPY, 3 for KWD.

    >>> [digits_of(currency) for currency in ("EUR", "JPY", "KWD")]
    [2, 0, 3]
    """
    return _DIGITS.get(currency, 2)


def written(money: Money) -> str:
    """An amount for people: its decimals behind a point, and the code of its currency.

    >>> written(Money(1999, "EUR")), written(Money(-5, "KWD")), written(Money(1999, "JPY"))
    ('19.99 EUR', '-0.005 KWD', '1999 JPY')
    """
    digits = digits_of(money.currency)
    whole, rest = divmod(abs(money.amount), 10**digits)
    sign = "-" if money.amount < 0 else ""
    return f"{sign}{whole}{f'.{rest:0{digits}}' if digits else ''} {money.currency}"
