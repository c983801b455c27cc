"""Rounds of load, every peer in turn, and what is left of them: medians."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import Load, drive
from benchmarks.processes import Server, ServerFailed, cpu_seconds, largest_megabytes

WARM_UP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """What one peer did in one workload: times in microseconds, memory of its largest process in megabytes."""

    requests_per_second: float
    server_cpu: float
    database_cpu: float
    p50: float
    p99: float
    megabytes: float

    @property
    def cpu(self) -> float:
        """Processor time per request, server and database together."""
        return self.server_cpu + self.database_cpu


@dataclass(frozen=True, slots=True)
class Runner:
    """A server ready to be loaded with the questions of one workload; `database` is the process of its PostgreSQL."""

    label: str
    server: Server
    questions: Path
    database: int | None


def measure(
    runners: Sequence[Runner], rounds: int, seconds: float, report: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """Load A, B, C, then A, B, C again: the machine's mood then falls on everybody alike."""
    figures: dict[str, list[Figures]] = {runner.label: [] for runner in runners}
    for runner in runners:
        report(f"{runner.label}: warming up")
        _drive(runner, WARM_UP_SECONDS)
    for turn in range(1, rounds + 1):
        for runner in runners:
            report(f"{runner.label}: round {turn} of {rounds}")
            figures[runner.label].append(_round(runner, seconds))
    return figures


def middle(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure by itself."""
    return Figures(
        requests_per_second=median(figures.requests_per_second for figures in rounds),
        server_cpu=median(figures.server_cpu for figures in rounds),
        database_cpu=median(figures.database_cpu for figures in rounds),
        p50=median(figures.p50 for figures in rounds),
        p99=median(figures.p99 for figures in rounds),
        megabytes=max(figures.megabytes for figures in rounds),
    )


def _round(runner: Runner, seconds: float) -> Figures:
    before = _cpu(runner)
    load = _drive(runner, seconds)
    if not load.requests:
        raise ServerFailed(f"{runner.label} answered nothing in {seconds:g} seconds")
    server, database = (
        (now - then) * 1_000_000 / load.requests for now, then in zip(_cpu(runner), before, strict=True)
    )
    return Figures(
        requests_per_second=load.requests / load.seconds,
        server_cpu=server,
        database_cpu=database,
        p50=load.p50,
        p99=load.p99,
        megabytes=largest_megabytes(runner.server.process.pid),
    )


def _drive(runner: Runner, seconds: float) -> Load:
    try:
        return drive(runner.server.port, runner.questions, seconds)
    except ServerFailed as error:
        raise ServerFailed(f"{runner.label}: {error}\n{runner.server.log_tail()}") from error


def _cpu(runner: Runner) -> tuple[float, float]:
    database = cpu_seconds(runner.database) if runner.database is not None else 0.0
    return cpu_seconds(runner.server.process.pid), database
