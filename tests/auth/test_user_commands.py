"""What the command line does to accounts that are there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from backstay.cli.commands import backstay


def test_roles_are_given_and_an_account_is_shut_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("club.py").write_text("from backstay import App\n\napp = App('club', models=[])\n")
    environment = {"DATABASE_URL": "", "BACKSTAY_DATA": "data", "BACKSTAY_PASSWORD": "correct horse"}

    def run(command: str, *more: str) -> tuple[int, str]:
        said = CliRunner().invoke(backstay, ["user", command, "club.py", *more], env=environment)
        return said.exit_code, said.output.strip()

    def stored() -> list[tuple[str, int]]:
        with closing(sqlite3.connect("data/backstay.db")) as connection:
            return connection.execute("SELECT roles, disabled FROM users").fetchall()

    assert run("create", "ada@example.com", "--role", "staff")[0] == 0
    roles = ("--role", "admin", "--role", "editor")
    assert run("roles", "Ada@example.com", *roles) == (0, "Ada@example.com has admin, editor now.")
    assert stored() == [('["admin","editor"]', 0)]
    assert run("roles", "ada@example.com") == (0, "ada@example.com has no role now.")
    assert run("disable", "ada@example.com") == (0, "ada@example.com is disabled now.")
    assert stored() == [("[]", 1)]
    assert run("disable", "ada@example.com", "--undo") == (0, "ada@example.com is open now.")
    assert stored() == [("[]", 0)]
    for command in ("roles", "disable"):
        assert run(command, "bob@example.com") == (1, "Error: There is no account bob@example.com.")
