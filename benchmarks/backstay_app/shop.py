"""The shop as a user of Backstay would declare it: open shelves, orders that only their customer sees."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, Len

from backstay import (
    App,
    Conflict,
    Currency,
    Index,
    Many,
    Model,
    Money,
    NotFound,
    Problem,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    field,
    index,
    on_delete,
    one_of,
    signed_in,
    unique,
)

Euros = Annotated[Money, Currency("EUR")]


class Category(Model):
    """A shelf."""

    name: Annotated[str, Len(1, 200)]
    slug: Annotated[str, Len(1, 200)]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.has_role("staff"), update=me.has_role("staff"))

    def indexes(self) -> list[Index]:
        return [unique(self.slug)]


class Product(Model):
    """Something sold; what it cost us is shown to the staff only."""

    name: Annotated[str, Len(1, 200)]
    slug: Annotated[str, Len(1, 200)]
    description: Annotated[str, Len(0, 2000)]
    price: Euros
    cost: Euros
    category: Category
    stock: Annotated[int, Ge(0)]

    def rules(self, me: User) -> Rules:
        return Rules(
            read=anyone,
            create=me.has_role("staff"),
            update=me.has_role("staff"),
            fields=[field(self.cost, read=me.has_role("staff"))],
        )

    def indexes(self) -> list[Index]:
        return [unique(self.slug), index(self.category, self.price)]


class Order(Model):
    """What a customer bought at one time."""

    customer: User = current_user()
    status: str = "paid"
    total: Euros
    items: Many["OrderItem"]

    def rules(self, me: User) -> Rules:
        return Rules(read=self.customer == me, create=me.signed_in)

    def indexes(self) -> list[Index]:
        return [index(self.customer, self.created_at)]


class OrderItem(Model):
    """One line of an order, seen by whoever may see the order."""

    order: Annotated[Order, on_delete("cascade")]
    product: Product
    quantity: Annotated[int, Ge(1)]
    price: Euros

    def rules(self, me: User) -> Rules:
        return Rules(read=self.order.customer == me, create=self.order.customer == me)

    def indexes(self) -> list[Index]:
        return [index(self.order), index(self.product)]


class Review(Model):
    """What a customer thinks of a product."""

    author: User = current_user()
    product: Product
    stars: Annotated[int, Ge(1), Le(5)]
    text: Annotated[str, Len(1, 1000)]

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=me.signed_in, update=self.author == me, delete=self.author == me)

    def indexes(self) -> list[Index]:
        return [index(self.product), index(self.author)]


app = App("benchmark-shop", models=[Category, Product, Order, OrderItem, Review])


@dataclass
class Line:
    """One line of a purchase: the id of a product and how many."""

    product: str
    quantity: Annotated[int, Ge(1), Le(100)]


@app.action("POST /api/purchase", allow=signed_in, status=201)
async def purchase(tx: Transaction, items: list[Line]) -> Order:
    """Buy: the stock goes down and the order is made, together or not at all."""
    if not 1 <= len(items) <= 50:
        raise Conflict("A purchase has between 1 and 50 lines.", code="bad_purchase")
    shop = tx.as_system
    lines = sorted(items, key=lambda line: line.product)  # whoever takes several goes by the same order
    ids = [line.product for line in lines]
    found = await shop.find(Product, lambda product: one_of(product.id, *ids))
    products = {str(product.id): product for product in found}
    if missing := [id for id in ids if id not in products]:
        raise NotFound(f"There is no product {missing[0]}.")
    bought = [(products[line.product], line.quantity) for line in lines]
    total = Money(sum(product.price.amount * quantity for product, quantity in bought), "EUR")
    order = await shop.create(Order(customer=tx.me, total=total))
    for product, quantity in bought:
        await shop.create(OrderItem(order=order, product=product, quantity=quantity, price=product.price * quantity))
    for product, quantity in bought:  # last, so that others wait for these rows as short as can be
        await take(shop, product, quantity)
    return order


async def take(tx: Transaction, product: Product, quantity: int) -> None:
    """Take goods off the shelf: never more than there are, whoever buys at the same moment."""
    try:
        await tx.update(product, stock=lambda p: p.stock - quantity, where=lambda p: p.stock >= quantity)
    except Problem as problem:
        if problem.code != "precondition_failed":
            raise
        raise Conflict(f"There are not {quantity} of {product.name}.", code="out_of_stock") from None
