"""What the authors of GraphQL over HTTP say a server must and should do, asked of a real one by `graphql-http`."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from annotated_types import Len

from backstay import App, Model, Rules, User, anyone
from backstay.settings import Settings
from tests.docs.served import free_port, reachable
from tests.servers import absent

AUDITS = Path(__file__).parent / "audits"


class Note(Model):
    text: Annotated[str, Len(1, 100)]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with what the audits need, installed by its lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        absent("the audits need node and npm")
    lock = (AUDITS / "package-lock.json").read_text()
    assert "resolved" not in lock, "a lock names versions and hashes, and no place to fetch them from"
    installed = AUDITS / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (AUDITS / "package-lock.json").stat().st_mtime:
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=AUDITS, check=True, timeout=300,
            capture_output=True,
        )  # fmt: skip
    return AUDITS


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A running server."""
    app = App("notes", models=[Note])
    app.settings = Settings(
        database_url=f"sqlite:///{tmp_path}/notes.db", secret_key="audits " * 8, env="development", log_level="error"
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    reachable(port)
    yield f"http://localhost:{port}/graphql"
    server.should_exit = True
    thread.join()


def test_all_audits_pass(packages: Path, address: str) -> None:
    ran = subprocess.run(
        ["node", "audits.mjs", address], cwd=packages, capture_output=True, text=True, timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    audits: list[dict[str, Any]] = json.loads(ran.stdout)
    assert len(audits) > 50
    assert [audit for audit in audits if audit["status"] != "ok"] == []
