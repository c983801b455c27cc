"""Answers that were wrong once, each found by a random question and asked here in its smallest form."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from backstay.errors import BadRequest, DeclarationError
from backstay.model.declare import Model
from backstay.model.predicate import (
    ANYONE,
    And,
    Arithmetic,
    Choice,
    Compare,
    Condition,
    IsNull,
    Not,
    Path,
    Quantified,
    Search,
    Total,
    Value,
    lift,
)  # fmt: skip
from backstay.model.rule import Many, Rules, anyone, choose, coalesce, computed, many, searchable
from backstay.model.schema import declare
from backstay.model.value import Currency, Digits, Money, Slug
from backstay.plan.actor import ANONYMOUS
from backstay.plan.ask import Aggregate, Ask, Listing, Measure, Selection, Sort
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore
from tests.oracle.world import World, settle

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Maker(Model):
    name: str
    products: "Many[Product]" = many()

    def rules(self, me: Any) -> Rules:
        return Rules(read=anyone)


class Product(Model):
    name: str
    code: Slug
    note: str | None
    maker: Maker | None
    price: Annotated[Money, Currency("EUR")] | None
    cost: Money | None
    weight: Annotated[Decimal, Digits(8, 2)]
    tare: Annotated[Decimal, Digits(9, 3)]
    pieces: int
    last_day: date
    last_moment: datetime
    lead: timedelta
    size: Literal["s", "m"]
    grade: Literal[1, 2]
    sizes: list[Annotated[Decimal, Digits(6, 2)]]
    moments: list[datetime]
    related: "Many[Product]" = many(through=True)

    def rules(self, me: Any) -> Rules:
        return Rules(read=anyone)

    def indexes(self) -> Any:
        return [searchable(self.note)]

    @computed
    def mark(self) -> str:
        return choose(self.pieces > 1, self.code, 'a"b\\')

    @computed
    def siblings(self) -> int:
        return self.maker.products.count()  # type: ignore[union-attr]

    @computed
    def pieces_of_siblings(self) -> int:
        return self.maker.products.sum(lambda it: it.pieces)  # type: ignore[union-attr]

    @computed
    def kind(self) -> str:
        return choose(self.pieces > 1, coalesce(self.note, self.name), self.name)


def key(number: int) -> str:
    return str(UUID(int=number))


def product(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": key(number), "created_at": NOON, "updated_at": NOON, "name": f"p{number}",
        "code": ("first", "second", "third")[number - 1], "note": None, "maker": None,
        "price": None, "cost": None, "weight": Decimal("1.50"), "tare": Decimal("1.500"), "pieces": number,
        "last_day": date.max, "last_moment": datetime.max.replace(tzinfo=UTC), "lead": timedelta(seconds=number),
        "size": "s", "grade": 1, "sizes": [], "moments": [], **values,
    }  # fmt: skip


ROWS: dict[str, list[dict[str, Any]]] = {
    "User": [],
    "Maker": [{"id": key(90), "created_at": NOON, "updated_at": NOON, "name": "m"}],
    "Product": [
        product(1, maker=key(90), note="tea", price=Money(100, "EUR"), cost=Money(5, "EUR")),
        product(2, maker=key(90), sizes=[Decimal("1.50")], moments=[NOON], cost=Money(5, "USD")),
        product(3, note="--", weight=Decimal("20.00"), tare=Decimal("3.000"), price=Money(50, "EUR"), size="m"),
    ],
    "ProductRelated": [
        {"id": key(80), "created_at": NOON, "updated_at": NOON, "product": key(1), "other_product": key(2)}
    ],
}


@pytest.fixture(params=["sqlite", "postgres"])
async def engine(request: pytest.FixtureRequest, postgres_database: Callable[[str], str]) -> AsyncIterator[Engine]:
    schema = declare([Maker, Product])
    store: Store = SQLiteStore(":memory:") if request.param == "sqlite" else PostgresStore(postgres_database("answers"))
    await store.open()
    await settle(World(0, schema, ROWS, [], ["User", "Maker", "Product", "ProductRelated"]), store)
    yield Engine(schema, store, Limits(), lambda: NOON)
    await store.close()


async def read(engine: Engine, *fields: str, where: Condition | None = None) -> list[Any]:
    """The named fields of the products that satisfy a condition, by name."""
    values: list[Any] = []
    asked = lift(where, values) if where is not None else Value(None)
    selection = Selection(False, tuple((name, name) for name in fields))
    root = Listing("Product", selection, sort=(Sort(("name",)),))
    if where is not None:
        root = Listing("Product", selection, asked, (Sort(("name",)),))  # type: ignore[arg-type]
    (found,) = await engine.read(Ask((root,), tuple(values)), ANONYMOUS)
    return [tuple(row[name] for name in fields) for row in map(msgspec.json.decode, found.rows)]


async def names(engine: Engine, where: Condition) -> list[str]:
    return [name for (name,) in await read(engine, "name", where=where)]


async def numbers(engine: Engine, *measures: Measure, group_by: tuple[tuple[str, ...], ...] = ()) -> Any:
    (found,) = await engine.read(Ask((Aggregate("Product", group_by, measures),)), ANONYMOUS)
    return [msgspec.json.decode(row) for row in found.rows]


async def test_a_total_over_the_relation_of_a_related_record(engine: Engine) -> None:
    assert await read(engine, "siblings", "pieces_of_siblings") == [(2, 3), (2, 3), (0, 0)]


async def test_a_total_of_values_from_outside_stays_inside(engine: Engine) -> None:
    outside = Total("max", Path(("products",)), Path(("name",)), ANYONE)
    root = Listing("Maker", Selection(False, (("name", "name"),)), Not(IsNull(outside)))
    (found,) = await engine.read(Ask((root,)), ANONYMOUS)
    assert [msgspec.json.decode(row) for row in found.rows] == [{"name": "m"}]
    assert (await numbers(engine, Measure("n", "count"))) == [{"n": 3}]


async def test_parameters_that_are_not_needed_are_left_out(engine: Engine) -> None:
    inner = Arithmetic("add", (Path(("pieces",)), Value(1)))
    twice = Arithmetic("add", (Path(("pieces",)), inner))
    assert await names(engine, Compare("gt", twice, Value(4))) == ["p2", "p3"]
    chosen = Choice(Compare("eq", Path(("name",)), Value("p1")), Value(10), inner)
    assert await names(engine, Compare("gte", chosen, Value(4))) == ["p1", "p3"]


async def test_the_last_day_is_a_day(engine: Engine) -> None:
    assert (await read(engine, "last_day", "last_moment"))[0] == ("9999-12-31", "9999-12-31T23:59:59.999999Z")
    assert await names(engine, Compare("in", Path(("last_day",)), Value([date.max]))) == ["p1", "p2", "p3"]


async def test_a_negated_search_finds_records_without_words(engine: Engine) -> None:
    assert await names(engine, Not(Search(Value("tea")))) == ["p2", "p3"]


async def test_no_price_has_no_currency(engine: Engine) -> None:
    assert await names(engine, IsNull(Path(("price", "currency")))) == ["p2"]


async def test_a_number_beside_money_means_minor_units(engine: Engine) -> None:
    price = Path(("price",))
    assert await names(engine, Compare("lt", price, Value(100))) == ["p3"]
    assert await names(engine, Compare("in", price, Value([100, Money(7, "EUR")]))) == ["p1"]
    engine.schema.entities["Product"].rules["read"] = Compare("gte", price, Value(100))
    engine._remembered.clear()
    assert [name for (name,) in await read(engine, "name")] == ["p1"]


async def test_decimals_of_two_scales_are_compared_by_value(engine: Engine) -> None:
    weight, tare = Path(("weight",)), Path(("tare",))
    assert await names(engine, Compare("eq", weight, tare)) == ["p1", "p2"]
    assert await names(engine, Compare("gt", weight, tare)) == ["p3"]
    total = Arithmetic("add", (weight, tare))
    assert await names(engine, Compare("eq", total, Value(Decimal("23.00")))) == ["p3"]


async def test_a_decimal_and_a_whole_number_are_added_by_value(engine: Engine) -> None:
    total = Arithmetic("add", (Path(("weight",)), Path(("pieces",))))
    assert await names(engine, Compare("eq", total, Value(Decimal("2.50")))) == ["p1"]


async def test_durations_are_added_up(engine: Engine) -> None:
    assert await numbers(engine, Measure("sum", "sum", ("lead",))) == [{"sum": "PT6S"}]


async def test_a_list_has_an_entry_of_any_kind(engine: Engine) -> None:
    assert await names(engine, Compare("contains", Path(("sizes",)), Value(Decimal("1.5")))) == ["p2"]
    assert await names(engine, Compare("contains", Path(("moments",)), Value(NOON))) == ["p2"]


async def test_choices_of_two_kinds_are_not_compared(engine: Engine) -> None:
    with pytest.raises(BadRequest, match="cannot be compared"):
        await names(engine, Compare("eq", Path(("size",)), Path(("grade",))))


async def test_a_group_within_a_group_is_refused(engine: Engine) -> None:
    with pytest.raises(BadRequest, match="maker"):
        await numbers(engine, Measure("n", "count"), group_by=(("maker",), ("maker", "name")))


async def test_nothing_lies_behind_a_computed_field(engine: Engine) -> None:
    with pytest.raises(BadRequest, match='no field "x"'):
        await names(engine, IsNull(Path(("siblings", "x"))))


async def test_amounts_of_two_currencies_are_not_taken_for_one(engine: Engine) -> None:
    distinct = Measure("n", "count_distinct", ("cost",))
    with pytest.raises(BadRequest, match="two currencies"):
        await numbers(engine, distinct)
    assert len(await numbers(engine, distinct, group_by=(("cost", "currency"),))) == 3


async def test_money_of_two_currencies_is_never_equal(engine: Engine) -> None:
    assert await names(engine, Compare("lte", Path(("cost",)), Path(("price",)))) == ["p1"]
    assert await names(engine, Compare("gte", Path(("price",)), Path(("cost",)))) == ["p1"]


async def test_decimals_are_multiplied_by_value(engine: Engine) -> None:
    product = Arithmetic("multiply", (Path(("weight",)), Path(("tare",))))
    assert await names(engine, Compare("eq", product, Value(Decimal("2.25")))) == ["p1", "p2"]


async def test_money_is_not_multiplied_by_a_fraction(engine: Engine) -> None:
    with pytest.raises(BadRequest, match="cannot be calculated"):
        await names(engine, IsNull(Arithmetic("multiply", (Path(("price",)), Path(("weight",))))))


async def test_a_hidden_relation_stays_hidden_from_the_record_it_leads_to(engine: Engine) -> None:
    maker = engine.schema.entities["Product"].fields["maker"]
    hidden = Compare("eq", Path(("name",)), Value("p1"))
    engine.schema.entities["Product"].fields["maker"] = replace(maker, read=hidden)
    seen = Quantified("some", Path(("products",)), Compare("eq", Path(("maker", "name"), 1), Value("m")))
    both = Total("count", Path(("products",)), None, Compare("eq", Path(("maker", "name"), 1), Value("m")))
    root = Listing("Maker", where=And((seen, Compare("eq", both, Value(1)))))
    (found,) = await engine.read(Ask((root,)), ANONYMOUS)
    assert len(found.rows) == 1


async def test_a_text_beside_a_slug_is_escaped(engine: Engine) -> None:
    assert await read(engine, "mark") == [('a"b\\',), ("second",), ("third",)]


def test_computed_money_has_one_currency() -> None:
    class Fee(Model):
        fee: Money

        @computed
        def twice(self) -> Money:
            return self.fee * 2

    with pytest.raises(DeclarationError, match="needs a fixed currency"):
        declare([Fee])


async def test_a_model_is_related_to_itself_through_a_model_made_for_it(engine: Engine) -> None:
    related = Quantified("some", Path(("related",)), Compare("eq", Path(("name",), 1), Value("p2")))
    assert await names(engine, related) == ["p1"]
