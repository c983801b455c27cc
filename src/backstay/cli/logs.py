"""`backstay logs`: the log of production, read as people read, and only what is looked for."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import click
import msgspec

from backstay.telemetry.log import LEVELS, shown
from backstay.telemetry.observation import EVENTS

_COLOURS = {"debug": "bright_black", "info": None, "warning": "yellow", "error": "red"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FIRST = ("ts", "level", "event", "trace")


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written, in a new file of that name too.")
@click.option("--level", type=click.Choice([*LEVELS]), default="debug", help="Only from this level on.")
@click.option("--event", "events", multiple=True, type=click.Choice([*EVENTS]), help="Only this; may be repeated.")
@click.option("--status", metavar="STATUS", help="Only requests answered so: 404, or 5xx.")
@click.option("--path", metavar="TEXT", help="Only requests with this in their path.")
@click.option("--request", "request_id", metavar="ID", help="Only this request.")
@click.option("--slower", type=float, metavar="MS", help="Only what took longer, in milliseconds.")
@click.option("--since", metavar="TIME", help="Only from then on: 2026-11-25T09:00, or 30m, 2h, 1d ago.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are.")
def logs(
    file: str | None, follow: bool, level: str, events: tuple[str, ...], status: str | None, path: str | None,
    request_id: str | None, slower: float | None, since: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Read the log of FILE, or of the standard input: `journalctl -u shop -o cat | backstay logs --status 5xx`."""
    if status and not re.fullmatch(r"[1-5](xx|\d\d)", status):
        raise click.BadParameter("write 404, or 5xx", param_hint="--status")
    begin = _moment(since) if since else ""
    for line in _lines(file, follow):
        said = _parsed(line)
        if said is None:
            if not as_json and not (events or status or path or request_id or slower or begin):
                click.echo(line)
            continue
        if (
            LEVELS.get(said["level"], 20) < LEVELS[level]
            or (events and said["event"] not in events)
            or (status and not re.fullmatch(status.replace("x", r"\d"), str(said.get("status", ""))))
            or (path and path not in str(said.get("path", "")))
            or (request_id and said.get("request_id") != request_id)
            or (slower is not None and not float(said.get("ms", 0)) > slower)
            or (begin and said["ts"][:19] < begin)
        ):
            continue
        click.echo(line if as_json else _readable(said))


def _lines(file: str | None, follow: bool) -> Iterator[str]:
    """The lines of a file, or of the standard input; with `follow` without an end."""
    if file is None or file == "-":
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    try:
        stream: IO[str] = open(file, errors="replace")  # noqa: SIM115 - another one takes its place
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}.") from None
    half = ""
    while True:
        half += stream.readline()
        if half.endswith("\n"):
            yield half.rstrip("\n")
            half = ""
        elif not follow:
            if half:
                yield half
            stream.close()
            return
        elif _replaced(stream, file):
            stream.close()
            stream, half = open(file, errors="replace"), ""  # noqa: SIM115
        else:
            sys.stdout.flush()
            time.sleep(0.1)


def _replaced(stream: IO[str], file: str) -> bool:
    """Whether another file has the name now, or the same one was emptied."""
    try:
        now, then = os.stat(file), os.fstat(stream.fileno())
    except OSError:
        return False
    return now.st_ino != then.st_ino or now.st_size < stream.tell()


def _parsed(line: str) -> dict[str, Any] | None:
    """What a line says; nothing where it is none of ours."""
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return said if isinstance(said, dict) and {"ts", "level", "event"} <= said.keys() else None


def _readable(said: dict[str, Any]) -> str:
    """A line for people; no character of it does anything to a terminal."""
    when, level = str(said["ts"])[:19], shown(said["level"])
    when = when.replace("T", " ") if when.isascii() and when.isprintable() else shown(when)
    if said["event"] == "request":
        status, method, path, ms = (shown(said.get(name, "")) for name in ("status", "method", "path", "ms"))
        head = f"{status} {method:6} {path} {ms} ms"
        rest: list[str] = [key for key in ("code", "why", "actor", "key", "client", "request_id") if key in said]
    else:
        head, rest = shown(said["event"]), [key for key in said if key not in _FIRST]
    text = f"{when} {level:7} {head} " + " ".join(f"{shown(key)}={shown(said[key])}" for key in rest)
    lines = [text.rstrip(), *(f"    {line}" for line in str(said.get("trace", "")).splitlines() if line.isprintable())]
    return click.style("\n".join(lines), fg=_COLOURS.get(level))


def _moment(text: str) -> str:
    """A moment as the log writes it."""
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        moment = datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise click.BadParameter("write 2026-11-25T09:00, or 30m, 2h, 1d", param_hint="--since") from None
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.isoformat()[:19]
