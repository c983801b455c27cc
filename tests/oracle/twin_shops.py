"""The shop twice, for one viewer: two databases that differ in everything which that viewer may not see.

The second shop keeps every id and every value that the viewer is shown. What else it holds is another world:

- drafts and what is not released have other names, slugs, prices, stocks and dates; draft 18 is gone, and there are
  many more, one of them with an id between two that are seen;
- what products cost (seen by role) is different everywhere, and so are the remarks and notes of others (seen by row);
- other customers have other names, cities, birthdays and addresses, and there are more of them;
- other customers' orders and their lines are others, one order is gone, and there are many more;
- hidden reviews of others say something else, one has another id, and drafts have many. A product that is seen keeps
  their number, because `review_count` counts them with the authority of its developer;
- the internal label has another name, links that are hidden are others, and drafts are related to other products;
- messages and the audit log are others, and there are more of them.

Both shops let everybody write more than the golden one, and more than they can see, so that it is the read rule alone
that keeps a writer from what is hidden. Writes are answered and then undone, so each question is asked of one state.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from backstay import App, Money, Rules, User, anyone, old
from backstay.app import Running
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Update
from backstay.plan.limits import Limits
from backstay.settings import Settings
from backstay.store.transaction import Hooks, Transaction
from tests.golden import shop
from tests.golden.client import Reply
from tests.golden.shop import MODELS, NOW, PEOPLE, key, rows

VIEWERS = {"anonymous": 0, "customer:ada": PEOPLE["ada"], "customer:bjorn": PEOPLE["bjorn"],
           "customer:chloe": PEOPLE["chloe"]}  # fmt: skip
"""Those for whom there are twins, each with the number of its own customer."""

DRAFTS, GONE, UNRELEASED = (7, 9, 18), 18, 9
BETWEEN = "00000004-0000-7000-8000-00000000000a"
"""The id of a draft of the second shop, between product 9 and product 10."""
NEVER = "00000000-0000-7000-8000-000000000000"
"""An id that no record of any shop has."""
COUNT_CAP = 12
LATER = "2026-06-01T10:00:00Z"
SERVED = {"Customer": "customers", "Label": "labels", "Message": "messages", "Order": "orders", "Product": "products",
          "OrderItem": "order_items", "ProductLabel": "product_labels", "Review": "reviews"}  # fmt: skip
CLOSED = frozenset({"Customer", "Order", "OrderItem", "Review"})
"""What nobody changes who is not signed in."""

Writing = Callable[[Any, User], dict[str, Any]]


def _mine_while_pending(self: Any, me: User) -> dict[str, Any]:
    mine = self.customer == me
    fits = ~self.items.some(lambda item: item.quantity == 999)
    return {"create": me.signed_in & fits, "update": mine & (old(self.status) == "pending"), "delete": mine}


def _mine(self: Any, me: User) -> dict[str, Any]:
    return {"create": me.signed_in, "update": self.author == me, "delete": self.author == me}


def _of_my_order(self: Any, me: User) -> dict[str, Any]:
    mine = self.order.customer == me
    return {"create": mine & (self.quantity < 1000), "update": mine, "delete": mine}


def _anybody(self: Any, me: User) -> dict[str, Any]:
    return {"create": anyone, "update": anyone, "delete": anyone}


WRITING: dict[type, Writing] = {
    shop.Customer: lambda self, me: {"update": me.signed_in},
    shop.Category: lambda self, me: {"create": anyone},
    shop.Label: _anybody,
    shop.Product: lambda self, me: {"create": anyone, "update": self.stock < 1000, "delete": anyone},
    shop.ProductLabel: _anybody,
    shop.Order: _mine_while_pending,
    shop.OrderItem: _of_my_order,
    shop.Review: _mine,
    shop.Message: _anybody,
}
"""What is allowed here beside reading."""


def make_app() -> App:
    """The golden shop with rules for writing, and with estimates that are exact up to a few records only."""
    with ExitStack() as patched:
        for model, writing in WRITING.items():
            patched.enter_context(patch.object(model, "rules", _with_writing(model, writing)))
        return App("golden-shop", models=MODELS, limits=Limits(count_cap=COUNT_CAP))


def _with_writing(model: Any, writing: Writing) -> Callable[[Any, User], Rules]:
    reading = model.rules

    def rules(self: Any, me: User) -> Rules:
        return replace(reading(self, me), **writing(self, me))

    return rules


# The second shop.


def other_rows(viewer: str) -> Iterator[Create]:
    """The rows of the shop that is a twin of the golden one to this viewer."""
    twin = _Twin(VIEWERS[viewer])
    by_model: dict[str, list[Create]] = {}
    for row in rows():
        if (changed := twin.changed(row)) is not None:
            by_model.setdefault(row.model, []).append(changed)
    for row in twin.added():
        by_model[row.model].append(row)
    for model in by_model:
        yield from by_model[model]


class _Twin:
    """How the rows are changed that one customer, or nobody at all, does not see."""

    def __init__(self, me: int) -> None:
        self.me = key("Customer", me)
        self.strangers = [number for number in PEOPLE.values() if number != me]
        self.orders = {row.key for row in rows() if row.model == "Order" and row.values["customer"] != self.me}
        self.gone = gone_order(me)

    def changed(self, row: Create) -> Create | None:
        """A row as it is in the second shop; nothing where it is not there."""
        change = getattr(self, f"_{row.model.lower()}", None)
        return row if change is None else change(row, int(row.key[-12:]), row.values)

    def _customer(self, row: Create, number: int, was: Mapping[str, Any]) -> Create:
        if row.key == self.me:
            return row
        city = "Atlantis" if was["city"] != "Berlin" else None
        return altered(row, email=f"other{number}@example.org", name=f"Zoë {number}", city=city, born=None)

    def _label(self, row: Create, number: int, was: Mapping[str, Any]) -> Create:
        return altered(row, name="bio") if was["internal"] else row

    def _product(self, row: Create, number: int, was: Mapping[str, Any]) -> Create | None:
        if number == GONE:
            return None
        row = altered(row, cost=Money(was["cost"].amount * 3 + 1, "EUR"))
        if number == UNRELEASED:
            when = datetime(2027, 1, 1, tzinfo=UTC)
            return altered(row, name="Assam", slug="other-9", released_at=when, price=Money(1, "EUR"), stock=1)
        if number in DRAFTS:
            more = {
                "subtitle": "Grüner Tee",
                "price": Money(990, "EUR"),
                "origin": "India",
                "category": key("Category", 6),
            }
            return altered(row, name="Aal & Grüner Tee", slug=f"other-{number}", stock=99, rating=1.5, **more)
        return row

    def _productlabel(self, row: Create, number: int, was: Mapping[str, Any]) -> Create | None:
        return None if was["hidden"] else row

    def _productrelated(self, row: Create, number: int, was: Mapping[str, Any]) -> Create:
        return altered(row, product=key("Product", 13)) if was["other_product"] == key("Product", 7) else row

    def _order(self, row: Create, number: int, was: Mapping[str, Any]) -> Create | None:
        if row.key not in self.orders:
            return row
        if number == self.gone:
            return None
        customer = key("Customer", self.strangers[number % 3])
        more = {"status": "pending", "placed_at": NOW - timedelta(days=number), "gift": not was["gift"]}
        return altered(row, customer=customer, total=Money(77, "CHF"), note="A note of somebody else", **more)

    def _orderitem(self, row: Create, number: int, was: Mapping[str, Any]) -> Create | None:
        if was["order"] not in self.orders:
            return row
        if was["order"] == key("Order", self.gone):
            return None
        return altered(row, product=key("Product", 2), quantity=was["quantity"] + 6, price=Money(5, "EUR"))

    def _review(self, row: Create, number: int, was: Mapping[str, Any]) -> Create:
        if was["author"] == self.me:
            return row
        if not was["hidden"]:
            return altered(row, remark=None if was["remark"] else "A remark of somebody else")
        row = altered(row, author=key("Customer", PEOPLE["sam"]), stars=5, text="Assam, grün", remark="Assam")
        return replace(row, key=key("Review", 112)) if number == 12 else row

    def _message(self, row: Create, number: int, was: Mapping[str, Any]) -> Create | None:
        return None if number == 1 else altered(row, text="Something else")

    def _auditentry(self, row: Create, number: int, was: Mapping[str, Any]) -> Create:
        return altered(row, text="closed")

    def added(self) -> Iterator[Create]:
        """The rows that are in the second shop alone."""
        for number in range(21, 33):
            values = {"email": f"more{number}@example.org", "name": "Ada", "city": "Berlin", "born": date(1970, 1, 1)}
            yield stamped("Customer", number, values)
        for number in range(21, 46):
            values = {
                "name": "Assam Sencha Grüner Tee", "subtitle": "Tee, grün und für jeden Tag", "slug": f"draft-{number}",
                "kind": "tea", "state": "draft", "price": Money(number, "EUR"), "cost": Money(1, "EUR"),
                "stock": number, "category": key("Category", 2 + number % 9), "origin": "Atlantis",
                "tags": ["green", "bio"], "deposit": Money(1, "GBP"), "rating": 5.0, "barcode": number,
            }  # fmt: skip
            made = stamped("Product", number, values)
            yield replace(made, key=BETWEEN) if number == 21 else made
        for number in (21, 22):
            yield stamped("Label", number, {"name": "Ökotest", "internal": True})
        hidden = [(1, 2), (2, 1), (3, 3), (13, 1), (19, 2), (22, 1)]
        for number, (product, label) in enumerate(hidden, start=21):
            values = {"product": key("Product", product), "label": key("Label", label), "hidden": True}
            yield stamped("ProductLabel", number, values)
        yield stamped("ProductLabel", 27, {"product": BETWEEN, "label": key("Label", 21), "hidden": True})
        for number, product in enumerate((1, 5, 8, 13), start=21):
            yield stamped("ProductRelated", number, {"product": key("Product", product), "other_product": BETWEEN})
        for number in range(21, 41):
            customer = key("Customer", 21 + number % 9)
            values = {"number": 1980 + number, "customer": customer, "status": "paid", "note": "More",
                      "total": Money(number, "EUR"), "placed_at": NOW - timedelta(days=number)}  # fmt: skip
            yield stamped("Order", number, values)
            values = {"order": key("Order", number), "product": key("Product", 2 + number % 4), "quantity": 99,
                      "price": Money(number, "EUR")}  # fmt: skip
            yield stamped("OrderItem", number, values)
        for number, product in enumerate((key("Product", 7), key("Product", 9), BETWEEN), start=21):
            values = {
                "product": product,
                "author": key("Customer", 24),
                "stars": 1,
                "text": "Spam, Tee",
                "hidden": True,
            }
            yield stamped("Review", number, values)
        for number in range(21, 41):
            yield stamped("Message", number, {"text": "More"})


def altered(row: Create, **values: Any) -> Create:
    """A row with some other values."""
    return replace(row, values={**row.values, **values})


def stamped(model: str, number: int, values: Mapping[str, Any]) -> Create:
    """A row of the second shop alone; it is the newest."""
    return Create(model, {"created_at": NOW, "updated_at": NOW, **values}, key(model, number))


def gone_order(me: int) -> int:
    """The order that the second shop does not have: of Chloé, or of Björn where Chloé is looking."""
    return 5 if me == PEOPLE["chloe"] else 7


def hidden_ids(viewer: str, model: str) -> list[str]:
    """Ids that are hidden from the viewer: of records in both shops, in one alone, and in none."""
    me = VIEWERS[viewer]
    strange = {"anonymous": 1, "customer:ada": 3}.get(viewer, 1)  # an order of somebody else
    numbers = {
        "Customer": (PEOPLE["sam"], 1 + me % 3, 21),
        "Label": (4, 21),
        "Message": (1, 2, 21),
        "Order": (strange, gone_order(me), 21),
        "OrderItem": ({1: 1, 3: 4}[strange], {5: 7, 7: 10}[gone_order(me)], 21),
        "Product": (7, UNRELEASED, GONE, 22),
        "ProductLabel": (7, 21),
        "Review": (12 if me != PEOPLE["chloe"] else 3, 112 if me != PEOPLE["chloe"] else 22, 21),
    }[model]
    between = [BETWEEN] if model == "Product" else []
    return [*(key(model, number) for number in numbers), *between, NEVER]


# Asking.


@dataclass(frozen=True)
class Question:
    """One request. Where `ids` are named, each of them in the place of ID must be answered alike."""

    method: str
    address: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    status: int | None = None

    def __str__(self) -> str:
        body = "" if self.body is None else f" {json.dumps(self.body, ensure_ascii=False)}"
        return f"{self.method} {self.address}{body}{' ' if self.headers else ''}{dict(self.headers) or ''}"


class Shop:
    """One of the two, open on one database."""

    def __init__(self, app: App, settings: Settings, running: Running, tokens: Mapping[str, str | None]) -> None:
        self.app = app
        self.settings = settings
        self.tokens = tokens
        self.store = running.store
        self.began = running.store.transaction
        self.store.transaction = self._undone  # type: ignore[method-assign]
        self.begin_anew()

    def begin_anew(self) -> None:
        """A front that remembers nothing, on the same rows."""
        self.running = Running(self.app, self.settings, self.store)
        self.running.engine.clock = lambda: NOW

    async def number_orders_from(self, number: int) -> None:
        """Go on as if this were the number of the last order."""
        if self.store.dialect.name == "postgres":
            await self.store.run(f"SELECT setval('\"_seq_order\"', {number})::text", ())
            return
        async with self.began() as writing:
            await writing.run("INSERT OR REPLACE INTO _sequences VALUES ('order', ?1)", (number,))

    async def settle(self, *asks: Create | Update) -> None:
        """Write above the rules, and for good."""
        running = self.running
        async with (
            self.began() as writing,
            Transaction.within(running.engine, writing, SYSTEM, Hooks(), running.new_id) as tx,
        ):
            for ask in asks:
                await tx.write(ask)

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[Any]:
        try:
            async with self.began() as writing:
                yield writing
                raise _Undone
        except _Undone:
            pass

    async def ask(
        self, question: Question, viewer: str, *, extra: str = "", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """The reply, through the whole front; ids of new records and the clock are the same in every shop."""
        numbers = count(1)
        self.running.new_id = lambda: f"0199ffff-0000-7000-8000-{next(numbers):012x}"
        path, _, query = question.address.partition("?")
        sent = {"x-request-id": "twins", **question.headers, **(headers or {})}
        if (token := self.tokens[viewer]) is not None:
            sent["authorization"] = f"Bearer {token}"
        body = b""
        if question.body is not None:
            sent["content-type"] = "application/json"
            body = json.dumps(question.body).encode()
        scope = {
            "type": "http", "method": question.method, "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "query_string": (quote(query, safe="=&,%[]{}:\"'!*()-._~+/<>") + extra).encode(),
        }  # fmt: skip
        messages: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def collect(message: Mapping[str, Any]) -> None:
            messages.append(message)

        await self.running.front(scope, receive, collect)
        start, end = messages
        stable = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], stable, end["body"])


class _Undone(Exception):
    """Raised where a transaction would commit."""


async def open_shop(url: str, filled: Iterator[Create]) -> Shop:
    """A shop with these rows and a session for every viewer."""
    app = make_app()
    settings = Settings(database_url=url, secret_key="twins " * 8, log_level="error", connections=1)
    running = await app.start(settings, extend=True)
    running.engine.clock = lambda: NOW
    async with Transaction.begin(running.engine, SYSTEM, Hooks(), running.new_id) as tx:
        for row in filled:
            await tx.write(row)
        tokens: dict[str, str | None] = {"anonymous": None}
        for viewer, number in VIEWERS.items():
            if number:
                pair = await running.accounts.gate.admit(tx, key("Customer", number))
                assert pair is not None
                tokens[viewer] = pair.access_token
    return Shop(app, settings, running, tokens)
