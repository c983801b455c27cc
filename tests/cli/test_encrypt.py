"""`backstay encrypt`: a key is made, values are counted and sealed again, and what is left is said and an exit code."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backstay import App, Encrypted, Model, Rules, User, anyone
from backstay.cli.commands import backstay
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings, keys_of, read_settings

FILE = """
from tests.cli.test_encrypt import make

app = make()
"""
OLD, NEW = "old:" + "a1" * 32, "new:" + "b2" * 32


class Note(Model):
    text: Encrypted[str]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


def make() -> App:
    return App("notes", models=[Note])


class Desk:
    """A command line beside a database with three notes."""

    def __init__(self, database: str) -> None:
        self.environment = {
            "DATABASE_URL": database,
            "SECRET_KEY": "of a command that encrypts " * 2,
            "LOG_LEVEL": "error",
        }

    def run(self, *words: str, keys: str = OLD) -> Result:
        environment = {**self.environment, "BACKSTAY_ENCRYPTION_KEYS": keys}
        return CliRunner().invoke(backstay, ["encrypt", *words], env=environment)

    async def fill(self) -> None:
        app = make()
        running = await app.start(read_settings({**self.environment, "BACKSTAY_ENCRYPTION_KEYS": OLD}), extend=True)
        async with running.context_of(SYSTEM).transaction() as tx:
            for number in range(3):
                await tx.create(Note(text=f"note {number}"))
        await app.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def desk(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("notes.py").write_text(FILE)
    desk = Desk(f"sqlite:///{tmp_path / 'notes.db'}" if request.param == "sqlite" else postgres_database("notes"))
    asyncio.run(desk.fill())
    return desk


def test_from_an_old_key_to_a_new_one(desk: Desk) -> None:
    def said(*words: str, keys: str) -> tuple[int, list[str]]:
        result = desk.run(*words, keys=keys)
        return result.exit_code, result.output.split("\n")[:-1]

    both = f"{NEW},{OLD}"
    name, past, mail = f"{'Note.text':32}", f"{'Note.text (change log)':32}", f"{'MailMessage.told':32} no values"
    assert said("status", "notes.py", keys=both) == (0, [f"{name} 3 with old", f"{past} 3 with old", mail])
    assert said("rotate", "notes.py", "--dry-run", keys=both) == (0, ["6 values are to be sealed again with new."])
    assert said("status", "notes.py", keys=both) == (0, [f"{name} 3 with old", f"{past} 3 with old", mail])
    done = "6 records are sealed again with new; 0 values are left."
    assert said("rotate", "notes.py", keys=both) == (0, [done])
    assert said("status", "notes.py", keys=NEW) == (0, [f"{name} 3 with new", f"{past} 3 with new", mail])
    again = "0 records are sealed again with new; 0 values are left."
    assert said("rotate", "notes.py", keys=NEW) == (0, [again])


def test_what_is_left_is_an_exit_code_and_named(desk: Desk) -> None:
    result = desk.run("rotate", "notes.py", keys=NEW)
    assert result.exit_code == 1
    lines = result.output.split("\n")
    assert lines[0] == "0 records are sealed again with new; 6 values are left."
    assert 'it was sealed with the key "old", which is not in the key ring' in lines[1]
    assert desk.run("status", "notes.py", keys=NEW).output.startswith(f"{'Note.text':32} 3 with no key that is known")


def test_as_json(desk: Desk) -> None:
    both = f"{NEW},{OLD}"
    status = json.loads(desk.run("status", "notes.py", "--json", keys=both).stdout)
    assert status["newest"] == "new"
    counts = {key: number for key, number in status["fields"][0]["keys"].items() if not key.startswith("secret-")}
    assert (status["fields"][0]["place"], counts, status["fields"][0]["unknown"]) == (
        "Note.text",
        {"new": 0, "old": 3},
        0,
    )
    outcome = {"newest": "new", "rotated": 0, "unreadable": 0, "left": 6, "named": []}
    assert json.loads(desk.run("rotate", "notes.py", "--dry-run", "--json", keys=both).stdout) == outcome
    outcome |= {"rotated": 6, "left": 0}
    assert json.loads(desk.run("rotate", "notes.py", "--json", keys=both).stdout) == outcome


def test_a_bad_key_is_said(desk: Desk) -> None:
    result = desk.run("status", "notes.py", keys="old:short")
    assert result.exit_code == 1
    assert "Error: BACKSTAY_ENCRYPTION_KEYS, key 1: old must be 32 bytes" in result.output


def test_a_key_that_is_made_is_a_key() -> None:
    lines = [CliRunner().invoke(backstay, ["encrypt", "key"]).output.strip() for _ in range(2)]
    ((first, key),), ((_, other),) = (keys_of(Settings(encryption_keys=line)) for line in lines)
    assert len(key) == 32
    assert key != other
    assert len(first) == 10


def test_an_application_with_none_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("club.py").write_text("from backstay import App\n\napp = App('club', models=[])\n")
    environment = {"DATABASE_URL": "", "BACKSTAY_DATA": "data", "BACKSTAY_ENV": "development"}
    output = CliRunner().invoke(backstay, ["encrypt", "status", "club.py"], env=environment).stdout
    assert output.splitlines()[-1].split() == ["MailMessage.told", "no", "values"]
