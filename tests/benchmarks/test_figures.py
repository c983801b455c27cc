"""What is made of the figures: medians, ratios, budgets kept and missed, and the page that tells them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.budgets import judge
from benchmarks.load import Asked, write_questions
from benchmarks.measure import Figures, middle
from benchmarks.processes import cpu_seconds, largest_megabytes
from benchmarks.report import markdown
from benchmarks.results import Measurement, Results, load, newest

FAST = Figures(requests_per_second=4_000, server_cpu=100, database_cpu=0, p50=1_000, p99=5_000, megabytes=50)
SLOW = replace(FAST, requests_per_second=1_000, server_cpu=400, p50=4_000, p99=20_000)


def run_of(*measurements: Measurement) -> Results:
    return Results(
        date="2030-01-01T0000",
        machine={"cores": 2, "processor": "some processor", "python": "3.11"},
        options={"scale": 1.0, "rounds": 1, "seconds": 5.0, "workers": 2, "connections": 32},
        versions={"wrk": "4.1.0"},
        measurements=measurements,
    )


def one(peer: str, figures: Figures, scale: float = 1.0) -> Measurement:
    return Measurement(peer, "sqlite", scale, "W1", [figures])


def verdicts(results: Results) -> dict[tuple[str, str], bool | None]:
    return {(budget.promise, budget.workload): budget.kept for budget in judge(results)}


def test_the_middle_takes_each_figure_by_itself_and_the_most_memory() -> None:
    rounds = [
        Figures(100, 9, 1, 10, 30, 40),
        Figures(300, 7, 3, 30, 10, 60),
        Figures(200, 8, 2, 20, 20, 50),
    ]
    assert middle(rounds) == Figures(200, 8, 2, 20, 20, 60)


def test_a_budget_is_kept_at_its_bound_and_missed_beyond_it() -> None:
    promise = ("requests/s against pocketbase on sqlite", "W1")
    assert verdicts(run_of(one("backstay", FAST), one("pocketbase", SLOW)))[promise] is True
    faster = replace(SLOW, requests_per_second=1_001)
    assert verdicts(run_of(one("backstay", FAST), one("pocketbase", faster)))[promise] is False


def test_cpu_and_latency_may_not_be_above_their_bounds() -> None:
    limit = replace(FAST, server_cpu=60)
    kept = verdicts(run_of(one("backstay", FAST), one("handwritten", limit), one("pocketbase", SLOW)))
    assert kept["CPU per request against handwritten on sqlite", "W1"] is False  # 100 / 60 is more than 1.5
    assert kept["p99 against pocketbase on sqlite", "W1"] is True
    assert kept["MB of the largest worker on sqlite", "all"] is True


def test_what_was_not_measured_is_not_kept() -> None:
    assert {kept for kept in verdicts(run_of()).values()} == {None}


def test_ten_times_the_rows_are_compared_within_one_run() -> None:
    results = run_of(one("backstay", FAST), one("backstay", SLOW, scale=10.0))
    assert verdicts(results)["times slower with ten times the rows on sqlite", "W1"] is False


def test_a_run_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    results = run_of(one("backstay", FAST))
    file = results.save(tmp_path)
    assert newest(tmp_path) == file
    assert load(file).find("backstay", "sqlite", "W1") == FAST


def test_without_results_the_report_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the benchmark first"):
        newest(tmp_path)


def test_the_page_tells_figures_ratios_and_verdicts() -> None:
    page = markdown(run_of(one("backstay", FAST), one("pocketbase", SLOW)))
    assert "| pocketbase | sqlite | 1,000 | 4.00x | 400 | inside | 4.0 | 20.0 | 50 |" in page
    assert "| requests/s against pocketbase on sqlite | W1 | ≥ 4 | 4.00 | kept |" in page
    assert "| requests/s against fastapi on postgres | W1 | ≥ 10 | - | not measured |" in page


def test_questions_are_laid_out_for_the_load_generator(tmp_path: Path) -> None:
    asked = [Asked("/a"), Asked("/b?c=d", "Bearer e"), Asked("/f", "Bearer g", '{"h": 1}')]
    write_questions(tmp_path / "questions", asked)
    assert (tmp_path / "questions").read_text() == '/a\t\t\n/b?c=d\tBearer e\t\n/f\tBearer g\t{"h": 1}\n'


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is read from /proc")
def test_processor_time_counts_children_that_have_ended() -> None:
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "while __import__('time').process_time() < 0.3: pass"], check=True)
    assert 0.25 <= cpu_seconds(os.getpid()) - before < 30
    assert largest_megabytes(os.getpid()) > 5
