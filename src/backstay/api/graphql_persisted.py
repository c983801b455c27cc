"""GraphQL documents that are known by an id: those of a front end's build, and those that clients have shown before.

Invariant: where a list is given, nothing outside it is ever read, whatever id or text is sent; and a text is remembered
under its own hash only.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from backstay.api.graphql_exchange import Asked
from backstay.errors import BadRequest
from backstay.plan.limits import Limits

_AUTOMATIC = "persistedQuery"
_NOT_FOUND = "PersistedQueryNotFound"  # the text by which Apollo's clients know that they have to send the document


class Persisted:
    """The documents that are known by an id. With a list of them no others are answered."""

    def __init__(self, limits: Limits, listed: Mapping[str, str] | None = None) -> None:
        self.limits = limits
        self.listed = listed
        self._hashes = frozenset(map(hash_of, listed.values())) if listed is not None else None
        self._seen: dict[str, str] = {}
        self._weight = 0

    def text(self, asked: Asked) -> str:
        """The document that is asked. Raises `BadRequest`, `unknown_document` where it is known by no such id."""
        named = asked.document_id
        automatic = asked.extensions.get(_AUTOMATIC)
        if named is None and isinstance(automatic, dict):
            named = automatic.get("sha256Hash")
            if not isinstance(named, str):
                raise BadRequest("persistedQuery has the sha256Hash of a document.")
        if asked.query is None:
            if named is None:
                raise BadRequest('Send {"query": "{ ... }"}: there is no document.')
            return self._known(named, automatic is not None)
        if self._hashes is not None:
            if hash_of(asked.query) not in self._hashes:
                raise BadRequest("Only the documents that are listed here are answered.", code="unknown_document")
        elif automatic is not None:
            if named != hash_of(asked.query):
                raise BadRequest("The sha256Hash is not that of the document.")
            self._keep(named, asked.query)
        return asked.query

    def _known(self, named: str, automatic: bool) -> str:
        plain = named.removeprefix("sha256:")
        known = self.listed if self.listed is not None else self._seen
        for name in (named, plain):
            if (text := known.get(name)) is not None:
                return text
        raise BadRequest(_NOT_FOUND if automatic else "No document is known by this id.", code="unknown_document")

    def _keep(self, named: str, text: str) -> None:
        if named in self._seen or len(text) > self.limits.document_length:
            return
        self._seen[named] = text
        self._weight += len(text)
        while self._weight > self.limits.remembered_tokens * 8:
            self._weight -= len(self._seen.pop(next(iter(self._seen))))


def hash_of(text: str) -> str:
    """The hash by which a document is known."""
    return sha256(text.encode()).hexdigest()


def read_listed(path: str) -> dict[str, str]:
    """The documents of a file: `{id: text}` as Relay writes it, or the manifest of Apollo. Raises `ValueError`."""
    try:
        found: Any = msgspec.json.decode(Path(path).read_bytes())
        if isinstance(found, dict) and isinstance(found.get("operations"), list):
            found = {one["id"]: one["body"] for one in found["operations"]}
        listed = msgspec.convert(found, dict[str, str])
    except OSError as error:
        raise ValueError(f"BACKSTAY_GRAPHQL_DOCUMENTS: {path} cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        said = 'write {"id": "query ...", ...}, or the manifest of operations that Apollo makes.'
        raise ValueError(f"BACKSTAY_GRAPHQL_DOCUMENTS: {path} is no list of documents: {said}") from None
    return {**{hash_of(text): text for text in listed.values()}, **listed}
