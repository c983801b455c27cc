"""`backstay why`: which clause of which rule allows somebody something with a record, or does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import App, Running
    from backstay.model.field import Entity
    from backstay.plan.actor import Actor
    from backstay.store.reason import Reason


@click.command()
@click.argument("file")
@click.argument("user")
@click.argument("action", type=click.Choice(["read", "create", "update", "delete"]))
@click.argument("record")
@click.option("--role", "roles", multiple=True, help="A role to ask with, instead of those the user has.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def why(file: str, user: str, action: str, record: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Say which clause of FILE's rules allows USER an ACTION on a RECORD, or denies it.

    USER is an email address, the id of a user, or `anonymous`; RECORD is `orders/ID`, or `orders` for a new one.
    """
    from backstay.store.reason import reason

    app = load_app(file)
    entity, key = _record(app, record)
    if (key is None) != (action == "create"):
        raise click.UsageError("A new record is named orders; one to read, update or delete is named orders/ID.")

    async def work(running: Running) -> Reason:
        actor = await actor_of(running, user, roles)
        return await reason(running.engine, actor, user, action, entity, key)  # type: ignore[arg-type]

    found = with_app(app, work)
    if as_json:
        click.echo(json.dumps({"verdict": found.verdict, **asdict(found)}, indent=2, default=str))
    else:
        click.echo("\n".join(found.lines))


def _record(app: App, record: str) -> tuple[Entity, str | None]:
    plural, _, key = record.removeprefix("/api/").removeprefix("/").partition("/")
    entity = app.schema.by_plural().get(plural)
    if entity is None:
        raise click.UsageError(f"There is no {plural!r}. Name one of {', '.join(sorted(app.schema.by_plural()))}.")
    return entity, key or None


async def actor_of(running: Running, user: str, roles: tuple[str, ...] = ()) -> Actor:
    """The actor that a user would be."""
    from backstay.errors import NotFound
    from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor

    if user == "anonymous":
        return Actor(roles=frozenset(roles)) if roles else ANONYMOUS
    model = running.app.schema.user.model
    key = await running.accounts.named(user) if "@" in user else user
    async with running.context_of(SYSTEM).transaction() as tx:
        try:
            found = await tx.get(model, key)
        except NotFound:
            raise click.ClickException(f"There is no user {user}.") from None
    own = getattr(found, "roles", ())
    return Actor(key, frozenset(roles or own))
