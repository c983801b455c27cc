"""`backstay migrate`: look at what would happen, write it down, do it, undo it.

Invariant: a migration file never guesses. It holds the declaration that it leads to, beside it as JSON, and a data
function where somebody wrote one; the steps are found anew for the database at hand.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from backstay.app import App
    from backstay.store.migrate import DataFunction, Finding, Migrator
    from backstay.store.port import Store

_MARKS = {"none": "  ", "safe": "ok", "locks": "~ ", "loses": "! "}
_SAID = {"none": "", "safe": "safe", "locks": "locks", "loses": "set aside"}
_MANY = 5_000  # records, from which on it is shown how far a step is
EXIT_NEEDED = 3
"""The exit status of `migrate status` where something is to be done."""


@dataclass(frozen=True, slots=True)
class File:
    """One migration file: its name, the declaration that it leads to, and where its data function is."""

    name: str
    target: bytes
    path: Path

    def data(self) -> DataFunction | None:
        """Its data function, if somebody wrote one."""
        if not self.path.exists():
            return None
        space: dict[str, Any] = {"__name__": f"migrations.{self.name}", "__file__": str(self.path)}
        code = compile(self.path.read_text(), str(self.path), "exec")
        exec(code, space)  # noqa: S102 - the developer's own file, as the application is
        found: DataFunction | None = space.get("data")
        return found


def files(folder: Path) -> list[File]:
    """The migration files of a folder, in order."""
    found = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.json"))
    return [File(path.stem, path.read_bytes(), path.with_suffix(".py")) for path in found]


def folder_of(file: str) -> Path:
    """The folder of the migration files of an application: beside its file."""
    return Path(file.partition(":")[0]).resolve().parent / "migrations"


@click.group()
def migrate() -> None:
    """Lead a database from declaration to declaration."""


def _with_migrator(file: str, database: str | None, work: Callable[[App, Store, Migrator], Any]) -> Any:
    """Open the database of an application, without starting it."""
    import asyncio

    from backstay.app import open_store
    from backstay.cli.load import load_app
    from backstay.errors import Problem
    from backstay.settings import read_settings
    from backstay.store.migrate import Migrator, Refused, keep_up
    from backstay.telemetry.log import Log

    app = load_app(file)
    if database:
        os.environ["DATABASE_URL"] = database
    settings = read_settings()
    # At a terminal what is printed is enough; where nobody looks on, the log of the machine has it.
    log = None if sys.stderr.isatty() else Log(settings.log_level, json=not settings.development)

    async def run() -> Any:
        store = open_store(settings, app.limits, apart=app.declaration.joins)
        await store.open()
        try:
            migrator = Migrator(store, lambda: datetime.now(UTC), log)
            if "_migrations" not in await store.names():
                await keep_up(store, app.schema, lambda: datetime.now(UTC), development=False)
            return await work(app, store, migrator)
        finally:
            await store.close()
            if log is not None:
                log.flush()

    try:
        return asyncio.run(run())
    except (Problem, ValueError, Refused) as error:
        raise click.ClickException(str(error)) from None


@migrate.command()
@click.argument("file")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def plan(file: str, database: str | None, as_json: bool) -> None:
    """Say in words what would happen to the database, step by step, with how many records each step touches."""

    async def look(app: App, store: Store, migrator: Migrator) -> list[Finding]:
        from backstay.store.migrate import taken

        return await migrator.findings(await migrator.course(taken(app.schema)))

    _show(_with_migrator(file, database, look), as_json)


def _show(findings: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_as_json(finding) for finding in findings], indent=2, ensure_ascii=False))
        return
    if not findings:
        click.echo("The database has the form of the declaration: nothing is to be done.")
        return
    for finding in findings:
        step = finding.step
        rows = f" ({finding.rows} record{'' if finding.rows == 1 else 's'})" if finding.rows else ""
        click.echo(f"{_MARKS[step.effect]} {step.words}{rows} {_SAID[step.effect]}".rstrip())
        if finding.blocked:
            click.echo(f"   In the way: {finding.trouble.removeprefix(step.words).strip()}")
    click.echo("")
    blocked = sum(finding.blocked for finding in findings)
    if blocked:
        click.echo(
            f"{blocked} of them would be refused. `backstay migrate make FILE NAME` writes a file for a data function."
        )
    else:
        click.echo("`backstay migrate apply FILE` does it; `--rehearse` tries it on a copy first.")


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "step": finding.step.words, "effect": finding.step.effect, "rows": finding.rows,
        "blocked": finding.blocked, "examples": list(finding.examples), "trouble": finding.trouble,
    }  # fmt: skip


@migrate.command()
@click.argument("file")
@click.argument("name")
def make(file: str, name: str) -> None:
    """Write a migration file that leads from the last one to the declaration of FILE."""
    from backstay.cli.load import load_app
    from backstay.store.migrate import taken
    from backstay.store.snapshot import read
    from backstay.store.steps import course

    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise click.ClickException("A migration has a name of lower-case letters, digits and _: add_stock.")
    app, folder = load_app(file), folder_of(file)
    there, target = files(folder), taken(app.schema)
    if there and there[-1].target == target:
        raise click.ClickException(f"{there[-1].name} leads to this declaration already: nothing is to be written.")
    stem = f"{len(there) + 1:04}_{name}"
    words = ["The first declaration."]
    if there:
        words = [step.words for step in course(read(there[-1].target), read(target), "postgres", 0).steps]
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}.json").write_bytes(target)
    listed = "\n".join(f"- {one}" for one in words)
    (folder / f"{stem}.py").write_text(
        f'''"""{name.replace("_", " ").capitalize()}.

{listed}
"""

from backstay.migrations import Data


async def data(db: Data) -> None:
    """Runs when everything new is there and nothing is strict yet. Old columns are called _was_{{db.number}}_…"""
'''
    )
    click.echo(f"Wrote {os.path.relpath(folder / stem)}.py and .json:\n{listed}")


@migrate.command()
@click.argument("file")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
@click.option("--rehearse", is_flag=True, help="Do it on a copy, say how long it took, and throw the copy away.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def apply(file: str, database: str | None, rehearse: bool, as_json: bool) -> None:
    """Lead the database to the declaration of FILE, by its migration files where there are any."""

    async def work(app: App, store: Store, migrator: Migrator) -> list[dict[str, Any]]:
        from backstay.store.copy import copy_of

        if not rehearse:
            return await _apply(app, migrator, folder_of(file))
        async with copy_of(store) as copy:
            from backstay.store.migrate import Migrator as Other

            return await _apply(app, Other(copy, lambda: datetime.now(UTC)), folder_of(file))

    done = _with_migrator(file, database, work)
    if as_json:
        click.echo(json.dumps(done, indent=2))
        return
    for one in done:
        click.echo(f"{'Rehearsed' if rehearse else 'Applied'} {one['name']} in {one['seconds']:.2f} s")
    if not done:
        click.echo("The database has the form of the declaration: nothing is to be done.")


async def _apply(app: App, migrator: Migrator, folder: Path) -> list[dict[str, Any]]:
    from backstay.store.migrate import taken

    target, there = taken(app.schema), files(folder)
    if there and there[-1].target != target:
        raise ValueError(f"The declaration has changed since {there[-1].name}: run `backstay migrate make FILE NAME`.")
    known = {one.name for one in await migrator.history() if one.state == "applied"}
    done = []
    for file in [one for one in there if one.name not in known] or [File("direct", target, folder / "direct.py")]:
        way = await migrator.course(file.target)
        current = await migrator.current()
        if way.empty and current is not None and (current.snapshot == file.target or file.name == "direct"):
            continue
        applied = await migrator.apply(file.target, file.name, None if way.empty else file.data(), _tell)
        done.append({"name": applied.name, "number": applied.number, "seconds": applied.took / 1e6})
    return done


def _tell(what: str, done: int, of: int) -> None:
    if what and of > _MANY:
        click.echo(f"\r{what}: {done} of {of}", nl=done == of, err=True)


@migrate.command()
@click.argument("file")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def status(context: click.Context, file: str, database: str | None, as_json: bool) -> None:
    """List what the database has followed; exit status 3 where it is behind the declaration."""

    async def look(app: App, store: Store, migrator: Migrator) -> Any:
        from backstay.store.migrate import taken

        return await migrator.history(), (await migrator.course(taken(app.schema))).empty

    history, empty = _with_migrator(file, database, look)
    if as_json:
        listed = [
            {"number": one.number, "name": one.name, "at": _at(one.at), "state": one.state, "seconds": one.took / 1e6,
             "set_aside": [f"{table}.{column}" if column else table for table, column, _ in one.aside]}
            for one in history
        ]  # fmt: skip
        click.echo(json.dumps({"history": listed, "behind": not empty}, indent=2))
    else:
        for one in history:
            left = f", {len(one.aside)} set aside" if one.aside else ""
            click.echo(f"{one.number:4} {_at(one.at)} {one.state:11} {one.name}{left}")
        click.echo(
            "The database has the form of the declaration." if empty else "Behind: `backstay migrate plan FILE`."
        )
    if not empty:
        context.exit(EXIT_NEEDED)


def _at(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@migrate.command()
@click.argument("file")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
def rollback(file: str, database: str | None) -> None:
    """Lead the database back to what it followed before, with the values that were set aside since."""

    async def work(app: App, store: Store, migrator: Migrator) -> str:
        return (await migrator.rollback(_tell)).name

    name = _with_migrator(file, database, work)
    click.echo(f"The database follows {name} again. Serve the declaration of that time: this one would be refused.")


@migrate.command()
@click.argument("file")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
def finish(file: str, database: str | None) -> None:
    """Throw away what migrations have set aside. There is no way back then."""

    async def work(app: App, store: Store, migrator: Migrator) -> list[str]:
        return await migrator.finish()

    gone = _with_migrator(file, database, work)
    click.echo(f"Thrown away: {', '.join(gone)}." if gone else "Nothing was set aside.")
