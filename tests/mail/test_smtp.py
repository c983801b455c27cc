"""SMTP: what each answer of a server means, that TLS is never done without, and how `EMAIL_URL` is written."""

from __future__ import annotations

import asyncio

import pytest

from backstay.mail.port import Accepted, Later, Refused
from backstay.mail.smtp import SMTP, Server, server_of
from tests.mail.server import client_context, mailhost
from tests.mail.test_mailers import MESSAGE


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("550 5.1.1 no such mailbox", Refused("550 5.1.1 no such mailbox")),
        ("553 5.1.3 not that one", Refused("553 5.1.3 not that one")),
        ("450 4.2.0 greylisted", Later("450 4.2.0 greylisted")),
        ("452 4.2.2 mailbox full", Later("452 4.2.2 mailbox full")),
    ],
)
async def test_a_refused_recipient(answer: str, outcome: Refused | Later) -> None:
    async with mailhost() as host:
        host.to_recipient = [answer]
        mailer = SMTP(f"smtp://127.0.0.1:{host.port}")
        assert await mailer.send(MESSAGE) == outcome
        assert host.received == []
        assert await mailer.send(MESSAGE) == Accepted()
        assert [one.recipients for one in host.received] == [["ada@example.org"]]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("554 5.7.1 looks like spam", Refused("554 5.7.1 looks like spam")),
        ("451 4.3.0 try later", Later("451 4.3.0 try later")),
    ],
)
async def test_a_refused_content(answer: str, outcome: Refused | Later) -> None:
    async with mailhost() as host:
        host.to_data = [answer]
        assert await SMTP(f"smtp://127.0.0.1:{host.port}").send(MESSAGE) == outcome


async def test_a_lost_answer_is_tried_again() -> None:
    async with mailhost() as host:
        host.silent = True
        mailer = SMTP(f"smtp://127.0.0.1:{host.port}")
        assert isinstance(await mailer.send(MESSAGE), Later)
        assert await mailer.send(MESSAGE) == Accepted()
        first, second = host.received
        assert first.raw == second.raw


async def test_nobody_there_is_tried_again() -> None:
    async with mailhost() as host:
        port = host.port
    outcome = await SMTP(f"smtp://127.0.0.1:{port}").send(MESSAGE)
    assert isinstance(outcome, Later)
    assert outcome.why.startswith("SMTPConnectError:")


async def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    left = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await SMTP(f"smtp://127.0.0.1:{port}", seconds=0.05).send(MESSAGE)
    assert isinstance(outcome, Later)
    await left.wait()
    server.close()


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_tls_with_a_password(scheme: str) -> None:
    async with mailhost(tls=scheme == "smtps", starttls=scheme != "smtps", password="se:cret/1") as host:
        url = f"{scheme}://ada:se%3Acret%2F1@127.0.0.1:{host.port}"
        assert await SMTP(url, tls=client_context()).send(MESSAGE) == Accepted()
        (received,) = host.received
        assert received.user == "ada"


async def test_a_wrong_password_is_tried_again() -> None:
    async with mailhost(starttls=True, password="secret") as host:
        url = f"smtp+starttls://ada:secret@127.0.0.1:{host.port}"
        wrong = await SMTP(url.replace("cret", "crat"), tls=client_context()).send(MESSAGE)
        assert isinstance(wrong, Later)  # whoever mends the password wants the mail sent then
        assert wrong.why.startswith("535")
        assert host.received == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(scheme: str) -> None:
    async with mailhost(tls=scheme == "smtps", starttls=scheme != "smtps") as host:
        outcome = await SMTP(f"{scheme}://127.0.0.1:{host.port}").send(MESSAGE)
        assert isinstance(outcome, Later)
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.why
        assert host.received == []


async def test_a_server_without_starttls_is_not_spoken_to() -> None:
    async with mailhost() as host:
        outcome = await SMTP(f"smtp+starttls://127.0.0.1:{host.port}", tls=client_context()).send(MESSAGE)
        assert isinstance(outcome, Later)
        assert host.received == []


def test_how_a_server_is_named() -> None:
    assert server_of("smtp://localhost") == Server("localhost", 25, "plain")
    assert server_of("smtps://mail.example.com") == Server("mail.example.com", 465, "tls")
    assert server_of("smtp+starttls://a%40b:c%2Fd@mail.example.com:2525") == Server(
        "mail.example.com", 2525, "starttls", "a@b", "c/d"
    )
    assert "secret" not in repr(server_of("smtps://ada:secret@mail.example.com"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mail.example.com", "begins with"),
        ("http://mail.example.com", "begins with"),
        ("smtps://", "a host"),
        ("smtps://mail.example.com/inbox", "a host"),
        ("smtps://mail.example.com?tls=no", "a host"),
        ("smtps://mail.example.com:99999", "port"),
        ("smtps://ada@mail.example.com", "without a password"),
        ("smtp://ada:secret@mail.example.com", "for all to read"),
    ],
)
def test_how_it_is_not(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        server_of(url)
    assert "secret" not in str(raised.value)
