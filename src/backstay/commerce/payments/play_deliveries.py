"""The messages that the provider of play money owes, and the mischief that may be done to them.

Invariant: a message is put down in the transaction of what it is about, and is owed until somebody answered 2xx; the
same message may be delivered more than once, late, behind later ones, or never. What becomes of a message is decided
by the seed and by what it is about, so that a run can be repeated.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, TypeAlias

import apsw
import msgspec

Sink: TypeAlias = Callable[[bytes, Mapping[str, str]], Awaitable[int]]
"""Takes the body and the headers of a message, and returns the status that it was answered with."""

LEASE_MS = 60_000
MOST_ATTEMPTS = 16
_LONGEST_PAUSE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Mischief:
    """What is done to messages: how many of a hundred are doubled, delayed, moved behind later ones, or never sent.

    A delayed one waits up to `most_seconds`, one that is moved up to a second. The same `seed` does the same again.

    >>> Mischief(seed="1", drop=100).fate("payment.captured of p1")
    ()
    """

    seed: str = ""
    duplicate: int = 0
    delay: int = 0
    reorder: int = 0
    drop: int = 0
    most_seconds: int = 30

    def __post_init__(self) -> None:
        for name in ("duplicate", "delay", "reorder", "drop"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} is how many of a hundred: 0 to 100, not {getattr(self, name)}.")

    def fate(self, subject: str) -> tuple[int, ...]:
        """In how many milliseconds each copy of the message about `subject` is due; none where it is dropped."""
        if self._drawn("drop", subject) % 100 < self.drop:
            return ()
        copies = 2 if self._drawn("duplicate", subject) % 100 < self.duplicate else 1
        return tuple(self._late(f"{subject} {copy}") for copy in range(copies))

    def _late(self, subject: str) -> int:
        late = 0
        if self._drawn("delay", subject) % 100 < self.delay:
            late += self._drawn("delayed", subject) % (self.most_seconds * 1000 + 1)
        if self._drawn("reorder", subject) % 100 < self.reorder:
            late += self._drawn("reordered", subject) % 1001
        return late

    def _drawn(self, what: str, subject: str) -> int:
        return int.from_bytes(hmac.digest(self.seed.encode() or b"none", f"{what} {subject}".encode(), "sha256")[:8])


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery that this process has taken on."""

    id: int
    event: str
    body: bytes
    attempts: int


class PlayDeliveries:
    """The table of messages that are owed, over the connection of the books."""

    def __init__(self, raw: apsw.Connection, mischief: Mischief) -> None:
        self._raw = raw
        self._mischief = mischief

    def put_down(self, type: str, payment: str, reference: str, mark: str, now: int) -> None:
        """Owe a message, in the transaction of what it is about."""
        event = f"evt_{token_hex(16)}"
        said = {"id": event, "type": type, "created": now // 1000, "data": {"payment": payment, "reference": reference}}
        body = msgspec.json.encode(said)
        for late in self._mischief.fate(f"{type} {payment} {mark}"):
            self._raw.execute(
                "INSERT INTO deliveries (event, body, due, attempts, leased, state) VALUES (?, ?, ?, 0, 0, 'owed')",
                (event, body, now + late),
            )

    def take(self, now: int) -> Owed | None:
        """The next delivery that is due and that no other process is making; it is this one's for a minute."""
        row: Any = self._raw.execute(
            "UPDATE deliveries SET leased = ?, attempts = attempts + 1 WHERE id = (SELECT id FROM deliveries "
            "WHERE state = 'owed' AND due <= ? AND leased <= ? ORDER BY due, id LIMIT 1) "
            "RETURNING id, event, body, attempts",
            (now + LEASE_MS, now, now),
        ).fetchone()
        return None if row is None else Owed(*row)

    def settle(self, owed: Owed, status: int, now: int) -> None:
        """What a delivery was answered: 2xx ends it, anything else puts it off, and sixteen of those give it up."""
        if 200 <= status < 300:
            state, due = "delivered", now
        else:
            state = "given_up" if owed.attempts >= MOST_ATTEMPTS else "owed"
            due = now + min(1000 * 2**owed.attempts, _LONGEST_PAUSE_MS)
        self._raw.execute("UPDATE deliveries SET state = ?, due = ?, leased = 0 WHERE id = ?", (state, due, owed.id))

    def owed(self) -> int:
        """How many are owed, due or not."""
        row: Any = self._raw.execute("SELECT count(*) FROM deliveries WHERE state = 'owed'").fetchone()
        return int(row[0])
