"""The port of mail: what is sent, to whom, and what became of it.

Invariant: a `Message` holds no character that could end a header, so that no value of anybody's becomes one of its
own. What became of it is one of three: taken on, refused for good, or to be tried again; an answer that was lost is to
be tried again, and whoever got it twice can tell by its Message-ID.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from hashlib import blake2b
from typing import Protocol, TypeAlias

from backstay.model.value import Kind, Unfit, parse

_ENDS_A_HEADER = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_EMAIL = Kind("text", format="email")
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}")


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mail is from: a name for people, and an address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Message:
    """One mail to one person, in two forms of the same content. Raises `ValueError` for what would forge a header.

    `message_id` is without its angle brackets; `at` is an aware instant, when it was written and not when it is sent.
    """

    sender: Sender
    to: str
    subject: str
    html: str
    text: str
    message_id: str
    at: datetime
    language: str = "en"

    def __post_init__(self) -> None:
        for name, value in (
            ("sender", self.sender.name), ("sender", self.sender.address), ("to", self.to), ("subject", self.subject),
            ("message_id", self.message_id), ("language", self.language),
        ):  # fmt: skip
            if _ENDS_A_HEADER.search(value):
                raise ValueError(f"{name} has a line break or another control character.")
        address_of(self.to)
        if not self.message_id.isascii() or re.search(r"[\s<>]", self.message_id):
            raise ValueError("message_id is letters, digits and signs of ASCII, without angle brackets.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody else has taken it on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken: there is no such mailbox, or it may not be written to. `why` is for operators."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """It was not taken, or nobody knows whether it was: try again. `why` is for operators."""

    why: str


Outcome: TypeAlias = Accepted | Refused | Later


class Mailer(Protocol):
    """Sends mail. Adapters: `SMTP` and, in development, `Mailbox`; hand your own to `App(mailer=...)`."""

    async def send(self, message: Message) -> Outcome:
        """Send one message. A failure that is expected of a network is an outcome, and never raised."""
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...


def address_of(text: str) -> str:
    """An address that mail can be sent to. Raises `ValueError` that says what is wrong with it."""
    try:
        return str(parse(_EMAIL, text))
    except Unfit as unfit:
        raise ValueError(f"an address {unfit}, and not {text[:80]!r}.") from None


def sender_of(text: str) -> Sender:
    """A sender as it is written: `Shop <orders@example.com>`, or the address alone. Raises `ValueError`.

    >>> sender_of("Shop <orders@example.com>")
    Sender(name='Shop', address='orders@example.com')
    """
    if _ENDS_A_HEADER.search(text):
        raise ValueError("a sender has no line breaks.")
    name, address = parseaddr(text)
    return Sender(name, address_of(address))


def message_id(about: str, domain: str) -> str:
    """The Message-ID of the mail about something: always the same one, so that a mail sent twice is known as one.

    >>> message_id("receipt:1", "example.com") == message_id("receipt:1", "example.com")
    True
    """
    if not _HOST.fullmatch(domain):
        raise ValueError(f"{domain!r} is no domain.")
    return f"{blake2b(about.encode(), digest_size=16, person=b'backstay mail').hexdigest()}@{domain}"
