"""What the two shops are asked by GraphQL: every form of a document, of what is seen and of what is hidden.

Every question must be answered alike by both, whether a record that it names is hidden or was never there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.golden.shop import key
from tests.oracle.twin_shops import SERVED, VIEWERS, Question, hidden_ids

GOLDEN = Path(__file__).parent.parent / "golden"
ONE, TEA, LABEL = key("Product", 1), key("Product", 11), key("Label", 2)
READS = (
    "{ products { totalCount nodes { id name category { name } reviews { text author { id } } labels { name } } } }",
    "{ products(first: 3, orderBy: {name: ASC}) { edges { cursor node { name } } pageInfo { hasNextPage } } }",
    "{ products(last: 3, orderBy: {weight: ASC}) { edges { cursor node { name } } pageInfo { hasPreviousPage } } }",
    '{ products(search: "tee") { totalCount nodes { name } } }',
    '{ products(where: {search: "assam"}) { totalCount } reviews(search: "a") { totalCount } }',
    '{ reviews(where: {product: {name: {ne: "Gyokuro"}}}) { nodes { text } } }',
    "{ reviews(where: {product: {stock: {gt: 50}}}) { totalCount } }",
    "{ reviews(where: {author: {city: {isNull: true}}}) { nodes { text } } }",
    "{ reviews(where: {remark: {isNull: true}}) { nodes { text remark } } }",
    "{ reviews(orderBy: [{product: {name: ASC}}]) { nodes { text } } }",
    "{ reviews(orderBy: [{remark: DESC}, {author: {name: ASC}}]) { nodes { text remark } } }",
    "{ products(where: {reviews: {none: {}}}) { nodes { name } } }",
    '{ products(where: {reviews: {every: {author: {city: {eq: "Berlin"}}}}}) { nodes { name } } }',
    "{ products(where: {related: {some: {stock: {gt: 50}}}}) { nodes { name } } }",
    '{ labels(where: {products: {some: {name: {startsWith: "A"}}}}) { nodes { name products { name } } } }',
    "{ categories(where: {products: {none: {price: {lt: 700}}}}) { nodes { name } } }",
    '{ productsAggregate(groupBy: ["category.name", "state"]) { count group { category { name } } sum { stock } } }',
    '{ reviewsAggregate(groupBy: ["product.name"]) { count group { product { name } } avg { stars } } }',
    '{ reviewsAggregate(groupBy: ["author.city"]) { count countDistinct { authorId } } }',
    '{ productsAggregate(search: "tee") { count max { price { amount } } } }',
    "{ products(first: 4) { nodes { related { name reviews { text } } category { products { name } } } } }",
    "{ orders { totalCount nodes { number items { quantity product { name } } } } products { totalCount } }",
    "{ customers { nodes { id name orders { number } } } messages { totalCount } }",
    "{ __schema { types { name fields { name } inputFields { name } enumValues { name } } } }",
)
UNKNOWN = (
    "{ products { nodes { cost { amount } } } }",
    "{ products(where: {cost: {gt: 1}}) { totalCount } }",
    "{ products(orderBy: {cost: ASC}) { totalCount } }",
    "{ productsAggregate { max { cost { amount } } } }",
    "{ reviews(where: {product: {cost: {gt: 1}}}) { totalCount } }",
    "{ products { nodes { cots } } }",
)


def _ask(query: str, ids: tuple[str, ...] = (), **variables: Any) -> Question:
    return Question("POST", "/graphql", {"query": query, "variables": variables}, ids=ids, status=200)


def document_reads(viewer: str) -> Iterator[Question]:
    """Documents that change nothing: those of the golden questions too, whoever is asked there."""
    for query in (*READS, *UNKNOWN):
        yield _ask(query)
    for file in sorted(GOLDEN.glob("*/graphql.graphql")):
        if "$after" not in (text := file.read_text()):
            yield _ask(text)
    for model in SERVED:
        ids = tuple(hidden_ids(viewer, model))
        one = model[0].lower() + model[1:]
        yield _ask(f"query ($id: ID!) {{ {one}(id: $id) {{ id }} }}", ids, id="ID")
        yield _ask("query ($id: ID!) { node(id: $id) { id __typename } }", ids, id="ID")
    hidden = tuple(hidden_ids(viewer, "Product"))
    yield _ask("query ($id: ID!) { productsAggregate(where: {id: {in: [$id]}}) { count } }", hidden, id="ID")


def document_writes(viewer: str) -> Iterator[Question]:
    """Mutations: of what is hidden, of what is not one's own, and some that are done."""
    hidden, labels = tuple(hidden_ids(viewer, "Product")), tuple(hidden_ids(viewer, "Label"))
    change = "mutation ($id: ID!) { updateProduct(id: $id, input: {stock: 5}) { id stock } }"
    yield _ask(change, id=ONE)
    yield _ask(change, hidden, id="ID")
    yield _ask("mutation ($id: ID!) { deleteProduct(id: $id) { name } }", hidden, id="ID")
    yield _ask("mutation ($id: ID!) { deleteProduct(id: $id) { name } }", id=key("Product", 20))
    yield _ask("mutation ($id: ID!) { updateProduct(id: $id, input: {stock: 1000}) { id } }", id=ONE)
    yield _ask(
        'mutation ($id: ID!) { updateProduct(id: $id, input: {cost: {amount: 1, currency: "EUR"}}) { id } }', id=ONE
    )
    tie = "mutation ($p: ID!, $l: ID!) { createProductLabel(input: {productId: $p, labelId: $l}) { label { name } } }"
    yield _ask(tie, p=TEA, l=LABEL)
    yield _ask(tie, hidden, p="ID", l=LABEL)
    yield _ask(tie, labels, p=TEA, l="ID")
    yield _ask(
        'mutation { createMessage(input: {text: "Hello"}) { id } again: createMessage(input: {text: ""}) { id } }'
    )
    yield _ask(
        "mutation ($p: ID!) { createReview(input: {productId: $p, stars: 5, text: \"x\"}) { product { name } } }",
        hidden, p="ID",
    )  # fmt: skip


def documents(viewer: str) -> Iterator[Question]:
    """All of them."""
    assert viewer in VIEWERS
    yield from document_reads(viewer)
    yield from document_writes(viewer)


__all__ = ["document_reads", "document_writes", "documents"]
