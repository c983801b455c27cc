"""A text that a spreadsheet would take for a formula is marked where it goes into a CSV file.

Invariant: what `marked` has made, `plain` makes what it was; so a file that goes out and comes in again is the same.
OWASP, CSV Injection: https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a formula begins with, full-width forms too."""


def marked(text: str) -> str:
    """The text with an apostrophe before what would be a formula, as spreadsheets write it themselves."""
    return f"'{text}" if text.lstrip("'").startswith(SIGNS) else text


def plain(text: str) -> str:
    """The text without that apostrophe."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(SIGNS) else text
