"""What goes out is what a list answers, and what comes in again is what went out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import BadRequest, Denied, NotSignedIn, Problem
from backstay.plan.actor import ANONYMOUS, SYSTEM, Actor
from backstay.testing import Trial
from backstay.transfer.change import BadMapping
from backstay.transfer.export import fields_of, pages, write
from backstay.transfer.formula import marked, plain
from backstay.transfer.importer import Importer, Options
from backstay.transfer.seed import seeds_of
from tests.transfer import market
from tests.transfer.conftest import Market
from tests.transfer.test_import import GOODS, HEAD, line

CUSTOMER = Actor("00000000-0000-7000-8000-000000000000", frozenset({"customer"}))


async def export(
    trial: Trial, model: str, form: Any = "csv", actor: Actor = SYSTEM, fields: str = "", **filters: str
) -> str:
    """The text of an export."""
    engine = trial.app.running.engine
    entity = engine.schema.entities[model]
    names = fields.split(",") if fields else fields_of(engine, entity, actor)
    parts: list[str] = []
    await write(pages(engine, entity, actor, names, [*filters.items()]), form, names, parts.append)
    return "".join(parts)


async def seed(trial: Trial, folder: Path) -> dict[str, Importer]:
    """Load a folder."""
    running = trial.app.running
    done = {}
    for one in seeds_of(folder, trial.app.schema):
        importer = Importer(one.mapping, [one.path], running.engine, running.hooks, running.new_id, Options(SYSTEM))
        await importer.run()
        done[one.path.name] = importer
    return done


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
async def test_what_went_out_comes_in_again(place: Market, form: str) -> None:
    text = HEAD + "".join(line(f"g{n:03}", name=f"Name {n}" if n % 50 else "=cmd|x") for n in range(450))
    await place.bring(GOODS, text)
    fields = "code,name,slug,number,price,worth,shelf.name,stock,state,since,tags,secret,created_at"
    shelves = await export(place.trial, "Shelf", form, fields="name")
    goods = await export(place.trial, "Good", form, fields=fields)
    place.file(f"goods.{form}", goods)
    place.file(f"Shelf.{form}", shelves)
    (place.folder / "data.csv").unlink()
    behind = (await place.trial.facts())[-1].position
    same = await seed(place.trial, place.folder)
    assert [*same] == [f"Shelf.{form}", f"goods.{form}"]
    assert not any(one.tally.rejected or one.tally.created or one.tally.updated for one in same.values())
    assert await place.trial.facts(behind=behind) == []
    async with place.trial.transaction() as tx:
        for good in await tx.find(market.Good, limit=200):
            await tx.delete(good)
    back = (await seed_again(place.trial, place.folder))[f"goods.{form}"]
    assert (back.tally.created, back.tally.rejected) == ({"Good": 200}, {})
    again = await export(place.trial, "Good", form, fields=fields)
    assert sorted(rows_of(again, form)) == sorted(rows_of(goods, form))


async def seed_again(trial: Trial, folder: Path) -> dict[str, Importer]:
    """Load a folder whose files were loaded."""
    running = trial.app.running
    done = {}
    for one in seeds_of(folder, trial.app.schema):
        importer = Importer(one.mapping, [one.path], running.engine, running.hooks, running.new_id, Options(SYSTEM))
        await importer.run(again=True)
        done[one.path.name] = importer
    return done


def rows_of(text: str, form: str) -> list[str]:
    """The rows of an export, as texts."""
    if form == "csv":
        return ["|".join(row) for row in csv.reader(io.StringIO(text))]
    found = json.loads(text) if form == "json" else [json.loads(one) for one in text.splitlines()]
    return [json.dumps(one, sort_keys=True) for one in found]


async def test_an_export_shows_what_its_reader_may_see(place: Market) -> None:
    await place.bring(GOODS, HEAD + line("a1") + line("a2", qty="7"))
    whole = next(csv.reader(io.StringIO(await export(place.trial, "Good"))))
    seen = next(csv.reader(io.StringIO(await export(place.trial, "Good", actor=CUSTOMER))))
    assert [name for name in whole if name not in seen] == ["secret"]
    with pytest.raises(BadRequest, match='Good has no field "secret"'):
        await export(place.trial, "Good", actor=CUSTOMER, fields="code,secret")
    with pytest.raises(BadRequest):
        await export(place.trial, "Good", actor=CUSTOMER, fields="code", **{"secret[is_null]": "true"})
    ada, bob = await place.trial.user("ada@example.com"), await place.trial.user("bob@example.com")
    good = (await place.rows("/api/goods?sort=code"))[0]["id"]
    (await place.trial.post("/api/notes", {"about": good, "text": "Mine"}, as_=ada)).ok()
    notes = [await export(place.trial, "Note", "jsonl", Actor(who.id), "text") for who in (ada, bob)]
    assert notes == ['{"text":"Mine"}\n', ""]
    with pytest.raises(NotSignedIn):
        await export(place.trial, "Note", actor=ANONYMOUS, fields="text")
    filtered = await export(place.trial, "Good", fields="code", where='{"stock":{"gte":5}}')
    assert filtered == "code\r\na2\r\n"
    assert await export(place.trial, "Good", fields="code", **{"stock[lt]": "5"}) == "code\r\na1\r\n"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", "'=1", "''@x", "＝1", "plain", "'quoted'", "", "it's"]
)
def test_a_formula_is_marked_and_comes_back_as_it_was(text: str) -> None:
    out = marked(text)
    assert plain(out) == text
    assert not out.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))


async def test_formulas_are_marked_in_csv_alone(place: Market) -> None:
    await place.bring(GOODS, HEAD + line("a1", name='"=HYPERLINK(1)"'))
    assert await export(place.trial, "Good", fields="name,stock") == "name,stock\r\n'=HYPERLINK(1),1\r\n"
    assert await export(place.trial, "Good", "jsonl", fields="name") == '{"name":"=HYPERLINK(1)"}\n'


async def test_a_folder_is_loaded_in_the_order_of_relations(place: Market) -> None:
    place.file("goods.csv", "code,price,shelf.name\na1,150,top\n")
    place.file("shelfs.json", '[{"name": "top"}]')
    place.file("rooms.csv", "name,inside.name\nhouse,\nhall,house\nstairs,hall\nlost,nowhere\n")
    place.file("users.csv", 'email,name,roles\nkim@example.com,Kim,"[""staff""]"\n')
    done = await seed(place.trial, place.folder)
    order = [*done]
    assert order.index("shelfs.json") < order.index("goods.csv")
    assert done["rooms.csv"].tally.rejected == {"Room.inside: not_found": 1}
    rooms = await place.rows("/api/rooms?expand=inside&sort=name")
    assert [(one["name"], (one["inside"] or {}).get("name")) for one in rooms] == [
        ("hall", "house"), ("house", None), ("stairs", "hall"),
    ]  # fmt: skip
    assert [one["price"]["amount"] for one in await place.rows("/api/goods")] == [150]
    assert all(one.begun_at == one.tally.rows for one in (await seed(place.trial, place.folder)).values())
    place.file("goods.csv", "code,price,shelf.name\na1,170,top\n")
    await seed(place.trial, place.folder)
    assert [one["price"]["amount"] for one in await place.rows("/api/goods")] == [170]


def test_a_file_of_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "godos.csv").write_text("code\n")
    with pytest.raises(BadMapping, match=r'godos\.csv is named after no model\. Did you mean "goods"'):
        seeds_of(tmp_path, market.app.schema)


async def test_whoever_may_never_read_is_told_so(place: Market) -> None:
    with pytest.raises((Denied, Problem)):
        await export(place.trial, "User", actor=ANONYMOUS, fields="email")
