"""Rows come in as records: the same as by a request, each once, and what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from backstay.plan.actor import Actor
from backstay.store.bulk import Bulk
from backstay.transfer import batch as batches
from backstay.transfer.importer import Importer, Stopped
from tests.transfer.conftest import Market

GOODS = """
[[record]]
model = "Shelf"
key = ["name"]
[record.fields]
name = "shelf"

[[record]]
model = "Good"
key = ["code"]
[record.fields]
code = { column = "code", change = ["trim"] }
name = { column = "name", change = ["squeeze"], default_column = "code" }
price = { column = "price", change = [{ number = "comma" }, { minor_units = 2 }] }
worth = { column = "price", change = [{ number = "comma" }, { minor_units = 2, currency = "CHF" }] }
shelf = { record = "Shelf" }
stock = { column = "qty", default = 0, existing = "add" }
since = { column = "day", change = [{ instant = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }] }
tags = { column = "tags", change = [{ split = ";" }] }
secret = "secret"
"""
HEAD = "code,name,price,shelf,qty,day,tags,secret\n"
NOTES = """
[[record]]
model = "Note"
[record.fields]
about = { column = "good", find = "code" }
text = "text"
"""


def line(code: str, price: str = '"1,50"', shelf: str = "top", qty: str = "1", name: str = "Tea") -> str:
    return f"{code},{name},{price},{shelf},{qty},24.12.2010 08:30,a; b,hush\n"


async def test_rows_become_records_with_what_the_mapping_says(place: Market) -> None:
    text = (
        HEAD
        + line(" a1 ")
        + line("a2", '"1.234,00"', "low", "", '"  Green\n tea "')
        + line("a1", qty="4")
        + line("a3", name="")
    )
    tally = await place.bring(GOODS, text)
    assert (tally.rows, tally.imported, tally.created, tally.found) == (
        4,
        4,
        {"Shelf": 2, "Good": 3},
        {"Shelf": 2, "Good": 1},
    )
    found = await place.rows("/api/goods?sort=code&expand=shelf")
    assert [one["shelf"]["name"] for one in found] == ["top", "low", "top"]
    shown = [
        {k: one[k] for k in ("code", "name", "slug", "number", "stock", "state", "tags", "secret", "worth")}
        for one in found
    ]
    chf = [{"amount": amount, "currency": "CHF"} for amount in (150, 123400, 150)]
    assert shown == [
        {"code": "a1", "name": "Tea", "slug": "tea", "number": 1, "stock": 5, "state": "new", "tags": ["a", "b"],
         "secret": "hush", "worth": chf[0]},
        {"code": "a2", "name": "Green tea", "slug": "green-tea", "number": 2, "stock": 0, "state": "new",
         "tags": ["a", "b"], "secret": "hush", "worth": chf[1]},
        {"code": "a3", "name": "a3", "slug": "a3", "number": 3, "stock": 1, "state": "new", "tags": ["a", "b"],
         "secret": "hush", "worth": chf[2]},
    ]  # fmt: skip
    assert found[0]["since"] == "2010-12-24T07:30:00.000000Z"
    assert [one["code"] for one in await place.rows("/api/goods?search=green")] == ["a2"]


async def test_the_fast_road_writes_what_the_road_of_a_request_writes(
    place: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = HEAD + "".join(line(f"g{n}", shelf=f"s{n % 3}", name=f"Name {n}") for n in range(150))
    with monkeypatch.context() as only_fast:
        only_fast.delattr(batches.Batches, "_create")
        await place.bring(GOODS, rows, name="fast.csv")
    fast = [change for change in await place.trial.facts() if change.model == "Good"]
    assert len(fast) == 150
    monkeypatch.setattr(batches, "can_add", lambda entity: False)
    slow_rows = rows.replace("\ng", "\nh")
    await place.bring(GOODS, slow_rows, name="slow.csv")
    slow = [change for change in await place.trial.facts(behind=fast[-1].position) if change.model == "Good"]
    keys = {change.record for change in (*fast, *slow)}

    def comparable(change: Any) -> Any:
        new = json.loads(change.new)
        kept = {
            k: v
            for k, v in new.items()
            if k not in ("id", "code", "number", "shelf", "secret", "created_at", "updated_at")
        }
        return change.action, change.version, change.actor, change.old, list(new), kept

    assert [comparable(change) for change in fast] == [comparable(change) for change in slow]
    assert len(keys) == 300
    assert [json.loads(change.new)["number"] for change in (*fast, *slow)] == list(range(1, 301))


async def test_bad_rows_go_into_their_file_and_the_good_ones_in(place: Market) -> None:
    text = (
        HEAD + line("ok1") + line("bad1", "ten") + line("bad2", '"-1,00"') + "too,few\n" + line("bad3", shelf="")
        + line("bad4", qty="2000") + line("ok2") + "bad\x005,n,1,top,1,,,\n"
    )  # fmt: skip
    tally = await place.bring(GOODS, text)
    assert tally.imported == 2
    assert tally.rejected == {
        "Good.price: bad_format": 1, "Good.price: out_of_range": 1, "row: wrong_type": 1, "Shelf.name: required": 1,
        "Good.stock: out_of_range": 1, "Good.code: bad_character": 1,
    }  # fmt: skip
    said = [(one["_rejected"]["line"], one["_rejected"]["reason"]) for one in place.rejects()]
    assert [where for where, _ in said] == [3, 4, 5, 6, 7, 9]
    assert place.rejects()[0] | {"_rejected": None} == {
        "_rejected": None, "code": "bad1", "name": "Tea", "price": "ten", "shelf": "top", "qty": "1",
        "day": "24.12.2010 08:30", "tags": "a; b", "secret": "hush",
    }  # fmt: skip
    mended = (place.folder / "rejects.jsonl").read_text().replace('"ten"', '"10"')
    again = await place.bring(GOODS, mended.splitlines()[0], name="mended.jsonl")
    assert again.imported == 1
    assert [one["code"] for one in await place.rows("/api/goods?sort=code")] == ["bad1", "ok1", "ok2"]


async def test_a_row_that_only_the_database_refuses_is_named(place: Market) -> None:
    mapping = GOODS.replace('key = ["code"]\n', "").replace(', existing = "add"', "")
    codes = ["a", "b", "a", "c", "b", "d"]
    tally = await place.bring(mapping, HEAD + "".join(line(code) for code in codes))
    assert tally.rejected == {"Good.code: not_unique": 2}
    assert [one["_rejected"]["line"] for one in place.rejects()] == [4, 6]
    assert [one["code"] for one in await place.rows("/api/goods?sort=code")] == ["a", "b", "c", "d"]


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize(("batch", "deaths"), [(1, (1, 5, 9)), (7, (1, 3, 2))])
async def test_an_import_that_is_stopped_goes_on_and_does_nothing_twice(
    place: Market, monkeypatch: pytest.MonkeyPatch, batch: int, deaths: tuple[int, ...]
) -> None:
    rows = [line(f"g{n % 20}", "x" if n % 10 == 3 else '"1,00"', f"s{n % 4}") for n in range(60)]
    text = HEAD + "".join(rows)
    add, left = Bulk.add, [1]
    real = Importer._finish

    async def killed(self: Any, tx: Any, records: Any) -> None:
        await add(self, tx, records)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    async def killed_late(self: Importer) -> None:
        raise Killed

    monkeypatch.setattr(Bulk, "add", killed)
    for lives in deaths:
        left[0] = lives
        with pytest.raises(Killed):
            await place.importer(GOODS, text, batch=batch).run()
        with (place.folder / "rejects.jsonl").open("a") as file:
            file.write("what a killed process had written beyond what it kept")
    monkeypatch.setattr(Bulk, "add", add)
    monkeypatch.setattr(Importer, "_finish", killed_late)
    with pytest.raises(Killed):
        await place.importer(GOODS, text, batch=batch).run()
    monkeypatch.setattr(Importer, "_finish", real)
    tally = await place.importer(GOODS, text, batch=batch).run()
    assert (tally.rows, tally.imported, tally.rejected) == (60, 54, {"Good.price: bad_format": 6})
    assert len(place.rejects()) == 6
    found = await place.rows("/api/goods?limit=100")
    assert sum(one["stock"] for one in found) == 54
    assert tally.created["Good"] == len(found)
    changes = [one for one in await place.trial.facts() if one.model == "Good" and one.action == "create"]
    assert len(changes) == len(found)
    once_more = place.importer(GOODS, text, batch=batch)
    assert (await once_more.run()).rows == once_more.begun_at == 60


@pytest.mark.parametrize("behind", [0, 2])
async def test_of_two_at_once_one_stops(place: Market, monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    text = HEAD + "".join(line(f"g{n}") for n in range(6))
    first, second = (place.importer(GOODS, text, batch=2) for _ in range(2))
    real = first._commit

    async def commit(items: Any) -> None:
        if first.tally.rows == behind and not second.tally.done:
            await second.run()
        await real(items)

    monkeypatch.setattr(first, "_commit", commit)
    with pytest.raises(Stopped, match="Another process"):
        await first.run()
    assert len(await place.rows("/api/goods")) == 6


async def test_rules_hold_for_whoever_it_is_done_as(place: Market) -> None:
    await place.bring(GOODS, HEAD + line("a1"), name="goods.csv")
    ada = await place.trial.user("ada@example.com")
    actor = Actor(ada.id)
    tally = await place.bring(NOTES, "good,text\na1,Nice\nzz,Lost\na1,LOUD\na1,\n", name="notes.csv", actor=actor)
    assert tally.created == {"Note": 1}
    assert tally.rejected == {"Note.about: not_found": 1, "Note: shouting": 1, "Note.text: required": 1}
    denied = await place.bring(GOODS, HEAD + line("a2"), name="more.csv", actor=actor)
    assert denied.rejected == {"Good: denied": 1}
    server_set = NOTES + 'author = { column = "who", find = "email" }\n'
    text = "good,text,who\na1,Hello,ada@example.com\n"
    refused = await place.bring(server_set, text, name="n2.csv", actor=actor)
    assert refused.rejected == {"Note.author: read_only": 1}


async def test_hooks_run_unless_they_shall_not(place: Market) -> None:
    await place.bring(GOODS, HEAD + line("a1"), name="goods.csv")
    mapping = NOTES + 'author = { column = "who", find = "email" }\n'
    await place.trial.user("ada@example.com")
    text = "good,text,who\na1,LOUD,ada@example.com\n"
    assert (await place.bring(mapping, text)).rejected == {"Note: shouting": 1}
    assert (await place.bring(mapping, text, hooks=False, name="other.csv", batch=3)).rejected == {"Note: shouting": 1}
    again = place.importer(mapping, text, hooks=False)
    assert (await again.run(again=True)).created == {"Note": 1}


async def test_what_is_there_is_changed_only_where_it_differs(place: Market) -> None:
    mapping = GOODS.replace('key = ["code"]', 'key = ["code"]\nexisting = "update"').replace(', existing = "add"', "")
    await place.bring(mapping, HEAD + line("a1") + line("a2"))
    before = (await place.trial.facts())[-1].position
    tally = await place.bring(mapping, HEAD + line("a1") + line("a2", qty="9") + line("a3"), name="new.csv")
    assert (tally.created, tally.updated) == ({"Good": 1}, {"Good": 1})
    changes = [(one.model, one.action, one.version) for one in await place.trial.facts(behind=before)]
    assert sorted(changes) == [("Good", "create", 1), ("Good", "update", 2)]
    assert [one["stock"] for one in await place.rows("/api/goods?sort=code")] == [1, 9, 1]


async def test_a_dry_run_counts_and_leaves_nothing(place: Market) -> None:
    text = HEAD + "".join(line(f"g{n % 5}") for n in range(12)) + line("bad", "x")
    dry = await place.bring(GOODS, text, dry=True, batch=3)
    assert (dry.created, dry.rejected) == ({"Shelf": 1, "Good": 5}, {"Good.price: bad_format": 1})
    assert await place.rows("/api/goods") == await place.rows("/api/shelfs") == place.rejects() == []
    real = await place.bring(GOODS, text, batch=3)
    assert msgspec.structs.replace(real, bytes=0, updated={}) == msgspec.structs.replace(dry, updated={})


async def test_numbers_that_were_imported_are_not_given_again(place: Market) -> None:
    mapping = GOODS + 'number = "secret"\n'.replace("secret", "no")
    mapping = mapping.replace('secret = "secret"\n', "")
    await place.bring(mapping, "code,name,price,shelf,qty,day,tags,no\na1,Tea,1,top,1,,,536365\n")
    await place.bring(GOODS, HEAD + line("a2"), name="more.csv")
    assert [one["number"] for one in await place.rows("/api/goods?sort=number")] == [536365, 536366]


async def test_people_come_in_without_a_way_to_sign_in(place: Market) -> None:
    fields = 'email = { column = "mail", change = ["trim"] }\nname = "name"\n'
    mapping = '[[record]]\nmodel = "User"\nkey = ["email"]\n[record.fields]\n' + fields
    tally = await place.bring(mapping, "mail,name\n Ada@Example.COM ,Ada\nada@example.com,Twice\nnobody,X\n")
    assert (tally.created, tally.found) == ({"User": 1}, {"User": 1})
    assert tally.rejected == {"User.email: bad_format": 1}
    answer = await place.trial.post("/api/auth/login", {"email": "ada@example.com", "password": "a long password"})
    answer.refused("invalid_credentials")


async def test_dirt_is_counted_skipped_or_rejected(place: Market) -> None:
    dirt = """
[[dirt]]
name = "a sample"
when = { column = "qty", equals = 0 }
do = "skip"
[[dirt]]
name = "returned"
when = { column = "qty", less_than = 0 }
do = "reject"
[[dirt]]
name = "no name"
when = [{ column = "name", is = "empty" }, { column = "code", matches = "^a" }]
do = "count"
"""
    text = (
        HEAD
        + line("a1", qty="0")
        + line("a2", qty="-3")
        + line("a3", name="")
        + line("b4", name="")
        + line("a5", qty="?")
    )
    mapping = GOODS.replace("default = 0,", 'default = 7, bad = "default",')
    tally = await place.bring(mapping + dirt, text)
    assert tally.skipped == {"a sample": 1}
    assert tally.rejected == {"returned": 1}
    assert tally.counted == {"no name": 1}
    assert tally.defaulted == {"stock: wrong_type": 1}
    assert [one["stock"] for one in await place.rows("/api/goods?sort=code")] == [1, 7, 1]


async def test_json_is_read_along_paths(place: Market) -> None:
    documents = [{"good": {"code": "j1"}, "price": "2", "shelf": "top", "n": 3}, "no object"]
    mapping = """
[[record]]
model = "Shelf"
key = ["name"]
[record.fields]
name = "shelf"
[[record]]
model = "Good"
[record.fields]
code = "good.code"
price = { column = "price", change = [{ minor_units = 2 }], times = "n" }
shelf = { record = "Shelf" }
"""
    whole = await place.bring(mapping, json.dumps(documents), name="d.json")
    assert (whole.imported, whole.rejected) == (1, {"row: wrong_type": 1})
    assert [one["price"]["amount"] for one in await place.rows("/api/goods")] == [600]
