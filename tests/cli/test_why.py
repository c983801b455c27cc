"""`why` and `shell` on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backstay.cli.commands import backstay

FILE = """
from backstay import App, Model, Rules, User, current_user


class Note(Model):
    text: str
    owner: User = current_user()

    def rules(self, me: User) -> Rules:
        return Rules(read=(self.owner == me) | me.has_role("staff"), create=me.signed_in)


app = App("notes", models=[Note])
"""


class Desk:
    """A command line beside a database with one person and one note of theirs."""

    def __init__(self, folder: Path, database: str) -> None:
        self.file = folder / "notes.py"
        self.file.write_text(FILE)
        self.environment = {"DATABASE_URL": database, "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "error"}
        for email, *role in (("ada@example.com",), ("eve@example.com", "--role", "staff")):
            self.run("user", "create", str(self.file), email, "--password", "a long word", *role)
        made = self.run(
            "shell", str(self.file), "--as", "ada@example.com", "-c",
            "async with ctx.transaction() as tx: print((await tx.create(Note(text='x'))).id)",
        )  # fmt: skip
        self.note = made.output.strip()
        assert made.exit_code == 0, made.output

    def run(self, *words: str, typed: str = "") -> Result:
        return CliRunner().invoke(backstay, words, env=self.environment, input=typed)

    def why(self, *words: str) -> Result:
        return self.run("why", str(self.file), *words)


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]) -> Desk:
    sqlite = f"sqlite:///{tmp_path}/notes.db"
    return Desk(tmp_path, sqlite if request.param == "sqlite" else postgres_database("why"))


def test_why(desk: Desk) -> None:
    told = desk.why("ada@example.com", "read", f"notes/{desk.note}")
    assert told.output.splitlines() == [
        f"ada@example.com may read Note {desk.note}.",
        "  ✓ (self.owner == me) | me.has_role('staff')",
        "    ✓ self.owner == me",
        "    ✗ me.has_role('staff')",
    ]
    assert "eve@example.com may read" in desk.why("eve@example.com", "read", f"/api/notes/{desk.note}").output
    told = desk.why("anonymous", "read", f"notes/{desk.note}", "--json")
    found = json.loads(told.output)
    assert (found["verdict"], found["visible"]) == ("denied", False)
    assert [part["holds"] for part in found["rule"]["parts"]] == [False, False]
    assert "may create Note" in desk.why("ada@example.com", "create", "notes").output
    assert "may read" in desk.why("anonymous", "read", f"notes/{desk.note}", "--role", "staff").output


def test_what_cannot_be_asked_says_what_to_write(desk: Desk) -> None:
    told = desk.why("ada@example.com", "read", "note/1")
    assert told.exit_code == 2
    assert "Name one of notes, users." in told.output
    assert desk.why("ada@example.com", "read", "notes").exit_code == 2
    assert desk.why("ada@example.com", "create", f"notes/{desk.note}").exit_code == 2
    told = desk.why("nobody@example.com", "create", "notes")
    assert told.exit_code == 1
    assert "nobody@example.com" in told.output
    assert "Traceback" not in told.output


def test_a_prompt_that_waits(desk: Desk) -> None:
    lines = [
        "x = 20",
        "async with ctx.transaction() as tx: print('notes:', await tx.count(Note))", "",
        "async def twice(n): return n * 2", "", "y = await twice(x)", "print(y + 2)", "1 / 0",
        "print(x, 'goes on')", "",
    ]  # fmt: skip
    told = desk.run("shell", str(desk.file), typed="\n".join(lines))
    assert told.exit_code == 0
    assert "above the rules" in told.output
    for said in ("notes: 1", "42", "20 goes on"):
        assert said in told.output


def test_a_command_with_the_rights_of_somebody(desk: Desk) -> None:
    counting = "async with ctx.transaction() as tx: print(await tx.count(Note), me is not None)"
    for email, number in (("ada@example.com", 1), ("eve@example.com", 1)):
        assert desk.run("shell", str(desk.file), "--as", email, "-c", counting).output == f"{number} True\n"
    failed = desk.run("shell", str(desk.file), "-c", "await nothing()")
    assert failed.exit_code == 1
    assert desk.run("shell", str(desk.file), "--as", "nobody@example.com", "-c", "1").exit_code == 1
