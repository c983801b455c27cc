"""Every file and every command that the documentation shows, on both databases, with the answers it shows.

`DOCS_WRITE=1` writes the real answers into the pages where they differ; read the change before it is kept.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.answers import Bound, Differs, pretty
from tests.docs.pages import PAGES, ROOT, Block, blocks, merge, name_of
from tests.docs.served import InProcess, Program, Shell
from tests.servers import absent

RUN = [page for page in PAGES if any(block.language == "console" for block in blocks(page))]
SHOWN_HEADERS = ("etag", "location", "link", "allow", "retry-after", "www-authenticate")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind; nothing names the file that is used where nothing is said."""
    if request.param == "sqlite":
        return ""
    make: Callable[[str], str] = request.getfixturevalue("postgres_database")
    return make("documentation")


@pytest.fixture
def shell(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Shell]:
    """A shell in an empty folder. The shop lies in it, for pages that have no file of their own."""
    if shutil.which("curl") is None:
        absent("the documentation's commands need curl")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "shop", tmp_path / "examples" / "shop")
    modules, path = dict(sys.modules), list(sys.path)
    program = request.node.callspec.params["page"].name == "README.md"
    opened = Shell(tmp_path, database, Program if program else InProcess)
    yield opened
    opened.stop()
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_says(page: Path, shell: Shell) -> None:
    bound = Bound()
    changes: list[tuple[Block, str]] = []
    for block in blocks(page):
        if block.language == "python" and block.title:
            file = shell.folder / block.title
            file.write_text(merge(file.read_text() if file.exists() else "", block.text))
        elif block.language == "console":
            made = _type(block, page, shell, bound)
            if made != block.text:
                changes.append((block, made))
    if changes:
        text = page.read_text()
        for block, made in reversed(changes):
            text = text[: block.start] + made + text[block.end :]
        page.write_text(text)


def _type(block: Block, page: Path, shell: Shell, bound: Bound) -> str:
    """Type the commands of a block and compare; returns the block as it should be."""
    made = []
    for command, shown in steps(block.text):
        command = _filled(command, bound)
        real = shell.run(bound.put(unfolded(command)))
        before = bound.copy()
        try:
            if real is not None:
                bound.answer(shown, real)
        except Differs as difference:
            if not os.environ.get("DOCS_WRITE"):
                pytest.fail(f"{name_of(page)}:{block.line}: {command}\n{difference}", pytrace=False)
            assert real is not None
            bound.real, bound._shown = before.real, before._shown
            shown = bound.show(_shown(shown, real))
            bound.answer(shown, real)
        made.append(f"$ {command}\n" + (f"{shown}\n" if shown.strip() else ""))
    return "".join(made)


def steps(text: str) -> list[tuple[str, str]]:
    """Commands, and what is shown behind each."""
    found: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif not found[-1][1] and found[-1][0][-1].endswith("\\"):
            found[-1][0].append(line)
        else:
            found[-1][1].append(line)
    return [("\n".join(command), "\n".join(shown)) for command, shown in found]


def unfolded(command: str) -> str:
    """A command without its line breaks."""
    return " ".join(line.rstrip("\\").strip() for line in command.split("\n"))


def _filled(command: str, bound: Bound) -> str:
    """While writing, `<token>`, `<cursor>`, `<tag>` and `<id:2>` stand for what was answered."""
    if "<" not in command or not os.environ.get("DOCS_WRITE"):
        return command
    known = list(bound.real)
    ids = [one for one in known if len(one) == 36]
    for number, one in enumerate(ids, start=1):
        command = command.replace(f"<id:{number}>", one)
    for name, fits in (
        ("token", lambda one: one.startswith(("bst_", "bsc_"))),
        ("key", lambda one: one.startswith("bsk_") and len(one) == 47),
        ("secret", lambda one: one.startswith("secret_")),
        ("tag", lambda one: one.startswith('"')),
        ("cursor", lambda one: len(one) > 20 and "-" not in one[:9] and not one.startswith(("bs", '"', "20"))),
    ):
        found = [one for one in known if fits(one)]
        if found:
            command = command.replace(f"<{name}>", found[-1])
    return command


def _shown(before: str, real: str) -> str:
    """The real answer as the page should show it."""
    if not real.startswith("HTTP/"):
        return pretty(real.strip("\n"))
    head, _, body = real.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.splitlines()
    wanted = [
        line.partition(":")[0].lower()
        for line in before.splitlines()[1:]
        if ":" in line and '"' not in line.partition(":")[0]
    ]
    if not wanted:
        wanted = list(SHOWN_HEADERS)
    kept = [line for line in headers if line.partition(":")[0].lower() in wanted]
    text = "\n".join([status, *kept])
    return f"{text}\n\n{pretty(body.strip())}" if body.strip() else text


def test_a_planted_difference_is_caught() -> None:
    bound = Bound()
    one, other = "01a205f1-3556-7000-a626-e11c9c00be01", "01a205f1-3556-7000-a626-e11c9c00be02"
    bound.answer(f'{{"id": "{one}", "n": 1}}', f'{{"n": 1, "id": "{other}"}}')
    assert bound.put(f"/api/notes/{one}") == f"/api/notes/{other}"
    for shown, real in (
        ('{"n": 1}', '{"n": 2}'),
        ('{"n": 1}', '{"n": 1, "m": 1}'),
        ("[1]", "[1, 1]"),
        ('{"a": true}', '{"a": 1}'),
        (f'{{"id": "{one}"}}', f'{{"id": "{one}"}}'),
        ("HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found\r\n\r\n"),
        ("HTTP/1.1 200 OK\netag: x", "HTTP/1.1 200 OK\r\n\r\n"),
    ):
        with pytest.raises(Differs):
            bound.answer(shown, real)
