"""What another service answered: a status, headers and a body that is already here, whole and unpacked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backstay.net.failure import BadAnswer

_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """The answer of another service. Every status is an answer; `ok()` tells the successes from the others.

    `headers` go by their lower-case names, several of one name joined by a comma. `url` is the address that answered,
    without its query.

    >>> HTTPAnswer("GET", "https://api.example.com/rates", 200, {}, b'{"EUR": 1}').ok().json
    {'EUR': 1}
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON. Raises `BadAnswer` where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadAnswer(f"{self._said()} with a body that is no JSON", self) from None

    @property
    def text(self) -> str:
        """The body as text, by the charset that it names, else UTF-8; what does not fit is replaced."""
        named = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.body.decode(named[1] if named else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    def ok(self) -> HTTPAnswer:
        """This answer, where it is a success (200 to 299). Raises `BadAnswer` with the answer otherwise."""
        if not 200 <= self.status < 300:
            raise BadAnswer(self._said(), self)
        return self

    def _said(self) -> str:
        return f"{self.method} {self.url} answered {self.status}"
