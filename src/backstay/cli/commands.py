"""The command line: `dev`, `serve`, `routes`, `openapi`, `user`; others have files of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.doctor import doctor, refuse_unsafe
from backstay.cli.encrypt import encrypt
from backstay.cli.keys import key
from backstay.cli.load import with_app
from backstay.cli.logs import logs
from backstay.cli.migrate import migrate
from backstay.cli.new import new
from backstay.cli.review import access, check, docs
from backstay.cli.shell import shell
from backstay.cli.shop import shop
from backstay.cli.transfer import export, import_, seed
from backstay.cli.upkeep import db, down, ping, up
from backstay.cli.why import why

if TYPE_CHECKING:
    from backstay.app import Running


@click.group()
@click.version_option(package_name="backstay")
def backstay() -> None:
    """The complete backend of a web application, declared in one Python file."""


backstay.add_command(encrypt)
backstay.add_command(key)
for command in (access, check, db, docs, doctor, down, logs, ping, shell, up, why):
    backstay.add_command(command)


def _environment(file: str, env: str, host: str | None, port: int | None, database: str | None) -> Any:
    """Put what the command line says into the environment, which the workers read, and read the settings."""
    from backstay.settings import read_settings

    os.environ["BACKSTAY_APP_FILE"] = file
    os.environ["BACKSTAY_ENV"] = env
    for name, value in (("HOST", host), ("PORT", str(port) if port else None), ("DATABASE_URL", database)):
        if value:
            os.environ[name] = value
    try:
        return read_settings()
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@backstay.command()
@click.argument("file")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8000).")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
@click.option("--reload/--no-reload", default=True, help="Start again when a Python file changes.")
def dev(file: str, host: str | None, port: int | None, database: str | None, reload: bool) -> None:
    """Serve FILE for development: tables are created and extended, errors explain themselves."""
    from backstay.cli.load import load_app

    settings = _environment(file, "development", host, port, database)
    app = load_app(file)
    app.settings = settings

    async def seed(running: Running) -> int:
        return await app.seed_if_empty()

    seeded = with_app(app, seed, extend=True)
    base = f"http://{'localhost' if settings.host in ('127.0.0.1', '0.0.0.0') else settings.host}:{settings.port}"
    where = settings.database.removeprefix("sqlite:///")
    kind = "SQLite" if settings.database.startswith("sqlite") else "PostgreSQL"
    file_shown = where if os.path.isabs(where) else f"./{where}"
    shown = f"{file_shown} (SQLite)" if kind == "SQLite" else f"{where.rpartition('@')[2]} (PostgreSQL)"
    click.echo(f"  API   {base}/api\n  Docs  {base}/docs\n  Data  {shown}")
    if seeded:
        click.echo(f"  Seed  {seeded} records")
    click.echo("")
    _develop(
        settings.host,
        settings.port,
        reload=os.path.dirname(os.path.abspath(file.partition(":")[0])) if reload else None,
    )


@backstay.command()
@click.argument("file")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8000).")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that serve.")
@click.option("--database", metavar="URL", help="Where the data lives; otherwise DATABASE_URL, or ./data.")
def serve(file: str, host: str | None, port: int | None, workers: int, database: str | None) -> None:
    """Serve FILE for production."""
    from backstay.cli.load import load_app

    settings = _environment(file, "production", host, port, database)
    app = load_app(file)
    app.settings = settings

    with_app(app, refuse_unsafe, extend=True)
    import asyncio

    from backstay.cli.supervisor import Supervisor
    from backstay.telemetry.log import Log

    log = Log(settings.log_level, json=not settings.development)
    try:
        code = asyncio.run(Supervisor(settings, workers, log).run())
    except OSError as error:
        raise click.ClickException(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}."
        ) from None
    if code:
        raise click.ClickException("A process did not come up; what it said stands above.")


def _develop(host: str, port: int, *, reload: str | None) -> None:
    """Serve with one process, which is started again when a file changes."""
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    options: dict[str, Any] = {}
    if reload:
        from pathlib import Path

        options = {"reload": True, "reload_paths": [Path(reload)], "reload_ignore_dirs": ["data"]}
    server = Granian(
        "backstay.cli.load:served", address=host, port=port, interface=Interfaces.ASGI, factory=True,
        log_level=LogLevels.warning, websockets=False, **options,
    )  # fmt: skip
    server.serve()


@backstay.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def routes(file: str, as_json: bool) -> None:
    """List what FILE serves."""
    from backstay.cli.load import load_app

    app = load_app(file)
    found = app.routes()
    if as_json:
        import json

        click.echo(json.dumps([{"path": path, "methods": methods} for path, methods in found], indent=2))
        return
    for path, methods in found:
        click.echo(f"{', '.join(methods):28} {path}")


@backstay.command()
@click.argument("file")
@click.option("--as-role", "roles", multiple=True, help="As somebody signed in with this role sees it.")
def openapi(file: str, roles: tuple[str, ...]) -> None:
    """Print FILE's OpenAPI document: the whole of it, or as a role sees it."""
    import json

    from backstay.cli.load import load_app

    click.echo(json.dumps(load_app(file).openapi(roles), indent=2, ensure_ascii=False))


@backstay.command("graphql-schema")
@click.argument("file")
@click.option("--as-role", "roles", multiple=True, help="As somebody signed in with this role sees it.")
def graphql_schema(file: str, roles: tuple[str, ...]) -> None:
    """Print FILE's GraphQL schema: the whole of it, or as a role sees it."""
    from backstay.cli.load import load_app

    click.echo(load_app(file).graphql_schema(roles), nl=False)


@backstay.group()
def user() -> None:
    """Accounts: the first one with a role is made here."""


@user.command("create")
@click.argument("file")
@click.argument("email")
@click.option("--role", "roles", multiple=True, help="A role to give; may be repeated.")
@click.option("--name", default="", help="The person's name.")
@click.option("--password", envvar="BACKSTAY_PASSWORD", help="Asked for when it is not given.")
def user_create(file: str, email: str, roles: tuple[str, ...], name: str, password: str | None) -> None:
    """Create an account in the database of FILE."""
    from backstay.cli.load import load_app
    from backstay.settings import read_settings

    app = load_app(file)
    app.settings = read_settings()
    secret = password or click.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def create(running: Running) -> str:
        fields = {"name": name} if name else {}
        return await running.accounts.create_user(email, secret, list(roles), **fields)

    key = with_app(app, create, extend=True)
    click.echo(f"Created {email} ({', '.join(roles) or 'no role'}): {key}")


@user.command("roles")
@click.argument("file")
@click.argument("email")
@click.option("--role", "roles", multiple=True, help="A role to have; may be repeated.")
def user_roles(file: str, email: str, roles: tuple[str, ...]) -> None:
    """Give an account exactly these roles."""
    from backstay.cli.load import load_app

    async def change(running: Running) -> None:
        await running.accounts.set_roles(email, roles)

    with_app(load_app(file), change)
    click.echo(f"{email} has {', '.join(roles) or 'no role'} now.")


@user.command("disable")
@click.argument("file")
@click.argument("email")
@click.option("--undo", is_flag=True, help="Open the account again.")
def user_disable(file: str, email: str, undo: bool) -> None:
    """Shut an account and end its sessions."""
    from backstay.cli.load import load_app

    async def change(running: Running) -> None:
        await running.accounts.disable(email, not undo)

    with_app(load_app(file), change)
    click.echo(f"{email} is {'open' if undo else 'disabled'} now.")


@backstay.group()
def outbox() -> None:
    """Reactions that were given up on."""


@outbox.command("list")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def outbox_list(file: str, as_json: bool) -> None:
    """List what reactions of FILE were given up on, and why."""
    from backstay.cli.load import load_app

    async def look(running: Running) -> Any:
        return await running.outbox.positions.given_up()

    found = with_app(load_app(file), look)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    for delivery in found:
        click.echo(
            f"{delivery.consumer}  {delivery.position}  {delivery.record}  {delivery.attempts} times  {delivery.error}"
        )


@outbox.command("retry")
@click.argument("file")
@click.argument("reaction")
@click.argument("position", type=int)
def outbox_retry(file: str, reaction: str, position: int) -> None:
    """Tell a REACTION of FILE the fact at a POSITION again."""
    from backstay.cli.load import load_app

    async def again(running: Running) -> bool:
        return await running.outbox.positions.again(reaction, position)

    if not with_app(load_app(file), again):
        raise click.ClickException(f"{reaction} was not given up on at {position}: backstay outbox list {file}")
    click.echo(f"{reaction} will be told of {position} again.")


backstay.add_command(new)
backstay.add_command(import_)
backstay.add_command(export)
backstay.add_command(seed)
backstay.add_command(migrate)
backstay.add_command(shop)
