"""Everything that has a size has a limit, and all of them stand here; so does how often something may be done."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

from backstay.plan.rate import parse_rates


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one application. Counts, unless a unit is named; rates are texts such as `10/minute, 100/hour`.

    Raises `ValueError` for a rate that is none.
    """

    page: int = 30  # rows of a list when nothing is said
    max_page: int = 200
    nested: int = 100  # rows of an expanded to-many relation when nothing is said
    max_depth: int = 5  # levels of expanded relations
    max_nodes: int = 200  # expanded relations and selected fields along them
    max_rows: int = 100_000  # rows one question may make at the most, by its limits
    max_conditions: int = 100
    max_path: int = 4  # relations along one path
    max_in: int = 1_000
    max_needle: int = 200  # characters of a search
    max_words: int = 10  # words of a search
    max_offset: int = 100_000
    max_sort: int = 6
    max_groups: int = 6
    max_measures: int = 20
    count_cap: int = 10_000  # an estimated count is exact up to here
    max_bulk: int = 1_000  # records created by one list, or sent inside one another
    max_nesting: int = 5  # levels of new records inside a new record
    max_operations: int = 100  # of one batch
    max_body: int = 1_048_576  # bytes of a request
    max_json_depth: int = 64  # levels of a JSON body
    max_json_values: int = 100_000  # values and names of a JSON body
    max_body_seconds: int = 30  # for a body to arrive in
    max_bodies: int = 67_108_864  # bytes of all bodies that one process holds
    max_headers: int = 80
    max_header_bytes: int = 16_384  # of all headers together
    max_query: int = 8_192  # bytes of a query string
    max_parameters: int = 100
    max_kept_answer: int = 1_048_576  # bytes of an answer that is kept for a request sent again
    repeat_wait_ms: int = 10_000  # milliseconds that a request sent again waits for the first one
    max_roots: int = 20  # fields of Query in one document
    document_tokens: int = 2_000  # of a GraphQL document, and parts of its variables
    document_length: int = 65_536  # characters
    document_depth: int = 12  # selections inside selections
    document_width: int = 100  # fields of one object
    document_aliases: int = 60
    max_outbound_seconds: int = 20  # from a request to another service to the end of its answer
    max_outbound_connect_seconds: int = 5  # until the service has taken the connection
    max_outbound_body: int = 10_485_760  # bytes of its answer, unpacked
    max_outbound_headers: int = 65_536  # bytes of its headers
    max_outbound_redirects: int = 5
    max_outbound_connections: int = 100  # of one process to other services
    max_request_seconds: int = 30  # from a request to its answer
    max_in_flight: int = 1_000  # requests that one process answers at once
    max_wait_ms: int = 100  # milliseconds that a request may wait while a line is standing
    max_statement_ms: int = 5_000  # milliseconds of one statement
    max_steps_on_loop: int = 3_000_000  # SQLite instructions of one read before it moves to a thread, about 50 ms
    live_streams: int = 10_000  # live streams of one process
    live_per_actor: int = 100  # live streams of one account, or of one client that is not signed in, in one process
    live_events: int = 1_000  # events that wait for a slow reader
    live_bytes: int = 1_048_576  # bytes of them together, beside one snapshot
    live_heartbeat_seconds: int = 15
    remembered_plans: int = 2_000
    remembered_tokens: int = 100_000  # of all GraphQL documents together
    login_per_account: str = "10/minute, 100/hour"  # tries to sign in with one address
    login_per_client: str = "60/minute, 600/hour"  # tries to sign in from one client
    signup_per_account: str = "10/hour"  # sign-ups with one address
    signup_per_client: str = "60/hour"
    refresh_per_client: str = "600/minute"
    password_per_account: str = "10/hour"  # changes of one account's password, and tries of it
    mails_per_recipient: str = "60/hour, 300/day"  # mails to one address, whatever they are about
    requests_per_actor: str = ""  # all requests of one account; none means without a limit
    requests_per_client: str = ""  # all requests of one client that is not signed in

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), str):
                try:
                    parse_rates(value)
                except ValueError as error:
                    raise ValueError(f"Limits({field.name}): {error}") from None


_ASKED = ("max_page", "max_depth", "max_nodes", "max_conditions", "max_path", "max_sort")


@lru_cache(maxsize=64)
def of_own_code(limits: Limits) -> Limits:
    """What the application itself may ask: never less than by default, or a limit for callers would shut its accounts.

    >>> of_own_code(Limits(max_page=50, max_sort=9)) == Limits(max_sort=9)
    True
    """
    usual = Limits()
    return replace(limits, **{name: max(getattr(limits, name), getattr(usual, name)) for name in _ASKED})
