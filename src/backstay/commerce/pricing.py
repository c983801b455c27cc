"""What a cart costs: lines, discount, shipping and tax, worked out of frozen values into frozen values.

Invariant: integers in minor units all the way; each amount is rounded once, half up, and what is spread over lines is
that exactly. Of each line net and tax are its total, and all totals and the shipping are what is paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

WHOLE = 10_000
"""A hundred percent, in hundredths of a percent."""
ANYWHERE = "*"
CodeKind: TypeAlias = Literal["percent", "fixed", "free_shipping"]


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one thing, at a price for one."""

    key: str
    quantity: int
    unit: int
    tax_class: str = "standard"


@dataclass(frozen=True, slots=True)
class Rates:
    """What countries take, by country and class, in hundredths of a percent. `*` is every country without rates."""

    known: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, rates: Iterable[tuple[str, str, int]]) -> Rates:
        """Rates by country and class."""
        return cls({(country, tax_class): rate for country, tax_class, rate in rates})

    def rate(self, country: str, tax_class: str) -> int:
        """What a country takes of a class: its own rate, that of every country, or nothing."""
        return self.known.get((country, tax_class), self.known.get((ANYWHERE, tax_class), 0))


@dataclass(frozen=True, slots=True)
class Code:
    """What lowers the price: `percent` in hundredths of a percent, or an `amount`, or the shipping."""

    kind: CodeKind
    percent: int = 0
    amount: int = 0
    minimum: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """What shipping into a country costs, up to a weight, from what the lines come to after their discount."""

    country: str
    up_to_g: int | None
    from_total: int | None
    price: int


@dataclass(frozen=True, slots=True)
class Method:
    """A way to ship, with its rates."""

    tax_class: str
    rates: tuple[Rate, ...]

    def price(self, country: str, weight_g: int, total: int) -> int | None:
        """What it costs: the cheapest rate that fits, of the country's own, or else of every country's."""
        for where in (country, ANYWHERE):
            fitting = [
                rate.price for rate in self.rates
                if rate.country == where and (rate.up_to_g is None or weight_g <= rate.up_to_g)
                and (rate.from_total is None or total >= rate.from_total)
            ]  # fmt: skip
            if fitting:
                return min(fitting)
        return None


@dataclass(frozen=True, slots=True)
class Priced:
    """One line with all that it costs. `unit` and `discount` are as prices are shown."""

    key: str
    quantity: int
    unit: int
    discount: int
    net: int
    tax: int
    total: int
    tax_rate: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What all of it costs. `shipping` is with its tax; `tax` is all the tax, in `total`."""

    lines: tuple[Priced, ...]
    subtotal: int
    discount: int
    shipping: int
    shipping_tax: int
    tax: int
    total: int


class CodeRefused(Exception):
    """A code does not count: `code_not_valid`, `code_not_yet`, `code_over` or `code_minimum`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NoShipping(Exception):
    """No rate of a method fits."""


def price(
    lines: Sequence[Line], *, currency: str, country: str, rates: Rates, includes_tax: bool, now: datetime,
    code: Code | None = None, method: Method | None = None, weight_g: int = 0,
) -> Totals:  # fmt: skip
    """What lines cost, sent to a country, with a code and by a method. Raises `CodeRefused` and `NoShipping`."""
    amounts = [line.unit * line.quantity for line in lines]
    subtotal = sum(amounts)
    discount = 0 if code is None else _discount(code, subtotal, now)
    parts = spread(discount, amounts)
    priced = []
    for line, amount, part in zip(lines, amounts, parts, strict=True):
        rate = rates.rate(country, line.tax_class)
        net, tax = taxed(amount - part, rate, includes_tax=includes_tax)
        priced.append(Priced(line.key, line.quantity, line.unit, part, net, tax, net + tax, rate))
    shipping = shipping_tax = 0
    if method is not None and lines:
        asked = method.price(country, weight_g, subtotal - discount)
        if asked is None:
            raise NoShipping
        if code is None or code.kind != "free_shipping":
            net, shipping_tax = taxed(asked, rates.rate(country, method.tax_class), includes_tax=includes_tax)
            shipping = net + shipping_tax
    total = sum(line.total for line in priced) + shipping
    return Totals(
        tuple(priced),
        subtotal,
        discount,
        shipping,
        shipping_tax,
        sum(line.tax for line in priced) + shipping_tax,
        total,
    )


def _discount(code: Code, subtotal: int, now: datetime) -> int:
    if not code.active:
        raise CodeRefused(code="code_not_valid")
    if code.starts_at is not None and now < code.starts_at:
        raise CodeRefused(code="code_not_yet")
    if code.ends_at is not None and now >= code.ends_at:
        raise CodeRefused(code="code_over")
    if subtotal < code.minimum:
        raise CodeRefused(code="code_minimum")
    if code.kind == "percent":
        return min(subtotal, half_up(subtotal * code.percent, WHOLE))
    return min(subtotal, code.amount) if code.kind == "fixed" else 0


def taxed(amount: int, rate: int, *, includes_tax: bool) -> tuple[int, int]:
    """Net and tax of an amount that has its tax in it, or gets it on top."""
    if includes_tax:
        net = half_up(amount * WHOLE, WHOLE + rate)
        return net, amount - net
    return amount, half_up(amount * rate, WHOLE)


def half_up(dividend: int, divisor: int) -> int:
    """A quotient of numbers that are not negative, rounded half up."""
    return (2 * dividend + divisor) // (2 * divisor)


def spread(amount: int, over: Sequence[int]) -> list[int]:
    """An amount in parts that are as the weights, and come to it exactly: the largest remainders get what is left."""
    whole = sum(over)
    if whole == 0:
        return [0 for _ in over]
    parts = [amount * weight // whole for weight in over]
    rest = amount - sum(parts)
    largest = sorted(range(len(over)), key=lambda at: (-(amount * over[at] % whole), at))
    for at in largest[:rest]:
        parts[at] += 1
    return parts


def share(total: int, quantity: int, before: int, returned: int) -> int:
    """What `returned` of a line are worth, of which `before` came back earlier: all of them come to its total."""
    return total * (before + returned) // quantity - total * before // quantity
