"""A new folder passes its own check and its own tests, and models are written from tables that are there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw
import pytest
import yaml

from backstay import App
from backstay.cli.draft import draft_of
from backstay.model.field import Entity
from backstay.settings import Settings
from backstay.store.reflect import Column, Link, Table, tables_of
from tests.docs.served import free_port, reachable
from tests.transfer import market

PROGRAM = str(Path(sys.executable).with_name("backstay"))
HIDDEN = (
    "account_credentials", "account_keys", "account_sign_ins", "account_tokens", "account_knocks", "mail_messages",
)  # fmt: skip


def backstay(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command."""
    return subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, timeout=120)


def loaded(text: str) -> App:
    """The application of a file."""
    module = ModuleType("drafted")
    sys.modules["drafted"] = module
    try:
        exec(compile(text, "app.py", "exec"), module.__dict__)
        app: App = module.app
        assert app.schema
        return app
    finally:
        del sys.modules["drafted"]


@pytest.mark.parametrize("example", ["blank", "shop"])
def test_a_new_folder_passes_what_it_wrote(tmp_path: Path, example: str) -> None:
    made = backstay(tmp_path, "new", "corner-shop", "--example", example, "--json")
    folder = tmp_path / "corner-shop"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(json.loads(made.stdout)["files"]) == files
    assert files >= {
        "app.py", "README.md", "tests/test_app.py", ".gitignore", ".dockerignore", "Dockerfile", "requirements.txt",
        "requirements-dev.txt", "pyproject.toml", ".github/workflows/check.yml", ".gitlab-ci.yml",
    }  # fmt: skip
    assert backstay(folder, "check", "app.py").stdout.startswith("corner-shop: ")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
    for path, job in ((".github/workflows/check.yml", "jobs"), (".gitlab-ci.yml", "check")):
        workflow = yaml.safe_load((folder / path).read_text())
        assert "backstay check app.py" in json.dumps(workflow[job])
        assert "pytest" in json.dumps(workflow[job])
        assert "check app.py --against" in json.dumps(workflow[job])
    assert not [path for path in files if re.search(r"[{](name|title|version)[}]", (folder / path).read_text())
                and path != "app.py"]  # fmt: skip
    assert "USER app" in (folder / "Dockerfile").read_text()


def git(folder: Path, *words: str) -> str:
    """What git says."""
    named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    ran = subprocess.run(["git", *named, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("rule", "base", "ends"),
    [("read=mine", True, 0), ("read=mine | self.shared | me.signed_in", True, 1),
     ("read=mine | self.shared | me.signed_in", False, 0)],
)  # fmt: skip
def test_a_merge_request_of_gitlab_may_not_widen_access(tmp_path: Path, rule: str, base: bool, ends: int) -> None:
    folder = tmp_path / "notes"
    assert backstay(tmp_path, "new", "notes").returncode == 0
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    file = folder / "app.py"
    changed = file.read_text().replace("read=mine | self.shared", rule)
    assert changed != file.read_text()
    file.write_text(changed)
    git(folder, "commit", "--quiet", "--all", "--message", "Change")
    script = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())["check"]["script"]
    (line,) = [line for line in script if "--against" in line]
    environment = {**os.environ, "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
    if base:
        environment["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = git(folder, "rev-parse", "HEAD~1")
    ran = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert ran.returncode == ends, ran.stdout + ran.stderr
    assert ("widened" in ran.stdout) == bool(ends)


def test_the_example_comes_out_of_a_built_wheel_into_a_fresh_environment(tmp_path: Path) -> None:
    """Its own packages are those of here, but Backstay is the wheel, and is nowhere near the repository."""
    root, wheels, fresh = Path(__file__).parents[2], tmp_path / "wheels", tmp_path / "fresh"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    building = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), str(root)]
    subprocess.run(building, check=True, timeout=120)
    (wheel,) = wheels.glob("backstay-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True, timeout=120)
    python = fresh / "bin" / "python"
    installing = [*pip, "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(installing, check=True, timeout=120)
    (packages,) = fresh.glob("lib/python*/site-packages")
    (packages / "theirs.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def ran(folder: Path, *words: str) -> str:
        done = subprocess.run(
            [str(python), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert ran(tmp_path, "-c", "import backstay; print(backstay.__file__)").startswith(str(packages))
    program = str(fresh / "bin" / "backstay")
    ran(tmp_path, program, "new", "corner-shop", "--example", "shop")
    folder = tmp_path / "corner-shop"
    assert {path.name for path in (folder / "seed").iterdir()} >= {"products.json", "users.json"}
    assert ran(folder, program, "check", "app.py").startswith("corner-shop: ")
    assert "2 passed" in ran(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore")


def test_the_lines_of_the_dockerfile_do_what_they_should(tmp_path: Path) -> None:
    """Without Docker: what it copies and prepares, its command, and its look at its health, each as it is written."""
    assert backstay(tmp_path, "new", "notes").returncode == 0
    folder = tmp_path / "notes"
    (folder / "app.py").chmod(0o600)
    text = (folder / "Dockerfile").read_text().replace("\\\n", "")
    (prepare,) = re.findall(r"^RUN (chmod .*)$", text, re.M)
    subprocess.run(["sh", "-c", prepare.replace("chown app", "true")], cwd=folder, check=True, timeout=60)
    assert ((folder / "app.py").stat().st_mode & 0o777, (folder / "data").stat().st_mode & 0o777) == (0o644, 0o700)
    (health,) = (json.loads(one) for one in re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.M))
    (command,) = (json.loads(one) for one in re.findall(r"^CMD (\[.*\])$", text, re.M))
    port = free_port()
    environment = {**os.environ, "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}", "PORT": str(port)}

    def healthy() -> bool:
        look = subprocess.run(health, env=environment, capture_output=True, timeout=10)
        return look.returncode == 0

    assert not healthy()
    serving = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        reachable(port)
        assert healthy()
        serving.terminate()
        assert serving.wait(60) == 0
    finally:
        serving.kill()
    assert not healthy()
    assert {path.name for path in (folder / "data").iterdir()} >= {"backstay.db", "secret.key"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "app.py").write_text("mine")
    refused = backstay(tmp_path, "new", "mine")
    assert (refused.returncode, "choose another name" in refused.stderr) == (1, True)
    assert (tmp_path / "mine" / "app.py").read_text() == "mine"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["app.py"]


def shape(entity: Entity) -> dict[str, Any]:
    """What a draft can know of a model."""
    fields = {
        name: (part.target.name if part.target else part.kind.name, part.nullable, part.on_delete)
        for name, part in entity.fields.items()
    }
    return {"fields": fields, "unique": sorted(one.fields for one in entity.indexes if one.kind == "unique")}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_models_come_back_from_the_tables_they_made(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'market.db'}"
    else:
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        url = make("drafting")

    async def prepare() -> list[Table]:
        await market.app.start(Settings(database_url=url, secret_key="x" * 32, env="development"), extend=True)
        await market.app.stop()
        return await tables_of(url, HIDDEN)

    drafted = loaded(draft_of(asyncio.run(prepare()), "market")).schema.entities
    real = market.app.schema.entities
    for name in ("Shelf", "Room", "Good", "Note"):
        was, now = shape(real[name]), shape(drafted[name])
        # A database says neither which texts are choices nor how SQLite's columns of text and numbers are meant.
        known = {"enum": "text", "money": "integer", "datetime": "text", "json": "text", "list": "text"}
        if kind == "postgres":
            known = {"enum": "text", "money": "big_integer", "list": "json", "integer": "big_integer"}
        told = {n: (known.get(k, k), nullable, gone) for n, (k, nullable, gone) in was["fields"].items()}
        seen = {n: (known.get(k, k), nullable, gone) for n, (k, nullable, gone) in now["fields"].items()}
        told.pop("worth", None)  # two columns
        seen.pop("worth", None)
        seen.pop("worth_currency", None)
        assert {n: v if v[0] != "User" else ("Member", *v[1:]) for n, v in told.items()} == seen
        assert was["unique"] == now["unique"]
        assert all(str(rule) == "Always(value=False)" for rule in drafted[name].rules.values())


FOREIGN = """
CREATE TYPE mood AS ENUM ('happy', 'it''s "so-so"');
CREATE TABLE "person" (id bigserial PRIMARY KEY, "class" varchar(20) NOT NULL DEFAULT 'it''s', "Full Name" text,
  mood mood NOT NULL DEFAULT 'happy', weight numeric(8,3), since timestamptz NOT NULL, photo bytea, tags text[],
  active boolean NOT NULL DEFAULT true);
COMMENT ON TABLE person IS 'Somebody ''''"" who
buys';
COMMENT ON COLUMN person.weight IS 'in kilograms';
CREATE TABLE visits (person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE, day date NOT NULL,
  guide_id bigint REFERENCES person ON DELETE SET NULL, PRIMARY KEY (person_id, day));
CREATE INDEX ON visits (day);
"""


def test_an_unknown_database_is_drafted_with_what_it_says(
    postgres_database: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres_database("foreign")

    async def prepare() -> None:
        import asyncpg

        connection = await asyncpg.connect(url)
        await connection.execute(FOREIGN)
        await connection.close()

    asyncio.run(prepare())
    said = backstay(tmp_path, "new", "visits", "--from", url)
    assert said.returncode == 0, said.stderr
    text = (tmp_path / "visits" / "app.py").read_text()
    person, visit = (loaded(text).schema.entities[name] for name in ("Person", "Visit"))
    assert (person.plural, visit.plural) == ("person", "visits")
    assert person.doc == "Somebody ''\"\" who buys".rstrip('"')
    assert [*person.fields][3:] == ["class_value", "full_name", "mood", "weight", "since", "tags", "active"]
    assert person.fields["mood"].kind.choices == ("happy", 'it\'s "so-so"')
    assert person.fields["class_value"].default is not None
    assert person.fields["class_value"].default.value == "it's"
    assert (person.fields["weight"].kind.precision, person.fields["weight"].kind.scale) == (8, 3)
    assert "# in kilograms" in text
    assert "photo: bytea has no counterpart" in text
    assert visit.fields["person"].on_delete == "cascade"
    assert (visit.fields["guide"].nullable, visit.fields["guide"].on_delete) == (True, "set_null")
    assert next((one.kind, one.fields) for one in visit.indexes) == ("unique", ("person", "day"))
    assert text.count("No rules yet, so nobody may do anything") == 2


def test_names_and_comments_of_a_database_are_no_code(tmp_path: Path) -> None:
    bad = 'x"""\nraise SystemExit("run")\n#'
    table = Table(
        bad, bad, [Column("id", bad, False), Column(bad, "text", False, f"'{bad}'", bad), Column("b" + bad, bad, True),
                   Column("choice", "mood", False, "", bad, (bad, "b")), Column("other_id", "text", True, "", bad)],
        ("id",), [(bad,)], [], [Link(("other_id",), bad, "cascade")],
    )  # fmt: skip
    app = loaded(draft_of([table], "bad"))
    assert len(app.schema.by_plural()) == 2


def test_a_database_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name VARCHAR(30) NOT NULL UNIQUE)")
    connection.close()
    before = path.read_bytes()
    assert backstay(tmp_path, "new", "things", "--from", f"sqlite:///{path}").returncode == 0
    assert path.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} == {"old.db", "things"}
    field = loaded((tmp_path / "things" / "app.py").read_text()).schema.entities["Thing"].fields["name"]
    assert field.kind.max_length == 30
    absent = backstay(tmp_path, "new", "other", "--from", f"sqlite:///{tmp_path / 'absent.db'}")
    assert (absent.returncode, absent.stderr) == (1, "Error: The database cannot be read: CantOpenError.\n")
    assert not (tmp_path / "other").exists()
