"""The shop as rows of a relational schema: what all peers' tables share, each with its own ids and instants."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from benchmarks.dataset import Dataset, Kind, uuid_of

Row = tuple[Any, ...]

PARENTS_FIRST = (Kind.CUSTOMER, Kind.CATEGORY, Kind.PRODUCT, Kind.ORDER, Kind.ITEM)


def rows(
    kind: Kind, dataset: Dataset, id_of: Callable[[Kind, int], Any], at: Callable[[datetime], Any]
) -> Iterator[Row]:
    """Rows of one table, every one ending with created_at and updated_at, before that:

    customer (id, name, email), category (id, name, slug),
    product (id, name, slug, description, price, cost, category, stock),
    order (id, customer, status, total), item (id, order, product, quantity, price).
    """
    found: Iterator[tuple[int, Row, datetime]]
    match kind:
        case Kind.CUSTOMER:
            found = ((c.number, (c.name, c.email), c.created_at) for c in dataset.customers())
        case Kind.CATEGORY:
            found = ((c.number, (c.name, c.slug), c.created_at) for c in dataset.categories())
        case Kind.PRODUCT:
            found = (
                (
                    p.number,
                    (p.name, p.slug, p.description, p.price, p.cost, id_of(Kind.CATEGORY, p.category), p.stock),
                    p.created_at,
                )
                for p in dataset.products()
            )
        case Kind.ORDER:
            found = (
                (o.number, (id_of(Kind.CUSTOMER, o.customer), o.status, o.total), o.created_at)
                for o in dataset.orders()
            )
        case Kind.ITEM:
            found = (
                (
                    i.number,
                    (id_of(Kind.ORDER, i.order), id_of(Kind.PRODUCT, i.product), i.quantity, i.price),
                    i.created_at,
                )
                for i in dataset.items()
            )
    for number, values, created_at in found:
        instant = at(created_at)
        yield (id_of(kind, number), *values, instant, instant)


def fill_sqlite(connection: sqlite3.Connection, table: str, found: Iterable[Row], columns: Sequence[str] = ()) -> None:
    """Insert rows that fit the whole table unless columns are named."""
    names = ", ".join(f'"{column}"' for column in columns)
    into = f"{table} ({names})" if columns else table
    for first in (found := iter(found)):
        marks = ", ".join("?" * len(first))
        connection.executemany(f"INSERT INTO {into} VALUES ({marks})", chain([first], found))


def text_id(kind: Kind, number: int) -> str:
    """The id as SQLite's text."""
    return str(uuid_of(kind, number))


def text_instant(instant: datetime) -> str:
    """The instant in the fixed width that sorts as text."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
