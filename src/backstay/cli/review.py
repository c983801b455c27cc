"""`backstay access`, `check` and `docs`: who may do what, what a change changes, and what there is, on pages."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.load import load_app

if TYPE_CHECKING:
    from backstay.app import App
    from backstay.review.access import Matrix, Row
    from backstay.review.comparison import Comparison, RuleChange


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def access(file: str, as_json: bool) -> None:
    """Say who may do what with the models of FILE: never, by row (and for which), or always."""
    from backstay.review.access import matrix

    found = matrix(_loaded(file))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_matrix(found)))


@click.command()
@click.argument("file")
@click.option("--against", metavar="REVISION|FILE", help="Compare with a revision of git, a file, or a description.")
@click.option("--accept", multiple=True, metavar="RULE", help="A rule that is meant to widen; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; without --against, the description of FILE.")
@click.option("--apart", metavar="FOLDER", help="Refuse to describe code that was loaded from there.")
def check(file: str, against: str | None, accept: Sequence[str], as_json: bool, apart: str | None) -> None:
    """Report every mistake in FILE's declaration, without starting anything; or what has changed since a revision.

    Exits with 1 where there is a mistake, or where access widens and is not named by --accept; with 2 where there is
    nothing to compare with.
    """
    if accept and against is None:
        raise click.UsageError("--accept is for a comparison: say with what, --against main.")
    app = _loaded(file)
    if against is not None:
        _compare(app, file, against, accept, as_json)
    elif as_json:
        click.echo(_description(app, apart))
    else:
        served = app.schema.by_plural()
        actions = f"{len(app.actions)} action{'' if len(app.actions) == 1 else 's'}"
        click.echo(f"{app.name}: {len(served)} model{'' if len(served) == 1 else 's'}, {actions}, no mistakes.")


@click.command()
@click.argument("file")
@click.option("--out", default="docs", show_default=True, metavar="FOLDER", help="Where the pages go.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 where a page is not up to date.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def docs(file: str, out: str, only_check: bool, as_json: bool) -> None:
    """Write the documentation of FILE as Markdown: its API, models, access, own code and settings."""
    from backstay.review.pages import pages

    folder = Path(out)
    made = pages(_loaded(file), Path(file.partition(":")[0]))
    stale = [name for name, text in made.items() if not _holds(folder / name, text)]
    if not only_check:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in stale:
                (folder / name).write_text(made[name], encoding="utf-8", newline="\n")
        except OSError as error:
            raise click.ClickException(f"{folder} cannot be written: {error.strerror}.") from None
    if as_json:
        click.echo(json.dumps({"pages": list(made), "written" if not only_check else "stale": stale}, indent=2))
    elif only_check:
        for name in stale:
            click.echo(f"{folder / name} is not up to date.")
        click.echo(f"backstay docs {file} --out {out}" if stale else f"{len(made)} pages are up to date.")
    else:
        click.echo(f"{len(made)} pages in {folder}, {len(stale)} written.")
    if only_check and stale:
        sys.exit(1)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _loaded(file: str) -> App:
    """The application; what its file prints while it is loaded is no part of the answer."""
    from backstay.errors import DeclarationError

    with contextlib.redirect_stdout(sys.stderr):
        app = load_app(file)
        try:
            app.declaration.schema  # noqa: B018 - the first look
        except DeclarationError as error:  # of what was exposed, which is read at the first look
            raise click.ClickException(f"{file}: {error}") from None
    return app


def _description(app: App, apart: str | None) -> str:
    from backstay.cli.revision import foreign_modules
    from backstay.review.description import described

    text = described(app)
    if apart is not None and (loaded := foreign_modules(apart)):
        raise click.ClickException(
            f"{', '.join(loaded[:3])} would be today's and not that revision's: it is installed from {apart}. Check "
            "the revision out by itself (git worktree add), write `backstay check FILE --json > before.json` there "
            "with an environment of its own, and compare --against before.json."
        )
    return text


def _compare(app: App, file: str, against: str, accept: Sequence[str], as_json: bool) -> None:
    from backstay.cli.revision import Incomparable, description_of
    from backstay.review.comparison import compare
    from backstay.review.description import described, read

    now = read(described(app))
    before = description_of(file, against)
    try:
        found = compare(before, now, accept)
    except (KeyError, TypeError, ValueError) as error:
        raise Incomparable(f"{against} cannot be compared: {type(error).__name__}: {error}.") from None
    if as_json:
        body: dict[str, Any] = {**asdict(found), "unnamed": found.unnamed}
        click.echo(json.dumps(body, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_told(found, file, against, accept)))
    if found.unnamed:
        sys.exit(1)


# What is printed.


def _matrix(found: Matrix) -> Iterator[str]:
    for model in found.models:
        yield model.model
        yield from _rows((*model.actions, *model.fields), found.viewers)
        yield ""
    if found.actions:
        yield "Actions"
        yield from _rows(found.actions, found.viewers)


def _rows(rows: Sequence[Row], viewers: tuple[str, ...]) -> Iterator[str]:
    lines = [("", *viewers), *((row.name, *(cell.reach for cell in row.cells)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(viewers) + 1)]
    for line in lines:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    for row in rows:
        for where, whose in row.conditions(viewers).items():
            yield f"  {row.name} ({', '.join(whose)}): where {where}"


def _told(found: Comparison, file: str, against: str, accept: Sequence[str]) -> Iterator[str]:
    yield from _part("API", [(one.effect, f"{', '.join(one.places)}: {one.words}") for one in found.api])
    effects = {"none": "-", "loses": "set aside"}
    yield from _part("Schema", [(effects.get(one.effect, one.effect), one.words) for one in found.schema])
    yield from _part("Rules", [line for one in found.rules for line in _rule(one)])
    for name in found.needless:
        yield f"--accept {json.dumps(name)} is not needed: nothing of that name widens."
    if found.unnamed:
        words = " ".join(f"--accept {json.dumps(name)}" for name in [*accept, *found.unnamed])
        yield "Access widens, or may widen, and is not named. Where that is meant, name it:"
        yield f"  backstay check {file} --against {against} {words}"
    else:
        yield "No access widens unnamed."


def _part(title: str, lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    if not lines:
        yield f"{title}: nothing has changed."
        return
    yield title
    width = max(len(mark) for mark, _ in lines)
    for mark, words in lines:
        yield f"  {mark.ljust(width)}  {words}"


def _rule(change: RuleChange) -> Iterator[tuple[str, str]]:
    mark = "accepted" if change.accepted else "unclear" if change.turn == "incomparable" else change.turn
    was = f"was {change.before}" if change.before else "is new"
    yield mark, f"{change.name}: {was}; is {change.now or 'gone'}"
    if change.cells:
        yield "", "  " + "; ".join(f"{cell.viewer}: {cell.before} -> {cell.now}" for cell in change.cells)
    hidden = [name for name in change.wider_for if name not in {cell.viewer for cell in change.cells}]
    if change.widens and hidden:
        yield "", f"  more for: {', '.join(hidden)}"
    if change.turn == "incomparable":
        yield "", "  it cannot be compared with what it was: name it"
