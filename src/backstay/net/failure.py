"""What can come of asking another service beside its answer, told apart by what is known of the outcome.

Invariant: `AddressRefused` and `Unreachable` mean that nothing was sent, so nothing happened there. `Unanswered` means
that nobody here knows. `BadAnswer` means that the service said something else than was hoped for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.errors import Problem

if TYPE_CHECKING:
    from backstay.net.answer import HTTPAnswer


class OutboundError(Problem):
    """A request to another service failed. `reason` is for your log: it never leaves with the problem."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class AddressRefused(OutboundError):
    """422: the address may not be reached from here; nothing was sent."""

    status, code = 422, "outbound_refused"


class Unreachable(OutboundError):
    """502: no connection came about; nothing was sent, and it can be tried again."""

    status, code = 502, "upstream_unreachable"


class Unanswered(OutboundError):
    """504: the request was sent, and no whole answer came: it may have been carried out or not.

    Ask the service what it knows, or send the same request again under a key by which it tells repeats.
    """

    status, code = 504, "upstream_unanswered"


class BadAnswer(OutboundError):
    """502: the service answered, and not with a success, or not in the form that was expected."""

    status, code = 502, "upstream_failed"

    def __init__(self, reason: str, answer: HTTPAnswer) -> None:
        super().__init__(reason)
        self.answer = answer
