"""An application in service, on the command line: its database kept in shape, closed and opened, asked how it is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import Running
    from backstay.jobs.upkeep import Done
    from backstay.store.closure import Closed


@click.group()
def db() -> None:
    """The database: kept in shape and looked over."""


@db.command()
@click.argument("file")
@click.option("--vacuum", is_flag=True, help="Give space back too; SQLite lets nobody write meanwhile.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def maintain(file: str, vacuum: bool, as_json: bool) -> None:
    """Do for FILE's database now what a serving process does once an hour. Exits with 1 where something failed."""

    async def work(running: Running) -> list[Done]:
        return await running.upkeep.once(vacuum=vacuum)

    found = with_app(load_app(file), work)
    if as_json:
        click.echo(json.dumps([asdict(done) for done in found], indent=2))
    else:
        for done in found:
            mark = "failed" if done.failed else "done"
            click.echo(f"{mark:7} {done.chore:12} {done.seconds:7.2f} s  {done.said or 'nothing to do'}")
    if any(done.failed for done in found):
        sys.exit(1)


@db.command("check")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def look_over(file: str, as_json: bool) -> None:
    """Read all of FILE's database and say what is damaged. Exits with 1 where something is."""

    async def work(running: Running) -> list[str]:
        return await running.store.damage()

    found = with_app(load_app(file), work)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo("\n".join([*found, "", "Keep a copy of the database as it is, and restore the last good backup."]))
    else:
        click.echo("No damage was found.")
    if found:
        sys.exit(1)


@click.command()
@click.argument("file")
@click.option("--reason", default="", help="What everybody is told.")
@click.option("--for", "minutes", type=click.FloatRange(min=0, min_open=True), help="For how many minutes.")
@click.option("--allow", "networks", multiple=True, metavar="NETWORK", help="Who may come in; may be repeated.")
def down(file: str, reason: str, minutes: float | None, networks: tuple[str, ...]) -> None:
    """Close FILE: within a second everybody is answered 503 with the reason, on all machines. Health checks go on."""

    async def work(running: Running) -> Closed:
        try:
            return await running.closure.close(reason, minutes, networks)
        except ValueError as error:
            raise click.ClickException(f"--allow: {error}") from None

    closed = with_app(load_app(file), work)
    until = f"until {closed.until:%H:%M:%S} UTC" if closed.until else "until: backstay up"
    click.echo(f"Closed {until}.")


@click.command()
@click.argument("file")
def up(file: str) -> None:
    """Open FILE again."""

    async def work(running: Running) -> bool:
        return await running.closure.open()

    click.echo("Open." if with_app(load_app(file), work) else "It was open.")


@click.command()
@click.argument("url")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Seconds."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ping(url: str, timeout: float, as_json: bool) -> None:
    """Ask the application at URL how it is, from any machine. Exits with 1 where it is not well."""
    from backstay.net.ping import ping as ask

    try:
        found = ask(url, timeout)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({**asdict(found), "well": found.well}, indent=2, default=str))
    else:
        for pulse in found.pulses:
            click.echo(f"{pulse.status or '---'}  {pulse.ms:8.1f} ms  {pulse.path}  {pulse.error}".rstrip())
        if found.expires is not None:
            click.echo(f"The certificate is good until {found.expires:%Y-%m-%d}.")
        for warning in found.warnings:
            click.echo(warning)
    if not found.well:
        sys.exit(1)
