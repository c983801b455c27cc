"""The guide says what the port and the provider of tests can answer: all of it, in the same words."""

from __future__ import annotations

from typing import get_args

from backstay.commerce.payments.play_deliveries import MOST_ATTEMPTS
from backstay.commerce.payments.play_money import METHODS
from backstay.commerce.payments.port import Reason
from tests.docs.test_reference import DOCS, rows

GUIDE = DOCS / "guides" / "payments.md"


def test_every_method_and_every_reason_is_in_the_guide() -> None:
    shown = {cells[0].strip("`"): cells[1] for cells in rows(GUIDE.read_text())}
    assert {name: shown[name] for name in METHODS} == METHODS
    assert set(get_args(Reason)) == {name for name in shown if name not in METHODS and "`" not in shown[name]} - {
        "authorize", "capture`, `void`, `refund", "lookup",
    }  # fmt: skip


def test_how_often_a_message_is_sent_is_in_the_guide() -> None:
    assert MOST_ATTEMPTS == 16
    assert "and sixteen times" in GUIDE.read_text()
