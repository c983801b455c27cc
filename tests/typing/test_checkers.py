"""What a user writes passes mypy and pyright at their strictest, and a mistake in it is reported on its line.

Files in `good/` have no error and start as applications; in `bad/` exactly the lines with `# error: mypy, pyright` are
reported, by each of the two. Pyright is asked twice, by its standard and by its strict rules.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backstay.cli.load import load_app
from tests.servers import absent

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GOOD = [*sorted((HERE / "good").glob("*.py")), ROOT / "examples/shop/shop.py"]
BAD = sorted((HERE / "bad").glob("*.py"))
CHECKERS = ("mypy", "pyright", "pyright strict")
MARK = re.compile(r"# error: (mypy, pyright|mypy|pyright)(?: - .+)?$")

Lines = dict[str, dict[int, list[str]]]
"""What was reported: by file and line, the messages."""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lines]:
    """What each checker says of all the files, asked once and side by side."""
    folder = tmp_path_factory.mktemp("pyright")
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(ask_mypy),
            pool.submit(ask_pyright, folder / "standard.json", "standard"),
            pool.submit(ask_pyright, folder / "strict.json", "strict"),
        ]
        return dict(zip(CHECKERS, (one.result() for one in asked), strict=True))


def ask_mypy() -> Lines:
    """What `mypy --strict` says."""
    outcome = run("mypy", "--strict", "--output=json", *map(str, [*GOOD, *BAD]))
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    found: Lines = defaultdict(lambda: defaultdict(list))
    for line in outcome.stdout.splitlines():
        if line.startswith("{") and (error := json.loads(line))["severity"] == "error":
            found[Path(error["file"]).name][error["line"]].append(error["message"])
    return found


def ask_pyright(config: Path, mode: str) -> Lines:
    """What pyright says in one of its modes."""
    named = [os.path.relpath(file, config.parent) for file in [*GOOD, *BAD]]
    config.write_text(
        json.dumps({
            "include": named, "extraPaths": [str(ROOT / "src")], "pythonVersion": "3.11", "typeCheckingMode": mode,
        })
    )  # fmt: skip
    outcome = run("pyright", "--project", str(config), "--pythonpath", sys.executable, "--outputjson")
    try:
        answer: dict[str, Any] = json.loads(outcome.stdout)
    except ValueError:
        absent(f"pyright does not run: {outcome.stdout}{outcome.stderr}")
    assert answer["summary"]["filesAnalyzed"] == len(named)
    found: Lines = defaultdict(lambda: defaultdict(list))
    for error in answer["generalDiagnostics"]:
        if error["severity"] == "error":
            found[Path(error["file"]).name][error["range"]["start"]["line"] + 1].append(error["message"])
    return found


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / tool), *arguments]
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_what_is_right_is_not_reported(file: Path, checker: str, reported: dict[str, Lines]) -> None:
    assert reported[checker].get(file.name, {}) == {}


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_mistake_is_reported_on_its_line(file: Path, checker: str, reported: dict[str, Lines]) -> None:
    lines = file.read_text().splitlines()
    marks = {number: mark for number, line in enumerate(lines, start=1) if (mark := MARK.search(line))}
    assert len(marks) == sum("# error" in line for line in lines)
    marked = {number for number, mark in marks.items() if checker.partition(" ")[0] in mark[1]}
    found = reported[checker][file.name]
    assert {number: found[number] for number in sorted(set(found) - marked)} == {}
    assert {number: lines[number - 1] for number in sorted(marked - set(found))} == {}


def test_there_are_mistakes_of_every_sort() -> None:
    text = "".join(file.read_text() for file in BAD)
    assert len(re.findall("# error: mypy, pyright", text)) >= 50
    for word in (
        "self.costumer", "self.order.customer", 'Review(stars="x")', "before_create(Review)", "reed=anyone",
        "me.has_rol(", "self.reviews.stars", "order.custmer == tx.me", "item.prodct", "return 490",
    ):  # fmt: skip
        assert word in text


@pytest.mark.parametrize("file", [file for file in GOOD if "App(" in file.read_text()], ids=lambda file: file.stem)
def test_what_is_right_is_an_application(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, file.stem, sys)  # whatever is loaded under this name is gone afterwards
    assert load_app(str(file)).schema.fingerprint
