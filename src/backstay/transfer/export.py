"""Records go out into a file, a page at a time: the questions of a list, in the rights of whoever asks.

Invariant: what is read here is what a list would have answered to the same actor, field by field; never more than one
page of it is in memory.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from backstay.api.query import ListQuery
from backstay.model.field import Entity, Field
from backstay.plan.actor import Actor
from backstay.plan.ask import Ask
from backstay.plan.resolve import Resolver
from backstay.plan.write import permit
from backstay.store.engine import Engine
from backstay.transfer.formula import marked

Format: TypeAlias = Literal["csv", "json", "jsonl"]


def fields_of(engine: Engine, entity: Entity, actor: Actor) -> list[str]:
    """The stored fields of a model that an actor can see, in the order of the declaration."""
    visible = Resolver(engine.schema, actor, engine.limits).visible(entity)
    return [name for name, part in visible.items() if isinstance(part, Field)]


async def pages(
    engine: Engine, entity: Entity, actor: Actor, fields: Sequence[str], filters: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[list[bytes]]:
    """The records as JSON, a page at a time, in the order of their ids. One round trip for each page.

    `filters` are those of a list's address, such as `("stock[gte]", "5")` or `("where", "{…}")`. Raises what a list
    would answer: `Denied` or `NotSignedIn` where the actor may never read, `BadRequest` for a wrong filter.
    """
    permit(Resolver(engine.schema, actor, engine.limits), entity, "read")
    asked = [*filters, ("fields", ",".join(fields)), ("sort", "id"), ("limit", str(engine.limits.max_page))]
    # A cursor is sealed where clients keep it; here the keys never leave.
    query, keys = ListQuery(entity, engine.limits), list[Any]()
    while True:
        parsed = query.parse([*asked, ("cursor", "")] if keys else asked, keys)
        (found,) = await engine.read(Ask((parsed.root,), parsed.values), actor)
        yield found.rows
        if not found.more or found.keys is None:
            return
        keys = [*found.keys]


async def write(
    rows: AsyncIterator[list[bytes]], form: Format, fields: Sequence[str], put: Callable[[str], object],
    told: Callable[[int], None] = lambda done: None,
) -> int:  # fmt: skip
    """Write records in a format; returns how many there were."""
    done, begun = 0, False
    async for page in rows:
        if not begun:  # whoever may not read gets no header either
            put({"csv": _line(fields), "json": "[", "jsonl": ""}[form])
            begun = True
        for row in page:
            if form == "csv":
                put(_line(_cells(msgspec.json.decode(row), fields)))
            elif form == "json":
                put(f"{',' if done else ''}\n{row.decode()}")
            else:
                put(f"{row.decode()}\n")
            done += 1
        told(done)
    if form == "json":
        put("\n]\n")
    return done


def _cells(record: dict[str, Any], fields: Sequence[str]) -> list[str]:
    return [_cell(_along(record, name.split("."))) for name in fields]


def _along(value: Any, way: Sequence[str]) -> Any:
    for name in way:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> str:
    """A value as a cell: texts as they are, money and lists as JSON, nothing as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return marked(value)
    return msgspec.json.encode(value).decode()


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()
