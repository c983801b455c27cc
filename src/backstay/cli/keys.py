"""API keys on the command line: made, listed and revoked for the person whose address is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import Running
    from backstay.auth.key import Key, NewKey


@click.group()
def key() -> None:
    """API keys, with which programs act for a person."""


@key.command("create")
@click.argument("file")
@click.argument("email")
@click.option("--name", required=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may do; may be repeated.")
@click.option("--days", type=click.IntRange(1, 36_500), help="In how many days it expires; otherwise never.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def create(file: str, email: str, name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make an API key for an account. It is shown this once."""
    from datetime import timedelta

    from backstay.plan.actor import Actor

    async def make(running: Running) -> NewKey:
        ends = None if days is None else (running.engine.clock() + timedelta(days=days)).isoformat()
        body = {"name": name, "scopes": list(scopes), "expires_at": ends}
        return await running.accounts.keys.make(Actor(await running.accounts.named(email)), body)

    made = with_app(load_app(file), make, extend=True)
    if as_json:
        click.echo(json.dumps({**_shown(made.key), "key": made.text}, indent=2))
        return
    click.echo(f"{made.text}\n\nKeep it now: it cannot be shown again. {_line(made.key)}")


@key.command("list")
@click.argument("file")
@click.argument("email")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def listing(file: str, email: str, as_json: bool) -> None:
    """List the API keys of an account, without those that are revoked."""
    from backstay.plan.actor import Actor

    async def read(running: Running) -> list[Key]:
        return await running.accounts.keys.own(Actor(await running.accounts.named(email)))

    found = with_app(load_app(file), read)
    if as_json:
        click.echo(json.dumps([_shown(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(_line(one))


@key.command("revoke")
@click.argument("file")
@click.argument("email")
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every key of the account.")
def revoke(file: str, email: str, ids: tuple[str, ...], every: bool) -> None:
    """Revoke API keys of an account, by the ids that `key list` shows."""
    from backstay.plan.actor import Actor

    if every == bool(ids):
        raise click.UsageError("Name the ids of keys, or --all.")

    async def end(running: Running) -> None:
        owner = Actor(await running.accounts.named(email))
        if every:
            await running.accounts.keys.revoke_all(owner)
        for one in ids:
            await running.accounts.keys.revoke(owner, one)

    with_app(load_app(file), end)
    click.echo("Revoked." if every else f"Revoked {', '.join(ids)}.")


def _shown(one: Key) -> dict[str, Any]:
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(one)
    return shown


def _line(one: Key) -> str:
    ends = f"expires {one.expires_at:%Y-%m-%d}" if one.expires_at else "never expires"
    used = f"used {one.used_at:%Y-%m-%d}" if one.used_at else "not used yet"
    return f"{one.id}  {one.start}…  {one.name}: {', '.join(one.scopes)} ({ends}, {used})"
