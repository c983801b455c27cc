"""What is on the shelves and what was sold, asked of a peer's database itself, whatever its server says."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.dataset import Kind
from benchmarks.postgres import Postgres
from benchmarks.stocktaking import Count


def count_sqlite(
    file: Path, tables: tuple[str, str], column: str, products: Sequence[int], id_of: Callable[[Kind, int], str]
) -> Mapping[int, Count]:
    """`tables` are those of the products and of the items, whose `column` names the product."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        text = _statement(tables, column, "?")
        return _counts([connection.execute(text, (id_of(Kind.PRODUCT, n),)).fetchone() for n in products], products)
    finally:
        connection.close()


def count_postgres(
    postgres: Postgres, database: str, tables: tuple[str, str], column: str, products: Sequence[int],
    id_of: Callable[[Kind, int], Any],
) -> Mapping[int, Count]:  # fmt: skip
    """The same on PostgreSQL."""
    text = _statement(tables, column, "%s")
    return _counts([postgres.row(database, text, id_of(Kind.PRODUCT, n)) for n in products], products)


def _statement(tables: tuple[str, str], column: str, mark: str) -> str:
    shelf, items = tables
    sold = f'SELECT coalesce(sum(i.quantity), 0) FROM {items} i WHERE i."{column}" = p.id'
    return f"SELECT p.stock, ({sold}) FROM {shelf} p WHERE p.id = {mark}"


def _counts(rows: Sequence[Any], products: Sequence[int]) -> Mapping[int, Count]:
    return {product: Count(int(stock), int(sold)) for product, (stock, sold) in zip(products, rows, strict=True)}
