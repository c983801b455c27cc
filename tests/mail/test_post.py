"""Mail is written in a transaction and sent once that is true: once about each thing, with one Message-ID."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from backstay import App, Conflict, Context, Model, Rules, Transaction, User, anyone
from backstay.mail import post
from backstay.mail.models import MailMessage
from backstay.mail.port import Accepted, Later, Message, Outcome, Refused
from backstay.mail.post import Office
from backstay.mail.smtp import SMTP
from backstay.plan.limits import Limits
from backstay.settings import Settings
from backstay.testing import Trial
from tests.mail.server import mailhost


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


class Scripted:
    """A mailer that answers what it is told to, and takes on everything afterwards."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.tried: list[Message] = []

    async def send(self, message: Message) -> Outcome:
        self.tried.append(message)
        return self.outcomes.pop(0) if self.outcomes else Accepted()

    async def close(self) -> None:
        pass


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite://"
    make: Callable[[str], str] = request.getfixturevalue("postgres_database")
    return make("mail")


def app_of(folder: Path, limits: Limits | None = None) -> App:
    (folder / "hello.jinja").write_text(
        "{% extends layout %}{% block subject %}Hello {{ name }}{% endblock %}"
        "{% block body %}{{ p(name) }}{% if link %}{{ button('Open', link) }}{% endif %}{% endblock %}"
    )
    app = App("Tea", models=[Note], mails=folder, limits=limits)

    @app.action("POST /api/greet", allow=anyone)
    async def greet(tx: Transaction, email: str, name: str, fail: bool = False) -> bool:
        written = await tx.mail("hello", to=email, about=f"hello:{name}", name=name, link="")
        if fail:
            raise Conflict("Not today.")
        return written

    return app


@pytest.fixture
async def t(database: str, tmp_path: Path) -> AsyncIterator[Trial]:
    async with Trial(app_of(tmp_path), database) as trial:
        yield trial


async def hello(t: Trial, about: str = "hello:1", to: str = "ada@example.com", **values: Any) -> bool:
    async with t.transaction() as tx:
        return await tx.mail("hello", to=to, about=about, **{"name": "Ada", "link": "", **values})


async def kept(t: Trial) -> list[MailMessage]:
    async with t.transaction() as tx:
        return await tx.find(MailMessage, sort="created_at,about")


def scripted(t: Trial, *outcomes: Outcome) -> Scripted:
    """Let the trial's mail go by a scripted mailer from now on."""
    running = t.app.running.post
    mailer = Scripted(*outcomes)
    running.office = Office(running.office.sender, running.office.templates, mailer)
    return mailer


async def again(t: Trial, times: int = 1) -> None:
    """Let so much time pass that what failed is due again, so often."""
    for _ in range(times):
        t.clock.advance(minutes=13)
        await t.work()


async def test_nothing_is_sent_before_the_commit(t: Trial) -> None:
    mailer = scripted(t)
    async with t.transaction() as tx:
        assert await tx.mail("hello", to="ada@example.com", about="hello:1", name="Ada", link="")
        assert mailer.tried == []
    assert mailer.tried == []  # nor by whoever commits: it is sent behind their back
    await t.work()
    assert [message.subject for message in mailer.tried] == ["Hello Ada"]


async def test_nothing_is_sent_where_there_is_no_commit(t: Trial) -> None:
    (await t.post("/api/greet", {"email": "ada@example.com", "name": "Ada", "fail": True})).refused("conflict")
    await t.work()
    assert t.mails == []
    assert await kept(t) == []
    assert (await t.post("/api/greet", {"email": "ada@example.com", "name": "Ada"})).ok().json is True
    await t.work()
    assert [(mail.to, mail.subject) for mail in t.mails] == [("ada@example.com", "Hello Ada")]


async def test_there_is_one_mail_about_one_thing(t: Trial) -> None:
    assert await hello(t)
    assert not await hello(t, name="Grace")
    await t.work()
    assert not await hello(t)
    assert await hello(t, about="hello:2")
    await t.work()
    await t.work()
    assert [mail.subject for mail in t.mails] == ["Hello Ada", "Hello Ada"]
    assert len({mail.message_id for mail in t.mails}) == 2


async def test_what_is_sent_again_has_the_same_message_id(t: Trial) -> None:
    mailer = scripted(t, Later("421 4.3.0 busy"), Later("SMTPServerDisconnected: lost"))
    await hello(t)
    await t.work()
    await again(t, 3)
    assert len(mailer.tried) == 3
    assert mailer.tried[0] == mailer.tried[1] == mailer.tried[2]
    (held,) = await kept(t)
    assert (held.state, held.attempts, held.message_id) == ("sent", 3, mailer.tried[0].message_id)


async def test_an_answer_that_was_lost_brings_the_same_message_again(t: Trial) -> None:
    running = t.app.running.post
    async with mailhost() as host:
        host.silent = True
        running.office = Office(running.office.sender, running.office.templates, SMTP(f"smtp://127.0.0.1:{host.port}"))
        await hello(t)
        await t.work()
        await again(t)
        first, second = host.received
        assert first.raw == second.raw
    assert [held.state for held in await kept(t)] == ["sent"]


async def test_a_refusal_for_good_is_a_record_that_says_why(t: Trial) -> None:
    mailer = scripted(t, Refused("550 5.1.1 no such mailbox"))
    await hello(t)
    await t.work()
    await again(t, 2)
    assert len(mailer.tried) == 1
    (held,) = await kept(t)
    assert (held.state, held.why, held.attempts) == ("refused", "550 5.1.1 no such mailbox", 1)
    assert t.app.running.log.counts["mail_given_up"] == 1


async def test_what_is_tried_too_often_is_a_record_that_says_why(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "ATTEMPTS", 4)
    mailer = scripted(t, *[Later("421 4.3.0 busy")] * 50)
    await hello(t)
    await t.work()
    await again(t, 6)
    assert len(mailer.tried) == 4
    (held,) = await kept(t)
    assert (held.state, held.why) == ("given_up", "421 4.3.0 busy")
    assert t.app.running.log.counts["mail_given_up"] == 1
    assert t.app.running.log.counts["mail_failed"] == 3


async def test_what_a_mail_was_told_is_encrypted_and_gone_once_it_is_sent(t: Trial) -> None:
    await hello(t, link="https://tea.example.com/opens-it")
    text = 'SELECT "told" FROM "mail_messages"'
    (row,) = await t.app.running.store.run(text, ())
    stored = row[0].decode() if isinstance(row[0], bytes) else row[0]
    assert stored
    assert "opens-it" not in stored
    for change in await t.facts():
        assert "opens-it" not in f"{change.new} {change.old}"
    await t.work()
    assert "opens-it" in t.mails[0].text
    assert [held.told for held in await kept(t)] == [None]


async def test_a_template_that_fails_is_mended_and_sent(t: Trial, tmp_path: Path) -> None:
    async with t.transaction() as tx:
        await tx.mail("hello", to="ada@example.com", about="hello:1", nobody="Ada")
    await t.work()
    (held,) = await kept(t)
    assert (held.state, held.attempts) == ("waiting", 1)
    assert held.why == "UndefinedError: mails/hello.jinja: 'name' is undefined"
    assert t.mails == []


async def test_mail_to_one_address_is_limited(database: str, tmp_path: Path) -> None:
    app = app_of(tmp_path, Limits(mails_per_recipient="2/hour"))
    async with Trial(app, database) as t:
        for number in range(3):
            await hello(t, f"hello:{number}")
        await hello(t, "other", to="grace@example.com")
        await t.work()
        assert sorted(mail.to for mail in t.mails) == ["ada@example.com"] * 2 + ["grace@example.com"]
        held = next(one for one in await kept(t) if one.state == "waiting")
        assert held.why.startswith("limit:")
        await again(t, 5)
        assert len(t.mails) == 4


@pytest.mark.parametrize("to", ["nobody", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com"])
async def test_an_address_that_is_none_is_refused_where_the_mail_is_written(t: Trial, to: str) -> None:
    with pytest.raises(ValueError, match="address"):
        await hello(t, to=to)
    assert await kept(t) == []


async def test_a_mail_without_a_template_is_refused_where_it_is_written(t: Trial) -> None:
    async with t.transaction() as tx:
        with pytest.raises(LookupError, match="write mails/hallo"):
            await tx.mail("hallo", to="ada@example.com", about="x")
        with pytest.raises(ValueError, match="about"):
            await tx.mail("hello", to="ada@example.com", about="", name="Ada", link="")


async def test_an_empty_template_sends_nothing(t: Trial, tmp_path: Path) -> None:
    (tmp_path / "hello.jinja").write_text("")
    await hello(t)
    await t.work()
    assert t.mails == []
    assert [held.state for held in await kept(t)] == ["dropped"]


async def test_two_who_write_about_one_thing_at_once_send_one(t: Trial) -> None:
    """The second one waits for the first, is undone, and done again: it finds the mail written then."""
    answers = [await t.post("/api/greet", {"email": "ada@example.com", "name": "Ada"}) for _ in range(2)]
    assert [answer.ok().json for answer in answers] == [True, False]
    await t.work()
    assert len(t.mails) == 1


def test_who_mail_is_from(tmp_path: Path) -> None:
    def sender(**settings: Any) -> str:
        made = Office.of(Settings(data=str(tmp_path), **settings), "Tea", None).sender
        return f"{made.name} <{made.address}>"

    assert sender(env="development") == "Tea <noreply@localhost>"
    assert sender(public_url="https://tea.example.com/shop") == "Tea <noreply@tea.example.com>"
    assert sender(email_from="Orders <o@example.com>", email_url="smtp://localhost") == "Orders <o@example.com>"
    with pytest.raises(ValueError, match="BACKSTAY_EMAIL_FROM is not set"):
        sender(email_url="smtp://localhost")
    with pytest.raises(ValueError, match="BACKSTAY_EMAIL_FROM: an address"):
        sender(email_from="Orders")


async def test_production_without_a_server_keeps_mail_until_there_is_one(tmp_path: Path) -> None:
    office = Office.of(Settings(data=str(tmp_path)), "Tea", None)
    assert office.mailer is None
    async with Trial(app_of(tmp_path)) as t:
        running = t.app.running.post
        real, running.office = running.office, Office(running.office.sender, running.office.templates, None)
        assert not running.ready
        await hello(t)
        await t.work()
        assert [(held.state, held.why) for held in await kept(t)] == [("waiting", "EMAIL_URL is not set.")]
        running.office = real
        await again(t)
        assert len(t.mails) == 1


async def test_reactions_of_ones_own_write_mail(tmp_path: Path) -> None:
    from backstay import created

    app = app_of(tmp_path)

    @app.on(created(Note))
    async def tell(ctx: Context, note: Note) -> None:
        async with ctx.transaction() as tx:
            await tx.mail("hello", to="ada@example.com", about=f"note:{note.id}", name=note.text, link="")

    async with Trial(app) as t:
        await t.post("/api/notes", {"text": "Tea"})
        await t.react()
        await t.work()
        assert [mail.subject for mail in t.mails] == ["Hello Tea"]
