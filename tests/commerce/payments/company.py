"""What the companies that stand in for real ones share: how they are reached, their keys, and answers that get lost.

They speak as the real ones do, as far as the contract goes, so that the port is tried against the form of both before
there are adapters. Their adapters here are sketches: they show that every question can be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from backstay.commerce.payments.port import Intent, Unknown
from backstay.net.answer import HTTPAnswer
from backstay.net.call import Call, Caps, Raw
from backstay.net.failure import OutboundError, Unanswered
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.settings import Settings

Said = tuple[int, Any]


@dataclass
class Company:
    """A company elsewhere, as the wire that leads to it. Its words are `answer`; a key is answered once."""

    keys: dict[str, tuple[str, Said] | None] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    numbers: int = 0

    key_header = ""

    def answer(self, method: str, path: str, said: Mapping[str, Any]) -> Said:
        """What is answered to a request: a status and JSON."""
        raise NotImplementedError

    def reused(self) -> Said:
        """What is answered to a key that comes with other values."""
        raise NotImplementedError

    def loses(self, path: str) -> bool:
        """Whether the first answer to this request is lost."""
        return False

    def arrives(self, path: str, said: Mapping[str, Any]) -> bool:
        """Whether this request arrives at all."""
        return True

    def new(self, before: str) -> str:
        """An id."""
        self.numbers += 1
        return f"{before}{self.numbers}"

    async def send(self, call: Call, caps: Caps) -> Raw:
        """Carry a request here."""
        path, _, query = call.target.partition("?")
        headers = dict(call.headers)
        is_form = "form" in headers.get("content-type", "")
        said = dict(parse_qsl((call.body.decode() if is_form else query), True)) if is_form or query else None
        if said is None:
            said = msgspec.json.decode(call.body) if call.body else {}
        await asyncio.sleep(0)  # others get their turn, on the way there
        if not self.arrives(path, said):
            raise Unanswered(path)
        status, answer = await self._once(call.method, path, said, headers.get(self.key_header, ""))
        await asyncio.sleep(0)
        mark = f"{call.method} {path} {headers.get(self.key_header, '')}"
        if call.method == "POST" and self.loses(path) and mark not in self.lost:
            self.lost.add(mark)
            raise Unanswered(path)
        body = b"" if answer is None else msgspec.json.encode(answer)
        return Raw(status, (("content-type", "application/json"),), body)

    async def _once(self, method: str, path: str, said: Mapping[str, Any], key: str) -> Said:
        if method != "POST" or not key:
            return self.answer(method, path, said)
        asked = f"{path} {sorted(said.items())}"
        if key in self.keys:
            known = self.keys[key]
            if known is None:
                return 409, {"error": {"type": "in_progress"}}
            return known[1] if known[0] == asked else self.reused()
        self.keys[key] = None
        await asyncio.sleep(0)  # the same key may come meanwhile
        answered = self.answer(method, path, said)
        self.keys[key] = asked, answered
        return answered

    async def close(self) -> None:
        """Nothing is open."""


class Sketch:
    """What both sketches of adapters share."""

    name = ""

    def __init__(self, company: Company, address: str) -> None:
        self.http = HTTP(Permit(""), wire=company)
        self.address = address
        self.clock: Callable[[], datetime]

    @asynccontextmanager
    async def open(self, settings: Settings, http: HTTP, clock: Callable[[], datetime]) -> AsyncIterator[None]:
        """Be ready."""
        self.clock = clock
        yield

    async def ask(self, method: str, path: str, **arguments: Any) -> HTTPAnswer | Unknown:
        """An answer that is one. No answer, a 5xx, a 409 of a key in use and a 429 are none."""
        try:
            answer = await self.http.request(method, self.address + path, **arguments)
        except OutboundError:
            return Unknown()
        return Unknown() if answer.status >= 500 or answer.status in (409, 429) else answer


def unlike(intent: Intent, amount: int, currency: str, order: str) -> bool:
    """Whether what a company has under our key was asked for with other values."""
    return (amount, currency, order) != (intent.amount.amount, intent.amount.currency, intent.order)
