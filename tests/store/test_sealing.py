"""Encrypted fields: plain to whoever may read them through every way, and to nobody who reads the database."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import count
from typing import Annotated, Any
from uuid import UUID

import pytest
from annotated_types import Ge, Len

from backstay import (
    App,
    BadRequest,
    BigInt,
    Context,
    Currency,
    Digits,
    Email,
    Encrypted,
    Json,
    Limits,
    Many,
    Model,
    Money,
    Rules,
    SealedAs,
    Secret,
    Transaction,
    User,
    anyone,
    created,
    deleted,
    field,
    is_null,
    updated,
    was,
)
from backstay.app import open_store
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings
from backstay.store.keyring import KeyRing, Unreadable
from backstay.store.migrate import Behind
from backstay.store.rows import parts_of
from backstay.store.sealing import open_value, opened_values, seal, sealed_values
from backstay.testing import Answer, Person, Trial

_numbers = count()
IBAN, OTHER = "DE89370400440532013000", "FR7630006000011234567890189"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Branch(Model):
    name: str
    code: Encrypted[str]
    customers: Many["Customer"]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone)


class Customer(Model):
    """Its owner and the staff see it; the staff alone its score, its owner alone its diary."""

    name: str
    owner: User | None = None
    branch: Branch | None = None
    iban: Encrypted[Annotated[str, Len(15, 34)]]
    note: Encrypted[Json] | None = None
    email: Encrypted[Email] | None = None
    pin: Encrypted[Secret] | None = None
    score: Encrypted[Annotated[int, Ge(0)]] = 7
    diary: Encrypted[str] | None = None

    def rules(self, me: User) -> Rules:
        return Rules(
            read=anyone, create=anyone, update=anyone, delete=anyone,
            fields=[field(self.score, read=me.has_role("staff")), field(self.diary, read=self.owner == me)],
        )  # fmt: skip


class Sheet(Model):
    """Every kind twice, once in the clear."""

    text: str
    text_: Encrypted[str]
    integer: int
    integer_: Encrypted[int]
    big: BigInt
    big_: Encrypted[BigInt]
    real: float
    real_: Encrypted[float]
    decimal: Annotated[Decimal, Digits(12, 3)]
    decimal_: Encrypted[Annotated[Decimal, Digits(12, 3)]]
    boolean: bool
    boolean_: Encrypted[bool]
    day: date
    day_: Encrypted[date]
    clock: time
    clock_: Encrypted[time]
    instant: datetime
    instant_: Encrypted[datetime]
    length: timedelta
    length_: Encrypted[timedelta]
    key: UUID
    key_: Encrypted[UUID]
    document: Json
    document_: Encrypted[Json]
    words: list[str]
    words_: Encrypted[list[str]]
    days: list[date]
    days_: Encrypted[list[date]]
    colour: Colour
    colour_: Encrypted[Colour]
    price: Annotated[Money, Currency("EUR")]
    price_: Encrypted[Annotated[Money, Currency("EUR")]]
    worth: Money
    worth_: Encrypted[Money]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone)


def make_app() -> App:
    return App("bank", models=[Branch, Customer, Sheet])


Begin = Callable[..., Trial]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, postgres_database: Callable[[str], str]) -> str:
    return "sqlite://" if request.param == "sqlite" else postgres_database(f"sealed{next(_numbers)}")


@pytest.fixture
async def t(database: str) -> AsyncIterator[Trial]:
    async with Trial(make_app(), database) as trial:
        yield trial


async def stored(t: Trial, what: str = "iban", table: str = "customers") -> list[Any]:
    rows = await t.app.running.store.run(f'SELECT "{what}" FROM "{table}" ORDER BY id', ())
    return [value.decode() if isinstance(value, bytes) else value for (value,) in rows]


async def added(t: Trial, *, as_: Person | None = None, **values: Any) -> dict[str, Any]:
    answer = await t.post("/api/customers", {"name": "Ada", "iban": IBAN, **values}, as_=as_)
    record: dict[str, Any] = answer.ok().json
    return record


# Every kind, every way in and out.

VALUES: dict[str, list[Any]] = {
    "text": ["", 'a "quoted" \\ Ä \u2028 😀\n', "1.k.AAAA"],
    "integer": [0, -7, 2**53 - 1],
    "big": [str(-(2**63 - 1)), "0", "12"],
    "real": [0.1, -1e300, 5.0],
    "decimal": ["-0.001", "999999999.999", "0"],
    "boolean": [True, False, True],
    "day": ["0001-01-01", "9999-12-31", "2026-11-25"],
    "clock": ["00:00:00", "23:59:59.999999", "12:30:00.5"],
    "instant": ["0001-01-01T00:00:00Z", "2026-11-25T12:00:00.000001+02:00", "9999-12-31T23:59:59.999999Z"],
    "length": ["PT0S", "-PT1H30M0.000001S", "P400D"],
    "key": ["01890a5d-ac96-774b-bcce-b302099a8057", "01890A5D-AC96-774B-BCCE-B302099A8057", str(UUID(int=0))],
    "document": [{"a": [1, None, {"b": "Ä"}]}, "text", [1.5, True]],
    "words": [[], ["a", 'b"c'], ["Ä"]],
    "days": [[], ["2026-11-25"], ["0001-01-01", "9999-12-31"]],
    "colour": ["red", "blue", "red"],
    "price": [{"amount": 0, "currency": "EUR"}, {"amount": -5, "currency": "EUR"}, {"amount": 2, "currency": "EUR"}],
    "worth": [{"amount": 1, "currency": "USD"}, {"amount": 0, "currency": "JPY"}, {"amount": -9, "currency": "EUR"}],
}


async def test_every_kind_reads_as_its_plain_twin(t: Trial) -> None:
    for number in range(3):
        sent = {name: values[number] for name, values in VALUES.items()}
        sent |= {f"{name}_": value for name, value in sent.items()}
        made = (await t.post("/api/sheets", sent)).ok()
        key = made.json["id"]
        found = [made.json, (await t.get(f"/api/sheets/{key}")).ok().json]
        found += (await t.get(f"/api/sheets?id={key}")).ok().json["data"]
        assert len(found) == 3
        for record in found:
            for name in VALUES:
                assert record[name] == record[f"{name}_"], name
                assert name == "real" or type(record[name]) is type(record[f"{name}_"]), name
        async with t.transaction() as tx:
            sheets = [await tx.get(Sheet, key), *await tx.find(Sheet)]
            assert len(sheets) == number + 2
            for sheet in sheets:
                for name in VALUES:
                    assert getattr(sheet, name) == getattr(sheet, f"{name}_"), name


async def test_the_text_of_an_answer_is_the_same_too(t: Trial) -> None:
    """A client that compares texts sees no difference: digits after the point, fractions of a second, zones."""
    sent = {name: values[1] for name, values in VALUES.items()}
    await t.post("/api/sheets", sent | {f"{name}_": value for name, value in sent.items()})
    body = (await t.get("/api/sheets")).text
    decoder = json.JSONDecoder()
    for name in set(VALUES) - {"real", "document", "words", "days"}:  # the databases space these in their own ways
        texts = []
        for said in (f'"{name}":', f'"{name}_":'):
            start = body.index(said) + len(said)
            texts.append(body[start : decoder.raw_decode(body, start)[1]])
        assert texts[0] == texts[1], name


async def test_the_database_holds_none_of_it(t: Trial) -> None:
    secrets = [IBAN, "ada@secret.example", "4711-pin", "sekrit"]
    staff = await t.user("staff@example.com", roles=["staff"])
    await added(t, as_=staff, email=secrets[1], pin=secrets[2], note={"word": secrets[3]}, score=424242)
    await t.post("/api/branches", {"name": "North", "code": "sekrit-code"})
    texts = []
    for entity in t.app.schema.entities.values():
        names = await columns(t, entity.table)
        for name in names:
            texts += [str(value) for value in await stored(t, name, entity.table)]
    assert "Ada" in texts
    for secret in [*secrets, "sekrit-code", "424242"]:
        assert not [text for text in texts if secret.lower() in text.lower()], secret
    for name in ("iban", "email", "pin", "note", "score"):
        (text,) = await stored(t, name)
        assert text.startswith("1.secret-"), text
    assert await stored(t, "diary") == [None]
    assert not [name for name in await columns(t, "customers") if name.startswith(("iban__", "email__", "diary__"))]


async def columns(t: Trial, table: str) -> list[str]:
    if t.app.running.store.dialect.name == "sqlite":
        return [row[1] for row in await t.app.running.store.run(f'PRAGMA table_info("{table}")', ())]
    text = "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1::text"
    return [row[0].decode() for row in await t.app.running.store.run(text, (table,))]


async def test_it_is_read_wherever_records_are(t: Trial) -> None:
    branch = (await t.post("/api/branches", {"name": "North", "code": "N-1"})).ok().json
    made = [await added(t, branch=branch["id"], iban=iban) for iban in (IBAN, OTHER)]
    assert [one["iban"] for one in made] == [IBAN, OTHER]
    key = made[0]["id"]

    async def data(query: str) -> Any:
        return (await t.get(f"/api/{query}")).ok().json

    assert await data(f"customers/{key}?fields=iban") == {"iban": IBAN}
    assert (await data("customers?sort=id&fields=iban"))["data"] == [{"iban": IBAN}, {"iban": OTHER}]
    assert (await data("customers?sort=-id&limit=1&count=exact&fields=iban,email"))["data"] == [
        {"iban": OTHER, "email": None}
    ]
    assert (await data(f"customers/{key}?fields=iban,branch.code")) == {"iban": IBAN, "branch": {"code": "N-1"}}
    whole = await data(f"customers/{key}?expand=branch")
    assert (whole["iban"], whole["branch"]["code"]) == (IBAN, "N-1")
    inside = await data(f"branches/{branch['id']}?expand=customers.branch")
    assert [c["iban"] for c in inside["customers"]] == [IBAN, OTHER]
    assert [c["branch"]["code"] for c in inside["customers"]] == ["N-1", "N-1"]
    alone = await data(f"customers/{(await added(t))['id']}?expand=branch")
    assert alone["branch"] is None
    async with t.transaction() as tx:
        customer = await tx.get(Customer, key, expand=["branch.customers"])
        assert customer.iban == IBAN
        assert customer.branch is not None
        assert [c.iban for c in customer.branch.customers] == [IBAN, OTHER]


async def test_pages_go_on_behind_a_cursor(t: Trial) -> None:
    for number in range(5):
        await added(t, iban=f"{IBAN}{number}")
    seen, path = [], "/api/customers?limit=2&fields=iban"
    while path:
        page = (await t.get(path)).ok().json
        seen += [one["iban"] for one in page["data"]]
        cursor = page["meta"]["next_cursor"]
        path = f"/api/customers?limit=2&fields=iban&cursor={cursor}" if cursor else ""
    assert seen == [f"{IBAN}{number}" for number in range(5)]


async def test_it_is_written_by_every_kind_of_write(t: Trial) -> None:
    key = (await added(t))["id"]
    assert (await t.patch(f"/api/customers/{key}", {"iban": OTHER})).ok().json["iban"] == OTHER
    put = await t.request("PUT", f"/api/customers/{key}", {"name": "Ada", "iban": IBAN, "note": [1]})
    assert (put.ok().json["iban"], put.json["note"]) == (IBAN, [1])
    fresh = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert (await t.request("PUT", f"/api/customers/{fresh}", {"name": "Bo", "iban": OTHER})).status == 201
    assert (await t.get(f"/api/customers/{fresh}?fields=iban")).json == {"iban": OTHER}
    many = (await t.post("/api/customers", [{"name": "C", "iban": IBAN}, {"name": "D", "iban": OTHER}])).ok()
    assert [one["iban"] for one in many.json["data"]] == [IBAN, OTHER]
    steps = [
        {"method": "PATCH", "path": f"/api/customers/{key}", "body": {"iban": OTHER}},
        {"method": "POST", "path": "/api/customers", "body": {"name": "E", "iban": IBAN}},
    ]
    answer = await t.post("/api/batch", {"operations": steps})
    if answer.status == 400:  # the form of a batch is not what this test is about
        answer = await t.post("/api/batch", steps)
    answer.ok()
    assert (await t.get(f"/api/customers/{key}?fields=iban")).json == {"iban": OTHER}
    assert all(text.startswith("1.secret-") for text in await stored(t))
    async with t.transaction() as tx:
        made = await tx.create(Customer(name="F", iban=IBAN))
        assert made.iban == IBAN
        assert (await tx.update(made, iban=OTHER)).iban == OTHER


async def test_values_are_checked_before_they_are_sealed(t: Trial) -> None:
    staff = await t.user("staff@example.com", roles=["staff"])
    sent = {"name": "Ada", "iban": "kurz", "email": "none", "score": -1}
    wrong = await t.post("/api/customers", sent, as_=staff)
    assert sorted((e["path"], e["code"]) for e in wrong.refused("invalid").json["errors"]) == [
        ("email", "bad_format"), ("iban", "too_short"), ("score", "out_of_range"),
    ]  # fmt: skip
    assert "kurz" not in wrong.text
    missing = await t.post("/api/customers", {"name": "Ada"})
    assert [(e["path"], e["code"]) for e in missing.refused("invalid").json["errors"]] == [("iban", "required")]
    null = await t.patch(f"/api/customers/{(await added(t))['id']}", {"iban": None})
    assert [(e["path"], e["code"]) for e in null.refused("invalid").json["errors"]] == [("iban", "required")]


async def test_what_is_not_named_is_not_sealed_again(t: Trial) -> None:
    key = (await added(t))["id"]
    before = await stored(t)
    await t.patch(f"/api/customers/{key}", {"name": "Bea"})
    assert await stored(t) == before
    await t.patch(f"/api/customers/{key}", {"iban": IBAN})
    assert await stored(t) != before
    assert (await t.get(f"/api/customers/{key}")).json["name"] == "Bea"


async def test_equal_values_look_different_where_they_are_stored(t: Trial) -> None:
    for _ in range(3):
        await added(t)
    assert len(set(await stored(t))) == 3


# What cannot be done with it.

REFUSED = {
    "customers?iban=x": "invalid_filter",
    "customers?iban[is_null]=true": "invalid_filter",
    "customers?iban[contains]=x": "invalid_filter",
    'customers?where={"iban":"x"}': "invalid_filter",
    'customers?where={"not":{"iban":{"in":["x"]}}}': "invalid_filter",
    'customers?where={"or":[{"name":"x"},{"iban":{"is_null":false}}]}': "invalid_filter",
    "customers?branch.code=x": "invalid_filter",
    "customers?score[gt]=3": "unknown_field",
    'branches?where={"customers":{"some":{"iban":"x"}}}': "invalid_filter",
    "customers?sort=iban": "invalid_sort",
    "customers?sort=-branch.code": "invalid_sort",
    "branches?expand=customers&expand[customers][sort]=iban": "invalid_sort",
    "customers/aggregate?group_by=iban&count=*": "invalid_filter",
    "customers/aggregate?group_by=branch.code&count=*": "invalid_filter",
    "customers/aggregate?count=iban": "invalid_filter",
    "customers/aggregate?count_distinct=iban": "invalid_filter",
    "customers/aggregate?min=iban": "invalid_filter",
    "sheets/aggregate?sum=integer_": "invalid_filter",
    "sheets?worth_.amount=1": "invalid_filter",
    "sheets?day_.year=2026": "invalid_filter",
    "sheets?words_[contains]=a": "invalid_filter",
}


@pytest.mark.parametrize("query", REFUSED)
async def test_it_cannot_be_asked_for(query: str, t: Trial) -> None:
    await added(t)
    answer = (await t.get(f"/api/{query}")).refused(REFUSED[query])
    assert answer.status == 400
    if REFUSED[query] != "unknown_field":
        assert "is encrypted" in answer.json["detail"]


async def test_your_own_code_cannot_ask_for_it_either(t: Trial) -> None:
    await added(t)
    async with t.transaction() as tx:
        (customer,) = await tx.find(Customer)
        for work in (
            lambda: tx.find(Customer, lambda c: c.iban == IBAN),
            lambda: tx.exists(Customer, lambda c: ~is_null(c.iban)),
            lambda: tx.find(Customer, sort="iban"),
            lambda: tx.update(customer, name="x", where=lambda c: c.iban == IBAN),
            lambda: tx.delete(customer, where=lambda c: c.iban == IBAN),
            lambda: tx.update(customer, name=lambda c: c.iban),
        ):
            with pytest.raises(BadRequest, match=r"encrypted|expression"):
                await work()
        with pytest.raises(BadRequest, match="cannot be set by an expression"):
            await tx.update(customer, score=lambda c: c.score + 1)
        with pytest.raises(BadRequest, match="cannot be set by an expression"):
            await tx.update(customer, iban=lambda c: c.name)
    async with t.transaction() as tx:
        assert (await tx.find(Customer))[0].name == "Ada"


# Rules on it.


async def test_who_may_see_it(t: Trial) -> None:
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
    staff = await t.user("staff@example.com", roles=["staff"])
    async with t.transaction() as tx:
        made = Customer(name="Ada", iban=IBAN, owner=ada.me, diary="dear diary", score=3, pin="4711")
        key = (await tx.create(made)).id

    async def seen(who: Any) -> Any:
        one = (await t.get(f"/api/customers/{key}", as_=who)).ok().json
        (listed,) = (await t.get("/api/customers", as_=who)).ok().json["data"]
        assert one == listed
        assert "pin" not in one
        return {name: one.get(name, "absent") for name in ("diary", "score", "iban")}

    assert await seen(ada) == {"diary": "dear diary", "score": "absent", "iban": IBAN}
    assert await seen(bob) == {"diary": None, "score": "absent", "iban": IBAN}
    assert await seen(staff) == {"diary": None, "score": 3, "iban": IBAN}
    assert await seen(None) == {"diary": "absent", "score": "absent", "iban": IBAN}
    for query in ("fields=score", "score=3", "sort=score"):
        answer = (await t.get(f"/api/customers?{query}", as_=bob)).refused("unknown_field")
        assert "encrypted" not in answer.text


# Hooks.


async def test_hooks_see_it_and_set_it(database: str) -> None:
    app, said = make_app(), []

    @app.before_create(Customer)
    async def tidy(tx: Transaction, customer: Customer) -> None:
        customer.iban = customer.iban.replace(" ", "")
        said.append(("before_create", customer.iban))

    @app.after_create(Customer)
    async def created(tx: Transaction, customer: Customer) -> None:
        said.append(("after_create", customer.iban))
        assert (await tx.get(Customer, customer.id)).iban == customer.iban

    @app.before_update(Customer)
    async def changing(tx: Transaction, customer: Customer, old: Customer) -> None:
        said.append(("before_update", old.iban, customer.iban, customer.score))
        customer.note = {"was": old.iban}

    @app.after_update(Customer)
    async def changed(tx: Transaction, customer: Customer, old: Customer) -> None:
        said.append(("after_update", old.iban, customer.iban, customer.note))

    @app.before_delete(Customer)
    async def ending(tx: Transaction, customer: Customer) -> None:
        said.append(("before_delete", customer.iban))

    async with Trial(app, database) as t:
        key = (await added(t, iban="DE89 3704 0044 0532 0130 00"))["id"]
        changed_to = await t.patch(f"/api/customers/{key}", {"iban": OTHER})
        assert changed_to.ok().json["note"] == {"was": IBAN}
        assert (await t.get(f"/api/customers/{key}")).json["iban"] == OTHER
        await t.delete(f"/api/customers/{key}")
    assert said == [
        ("before_create", IBAN), ("after_create", IBAN), ("before_update", IBAN, OTHER, 7),
        ("after_update", IBAN, OTHER, {"was": IBAN}), ("before_delete", OTHER),
    ]  # fmt: skip


async def test_a_hook_sets_nothing_that_does_not_fit(database: str) -> None:
    app = make_app()

    @app.before_create(Customer)
    async def spoil(tx: Transaction, customer: Customer) -> None:
        customer.iban = "short"

    async with Trial(app, database) as t:
        (await t.post("/api/customers", {"name": "Ada", "iban": IBAN})).refused("invalid")


# Entity tags.


async def test_a_tag_stays_while_nothing_changes_and_says_nothing_of_the_text(t: Trial) -> None:
    key = (await added(t))["id"]
    for path in (f"/api/customers/{key}", "/api/customers?count=exact"):
        first, second = await t.get(path), await t.get(path)
        assert first.headers["etag"] == second.headers["etag"]
        assert (await t.get(path, headers={"If-None-Match": first.headers["etag"]})).status == 304
    tags = {path: (await t.get(path)).headers["etag"] for path in (f"/api/customers/{key}", "/api/customers")}
    # The same text sealed again is another tag: it is made of what is stored, so nobody can try texts against it.
    store = t.app.running.store
    entity = t.app.schema.of(Customer)
    again = seal(t.app.running.keys, entity.fields["iban"], key, IBAN)
    async with store.transaction() as tx:
        await tx.run(f"UPDATE customers SET iban = '{again}'", ())
    for path, tag in tags.items():
        answer = await t.get(path)
        assert IBAN in answer.text
        assert answer.headers["etag"] != tag


async def test_a_tag_changes_with_the_count_and_the_cursor(t: Trial) -> None:
    await added(t)
    path = "/api/customers?limit=1&sort=id&count=exact&fields=iban"
    before = (await t.get(path)).headers["etag"]
    await added(t)
    assert (await t.get(path)).headers["etag"] != before


async def test_if_match_compares_the_version(t: Trial) -> None:
    key = (await added(t))["id"]
    tag = (await t.get(f"/api/customers/{key}")).headers["etag"]
    assert (await t.patch(f"/api/customers/{key}", {"iban": OTHER}, headers={"If-Match": tag})).ok()
    (await t.patch(f"/api/customers/{key}", {"iban": IBAN}, headers={"If-Match": tag})).refused("stale")


# Alarms.


async def rewrite(t: Trial, text: str) -> None:
    async with t.app.running.store.transaction() as tx:
        await tx.run(text, ())


def alarmed(answer: Answer) -> None:
    answer.refused("internal_error")
    assert IBAN not in answer.text
    assert "sealed" not in answer.text


async def test_a_value_moved_to_another_record_is_an_alarm(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with Trial(make_app(), database) as t:
        keys = [(await added(t, iban=iban))["id"] for iban in (IBAN, OTHER)]
        first = (await stored(t))[0]
        await rewrite(t, f"UPDATE customers SET iban = '{first}' WHERE id = '{keys[1]}'")
        alarmed(await t.get(f"/api/customers/{keys[1]}"))
        alarmed(await t.get("/api/customers"))
        assert f"A sealed value (field Customer.iban of {keys[1]}) cannot be opened" in capsys.readouterr().err
        assert (await t.get(f"/api/customers/{keys[0]}")).json["iban"] == IBAN
        assert (await t.get("/api/customers?fields=id,name")).status == 200


async def test_a_value_moved_to_another_field_is_an_alarm(t: Trial) -> None:
    key = (await added(t, email="ada@example.com"))["id"]
    await rewrite(t, "UPDATE customers SET iban = email")
    alarmed(await t.get(f"/api/customers/{key}"))


async def test_plain_text_in_the_column_is_an_alarm(t: Trial) -> None:
    key = (await added(t))["id"]
    await rewrite(t, "UPDATE customers SET iban = 'plain'")
    alarmed(await t.get(f"/api/customers/{key}"))
    # What cannot be read can be written anew.
    assert (await t.patch(f"/api/customers/{key}", {"iban": OTHER})).ok().json["iban"] == OTHER


async def test_another_secret_opens_nothing_and_says_which_key_it_was(database: str, tmp_path: Any) -> None:
    path = database if database != "sqlite://" else f"sqlite:///{tmp_path / 'bank.db'}"
    app = make_app()
    settings = [Settings(database_url=path, secret_key=letter * 32, env="development") for letter in "ab"]
    running = await app.start(settings[0])
    async with running.context_of(SYSTEM).transaction() as tx:
        customer = await tx.create(Customer(name="Ada", iban=IBAN))
    await app.stop()
    running = await app.start(settings[1])
    async with running.context_of(SYSTEM).transaction() as tx:
        with pytest.raises(Unreadable, match=r'sealed with the key "secret-[0-9a-f]{8}", which is not in the key ring'):
            await tx.get(Customer, customer.id)
    await app.stop()


def test_no_plain_text_can_reach_a_statement() -> None:
    """Whoever writes a record without sealing it is stopped at the last step."""
    (part,) = parts_of(make_app().schema.of(Customer).fields["iban"])
    for plain in (IBAN, "1.k.short", b"1.k." + b"A" * 50, 7):
        with pytest.raises(TypeError, match="sealed_values"):
            part.take({"iban": plain})
    assert part.take({}) is None


# What it costs, and what others need.


async def test_a_question_without_it_never_touches_a_key() -> None:
    async with Trial(make_app()) as t:
        await added(t)
        t.app.running.engine.keys = refuse
        assert (await t.get("/api/customers?fields=name,id")).status == 200
        assert (await t.get("/api/branches/aggregate?count=*")).status == 200
        assert (await t.patch("/api/customers/" + (await t.get("/api/customers?fields=id")).json["data"][0]["id"],
                              {"name": "Bea"})).status == 500  # fmt: skip


def refuse() -> KeyRing:
    raise AssertionError("a key was asked for")


async def test_the_change_log_is_given_what_it_may_keep() -> None:
    entity, ring = make_app().schema.of(Customer), KeyRing([("k", b"k" * 32)])
    values = {"name": "Ada", "iban": IBAN, "note": None, "score": 7}
    kept = sealed_values(lambda: ring, entity, "id-1", values)
    assert (kept["name"], kept["note"]) == ("Ada", None)
    assert kept["iban"].startswith("1.k.")
    assert IBAN not in json.dumps(kept)
    assert opened_values(lambda: ring, entity, "id-1", kept) == values
    with pytest.raises(Unreadable):
        opened_values(lambda: ring, entity, "id-2", kept)
    plain = {"name": "Ada"}
    assert sealed_values(refuse, entity, "id-1", plain) is plain
    assert opened_values(refuse, entity, "id-1", plain) is plain
    instant = make_app().schema.of(Sheet).fields["instant_"]
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    assert open_value(ring, instant, "i", seal(ring, instant, "i", moment)) == moment


async def test_a_new_one_may_be_null_at_first(tmp_path: Any, postgres_database: Callable[[str], str]) -> None:
    def app(**annotations: Any) -> App:
        class Person(Model):
            name: str

            def rules(self, me: User) -> Rules:
                return Rules(read=anyone)

        Person.__annotations__.update(annotations)
        return App("people", models=[Person])

    for path in (f"sqlite:///{tmp_path / 'people.db'}", postgres_database("grown")):
        settings = Settings(database_url=path, secret_key="a" * 32, env="development")
        first = app()
        running = await first.start(settings)
        async with running.context_of(SYSTEM).transaction() as tx:
            await tx.create(first.schema.entities["Person"].model(name="Ada"))
        await first.stop()
        refused, store = app(iban=Encrypted[str]), open_store(settings, Limits())
        with pytest.raises(Behind, match="Let it be null"):
            await refused.start(settings, store=store)
        await store.close()
        second = app(iban=Encrypted[str | None])
        running = await second.start(settings)
        assert [row[0] for row in await running.store.run("SELECT iban FROM persons", ())] == [None]
        await second.stop()


async def test_a_renamed_field_opens_under_its_old_name(tmp_path: Any) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'bank.db'}", secret_key="a" * 32, env="development")
    app = make_app()
    running = await app.start(settings)
    entity = app.schema.of(Customer)
    text = seal(running.keys, entity.fields["iban"], "id-1", IBAN)
    await app.stop()

    class Client(Model):
        account: Annotated[Encrypted[str], SealedAs("Customer.iban")]

    renamed = App("bank", models=[Client]).schema.of(Client).fields["account"]
    assert open_value(running.keys, renamed, "id-1", text) == IBAN


def bank(name: str, former: str, **fields: Any) -> App:
    """An application with one model, which may have had another name."""
    space = {"__annotations__": fields, "__module__": __name__, "__was__": former, "rules": Branch.rules}
    return App("bank", models=[type(Model)(name, (Model,), space)])  # type: ignore[list-item]


async def test_a_migration_renames_it_where_its_old_name_is_kept(database: str, tmp_path: Any) -> None:
    path = database if database != "sqlite://" else f"sqlite:///{tmp_path / 'bank.db'}"
    settings = Settings(database_url=path, secret_key="a" * 32, env="development")
    before = bank("Customer", "", iban=Encrypted[str])
    running = await before.start(settings, extend=True)
    async with running.context_of(SYSTEM).transaction() as tx:
        made = await tx.create(before.schema.entities["Customer"].model(iban=IBAN))
    await before.stop()
    careless = bank("Client", "Customer", account=Annotated[Encrypted[str], was("iban")])
    store = open_store(settings, Limits())
    with pytest.raises(Behind, match=r'Write SealedAs\("Customer\.iban"\) beside it'):
        await careless.start(settings, extend=True, store=store)
    await store.close()
    careful = bank("Client", "Customer", account=Annotated[Encrypted[str], was("iban"), SealedAs("Customer.iban")])
    running = await careful.start(settings, extend=True)
    async with running.context_of(SYSTEM).transaction() as tx:
        client: Any = await tx.get(careful.schema.entities["Client"].model, made.id)
    assert client.account == IBAN
    await careful.stop()


def test_the_file_describes_plain_values() -> None:
    document = make_app().openapi()
    schemas = document["components"]["schemas"]
    (named,) = schemas["Customer"]["allOf"]
    schema = schemas[named["$ref"].rpartition("/")[2]]["properties"]
    assert schema["iban"]["type"] == "string"
    assert "pin" not in schema
    parameters = document["components"]["parameters"]
    assert "customers.name" in parameters
    for name in ("iban", "note", "email", "score"):
        assert f"customers.{name}" not in parameters
        assert name not in document["components"]["schemas"]["CustomerFilter"]["properties"]


async def test_the_change_log_keeps_ciphertext_and_reactions_read_it(database: str) -> None:
    app, told = make_app(), []

    @app.on(created(Customer))
    async def came(ctx: Context, customer: Customer) -> None:
        told.append((customer.iban, customer.note))

    @app.on(updated(Customer))
    async def changed(ctx: Context, customer: Customer, old: Customer) -> None:
        told.append((old.iban, customer.iban, customer.score))

    @app.on(deleted(Customer))
    async def went(ctx: Context, customer: Customer) -> None:
        told.append((customer.iban,))

    async with Trial(app, database) as t:
        key = (await added(t, note={"sekrit": 1}, pin="4711-pin"))["id"]
        await t.patch(f"/api/customers/{key}", {"iban": OTHER})
        await t.delete(f"/api/customers/{key}")
        await t.react()
        changes = [change for change in await t.facts() if change.model == "Customer"]
    assert [change.action for change in changes] == ["create", "update", "delete"]
    texts = b"".join((change.old or b"") + (change.new or b"") for change in changes)
    for secret in (IBAN, OTHER, "sekrit", "4711"):
        assert secret.encode() not in texts
    assert told == [(IBAN, {"sekrit": 1}), (IBAN, OTHER, 7), (OTHER,)]


async def test_a_reaction_that_cannot_read_is_told_again_and_holds_up_nobody(database: str) -> None:
    app, told = make_app(), []

    @app.on(created(Customer))
    async def came(ctx: Context, customer: Customer) -> None:
        told.append(customer.iban)

    async with Trial(app, database) as t:
        await added(t)
        keys, t.app.running.engine.keys = t.app.running.engine.keys, lambda: KeyRing([("other", b"k" * 32)])
        await t.react()
        assert told == []
        t.app.running.engine.keys = keys
        await added(t, iban=OTHER)
        await t.react()
        assert OTHER in told
