"""No pattern of ours can be made to look at a text for ever: none repeats what repeats, unless it never goes back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.test_project import ROOT

sre: Any = __import__("re._parser", fromlist=["parse"])
REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT}
READERS = {f"re.{name}" for name in ("compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer")}
MANY = 100
"""Repeated so often at the most, a part inside a part is still quick."""


def patterns() -> Iterator[tuple[str, str]]:
    """Every pattern that the package hands to `re`, and those that fields are checked by."""
    for file in sorted((ROOT / "src" / "backstay").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, (str, bytes)):
                    text = first.value if isinstance(first.value, str) else first.value.decode("latin-1")
                    yield f"{file.name}:{node.lineno}", text


def repeats(parsed: Any, inside: bool = False) -> bool:
    """Whether something that is repeated without end stands in something that is."""
    for kind, argument in parsed:
        within, bodies = inside, []
        if kind in REPEATS:
            _, most, body = argument
            if inside and most > MANY:
                return True
            within, bodies = inside or most > MANY, [body]
        elif kind is sre.SUBPATTERN:
            bodies = [argument[-1]]
        elif kind is sre.BRANCH:
            bodies = argument[1]
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            bodies = [argument[1]]
        if any(repeats(body, within) for body in bodies):
            return True
    return False  # possessive repetitions and atomic groups are not gone back into


APART = {
    r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*": "a.a",
    r"([a-z][a-z0-9_.]*)((?:\[[a-z0-9_.]+\])+)": "[a]",
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?": "a-a.",
    r"[a-z0-9]+(?:-[a-z0-9]+)*": "a-a",
    r"(?:\*\.)?[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*|\[[0-9a-f:.]+\]|\*": "a.-",
}
"""Each round begins or ends with a letter that stands nowhere else in it, so there is one way to divide a text; and of
what a text is made that would have many ways, if there were."""


def test_no_pattern_repeats_what_repeats() -> None:
    found = list(patterns())
    assert len(found) > 25
    assert {pattern for _, pattern in found if repeats(sre.parse(pattern))} == set(APART)


@pytest.mark.parametrize("pattern", APART)
def test_a_long_text_is_looked_at_once(pattern: str) -> None:
    """Where there were two ways for each round, this would never end."""
    for part in (APART[pattern], APART[pattern][0]):
        assert re.fullmatch(pattern, part * (254 // len(part)) + "!") is None


@pytest.mark.parametrize(("pattern", "bad"), [
    (r"(a+)+b", True), (r"(?:a*b?)*c", True), (r"((a|b+)*x)", True), (r"(a{1,2}b+)*", True), (r"(?=(a+)+)b", True),
    (r"a+b+", False), (r"(?:a*+b)*+", False), (r"[a-z]+(?:\.[a-z]{1,9}){0,3}", False), (r"(ab)+", False),
])  # fmt: skip
def test_what_repeats_is_recognised(pattern: str, bad: bool) -> None:
    assert repeats(sre.parse(pattern)) is bad
    re.compile(pattern)
