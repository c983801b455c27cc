"""The files of the testing guide, as its reader runs them: with pytest, and with unittest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, merge

GUIDE = ROOT / "docs" / "guides" / "testing.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the guide."""
    for block in blocks(GUIDE):
        if block.title:
            file = tmp_path / block.title
            before = file.read_text() if file.exists() else ""
            file.write_text(merge(before, block.text) if block.language == "python" else before + block.text)
    return tmp_path


def run(folder: Path, *command: str) -> tuple[int, str]:
    """The exit status of a Python program in the folder, and what it said."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_with_pytest(folder: Path) -> None:
    written = len(re.findall(r"^ *async def test_", GUIDE.read_text(), re.MULTILINE))
    status, said = run(folder, "pytest", "-q", "-p", "no:cacheprovider")
    assert (status, f"{written} passed" in said) == (0, True), said


def test_with_unittest(folder: Path) -> None:
    status, said = run(folder, "unittest", "test_sharing")
    assert (status, "Ran 1 test" in said) == (0, True), said


def test_a_planted_fault_is_caught(folder: Path) -> None:
    """A rule that lets everybody read fails the guide's tests."""
    file = folder / "notes.py"
    file.write_text(file.read_text().replace("read=mine | shared |", "read=mine | ~mine | shared |"))
    status, said = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-k", "owners")
    assert (status, "expected: not_found" in said) == (1, True), said
