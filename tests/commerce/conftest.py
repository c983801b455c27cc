"""A shop on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from backstay.testing import Trial
from tests.commerce.selling import shop_app


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def t(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trial]:
    """A trial of a shop that has nothing to sell yet."""
    url = "sqlite://"
    if request.param == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        url = make("shop")
    async with Trial(shop_app(str(tmp_path / "books.db")), url) as trial:
        yield trial
