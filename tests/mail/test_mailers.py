"""What every mailer does: one suite for SMTP, for the mailbox in a folder, and for the one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backstay.mail.mailbox import Mail, Mailbox, read
from backstay.mail.port import Accepted, Mailer, Message, Sender, message_id, sender_of
from backstay.mail.smtp import SMTP
from tests.mail.server import mailhost

MESSAGE = Message(
    Sender("Tea & Söhne, Ltd.", "orders@example.com"), "ada@example.org", "Ihre Bestellung: Grüner Tee “Nr. 1”",
    "<p>Grüße &amp; <b>more</b></p>\n", "Grüße & more\n.\nFrom here\n", message_id("receipt:1", "example.com"),
    datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "de",
)  # fmt: skip
HEADERS = (
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Language",
)  # fmt: skip


@dataclass
class Way:
    """A mailer, and what has arrived by it."""

    mailer: Mailer
    arrived: Callable[[], Sequence[Mail]]


@pytest.fixture(params=["smtp", "folder", "memory"])
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    if request.param == "smtp":
        async with mailhost() as host:
            yield Way(
                SMTP(f"smtp://127.0.0.1:{host.port}"), lambda: [read("", one.raw) for one in host.received]
            )  # fmt: skip
    else:
        mailbox = Mailbox(tmp_path / "mail" if request.param == "folder" else None)
        yield Way(mailbox, mailbox.all)


async def test_a_message_arrives_as_it_was(way: Way) -> None:
    assert await way.mailer.send(MESSAGE) == Accepted()
    (mail,) = way.arrived()
    assert (mail.to, mail.subject, mail.text, mail.html) == (
        MESSAGE.to, MESSAGE.subject, MESSAGE.text, MESSAGE.html
    )  # fmt: skip
    assert (mail.message_id, mail.at, mail.language) == (MESSAGE.message_id, MESSAGE.at, "de")
    assert dict(mail.headers)["From"] == '"Tea & Söhne, Ltd." <orders@example.com>'
    assert sorted(name for name, _ in mail.headers) == sorted(HEADERS)


async def test_what_is_sent_twice_is_the_same_twice(way: Way) -> None:
    await way.mailer.send(MESSAGE)
    await way.mailer.send(MESSAGE)
    first, second = way.arrived()
    assert first.raw == second.raw
    assert first.message_id == second.message_id


async def test_lines_may_be_long_and_texts_in_any_alphabet(way: Way) -> None:
    text, html = "茶 " * 3_000 + "\n", f"<p>{'ö' * 5_000}</p>\n"
    await way.mailer.send(replace(MESSAGE, text=text, html=html))
    (mail,) = way.arrived()
    assert (mail.text, mail.html) == (text, html)
    assert max(map(len, mail.raw.splitlines())) <= 998


FORGED = "Hello\r\nBcc: everybody@example.net"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\u2028", "\x85"])
@pytest.mark.parametrize("field", ["to", "subject", "message_id", "language"])
def test_a_value_that_would_end_a_header_is_no_message(field: str, end: str) -> None:
    forged = f"{getattr(MESSAGE, field)}{end}Bcc: everybody@example.net"
    with pytest.raises(ValueError, match=field):
        replace(MESSAGE, **{field: forged})


@pytest.mark.parametrize(
    "sender", [Sender(FORGED, "orders@example.com"), Sender("Shop", f"orders@example.com{FORGED}")]
)
def test_a_sender_cannot_forge_either(sender: Sender) -> None:
    with pytest.raises(ValueError, match="sender"):
        replace(MESSAGE, sender=sender)
    with pytest.raises(ValueError, match="line"):
        sender_of(f"{sender.name} <{sender.address}>")


async def test_the_standard_library_is_the_second_lock(way: Way) -> None:
    """What got past the first, by a way that nobody thought of, still does not become a header."""
    forged = replace(MESSAGE)
    object.__setattr__(forged, "subject", FORGED)
    with pytest.raises(ValueError, match="carriage return"):
        await way.mailer.send(forged)
    assert not way.arrived()


@pytest.mark.parametrize("to", ["", "ada", "ada@", "a@b.c, d@e.f", "Ada <ada@example.org>", "ada@example.org "])
def test_one_message_goes_to_one_address(to: str) -> None:
    with pytest.raises(ValueError, match="address"):
        replace(MESSAGE, to=to)


def test_a_message_id_is_told_by_what_it_is_about() -> None:
    assert message_id("receipt:1", "example.com") == "33cfb487f80b9744fb5b290671c11225@example.com"
    assert message_id("receipt:2", "example.com") != message_id("receipt:1", "example.com")
    with pytest.raises(ValueError, match="domain"):
        message_id("receipt:1", "exa mple")
