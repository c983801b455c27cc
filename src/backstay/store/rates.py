"""Rates in shared storage: one budget for all processes and all ways in, charged before the work.

What is charged is charged in a transaction of its own, so it stays charged whatever becomes of the work. Small budgets
are charged one by one; of larger ones each process has a slice on credit, which it charges when it is used up, so that
a read becomes a write only for those who ask much (`Rates.take`).

Invariant: over all processes no more is let in than the rate allows, but for a slice of each; what is full is refused
without asking the database again; and a database that does not answer opens nothing: each process then keeps the rate
for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import ceil
from time import monotonic
from typing import TypeVar

from backstay.errors import Problem
from backstay.plan.rate import Rate, Verdict, Window, parse_window
from backstay.store.port import Store, as_text
from backstay.telemetry.log import Log

K = TypeVar("K")
V = TypeVar("V")

SLICES = 128
"""A slice is the budget by this: six processes are at most 5 % over."""
REMEMBERED = 20_000
"""Subjects that one process remembers, for each of its purposes."""
PURGE_SECONDS = 60.0
_PURGED = 1_000

# It both locks and reads, and is one statement; the time is read when the lock is there.
_HOLD = (
    'INSERT INTO "_rates" ("key", "marks", "expires_at") VALUES {rows} '
    'ON CONFLICT ("key") DO UPDATE SET "key" = excluded."key" RETURNING "key", "marks", {now}'
)
_KEEP = (
    'INSERT INTO "_rates" ("key", "marks", "expires_at") VALUES {rows} ON CONFLICT ("key") DO UPDATE '
    'SET "marks" = excluded."marks", "expires_at" = excluded."expires_at"'
)
_PURGE = (
    'DELETE FROM "_rates" WHERE "key" IN (SELECT "key" FROM "_rates" WHERE "expires_at" <= {now} '
    f'ORDER BY "expires_at" LIMIT {_PURGED}{{unlocked}})'
)
_SQLITE_NOW = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
_POSTGRES_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


@dataclass(frozen=True, slots=True)
class Charge:
    """What is charged to whom: the purpose, the rate, and a trusted fact about who it is."""

    purpose: str
    rate: Rate
    subject: str
    units: int = 1

    @property
    def key(self) -> str:
        """What it is kept under: a hash, so that nobody's address stands in the table, and none is too long."""
        return f"{self.purpose} {self.rate.seconds} {sha256(self.subject.encode()).hexdigest()[:32]}"


class TooMany(Problem):
    """429: a budget is used up; the headers say when to come again."""

    status, code = 429, "too_many_requests"

    def __init__(self, charge: Charge, wait: float) -> None:
        seconds = max(1, ceil(wait))
        again = "a second" if seconds == 1 else f"{seconds} seconds"
        super().__init__(
            f"{charge.rate.sentence} are allowed. Try again in {again}.",
            headers={"Retry-After": str(seconds), **rate_headers(charge.purpose, charge.rate, 0, seconds)},
        )


def rate_headers(purpose: str, rate: Rate, left: int, seconds: int) -> dict[str, str]:
    """What a client is told of its budget (draft-ietf-httpapi-ratelimit-headers)."""
    name = purpose.replace("\\", "").replace('"', "")
    return {
        "RateLimit-Policy": f'"{name}";q={rate.times};w={rate.seconds}',
        "RateLimit": f'"{name}";r={left};t={seconds}',
    }


class _Full(Exception):
    """Takes back what was held, with nothing charged."""


class _Slice:
    """What one process has used on credit since it last charged."""

    __slots__ = ("left", "pending", "since", "until", "used")

    def __init__(self, now: float, left: int) -> None:
        self.used = 0
        self.left = left
        self.since = now
        self.until = 0.0
        self.pending: asyncio.Future[None] | None = None


class Rates:
    """The rates of one application, as one process keeps them. The time is the database's unless a clock is given."""

    def __init__(self, store: Store, clock: Callable[[], datetime] | None = None, log: Log | None = None) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._now: Callable[[], float] = monotonic if clock is None else lambda: clock().timestamp()
        self._until: dict[str, float] = {}
        self._slices: dict[tuple[str, Rate, str], _Slice] = {}
        self._alone: dict[str, Window] = {}
        self._purged = self._told = monotonic()
        self._texts: dict[tuple[str, int], str] = {}

    async def charge(self, *charges: Charge) -> list[int]:
        """Charge all of these or none; how many units each has left. Raises `TooMany` for the first without room.

        One transaction of two statements; none for what is known to be full.
        """
        now = self._now()
        for charge in charges:
            if (until := self._until.get(charge.key, 0.0)) > now:
                raise TooMany(charge, until - now)
        verdicts = await self._decide(charges)
        for charge, verdict in zip(charges, verdicts, strict=True):
            if not verdict.allowed:
                _remember(self._until, charge.key, self._now() + verdict.wait)
                raise TooMany(charge, verdict.wait)
        return [verdict.left for verdict in verdicts]

    async def take(self, purpose: str, rates: Sequence[Rate], subject: str) -> list[int]:
        """Charge one unit to each of these budgets; how many each has left, as far as this process knows.

        Raises `TooMany`. A large budget costs nothing but for one unit in a slice, which costs what `charge` does.
        """
        left = [await self._take(purpose, rate, subject) for rate in rates if rate.times // SLICES > 1]
        if small := [Charge(purpose, rate, subject) for rate in rates if rate.times // SLICES <= 1]:
            exact = iter(await self.charge(*small))
            rest = iter(left)
            return [next(rest if rate.times // SLICES > 1 else exact) for rate in rates]
        return left

    async def _take(self, purpose: str, rate: Rate, subject: str) -> int:
        size = rate.times // SLICES
        while True:
            now = self._now()
            if (part := self._slices.get((purpose, rate, subject))) is None:
                part = _Slice(now, rate.times)
                _remember(self._slices, (purpose, rate, subject), part)
            if part.until > now:
                raise TooMany(Charge(purpose, rate, subject), part.until - now)
            if part.pending is not None:
                await asyncio.shield(part.pending)
                continue
            if now - part.since >= rate.seconds:
                part.used, part.since, part.left = 0, now, rate.times
            if part.used + 1 < size:
                part.used += 1
                return part.left - part.used
            return await self._pay(part, Charge(purpose, rate, subject, size))

    async def _pay(self, part: _Slice, charge: Charge) -> int:
        """Charge a slice that is used up with this unit; the others of its subject wait for what becomes of it."""
        part.pending = asyncio.get_running_loop().create_future()
        try:
            (verdict,) = await self._decide([charge])
        finally:
            part.pending.set_result(None)
            part.pending = None
        now = self._now()
        if not verdict.allowed:
            part.until = now + verdict.wait
            raise TooMany(charge, verdict.wait)
        part.used, part.since, part.left = 0, now, verdict.left
        return verdict.left

    async def _decide(self, charges: Sequence[Charge]) -> list[Verdict]:
        """The verdicts of the database, or of this process where that does not answer."""
        try:
            verdicts = await self._ask(charges)
        except Exception as error:
            return self._decide_alone(charges, error)
        if monotonic() - self._purged > PURGE_SECONDS:
            self._purged = monotonic()
            await self._purge()
        return verdicts

    async def _ask(self, charges: Sequence[Charge]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        ordered = sorted(charge.key for charge in charges)  # one order for all: nobody waits in a circle
        try:
            async with self._store.transaction() as writing:
                rows = await writing.run(
                    self._text(_HOLD, len(charges)), [part for key in ordered for part in (key, "", 0)]
                )
                held = {as_text(key): (parse_window(as_text(marks)), now) for key, marks, now in rows}
                kept: list[str | int] = []
                for charge in charges:
                    window, now = held[charge.key]
                    if self._clock is not None:
                        now = int(self._clock().timestamp() * 1_000_000)
                    window, verdict = window.charge(charge.rate, charge.units, now)
                    verdicts.append(verdict)
                    kept += [charge.key, str(window), now + charge.rate.seconds * 1_000_000]
                if not all(verdict.allowed for verdict in verdicts):
                    raise _Full
                await writing.run(self._text(_KEEP, len(charges)), kept)
        except _Full:
            pass
        return verdicts

    def _decide_alone(self, charges: Sequence[Charge], error: Exception) -> list[Verdict]:
        now = int(self._now() * 1_000_000)
        found = [self._alone.get(charge.key, Window()).charge(charge.rate, charge.units, now) for charge in charges]
        if all(verdict.allowed for _, verdict in found):
            for charge, (window, _) in zip(charges, found, strict=True):
                _remember(self._alone, charge.key, window)
        if self._log is not None and monotonic() - self._told > 1.0:
            self._told = monotonic()
            self._log.event("rates_alone", error=type(error).__name__)
        return [verdict for _, verdict in found]

    async def _purge(self) -> None:
        try:
            async with self._store.transaction() as writing:
                await writing.run(self._text(_PURGE, 0), ())
        except Exception as error:
            if self._log is not None:
                self._log.event("rates_not_deleted", error=type(error).__name__)

    def _text(self, text: str, count: int) -> str:
        """A statement for so many keys as this database says it."""
        if (said := self._texts.get((text, count))) is None:
            sqlite = self._store.dialect.name == "sqlite"
            mark = "?" if sqlite else "$"
            rows = ", ".join(f"({mark}{at + 1}, {mark}{at + 2}, {mark}{at + 3})" for at in range(0, 3 * count, 3))
            said = text.format(
                rows=rows, now=_SQLITE_NOW if sqlite else _POSTGRES_NOW,
                unlocked="" if sqlite else " FOR UPDATE SKIP LOCKED",
            )  # fmt: skip
            self._texts[text, count] = said
        return said


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Keep a value; the oldest goes when there are too many."""
    if key not in known and len(known) >= REMEMBERED:
        known.pop(next(iter(known)))
    known[key] = value
