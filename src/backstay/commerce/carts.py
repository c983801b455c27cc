"""The routes of carts: open one, put things in, take them out, say where they go, and have two become one.

Invariant: a cart is found by the rules of whoever asks, and changed by the shop; each change works out anew what it
costs, in the same transaction, so that what a cart says is what its checkout will ask for.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any
from uuid import UUID

from annotated_types import Ge, Le, Len

from backstay.commerce.cart import Cart, CartItem
from backstay.commerce.catalogue import Country, CurrencyCode, Product, Variant, name_of
from backstay.commerce.offer import ShippingMethod
from backstay.commerce.order import CART_TOKEN
from backstay.commerce.quote import Quotes
from backstay.commerce.stock import Goods, OutOfStock
from backstay.commerce.terms import Terms
from backstay.errors import BadRequest, Conflict, FieldError, Invalid, NotFound
from backstay.model.rule import anyone
from backstay.model.secret import secret_hash
from backstay.model.value import Money
from backstay.store.exchange import Also
from backstay.store.part import Host
from backstay.store.transaction import Transaction

SHOWN = ("items.variant.product",)
"""What the answers about a cart have inside."""


class Carts:
    """What can be done with carts, under the terms of one shop."""

    def __init__(self, terms: Terms, quotes: Quotes) -> None:
        self.terms = terms
        self.quotes = quotes

    def join(self, host: Host) -> None:
        """Serve the routes."""
        how: dict[str, Any] = {"allow": anyone, "expand": SHOWN}
        host.action("POST /api/carts", status=201, limit=self.terms.carts, **how)(self.open_cart)
        host.action("PATCH /api/carts/{id}", **how)(self.change_cart)
        host.action("POST /api/carts/{id}/items", **how)(self.add_item)
        host.action("PATCH /api/carts/{id}/items/{item}", **how)(self.change_item)
        host.action("DELETE /api/carts/{id}/items/{item}", status=200, **how)(self.remove_item)
        host.action("POST /api/carts/{id}/refresh", **how)(self.refresh_cart)

    async def open_cart(
        self, tx: Transaction, currency: CurrencyCode | None = None, country: Country | None = None
    ) -> Also[Cart]:
        """Open a cart. Whoever is signed in has one open cart and gets that; a guest's answer holds its secret `token`.

        Where somebody signs in who brings the secret of a guest's cart, what is in that one is put into their own.
        """
        currency = currency or self.terms.currency
        if not self.terms.takes(currency):
            raise Invalid.of([FieldError("currency", "not_taken", f"is not taken here: {self._currencies()}.")])
        guest = await self._brought(tx)
        if tx.actor.id is None:
            if guest is not None:
                return Also(guest)
            token = f"bsc_{secrets.token_urlsafe(32)}"
            cart = await self._new(tx, currency, country, token_hash=secret_hash(token))
            return Also(cart, {"token": token}, brings={CART_TOKEN: token})
        # Of two who ask at one moment for one account, the second finds what the first has made.
        await tx.as_system.hold(type(tx.me).__name__, str(tx.me.id))
        cart = await self._own(tx) or await self._new(tx, currency, country, customer=tx.me, slot="open")
        if guest is not None:
            await self._merge(tx, guest, cart)
            cart = await self.quotes.work_out(tx.as_system, cart.id)
        return Also(cart)

    async def change_cart(
        self, tx: Transaction, id: UUID, country: Country | None = None, code: Annotated[str, Len(0, 40)] | None = None,
        method: UUID | None = None, currency: CurrencyCode | None = None,
    ) -> Cart:  # fmt: skip
        """Say where a cart goes (`country`), by which way (`method`), with which discount (`code`), in which money."""
        cart = await self._found(tx, id)
        changes: dict[str, Any] = {}
        if country is not None:
            changes["country"] = country
        if currency is not None:
            if not self.terms.takes(currency):
                raise Invalid.of([FieldError("currency", "not_taken", f"is not taken here: {self._currencies()}.")])
            changes["currency"] = currency
        if code is not None:
            changes["code"] = code.strip().upper()
        if method is not None:
            if not await tx.exists(ShippingMethod, lambda one: (one.id == method) & one.active):
                raise Invalid.of([FieldError("method", "not_found", "names no way to ship.")])
            changes["method"] = tx.ref(ShippingMethod, method)
        if changes:
            await tx.as_system.update(cart, **changes)
        return await self.quotes.work_out(tx.as_system, id, refuse_code=bool(code))

    async def add_item(
        self, tx: Transaction, id: UUID, quantity: Annotated[int, Ge(1), Le(1_000_000)] = 1,
        variant: UUID | None = None, product: UUID | None = None,
    ) -> Cart:  # fmt: skip
        """Put so many more of a variant into a cart, or of a `product` that has one variant only.

        409 `out_of_stock` where there are not so many.
        """
        cart = await self._found(tx, id)
        if (variant is None) == (product is None):
            raise BadRequest('Name a "variant", or a "product" that has one only.')
        found = await self._variant(tx, variant, product)
        system = tx.as_system
        known = await system.find(CartItem, lambda item: (item.cart == cart) & (item.variant == found), limit=1)
        wanted = quantity + (known[0].quantity if known else 0)
        self._check(found, wanted)
        if known:
            await system.update(known[0], quantity=lambda item: item.quantity + quantity)
        else:
            if await system.count(CartItem, lambda item: item.cart == cart) >= self.terms.most_lines:
                raise Conflict(f"A cart has {self.terms.most_lines} lines at most.", code="cart_full")
            await system.create(CartItem(cart=cart, variant=found, quantity=wanted, price=Money(0, cart.currency)))
        return await self.quotes.work_out(system, id)

    async def change_item(
        self, tx: Transaction, id: UUID, item: UUID, quantity: Annotated[int, Ge(1), Le(1_000_000)]
    ) -> Cart:
        """Have so many of a line. 409 `out_of_stock` where there are not so many."""
        cart = await self._found(tx, id)
        line = await self._line(tx, cart, item)
        self._check(await tx.get(Variant, line.variant.id, expand=("product",)), quantity)
        await tx.as_system.update(line, quantity=quantity)
        return await self.quotes.work_out(tx.as_system, id)

    async def remove_item(self, tx: Transaction, id: UUID, item: UUID) -> Cart:
        """Take a line out."""
        cart = await self._found(tx, id)
        await tx.as_system.delete(await self._line(tx, cart, item))
        return await self.quotes.work_out(tx.as_system, id)

    async def refresh_cart(self, tx: Transaction, id: UUID) -> Cart:
        """Work out anew what a cart costs, at the prices of now: after a 409 `price_changed`."""
        await self._found(tx, id)
        return await self.quotes.work_out(tx.as_system, id)

    # Inside.

    async def _new(self, tx: Transaction, currency: str, country: str | None, **values: Any) -> Cart:
        nothing = Money(0, currency)
        return await tx.as_system.create(
            Cart(
                currency=currency, country=country, subtotal=nothing, discount=nothing, shipping=nothing, tax=nothing,
                total=nothing, **values,
            )
        )  # fmt: skip

    async def _own(self, tx: Transaction) -> Cart | None:
        found = await tx.as_system.find(Cart, lambda cart: (cart.customer == tx.me) & (cart.slot == "open"), limit=1)
        return found[0] if found else None

    async def _brought(self, tx: Transaction) -> Cart | None:
        """The open cart of the guest whose secret came with the request."""
        known = tx.actor.brought.get(CART_TOKEN.lower())
        if known is None:
            return None
        found = await tx.as_system.find(
            Cart, lambda cart: (cart.token_hash == known) & (cart.status == "open"), limit=1
        )
        return found[0] if found else None

    async def _found(self, tx: Transaction, id: UUID) -> Cart:
        """An open cart of whoever asks, held until the transaction ends: two changes come one after another."""
        await tx.get(Cart, id)
        await tx.as_system.hold("Cart", str(id))
        cart = await tx.as_system.get(Cart, id)
        if cart.status != "open":
            raise Conflict("This cart was ordered: open another one.", code="cart_ordered")
        return cart

    async def _line(self, tx: Transaction, cart: Cart, item: UUID) -> CartItem:
        line = await tx.get(CartItem, item, expand=("variant",))
        if line.cart.id != cart.id:
            raise NotFound("There is no such line in this cart.")
        return line

    async def _variant(self, tx: Transaction, variant: UUID | None, product: UUID | None) -> Variant:
        if variant is not None:
            return await tx.get(Variant, variant, expand=("product",))
        assert product is not None
        known = await tx.get(Product, product)
        found = await tx.find(Variant, lambda one: one.product == known, limit=2, expand=("product",))
        if len(found) != 1:
            said = f"{known.name} has {'several variants' if found else 'no variant'}: name one."
            raise Invalid(f'"product" {said}', errors=[FieldError("product", "several_variants", said)])
        return found[0]

    def _check(self, variant: Variant, wanted: int) -> None:
        """Refuse more than there are now. Nothing is kept by it; the checkout decides."""
        if wanted > self.terms.most_of_one:
            said = f"may be {self.terms.most_of_one} at most."
            raise Invalid(f'"quantity" {said}', errors=[FieldError("quantity", "too_large", said)])
        if variant.tracked and not variant.backorder and wanted > variant.available:
            goods = Goods(variant.id, wanted, name_of(variant), "quantity")
            raise OutOfStock([(goods, variant.available)])

    async def _merge(self, tx: Transaction, guest: Cart, own: Cart) -> None:
        """Put what is in a guest's cart into the customer's own; of a variant that is in both, the larger number."""
        system = tx.as_system
        if guest.id == own.id or not await system.hold("Cart", str(guest.id)):
            return
        mine = {item.variant.id: item for item in await system.find(CartItem, lambda item: item.cart == own, limit=200)}
        for item in await system.find(CartItem, lambda item: item.cart == guest, limit=200):
            if (known := mine.get(item.variant.id)) is not None:
                await system.update(known, quantity=max(known.quantity, item.quantity))
            elif len(mine) < self.terms.most_lines:
                await system.create(
                    CartItem(cart=own, variant=item.variant, quantity=item.quantity, price=Money(0, own.currency))
                )
        await system.update(guest, status="merged", token_hash="")
        if guest.code and not own.code:
            await system.update(own, code=guest.code)

    def _currencies(self) -> str:
        return " ".join((self.terms.currency, *self.terms.currencies))
