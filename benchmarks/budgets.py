"""What Backstay owes: the ratios and bounds of its speed budget, and whether a run kept them.

Only ratios within one run are judged, since a machine's speed changes between runs. What a run did not measure is left
open and never counted as kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.results import Results

OURS = "backstay"
LIMIT = "handwritten"

TIMES_AS_MANY: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("pocketbase", "sqlite"): {"W1": 4, "W2": 6, "W2b": 7, "W3": 25, "W4": 5, "W5": 10},
    ("fastapi", "postgres"): {"W1": 10, "W2": 6, "W2b": 5, "W3": 13, "W4": 8, "W5": 8},
    ("django", "postgres"): {"W1": 13, "W2": 12, "W2b": 7, "W3": 25, "W4": 10, "W5": 12},
}
CPU_AGAINST_LIMIT: Mapping[str, float] = {"W1": 1.5, "W2": 1.3, "W2b": 1.3, "W3": 1.2, "W4": 1.6, "W5": 1.6}
UNRANKED = ("W5one",)
"""Workloads without a ratio of their own; our p99 is to be below each peer's in them too."""
WORKER_MEGABYTES = 120
SLOWER_WITH_TENFOLD_ROWS = 1.5
TENFOLD_WORKLOADS = ("W1", "W2", "W3")


@dataclass(frozen=True, slots=True)
class Budget:
    """One promise: what was measured against what is owed, in the same unit."""

    promise: str
    workload: str
    measured: float | None
    owed: float
    at_least: bool

    @property
    def kept(self) -> bool | None:
        """None where the run did not measure it."""
        if self.measured is None:
            return None
        return self.measured >= self.owed if self.at_least else self.measured <= self.owed


def judge(results: Results) -> list[Budget]:
    """Every budget of the workloads."""
    return [*_throughput(results), *_cpu(results), *_latency(results), *_memory(results), *_tenfold(results)]


def _throughput(results: Results) -> Iterator[Budget]:
    for (peer, database), owed in TIMES_AS_MANY.items():
        for workload, times in owed.items():
            ours, theirs = results.find(OURS, database, workload), results.find(peer, database, workload)
            measured = ours.requests_per_second / theirs.requests_per_second if ours and theirs else None
            yield Budget(f"requests/s against {peer} on {database}", workload, measured, times, at_least=True)


def _cpu(results: Results) -> Iterator[Budget]:
    for database in ("sqlite", "postgres"):
        for workload, times in CPU_AGAINST_LIMIT.items():
            ours, limit = results.find(OURS, database, workload), results.find(LIMIT, database, workload)
            measured = ours.cpu / limit.cpu if ours and limit else None
            yield Budget(f"CPU per request against {LIMIT} on {database}", workload, measured, times, at_least=False)


def _latency(results: Results) -> Iterator[Budget]:
    for (peer, database), owed in TIMES_AS_MANY.items():
        for workload in (*owed, *UNRANKED):
            ours, theirs = results.find(OURS, database, workload), results.find(peer, database, workload)
            measured = ours.p99 / theirs.p99 if ours and theirs else None
            yield Budget(f"p99 against {peer} on {database}", workload, measured, 1, at_least=False)


def _memory(results: Results) -> Iterator[Budget]:
    for database in ("sqlite", "postgres"):
        workers = [m.figures.megabytes for m in results.measurements if (m.peer, m.database) == (OURS, database)]
        measured = max(workers, default=None)
        yield Budget(f"MB of the largest worker on {database}", "all", measured, WORKER_MEGABYTES, at_least=False)


def _tenfold(results: Results) -> Iterator[Budget]:
    scales = results.scales()
    for database in ("sqlite", "postgres"):
        for workload in TENFOLD_WORKLOADS:
            few = results.find(OURS, database, workload, scales[0]) if scales else None
            many = results.find(OURS, database, workload, scales[0] * 10) if scales else None
            measured = few.requests_per_second / many.requests_per_second if few and many else None
            promise = f"times slower with ten times the rows on {database}"
            yield Budget(promise, workload, measured, SLOWER_WITH_TENFOLD_ROWS, at_least=False)
