"""The kinds of values a field can hold, and the one place where a value from outside is checked.

Invariant: after `parse` a value is *canonical*: one Python form per kind (a UUID is its lower-case text, an
instant is an aware UTC `datetime`, money is a `Money`), free of NUL, lone surrogates, NaN and infinity.
Stores encode canonical values; nothing else reaches them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from backstay.errors import FieldError

KindName = Literal[
    "text", "integer", "big_integer", "float", "decimal", "boolean", "date", "time", "datetime",
    "duration", "uuid", "json", "list", "enum", "money",
]  # fmt: skip

SAFE_INTEGER = 2**53 - 1
BIG_INTEGER = 2**63 - 1
DEFAULT_MAX_LENGTH = 10_000
LONGEST_DECIMAL = 40  # characters


@dataclass(frozen=True, slots=True)
class Format:
    """Marks a text or JSON field with a format: `email`, `url`, `slug`, `json` or `big`."""

    name: str


@dataclass(frozen=True, slots=True)
class Digits:
    """The size of a decimal: digits in all (at most 18) and digits after the point.

    >>> from decimal import Decimal
    >>> weight = Annotated[Decimal, Digits(8, 3)]      # up to 99999.999
    """

    total: int
    scale: int


@dataclass(frozen=True, slots=True)
class Currency:
    """Fixes the currency of a `Money` field, so that a plain number in a filter means its minor units."""

    code: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that the whole text must match. Nested repetition is refused at start."""

    regex: str


@dataclass(frozen=True, slots=True)
class WriteOnly:
    """Marks a secret: it can be set, and never read, filtered, sorted or searched."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """Marks a field whose values are encrypted; written as `Encrypted[...]`."""


@dataclass(frozen=True, slots=True)
class SealedAs:
    """Beside an encrypted field that was renamed: the name it was sealed under, such as `SealedAs("Customer.iban")`.

    An encrypted value is bound to the model and the field it was written for, so it does not open under another name.

    >>> account = Annotated[Encrypted[str], SealedAs("Customer.iban")]
    """

    name: str


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in integer minor units (cents) with its ISO 4217 currency.

    >>> Money(1999, "EUR") + Money(1, "EUR")
    Money(amount=2000, currency='EUR')
    """

    amount: int
    currency: str

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be mixed without a rate.")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, times: int) -> Money:
        return Money(self.amount * times, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __gt__(self, other: Money) -> bool:
        return not self <= other

    def __ge__(self, other: Money) -> bool:
        return not self < other


Email: TypeAlias = Annotated[str, Format("email")]
URL: TypeAlias = Annotated[str, Format("url")]
Slug: TypeAlias = Annotated[str, Format("slug")]
Secret: TypeAlias = Annotated[str, WriteOnly()]
Json: TypeAlias = Annotated[Any, Format("json")]
BigInt: TypeAlias = Annotated[int, Format("big")]

T = TypeVar("T")
Encrypted: TypeAlias = Annotated[T, Sealing()]
"""A field that the database cannot read: `iban: Encrypted[str]`, `born: Encrypted[date] | None`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How a column that another application made holds a value, where that may differ from how Backstay would.

    `form` names the way; each dialect knows which of them differ from its own. `type` is the type's name in the
    database where a value must be cast to it, `labels` are what is stored for each of the kind's choices, in order,
    and `collation` is one that the column declares.
    """

    form: Literal["text", "label", "number", "instant", "clock", "interval", "hex", "array"]
    type: str = ""
    labels: tuple[str, ...] = ()
    collation: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field holds: the name of the kind and what narrows it. Two equal kinds behave alike everywhere."""

    name: KindName
    format: str = ""
    scale: int = 0
    precision: int = 0
    choices: tuple[str | int, ...] = ()
    item: Kind | None = None
    currency: str = ""
    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    multiple_of: Any = None
    min_length: int = 0
    max_length: int | None = None
    pattern: str = ""
    enum: type[Enum] | None = field(default=None, compare=False)
    sealed: bool = False
    """Whether the database holds it encrypted; it has no operators then, and no order."""
    stored: Stored | None = None
    """Set for the columns of an existing application; a column is the only place where it counts."""

    @property
    def textual(self) -> bool:
        """Whether `contains`, `starts_with` and their kin apply."""
        return self.name == "text" and not self.sealed

    @property
    def ordered(self) -> bool:
        """Whether `<` and sorting apply."""
        return self.name not in ("json", "list") and not self.sealed


BOOLEAN = Kind("boolean")
INTEGER = Kind("integer")
FLOAT = Kind("float")
TEXT = Kind("text")
KEY = Kind("uuid")
INSTANT = Kind("datetime")
CIPHERTEXT = Kind("text", format="slug")  # letters, digits, dot, hyphen and underscore: nothing in it needs escaping


class Unfit(ValueError):
    """A value that does not fit its kind: a stable code and a sentence that completes 'this value …'.

    `inside` has what does not fit within it, each with its place there, such as `3` or `size.width`.
    """

    def __init__(self, code: str, message: str, inside: Sequence[tuple[str, Unfit]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.inside = inside

    def errors(self, path: str) -> list[FieldError]:
        """What is wrong, as it is told of a value at `path`."""
        if self.inside:
            return [error for place, unfit in self.inside for error in unfit.errors(f"{path}.{place}")]
        return [FieldError(path, self.code, f"{self}.")]


_ATOM = r"[^\s@.\x00-\x1f\x7f<>()\[\],;:\\\"]{1,64}"
_LETTER = "[A-Za-z0-9]"  # the alphabets of others in their xn-- form, as for the addresses of accounts
_LABEL = rf"{_LETTER}(?:(?:{_LETTER}|-){{0,61}}{_LETTER})?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LETTER}(?:{_LETTER}|-){{0,61}}{_LETTER}")
_URL = re.compile(r"https?://[^\s/?#\x00-\x1f@]+(?:[/?#][^\s\x00-\x1f]*)?", re.IGNORECASE)
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
FORMATS = {
    "email": (_EMAIL, 254, "must be an email address such as ada@example.com"),
    "url": (_URL, 2000, "must be a web address that begins with http:// or https://"),
    "slug": (_SLUG, 200, "must be lower-case letters and digits joined by single hyphens"),
}


def parse(kind: Kind, raw: object, *, from_text: bool = False) -> Any:
    """The canonical value of `raw`, or `Unfit`.

    `from_text` is for query strings, where everything arrives as text: `"12"` is then an integer.
    Values that are canonical already (from Python code) pass through the same checks.
    """
    value = _PARSERS[kind.name](kind, raw, from_text)
    _check_range(kind, value)
    return value


def minor_units(kind: Kind, raw: object) -> object:
    """In a condition, a number beside money of a fixed currency means its minor units."""
    if kind.name == "money" and kind.currency and isinstance(raw, int) and not isinstance(raw, bool):
        return Money(raw, kind.currency)
    return raw


def clean_text(raw: object) -> str:
    """`raw` as text that every database can hold: no NUL and no lone surrogate."""
    if not isinstance(raw, str):
        raise Unfit("wrong_type", "must be a text")
    if "\x00" in raw:
        raise Unfit("bad_character", "must not contain the character NUL")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise Unfit("bad_character", "must not contain a lone surrogate") from None
    return raw


def _text(kind: Kind, raw: object, from_text: bool) -> str:
    value = clean_text(raw)
    if kind.format in FORMATS:
        regex, longest, message = FORMATS[kind.format]
        if len(value) > longest or not regex.fullmatch(value):
            raise Unfit("bad_format", message)
    longest = kind.max_length or DEFAULT_MAX_LENGTH
    if len(value) > longest:
        raise Unfit("too_long", f"must have at most {longest} characters, and has {len(value)}")
    if len(value) < kind.min_length:
        raise Unfit("too_short", f"must have at least {kind.min_length} characters, and has {len(value)}")
    if kind.pattern and not re.fullmatch(kind.pattern, value):
        raise Unfit("bad_format", f"must match the pattern {kind.pattern}")
    return value


def _whole(raw: object) -> object:
    """`12.0` as `12`: JSON has one kind of number, and some writers of it always add the fraction."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def _integer(kind: Kind, raw: object, from_text: bool) -> int:
    limit = BIG_INTEGER if kind.name == "big_integer" else SAFE_INTEGER
    raw = _whole(raw)
    if isinstance(raw, str) and (from_text or kind.name == "big_integer") and re.fullmatch(r"-?[0-9]{1,19}", raw):
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Unfit("wrong_type", "must be a whole number")
    if not -limit <= raw <= limit:
        raise Unfit("out_of_range", f"must be between -{limit} and {limit}")
    return raw


def _float(kind: Kind, raw: object, from_text: bool) -> float:
    if isinstance(raw, str) and from_text and _FLOAT.fullmatch(raw):
        raw = float(raw)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise Unfit("wrong_type", "must be a number")
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Unfit("out_of_range", "must be a finite number")
    return value + 0.0  # -0.0 and 0.0 are one value, and one text


def _decimal(kind: Kind, raw: object, from_text: bool) -> Decimal:
    raw = _whole(raw)
    written = isinstance(raw, str) and len(raw) <= LONGEST_DECIMAL and _DECIMAL.fullmatch(raw)
    if isinstance(raw, bool) or not (written or isinstance(raw, (int, Decimal))):
        raise Unfit("wrong_type", 'must be a decimal written as a text, such as "12.50"')
    value = Decimal(raw)  # type: ignore[arg-type]
    if not value.is_finite():
        raise Unfit("wrong_type", 'must be a decimal written as a text, such as "12.50"')
    if abs(value.adjusted()) > 40:
        raise Unfit("out_of_range", f"must have at most {kind.precision} digits")
    scaled = value.scaleb(kind.scale)
    if scaled != scaled.to_integral_value():
        raise Unfit("too_precise", f"must have at most {kind.scale} digits after the point")
    if abs(scaled) >= 10**kind.precision:
        raise Unfit("out_of_range", f"must have at most {kind.precision} digits")
    return Decimal(int(scaled)).scaleb(-kind.scale) if scaled else Decimal(0).scaleb(-kind.scale)


def _boolean(kind: Kind, raw: object, from_text: bool) -> bool:
    if from_text and raw in ("true", "false"):
        return raw == "true"
    if not isinstance(raw, bool):
        raise Unfit("wrong_type", "must be true or false")
    return raw


def _temporal(expected: type, example: str) -> Any:
    def parse_temporal(kind: Kind, raw: object, from_text: bool) -> Any:
        try:
            return msgspec.convert(raw, expected) if isinstance(raw, str) else _as_is(raw, expected)
        except (msgspec.ValidationError, OverflowError, ValueError):
            raise Unfit("wrong_type", f'must be a {expected.__name__} such as "{example}"') from None

    return parse_temporal


def _as_is(raw: object, expected: type) -> object:
    if type(raw) is not expected:
        raise ValueError
    return raw


_naive_time = _temporal(time, "14:30:00")


def _time(kind: Kind, raw: object, from_text: bool) -> time:
    value: time = _naive_time(kind, raw, from_text)
    if value.tzinfo is not None:
        raise Unfit("wrong_type", "must be a time of day without a zone")
    return value


_any_datetime = _temporal(datetime, "2026-11-22T09:30:00Z")


def _datetime(kind: Kind, raw: object, from_text: bool) -> datetime:
    if from_text and isinstance(raw, str):
        raw = raw.replace(" ", "+")  # an unescaped + of a zone arrives as a space
    value: datetime = _any_datetime(kind, raw, from_text)
    if value.tzinfo is None and isinstance(raw, datetime) and kind.stored is not None:
        return value.replace(tzinfo=UTC)  # the own code of an application whose instants have no zone
    if value.tzinfo is None:
        raise Unfit("wrong_type", 'must name its zone, such as "2026-11-22T09:30:00Z"')
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise Unfit("out_of_range", "must lie in the years 1 to 9999") from None


_any_duration = _temporal(timedelta, "PT1H30M")


def _duration(kind: Kind, raw: object, from_text: bool) -> timedelta:
    value: timedelta = _any_duration(kind, raw, from_text)
    if abs(value) > timedelta(days=36_525_000):
        raise Unfit("out_of_range", "must be shorter than 100,000 years")
    return value


def as_key(raw: object) -> str:
    """An id in its canonical form."""
    if isinstance(raw, UUID):
        return str(raw)
    if isinstance(raw, str) and _UUID.fullmatch(raw):
        return raw.lower()
    raise Unfit("wrong_type", "must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057")


def _uuid(kind: Kind, raw: object, from_text: bool) -> str:
    return as_key(raw)


def _json(kind: Kind, raw: object, from_text: bool) -> Any:
    if from_text and isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise Unfit("wrong_type", "must be JSON") from None
    if raw is None:
        raise Unfit("required", "must not be null")
    check_json(raw)
    return raw


def check_json(raw: object, depth: int = 32) -> None:
    """Refuse JSON that a database cannot hold or that is nested deeper than `depth` levels."""
    if depth == 0:
        raise Unfit("too_deep", "must not be nested deeper than 32 levels")
    if isinstance(raw, str):
        clean_text(raw)
    elif isinstance(raw, float):
        _float(FLOAT, raw, False)
    elif isinstance(raw, Mapping):
        for name, value in raw.items():
            clean_text(name)
            check_json(value, depth - 1)
    elif isinstance(raw, (list, tuple)):
        for value in raw:
            check_json(value, depth - 1)
    elif not (raw is None or isinstance(raw, (bool, int))):
        raise Unfit("wrong_type", "must be JSON")


def _list(kind: Kind, raw: object, from_text: bool) -> list[Any]:
    if from_text and isinstance(raw, str):
        raw = _json(kind, raw, True)
    if not isinstance(raw, (list, tuple)):
        raise Unfit("wrong_type", "must be a list")
    longest = kind.max_length or 1000
    if len(raw) > longest:
        raise Unfit("too_long", f"must have at most {longest} entries, and has {len(raw)}")
    if len(raw) < kind.min_length:
        raise Unfit("too_short", f"must have at least {kind.min_length} entries, and has {len(raw)}")
    assert kind.item is not None
    values, wrong = [], []
    for at, item in enumerate(raw):
        try:
            values.append(parse(kind.item, item))
        except Unfit as unfit:
            wrong.append((str(at), unfit))
    if wrong:
        raise Unfit(wrong[0][1].code, str(wrong[0][1]), wrong)
    return values


def _enum(kind: Kind, raw: object, from_text: bool) -> str | int:
    if isinstance(raw, Enum):
        raw = raw.value if raw.value in kind.choices else raw.name
    if from_text and isinstance(raw, str) and kind.choices and isinstance(kind.choices[0], int):
        raw = int(raw) if re.fullmatch(r"-?[0-9]{1,15}", raw) else raw
    raw = _whole(raw)
    if isinstance(raw, bool) or raw not in kind.choices:
        raise Unfit("not_a_choice", "must be one of " + ", ".join(str(choice) for choice in kind.choices))
    assert isinstance(raw, (str, int))
    return raw


def _money(kind: Kind, raw: object, from_text: bool) -> Money:
    amount: object
    currency: object
    if isinstance(raw, Money):
        amount, currency = raw.amount, raw.currency
    elif isinstance(raw, Mapping) and set(raw) == {"amount", "currency"}:
        amount, currency = raw["amount"], raw["currency"]
    elif isinstance(raw, (int, str)) and not isinstance(raw, bool) and from_text and kind.currency:
        amount, currency = raw, kind.currency
    else:
        raise Unfit("wrong_type", 'must be {"amount": minor units, "currency": code}')
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Unfit("bad_format", "must name a currency by its three capital letters, such as EUR")
    if kind.currency and currency != kind.currency:
        raise Unfit("wrong_currency", f"must be in {kind.currency}")
    return Money(_integer(INTEGER, amount, from_text), currency)


_PARSERS: dict[str, Any] = {
    "text": _text, "integer": _integer, "big_integer": _integer, "float": _float, "decimal": _decimal,
    "boolean": _boolean, "date": _temporal(date, "2026-11-22"), "time": _time, "datetime": _datetime,
    "duration": _duration, "uuid": _uuid, "json": _json, "list": _list, "enum": _enum, "money": _money,
}  # fmt: skip


def _check_range(kind: Kind, value: Any) -> None:
    number = value.amount if isinstance(value, Money) else value
    if kind.ge is not None and number < kind.ge:
        raise Unfit("out_of_range", f"must be at least {kind.ge}")
    if kind.gt is not None and number <= kind.gt:
        raise Unfit("out_of_range", f"must be greater than {kind.gt}")
    if kind.le is not None and number > kind.le:
        raise Unfit("out_of_range", f"must be at most {kind.le}")
    if kind.lt is not None and number >= kind.lt:
        raise Unfit("out_of_range", f"must be less than {kind.lt}")
    if kind.multiple_of is not None and number % kind.multiple_of != 0:
        raise Unfit("out_of_range", f"must be a multiple of {kind.multiple_of}")


def slug_of(text: str) -> str:
    """The slug of a text: `"Öl- und Essig"` becomes `"ol-und-essig"`; `"x"` when nothing is left."""
    from backstay.model.folding import fold

    return "-".join(re.findall(r"[a-z0-9]+", fold(text)))[:200].strip("-") or "x"


def as_python(kind: Kind, value: Any) -> Any:
    """A canonical value in the form that the user's own code sees: ids are `UUID`, choices are enum members."""
    if value is None:
        return None
    if kind.name == "uuid":
        return UUID(value)
    if kind.name == "enum" and kind.enum is not None:
        return kind.enum(value)
    if kind.name == "list" and kind.item is not None:
        return [as_python(kind.item, item) for item in value]
    return value


_CALCULABLE = (
    {"money", "integer", "big_integer"}, {"decimal", "integer", "big_integer"}, {"float", "integer", "big_integer"},
)  # fmt: skip


def calculated(op: str, kinds: Sequence[Kind]) -> Kind | None:
    """The kind of a calculation with values of these kinds; nothing where they cannot be calculated with."""
    if op == "concat":
        return Kind("text") if all(kind.name in ("text", "enum") for kind in kinds) else None
    names = {kind.name for kind in kinds}
    if len(names) > 1 and not any(names <= allowed for allowed in _CALCULABLE):
        return None
    if len({kind.currency for kind in kinds if kind.name == "money"}) > 1:
        return None
    widest = ("money", "decimal", "float", "big_integer")
    kind = min(kinds, key=lambda kind: widest.index(kind.name) if kind.name in widest else len(widest))
    scales = [kind.scale for kind in kinds]
    scale = sum(scales) if op == "multiply" else max(scales)
    return Kind(kind.name, scale=scale, precision=18, currency=kind.currency, choices=kind.choices, item=kind.item)


def plain(kind: Kind) -> Kind:
    """The kind without its constraints and format: what a value calculated from such fields is."""
    return Kind(
        kind.name,
        scale=kind.scale,
        precision=kind.precision,
        currency=kind.currency,
        choices=kind.choices,
        item=kind.item,
    )
