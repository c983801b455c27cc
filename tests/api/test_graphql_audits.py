"""What others demand of a GraphQL server: the audits of `graphql-http`, and the compiler of Relay over the schema."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from annotated_types import Len
from graphql import parse

from backstay import App, Model, Rules, User, anyone
from backstay.api.graphql_schema import Graphs
from backstay.cli.load import load_app
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


def test_relay_compiles_connections_and_fragments_that_are_fetched_again(packages: Path, tmp_path: Path) -> None:
    app = load_app(str(Path(__file__).parents[2] / "examples" / "shop" / "shop.py"))
    (tmp_path / "schema.graphql").write_text(app.graphql_schema())
    (tmp_path / "src").mkdir()
    shutil.copy(AUDITS / "page.relay.js", tmp_path / "src" / "page.js")
    config = {"src": "./src", "schema": "./schema.graphql", "language": "javascript"}
    (tmp_path / "relay.config.json").write_text(json.dumps(config))
    compiler = packages / "node_modules" / "relay-compiler" / "cli.js"
    ran = subprocess.run(["node", str(compiler)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = sorted((tmp_path / "src" / "__generated__").iterdir())
    texts = [json.loads(found) for file in made for found in re.findall(r'"text": (".*")', file.read_text())]
    assert len(texts) == 4  # two queries that fetch a fragment again, the page's own, and the mutation
    graph = Graphs(app.schema, app.limits, app.actions).whole()
    for text in texts:
        graph.check(parse(text))
