"""An application that somebody attacks: what is nobody's, what is somebody's own, and ways from one to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from backstay import (
    App,
    Context,
    Many,
    Model,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    many,
    searchable,
    signed_in,
)
from backstay.model.field import Index
from backstay.testing import Trial


class Vault(Model):
    """Declares no rules."""

    name: str = ""
    size: int = 0


class Diary(Model):
    """Its owner's alone."""

    title: str = ""
    owner: User = current_user()
    vault: Vault | None = None
    pages: Many[Page] = many()

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        return Rules(read=mine, create=mine, update=mine, delete=mine)

    def indexes(self) -> list[Index]:
        return [searchable(self.title)]


class Page(Model):
    """A page of a diary."""

    diary: Diary | None = None
    text: str = ""

    def rules(self, me: User) -> Rules:
        mine = self.diary.owner == me
        return Rules(read=mine, create=mine, update=mine, delete=mine)


class Board(Model):
    """Anybody may write on it."""

    text: str = ""
    likes: int = 0
    about: Diary | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


def make_app() -> App:
    """The application, with actions that are closed, open and one transaction."""
    app = App("diaries", models=[Vault, Diary, Page, Board])

    @app.action("POST /api/closed")
    async def closed(ctx: Context) -> int:
        return 1

    @app.action("POST /api/mine", allow=signed_in)
    async def mine(tx: Transaction, title: str) -> int:
        return await tx.count(Diary)

    @app.action("GET /api/words/{word}", allow=anyone)
    async def words(ctx: Context, word: str, times: int = 1) -> str:
        return word * times

    return app


def as_in_production(trial: Trial) -> None:
    """Without what development tells about an answer (`test_only_in_development_is_it_told_why`)."""
    front = trial.app.running.front
    front.explain, front.timing = None, False


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    """The application on SQLite."""
    async with Trial(make_app()) as trial:
        as_in_production(trial)
        yield trial


@pytest.fixture(params=["sqlite", "postgres"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    """The application on each database."""
    address = "sqlite://"
    if request.param == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        address = make("attacked")
    async with Trial(make_app(), address) as trial:
        as_in_production(trial)
        yield trial
