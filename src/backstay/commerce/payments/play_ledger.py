"""The books of the provider of play money: payments, captures, refunds and what was answered to each key, in one file.

Several processes share the file, each over a connection of its own. Invariant: a change, the answer to its key and
the messages about it are one transaction, and constraints of the tables keep refunded <= captured <= authorized <=
amount. It stands in for a company elsewhere: nothing of the application's own is in it, and the application never
reads it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Any, Literal, TypeAlias, TypeVar

import apsw

from backstay.commerce.payments.port import (
    Done,
    Intent,
    Movement,
    Outcome,
    Reason,
    Refused,
    State,
    Status,
)  # fmt: skip
from backstay.model.value import Money

T = TypeVar("T")
Tell: TypeAlias = Callable[[str, str, str, str], None]
"""Puts down that a message is owed: its type, our id, the provider's, and what tells it from others of its type."""

HOLDING_MS = 7 * 24 * 60 * 60 * 1000
"""How long an authorization lasts, in milliseconds."""

_TABLES = """
CREATE TABLE IF NOT EXISTS payments (
  id TEXT PRIMARY KEY, reference TEXT NOT NULL UNIQUE, secret TEXT NOT NULL UNIQUE, asked TEXT NOT NULL,
  order_number TEXT NOT NULL, method TEXT NOT NULL, return_url TEXT NOT NULL, currency TEXT NOT NULL,
  amount INTEGER NOT NULL, authorized INTEGER NOT NULL, captured INTEGER NOT NULL, refunded INTEGER NOT NULL,
  status TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER NOT NULL, told INTEGER NOT NULL,
  CHECK (0 <= refunded AND refunded <= captured AND captured <= authorized AND authorized <= amount)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS movements (
  reference TEXT PRIMARY KEY, payment TEXT NOT NULL REFERENCES payments, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
  amount INTEGER NOT NULL CHECK (amount > 0), at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS movements_of ON movements (payment, at);
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, asked TEXT NOT NULL, reason TEXT NOT NULL, reference TEXT NOT NULL, amount INTEGER NOT NULL,
  told INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, body BLOB NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL,
  leased INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due) WHERE state = 'owed';
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """One row of the books: the columns of the table, in their order."""

    id: str
    reference: str
    secret: str = field(repr=False)
    asked: str
    order_number: str
    method: str
    return_url: str
    currency: str
    amount: int
    authorized: int
    captured: int
    refunded: int
    status: Status
    reason: Reason | Literal[""]
    until: int
    told: int

    @property
    def money(self) -> Money:
        """What it is about."""
        return Money(self.amount, self.currency)


class PlayLedger:
    """The books in a file; `""` keeps them in memory, for one process. `tell` is told of every message that is owed."""

    def __init__(self, path: str, tell: Tell) -> None:
        if path and not Path(path).exists():
            _make(Path(path))
        self.raw = apsw.Connection(path or ":memory:")
        self.raw.set_busy_timeout(30_000)
        # A process that is killed loses nothing by it; a company elsewhere would not share our power cut.
        self.raw.execute("PRAGMA synchronous = NORMAL")
        self.raw.execute("PRAGMA foreign_keys = ON")
        with self.writing():
            self.raw.execute(_TABLES)
        self._tell = tell
        self._lock = Lock()

    def close(self) -> None:
        """Close the file."""
        self.raw.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, undone where something raises."""
        self.raw.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.raw.execute("ROLLBACK")
            raise
        self.raw.execute("COMMIT")

    def do(self, work: Callable[[], T]) -> T:
        """All of `work` in one transaction; one at a time, from whatever thread."""
        with self._lock, self.writing():
            return work()

    # What is asked. Each is called inside `do`.

    def payment(self, id: str) -> Payment | None:
        """A payment by our id."""
        return self._one("SELECT * FROM payments WHERE id = ?", id)

    def by_secret(self, secret: str) -> Payment | None:
        """A payment by the secret that its customer was given."""
        return self._one("SELECT * FROM payments WHERE secret = ?", secret)

    def state(self, payment: Payment) -> State:
        """The truth about a payment."""
        return State(
            payment.id, payment.reference, payment.status, payment.money, payment.authorized, payment.captured,
            payment.refunded, self._movements(payment),
        )  # fmt: skip

    def states(self) -> tuple[State, ...]:
        """The truth about all payments."""
        found: list[Any] = self.raw.execute("SELECT * FROM payments ORDER BY id").fetchall()
        return tuple(self.state(Payment(*row)) for row in found)

    # What is done. Each is called inside `do`.

    def begin(self, intent: Intent, status: Status, reason: Reason | Literal[""], now: int) -> Payment:
        """The payment of an intent: the one that is there, else a new one, which holds its money where it may."""
        if (known := self.payment(intent.id)) is not None:
            return known
        held = intent.amount.amount if status == "authorized" else 0
        made = Payment(
            intent.id, f"pay_{token_hex(16)}", f"secret_{token_hex(24)}", asked_by(intent), intent.order, intent.method,
            intent.return_url, intent.amount.currency, intent.amount.amount, held, 0, 0, status, reason,
            now + HOLDING_MS, 0,
        )  # fmt: skip
        self.raw.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(made))
        self._tell(f"payment.{status}", made.id, made.reference, "")
        return made

    def settle(self, payment: Payment, confirmed: bool, now: int) -> bool:
        """What the customer answered; whether it was still asked."""
        if payment.status != "action_needed":
            return False
        status, held = ("authorized", payment.amount) if confirmed else ("declined", 0)
        self.raw.execute(
            "UPDATE payments SET status = ?, authorized = ?, reason = ?, until = ? WHERE id = ?",
            (status, held, "" if confirmed else "not_confirmed", now + HOLDING_MS, payment.id),
        )
        self._tell(f"payment.{status}", payment.id, payment.reference, "")
        return True

    def capture(self, payment: Payment | None, key: str, amount: Money, now: int) -> Outcome:
        """Take what is held, or a part."""

        def decide() -> Reason | None:
            if payment is None:
                return "not_found"
            if payment.status == "voided" or (payment.status == "authorized" and now > payment.until):
                return "ended"
            if payment.status == "captured":
                return "already_captured"
            if payment.status != "authorized":
                return "not_authorized"
            if amount.currency != payment.currency:
                return "wrong_currency"
            return "over_authorized" if amount.amount > payment.authorized else None

        def take(payment: Payment) -> None:
            self.raw.execute(
                "UPDATE payments SET status = 'captured', captured = ? WHERE id = ?", (amount.amount, payment.id)
            )

        return self._once("capture", payment, key, amount, now, decide, take)

    def refund(self, payment: Payment | None, key: str, amount: Money, now: int) -> Outcome:
        """Give back a part or all of what was captured."""

        def decide() -> Reason | None:
            if payment is None:
                return "not_found"
            if payment.status != "captured":
                return "over_captured"
            if amount.currency != payment.currency:
                return "wrong_currency"
            return "over_captured" if amount.amount > payment.captured - payment.refunded else None

        def give(payment: Payment) -> None:
            self.raw.execute("UPDATE payments SET refunded = refunded + ? WHERE id = ?", (amount.amount, payment.id))

        return self._once("refund", payment, key, amount, now, decide, give)

    def void(self, intent: Intent, key: str, now: int) -> Outcome:
        """End a payment; one that is not there is put down as ended, so that it cannot begin later."""
        payment = self.begin(intent, "voided", "ended", now)

        def decide() -> Reason | None:
            return "already_captured" if payment.status == "captured" else None

        def end(payment: Payment) -> None:
            if payment.status not in ("voided", "declined"):
                self.raw.execute(
                    "UPDATE payments SET status = 'voided', reason = 'ended', authorized = 0 WHERE id = ?",
                    (payment.id,),
                )
                self._tell("payment.voided", payment.id, payment.reference, "")

        return self._once("void", payment, key, payment.money, now, decide, end)

    def first_told(self, table: Literal["payments", "answers"], key: str) -> bool:
        """Whether an answer is told for the first time; from then on it was."""
        if table == "payments":
            text = "UPDATE payments SET told = 1 WHERE id = ? AND told = 0"
        else:
            text = "UPDATE answers SET told = 1 WHERE key = ? AND told = 0"
        self.raw.execute(text, (key,))
        return self.raw.changes() == 1

    def _once(
        self, kind: str, payment: Payment | None, key: str, amount: Money, now: int,
        decide: Callable[[], Reason | None], act: Callable[[Payment], None],
    ) -> Outcome:  # fmt: skip
        """The answer that was given to a key; where there is none, decide, act and keep the answer."""
        asked = f"{kind} {payment.id if payment else ''}" + (f" {amount}" if kind != "void" else "")
        found = self.raw.execute(
            "SELECT asked, reason, reference, amount FROM answers WHERE key = ?", (key,)
        ).fetchone()
        if found is not None:
            before, reason, reference, kept = found
            if before != asked:
                return Refused("key_reused")
            return Refused(reason) if reason else Done(reference, Money(kept, amount.currency))
        reason = decide()
        reference = ""
        if reason is None and payment is not None:
            act(payment)
            reference = payment.reference
            if kind != "void":
                reference = f"{kind}_{token_hex(16)}"
                self.raw.execute(
                    "INSERT INTO movements (reference, payment, kind, key, amount, at) VALUES (?, ?, ?, ?, ?, ?)",
                    (reference, payment.id, kind, key, amount.amount, now),
                )
                self._tell(f"payment.{kind}{'d' if kind == 'capture' else 'ed'}", payment.id, payment.reference, key)
        if payment is not None:  # what is about nothing is not kept, as a provider keeps no key of a 404
            self.raw.execute(
                "INSERT INTO answers (key, asked, reason, reference, amount, told) VALUES (?, ?, ?, ?, ?, 0)",
                (key, asked, reason or "", reference, amount.amount),
            )
        return Done(reference, amount) if reason is None else Refused(reason)

    def _one(self, text: str, value: str) -> Payment | None:
        row: Any = self.raw.execute(text, (value,)).fetchone()
        return None if row is None else Payment(*row)

    def _movements(self, payment: Payment) -> tuple[Movement, ...]:
        found = self.raw.execute(
            "SELECT kind, key, reference, amount FROM movements WHERE payment = ? ORDER BY at, rowid", (payment.id,)
        )
        return tuple(
            Movement(kind, key, reference, Money(amount, payment.currency)) for kind, key, reference, amount in found
        )


def _make(path: Path) -> None:
    """Make the file appear with its write-ahead log chosen: two that choose it at once are in each other's way."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{token_hex(16)}")
    try:
        raw = apsw.Connection(str(made))
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute(_TABLES)
        raw.close()
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)


def asked_by(intent: Intent) -> str:
    """What a repeat of a key is compared by. Where customers come back to may change with a deployment."""
    said = repr((intent.id, intent.amount, intent.order, intent.email, intent.method))
    return hashlib.sha256(said.encode()).hexdigest()
