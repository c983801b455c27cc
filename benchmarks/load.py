"""Load by wrk: the questions of a workload asked in turn over many connections for some seconds."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import HOST, ServerFailed

CONNECTIONS = 32
SCRIPT = Path(__file__).parent / "wrk.lua"


class NoGenerator(RuntimeError):
    """wrk is not installed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw; latencies are in microseconds. `statuses` are counted where it was asked for."""

    requests: int
    seconds: float
    p50: float
    p99: float
    statuses: Mapping[int, int] = field(default_factory=dict)


def require_generator() -> str:
    """The version of wrk; NoGenerator with what to do where there is none."""
    if shutil.which("wrk") is None:
        raise NoGenerator("The load comes from wrk, which is not installed. On Debian and Ubuntu: apt-get install wrk")
    told = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    return " ".join(told.stdout.split()[:2])


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what is sent as JSON makes it a POST; without a body it is a GET."""

    path: str
    authorization: str = ""
    body: str = ""


def write_questions(file: Path, requests: Sequence[Asked]) -> None:
    """Lay out requests for the script: on each line a path, the Authorization header and a body, between tabs."""
    file.write_text("".join(f"{asked.path}\t{asked.authorization}\t{asked.body}\n" for asked in requests))


def drive(port: int, questions: Path, seconds: float) -> Load:
    """Ask for that long; an answer other than 2xx or 3xx, or a lost connection, is a failure and not a figure."""
    seen = _wrk(port, questions, seconds, CONNECTIONS)
    if seen["failed"]:
        raise ServerFailed(f"under load {seen['failed']} of {seen['requests']} answers failed")
    return Load(seen["requests"], seen["seconds"], seen["p50"], seen["p99"])


def press(port: int, questions: Path, seconds: float, connections: int, pause: float = 0) -> Load:
    """Ask whatever is answered, and count by status; each connection pauses so many seconds between its questions.

    A lost connection is a failure: whoever is refused is to be told so.
    """
    seen = _wrk(port, questions, seconds, connections, "statuses", str(round(pause * 1000)))
    if seen["lost"]:
        raise ServerFailed(f"{seen['lost']} connections were lost, or waited for longer than 20 seconds")
    statuses = {int(status): number for status, number in seen["statuses"].items()}
    return Load(seen["requests"], seen["seconds"], seen["p50"], seen["p99"], statuses)


def _wrk(port: int, questions: Path, seconds: float, connections: int, *more: str) -> Any:
    told = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
         "--timeout", "20s", "--script", str(SCRIPT), f"http://{HOST}:{port}", "--", str(questions), *more],
        capture_output=True, text=True, check=False, timeout=seconds + 60,
    )  # fmt: skip
    if told.returncode or not told.stdout.strip():
        raise ServerFailed(f"wrk failed: {told.stderr.strip() or told.stdout.strip()}")
    return json.loads(told.stdout.splitlines()[-1])
