"""The one gate that every body passes: how large, how slow, in which encoding, how deep, and said once.

Invariant: nothing is decoded before its size, its depth and the number of its values are known to be within the
limits, and what is decoded means the same to every reader: UTF-8, and no name twice in an object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

import msgspec

from backstay.api.deadline import Deadlines, Task
from backstay.api.shedding import Shedding
from backstay.errors import BadRequest, Problem, Unavailable
from backstay.plan.limits import Limits

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# Always matches to the end of the text or of the body, and never looks back: linear in the length.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_APART = re.compile(rb'"[ \t\r\n]+:')
_BETWEEN = bytes(sorted({*range(256)} - {*b"[]{}"}))
_ALIKE = bytes.maketrans(b"{}", b"[]")


class Gate:
    """Reads and decodes bodies, and knows how many bytes of them this process holds."""

    def __init__(self, limits: Limits, deadlines: Deadlines, shedding: Shedding) -> None:
        self.limits = limits
        self.held = 0
        self._deadlines = deadlines
        self._shedding = shedding

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, task: Task) -> bytes:
        """The whole body, refused as soon as it is larger than the limit.

        While it arrives, its request has a deadline of its own and takes nobody's place. Raises `too_large`, and
        `overloaded` where the bodies of others are as much as may be held.
        """
        limit = self.limits.max_body
        if int(headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        self._deadlines.bodies[task] = perf_counter()
        self._shedding.inside -= 1
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest("The request ended before its body did.")
                part: bytes = message.get("body", b"")
                size += len(part)
                self.held += len(part)
                if size > limit:
                    raise _too_large(limit)
                if self.held > self.limits.max_bodies:
                    raise Unavailable("Too many bodies are being sent just now.", code="overloaded")
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
        except BaseException:
            self.held -= size
            raise
        finally:
            self._shedding.inside += 1
            self._deadlines.bodies.pop(task, None)

    def parse(self, body: bytes) -> Any:
        """The values of a JSON body. Raises `malformed_json`, and `too_large` for too many values."""
        # What follows looks at the whole body only where a count of single bytes leaves a doubt.
        most, deepest = self.limits.max_json_values, self.limits.max_json_depth
        if len(body) > most or body.count(b"{") + body.count(b"[") > deepest:
            self._measure(_TEXT.sub(b"", body))
        try:
            value = msgspec.json.decode(body)
        except UnicodeDecodeError:
            raise BadRequest("The body is not UTF-8.", code="malformed_json") from None
        except msgspec.DecodeError as error:
            raise BadRequest(f"The body is not valid JSON. {error}", code="malformed_json") from None
        if (colons := body.count(b":")) and (names := _names(value)) != colons:
            # A name twice in an object counts once in the value and twice in the body; so does a colon in a text.
            counted = body.count(b'":') if _APART.search(body) is None else 0
            if names != counted and names != _TEXT.sub(b"", body).count(b":"):
                json.loads(body, object_pairs_hook=_once)
        return value

    def _measure(self, bare: bytes) -> None:
        """Refuse what is nested too deeply or has too many values; `bare` is without its texts."""
        if bare.count(b"{") + bare.count(b"[") + bare.count(b",") > self.limits.max_json_values:
            raise Problem(f"A body may have {self.limits.max_json_values} values.", code="too_large")
        nested = bare.translate(_ALIKE, _BETWEEN)
        for _ in range(self.limits.max_json_depth):
            nested = nested.replace(b"[]", b"")
        if nested:
            deepest = f"A body may be nested {self.limits.max_json_depth} levels deep, each of them closed."
            raise BadRequest(deepest, code="malformed_json")


def _too_large(limit: int) -> Problem:
    return Problem(f"A body may have {limit} bytes.", code="too_large")


def expect_json(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that does not say that it is JSON in UTF-8, sent as it is. Raises `unsupported_media_type`."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json":
        name, _, parameters = kind.partition(b";")
        if name.strip().lower() != b"application/json":
            raise Problem("Send the body as application/json.", code="unsupported_media_type")
        for parameter in parameters.split(b";"):
            named, _, value = parameter.strip().lower().partition(b"=")
            if named.strip() == b"charset" and value.strip().strip(b'"') not in (b"utf-8", b"utf8"):
                raise Problem("Send the body as UTF-8.", code="unsupported_media_type")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        # What is packed small may be large: there is one size to check, the size sent (RFC 9110, 15.5.16).
        plain = {"Accept-Encoding": "identity"}
        raise Problem("Send the body without content encoding.", code="unsupported_media_type", headers=plain)


def _names(value: Any) -> int:
    """How many names the objects of a decoded value have."""
    if type(value) is dict:
        total = len(value)
        for inner in value.values():
            if type(inner) is dict or type(inner) is list:
                total += _names(inner)
        return total
    if type(value) is list:
        return sum([_names(inner) for inner in value if type(inner) is dict or type(inner) is list])
    return 0


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse the object in which a name stands twice: one reader would take the first and another the last."""
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise BadRequest(f'"{name[:100]}" is there twice in one object.', code="malformed_json")
        seen.add(name)
