"""Every error Backstay can answer with: its code, its HTTP status, and what the reader should do next.

Invariant: whatever leaves the product as an error is a `Problem` (RFC 9457). Anything else that is raised
becomes the fixed `internal_error`, so no database, driver or Python text reaches a caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True, slots=True)
class Code:
    """One stable error code: the status it travels with and what to do about it (shown in the docs)."""

    status: int
    title: str
    advice: str


CODES: dict[str, Code] = {
    "bad_request": Code(400, "Malformed request", "Correct the place named in `detail`."),
    "malformed_json": Code(400, "Malformed JSON", "Send one valid JSON document, encoded as UTF-8."),
    "unknown_field": Code(400, "Unknown field", "Use a field of this model; the nearest name is suggested."),
    "unknown_relation": Code(400, "Unknown relation", "Use a relation of this model; the nearest name is suggested."),
    "unknown_operator": Code(400, "Unknown operator", "Use an operator of the filter language."),
    "unknown_parameter": Code(400, "Unknown parameter", "Remove the parameter or use the suggested one."),
    "invalid_filter": Code(400, "Invalid filter", "Correct the filter at the place named."),
    "invalid_sort": Code(400, "Invalid sort", "Sort by fields of this model, `-` for descending."),
    "invalid_cursor": Code(400, "Invalid cursor", "Start again without a cursor; one cursor fits one question only."),
    "invalid_idempotency_key": Code(
        400, "Malformed key", "Send 1 to 255 printable characters as Idempotency-Key, best a random UUID."
    ),
    "idempotency_key_required": Code(
        400, "Key required", "Send an Idempotency-Key that was made and kept before the first try."
    ),
    "webhook_not_genuine": Code(
        400, "Not genuine", "Sign the message with the secret of this address, and send it within five minutes."
    ),
    "unknown_document": Code(
        400, "Unknown document", "Send the document itself, or list it in the file of BACKSTAY_GRAPHQL_DOCUMENTS."
    ),
    "introspection_off": Code(
        400, "No introspection", "Set BACKSTAY_INTROSPECTION, or read the schema where it was made."
    ),
    "not_live": Code(400, "Not live", "Ask for it without `Accept: text/event-stream`, or as `detail` says."),
    "too_expensive": Code(400, "Too expensive", "Ask for less: fewer levels, smaller limits, fewer conditions."),
    "not_signed_in": Code(401, "Not signed in", "Sign in and send the access token."),
    "invalid_token": Code(401, "Invalid token", "Sign in again; the token is unknown, ended or expired."),
    "invalid_credentials": Code(401, "Wrong email or password", "Check both and try again."),
    "denied": Code(403, "Denied", "Ask somebody who may, or sign in as them."),
    "insufficient_scope": Code(403, "Scope is missing", "Make an API key whose scopes name what is needed."),
    "cross_site": Code(403, "From another site", "Send it from a page of this site, or with a bearer token."),
    "not_for_keys": Code(403, "Not for API keys", "Sign in as a person: keys manage no accounts."),
    "not_found": Code(404, "Not found", "Check the address; what you may not see is not found either."),
    "method_not_allowed": Code(405, "Method not allowed", "Use one of the methods in the `Allow` header."),
    "not_acceptable": Code(406, "Not acceptable", "Accept one of the types that are named."),
    "request_timeout": Code(408, "Too slow", "Send the whole request within the time allowed."),
    "conflict": Code(409, "Conflict", "Read the current state and decide again."),
    "not_unique": Code(409, "Already taken", "Choose another value for the fields named."),
    "still_referenced": Code(409, "Still referenced", "Delete or move the records that refer to this one first."),
    "in_progress": Code(409, "Still in progress", "Send the same request again after the seconds in `Retry-After`."),
    "answer_lost": Code(409, "Answer lost", "It was done once and will not be done again: read the current state."),
    "cart_empty": Code(409, "Nothing to order", "Put something into the cart first."),
    "cart_full": Code(409, "Cart full", "Order what is in it, or take a line out."),
    "cart_ordered": Code(409, "Cart ordered", "Open another cart with POST /api/carts."),
    "code_minimum": Code(409, "Too little for this code", "Put more into the cart, or take the code out."),
    "code_not_valid": Code(409, "Code not valid", "Take the code out of the cart."),
    "code_not_yet": Code(409, "Code not valid yet", "Take the code out, or come back when it begins."),
    "code_over": Code(409, "Code over", "Take the code out of the cart."),
    "code_unknown": Code(409, "Unknown code", "Correct the code, or take it out of the cart."),
    "code_used_up": Code(409, "Code used up", "Take the code out of the cart."),
    "no_shipping": Code(409, "No way to ship", "Choose another way to ship, or another country."),
    "not_for_sale": Code(409, "Not for sale", "Take the lines named in `errors` out of the cart."),
    "out_of_stock": Code(409, "Out of stock", "Take less of the lines named in `errors`."),
    "over_refunded": Code(409, "More than was paid", "Give back at most what is left of the payment."),
    "over_returned": Code(409, "More than was bought", "Take back at most what is left of the line."),
    "price_changed": Code(409, "Prices changed", "Show the new prices (POST /api/carts/{id}/refresh), then order."),
    "too_many_pending": Code(409, "Orders wait for payment", "Pay or cancel an order that waits first."),
    "wrong_state": Code(409, "Not in this state", "Read the order again: it is in another state by now."),
    "payment_declined": Code(402, "Payment declined", "Pay in another way; the cart is open again."),
    "stale": Code(412, "Changed meanwhile", "Read the record again and repeat the change on its current state."),
    "too_large": Code(413, "Too large", "Send less; the limits are listed in the documentation."),
    "uri_too_long": Code(414, "Address too long", "Shorten the query; the limits are listed in the documentation."),
    "unsupported_media_type": Code(415, "Unsupported media type", "Send application/json."),
    "wrong_host": Code(421, "Wrong host", "Use the address of this service, or list the host in the settings."),
    "invalid": Code(422, "Invalid values", "Correct the fields listed in `errors`."),
    "idempotency_key_reused": Code(
        422, "Key of another request", "Make a new key for a new request; repeat a request exactly as it was."
    ),
    "precondition_failed": Code(412, "Precondition failed", "Read the record again; the guard no longer holds."),
    "too_many_streams": Code(429, "Too many live streams", "Close streams that nobody looks at."),
    "too_many_requests": Code(429, "Too many requests", "Wait for the seconds in `Retry-After`."),
    "headers_too_large": Code(431, "Headers too large", "Send fewer or smaller headers; the limits are documented."),
    "outbound_refused": Code(422, "Address not allowed", "Name an address of the public internet, with https://."),
    "upstream_failed": Code(502, "Another service failed", "Try again later; if it stays, report the request id."),
    "upstream_unreachable": Code(502, "Another service is away", "Try again later; nothing was sent to it."),
    "upstream_unanswered": Code(
        504, "Another service did not answer", "It may have been done or not: look before you try again."
    ),
    "internal_error": Code(500, "Internal error", "Try again; if it stays, report the request id."),
    "unavailable": Code(503, "Unavailable", "Try again after the seconds in `Retry-After`."),
    "not_ready": Code(503, "Not ready", "Ask another process; this one again after the seconds in `Retry-After`."),
    "overloaded": Code(503, "Overloaded", "Try again after the seconds in `Retry-After`, and later each time."),
    "maintenance": Code(503, "Closed for maintenance", "Try again after the seconds in `Retry-After`."),
    "timeout": Code(503, "Took too long", "Ask for less, or try again after the seconds in `Retry-After`."),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong value of an input: where it stands, a stable code, and a sentence for a person."""

    path: str
    code: str
    message: str


class Problem(Exception):
    """An answer that is an error. Raise one of its kinds below; `code` is stable, `detail` is for people.

    >>> raise Conflict("Only people who bought this product can review it.", code="not_bought")
    Traceback (most recent call last):
    ...
    backstay.errors.Conflict: Only people who bought this product can review it.
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if code is not None:
            self.code = code
            if (known := CODES.get(code)) is not None:
                self.status = known.status
        known_code = CODES.get(self.code)
        self.title = known_code.title if known_code else self.code.replace("_", " ").capitalize()
        self.detail = detail or (known_code.advice if known_code else self.title)
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def placed(self, place: str) -> Self:
        """This problem as one of a larger input: what it names, or itself where it names nothing, is at `place`."""
        if self.status < 500:
            inner = [replace(error, path=f"{place}.{error.path}") for error in self.errors]
            self.errors = tuple(inner or [FieldError(place, self.code, self.detail)])
            self.detail = f"{place}: {self.detail}"
        return self

    @property
    def passes(self) -> bool:
        """Whether the same request can succeed a while later: the server or the service behind it was not up to it."""
        return self.status >= 500 or self.status in (408, 425, 429)


class BadRequest(Problem):
    """400: the request cannot be understood."""

    status, code = 400, "bad_request"


class UnknownField(BadRequest):
    """400: a name that does not exist for this actor, whether absent or hidden."""

    code = "unknown_field"

    def __init__(self, detail: str, name: str) -> None:
        super().__init__(detail)
        self.name = name


class NotSignedIn(Problem):
    """401: nobody is signed in, and somebody has to be."""

    status, code = 401, "not_signed_in"


class Denied(Problem):
    """403: known, but not allowed."""

    status, code = 403, "denied"


class NotFound(Problem):
    """404: absent, or hidden from this actor; the two cannot be told apart."""

    status, code = 404, "not_found"


class Conflict(Problem):
    """409: the request contradicts the current state."""

    status, code = 409, "conflict"


class Stale(Problem):
    """412: the record changed since it was read."""

    status, code = 412, "stale"


class Invalid(Problem):
    """422: values that do not satisfy the declaration; `errors` lists every one of them."""

    status, code = 422, "invalid"

    @classmethod
    def of(cls, errors: Sequence[FieldError]) -> Self:
        """The problem of these wrong values; the first of them is in its detail."""
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        return cls(f'"{errors[0].path}" {errors[0].message}{more}', errors=errors)


class Unavailable(Problem):
    """503: not now; `Retry-After` says when."""

    status, code = 503, "unavailable"

    def __init__(self, detail: str = "", *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a declaration: where it stands, what is wrong, and what to write instead."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class DeclarationError(Exception):
    """The declaration has mistakes. All of them are reported at once, each with its place and a suggestion."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(f"{count} in the declaration:\n" + "\n".join(f"  {m}" for m in mistakes))


def nearest(name: str, names: Sequence[str] | Mapping[str, object], cutoff: float = 0.6) -> str:
    """' Did you mean "price"?' for the nearest of `names`, or nothing when none is near."""
    near = get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f' Did you mean "{near[0]}"?' if near else ""
