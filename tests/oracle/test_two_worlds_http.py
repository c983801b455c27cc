"""Two worlds through the whole HTTP front: what a viewer may not see changes no status, no header and no byte.

Each viewer has two shops, on SQLite and on PostgreSQL, that differ in everything hidden from it and in nothing else;
`twin_shops.py` says in what. The golden questions and those below must be answered alike by both, reads and writes;
an id that is hidden must be answered like one that never was. The exceptions that the documentation names are asked
too, and are the only ones. At the end each place where a rule enters is left open once, and the questions notice.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import backstay.plan.write
from backstay.model.predicate import ANYONE
from backstay.plan.ask import Update
from backstay.plan.resolve import Resolver
from backstay.plan.tree import After
from tests.golden.client import Reply, parse_rest
from tests.golden.shop import key, rows
from tests.oracle.test_planted_faults import WRITE_FAULTS, Plant, everything, open_way, replaced
from tests.oracle.twin_documents import document_reads, document_writes, documents
from tests.oracle.twin_series import batches, lists, nested, puts, series
from tests.oracle.twin_shops import (
    CLOSED,
    LATER,
    NEVER,
    SERVED,
    VIEWERS,
    Question,
    Shop,
    hidden_ids,
    open_shop,
    other_rows,
)
from tests.servers import Postgres

GOLDEN = Path(__file__).parent.parent / "golden"
DATABASES = ("sqlite", "postgres")
PAGES = 30  # more than any list here has

in_one_loop = pytest.mark.asyncio(loop_scope="module")
everywhere = pytest.mark.parametrize("database", DATABASES)
for_everybody = pytest.mark.parametrize("viewer", VIEWERS)
Twins = tuple[Shop, Shop]


class Street:
    """All shops: the golden one for everybody, and a twin of it for each viewer, made when it is asked for."""

    def __init__(self, address: Callable[[str, str], str]) -> None:
        self._address = address
        self.open: dict[tuple[str, str], Shop] = {}

    async def twins(self, database: str, viewer: str) -> Twins:
        """The two shops of a viewer."""
        return await self._shop(database, "everybody"), await self._shop(database, viewer)

    async def _shop(self, database: str, viewer: str) -> Shop:
        if (known := self.open.get((database, viewer))) is None:
            filled = rows() if viewer == "everybody" else other_rows(viewer)
            name = f"twin_{viewer.rpartition(':')[2]}"
            known = self.open[database, viewer] = await open_shop(self._address(database, name), filled)
        return known


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> AsyncIterator[Street]:
    """The shops, closed and removed at the end."""
    directory = tmp_path_factory.mktemp("twins")
    made: list[str] = []

    def address(database: str, name: str) -> str:
        if database == "sqlite":
            return f"sqlite:///{directory / name}.db"
        made.append(name)
        return postgres.create(name)

    street = Street(address)
    yield street
    for shop in street.open.values():
        await shop.app.stop()
    for name in made:
        postgres.drop(name)


# Comparing.


def shown(reply: Reply, one: str = "") -> tuple[Any, ...]:
    """All that a viewer gets to see; an id that stood in the address is not told apart from another."""
    headers = {name: value for name, value in reply.headers.items() if name not in ("x-request-id", "date")}
    body = reply.body.replace(one.encode(), b"ID") if one else reply.body
    return reply.status, headers, body


def placed(question: Question, one: str) -> Question:
    """The question about one id; the type `ID!` of a document is none."""
    body = json.loads(re.sub("ID(?!!)", one, json.dumps(question.body)))
    return Question(question.method, question.address.replace("ID", one), body, question.headers)


async def differences(twins: Twins, viewer: str, questions: Iterator[Question] | list[Question]) -> AsyncIterator[str]:
    """Whatever tells the two shops apart, or is not answered as it should be."""
    here, there = twins
    for question in questions:
        absent = None
        if question.ids:
            nobody = placed(question, NEVER)  # asked of both, so that both draw as many numbers
            absent, also = [shown(await shop.ask(nobody, viewer), NEVER) for shop in twins]
            if absent != also:
                yield f"{viewer}: {nobody}:\n  {absent}\n  {also}"
        for one in question.ids or ("",):
            asked = placed(question, one) if one else question
            ours, theirs = await here.ask(asked, viewer), await there.ask(asked, viewer)
            if ours.status >= 500 or question.status not in (None, ours.status):
                yield f"{viewer}: {asked}: {ours.status} {ours.body!r}, not {question.status or 'what it should be'}"
            if shown(ours) != shown(theirs):
                yield f"{viewer}: {asked}:\n  {shown(ours)}\n  {shown(theirs)}"
            if one and shown(ours, one) != absent:
                yield f"{viewer}: {asked} tells that there is one:\n  {shown(ours, one)}\n  {absent}"


async def all_of(found: AsyncIterator[str]) -> list[str]:
    return [difference async for difference in found]


# Reading.


def golden_questions(viewer: str) -> list[Question]:
    """What the golden folders ask: of everybody for two viewers, of any customer for the two others."""
    found = {}
    for file in sorted(GOLDEN.glob("*/rest.txt")):
        actor = (file.parent / "actor.txt").read_text().strip()
        if viewer in ("anonymous", "customer:ada") or actor.startswith("customer"):
            asked = parse_rest(file.read_text())
            found[asked.method, asked.address] = Question(asked.method, asked.address)
    return list(found.values())


READS = [
    *("/api/products?search=tee", "/api/products?search=assam&fields=name", "/api/products?search=grün tee&limit=3"),
    *(
        "/api/products?search=tee&sort=name&count=exact",
        "/api/reviews?search=a&count=exact",
        "/api/reviews?search=spam",
    ),
    *("/api/products/aggregate?search=tee&group_by=kind&count=*", "/api/products?count=exact&limit=1"),
    *("/api/products?count=estimated&limit=1", "/api/reviews?count=estimated&limit=1", "/api/products?limit=200"),
    *(
        "/api/reviews?count=exact",
        "/api/labels?count=exact",
        "/api/product_labels?count=exact",
        "/api/orders?count=exact",
    ),
    *("/api/customers?count=exact", "/api/order_items?count=exact", "/api/messages?count=exact", "/api/categories"),
    *("/api/reviews?sort=product.name&fields=text", "/api/reviews?sort=-author.name,text&fields=text,author"),
    *("/api/reviews?sort=remark&fields=text,remark", "/api/product_labels?sort=label.name,product.name"),
    *(
        "/api/reviews?product.name[ne]=Gyokuro",
        "/api/reviews?product.name=Gyokuro",
        "/api/reviews?product.stock[gt]=50",
    ),
    *(
        "/api/reviews?author.city[is_null]=true",
        "/api/reviews?author.name[icontains]=o",
        "/api/reviews?remark=gesperrt",
    ),
    *(
        "/api/reviews?remark[is_null]=true",
        "/api/product_labels?label.name=bio",
        "/api/product_labels?label.name[ne]=bio",
    ),
    '/api/reviews?where={"not":{"product":{"name":{"contains":"e"}}}}',
    '/api/products?where={"reviews":{"none":{}}}&fields=name',
    '/api/products?where={"reviews":{"every":{"author":{"city":"Berlin"}}}}&fields=name',
    '/api/products?where={"related":{"some":{"stock":{"gt":50}}}}&fields=name',
    '/api/products?where={"related":{"every":{"kind":"tea"}}}&fields=name',
    '/api/products?where={"labels":{"every":{"name":"bio"}}}&fields=name',
    '/api/categories?where={"products":{"some":{"origin":"Atlantis"}}}',
    '/api/categories?where={"products":{"none":{"price":{"lt":700}}}}&sort=name',
    '/api/labels?where={"products":{"some":{"name":{"starts_with":"A"}}}}',
    '/api/products?where={"items":{"some":{"quantity":{"gt":0}}}}&fields=name',
    "/api/reviews?expand=product,author&sort=text",
    "/api/product_labels?expand=product,label",
    "/api/products?expand=reviews,labels,related,items&fields=name",
    "/api/products?expand=related.reviews,category.products&limit=4&fields=name",
    "/api/categories?limit=3&sort=-name&expand=products,children.products&expand[children][limit]=9",
    "/api/labels?expand=products",
    "/api/orders?limit=9&expand=items.product.reviews.author,customer&expand[items][limit]=9",
    "/api/customers?limit=5&expand=orders.items",
    "/api/products/aggregate?group_by=category.name,state&count=*&sum=stock&max=price",
    "/api/reviews/aggregate?group_by=product.name&count=*&avg=stars",
    "/api/reviews/aggregate?group_by=author.city&count=*&count_distinct=author",
    "/api/reviews/aggregate?count=remark&count_distinct=product.category",
    "/api/product_labels/aggregate?group_by=label.name,product.state&count=*",
    "/api/orders/aggregate?group_by=status,total.currency&sum=total&min=placed_at",
    "/api/order_items/aggregate?group_by=product.name&sum=quantity&max=order.number",
    *("/openapi.json", "/docs", "/healthz", "/api/audit_entries", "/api/products_related", "/api/account_sessions"),
]
UNKNOWN = ["/api/products?cost[gt]=1", "/api/products?sort=cost", "/api/products/aggregate?max=cost",
           "/api/products?fields=cost", "/api/reviews?product.cost=1", "/api/products?cots=1"]  # fmt: skip
LISTS = [
    "/api/products?sort=name&limit=3&fields=name",
    "/api/products?sort=-price,name&limit=4&fields=name&count=exact",
    "/api/products?limit=2&fields=id",
    "/api/products?search=tee&limit=2&fields=name",
    "/api/reviews?sort=remark,product.name&limit=4&fields=text",
    "/api/reviews?sort=-author.city,stars&limit=3&fields=text",
    "/api/product_labels?sort=-label.name&limit=2",
    "/api/orders?sort=-number&limit=1&fields=number",
    '/api/products?where={"labels":{"none":{}}}&sort=weight&limit=3&fields=name',
]


def reads(viewer: str) -> Iterator[Question]:
    """All reads of a viewer but the golden ones; those by id are of hidden records."""
    for address in READS:
        yield Question("GET", address)
    for address in UNKNOWN:
        yield Question("GET", address, status=400)
    for address in ("/api/products?limit=3", "/api/products?search=tee", "/api/orders", f"/api/products/{NEVER}"):
        yield Question("HEAD", address)
        yield Question("OPTIONS", address)
    for model, plural in SERVED.items():
        ids = tuple(hidden_ids(viewer, model))
        for address in (f"/api/{plural}/ID", f"/api/{plural}/ID?fields=id"):
            yield Question("GET", address, ids=ids)
        yield Question("HEAD", f"/api/{plural}/ID", ids=ids)
        yield Question("OPTIONS", f"/api/{plural}/ID", ids=ids)
        yield Question("GET", f"/api/{plural}/ID", headers={"if-none-match": "*"}, ids=ids)
        yield Question("GET", f"/api/{plural}?id=ID", ids=ids)
    for address in ("/api/products/aggregate?count=*&id[in]=ID", "/api/products/ID?expand=reviews,labels"):
        yield Question("GET", address, ids=tuple(hidden_ids(viewer, "Product")))


@in_one_loop
@everywhere
@for_everybody
async def test_reads_are_answered_alike(database: str, viewer: str, street: Street) -> None:
    twins = await street.twins(database, viewer)
    asked = [*golden_questions(viewer), *reads(viewer)]
    assert len(asked) > 130
    assert await all_of(differences(twins, viewer, asked)) == []


@in_one_loop
@everywhere
@for_everybody
async def test_cursors_lead_both_to_the_same_end(database: str, viewer: str, street: Street) -> None:
    turned = [page async for page in pages(await street.twins(database, viewer), viewer)]
    assert len(turned) > 20
    assert [question for question, ours, theirs in turned if ours != theirs] == []


async def pages(twins: Twins, viewer: str) -> AsyncIterator[tuple[str, Any, Any]]:
    """Every page of the lists in both shops, where each is turned by the cursor of the first."""
    here, there = twins
    for address in LISTS:
        asked, extra = Question("GET", address), ""
        for _ in range(PAGES):
            ours, theirs = await here.ask(asked, viewer, extra=extra), await there.ask(asked, viewer, extra=extra)
            yield address + extra, shown(ours), shown(theirs)
            if ours.status != 200 or (cursor := ours.parsed["meta"]["next_cursor"]) is None:
                break
            extra = f"&cursor={cursor}"
        else:
            raise AssertionError(f"{address} has no end")


@in_one_loop
@everywhere
@for_everybody
async def test_a_tag_of_one_world_is_known_in_the_other(database: str, viewer: str, street: Street) -> None:
    here, there = await street.twins(database, viewer)
    known = 0
    for address in ("/api/products/" + key("Product", 1), "/api/orders/" + key("Order", 2), *READS[:24]):
        tag = (await here.ask(Question("GET", address), viewer)).headers.get("etag")
        if tag is not None:
            reply = await there.ask(Question("GET", address), viewer, headers={"if-none-match": tag})
            assert (reply.status, reply.headers["etag"], reply.body) == (304, tag, b""), address
            known += 1
    assert known > 15


@in_one_loop
@everywhere
@for_everybody
async def test_documents_are_answered_alike(database: str, viewer: str, street: Street) -> None:
    asked = list(documents(viewer))
    assert len(asked) > 90
    assert await all_of(differences(await street.twins(database, viewer), viewer, asked)) == []


# Writing.

PENDING = {"customer:ada": 6, "customer:bjorn": 9}
PAID = {"customer:ada": 1, "customer:bjorn": 3, "customer:chloe": 7}
REVIEWED = {"customer:ada": 1, "customer:bjorn": 5, "customer:chloe": 2}  # a review of one's own


def writes(viewer: str) -> Iterator[Question]:
    """All writes of a viewer that must be answered alike, each with its status."""
    yield from _writes_of_what_is_hidden(viewer)
    one, tea, label = (f"/api/products/{key('Product', 1)}", key("Product", 11), key("Label", 2))
    yield Question("PATCH", one, {"stock": 5}, status=200)
    yield Question("PATCH", one, {"stock": 5}, {"if-match": '"1"'}, status=200)
    yield Question("PATCH", one, {"stock": 5}, {"if-match": '"2"'}, status=412)
    yield Question("PATCH", one, {"stock": 1000}, status=403)
    yield Question("PATCH", one, {"cost": 1}, status=400)
    yield Question("PATCH", one, {"slug": "tetsubin"}, status=409)
    yield Question("PATCH", one, {"category": "ID"}, ids=(NEVER,), status=422)
    yield Question("PATCH", one, {"related": [key("Product", 8)]}, status=200)
    hidden = tuple(hidden_ids(viewer, "Product"))
    yield Question("PATCH", one, {"related": [key("Product", 8), "ID"]}, ids=hidden, status=422)
    for values in ({}, {"cost": 1}, {"cots": 1}):  # it needs a cost, which does not exist for them
        yield Question("POST", "/api/products", values, status=401 if viewer == "anonymous" else 403)
    yield Question("DELETE", f"/api/products/{key('Product', 20)}", status=204)
    yield Question("DELETE", f"/api/products/{key('Product', 5)}", status=409)
    yield Question("DELETE", f"/api/labels/{key('Label', 1)}", status=204)
    yield Question("PATCH", f"/api/labels/{key('Label', 1)}", {"internal": True}, status=204)
    yield Question("POST", "/api/product_labels", {"product": tea, "label": label}, status=201)
    yield Question("POST", "/api/product_labels", {"product": tea, "label": label, "hidden": True}, status=201)
    yield Question("POST", "/api/product_labels", {"product": "ID", "label": label}, ids=hidden, status=422)
    labels = tuple(hidden_ids(viewer, "Label"))
    yield Question("POST", "/api/product_labels", {"product": tea, "label": "ID"}, ids=labels, status=422)
    yield Question("POST", "/api/messages", {"text": "Hello"}, status=201)
    yield from series(viewer)
    yield from _writes_of_a_customer(viewer) if viewer != "anonymous" else _writes_of_nobody()


def _writes_of_what_is_hidden(viewer: str) -> Iterator[Question]:
    """Changing and deleting what cannot be seen, in every model and with every `If-Match`."""
    change = {"Customer": {"city": "Ulm"}, "Label": {"name": "x"}, "Message": {"text": "x"}, "Order": {"gift": True},
              "OrderItem": {"quantity": 1}, "Product": {"stock": 3}, "ProductLabel": {"hidden": False},
              "Review": {"stars": 1}}  # fmt: skip
    closed = CLOSED if viewer == "anonymous" else frozenset()
    for model, plural in SERVED.items():
        ids, address = tuple(hidden_ids(viewer, model)), f"/api/{plural}/ID"
        status = 401 if model in closed else 404
        yield Question("PATCH", address, change[model], ids=ids, status=status)
        for match in ('"1"', '"2-abc"', "*") if model in ("Order", "Product") else ('"2"',):
            yield Question("PATCH", address, change[model], {"if-match": match}, ids, status)
        yield Question("PATCH", address, {"nothing": 1}, ids=ids, status=401 if model in closed else 400)
        status = (401 if viewer == "anonymous" else 403) if model == "Customer" else status
        yield Question("DELETE", address, ids=ids, status=status)
    ids = tuple(hidden_ids(viewer, "Product"))
    yield Question("PATCH", "/api/products/ID", {"stock": 3}, {"if-match": 'W/"1"'}, ids, 404)
    yield Question("DELETE", "/api/products/ID", None, {"if-match": '"1"'}, ids, 404)
    yield Question("DELETE", "/api/products/ID", None, {"if-match": '"2"'}, ids, 404)
    yield Question("PATCH", "/api/products/ID", {"stock": -1}, ids=ids, status=422)
    yield Question("PATCH", "/api/products/ID", {"category": NEVER}, ids=ids, status=404)
    yield Question("PATCH", "/api/products/ID", {"slug": "tetsubin"}, ids=ids, status=404)


def _writes_of_nobody() -> Iterator[Question]:
    order = {"total": {"amount": 1, "currency": "EUR"}, "placed_at": LATER}
    yield Question("POST", "/api/orders", order, status=401)
    yield Question("POST", "/api/reviews", {"product": key("Product", 2), "stars": 3, "text": "x"}, status=401)


def _writes_of_a_customer(viewer: str) -> Iterator[Question]:
    me, paid = key("Customer", VIEWERS[viewer]), key("Order", PAID[viewer])
    order = {"total": {"amount": 1, "currency": "EUR"}, "placed_at": LATER}
    line = {"order": paid, "product": key("Product", 2), "quantity": 1, "price": {"amount": 5, "currency": "EUR"}}
    review = {"product": key("Product", 2), "stars": 3, "text": "x"}
    products, orders = tuple(hidden_ids(viewer, "Product")), tuple(hidden_ids(viewer, "Order"))
    yield Question("PATCH", f"/api/customers/{me}", {"city": "Ulm"}, status=200)
    yield Question("POST", "/api/orders", order, status=201)
    yield Question("POST", "/api/orders", {**order, "customer": key("Customer", 4)}, status=422)
    yield Question("PATCH", f"/api/orders/{paid}", {"gift": True}, status=403)
    yield Question("DELETE", f"/api/orders/{paid}", status=204)
    if viewer in PENDING:
        yield Question("PATCH", f"/api/orders/{key('Order', PENDING[viewer])}", {"gift": True}, status=200)
    yield Question("POST", "/api/order_items", line, status=201)
    yield Question("POST", "/api/order_items", {**line, "order": "ID"}, ids=orders, status=422)
    yield Question("POST", "/api/order_items", {**line, "product": "ID"}, ids=products, status=422)
    yield Question("POST", "/api/reviews", review, status=201)
    yield Question("POST", "/api/reviews", {**review, "product": "ID"}, ids=products, status=422)
    own = f"/api/reviews/{key('Review', REVIEWED[viewer])}"
    yield Question("PATCH", own, {"text": "x", "remark": "y"}, status=200)
    yield Question("PATCH", own, {"product": "ID"}, ids=products, status=422)
    yield Question("PATCH", own, {"hidden": True}, status=200)
    yield Question("DELETE", own, status=204)
    other = f"/api/reviews/{key('Review', 16 if viewer != 'customer:ada' else 15)}"
    yield Question("PATCH", other, {"remark": "x"}, status=403)
    yield Question("DELETE", other, status=403)


@in_one_loop
@everywhere
@for_everybody
async def test_writes_are_answered_alike(database: str, viewer: str, street: Street) -> None:
    twins = await street.twins(database, viewer)
    for shop in twins:
        await shop.number_orders_from(1010)
    assert await all_of(differences(twins, viewer, writes(viewer))) == []


# What is told all the same: the residual channels of the documentation, and nothing besides.


def exceptions(viewer: str) -> Iterator[tuple[Question, tuple[int, str], tuple[int, str]]]:
    """Writes that run into hidden records, with the status and the code that each of the two shops answers."""
    product, taken, free = f"/api/products/{key('Product', 1)}", (409, "not_unique"), (200, "")
    yield Question("PATCH", product, {"slug": "gyokuro"}), taken, free
    yield Question("PATCH", product, {"slug": "other-7"}), free, taken
    between = {"product": key("Product", 6), "label": key("Label", 2)}
    yield Question("POST", "/api/product_labels", between), taken, (201, "")
    between = {"product": key("Product", 1), "label": key("Label", 2)}
    yield Question("POST", "/api/product_labels", between), (201, ""), taken
    chosen = f"/api/messages/{key('Message', 21)}"  # an id that is taken by a hidden record
    yield Question("PUT", chosen, {"text": "x"}), (201, ""), (403, "denied")
    batch = [{"method": "PUT", "path": chosen, "body": {"text": "x"}}]
    yield Question("POST", "/api/batch", batch), (200, ""), (403, "denied")
    referred, gone = (409, "still_referenced"), (204, "")
    yield Question("DELETE", f"/api/products/{key('Product', 2)}"), gone, referred
    if viewer != "customer:chloe":  # the line is of her own order
        yield Question("DELETE", f"/api/products/{key('Product', 12)}"), referred, gone


def said(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.parsed.get("code", "") if reply.body else ""


@in_one_loop
@everywhere
@for_everybody
async def test_the_documented_conflicts_are_all_that_differs(database: str, viewer: str, street: Street) -> None:
    here, there = await street.twins(database, viewer)
    for question, ours, theirs in exceptions(viewer):
        replies = await here.ask(question, viewer), await there.ask(question, viewer)
        assert tuple(map(said, replies)) == (ours, theirs), question
        if ours[0] == 409:  # what is said tells no more than that there is one
            text = {name: value for name, value in replies[0].parsed.items() if name != "detail"}
            assert set(text) - {"errors"} == {"type", "title", "status", "instance", "code", "request_id"}
            values = json.dumps([error["message"] for error in text.get("errors", ())])
            assert "is taken already." in values or ours[1] == "still_referenced"


@in_one_loop
@everywhere
async def test_a_number_tells_how_many_were_drawn_and_nothing_else(database: str, street: Street) -> None:
    viewer = "customer:ada"
    order = {"total": {"amount": 1, "currency": "EUR"}, "placed_at": LATER}
    made = []
    for shop, drawn in zip(await street.twins(database, viewer), (1010, 1017), strict=True):
        await shop.number_orders_from(drawn)
        reply = await shop.ask(Question("POST", "/api/orders", order), viewer)
        made.append((reply.status, reply.headers["location"], reply.parsed))
    assert [values["number"] for _, _, values in made] == [1011, 1018]
    (status, location, ours), (*others, theirs) = made
    assert others == [status, location]
    assert {**ours, "number": 0} == {**theirs, "number": 0}


@in_one_loop
async def test_a_change_of_a_hidden_field_tells_when_and_nothing_else() -> None:
    shop = await open_shop("sqlite:///:memory:", rows())
    try:
        asked = Question("GET", f"/api/products/{key('Product', 1)}")
        before = await shop.ask(asked, "anonymous")
        await shop.settle(Update("Product", key("Product", 1), {"cost": {"amount": 999, "currency": "EUR"}}))
        after = await shop.ask(asked, "anonymous")
    finally:
        await shop.app.stop()
    moments = [reply.parsed["updated_at"] for reply in (before, after)]
    assert moments == ["2026-01-01T01:00:00.000000Z", "2026-06-01T12:00:00.000000Z"]
    assert {**before.parsed, "updated_at": ""} == {**after.parsed, "updated_at": ""}
    assert [reply.headers["etag"].partition("-")[0] for reply in (before, after)] == ['"1', '"2']


# Faults.


def after_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """No rule is asked about the row after a write."""
    patch.setattr(backstay.plan.write, "_after", lambda *arguments: (After(), ()))


def before_is_open(patch: pytest.MonkeyPatch) -> None:
    """Every row may be changed and deleted, as far as the row before tells."""
    patch.setattr(backstay.plan.write, "_open", lambda condition: ANYONE)


LINKS = open_way("source", "_visible", "<dictcomp>", "_sight", "_shape_create")
SERIES = {
    "documents": document_reads,
    "mutations": document_writes,
    "lists": lists,
    "puts": puts,
    "batches": batches,
    "nested": nested,
}
FAULTS: dict[str, tuple[str, Plant]] = {
    "get": ("GET", open_way("source", "_one")),
    "list": ("GET", open_way("source", "_listing", where=lambda values: "rows" not in values)),
    "count": ("GET", open_way("source", "_listing", where=lambda values: "rows" in values)),
    "search": ("GET", open_way("source", "_listing", where=lambda values: values["root"].search is not None)),
    "cursor": ("pages", open_way("source", "_listing", where=lambda values: values["root"].after is not None)),
    "aggregate": ("GET", open_way("source", "_aggregate")),
    "path of a filter": ("GET", open_way("source", "_within")),
    "path of a filter for null": ("GET", open_way("_path", "operand", "_atom")),
    "path of a sort": ("GET", open_way("_path", "path", "_order")),
    "path of a group": ("GET", open_way("_path", "path", "_group")),
    "quantifier": ("GET", open_way("_many")),
    "link in between": ("GET", open_way("related")),
    "expand to one": ("GET", open_way("source", "_to_one")),
    "expand to many": ("GET", open_way("source", "_to_many")),
    "field by row": (
        "GET", replaced(Resolver, "_guard", lambda guard: lambda self, part, value, frame, viewer: value),
    ),
    "field by role": ("GET", replaced(Resolver, "visible", everything)),
    "GraphQL: one": ("documents", open_way("source", "_one")),
    "GraphQL: list": ("documents", open_way("source", "_listing", where=lambda values: "rows" not in values)),
    "GraphQL: count": ("documents", open_way("source", "_listing", where=lambda values: "rows" in values)),
    "GraphQL: aggregate": ("documents", open_way("source", "_aggregate")),
    "GraphQL: path of a filter": ("documents", open_way("source", "_within")),
    "GraphQL: path of a sort": ("documents", open_way("_path", "path", "_order")),
    "GraphQL: path of a group": ("documents", open_way("_path", "path", "_group")),
    "GraphQL: quantifier": ("documents", open_way("_many")),
    "GraphQL: to one": ("documents", open_way("source", "_to_one")),
    "GraphQL: to many": ("documents", open_way("source", "_to_many")),
    "GraphQL: field by row": (
        "documents", replaced(Resolver, "_guard", lambda guard: lambda self, part, value, frame, viewer: value),
    ),
    "GraphQL: update": ("mutations", open_way("source", "_before", "_shape_update")),
    "GraphQL: delete": ("mutations", open_way("source", "_before", "_shape_delete")),
    "GraphQL: links": ("mutations", LINKS),
    "update": ("PATCH", open_way("source", "_before", "_shape_update")),
    "delete": ("DELETE", open_way("source", "_before", "_shape_delete")),
    "why a change was refused": ("PATCH", open_way("source", "_one")),
    "links of a new record": ("POST", LINKS),
    "links of a change": ("PATCH", open_way("source", "_visible", "<dictcomp>", "_sight", "_shape_update")),
    "rule before": ("DELETE", before_is_open),  # that of a change is asked again afterwards
    "rule after": ("PATCH", after_is_forgotten),
    "links of a list": ("lists", LINKS),
    "links of what is put": ("puts", LINKS),
    "links in a batch": ("batches", LINKS),
    "links of what is inside": ("nested", LINKS),
    "rule after of a list": ("lists", after_is_forgotten),
    "rule after of what is put": ("puts", after_is_forgotten),
    "rule after in a batch": ("batches", after_is_forgotten),
    "rule after of what is inside": ("nested", after_is_forgotten),
    "a list above the rules": ("lists", WRITE_FAULTS["a list of new records"]),
    "PUT above the rules": ("puts", WRITE_FAULTS["PUT"]),
    "PUT on what is hidden": ("puts", WRITE_FAULTS["PUT on what is hidden"]),
    "PUT in a batch above the rules": ("batches", WRITE_FAULTS["PUT in a batch"]),
    "a batch above the rules": ("batches", WRITE_FAULTS["a batch"]),
    "what is inside above the rules": ("nested", WRITE_FAULTS["rules on what is inside"]),
    "rules of what is inside on other rows": ("nested", WRITE_FAULTS["rules on other rows"]),
    "update in a batch": ("batches", open_way("source", "_before", "_shape_update")),
    "expand in the answer of a list": ("lists", open_way("source", "_to_many")),
    "expand in the answer of what is put": ("puts", open_way("source", "_to_many")),
    "expand in the answer of what is inside": ("nested", open_way("source", "_to_many")),
    "fields by role in the answer of a list": ("lists", replaced(Resolver, "visible", everything)),
}  # fmt: skip


@in_one_loop
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_noticed(fault: str, street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = "customer:ada"
    twins = await street.twins("sqlite", viewer)
    asked, plant = FAULTS[fault]
    plant(monkeypatch)
    for shop in twins:
        shop.begin_anew()
    try:
        assert await noticed(twins, viewer, asked), f"{fault}: left open, and no answer differs"
    finally:
        monkeypatch.undo()
        for shop in twins:
            shop.begin_anew()


async def noticed(twins: Twins, viewer: str, asked: str) -> str:
    """The first question of a kind that tells the two shops apart, or is answered as it should not be."""
    if asked == "pages":
        async for question, ours, theirs in pages(twins, viewer):
            if ours != theirs:
                return question
        return ""
    chosen = (question for question in [*reads(viewer), *writes(viewer)] if question.method == asked)
    async for difference in differences(twins, viewer, SERIES[asked](viewer) if asked in SERIES else chosen):
        return difference
    return ""
