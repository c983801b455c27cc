"""The log is read as people read it, and only what was looked for, also while it is written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from backstay.cli.commands import backstay
from backstay.errors import NotFound
from backstay.telemetry.log import Log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log with some of everything in it."""
    stream = io.StringIO()
    log = Log("debug", json=True, stream=stream)
    log.event("serving", host="127.0.0.1", port=8000, pid=7)
    log.request("r1", "GET", "/api/notes", 200, 0.0012, "ada", None, client="203.0.113.9")
    log.request("r2", "POST", "/api/notes", 404, 0.25, None, NotFound(), "not_found")
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError as error:
        log.request("r3", "GET", "/api/\x1b[31m", 500, 0.002, None, error, "internal_error")
    log.event("reaction_failed", reaction="notes.tell", record="1", error="a\x1b[31mb\u009b")
    made = tmp_path / "log.json"
    made.write_text(stream.getvalue() + "no line of ours\n")
    return made


def read(*words: str, standard: str | None = None) -> list[str]:
    outcome = CliRunner().invoke(backstay, ["logs", *words], input=standard)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output.splitlines()


def test_all_of_it_is_readable(file: Path) -> None:
    lines = read(str(file))
    assert lines[0][20:] == "info    serving host=127.0.0.1 port=8000 pid=7"
    assert lines[1][20:] == "info    200 GET    /api/notes 1.2 ms actor=ada client=203.0.113.9 request_id=r1"
    assert lines[2][20:] == "info    404 POST   /api/notes 250.0 ms code=not_found request_id=r2"
    assert lines[3][20:].startswith("error   500 GET    /api/%1B%5B31m")
    assert lines[-3] == "    ZeroDivisionError: no"
    assert lines[-2][20:] == 'warning reaction_failed reaction=notes.tell record=1 error="a\\u001b[31mb\\u009b"'
    assert lines[-1] == "no line of ours"
    assert not any("\x1b" in line or "\u009b" in line for line in lines)
    assert read(standard=file.read_text()) == lines == read("-", standard=file.read_text())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--level", "warning"], ["request", "reaction_failed"]),
        (["--event", "serving", "--event", "reaction_failed"], ["serving", "reaction_failed"]),
        (["--status", "5xx"], ["r3"]),
        (["--status", "404"], ["r2"]),
        (["--path", "/notes"], ["r1", "r2"]),
        (["--request", "r1"], ["r1"]),
        (["--slower", "100"], ["r2"]),
        (["--since", "1h", "--event", "serving"], ["serving"]),
        (["--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()], []),
    ],
)
def test_what_is_looked_for(words: list[str], found: list[str], file: Path) -> None:
    said = [json.loads(line) for line in read(str(file), "--json", *words)]
    by = "event" if "--level" in words or "--event" in words else "request_id"
    assert [one[by] for one in said] == found


@pytest.mark.parametrize("words", [["--status", "6xx"], ["--since", "soon"], ["--event", "none"], ["nowhere.json"]])
def test_what_cannot_be_meant_is_an_error(words: list[str]) -> None:
    assert CliRunner().invoke(backstay, ["logs", *words]).exit_code in (1, 2)


def test_it_is_followed_into_the_next_file(file: Path) -> None:
    program = str(Path(sys.executable).parent / "backstay")
    with subprocess.Popen(
        [program, "logs", "-f", str(file), "--event", "serving", "--json"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as following:  # fmt: skip
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["pid"] == 7
            with file.open("a") as more:
                more.write('{"ts":"2026-11-25T09:00:00Z","level":"info","event":"serving","pid":8}\n')
            assert json.loads(following.stdout.readline())["pid"] == 8
            file.rename(file.with_suffix(".old"))
            file.write_text('{"ts":"2026-11-25T09:00:00Z","level":"info","event":"serving","pid":9}\n')
            assert json.loads(following.stdout.readline())["pid"] == 9
        finally:
            following.kill()
