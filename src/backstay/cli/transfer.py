"""`backstay import`, `export` and `seed`: files into models, and models into files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from backstay.app import App, Running
    from backstay.transfer.importer import Importer, Tally

EXIT_REJECTED = 3
"""The exit status of `import` where rows were rejected: the others are in."""

DATABASE = click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")


@click.command("import")
@click.argument("file")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--map", "mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A mapping file.")
@click.option("--model", help="Without a mapping: the model whose fields the columns are called like.")
@click.option("--as", "email", metavar="EMAIL", help="With the rights of this account; otherwise above the rules.")
@click.option("--hooks/--no-hooks", default=True, help="Whether hooks of FILE run.")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Where bad rows go.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would become of the rows.")
@click.option("--again", is_flag=True, help="Begin anew, although it was done or begun before.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=2_000, show_default=True, help="Rows a transaction.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON, and no progress bar.")
@click.pass_context
def import_(
    context: click.Context, file: str, data: tuple[Path, ...], mapping: Path | None, model: str | None,
    email: str | None, hooks: bool, rejects: Path | None, dry_run: bool, again: bool, batch: int, database: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Bring the rows of DATA (CSV, JSON or JSON Lines) into the models of FILE; stopped, it goes on where it was."""
    from backstay.transfer.change import BadMapping
    from backstay.transfer.importer import Importer, Options, Stopped

    app = app_of(file, database)
    began = monotonic()
    rejects = rejects or Path(f"{data[0].stem}.rejects.jsonl")

    async def work(running: Running) -> Importer:
        options = Options(await actor_of(running, email), hooks, dry_run, rejects, batch)
        chosen = _mapping(app, mapping, model, data)
        importer = Importer(chosen, data, running.engine, running.hooks, running.new_id, options)
        with Bar("Import", show=not as_json) as bar:
            options.told = bar.show
            await importer.run(again=again)
        return importer

    from backstay.cli.load import with_app

    try:
        importer = with_app(app, work)
    except (BadMapping, Stopped) as error:
        raise click.ClickException(str(error)) from None
    tally = importer.tally
    if as_json:
        import msgspec

        said = msgspec.to_builtins(tally) | {
            "resumed_at": importer.begun_at, "seconds": round(monotonic() - began, 3), "dry_run": dry_run,
            "rejects": str(rejects) if tally.rejected and not dry_run else None,
        }  # fmt: skip
        del said["bytes"], said["done"]
        click.echo(msgspec.json.format(msgspec.json.encode(said)).decode())
    else:
        _say(tally, importer.begun_at, rejects, dry_run, monotonic() - began)
    if tally.rejected:
        context.exit(EXIT_REJECTED)


@click.command("export")
@click.argument("file")
@click.argument("model")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; else it is printed.")
@click.option("--format", "form", type=click.Choice(["csv", "json", "jsonl"]), help="Otherwise by the file's ending.")
@click.option("--fields", help="Names with commas between, along relations too: slug,price,category.slug")
@click.option("--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="As in an address: stock[gte]=5")
@click.option("--where", help="A filter object, as in an address.")
@click.option("--as", "email", metavar="EMAIL", help="What this account may see; otherwise all there is.")
@click.option("--as-role", "roles", multiple=True, help="What somebody signed in with this role may see.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON; needs --output.")
def export(
    file: str, model: str, output: Path | None, form: Any, fields: str | None, filters: tuple[str, ...],
    where: str | None, email: str | None, roles: tuple[str, ...], database: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write the records of a MODEL of FILE as CSV, JSON or JSON Lines, a page at a time."""
    from backstay.cli.load import with_app
    from backstay.errors import nearest
    from backstay.plan.actor import Actor

    app = app_of(file, database)
    entity = app.schema.by_plural().get(model) or app.schema.entities.get(model)
    if entity is None or entity.hidden:
        raise click.ClickException(f'There is no model "{model}".{nearest(model, [*app.schema.by_plural()])}')
    endings = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    chosen: Any = form or endings.get(output.suffix.lower() if output else "", "csv")
    if as_json and output is None:
        raise click.ClickException("--json says what was done, so the records need a file of their own: --output FILE")
    asked = [(name, value) for name, _, value in (one.partition("=") for one in filters)]
    if where:
        asked.append(("where", where))

    async def work(running: Running) -> int:
        from backstay.transfer.export import fields_of, pages, write

        actor = await actor_of(running, email)
        if roles and email is None:
            actor = Actor(_SOMEBODY, frozenset(roles))
        names = [n.strip() for n in fields.split(",")] if fields else fields_of(running.engine, entity, actor)
        rows = pages(running.engine, entity, actor, names, asked)
        if output is None:
            return await write(rows, chosen, names, lambda text: click.echo(text, nl=False))
        unfinished = output.with_name(f".{output.name}.part")
        try:
            with Bar("Export", show=not as_json) as bar, unfinished.open("w", encoding="utf-8", newline="") as target:
                done = await write(rows, chosen, names, target.write, lambda done: bar.show(done, done))
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
        return done

    done = with_app(app, work)
    if as_json:
        import json

        click.echo(json.dumps({"model": entity.name, "records": done, "format": chosen, "file": str(output)}))
    elif output is not None:
        click.echo(f"{done:,} records of {entity.name} are in {output}.")


_SOMEBODY = "00000000-0000-7000-8000-000000000000"


@click.command()
@click.argument("file")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--again", is_flag=True, help="Files that were loaded before too.")
@click.option("--hooks/--no-hooks", default=True, help="Whether hooks of FILE run.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON.")
@click.pass_context
def seed(
    context: click.Context, file: str, folder: Path, again: bool, hooks: bool, database: str | None, as_json: bool
) -> None:
    """Load a FOLDER of files named after models, those first that others refer to."""
    from backstay.cli.load import with_app
    from backstay.transfer.change import BadMapping
    from backstay.transfer.importer import Stopped

    app = app_of(file, database)

    async def work(running: Running) -> list[tuple[Path, Importer, Path]]:
        from backstay.plan.actor import SYSTEM
        from backstay.transfer.importer import Importer, Options
        from backstay.transfer.seed import seeds_of

        done = []
        for one in seeds_of(folder, app.schema):
            rejects = Path(f"{one.path.stem}.rejects.jsonl")
            options = Options(SYSTEM, hooks, rejects=rejects)
            importer = Importer(one.mapping, [one.path], running.engine, running.hooks, running.new_id, options)
            await importer.run(again=again)
            done.append((one.path, importer, rejects))
        return done

    try:
        done = with_app(app, work)
    except (BadMapping, Stopped) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        import json

        said = [
            {"file": path.name, "rows": one.tally.rows - one.begun_at, "created": one.tally.created,
             "updated": one.tally.updated, "rejected": one.tally.rejected}
            for path, one, _ in done
        ]  # fmt: skip
        click.echo(json.dumps(said, indent=2))
    else:
        for path, one, rejects in done:
            new = one.tally.rows - one.begun_at
            bad = sum(one.tally.rejected.values())
            click.echo(f"{path.name:24} {new:>8,} rows" + (f", {bad:,} rejected: {rejects}" if bad else ""))
    if any(one.tally.rejected for _, one, _ in done):
        context.exit(EXIT_REJECTED)


def app_of(file: str, database: str | None) -> App:
    """The application of a file, with the database that is named."""
    from backstay.cli.load import load_app

    if database:
        os.environ["DATABASE_URL"] = database
    return load_app(file)


async def actor_of(running: Running, email: str | None) -> Any:
    """Whose rights are meant: those of an account, or those of own code."""
    from backstay.auth.address import canonical_address
    from backstay.model.value import Unfit
    from backstay.plan.actor import SYSTEM, Actor

    if email is None:
        return SYSTEM
    user = running.app.schema.user.model
    try:
        address = canonical_address(email)
    except Unfit as unfit:
        raise click.ClickException(f"{email} {unfit}.") from None
    async with running.context_of(SYSTEM).transaction() as tx:
        found = await tx.find(user, lambda one: one.email == address, limit=1)
    if not found:
        raise click.ClickException(f"There is no account {email}: backstay user create FILE {email}")
    if found[0].disabled:
        raise click.ClickException(f"The account {email} is disabled: backstay user disable FILE {email} --undo")
    return Actor(str(found[0].id), frozenset(found[0].roles))


def _mapping(app: App, mapping: Path | None, model: str | None, data: tuple[Path, ...]) -> Any:
    from backstay.errors import nearest
    from backstay.transfer.change import BadMapping
    from backstay.transfer.mapping import Source, plain_mapping, read_mapping
    from backstay.transfer.source import columns_of

    if mapping is not None:
        return read_mapping(mapping.read_text(), app.schema, mapping.name)
    shown = [name for name, entity in app.schema.entities.items() if not entity.hidden]
    if model not in shown:
        hint = f'There is no model "{model}".{nearest(model, shown)}' if model else "Say which model: --model Product"
        raise BadMapping(f"{hint} (or write a mapping file: --map mapping.toml)")
    return plain_mapping(app.schema.entities[model], columns_of(data[0], Source()))


def _say(tally: Tally, begun_at: int, rejects: Path, dry: bool, seconds: float) -> None:
    """The outcome in words."""
    if begun_at and begun_at == tally.rows:
        click.echo("It was imported before: nothing was done. With --again it begins anew.")
    elif begun_at:
        click.echo(f"Went on behind row {begun_at:,}.")
    would = "would be " if dry else ""
    click.echo(f"{tally.rows:,} rows in {seconds:.1f} s: {tally.imported:,} {would}imported", nl=False)
    click.echo(f", {sum(tally.skipped.values()):,} skipped, {sum(tally.rejected.values()):,} rejected.")
    for name in dict.fromkeys((*tally.created, *tally.found, *tally.updated)):
        made, found, updated = (of.get(name, 0) for of in (tally.created, tally.found, tally.updated))
        click.echo(f"  {name:16} {made:>9,} created {found:>9,} found {updated:>9,} updated")
    for title, counts in (
        ("counted", tally.counted), ("defaults", tally.defaulted), ("skipped", tally.skipped),
        ("rejected", tally.rejected),
    ):  # fmt: skip
        for reason, number in sorted(counts.items(), key=lambda one: -one[1]):
            click.echo(f"  {title:9} {number:>9,}  {reason}")
    if tally.rejected and not dry:
        click.echo(f"Rejected rows are in {rejects}: correct them there, and import that file by the same mapping.")


class Bar:
    """A progress bar with rate and time left, on a terminal; nothing elsewhere."""

    def __init__(self, title: str, *, show: bool) -> None:
        self._title = title
        self._progress: Any = None
        self._task: Any = None
        self._shown = show and sys.stderr.isatty()

    def __enter__(self) -> Bar:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=None, rate="")
            self._began = monotonic()
            self._first: int | None = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: int, of: int) -> None:
        """So many are done, of about so many."""
        if self._progress is not None:
            self._first = done if self._first is None else self._first
            rate = (done - self._first) / max(monotonic() - self._began, 0.001)
            self._progress.update(self._task, completed=done, total=of, rate=f"{rate:,.0f} rows/s" if rate else "")
