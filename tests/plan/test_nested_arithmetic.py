"""A calculation inside a calculation has its parameters once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backstay import App, Model, Rules, User, anyone, coalesce
from backstay.testing import Trial


class Shelf(Model):
    left: int | None = None
    right: int = 0

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


app = App("shelves", models=[Shelf])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_calculation_inside_another_is_written_once(kind: str, request: pytest.FixtureRequest) -> None:
    url = "sqlite://"
    if kind == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        url = make("shelves")
    async with Trial(app, url) as t, t.transaction() as tx:
        shelf = await tx.create(Shelf(left=5, right=2))
        shelf = await tx.update(shelf, left=lambda s: (coalesce(s.left, 0) - 1) * 2 + (s.right + 3))
        assert shelf.left == 13
        assert await tx.exists(Shelf, lambda s: coalesce(s.left, 7) - 1 == s.right + 10)
