"""What the two shops are asked to write at once: lists, `PUT`, batches, and records inside records.

Every question must be answered alike by both, whether a record that it names is hidden or was never there. For each
kind of write there are some that the read rule alone keeps from a hidden record, some that the rule on the row as it
then stands refuses, and some that are done.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from tests.golden.shop import key
from tests.oracle.twin_shops import CLOSED, LATER, NEVER, SERVED, VIEWERS, Question, hidden_ids

TEA, ASSAM, NEW, UNUSED = key("Product", 11), key("Product", 1), key("Label", 2), key("Label", 5)
"""Of the two products, one has reviews that are seen and reviews that are hidden."""
PRICE = {"amount": 5, "currency": "EUR"}
FRESH = "00000000-0000-7000-8000-00000000000f"
"""An id under which something is put; no shop has it."""
SHOWN = "fields=number,total,items&expand=items.product.reviews,items.product.labels,customer"


def lists(viewer: str) -> Iterator[Question]:
    """Lists of new records."""
    hidden = tuple(hidden_ids(viewer, "Product"))
    yield Question("POST", "/api/messages", [{"text": "Hello"}, {"text": "Hello again"}], status=201)
    links = [{"product": TEA, "label": NEW}, {"product": "ID", "label": NEW}]
    yield Question("POST", "/api/product_labels", links, ids=hidden, status=422)
    links = [{"product": TEA, "label": NEW, "hidden": True}, {"product": ASSAM, "label": UNUSED}]
    for shown in ("", "?expand=product.reviews,product.labels,label", "?fields=label.name,product.review_count"):
        yield Question("POST", f"/api/product_labels{shown}", links, status=201)
    yield Question("POST", "/api/product_labels?fields=product.cost", links, status=400)
    if viewer == "anonymous":
        return
    line = _line(viewer)
    yield Question("POST", "/api/order_items", [line, line], status=201)
    yield Question("POST", "/api/order_items", [line, {**line, "quantity": 1000}], status=403)
    for name, ids in (("product", hidden), ("order", tuple(hidden_ids(viewer, "Order")))):
        yield Question("POST", "/api/order_items", [line, {**line, name: "ID"}], ids=ids, status=422)


def puts(viewer: str) -> Iterator[Question]:
    """What is put under an id that is hidden, seen or new."""
    nobody, hidden = viewer == "anonymous", tuple(hidden_ids(viewer, "Product"))
    values = {"name": "x", "slug": "x", "price": {"amount": 1, "currency": "EUR"}, "category": key("Category", 2)}
    for headers in ({}, {"if-none-match": "*"}):  # a new one needs a cost, which does not exist for them
        yield Question("PUT", "/api/products/ID", values, headers, hidden, 401 if nobody else 403)
    for model, plural in SERVED.items():
        ids = tuple(hidden_ids(viewer, model))
        for match in ('"1"', "*"):
            status = 401 if nobody and model in CLOSED else 412  # who may never change one is told that first
            yield Question("PUT", f"/api/{plural}/ID", {}, {"if-match": match}, ids, status)
        yield Question("PUT", f"/api/{plural}/ID", {"nothing": 1}, ids=ids)
    whole = {**values, "kind": "tea", "slug": "one-tea", "state": "published"}
    yield Question("PUT", f"/api/products/{TEA}", whole, status=200)
    yield Question("PUT", f"/api/products/{ASSAM}?expand=reviews,labels,related", whole, status=200)
    yield Question("PUT", f"/api/products/{TEA}", {**whole, "stock": 1000}, status=403)
    yield Question("PUT", f"/api/products/{TEA}", {**whole, "related": ["ID"]}, ids=hidden, status=422)
    yield Question("PUT", f"/api/products/{TEA}", {**whole, "related": []}, status=200)
    fresh = f"/api/product_labels/{FRESH}"
    yield Question("PUT", fresh, {"product": TEA, "label": NEW}, status=201)
    yield Question("PUT", fresh, {"product": "ID", "label": NEW}, ids=hidden, status=422)
    yield Question("PUT", fresh, {"product": TEA, "label": "ID"}, ids=tuple(hidden_ids(viewer, "Label")), status=422)
    if not nobody:
        yield Question("PUT", f"/api/order_items/{FRESH}", {**_line(viewer), "quantity": 1000}, status=403)


def batches(viewer: str) -> Iterator[Question]:
    """Batches: of one operation on what is hidden, and of several that lead to it."""
    hidden = tuple(hidden_ids(viewer, "Product"))

    def batch(*operations: tuple[str, str, Any], **more: Any) -> Question:
        sent = [{"method": method, "path": f"/api/{path}", "body": body} for method, path, body in operations]
        whole = [{name: part for name, part in one.items() if part is not None} for one in sent]
        return Question("POST", "/api/batch", whole, **more)

    first = ("POST", "messages", {"text": "Hello"})
    for model, plural in SERVED.items():
        ids = tuple(hidden_ids(viewer, model))
        yield batch(first, ("DELETE", f"{plural}/ID", None), ids=ids)
        changed = batch(first, ("PATCH", f"{plural}/ID", {"nothing": 1}), ids=ids)
        yield replace(changed, body={"operations": changed.body})
    yield batch(("PATCH", "products/ID", {"stock": 3}), ids=hidden, status=404)
    yield batch(("PATCH", f"products/{key('Product', 1)}", {"stock": 3}), status=200)
    yield batch(("PATCH", f"products/{key('Product', 1)}", {"stock": 1000}), status=403)
    yield batch(first, ("POST", "product_labels", {"product": "ID", "label": NEW}), ids=hidden, status=422)
    yield batch(first, ("PUT", f"product_labels/{FRESH}", {"product": "ID", "label": NEW}), ids=hidden, status=422)
    yield batch(("PATCH", f"products/{TEA}", {"related": ["ID"]}), first, ids=hidden, status=422)
    closes = ("POST", "product_labels", {"product": TEA, "label": NEW, "hidden": True})
    yield batch(closes, first, ("PATCH", f"labels/{NEW}", {"internal": True}), status=200)
    if viewer != "anonymous":
        yield batch(first, ("POST", "order_items", {**_line(viewer), "quantity": 1000}), status=403)
        yield batch(("POST", "orders", {**_order(), "items": [_inside("ID")]}), ids=hidden, status=422)


def nested(viewer: str) -> Iterator[Question]:
    """Records inside records: above, below, in lists, under an id, and what is answered of them."""
    hidden, labels = tuple(hidden_ids(viewer, "Product")), tuple(hidden_ids(viewer, "Label"))
    label, denied = {"name": "fresh"}, 401 if viewer == "anonymous" else 403
    above = "/api/product_labels"
    yield Question("POST", above, {"product": TEA, "label": label}, status=201)
    yield Question("POST", above, {"product": "ID", "label": label}, ids=hidden, status=422)
    yield Question("POST", f"{above}?expand=label,product.labels", {"product": TEA, "label": label}, status=201)
    secret = {"product": TEA, "label": {**label, "internal": True}}
    yield Question("POST", f"{above}?expand=label,product.labels", secret, status=201)
    yield Question("POST", above, {"product": TEA, "label": {**label, "products": ["ID"]}}, ids=hidden, status=422)
    for product in ({}, {"name": "x", "cost": PRICE}, {"name": "x", "cots": PRICE}):  # its cost does not exist for them
        yield Question("POST", above, {"product": product, "label": NEW}, status=denied)
        yield Question("POST", "/api/categories", {"name": "x", "products": [product]}, status=denied)
    children = [{"name": "y"}, {"name": "z", "children": [{"name": "w"}]}]
    yield Question("POST", "/api/categories?expand=children", {"name": "x", "children": children}, status=201)
    yield Question("PUT", f"{above}/{FRESH}", {"product": "ID", "label": label}, ids=hidden, status=422)
    change = {"label": {"name": "x"}}  # what is there takes no new records, whether it is seen or not
    yield Question("PATCH", f"{above}/ID", change, ids=tuple(hidden_ids(viewer, "ProductLabel")), status=422)
    if viewer == "anonymous":
        yield Question("POST", "/api/orders", {**_order(), "items": [_inside(TEA)]}, status=401)
        return
    for product, ids, status in ((TEA, (), 201), ("ID", hidden, 422), ("ID", labels, 422)):
        whole = {**_order(), "items": [_inside(ASSAM), _inside(product)]}
        yield Question("POST", f"/api/orders?{SHOWN}", whole, ids=ids, status=status)
        yield Question("POST", "/api/orders", [whole, _order()], ids=ids, status=status)
        yield Question("PUT", f"/api/orders/{FRESH}", whole, ids=ids, status=status)
        below = {**_inside(product), "order": _order()}
        yield Question("POST", "/api/order_items?expand=order", below, ids=ids, status=status)
    for quantity in (999, 1000):  # the order refuses the one, the line the other
        whole = {**_order(), "items": [{**_inside(TEA), "quantity": quantity}]}
        yield Question("POST", "/api/orders", whole, status=403)
        yield Question("POST", "/api/orders", [_order(), whole], status=403)
        yield Question("PUT", f"/api/orders/{FRESH}", whole, status=403)
        yield Question("POST", "/api/batch", [{"method": "POST", "path": "/api/orders", "body": whole}], status=403)
    yield Question("PATCH", "/api/orders/ID", {"items": []}, ids=tuple(hidden_ids(viewer, "Order")), status=422)
    line = {**_inside(TEA), "order": "ID"}  # which order it is of is not theirs to say here
    yield Question("POST", "/api/orders", {**_order(), "items": [line]}, ids=(key("Order", 1), NEVER), status=422)


def series(viewer: str) -> Iterator[Question]:
    """All of it."""
    return chain(lists(viewer), puts(viewer), batches(viewer), nested(viewer))


def _order() -> dict[str, Any]:
    return {"total": {"amount": 1, "currency": "EUR"}, "placed_at": LATER}


def _inside(product: str) -> dict[str, Any]:
    return {"product": product, "quantity": 1, "price": PRICE}


def _line(viewer: str) -> dict[str, Any]:
    own = {1: 1, 2: 3, 3: 7}[VIEWERS[viewer]]  # an order of one's own
    return {"order": key("Order", own), "product": key("Product", 2), "quantity": 1, "price": PRICE}
