"""Every piece of Python in the documentation: it runs, it declares what it should, and the type checker takes it."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backstay import App
from tests.docs.pages import PAGES, ROOT, blocks, merge, name_of

WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


def files_of(page: Path) -> dict[str, str]:
    """The files of a page as they are at its end; pieces without a name make one file together."""
    found: dict[str, str] = {}
    for block in blocks(page):
        if block.language == "python":
            if block.title:
                found[block.title] = merge(found.get(block.title, ""), block.text)
            else:
                found["pieces.py"] = found.get("pieces.py", "") + block.text
    return found


def test_there_is_something_to_check() -> None:
    assert {"README.md", "docs/tutorial.md", "docs/guides/models.md", "docs/guides/rules.md"} <= {
        name_of(page) for page in WITH_PYTHON
    }


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    for title, source in files_of(page).items():
        name = f"documented_{title.partition('.')[0]}"
        module = type(sys)(name)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(sys.modules, title.partition(".")[0], module)  # the files of a page import one another
        tree = ast.parse(source)
        tree.body = [node for node in tree.body if not isinstance(node, ast.Raise)]
        exec(compile(tree, f"{name_of(page)}:{title}", "exec"), module.__dict__)
        found += vars(module).values()
    if set(files_of(page)) - {"pieces.py"}:  # an application that joins has files of its own beside
        assert any(isinstance(value, App) for value in found)


def test_the_type_checker_takes_all_of_it(tmp_path: Path) -> None:
    made = []
    for page in WITH_PYTHON:
        files = files_of(page)
        prefix = name_of(page).replace("/", "_").removesuffix(".md").replace("-", "_")
        for title, source in files.items():
            for other in files:
                stem = other.removesuffix(".py")
                source = re.sub(rf"^from {stem} import", f"from {prefix}_{stem} import", source, flags=re.MULTILINE)
            file = tmp_path / f"{prefix}_{title}"
            file.write_text(source)
            made.append(str(file))
    checked = mypy(made)
    assert checked.returncode == 0, checked.stdout


def test_a_planted_mistake_is_caught(tmp_path: Path) -> None:
    source = files_of(ROOT / "README.md")["notes.py"]
    file = tmp_path / "planted.py"
    file.write_text(source.replace("self.public | mine", "self.pulbic | mine"))
    checked = mypy([str(file)])
    assert (checked.returncode, "pulbic" in checked.stdout) == (1, True)


def mypy(files: list[str]) -> subprocess.CompletedProcess[str]:
    """mypy --strict, with the project's own cache."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *files]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "name", ["folding", "value", "declare", "rule"],
)  # fmt: skip
def test_the_examples_of_the_model_run(name: str) -> None:
    module = __import__(f"backstay.model.{name}", fromlist=["_"])
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
