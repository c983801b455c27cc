"""What there is, is documented, and what is documented is there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import click
import pytest

import backstay
from backstay import testing
from backstay.api.idempotency import EXCEPTIONS
from backstay.cli.commands import backstay as program
from backstay.errors import CODES
from backstay.model.predicate import OPERATORS, QUANTIFIERS
from backstay.plan.limits import Limits
from backstay.settings import ENVIRONMENT, Settings
from backstay.store.transaction import Moment
from backstay.telemetry.metrics import METRICS
from backstay.telemetry.observation import EVENTS
from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
SOURCE = ROOT / "src" / "backstay"


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows whose first cell is code."""
    found = []
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append(cells)
    return found


def section(page: Path, title: str) -> str:
    """A section of a page, to the next heading of its level."""
    text = page.read_text()
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name_of(page)} has no section {title}"
    return found[1]


def test_every_error_code_is_documented_as_it_is() -> None:
    shown = {
        cells[0].strip("`"): (int(cells[1]), cells[2], cells[3].partition(" *Reserved")[0])
        for cells in rows(section(REFERENCE / "errors.md", "Codes"))
    }
    assert shown == {name: (code.status, code.title, code.advice) for name, code in CODES.items()}


def test_a_code_is_called_reserved_where_nothing_answers_it() -> None:
    source = "\n".join(file.read_text() for file in SOURCE.rglob("*.py"))
    raised = set(re.findall(r'code(?:: str)? ?= ?"([a-z_]+)"', source)) | set(
        re.findall(r'status, code = \d+, "([a-z_]+)"', source)
    )
    reserved = {
        cells[0].strip("`")
        for cells in rows(section(REFERENCE / "errors.md", "Codes"))
        if "*Reserved" in cells[3]
    }  # fmt: skip
    assert reserved == set(CODES) - raised


def test_every_code_of_a_value_is_documented() -> None:
    source = "\n".join(file.read_text() for file in SOURCE.rglob("*.py"))
    raised = set(re.findall(r'Unfit\(\s*"([a-z_]+)"', source)) | set(
        re.findall(r'FieldError\([^,()]+(?:\([^()]*\))?, "([a-z_]+)"', source)
    )
    shown = {cells[0].strip("`") for cells in rows(section(REFERENCE / "errors.md", "Codes of values"))}
    assert shown == raised


def test_every_setting_is_documented_with_its_default() -> None:
    defaults = Settings()
    shown = {cells[0].strip("`"): (cells[1].strip("`"), cells[2]) for cells in rows(_text("settings.md"))}
    assert shown == {
        variable: (str(getattr(defaults, name) or "none"), purpose) for variable, (name, purpose) in ENVIRONMENT.items()
    }


def test_every_limit_is_documented_with_its_default() -> None:
    shown = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(_text("limits.md"))}
    assert shown == {
        field.name: f"{field.default:,}" if isinstance(field.default, int) else field.default or "none"
        for field in dataclasses.fields(Limits)
    }
    assert all(cells[2] for cells in rows(_text("limits.md")))


def commands(group: click.Group, before: str = "backstay") -> dict[str, click.Command]:
    """Every command by the words that call it."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        called = f"{before} {name}"
        found |= commands(command, called) if isinstance(command, click.Group) else {called: command}
    return found


def test_every_command_and_option_is_documented() -> None:
    text = _text("cli.md")
    parts = re.split(r"^## `(.+?)`$", text, flags=re.MULTILINE)[1:]
    shown = dict(zip(parts[::2], parts[1::2], strict=True))
    known = commands(program)
    arguments = {
        " ".join([called, *(p.human_readable_name for p in command.params if isinstance(p, click.Argument))]): command
        for called, command in known.items()
    }
    assert set(shown) == set(arguments)
    for heading, command in arguments.items():
        real = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for option in [*parameter.opts, *parameter.secondary_opts]
        }
        said = set(re.findall(r"`(--?[a-z-]+)`", shown[heading]))
        assert said == real, heading


def test_every_public_name_is_documented_once() -> None:
    text = _text("python.md").partition("## `App`")[0]
    names = [cells[0].strip("`") for cells in rows(text)]
    assert sorted(names) == sorted(backstay.__all__)
    assert all(cells[1] for cells in rows(text))


def test_every_member_of_app_context_and_transaction_is_documented() -> None:
    text = _text("python.md")
    for title, kind, short, internal in (
        ("`App`", backstay.App, "app", {"running", "seed_if_empty", "__call__"}),
        ("`Context`", backstay.Context, "ctx", {"under"}),
        ("`Transaction`", backstay.Transaction, "tx", {"begin", "hold", "read_one", "within", "write", "writing"}),
    ):
        said = section(REFERENCE / "python.md", title)
        members = {name for name in vars(kind) if not name.startswith("_")} - internal
        shown = set(re.findall(rf"\b{short}\.([a-z_]+)", said))
        if short == "app":
            shown |= set(re.findall(r"`(after_[a-z]+|before_[a-z]+)`", said))
        if short == "ctx":
            members |= {"actor", "accounts", "key"}
        assert shown == members, title
    assert "## `App`" in text


def test_every_event_is_documented() -> None:
    found = {row[0].strip("`"): row for row in rows(section(REFERENCE / "events.md", "Events"))}
    assert found.keys() == EVENTS.keys()
    for name, (_, level, meaning, fields) in found.items():
        event = EVENTS[name]
        assert (level, meaning, tuple(re.findall(r"`(\w+)`", fields))) == (event.level, event.meaning, event.fields)


def test_every_metric_is_documented() -> None:
    found = {row[0].strip("`"): row for row in rows(section(REFERENCE / "events.md", "Metrics"))}
    assert found.keys() == METRICS.keys()
    for name, (_, kind, meaning, labels) in found.items():
        metric = METRICS[name]
        assert (kind, meaning, tuple(re.findall(r"`(\w+)`", labels))) == (metric.kind, metric.meaning, metric.labels)


def test_everything_for_testing_is_documented() -> None:
    said = section(REFERENCE / "python.md", "`backstay.testing`")
    public = {
        name for name, value in vars(testing).items()
        if getattr(value, "__module__", "") == testing.__name__ and not name.startswith("_")
    }  # fmt: skip
    assert public == {"Trial", "Clock", "Person", "Answer", "LiveAnswer", "LiveEvent"}
    assert public <= set(re.findall(r"[A-Z][A-Za-z]+", said))
    for kind, short in (
        (testing.Trial, "t"), (testing.Clock, "t.clock"), (testing.Person, "ada"), (testing.Answer, "answer"),
        (testing.LiveAnswer, "notes"), (testing.LiveEvent, "event"),
    ):  # fmt: skip
        members = {name for name in vars(kind) if not name.startswith("_")}
        members |= {"app", "clock", "http"} if kind is testing.Trial else set()
        assert set(re.findall(rf"(?<![.\w]){re.escape(short)}\.([a-z_]+)", said)) == members, short


def test_every_hook_is_documented() -> None:
    shown = [cells[0] for cells in rows(section(DOCS / "guides" / "actions-and-hooks.md", "Hooks"))]
    assert shown == [f"`@app.{moment}(Model)`" for moment in ordered(get_args(Moment))]


def ordered(moments: tuple[str, ...]) -> list[str]:
    """The moments as they follow one another."""
    return sorted(
        moments, key=lambda moment: (["create", "update", "delete"].index(moment.split("_")[1]), moment[0] == "a")
    )


def test_every_operator_is_documented() -> None:
    said = section(REFERENCE / "api.md", "Operators")
    shown = {name for cells in rows(said) for name in re.findall(r"`([a-z_]+)`", cells[0])}
    assert shown == set(OPERATORS)
    assert all(f"`{name}`" in said for name in [*QUANTIFIERS, "and", "or", "not"])


def test_every_address_is_documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    class Thing(backstay.Model):
        name: str

    served = set()
    for path, methods in backstay.App("things", models=[Thing]).routes():
        plain = re.sub(r"/api/(things|users)", "/api/{models}", path)
        served |= {f"{method} {plain}" for method in methods if method != "HEAD" and "/docs/" not in plain}
    shown = {cells[0].strip("`") for cells in rows(section(REFERENCE / "api.md", "Addresses"))}
    assert shown == served


def test_every_route_without_a_key_is_documented_with_its_reason() -> None:
    shown = {cells[0].strip("`"): cells[1] for cells in rows(section(REFERENCE / "api.md", "Sending a request again"))}
    assert shown == EXCEPTIONS


LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found = set()
    for line in prose(page).splitlines():
        if re.match(r"#{1,6} ", line):
            plain = re.sub(r"[^\w\s-]", "", line.lstrip("#").strip().lower())
            found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{name_of(page)} links to {target}"


def test_the_index_lists_every_page() -> None:
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(prose(DOCS / "index.md"))}
    assert [
        page for page in sorted(DOCS.rglob("*.md")) if page.resolve() not in linked and page.name != "index.md"
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_named_exists(page: Path) -> None:
    """`plan/planner.py` and its like, in prose."""
    for named in re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.py)`", prose(page)):
        assert (SOURCE / named).exists() or (ROOT / named).exists(), f"{name_of(page)} names {named}"


def test_the_map_has_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert set(re.findall(r"^  ([a-z]+)/ ", text, re.MULTILINE)) == there


def test_the_core_is_as_long_as_it_is_said_to_be() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    said = re.search(r"about ([\d,]+) lines", text)
    assert said
    files = [*(SOURCE / "model").glob("*.py"), *(SOURCE / "plan").glob("*.py"), SOURCE / "store" / "sql.py"]
    real = sum(len(file.read_text().splitlines()) for file in files)
    assert abs(real - int(said[1].replace(",", ""))) / real < 0.1
    for named, length in re.findall(r"^\d\. `([a-z/_.]+)` \((\d+)", text, re.MULTILINE):
        lines = len((SOURCE / named).read_text().splitlines())
        assert abs(lines - int(length)) / lines < 0.15, named


def test_decisions_have_one_form() -> None:
    for page in sorted((DOCS / "decisions").glob("*.md")):
        number = int(page.name[:4])
        text = page.read_text()
        assert text.startswith(f"# {number}. "), page.name
        assert {"## What", "## Why", "## What was rejected"} <= set(re.findall(r"^## .*$", text, re.MULTILINE)), page


def test_shown_shell_commands_exist() -> None:
    """`sh` blocks are not run, but what they call is there."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh":
                for target in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE):
                    assert target in targets, f"{name_of(page)}: make {target}"
                for command in re.findall(r"\bbackstay ([a-z]+)", block.text):
                    assert command in program.commands, f"{name_of(page)}: backstay {command}"


def _text(name: str) -> str:
    return (REFERENCE / name).read_text()
