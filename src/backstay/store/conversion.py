"""What a value of one kind becomes as one of another, where that is beyond doubt, as SQL.

Invariant: a conversion loses nothing that the old kind could say, or the migration that uses it keeps the old values.
"""

from __future__ import annotations

from backstay.model.value import Kind

_NUMBERS = ("integer", "big_integer")


def conversion(old: Kind, new: Kind, dialect: str) -> str | None:
    """SQL with `{}` for the old value; nothing to do is the empty text, and no way is `None`.

    Whether a value satisfies what narrows the new kind (`ge`, `max_length`, choices) is not its concern.
    """
    if old.sealed or new.sealed:
        return "" if old.sealed == new.sealed and _stored(old) == _stored(new) else None
    if _stored(old) == _stored(new):
        return ""
    sqlite = dialect == "sqlite"
    match old.name, new.name:
        case (("integer" | "big_integer"), "decimal"):
            return f"{{}} * {10**new.scale}" if sqlite else "{}"
        case "decimal", "decimal" if new.scale >= old.scale:
            return f"{{}} * {10 ** (new.scale - old.scale)}" if sqlite else "{}"
        case "decimal", "decimal":
            unit = 10 ** (old.scale - new.scale)
            return f"CAST(round({{}} / {unit}.0) AS INTEGER)" if sqlite else f"round({{}}, {new.scale})"
        case (("integer" | "big_integer"), "float"):
            return f"CAST({{}} AS {'REAL' if sqlite else 'double precision'})"
        case "decimal", "float":
            return f"{{}} / {10**old.scale}.0" if sqlite else "CAST({} AS double precision)"
        case "boolean", ("integer" | "big_integer"):
            return "CASE WHEN {} THEN 1 WHEN NOT {} THEN 0 END"
        case (("integer" | "big_integer" | "uuid" | "date"), "text"):
            return "CAST({} AS TEXT)"
        case "date", "datetime":
            return "{} || 'T00:00:00.000000Z'" if sqlite else "CAST({} AS timestamp) AT TIME ZONE 'UTC'"
        case "datetime", "date":
            return "substr({}, 1, 10)" if sqlite else "CAST({} AT TIME ZONE 'UTC' AS date)"
        case "money", "money" if not (old.currency and new.currency):
            return "{}"
        case _:
            return None


def _stored(kind: Kind) -> tuple[object, ...]:
    """Kinds of which this is equal are stored alike."""
    if kind.name == "enum":
        return ("integer",) if kind.choices and isinstance(kind.choices[0], int) else ("text",)
    if kind.name in _NUMBERS:
        return ("integer",)
    if kind.name == "decimal":
        return ("decimal", kind.precision, kind.scale)
    if kind.name == "list":
        if kind.item is not None and kind.item.name == "big_integer":
            return ("list", "big_integer")  # as text, so that no digit is lost
        return ("list", _stored(kind.item) if kind.item is not None else None)
    if kind.name == "money":
        return ("money", bool(kind.currency), kind.currency)
    return (kind.name,)
