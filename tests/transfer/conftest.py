"""A started application on each database in turn, and an import into it from a text."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.plan.actor import SYSTEM, Actor
from backstay.testing import Trial
from backstay.transfer.importer import Importer, Options, Tally
from backstay.transfer.mapping import read_mapping
from tests.transfer import market


class Market:
    """The application, and a folder for files."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial = trial
        self.folder = folder

    def file(self, name: str, text: str) -> Path:
        """A file with this text."""
        path = self.folder / name
        path.write_text(text)
        return path

    def importer(
        self, mapping: str, text: str, *, name: str = "data.csv", actor: Actor = SYSTEM, **options: Any
    ) -> Importer:
        """An import of one file."""
        running = self.trial.app.running
        return Importer(
            read_mapping(mapping, self.trial.app.schema), [self.file(name, text)], running.engine, running.hooks,
            running.new_id, Options(actor, rejects=self.folder / "rejects.jsonl", **options),
        )  # fmt: skip

    async def bring(self, mapping: str, text: str, **options: Any) -> Tally:
        """Import a text."""
        return await self.importer(mapping, text, **options).run()

    def rejects(self) -> list[Any]:
        """The rejected rows."""
        path = self.folder / "rejects.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def rows(self, path: str) -> list[Any]:
        """What the API answers to the staff."""
        staff = (
            await self.trial.user("staff@example.com", roles=["staff"]) if not hasattr(self, "staff") else self.staff
        )
        self.staff = staff
        return list((await self.trial.get(path, as_=staff)).ok().json["data"])


@pytest.fixture(params=["sqlite", "postgres"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]
) -> AsyncIterator[Market]:
    """An empty market on each database."""
    url = "sqlite://" if request.param == "sqlite" else postgres_database("market")
    async with Trial(market.app, url) as trial:
        yield Market(trial, tmp_path)
