"""Values of every kind look alike wherever they stand, and lose nothing on the way: in fields, in lists, sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

import jsonschema
import msgspec
import pytest
from annotated_types import Ge, MaxLen

from backstay import App, BigInt, Digits, Encrypted, Json, Model, Rules, User, anyone, contains
from backstay.errors import DeclarationError
from backstay.testing import Trial

Weight = Annotated[Decimal, Digits(8, 3)]
GREATEST = 2**63 - 1
MOMENT = "2026-11-22T09:30:00Z"


class Bag(Model):
    big: BigInt = 0
    bigs: list[BigInt] = []  # noqa: RUF012
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ats: list[datetime] = []  # noqa: RUF012
    clock: time = time(1)
    clocks: list[time] = []  # noqa: RUF012
    took: timedelta = timedelta(0)
    tooks: list[timedelta] = []  # noqa: RUF012
    weight: Weight = Decimal("0.000")
    weights: list[Weight] = []  # noqa: RUF012
    day: date = date(2026, 1, 1)
    days: list[date] = []  # noqa: RUF012
    yes: bool = False
    yeses: list[bool] = []  # noqa: RUF012
    ratio: float = 0.0
    ratios: list[float] = []  # noqa: RUF012
    word: str = ""
    words: list[str] = []  # noqa: RUF012
    sealed: Encrypted[list[BigInt]] | None = None
    moments: Encrypted[list[datetime]] | None = None

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone)


class Held(Model):
    """Seen where its list has what its own field holds."""

    big: BigInt
    bigs: list[BigInt]
    at: datetime
    ats: list[datetime]
    took: timedelta
    tooks: list[timedelta]
    weight: Weight
    weights: list[Weight]
    whole: int = 7
    wholes: list[int] = [7]  # noqa: RUF012
    seven: BigInt = 7

    def rules(self, me: User) -> Rules:
        held = contains(self.bigs, self.big) & contains(self.ats, self.at)
        more = contains(self.tooks, self.took) & contains(self.weights, self.weight)
        mixed = contains(self.bigs, self.whole) & contains(self.wholes, self.seven)
        return Rules(read=held & more & mixed, create=anyone)


SENT: dict[str, tuple[Any, Any]] = {
    "big": (str(GREATEST), str(GREATEST)),
    "at": (MOMENT, "2026-11-22T09:30:00.000000Z"),
    "clock": ("14:30:00", "14:30:00.000000"),
    "took": ("PT1H30M", "PT5400S"),
    "weight": ("1.5", "1.500"),
    "day": ("2026-11-22", "2026-11-22"),
    "yes": (True, True),
    "ratio": (0.25, 0.25),
    "word": ('"a\\é', '"a\\é'),
}  # fmt: skip
SEVERAL = {name: "tooks" if name == "took" else "yeses" if name == "yes" else f"{name}s" for name in SENT}


@pytest.fixture(params=["sqlite", "postgres"])
async def t(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Trial]:
    address = f"sqlite:///{tmp_path}/values.db"
    if request.param == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres_database")
        address = make("values_of_kinds")
    async with Trial(App("values", models=[Bag, Held]), address) as trial:
        yield trial


def where(condition: Any) -> str:
    return f"where={quote(msgspec.json.encode(condition).decode())}"


@pytest.mark.parametrize("name", list(SENT))
async def test_an_entry_of_a_list_has_the_form_that_the_value_has_alone(t: Trial, name: str) -> None:
    sent, answered = SENT[name]
    many = SEVERAL[name]
    made = (await t.post("/api/bags", {name: sent, many: [sent, sent]})).ok().json
    assert made[name] == answered
    assert made[many] == [answered, answered]
    again = (await t.get(f"/api/bags/{made['id']}")).ok()
    assert again.json[many] == [answered, answered]
    changed = (await t.request("PATCH", f"/api/bags/{made['id']}", {many: again.json[many]})).ok().json
    assert changed[many] == [answered, answered]
    document = (await t.get("/openapi.json")).ok().json
    shown = document["components"]["schemas"]["BagPart"]["properties"][many]
    jsonschema.Draft202012Validator(shown).validate(changed[many])


@pytest.mark.parametrize("name", list(SENT))
async def test_a_list_is_asked_for_an_entry_in_any_form_that_means_it(t: Trial, name: str) -> None:
    sent, answered = SENT[name]
    many = SEVERAL[name]
    there = (await t.post("/api/bags", {many: [sent]})).ok().json["id"]
    await t.post("/api/bags", {})
    for value in (sent, answered):
        data = (await t.get(f"/api/bags?fields=id&{where({many: {'contains': value}})}")).ok().json["data"]
        assert data == [{"id": there}]


async def test_neighbours_beyond_2_to_the_53_stay_apart(t: Trial) -> None:
    """A reader whose numbers are floats takes 2^53 and 2^53 + 1 for one number: so each is sent as a text."""
    numbers = [2**53, 2**53 + 1, -(2**53) - 1, GREATEST, -GREATEST, 0]
    made = (await t.post("/api/bags", {"bigs": numbers, "sealed": [str(number) for number in numbers]})).ok()
    expected = [str(number) for number in numbers]
    assert made.json["bigs"] == made.json["sealed"] == expected
    for number, found in ((2**53, 1), (2**53 + 1, 1), (2**53 + 2, 0), (GREATEST, 1), (GREATEST - 1, 0)):
        for said in (number, str(number)):
            data = (await t.get(f"/api/bags?{where({'bigs': {'contains': said}})}")).ok().json["data"]
            assert len(data) == found, said
    (await t.post("/api/bags", {"bigs": [GREATEST + 1]})).refused("invalid")


async def test_own_code_gets_the_very_values(t: Trial) -> None:
    numbers = [2**53 + 1, -GREATEST]
    moments = [datetime(2026, 11, 22, 9, 30, 0, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]
    async with t.transaction() as tx:
        made = await tx.create(Bag(bigs=numbers, sealed=numbers, ats=moments, moments=moments, tooks=[timedelta(-1)]))
        found = await tx.get(Bag, made.id)
    assert (found.bigs, found.sealed) == (numbers, numbers)
    assert (found.ats, found.moments) == (moments, moments)
    assert found.tooks == [timedelta(-1)]
    shown = (await t.get(f"/api/bags/{made.id}")).ok().json
    assert shown["ats"] == shown["moments"] == ["2026-11-22T09:30:00.000001Z", "0001-01-01T00:00:00.000000Z"]
    assert shown["tooks"] == ["-PT86400S"]


async def test_a_rule_compares_entries_with_another_field(t: Trial) -> None:
    good: dict[str, Any] = {
        "big": 2**53 + 1, "bigs": [2**53 + 1, 7], "at": MOMENT, "ats": [MOMENT], "took": "PT1H", "tooks": ["PT3600S"],
        "weight": "1.5", "weights": ["1.500"],
    }  # fmt: skip
    wrong: dict[str, Any] = {
        "bigs": [2**53, 7],
        "wholes": [8],
        "whole": 8,
        "ats": ["2026-11-22T09:30:00.000001Z"],
        "tooks": ["PT1S"],
        "weights": ["1.501"],
    }
    await t.post("/api/helds", good)
    for name, value in wrong.items():
        await t.post("/api/helds", {**good, name: value})
    data = (await t.get("/api/helds")).ok().json["data"]
    assert [one["bigs"] for one in data] == [[str(2**53 + 1), "7"]]


def refused(hint: Any) -> str:
    made = type("Thing", (Model,), {"__annotations__": {"it": hint}, "__module__": __name__})
    with pytest.raises(DeclarationError) as caught:
        App("refused", models=[made])
    return str(caught.value)


def test_a_constraint_that_would_not_be_kept_is_refused_where_it_is_declared() -> None:
    said = refused(Annotated[Json, MaxLen(20)])
    assert "Thing.it: max_length=20 says nothing of a field that holds any JSON." in said
    assert "list[str] with MaxLen" in said
    for hint, words in (
        (Annotated[bool, Ge(1)], "true or false"), (Annotated[int, MaxLen(3)], "a whole number"),
        (Annotated[str, Ge("a")], "text"), (Annotated[list[int], Ge(1)], "a list"),
        (list[Annotated[Json, Ge(1)]], "JSON"),
        (Annotated[datetime, MaxLen(3)], "an instant"),
    ):  # fmt: skip
        assert words in refused(hint)
