"""What schemathesis reports and is right all the same: each kind with its reason, counted, and nothing beyond it.

Invariant: no check is switched off. An excuse names the check, the status and the code of the problem that it takes,
so that the same check still catches everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import AllowHeaderMismatch, IgnoredAuth, RejectedPositiveData

LONGEST_TARGET = 60_000  # bytes; above it the HTTP server below us answers, before there is a request


@dataclass(frozen=True)
class Answered:
    """A failure with what was asked and answered."""

    failure: Failure
    case: Any
    response: Any
    methods: dict[str, set[str]]

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.response.status_code)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem that was answered."""
        try:
            found = self.response.json()
        except ValueError:
            return {}
        return found if isinstance(found, dict) and "code" in found else {}

    @property
    def code(self) -> str:
        """Its code."""
        return str(self.problem.get("code", ""))

    def only(self, *codes: str) -> bool:
        """Whether every wrong value of a 422 is one of these."""
        errors = self.problem.get("errors", [])
        return self.status == 422 and bool(errors) and all(error["code"] in codes for error in errors)


@dataclass(frozen=True)
class Excuse:
    """One kind of failure that is none: of which check, why, and when."""

    kind: type[Failure]
    reason: str
    holds: Callable[[Answered], bool]


EXCUSES = {
    "precondition": Excuse(
        RejectedPositiveData,
        "If-Match and If-None-Match are compared with the record as it is: no schema says which tag it has.",
        lambda a: a.status == 412,
    ),
    "length": Excuse(
        RejectedPositiveData,
        "An address may have 8,192 bytes: no schema of a parameter says how long they may be together.",
        lambda a: a.code == "uri_too_long",
    ),
    "cost": Excuse(
        RejectedPositiveData,
        "What a question costs is a sum and a product over its parameters (pages, conditions, levels, rows).",
        lambda a: a.code == "too_expensive",
    ),
    "cursor": Excuse(
        RejectedPositiveData,
        "A cursor is made by the server, for one question: like a credential, no schema says which there are.",
        lambda a: a.code == "invalid_cursor",
    ),
    "order": Excuse(
        RejectedPositiveData,
        "Groups are sorted by what the same question asks for: one parameter depends on the others.",
        lambda a: a.code == "invalid_sort" and a.case.operation.path.endswith("/aggregate"),
    ),
    "reference": Excuse(
        RejectedPositiveData,
        "A record that is referred to must be there and be seen: no schema says which there are.",
        lambda a: a.only("not_found"),
    ),
    "inside": Excuse(
        RejectedPositiveData,
        "A PUT that creates takes new records inside it, one that replaces takes none: no schema says which are there.",
        lambda a: (
            a.case.method == "PUT"
            and a.code == "invalid"
            and all("inside a new record only" in error["message"] for error in a.problem["errors"])
        ),
    ),
    "past": Excuse(
        RejectedPositiveData,
        "A key ends in the future: no schema knows what time it is.",
        lambda a: a.only("out_of_range") and [e["path"] for e in a.problem["errors"]] == ["expires_at"],
    ),
    "credential": Excuse(
        RejectedPositiveData,
        "Which password is one's own, and which are the commonest, is no matter of form.",
        lambda a: a.only("wrong_password", "too_common"),
    ),
    "repeated": Excuse(
        RejectedPositiveData,
        "An Idempotency-Key belongs to the first request that it came with: no schema says which came before.",
        lambda a: a.code == "idempotency_key_reused",
    ),
    "cookie": Excuse(
        RejectedPositiveData,
        "A refresh token comes in the body or in a cookie; no schema of a body says what stands beside it.",
        lambda a: a.only("required") and a.case.operation.path == "/api/auth/refresh",
    ),
    "key": Excuse(
        IgnoredAuth,
        "Nobody was let in: without a token a short Idempotency-Key is refused before anything else is looked at.",
        lambda a: "got `400 Bad Request`" in a.failure.message,
    ),
    "refused": Excuse(
        AcceptedNegativeData,
        "Every status of 4xx refuses; schemathesis leaves these four out of its list.",
        lambda a: a.status in (412, 413, 414, 431),
    ),
    "server": Excuse(
        Failure,
        "A request line of more than 60,000 bytes is refused by the HTTP server, without a body of ours.",
        lambda a: a.status in (414, 431) and not a.response.content and len(a.response.request.url) > LONGEST_TARGET,
    ),
    "allow": Excuse(
        AllowHeaderMismatch,
        "`Allow` names what the address serves to anybody, the document what this viewer may do there.",
        lambda a: _allowed(a) == a.methods.get(a.case.operation.path, set()),
    ),
}


def excuse_of(answered: Answered) -> str | None:
    """The name of the excuse that a failure has."""
    found = (name for name, e in EXCUSES.items() if isinstance(answered.failure, e.kind) and e.holds(answered))
    return next(found, None)


def _allowed(answered: Answered) -> set[str]:
    values = answered.response.headers.get("allow", [])
    return {method.strip().lower() for method in ", ".join(values).split(",")} - {"head", "options"}
