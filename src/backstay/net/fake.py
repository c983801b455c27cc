"""What stands for the network in tests: it answers what it was told to, and writes down what it was asked.

Invariant: nothing leaves the process, and everything that the client refuses in earnest is refused here too: addresses,
sizes, redirects. A name that is not told otherwise counts as one of the public internet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from backstay.net.address import literal
from backstay.net.call import Call, Caps, Raw
from backstay.net.failure import OutboundError, Unanswered
from backstay.net.permit import Permit

_SOMEWHERE = "93.184.215.14"
_HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that an application under test sent to another service."""

    method: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON; `None` where there is none."""
        return msgspec.json.decode(self.body) if self.body else None


class FakeServices:
    """The other services of a trial: what each answers is said beforehand, and `sent` is what they were asked.

    >>> services = FakeServices(Permit())
    >>> services.answers("GET https://api.example.com/rates", {"EUR": 1})
    """

    def __init__(self, permit: Permit) -> None:
        self.sent: list[Sent] = []
        self.unexpected: list[str] = []
        self._permit = permit
        self._said: dict[str, list[Callable[[Sent], Raw]]] = {}

    def answers(
        self, what: str, json: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:  # fmt: skip
        """Answer a request such as `"POST https://api.example.com/charges"` so.

        Said several times, the answers come in that order, and the last one stays. With a query in the address, only
        that query is answered. `json` may be a function that is given the request and returns what is answered.
        """
        given = {name.lower(): value for name, value in (headers or {}).items()}

        def made(sent: Sent) -> Raw:
            if json is None:
                return Raw(status, tuple(given.items()), body)
            said = {"content-type": "application/json", **given}
            return Raw(status, tuple(said.items()), msgspec.json.encode(json(sent) if callable(json) else json))

        self._said.setdefault(_whole(what), []).append(made)

    def fails(self, what: str, error: type[OutboundError] = Unanswered) -> None:
        """Fail at a request: `Unanswered` as if nobody knew, `Unreachable` as if nothing had been sent."""

        def failing(sent: Sent) -> Raw:
            raise error(f"{sent.method} {sent.url}")

        self._said.setdefault(_whole(what), []).append(failing)

    async def send(self, call: Call, caps: Caps) -> Raw:
        """Carry one request nowhere."""
        address = literal(call.host)
        here = call.host.removesuffix(".") == "localhost"
        found = str(address) if address is not None else _HERE if here else _SOMEWHERE
        self._permit.addresses(call.host, call.port, [found], tls=call.scheme == "https")
        query = call.target.partition("?")[2]
        sent = Sent(call.method, call.url, dict(parse_qsl(query, True)), dict(call.headers), call.body)
        self.sent.append(sent)
        for what in (f"{call.method} {call.url}?{query}", f"{call.method} {call.url}"):
            if answers := self._said.get(what):
                return self._within(answers.pop(0) if len(answers) > 1 else answers[0], sent, caps)
        self.unexpected.append(f"{call.method} {call.url}")
        raise AssertionError(
            f'Nobody answers {call.method} {call.url}: say what does, t.http.answers("{call.method} {call.url}", ...).'
        )

    def _within(self, answer: Callable[[Sent], Raw], sent: Sent, caps: Caps) -> Raw:
        raw = answer(sent)
        if len(raw.body) > caps.body or sum(len(name) + len(value) for name, value in raw.headers) > caps.headers:
            raise Unanswered(f"{sent.method} {sent.url}: an answer of more than it may have")
        return Raw(raw.status, raw.headers, b"" if sent.method == "HEAD" else raw.body)

    async def close(self) -> None:
        """Nothing is open."""


def _whole(what: str) -> str:
    """A request as it is looked for: its address has a path."""
    method, _, url = what.partition(" ")
    base, question, query = url.partition("?")
    rest = base.partition("://")[2]
    if not rest:
        raise ValueError(f'{what!r} is no request: write "GET https://api.example.com/rates".')
    return f"{method.upper()} {base}{'' if '/' in rest else '/'}{question}{query}"
