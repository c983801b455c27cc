"""`access` and `check --against` on the command line, against files, descriptions and revisions of git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backstay.cli.commands import backstay
from tests.servers import absent

MODELS = """
from backstay import Model, Rules, User, anyone

print("a file may print")


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=me.has_role("staff"), create=me.signed_in)
"""
FILE = """
from backstay import App
from noted.models import Note

app = App("notes", models=[Note])
"""


class Project:
    """A folder with an application of two files, kept by git."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "app" / "notes.py"
        (folder / "app" / "noted").mkdir(parents=True)
        self.file.write_text(FILE)
        (folder / "app" / "noted" / "__init__.py").touch()
        self.models = folder / "app" / "noted" / "models.py"
        self.models.write_text(MODELS)
        self.git("init", "-q", "-b", "main")
        self.keep("first")

    def git(self, *words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *words], cwd=self.folder, check=True
        )

    def keep(self, what: str) -> None:
        self.git("add", ".")
        self.git("commit", "-q", "-m", what)

    def change(self, old: str, new: str) -> None:
        text = self.models.read_text()
        assert old in text
        self.models.write_text(text.replace(old, new))

    def run(self, *words: str) -> Result:
        """A command about the file, in a process that has not loaded it before."""
        for name in [name for name in sys.modules if name.partition(".")[0] in ("noted", "notes")]:
            del sys.modules[name]
        return CliRunner().invoke(backstay, [words[0], str(self.file), *words[1:]])

    def check(self, *words: str) -> Result:
        return self.run("check", *words)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    if shutil.which("git") is None:
        absent("revisions need git")
    path = list(sys.path)
    yield Project(tmp_path / "project")
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("noted", "notes")]:
        del sys.modules[name]


def test_access_is_a_table_with_the_conditions_below(project: Project) -> None:
    project.change("create=me.signed_in", "create=me.signed_in, update=self.created_by_me, delete=anyone")
    project.change("text: str", "text: str\n    created_by_me: bool = False")
    done = project.run("access")
    assert done.exit_code == 0, done.output
    note = done.stdout.partition("Note\n")[2].splitlines()
    assert note[:6] == [
        "          anonymous  signed in  staff",
        "  read    never      never      always",
        "  create  never      always     always",
        "  update  by row     by row     by row",
        "  delete  always     always     always",
        "  update (anonymous, signed in, staff): where self.created_by_me == True",
    ]
    found = json.loads(project.run("access", "--json").stdout)
    assert found["viewers"] == ["anonymous", "signed in", "staff"]
    model = next(one for one in found["models"] if one["model"] == "Note")
    assert [cell["reach"] for cell in model["actions"][0]["cells"]] == ["never", "never", "always"]
    assert found == json.loads(project.check("--json").stdout)["access"]


def test_check_alone_stays_as_it_was(project: Project) -> None:
    done = project.check()
    assert (done.exit_code, done.stdout) == (0, "notes: 2 models, 0 actions, no mistakes.\n")
    project.change("text: str", "text: nothing")
    assert project.check().exit_code == 1


def test_a_revision_is_compared_whole(project: Project) -> None:
    """Also where what has changed is in another file, which both have under one name."""
    assert project.check("--against", "main").stdout.endswith("No access widens unnamed.\n")
    project.change('read=me.has_role("staff")', "read=me.signed_in")
    done = project.check("--against", "main")
    assert done.exit_code == 1, done.output
    assert "widened  Note.read: was me.has_role('staff'); is me.signed_in" in done.stdout
    assert "signed in: never -> always" in done.stdout
    assert done.stdout.endswith(f'backstay check {project.file} --against main --accept "Note.read"\n')
    accepted = project.check("--against", "main", "--accept", "Note.read", "--accept", "Note.create")
    assert accepted.exit_code == 0, accepted.output
    assert "accepted" in accepted.stdout
    assert '--accept "Note.create" is not needed' in accepted.stdout
    as_json = project.check("--against", "HEAD", "--json")
    assert as_json.exit_code == 1
    found = json.loads(as_json.stdout)
    assert (found["unnamed"], found["schema"], found["rules"][0]["turn"]) == (["Note.read"], [], "widened")
    project.keep("second")
    assert project.check("--against", "main").exit_code == 0
    assert project.check("--against", "main~1").exit_code == 1


def test_a_description_is_compared_like_the_file_it_is_of(project: Project, tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    before.write_text(project.check("--json").stdout)
    project.change('read=me.has_role("staff")', "read=anyone")
    assert project.check("--against", str(before)).exit_code == 1
    same = tmp_path / "project" / "app" / "same.py"
    same.write_text(FILE)
    assert project.check("--against", str(same)).exit_code == 0
    assert project.check("--against", f"{same}:app").exit_code == 0


def test_what_cannot_be_compared_says_what_to_do(project: Project, tmp_path: Path) -> None:
    for against, said in (
        ("nowhere", "git knows no revision nowhere. Fetch it first"),
        ("--help", "git knows no revision --help"),
        ("nowhere.py", "There is no file nowhere.py."),
        (str(project.folder / "nowhere.json"), "There is no file"),
    ):
        done = project.check(f"--against={against}")
        assert done.exit_code == 2, done.output
        assert said in done.output
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    assert "cannot be compared: it is not what `backstay check FILE --json` prints" in (
        project.check("--against", str(wrong)).output
    )
    project.git("mv", "app/notes.py", "app/noticed.py")
    project.keep("called otherwise")
    project.git("mv", "app/noticed.py", "app/notes.py")
    done = project.check("--against", "main")
    assert (done.exit_code, "main has no app/notes.py" in done.output) == (2, True)
    project.change("text: str", "text: nothing")
    project.keep("broken")
    project.change("text: nothing", "text: str")
    done = project.check("--against", "main")
    assert (done.exit_code, "The other revision cannot be loaded" in done.output) == (2, True), done.output
    assert "name 'nothing' is not defined" in done.output
    assert project.check("--accept", "Note.read").exit_code == 2


def test_outside_of_git_a_file_can_be_named(project: Project) -> None:
    shutil.rmtree(project.folder / ".git")
    done = project.check("--against", "main")
    assert (done.exit_code, "FILE is in no repository of git" in done.output) == (2, True)


def test_todays_code_is_never_taken_for_another_revision(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path to the project in the environment is moved to the revision; what is installed from it is refused."""
    elsewhere = project.folder / "app"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(elsewhere), os.environ.get("PYTHONPATH", "")]))
    project.change('read=me.has_role("staff")', "read=anyone")
    assert project.check("--against", "main").exit_code == 1
    late = "\nimport sys\nsys.path.insert(0, {!r})\nfrom backstay import App\nfrom noted.models import Note\n"
    project.file.write_text(late.format(str(elsewhere)) + '\napp = App("notes", models=[Note])\n')
    project.keep("by its own path")
    done = project.check("--against", "main")
    assert (done.exit_code, "noted, noted.models would be today's" in done.output) == (2, True), done.output
