"""The documentation of an application as Markdown pages, made from its declaration.

Invariant: the same declaration makes the same pages, whoever makes them and when; no value of a setting is in them.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backstay.app import App
from backstay.model.field import Computed, Entity, Field
from backstay.model.predicate import describe
from backstay.review import api_page
from backstay.review.access import Matrix, Row, matrix
from backstay.review.diagram import diagram
from backstay.settings import ENVIRONMENT
from backstay.store.steps import describe_kind

_MADE = "<!-- Made by `backstay docs`: change the declaration, not this page. -->"
_SOURCES = {
    "now": "the instant of the request", "me": "who is signed in", "id": "a new id",
    "sequence": "the next number of a sequence", "slug": "made from {value}", "table": "filled by the database",
    "call": "made by the application", "literal": "`{value!r}`",
}  # fmt: skip


def pages(app: App, file: Path) -> dict[str, str]:
    """Every page by the name of its file; `file` is the application's own. Pure but for reading that file."""
    found = matrix(app)
    made = {
        "index.md": _index(app, file.name),
        "api.md": api_page.page(app.openapi(), app.name),
        "models.md": _models(app),
        "access.md": _access(app, found),
        "code.md": _code(app, found),
        "settings.md": _settings(file),
    }
    return {name: f"{_MADE}\n\n" + "\n".join(lines).strip() + "\n" for name, lines in made.items()}


def _index(app: App, file: str) -> Iterator[str]:
    served = list(app.schema.by_plural().values())
    yield from (f"# {app.name}", "")
    yield from (*_paragraph(_opening(app)), f"Version {app.version} of the declaration in `{file}`.", "")
    yield from ("| | |", "|---|---|")
    yield f"| [API](api.md) | {len(app.openapi()['paths'])} addresses, with examples |"
    yield f"| [Models](models.md) | {', '.join(entity.name for entity in served)} |"
    yield "| [Access](access.md) | who may do what |"
    yield f"| [Own code](code.md) | actions: {len(app.actions)}, reactions: {len(app.reactions)}, and hooks |"
    yield "| [Settings](settings.md) | what the environment says |"
    yield from ("", "## Running it", "", "```sh")
    yield f"backstay dev {file}              # on this machine: http://localhost:8000, its API page at /docs"
    yield f"backstay doctor {file}           # what is unsafe in production, with the settings of production"
    yield f"backstay serve {file} --workers 2"
    yield from ("```", "")
    yield "The database is a file in `data/`, or the PostgreSQL that `DATABASE_URL` names."
    yield f"`backstay migrate plan {file}` says what a new declaration does to it."


def _opening(app: App) -> str:
    """What the file of the application says of itself: of its own models, not of those that come with Backstay."""
    for entity in app.schema.by_plural().values():
        module = inspect.getmodule(entity.declares)
        if module is not None and not module.__name__.startswith("backstay.") and module.__doc__:
            return inspect.cleandoc(module.__doc__)
    return ""


# Models.


def _models(app: App) -> Iterator[str]:
    yield from ("# Models", "", "```mermaid", *diagram(app.schema), "```", "")
    for entity in app.schema.by_plural().values():
        yield from _model(entity)


def _model(entity: Entity) -> Iterator[str]:
    yield from (f"## {entity.name}", "", *_paragraph(entity.doc), f"Served at `/api/{entity.plural}`.", "")
    yield from ("| field | holds | | without it |", "|---|---|---|---|")
    for field in entity.fields.values():
        yield _line(f"`{field.name}`", describe_kind(field), _marks(field), _default(field))
    for computed in entity.computed.values():
        doc = f"{_first(computed.doc)} " if computed.doc else ""
        yield _line(f"`{computed.name}`", _computed(computed), f"{doc}`{describe(computed.value)}`", "")
    for relation in entity.to_many.values():
        through = f" through {relation.through.name}" if relation.through is not None else ""
        yield _line(f"`{relation.name}`", f"many {relation.target.name}{through}", f"by `{relation.via}`", "")
    yield ""
    kinds = {"unique": "No two have the same", "index": "Found quickly by", "search": "Searched in"}
    for index in entity.indexes:
        yield f"- {kinds[index.kind]}: {', '.join(f'`{name}`' for name in index.fields)}."
    yield ""


def _computed(computed: Computed) -> str:
    return f"{computed.kind.name.replace('_', ' ')}, computed"


def _marks(field: Field) -> str:
    kind = field.kind
    limits = [
        f"{sign} {value}"
        for sign, value in (("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("less than", kind.lt),
                            ("at least this many characters:", kind.min_length or None),
                            ("a multiple of", kind.multiple_of))
        if value is not None
    ]  # fmt: skip
    told = [
        *limits, "may be null" if field.nullable else "", "unique" if field.unique else "",
        "never shown" if field.write_only else "", "set by the server" if field.by_server else "",
        f"on delete: {field.on_delete.replace('_', ' ')}" if field.target is not None else "",
        _first(field.doc),
    ]  # fmt: skip
    return ", ".join(part for part in told if part)


def _default(field: Field) -> str:
    default = field.default
    if default is None:
        return "null" if field.nullable else "must be sent"
    if default.source == "literal" and default.value is None:
        return "null"
    value = getattr(default.value, "value", default.value)
    return _SOURCES[default.source].format(value=value)


# Access.


def _access(app: App, found: Matrix) -> Iterator[str]:
    yield from ("# Access", "")
    yield "What no rule allows, nobody may do. `never` and `always` hold for every record; `by row` depends on it, and"
    yield "the condition stands below. `me` is who asks, `self` the record. A field's rule holds on top of its model's."
    yield ""
    for model in found.models:
        yield from (f"## {model.model}", "", *_table((*model.actions, *model.fields), found.viewers), "")
    if found.actions:
        yield from ("## Actions", "", *_table(found.actions, found.viewers), "")
    yield from ("## By role", "")
    for column, viewer in enumerate(found.viewers):
        yield from (f"### {viewer[:1].upper()}{viewer[1:]}", "", *_may(found, column), "")


def _table(rows: Sequence[Row], viewers: Sequence[str]) -> Iterator[str]:
    yield _line("", *viewers)
    yield "|---" * (len(viewers) + 1) + "|"
    for row in rows:
        yield _line(f"`{row.name}`", *(cell.reach for cell in row.cells))
    conditions = [(row.name, row.conditions(tuple(viewers))) for row in rows]
    if any(found for _, found in conditions):
        yield ""
    for name, found in conditions:
        for where, whose in found.items():
            yield f"- `{name}` ({', '.join(whose)}): where `{where}`"


def _may(found: Matrix, column: int) -> Iterator[str]:
    """What one kind of viewer may do, in sentences."""
    allowed = False
    for model in found.models:
        for row in model.actions:
            cell = row.cells[column]
            if cell.reach == "always":
                yield f"- may {row.name} every {model.model}"
            elif cell.reach == "by row":
                yield f"- may {row.name} a {model.model} where `{cell.where}`"
            allowed = allowed or cell.reach != "never"
    for row in found.actions:
        if row.cells[column].reach == "always":
            yield f"- may call `{row.name}`"
            allowed = True
    if not allowed:
        yield "- may do nothing"


# Own code.


def _code(app: App, found: Matrix) -> Iterator[str]:
    yield from ("# Own code", "", "## Actions", "")
    rules = {row.name: row.rule for row in found.actions}
    for action in app.actions:
        name = f"{action.method} {action.path}"
        yield from (f"### `{name}`", "", *_paragraph(action.doc))
        yield f"- Who may call it: `{rules[name]}`"
        if action.rates:
            yield f"- How often: {', '.join(map(str, action.rates))}"
        if action.key_required:
            yield "- It needs an `Idempotency-Key`."
        arguments = [*action.fields, *action.structs]
        yield f"- Arguments: {', '.join(f'`{one}`' for one in arguments) or 'none'} ([form](api.md#actions))"
        yield from (f"- Function: `{action.name}`", "")
    if not app.actions:
        yield from ("There are none.", "")
    yield from ("## Reactions", "", "Told of facts after they are true, in the background, at least once.", "")
    for reaction in app.reactions:
        yield f"- `{reaction.fact}`: `{reaction.function.__name__}`{_said(reaction.function)}"
    if not app.reactions:
        yield "There are none."
    yield from ("", "## Hooks", "", "Run inside the transaction of a write.", "")
    hooks = [(moment, model, function) for (moment, model), functions in _hooks(app) for function in functions]
    for moment, model, function in hooks:
        yield f"- `{moment}({model})`: `{function.__name__}`{_said(function)}"
    if not hooks:
        yield "There are none."


def _hooks(app: App) -> list[tuple[tuple[str, str], list[Any]]]:
    known: Mapping[Any, Any] = app.hooks.by_moment
    return sorted(((str(key[0]), str(key[1])), list(found)) for key, found in known.items())


def _said(function: Any) -> str:
    doc = _first(inspect.getdoc(function) or "")
    return f" - {doc}" if doc else ""


# Settings.


def _settings(file: Path) -> Iterator[str]:
    yield from ("# Settings", "", "What the environment, or a `.env` file beside the application, may say.", "")
    if own := _read_by(file):
        yield from ("## Of the application", "", f"Read by `{file.name}` itself.", "")
        yield from (f"- `{name}`" for name in own)
        yield from ("", "## Of Backstay", "")
    yield from ("| variable | |", "|---|---|")
    for name, (_, meaning) in ENVIRONMENT.items():
        yield _line(f"`{name}`", meaning)


def _read_by(file: Path) -> list[str]:
    """The variables that a file reads from the environment by a name that is written in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        text = ""
        if isinstance(node, ast.Call) and node.args:
            text, first = ast.unparse(node.func), node.args[0]
            wanted = text in ("os.getenv", "getenv", "os.environ.get", "environ.get")
        elif isinstance(node, ast.Subscript):
            text, first = ast.unparse(node.value), node.slice
            wanted = text in ("os.environ", "environ")
        else:
            continue
        if wanted and isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.add(first.value)
    return sorted(found - ENVIRONMENT.keys())


# Markdown.


def _line(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _paragraph(text: str) -> list[str]:
    return [*inspect.cleandoc(text).splitlines(), ""] if text else []


def _first(text: str) -> str:
    return inspect.cleandoc(text).partition("\n\n")[0].replace("\n", " ") if text else ""
