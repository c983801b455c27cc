"""A corner shop: products in categories, orders, reviews, a contact form, and customers who see only their own."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from annotated_types import Ge, Le, Len

from backstay import (
    App,
    Conflict,
    Context,
    Currency,
    Email,
    Index,
    Many,
    Model,
    Money,
    Problem,
    Rules,
    Slug,
    Transaction,
    User,
    anyone,
    computed,
    current_user,
    field,
    index,
    made_from,
    many,
    on_delete,
    one_of,
    searchable,
    sequence,
    signed_in,
    unique,
)

CURRENCY = os.environ.get("SHOP_CURRENCY", "EUR")
Price = Annotated[Money, Currency(CURRENCY)]
STAFF = "staff"


class Category(Model):
    """A shelf of the shop; shelves can stand inside others."""

    name: Annotated[str, Len(1, 100)]
    slug: Slug = made_from("name")
    description: Annotated[str, Len(0, 1000)] = ""
    parent: Category | None = None
    products: Many[Product] = many()

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        return Rules(read=anyone, create=staff, update=staff, delete=staff)

    def indexes(self) -> list[Index]:
        return [unique(self.slug)]


class Product(Model):
    """Something the shop sells."""

    name: Annotated[str, Len(1, 200)]
    slug: Slug = made_from("name")
    sku: Annotated[str, Len(1, 40)] | None = None
    description: Annotated[str, Len(0, 5000)] = ""
    price: Annotated[Price, Ge(0)]
    cost: Annotated[Price, Ge(0)]
    category: Category
    stock: Annotated[int, Ge(0)] = 0
    reviews: Many[Review] = many()

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        return Rules(
            read=anyone, create=staff, update=staff, delete=staff,
            fields=[field(self.cost, read=staff)],  # what the shop pays does not exist for anybody else
        )  # fmt: skip

    def indexes(self) -> list[Index]:
        return [
            unique(self.slug),
            unique(self.sku),
            index(self.category, self.price),
            searchable(self.name, self.description),
        ]

    @computed
    def available(self) -> bool:
        """Whether it can be bought now."""
        return self.stock > 0


class Order(Model):
    """What a customer bought. Orders are made by `POST /api/purchase`, and moved on by the staff."""

    number: int = sequence("order")
    customer: User | None = current_user()  # nobody, where a guest bought
    status: Literal["pending", "paid", "fulfilled", "cancelled"] = "pending"
    total: Price = Money(0, CURRENCY)
    items: Many[OrderItem] = many()

    def rules(self, me: User) -> Rules:
        staff = me.has_role(STAFF)
        return Rules(read=(self.customer == me) | staff, update=staff)

    def indexes(self) -> list[Index]:
        return [unique(self.number), index(self.customer, self.created_at)]


class OrderItem(Model):
    """One line of an order, at the price of that day; the quantity is negative where goods came back."""

    order: Annotated[Order, on_delete("cascade")]
    product: Product
    quantity: Annotated[int, Ge(-100_000), Le(100_000)]
    price: Price

    def rules(self, me: User) -> Rules:
        return Rules(read=(self.order.customer == me) | me.has_role(STAFF))


class Review(Model):
    """What a customer thinks of a product: one for each product."""

    product: Product
    author: User = current_user()
    stars: Annotated[int, Ge(1), Le(5)]
    text: Annotated[str, Len(1, 2000)]

    def rules(self, me: User) -> Rules:
        mine = self.author == me
        return Rules(read=anyone, create=me.signed_in, update=mine, delete=mine | me.has_role("moderator"))

    def indexes(self) -> list[Index]:
        return [unique(self.product, self.author)]


class Message(Model):
    """The contact form: anybody may write, the staff reads."""

    email: Email
    text: Annotated[str, Len(1, 5000)]

    def rules(self, me: User) -> Rules:
        return Rules(create=anyone, read=me.has_role(STAFF), delete=me.has_role(STAFF))


app = App("corner-shop", models=[Category, Product, Order, OrderItem, Review, Message])


@app.before_create(Review)
async def only_buyers(tx: Transaction, review: Review) -> None:
    """Only somebody who bought the product can review it."""
    if not await tx.exists(
        Order,
        lambda order: (
            (order.customer == review.author)
            & one_of(order.status, "paid", "fulfilled")
            & order.items.some(lambda item: item.product == review.product)
        ),
    ):
        raise Conflict("Only people who bought this product can review it.", code="not_bought")


@dataclass
class Line:
    """One line of a purchase: the id of a product and how many."""

    product: UUID
    quantity: Annotated[int, Ge(1), Le(100)]


@app.action("POST /api/purchase", allow=signed_in, status=201)
async def purchase(ctx: Context, items: list[Line]) -> Order:
    """Buy: the stock goes down and the order is made, together or not at all."""
    if not 1 <= len(items) <= 50:
        raise Conflict("A purchase has between 1 and 50 lines.", code="bad_purchase")
    async with ctx.transaction(as_system=True) as tx:
        order = await tx.create(Order(customer=ctx.me, status="paid"))
        total = Money(0, CURRENCY)
        for line in sorted(items, key=lambda line: line.product):
            product = await take(tx, line)
            await tx.create(OrderItem(order=order, product=product, quantity=line.quantity, price=product.price))
            total += product.price * line.quantity
        return await tx.update(order, total=total)


async def take(tx: Transaction, line: Line) -> Product:
    """Take goods off the shelf: never more than there are, whoever buys at the same moment."""
    product = await tx.get(Product, line.product)
    try:
        return await tx.update(
            product, stock=lambda p: p.stock - line.quantity, where=lambda p: p.stock >= line.quantity
        )
    except Problem as problem:
        if problem.code != "precondition_failed":
            raise
        raise Conflict(f"There are only {product.stock} of {product.name}.", code="out_of_stock") from None


@app.seed
async def seed(ctx: Context) -> None:
    """Fill an empty shop from the files beside this one."""
    people = {
        person["email"]: await ctx.accounts.create_user(
            person["email"], secrets.token_urlsafe(12), [person["role"]], name=person["name"]
        )
        for person in _read("users")
    }
    async with ctx.transaction(as_system=True) as tx:
        categories: dict[str, Category] = {}
        for row in _read("categories"):
            parent = categories.get(row["parent"])
            categories[row["slug"]] = await tx.create(
                Category(name=row["name"], slug=row["slug"], description=row["description"], parent=parent)
            )
        products: dict[str, Product] = {}
        for row in _read("products"):
            products[row["slug"]] = await tx.create(
                Product(
                    name=row["name"], slug=row["slug"], description=row["description"], stock=row["stock"],
                    price=Money(row["price_amount"], CURRENCY), cost=Money(row["cost_amount"], CURRENCY),
                    category=categories[row["category"]],
                )
            )  # fmt: skip
        for row in _read("orders"):
            lines = [(products[item["product"]], int(item["quantity"])) for item in row["items"]]
            total = Money(sum(product.price.amount * quantity for product, quantity in lines), CURRENCY)
            customer = await tx.get(User, people[row["customer"]])
            made = datetime.fromisoformat(row["created_at"])
            order = await tx.create(Order(customer=customer, status=row["status"], total=total, created_at=made))
            for product, quantity in lines:
                await tx.create(OrderItem(order=order, product=product, quantity=quantity, price=product.price))
        for row in _read("reviews"):
            author = await tx.get(User, people[row["author"]])
            await tx.create(
                Review(product=products[row["product"]], author=author, stars=row["stars"], text=row["text"])
            )
        for row in _read("messages"):
            await tx.create(Message(email=row["email"], text=row["text"]))


def _read(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((Path(__file__).parent / "seed" / f"{name}.json").read_text())
    return rows
