"""A line of the log is one line, valid JSON in production, whatever a caller put into the address."""

import io
import json

import pytest

from backstay.telemetry.log import Log

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
    log.event("info", "created table notes")
    assert stream.getvalue() == ""
