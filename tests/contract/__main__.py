"""`make contract`: the shop explored for as long as it takes, by each of its three kinds of viewers, with figures.

On SQLite, and with CONTRACT_DATABASE=postgres on a PostgreSQL that is started for it. CONTRACT_EXAMPLES is how many
values are drawn for each operation, CONTRACT_SEED from where, and CONTRACT_LISTING=0 leaves out enumerated cases.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

from tests.contract.explorer import VIEWERS, Run, run
from tests.servers import Postgres

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "50"))


def explored(who: str, database: str = "") -> Run:
    """One of the runs, in a shop of its own."""
    with tempfile.TemporaryDirectory(prefix="backstay-contract-") as folder:
        seed = int(os.environ.get("CONTRACT_SEED", "1"))
        listing = os.environ.get("CONTRACT_LISTING", "1") == "1"
        return run(who, Path(folder), examples=EXAMPLES, seed=seed, database=database, listing=listing)


def main() -> int:
    """Explore on the database that is asked for; 0 where nothing was found and everything was reached."""
    if os.environ.get("CONTRACT_DATABASE", "sqlite") != "postgres":
        return explore_all([""] * len(VIEWERS))
    server = Postgres()
    try:
        return explore_all([server.create(f"contract_{who or 'anonymous'}") for who in VIEWERS])
    finally:
        server.stop()


def explore_all(databases: list[str]) -> int:
    """Explore as each of the viewers, each in a database of its own."""
    begun = perf_counter()
    excused: Counter[str] = Counter()
    reached: set[str] = set()
    there: set[str] = set()
    bad = False
    with ProcessPoolExecutor(len(VIEWERS)) as pool:
        for who, found in zip(VIEWERS, pool.map(explored, VIEWERS, databases), strict=True):
            sent = ", ".join(f"{count} in {phase}" for phase, count in found.findings.requests.items())
            print(
                f"{who or 'anonymous'}: {len(found.operations)} operations, {found.findings.requests.total()} requests "
                f"({sent}), {found.findings.checks.total()} checks of "
                f"{len(found.findings.checks)} kinds, {len(found.findings.failures)} failures, "
                f"{len(found.missed)} operations never 2xx"
            )
            if found.findings.told():
                print(found.findings.told())
            for label in sorted(found.missed):
                print(f"  never 2xx: {label} {dict(found.findings.answers.get(label, {}))}")
            bad = bad or bool(found.findings.told()) or bool(found.missed)
            excused += found.findings.excused
            reached |= found.findings.reached()
            there |= found.operations
    print("excused: " + ", ".join(f"{name} {count}" for name, count in excused.most_common()))
    print(f"{len(there & reached)} of {len(there)} operations reached 2xx; {perf_counter() - begun:.0f} s")
    return 1 if bad or there - reached else 0


if __name__ == "__main__":
    sys.exit(main())
