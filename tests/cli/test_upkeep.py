"""`db`, `down`, `up` and `ping` on the command line, against a server that is running meanwhile."""

import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backstay.cli.commands import backstay
from tests.docs.served import free_port

FILE = '''
"""Notes."""

from backstay import App, Model, Rules, User, anyone


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


app = App("notes", models=[Note])
'''


class Desk:
    """A command line, and a server of the same application."""

    def __init__(self, folder: Path, database: str) -> None:
        self.file = folder / "notes.py"
        self.file.write_text(FILE)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "DATABASE_URL": database, "SECRET_KEY": "0123456789abcdef" * 4, "LOG_LEVEL": "error",
            "BACKSTAY_ACCEPT": "durability", "PATH": str(Path(sys.executable).parent),
        }  # fmt: skip

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(backstay, words, env=self.environment)

    def of(self, *words: str) -> Result:
        """A command about the file."""
        return self.run(words[0], str(self.file), *words[1:])

    def get(self, path: str = "/api/notes") -> tuple[int, dict[str, str], dict[str, object]]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, dict(answer.headers), json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, json.load(error)

    def until(self, status: int) -> tuple[int, dict[str, str], dict[str, object]]:
        deadline = time.monotonic() + 30
        while True:
            try:
                found = self.get()
                if found[0] == status:
                    return found
            except OSError:
                found = (0, {}, {})
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    @contextmanager
    def serving(self) -> Iterator[None]:
        command = [str(Path(sys.executable).with_name("backstay")), "serve", str(self.file), "--port", str(self.port)]
        server = subprocess.Popen([*command, "--workers", "2"], env=self.environment)
        try:
            self.until(200)
            yield
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]) -> Desk:
    sqlite = f"sqlite:///{tmp_path}/notes.db"
    return Desk(tmp_path, sqlite if request.param == "sqlite" else postgres_database("closing"))


def test_closed_for_all_processes_and_opened_again(desk: Desk) -> None:
    with desk.serving():
        told = desk.of("down", "--reason", "We move house.", "--for", "5")
        assert told.output.startswith("Closed until ")
        _, headers, problem = desk.until(503)
        assert (problem["code"], problem["detail"]) == ("maintenance", "We move house.")
        assert 0 < int(headers["retry-after"]) <= 301
        time.sleep(1)  # the longest that a process may not know it
        assert {desk.get()[0] for _ in range(20)} == {503}
        assert desk.get("/healthz")[0] == 200
        assert desk.of("up").output == "Open.\n"
        desk.until(200)
        time.sleep(1)
        assert {desk.get()[0] for _ in range(20)} == {200}
        assert desk.of("up").output == "It was open.\n"
        assert desk.of("down", "--allow", "127.0.0.0/8").output == "Closed until: backstay up.\n"
        time.sleep(1)
        assert {desk.get()[0] for _ in range(20)} == {200}
        found = desk.run("ping", desk.url, "--json")
        assert json.loads(found.output)["pulses"][0]["status"] == 200


def test_what_is_closed_for_a_while_opens_by_itself(desk: Desk) -> None:
    with desk.serving():
        desk.of("down", "--for", "0.05")  # three seconds
        desk.until(503)
        desk.until(200)


def test_a_network_that_is_none_is_refused(desk: Desk) -> None:
    told = desk.of("down", "--allow", "everybody")
    assert told.exit_code == 1
    assert "--allow: 'everybody'" in told.output


def test_upkeep_is_done_and_told(desk: Desk) -> None:
    assert desk.run("user", "create", str(desk.file), "a@example.com", "--password", "a long word").exit_code == 0
    told = desk.run("db", "maintain", str(desk.file), "--vacuum", "--json")
    assert told.exit_code == 0, told.output
    assert [(one["chore"], one["failed"]) for one in json.loads(told.output)] == [
        ("changes", False), ("accounts", False), ("jobs", False), ("database", False),
    ]  # fmt: skip
    assert "database" in desk.run("db", "maintain", str(desk.file)).output
    checked = desk.run("db", "check", str(desk.file))
    assert (checked.exit_code, checked.output) == (0, "No damage was found.\n")


def test_damage_is_found(tmp_path: Path) -> None:
    desk = Desk(tmp_path, f"sqlite:///{tmp_path}/notes.db")
    assert desk.run("user", "create", str(desk.file), "a@example.com", "--password", "a long word").exit_code == 0
    with sqlite3.connect(tmp_path / "notes.db") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE account_credentials SET user_id = '01890a5d-ac96-774b-bcce-b302099a8057'")
    connection.close()
    told = desk.run("db", "check", str(desk.file))
    assert told.exit_code == 1
    assert "refers to nothing in users" in told.output


def test_nobody_there_is_an_exit_code() -> None:
    told = CliRunner().invoke(backstay, ["ping", f"http://127.0.0.1:{free_port()}", "--timeout", "2"])
    assert told.exit_code == 1
    assert "ConnectionRefusedError" in told.output
    assert CliRunner().invoke(backstay, ["ping", "ftp://example.com"]).exit_code == 1
