"""`PlayMoney`, the provider `test`: it takes play money as a real one takes real money, in development and in tests.

Invariant: it does not open in production. What it has done is in its own books and survives the process; the same key
never moves money twice; and an answer that is lost is lost after what it tells of was done.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from backstay.commerce.payments.play_deliveries import Mischief, PlayDeliveries, Sink
from backstay.commerce.payments.play_ledger import Payment, PlayLedger, asked_by
from backstay.commerce.payments.play_page import Waiting
from backstay.commerce.payments.port import (
    ActionNeeded,
    Authorization,
    Authorized,
    Declined,
    Event,
    Intent,
    NotGenuine,
    Outcome,
    Reason,
    State,
    Status,
    Unknown,
    check_amount,
    check_key,
)  # fmt: skip
from backstay.commerce.payments.signature import check_signature, sign
from backstay.model.value import Money
from backstay.net.http import HTTP
from backstay.settings import Settings, secret_of

T = TypeVar("T")
SIGNATURE = "backstay-test-signature"
"""The header of its messages, in the form that `signature.py` describes."""

METHODS: dict[str, str] = {
    "pm_ok": "is authorized.",
    "pm_declined": "is declined.",
    "pm_insufficient": "is declined for lack of funds.",
    "pm_3ds": "has to be confirmed on the page at `approve_url` first; without a method it is the same.",
    "pm_lost_answer": "is authorized, but the answer is lost; so is the first answer to each capture, void and refund.",
    "pm_timeout": "never arrives: nothing is charged and nothing is answered.",
    "pm_slow": "is authorized, after some seconds.",
}
"""The methods of play money: a payment with this one …"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGINS: dict[str, tuple[Status, Reason | Literal[""]]] = {
    "pm_ok": ("authorized", ""),
    "pm_declined": ("declined", "declined"),
    "pm_insufficient": ("declined", "insufficient_funds"),
    "pm_3ds": ("action_needed", ""),
    "": ("action_needed", ""),
    "pm_lost_answer": ("authorized", ""),
    "pm_slow": ("authorized", ""),
}


class PlayMoney:
    """The provider of development and tests: `Shop(payments=[PlayMoney()])`.

    `file` is where its books are, otherwise `play-money.db` in the data folder (in memory where the database is).
    Its messages are signed with `webhook_secret`, otherwise with one made from the application's secret. `mischief` is
    what happens to them on the way, `slow` how many seconds `pm_slow` takes, and `pause` what waits.
    """

    name = "test"

    def __init__(
        self, file: str = "", *, webhook_secret: str | None = None, mischief: Mischief | None = None, slow: int = 3,
        pause: Callable[[int], Awaitable[object]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._file = file
        self._given_secret = webhook_secret
        self._mischief = mischief or Mischief()
        self._slow = slow
        self._pause = pause
        self._opened: tuple[PlayLedger, PlayDeliveries] | None = None
        self._secret = b""
        self._clock: Callable[[], datetime] = lambda: _EPOCH
        self._address = ""

    @asynccontextmanager
    async def open(self, settings: Settings, http: HTTP, clock: Callable[[], datetime]) -> AsyncIterator[None]:
        """Open the books. Raises `ValueError` in production, and where a webhook secret was given that is empty."""
        if not settings.development:
            raise ValueError(
                "The payment provider test takes play money and is for development and tests. "
                "Take it out of payments=[...], or start with BACKSTAY_ENV=development."
            )
        if self._given_secret == "":
            raise ValueError("PlayMoney(webhook_secret=...) is empty: leave it out, or give at least one character.")
        self._secret = (
            self._given_secret.encode() if self._given_secret is not None
            else hmac.digest(secret_of(settings), b"backstay: messages of play money", "sha256").hex().encode()
        )  # fmt: skip
        self._clock, self._address = clock, settings.address
        in_memory = settings.database in ("sqlite://", "sqlite:///:memory:")
        path = self._file or ("" if in_memory else f"{settings.data}/play-money.db")
        ledger = PlayLedger(path, self._owe)
        self._opened = ledger, PlayDeliveries(ledger.raw, self._mischief)
        try:
            yield
        finally:
            self._opened = None
            ledger.close()

    # The port.

    async def authorize(self, intent: Intent) -> Authorization:
        """Hold the money of a payment, as its method says."""
        if intent.method == "pm_timeout":
            return await self._never(intent)
        if intent.method not in _BEGINS:
            return Declined("declined", detail="no_such_test_method")
        if intent.method == "pm_slow":
            await self._pause(self._slow)

        def work() -> Authorization:
            status, reason = _BEGINS[intent.method]
            payment = self._ledger.begin(intent, status, reason, self._now())
            if payment.asked != asked_by(intent) and payment.status != "voided":
                return Declined("key_reused", payment.reference)
            if intent.method == "pm_lost_answer" and self._ledger.first_told("payments", intent.id):
                return Unknown()
            return self._stands(payment)

        return await self._do(work)

    async def capture(self, intent: Intent, key: str, amount: Money) -> Outcome:
        """Take what is held, or a part."""
        check_key(key)
        check_amount(amount)
        return await self._answer(
            intent, key, lambda: self._ledger.capture(self._ledger.payment(intent.id), key, amount, self._now())
        )

    async def void(self, intent: Intent, key: str) -> Outcome:
        """End a payment that is not captured."""
        check_key(key)
        return await self._answer(intent, key, lambda: self._ledger.void(intent, key, self._now()))

    async def refund(self, intent: Intent, key: str, amount: Money) -> Outcome:
        """Give back a part or all of what was captured."""
        check_key(key)
        check_amount(amount)
        return await self._answer(
            intent, key, lambda: self._ledger.refund(self._ledger.payment(intent.id), key, amount, self._now())
        )

    async def lookup(self, intent: Intent) -> State | Unknown:
        """What is true of a payment."""

        def work() -> State:
            payment = self._ledger.payment(intent.id)
            return self._ledger.state(payment) if payment else State(intent.id, "", "absent", intent.amount)

        return await self._do(work)

    async def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """The event in a message, where it is signed with the secret, within five minutes."""
        check_signature(headers.get(SIGNATURE, ""), body, [self._secret], self._clock())
        try:
            said = msgspec.json.decode(body, type=_Message)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise NotGenuine("it is signed, and no message of this provider") from None
        return Event(said.id, said.type, said.data.payment, said.data.reference)

    # What a company elsewhere would have: a page for customers, messages, and its own view of its books.

    async def waiting(self, client_secret: str) -> Waiting | None:
        """A payment as its customer sees it on `play_page`; nothing where the secret is none."""
        payment = await self._do(lambda: self._ledger.by_secret(client_secret))
        if payment is None:
            return None
        return Waiting(payment.money, payment.order_number, payment.return_url, payment.status == "action_needed")

    async def settle(self, client_secret: str, *, confirm: bool) -> bool:
        """Confirm or decline a payment for its customer; whether it still waited for that."""

        def work() -> bool:
            payment = self._ledger.by_secret(client_secret)
            return payment is not None and self._ledger.settle(payment, confirm, self._now())

        return await self._do(work)

    async def deliver(self, sink: Sink) -> int:
        """Send every message that is due to `sink`; returns how many were answered 2xx.

        What is answered otherwise, or raises, is owed still and sent again after a pause that doubles. Any process may
        call it at any time: each takes other messages.
        """
        accepted = 0
        while (owed := await self._do(lambda: self._deliveries.take(self._now()))) is not None:
            headers = {
                "content-type": "application/json", SIGNATURE: sign(owed.body, self._secret, self._clock()),
            }  # fmt: skip
            try:
                status = await sink(owed.body, headers)
            except Exception:  # whatever went wrong there, it is not delivered
                status = 0
            taken = owed
            await self._do(lambda: self._deliveries.settle(taken, status, self._now()))  # noqa: B023
            accepted += 200 <= status < 300
        return accepted

    async def owed(self) -> int:
        """How many messages are not delivered yet, due or not."""
        return await self._do(lambda: self._deliveries.owed())

    async def books(self) -> tuple[State, ...]:
        """The truth about all its payments, to compare with one's own."""
        return await self._do(lambda: self._ledger.states())

    @property
    def _ledger(self) -> PlayLedger:
        return self._parts[0]

    @property
    def _deliveries(self) -> PlayDeliveries:
        return self._parts[1]

    @property
    def _parts(self) -> tuple[PlayLedger, PlayDeliveries]:
        if self._opened is None:
            raise RuntimeError("PlayMoney has not been opened: `async with provider.open(settings, http, clock)`.")
        return self._opened

    def _now(self) -> int:
        return (self._clock() - _EPOCH) // timedelta(milliseconds=1)

    def _owe(self, type: str, payment: str, reference: str, mark: str) -> None:
        self._deliveries.put_down(type, payment, reference, mark, self._now())

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._ledger.do, work)

    async def _answer(self, intent: Intent, key: str, work: Callable[[], Outcome]) -> Outcome:
        def once() -> Outcome:
            outcome = work()
            lost = intent.method == "pm_lost_answer" and self._ledger.first_told("answers", key)
            return Unknown() if lost else outcome

        return await self._do(once)

    async def _never(self, intent: Intent) -> Authorization:
        """What never arrives is not answered, unless it was ended meanwhile by what did arrive."""
        payment = await self._do(lambda: self._ledger.payment(intent.id))
        return Unknown() if payment is None else self._stands(payment)

    def _stands(self, payment: Payment) -> Authorization:
        """What is answered about a payment as it stands."""
        if payment.status == "action_needed":
            return ActionNeeded(payment.reference, payment.secret, f"{self._address}/dev/pay/{payment.secret}")
        if payment.status in ("authorized", "captured"):
            until = _EPOCH + timedelta(milliseconds=payment.until)
            return Authorized(payment.reference, payment.money, until)
        return Declined(payment.reason or "declined", payment.reference)


class _Subject(msgspec.Struct):
    payment: str
    reference: str


class _Message(msgspec.Struct):
    id: str
    type: str
    data: _Subject
