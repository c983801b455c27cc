"""What a GraphQL request says and the form of its answer, by the GraphQL-over-HTTP specification.

Invariant: every answer is made here, so an error has its stable code in `extensions` whatever it was, and no text of
the database or of Python is ever its message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backstay.api.graphql_names import camel
from backstay.api.graphql_schema import Refused, Wrong
from backstay.api.http import Header, Request, Response, split_query
from backstay.errors import BadRequest, FieldError, Problem

RESPONSE = "application/graphql-response+json"
PLAIN = "application/json"
_MEMBERS = ("query", "operationName", "variables", "extensions", "documentId")
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A document with its variables; `document_id` and `extensions` may name one that is known already."""

    query: str | None = None
    operation: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A field that could not be answered."""

    path: tuple[str | int, ...]
    problem: Problem


def media_type(request: Request) -> str:
    """The type of the answer that the client likes best; where it names none, it is plain JSON.

    Raises `Problem` `not_acceptable` where it takes neither.
    """
    accept = request.header(b"accept")
    if accept is None or not accept.strip():
        return PLAIN
    best, liked = "", 0.0
    for part in accept.decode("latin-1").split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((_weight(one) for one in parameters if one.startswith("q=")), 1.0)
        kind = {RESPONSE: RESPONSE, PLAIN: PLAIN, "*/*": PLAIN, "application/*": PLAIN}.get(name, "")
        if kind and weight > liked:
            best, liked = kind, weight
    if not best:
        raise Problem(f"Accept {RESPONSE} or {PLAIN}.", code="not_acceptable")
    return best


def _weight(parameter: str) -> float:
    try:
        return float(parameter[2:])
    except ValueError:
        return 0.0


async def posted(request: Request) -> Asked:
    """What the body of a POST asks. Raises what every body is refused with, and `bad_request`."""
    body = await request.object()
    for name in ("query", "operationName", "documentId"):
        if not isinstance(body.get(name), str | None):
            raise BadRequest(f"{name} must be a text.")
    for name in ("variables", "extensions"):
        if not isinstance(body.get(name), dict | None):
            raise BadRequest(f"{name} must be an object.")
    return Asked(
        body.get("query"), body.get("operationName"), body.get("variables") or {}, body.get("extensions") or {},
        body.get("documentId"),
    )  # fmt: skip


def queried(request: Request, limit: int) -> Asked:
    """What the query string of a GET asks; `variables` and `extensions` are JSON in it."""
    found: dict[str, str] = {}
    for name, value in split_query(request.query, limit):
        if name not in _MEMBERS:
            raise BadRequest(f'"{name}" is no parameter here: {", ".join(_MEMBERS)}.', code="unknown_parameter")
        if name in found:
            raise BadRequest(f'"{name}" is there twice.')
        found[name] = value
    return Asked(
        found.get("query"), found.get("operationName") or None, _object(found, "variables"),
        _object(found, "extensions"), found.get("documentId"),
    )  # fmt: skip


def _object(found: Mapping[str, str], name: str) -> Mapping[str, Any]:
    if not (text := found.get(name)):
        return _NOTHING
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest(f"{name} must be JSON.", code="malformed_json") from None
    if not isinstance(value, dict | None):
        raise BadRequest(f"{name} must be an object.")
    return value or {}


# Answers.


def data_response(media: str, data: bytes, failed: Sequence[Failed] = ()) -> Response:
    """What was found; a field that could not be answered is null in it, and its error stands beside."""
    body = b'{"data":' + data
    if failed:
        body += b',"errors":' + msgspec.json.encode([error_of(one.problem, one.path) for one in failed])
    return Response(200, body + b"}", _headers(media))


def problem_response(media: str, problem: Problem, request: Request) -> Response:
    """A request that was not carried out. Who takes plain JSON is told of a bad document with 200, as of old."""
    body = msgspec.json.encode({"errors": [error_of(problem, request=request)]})
    headers = _headers(media)
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.status in (429, 503) and "Retry-After" not in problem.headers:
        headers.append((b"retry-after", b"1"))
    return Response(problem.status, body, headers)


def refused_response(media: str, refused: Refused) -> Response:
    """A document that is not valid: what is wrong with it, and where."""
    errors = []
    for wrong in refused.wrong:
        error: dict[str, Any] = {"message": wrong.message}
        if wrong.places:
            error["locations"] = [{"line": line, "column": column} for line, column in wrong.places]
        errors.append({**error, "extensions": {"code": wrong.code}})
    return Response(200 if media == PLAIN else 400, msgspec.json.encode({"errors": errors}), _headers(media))


def error_of(problem: Problem, path: Iterable[str | int] = (), request: Request | None = None) -> dict[str, Any]:
    """A problem as an error of GraphQL: the same code as in REST, in `extensions`."""
    extensions: dict[str, Any] = {"code": problem.code}
    if problem.errors:
        extensions["errors"] = [_told(error) for error in problem.errors]
    if request is not None and problem.status >= 500:
        extensions["request_id"] = request.id
    error: dict[str, Any] = {"message": problem.detail}
    if path := list(path):
        error["path"] = path
    return {**error, "extensions": extensions}


def _told(error: FieldError) -> dict[str, str]:
    return {"path": camel(error.path), "code": error.code, "message": error.message}


def _headers(media: str) -> list[Header]:
    return [(b"content-type", f"{media}; charset=utf-8".encode()), (b"cache-control", b"private, no-store")]


__all__ = ["Asked", "Failed", "Refused", "Wrong"]
