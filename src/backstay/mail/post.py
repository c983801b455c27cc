"""The post of one application: mail is written in a transaction and sent once that is true.

Invariant: nothing is sent before the commit, nor where there is none; about one thing there is one mail, and however
often it is sent it has the same Message-ID. A mail that cannot be sent stays as a record that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jinja2 import TemplateError

from backstay.errors import Conflict
from backstay.mail.language import Languages
from backstay.mail.mailbox import Mailbox
from backstay.mail.models import MailMessage
from backstay.mail.port import Accepted, Later, Mailer, Message, Outcome, Refused, Sender, address_of, message_id
from backstay.mail.port import sender_of as parse_sender
from backstay.mail.smtp import SMTP
from backstay.mail.templates import Templates
from backstay.mail.values import plain_values
from backstay.plan.ask import Create
from backstay.plan.rate import Rate
from backstay.settings import Settings
from backstay.store.context import Context
from backstay.store.engine import Engine
from backstay.store.port import Contended
from backstay.store.rates import Rates, TooMany
from backstay.telemetry.observation import Journal

if TYPE_CHECKING:
    from backstay.store.transaction import Transaction

ATTEMPTS = 150
"""How often a mail is tried that is not refused for good: for about a day, in the end every ten minutes."""
SECONDS = 120.0
"""How long one try may take."""
NO_MAILER = "EMAIL_URL is not set."


class NotSent(Exception):
    """A mail is to be tried again; the text says why."""


@dataclass(frozen=True, slots=True)
class Office:
    """What mail is made with: who sends it, by which way, from which templates."""

    sender: Sender
    templates: Templates
    mailer: Mailer | None

    @classmethod
    def of(cls, settings: Settings, name: str, folder: Path | None, mailer: Mailer | None = None) -> Office:
        """The office of an application with these settings. Raises `ValueError` for what cannot be meant.

        Where neither a mailer nor `EMAIL_URL` is there, development has its mailbox, and production none.
        """
        if mailer is None and settings.email_url:
            mailer = SMTP(settings.email_url)
        if mailer is not None and not isinstance(mailer, Mailbox) and not settings.email_from:
            raise ValueError("BACKSTAY_EMAIL_FROM is not set: who is mail from? Shop <orders@example.com>")
        if mailer is None and settings.development:
            mailer = Mailbox(Path(settings.data) / "mail")
        templates = Templates(folder, Languages(folder, settings.language), name=name, home=settings.address)
        return cls(sender_of(settings, name), templates, mailer)


def sender_of(settings: Settings, name: str) -> Sender:
    """Whom mail is from. Raises `ValueError` for what is no sender."""
    if settings.email_from:
        try:
            return parse_sender(settings.email_from)
        except ValueError as error:
            raise ValueError(f"BACKSTAY_EMAIL_FROM: {error}") from None
    host = settings.address.partition("://")[2].partition("/")[0].partition(":")[0]
    return Sender("".join(filter(str.isprintable, name)), f"noreply@{host or 'localhost'}")


class Post:
    """Writes and sends the mail of one application. One object a process; `job` is what calls `deliver`."""

    def __init__(
        self, engine: Engine, office: Office, journal: Journal, rates: Rates, per_recipient: tuple[Rate, ...],
        job: Callable[..., Any],
    ) -> None:  # fmt: skip
        self.office = office
        self._engine = engine
        self._journal = journal
        self._rates = rates
        self._per_recipient = per_recipient
        self._job = job

    @property
    def ready(self) -> bool:
        """Whether mail can be sent at all."""
        return self.office.mailer is not None

    async def close(self) -> None:
        """Give back what the mailer holds."""
        if self.office.mailer is not None:
            await self.office.mailer.close()

    async def write(
        self, tx: Transaction, mail: str, to: str, about: str, language: str, values: Mapping[str, Any]
    ) -> bool:
        """Keep a mail in this transaction; false where there is one about this already. Three statements."""
        office = self.office
        office.templates.check(mail)
        if not 0 < len(about) <= 200:
            raise ValueError("about has 1 to 200 characters: receipt:4711")
        told = plain_values(mail, values)
        address = address_of(to)
        own = tx.as_system
        if await own.exists(MailMessage, lambda one: one.about == about):
            return False
        kept = {
            "about": about, "mail": mail, "to": address, "language": office.templates.languages.accepted(language),
            "message_id": message_id(about, office.sender.domain), "told": told,
        }  # fmt: skip
        try:
            key = await own.write(Create(MailMessage.__name__, kept))
        except Conflict as conflict:  # another transaction wrote it a moment ago: done again, this one sees it
            raise Contended() from conflict
        await own.enqueue(self._job, message=key)
        return True

    async def deliver(self, ctx: Context, message: UUID) -> None:
        """Send a mail that was written, unless that is done. Raises `NotSent` where it is to be tried again."""
        async with ctx.transaction(as_system=True) as tx:
            found = await tx.find(MailMessage, lambda one: one.id == message, limit=1)
        if not found or found[0].state != "waiting":
            return
        held = found[0]
        attempts = held.attempts + 1
        outcome = await self._send(held)
        if isinstance(outcome, Later) and attempts < ATTEMPTS:
            async with ctx.transaction(as_system=True) as tx:
                await tx.update(held, attempts=attempts, why=outcome.why)
            self._journal.event(
                "mail_failed", mail=held.mail, id=held.id, attempts=attempts, error=_kind_of(outcome.why)
            )
            raise NotSent(outcome.why)
        state, why = _end(outcome)
        values: dict[str, Any] = {"told": None} if state in ("sent", "dropped") else {}
        async with ctx.transaction(as_system=True) as tx:
            await tx.update(held, state=state, why=why, attempts=attempts, ended_at=self._engine.clock(), **values)
        if why:
            self._journal.event("mail_given_up", mail=held.mail, id=held.id, attempts=attempts, error=_kind_of(why))
        elif state == "sent":
            self._journal.event("mail_sent", mail=held.mail, id=held.id, attempts=attempts)

    async def _send(self, held: MailMessage) -> Outcome | None:
        """What became of it; nothing where there is nothing to send."""
        office = self.office
        if office.mailer is None:
            return Later(NO_MAILER)
        try:
            letter = office.templates.render(held.mail, held.language, held.told or {})
            if letter.empty:
                return None
            message = Message(
                office.sender, held.to, letter.subject, letter.html, letter.text, held.message_id, held.created_at,
                held.language,
            )  # fmt: skip
        except (TemplateError, LookupError, TypeError, ValueError) as error:
            return Later(f"{type(error).__name__}: mails/{held.mail}.jinja: {error}"[:300])
        try:
            await self._rates.take("mails per recipient", self._per_recipient, held.to)
        except TooMany:
            return Later("limit: as many mails as one address may get have been sent to it (mails_per_recipient).")
        return await office.mailer.send(message)


def _kind_of(why: str) -> str:
    """What the log says of a reason: its first word. An address, and what a server said of it, is in the record."""
    return why.partition(" ")[0].rstrip(":")


def _end(outcome: Outcome | None) -> tuple[str, str]:
    """The state in which a mail ends, and why."""
    match outcome:
        case None:
            return "dropped", ""
        case Accepted():
            return "sent", ""
        case Refused(why):
            return "refused", why
        case Later(why):
            return "given_up", why
