"""Who opens an account is welcomed, and whose address somebody else tries is told; who asks is told nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from backstay import App, Context, Rules, User, anyone, field
from backstay.testing import Trial

PASSWORD = "correct horse battery"


class Customer(User):
    name: str = ""
    language: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=self == me, fields=[field(self.language, write=anyone)])


APP = App("Tea", models=[Customer])


@APP.action("GET /api/language", allow=anyone)
async def language(ctx: Context) -> str:
    return ctx.language


@pytest.fixture(params=["sqlite", "postgresql"])
async def t(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    database = "sqlite://"
    if request.param == "postgresql":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        database = make("account_mails")
    async with Trial(APP, database) as trial:
        yield trial


async def sign_up(t: Trial, email: str = "ada@example.com", accepts: str = "", **more: Any) -> None:
    body = {"email": email, "password": PASSWORD, **more}
    headers = {"accept-language": accepts} if accepts else None
    answer = (await t.post("/api/auth/signup", body, headers=headers)).ok()
    assert (answer.status, answer.json) == (202, {"status": "accepted"})


async def test_who_opens_an_account_is_welcomed(t: Trial) -> None:
    await sign_up(t)
    await sign_up(t, "grace@example.com", accepts="fr, de;q=0.8")
    await sign_up(t, "carl@example.com", accepts="en", language="de")
    await t.work()
    assert sorted((mail.to, mail.subject) for mail in t.mails) == [
        ("ada@example.com", "Welcome to Tea"), ("carl@example.com", "Willkommen bei Tea"),
        ("grace@example.com", "Willkommen bei Tea"),
    ]  # fmt: skip


async def test_whose_address_is_tried_is_told_once_a_day(t: Trial) -> None:
    await sign_up(t, language="de")
    for _ in range(3):
        await sign_up(t, accepts="en")  # whoever asks does not choose what its owner reads
    await t.work()
    assert sorted(mail.subject for mail in t.mails) == ["Sie haben bereits ein Konto", "Willkommen bei Tea"]
    t.clock.advance(days=1)
    await sign_up(t)
    await t.work()
    assert [mail.subject for mail in t.mails].count("Sie haben bereits ein Konto") == 2
    assert {mail.to for mail in t.mails} == {"ada@example.com"}


async def test_a_taken_address_is_the_same_work_with_mail_too(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit each, and as many statements: for a free address, a taken one, and one that was told today."""
    store = t.app.running.engine.store
    trips = []
    for _ in range(3):
        with t.counting() as statements:
            await sign_up(t)
        trips.append(len(statements))
    assert trips[1] == trips[2]
    assert abs(trips[0] - trips[1]) <= 2 + (store.dialect.name != "postgres")  # it begins once more instead


async def test_an_account_that_was_made_for_somebody_is_not_welcomed(t: Trial) -> None:
    await t.user("ada@example.com")
    await t.work()
    assert t.mails == []


async def test_production_without_a_mail_server_writes_none(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t.app.running.accounts, "_mails", False)
    await sign_up(t)
    await sign_up(t)
    assert await t.work() == 0


async def test_own_code_knows_the_language_of_who_asks(t: Trial) -> None:
    assert (await t.get("/api/language")).json == "en"
    assert (await t.get("/api/language", headers={"accept-language": "de-CH"})).json == "de"
