"""What is counted is exact, adds up over processes, and is read by what reads it."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from backstay.telemetry.metrics import BOUNDS, METRICS, Metrics, Snapshot, Value, exposition, merged


def samples(text: bytes) -> dict[str, float]:
    """Every sample by its name and labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_requests_are_counted_and_timed() -> None:
    metrics = Metrics()
    metrics.request("GET", "/api/notes/{id}", 200, 0.0009)
    metrics.request("GET", "/api/notes/{id}", 200, 0.3)
    metrics.request("GET", "/api/notes/{id}", 404, 99.0)
    metrics.request("BREW", "other", 405, 0.001)
    metrics.request("other", "other", 405, 0.001)
    found = samples(exposition(metrics.counted()))
    assert found["backstay_requests_total{method=GET,route=/api/notes/{id},status=200}"] == 2
    assert found["backstay_requests_total{method=GET,route=/api/notes/{id},status=404}"] == 1
    assert found["backstay_requests_total{method=other,route=other,status=405}"] == 2
    name = "backstay_request_seconds"
    route = "method=GET,route=/api/notes/{id}"
    assert found[f"{name}_bucket{{le=0.001,{route}}}"] == 1
    assert found[f"{name}_bucket{{le=0.25,{route}}}"] == 1
    assert found[f"{name}_bucket{{le=0.5,{route}}}"] == 2
    assert found[f"{name}_bucket{{le=+Inf,{route}}}"] == found[f"{name}_count{{{route}}}"] == 3
    assert found[f"{name}_sum{{{route}}}"] == 99.3009


def test_processes_add_up_and_one_that_is_gone_still_counts(tmp_path: Path) -> None:
    def one(pid: int, at: float, requests: float, inside: float, queue: float) -> Snapshot:
        return Snapshot(pid, at, (
            Value("backstay_events_total", ("upkeep",), requests), Value("backstay_requests_in_flight", (), inside),
            Value("backstay_queue_seconds", (), queue),
            Value("backstay_commit_seconds", (), requests / 10, (0, int(requests), *[0] * (len(BOUNDS) - 1))),
        ))  # fmt: skip

    now = time.time()
    found = samples(exposition(merged([one(1, now, 3, 2, 0.5), one(2, now, 4, 1, 0.25), one(3, now - 60, 10, 7, 9.0)])))
    assert found["backstay_events_total{event=upkeep}"] == 17
    assert found["backstay_requests_in_flight"] == 3
    assert found["backstay_queue_seconds"] == 0.5
    assert found["backstay_commit_seconds_count"] == 17
    assert found["backstay_commit_seconds_bucket{le=0.001}"] == 0
    assert found["backstay_commit_seconds_bucket{le=0.0025}"] == 17
    assert found["backstay_commit_seconds_sum"] == 1.7


def test_what_another_process_left_is_found(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    here, there = Metrics(), Metrics()
    here.folder = there.folder = tmp_path
    here.request("GET", "other", 404, 0.1)
    there.request("GET", "other", 404, 0.1)
    with monkeypatch.context() as other:
        other.setattr("os.getpid", lambda: 1)
        there.share(there.counted())
    here.share(here.counted())
    (tmp_path / "7.json").write_text("{half")
    found = samples(exposition(here.together(here.counted())))
    assert found["backstay_requests_total{method=GET,route=other,status=404}"] == 2
    assert len([name for name in found if name.startswith("backstay_process_resident_bytes")]) == 2


def test_labels_are_those_that_are_named() -> None:
    metrics = Metrics()
    metrics.request("GET", "other", 200, 0.1)
    for value in metrics.counted():
        assert len(value.labels) == len(METRICS[value.name].labels), value.name
