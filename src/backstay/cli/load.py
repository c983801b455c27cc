"""From the path of the user's file to its `App`, and what is done with it, with errors that say what to do."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from backstay.app import App, Running

T = TypeVar("T")
FILE_VARIABLE = "BACKSTAY_APP_FILE"


def load_app(file: str) -> App:
    """The application of a file such as `shop.py` or `shop.py:app`."""
    from backstay.app import App
    from backstay.errors import DeclarationError

    path_text, _, name = file.partition(":")
    path = Path(path_text).resolve()
    if not path.is_file():
        raise click.ClickException(f"There is no file {path_text}. Name your application's file: backstay dev shop.py")
    sys.path.insert(0, str(path.parent))
    module_name = path.stem.replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except DeclarationError as error:
        raise click.ClickException(f"{path_text}: {error}") from None
    found = [value for value in vars(module).values() if isinstance(value, App)]
    app: Any = getattr(module, name, None) if name else (found[0] if len(set(map(id, found))) == 1 else None)
    if not isinstance(app, App):
        hint = f"write backstay dev {path_text}:app" if found else 'add app = App("name", models=[...])'
        raise click.ClickException(f"{path_text} has {'several applications' if found else 'no App'}: {hint}.")
    return app


def with_app(app: App, work: Callable[[Running], Awaitable[T]], *, extend: bool | None = None) -> T:
    """Start the application, do something with it, stop it. A problem ends the command with what it says."""
    import asyncio

    from backstay.errors import Problem
    from backstay.settings import read_settings, secret_of
    from backstay.store.migrate import Behind

    try:
        app.settings = app.settings or read_settings()
        secret_of(app.settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from None

    async def run() -> T:
        try:
            running = await app.start(extend=extend, serving=False)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        try:
            return await work(running)
        finally:
            await app.stop()

    try:
        return asyncio.run(run())
    except Problem as problem:
        lines = [problem.detail, *(f"  {e.path}: {e.message}" for e in problem.errors)]
        raise click.ClickException("\n".join(lines)) from None
    except Behind as behind:
        raise click.ClickException(str(behind)) from None


def served() -> App:
    """The application for a server's worker process; the file is named in the environment by the command line."""
    from backstay.settings import read_settings

    app = load_app(os.environ[FILE_VARIABLE])
    app.settings = read_settings()
    return app
