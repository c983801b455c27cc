"""One command: make the benchmark's own environment, then run it there (`python benchmarks/run.py --help`).

Needs Python 3.11 or newer, Linux, and wrk; everything else is installed from the locked requirements into
`benchmarks/.venv`, and again only when they change.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"
STAMP = ENVIRONMENT / "requirements.sha256"


def main() -> None:
    """Hand over to `benchmarks.cli` in the prepared environment, unless that is where we are."""
    if Path(sys.prefix).resolve() != ENVIRONMENT:
        prepare()
    os.environ["PYTHONPATH"] = str(HERE.parent)
    module = "benchmarks.pressure" if {"overload", "logins"} & {*sys.argv[1:2]} else "benchmarks.cli"
    os.execv(PYTHON, [str(PYTHON), "-W", "ignore:XDG_RUNTIME_DIR", "-m", module, *sys.argv[1:]])


def prepare() -> None:
    """Install the locked requirements, unless they are installed already."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("Installing the peers into benchmarks/.venv (once) ...", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--require-hashes", "--requirement", REQUIREMENTS], check=True)
    STAMP.write_text(wanted)


if __name__ == "__main__":
    main()
