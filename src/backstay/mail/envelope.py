"""A message as it goes over the wire: RFC 5322, made by the standard library alone.

Invariant: the same message is the same bytes, however often it is sent; the headers are those below and no others.
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime

from backstay.mail.port import Message


def as_email(message: Message) -> EmailMessage:
    """The message with its headers, its text and its HTML. `Auto-Submitted` keeps machines from answering it."""
    made = EmailMessage(policy=WIRE)
    made["From"] = Address(message.sender.name, addr_spec=message.sender.address)
    made["To"] = Address(addr_spec=message.to)
    made["Subject"] = message.subject
    made["Date"] = format_datetime(message.at)
    made["Message-ID"] = f"<{message.message_id}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.text, cte="quoted-printable")
    made.add_alternative(message.html, subtype="html", cte="quoted-printable")
    made["Content-Language"] = message.language
    made.set_boundary(f"=-{message.message_id.partition('@')[0][:40]}")
    return made


def as_bytes(message: Message) -> bytes:
    """The message as it is sent and as it lies in the mailbox."""
    return as_email(message).as_bytes()
