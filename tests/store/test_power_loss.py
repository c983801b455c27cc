"""The power is cut under writes: whatever was acknowledged is there, whole, whatever else the disk had written.

`make test` looks at 30 images, `make durability` at 300; as many where three in ten waits for the disk fail; and as
many with `synchronous = NORMAL`, which loses some.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from backstay.errors import Unavailable
from backstay.store.sqlite import SQLiteStore
from tests.store.power import Power, supplied

IMAGES = int(os.environ.get("DURABILITY_IMAGES", "30"))
WRITERS = 6


@dataclass
class Found:
    """What was seen in the images of one run."""

    images: int = 0
    acknowledged: int = 0
    """The number of rows that had to be there, over all images."""
    lost: list[int] = field(default_factory=list)
    """How many acknowledged rows each image lacks, where it lacks any."""
    refused: int = 0
    """Transactions that were told that they are not made."""
    torn: int = 0
    """Images that are damaged, or hold a half of a transaction."""


async def cut_under_writes(folder: Path, synchronous: str, images: int, *, failing: float = 0.0) -> Found:
    """Writers that never stop, and a power cut in the middle of every so many writes to the disk.

    `failing` is the share of waits for the disk that end with an error, half of what was written being lost.
    """
    seed = 5
    rng, found = random.Random(seed), Found()
    with supplied() as power:
        store = SQLiteStore(str(folder / "notes.db"))
        await store.open()
        async with store.transaction() as tx:
            await tx.run("CREATE TABLE notes(text TEXT PRIMARY KEY, half TEXT) STRICT", ())
            await tx.run("CREATE TABLE halves(text TEXT PRIMARY KEY) STRICT", ())
        assert store._writer.connection.raw is not None
        store._writer.connection.raw.execute(f"PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 40")
        told: list[str] = []

        def cut() -> None:
            nonlocal left
            left -= 1
            if left or found.images == images:
                return
            left = rng.randrange(1, 40)
            due = [*told]  # before the image is made: who is told meanwhile does not count
            judge(power, folder / f"image{found.images}", due, rng, found)

        left = 50
        power.at = cut
        power.fails = lambda: rng.random() < failing

        async def write(writer: int) -> None:
            number = 0
            while found.images < images:
                text = f"{writer}.{number}." + "x" * (number * 37 % 900)
                number += 1
                try:
                    async with store.transaction() as tx:
                        await tx.run("INSERT INTO notes VALUES (?1, ?1)", (text,))
                        await tx.run("INSERT INTO halves VALUES (?1)", (text,))
                        before = f"{writer}.{number - 30}."  # so that pages are written more than once
                        await tx.run("UPDATE notes SET half = ?1 WHERE text > ?1 AND text < ?1 || 'y'", (before,))
                except Unavailable as problem:
                    found.refused += isinstance(problem.__cause__, apsw.IOError)
                else:
                    told.append(text)

        async with asyncio.timeout(600):
            await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        power.at, power.fails = lambda: None, lambda: False
        await store.close()
    return found


def judge(power: Power, image: Path, due: list[str], rng: random.Random, found: Found) -> None:
    """Open what is left of the files and count what is missing."""
    power.cut(image, rng)
    found.images += 1
    found.acknowledged += len(due)
    connection = apsw.Connection(str(image / "notes.db"), vfs="unix")
    try:
        (whole,) = connection.execute("PRAGMA integrity_check").fetchone() or ("nothing",)
        there = {text for (text,) in connection.execute("SELECT text FROM notes")}
        halves = {text for (text,) in connection.execute("SELECT text FROM halves")}
        found.torn += whole != "ok" or there != halves
        if missing := len(set(due) - there):
            found.lost.append(missing)
    except apsw.Error:
        found.torn += 1
    finally:
        connection.close()
        shutil.rmtree(image)


async def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = await cut_under_writes(tmp_path, "FULL", IMAGES)
    assert (found.images, found.lost, found.torn) == (IMAGES, [], 0)
    assert found.refused == 0
    assert found.acknowledged > 10 * IMAGES
    with capsys.disabled():
        print(f"\n{found.images} power cuts, {found.acknowledged} acknowledged rows in them: none lost")


async def test_nothing_is_acknowledged_by_a_disk_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is acknowledged between its failures is there, though the system takes the lost pages for written."""
    found = await cut_under_writes(tmp_path, "FULL", IMAGES, failing=0.3)
    assert (found.images, found.lost, found.torn) == (IMAGES, [], 0)
    assert found.refused > IMAGES // 3
    assert found.acknowledged > 10 * IMAGES
    with capsys.disabled():
        print(f"\n{found.images} power cuts on a failing disk, {found.refused} transactions refused, "
              f"{found.acknowledged} acknowledged rows in them: none lost")  # fmt: skip


async def test_with_less_than_our_settings_it_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = await cut_under_writes(tmp_path, "NORMAL", IMAGES)
    assert (found.images, found.torn) == (IMAGES, 0)
    assert len(found.lost) > IMAGES // 10
    with capsys.disabled():
        print(f"\nwith synchronous = NORMAL {len(found.lost)} of {found.images} lost {sum(found.lost)} rows")


async def test_the_settings_are_ours(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "notes.db"))
    await store.open()
    raw = store._writer.connection.raw
    assert raw is not None
    assert (raw.pragma("journal_mode"), raw.pragma("synchronous"), raw.pragma("mmap_size")) == ("wal", 2, 0)
    await store.close()
