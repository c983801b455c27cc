"""The port fits companies of two forms: one like Stripe and one like PayPal, whose sketches keep the whole contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import msgspec
import pytest

from backstay import Money
from backstay.commerce.payments.port import ActionNeeded, Intent, Provider
from backstay.commerce.payments.signature import sign
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.settings import Settings
from backstay.testing import Clock
from tests.commerce.payments import like_paypal, like_stripe
from tests.commerce.payments.contract import Message, PaymentContract, Stand, euros


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def opened(stack: AsyncExitStack, clock: Clock, *providers: Provider) -> None:
    for provider in providers:
        await stack.enter_async_context(provider.open(Settings(), HTTP(Permit("")), clock))


class TestLikeStripe(PaymentContract):
    @pytest.fixture
    async def stand(self, clock: Clock) -> AsyncIterator[Stand]:
        company = like_stripe.LikeStripeCompany()
        one, other = [like_stripe.LikeStripe(company, "https://api.example.com") for _ in range(2)]

        async def act(answer: ActionNeeded, confirm: bool) -> None:
            company.act(answer.client_secret, confirm)

        async def message(type: str, intent: Intent) -> Message:
            thing = {"id": intent.reference, "metadata": {"payment": intent.id}}
            body = msgspec.json.encode({"id": "evt_1", "type": type, "data": {"object": thing}})
            return body, {"stripe-signature": sign(body, like_stripe.SECRET, clock())}

        def forge(message: Message) -> Message:
            return message[0], {"stripe-signature": sign(message[0], b"whsec_of_another_account", clock())}

        methods = {"ok": "pm_card", "declined": "pm_declined", "insufficient": "pm_insufficient", "confirm": "pm_3ds",
                   "lost": "pm_lost", "never": "pm_never"}  # fmt: skip
        amounts = [Money(1, "JPY"), Money(1_234_560, "KWD"), euros(99_999_999)]
        async with AsyncExitStack() as stack:
            await opened(stack, clock, one, other)
            yield Stand(one, other, clock, methods, False, amounts, act, message, forge)


class TestLikePayPal(PaymentContract):
    @pytest.fixture
    async def stand(self, clock: Clock) -> AsyncIterator[Stand]:
        company = like_paypal.LikePayPalCompany()
        one, other = [like_paypal.LikePayPal(company, "https://api.example.com") for _ in range(2)]

        async def act(answer: ActionNeeded, confirm: bool) -> None:
            company.act(answer.approve_url, confirm)

        async def message(type: str, intent: Intent) -> Message:
            event = {"id": "WH-1", "event_type": type, "resource": {"custom_id": intent.id}}
            return msgspec.json.encode(event), company.sign(event, clock())

        def forge(message: Message) -> Message:
            headers: Mapping[str, str] = {**message[1], "paypal-transmission-sig": "sig0"}
            return message[0], headers

        methods = {"ok": "", "confirm": "", "lost": "lost"}
        amounts = [Money(1, "JPY"), euros(99_999_999)]
        async with AsyncExitStack() as stack:
            await opened(stack, clock, one, other)
            yield Stand(one, other, clock, methods, True, amounts, act, message, forge)
