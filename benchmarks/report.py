"""A run as Markdown: `python -m benchmarks.report [results.json] [--write]`."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.budgets import OURS, Budget, judge
from benchmarks.results import Measurement, Results, load, newest
from benchmarks.workloads import DESCRIPTIONS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEADINGS = (
    "peer", "database", "requests/s", "Backstay", "CPU µs", "database µs", "p50 ms", "p99 ms", "MB",
)  # fmt: skip
KEPT = {True: "kept", False: "**missed**", None: "not measured"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report, or write it to docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, help="the JSON file of a run; the newest by default")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md instead of printing")
    asked = parser.parse_args(arguments)
    text = markdown(load(asked.results or newest()))
    if asked.write:
        PAGE.write_text(text)
        print("wrote docs/benchmarks.md")
    else:
        print(text)


def markdown(results: Results) -> str:
    """The whole page."""
    return "\n".join([*_head(results), *_workloads(results), *_budgets(results)]) + "\n"


def cells(measurement: Measurement, results: Results) -> tuple[str, ...]:
    """One line of a table, under the headings; the ratio is to Backstay on the same database and shop."""
    figures = measurement.figures
    ours = results.find(OURS, measurement.database, measurement.workload, measurement.scale)
    ratio = f"{ours.requests_per_second / figures.requests_per_second:.2f}x" if ours else "-"
    database = f"{figures.database_cpu:,.0f}" if measurement.database == "postgres" else "inside"
    size = "" if measurement.scale == results.scales()[0] else f" (x{measurement.scale / results.scales()[0]:.0f} rows)"
    return (
        f"{measurement.peer}{size}", measurement.database, f"{figures.requests_per_second:,.0f}", ratio,
        f"{figures.server_cpu:,.0f}", database, f"{figures.p50 / 1000:.1f}", f"{figures.p99 / 1000:.1f}",
        f"{figures.megabytes:.0f}",
    )  # fmt: skip


def _head(results: Results) -> Iterator[str]:
    machine, options = results.machine, results.options
    yield "# Benchmarks"
    yield ""
    yield (
        "Made by `python benchmarks/run.py` and `python -m benchmarks.report --write`; what is measured and how is in "
        "`benchmarks/README.md`. A machine's speed changes from minute to minute: only ratios within one run mean "
        "something."
    )
    yield ""
    yield (
        f"{results.date}, {machine['cores']} cores ({machine['processor']}) shared by load generator, server and "
        f"database; scale {options['scale']:g}, {options['rounds']} rounds of {options['seconds']:g} s, "
        f"{options['connections']} connections, {options['workers']} workers."
    )
    yield ""
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in results.versions.items()) + "."


def _workloads(results: Results) -> Iterator[str]:
    for workload, description in DESCRIPTIONS.items():
        found = [m for m in results.measurements if m.workload == workload]
        if found:
            yield from ("", f"## {workload}: {description}", "", *_table(HEADINGS, [cells(m, results) for m in found]))


def _budgets(results: Results) -> Iterator[str]:
    yield from ("", "## What we owe", "")
    lines = [
        (budget.promise, budget.workload, _bound(budget), _measured(budget), KEPT[budget.kept])
        for budget in judge(results)
    ]
    yield from _table(("what", "workload", "owed", "measured", "so"), lines)


def _bound(budget: Budget) -> str:
    return f"{'≥' if budget.at_least else '≤'} {budget.owed:g}"


def _measured(budget: Budget) -> str:
    return "-" if budget.measured is None else f"{budget.measured:.2f}"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"


if __name__ == "__main__":
    main()
