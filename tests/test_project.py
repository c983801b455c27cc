"""The project keeps its own rules: it names no machine, its dependencies are pinned, and its linters do bite."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


def forbidden() -> re.Pattern[str]:
    """Paths of the machine at work and hosts of registries, put together here so that no file spells them out."""
    hosts = ["pypi." + "org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "deb." + "debian.org"]
    paths = ["/" + "work/", "/" + "opt/pypi", "/" + "root/", "/" + "tmp/bash"]
    if len(ROOT.parts) > 2:  # a checkout straight below / has too plain a name to look for
        paths.append(f"{ROOT}")
    found_hosts = "|".join(map(re.escape, hosts))
    found_paths = "|".join(map(re.escape, paths))
    return re.compile(rf"(?:{found_hosts})|(?<![\w.~-])(?:{found_paths})")


def test_the_search_finds_what_it_looks_for() -> None:
    for guilty in ("see https://" + "pypi." + "org/simple", f'path = "{ROOT}/src"', "cd /" + "work/main"):
        assert forbidden().search(guilty), guilty
    for innocent in ("benchmarks/" + "work/load.py", "GET /api/" + "work/1", "https://" + "python.org"):
        assert not forbidden().search(innocent), innocent


def test_no_file_names_this_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert ROOT / "pyproject.toml" in files
    search = forbidden()
    guilty = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:200]}"
        for file in files
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1)
        if search.search(line)
    ]
    assert guilty == []


def pinned(lock: str) -> dict[str, str]:
    """Each requirement of a lock file by name, with all its lines."""
    found: dict[str, str] = {}
    name = ""
    for line in (ROOT / lock).read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            name = re.split(r"[=\[; ]", line)[0]
            assert name not in found
        if name:
            found[name] = found.get(name, "") + line + "\n"
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_by_hash_and_names_no_place(lock: str) -> None:
    requirements = pinned(lock)
    assert len(requirements) > 10
    for name, lines in requirements.items():
        assert re.match(rf"{name}==\S+", lines), lines
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", lines), f"{name} has no hash"
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert " @ " not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)


def test_what_is_declared_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, development = (pinned(lock) for lock in LOCKS)
    groups = project["dependency-groups"]
    assert names(project["project"]["dependencies"]) | names(groups["build"]) <= set(runtime)
    assert names(groups["dev"]) <= set(development)


def test_what_is_tested_is_what_is_served() -> None:
    runtime, development = ({name: lines.split(" ", 1)[0] for name, lines in pinned(lock).items()} for lock in LOCKS)
    assert {name: development.get(name) for name in runtime} == runtime


def names(requirements: list[object]) -> set[str]:
    return {re.split(r"[\[<>=;]", one)[0].strip() for one in requirements if isinstance(one, str)}


LAYERS = "Imports go down, never up, never sideways"
CORE = "The core is pure"
PROTOCOL = "The protocol knows no driver"

# What is added to a copy of the package, what must be said of it, and the promise it breaks.
SINS = {
    "upward": ({"store/planted.py": "import backstay.api.planted", "api/planted.py": ""}, "backstay.store", LAYERS),
    "sideways": ({"api/planted.py": "import backstay.commerce", "commerce/planted.py": ""}, "backstay.api", LAYERS),
    "through the front door": (
        {"__init__.py": "from backstay import app", "app.py": "", "model/planted.py": "from backstay import App"},
        "backstay.model.planted",
        LAYERS,
    ),
    "a room without a place": ({"misc/planted.py": ""}, "misc", LAYERS),
    "a driver in the plan": ({"plan/planted.py": "import asyncpg"}, "backstay.plan.planted -> asyncpg", CORE),
    "SQL in the plan": ({"plan/planted.py": "from sqlalchemy import select"}, "planted -> sqlalchemy", CORE),
    "the network in the plan": (
        {"plan/planted.py": "from backstay.net.http import HTTP"},
        "backstay.plan.planted -> backstay.net",
        CORE,
    ),
    "a door upwards from the network": (
        {"net/planted.py": "import backstay.store.inside"},
        "backstay.net.planted -> backstay.store",
        LAYERS,
    ),
    "a clock in the model": ({"model/planted.py": "import time"}, "backstay.model.planted -> time", CORE),
    "a driver in the protocol": ({"api/planted.py": "import apsw"}, "backstay.api.planted -> apsw", PROTOCOL),
}


@pytest.mark.parametrize("sin", SINS)
def test_a_planted_import_is_caught(sin: str, tmp_path: Path) -> None:
    plants, culprit, promise = SINS[sin]
    package = copy_of_the_package(tmp_path)
    for name, text in plants.items():
        plant(package / name, text)
    outcome = run(tmp_path, "lint-imports", "--no-cache", "--config", "pyproject.toml")
    assert outcome.returncode == 1, outcome.stdout
    # The report is a summary, one line a promise, and then each broken promise under its name.
    summary, _, details = outcome.stdout.partition("Broken contracts")
    assert re.search(rf"^{re.escape(promise)}.* BROKEN", summary, re.MULTILINE), outcome.stdout
    assert culprit in details


@pytest.mark.parametrize(
    ("config", "name", "text"),
    [
        ("ruff-core.toml", "plan/planted.py", "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)"),
        ("ruff-core.toml", "model/planted.py", "import uuid\n\nNEW = uuid.uuid4()"),
        ("pyproject.toml", "auth/planted.py", "from random import choice\n\n__all__ = ['choice']"),
        ("pyproject.toml", "jobs/planted.py", "import urllib.request\n\nurllib.request.urlopen"),
        ("pyproject.toml", "auth/planted.py", "import httpx2\n\nhttpx2.get"),
        ("pyproject.toml", "auth/planted.py", "from httpcore2 import request\n\n__all__ = ['request']"),
        ("pyproject.toml", "api/planted.py", "import aiohttp\n\naiohttp.request"),
        ("pyproject.toml", "commerce/planted.py", "import requests\n\nrequests.get"),
        (
            "pyproject.toml",
            "mail/planted.py",
            "from http.client import HTTPSConnection\n\n__all__ = ['HTTPSConnection']",
        ),
        ("pyproject.toml", "store/planted.py", "import socket\n\nsocket.create_connection"),
        ("pyproject.toml", "jobs/planted.py", "import asyncio\n\nasyncio.open_connection"),
    ],
)
def test_a_planted_call_is_caught(config: str, name: str, text: str, tmp_path: Path) -> None:
    file = copy_of_the_package(tmp_path) / name
    plant(file, text)
    check = ["ruff", "check", "--no-cache", "--config", config, "--select", "TID251"]
    assert "TID251" in run(tmp_path, *check, str(file)).stdout
    file.write_text("")
    assert run(tmp_path, *check, str(file)).returncode == 0


def copy_of_the_package(directory: Path) -> Path:
    for config in ("pyproject.toml", "ruff-core.toml"):
        shutil.copy(ROOT / config, directory)
    package = directory / "src" / "backstay"
    shutil.copytree(ROOT / "src" / "backstay", package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def plant(file: Path, text: str) -> None:
    """Add lines to a file of the copy; the room it belongs to need not exist yet."""
    file.parent.mkdir(exist_ok=True)
    (file.parent / "__init__.py").touch()
    with file.open("a") as planted:
        planted.write(f"\n{text}\n")


def run(directory: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(directory / "src"), "COLUMNS": "200"}
    command = [str(Path(sys.executable).parent / tool), *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120)
