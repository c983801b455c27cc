"""Answers become bytes: bodies, headers, entity tags, and the one writer of problems (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from backstay.api.compression import plain_tag
from backstay.errors import Problem
from backstay.store.engine import Found, as_bytes
from backstay.telemetry.trace import stage

if TYPE_CHECKING:
    from backstay.api.http import Header, Request, Response

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-site"),
)
"""On every answer. Pages add their own Content-Security-Policy; JSON is never rendered."""

JSON_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-cache"),
)
_PROBLEM_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"application/problem+json"),
    (b"cache-control", b"no-store"),
)


def digest(body: bytes) -> str:
    """A short hash of a representation."""
    return sha1(body, usedforsecurity=False).hexdigest()[:20]


def json_response(request: Request, body: bytes, tag: str, headers: Sequence[Header] = ()) -> Response:
    """200 with the body, or 304 where the client has it already."""
    from backstay.api.http import Response

    etag = tag.encode()
    if (known := request.header(b"if-none-match")) is not None:
        for part in known.split(b","):
            if (had := part.strip()) == b"*" or plain_tag(had) == etag:
                return Response(304, b"", [*JSON_HEADERS, (b"etag", etag if had == b"*" else had)])
    return Response(200, body, [*JSON_HEADERS, (b"etag", etag), *headers])


def one_response(request: Request, found: Found, status: int = 200, headers: Sequence[Header] = ()) -> Response:
    """A single record. Its tag holds the version, which `If-Match` compares, and the hash of this representation."""
    from backstay.api.http import Response

    with stage("render"):
        body = as_bytes(found.texts[0])
        tag = f'"{found.version}-{digest(found.sealed or body)}"'
        if status == 200:
            return json_response(request, body, tag, headers)
        return Response(status, body, [*JSON_HEADERS, (b"etag", tag.encode()), *headers])


def list_body(found: Found, cursor: str | None) -> bytes:
    """The body of a page whose total nobody asked for."""
    return b'{"data":' + found.array + b',"meta":' + msgspec.json.encode({"next_cursor": cursor}) + b"}"


def list_response(request: Request, found: Found, cursor: str | None) -> Response:
    """A page: the rows as the database wrote them, and where the next one begins."""
    meta: dict[str, Any] = {"next_cursor": cursor}
    if found.total is not None:
        meta["total"] = found.total
        if found.capped:
            meta["total_is_at_least"] = True
    tail = b',"meta":' + msgspec.json.encode(meta) + b"}"
    body = b'{"data":' + found.array + tail
    basis = body if found.sealed is None else found.sealed + tail
    headers = (
        [(b"link", f'<{request.address}?{_with_cursor(request.query, cursor)}>; rel="next"'.encode())] if cursor else []
    )
    return json_response(request, body, f'W/"{digest(basis)}"', headers)


def _with_cursor(query: bytes, cursor: str) -> str:
    kept = [part for part in query.decode("latin-1").split("&") if part and not part.startswith(("cursor=", "page="))]
    return "&".join([*kept, f"cursor={cursor}"])


def version_of(request: Request) -> int | None:
    """The version that `If-Match` names; `*` and no header name none. What is no tag of ours is no version's."""
    raw = request.header(b"if-match")
    if raw is None or raw.strip() == b"*":
        return None
    version = raw.strip().strip(b'"').partition(b"-")[0]
    return int(version) if version.isdigit() and len(version) < 19 else -1


def problem_body(problem: Problem, request_id: str, instance: str) -> dict[str, Any]:
    """The members of a problem; nothing of the machine is in them."""
    body: dict[str, Any] = {
        "type": f"urn:backstay:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = [{"path": e.path, "code": e.code, "message": e.message} for e in problem.errors]
    return body


def problem_response(problem: Problem, request: Request, why: Sequence[str] = ()) -> Response:
    """The one writer of errors. `why` explains a refusal, in development."""
    from backstay.api.http import Response

    headers: list[Header] = [*_PROBLEM_HEADERS]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.status in (429, 503) and "Retry-After" not in problem.headers:
        headers.append((b"retry-after", b"1"))
    instance = quote(request.address, safe="/:@!$&'()*+,;=~", errors="replace")
    body = problem_body(problem, request.id, instance)
    if why:
        body["why"] = why
    return Response(problem.status, msgspec.json.encode(body), headers)
