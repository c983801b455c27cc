"""Which passwords are good enough, and that hashing them holds up nobody else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import pytest
from argon2 import extract_parameters

from backstay.auth.password import COMMONEST, Passwords, check_password, cores
from backstay.errors import Unavailable
from backstay.model.value import Unfit


def quick(**settings: Any) -> Passwords:
    return Passwords(memory_kib=8, rounds=1, blur_ms=0, **settings)


async def test_the_parameters_are_owasps_least() -> None:
    passwords = Passwords()
    found = extract_parameters(await passwords.hash("correct horse"))
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19_456, 2, 1)
    assert extract_parameters(passwords._nobody) == found
    passwords.close()


async def test_a_hash_knows_its_password_and_no_other() -> None:
    passwords = quick()
    known = await passwords.hash("Crème brûlée")
    assert await passwords.verify(known, "Crème brûlée")
    assert await passwords.verify(known, "Cre\u0300me bru\u0302le\u0301e")  # the same, typed on another keyboard
    assert not await passwords.verify(known, "crème brûlée")
    assert not await passwords.verify(None, "Crème brûlée")
    passwords._nobody = known
    assert not await passwords.verify(None, "Crème brûlée")  # not even by chance
    assert not await passwords.verify("no hash at all", "Crème brûlée")
    assert await passwords.hash("Crème brûlée") != known
    passwords.close()


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    passwords, stronger = quick(), Passwords(memory_kib=16, rounds=1)
    known = await passwords.hash("correct horse")
    assert not passwords.outdated(known)
    assert stronger.outdated(known)
    assert await stronger.verify(known, "correct horse")
    passwords.close()
    stronger.close()


async def test_a_blur_is_a_moment_that_nobody_can_foretell(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    passwords = Passwords(blur_ms=20)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(1_000):
        await passwords.blur()
    assert len(set(waited)) > 900
    assert (min(waited) < 0.001, max(waited) > 0.019, max(waited) < 0.02) == (True, True, True)
    passwords.close()


@pytest.mark.parametrize("password", ["12345670", "correct horse", "        ", "пароль-и-ещё", "x" * 128, "😀" * 8])
def test_length_is_what_counts(password: str) -> None:
    assert check_password(password, "ada@example.com") == password


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("1234567", "too_short"), ("", "too_short"), ("x" * 129, "too_long"), ("12345678", "too_common"),
        ("PASSWORD1", "too_common"), ("ｐａｓｓｗｏｒｄ", "too_common"), ("adalovelace", "too_common"),
        ("AdaLovelace@example.com", "too_common"), ("nul\x00 inside", "bad_character"),
        ("lone \ud800 half", "bad_character"), (None, "wrong_type"), (12345678, "wrong_type"),
    ],
)  # fmt: skip
def test_a_bad_password_is_refused_with_its_reason(password: object, code: str) -> None:
    with pytest.raises(Unfit) as caught:
        check_password(password, "adalovelace@example.com")
    assert caught.value.code == code


def test_the_commonest_are_a_hundred_that_length_alone_lets_pass() -> None:
    assert len(COMMONEST) >= 100
    assert all(len(password) >= 8 and password == password.casefold() for password in COMMONEST)


class Gate:
    """A job that says when it begins and waits until it may end."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = self.done = 0
        self.main = threading.get_ident()

    def __call__(self) -> None:
        assert threading.get_ident() != self.main
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(30)
        with self.lock:
            self.inside -= 1
            self.done += 1


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - threads set no event of the loop
            await asyncio.sleep(0)


async def test_only_so_many_are_hashed_at_once_and_the_loop_goes_on() -> None:
    passwords, gate = quick(at_once=2), Gate()
    jobs = [asyncio.create_task(passwords._work(gate)) for _ in range(5)]
    await until(lambda: gate.inside == 2)  # the loop turns while both threads are held
    gate.open.set()
    await asyncio.gather(*jobs)
    assert (gate.most, gate.done) == (2, 5)
    passwords.close()


async def test_a_line_that_is_too_long_is_turned_away() -> None:
    passwords, gate = quick(at_once=1, waiting=2), Gate()
    jobs = [asyncio.create_task(passwords._work(gate)) for _ in range(3)]
    await until(lambda: passwords._present == 3)
    for refused in (passwords.hash("correct horse"), passwords.verify(None, "correct horse")):
        with pytest.raises(Unavailable) as caught:
            await refused
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "5"})
    gate.open.set()
    await asyncio.gather(*jobs)
    assert await passwords.hash("correct horse")
    passwords.close()


async def test_who_gives_up_leaves_the_line() -> None:
    passwords, gate = quick(at_once=1, waiting=1), Gate()
    jobs = [asyncio.create_task(passwords._work(gate)) for _ in range(2)]
    await until(lambda: passwords._present == 2)
    jobs[1].cancel()
    await asyncio.gather(jobs[1], return_exceptions=True)
    gate.open.set()
    await jobs[0]
    assert await passwords.hash("correct horse")
    assert (gate.done, passwords._present) == (1, 0)
    passwords.close()


def test_there_is_always_a_core() -> None:
    assert cores() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own here")
async def test_hashing_takes_second_place_to_the_loop() -> None:
    passwords, usual = quick(), os.getpriority(os.PRIO_PROCESS, 0)
    theirs = await passwords._work(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert (theirs, os.getpriority(os.PRIO_PROCESS, 0)) == (min(19, usual + 10), usual)
    passwords.close()
