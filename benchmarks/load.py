"""Load by wrk: the questions of a workload asked in turn over many connections for some seconds."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import HOST, ServerFailed

CONNECTIONS = 32
SCRIPT = Path(__file__).parent / "wrk.lua"


class NoGenerator(RuntimeError):
    """wrk is not installed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw; latencies are in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float


def require_generator() -> str:
    """The version of wrk; NoGenerator with what to do where there is none."""
    if shutil.which("wrk") is None:
        raise NoGenerator("The load comes from wrk, which is not installed. On Debian and Ubuntu: apt-get install wrk")
    told = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    return " ".join(told.stdout.split()[:2])


def write_questions(file: Path, requests: list[tuple[str, str]]) -> None:
    """Lay out requests for the script: on each line a path, a tab, and the Authorization header or nothing."""
    file.write_text("".join(f"{path}\t{authorization}\n" for path, authorization in requests))


def drive(port: int, questions: Path, seconds: float) -> Load:
    """Ask for that long; an answer other than 2xx or 3xx, or a lost connection, is a failure and not a figure."""
    told = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(1, round(seconds))}s",
         "--timeout", "20s", "--script", str(SCRIPT), f"http://{HOST}:{port}", "--", str(questions)],
        capture_output=True, text=True, check=False, timeout=seconds + 60,
    )  # fmt: skip
    if told.returncode or not told.stdout.strip():
        raise ServerFailed(f"wrk failed: {told.stderr.strip() or told.stdout.strip()}")
    seen = json.loads(told.stdout.splitlines()[-1])
    if seen["failed"]:
        raise ServerFailed(f"under load {seen['failed']} of {seen['requests']} answers failed")
    return Load(seen["requests"], seen["seconds"], seen["p50"], seen["p99"])
