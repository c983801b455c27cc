"""Mail by SMTP: `smtp://`, `smtps://` (TLS from the first byte) and `smtp+starttls://`, as `EMAIL_URL` says.

Invariant: a certificate is always verified, and TLS that was asked for is never done without; every wait ends. A
refusal is for good only where the server said so of this recipient or this content: what a wrong password or a wrong
sender causes passes once somebody mends the settings, so it is tried again.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import aiosmtplib

from backstay.mail.envelope import as_email
from backstay.mail.port import Accepted, Later, Message, Outcome, Refused

Security: TypeAlias = Literal["plain", "tls", "starttls"]
SECONDS = 20.0
"""How long each step of a conversation may take."""
_SCHEMES: dict[str, tuple[Security, int]] = {
    "smtp": ("plain", 25), "smtps": ("tls", 465), "smtp+starttls": ("starttls", 587),
}  # fmt: skip
_HERE = ("localhost", "127.0.0.1", "::1")
_WRITTEN = "smtps://user:password@mail.example.com"


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server: where it is, how it is spoken to, and as whom."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def local(self) -> bool:
        """Whether it is on this machine, where nobody is in between."""
        return self.host in _HERE


def server_of(url: str) -> Server:
    """The server that `EMAIL_URL` names. Raises `ValueError` that says how to write it, and shows no password.

    >>> server_of("smtp+starttls://ada:secret@mail.example.com")
    Server(host='mail.example.com', port=587, security='starttls', user='ada')
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"EMAIL_URL begins with smtp://, smtps:// or smtp+starttls://: {_WRITTEN}")
    security, usual = _SCHEMES[parts.scheme]
    try:
        port = parts.port or usual
    except ValueError:
        raise ValueError("EMAIL_URL has a port that is none.") from None
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"EMAIL_URL is a scheme, a user and a password, a host and a port: {_WRITTEN}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("EMAIL_URL has a user without a password, or the other way round.")
    server = Server(parts.hostname, port, security, user, password)
    if user and security == "plain" and not server.local:
        raise ValueError("EMAIL_URL would send its password for all to read: write smtps:// or smtp+starttls://.")
    return server


class SMTP:
    """Sends each message by a conversation of its own with one server; `tls` is for servers of a private authority.

    >>> mailer = SMTP("smtps://ada:secret@mail.example.com")
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, seconds: float = SECONDS) -> None:
        self.server = server_of(url)
        self._tls = tls
        self._seconds = seconds

    async def send(self, message: Message) -> Outcome:
        """Send one message; at most some seconds for each step of the conversation."""
        server = self.server
        if self._tls is None and server.security != "plain":
            self._tls = ssl.create_default_context()
        client = aiosmtplib.SMTP(
            hostname=server.host, port=server.port, username=server.user or None, password=server.password or None,
            use_tls=server.security == "tls", start_tls=server.security == "starttls",
            tls_context=self._tls if server.security != "plain" else None, timeout=self._seconds,
        )  # fmt: skip
        try:
            async with client:
                await client.send_message(as_email(message), sender=message.sender.address, recipients=[message.to])
        except Exception as error:
            return outcome_of(error)
        return Accepted()

    async def close(self) -> None:
        """Nothing is held between two messages."""


def outcome_of(error: Exception) -> Outcome:
    """What an error of the conversation means for the message."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        return _said(error.recipients[0], final=True)
    if isinstance(error, aiosmtplib.SMTPDataError):
        return _said(error, final=True)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _said(error, final=False)
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return Later(_plain(f"the server does not offer what is needed: {error}"))
    if isinstance(error, (aiosmtplib.SMTPException, OSError, ssl.SSLError, TimeoutError)):
        return Later(_plain(f"{type(error).__name__}: {error}"))
    raise error


def _said(error: aiosmtplib.SMTPResponseException, *, final: bool) -> Outcome:
    why = _plain(f"{error.code} {error.message}")
    return Refused(why) if final and error.code >= 500 else Later(why)


def _plain(text: str) -> str:
    """What a server said, on one line and not too long."""
    return re.sub(r"[^\x20-\x7e]+", " ", text).strip()[:200]
