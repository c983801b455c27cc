"""A natural key finds records with the rights of whom an import is done as: what they may not see is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Len

from backstay import App, Index, Model, Rules, User, anyone, current_user, unique
from backstay.plan.actor import SYSTEM, Actor
from backstay.testing import Person, Trial
from backstay.transfer import batch as batches
from tests.transfer.conftest import Market


class Vault(Model):
    code: Annotated[str, Len(1, 20)]
    label: str = ""
    owner: User = current_user()

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        return Rules(read=mine, create=me.signed_in, update=mine)

    def indexes(self) -> list[Index]:
        return [unique(self.code)]


class Slip(Model):
    vault: Vault
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in)


SLIPS = """
[[record]]
model = "Slip"
[record.fields]
vault = { column = "vault", find = "code" }
text = "text"
"""
VAULTS = """
[[record]]
model = "Vault"
key = ["code"]
existing = "update"
[record.fields]
code = "code"
label = "label"
"""
BOTH = "vault,text\nadas,one\nbobs,two\nnobodys,three\n"
People = tuple[Market, Person, Person]


@pytest.fixture(params=["sqlite", "postgres"])
async def people(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_database: Callable[[str], str]
) -> AsyncIterator[People]:
    """Two people, each with a vault that the other may not see."""
    url = "sqlite://" if request.param == "sqlite" else postgres_database("vaults")
    async with Trial(App("vaults", models=[Vault, Slip]), url) as trial:
        ada, bob = await trial.user("ada@example.com"), await trial.user("bob@example.com")
        for person, code in ((ada, "adas"), (bob, "bobs")):
            (await trial.post("/api/vaults", {"code": code}, as_=person)).ok()
        yield Market(trial, tmp_path), ada, bob


async def texts(place: Market) -> list[str]:
    return [one["text"] for one in (await place.trial.get("/api/slips?sort=text")).ok().json["data"]]


async def test_a_relation_is_found_by_whoever_may_see_what_it_leads_to(people: People) -> None:
    place, ada, bob = people
    tally = await place.bring(SLIPS, BOTH, actor=Actor(ada.id))
    assert (tally.created, tally.rejected) == ({"Slip": 1}, {"Slip.vault: not_found": 2})
    said = [one["_rejected"] for one in place.rejects()]
    assert [(one["line"], one["reason"]) for one in said] == [
        (3, "Slip.vault: not_found"),
        (4, "Slip.vault: not_found"),
    ]
    assert said[0]["message"] == said[1]["message"]
    assert await texts(place) == ["one"]
    assert (await place.bring(SLIPS, BOTH, name="bob.csv", actor=Actor(bob.id))).created == {"Slip": 1}
    assert await texts(place) == ["one", "two"]
    above = await place.bring(SLIPS, BOTH, name="above.csv", actor=SYSTEM)
    assert (above.created, above.rejected) == ({"Slip": 2}, {"Slip.vault: not_found": 1})


async def test_a_record_that_is_hidden_is_not_changed_by_its_key(people: People) -> None:
    place, ada, bob = people
    rows = "code,label\nadas,mine\nbobs,mine too\n"
    tally = await place.bring(VAULTS, rows, actor=Actor(ada.id))
    assert (tally.created, tally.updated) == ({}, {"Vault": 1})
    assert tally.rejected == {"Vault.code: not_unique": 1}
    for person, label in ((ada, "mine"), (bob, "")):
        (vault,) = (await place.trial.get("/api/vaults", as_=person)).ok().json["data"]
        assert vault["label"] == label


async def test_planted_a_search_above_the_rules_is_caught(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    place, ada, _ = people
    seen = batches._visible

    async def above(tx: Any, *asked: Any) -> str | None:
        return await seen(tx.as_system, *asked)

    monkeypatch.setattr(batches, "_visible", above)
    tally = await place.bring(VAULTS, "code,label\nbobs,mine too\n", actor=Actor(ada.id))
    assert tally.rejected == {"Vault: not_found": 1}  # the rule of the change is all that is left in the way
