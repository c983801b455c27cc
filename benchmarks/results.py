"""What a run leaves behind: every round's figures, and enough about the run to judge them by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, middle

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One peer on one database and one size of shop, in one workload."""

    peer: str
    database: str
    scale: float
    workload: str
    rounds: Sequence[Figures]

    @property
    def figures(self) -> Figures:
        """The medians of the rounds."""
        return middle(self.rounds)


@dataclass(frozen=True, slots=True)
class Results:
    """A run: when, on what, with which options and versions, and what was measured."""

    date: str
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    measurements: Sequence[Measurement]

    def find(self, peer: str, database: str, workload: str, scale: float | None = None) -> Figures | None:
        """The figures of one peer in one workload, of the smallest shop unless a scale is given."""
        wanted = (peer, database, workload)
        found = [m for m in self.measurements if (m.peer, m.database, m.workload) == wanted]
        found = [m for m in found if scale is None or m.scale == scale]
        return min(found, key=lambda m: m.scale).figures if found else None

    def scales(self) -> list[float]:
        """The sizes of shop, smallest first."""
        return sorted({m.scale for m in self.measurements})

    def save(self, folder: Path = FOLDER) -> Path:
        """Write the run as JSON, named by its date."""
        folder.mkdir(exist_ok=True)
        file = folder / f"{self.date}.json"
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return file


def load(file: Path) -> Results:
    """Read a run back."""
    told = json.loads(file.read_text())
    told["measurements"] = [
        Measurement(**{**m, "rounds": [Figures(**figures) for figures in m["rounds"]]}) for m in told["measurements"]
    ]
    return Results(**told)


def newest(folder: Path = FOLDER) -> Path:
    """The file of the last run."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError("There are no results yet: run the benchmark first.")
    return files[-1]
