"""A shown answer against the real one.

They are equal but for what is new each time: ids, instants, tokens, cursors, entity tags and request ids. What was
shown for one of these is bound to what it really is, so that a later command that names it reaches the same thing.
"""

from __future__ import annotations

import json
import re
from typing import Any

VOLATILE = re.compile(
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|(?P<token>bs[ckrt]_[A-Za-z0-9_-]{43})"
    r"|(?P<secret>secret_[0-9a-f]{48})"
    r"|(?P<link>(?<=token=)[0-9a-f]{64})"
    r"|(?P<start>bsk_[A-Za-z0-9_-]{4})"
    r"|(?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
    r'|(?P<tag>"(?:\d+-)?[0-9a-f]{20}")'
    r"|(?P<cursor>(?<=cursor=)[A-Za-z0-9_-]{16,})"
)
NAMED = {"request_id", "next_cursor"}
JSON = json.JSONDecoder()


class Differs(AssertionError):
    """The shown answer is not what was answered."""


class Bound:
    """What the shown ids, tokens and the like really are."""

    def __init__(self) -> None:
        self.real: dict[str, str] = {}
        self._shown: dict[str, str] = {}

    def put(self, text: str) -> str:
        """A shown command with the real things in it."""
        for shown in sorted(self.real, key=len, reverse=True):
            text = text.replace(shown, self.real[shown])
        return text

    def copy(self) -> Bound:
        """The same pairs, to come back to."""
        other = Bound()
        other.real, other._shown = dict(self.real), dict(self._shown)
        return other

    def show(self, text: str) -> str:
        """A real text as it would be shown beside what is shown already."""
        for real, shown in self._shown.items():
            text = text.replace(real, shown)
        return text

    def bind(self, shown: str, real: str, *, one_to_one: bool) -> None:
        """Remember a pair, or see that it is the one that is known."""
        if self.real.setdefault(shown, real) != real:
            raise Differs(f"{shown} stood for {self.real[shown]} and now for {real}")
        if one_to_one and self._shown.setdefault(real, shown) != shown:
            raise Differs(f"{real} was shown as {self._shown[real]} and now as {shown}")

    def text(self, shown: str, real: str) -> None:
        """Compare two texts."""
        before, after = list(VOLATILE.finditer(shown)), list(VOLATILE.finditer(real))
        if [m.lastgroup for m in before] != [m.lastgroup for m in after] or VOLATILE.sub("·", shown) != VOLATILE.sub(
            "·", real
        ):
            raise Differs(f"shown {shown!r}, answered {real!r}")
        for a, b in zip(before, after, strict=True):
            self.bind(a[0], b[0], one_to_one=a.lastgroup == "id")

    def value(self, shown: Any, real: Any, place: str = "") -> None:
        """Compare two JSON values, whatever the order of their members."""
        if isinstance(shown, dict) and isinstance(real, dict):
            if set(shown) != set(real):
                raise Differs(f"{place}: shown {sorted(shown)}, answered {sorted(real)}")
            for name, part in shown.items():
                if name in NAMED and isinstance(part, str) and isinstance(real[name], str):
                    self.bind(part, real[name], one_to_one=False)
                else:
                    self.value(part, real[name], f"{place}.{name}")
        elif isinstance(shown, list) and isinstance(real, list):
            if len(shown) != len(real):
                raise Differs(f"{place}: shown {len(shown)} entries, answered {len(real)}")
            for at, (a, b) in enumerate(zip(shown, real, strict=True)):
                self.value(a, b, f"{place}[{at}]")
        elif isinstance(shown, str) and isinstance(real, str):
            self.text(shown, real)
        elif isinstance(shown, bool) is not isinstance(real, bool) or shown != real:
            raise Differs(f"{place}: shown {shown!r}, answered {real!r}")

    def answer(self, shown: str, real: str) -> None:
        """Compare what a command is shown to answer with what it answered."""
        if shown.startswith("HTTP/"):
            self._response(shown, real)
        elif (a := decoded(shown)) is not None and (b := decoded(real)) is not None:
            self.value(a[0], b[0])
        else:
            a_lines, b_lines = ([line.rstrip() for line in text.strip().splitlines()] for text in (shown, real))
            if len(a_lines) != len(b_lines):
                raise Differs(f"shown:\n{shown}\nanswered:\n{real}")
            for one, other in zip(a_lines, b_lines, strict=True):
                self.text(one, other)

    def _response(self, shown: str, real: str) -> None:
        head, _, body = shown.partition("\n\n")
        real_head, _, real_body = real.replace("\r\n", "\n").partition("\n\n")
        status, *headers = head.strip().splitlines()
        real_status, *rest = real_head.splitlines()
        if status.split()[1] != real_status.split()[1]:
            raise Differs(f"shown {status}, answered {real_status}\n{real_body}")
        there = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        for line in headers:
            name, _, value = line.partition(":")
            if name.lower() not in there:
                raise Differs(f"there is no header {name}; there are {sorted(there)}")
            self.text(value.strip(), there[name.lower()])
        if body.strip() or real_body.strip():
            self.answer(body.strip(), real_body.strip())


def decoded(text: str) -> tuple[Any] | None:
    """A text as JSON, if it is."""
    try:
        return (json.loads(text),)
    except ValueError:
        return None


def pretty(text: str, width: int = 100) -> str:
    """JSON as the documentation shows it: on one line where it fits."""
    found = decoded(text)
    return _lines(found[0], "", width) if found else text


def _lines(value: Any, indent: str, width: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= width or not isinstance(value, (dict, list)) or not value:
        return flat
    inner = indent + "  "
    if isinstance(value, list):
        parts = [inner + _lines(part, inner, width) for part in value]
        return "[\n" + ",\n".join(parts) + f"\n{indent}]"
    parts = [
        f"{inner}{json.dumps(name)}: {_lines(part, inner + ' ' * (len(name) + 4), width)}"
        if not isinstance(part, (dict, list))
        else f"{inner}{json.dumps(name)}: {_lines(part, inner, width)}"
        for name, part in value.items()
    ]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
