"""Values are sealed again with the newest key, whoever is killed meanwhile, and nobody can tell but by the keys."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Delete, Update
from backstay.store.engine import Engine
from backstay.store.identity import uuid7_maker
from backstay.store.keyring import Unreadable
from backstay.store.rotation import Rotation, Tally
from backstay.store.transaction import Hooks, Transaction
from tests.store.bank import Account, bank, engine_of, ring

ACCOUNTS = 35


def begin(engine: Engine) -> Any:
    return Transaction.begin(engine, SYSTEM, Hooks(), uuid7_maker())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]) -> str:
    return str(tmp_path / "bank.db") if request.param == "sqlite" else postgres_database("rotation")


@pytest.fixture
async def old(url: str) -> AsyncIterator[Engine]:
    """The bank before the rotation: every other account has a limit and a pin, the first one a past."""
    engine = await engine_of(bank(), url, "o")
    await engine.store.extend(engine.schema)
    await engine.changes.open()
    async with begin(engine) as tx:
        for number in range(ACCOUNTS):
            more = {"limits": {"day": number}, "pin": f"pin {number}"} if number % 2 else {}
            key = await tx.write(Create("Account", {"name": f"{number}", "iban": f"DE {number}", **more}))
            if number == 0:
                first = key
    async with begin(engine) as tx:
        await tx.write(Update("Account", first, {"iban": "DE 0, corrected"}))
        gone = await tx.write(Create("Account", {"name": "gone", "iban": "DE gone"}))
        await tx.write(Delete("Account", gone))
    yield engine
    await engine.store.close()


async def plain(engine: Engine) -> list[tuple[str, str, Any]]:
    """What the bank reads with its keys."""
    async with begin(engine) as tx:
        return [(one.name, one.iban, one.limits) for one in await tx.find(Account, sort="id")]


async def untouched(engine: Engine) -> list[Any]:
    """Everything of the accounts that no rotation may change."""
    rows = await engine.store.run('SELECT id, name, _version, updated_at FROM accounts ORDER BY "id"', ())
    return [tuple(row) for row in rows]


async def past(engine: Engine, keys: str) -> list[Any]:
    """The change log, with its values in the clear."""
    await engine.store.settle()
    found, entity, opening = [], engine.schema.entities["Account"], ring(keys)
    from backstay.store.sealing import opened_json

    for change in await engine.changes.after(0):
        sides = [json.loads(text) if text is not None else None for text in (change.old, change.new)]
        opened = [side and opened_json(lambda: opening, entity, change.record, side) for side in sides]
        found.append((change.position, change.action, change.version, *opened))
    return found


async def test_everything_is_sealed_again_and_nothing_else_changes(old: Engine, url: str) -> None:
    before = await plain(old), await untouched(old), await past(old, "o")
    engine = await engine_of(bank(), url, "no")
    rotation = Rotation(engine, batch=10)
    pins = ACCOUNTS // 2
    assert await rotation.status() == [
        Tally("Account.iban", {"n": 0, "o": ACCOUNTS}, 0),
        Tally("Account.limits", {"n": 0, "o": pins}, 0),
        Tally("Account.pin", {"n": 0, "o": pins}, 0),
        Tally("Account.iban (change log)", {"n": 0, "o": ACCOUNTS + 4}, 0),
        Tally("Account.limits (change log)", {"n": 0, "o": pins}, 0),
    ]
    assert await rotation.records() == ACCOUNTS + (ACCOUNTS + 3)
    told: list[int] = []
    outcome = await rotation.run(told.append)
    assert (outcome.rotated, outcome.unreadable, outcome.left, outcome.named) == (2 * ACCOUNTS + 3, 0, 0, ())
    assert sum(told) == 2 * ACCOUNTS + 3
    assert max(told) == 10
    assert [tally.keys for tally in await rotation.status()] == [
        {"n": ACCOUNTS, "o": 0}, {"n": pins, "o": 0}, {"n": pins, "o": 0}, {"n": ACCOUNTS + 4, "o": 0},
        {"n": pins, "o": 0},
    ]  # fmt: skip
    alone = await engine_of(bank(), url, "n")  # the old key is gone
    assert (await plain(alone), await untouched(alone), await past(alone, "n")) == before
    with pytest.raises(Unreadable, match='"n"'):
        await plain(old)
    again = await Rotation(engine).run()
    assert (again.rotated, again.left) == (0, 0)
    for one in (engine, alone):
        await one.store.close()


@pytest.mark.parametrize("stop_before", [1, 30, 100])
async def test_killed_half_way_it_goes_on_where_it_was(stop_before: int, old: Engine, url: str) -> None:
    before = await plain(old), await untouched(old), await past(old, "o")
    process = await started(url, "no", stop_before)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    said: list[str] = []
    while (line := (await process.stdout.readline()).decode().strip()) != "stopped":
        assert line.startswith("sealed"), line
        said.append(line)
    process.kill()
    await process.wait()
    done = sum(int(line.split()[1]) for line in said)
    engine = await engine_of(bank(), url, "no")
    rotation = Rotation(engine, batch=10)
    left = sum(tally.left("n") for tally in await rotation.status())
    assert left > 0
    assert await plain(engine) == before[0]  # in the middle of it everything is readable
    outcome = await rotation.run()
    assert outcome.rotated == 2 * ACCOUNTS + 3 - done  # what was acknowledged is not done again
    assert outcome.left == 0
    alone = await engine_of(bank(), url, "n")
    assert (await plain(alone), await untouched(alone), await past(alone, "n")) == before
    for one in (engine, alone):
        await one.store.close()


async def started(url: str, keys: str, stop_before: int = 0) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.rotating_worker", url, keys, str(stop_before),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_several_share_the_work(old: Engine, url: str) -> None:
    before = await plain(old), await untouched(old)
    workers = [await started(url, "no") for _ in range(3)]
    outcomes = [(await worker.communicate(b"\n"))[0].decode().split("\n")[-2].split() for worker in workers]
    assert [word for word, _, _ in outcomes] == ["done"] * 3
    assert [int(left) for _, _, left in outcomes] == [0, 0, 0]
    assert sum(int(rotated) for _, rotated, _ in outcomes) == 2 * ACCOUNTS + 3
    alone = await engine_of(bank(), url, "n")
    assert (await plain(alone), await untouched(alone)) == before
    await alone.store.close()


async def test_what_is_written_meanwhile_is_not_lost(old: Engine, url: str) -> None:
    engine = await engine_of(bank(), url, "no")
    async with begin(old) as tx:
        (first, *_) = await tx.find(Account, sort="id")
    writes = 0

    def write_between(records: int) -> None:
        nonlocal writes
        writes += 1

    rotating = asyncio.ensure_future(Rotation(engine, batch=3).run(write_between))
    number = 0
    while not rotating.done():
        number += 1
        async with begin(engine) as tx:
            await tx.write(Update("Account", str(first.id), {"iban": f"DE new {number}"}))
        await asyncio.sleep(0)
    outcome = rotating.result()
    assert outcome.left == 0
    assert writes > 10
    assert (await plain(engine))[0][1] == f"DE new {number}"
    await engine.store.close()


async def first_key(engine: Engine) -> str:
    async with begin(engine) as tx:
        return str((await tx.find(Account, sort="id", limit=1))[0].id)


async def test_what_is_written_between_reading_and_sealing_again_stays(
    old: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await engine_of(bank(), url, "no")
    writing: list[asyncio.Future[None]] = []
    renew = Rotation._renew

    async def write(key: str) -> None:
        async with begin(engine) as tx:
            await tx.write(Update("Account", key, {"iban": "DE in between"}))

    async def interrupted(self: Rotation, tx: Any, place: Any, key: Any, record: str, texts: Any) -> int:
        if not writing:
            writing.append(asyncio.ensure_future(write(record)))
            await asyncio.wait(writing, timeout=0.3)  # where nothing holds the record, it is written by now
        return await renew(self, tx, place, key, record, texts)

    if engine.store.dialect.name == "postgres":  # on SQLite nothing else can be awaited inside a transaction
        monkeypatch.setattr(Rotation, "_renew", interrupted)
    else:
        writing.append(asyncio.ensure_future(write(await first_key(engine))))
    outcome = await Rotation(engine).run()
    await writing[0]
    assert outcome.left == 0
    assert (await plain(engine))[0][1] == "DE in between"
    await engine.store.close()


async def test_a_locked_record_is_waited_for(old: Engine, url: str) -> None:
    """On PostgreSQL a transaction holds one record while all others are done; SQLite has one writer."""
    engine = await engine_of(bank(), url, "no")
    if engine.store.dialect.name == "postgres":
        (key,) = (await engine.store.run("SELECT id::text FROM accounts ORDER BY id LIMIT 1", ()))[0]
        told: list[int] = []
        all_but_one = asyncio.Event()

        def tell(records: int) -> None:
            told.append(records)
            if sum(told) == ACCOUNTS - 1:
                all_but_one.set()

        async with engine.store.transaction() as writing:
            await writing.run("SELECT 1 FROM accounts WHERE id = $1::uuid FOR UPDATE", (key.decode(),))
            rotating = asyncio.ensure_future(Rotation(engine, batch=10).run(tell))
            await all_but_one.wait()
            assert not rotating.done()
        assert (await rotating).left == 0
    await engine.store.close()


async def test_what_cannot_be_read_is_left_and_named(old: Engine, url: str) -> None:
    names = await untouched(old)
    keys = [row[0].decode() if isinstance(row[0], bytes) else str(row[0]) for row in names]
    async with old.store.transaction() as writing:
        await writing.run(f"UPDATE accounts SET iban = 'plain' WHERE id = '{keys[3]}'", ())
        moved = f"(SELECT iban FROM accounts WHERE id = '{keys[5]}')"
        await writing.run(f"UPDATE accounts SET iban = {moved} WHERE id = '{keys[4]}'", ())
    engine = await engine_of(bank(), url, "no")
    outcome = await Rotation(engine, batch=4).run()
    assert (outcome.rotated, outcome.unreadable, outcome.left) == (2 * ACCOUNTS + 3 - 2, 2, 2)
    assert [name.split(":")[0] for name in outcome.named] == [f"Account {keys[3]}", f"Account {keys[4]}"]
    assert (await Rotation(engine).status())[0] == Tally("Account.iban", {"n": ACCOUNTS - 2, "o": 1}, 1)
    # The other values of such a record are sealed again all the same.
    assert (await Rotation(engine).status())[2].keys == {"n": ACCOUNTS // 2, "o": 0}
    await engine.store.close()


async def test_without_the_old_key_nothing_is_touched(old: Engine, url: str) -> None:
    before = await plain(old)
    engine = await engine_of(bank(), url, "n")
    outcome = await Rotation(engine).run()
    assert (outcome.rotated, outcome.unreadable) == (0, 2 * ACCOUNTS + 3)
    assert len(outcome.named) == 20
    assert '"o", which is not in the key ring' in outcome.named[0]
    assert await plain(old) == before
    await engine.store.close()
