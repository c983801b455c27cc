"""The forms of tokens: three letters that say what it is for, and 32 random bytes that only its holder knows.

Invariant: what has another form is none, whatever it holds, and is refused before anything is looked up; the database
and the memory of a process hold the SHA-256 of a token and never the token.
"""

from __future__ import annotations

import hashlib
import re
from secrets import token_urlsafe
from typing import Literal

Purpose = Literal["access", "refresh", "key"]

_PREFIXES: dict[Purpose, str] = {"access": "bst_", "refresh": "bsr_", "key": "bsk_"}
_PURPOSES = {prefix: purpose for purpose, prefix in _PREFIXES.items()}
_FORM = re.compile(r"[a-z]{3}_[A-Za-z0-9_-]{43}")


def new_token(purpose: Purpose) -> str:
    """A token that nobody can guess."""
    return _PREFIXES[purpose] + token_urlsafe(32)


def purpose_of(token: str) -> Purpose | None:
    """What a token is for, by its form alone; nothing where it has none of the forms."""
    return _PURPOSES.get(token[:4]) if _FORM.fullmatch(token) else None


def digest(token: str) -> str:
    """What is stored of a token. No salt: 256 random bits have no dictionary."""
    return hashlib.sha256(token.encode()).hexdigest()
