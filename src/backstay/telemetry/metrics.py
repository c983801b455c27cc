"""What is counted: in each process by itself, and put together over all processes when somebody asks.

To count costs a look-up and an addition. Each process writes what it has into a file of a folder that they share, once
a second and at its end; whoever is asked adds up the files. So it does not matter which process is asked, a counter
never goes back when a process is replaced, and the others are seen at most a second late.
Invariant: every metric and every label is in `METRICS`, and a label has a few values that nobody outside can make up.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets of every histogram of times, in seconds."""
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Those of a histogram of sizes."""
_FRESH = 10.0  # seconds for which what a process wrote says how it is
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of values."""

    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = BOUNDS


METRICS: dict[str, Metric] = {
    "backstay_requests_total": Metric("counter", "Requests that were answered.", ("method", "route", "status")),
    "backstay_request_seconds": Metric("histogram", "From a request to its answer.", ("method", "route")),
    "backstay_requests_in_flight": Metric("gauge", "Requests that are being answered."),
    "backstay_requests_shed_total": Metric("counter", "Requests that were refused because of overload."),
    "backstay_queue_seconds": Metric("gauge", "How long the first in line for the database has waited."),
    "backstay_statement_seconds": Metric(
        "histogram", "Statements: `read` by clients, `write` in transactions, `own` for ourselves.", ("kind",)
    ),
    "backstay_commit_seconds": Metric("histogram", "From the end of a transaction's work to its commit on the disk."),
    "backstay_commit_group_size": Metric(
        "histogram", "Transactions that went to the disk in one commit; SQLite alone.", bounds=SIZES
    ),
    "backstay_connections": Metric("gauge", "Connections to PostgreSQL: `busy` and `free`.", ("state",)),
    "backstay_changes_head": Metric("gauge", "The position of the newest change in the change log."),
    "backstay_reaction_lag": Metric("gauge", "Changes that a reaction has still to read.", ("reaction",)),
    "backstay_reactions_given_up": Metric("gauge", "Facts that reactions were given up on."),
    "backstay_sessions": Metric("gauge", "Sessions that are alive: begun, not ended, not over."),
    "backstay_live_streams": Metric("gauge", "Live streams that are open."),
    "backstay_live_events_total": Metric("counter", "Events of live streams, `reset` and `end` too.", ("event",)),
    "backstay_events_total": Metric("counter", "Events of the log, written or not.", ("event",)),
    "backstay_process_resident_bytes": Metric("gauge", "Memory of a process.", ("pid",)),
    "backstay_process_open_files": Metric("gauge", "Open files and sockets of a process.", ("pid",)),
    "backstay_process_cpu_seconds_total": Metric("counter", "Processor time of all processes so far."),
}
"""Every metric by its name. The page of metrics is checked against it."""


class Histogram:
    """How often something took how long, or was how large."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, amount: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, amount)] += 1
        self.total += amount

    def value(self, name: str, labels: Labels = ()) -> Value:
        """As one value of a metric."""
        return Value(name, labels, self.total, tuple(self.counts))


Labels = tuple[str, ...]


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A value with its labels; `counts` of the buckets, and `value` is their sum, where it is a histogram."""

    name: str
    labels: Labels
    value: float
    counts: tuple[int, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """What one process has counted by a moment."""

    pid: int
    at: float
    values: tuple[Value, ...]


class Metrics:
    """What one process counts. `folder` is where the processes of one server leave what they have."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.commits = Histogram()
        self.statements = {kind: Histogram() for kind in ("read", "write", "own")}
        self._requests: dict[tuple[str, str, int], list[int]] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the template of its path."""
        key = (method, route, status)
        if (count := self._requests.get(key)) is None:
            if method not in _METHODS and method != "other":
                self.request("other", route, status, seconds)
                return
            count = self._requests[key] = [0]
        count[0] += 1
        if (taken := self._seconds.get(key[:2])) is None:
            taken = self._seconds[key[:2]] = Histogram()
        taken.add(seconds)

    def counted(self) -> list[Value]:
        """What was counted here."""
        found = [
            Value("backstay_requests_total", (method, route, str(status)), count[0])
            for (method, route, status), count in self._requests.items()
        ]
        histograms = [
            *(("backstay_request_seconds", key, taken) for key, taken in self._seconds.items()),
            *(("backstay_statement_seconds", (kind,), taken) for kind, taken in self.statements.items()),
            ("backstay_commit_seconds", (), self.commits),
        ]
        found += [taken.value(name, labels) for name, labels, taken in histograms]
        return [*found, *_process()]

    def share(self, values: Iterable[Value]) -> None:
        """Leave what this process has where the others find it."""
        if self.folder is None:
            return
        snapshot = Snapshot(os.getpid(), time.time(), tuple(values))
        half = self.folder / f"{os.getpid()}.half"
        half.write_bytes(msgspec.json.encode(snapshot))
        half.replace(self.folder / f"{os.getpid()}.json")

    def together(self, values: Sequence[Value]) -> list[Value]:
        """What this process has, with what the others have left."""
        return merged([Snapshot(os.getpid(), time.time(), tuple(values)), *self._others()])

    def _others(self) -> list[Snapshot]:
        found: list[Snapshot] = []
        for file in sorted(self.folder.glob("*.json")) if self.folder is not None else ():
            try:
                snapshot = msgspec.json.decode(file.read_bytes(), type=Snapshot)
            except (OSError, msgspec.MsgspecError):
                continue  # it was taken away meanwhile
            if snapshot.pid != os.getpid():
                found.append(snapshot)
        return found


def merged(snapshots: Iterable[Snapshot]) -> list[Value]:
    """All processes as one: what was counted by those that are gone too, and how those that are here are."""
    found: dict[tuple[str, Labels], Value] = {}
    now = time.time()
    for snapshot in snapshots:
        here = now - snapshot.at < _FRESH
        for one in snapshot.values:
            gauge = METRICS[one.name].kind == "gauge"
            if gauge and not here:
                continue
            known = found.get((one.name, one.labels))
            if known is None:
                found[one.name, one.labels] = one
            elif one.name == "backstay_queue_seconds":
                found[one.name, one.labels] = max(known, one, key=lambda value: value.value)
            else:
                counts = tuple(map(sum, zip(known.counts, one.counts, strict=True)))
                found[one.name, one.labels] = Value(one.name, one.labels, known.value + one.value, counts)
    return list(found.values())


def exposition(values: Iterable[Value]) -> bytes:
    """Values as Prometheus reads them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import CollectorRegistry

    families: dict[str, CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily] = {}
    for name, metric in METRICS.items():
        kind = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
        families[name] = kind[metric.kind](name.removesuffix("_total"), metric.meaning, labels=metric.labels)
    for one in values:
        family = families[one.name]
        if isinstance(family, HistogramMetricFamily):
            buckets, so_far = [], 0
            for bound, count in zip((*map(str, METRICS[one.name].bounds), "+Inf"), one.counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            family.add_metric(one.labels, buckets, one.value)
        else:
            family.add_metric(one.labels, one.value)

    class Collected:
        def collect(self) -> Iterable[object]:
            return families.values()

    registry = CollectorRegistry()
    registry.register(Collected())  # type: ignore[arg-type]
    return generate_latest(registry)


def _process() -> list[Value]:
    """How this process is."""
    pid, spent = str(os.getpid()), os.times()
    found = [Value("backstay_process_cpu_seconds_total", (), spent.user + spent.system)]
    try:
        found.append(Value("backstay_process_open_files", (pid,), len(os.listdir("/dev/fd")) - 1))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found.append(Value("backstay_process_resident_bytes", (pid,), pages * os.sysconf("SC_PAGE_SIZE")))
    except OSError:
        pass  # a system that does not say
    return found
