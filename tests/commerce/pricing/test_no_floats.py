"""No number with a point in the path of money: no literal, no `float`, no `round`, no `/`, no `math`, no `Decimal`.

Read from the source of all of `commerce/` and of `Money` itself; each sin is planted once, to see it caught.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "src" / "backstay"


def sins(tree: ast.AST) -> Iterator[str]:
    """What a piece of code does that no money may go through."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() as value):
                yield f"line {node.lineno}: {value} is no whole number"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"line {node.lineno}: / makes a float of two whole numbers"
            case ast.Name(id="float" | "round" | "Decimal" as name, ctx=ast.Load()):
                yield f"line {node.lineno}: {name}"
            case ast.Import(names=names) if any(name.name in ("math", "decimal", "numpy") for name in names):
                yield f"line {node.lineno}: it is imported for numbers with a point"
            case ast.ImportFrom(module="math" | "decimal" as name):
                yield f"line {node.lineno}: {name} is for numbers with a point"


def money() -> ast.AST:
    """The class of amounts."""
    tree = ast.parse((PACKAGE / "model" / "value.py").read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Money"]
    return found


def test_money_is_whole_all_the_way() -> None:
    files = sorted((PACKAGE / "commerce").rglob("*.py"))
    assert len(files) > 25
    found = {file.name: list(sins(ast.parse(file.read_text()))) for file in files}
    assert {name: one for name, one in found.items() if one} == {}
    assert list(sins(money())) == []


@pytest.mark.parametrize(
    "sin",
    ["x = 0.19", "x = total / 2", "total /= 2", "x = round(total)", "x = float(total)", "import math",
     "from decimal import Decimal", "x = Decimal('1')"],
)  # fmt: skip
def test_a_planted_sin_is_caught(sin: str) -> None:
    assert list(sins(ast.parse(sin)))
