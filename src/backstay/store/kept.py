"""The tables that Backstay keeps for itself beside those of the models.

Invariant: their names begin with an underscore, which no model's can, and only the modules of the store that are
named beside each read or write them. They are created and extended with the others.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa


def sequences(metadata: sa.MetaData, dialect: str) -> None:
    """Where SQLite counts what fields draw numbers from (`store/sqlite.py`); PostgreSQL has sequences of its own."""
    if dialect == "sqlite":
        sa.Table(
            "_sequences", metadata,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("value", sa.Integer, nullable=False),
            sqlite_strict=True,
        )  # fmt: skip


KEPT: tuple[Callable[[sa.MetaData, str], None], ...] = (sequences,)
"""Each adds one table to the metadata of a database, by the name of its dialect."""
