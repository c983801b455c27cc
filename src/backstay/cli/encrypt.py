"""The commands of encrypted fields: make a key, count what is sealed with which, seal it again with the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import Running


@click.group()
def encrypt() -> None:
    """Encrypted fields and the keys they are sealed with."""


@encrypt.command("key")
def encrypt_key() -> None:
    """Make a new key, as BACKSTAY_ENCRYPTION_KEYS takes it."""
    import secrets
    from base64 import b64encode
    from datetime import UTC, datetime

    click.echo(f"{datetime.now(UTC):%Y-%m-%d}:{b64encode(secrets.token_bytes(32)).decode()}")


@encrypt.command("status")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def encrypt_status(file: str, as_json: bool) -> None:
    """Say how many values of FILE are sealed with which key."""

    async def look(running: Running) -> Any:
        from backstay.store.rotation import Rotation

        return running.keys.newest, await Rotation(running.engine).status()

    newest, tallies = with_app(load_app(file), look)
    if as_json:
        _json({"newest": newest, "fields": tallies})
        return
    if not tallies:
        click.echo("No field is encrypted.")
    for tally in tallies:
        counted = [f"{number} with {key}" for key, number in tally.keys.items() if number]
        counted += [f"{tally.unknown} with no key that is known"] if tally.unknown else []
        click.echo(f"{tally.place:32} {', '.join(counted) or 'no values'}")


@encrypt.command("rotate")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Change nothing; say how many values there are to do.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def encrypt_rotate(file: str, dry_run: bool, as_json: bool) -> None:
    """Seal every value of FILE again that is not sealed with the newest key.

    It can be stopped and run again, and while the application serves. Exits with 1 where something is left.
    """
    from dataclasses import asdict

    async def rotate(running: Running) -> Any:
        from backstay.store.rotation import Outcome, Rotation

        rotation = Rotation(running.engine)
        left = sum(tally.left(running.keys.newest) for tally in await rotation.status())
        if dry_run:
            return running.keys.newest, Outcome(0, 0, left)
        with _bar(hidden=as_json) as bar:
            task = bar.add_task("Sealing again", total=await rotation.records())
            outcome = await rotation.run(lambda records: bar.advance(task, records))
        return running.keys.newest, outcome

    newest, outcome = with_app(load_app(file), rotate)
    if as_json:
        _json({"newest": newest, **asdict(outcome)})
    elif dry_run:
        click.echo(f"{outcome.left} values are to be sealed again with {newest}.")
    else:
        click.echo(f"{outcome.rotated} records are sealed again with {newest}; {outcome.left} values are left.")
    for name in outcome.named:
        click.echo(name, err=True)
    if not dry_run and outcome.left:
        raise SystemExit(1)


def _bar(*, hidden: bool) -> Any:
    """A progress bar on standard error, where somebody is watching."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    console = Console(stderr=True)
    columns = [*Progress.get_default_columns(), MofNCompleteColumn()]
    return Progress(*columns, console=console, disable=hidden or not console.is_terminal, transient=True)


def _json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
