"""`/dev/mail`: every message as it will look, with nothing of it running, and nothing of it in production."""

from __future__ import annotations

from pathlib import Path

import pytest

from backstay import App, Model
from backstay.app import Running, open_store
from backstay.mail.mailbox import Mailbox
from backstay.settings import Settings
from backstay.testing import Trial
from tests.mail.test_templates import EVIL, TOLD


class Note(Model):
    text: str


APP = App("Tea", models=[Note])


async def sent(t: Trial, mail: str = "receipt", about: str = "1", **values: object) -> str:
    """The id of a message that was just sent."""
    async with t.transaction() as tx:
        await tx.mail(mail, to="ada@example.com", about=about, **(values or TOLD[mail]))
    await t.work()
    return t.mails[-1].id


async def test_the_list_has_the_newest_first() -> None:
    async with Trial(APP) as t:
        assert "No mail has been sent yet." in (await t.get("/dev/mail")).text
        await sent(t)
        await sent(t, "welcome", "2")
        page = (await t.get("/dev/mail")).ok().text
        assert 0 < page.index("Welcome to Tea") < page.index("Your order 1001")
        listed = (await t.get("/dev/mail", headers={"accept": "application/json"})).ok().json["data"]
        assert [(one["to"], one["subject"]) for one in listed] == [
            ("ada@example.com", "Welcome to Tea"), ("ada@example.com", "Your order 1001")
        ]  # fmt: skip


async def test_a_message_is_shown_whole() -> None:
    async with Trial(APP) as t:
        place = f"/dev/mail/{await sent(t)}"
        page = (await t.get(place)).ok()
        (mail,) = t.mails
        assert f'<iframe sandbox title="The message as HTML" src="{place}/html">' in page.text
        assert "2 × Green tea" in page.text
        assert f"&lt;{mail.message_id}&gt;" in page.text
        assert (await t.get(f"{place}/html")).ok().text == mail.html
        assert (await t.get(f"{place}/text")).ok().text == mail.text
        assert (await t.get(f"{place}/raw")).ok().body == mail.raw


async def test_nothing_of_a_message_runs() -> None:
    async with Trial(APP) as t:
        place = f"/dev/mail/{await sent(t, 'low_stock', name=EVIL, available=1)}"
        for path in ("/dev/mail", place, f"{place}/html"):
            answer = (await t.get(path)).ok()
            assert "<script" not in answer.text
            assert "script-src" not in answer.headers["content-security-policy"]
            assert answer.headers["content-security-policy"].removeprefix("sandbox; ").startswith("default-src 'none'")
        framed = await t.get(f"{place}/html")
        assert framed.headers["content-security-policy"].startswith("sandbox;")
        assert "frame-ancestors 'self'" in framed.headers["content-security-policy"]
        for part in ("text", "raw"):
            answer = await t.get(f"{place}/{part}")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["1", "..%2f..%2fsecret.key", "../secret.key", "1796105527383990081-9fcb3aaf"])
async def test_a_name_that_is_none_finds_nothing(name: str) -> None:
    async with Trial(APP) as t:
        assert (await t.get(f"/dev/mail/{name}")).status in (400, 404)


async def test_the_folder_shows_what_every_process_sent(tmp_path: Path) -> None:
    from tests.mail.test_mailers import MESSAGE

    one, other = Mailbox(tmp_path / "mail"), Mailbox(tmp_path / "mail")
    await one.send(MESSAGE)
    await other.send(MESSAGE)
    assert len(one.all()) == len(other.all()) == 2
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "mail").iterdir()] == [0o600, 0o600]
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
    (tmp_path / "secret.eml").write_text("x")
    assert one.get("../secret") is None


@pytest.mark.parametrize(("env", "served"), [("development", True), ("production", False)])
async def test_production_serves_none_of_it(env: str, served: bool, tmp_path: Path) -> None:
    settings = Settings(database_url="sqlite://", secret_key="x" * 32, env=env, data=str(tmp_path))
    routes = Running(APP, settings, open_store(settings, APP.limits)).router.routes
    assert any(route.path.startswith("/dev/") for route in routes) == served
    assert served or not Path(tmp_path / "mail").exists()
