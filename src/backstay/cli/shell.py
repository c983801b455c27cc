"""`backstay shell`: Python with the application started in it, somebody to act as, and `await` at the prompt."""

from __future__ import annotations

import ast
import asyncio
import code
import inspect
import sys
from collections.abc import Callable, Coroutine
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from backstay.cli.load import load_app

if TYPE_CHECKING:
    from backstay.app import App, Running

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


@click.command()
@click.argument("file")
@click.option("--as", "user", metavar="EMAIL", help="Act with the rights of this account; otherwise above the rules.")
@click.option("-c", "command", help="Run this and end, as `python -c` does; `await` may stand in it.")
def shell(file: str, user: str | None, command: str | None) -> None:
    """Open a Python prompt with FILE's application in it: `app`, `ctx`, `me`, its models, and `await` everywhere.

    It is IPython where that is installed (`pip install backstay[shell]`).
    """
    from backstay.errors import Problem
    from backstay.settings import read_settings
    from backstay.store.migrate import Behind

    app = load_app(file)
    try:
        app.settings = app.settings or read_settings()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    with asyncio.Runner() as runner:
        try:
            running = runner.run(app.start(serving=False))
        except (Problem, Behind) as problem:
            raise click.ClickException(str(problem)) from None
        try:
            space = runner.run(_space(app, running, user))
            if command is not None:
                _Console(space, runner.run).obey(command)
            else:
                _prompt(space, runner.run, _banner(app, space, user))
        finally:
            runner.run(app.stop())


async def _space(app: App, running: Running, user: str | None) -> dict[str, Any]:
    """What is known at the prompt."""
    from backstay.cli.why import actor_of
    from backstay.plan.actor import SYSTEM

    ctx = running.context_of(SYSTEM if user is None else await actor_of(running, user))
    models = {entity.name: entity.model for entity in app.schema.by_plural().values()}
    return {**models, "app": app, "ctx": ctx, "me": ctx.me}


def _banner(app: App, space: dict[str, Any], user: str | None) -> str:
    models = ", ".join(name for name, value in space.items() if isinstance(value, type))
    return (
        f"{app.name}, {'above the rules' if user is None else f'with the rights of {user}'}\n"
        f"  app, ctx, me   the application, the surroundings of an action, and who acts\n"
        f"  {models}\n\n"
        "  async with ctx.transaction() as tx: print(await tx.find(Model))\n"
    )


def _prompt(space: dict[str, Any], run: Run, banner: str) -> None:
    try:
        from IPython.terminal.embed import InteractiveShellEmbed  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        _Console(space, run).interact(banner, exitmsg="")
        return
    terminal = InteractiveShellEmbed(user_ns=space, banner1=banner)
    terminal.autoawait = True
    terminal.loop_runner = run
    terminal()


class _Console(code.InteractiveConsole):
    """The console of the standard library, with `await` at the prompt."""

    def __init__(self, space: dict[str, Any], run: Run) -> None:
        super().__init__(space)
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._run = run

    def runcode(self, compiled: CodeType) -> None:
        """Run what was typed, and wait for it where it waits."""
        try:
            self._result(compiled)
        except SystemExit:
            raise
        except BaseException:
            self.showtraceback()

    def obey(self, text: str) -> None:
        """Run a whole text; an error ends the command with 1."""
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            self._result(compile(text, "<command>", "exec", flags))
        except SystemExit:
            raise
        except BaseException:
            self.showtraceback()
            sys.exit(1)

    def _result(self, compiled: CodeType) -> None:
        made = FunctionType(compiled, self.locals)()
        if inspect.iscoroutine(made):
            self._run(made)
