"""What own code takes and gives where JSON and records are not the form: a request as it came, an answer of its own.

Invariant: no header of an answer can end its line and begin another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from backstay.model.declare import Model

M = TypeVar("M", bound=Model)

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in a form of one's own: any status, body and type. Without it, what is returned becomes JSON.

    Raises `ValueError` for a header that would end its line and begin another.
    """

    body: bytes | str = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        for name, value in (("content-type", self.content_type), *self.headers):
            if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
                raise ValueError(f"{name!r}: {value!r} is no header.")


@dataclass(frozen=True, slots=True)
class Raw:
    """The body of a request as it came, and its headers by their lower-case names.

    For messages whose signature is over the bytes: `async def hear(ctx: Context, raw: Raw) -> None`. An action with
    such an argument takes a body of any type, as large as the limits allow, and no other arguments but those of its
    address. Cookies say nothing there: what is sent proves itself, and forms of a browser may send it too.
    """

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Also(Generic[M]):
    """A record as the answer of an action, with more beside its fields: `Also(cart, {"token": secret})`.

    It is read by the rules of whoever asked, as if the request had brought the secrets of `brings` as well, by header:
    so a new record can be shown to whom its secret is given with it.
    """

    record: M
    more: Mapping[str, Any] = field(default_factory=dict)
    brings: Mapping[str, str] = field(default_factory=dict)
