"""What a payment provider is to the shop: six questions, and answers that say what is known.

Invariant: an answer that is no answer (nothing came back in time, the connection was lost, a 5xx) is `Unknown`, and
never a no. A key moves money once: asked again with the same key and the same values after a yes, a provider says the
same yes. Nothing here decides by what a webhook says: an event names a payment to look up.

How a purchase uses it. The payment's row with its id is committed first, then:

1. `authorize(intent)` until it says something. `ActionNeeded`: show it to the customer, sleep until an event or the
   time is over, and ask again; `authorize` goes on from where the payment stands. `Authorized`: look whether its amount
   is that of the order, then `capture`. `Declined`: release what was reserved. `Unknown`: ask again later.
2. `capture(intent, key, amount)` with a key that was kept before the call. `Unknown`: the same call again, later.
3. To give up, `void(intent, key)`, and ask for this payment no more. Where it is `Done` no money is held, and none will
   be, even where an `authorize` that was given up on still arrives. `Refused` with `already_captured` means: refund.
4. `refund(intent, key, amount)`, each with a key of its own.

A reconciler calls `lookup(intent)` for whatever was `Unknown` for long, and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from backstay.errors import Problem
from backstay.model.value import Money
from backstay.net.http import HTTP
from backstay.settings import Settings

LONGEST_KEY = 64
"""The most characters of an id or a key: what is put behind it still fits PayPal's 108 and Stripe's 255."""

Reason: TypeAlias = Literal[
    "declined",  # by the bank or the provider, which says no more
    "insufficient_funds",
    "not_confirmed",  # the customer refused or failed to confirm
    "not_authorized",  # nothing is held that could be captured
    "already_captured",  # too late to void: refund instead
    "over_authorized",  # a capture of more than is held
    "over_captured",  # a refund of more than was captured and not yet refunded
    "wrong_currency",
    "ended",  # voided, or the time of the authorization is over
    "not_found",  # the provider has no such payment
    "key_reused",  # the key was used with other values
]
Status: TypeAlias = Literal[
    "absent",  # the provider has no such payment, now
    "action_needed",  # the customer has to do something
    "approved",  # the customer did; `authorize` holds the money
    "pending",  # the provider has not decided
    "declined",
    "authorized",
    "captured",  # in part or whole
    "voided",
]


@dataclass(frozen=True, slots=True)
class Intent:
    """What one payment is to take. `id` is that of our payment's row: the provider's idempotency keys begin with it.

    `reference` is the provider's own id, as soon as an answer told it: keep it with the payment. `method` is what the
    customer chose, in the provider's words; without one its page asks. The customer comes back to `return_url`.
    Raises `ValueError` for an amount that is not positive and for an id that is too long.
    """

    id: str
    amount: Money
    order: str
    email: str
    method: str = ""
    return_url: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        check_key(self.id)
        check_amount(self.amount)


@dataclass(frozen=True, slots=True)
class Authorized:
    """Yes: the money is held, until `until` where the provider says how long."""

    reference: str
    amount: Money
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """No: nothing is held, and nothing will be under this id. `detail` is the provider's own code, for operators."""

    reason: Reason
    reference: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ActionNeeded:
    """Not yet: the customer has to act, in the browser with the secret or on the provider's page."""

    reference: str
    client_secret: str = field(default="", repr=False)
    approve_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows yet: the provider did not answer, or has not decided (`pending`). Ask again."""

    why: Literal["unanswered", "pending"] = "unanswered"
    reference: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Yes: it was captured, voided or refunded, now or when this key was first used."""

    reference: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Refused:
    """No: nothing moved. `detail` is the provider's own code, for operators."""

    reason: Reason
    detail: str = ""


Authorization: TypeAlias = Authorized | Declined | ActionNeeded | Unknown
Outcome: TypeAlias = Done | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Movement:
    """One capture or refund as the provider has it. `key` is ours, where the provider keeps it."""

    kind: Literal["capture", "refund"]
    key: str
    reference: str
    amount: Money
    status: Literal["done", "pending", "failed"] = "done"


@dataclass(frozen=True, slots=True)
class State:
    """The truth about one payment at its provider. `payment` is our id, as the provider was told it.

    Amounts are minor units of `amount.currency`. `authorized` is what was ever held, so that it stays when captured.
    """

    payment: str
    reference: str
    status: Status
    amount: Money
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    movements: tuple[Movement, ...] = ()

    def disagreements(self, intent: Intent) -> tuple[str, ...]:
        """Where this is not what was asked for: of another payment, amount or currency. Then nothing may be captured.

        >>> state = State("p1", "pay_1", "authorized", Money(1999, "USD"), 1999)
        >>> state.disagreements(Intent("p1", Money(1999, "EUR"), "1001", "ada@example.com", reference="pay_1"))
        ('currency: USD, not EUR',)
        """
        compared = (
            ("payment", self.payment, intent.id),
            ("reference", self.reference, intent.reference or self.reference),
            ("amount", self.amount.amount, intent.amount.amount),
            ("currency", self.amount.currency, intent.amount.currency),
        )
        return tuple(f"{name}: {found}, not {wanted}" for name, found, wanted in compared if found != wanted)

    def movement(self, key: str) -> Movement | None:
        """The capture or refund that was made by this key."""
        return next((one for one in self.movements if one.key == key), None)


@dataclass(frozen=True, slots=True)
class Event:
    """A message of the provider that is genuine. It says which payment to look up, by our id or by the provider's.

    `id` is the provider's: the same message may come again. Where neither is there it is about none of ours.
    """

    id: str
    type: str
    payment: str = ""
    reference: str = ""


class NotGenuine(Problem):
    """400: a message is not signed as it must be, or is too old. `reason` is for the log: it is told to nobody."""

    status, code = 400, "webhook_not_genuine"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Provider(Protocol):
    """A payment provider. One object is handed to the shop, and serves all of a process.

    None of the methods may be called inside a transaction. Each asks the company once or a few times.
    """

    @property
    def name(self) -> str:
        """What it is called in requests and addresses: `stripe`, `paypal`, `test`."""
        ...

    def open(self, settings: Settings, http: HTTP, clock: Callable[[], datetime]) -> AbstractAsyncContextManager[None]:
        """Be ready from entering to leaving. Raises `ValueError` that names the setting that is missing or unsafe."""
        ...

    async def authorize(self, intent: Intent) -> Authorization:
        """Bring a payment as far towards being held as can be without the customer; ask as often as you like."""
        ...

    async def capture(self, intent: Intent, key: str, amount: Money) -> Outcome:
        """Take what is held, or a part; what is left is let go. Where a method takes at once, it was taken: `Done`."""
        ...

    async def void(self, intent: Intent, key: str) -> Outcome:
        """End a payment that is not captured, also one that never arrived there. The amount is the payment's."""
        ...

    async def refund(self, intent: Intent, key: str, amount: Money) -> Outcome:
        """Give back a part or all of what was captured."""
        ...

    async def lookup(self, intent: Intent) -> State | Unknown:
        """What is true of a payment. Nothing moves by it.

        `absent` is true of now: what was sent and not answered may still arrive. Only `void` makes it final. Where a
        company cannot be asked for what it may not have, it is `action_needed`, as one that was only begun.
        """
        ...

    async def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """The event in a message as it came, with its headers by lower-case names. Raises `NotGenuine`."""
        ...


def check_key(key: str) -> None:
    """Raise `ValueError` for what is no key: 1 to 64 printable characters of ASCII without a space."""
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"{key!r} is no key: it has 1 to {LONGEST_KEY} printable characters of ASCII, without spaces.")


def check_amount(amount: Money) -> None:
    """Raise `ValueError` for an amount that cannot be moved. An order of nothing needs no payment."""
    if amount.amount <= 0:
        raise ValueError(f"{amount.amount} {amount.currency} cannot be paid: an order of nothing needs no payment.")
