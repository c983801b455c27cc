"""What mail keeps: an ordinary model, hidden from every protocol and without a single rule.

Invariant: one row for each thing that is written about, whatever becomes of it; what a mail was told is encrypted, for
it may hold links that open something, and is gone once the mail is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import annotated_types as at

from backstay.model.declare import Model
from backstay.model.field import Index
from backstay.model.rule import index, unique
from backstay.model.value import Encrypted, Json


class MailMessage(Model):
    """One mail, from the transaction that wrote it to what became of it."""

    about: Annotated[str, at.Len(1, 200)]
    mail: Annotated[str, at.Len(1, 100)]
    to: Annotated[str, at.Len(1, 254)]
    language: Annotated[str, at.Len(0, 35)] = ""
    message_id: Annotated[str, at.Len(1, 300)]
    told: Encrypted[Json] | None = None
    state: Literal["waiting", "sent", "dropped", "refused", "given_up"] = "waiting"
    why: Annotated[str, at.Len(0, 500)] = ""
    attempts: int = 0
    ended_at: datetime | None = None

    def indexes(self) -> list[Index]:
        return [unique(self.about), index(self.state, self.created_at)]


HIDDEN: tuple[type[Model], ...] = (MailMessage,)
"""For `declare(models, hidden=HIDDEN)`: every application has them."""
