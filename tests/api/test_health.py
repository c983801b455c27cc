"""Whether a process is ready, and to whom it says why not."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from backstay.api.health import Health, NotYet
from backstay.api.http import Router
from backstay.api.operators import Operators
from tests.api.asking import ask, front

TOKEN = "t" * 32


class Part:
    """Something that is well, or not."""

    def __init__(self) -> None:
        self.looks = 0
        self.wrong: BaseException | None = None

    async def look(self) -> None:
        self.looks += 1
        if self.wrong is not None:
            raise self.wrong


def made(part: Part, operators: Operators | None = None) -> tuple[Any, Health]:
    """A front that says how a part is."""
    health = Health({"database": part.look, "changes": Part().look}, operators or Operators(TOKEN))
    target = front()
    target.router = Router()
    health.serve(target.router)
    return target, health


async def test_it_is_asked_once_a_second_however_many_ask() -> None:
    part = Part()
    target, health = made(part)
    answers = await asyncio.gather(*(ask(target, "GET", "/readyz") for _ in range(20)))
    assert {(status, body) for status, _, body in answers} == {(200, b'{"status":"ok"}')}
    assert part.looks == 1
    health._until = 0.0
    assert (await ask(target, "GET", "/readyz"))[0] == 200
    assert part.looks == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (NotYet("there is no table notes"), "database: there is no table notes."),
        (OSError("password=4711"), "database: OSError."),
        (TimeoutError(), "database: no answer within 2 seconds."),
    ],
)
async def test_why_it_is_not_ready_is_told_to_operators_alone(wrong: Exception, said: str) -> None:
    part = Part()
    part.wrong = wrong
    target, _ = made(part)
    status, headers, body = await ask(target, "GET", "/readyz")
    assert (status, headers["retry-after"]) == (503, "1")
    assert b'"code":"not_ready"' in body
    assert b"database" not in body
    theirs = (await ask(target, "GET", "/readyz", headers={"authorization": f"Bearer {TOKEN}"}))[2]
    assert f'"detail":"{said}"'.encode() in theirs
    part.wrong = None
    assert (await ask(target, "GET", "/healthz"))[0] == 200


async def test_operators_see_each_part() -> None:
    target, _ = made(Part())
    theirs = (await ask(target, "GET", "/readyz", headers={"authorization": f"bearer {TOKEN}"}))[2]
    assert theirs == b'{"status":"ok","checks":{"database":"ok","changes":"ok"}}'
    for other in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer "):
        assert (await ask(target, "GET", "/readyz", headers={"authorization": other}))[2] == b'{"status":"ok"}'


async def test_what_leaves_says_so_and_asks_nobody() -> None:
    part = Part()
    target, health = made(part)
    looked: list[int] = []
    health.looked = lambda: looked.append(1)
    health.leaving = target.leaving = True
    status, headers, _ = await ask(target, "GET", "/readyz", http_version="1.1")
    assert (status, headers["connection"]) == (503, "close")
    assert (part.looks, looked) == (0, [1])
    assert (await ask(target, "GET", "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("token", "networks", "development", "allowed"),
    [
        ("", (), False, set()),
        ("", (), True, {"127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"}),
        (TOKEN, (), True, set()),
        ("", ("10.0.0.0/8", "fd00::/8"), False, {"10.1.2.3", "::ffff:10.1.2.3", "fd00::5"}),
        ("", ("10.0.0.0/8",), True, {"10.1.2.3", "::ffff:10.1.2.3"}),
    ],
)
def test_who_the_operators_are(token: str, networks: tuple[str, ...], development: bool, allowed: set[str]) -> None:
    assert all(ip_network(one) for one in networks)
    operators = Operators(token, networks, development=development)

    class Asking:
        def __init__(self, client: str) -> None:
            self.client = client

        def header(self, name: bytes) -> None:
            return None

    clients = ("127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "fd00::5", "8.8.8.8",
               "", "unix")  # fmt: skip
    found: set[str] = set()
    for client in clients:
        asking: Any = Asking(client)
        if operators.allows(asking):
            found.add(client)
    assert found == allowed
