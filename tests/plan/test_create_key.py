"""A create with an id chosen by the caller writes that id into the row, and not only into the plan."""

from __future__ import annotations

from datetime import UTC, datetime

from backstay.model.declare import Model
from backstay.model.schema import declare
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create
from backstay.plan.limits import Limits
from backstay.plan.write import plan_write, shape_of

CHOSEN = "00000000-0000-7000-8000-000000000001"
MADE = "00000000-0000-7000-8000-000000000002"


class Note(Model):
    """Something written down."""

    text: str


def test_a_chosen_id_is_the_id_of_the_row() -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    for key, expected in ((CHOSEN, CHOSEN), (None, MADE)):
        ask = Create("Note", {"text": "a"}, key)
        plan = plan_write(ask, shape_of(ask, declare([Note]), SYSTEM, Limits()), SYSTEM, MADE, moment)
        assert (plan.key, plan.values["id"]) == (expected, expected)
