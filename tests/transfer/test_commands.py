"""`backstay import`, `export` and `seed` as they are typed: what they print, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result

from backstay.cli.commands import backstay

PROGRAM = str(Path(sys.executable).with_name("backstay"))
APP = Path(__file__).with_name("market.py")
MAP = """
[[record]]
model = "Shelf"
key = ["name"]
[record.fields]
name = "shelf"
"""


class Desk:
    """A folder, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder / 'market.db'}", "BACKSTAY_DATA": str(folder), "LOG_LEVEL": "error",
            "BACKSTAY_ENV": "development",
        }  # fmt: skip

    def file(self, name: str, text: str) -> str:
        """A file in the folder."""
        (self.folder / name).write_text(text)
        return name

    def run(self, *words: str) -> Result:
        """A command, in this process."""
        modules, path = dict(sys.modules), list(sys.path)
        try:
            return CliRunner().invoke(backstay, [words[0], str(APP), *words[1:]], env=self.environment)
        finally:
            sys.path[:] = path
            sys.modules.pop("market", None) if "market" not in modules else None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that is not waited for."""
        return subprocess.Popen(
            [PROGRAM, words[0], str(APP), *words[1:]], cwd=self.folder, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def select(self, text: str) -> list[Any]:
        """The rows of a statement, past Backstay; none where there is no table yet."""
        connection = apsw.Connection(str(self.folder / "market.db"))
        connection.set_busy_timeout(5_000)
        try:
            return connection.execute(text).fetchall()
        except apsw.SQLError:
            return []
        finally:
            connection.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty folder, to be in."""
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_an_import_says_what_it_did_and_ends_with_3_where_rows_were_rejected(desk: Desk) -> None:
    desk.file("map.toml", MAP)
    desk.file("data.csv", "shelf\ntop\n\nlow\n" + "x" * 30 + "\n")
    first = desk.run("import", "data.csv", "--map", "map.toml")
    assert first.exit_code == 3, first.stderr
    assert "3 rows in " in first.stdout
    assert "2 imported, 0 skipped, 1 rejected." in first.stdout
    assert "Shelf.name: too_long" in first.stdout
    assert json.loads((desk.folder / "data.rejects.jsonl").read_text())["_rejected"]["line"] == 5
    second = desk.run("import", "data.csv", "--map", "map.toml", "--json")
    assert (second.exit_code, json.loads(second.stdout)["resumed_at"]) == (3, 3)
    assert "It was imported before" in desk.run("import", "data.csv", "--map", "map.toml").stdout
    assert desk.select("SELECT count(*) FROM shelfs") == [(2,)]


def test_what_cannot_be_done_says_the_next_step_and_ends_with_1(desk: Desk) -> None:
    desk.file("map.toml", MAP)
    data = desk.file("data.csv", "shelve\ntop\n")
    for words, said in (
        ((data, "--map", "map.toml"), 'data.csv has no column "shelf". Did you mean "shelve"?'),
        ((data,), "Say which model: --model Product"),
        ((data, "--model", "Shelv"), 'There is no model "Shelv". Did you mean "Shelf"?'),
        ((data, "--map", "map.toml", "--as", "ada@example.com"), "There is no account ada@example.com"),
    ):
        done = desk.run("import", *words)
        assert (done.exit_code, said in done.stderr) == (1, True), done.stderr
    done = desk.run("export", "shelfs", "--as-role", "x", "--fields", "nmae")
    assert (done.exit_code, done.stdout) == (1, "")
    assert 'Shelf has no field "nmae"' in done.stderr


def test_an_import_killed_on_its_way_goes_on(desk: Desk) -> None:
    desk.file("map.toml", MAP)
    desk.file("data.csv", "shelf\n" + "".join(f"s{n}\n" for n in range(6_000)))
    words = ("import", "data.csv", "--map", "map.toml", "--batch", "50", "--json")
    process = desk.start(*words)
    until = time.monotonic() + 60
    while not (desk.folder / "market.db").exists() or not desk.select('SELECT 1 FROM "_imports" WHERE place > 200'):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < until
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    ((place,),) = desk.select('SELECT place FROM "_imports"')
    assert 200 < place < 6_000
    assert desk.select("SELECT count(*) FROM shelfs") == [(place,)]
    said = json.loads(desk.run("import", "data.csv", "--map", "map.toml", "--json").stdout)
    assert (said["resumed_at"], said["rows"], said["created"]) == (place, 6_000, {"Shelf": 6_000})
    assert desk.select("SELECT count(*), count(DISTINCT name) FROM shelfs") == [(6_000, 6_000)]
    assert desk.select("SELECT count(*), count(DISTINCT record) FROM _changes") == [(6_000, 6_000)]


def test_a_folder_comes_in_and_goes_out(desk: Desk) -> None:
    (desk.folder / "seed").mkdir()
    desk.file("seed/shelfs.csv", "name\ntop\n'=low\n")
    assert desk.run("seed", "seed").stdout.split() == ["shelfs.csv", "2", "rows"]
    out = desk.run("export", "shelfs", "-o", "out.csv", "--fields", "name", "--json")
    assert json.loads(out.stdout) == {"model": "Shelf", "records": 2, "format": "csv", "file": "out.csv"}
    assert (desk.folder / "out.csv").read_text() == "name\ntop\n'=low\n"
    failed = desk.run("export", "shelfs", "-o", "out.csv", "--fields", "nmae")
    assert failed.exit_code == 1
    assert (desk.folder / "out.csv").read_text() == "name\ntop\n'=low\n"
    assert {path.name for path in desk.folder.glob(".*part")} == set()
