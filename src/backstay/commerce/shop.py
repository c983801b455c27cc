"""`Shop`: the part of an application that sells. It brings its models, and serves carts, checkouts and orders.

Invariant: a shop is built of what it is given, once; it has no powers that a user's file has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

from annotated_types import Len

from backstay.commerce.cart import Cart, CartItem
from backstay.commerce.carts import Carts
from backstay.commerce.catalogue import Category, Medium, Price, Product, StockMovement, Variant
from backstay.commerce.checkout import Checkouts
from backstay.commerce.ledger import LedgerEntry, Posting
from backstay.commerce.link import Links
from backstay.commerce.offer import Discount, DiscountUse, ShippingMethod, ShippingRate, TaxRate
from backstay.commerce.order import ORDER_TOKEN, Order, OrderEvent, OrderItem, Payment, Refund
from backstay.commerce.orders import Orders
from backstay.commerce.page import PAGE_CSP, order_page
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.payments.play_page import PLAY_CSP, play_page
from backstay.commerce.payments.port import Provider
from backstay.commerce.purchase import Purchases
from backstay.commerce.quote import Quotes
from backstay.commerce.refund import Refunds
from backstay.commerce.terms import Terms
from backstay.commerce.webhooks import PaymentEvent, Webhooks
from backstay.errors import NotFound
from backstay.model.declare import Model
from backstay.model.rule import anyone
from backstay.store.context import Context
from backstay.store.exchange import Raw, Reply
from backstay.store.part import Host, Surroundings

MODELS: tuple[type[Model], ...] = (
    Category, Product, Variant, Price, Medium, StockMovement, Discount, DiscountUse, ShippingMethod, ShippingRate,
    TaxRate, Cart, CartItem, Order, OrderItem, OrderEvent, Payment, Refund, Posting, LedgerEntry, PaymentEvent,
)  # fmt: skip
_LOOK = 1  # seconds between two looks whether play money has something to tell


class Shop:
    """Sell: `App("corner-shop", use=[Shop(currency="EUR")])`.

    `payments` are the providers, in the order in which they are offered; without any it is play money, which does not
    start in production. The other arguments are those of `Terms`.

    >>> Shop(currency="EUR", country="DE").terms.currency
    'EUR'
    """

    def __init__(self, *, currency: str = "EUR", payments: Sequence[Provider] = (), **terms: Any) -> None:
        self.terms = Terms(currency, **terms)
        self.payments = tuple(payments) or (PlayMoney(),)
        self.providers: dict[str, Provider] = {}
        for provider in self.payments:
            if provider.name in self.providers:
                raise ValueError(f'There are two payment providers "{provider.name}".')
            self.providers[provider.name] = provider
        quotes = Quotes(self.terms)
        self.links = Links(self.terms)
        self.refunds = Refunds(self.providers, self.links)
        self.purchases = Purchases(self.terms, self.providers, self.links, self.refunds.everything)
        self.webhooks = Webhooks(self.providers)
        self.orders = Orders(self.refunds, self.terms.driven_for)
        self._routes = (
            Carts(self.terms, quotes),
            Checkouts(self.terms, quotes, self.purchases, self.links),
            self.orders,
            self.webhooks,
        )

    @property
    def models(self) -> Sequence[type[Model]]:
        """What it keeps."""
        return MODELS

    def join(self, host: Host) -> None:
        """Serve its routes, and declare its flows."""
        for routes in self._routes:
            routes.join(host)
        host.flow(version=1)(self.purchases.purchase)
        host.flow(version=1)(self.refunds.refund)
        host.action("GET /shop/orders/{id}", allow=anyone, documented=False)(self.order_page)
        if self._play is not None:
            host.action("GET /dev/pay/{secret}", allow=anyone, documented=False)(self.play_page)
            host.action("POST /dev/pay/{secret}", allow=anyone, documented=False)(self.play_settle)

    @asynccontextmanager
    async def open(self, around: Surroundings) -> AsyncIterator[None]:
        """Open its providers."""
        self.links.open(around.settings, serving=around.serving)
        # A command may look into the books of play money wherever it is run: nobody can pay by it.
        settings = around.settings if around.serving else replace(around.settings, env="development")
        async with AsyncExitStack() as stack:
            for provider in self.payments:
                await stack.enter_async_context(provider.open(settings, around.http, around.clock))
            told = None
            if around.background and self._play is not None:
                told = asyncio.get_running_loop().create_task(self._tell(around))
            try:
                yield
            finally:
                if told is not None:
                    told.cancel()
                    with suppress(asyncio.CancelledError):
                        await told

    @property
    def _play(self) -> PlayMoney | None:
        found = self.providers.get("test")
        return found if isinstance(found, PlayMoney) else None

    async def deliver(self, around_context: Context) -> int:
        """Let play money tell what it has to tell; how many messages were taken."""
        play = self._play
        if play is None:
            return 0

        async def sink(body: bytes, headers: Mapping[str, str]) -> int:
            await self.webhooks.hear(around_context, play.name, Raw(body, headers))
            return 204

        return await play.deliver(sink)

    async def _tell(self, around: Surroundings) -> None:
        while True:
            with suppress(Exception):  # what is not delivered is owed still
                await self.deliver(around.context())
            await asyncio.sleep(_LOOK)

    async def order_page(self, ctx: Context, id: UUID, token: Annotated[str, Len(0, 200)] = "") -> Reply:
        """The page of an order, for its customer or whoever has its link; the provider is asked first."""
        await self.orders.see_to(ctx, id, token)
        async with ctx.transaction() as tx:
            asking = tx.bringing({ORDER_TOKEN: token}) if token else tx
            order = await asking.get(Order, id, expand=("items", "payment", "events"))
        headers = [("Content-Security-Policy", PAGE_CSP), ("Cache-Control", "no-store")]
        return Reply(order_page(order), 200, "text/html; charset=utf-8", headers)

    async def play_page(self, ctx: Context, secret: Annotated[str, Len(1, 200)]) -> Reply:
        """The page on which a customer of play money confirms a payment."""
        waiting = await self._play.waiting(secret) if self._play is not None else None
        if waiting is None:
            raise NotFound("There is no such payment.")
        return Reply(
            play_page(waiting, f"/dev/pay/{secret}"),
            200,
            "text/html; charset=utf-8",
            [("Content-Security-Policy", PLAY_CSP)],
        )

    async def play_settle(self, ctx: Context, secret: Annotated[str, Len(1, 200)], raw: Raw) -> Reply:
        """What the customer decided on that page."""
        play = self._play
        waiting = await play.waiting(secret) if play is not None else None
        if play is None or waiting is None:
            raise NotFound("There is no such payment.")
        decided = parse_qs(raw.body.decode("latin-1")).get("answer", [""])[0]
        await play.settle(secret, confirm=decided == "confirm")
        await self.deliver(ctx)
        return Reply("", 303, headers=[("Location", waiting.return_url or "/")])
