"""Whether a shop sold what it had, and nothing else: what is gone from the shelves is in the orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.dataset import FEW
from benchmarks.processes import ServerFailed

DONE = (200, 201)
LATER = (429, 503)
"""Told to come again."""


@dataclass(frozen=True, slots=True)
class Count:
    """What there is of a product, and what all order items together say was sold."""

    stock: int
    sold: int


def take_stock(label: str, before: Mapping[int, Count], now: Mapping[int, Count]) -> None:
    """Raise `ServerFailed` where something is gone that was not sold, was sold and is there, or never was there."""
    for product, then in before.items():
        gone, sold = then.stock - now[product].stock, now[product].sold - then.sold
        if gone != sold or now[product].stock < 0:
            raise ServerFailed(f"{label}: {gone} of product {product} are gone and {sold} were sold")


def judge_rush(label: str, statuses: Sequence[int], before: Count, after: Count) -> None:
    """Raise `ServerFailed` unless of many who came at once exactly as many bought as there were pieces."""
    bought = sum(status in DONE for status in statuses)
    if (bought, after.stock, after.sold - before.sold) != (FEW, 0, FEW) or max(statuses) >= 500:
        raise ServerFailed(
            f"{label}: of {FEW} pieces {bought} were bought, {after.sold - before.sold} are in orders, "
            f"{after.stock} are left; it answered {sorted(set(statuses))}"
        )
