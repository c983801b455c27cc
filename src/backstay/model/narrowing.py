"""Which constraints narrow which kinds of fields.

Invariant: a constraint that would not be kept is a mistake of the declaration; none is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backstay.model.value import Kind

_BOUNDS = frozenset(("ge", "gt", "le", "lt"))
_NUMBER = _BOUNDS | {"multiple_of"}
_LENGTHS = frozenset(("min_length", "max_length"))
_NARROWED: dict[str, frozenset[str]] = {
    "text": _LENGTHS | {"pattern"}, "list": _LENGTHS, "date": _BOUNDS, "time": _BOUNDS, "datetime": _BOUNDS,
    "duration": _BOUNDS, "integer": _NUMBER, "big_integer": _NUMBER, "float": _NUMBER, "decimal": _NUMBER,
    "money": _NUMBER,
}  # fmt: skip
"""What narrows each kind, here and in the database; anything else beside it would be promised and not kept."""
_HOLDS = {
    "text": "text", "list": "a list", "date": "a date", "time": "a time", "datetime": "an instant",
    "duration": "a duration", "integer": "a whole number", "big_integer": "a whole number", "float": "a number",
    "decimal": "a decimal", "money": "money", "json": "any JSON", "enum": "one of its choices",
    "boolean": "true or false", "uuid": "an id",
}  # fmt: skip
_INSTEAD = {
    "json": "Say what the JSON holds, such as list[str] with MaxLen, or check it in a before_ hook.",
    "list": "Narrow its entries: list[Annotated[int, Ge(0)]].",
    "enum": "Leave out the choices that may not be.",
}


def kept(name: str, narrow: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the constraints that narrow a kind of this name."""
    return {key: value for key, value in narrow.items() if key in _NARROWED.get(name, ())}


def idle_of(kind: Kind, narrow: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the constraints that say nothing of this kind, each with what to write instead."""
    hint = _INSTEAD.get(kind.name, "Leave it out.")
    idle = sorted(narrow.keys() - _NARROWED.get(kind.name, frozenset()))
    return [(f"{name}={narrow[name]!r} says nothing of a field that holds {_HOLDS[kind.name]}.", hint) for name in idle]
