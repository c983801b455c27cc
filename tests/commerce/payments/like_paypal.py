"""A company with the form of PayPal: orders that their payer approves, then authorizations, captures and refunds.

After the specifications checkout_orders_v2, payments_payment_v2 and notifications_webhooks_v1 of PayPal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from backstay import Money
from backstay.commerce.currency import digits_of, written
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
from backstay.commerce.payments.signature import TOLERANCE
from backstay.net.answer import HTTPAnswer
from tests.commerce.payments.company import Company, Said, Sketch, unlike

_HEADERS = ("paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig")


def said_as(amount: Money) -> dict[str, str]:
    return {"value": written(amount).partition(" ")[0], "currency_code": amount.currency}


def read_as(said: Mapping[str, str]) -> Money:
    whole, _, rest = said["value"].partition(".")
    return Money(int(whole + rest.ljust(digits_of(said["currency_code"]), "0")), said["currency_code"])


@dataclass
class LikePayPalCompany(Company):
    """The account. `signatures` are those that it made, by which it knows its own messages."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    signatures: dict[str, bytes] = field(default_factory=dict)

    key_header = "paypal-request-id"

    def reused(self) -> Said:
        return 422, {"details": [{"issue": "DUPLICATE_REQUEST_ID"}]}

    def loses(self, path: str) -> bool:
        parts = path.split("/")[3:]
        for order in self.orders.values():
            ids = [order["id"], *(one["id"] for kind in order["payments"].values() for one in kind)]
            if len(parts) == 3 and parts[1] in ids and order["purchase_units"][0]["description"] == "lost":
                return True
        return False

    def answer(self, method: str, path: str, said: Mapping[str, Any]) -> Said:
        match path.split("/")[2:]:
            case ["notifications", "verify-webhook-signature"]:
                known = self.signatures.get(str(said["transmission_sig"]))
                genuine = known == msgspec.json.encode([said["transmission_time"], said["webhook_event"]])
                return 200, {"verification_status": "SUCCESS" if genuine else "FAILURE"}
            case ["checkout", "orders"]:
                made = self.new("ORDER-")
                link = {"rel": "approve", "href": f"https://www.example.com/approve/{made}"}
                nothing: dict[str, Any] = {"authorizations": [], "captures": [], "refunds": []}
                self.orders[made] = {"id": made, "status": "CREATED", "purchase_units": said["purchase_units"],
                                     "links": [link], "payments": nothing}  # fmt: skip
                return 201, self._shown(self.orders[made])
            case ["checkout", "orders", order]:
                return 200, self._shown(self.orders[order])
            case ["checkout", "orders", order, "authorize"]:
                return self._authorize(self.orders[order])
            case ["payments", kind, id, word]:
                order_ = next(one for one in self.orders.values() for x in one["payments"][kind] if x["id"] == id)
                thing = next(x for x in order_["payments"][kind] if x["id"] == id)
                return getattr(self, f"_{word}")(order_, thing, said)  # type: ignore[no-any-return]
        raise AssertionError(path)

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        unit = {
            **order["purchase_units"][0],
            "payments": {k: [dict(x) for x in v] for k, v in order["payments"].items()},
        }
        return {"id": order["id"], "status": order["status"], "links": order["links"], "purchase_units": [unit]}

    def _authorize(self, order: dict[str, Any]) -> Said:
        if order["status"] != "APPROVED":
            return self._no("ORDER_NOT_APPROVED" if order["status"] == "CREATED" else "ORDER_ALREADY_AUTHORIZED")
        order["status"] = "COMPLETED"
        amount = order["purchase_units"][0]["amount"]
        order["payments"]["authorizations"].append({"id": self.new("AUTH-"), "status": "CREATED", "amount": amount})
        return 201, self._shown(order)

    def _void(self, order: dict[str, Any], authorization: dict[str, Any], said: Mapping[str, Any]) -> Said:
        if authorization["status"] != "CREATED":
            return self._no("PREVIOUSLY_VOIDED" if authorization["status"] == "VOIDED" else "PREVIOUSLY_CAPTURED")
        authorization["status"] = "VOIDED"
        return 204, None

    def _capture(self, order: dict[str, Any], authorization: dict[str, Any], said: Mapping[str, Any]) -> Said:
        if authorization["status"] != "CREATED":
            voided = authorization["status"] == "VOIDED"
            return self._no("AUTHORIZATION_VOIDED" if voided else "AUTHORIZATION_ALREADY_CAPTURED")
        authorization["status"] = "CAPTURED"
        made = {"id": self.new("CAP-"), "status": "COMPLETED", "amount": said["amount"]}
        order["payments"]["captures"].append(made)
        return 201, dict(made)

    def _refund(self, order: dict[str, Any], capture: dict[str, Any], said: Mapping[str, Any]) -> Said:
        back = sum(read_as(one["amount"]).amount for one in order["payments"]["refunds"])
        if read_as(said["amount"]).amount > read_as(capture["amount"]).amount - back:
            return self._no("REFUND_AMOUNT_EXCEEDED")
        made = {"id": self.new("REF-"), "status": "COMPLETED", "amount": said["amount"], "custom_id": said["custom_id"]}
        order["payments"]["refunds"].append(made)
        return 201, dict(made)

    def _no(self, issue: str) -> Said:
        return 422, {"details": [{"issue": issue}]}

    def act(self, approve_url: str, confirm: bool) -> None:
        """What the payer does on its page."""
        order = self.orders[approve_url.rsplit("/", 1)[1]]
        if confirm and order["status"] == "CREATED":
            order["status"] = "APPROVED"

    def sign(self, event: Any, at: datetime) -> dict[str, str]:
        """The headers of a message of its own."""
        made = self.new("sig")
        self.signatures[made] = msgspec.json.encode([at.isoformat(), event])
        return dict(zip(_HEADERS, ("t1", at.isoformat(), made), strict=True))


class LikePayPal(Sketch):
    """A sketch of its adapter. An order holds nothing until its authorization is asked for."""

    name = "like_paypal"

    async def authorize(self, intent: Intent) -> Authorization:
        order = await self._order(intent)
        if isinstance(order, Unknown | Declined):
            return order
        if order["status"] == "APPROVED":
            answer = await self._post(f"checkout/orders/{order['id']}/authorize", f"{intent.id}:authorize", {})
            if isinstance(answer, Unknown):
                return answer
            read = await self._order(intent)
            if isinstance(read, Unknown | Declined):
                return read
            order = read
        held = order["purchase_units"][0]["payments"]["authorizations"]
        if not held:
            return ActionNeeded(order["id"], approve_url=order["links"][0]["href"])
        if held[0]["status"] == "PENDING":
            return Unknown("pending", order["id"])
        if held[0]["status"] in ("VOIDED", "DENIED"):
            return Declined("ended" if held[0]["status"] == "VOIDED" else "declined", order["id"])
        return Authorized(order["id"], intent.amount)

    async def capture(self, intent: Intent, key: str, amount: Money) -> Outcome:
        check_key(key)
        check_amount(amount)
        if amount.currency != intent.amount.currency:
            return Refused("wrong_currency")
        if amount.amount > intent.amount.amount:
            return Refused("over_authorized")  # it would take 115 of a hundred
        held = await self._first(intent, "authorizations", Refused("not_authorized"))
        if isinstance(held, Unknown | Refused):
            return held
        body = {"amount": said_as(amount), "final_capture": True}
        return self._outcome(await self._post(f"payments/authorizations/{held['id']}/capture", key, body), amount)

    async def void(self, intent: Intent, key: str) -> Outcome:
        order = await self._order(intent)
        if isinstance(order, Unknown | Declined):
            return order if isinstance(order, Unknown) else Refused("key_reused")
        if order["status"] == "APPROVED":  # an authorization may be on its way: be the first, and void that
            await self._post(f"checkout/orders/{order['id']}/authorize", f"{intent.id}:authorize", {})
            return Unknown("pending", order["id"])
        held = order["purchase_units"][0]["payments"]["authorizations"]
        if held:
            answer = await self._post(f"payments/authorizations/{held[0]['id']}/void", "", {})
            if isinstance(answer, Unknown):
                return answer
            if answer.status == 422 and answer.json["details"][0]["issue"] == "PREVIOUSLY_CAPTURED":
                return Refused("already_captured")
        return Done(order["id"], intent.amount)

    async def refund(self, intent: Intent, key: str, amount: Money) -> Outcome:
        check_key(key)
        check_amount(amount)
        taken = await self._first(intent, "captures", Refused("over_captured"))
        if isinstance(taken, Unknown | Refused):
            return taken
        body = {"amount": said_as(amount), "custom_id": key}
        return self._outcome(await self._post(f"payments/captures/{taken['id']}/refund", key, body), amount)

    async def lookup(self, intent: Intent) -> State | Unknown:
        order = await self._order(intent)
        if isinstance(order, Unknown | Declined):
            return order if isinstance(order, Unknown) else Unknown()
        unit = order["purchase_units"][0]
        made = unit["payments"]
        statuses: dict[str, Status] = {"CREATED": "authorized", "CAPTURED": "captured", "VOIDED": "voided"}
        status: Status = "approved" if order["status"] == "APPROVED" else "action_needed"
        held = 0
        if made["authorizations"]:
            status = statuses[made["authorizations"][0]["status"]]
            held = 0 if status == "voided" else read_as(made["authorizations"][0]["amount"]).amount
        movements = [
            *(Movement("capture", "", one["id"], read_as(one["amount"])) for one in made["captures"]),
            *(Movement("refund", one["custom_id"], one["id"], read_as(one["amount"])) for one in made["refunds"]),
        ]
        taken, back = (sum(m.amount.amount for m in movements if m.kind == kind) for kind in ("capture", "refund"))
        amount = read_as(unit["amount"])
        return State(unit["custom_id"], order["id"], status, amount, held, taken, back, tuple(movements))

    async def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        transmission, time, signature = [headers.get(name, "") for name in _HEADERS]
        try:
            said = msgspec.json.decode(body)
            apart = abs(self.clock() - datetime.fromisoformat(time))
            event = Event(said["id"], said["event_type"], said["resource"]["custom_id"])
        except (ValueError, KeyError, TypeError):
            raise NotGenuine("it has another form") from None
        if msgspec.json.encode(said) != body or apart > TOLERANCE:
            raise NotGenuine("its bytes or its time are others")
        asked = {"transmission_id": transmission, "transmission_time": time, "transmission_sig": signature,
                 "webhook_event": said}  # fmt: skip
        answer = await self._post("notifications/verify-webhook-signature", "", asked)
        if isinstance(answer, Unknown) or answer.json["verification_status"] != "SUCCESS":
            raise NotGenuine("the company does not know its signature")
        return event

    async def _order(self, intent: Intent) -> dict[str, Any] | Unknown | Declined:
        """The order as it is now. Where its id is not known it is made again under its key: it holds nothing."""
        unit = {"custom_id": intent.id, "invoice_id": intent.order, "description": intent.method,
                "amount": said_as(intent.amount)}  # fmt: skip
        reference = intent.reference
        if not reference:
            made = await self._post("checkout/orders", f"{intent.id}:create",
                                    {"intent": "AUTHORIZE", "purchase_units": [unit]})  # fmt: skip
            if isinstance(made, Unknown):
                return made
            if made.status == 422:
                return Declined("key_reused")
            reference = made.json["id"]
        answer = await self.ask("GET", f"/v2/checkout/orders/{reference}")
        if isinstance(answer, Unknown):
            return answer
        order: dict[str, Any] = answer.json
        there = read_as(order["purchase_units"][0]["amount"])
        if unlike(intent, there.amount, there.currency, order["purchase_units"][0]["invoice_id"]):
            return Declined("key_reused", reference)
        return order

    async def _first(self, intent: Intent, kind: str, otherwise: Refused) -> dict[str, Any] | Unknown | Refused:
        order = await self._order(intent)
        if isinstance(order, Unknown):
            return order
        if isinstance(order, Declined):
            return otherwise
        found = order["purchase_units"][0]["payments"][kind]
        return found[0] if found else otherwise

    async def _post(self, path: str, key: str, body: Any) -> HTTPAnswer | Unknown:
        headers = {"PayPal-Request-Id": key} if key else {}
        return await self.ask("POST", f"/v2/{path}", json=body, headers=headers)

    def _outcome(self, answer: HTTPAnswer | Unknown, amount: Money) -> Outcome:
        if isinstance(answer, Unknown):
            return answer
        if answer.status == 201:
            return Done(answer.json["id"], amount)
        reasons: dict[str, Reason] = {
            "AUTHORIZATION_VOIDED": "ended", "AUTHORIZATION_ALREADY_CAPTURED": "already_captured",
            "REFUND_AMOUNT_EXCEEDED": "over_captured", "DUPLICATE_REQUEST_ID": "key_reused",
        }  # fmt: skip
        issue = answer.json["details"][0]["issue"]
        return Refused(reasons.get(issue, "declined"), issue)
