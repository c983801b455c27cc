"""A shop for tests: what stands in it, somebody who buys, and its books compared."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from backstay import App, Money
from backstay.commerce import Shop
from backstay.commerce.catalogue import Category, Product, Variant
from backstay.commerce.offer import Discount, ShippingMethod, ShippingRate, TaxRate
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.stock import change
from backstay.testing import Answer, Person, Trial

ADDRESS = {"name": "Ada Byron", "line1": "Teeweg 1", "city": "Hamburg", "country": "DE", "postal_code": "20095"}


async def no_pause(seconds: int) -> None:
    """Nobody waits in tests."""


def shop_app(books: str = "", **terms: Any) -> App:
    """An application that sells; `books` is the file of its provider."""
    return App("tea-house", use=[Shop(payments=[PlayMoney(books, pause=no_pause)], **terms)])


@dataclass
class Counter:
    """Somebody who buys: a guest, or a person. What they were answered is kept."""

    t: Trial
    who: Person | None = None
    token: str = ""
    cart: str = ""
    answers: list[Answer] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """The secret of their cart, where they are a guest."""
        return {"X-Cart-Token": self.token} if self.token else {}

    async def open(self, **said: Any) -> Counter:
        """Take a cart."""
        opened = (await self.t.post("/api/carts", said, as_=self.who, headers=self.headers)).ok().json
        self.cart, self.token = opened["id"], opened.get("token", self.token)
        return self

    async def put(self, variant: Any, quantity: int = 1) -> Answer:
        """Put so many in."""
        said = {"variant": str(variant.id), "quantity": quantity}
        return await self.t.post(f"/api/carts/{self.cart}/items", said, as_=self.who, headers=self.headers)

    async def change(self, **said: Any) -> Answer:
        """Say something of the cart."""
        return await self.t.patch(f"/api/carts/{self.cart}", said, as_=self.who, headers=self.headers)

    async def pay(self, method: str = "pm_ok", *, key: str = "", **said: Any) -> Answer:
        """Check out."""
        body = {
            "shipping_address": ADDRESS, "payment": {"provider": "test", "method": method},
            **({"email": "guest@example.com"} if self.who is None else {}), **said,
        }  # fmt: skip
        headers = {**self.headers, "Idempotency-Key": key or secrets.token_hex(16)}
        return await self.t.post(f"/api/carts/{self.cart}/checkout", body, as_=self.who, headers=headers)

    async def see(self, order: str) -> Any:
        """An order of theirs, with all that is in it."""
        path = f"/api/orders/{order}?expand=items,payment,refunds,events"
        return (await self.t.get(path, as_=self.who, headers=self.headers)).ok().json


@dataclass
class Goods:
    """What stands in the shop: two teas and a pot, of which there are few."""

    assam: Variant
    green: Variant
    pot: Variant


async def stocked(t: Trial, *, assam: int = 10, green: int = 10, pot: int = 2) -> Goods:
    """Fill the shop: prices with 19 % in them, 7 % for tea, shipping for 4.90 within Germany, 9.90 elsewhere."""
    async with t.transaction() as tx:
        tea = await tx.create(Category(name="Tea"))
        for country, tax_class, rate in (("DE", "standard", 1900), ("DE", "food", 700), ("FR", "standard", 2000)):
            await tx.create(TaxRate(country=country, tax_class=tax_class, rate=rate))
        post = await tx.create(ShippingMethod(name="Post"))
        await tx.create(ShippingRate(method=post, country="DE", price=Money(490, "EUR")))
        await tx.create(ShippingRate(method=post, country="*", price=Money(990, "EUR")))
        made = []
        for name, sku, price, tax_class, stock in (
            ("Assam", "ASSAM-100", 790, "food", assam), ("Green tea", "GREEN-100", 990, "food", green),
            ("Tea pot", "POT-1", 2499, "standard", pot),
        ):  # fmt: skip
            product = await tx.create(Product(name=name, category=tea, tax_class=tax_class, published=True))
            variant = await tx.create(Variant(product=product, sku=sku, price=Money(price, "EUR"), weight_g=100))
            if stock:
                await change(tx, variant.id, "opening", available=stock)
            made.append(variant)
    return Goods(*made)


async def discount(t: Trial, code: str, **how: Any) -> Discount:
    """A code that lowers prices."""
    async with t.transaction() as tx:
        return await tx.create(Discount(code=code, **how))


def shop_of(t: Trial) -> Shop:
    """The shop of a trial."""
    (part,) = t.app.parts
    assert isinstance(part, Shop)
    return part


def money_of(t: Trial) -> PlayMoney:
    """Its provider."""
    (provider,) = shop_of(t).payments
    assert isinstance(provider, PlayMoney)
    return provider


async def confirm(t: Trial, order: Any, answer: str = "confirm") -> None:
    """What the customer does on the page of the provider."""
    secret = order["payment"]["client_secret"]
    answered = await t.request(
        "POST", f"/dev/pay/{secret}", headers={"content-type": "application/x-www-form-urlencoded"},
        body=f"answer={answer}".encode(),
    )  # fmt: skip
    assert answered.status == 303, answered
