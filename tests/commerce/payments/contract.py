"""What every payment provider must do, whatever it is: the contract of `commerce/payments/port.py`.

An adapter's test derives a class from `PaymentContract` and gives a `Stand`: the provider, open, at a company (or a
stand-in for it) where the tests can play the customer and send messages. Nothing here knows the company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random

import pytest

from backstay import Money
from backstay.commerce.payments.port import (
    ActionNeeded,
    Authorized,
    Declined,
    Done,
    Event,
    Intent,
    NotGenuine,
    Outcome,
    Provider,
    Refused,
    State,
    Unknown,
)  # fmt: skip
from backstay.testing import Clock

Message = tuple[bytes, Mapping[str, str]]
_NUMBERS = count(1)


@dataclass(frozen=True)
class Stand:
    """A provider under test, and what the tests do at its company."""

    provider: Provider
    another: Provider
    """Another process of the same shop, at the same account."""
    clock: Clock
    methods: Mapping[str, str]
    """Its words for `ok`, `declined`, `insufficient`, `confirm`, `lost` and `never`; what it lacks is skipped."""
    pages: bool
    """Whether every payment is confirmed on a page, whatever its method."""
    amounts: Sequence[Money]
    """Amounts that it takes, in currencies with different decimals."""
    act: Callable[[ActionNeeded, bool], Awaitable[None]]
    """What the customer does: confirm, or decline."""
    message: Callable[[str, Intent], Awaitable[Message]]
    """A genuine message about a payment, of a type of the port's words, as the company would send it now."""
    forge: Callable[[Message], Message]
    """The same message, signed by somebody with another secret."""

    def intent(self, method: str = "ok", amount: Money | None = None) -> Intent:
        """A payment that nobody has made yet."""
        if method not in self.methods:
            pytest.skip(f"{self.provider.name} has no method that is {method}")
        number = next(_NUMBERS)
        return Intent(f"p{number}", amount or euros(1999), f"{1000 + number}", "ada@example.com",
                      self.methods[method], "https://shop.example.com/thanks")  # fmt: skip

    async def ready(self, method: str = "ok", amount: Money | None = None) -> Intent:
        """A payment for which the customer has done everything: the next question holds the money."""
        intent = self.intent(method, amount)
        if self.pages:
            while isinstance(answer := await self.provider.authorize(intent), Unknown):
                pass
            assert isinstance(answer, ActionNeeded)
            await self.act(answer, True)
        return intent

    async def held(self, amount: Money | None = None) -> Intent:
        """A payment that is authorized."""
        intent = await self.ready("ok", amount)
        answer = await self.provider.authorize(intent)
        assert isinstance(answer, Authorized)
        return replace(intent, reference=answer.reference)

    async def taken(self, amount: int = 1999) -> Intent:
        """A payment that is captured."""
        intent = await self.held(euros(amount))
        assert isinstance(await self.provider.capture(intent, f"{intent.id}:capture", intent.amount), Done)
        return intent

    async def state(self, intent: Intent) -> State:
        """The truth about a payment."""
        state = await self.provider.lookup(intent)
        assert isinstance(state, State)
        return state


async def settled(asks: Sequence[Callable[[], Awaitable[Outcome]]]) -> list[Outcome]:
    """What comes of questions that are asked at once, those that nobody knows again until it is known."""
    answers = list(await asyncio.gather(*[ask() for ask in asks]))
    for _ in range(20):
        for place, answer in enumerate(answers):
            if isinstance(answer, Unknown):
                answers[place] = await asks[place]()
    return answers


def euros(amount: int) -> Money:
    return Money(amount, "EUR")


def refusal(answer: Outcome) -> str:
    """Why it was refused; nothing where it was not."""
    return answer.reason if isinstance(answer, Refused) else ""


NOTHING = (("absent", 0, 0, 0), ("action_needed", 0, 0, 0))
"""What a payment is that was never held: not there, or as empty as one that was only begun."""


def totals(state: State) -> tuple[str, int, int, int]:
    return state.status, state.authorized, state.captured, state.refunded


class PaymentContract:
    """The contract. A class derived from it gives a fixture `stand`."""

    # Being held.

    async def test_a_good_method_is_authorized_for_what_was_asked(self, stand: Stand) -> None:
        intent = await stand.ready()
        answer = await stand.provider.authorize(intent)
        assert isinstance(answer, Authorized)
        assert answer.amount == intent.amount
        assert answer.until is None or answer.until > stand.clock()
        state = await stand.state(intent)
        assert totals(state) == ("authorized", 1999, 0, 0)
        assert (state.reference, state.disagreements(intent)) == (answer.reference, ())

    async def test_amounts_are_minor_units_of_every_currency(self, stand: Stand) -> None:
        for amount in stand.amounts:
            intent = await stand.held(amount)
            assert isinstance(await stand.provider.capture(intent, f"c{intent.id}", amount), Done)
            assert isinstance(await stand.provider.refund(intent, f"r{intent.id}", amount), Done)
            state = await stand.state(intent)
            assert (state.amount, state.captured, state.refunded) == (amount, amount.amount, amount.amount)

    @pytest.mark.parametrize(("method", "reason"), [("declined", "declined"), ("insufficient", "insufficient_funds")])
    async def test_a_bad_method_is_declined_and_stays_so(self, stand: Stand, method: str, reason: str) -> None:
        intent = stand.intent(method)
        for _ in range(2):
            answer = await stand.provider.authorize(intent)
            assert isinstance(answer, Declined)
            assert answer.reason == reason
        assert totals(await stand.state(intent)) == ("declined", 0, 0, 0)
        assert isinstance(await stand.provider.capture(intent, f"{intent.id}:c", intent.amount), Refused)

    async def test_a_customer_who_confirms_is_authorized_when_it_is_asked_again(self, stand: Stand) -> None:
        intent = stand.intent("confirm")
        answer = await stand.provider.authorize(intent)
        assert isinstance(answer, ActionNeeded)
        assert answer.client_secret or answer.approve_url
        assert await stand.provider.authorize(intent) == answer  # a browser that reloads is shown the same
        assert totals(await stand.state(intent)) == ("action_needed", 0, 0, 0)
        assert isinstance(await stand.provider.capture(intent, f"{intent.id}:c", intent.amount), Refused)
        await stand.act(answer, True)
        assert (await stand.state(intent)).status in ("authorized", "approved")
        again = await stand.provider.authorize(replace(intent, reference=answer.reference))
        assert isinstance(again, Authorized)
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)
        assert isinstance(await stand.provider.capture(intent, f"{intent.id}:c2", intent.amount), Done)

    async def test_a_customer_who_declines_pays_nothing(self, stand: Stand) -> None:
        """Where the company lets them think again, they are asked again."""
        intent = stand.intent("confirm")
        answer = await stand.provider.authorize(intent)
        assert isinstance(answer, ActionNeeded)
        await stand.act(answer, False)
        assert isinstance(await stand.provider.authorize(intent), Declined | ActionNeeded)
        assert (await stand.state(intent)).authorized == 0
        assert isinstance(await stand.provider.capture(intent, f"{intent.id}:c", intent.amount), Refused)

    async def test_the_same_id_is_held_once(self, stand: Stand) -> None:
        intent = await stand.ready()
        first = await stand.provider.authorize(intent)
        assert isinstance(first, Authorized)
        for provider in (stand.provider, stand.another):
            assert await provider.authorize(intent) == first
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)

    async def test_the_same_id_with_other_values_is_refused(self, stand: Stand) -> None:
        intent = await stand.ready()
        assert isinstance(await stand.provider.authorize(intent), Authorized)
        for other in (
            replace(intent, amount=euros(2000)), replace(intent, amount=Money(1999, "USD")), replace(intent, order="1"),
        ):  # fmt: skip
            answer = await stand.provider.authorize(other)
            assert isinstance(answer, Declined)
            assert answer.reason == "key_reused"
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)

    async def test_many_at_once_on_one_id_hold_it_once(self, stand: Stand) -> None:
        intent = await stand.ready()
        asked = [provider.authorize(intent) for _ in range(8) for provider in (stand.provider, stand.another)]
        answers = await asyncio.gather(*asked)
        assert any(isinstance(answer, Authorized) for answer in answers)
        assert len({answer for answer in answers if not isinstance(answer, Unknown)}) == 1
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)

    # Being taken.

    async def test_a_capture_takes_once_however_often_its_key_is_sent(self, stand: Stand) -> None:
        intent = await stand.held()
        first = await stand.provider.capture(intent, "c1" + intent.id, intent.amount)
        assert isinstance(first, Done)
        assert first.amount == intent.amount
        assert await stand.another.capture(intent, "c1" + intent.id, intent.amount) == first
        state = await stand.state(intent)
        assert totals(state) == ("captured", 1999, 1999, 0)
        assert [one.kind for one in state.movements] == ["capture"]

    async def test_many_captures_at_once_with_one_key_take_once(self, stand: Stand) -> None:
        intent = await stand.held()
        asks = [partial(one.capture, intent, f"c{intent.id}", intent.amount) for one in (stand.provider, stand.another)]
        (answer,) = set(await settled(asks * 8))
        assert isinstance(answer, Done)
        assert totals(await stand.state(intent)) == ("captured", 1999, 1999, 0)

    async def test_a_part_can_be_taken_and_the_rest_is_let_go(self, stand: Stand) -> None:
        intent = await stand.held(euros(1000))
        assert isinstance(await stand.provider.capture(intent, f"c{intent.id}", euros(600)), Done)
        assert (await stand.state(intent)).captured == 600
        assert isinstance(await stand.provider.capture(intent, f"d{intent.id}", euros(400)), Refused)
        assert (await stand.state(intent)).captured == 600

    async def test_more_than_is_held_is_not_taken(self, stand: Stand) -> None:
        intent = await stand.held(euros(1000))
        assert refusal(await stand.provider.capture(intent, f"c{intent.id}", euros(1001))) == "over_authorized"
        assert refusal(await stand.provider.capture(intent, f"d{intent.id}", Money(1000, "USD"))) == "wrong_currency"
        assert totals(await stand.state(intent)) == ("authorized", 1000, 0, 0)

    async def test_what_was_never_authorized_is_not_taken(self, stand: Stand) -> None:
        intent = stand.intent()
        refused = await stand.provider.capture(intent, f"c{intent.id}", intent.amount)
        assert isinstance(refused, Refused)
        assert refused.reason in ("not_found", "not_authorized")
        assert totals(await stand.state(intent)) in NOTHING

    # Being let go.

    async def test_a_void_lets_go_and_nothing_is_taken_after_it(self, stand: Stand) -> None:
        intent = await stand.held()
        done = await stand.provider.void(intent, f"v{intent.id}")
        assert isinstance(done, Done)
        assert await stand.another.void(intent, f"v{intent.id}") == done
        assert isinstance(await stand.provider.void(intent, f"w{intent.id}"), Done)  # it is over, whoever asks
        assert refusal(await stand.provider.capture(intent, f"c{intent.id}", intent.amount)) == "ended"
        state = await stand.state(intent)
        assert (state.status, state.captured) == ("voided", 0)

    async def test_what_was_captured_cannot_be_voided(self, stand: Stand) -> None:
        intent = await stand.taken()
        assert refusal(await stand.provider.void(intent, f"v{intent.id}")) == "already_captured"
        assert totals(await stand.state(intent)) == ("captured", 1999, 1999, 0)

    async def test_after_a_void_what_comes_late_holds_nothing(self, stand: Stand) -> None:
        """An authorization that nobody answered may still be on its way when it is given up."""
        for method in ("ok", "confirm"):
            intent = stand.intent(method)
            assert isinstance(await stand.provider.void(intent, f"v{intent.id}"), Done)
            assert not isinstance(await stand.provider.authorize(intent), Authorized)
            assert (await stand.state(intent)).authorized == 0

    async def test_a_customer_who_confirms_after_a_void_pays_nothing(self, stand: Stand) -> None:
        intent = stand.intent("confirm")
        answer = await stand.provider.authorize(intent)
        assert isinstance(answer, ActionNeeded)
        assert isinstance(await stand.provider.void(intent, f"v{intent.id}"), Done)
        await stand.act(answer, True)
        assert (await stand.state(intent)).authorized == 0
        assert isinstance(await stand.provider.capture(intent, f"{intent.id}:c", intent.amount), Refused)

    async def test_a_customer_who_has_confirmed_can_be_let_go(self, stand: Stand) -> None:
        intent = stand.intent("confirm")
        answer = await stand.provider.authorize(intent)
        assert isinstance(answer, ActionNeeded)
        await stand.act(answer, True)
        (done,) = await settled([partial(stand.provider.void, intent, f"v{intent.id}")])
        assert isinstance(done, Done)
        assert not isinstance(await stand.another.authorize(intent), Authorized)
        assert (await stand.state(intent)).authorized == 0

    # Being given back.

    async def test_refunds_add_up_to_what_was_captured_and_no_further(self, stand: Stand) -> None:
        intent = await stand.taken(1000)
        for key, amount in (("r1", 300), ("r2", 700)):
            done = await stand.provider.refund(intent, key + intent.id, euros(amount))
            assert isinstance(done, Done)
            assert await stand.another.refund(intent, key + intent.id, euros(amount)) == done
        assert refusal(await stand.provider.refund(intent, f"r3{intent.id}", euros(1))) == "over_captured"
        state = await stand.state(intent)
        assert totals(state) == ("captured", 1000, 1000, 1000)
        found = [state.movement(key + intent.id) for key in ("r1", "r2", "r3")]
        assert [one.amount.amount if one else 0 for one in found] == [300, 700, 0]

    async def test_one_refund_of_more_than_was_captured_is_refused(self, stand: Stand) -> None:
        intent = await stand.taken(1000)
        assert refusal(await stand.provider.refund(intent, f"r{intent.id}", euros(1001))) == "over_captured"
        assert (await stand.state(intent)).refunded == 0

    async def test_what_was_not_captured_is_not_refunded(self, stand: Stand) -> None:
        intent = await stand.held()
        assert refusal(await stand.provider.refund(intent, f"r{intent.id}", euros(1))) == "over_captured"
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)

    async def test_a_key_of_a_refund_with_another_amount_is_refused(self, stand: Stand) -> None:
        intent = await stand.taken(1000)
        assert isinstance(await stand.provider.refund(intent, f"r{intent.id}", euros(300)), Done)
        assert refusal(await stand.provider.refund(intent, f"r{intent.id}", euros(301))) == "key_reused"
        assert (await stand.state(intent)).refunded == 300

    async def test_many_refunds_at_once_give_back_no_more_than_was_captured(self, stand: Stand) -> None:
        intent = await stand.taken(1000)
        asks = [
            partial(one.refund, intent, f"r{number}{intent.id}", euros(300))
            for number, one in enumerate((stand.provider, stand.another) * 4)
        ]
        answers = await settled(asks)
        assert sum(isinstance(answer, Done) for answer in answers) == 3
        assert {refusal(answer) for answer in answers} == {"", "over_captured"}
        assert (await stand.state(intent)).refunded == 900

    # Not knowing.

    async def test_a_lost_answer_is_unknown_and_the_truth_can_be_looked_up(self, stand: Stand) -> None:
        intent = await stand.ready("lost")
        assert isinstance(await stand.provider.authorize(intent), Unknown)
        assert totals(await stand.state(intent)) == ("authorized", 1999, 0, 0)
        assert isinstance(await stand.provider.authorize(intent), Authorized)
        for doing, wanted in (("capture", ("captured", 1999, 1999, 0)), ("refund", ("captured", 1999, 1999, 1999))):
            move = getattr(stand.provider, doing)
            assert isinstance(await move(intent, doing + intent.id, intent.amount), Unknown)
            state = await stand.state(intent)
            assert totals(state) == wanted
            assert isinstance(await move(intent, doing + intent.id, intent.amount), Done)
            assert await stand.state(intent) == state

    async def test_what_never_arrives_is_unknown_and_absent_and_can_be_ended(self, stand: Stand) -> None:
        intent = stand.intent("never")
        for _ in range(2):
            assert isinstance(await stand.provider.authorize(intent), Unknown)
        assert totals(await stand.state(intent)) in NOTHING
        assert isinstance(await stand.provider.void(intent, f"v{intent.id}"), Done)
        assert not isinstance(await stand.provider.authorize(intent), Authorized)
        assert (await stand.state(intent)).authorized == 0

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("method", ["ok", "lost"])
    async def test_whatever_is_asked_in_whatever_order_the_sums_agree(
        self, stand: Stand, method: str, seed: int
    ) -> None:
        """Few keys, asked again and again, from two processes: what was done is done once, and told alike."""
        chance = Random(seed)
        intent = await stand.ready(method, euros(1000))
        done: dict[tuple[str, str, int], Done] = {}
        for _ in range(40):
            provider = chance.choice([stand.provider, stand.another])
            doing = chance.choice(["authorize", "capture", "refund", "refund", "refund", "void"])
            key = f"{doing}{chance.randrange(3)}{intent.id}"
            amount = chance.choice([1, 200, 300, 500, 1000, 1001]) if doing != "void" else 1000
            if doing == "authorize":
                await provider.authorize(intent)
            elif doing != "void" or chance.randrange(10) == 0:
                arguments = [] if doing == "void" else [euros(amount)]
                answer = await getattr(provider, doing)(intent, key, *arguments)
                asked = (doing, key, amount)
                if asked in done:
                    assert answer in (done[asked], Unknown(), Unknown("pending", answer.reference))
                elif isinstance(answer, Done):
                    assert answer.amount == euros(amount)
                    done[asked] = answer
            state = await stand.state(intent)
            moved = {
                kind: sum(one.amount.amount for one in state.movements if one.kind == kind)
                for kind in ("capture", "refund")
            }
            assert moved == {"capture": state.captured, "refund": state.refunded}
            assert 0 <= state.refunded <= state.captured <= state.authorized <= 1000
            for kind, total in moved.items():
                known = {key: amount for (what, key, amount) in done if what == kind}
                assert sum(known.values()) <= total  # what was lost is done and not known to be
                assert len(known) <= len([one for one in state.movements if one.kind == kind])
            if any(what == "void" for what, _, _ in done):
                assert (state.captured, state.authorized) == (0, 0)

    # What it says by itself.

    async def test_a_genuine_message_names_its_payment(self, stand: Stand) -> None:
        intent = await stand.held()
        event = await stand.provider.read_event(*await stand.message("payment.authorized", intent))
        assert event.id
        assert intent.id == event.payment or intent.reference == event.reference
        assert isinstance(event, Event)

    async def test_a_message_of_an_unknown_type_is_read_all_the_same(self, stand: Stand) -> None:
        intent = await stand.held()
        event = await stand.provider.read_event(*await stand.message("something.new", intent))
        assert (event.type, bool(event.id)) == ("something.new", True)

    async def test_a_changed_message_is_not_genuine(self, stand: Stand) -> None:
        body, headers = await stand.message("payment.authorized", await stand.held())
        for changed in (body + b" ", body.replace(b":", b" :", 1), body[:-1], b"", b"{}"):
            with pytest.raises(NotGenuine):
                await stand.provider.read_event(changed, headers)

    async def test_a_message_under_another_secret_is_not_genuine(self, stand: Stand) -> None:
        message = await stand.message("payment.authorized", await stand.held())
        with pytest.raises(NotGenuine):
            await stand.provider.read_event(*stand.forge(message))

    async def test_a_message_without_a_signature_is_not_genuine(self, stand: Stand) -> None:
        body, headers = await stand.message("payment.authorized", await stand.held())
        for given in ({}, dict.fromkeys(headers, "")):
            with pytest.raises(NotGenuine):
                await stand.provider.read_event(body, given)

    async def test_a_message_is_good_for_some_minutes_only(self, stand: Stand) -> None:
        message = await stand.message("payment.authorized", await stand.held())
        before = stand.clock()
        stand.clock.set(before + timedelta(minutes=4))
        assert (await stand.provider.read_event(*message)).id
        for later in (timedelta(minutes=6), timedelta(minutes=-6)):
            stand.clock.set(before + later)
            with pytest.raises(NotGenuine):
                await stand.provider.read_event(*message)

    async def test_what_cannot_be_paid_is_not_asked_for(self, stand: Stand) -> None:
        for amount in (0, -1):
            with pytest.raises(ValueError, match="cannot be paid"):
                stand.intent("ok", euros(amount))
        intent = await stand.taken()
        for doing in (stand.provider.capture, stand.provider.refund):
            with pytest.raises(ValueError, match="cannot be paid"):
                await doing(intent, "k", euros(0))
            with pytest.raises(ValueError, match="is no key"):
                await doing(intent, "k" * 65, euros(1))
