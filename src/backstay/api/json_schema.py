"""The kinds of values in the words of JSON Schema 2020-12: what a value looks like in a body, sent or answered.

Invariant: a value that its schema takes and `value.parse` refuses differs only in what JSON Schema cannot say: a
bound of a value that travels as text (said in the description instead), and numbers such as `12.0` for `12`.
What the server answers always fits.
"""

from __future__ import annotations

import re
import sys
from datetime import date, time
from decimal import Decimal
from typing import Any

from backstay.model.value import (
    BIG_INTEGER,
    DEFAULT_MAX_LENGTH,
    FORMATS,
    LONGEST_DECIMAL,
    SAFE_INTEGER,
    Kind,
    Unfit,
    parse,
)

CLEAN = r"^[^\u0000]*$"
"""The pattern of every text: a database holds no NUL. (No lone surrogates either, which are not Unicode text.)"""
_CURRENCY = "^[A-Z]{3}$"
_TIME = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?$"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_CLOCK = rf"[Tt](?:{_NUMBER}[Hh])?(?:{_NUMBER}[Mm])?(?:{_NUMBER}[Ss])?"
_DURATION = rf"^[+-]?[Pp](?=[0-9Tt])(?:{_NUMBER}[Dd])?(?:{_CLOCK})?$".replace("[Tt]", "[Tt](?=[0-9])", 1)
_LISTED = 1000
_PYTHON_ONLY = re.compile(r"\(\?(?!:|P<)|[*+?}]\+|\\(?![dDwWsSbBnrtfvxu])[^\W_]")
_SYNTAX = "^$\\.*+?()[]{}|/"


def json_schema(kind: Kind, *, sent: bool = False) -> dict[str, Any]:
    """The JSON Schema of a kind, its constraints included. Null is added by `nullable` where a field may be null.

    What is `sent` may be a number where the answer is a text, so that no digit of it is lost.

    >>> from backstay.model.value import Kind
    >>> json_schema(Kind("integer", ge=0, le=5))
    {'type': 'integer', 'minimum': 0, 'maximum': 5}
    """
    schema = _schema(kind, sent)
    samples = [sample for sample in _samples(kind) if _fits(kind, sample)]
    return {**schema, "examples": samples} if samples else schema


def _schema(kind: Kind, sent: bool) -> dict[str, Any]:
    match kind.name:
        case "text":
            return _text(kind)
        case "integer":
            return {"type": "integer", **_bounds(kind, SAFE_INTEGER)}
        case "float":
            return {"type": "number", **_bounds(kind, sys.float_info.max)}
        case "big_integer":
            return _digits(kind, "[0-9]{1,19}", "A whole number as text, of at most 63 bits", sent, BIG_INTEGER)
        case "decimal":
            longest = 10 ** (kind.precision - kind.scale) - 1 if kind.precision else None
            schema = _digits(kind, _decimal_digits(kind), "A decimal number as text", sent, longest)
            return {**schema, "maxLength": LONGEST_DECIMAL}
        case "boolean":
            return {"type": "boolean"}
        case "date":
            return _noted(kind, {"type": "string", "format": "date"})
        case "time":
            return _noted(kind, {"type": "string", "pattern": _TIME}, "A time of day")
        case "datetime":
            return _noted(kind, {"type": "string", "format": "date-time"})
        case "duration":
            said = "A duration in days, hours, minutes and seconds (ISO 8601)"
            return _noted(kind, {"type": "string", "pattern": _DURATION}, said)
        case "uuid":
            return {"type": "string", "format": "uuid"}
        case "json":
            return {"type": ["object", "array", "string", "number", "boolean"], "description": "Any JSON but null."}
        case "list":
            assert kind.item is not None
            least = {"minItems": kind.min_length} if kind.min_length else {}
            return {
                "type": "array",
                "items": json_schema(kind.item, sent=sent),
                **least,
                "maxItems": kind.max_length or _LISTED,
            }
        case "enum":
            return _enum(kind)
        case "money":
            return _money(kind)


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that takes null as well."""
    if "$ref" in schema or "type" not in schema:
        return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}
    named = schema["type"]
    wider = {**schema, "type": [*(named if isinstance(named, list) else [named]), "null"]}
    if "enum" in schema:
        wider["enum"] = [*schema["enum"], None]
    return wider


_EXAMPLES = {
    "email": "ada@example.com", "url": "https://example.com/tea", "slug": "green-tea", "integer": 1, "big_integer": "1",
    "time": "14:30:00", "duration": "PT1H30M",
}  # fmt: skip


def _samples(kind: Kind) -> list[Any]:
    """What a reader is shown where nothing but a pattern or a far bound could be guessed from."""
    if kind.name == "integer" and (kind.ge is not None or kind.gt is not None):
        return []  # the bound itself is a fair example
    if kind.name == "decimal" and kind.precision:
        return ["1.50000000000000000"[: kind.scale + 2].rstrip(".")]
    if kind.name == "money":
        return [{"amount": 1999, "currency": kind.currency or "EUR"}]
    sample = _EXAMPLES.get(kind.format if kind.name == "text" else kind.name)
    return [] if sample is None else [sample]


def _fits(kind: Kind, sample: Any) -> bool:
    try:
        parse(kind, sample)
    except Unfit:
        return False
    return True


def _text(kind: Kind) -> dict[str, Any]:
    longest = kind.max_length or DEFAULT_MAX_LENGTH
    patterns = []
    schema: dict[str, Any] = {"type": "string"}
    if kind.format in FORMATS:
        regex, most, _ = FORMATS[kind.format]
        longest = min(longest, most)
        schema |= {"format": {"email": "idn-email", "url": "iri"}[kind.format]} if kind.format != "slug" else {}
        patterns.append(regex.pattern.replace("https?", "[hH][tT][tT][pP][sS]?"))
    else:
        patterns.append("[^\\u0000]*")
    if kind.pattern:
        patterns.append(kind.pattern)
    if kind.min_length:
        schema["minLength"] = kind.min_length
    schema["maxLength"] = longest
    portable = [f"^(?:{found})$" for pattern in patterns if (found := ecma(pattern))]
    if len(portable) < len(patterns):
        schema["description"] = f"Matches {kind.pattern} as a whole (a regular expression of Python)."
    if portable:
        schema["pattern"] = portable[0]
    if len(portable) > 1:
        schema["allOf"] = [{"pattern": pattern} for pattern in portable[1:]]
    return schema


def _bounds(kind: Kind, limit: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if limit is not None and kind.ge is None and kind.gt is None:
        found["minimum"] = -limit
    if kind.ge is not None:
        found["minimum"] = _plain(kind.ge)
    if kind.gt is not None:
        found["exclusiveMinimum"] = _plain(kind.gt)
    if limit is not None and kind.le is None and kind.lt is None:
        found["maximum"] = limit
    if kind.le is not None:
        found["maximum"] = _plain(kind.le)
    if kind.lt is not None:
        found["exclusiveMaximum"] = _plain(kind.lt)
    if kind.multiple_of is not None:
        found["multipleOf"] = _plain(kind.multiple_of)
    return found


def _plain(bound: Any) -> Any:
    if not isinstance(bound, Decimal):
        return bound
    return int(bound) if bound == bound.to_integral_value() else float(bound)


def _digits(kind: Kind, digits: str, said: str, sent: bool, limit: int | None) -> dict[str, Any]:
    """A number as text: its sign and size are in the pattern, its other bounds in words."""
    unsigned = (kind.ge is not None and kind.ge >= 0) or (kind.gt is not None and kind.gt >= 0)
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{'' if unsigned else '-?'}{digits}$"}
    if sent:
        schema |= {"type": ["string", "integer"], **_bounds(kind, limit)}
    return _noted(kind, schema, said)


def _decimal_digits(kind: Kind) -> str:
    if not kind.precision:  # a computed value has no declared size
        return _NUMBER
    whole = kind.precision - kind.scale
    before = f"0*[0-9]{{1,{whole}}}" if whole else "0+"
    after = f"[0-9]{{1,{kind.scale}}}0*" if kind.scale else "0+"
    return rf"{before}(?:\.{after})?"


def _noted(kind: Kind, schema: dict[str, Any], said: str = "") -> dict[str, Any]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "multiple_of": "a multiple of"}
    bounds = [
        f"{word} {_spelled(getattr(kind, name))}" for name, word in words.items() if getattr(kind, name) is not None
    ]
    text = ", ".join([part for part in (said, *bounds) if part])
    return {**schema, "description": f"{text[0].upper()}{text[1:]}."} if text else schema


def _spelled(bound: Any) -> str:
    return bound.isoformat() if isinstance(bound, (date, time)) else str(bound)


def _enum(kind: Kind) -> dict[str, Any]:
    types = sorted({"string" if isinstance(choice, str) else "integer" for choice in kind.choices})
    return {"type": types[0] if len(types) == 1 else types, "enum": list(kind.choices)}


def _money(kind: Kind) -> dict[str, Any]:
    currency = {"const": kind.currency} if kind.currency else {"pattern": _CURRENCY}
    amount = {"type": "integer", **_bounds(kind, SAFE_INTEGER), "description": "In minor units, such as cents."}
    return {
        "type": "object",
        "properties": {"amount": amount, "currency": {"type": "string", **currency, "description": "ISO 4217."}},
        "required": ["amount", "currency"],
        "additionalProperties": False,
    }


def ecma(pattern: str) -> str:
    """A regular expression of Python as ECMAScript reads it in Unicode mode; nothing where it has no such form."""
    if _PYTHON_ONLY.search(pattern):
        return ""
    pattern = re.sub(r"\(\?P<\w+>", "(?:", pattern)
    found: list[str] = []
    inside = False
    position = 0
    while position < len(pattern):
        char = pattern[position]
        rest = pattern[position:]
        taken, written = 1, char
        if char == "\\":
            taken, follower = 2, rest[1:2]
            bare = follower not in _SYNTAX and not follower.isalnum() and not (inside and follower == "-")
            written = follower if bare else rest[:2]
        elif inside:
            inside = char != "]"
        elif char == "[":
            start = re.match(r"\[\^?", rest)
            assert start is not None
            taken, written, inside = len(start[0]), start[0], True
            if rest[taken : taken + 1] == "]":
                return ""  # Python takes this bracket literally, ECMAScript ends the class
        elif char == "{" and (times := re.match(r"\{(\d*)(,?)(\d*)\}", rest)) and times[0] != "{}":
            taken, written = len(times[0]), f"{{{times[1] or '0'}{times[2]}{times[3]}}}"
        elif char in "{}]":
            written = f"\\{char}"
        found.append(written)
        position += taken
    return "".join(found)
