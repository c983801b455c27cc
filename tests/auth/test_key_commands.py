"""API keys made, listed and revoked by the command line."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from backstay.cli.commands import backstay


def test_keys_are_made_listed_and_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("club.py").write_text("from backstay import App\n\napp = App('club', models=[])\n")
    environment = {"DATABASE_URL": "", "BACKSTAY_DATA": "data", "BACKSTAY_PASSWORD": "correct horse"}

    def run(*words: str, code: int = 0) -> str:
        said = CliRunner().invoke(backstay, [*words[:2], "club.py", *words[2:]], env=environment)
        assert said.exit_code == code, said.output
        return said.output.strip()

    def stored() -> list[tuple[str, str, bool]]:
        with closing(sqlite3.connect("data/backstay.db")) as connection:
            return connection.execute("SELECT key_hash, scopes, ended_at IS NULL FROM account_keys").fetchall()

    run("user", "create", "ada@example.com")
    to = ("key", "create", "Ada@example.com", "--name", "Till")
    first = run(*to, "--scope", "users:read", "--scope", "read").splitlines()[0]
    second = json.loads(run(*to, "--scope", "write", "--days", "30", "--json"))
    assert second["start"] == second["key"][:8]
    assert stored() == [
        (hashlib.sha256(first.encode()).hexdigest(), '["read"]', 1),
        (hashlib.sha256(second["key"].encode()).hexdigest(), '["write"]', 1),
    ]
    listed = json.loads(run("key", "list", "ada@example.com", "--json"))
    assert listed[0]["id"] == second["id"]
    assert {**listed[0], "key": second["key"]} == second
    end = second["expires_at"][:10]
    assert run("key", "list", "ada@example.com").splitlines() == [
        f"{second['id']}  {second['start']}…  Till: write (expires {end}, not used yet)",
        f"{listed[1]['id']}  {first[:8]}…  Till: read (never expires, not used yet)",
    ]
    assert run("key", "revoke", "ada@example.com", second["id"]) == f"Revoked {second['id']}."
    assert [alive for _, _, alive in stored()] == [1, 0]
    assert run("key", "revoke", "ada@example.com", "--all") == "Revoked."
    assert [alive for _, _, alive in stored()] == [0, 0]
    assert run("key", "list", "ada@example.com") == ""
    assert "Error: Name the ids of keys, or --all." in run("key", "revoke", "ada@example.com", code=2)
    assert run("key", "list", "bob@example.com", code=1) == "Error: There is no account bob@example.com."
    assert 'Did you mean "users:read"?' in run(*to, "--scope", "user:read", code=1)
    assert "Error" in run("key", "revoke", "ada@example.com", second["id"], code=1)
