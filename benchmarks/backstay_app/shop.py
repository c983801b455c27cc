"""The shop as a user of Backstay would declare it: open shelves, orders that only their customer sees."""

from typing import Annotated

from annotated_types import Ge, Len

from backstay import (
    App,
    Currency,
    Index,
    Many,
    Model,
    Money,
    Rules,
    User,
    anyone,
    current_user,
    field,
    index,
    on_delete,
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


app = App("benchmark-shop", models=[Category, Product, Order, OrderItem])
