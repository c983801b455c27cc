"""SECURITY.md promises by name: each file that it names is there, and each test, with its class and its parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_project import ROOT

PAGE = ROOT / "SECURITY.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+(?:\[[^`]*\])?)`")
FILE = re.compile(r"`([\w/]+\.(?:py|toml|md|lock))`")
SOURCE = ROOT / "src" / "backstay"


@cache
def defined(file: Path) -> frozenset[str]:
    """The tests of a file: `test_x`, and `TestThat::test_x` of a class."""
    return frozenset(_defined(ast.parse(file.read_text()).body, ""))


def _defined(body: list[ast.stmt], inside: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _defined(node.body, f"{inside}{node.name}::")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            yield f"{inside}{node.name}"


def exists(name: str, session: pytest.Session) -> bool:
    """Whether a test is there that is named as pytest names it; parameters are those that it would run with."""
    plain, bracket, _ = name.partition("[")
    path, _, test = plain.partition("::")
    file = ROOT / path
    if not file.is_file() or test not in defined(file):
        return False
    if not bracket:
        return True
    module = pytest.Module.from_parent(session, path=file)
    return any(item.nodeid.endswith(f"::{name.partition('::')[2]}") for item in session.genitems(module))


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    part = re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def mistakes(text: str, session: pytest.Session) -> list[str]:
    """What a page promises and does not keep."""
    found = [f"no test {name}" for name in sorted(set(NAMED.findall(text))) if not exists(name, session)]
    for name in sorted(set(FILE.findall(text))):
        if not (SOURCE / name).is_file() and not (ROOT / name).is_file():
            found.append(f"no file {name}")
    for heading, least in (("What holds, and where", 15), ("Attacks", 30)):
        table = rows(text, heading)
        if len(table) < least:
            found.append(f"{heading}: {len(table)} rows")
        for row in table:
            if len(row) != 3 or not NAMED.search(row[2]):
                found.append(f"{heading}: no test for {row[0]}")
            if heading.startswith("What") and not FILE.search(row[1]):
                found.append(f"{heading}: no place for {row[0]}")
    return found


def test_every_file_and_test_that_is_named_is_there(request: pytest.FixtureRequest) -> None:
    assert mistakes(PAGE.read_text(), request.session) == []


HERE = "tests/security/test_page.py"


class TestNames:
    """What can be named."""

    @pytest.mark.parametrize(
        "name", ["test_every_file_and_test_that_is_named_is_there", "TestNames::test_a_name_is_found"]
    )
    def test_a_name_is_found(self, name: str, request: pytest.FixtureRequest) -> None:
        assert exists(f"{HERE}::{name}", request.session)

    @pytest.mark.parametrize(
        "name", ["test_nothing", "TestNames", "test_a_name_is_found", "TestOthers::test_a_name_is_found"]
    )
    def test_another_is_not(self, name: str, request: pytest.FixtureRequest) -> None:
        assert not exists(f"{HERE}::{name}", request.session)
        assert not exists(f"tests/security/test_nothing.py::{name}", request.session)

    def test_parameters_are_looked_up(self, request: pytest.FixtureRequest) -> None:
        assert exists(f"{HERE}::TestNames::test_another_is_not[TestNames]", request.session)
        assert not exists(f"{HERE}::TestNames::test_another_is_not[Nothing]", request.session)


@pytest.mark.parametrize(("said", "instead", "mistake"), [
    ("test_no_route_sets_them", "test_no_route_is", "no test tests/api/test_roles_are_given.py::test_no_route_is"),
    ("tests/auth/test_gate.py", "tests/auth/test_door.py", "no test tests/auth/test_door.py::test_the_gate_alone"),
    ("`auth/gate.py`", "`auth/door.py`", "no file auth/door.py"),
    ("`plan/limits.py`", "somewhere", "What holds, and where: no place for **Everything that has a size has a limit**"),
])  # fmt: skip
def test_a_promise_that_is_not_kept_is_noticed(
    said: str, instead: str, mistake: str, request: pytest.FixtureRequest
) -> None:
    assert any(one.startswith(mistake) for one in mistakes(PAGE.read_text().replace(said, instead), request.session))
