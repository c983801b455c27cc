"""The templates of mail: one file for each, from which the subject, the HTML and the text are made.

A template is written in blocks (`p`, `button`, `table`), which are HTML in one form and plain lines in the other, so
that both always say the same. Invariant: which template is used is decided by code, and a template is a file of ours
or of the developer's, never data; it runs in a sandbox, escapes every value in HTML, and a value that is missing is
an error. A file of the same name in `mails/` beside the application's file stands in the place of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backstay.errors import nearest
from backstay.mail.language import Languages

Form: TypeAlias = Literal["html", "text"]
ENDING = ".jinja"
WIDTH = 72
_HIDDEN = ("layout.html", "layout.text", "blocks.html", "blocks.text")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a template has made; an empty one (`empty`) is not sent."""

    subject: str
    html: str
    text: str

    @property
    def empty(self) -> bool:
        """Whether its file is empty, by which a mail of the house is turned off."""
        return not self.subject and not self.text


class Templates:
    """All templates of an application; `name` is what it is called, and `home` where its pages are.

    Raises `ValueError` for a file in `folder` that is no template, with its place.
    """

    def __init__(self, folder: Path | None, languages: Languages, *, name: str = "", home: str = "") -> None:
        self.languages = languages
        self._folder = folder if folder is not None and folder.is_dir() else None
        self._house = {"application": name, "home": home}
        self._forms: dict[Form, ImmutableSandboxedEnvironment] = {}
        for file in sorted(self._folder.glob(f"*{ENDING}")) if self._folder is not None else ():
            try:
                self._environment("html").get_template(file.name)
            except TemplateError as error:
                place = f"mails/{file.name}, line {getattr(error, 'lineno', None) or 1}"
                raise ValueError(f"{place}: {error}") from None

    @cached_property
    def names(self) -> frozenset[str]:
        """What the mails are called that can be sent."""
        files = self._environment("html").list_templates(extensions=[ENDING.removeprefix(".")])
        return frozenset(name.removesuffix(ENDING) for name in files) - set(_HIDDEN)

    @property
    def own(self) -> frozenset[str]:
        """The mails that the application has files for."""
        files = self._folder.glob(f"*{ENDING}") if self._folder is not None else ()
        return frozenset(file.name.removesuffix(ENDING) for file in files) - set(_HIDDEN)

    def check(self, mail: str) -> None:
        """Raise `LookupError` where there is no such mail."""
        if not _NAME.fullmatch(mail) or mail not in self.names:
            near = nearest(mail, sorted(self.names))
            raise LookupError(f'There is no mail "{mail}": write mails/{mail}{ENDING}.{near}')

    def render(self, mail: str, language: str, values: Mapping[str, Any]) -> Letter:
        """The letter of a mail with these values. Raises `TemplateError` for one that cannot be made."""
        self.check(mail)
        spoken = self.languages.of(language)
        known = {
            **values, **self._house, "language": spoken.code, "_": spoken.say, "money": spoken.money,
            "figure": spoken.figure, "date": spoken.date,
        }  # fmt: skip
        text = self._environment("text").get_template(f"{mail}{ENDING}")
        subject = ""
        if (block := text.blocks.get("subject")) is not None:
            subject = known["subject"] = " ".join("".join(block(text.new_context(known))).split())
        html = self._environment("html").get_template(f"{mail}{ENDING}")
        return Letter(subject, _ended(html.render(known)), _tidy(text.render(known)))

    def _environment(self, form: Form) -> ImmutableSandboxedEnvironment:
        if (known := self._forms.get(form)) is not None:
            return known
        loaders: list[BaseLoader] = [PackageLoader("backstay.mail", "letters")]
        if self._folder is not None:
            loaders.insert(0, FileSystemLoader(self._folder))
        made = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader(loaders), autoescape=form == "html", undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, auto_reload=True,
        )  # fmt: skip
        made.filters["link"] = _link
        made.filters["spread"] = _spread
        made.globals["layout"] = made.get_template(f"layout.{form}{ENDING}")
        made.globals["form"] = form
        blocks = made.get_template(f"blocks.{form}{ENDING}").module
        made.globals.update({name: getattr(blocks, name) for name in dir(blocks) if not name.startswith("_")})
        return self._forms.setdefault(form, made)


def _link(address: str) -> str:
    """An address that may stand behind a button: of the web, or of mail."""
    if not re.match(r"https?://|mailto:", address):
        raise TemplateError(f"{address[:80]!r} is no link: it begins with https://.")
    return address


def _spread(label: object, value: object) -> str:
    """A label and its value at the two ends of a line; on two lines where they do not fit."""
    label, value = " ".join(str(label).split()), " ".join(str(value).split())
    space = WIDTH - len(label) - len(value)
    return f"{label}{' ' * space}{value}" if space > 1 else f"{label}\n{value:>{WIDTH}}"


def _tidy(text: str) -> str:
    """Plain text without space at the ends of lines, and with one empty line at the most."""
    return _ended(re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())))


def _ended(text: str) -> str:
    """A text with one line break at its end; nothing stays nothing."""
    return (text := text.strip()) and f"{text}\n"
