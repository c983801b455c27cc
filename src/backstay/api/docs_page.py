"""The documentation page: Swagger UI over the application's own OpenAPI document.

Invariant: everything it needs is in the package. The policy below lets the page load from this server alone, so a
script of another host could not run even if one were named; and there is no inline script or style to allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from importlib.resources import files

DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page and its files."""

_STATIC = {
    "/docs/swagger-ui.css": ("text/css; charset=utf-8", "swagger-ui/swagger-ui.css"),
    "/docs/swagger-ui-bundle.js": ("text/javascript; charset=utf-8", "swagger-ui/swagger-ui-bundle.js"),
    "/docs/docs.css": ("text/css; charset=utf-8", "docs.css"),
    "/docs/init.js": ("text/javascript; charset=utf-8", "init.js"),
}


def docs_files(title: str = "API", *, document: str = "openapi.json") -> Mapping[str, tuple[str, Callable[[], bytes]]]:
    """What to serve for the documentation: the content type and the bytes of each path, `/docs` being the page.

    `title` is shown on the page; `document` is the address of the OpenAPI document as seen from the page, which names
    its files so too: it may be served under any path. Send `DOCS_CSP` with every one.
    The bytes are read from the package when first asked for, and remembered.

    >>> docs_files("Shop")["/docs"][0]
    'text/html; charset=utf-8'
    """

    def page() -> bytes:
        text = _read("docs.html").decode()
        return text.replace("{title}", escape(title)).replace("{document}", escape(document)).encode()

    found: dict[str, tuple[str, Callable[[], bytes]]] = {"/docs": ("text/html; charset=utf-8", page)}
    for path, (kind, name) in _STATIC.items():
        found[path] = (kind, _reader(name))
    return found


def _reader(name: str) -> Callable[[], bytes]:
    return lambda: _read(name)


@cache
def _read(name: str) -> bytes:
    return files("backstay.api").joinpath("static", name).read_bytes()
