"""The examples in the docstrings of money and payments run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "name",
    ["currency", "payments.port", "payments.signature", "payments.play_deliveries", "payments.play_page"],
)  # fmt: skip
def test_the_examples_run(name: str) -> None:
    found = doctest.testmod(import_module(f"backstay.commerce.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)
