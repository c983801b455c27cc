"""The languages of mail: words from catalogues, and numbers, money and dates as people of that language write them.

A catalogue is a TOML file, `de.toml`, with the English sentence as the key; one beside the application's file adds to
ours or replaces words of it. Invariant: every language that is asked for leads to one that is there, in the end to
English, whose sentences stand in the templates themselves.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from backstay.model.value import Money

ENGLISH = "en"
_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{1,3})?|1(?:\.0{1,3})?)\s*)?")


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its code, such as `de` or `pt-BR`, and its words by the English sentence."""

    code: str
    words: Mapping[str, str]

    def say(self, sentence: str, /, **values: object) -> str:
        """A sentence in this language, in English where the catalogue lacks it; `%(name)s` is where a value goes.

        >>> Language("de", {"Hello %(name)s": "Hallo %(name)s"}).say("Hello %(name)s", name="Ada")
        'Hallo Ada'
        """
        said = self.words.get(sentence, sentence)
        return said % values if values else said

    @property
    def _locale(self) -> str:
        from babel import Locale, UnknownLocaleError

        for code in (self.code, self.code.partition("-")[0]):
            try:
                return str(Locale.parse(code.replace("-", "_")))
            except (UnknownLocaleError, ValueError):
                pass
        return ENGLISH

    def money(self, value: Money | Mapping[str, Any]) -> str:
        """An amount: `€1,234.50`, and `1.234,50 €` in German."""
        from babel.numbers import format_currency, get_currency_precision

        amount, currency = (value.amount, value.currency) if isinstance(value, Money) else (
            value["amount"], value["currency"]
        )  # fmt: skip
        exact = Decimal(amount).scaleb(-get_currency_precision(currency))
        return format_currency(exact, currency, locale=self._locale)

    def figure(self, value: int | Decimal | str) -> str:
        """A number: `1,234`, and `1.234` in German."""
        from babel.numbers import format_decimal

        return format_decimal(Decimal(value), locale=self._locale)

    def date(self, value: datetime | date | str) -> str:
        """A day: `1 December 2026`, and `1. Dezember 2026` in German; of an instant the day it has in UTC."""
        from babel.dates import format_date

        if isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).date()
        return format_date(value, "d MMMM y" if self._locale == ENGLISH else "long", locale=self._locale)


class Languages:
    """All languages there are. `folder` may have catalogues of the application's own; `usual` is for everybody else.

    Raises `ValueError` for a catalogue that cannot be read, and for a `usual` language that is not there.
    """

    def __init__(self, folder: Path | None = None, usual: str = ENGLISH) -> None:
        known: dict[str, dict[str, str]] = {ENGLISH: {}}
        ours = list(files("backstay.mail").joinpath("languages").iterdir())
        theirs = sorted(folder.glob("*.toml")) if folder is not None and folder.is_dir() else []
        for entry in [*ours, *theirs]:
            code, _, kind = entry.name.rpartition(".")
            if kind == "toml":
                known.setdefault(_code(code, entry.name), {}).update(_words(entry.name, entry.read_text("utf-8")))
        self._known = {code: Language(code, words) for code, words in known.items()}
        if usual not in self._known:
            raise ValueError(f"There is no language {usual!r}: write mails/{usual}.toml, or use one of {self.codes}.")
        self.usual = usual

    @property
    def codes(self) -> Sequence[str]:
        """The codes of all languages."""
        return sorted(self._known)

    def of(self, code: str) -> Language:
        """The language with this code, else the one it is a kind of (`de` for `de-AT`), else the usual one."""
        while code:
            if (found := self._known.get(code)) is not None:
                return found
            code = code.rpartition("-")[0]
        return self._known[self.usual]

    def accepted(self, header: str) -> str:
        """The code of the language that an `Accept-Language` prefers among those there are (RFC 9110, 12.5.4).

        >>> Languages().accepted("fr, de-CH;q=0.9, en;q=0.8")
        'de'
        """
        wanted: list[tuple[float, str]] = []
        for part in header.split(",")[:20]:
            if (found := _RANGE.fullmatch(part)) is not None and found[2] not in ("0", "0.0", "0.00", "0.000"):
                wanted.append((-float(found[2] or 1), found[1]))
        for _, code in sorted(wanted, key=lambda one: one[0]):
            language, _, rest = code.partition("-")
            exact = self.of(f"{language.lower()}-{rest}" if rest else language.lower())
            if exact.code.partition("-")[0] == language.lower():
                return exact.code
        return self.usual


def _code(text: str, name: str) -> str:
    if not _CODE.fullmatch(text):
        raise ValueError(f"mails/{name}: a catalogue is named after its language, such as de.toml or pt-BR.toml.")
    return text


def _words(name: str, text: str) -> dict[str, str]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"mails/{name}: {error}") from None
    if wrong := next((key for key, value in found.items() if not isinstance(value, str)), None):
        raise ValueError(f'mails/{name}: write "sentence" = "translation"; {wrong} is none.')
    return found
