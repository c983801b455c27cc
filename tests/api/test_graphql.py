"""GraphQL asks the same questions as everybody: the same shapes, the same statements, the same rules."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest

from backstay import Currency, Many, Model, Money, Rules, User, anyone, computed, role, searchable
from backstay import field as field_rule
from backstay.api.cursor import Cursors
from backstay.api.graphql_documents import Documents, Question
from backstay.api.graphql_exchange import error_of
from backstay.api.graphql_names import camel
from backstay.api.graphql_schema import root_fields
from backstay.errors import BadRequest
from backstay.model.predicate import Compare, Path, Quantified, Search, Slot
from backstay.model.schema import declare
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.ask import After, Aggregate, Ask, Listing, Measure, Nested, One, Selection, Sort
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.sqlite import SQLiteStore


class Category(Model):
    name: str
    parent: "Category | None" = None
    products: Many["Product"]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Product(Model):
    name: str
    price: Annotated[Money, Currency("EUR")]
    cost: Annotated[Money, Currency("EUR")]
    status: Literal["draft", "live"] = "live"
    on_sale: bool = False
    stock_left: int = 0
    category: Category
    reviews: Many["Review"]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, fields=[field_rule(self.cost, read=role("staff"))])

    def indexes(self) -> list[Any]:
        return [searchable(self.name)]

    @computed
    def label(self) -> str:
        return self.name


class Review(Model):
    rating: int
    product: Product

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class OrderItem(Model):
    title: str

    def rules(self, me: User) -> Rules:
        return Rules(read=role("staff"))


CURSORS = Cursors(b"not a secret")
SCHEMA = declare([Category, Product, Review, OrderItem])
TEA, CUPS = (f"00000000-0000-7000-8000-00000000000{i}" for i in (1, 2))
PRODUCTS = {name: f"00000000-0000-7000-8000-0000000001{i:02}" for i, name in enumerate(("Assam", "Mug", "Sencha"))}


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA, Limits(), CURSORS)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    store = SQLiteStore(":memory:")
    await store.open()
    await store.extend(SCHEMA)
    async with store.transaction() as tx:

        async def insert(table: str, **values: Any) -> None:
            row = {"created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z", **values}
            marks = ", ".join("?" * len(row))
            await tx.run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))

        for key, name in ((TEA, "Tea"), (CUPS, "Cups")):
            await insert("categories", id=key, name=name, name__folded=name.lower())
        stock = ((1200, 900, "live", 1, 3, TEA), (850, 300, "live", 0, 0, CUPS), (1900, 1000, "draft", 0, 8, TEA))
        for name, (price, cost, status, on_sale, left, category) in zip(PRODUCTS, stock, strict=True):
            folded = name.lower()
            await insert("products", id=PRODUCTS[name], name=name, name__folded=folded, _words=f" {folded} ",
                         price=price, cost=cost, status=status, on_sale=on_sale, stock_left=left,
                         category_id=category)  # fmt: skip
        for i, (name, rating) in enumerate((("Assam", 5), ("Assam", 2), ("Assam", 4), ("Mug", 3))):
            key = f"00000000-0000-7000-8000-0000000002{i:02}"
            await insert("reviews", id=key, rating=rating, product_id=PRODUCTS[name])
    yield Engine(SCHEMA, store, Limits())
    await store.close()


async def answer(documents: Documents, engine: Engine, text: str, actor: Actor = ANONYMOUS, **variables: Any) -> Any:
    question = documents.parse(text, variables, actor=actor)
    body = json.loads(documents.render(question, await engine.read(question.ask, actor), actor))
    assert list(body) == ["data"]
    return body["data"]


def refusal(documents: Documents, text: str, **variables: Any) -> tuple[str, str]:
    with pytest.raises(BadRequest) as caught:
        documents.parse(text, variables)
    return caught.value.code, caught.value.detail


# The ask.


def test_a_document_is_the_ask_that_is_written_by_hand(documents: Documents) -> None:
    question = documents.parse(
        """
        query ($max: Int!, $words: String) {
          products(where: {price: {lt: $max}, category: {name: {eq: "Tea"}}, reviews: {some: {rating: {gte: 4}}}},
                   orderBy: [{price: DESC}, {category: {name: ASC}}], search: $words, limit: 5, offset: 10) {
            nodes { name onSale category { name } reviews(where: {rating: {gt: 1}}, orderBy: {rating: DESC}, first: 3) { rating } }
            totalCount
          }
          product(id: "00000000-0000-7000-8000-000000000100") { id price { amount currency } }
          productsAggregate(where: {stockLeft: {gt: 0}}, groupBy: ["status"], orderBy: {count: DESC}) {
            count group { status } sum { price } countDistinct { category { name } }
          }
        }
        """,  # noqa: E501
        {"max": 2000, "words": "tea"},
    )
    listing = Listing(
        "Product",
        Selection(
            False,
            (("name", "name"), ("onSale", "on_sale"), ("category", "category"), ("reviews", "reviews")),
            (
                Nested("category", "category", Selection(False, (("name", "name"),))),
                Nested(
                    "reviews", "reviews", Selection(False, (("rating", "rating"),)),
                    Compare("gt", Path(("rating",)), Slot(6)), (Sort(("rating",), True),), Slot(7, "first"),
                ),
            ),
        ),
        question.ask.roots[0].where,
        (Sort(("price",), True), Sort(("category", "name"))),
        Slot(3, "search"), Slot(4, "limit"), Slot(5, "offset"), count="exact",
    )  # fmt: skip
    one = One("Product", Slot(8, "id"), Selection(False, (("id", "id"), ("price", "price"))))
    numbers = Aggregate(
        "Product", (("status",),),
        (Measure("count", "count"), Measure("sum.price", "sum", ("price",)),
         Measure("count_distinct.category.name", "count_distinct", ("category", "name"))),
        Compare("gt", Path(("stock_left",)), Slot(9)), sort=(Sort(("count",), True),),
    )  # fmt: skip
    assert question.ask.roots == (listing, one, numbers)
    assert question.ask.roots[0].where.parts == (  # type: ignore[union-attr]
        Compare("lt", Path(("price",)), Slot(0)),
        Compare("eq", Path(("category", "name")), Slot(1)),
        Quantified("some", Path(("reviews",)), Compare("gte", Path(("rating",), 1), Slot(2))),
    )
    assert question.ask.values == (2000, "Tea", 4, "tea", 5, 10, 1, 3, PRODUCTS["Assam"], 0)


def test_constants_and_variables_give_one_shape_and_other_values_the_same(documents: Documents) -> None:
    constant = documents.parse('{ products(where: {name: {in: ["Mug"]}}, first: 2) { nodes { id } } }').ask
    text = (
        "query ($names: [String!], $n: Int = 9) { products(where: {name: {in: $names}}, first: $n) { nodes { id } } }"
    )
    first = documents.parse(text, {"names": ["Mug", "Assam"], "n": 3}).ask
    second = documents.parse(text, {"names": ["Sencha"]}).ask
    assert first.roots is second.roots
    assert constant.roots == first.roots
    assert (constant.values, first.values, second.values) == ((["Mug"], 2), (["Mug", "Assam"], 3), (["Sencha"], 9))


def test_a_whole_filter_may_be_a_variable(documents: Documents) -> None:
    text = "query ($w: Any) { products(where: $w) { nodes { id } } }"

    def ask(where: Any) -> Ask:
        return documents.parse(text, {"w": where}).ask

    filters = {"or": [{"price": {"lt": 5}}, {"name": {"startsWith": "A"}}], "onSale": True}
    ours = documents.parse(
        '{ products(where: {or: [{price: {lt: 7}}, {name: {startsWith: "B"}}], onSale: false}) { nodes { id } } }'
    ).ask
    assert ask(filters) == Ask(ours.roots, (5, "A", True))
    assert ask({**filters, "or": [{"price": {"lt": 6}}, {"name": {"starts_with": "A"}}]}).roots == ours.roots
    assert ask({"price": {"eq": {"amount": 5, "currency": "EUR"}}}).values == ({"amount": 5, "currency": "EUR"},)
    assert ask({"price": {"eq": {"amount": 6, "currency": "EUR"}}}).values == ({"amount": 6, "currency": "EUR"},)
    assert ask({"category": {"parent": None}}).values == ()
    assert ask({"search": "tea"}).roots[0].where == Search(Slot(0))
    assert ask(None).roots == ask({}).roots == (Listing("Product", Selection(False, (("id", "id"),))),)


def test_null_and_truth_are_part_of_the_shape(documents: Documents) -> None:
    text = "query ($x: Any) { products(where: {category: {parent: {isNull: $x}}}) { nodes { id } } }"
    shapes = [documents.parse(text, {"x": x}).ask.roots for x in (True, False, True)]
    assert shapes[0] != shapes[1]
    assert shapes[0] is shapes[2]
    assert refusal(documents, text, x=1)[0] == refusal(documents, text, x="true")[0] == "invalid_filter"


def test_an_absent_variable_leaves_out_what_it_stands_for(documents: Documents) -> None:
    text = "query ($n: Int, $max: Int) { products(first: $n, where: {price: {lt: $max, gt: 1}}) { nodes { id } } }"
    (root,), values = (ask := documents.parse(text).ask).roots, ask.values
    assert isinstance(root, Listing)
    assert root.limit is None
    assert root.where == Compare("gt", Path(("price",)), Slot(0))
    assert values == (1,)
    assert refusal(documents, text, max=None)[0] == "invalid_filter"


def test_directives_and_fragments(documents: Documents) -> None:
    text = """
      query ($full: Boolean!) {
        product(id: "x") { ...Short ... on Product @include(if: $full) { category { ...Named } } ...Short }
        other: product(id: "x") @skip(if: $full) { id }
      }
      fragment Short on Product { name category { id } }
      fragment Named on Category { name }
    """
    short = Nested("category", "category", Selection(False, (("id", "id"),)))
    full = Nested("category", "category", Selection(False, (("id", "id"), ("name", "name"))))
    for _ in range(2):
        (root,) = documents.parse(text, {"full": True}).ask.roots
        assert root.selection == Selection(False, (("name", "name"), ("category", "category")), (full,))
        root, other = documents.parse(text, {"full": False}).ask.roots
        assert root.selection == Selection(False, (("name", "name"), ("category", "category")), (short,))
        assert other.selection == Selection(False, (("id", "id"),))


def test_a_fragment_inside_itself_adds_nothing(documents: Documents) -> None:
    (root,) = documents.parse('{ product(id: "x") { ...F } } fragment F on Product { id ...F }').ask.roots
    assert root == One("Product", Slot(0, "id"), Selection(False, (("id", "id"),)))


def test_an_order_may_come_by_a_variable(documents: Documents) -> None:
    text = "query ($by: Any) { products(orderBy: $by) { nodes { id } } }"
    for direction in ("ASC", "DESC", "ASC"):
        (root,) = documents.parse(text, {"by": [{"stockLeft": direction}]}).ask.roots
        assert isinstance(root, Listing)
        assert root.sort == (Sort(("stock_left",), direction == "DESC"),)


# The answer.


async def test_several_roots_are_one_statement(documents: Documents, engine: Engine) -> None:
    before = engine.store.statements
    data = await answer(
        documents, engine,
        """
        query ($id: ID!, $least: Int) {
          cheap: products(orderBy: {price: ASC}, first: 2) {
            items: nodes { id title: name price { amount } shelf: category { name } }
            n: totalCount
          }
          product(id: $id) {
            name onSale label best: reviews(where: {rating: {gte: $least}}, orderBy: {rating: DESC}) { rating }
          }
          nothing: product(id: "00000000-0000-7000-8000-000000000999") { name }
        }
        """,
        id=PRODUCTS["Assam"], least=3,
    )  # fmt: skip
    assert engine.store.statements == before + 1
    assert data == {
        "cheap": {
            "items": [
                {"id": PRODUCTS["Mug"], "title": "Mug", "price": {"amount": 850}, "shelf": {"name": "Cups"}},
                {"id": PRODUCTS["Assam"], "title": "Assam", "price": {"amount": 1200}, "shelf": {"name": "Tea"}},
            ],
            "n": 3,
        },
        "product": {"name": "Assam", "onSale": True, "label": "Assam", "best": [{"rating": 5}, {"rating": 4}]},
        "nothing": None,
    }


async def test_money_is_an_object_or_a_whole(documents: Documents, engine: Engine) -> None:
    text = """query ($id: ID!) { product(id: $id) {
        price a: price { currency amount } b: price { cents: amount }
        category { products { price { currency } } } } }"""
    assert await answer(documents, engine, text, id=PRODUCTS["Mug"]) == {
        "product": {
            "price": {"amount": 850, "currency": "EUR"},
            "a": {"amount": 850, "currency": "EUR"},
            "b": {"cents": 850},
            "category": {"products": [{"price": {"currency": "EUR"}}]},
        }
    }


async def test_groups_have_their_keys_and_numbers(documents: Documents, engine: Engine) -> None:
    data = await answer(
        documents, engine,
        """{ productsAggregate(groupBy: ["onSale", "category.name"],
                               orderBy: [{group: {category: {name: ASC}}}, {sum: {stockLeft: DESC}}]) {
          group { onSale shelf: category { name } } n: count sum { price stockLeft } max { price { amount } } } }""",
    )  # fmt: skip
    assert data == {
        "productsAggregate": [
            {"group": {"onSale": False, "shelf": {"name": "Cups"}}, "n": 1,
             "sum": {"price": {"amount": 850, "currency": "EUR"}, "stockLeft": 0}, "max": {"price": {"amount": 850}}},
            {"group": {"onSale": False, "shelf": {"name": "Tea"}}, "n": 1,
             "sum": {"price": {"amount": 1900, "currency": "EUR"}, "stockLeft": 8}, "max": {"price": {"amount": 1900}}},
            {"group": {"onSale": True, "shelf": {"name": "Tea"}}, "n": 1,
             "sum": {"price": {"amount": 1200, "currency": "EUR"}, "stockLeft": 3}, "max": {"price": {"amount": 1200}}},
        ]
    }  # fmt: skip
    assert await answer(documents, engine, "{ productsAggregate { count } }") == {"productsAggregate": [{"count": 3}]}


async def test_a_cursor_goes_on_behind_the_last_row(documents: Documents, engine: Engine) -> None:
    text = """query ($after: String, $least: Int = 0) {
      products(where: {price: {gt: $least}}, orderBy: {price: DESC}, first: 1, after: $after) {
        nodes { name } pageInfo { hasNextPage endCursor } } }"""
    seen, cursor = [], None
    for more in (True, True, False):
        page = (await answer(documents, engine, text, after=cursor))["products"]
        seen += [node["name"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] is more
        assert cursor is not None
    assert seen == ["Sencha", "Assam", "Mug"]
    first = (await answer(documents, engine, text))["products"]["pageInfo"]["endCursor"]
    assert refusal(documents, text, after=first, least=5)[0] == "invalid_cursor"
    with pytest.raises(BadRequest, match="not made for this question"):
        documents.parse(text, {"after": first}, actor=Actor(TEA))
    assert refusal(documents, text, after="nonsense")[0] == refusal(documents, text, after=7)[0] == "invalid_cursor"
    rest = "where: {price: {gt: 0}}, orderBy: {price: DESC}) { nodes { name } } }"
    literal = await answer(documents, engine, f"{{ products(after: {json.dumps(first)}, {rest}")
    assert literal["products"]["nodes"] == [{"name": "Assam"}, {"name": "Mug"}]


async def test_a_list_is_read_from_its_end(documents: Documents, engine: Engine) -> None:
    text = """query ($before: String) { products(orderBy: {price: DESC}, last: 1, before: $before) {
      edges { cursor node { name } __typename }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    seen, cursor = [], None
    for number in range(3):
        page = (await answer(documents, engine, text, before=cursor))["products"]
        (edge,) = page["edges"]
        assert edge["__typename"] == "ProductEdge"
        cursor = page["pageInfo"]["startCursor"]
        assert page["pageInfo"] == {
            "hasNextPage": number > 0, "hasPreviousPage": number < 2, "startCursor": edge["cursor"],
            "endCursor": edge["cursor"],
        }  # fmt: skip
        seen.append(edge["node"]["name"])
    assert seen == ["Mug", "Assam", "Sencha"]
    back = """query ($after: String) { products(orderBy: {price: DESC}, first: 1, after: $after) {
      nodes { name } pageInfo { hasNextPage hasPreviousPage } } }"""
    assert (await answer(documents, engine, back, after=cursor))["products"] == {
        "nodes": [{"name": "Assam"}], "pageInfo": {"hasNextPage": True, "hasPreviousPage": True},
    }  # fmt: skip
    assert refusal(documents, back.replace("after: $after", "before: $after"), after=cursor)[0] == "unknown_parameter"


async def test_what_is_wanted_of_a_record_twice_is_one_statement_still(documents: Documents, engine: Engine) -> None:
    before = engine.store.statements
    data = await answer(
        documents, engine,
        """{ products(orderBy: {name: ASC}, first: 1) {
             a: nodes { id } nodes { name price { currency __typename amount } } edges { node { stockLeft } } } }""",
    )  # fmt: skip
    assert engine.store.statements == before + 1
    assert data == {
        "products": {
            "a": [{"id": PRODUCTS["Assam"]}],
            "nodes": [{"name": "Assam", "price": {"currency": "EUR", "__typename": "Money", "amount": 1200}}],
            "edges": [{"node": {"stockLeft": 3}}],
        }
    }


async def test_members_stand_in_the_order_of_the_document(documents: Documents, engine: Engine) -> None:
    question = documents.parse(
        "{ products(first: 1, orderBy: {name: ASC}) { nodes { __typename category { name __typename } name } } }"
    )
    body = documents.render(question, await engine.read(question.ask, ANONYMOUS))
    assert body == (
        b'{"data":{"products":{"nodes":[{"__typename":"Product",'
        b'"category":{"name":"Tea","__typename":"Category"},"name":"Assam"}]}}}'
    )


def test_a_null_in_a_cursor_is_part_of_the_shape(documents: Documents) -> None:
    text = "query ($after: String) { categories(orderBy: {parent: ASC}, after: $after) { nodes { id } } }"
    for place in ([None, TEA], [CUPS, TEA], [None, CUPS]):
        token = CURSORS.seal("categories", [("orderBy", '{"parent":"ASC"}')], ANONYMOUS, place)
        ask = documents.parse(text, {"after": token}).ask
        (root,) = ask.roots
        assert isinstance(root, Listing)
        assert root.after == After((None, Slot(0)) if place[0] is None else (Slot(0), Slot(1)))
        assert ask.values == tuple(key for key in place if key is not None)


async def test_a_search_by_rank_pages_by_offset(documents: Documents, engine: Engine) -> None:
    text = """query ($after: String) { products(search: "m", first: 1, after: $after) {
      nodes { name } pageInfo { endCursor } } }"""
    async with engine.store.transaction() as tx:
        await tx.run("UPDATE products SET _words = ' m '", ())
    names, cursor = [], None
    for _ in range(4):
        page = (await answer(documents, engine, text, after=cursor))["products"]
        names += [node["name"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
    assert sorted(names) == ["Assam", "Mug", "Sencha"]
    assert cursor is None


# What may be seen is the planner's to say.


async def test_a_hidden_field_does_not_exist_however_it_is_asked(documents: Documents, engine: Engine) -> None:
    staff = Actor("00000000-0000-7000-8000-000000000900", frozenset({"staff"}))
    text = "{ products(orderBy: {name: ASC}, first: 1) { nodes { cost { amount } } } }"
    assert (await answer(documents, engine, text, staff))["products"]["nodes"] == [{"cost": {"amount": 900}}]
    asks = (
        "{{ products {{ nodes {{ {0} }} }} }}",
        "{{ products {{ nodes {{ {0} {{ amount }} }} }} }}",
        "{{ products {{ nodes {{ {0} {{ amount currency }} }} }} }}",
        "{{ products {{ nodes {{ {0} {{ other }} }} }} }}",
        "{{ products {{ nodes {{ {0} {{ amount @skip(if: true) }} }} }} }}",
        "{{ products {{ nodes {{ {0} {{ ... on Money {{ amount }} }} }} }} }}",
        "{{ products {{ nodes {{ {0}(first: 2) {{ amount }} }} }} }}",
        "{{ products(orderBy: {{{0}: ASC}}) {{ nodes {{ id }} }} }}",
        "{{ productsAggregate {{ sum {{ {0} }} }} }}",
        "{{ productsAggregate {{ sum {{ {0} {{ amount }} }} }} }}",
        '{{ productsAggregate(groupBy: ["{0}"]) {{ group {{ {0} {{ amount }} }} }} }}',
    )
    for ask in asks:
        told = []
        for name in ("cost", "cozy"):
            with pytest.raises(BadRequest) as caught:
                await answer(documents, engine, ask.format(name))
            told.append((caught.value.code, caught.value.detail.replace(name, "…")))
        assert told[0] == told[1], ask


async def test_a_fragment_on_another_type_is_refused(documents: Documents, engine: Engine) -> None:
    with pytest.raises(BadRequest) as caught:
        await answer(documents, engine, "{ products { nodes { ... on Review { rating } } } }")
    assert caught.value.code == "unknown_field"
    assert "... on Review" in caught.value.detail


# What is refused.


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{ product(id: 1) { id }", "bad_request", "line 1, column 24"),
        ("", "bad_request", "line 1, column 1"),
        ("{ a { b }}", "unknown_field", 'Query has no field "a"'),
        ("{ prodcuts { nodes { id } } }", "unknown_field", 'Did you mean "products"?'),
        ("{ products(wher: {}) { nodes { id } } }", "unknown_parameter", 'Did you mean "where"?'),
        ("{ products(first: 1, limit: 2) { nodes { id } } }", "unknown_parameter", "give one of them"),
        ("{ products(first: 1, first: 2) { nodes { id } } }", "bad_request", "twice"),
        ("{ products(where: {price: {lt: 1}, price: {lt: 2}}) { nodes { id } } }", "bad_request", "twice"),
        ("{ products { id } }", "unknown_field", "nodes { ... }"),
        ("{ products { nodes { id } edgy { node { id } } } }", "unknown_field", 'Did you mean "edges"?'),
        ("{ products { edges { nodes { id } } } }", "unknown_field", "nodes"),
        ("{ products { nodes(first: 1) { id } } }", "unknown_parameter", "first"),
        ("{ products { nodes } }", "bad_request", "needs a selection"),
        ("{ products { totalCount { x } } }", "bad_request", "no fields inside"),
        ("{ products(last: 1, first: 1) { totalCount } }", "unknown_parameter", "two ends"),
        ("{ products(last: 1, offset: 1) { totalCount } }", "unknown_parameter", "counts from the end"),
        ('{ products(last: 1, search: "tea") { totalCount } }', "invalid_sort", "by rank"),
        ('{ products(after: "x", before: "y") { totalCount } }', "invalid_cursor", "not made for this question"),
        ("{ products(after: null, before: null) { totalCount } }", "unknown_parameter", "not both"),
        ("{ products }", "bad_request", "nodes { id }"),
        ("{ products { } }", "bad_request", "needs a selection"),
        ("{ productsAggregate { count @skip(if: true) } }", "bad_request", "needs a selection"),
        ("{ product { id } }", "bad_request", "needs an id"),
        ("{ products(where: {created_at: {gt: 1}}) { nodes { id } } }", "unknown_field", '"createdAt"'),
        ("{ products(where: {price: {under: 1}}) { nodes { id } } }", "", ""),
        ("{ products(where: 5) { nodes { id } } }", "invalid_filter", "must be an object"),
        ("{ products(orderBy: {price: DOWN}) { nodes { id } } }", "invalid_sort", "ASC or DESC"),
        ("{ products(orderBy: {price: ASC, name: ASC}) { nodes { id } } }", "invalid_sort", "one field each"),
        ("{ products(first: $n) { nodes { id } } }", "bad_request", "$n"),
        ("query ($n: Int!) { products(first: $n) { nodes { id } } }", "bad_request", "$n needs a value"),
        ("{ products { nodes { ...F } } }", "bad_request", "no fragment F"),
        ("{ products { nodes { id @includ(if: true) } } }", "bad_request", '"include"'),
        ("{ products { nodes { id @skip(if: 1) } } }", "bad_request", "true or false"),
        ("{ products { nodes { x: id x: name } } }", "bad_request", "another alias"),
        ("{ products(first: 1) { totalCount } products(first: 2) { totalCount } }", "bad_request", "another alias"),
        ("{ products { nodes { __type } } }", "", ""),
        ("{ __shema { types { name } } }", "unknown_field", "__shema"),
        ("mutation { createProduct { id } }", "bad_request", "mutation"),
        ("query A { products { totalCount } } query B { products { totalCount } }", "bad_request", "Name the oper"),
        ("fragment F on Product { id }", "bad_request", "no operation"),
        ("type Product { id: ID }", "bad_request", "no types"),
        ("{ products @skip(if: true) { totalCount } }", "bad_request", "asks for nothing"),
        ('{ productsAggregate(groupBy: ["status"]) { group { statu } } }', "unknown_field", 'Did you mean "status"?'),
        ("{ productsAggregate { median { price } } }", "unknown_field", "median"),
        (f"{{ products(first: 1{'0' * 60}) {{ totalCount }} }}", "bad_request", "digits"),
        (f"{{{' '.join(f'a{i}: products {{ totalCount }}' for i in range(21))}}}", "too_expensive", "More than 20"),
        (f"{{{'a ' * 2001}}}", "too_expensive", "tokens"),
        (" " * 70_000, "too_expensive", "65536"),
        (f"{{ products(where: {'[' * 900}{']' * 900}) {{ totalCount }} }}", "too_expensive", "nested too deeply"),
        ("{ product(id: 1) { ...F } } fragment F on Product { category { products { ...F } } }", "too_expensive", "12"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(text: str, code: str, said: str, documents: Documents) -> None:
    if not code:
        documents.parse(text)  # whether a field "under" exists is not known here
        return
    found, detail = refusal(documents, text)
    assert found == code
    assert said in detail


def test_fragments_cannot_make_a_small_document_large(documents: Documents) -> None:
    doubled = "\n".join(
        f"fragment F{i} on Category {{ a: parent {{ ...F{i + 1} }} b: parent {{ ...F{i + 1} }} }}" for i in range(9)
    )
    text = f"{{ category(id: 1) {{ ...F0 }} }} {doubled} fragment F9 on Category {{ id name }}"
    big = Documents(SCHEMA, Limits(document_tokens=600, document_aliases=10_000), CURSORS)
    assert refusal(big, text) == ("too_expensive", "Its fragments make this document too large.")


def test_variables_have_a_size_too(documents: Documents) -> None:
    text = "query ($w: Any) { products(where: $w) { totalCount } }"
    assert refusal(documents, text, w={"or": [{"name": "x"}] * 2000})[0] == "too_expensive"
    deep: Any = {}
    for _ in range(5000):
        deep = {"not": deep}
    assert refusal(documents, text, w=deep)[0] == "too_expensive"
    assert documents.parse(text, {"w": {"name": {"in": ["x"] * 5000}}}).ask.values == (["x"] * 5000,)


def test_an_operation_is_chosen_by_name(documents: Documents) -> None:
    text = "query A { products { totalCount } } query B { categories { totalCount } }"

    def model(question: Question) -> str:
        return question.ask.roots[0].model

    assert model(documents.parse(text, operation="A")) == "Product"
    assert model(documents.parse(text, operation="B")) == "Category"
    with pytest.raises(BadRequest):
        documents.parse(text, operation="C")


def test_what_is_remembered_has_a_bound() -> None:
    documents = Documents(SCHEMA, Limits(remembered_tokens=300), CURSORS)
    texts = [f"{{ products(first: {i}) {{ nodes {{ id }} }} }}" for i in range(1, 40)]
    for text in texts:
        assert documents.parse(text).ask.values == (int(text.split("first: ")[1].split(")")[0]),)
        assert 0 < documents._weight == sum(weight for _, weight in documents._kept.values()) <= 300
    assert documents.parse(texts[0]).ask.values == (1,)


# Names.


def test_roots_are_named_after_models() -> None:
    roots = {name: (kind, entity.name) for name, (kind, entity) in root_fields(SCHEMA.by_plural().values()).items()}
    assert roots["orderItems"] == ("list", "OrderItem")
    assert roots["orderItem"] == ("one", "OrderItem")
    assert roots["orderItemsAggregate"] == ("aggregate", "OrderItem")
    assert roots["category"] == ("one", "Category")
    assert roots["categories"] == ("list", "Category")


def test_names_go_there_and_back(documents: Documents) -> None:
    for name in ("id", "created_at", "address_2", "line_2nd", "a_b_c", "category"):
        assert documents.names.name(camel(name)) == name
    assert [documents.names.name(word) for word in ("notIn", "not_in", "startsWith")] == [
        "not_in",
        "not_in",
        "starts_with",
    ]


def test_a_problem_keeps_its_code() -> None:
    error = error_of(BadRequest("No.", code="invalid_sort"), ["products"])
    assert error == {"message": "No.", "path": ["products"], "extensions": {"code": "invalid_sort"}}
