"""A shop on the command line: its books compared."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import Running
    from backstay.commerce.verify import Verified


@click.group()
def shop() -> None:
    """The shop: orders, payments, stock and the ledger."""


@shop.command("verify")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify_books(file: str, as_json: bool) -> None:
    """Work out FILE's books anew, and say where orders, ledger, stock and providers differ. Exits with 1 where they do.

    Nothing is changed. A purchase that is under way just now may be told as a difference: ask again.
    """
    from backstay.commerce.shop import Shop
    from backstay.commerce.verify import verify
    from backstay.plan.actor import SYSTEM

    app = load_app(file)
    shops = [part for part in app.parts if isinstance(part, Shop)]
    if not shops:
        raise click.ClickException(f"{app.name} sells nothing: it has no Shop in use=[...].")

    async def work(running: Running) -> Verified:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
            tasks = {name: progress.add_task(name, total=None) for name in ("orders", "ledger", "stock")}
            return await verify(
                running.context_of(SYSTEM), shops[0].providers, shops[0].links,
                lambda book, count: progress.update(tasks[book], completed=count),
            )  # fmt: skip

    found = with_app(app, work)
    if as_json:
        said = {"compared": dict(found.counted), "findings": [asdict(one) for one in found.findings]}
        click.echo(json.dumps(said, indent=2))
    else:
        click.echo("Compared: " + ", ".join(f"{count} {name}" for name, count in found.counted.items()) + ".")
        for one in found.findings:
            click.echo(f"{one.book:9} {one.of}: {one.found}, expected {one.expected}. {one.advice}")
        click.echo(f"{len(found.findings)} differences." if found.findings else "All books agree.")
    if found.findings:
        sys.exit(1)
