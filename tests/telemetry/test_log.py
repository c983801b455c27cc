"""A line of the log is one line, valid JSON in production, whatever a caller put into the address."""

import ast
import io
import json
from pathlib import Path

import pytest

from backstay.errors import Unavailable
from backstay.net.failure import Unreachable
from backstay.telemetry.log import Log
from backstay.telemetry.observation import EVENTS

PATHS = ["/api/notes", '/a"b', "/a\\b", "/a\nb", "/ä\x1b[31m", "/\u2028", '/","status":200,"x":"']


@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_one_line_of_json(path: str) -> None:
    stream = io.StringIO()
    log = Log(json=True, stream=stream)
    log.request("r1", "GET", path, 404, 0.00123, "ada", None, "not_found", "203.0.113.9")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["status"], said["method"], said["ms"], said["request_id"], said["actor"], said["code"]) == (
        404, "GET", 1.23, "r1", "ada", "not_found",
    )  # fmt: skip
    assert said.pop("client") == "203.0.113.9"
    assert set(said) == {"ts", "level", "event", "method", "path", "status", "ms", "request_id", "actor", "code"}
    assert said["path"].isascii()
    assert said["path"].isprintable()


@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_one_line_for_people(path: str) -> None:
    stream = io.StringIO()
    Log(stream=stream).request("r1", "GET", path, 200, 0.001, None, None)
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_an_unexpected_error_is_told_to_the_operator_alone() -> None:
    stream = io.StringIO()
    try:
        raise ZeroDivisionError("secret of the house")
    except ZeroDivisionError as error:
        Log(stream=stream).request("r1", "GET", "/", 500, 0.001, None, error)
    assert "ZeroDivisionError: secret of the house" in stream.getvalue()


def test_levels_below_the_chosen_one_are_silent() -> None:
    stream = io.StringIO()
    log = Log("error", stream=stream)
    log.request("r1", "GET", "/", 200, 0.001, None, None)
    log.event("schema_changed", did="created table notes")
    assert stream.getvalue() == ""


def test_what_is_said_in_development_is_one_line_too() -> None:
    stream = io.StringIO()
    Log(stream=stream).event("reaction_failed", reaction="notes.tell", record="1", error="a\nb \x1b[31m\u009b \u2028")
    (line,) = stream.getvalue().splitlines()
    assert line[9:] == 'warning reaction_failed reaction=notes.tell record=1 error="a\\nb \\u001b[31m\\u009b \\u2028"'


def test_an_unexpected_error_is_a_field_of_its_line() -> None:
    stream = io.StringIO()
    try:
        raise ZeroDivisionError('secret "of" the house')
    except ZeroDivisionError as error:
        Log(json=True, stream=stream).request("r1", "GET", "/", 500, 0.001, None, error)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["level"], said["trace"].splitlines()[-1]) == ("error", 'ZeroDivisionError: secret "of" the house')


def test_what_is_known_to_fail_is_told_without_a_trace() -> None:
    stream = io.StringIO()
    log = Log(json=True, stream=stream)
    log.request("r1", "GET", "/", 502, 0.001, None, Unreachable("GET https://a.example/ was not reached"), "upstream")
    log.request("r2", "GET", "/readyz", 503, 0.001, None, Unavailable("soon"), "not_ready")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["why"]) == ("warning", "GET https://a.example/ was not reached")
    assert second.keys() == {"ts", "level", "event", "method", "path", "status", "ms", "request_id", "code"}


def test_what_is_in_no_list_cannot_be_said() -> None:
    with pytest.raises(KeyError):
        Log(stream=io.StringIO()).event("something")


def test_every_event_that_is_said_is_listed_with_its_fields() -> None:
    """Read from the source, so that an event nobody says, and a field nobody lists, are found."""
    calls: dict[str, set[str]] = {}
    for file in (Path(__file__).parents[2] / "src" / "backstay").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
                (name,) = (one.value for one in node.args if isinstance(one, ast.Constant))
                calls.setdefault(str(name), set()).update(keyword.arg or "" for keyword in node.keywords)
    assert calls.keys() == EVENTS.keys() - {"request"}
    for name, fields in calls.items():
        assert fields == set(EVENTS[name].fields), name


def test_a_503_has_the_kind_of_error_behind_it_and_not_its_text() -> None:
    stream = io.StringIO()
    log = Log("info", json=True, stream=stream)
    problem = Unavailable("The database cannot be read just now.")
    problem.__cause__ = OSError("no room for row 'secret'")
    log.request("1", "GET", "/api/notes", 503, 0.001, None, problem, problem.code)
    log.flush()
    assert (json.loads(stream.getvalue())["why"], "secret" in stream.getvalue()) == ("OSError", False)
