"""One folding of text for `icontains` and search, done in Python on write and on every needle.

Invariant: databases never fold. They compare what `fold` and `words` made, so all of them find the same rows.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 64


def fold(text: str) -> str:
    """`text` without case and accents: `"Ährentee Café"` becomes `"ahrentee cafe"` (NFKD, casefold, no accents)."""
    if text.isascii():
        return text.lower()
    spread = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in spread if not unicodedata.combining(c))).replace("\x00", "")


def words(text: str) -> list[str]:
    """The folded words of `text`, in order, each cut at 64 characters."""
    return [word[:_LONGEST_WORD] for word in _WORD.findall(fold(text))]


def search_text(texts: list[str | None]) -> str:
    """What a store keeps beside a record for search: its words, in order, with a space around each."""
    found = [word for text in texts if text for word in words(text)]
    return f" {' '.join(found)} " if found else " "
