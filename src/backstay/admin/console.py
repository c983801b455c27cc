"""The files of the console, as they are in the package.

Invariant: everything the page needs is in the package. Its policy lets it load from and send to this server alone, and
there is no inline script or style to allow; nobody can put it into a frame.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

CONSOLE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page and its files; pictures of products may come from anywhere."""
_KINDS = {"console.js": "text/javascript; charset=utf-8", "console.css": "text/css; charset=utf-8"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{name} admin</title>
<link rel="stylesheet" href="admin/console.css?v={version}">
<link rel="icon" href="data:,">
</head>
<body>
<div id="console" data-name="{name}"></div>
<noscript>The console needs JavaScript.</noscript>
<script type="module" src="admin/console.js?v={version}"></script>
</body>
</html>
"""


def console_page(name: str) -> str:
    """The page of the console of an application."""
    return _PAGE.replace("{name}", escape(name, quote=True)).replace("{version}", _version())


def console_file(name: str) -> tuple[str, bytes] | None:
    """The content type and the bytes of a file that the page loads; nothing for any other name."""
    return (_KINDS[name], _read(name)) if name in _KINDS else None


@cache
def _version() -> str:
    return sha256(b"".join(_read(name) for name in sorted(_KINDS))).hexdigest()[:12]


@cache
def _read(name: str) -> bytes:
    return files("backstay.admin").joinpath("static", name).read_bytes()
