"""The pages of the documentation and their fenced blocks.

A block is `python title="notes.py"` (a file, or a part of one), `python` (a piece that must be valid by itself),
`console` (commands behind `$ ` and what they answer) or anything else, which is only shown.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]  # fmt: skip

_FENCE = re.compile(r"^```(\w*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `start` and `end` are where its text stands in the page."""

    language: str
    info: str
    text: str
    start: int
    end: int
    line: int

    @property
    def title(self) -> str:
        """The file that it is, or is a part of."""
        found = re.search(r'title="([^"]+)"', self.info)
        return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(m[1], m[2], m[3], m.start(3), m.end(3), text.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(text)
    ]  # fmt: skip


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def name_of(page: Path) -> str:
    """The page as a test is named."""
    return str(page.relative_to(ROOT))


def merge(source: str, part: str) -> str:
    """A file after a reader has put a part into it: what has the same name is replaced, the rest is added.

    New classes stand before the application and new functions at the end, as they must; imports come first.
    """
    if not source:
        return part
    old, new = _pieces(source), _pieces(part)
    imports = [text for name, text in new if not name]
    named = {name: text for name, text in new if name}
    merged = [(name, named.pop(name, text)) for name, text in old]
    place = next((at for at, (name, _) in enumerate(merged) if name == "app"), len(merged))
    classes = [(name, text) for name, text in named.items() if "class " in text.split("(")[0]]
    merged[place:place] = classes
    merged += [(name, text) for name, text in named.items() if (name, text) not in classes]
    last = max((at for at, (name, _) in enumerate(merged) if not name), default=-1)
    merged[last + 1 : last + 1] = [("", text) for text in imports]
    return "\n\n".join(text for _, text in merged) + "\n"


def _pieces(source: str) -> list[tuple[str, str]]:
    """The statements of a file by the name they define; imports and the opening text have none."""
    lines = source.splitlines()
    found = []
    for node in ast.parse(source).body:
        name = ""
        first = node.lineno
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = node.name
            first = min([first, *(decorator.lineno for decorator in node.decorator_list)])
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        found.append((name, "\n".join(lines[first - 1 : node.end_lineno])))
    return found
