"""An action that buys one product runs exactly the statements that it needs, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from annotated_types import Ge

from backstay import App, Many, Model, Rules, Transaction, User, anyone, current_user, many, on_delete, signed_in
from backstay.testing import Trial


class Product(Model):
    name: str
    price: int
    stock: Annotated[int, Ge(0)]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Order(Model):
    customer: User = current_user()
    total: int
    items: Many[Item] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=self.customer == me, create=self.customer == me)


class Item(Model):
    order: Annotated[Order, on_delete("cascade")]
    product: Product
    quantity: Annotated[int, Ge(1)]

    def rules(self, me: User) -> Rules:
        return Rules(read=self.order.customer == me, create=self.order.customer == me)


def make_app() -> App:
    app = App("purchase", models=[Product, Order, Item])

    @app.action("POST /api/buy", allow=signed_in, status=201)
    async def buy(tx: Transaction, product: str, quantity: int) -> Order:
        """Above the rules: the product is not the buyer's to change."""
        shop = tx.as_system
        wanted = await shop.get(Product, product)
        taken = await shop.update(wanted, stock=lambda p: p.stock - quantity, where=lambda p: p.stock >= quantity)
        order = await shop.create(Order(customer=tx.me, total=taken.price * quantity))
        await shop.create(Item(order=order, product=taken, quantity=quantity))
        return order

    @app.action("POST /api/order", allow=signed_in, status=201)
    async def order(tx: Transaction, product: str, quantity: int) -> Order:
        """By the rules, and all of it in one: a line inside its order."""
        made = Order(total=0)
        made.items = [Item(order=made, product=await tx.get(Product, product), quantity=quantity)]
        return await tx.create(made)

    return app


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kept(database: str) -> list[str]:
    """SQLite keeps all changes by one statement at the end, PostgreSQL each with its row."""
    return ['INSERT INTO "_changes"'] if database == "sqlite" else []


@pytest.fixture
async def shop(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    address = "sqlite://" if database == "sqlite" else request.getfixturevalue("postgres_database")("purchase")
    async with Trial(make_app(), address) as trial:
        yield trial


def verbs(statements: list[str]) -> list[str]:
    """What each statement does and, where it writes, to which table."""
    found = []
    for text in statements:
        words = (text.partition(" w AS (")[2] or text).split()
        found.append("SELECT" if words[0] == "SELECT" else " ".join(words[: 2 if words[0] == "UPDATE" else 3]))
    return found


async def test_one_product_is_bought_by_the_statements_it_takes(
    shop: Trial, database: str, kept: list[str]
) -> None:  # fmt: skip
    ada = await shop.user("ada@example.com")
    async with shop.transaction() as tx:
        product = await tx.create(Product(name="Assam", price=790, stock=10))
    asked = {"product": str(product.id), "quantity": 2}
    (await shop.post("/api/buy", asked, as_=ada)).ok()  # what is compiled is compiled now
    with shop.counting() as statements:
        (await shop.post("/api/buy", asked, as_=ada)).ok()
    assert verbs(statements) == [
        "SELECT",  # the product
        *(["SELECT"] if database == "sqlite" else []),  # it is held, as it stands, with its guard: else with its change
        'UPDATE "products"', 'INSERT INTO "orders"', 'INSERT INTO "items"',
        "SELECT",  # what is answered
        *kept,
    ]  # fmt: skip


async def test_a_line_inside_its_order_takes_a_statement_for_each_record_and_each_rule(
    shop: Trial, kept: list[str]
) -> None:
    ada = await shop.user("ada@example.com")
    async with shop.transaction() as tx:
        product = await tx.create(Product(name="Assam", price=790, stock=10))
    asked = {"product": str(product.id), "quantity": 2}
    (await shop.post("/api/order", asked, as_=ada)).ok()
    with shop.counting() as statements:
        (await shop.post("/api/order", asked, as_=ada)).ok()
    assert verbs(statements) == [
        "SELECT",  # the product
        'INSERT INTO "orders"',
        "SELECT",  # the rule on the order, which looks at it alone
        "SELECT",  # whether its buyer sees the product
        'INSERT INTO "items"',
        "SELECT",  # the rule on the line, which looks at its order
        "SELECT",  # the order again: more was written after it
        "SELECT",  # what is answered
        *kept,
    ]  # fmt: skip
