"""Nothing lasts for ever: a request that takes too long is ended, and so is a body that does not arrive."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from backstay.api.http import Request, Response
from tests.api.asking import JSON, SEEN, coming, front, scope


class Asked:
    """A request on its way, with a clock that is turned by hand."""

    def __init__(self, method: str, path: str, receive: Any = None) -> None:
        self.front = front(max_request_seconds=30, max_body_seconds=10)
        self.now = 0.0
        self.front.deadlines._clock = lambda: self.now
        self.begun = asyncio.Event()
        self.undone = False
        self.said: list[Mapping[str, Any]] = []

        async def handler(request: Request) -> Response:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.undone = True
            return Response(200)

        self.front.router.add("/long", GET=handler)
        self.task = asyncio.create_task(self.front(scope(method, path, JSON), receive or coming(), self.send))

    async def send(self, message: Mapping[str, Any]) -> None:
        self.said.append(message)

    async def at(self, seconds: float) -> None:
        """Look around that long after the beginning."""
        for since in (self.front.deadlines.begun, self.front.deadlines.bodies):
            for task in since:
                since[task] = 0.0
        self.now = seconds
        self.front.deadlines.look()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_request_that_takes_too_long_is_ended_and_told() -> None:
    asked = Asked("GET", "/long")
    await asked.begun.wait()
    await asked.at(29.9)
    assert (asked.said, asked.undone) == ([], False)
    await asked.at(30.1)
    await asked.task
    assert asked.undone
    assert (asked.said[0]["status"], b'"code":"timeout"' in asked.said[1]["body"]) == (503, True)
    assert (b"retry-after", b"1") in asked.said[0]["headers"]
    assert ([status for status, _ in SEEN], asked.front.shedding.inside) == ([503], 0)
    assert (asked.front.deadlines.begun, asked.front.deadlines._late) == ({}, {})


async def test_a_body_that_does_not_arrive_is_given_up_sooner() -> None:
    waiting = asyncio.Event()

    async def never() -> dict[str, Any]:
        if not waiting.is_set():
            waiting.set()
            return {"type": "http.request", "body": b"[", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    asked = Asked("POST", "/api/notes", never)
    await waiting.wait()
    await asked.at(9.9)
    assert asked.said == []
    await asked.at(10.1)
    await asked.task
    assert (asked.said[0]["status"], b'"code":"request_timeout"' in asked.said[1]["body"]) == (408, True)
    assert (asked.front.gate.held, asked.front.deadlines.bodies, asked.front.shedding.inside) == (0, {}, 0)


async def test_who_is_cancelled_by_others_is_not_told_that_it_was_late() -> None:
    asked = Asked("GET", "/long")
    await asked.begun.wait()
    asked.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked.task
    assert (asked.said, asked.undone) == ([], True)
    assert (asked.front.deadlines.begun, asked.front.shedding.inside) == ({}, 0)


async def test_looking_around_goes_on_as_long_as_somebody_is_here() -> None:
    asked = Asked("GET", "/long")
    await asked.begun.wait()
    deadlines = asked.front.deadlines
    loop = asyncio.get_running_loop()
    deadlines._look_around(loop)
    assert deadlines.looking
    await asked.at(31)
    await asked.task
    deadlines._look_around(loop)
    assert not deadlines.looking
