"""GraphiQL, in development: a page to write documents in, with the schema of whoever asks beside it.

Invariant: as for the documentation page, everything it needs is in the package, and its policy lets nothing be loaded
from or sent to another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

GRAPHIQL_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page and its files; its editor writes styles into the page."""
GRAPHIQL_FILES: Mapping[str, tuple[str, str]] = {
    f"/docs/graphiql/{name}": (f"text/{'css' if name.endswith('css') else 'javascript'}; charset=utf-8", name)
    for name in ("graphiql.css", "page.css", "react.js", "react-dom.js", "graphiql.js", "init.js")
}
"""The files of the page: the path of each, its content type and its name."""


@cache
def graphiql_file(name: str = "index.html") -> bytes:
    """The bytes of a file, or of the page; read from the package when first asked for."""
    return files("backstay.api").joinpath("static", "graphiql", name).read_bytes()
