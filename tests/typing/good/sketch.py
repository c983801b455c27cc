"""A shop with reviews, a contact form and customers who see only their own orders."""

from typing import Annotated

from annotated_types import Ge, Le, Len

from backstay import (
    App,
    Conflict,
    Context,
    Email,
    Index,
    Many,
    Model,
    Money,
    Rules,
    Transaction,
    User,
    anyone,
    current_user,
    many,
    unique,
)


class Product(Model):
    """Something on sale."""

    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Order(Model):
    """What a customer bought."""

    customer: User = current_user()
    items: Many["OrderItem"] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=self.customer == me)


class OrderItem(Model):
    """One line of an order."""

    order: Order
    product: Product


class Review(Model):
    """What a customer thinks of a product."""

    product: Product
    author: User = current_user()  # set by the server; a client cannot send it
    stars: Annotated[int, Ge(1), Le(5)]
    text: Annotated[str, Len(1, 2000)]

    def rules(self, me: User) -> Rules:  # called once, with symbols: becomes SQL, never runs per row
        return Rules(
            read=anyone,
            create=me.signed_in,
            update=self.author == me,
            delete=(self.author == me) | me.has_role("moderator"),
        )

    def indexes(self) -> list[Index]:
        return [unique(self.product, self.author)]


class Message(Model):
    """The contact form."""

    email: Email
    text: Annotated[str, Len(1, 5000)]

    def rules(self, me: User) -> Rules:  # what is not named, nobody may do
        return Rules(create=anyone, read=me.has_role("staff"))


app = App("corner-shop", models=[Product, Order, OrderItem, Review, Message])


@app.before_create(Review)  # inside the transaction
async def only_buyers(tx: Transaction, review: Review) -> None:
    if not await tx.exists(
        Order,
        lambda order: (order.customer == tx.me) & order.items.some(lambda item: item.product == review.product),
    ):
        raise Conflict("Only people who bought this product can review it.", code="not_bought")


@app.action("POST /api/quote", allow=anyone)  # typed in and out: in OpenAPI, GraphQL and the client too
async def quote(ctx: Context, postcode: str, weight_g: int) -> Money:
    return Money(490 if weight_g < 1000 else 890, "EUR")
