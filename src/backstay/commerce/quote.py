"""What a cart costs now: its lines at the prices of now, its discount, its shipping and its taxes.

Invariant: sums are made by `commerce/pricing.py` alone, of what stands in the database in the transaction at hand; a
price that a customer was shown is never charged when it has changed, nor another one without being shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from backstay.commerce.cart import Cart, CartItem
from backstay.commerce.catalogue import Variant, name_of
from backstay.commerce.offer import Discount, ShippingMethod, TaxRate
from backstay.commerce.pricing import Code, CodeRefused, Line, Method, NoShipping, Rate, Rates, Totals, price
from backstay.commerce.stock import Goods
from backstay.commerce.terms import Terms
from backstay.errors import Conflict, FieldError
from backstay.model.rule import one_of
from backstay.model.value import Money
from backstay.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Quote:
    """What a cart comes to, and what it was worked out of. `refused` says why its code does not count."""

    items: tuple[CartItem, ...]
    totals: Totals
    goods: tuple[Goods, ...]
    code: str = ""
    discount: Discount | None = None
    method: ShippingMethod | None = None
    refused: str = ""

    @property
    def method_name(self) -> str:
        """What the way to ship is called."""
        return self.method.name if self.method is not None else ""


class Quotes:
    """Works out what carts cost, under the terms of one shop."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    async def work_out(self, tx: Transaction, id: UUID, *, refuse_code: bool = False) -> Cart:
        """Keep in a cart, and in its lines, what they cost now. Some six round trips.

        With `refuse_code` a code that does not count is a `Conflict`; else it is left standing, and lowers nothing.
        """
        cart = await tx.get(Cart, id)
        quote = await self.quote(tx, cart)
        if refuse_code and quote.refused:
            raise Conflict("This code does not count here.", code=quote.refused)
        for item, priced in zip(quote.items, quote.totals.lines, strict=True):
            if item.price != Money(priced.unit, cart.currency):
                await tx.update(item, price=Money(priced.unit, cart.currency))
        totals = quote.totals
        return await tx.update(
            cart, subtotal=Money(totals.subtotal, cart.currency), discount=Money(totals.discount, cart.currency),
            shipping=Money(totals.shipping, cart.currency), tax=Money(totals.tax, cart.currency),
            total=Money(totals.total, cart.currency),
        )  # fmt: skip

    async def quote(self, tx: Transaction, cart: Cart, *, country: str | None = None) -> Quote:
        """What a cart costs now, sent to a country. Raises `Conflict` for goods that are not sold any more."""
        country = country or cart.country or self.terms.country
        items = await tx.find(
            CartItem, lambda item: item.cart == cart, sort="created_at", limit=200,
            expand=("variant.product", "variant.prices"),
        )  # fmt: skip
        lines = [self._line(at, item, cart.currency) for at, item in enumerate(items)]
        taxes = await tx.find(TaxRate, lambda rate: one_of(rate.country, country, "*"), limit=200)
        rates = Rates.of((rate.country, rate.tax_class, rate.rate) for rate in taxes)
        discount = await self._discount(tx, cart.code) if cart.code else None
        weight = sum(item.variant.weight_g * item.quantity for item in items)
        methods = [] if not items else await self._methods(tx, cart)
        refused = CodeRefused(code="code_unknown").code if cart.code and discount is None else ""
        code = _code(discount, cart.currency) if discount is not None else None

        def work_out(code: Code | None, method: Method | None) -> Totals:
            return price(
                lines, currency=cart.currency, country=country, rates=rates, includes_tax=self.terms.prices_include_tax,
                code=code, method=method, weight_g=weight, now=tx.now,
            )  # fmt: skip

        chosen: ShippingMethod | None = None
        totals: Totals | None = None
        for candidate in methods:
            try:
                totals, chosen = work_out(None, _method(candidate, cart.currency)), candidate
                break
            except NoShipping:
                continue
        if totals is None and methods:
            raise Conflict(f"Nothing that is in this cart can be sent to {country}.", code="no_shipping")
        method = _method(chosen, cart.currency) if chosen is not None else None
        try:
            totals = work_out(code, method)
        except CodeRefused as refusal:
            refused, discount = refusal.code, None
            totals = totals or work_out(None, method)
        goods = tuple(
            Goods(item.variant.id, item.quantity, name_of(item.variant), f"items.{at}.quantity",
                  item.variant.tracked, item.variant.backorder)
            for at, item in enumerate(items)
        )  # fmt: skip
        return Quote(tuple(items), totals, goods, cart.code if discount is not None else "", discount, chosen, refused)

    def refuse_changes(self, cart: Cart, quote: Quote) -> None:
        """Refuse a cart that is empty, or whose prices are not those that its customer was shown."""
        if not quote.items:
            raise Conflict("There is nothing in this cart.", code="cart_empty")
        changed = [
            FieldError(
                f"items.{at}.price", "price_changed",
                f"{name_of(item.variant)} cost {item.price.amount}, and costs {priced.unit} now.",
            )
            for at, (item, priced) in enumerate(zip(quote.items, quote.totals.lines, strict=True))
            if item.price.amount != priced.unit
        ]  # fmt: skip
        if changed:
            raise Conflict(
                "Prices have changed: look at them again with POST /api/carts/{id}/refresh, and order then.",
                code="price_changed", errors=changed,
            )  # fmt: skip
        if quote.refused and cart.code:
            raise Conflict(
                f"The code {cart.code} does not count any more: take it out of the cart, or keep to what it asks for.",
                code=quote.refused,
            )

    def _line(self, at: int, item: CartItem, currency: str) -> Line:
        return Line(str(at), item.quantity, self._unit(item.variant, at, currency), item.variant.product.tax_class)

    def _unit(self, variant: Variant, at: int, currency: str) -> int:
        """What one costs in the currency of the cart."""
        if variant.product.published:
            if currency == variant.price.currency:
                return variant.price.amount
            for other in variant.prices:
                if other.currency == currency:
                    return other.amount
        said = f"{name_of(variant)} is not sold{f' in {currency}' if variant.product.published else ' any more'}."
        raise Conflict(
            f"{said} Take it out of the cart.", code="not_for_sale",
            errors=[FieldError(f"items.{at}.variant", "not_for_sale", said)],
        )  # fmt: skip

    async def _discount(self, tx: Transaction, code: str) -> Discount | None:
        found = await tx.find(Discount, lambda one: one.code == code, limit=1)
        return found[0] if found else None

    async def _methods(self, tx: Transaction, cart: Cart) -> Sequence[ShippingMethod]:
        """The ways to ship: the one that was chosen, or all in their order, of which the first that fits is taken."""
        found = await tx.find(
            ShippingMethod,
            lambda one: one.active,
            sort="position",
            limit=50,
            expand=("rates",),
        )
        if cart.method is None:
            return found
        return [one for one in found if one.id == cart.method.id] or found


def _method(method: ShippingMethod, currency: str) -> Method:
    rates = [
        Rate(rate.country, rate.up_to_g, rate.from_total, rate.price.amount)
        for rate in method.rates if rate.price.currency == currency
    ]  # fmt: skip
    return Method(method.tax_class, tuple(rates))


def _code(discount: Discount, currency: str) -> Code:
    def amount(money: Money | None) -> int | None:
        return None if money is None else money.amount if money.currency == currency else -1

    return Code(
        kind=discount.kind, percent=discount.percent, amount=amount(discount.amount) or 0,
        minimum=amount(discount.minimum) or 0, starts_at=discount.starts_at, ends_at=discount.ends_at,
        active=discount.active and -1 not in (amount(discount.amount), amount(discount.minimum)),
    )  # fmt: skip
