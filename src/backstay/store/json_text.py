"""The JSON text of a value, as Python writes it: entries of lists, and what was encrypted.

Invariant: it is the same text that the databases write of a column of the kind, so a value looks alike wherever it
stands: in a field, in a list, behind an encrypted field. No digit is lost to a reader whose numbers are floats.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from backstay.model.value import Kind


def json_text(kind: Kind, value: Any) -> bytes:
    """A canonical value as it stands in an answer."""
    match kind.name:
        case "big_integer":
            return b'"%d"' % value
        case "decimal":
            return f'"{value:.{kind.scale}f}"'.encode()
        case "time":
            return f'"{value.isoformat("microseconds")}"'.encode()
        case "datetime":
            return f'"{instant(value)}"'.encode()
        case "duration":
            return f'"{_duration(value)}"'.encode()
        case "money":
            return msgspec.json.encode({"amount": value.amount, "currency": value.currency})
        case "list":
            assert kind.item is not None
            item = kind.item
            return b"[" + b",".join([json_text(item, entry) for entry in value]) + b"]"
        case _:
            return msgspec.json.encode(value)


def list_encoder(kind: Kind) -> Callable[[Any], str]:
    """How a list of a kind is stored: as its JSON text."""
    return lambda value: json_text(kind, value).decode()


def entry_encoder(kind: Kind) -> Callable[[Any], Any] | None:
    """How an entry that a list is asked for is handed over, as it stands in the JSON; `None` where it is that already.

    What `written` is true of stands there as a text.
    """
    return (lambda value: msgspec.json.decode(json_text(kind, value))) if written(kind) else None


def written(kind: Kind) -> bool:
    """Whether a value of the kind stands in JSON as a text that differs from what a column holds."""
    return kind.name in ("big_integer", "decimal", "time", "datetime", "duration", "date")


def instant(value: datetime) -> str:
    """An aware UTC instant as text of 27 characters that sorts as it should."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _duration(value: timedelta) -> str:
    seconds, rest = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    return f"{'-' if value < timedelta() else ''}PT{seconds}{f'.{rest:06}' if rest else ''}S"
