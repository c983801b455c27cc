"""Admission by waiting time, with time in hand: bursts wait, standing lines do not, and all is well again at once."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from backstay.api.shedding import INTERVAL, PATIENCE, Shedding
from tests.api.asking import ask, front

TARGET = 0.1


@dataclass
class Loop:
    """A process with one event loop: requests that came during a turn are answered in the next, one after another."""

    work: float  # seconds for an answer
    refusal: float = 0.0  # seconds to refuse
    now: float = 100.0
    line: float = 0.0
    arrivals: deque[float] = field(default_factory=deque)
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    soon: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shedding = Shedding(1_000, TARGET, lambda: self.line, lambda: self.now)

    def turn(self) -> None:
        """Answer all that have come by now; each waits from its arrival until it is looked at."""
        marks, self.soon = self.soon, []
        for mark in marks:
            mark()
        here = []
        while self.arrivals and self.arrivals[0] <= self.now:
            here.append(self.arrivals.popleft())
        if not here and self.arrivals:
            self.now = self.arrivals[0]
        for came in here:
            if self.shedding.enter(self.now, self.soon.append):
                self.now += self.work
                self.shedding.inside -= 1
                self.answered.append(self.now - came)
            else:
                self.now += self.refusal
                self.refused.append(self.now - came)

    def run(self, rate: float, seconds: float) -> None:
        """That many requests a second come, evenly."""
        end = self.now + seconds
        self.arrivals.extend(self.now + number / rate for number in range(int(rate * seconds)))
        while self.arrivals and self.now < end:
            self.turn()


def test_nobody_is_refused_below_the_capacity() -> None:
    loop = Loop(work=0.001)
    loop.run(rate=900, seconds=10)
    assert loop.refused == []


def test_ten_times_the_capacity_leaves_four_fifths_of_it_as_answers_that_came_in_time() -> None:
    loop = Loop(work=0.001, refusal=0.00002)
    loop.run(rate=10_000, seconds=30)
    assert len(loop.answered) >= 0.8 * 30 / 0.001
    assert max(loop.answered) < 2 * PATIENCE + TARGET
    assert max(loop.answered[2_000:]) < 3 * TARGET
    assert max(loop.refused[10_000:]) < 3 * TARGET  # told early, and not after they waited


def test_without_it_everybody_would_wait_longer_and_longer() -> None:
    """The same load with an admission that lets everybody in: what the test above would see if nothing was refused."""
    loop = Loop(work=0.001, refusal=0.00002)
    loop.shedding = Shedding(1_000_000, 10_000.0, lambda: 0.0, lambda: loop.now)
    loop.run(rate=10_000, seconds=20)
    assert loop.refused == []
    assert max(loop.answered) > 10


def test_a_burst_waits_and_is_answered() -> None:
    loop = Loop(work=0.001)
    loop.arrivals.extend([loop.now] * 400)
    while loop.arrivals:
        loop.turn()
    assert (len(loop.answered), loop.refused) == (400, [])


def test_a_moment_in_which_all_stood_still_refuses_nobody() -> None:
    loop = Loop(work=0.001)
    loop.run(rate=500, seconds=1)
    loop.arrivals.append(loop.now)
    loop.work = 0.8  # a long one, and 400 come meanwhile
    loop.turn()
    loop.work = 0.001
    loop.run(rate=500, seconds=3)
    assert loop.refused == []


def test_after_an_overload_all_is_well_at_once() -> None:
    loop = Loop(work=0.001, refusal=0.00002)
    loop.run(rate=5_000, seconds=5)
    assert loop.shedding.standing(loop.now)
    loop.arrivals.clear()
    loop.now += 1.0
    loop.refused.clear()
    loop.run(rate=500, seconds=5)
    assert loop.refused == []


def test_the_line_for_the_database_counts_like_the_line_for_the_loop() -> None:
    loop = Loop(work=0.0001)
    loop.line = 0.3
    loop.run(rate=100, seconds=INTERVAL / 2)
    assert loop.refused == []
    loop.run(rate=100, seconds=1)
    assert len(loop.refused) > 80
    loop.line, loop.answered = 0.0, []
    loop.run(rate=100, seconds=1)
    assert len(loop.answered) >= 99
    loop.line = PATIENCE + 0.1
    loop.refused = []
    loop.run(rate=100, seconds=0.1)
    assert len(loop.refused) >= 9  # longer than anybody is asked to wait, even in a burst


def test_one_after_another_in_one_task_waits_for_nothing() -> None:
    now = [0.0]
    shedding, task = Shedding(10, TARGET, clock=lambda: now[0]), object()
    for _ in range(1_000):
        now[0] += 1.0
        assert shedding.enter(now[0], lambda mark: None, task)
        shedding.inside -= 1


def test_only_so_many_are_inside_at_once() -> None:
    shedding = Shedding(2, TARGET)
    assert [shedding.enter(0.0, lambda mark: None) for _ in range(3)] == [True, True, False]
    shedding.inside -= 1
    assert shedding.enter(0.0, lambda mark: None)


async def test_what_is_refused_is_told_when_to_come_again_and_health_is_always_said() -> None:
    target = front(max_in_flight=0)
    status, headers, body = await ask(target, "GET", "/much", headers={"origin": "https://x.example"})
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
    assert b'"code":"overloaded"' in body
    assert headers["x-request-id"].encode() in body
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await ask(target, "GET", path))[0] in (200, 404)
    assert (await ask(target, "OPTIONS", "/much"))[0] == 204
    assert target.shedding.inside == 0


async def test_refusals_are_not_each_a_line_in_the_log() -> None:
    from tests.api.asking import SEEN

    target = front(max_in_flight=0)
    for _ in range(50):
        assert (await ask(target, "GET", "/much"))[0] == 503
    assert [status for status, _ in SEEN] == [503]
    assert target.shedding.refused == 50


async def test_a_request_that_waits_for_its_body_takes_nobodys_place() -> None:
    target = front(max_in_flight=1)
    body, waiting = asyncio.Event(), asyncio.Event()

    async def slowly() -> dict[str, object]:
        waiting.set()
        await body.wait()
        return {"type": "http.request", "body": b"1"}

    said: list[object] = []

    async def send(message: object) -> None:
        said.append(message)

    from tests.api.asking import JSON, scope

    slow = asyncio.create_task(target(scope("POST", "/api/notes", JSON), slowly, send))
    await waiting.wait()
    assert (await ask(target, "GET", "/much"))[0] == 200
    body.set()
    await slow
    assert (len(said), target.shedding.inside) == (2, 0)
