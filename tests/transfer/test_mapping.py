"""Every mistake of a mapping is found before a row is read and says its place; every change does what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backstay.model.value import Money, Unfit
from backstay.transfer.change import BadMapping, change_of
from backstay.transfer.mapping import plain_mapping, read_mapping
from tests.transfer.market import app

SHELF = '[[record]]\nmodel = "Shelf"\n[record.fields]\nname = "shelf"\n'
GOOD = '[[record]]\nmodel = "Good"\n[record.fields]\ncode = "code"\nprice = "price"\nshelf = { record = "Shelf" }\n'


def test_a_mapping_without_mistakes_names_its_columns() -> None:
    mapping = read_mapping(SHELF + GOOD, app.schema)
    assert mapping.columns == ["shelf", "code", "price"]
    assert mapping.mark != read_mapping(SHELF + GOOD + "# another text\n", app.schema).mark


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[record", "is no TOML"),
        ("", "names no model"),
        (SHELF.replace("Shelf", "Shelv"), 'there is no model "Shelv". Did you mean "Shelf"?'),
        (SHELF.replace("name =", "nmae ="), 'Shelf has no field "nmae". Did you mean "name"?'),
        (SHELF.replace("[record.fields]", "kye = []\n[record.fields]"), 'unknown field "kye"'),
        (SHELF + SHELF, "there are two of them: give one a name"),
        (GOOD, 'there is no record "Shelf" before this one'),
        (SHELF + GOOD.replace("Shelf", "Shefl"), 'Did you mean "Shelf"?'),
        (SHELF + GOOD.replace('shelf = { record = "Shelf" }\n', ""), 'Good needs "shelf"'),
        (SHELF + GOOD.replace("shelf = {", "name = {"), '"Shelf" is a Shelf, and this field is none'),
        (SHELF + GOOD + 'name = { column = "a", value = "b" }\n', "one of column, value and record"),
        (SHELF + GOOD + 'name = { column = "a", find = "b" }\n', "find is for relations"),
        (SHELF + GOOD + 'name = { column = "a", bad = "default" }\n', "needs a default"),
        (SHELF + GOOD + 'name = { column = "a", existing = "add" }\n', "for numbers and money"),
        (SHELF + GOOD + 'name = { column = "a", change = ["trimm"] }\n', 'Did you mean "trim"?'),
        (SHELF.replace("[record.fields]", 'key = ["slug"]\n[record.fields]'), 'the key "slug" is no field'),
        (SHELF.replace("[record.fields]", 'existing = "update"\n[record.fields]'), "is found by a key"),
        (SHELF + '[[dirt]]\nname = "x"\ndo = "skip"\nwhen = { column = "a" }\n', "a condition says is, equals"),
        (
            SHELF + '[[dirt]]\nname = "x"\ndo = "skip"\nwhen = { column = "a", matches = "(a+)+$" }\n',
            "repeats a repetition",
        ),
    ],
)
def test_a_mistake_says_its_place(text: str, said: str) -> None:
    with pytest.raises(BadMapping) as raised:
        read_mapping(text, app.schema, "shop.toml")
    assert said in str(raised.value)
    assert "shop.toml" in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        ("trim", "  a b ", "a b"),
        ("squeeze", " a \n\t b ", "a b"),
        ("upper", "straße", "STRASSE"),
        ("title", "green TEA", "Green Tea"),
        ("slug", "Öl & Essig", "ol-essig"),
        ("exact_slug", "85123a", "85123a"),
        ("exact_slug", "85123A", "85123-x41"),
        ({"number": "comma"}, "1.234.567,89", "1234567.89"),
        ({"number": "comma"}, "-1 234,5", "-1234.5"),
        ({"number": "point"}, "+1,234.5", "1234.5"),
        ({"number": "point"}, "7", "7"),
        ({"minor_units": 2}, "2.55", 255),
        ({"minor_units": 2}, 2.5, 250),
        ({"minor_units": 0}, "12", 12),
        ({"minor_units": 2, "currency": "CHF"}, "-0.05", Money(-5, "CHF")),
        ({"date": "%d.%m.%Y"}, "24.12.2010", "2010-12-24"),
        ({"instant": "%d.%m.%Y %H", "zone": "Europe/London"}, "01.07.2010 08", datetime(2010, 7, 1, 7, tzinfo=UTC)),
        ({"instant": "%Y-%m-%dT%H:%M%z"}, "2010-07-01T08:30+0200", datetime(2010, 7, 1, 6, 30, tzinfo=UTC)),
        ({"split": ";"}, "a; b;;c", ["a", "b", "c"]),
        ({"split": " ", "part": -1}, "Ada King", "King"),
        ({"lookup": {"yes": True}, "other": False}, "no", False),
        ({"extract": "^C?([0-9]+)$"}, "C536379", "536379"),
        ({"extract": "[0-9]+"}, "no 17 of", "17"),
        ({"format": "customer-{}@x.invalid"}, "17", "customer-17@x.invalid"),
    ],
)  # fmt: skip
def test_a_change_does_what_it_says(spec: Any, before: Any, after: Any) -> None:
    assert change_of(spec, "here")(before) == after


@pytest.mark.parametrize(
    ("spec", "cell", "code"),
    [
        ({"number": "comma"}, "1,234.5", "bad_format"),
        ({"number": "comma"}, "1.23,4", "bad_format"),
        ({"number": "point"}, "1e9", "bad_format"),
        ({"minor_units": 2}, "2.555", "too_precise"),
        ({"minor_units": 2}, "NaN", "wrong_type"),
        ({"minor_units": 2}, "1e400", "wrong_type"),
        ({"date": "%d.%m.%Y"}, "31.02.2010", "bad_format"),
        ({"split": "-", "part": 2}, "a-b", "bad_format"),
        ({"lookup": {"yes": True}}, "no", "not_a_choice"),
        ({"extract": "^[0-9]+$"}, "x" * 10_001, "bad_format"),
    ],
)
def test_what_cannot_be_changed_is_refused(spec: Any, cell: str, code: str) -> None:
    with pytest.raises(Unfit) as raised:
        change_of(spec, "here")(cell)
    assert raised.value.code == code


@pytest.mark.parametrize(
    "spec",
    [
        "date", {"date": 5}, {"number": "dot"}, {"minor_units": "2"}, {"extract": "(a+)+"}, {"extract": "("},
        {"format": "none"}, {"instant": "%H", "zone": "Mars/Base"}, {"split": ""}, {"lookup": 3},
        {"trim": True}, {"minor_units": 2, "curency": "EUR"},
    ],
)  # fmt: skip
def test_a_change_that_is_none_is_refused_at_once(spec: Any) -> None:
    with pytest.raises(BadMapping, match=r"^here"):
        change_of(spec, "here")


def test_exact_slugs_differ_wherever_texts_do() -> None:
    texts = ["a", "A", "a-", "-a", "a a", "aA", "Aa", "a.a", "a_a", "x41", "A1", "ß", "ss", "85123a", "85123A"]
    slugs = [change_of("exact_slug", "")(text) for text in texts]
    assert len({*slugs}) == len(texts)


def test_columns_that_are_called_like_fields_need_no_mapping() -> None:
    good = app.schema.entities["Good"]
    mapping = plain_mapping(good, ["code", "price", "shelf.name"])
    assert mapping.steps[0].key == ("code",)
    assert plain_mapping(good, ["id", "code", "price", "shelf.name"]).steps[0].key == ("id",)
    wrong = ((["code", "price"], 'needs "shelf"'), (["code", "price", "shelf", "pirce"], 'no field "pirce"'))
    for columns, said in wrong:
        with pytest.raises(BadMapping, match=said):
            plain_mapping(good, columns)
