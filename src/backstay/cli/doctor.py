"""`backstay doctor`: what is unsafe for production, and what will hurt later; `serve` does not start with the first."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backstay.cli.load import load_app, with_app

if TYPE_CHECKING:
    from backstay.app import Running
    from backstay.doctor.examination import Finding


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--strict", is_flag=True, help="Exit with 1 for advice too.")
def doctor(file: str, as_json: bool, strict: bool) -> None:
    """Say what is unsafe for FILE in production, and what will be slow or full. Exits with 1 where something is unsafe.

    Run it with the settings of production. It changes nothing.
    """
    from backstay.doctor.examination import all_checks, examine, patient_of

    checks = all_checks()

    async def work(running: Running) -> list[Finding]:
        return await examine(await patient_of(running.app, running), checks)

    found = with_app(load_app(file), work, extend=False)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            click.echo(_shown(finding))
        click.echo(f"{len(checks)} things were looked at: {_counted(found)}.")
    if any(finding.stops for finding in found) or (strict and any(not finding.accepted for finding in found)):
        sys.exit(1)


async def refuse_unsafe(running: Running) -> None:
    """End the command where production would start with something unsafe that nobody has accepted."""
    from backstay.doctor.examination import all_checks, examine, patient_of

    checks = all_checks()
    unknown = sorted(set(running.settings.accept) - {check.name for check in checks})
    if unknown:
        raise click.ClickException(f"BACKSTAY_ACCEPT has {', '.join(unknown)}: `backstay doctor` knows no such check.")
    unsafe = [check for check in checks if check.level == "unsafe"]
    found = await examine(await patient_of(running.app, running), unsafe)
    for finding in found:
        if not finding.stops:
            running.log.event("unsafe_accepted", check=finding.check, said=finding.said)
    if stops := [finding for finding in found if finding.stops]:
        names = ", ".join(dict.fromkeys(finding.check for finding in stops))
        lines = "\n".join(_shown(finding) for finding in stops)
        raise click.ClickException(
            f"This is unsafe for production:\n{lines}\nSet it right, or say that you know: BACKSTAY_ACCEPT={names}"
        )


def _shown(finding: Finding) -> str:
    mark = "accepted" if finding.accepted else finding.level
    return f"{mark:8}  {finding.check}: {finding.said}\n          {finding.advice}"


def _counted(found: Sequence[Finding]) -> str:
    stops = sum(finding.stops for finding in found)
    advice = sum(finding.level == "advice" and not finding.accepted for finding in found)
    return f"{stops} unsafe, {advice} to be thought of, {sum(finding.accepted for finding in found)} accepted"
