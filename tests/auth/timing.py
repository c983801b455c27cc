"""Can anybody tell by the time of an answer whether an address has an account? `make timing` measures it.

Requests go through the whole HTTP front in this process, where nothing of a network hides a difference. Those about
known and unknown accounts take turns in random order; what is told is the AUC of the best threshold classifier on one
answer's time: 0.5 is a coin, and at most 0.6 is owed over 1,000 + 1,000 log-ins, and as many sign-ups.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import SystemRandom
from statistics import median
from time import perf_counter_ns

from backstay import App
from backstay.app import Running
from backstay.auth.password import Passwords
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create
from backstay.plan.limits import Limits
from backstay.plan.rate import Rate
from backstay.settings import Settings
from tests.golden.client import Asked, Reply
from tests.servers import Postgres

OWED = 0.6
WARM = 100
OPEN = ("login_per_account", "login_per_client", "signup_per_account", "signup_per_client")
"""Budgets that are charged as always, and never used up."""
PASSWORD = "a harbour at night"
Ask = Callable[[int], Awaitable[Reply]]


@dataclass(frozen=True)
class Outcome:
    """The times of two kinds of requests, in microseconds."""

    known: Sequence[float]
    unknown: Sequence[float]

    @property
    def auc(self) -> float:
        """How often the slower kind is the slower one of two answers, one of each kind; from 0.5 to 1."""
        return max(found := area(self.known, self.unknown), 1 - found)

    def __str__(self) -> str:
        count = f"{len(self.known)} + {len(self.unknown)}"
        return f"AUC {self.auc:.3f}  medians {median(self.known):9,.0f} and {median(self.unknown):9,.0f} µs  {count}"


def area(first: Sequence[float], second: Sequence[float]) -> float:
    """The area under the curve of the classifier that calls the later answer one of the first kind."""
    ranked = sorted([(time, 1) for time in first] + [(time, 0) for time in second])
    total, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        total += sum(kind for _, kind in ranked[at:end]) * (at + end + 1) / 2
        at = end
    ones = len(first)
    return (total - ones * (ones + 1) / 2) / (ones * len(second))


async def post(app: App, path: str, body: bytes) -> Reply:
    """One POST of JSON."""
    asked, sent = Asked("POST", path), []
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": asked.method, "path": path, "query_string": b"", "headers": headers}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    return Reply(sent[0]["status"], {}, sent[1]["body"])  # type: ignore[arg-type]


async def measure(known: Ask, unknown: Ask, samples: int, expected: int) -> Outcome:
    """The times of both kinds, asked in turns of random order."""
    chance = SystemRandom()
    times: dict[bool, list[float]] = {True: [], False: []}
    asked = {True: 0, False: 0}
    order = [True, False] * (samples + WARM)
    for at in range(0, len(order), 2):
        chance.shuffle(pair := order[at : at + 2])
        order[at : at + 2] = pair
    for kind in order:
        number, ask = asked[kind], known if kind else unknown
        asked[kind] += 1
        before = perf_counter_ns()
        reply = await ask(number)
        took = (perf_counter_ns() - before) / 1000
        assert reply.status == expected, reply.body
        if number >= WARM:
            times[kind].append(took)
    return Outcome(times[True], times[False])


async def fill(running: Running, count: int) -> None:
    """So many accounts with one password."""
    accounts = running.accounts
    password_hash = await accounts.passwords.hash(PASSWORD)
    async with running.context_of(SYSTEM).transaction() as tx:
        for number in range(count):
            key = await tx.write(Create("User", {"email": f"known{number}@example.com"}))
            await tx.write(Create("AccountCredential", {"user": key, "password_hash": password_hash}))


def entry(email: str) -> bytes:
    """The body of a log-in with a wrong password, and of a sign-up."""
    return b'{"email":"%s","password":"not my password"}' % email.encode()


async def run(url: str, passwords: Passwords, samples: int) -> dict[str, Outcome]:
    """Log-ins and sign-ups on an empty database."""
    app = App("timing", models=[], limits=Limits(**dict.fromkeys(OPEN, str(Rate(10 * samples + 10 * WARM, 60)))))
    settings = Settings(database_url=url, secret_key="timing " * 8, log_level="error", env="development")
    running = await app.start(settings, passwords=passwords)
    try:
        count = samples + WARM
        await fill(running, count)
        login, signup = "/api/auth/login", "/api/auth/signup"
        found = {"log-in": await measure(
            lambda n: post(app, login, entry(f"known{n}@example.com")),
            lambda n: post(app, login, entry(f"other{n}@example.com")), samples, 401,
        )}  # fmt: skip
        found["sign-up"] = await measure(
            lambda n: post(app, signup, entry(f"known{n}@example.com")),
            lambda n: post(app, signup, entry(f"fresh{n}@example.com")), samples, 202,
        )  # fmt: skip
        return found
    finally:
        await app.stop()


def main(samples: int, real: int) -> int:
    """Measure on both databases, with cheap hashing and with real; the exit code tells whether what is owed is kept."""
    kept = True
    server = Postgres()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for hashing, count in (("cheap hashing", samples), ("real hashing", real)):
                for database in ("sqlite", "postgres"):
                    name = f"timing{count}{database}"
                    url = f"sqlite:///{Path(folder) / name}.db" if database == "sqlite" else server.create(name)
                    cheap = hashing == "cheap hashing"
                    passwords = Passwords(memory_kib=8, rounds=1) if cheap else Passwords()
                    for what, outcome in asyncio.run(run(url, passwords, count)).items():
                        print(f"{what:8} {database:9} {hashing:14} {outcome}", flush=True)
                        kept = kept and outcome.auc <= OWED
    finally:
        server.stop()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(*(int(one) for one in sys.argv[1:3])) if len(sys.argv) > 2 else main(1_000, 200))
