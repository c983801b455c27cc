"""`backstay new`: a folder to begin in, from nothing, from an example, or from the tables of an existing database.

Invariant: nothing is overwritten, and what was written passes its own check and its own tests as it stands.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import click

_STARTER = Path(__file__).parent / "starter"
_SHOP = (_STARTER / "shop", Path(__file__).parents[3] / "examples" / "shop")
"""Where the example is: beside the starter in an installed package, and in the repository."""

_FILES = {
    "README.md": "README.md.in",
    ".gitignore": "gitignore.in",
    ".dockerignore": "dockerignore.in",
    "Dockerfile": "Dockerfile.in",
    "requirements.txt": "requirements.txt.in",
    "requirements-dev.txt": "requirements-dev.txt.in",
    "pyproject.toml": "pyproject.toml.in",
    ".github/workflows/check.yml": "github.yml.in",
    ".gitlab-ci.yml": "gitlab-ci.yml.in",
}


@click.command()
@click.argument("name")
@click.option(
    "--example", type=click.Choice(["blank", "shop"]), default="blank", show_default=True, help="A first file."
)
@click.option("--from", "url", metavar="URL", help="Write models from the tables of this database.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
def new(name: str, example: str, url: str | None, as_json: bool) -> None:
    """Make a folder NAME with an application, tests, a Dockerfile and workflows for CI."""
    folder = Path(name)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise click.ClickException(f"{name} is there already: choose another name.")
    called = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not called or not called[0].isalpha():
        raise click.ClickException(f"{name} is no name for an application: begin it with a letter: corner-shop.")
    files = {path: _filled(template, called) for path, template in _FILES.items()}
    if url is not None:
        files["app.py"], files["tests/test_app.py"] = _draft(url, called), _filled("test_draft.py.in", called)
    elif example == "shop":
        files |= _shop(called)
    else:
        files["app.py"], files["tests/test_app.py"] = _filled("app.py.in", called), _filled("test_app.py.in", called)
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if as_json:
        import json

        click.echo(json.dumps({"folder": str(folder), "files": sorted(files)}, indent=2))
        return
    click.echo(f"Made {folder}: {', '.join(sorted(files))}\n\n  cd {folder}\n  backstay dev app.py")
    if url is not None:
        click.echo("\nRead app.py: it has no rules, so nobody may do anything until you say who may.")


def _filled(template: str, name: str) -> str:
    """A file of the starter for an application of this name."""
    title = name.replace("-", " ").capitalize()
    text = (_STARTER / template).read_text()
    values = {"{name}": name, "{title}": title, "{version}": version("backstay"), "{{": "{", "}}": "}"}
    keep = template.endswith(".yml.in")  # workflows have braces of their own
    for mark, value in values.items():
        if not (keep and mark in ("{{", "}}")):
            text = text.replace(mark, value)
    return text


def _shop(name: str) -> dict[str, str]:
    """The example shop and what it begins with."""
    source = next(folder for folder in _SHOP if (folder / "shop.py").exists())
    files = {f"seed/{path.name}": path.read_text() for path in sorted((source / "seed").glob("*.json"))}
    files["app.py"] = (source / "shop.py").read_text().replace('App("corner-shop"', f'App("{name}"')
    files["tests/test_app.py"] = _filled("test_shop.py.in", name)
    return files


def _draft(url: str, name: str) -> str:
    """The models of an existing database."""
    import asyncio

    from backstay.auth.models import HIDDEN
    from backstay.cli.draft import draft_of
    from backstay.mail.models import HIDDEN as MAIL
    from backstay.model.declare import plural_of
    from backstay.store.reflect import tables_of

    try:
        tables = asyncio.run(tables_of(url, [plural_of(model.__name__) for model in (*HIDDEN, *MAIL)]))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        raise click.ClickException(f"The database cannot be read: {type(error).__name__}.") from None
    if not tables:
        raise click.ClickException("There is no table in this database.")
    return draft_of(tables, name)
