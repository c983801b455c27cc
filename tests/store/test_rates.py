"""Budgets in the database: one for all processes, charged whatever becomes of the work, opened by no failure."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import Unavailable
from backstay.plan.rate import Rate
from backstay.store import rates as module
from backstay.store.rates import SLICES, Charge, Rates, TooMany, rate_headers
from tests.store.conftest import Build

TEN = Rate(10, 60)


async def allowed(tries: int, charge: Callable[[], Any]) -> int:
    """How many of so many at once are let in."""
    found = await asyncio.gather(*(charge() for _ in range(tries)), return_exceptions=True)
    assert all(isinstance(one, TooMany) for one in found if isinstance(one, BaseException)), found
    return sum(not isinstance(one, BaseException) for one in found)


async def test_a_budget_is_one_for_all_processes(build: Build) -> None:
    store = (await build()).engine.store
    processes = [Rates(store) for _ in range(4)]
    found = [await allowed(7, lambda one=one: one.charge(Charge("login", TEN, "ada"))) for one in processes]
    assert sum(found) == 10
    assert await allowed(3, lambda: processes[0].charge(Charge("login", TEN, "bob"))) == 3
    assert await allowed(3, lambda: processes[0].charge(Charge("signup", TEN, "ada"))) == 3


async def test_what_was_charged_stays_charged_whatever_becomes_of_the_work(build: Build) -> None:
    store = (await build()).engine.store
    rates = Rates(store)

    async def work() -> None:
        await rates.charge(Charge("login", TEN, "ada"))
        async with store.transaction():
            raise ZeroDivisionError

    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            await work()
    with pytest.raises(TooMany):
        await Rates(store).charge(Charge("login", TEN, "ada"))


async def test_several_budgets_are_charged_together_or_not_at_all(build: Build) -> None:
    rates = Rates((await build()).engine.store)
    few, ada = Charge("login per client", Rate(3, 60), "here"), Charge("login per account", TEN, "ada")
    for left in ([9, 2], [8, 1], [7, 0]):
        assert await rates.charge(ada, few) == left
    for _ in range(5):
        with pytest.raises(TooMany, match="3 in a minute"):
            await rates.charge(ada, few)
        with pytest.raises(TooMany, match="3 in a minute"):
            await rates.charge(few, ada)
    assert await rates.charge(ada) == [6]


async def test_several_budgets_held_from_both_sides_are_no_deadlock(build: Build) -> None:
    store = (await build()).engine.store
    one, two = Charge("a", Rate(1_000, 60), "x"), Charge("b", Rate(1_000, 60), "x")
    here, there = Rates(store), Rates(store)
    await asyncio.gather(*(here.charge(one, two) for _ in range(20)), *(there.charge(two, one) for _ in range(20)))
    assert await here.charge(one, two) == [959, 959]


async def test_what_is_full_is_refused_without_asking_again(build: Build) -> None:
    store = (await build()).engine.store
    moment = [datetime(2030, 1, 1, tzinfo=UTC)]
    rates = Rates(store, lambda: moment[0])
    await allowed(10, lambda: rates.charge(Charge("login", TEN, "ada")))
    with pytest.raises(TooMany):
        await rates.charge(Charge("login", TEN, "ada"))
    asked = rates._ask

    async def never(charges: Any) -> Any:
        raise AssertionError

    rates._ask = never  # type: ignore[method-assign]
    moment[0] += timedelta(seconds=59)
    with pytest.raises(TooMany) as caught:
        await rates.charge(Charge("login", TEN, "ada"))
    assert caught.value.headers["Retry-After"] == "1"
    rates._ask = asked  # type: ignore[method-assign]
    moment[0] += timedelta(seconds=1)
    assert await rates.charge(Charge("login", TEN, "ada")) == [9]


async def test_the_time_is_that_of_the_database(build: Build) -> None:
    store = (await build()).engine.store
    rates = Rates(store)
    await rates.charge(Charge("login", TEN, "ada"))
    sqlite = store.dialect.name == "sqlite"
    now = "unixepoch() * 1000000" if sqlite else "CAST(extract(epoch FROM now()) * 1000000 AS bigint)"
    ((marks, expires, moment),) = await store.run(f'SELECT "marks", "expires_at", {now} FROM "_rates"', ())
    at, used = (marks if isinstance(marks, str) else marks.decode()).split(":")
    assert used == "1"
    assert abs(int(at) - moment) < 5_000_000
    assert expires == int(at) + 60_000_000


async def test_nobody_can_be_read_in_the_table(build: Build) -> None:
    store = (await build()).engine.store
    await Rates(store).charge(Charge("login per account", TEN, "ada@example.com"), Charge("x", TEN, "203.0.113.9" * 99))
    keys = [str(row[0]) for row in await store.run('SELECT "key" FROM "_rates"', ())]
    assert len(keys) == 2
    assert all("ada" not in key and "203" not in key and len(key) < 80 for key in keys)


async def test_a_large_budget_is_charged_by_slices(build: Build) -> None:
    """Of 1,280 in a minute each process charges ten at a time: a tenth of the writes, and 5 % too many at the most."""
    store = (await build()).engine.store
    rate = Rate(1_280, 60)
    processes = [Rates(store) for _ in range(6)]
    charged = [0]

    def counting(rates: Rates) -> None:
        ask = rates._ask

        async def counted(charges: Any) -> Any:
            charged[0] += 1
            return await ask(charges)

        rates._ask = counted  # type: ignore[method-assign]

    for one in processes:
        counting(one)
    found = 0
    for _ in range(10):
        for one in processes:
            found += await allowed(40, lambda one=one: one.take("requests", [rate], "here"))
    assert 1_280 <= found <= 1_280 * 1.05
    assert charged[0] <= 1_280 / 10 + 6 + 1
    with pytest.raises(TooMany) as caught:
        await processes[0].take("requests", [rate], "here")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    assert await processes[0].take("requests", [rate], "there") == [1_279]


async def test_small_and_large_budgets_of_one_purpose_all_hold(build: Build) -> None:
    rates = Rates((await build()).engine.store)
    large, small, day = Rate(1_280, 60), Rate(3, 60), Rate(5, 86_400)
    for left in ([2, 1_279, 4], [1, 1_278, 3], [0, 1_277, 2]):
        assert await rates.take("requests", [small, large, day], "here") == left
    with pytest.raises(TooMany, match="3 in a minute"):
        await rates.take("requests", [small, large, day], "here")
    assert await rates.take("requests", [day], "here") == [1]


async def test_who_asks_little_is_never_written_of(build: Build) -> None:
    store = (await build()).engine.store
    rates = Rates(store)
    for number in range(200):
        for _ in range(9):
            await rates.take("requests", [Rate(1_280, 60)], f"client {number}")
    assert [tuple(row) for row in await store.run('SELECT count(*) FROM "_rates"', ())] == [(0,)]


async def test_those_who_wait_for_a_slice_are_not_let_in_meanwhile(build: Build) -> None:
    """The database takes its time, and a thousand come at once: what is on credit is one slice, and not all of them."""
    rates = Rates((await build()).engine.store)
    ask, answer = rates._ask, asyncio.Event()

    async def slowly(charges: Any) -> Any:
        await answer.wait()
        return await ask(charges)

    rates._ask = slowly  # type: ignore[method-assign]
    coming = asyncio.gather(*(rates.take("requests", [Rate(SLICES * 2, 60)], "here") for _ in range(1_000)),
                            return_exceptions=True)  # fmt: skip
    for _ in range(20):
        await asyncio.sleep(0)
    assert rates._slices[("requests", Rate(SLICES * 2, 60), "here")].used == 1
    answer.set()
    found = await coming
    assert 256 <= sum(isinstance(one, list) for one in found) <= 257


async def test_a_database_that_does_not_answer_opens_nothing(build: Build) -> None:
    store = (await build()).engine.store
    rates = Rates(store)
    assert await allowed(4, lambda: rates.charge(Charge("login", TEN, "ada"))) == 4
    whole = store.transaction

    @asynccontextmanager
    async def broken() -> Any:
        raise Unavailable
        yield

    store.transaction = broken  # type: ignore[method-assign]
    assert await allowed(30, lambda: rates.charge(Charge("login", TEN, "ada"))) == 10
    assert await allowed(30, lambda: rates.charge(Charge("login", TEN, "bob"))) == 10
    large = Rate(1_280, 60)
    assert await allowed(3_000, lambda: rates.take("requests", [large], "here")) in range(1_280, 1_291)
    store.transaction = whole  # type: ignore[method-assign]
    assert await allowed(30, lambda: Rates(store).charge(Charge("login", TEN, "ada"))) == 6


async def test_what_counts_no_longer_is_deleted(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    store = (await build()).engine.store
    await Rates(store, lambda: datetime(2020, 1, 1, tzinfo=UTC)).charge(Charge("login", TEN, "ada"))
    rates = Rates(store)
    await rates.charge(Charge("login", TEN, "bob"))
    assert len(await store.run('SELECT "key" FROM "_rates"', ())) == 2
    monkeypatch.setattr(module, "PURGE_SECONDS", -1.0)
    await rates.charge(Charge("login", TEN, "bob"))
    assert [str(row[0]).count("login") for row in await store.run('SELECT "key" FROM "_rates"', ())] == [1]


async def test_a_process_remembers_only_so_many(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    rates = Rates((await build()).engine.store)
    for number in range(50):
        await rates.take("requests", [Rate(1_280, 60)], f"client {number}")
    assert len(rates._slices) == 10


def test_what_is_told_is_in_the_form_of_the_draft() -> None:
    error = TooMany(Charge("login per account", Rate(100, 3_600), "ada"), 41.2)
    assert (error.status, error.code) == (429, "too_many_requests")
    assert error.detail == "100 in an hour are allowed. Try again in 42 seconds."
    assert error.headers == {
        "Retry-After": "42",
        "RateLimit-Policy": '"login per account";q=100;w=3600',
        "RateLimit": '"login per account";r=0;t=42',
    }
    assert TooMany(Charge("x", TEN, ""), 0.0).headers["Retry-After"] == "1"
    assert rate_headers('a"b\\', TEN, 3, 60)["RateLimit"] == '"ab";r=3;t=60'


PROCESS = """
import asyncio, sys
from backstay.plan.rate import Rate
from backstay.store.postgres import PostgresStore
from backstay.store.rates import Charge, Rates, TooMany
from backstay.store.sqlite import SQLiteStore

async def main(url, times, tries):
    store = PostgresStore(url) if url.startswith("postgresql") else SQLiteStore(url)
    await store.open()
    rates, rate, found = Rates(store), Rate(times, 600), 0
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(tries):
        try:
            await rates.take("requests", [rate], "here")
            found += 1
        except TooMany:
            pass
    await store.close()
    print(found)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.parametrize(("times", "tries"), [(40, 60), (1_300, 1_200)])
async def test_over_real_processes_a_budget_holds_within_five_in_a_hundred(
    build: Build, times: int, tries: int
) -> None:
    store: Any = (await build()).engine.store
    url = store.path if store.dialect.name == "sqlite" else store.url
    command = [sys.executable, "-c", PROCESS, url, str(times), str(tries)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        for _ in range(3)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    found = [int((await asyncio.to_thread(one.communicate))[0]) for one in running]
    assert times <= sum(found) <= times * 1.05
    if times < SLICES:
        assert sum(found) == times
