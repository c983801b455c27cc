"""The one canonical form of an email address, in which it is stored, compared and written to.

Invariant: the form is stable (the form of the form is itself), its domain is ASCII and nothing in it is invisible,
so two addresses that a person cannot tell apart by case, width or hidden characters are one account.
"""

from __future__ import annotations

import re
import unicodedata

from backstay.model.value import Kind, Unfit, clean_text, parse

_EMAIL = Kind("text", format="email")
_LONGEST = 254  # of an address on its way through mail servers (RFC 5321, 4.5.3.1.3)
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def canonical_address(raw: object) -> str:
    """The address under which an account is kept: without space around it, NFKC, case folded.

    Raises `Unfit` where the result is no address. Domains beyond ASCII are refused and not translated, because the
    standards for that disagree (is straße.de strasse.de?) and mail must go where its reader believes: write `xn--`.

    >>> canonical_address(" Ada@Example.COM ")
    'ada@example.com'
    """
    text = clean_text(raw).strip()
    if len(text) > _LONGEST:
        raise Unfit("too_long", f"must have at most {_LONGEST} characters, and has {len(text)}")
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    value: str = parse(_EMAIL, text)
    _, _, domain = value.rpartition("@")
    if not _DOMAIN.fullmatch(domain):
        raise Unfit("bad_format", "must have a domain of letters, digits and hyphens; write others in their xn-- form")
    if any(unicodedata.category(character)[0] in "CZ" for character in value):
        raise Unfit("bad_character", "must not contain invisible characters")
    return value
