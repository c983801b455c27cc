"""Backstay under pressure: ten times as much as it can answer, and log-ins at full rate beside other requests.

`python benchmarks/run.py overload` and `python benchmarks/run.py logins`. Exit code 1 where a promise was not kept.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.cli import ROOT
from benchmarks.dataset import Dataset
from benchmarks.load import CONNECTIONS, Asked, Load, NoGenerator, drive, press, require_generator, write_questions
from benchmarks.peers.backstay import Backstay
from benchmarks.peers.port import Tools
from benchmarks.processes import Server, ServerFailed, ask, largest_megabytes
from benchmarks.stage import Part, Player, stage
from benchmarks.stocktaking import DONE, LATER
from benchmarks.workloads import BUYING, Workload

TIMES = 10
CLIENTS = 640
GOOD = 0.8
"""The share of what it can do that is still answered when ten times as much is asked."""
PROMPT = 1_000_000
"""Microseconds within which ninety-nine of a hundred are told, whether yes or no."""
GROWTH = 1.2
"""How many times as much memory as in the first half of the pressure."""
SLOWER = 2.0
"""How many times its p99 a question may take while people log in."""
PEOPLE = 16
FULL = "100000000/minute"


@dataclass(slots=True)
class Memory:
    """The largest process of a server, looked at every half second."""

    megabytes: list[float] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """The most in the second half against the most in the first."""
        middle = max(1, len(self.megabytes) // 2)
        return max(self.megabytes[middle:], default=0) / max(self.megabytes[:middle])


@contextmanager
def watched(server: Server) -> Iterator[Memory]:
    """The memory of a server as long as the block lasts."""
    memory, ended = Memory(), threading.Event()

    def look() -> None:
        while True:
            memory.megabytes.append(largest_megabytes(server.process.pid))
            if ended.wait(0.5):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def overload(player: Player, workload: Workload, seconds: float, console: Console) -> bool:
    """Ask ten times as much as was answered before; whether the promises were kept."""
    questions = player.questions[workload]
    press(player.server.port, questions, 2, CONNECTIONS)
    able = press(player.server.port, questions, max(5, seconds / 6), CONNECTIONS)
    capacity = _sorted(able)[0] / able.seconds
    with watched(player.server) as memory:
        load = press(player.server.port, questions, seconds, CLIENTS, CLIENTS / (TIMES * capacity))
    if workload in BUYING:
        player.take_stock()
    good, refused, other = _sorted(load)
    console.print(f"{player.part.label}, {workload}: {capacity:,.0f} a second with {CONNECTIONS} connections.")
    console.print(
        f"Asked {load.requests / load.seconds / capacity:.1f} times as much for {load.seconds:.0f} s: "
        f"{good / load.seconds:,.0f} good answers a second, {refused / load.seconds:,.0f} refused; "
        f"p99 {load.p99 / 1000:,.0f} ms; {max(memory.megabytes):.0f} MB."
    )
    return _kept(console, {
        f"good answers, of the capacity: {good / load.seconds / capacity:.2f}, owed {GOOD}":
            good / load.seconds / capacity >= GOOD,
        f"nothing but good answers and refusals: {other}": not other,
        f"everybody is told within {PROMPT / 1_000_000:g} s (p99)": load.p99 <= PROMPT,
        f"memory in the second half, of the first: {memory.growth:.2f}, owed {GROWTH} at most":
            memory.growth <= GROWTH,
    })  # fmt: skip


def logins(player: Player, seconds: float, console: Console) -> bool:
    """Ask for products while people log in as fast as they are let; whether the promise was kept."""
    port, questions = player.server.port, player.questions[Workload.W1]
    entries = questions.with_suffix(".logins")
    people = [{"email": f"person{number}@example.com", "password": f"a long word {number}"} for number in range(PEOPLE)]
    for person in people:
        status, body = ask(
            "POST", port, "/api/auth/signup", {"Content-Type": "application/json"}, json.dumps(person).encode()
        )
        if status >= 300:
            raise ServerFailed(f"{player.part.label}: a sign-up was answered with {status}: {body.decode()}")
    write_questions(entries, [Asked("/api/auth/login", body=json.dumps(person)) for person in people])
    drive(port, questions, 2)
    alone = drive(port, questions, seconds)
    found: list[Load] = []
    thread = threading.Thread(target=lambda: found.append(press(port, entries, seconds + 2, PEOPLE)))
    thread.start()
    beside = press(port, questions, seconds, CONNECTIONS)
    thread.join()
    if not found:
        raise ServerFailed(f"{player.part.label}: the log-ins failed\n{player.server.log_tail()}")
    entered, kept_out, wrong = _sorted(found[0])
    console.print(
        f"{player.part.label}, W1: {alone.requests / alone.seconds:,.0f} a second, p99 {alone.p99 / 1000:.1f} ms; "
        f"with {entered / found[0].seconds:,.0f} log-ins a second ({kept_out} refused, {wrong} others) "
        f"{beside.requests / beside.seconds:,.0f} a second, p99 {beside.p99 / 1000:.1f} ms."
    )
    _, refused, other = _sorted(beside)
    return _kept(console, {
        f"p99 of W1 beside log-ins, of alone: {beside.p99 / alone.p99:.2f}, owed {SLOWER} at most":
            beside.p99 <= SLOWER * alone.p99,
        f"nobody else is refused: {refused + other}": not refused + other,
        f"people log in: {entered}": entered > 0 and not wrong,
    })  # fmt: skip


def _sorted(load: Load) -> tuple[int, int, int]:
    """Good answers, refusals, and what should not be."""
    good = sum(number for status, number in load.statuses.items() if status in DONE)
    refused = sum(number for status, number in load.statuses.items() if status in LATER)
    return good, refused, sum(load.statuses.values()) - good - refused


def _kept(console: Console, promises: dict[str, bool]) -> bool:
    for promise, kept in promises.items():
        console.print(f"  {'kept  ' if kept else 'MISSED'}  {promise}", style="" if kept else "red", markup=False)
    return all(promises.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Put Backstay under pressure; 0 where all promises were kept."""
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("what", choices=["overload", "logins"])
    parser.add_argument("--databases", default="sqlite,postgres", help="of sqlite,postgres")
    parser.add_argument("--workloads", default="W3,W5", help=f"for the overload, of {','.join(Workload)}")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the shop")
    parser.add_argument("--seconds", type=float, default=60, help="how long the pressure lasts")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server")
    parser.add_argument("--backstay", type=Path, default=ROOT / ".venv" / "bin" / "backstay")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 120)
    if asked.what == "logins":  # at full rate: nobody is stopped for having tried too often
        os.environ["BACKSTAY_RATE_LIMITS"] = (
            f"login_per_account={FULL}; login_per_client={FULL}; signup_per_account={FULL}; signup_per_client={FULL}"
        )
        os.environ["BACKSTAY_ACCEPT"] = "login-rate"
    workloads = [Workload(name) for name in asked.workloads.split(",")] if asked.what == "overload" else [Workload.W1]
    tools = Tools(Path(sys.prefix) / "bin", asked.backstay, asked.workers)
    parts = [Part(Backstay, database, Dataset(asked.scale)) for database in asked.databases.split(",")]
    try:
        require_generator()
        kept = True
        for part in parts:
            with stage([part], workloads, tools, str) as ((player,), _):
                for workload in workloads:
                    if asked.what == "overload":
                        kept &= overload(player, workload, asked.seconds, console)
                    else:
                        kept &= logins(player, min(asked.seconds, 20), console)
    except (NoGenerator, ServerFailed) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
