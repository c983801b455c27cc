"""A company with the form of Stripe: PaymentIntents that are confirmed apart, forms, keys that keep errors too.

After https://docs.stripe.com/payments/paymentintents/lifecycle and https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backstay import Money
from backstay.commerce.payments.port import (
    ActionNeeded,
    Authorization,
    Authorized,
    Declined,
    Done,
    Event,
    Intent,
    Movement,
    NotGenuine,
    Outcome,
    Reason,
    Refused,
    State,
    Status,
    Unknown,
    check_amount,
    check_key,
)  # fmt: skip
from backstay.commerce.payments.signature import check_signature
from tests.commerce.payments.company import Company, Said, Sketch, unlike

SECRET = b"whsec_of_the_account"
_REASONS: dict[str, Reason] = {
    "card_declined": "declined", "insufficient_funds": "insufficient_funds",
    "payment_intent_authentication_failure": "not_confirmed",
}  # fmt: skip


@dataclass
class LikeStripeCompany(Company):
    """The account."""

    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)

    key_header = "idempotency-key"

    def reused(self) -> Said:
        return 400, {"error": {"type": "idempotency_error"}}

    def loses(self, path: str) -> bool:
        word = path.rsplit("/", 1)[1]
        made = self.refunds[-1]["payment_intent"] if word == "refunds" and self.refunds else path.split("/")[3:4]
        found = self.intents.get(made if isinstance(made, str) else "".join(made))
        return word != "payment_intents" and found is not None and found["payment_method"] == "pm_lost"

    def arrives(self, path: str, said: Mapping[str, Any]) -> bool:
        return said.get("payment_method") != "pm_never"

    def answer(self, method: str, path: str, said: Mapping[str, Any]) -> Said:
        parts = path.split("/")[2:]
        if parts == ["refunds"]:
            return self._refund(said) if method == "POST" else (200, {"data": [
                refund for refund in self.refunds if refund["payment_intent"] == said["payment_intent"]]})  # fmt: skip
        if len(parts) == 1:
            made = self.new("pi_")
            self.intents[made] = {
                "id": made, "status": "requires_payment_method", "amount": int(said["amount"]), "amount_received": 0,
                "currency": said["currency"], "client_secret": f"{made}_secret", "last_payment_error": None,
                "metadata": {"payment": said["metadata[payment]"], "order": said["metadata[order]"]},
                "payment_method": None, "next_action": None,
            }  # fmt: skip
            return 200, dict(self.intents[made])
        intent = self.intents[parts[1]]
        word = parts[2] if len(parts) > 2 else "read"
        return getattr(self, f"_{word}")(intent, said)  # type: ignore[no-any-return]

    def _read(self, intent: dict[str, Any], said: Mapping[str, Any]) -> Said:
        return 200, dict(intent)

    def _confirm(self, intent: dict[str, Any], said: Mapping[str, Any]) -> Said:
        if intent["status"] != "requires_payment_method":
            return self._unexpected()
        intent["payment_method"] = said["payment_method"]
        code = {"pm_declined": "card_declined", "pm_insufficient": "insufficient_funds"}.get(said["payment_method"])
        if code is not None:
            intent["last_payment_error"] = {"code": code}
            return 402, {"error": {"type": "card_error", "code": code}}
        intent["status"] = "requires_action" if said["payment_method"] == "pm_3ds" else "requires_capture"
        if intent["status"] == "requires_action":
            intent["next_action"] = {"redirect_to_url": {"url": f"https://pay.example.com/{intent['id']}"}}
        return 200, dict(intent)

    def _capture(self, intent: dict[str, Any], said: Mapping[str, Any]) -> Said:
        if intent["status"] != "requires_capture":
            return self._unexpected()
        intent.update(status="succeeded", amount_received=int(said["amount_to_capture"]))
        intent["metadata"] = {**intent["metadata"], "capture": said["metadata[capture]"]}
        return 200, dict(intent)

    def _cancel(self, intent: dict[str, Any], said: Mapping[str, Any]) -> Said:
        if intent["status"] in ("succeeded", "canceled"):
            return self._unexpected()
        intent["status"] = "canceled"
        return 200, dict(intent)

    def _refund(self, said: Mapping[str, Any]) -> Said:
        intent = self.intents[said["payment_intent"]]
        back = sum(refund["amount"] for refund in self.refunds if refund["payment_intent"] == intent["id"])
        if int(said["amount"]) > intent["amount_received"] - back:
            return 400, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded"}}
        refund = {"id": self.new("re_"), "status": "succeeded", "amount": int(said["amount"]),
                  "payment_intent": intent["id"], "metadata": {"key": said["metadata[key]"]}}  # fmt: skip
        self.refunds.append(refund)
        return 200, dict(refund)

    def _unexpected(self) -> Said:
        return 400, {"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}}

    def act(self, client_secret: str, confirm: bool) -> None:
        """What the customer does on the page of their bank."""
        intent = self.intents[client_secret.removesuffix("_secret")]
        if intent["status"] == "requires_action":
            intent["status"] = "requires_capture" if confirm else "requires_payment_method"
            if not confirm:
                intent["last_payment_error"] = {"code": "payment_intent_authentication_failure"}


class LikeStripe(Sketch):
    """A sketch of its adapter."""

    name = "like_stripe"

    async def authorize(self, intent: Intent) -> Authorization:
        found = await self._payment(intent)
        if isinstance(found, Unknown):
            return found
        if unlike(intent, found["amount"], found["currency"].upper(), found["metadata"]["order"]):
            return Declined("key_reused", found["id"])
        if found["status"] == "requires_payment_method" and intent.method and not found["last_payment_error"]:
            answer = await self._post(f"payment_intents/{found['id']}/confirm", f"{intent.id}:confirm",
                                      payment_method=intent.method, return_url=intent.return_url)  # fmt: skip
            if isinstance(answer, Unknown):
                return answer
            read = await self._read(found["id"])
            if isinstance(read, Unknown):
                return read
            found = read
        if found["last_payment_error"] and found["status"] != "canceled":  # final under this id: nobody tries it again
            answer = await self._post(f"payment_intents/{found['id']}/cancel", f"{intent.id}:declined")
            if isinstance(answer, Unknown):
                return answer
            found = {**found, "status": "canceled"}
        if found["status"] in ("requires_capture", "succeeded"):
            return Authorized(found["id"], intent.amount)
        if found["status"] == "canceled":
            error = found["last_payment_error"]
            return Declined(_REASONS.get(error["code"], "declined") if error else "ended", found["id"])
        if found["status"] == "processing":
            return Unknown("pending", found["id"])
        action = found["next_action"] or {"redirect_to_url": {"url": ""}}
        return ActionNeeded(found["id"], found["client_secret"], action["redirect_to_url"]["url"])

    async def capture(self, intent: Intent, key: str, amount: Money) -> Outcome:
        check_key(key)
        check_amount(amount)
        if amount.currency != intent.amount.currency:
            return Refused("wrong_currency")
        if amount.amount > intent.amount.amount:
            return Refused("over_authorized")
        found = await self._payment(intent)
        if isinstance(found, Unknown):
            return found
        values = {"amount_to_capture": str(amount.amount), "metadata[capture]": key}
        answer = await self._post(f"payment_intents/{found['id']}/capture", key, **values)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == 200:
            return Done(answer.json["id"], amount)
        return Refused(self._reason(answer.json, found, "already_captured"))

    async def void(self, intent: Intent, key: str) -> Outcome:
        found = await self._payment(intent)
        if isinstance(found, Unknown):
            return found
        if found["status"] == "succeeded":
            return Refused("already_captured")
        answer = await self._post(f"payment_intents/{found['id']}/cancel", key)
        if isinstance(answer, Unknown):
            return answer
        if answer.status != 200 and found["status"] != "canceled":
            return Unknown()  # it moved between the two questions: ask again
        return Done(found["id"], intent.amount)

    async def refund(self, intent: Intent, key: str, amount: Money) -> Outcome:
        check_key(key)
        check_amount(amount)
        found = await self._payment(intent)
        if isinstance(found, Unknown):
            return found
        if found["status"] != "succeeded":
            return Refused("over_captured")
        values = {"payment_intent": found["id"], "amount": str(amount.amount), "metadata[key]": key}
        answer = await self._post("refunds", key, **values)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == 200:
            return Done(answer.json["id"], amount)
        return Refused(self._reason(answer.json, found, "over_captured"))

    async def lookup(self, intent: Intent) -> State | Unknown:
        found = await self._payment(intent)
        if isinstance(found, Unknown):
            return found
        listed = await self.ask("GET", "/v1/refunds", params={"payment_intent": found["id"]})
        if isinstance(listed, Unknown):
            return listed
        currency = found["currency"].upper()
        held = found["amount"] if found["status"] in ("requires_capture", "succeeded") else 0
        statuses: dict[str, Status] = {"requires_capture": "authorized", "succeeded": "captured", "canceled": "voided",
                                       "processing": "pending"}  # fmt: skip
        status = statuses.get(found["status"], "action_needed")
        if status == "voided" and found["last_payment_error"]:
            status = "declined"
        taken = [Movement("capture", found["metadata"]["capture"], found["id"],
                          Money(found["amount_received"], currency))] if found["amount_received"] else []  # fmt: skip
        back = [Movement("refund", one["metadata"]["key"], one["id"], Money(one["amount"], currency))
                for one in listed.json["data"]]  # fmt: skip
        return State(
            found["metadata"]["payment"], found["id"], status, Money(found["amount"], currency), held,
            found["amount_received"], sum(one.amount.amount for one in back), (*taken, *back),
        )  # fmt: skip

    async def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        check_signature(headers.get("stripe-signature", ""), body, [SECRET], self.clock())
        try:
            said = msgspec.json.decode(body)
            thing = said["data"]["object"]
            return Event(said["id"], said["type"], thing["metadata"].get("payment", ""), thing["id"])
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            raise NotGenuine("it is signed, and no event") from None

    async def _payment(self, intent: Intent) -> dict[str, Any] | Unknown:
        """The PaymentIntent as it is. Where its id is not known it is made again under its key: it holds nothing."""
        if intent.reference:
            return await self._read(intent.reference)
        made = await self._post(
            "payment_intents", f"{intent.id}:create", amount=str(intent.amount.amount), capture_method="manual",
            currency=intent.amount.currency.lower(),
            **{"metadata[payment]": intent.id, "metadata[order]": intent.order},
        )  # fmt: skip
        if isinstance(made, Unknown):
            return made
        if made.status != 200:  # the key was used with other values: say what they were
            return {"id": "", "amount": 0, "currency": "", "metadata": {"order": ""}, "status": "canceled"}
        return await self._read(made.json["id"])

    async def _read(self, id: str) -> dict[str, Any] | Unknown:
        answer = await self.ask("GET", f"/v1/payment_intents/{id}")
        return answer if isinstance(answer, Unknown) else answer.json

    async def _post(self, path: str, key: str, **form: str) -> Any:
        return await self.ask("POST", f"/v1/{path}", form=form or {"_": ""}, headers={"Idempotency-Key": key})

    def _reason(self, error: dict[str, Any], found: dict[str, Any], otherwise: Reason) -> Reason:
        if error["error"]["type"] == "idempotency_error":
            return "key_reused"
        reasons: dict[str, Reason] = {"canceled": "ended", "succeeded": otherwise}
        return reasons.get(found["status"], "not_authorized")
