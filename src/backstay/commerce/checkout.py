"""The checkout: a cart becomes an order, in one transaction, and the purchase of it begins.

Invariant: the order comes before the money. What was reserved, the frozen order, its payment with the provider's key,
the use of its code and the flow that carries it out become true together, under the idempotency key of the request;
only then is the provider asked. Asked again with the same key, a checkout goes on with the order that it made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from backstay.commerce import stock
from backstay.commerce.cart import Cart
from backstay.commerce.catalogue import Country, Variant, name_of
from backstay.commerce.link import Links
from backstay.commerce.offer import DiscountUse
from backstay.commerce.order import Order, OrderItem, Payment, happened
from backstay.commerce.purchase import Purchases
from backstay.commerce.quote import Quote, Quotes
from backstay.commerce.stock import Goods
from backstay.commerce.terms import Terms
from backstay.errors import Conflict, FieldError, Invalid, Problem
from backstay.model.rule import anyone, coalesce
from backstay.model.value import Email, Money
from backstay.store.context import Context
from backstay.store.exchange import Also
from backstay.store.part import Host
from backstay.store.transaction import Transaction

SHOWN = ("items", "payment")
"""What the answers about an order have inside."""


@dataclass
class Address:
    """Where goods go."""

    name: Annotated[str, Len(1, 200)]
    line1: Annotated[str, Len(1, 200)]
    city: Annotated[str, Len(1, 100)]
    country: Country
    postal_code: Annotated[str, Len(0, 20)] = ""
    line2: Annotated[str, Len(0, 200)] = ""
    region: Annotated[str, Len(0, 100)] = ""
    phone: Annotated[str, Len(0, 40)] = ""


@dataclass
class PaymentChoice:
    """How it is to be paid: by which provider, and what the customer chose there, in the provider's words."""

    provider: Annotated[str, Len(1, 40)]
    method: Annotated[str, Len(0, 100)] = ""


class Declined(Problem):
    """402: the provider said no. The goods are given back, and the cart is open again."""

    status, code = 402, "payment_declined"


class Checkouts:
    """Makes orders of carts, under the terms of one shop."""

    def __init__(self, terms: Terms, quotes: Quotes, purchases: Purchases, links: Links) -> None:
        self.terms = terms
        self.quotes = quotes
        self.purchases = purchases
        self.links = links

    def join(self, host: Host) -> None:
        """Serve the route."""
        host.action(
            "POST /api/carts/{id}/checkout", allow=anyone, status=201, idempotency_key="required", expand=SHOWN,
            resumes=True, limit=self.terms.checkouts,
        )(self.checkout)  # fmt: skip

    async def checkout(
        self, ctx: Context, id: UUID, shipping_address: Address, payment: PaymentChoice, email: Email | None = None,
        language: Annotated[str, Len(2, 5)] = "en",
    ) -> Also[Order]:  # fmt: skip
        """Order what is in a cart, and pay for it. Answers with the order as it stands when the provider was asked.

        Where the customer has to act, `payment` has a `client_secret` or an `approve_url`. 409 `out_of_stock` and
        `price_changed` name the lines; 402 `payment_declined` where the provider says no.
        """
        if ctx.resumed:
            order = await self._begun(ctx)
        else:
            async with ctx.transaction() as tx:
                order = await self._place(tx, id, shipping_address, payment, email, language, ctx.request_key)
        await ctx.drive(str(order.id), patience=self.terms.driven_for)
        async with ctx.transaction(as_system=True) as tx:
            order = await tx.get(Order, order.id, expand=("payment",))
        if order.payment.status == "declined":
            raise Declined(f"The payment was declined ({order.payment.reason or 'declined'}).")
        return Also(order)

    async def _begun(self, ctx: Context) -> Order:
        """The order that this request made before; its cart may have become another one since."""
        async with ctx.transaction(as_system=True) as tx:
            (found,) = await tx.find(Order, lambda order: order.request == ctx.request_key, limit=1)
        return found

    async def _place(
        self,
        tx: Transaction,
        id: UUID,
        address: Address,
        choice: PaymentChoice,
        email: str | None,
        language: str,
        request: str,
    ) -> Order:
        await tx.get(Cart, id)  # by the rules of whoever asks
        system = tx.as_system
        await system.hold("Cart", str(id))
        cart = await system.get(Cart, id)
        if cart.status != "open":
            raise Conflict("This cart was ordered: open another one.", code="cart_ordered")
        if email is None:
            if tx.actor.id is None:
                raise Invalid.of([FieldError("email", "required", "is required of whoever has no account.")])
            email = (await system.get(type(tx.me), tx.me.id)).email
        if choice.provider not in self.purchases.providers:
            known = " ".join(self.purchases.providers)
            raise Invalid.of([FieldError("payment.provider", "not_a_choice", f"is one of: {known}.")])
        await self._refuse_squatting(system, cart, email)
        quote = await self.quotes.quote(system, cart, country=address.country)
        self.quotes.refuse_changes(cart, quote)
        order = await self._order(system, cart, quote, address, choice, email, language, request)
        await self._use_code(system, cart, quote, order)
        kept = await stock.reserve(system, quote.goods, str(order.number))
        await self._items(system, order, quote, kept)
        await system.update(cart, status="ordered", slot=None, order=order)
        await happened(system, order, "placed")
        await system.emit(Order.placed, order)
        await tx.start_flow(self.purchases.purchase, id=str(order.id), driven=True, order=order.id)
        return order

    async def _order(
        self, tx: Transaction, cart: Cart, quote: Quote, address: Address, choice: PaymentChoice, email: str,
        language: str, request: str,
    ) -> Order:  # fmt: skip
        totals, now = quote.totals, tx.now
        free = totals.total == 0
        payment = await tx.create(
            Payment(
                provider="" if free else choice.provider, method=choice.method, status="none" if free else "pending",
                amount=Money(totals.total, cart.currency),
            )
        )  # fmt: skip
        order = await tx.create(
            Order(
                customer=cart.customer, email=email, language=language, country=address.country,
                shipping_address=asdict(address), shipping_name=quote.method_name, code=quote.code,
                subtotal=Money(totals.subtotal, cart.currency), discount=Money(totals.discount, cart.currency),
                shipping=Money(totals.shipping, cart.currency),
                shipping_tax=Money(totals.shipping_tax, cart.currency), tax=Money(totals.tax, cart.currency),
                total=Money(totals.total, cart.currency), payment=payment, cart=str(cart.id), request=request,
                reserved_until=now + self.terms.reserved_for, token_hash=cart.token_hash,
            )
        )  # fmt: skip
        return await tx.update(order, link_hash=self.links.hash(order.id), link_until=now + self.terms.link_for)

    async def _items(self, tx: Transaction, order: Order, quote: Quote, kept: list[Goods]) -> None:
        owed = {goods.variant: goods.owed for goods in kept}
        for position, (item, priced) in enumerate(zip(quote.items, quote.totals.lines, strict=True)):
            variant, currency = item.variant, order.total.currency
            await tx.create(
                OrderItem(
                    order=order, variant=tx.ref(Variant, variant.id), position=position, name=name_of(variant),
                    sku=variant.sku, options=variant.options, quantity=item.quantity,
                    price=Money(priced.unit, currency), discount=Money(priced.discount, currency),
                    net=Money(priced.net, currency), tax=Money(priced.tax, currency),
                    total=Money(priced.total, currency), tax_rate=priced.tax_rate, tracked=variant.tracked,
                    owed=owed.get(variant.id, 0), returnable=item.quantity,
                )
            )  # fmt: skip

    async def _use_code(self, tx: Transaction, cart: Cart, quote: Quote, order: Order) -> None:
        """Count one use of the code: of all that there are, and of this customer's."""
        if (discount := quote.discount) is None:
            return
        if discount.left is not None:
            try:
                await tx.update(
                    discount, left=lambda d: coalesce(d.left, 0) - 1, where=lambda d: coalesce(d.left, 0) > 0
                )
            except Problem as problem:
                if problem.code != "precondition_failed":
                    raise
                raise Conflict("This code has been used as often as it may be.", code="code_used_up") from None
        who = str(cart.customer.id) if cart.customer is not None else order.email
        if discount.per_customer is None:
            await tx.create(DiscountUse(discount=discount, who=f"{who} {order.id}", number=1, order=str(order.id)))
            return
        mine = await tx.find(DiscountUse, lambda use: (use.discount == discount) & (use.who == who), limit=200)
        free = sorted(set(range(1, discount.per_customer + 1)) - {use.number for use in mine})
        if not free:
            raise Conflict("You have used this code as often as you may.", code="code_used_up")
        try:
            await tx.create(DiscountUse(discount=discount, who=who, number=free[0], order=str(order.id)))
        except Conflict as conflict:
            if conflict.code != "not_unique":
                raise
            raise Conflict("You are using this code for another order.", code="code_used_up") from None

    async def _refuse_squatting(self, tx: Transaction, cart: Cart, email: str) -> None:
        """One account, or one address, keeps goods for a few orders that are not paid, and not for many."""
        customer = cart.customer

        def theirs(order: Order) -> bool:
            return order.email == email

        def accounts(order: Order) -> bool:
            return order.customer == customer

        whose = theirs if customer is None else accounts
        waiting = await tx.count(Order, lambda order: (order.status == "pending") & whose(order))
        if waiting >= self.terms.most_pending:
            raise Conflict(
                f"{waiting} orders wait for their payment: pay or cancel one of them first.", code="too_many_pending"
            )
