"""The gate of bodies: size, depth, number of values, encodings, names said twice, and how long one may take."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from backstay.api.body import Gate
from backstay.api.deadline import Deadlines
from backstay.api.shedding import Shedding
from backstay.errors import Problem
from backstay.plan.limits import Limits
from tests.api.asking import JSON, ask, coming, front, scope


def gate(**limits: int) -> Gate:
    return Gate(Limits(**limits), Deadlines(Limits()), Shedding(1, 1.0))


def code(body: bytes, **limits: int) -> str:
    """The code of the problem with a body; empty where it is good."""
    try:
        gate(**limits).parse(body)
    except Problem as problem:
        return problem.code
    return ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "malformed_json"),
        (b"NaN", "malformed_json"),
        (b"1e999", "malformed_json"),
        (b'"\xff"', "malformed_json"),
        (b'"\\ud800"', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b"[" * 64 + b"]" * 64, ""),
        (b"[" * 65 + b"]" * 65, "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"a":' * 100_000, "malformed_json"),
        (b"[" + b"[]," * 70 + b"[]]", ""),
        (b'["' + b"[{" * 200 + b'"]', ""),
        (b'["\\"' + b"[" * 200 + b'"]', ""),
        (b'["\\\\",' + b"[" * 200 + b"]" * 201, "malformed_json"),
        (b"[" + b"1," * 99_998 + b"1]", ""),
        (b"[" + b"1," * 100_000 + b"1]", "too_large"),
        (b"[" + b"[]," * 50_000 + b"1]", "too_large"),
        (b'["' + b"," * 200_000 + b'"]', ""),
    ],
)
def test_what_is_no_good_json_is_told_before_it_is_read(body: bytes, expected: str) -> None:
    assert code(body) == expected


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (b'{"a":1,"a":1}', False),
        (b'{"a":1,"b":2}', True),
        (b'{"a" : 1, "b" :"12:30:00"}', True),
        (b'{"a" : 1, "a" :"12:30:00"}', False),
        (b'{"a":1,"a" :"x:"}', False),
        (b'{"a":"\\":","b":"x"}', True),
        (b'{"a":"\\":","a":"x"}', False),
        (b'{"a":"\\":"}', True),
        (b'{"a":"https://x","b":[{"c":1,"d":"1:2"}]}', True),
        (b'{"a":"https://x","b":[{"c":1,"c":"1:2"}]}', False),
        (b'[{"a":{"b":{"c":1,"\\u0063":2}}}]', False),
        (b'[{"a":1},{"a":1}]', True),
    ],
)
def test_a_name_that_is_there_twice_is_refused(body: bytes, good: bool) -> None:
    assert code(body) == ("" if good else "malformed_json")


def test_the_name_that_is_there_twice_is_said() -> None:
    with pytest.raises(Problem, match='"price" is there twice in one object'):
        gate().parse(b'{"items":[{"price":1,"price":0}]}')


def test_many_quotes_and_backslashes_take_no_longer_than_others() -> None:
    """A text that never ends, of one megabyte: a pattern that looks back would take minutes."""
    for body in (b'["' + b'\\"' * 500_000, b'{"a":1,' + b'"' * 1_000_001, b'["' + b"\\" * 1_000_000):
        assert code(body) in ("malformed_json", "too_large")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": 'Application/JSON ;charset="UTF-8"'}, 200),
        ({**JSON, "content-encoding": "identity"}, 200),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "text/plain; application/json"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/jsonp"}, 415),
        ({}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({**JSON, "content-encoding": "identity, gzip"}, 415),
        ([*JSON.items(), *JSON.items()], 400),
    ],
)
async def test_a_body_says_that_it_is_json_as_it_is(headers: Any, status: int) -> None:
    found, answered, _ = await ask(front(), "POST", "/api/notes", b"{}", headers)
    assert found == status
    encoded = "content-encoding" in dict(headers) and status == 415
    assert answered.get("accept-encoding") == ("identity" if encoded else None)


async def test_a_body_in_parts_is_refused_as_soon_as_it_is_too_large() -> None:
    read = coming(b"1" * 60, b"1" * 60, b"1" * 60)
    target, task = gate(max_body=100), asyncio.current_task()
    assert task is not None
    with pytest.raises(Problem, match="A body may have 100 bytes"):
        await target.read({}, read, task)
    assert target.held == 0
    assert (await read())["more_body"] is False  # the third part was never asked for


async def test_one_process_holds_only_so_many_bytes_of_bodies() -> None:
    target = front(max_bodies=1_000)
    second = asyncio.Event()
    waiting = asyncio.Event()
    said: list[Mapping[str, Any]] = []

    async def slowly() -> dict[str, Any]:
        if not waiting.is_set():
            waiting.set()
            return {"type": "http.request", "body": b'"' + b"x" * 900, "more_body": True}
        await second.wait()
        return {"type": "http.request", "body": b'"'}

    async def send(message: Mapping[str, Any]) -> None:
        said.append(message)

    first = asyncio.create_task(target(scope("POST", "/api/notes", JSON), slowly, send))
    await waiting.wait()
    status, headers, body = await ask(target, "POST", "/api/notes", b'"' + b"x" * 98 + b'"', JSON)
    assert (status, headers["retry-after"], b'"code":"overloaded"' in body) == (503, "1", True)
    assert (await ask(target, "POST", "/api/notes", b"1", JSON))[0] == 200
    second.set()
    await first
    assert (said[0]["status"], target.gate.held) == (200, 0)
    assert (await ask(target, "POST", "/api/notes", b'"' + b"x" * 98 + b'"', JSON))[0] == 200


async def test_who_leaves_in_the_middle_of_a_body_leaves_nothing() -> None:
    target = front()
    said: list[Any] = []

    async def leaving() -> dict[str, Any]:
        return {"type": "http.disconnect"} if said else said.append(1) or {
            "type": "http.request", "body": b"[", "more_body": True,
        }  # fmt: skip

    async def send(message: Mapping[str, Any]) -> None:
        said.append(message)

    await target(scope("POST", "/api/notes", JSON), leaving, send)
    assert said[1]["status"] == 400
    assert (target.gate.held, target.shedding.inside, target.deadlines.bodies) == (0, 0, {})
