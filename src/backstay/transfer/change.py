"""What a mapping may do to a cell before it becomes the value of a field: a short list, and nothing else.

Invariant: every change is a pure function of one value and takes time in proportion to its length, so what it made of
a text once is what it makes of it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backstay.errors import nearest
from backstay.model.declare import linear
from backstay.model.value import Money, Unfit, slug_of

Change = Callable[[Any], Any]
LONGEST = 10_000
"""Characters of a cell that a pattern is tried on."""


class BadMapping(ValueError):
    """The mapping file says what cannot be done; the text names the place and the next step."""


def change_of(spec: str | Mapping[str, Any], place: str) -> Change:
    """The change that `"trim"` or `{ date = "%d.%m.%Y" }` names. Raises `BadMapping`."""
    if isinstance(spec, str):
        if (plain := PLAIN.get(spec)) is None:
            hint = f"{place}: {spec} needs a value, such as {{ {spec} = … }}." if spec in MADE else ""
            raise BadMapping(hint or f'{place}: there is no change "{spec}".{nearest(spec, NAMES)} There are {_all()}.')
        return plain
    name = next((name for name in spec if name in MADE), None)
    if name is None:
        said = next(iter(spec), "")
        raise BadMapping(f'{place}: there is no change "{said}".{nearest(said, NAMES)} There are {_all()}.')
    make, options = MADE[name]
    if extra := [other for other in spec if other != name and other not in options]:
        raise BadMapping(f'{place}: {name} has no option "{extra[0]}".{nearest(extra[0], options)}')
    try:
        return make(spec[name], {key: value for key, value in spec.items() if key != name})
    except BadMapping as bad:
        raise BadMapping(f"{place}: {name}: {bad}") from None
    except (TypeError, ValueError, KeyError, AttributeError):
        raise BadMapping(f"{place}: {name} cannot be {spec[name]!r}.") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _squeeze(value: Any) -> str:
    return " ".join(_text(value).split())


def _exact_slug(value: Any) -> str:
    """A slug that differs wherever the text does: what a slug cannot hold stands in it as hexadecimal digits."""
    parts = re.findall(r"[a-z0-9]+|[^a-z0-9]+", _text(value))
    return "-".join(part if part[0] in _PLAIN else f"x{part.encode('utf-8', 'replace').hex()}" for part in parts)


_PLAIN = frozenset("abcdefghijklmnopqrstuvwyz0123456789")  # a part that begins with x is one of digits


def _number(sign: Any, _: Mapping[str, Any]) -> Change:
    """`"1.234,56"` as `"1234.56"`: `comma` says that the comma stands before the fraction, `point` that the point."""
    if sign not in ("comma", "point"):
        raise BadMapping('it is "comma" or "point": what stands before the fraction.')
    fraction, groups = (",", ".") if sign == "comma" else (".", ",")
    grouped = re.compile(rf"[+-]?[0-9]{{1,3}}(?:[{groups} '\u00a0\u202f][0-9]{{3}})+(?:[{fraction}][0-9]+)?")
    plain = re.compile(rf"[+-]?[0-9]+(?:[{fraction}][0-9]+)?")

    def change(value: Any) -> str:
        text = _text(value).strip()
        if len(text) > 40 or not (plain.fullmatch(text) or grouped.fullmatch(text)):
            raise Unfit("bad_format", f"must be a number with a {sign} before the fraction")
        return re.sub(r"[^0-9+.-]", "", text.replace(groups, "").replace(fraction, ".")).lstrip("+")

    return change


def _minor_units(digits: Any, options: Mapping[str, Any]) -> Change:
    """`"2.55"` as 255: the amount of money in the smallest unit there is; what is finer than that is an error."""
    if not isinstance(digits, int) or not 0 <= digits <= 4:
        raise BadMapping("it is the number of digits after the point: 2 for euros.")
    currency = options.get("currency")

    def change(value: Any) -> Any:
        try:
            amount = Decimal(_text(value).strip()).scaleb(digits)
            if not amount.is_finite() or abs(amount.adjusted()) > 18:
                raise InvalidOperation
        except InvalidOperation:
            raise Unfit("wrong_type", 'must be an amount such as "12.50"') from None
        if amount != amount.to_integral_value():
            raise Unfit("too_precise", f"must have at most {digits} digits after the point")
        return Money(int(amount), currency) if currency else int(amount)

    return change


def _date(form: str, _: Mapping[str, Any]) -> Change:
    """A day by a form of `strptime`, such as `%d.%m.%Y`, as an ISO date."""
    datetime.strptime(datetime(2026, 11, 22).strftime(form), form)

    def change(value: Any) -> str:
        try:
            return datetime.strptime(_text(value).strip(), form).date().isoformat()
        except ValueError:
            raise Unfit("bad_format", f"must be a date of the form {form}") from None

    return change


def _instant(form: str, options: Mapping[str, Any]) -> Change:
    """An instant by a form of `strptime`, at the clocks of a zone; of one that they show twice, the first."""
    datetime.strptime(datetime(2026, 11, 22, tzinfo=UTC).strftime(form), form)
    try:
        zone = ZoneInfo(options.get("zone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        raise BadMapping(f'there is no zone "{options.get("zone")}": write one such as Europe/London.') from None

    def change(value: Any) -> datetime:
        try:
            found = datetime.strptime(_text(value).strip(), form)
        except ValueError:
            raise Unfit("bad_format", f"must be a time of the form {form}") from None
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)

    return change


def _split(sign: Any, options: Mapping[str, Any]) -> Change:
    """The parts of a text between signs: a list, or with `part` one of them, counted from 0."""
    part = options.get("part")
    if not sign or not isinstance(sign, str) or not (part is None or isinstance(part, int)):
        raise BadMapping("it is the sign between the parts, and part a number.")

    def change(value: Any) -> Any:
        parts = [piece.strip() for piece in _text(value).split(sign)]
        if part is None:
            return [piece for piece in parts if piece]
        if not -len(parts) <= part < len(parts):
            raise Unfit("bad_format", f"must have a part {part} between signs {sign!r}")
        return parts[part]

    return change


def _lookup(table: Mapping[str, Any], options: Mapping[str, Any]) -> Change:
    """What a table says of a text; `other` is for all that is not in it, which is an error without."""
    known = {str(key): value for key, value in dict(table).items()}

    def change(value: Any) -> Any:
        found = known.get(_text(value), options.get("other"))
        if found is None:
            raise Unfit("not_a_choice", "must be one of " + ", ".join([*known][:20]))
        return found

    return change


def _extract(pattern: str, _: Mapping[str, Any]) -> Change:
    """The first group of a pattern, or all that matches where it has none."""
    if not linear(pattern):
        raise BadMapping(f"{pattern} is no regular expression, or repeats a repetition, which can take forever.")
    regex = re.compile(pattern)

    def change(value: Any) -> str:
        text = _text(value)
        found = regex.search(text) if len(text) <= LONGEST else None
        if found is None:
            raise Unfit("bad_format", f"must match {pattern}")
        return found[1] if regex.groups and found[1] is not None else found[0]

    return change


def _format(form: str, _: Mapping[str, Any]) -> Change:
    """A text around the value: `"customer-{}@example.com"`."""
    if form.count("{}") != 1:
        raise BadMapping("it holds {} once, where the value stands.")
    before, _sign, behind = form.partition("{}")
    return lambda value: f"{before}{_text(value)}{behind}"


PLAIN: dict[str, Change] = {
    "trim": lambda value: _text(value).strip(),
    "squeeze": _squeeze,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "title": lambda value: _text(value).title(),
    "slug": lambda value: slug_of(_text(value)),
    "exact_slug": _exact_slug,
}
"""The changes that need nothing else to be said."""

MADE: dict[str, tuple[Callable[[Any, Mapping[str, Any]], Change], tuple[str, ...]]] = {
    "number": (_number, ()), "minor_units": (_minor_units, ("currency",)), "date": (_date, ()),
    "instant": (_instant, ("zone",)), "split": (_split, ("part",)), "lookup": (_lookup, ("other",)),
    "extract": (_extract, ()), "format": (_format, ()),
}  # fmt: skip
"""The changes that are made of a value, with their options."""

NAMES = (*PLAIN, *MADE)


def _all() -> str:
    return ", ".join(NAMES)
