"""Mistakes that a type checker reports before anything runs: each on a line that says so."""

from typing import Annotated, Literal

from annotated_types import Ge, Le

from backstay import (
    App,
    Context,
    Index,
    Many,
    Model,
    Money,
    Rules,
    Transaction,
    User,
    anyone,
    choose,
    coalesce,
    computed,
    current_user,
    field,
    index,
    many,
    old,
    one_of,
    role,
    unique,
)


class Product(Model):
    name: str
    price: Money
    subtitle: str | None = None
    reviews: Many["Review"] = many()

    def rules(self, me: User) -> Rules:
        return Rules(
            read=self.reviews.stars > 3,  # error: mypy, pyright - many records have no field
            create=self.reviews.some(lambda review: review.star > 3),  # error: mypy, pyright
            update=self.reviews == 3 | self.name,  # error: mypy, pyright
            delete=self.reviews.every(),  # error: mypy, pyright
        )

    @computed
    def initial(self) -> str:
        return self.nmae  # error: mypy, pyright

    @computed
    def twice(self) -> Money:
        return self.price * "2"  # error: mypy, pyright

    @computed
    def caption(self) -> str:
        return coalesce(self.subtitle, 5)  # error: mypy, pyright

    @computed
    def stars(self) -> int:
        return self.reviews.sum(lambda review: review.text)  # error: mypy, pyright

    @computed
    def shelf(self) -> str:
        return choose(self.name, "named", "nameless")  # error: mypy, pyright


class Order(Model):
    customer: User = current_user()
    status: Literal["pending", "paid"] = "pending"
    items: Many["OrderItem"] = many()

    def rules(self, me: User) -> Rules:
        return Rules(
            read=self.costumer == me,  # error: mypy, pyright
            update=self.status,  # error: mypy, pyright
            delete=me.has_rol("staff"),  # error: mypy, pyright
            create=me.nickname == "ada",  # error: mypy, pyright
        )


class OrderItem(Model):
    order: Order
    product: Product
    quantity: int


class Review(Model):
    product: Product
    author: User = current_user()
    stars: Annotated[int, Ge(1), Le(5)]
    text: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(
            read=self.order.customer == me,  # error: mypy, pyright - a rule over the wrong model
            create=me.signed_out,  # error: mypy, pyright
            update=(self.author == me) & "staff",  # error: mypy, pyright
            delete=old(self.autor) == me,  # error: mypy, pyright
            fields=[field(self.strs, read=anyone), field(self.stars, reed=anyone)],  # error: mypy, pyright
        )

    def indexes(self) -> list[Index]:
        return [unique(self.product, self.autor), index(self.txt)]  # error: mypy, pyright


Review(stars="x")  # error: mypy, pyright
Review(star=5)  # error: mypy, pyright
Review(product=Order(), stars=5)  # error: mypy, pyright
Order(status="piad")  # error: mypy, pyright
Rules(reed=anyone)  # error: mypy, pyright
Rules(read="everyone")  # error: mypy, pyright
App("shop", model=[Review])  # error: mypy, pyright
App("shop", models=[Review, str])  # error: mypy, pyright

app = App("shop", models=[Product, Order, OrderItem, Review])


@app.before_create(Review)  # error: mypy, pyright - the hook takes another model
async def another_model(tx: Transaction, order: Order) -> None: ...


@app.before_create(Review)  # error: mypy, pyright - the hook takes no record
async def no_record(tx: Transaction) -> None: ...


@app.after_update(Review)  # error: mypy, pyright - an update has a record before and after
async def no_old_record(tx: Transaction, review: Review) -> None: ...


@app.before_delete(Review)  # error: mypy, pyright - a hook is asynchronous
def not_async(tx: Transaction, review: Review) -> None: ...


@app.before_delete(Review)  # error: mypy, pyright - a hook is given a transaction
async def with_context(ctx: Context, review: Review) -> None: ...


@app.before_created(Review)  # error: mypy, pyright
async def no_such_moment(tx: Transaction, review: Review) -> None: ...


@app.before_update(Review)
async def queries(tx: Transaction, review: Review, before: Review) -> None:
    await tx.exists(Order, lambda order: order.custmer == tx.me)  # error: mypy, pyright
    await tx.find(Order, lambda o: o.items.some(lambda item: item.prodct == review.product))  # error: mypy, pyright
    await tx.find(Order, lambda order: order.items.quantity > 1)  # error: mypy, pyright
    await tx.find(Order, lambda order: order.status)  # error: mypy, pyright
    await tx.find(Order, limits=5)  # error: mypy, pyright
    await tx.count(Review, lambda review: review.start == 5)  # error: mypy, pyright
    await tx.update(review, stars=lambda review: review.stras + 1)  # error: mypy, pyright
    await tx.update(review, where=lambda review: review.stras > 1)  # error: mypy, pyright
    await tx.delete(review, where=lambda review: review.stras > 1)  # error: mypy, pyright
    await tx.get(Order)  # error: mypy, pyright
    await tx.create(Review)  # error: mypy, pyright
    await tx.create(Order(items=[review]))  # error: mypy, pyright
    print((await tx.get(Order, review.id)).custmer)  # error: mypy, pyright
    order: Order = await tx.get(Review, review.id)  # error: mypy, pyright
    tx.get_or_create(Order)  # error: mypy, pyright
    one_of(order.satus, "paid")  # error: mypy, pyright


@app.action("POST /api/quote", allow="anyone")  # error: mypy, pyright
async def quote(ctx: Context, grams: int) -> Money:
    return 490 if grams < 1000 else 890  # error: mypy, pyright


@app.action("POST /api/shout", alow=role("staff"))  # error: mypy, pyright
async def shout(ctx: Context, text: str) -> str:
    return ctx.transation()  # error: mypy, pyright


@app.action("POST /api/sleep", allow=anyone)  # error: mypy, pyright - an action is asynchronous
def sleep(ctx: Context) -> int:
    return 0
