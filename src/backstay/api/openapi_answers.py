"""What an OpenAPI document says about answers of every kind: errors with their codes, headers, sessions.

Invariant: the codes and statuses of errors are those of `errors.CODES`; none is listed here by hand.
"""

from __future__ import annotations

from typing import Any

from backstay.api.json_schema import CLEAN
from backstay.auth.password import LONGEST, SHORTEST
from backstay.errors import CODES

PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What happened and what to do, for a person."},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "request_id": {"type": "string", "description": "Names this request to those who run the service."},
        "errors": {
            "type": "array",
            "description": "Every wrong value, where the input was read and refused.",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("path", "code", "message")},
                "required": ["path", "code", "message"],
            },
        },
        "why": {
            "type": "array",
            "description": "In development: the rule that refused, with the answer of each clause.",
            "items": {"type": "string"},
        },
    },
    "required": ["type", "title", "status", "code"],
}


def problem_responses(problem: dict[str, Any]) -> dict[str, Any]:
    """One response for each status that an error can have, with the codes that travel with it.

    The codes are those of Backstay; the application's own rules may answer with others of the same status.
    """
    found: dict[str, Any] = {}
    for status in sorted({code.status for code in CODES.values()}):
        codes = {name: code for name, code in CODES.items() if code.status == status}
        said_of = "\n".join(f"- `{name}`: {code.title}. {code.advice}" for name, code in codes.items())
        known = {"anyOf": [{"enum": list(codes)}, {"type": "string"}]}
        body = {"allOf": [problem, {"properties": {"status": {"const": status}, "code": known}}]}
        name, code = next(iter(codes.items()))
        example = {
            "type": f"urn:backstay:problem:{name}", "title": code.title, "status": status, "detail": code.advice,
            "instance": "/api", "code": name, "request_id": "3f2a9c0d5b7e1846",
        }  # fmt: skip
        found[f"Problem{status}"] = {
            "description": said_of, "content": {"application/problem+json": {"schema": body, "example": example}},
        }  # fmt: skip
        found[f"Problem{status}"]["headers"] = _headers(*_WITH.get(status, ()))
    waiting = {"$ref": "#/components/headers/RetryAfterWhileInProgress"}
    found["Problem409"]["headers"] = {"Retry-After": waiting, **found["Problem409"]["headers"]}
    return found


_WITH = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-ID")}


def answer(said_of: str, schema: dict[str, Any] | None, *headers: str, status: str = "200") -> dict[str, Any]:
    """One response that is no error; without a schema it has no body."""
    found: dict[str, Any] = {"description": said_of, "headers": _headers(*headers)}
    if schema is not None:
        found["content"] = {"application/json": {"schema": schema}}
    return {status: found}


def linked(
    responses: dict[str, Any], operation: str, name: str = "", *, body: Any = None, **parameters: str
) -> dict[str, Any]:
    """Say in each good answer with a body how another operation goes on from there; returns the responses."""
    link = {"operationId": operation, **({"parameters": parameters} if parameters else {})}
    for status, found in responses.items():
        if status.startswith("2") and "content" in found:
            found.setdefault("links", {})[name or operation] = {**link, **({"requestBody": body} if body else {})}
    return responses


def body(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """A JSON body that must be sent, or may be."""
    return {"required": required, "content": {"application/json": {"schema": schema}}}


SAME = answer("Not changed since the answer that `If-None-Match` names.", None, "ETag", status="304")
_TEXT = {"type": "string"}
HEADERS: dict[str, Any] = {
    "ETag": {
        "description": "Names this state of the answer: send it back in `If-None-Match`, and before a change in "
        "`If-Match`.",
        "schema": {"type": "string", "pattern": '^(?:W/)?"[^"]+"$'},
    },
    "Link": {
        "description": 'The next page, with `rel="next"`; absent on the last one.',
        "schema": {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
    },
    "Location": {
        "description": "Where the new record is; absent where many were made.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 0},
    },
    "RetryAfterWhileInProgress": {
        "description": "Seconds to wait, where `code` is `in_progress`.", "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to sign in.", "required": True, "schema": {"const": "Bearer"}},
    "Allow": {"description": "The methods that are served here.", "required": True, "schema": _TEXT},
    "X-Request-ID": {
        "description": "Names this request: the one that was sent in this header, or a new one.", "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
}  # fmt: skip
LOGIN = {
    "type": "object",
    "properties": {
        "email": {"type": "string", "examples": ["ada@example.com"]},
        "password": {"type": "string", "format": "password", "writeOnly": True},
        "cookie": {
            "type": "boolean",
            "default": False,
            "description": "Whether the tokens come as cookies, for pages of the same site.",
        },
    },
    "required": ["email", "password"],
    "additionalProperties": False,
}
REFRESH = {
    "type": "object",
    "properties": {
        "refresh_token": {
            "type": "string",
            "writeOnly": True,
            "description": "Left out where the refresh token is in a cookie.",
        }
    },
    "additionalProperties": False,
}
PASSWORD = {
    "type": "object",
    "properties": {
        "current_password": {"type": "string", "format": "password", "writeOnly": True},
        "new_password": {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": SHORTEST,
            "maxLength": LONGEST,
            "pattern": CLEAN,
        },
    },
    "required": ["current_password", "new_password"],
    "additionalProperties": False,
}
TOKENS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer", "description": "Seconds until the access token ends."},
        "refresh_token": {"type": "string", "description": "Good once, at `/api/auth/refresh`."},
    },
    "required": ["access_token", "token_type", "expires_in", "refresh_token"],
}
TICKET: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ticket": {"type": "string", "description": "The parameter `ticket` of a live list or record."},
        "expires_in": {"type": "integer", "description": "Seconds until it opens nothing."},
    },
    "required": ["ticket", "expires_in"],
}
IN_COOKIES: dict[str, Any] = {
    "type": "object",
    "properties": {"expires_in": TOKENS["properties"]["expires_in"]},
    "required": ["expires_in"],
    "not": {"required": ["access_token"]},
}
_INSTANT = {"type": "string", "format": "date-time"}
SESSIONS = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "created_at": _INSTANT,
            "refreshed_at": {"type": ["string", "null"], "format": "date-time"},
            "expires_at": _INSTANT,
            "current": {"type": "boolean", "description": "Whether it is the one that asks."},
        },
        "required": ["id", "created_at", "refreshed_at", "expires_at", "current"],
    }}},
    "required": ["data"],
}  # fmt: skip
_KEY = {
    "id": {"type": "string", "format": "uuid"},
    "name": {"type": "string"},
    "start": {"type": "string", "description": "How the key begins, to tell it from others."},
    "scopes": {"type": "array", "items": {"type": "string"}},
    "created_at": _INSTANT,
    "expires_at": {"type": ["string", "null"], "format": "date-time"},
    "used_at": {"type": ["string", "null"], "format": "date-time", "description": "To within ten minutes."},
}
API_KEYS = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": {
        "type": "object", "properties": _KEY, "required": list(_KEY),
    }}},
    "required": ["data"],
}  # fmt: skip
NEW_KEY = {
    "type": "object",
    "properties": {**_KEY, "key": {"type": "string", "description": "Shown this once; send it as a bearer token."}},
    "required": [*_KEY, "key"],
}
BATCHED = {
    "type": "object",
    "properties": {
        "data": {
            "type": "array",
            "description": "One answer for each operation, in their order.",
            "items": {
                "type": "object",
                "properties": {
                    "status": {"enum": [200, 201, 204]},
                    "body": {"type": ["object", "null"], "description": "The record, as its writer may read it."},
                    "location": {"type": "string", "format": "uri-reference", "description": "Of a new record."},
                },
                "required": ["status", "body"],
            },
        },
    },
    "required": ["data"],
}
FREE = {"*/*": {"schema": {"type": "string", "description": "Whatever the action made, of any type."}}}
DOCUMENT = {
    "type": "object",
    "description": "An OpenAPI document (https://spec.openapis.org/oas/v3.1.0).",
    "properties": {
        "openapi": {"const": "3.1.0"}, "info": {"type": "object"}, "paths": {"type": "object"},
        "components": {"type": "object"},
    },
    "required": ["openapi", "info", "paths", "components"],
}  # fmt: skip
ACCEPTED = {
    "type": "object",
    "properties": {"status": {"const": "accepted"}},
    "required": ["status"],
}


def session(user: dict[str, Any]) -> dict[str, Any]:
    """What a login answers: the tokens, or that they are in cookies."""
    properties = {"user": user, **TOKENS["properties"]}
    whole = {**TOKENS, "properties": properties, "required": list(properties)}
    short = {**IN_COOKIES, "properties": {"user": user, **IN_COOKIES["properties"]}, "required": ["user", "expires_in"]}
    return {"oneOf": [whole, short]}


def wanted_key(scopes: list[str]) -> dict[str, Any]:
    """What somebody sends who wants an API key, with some of these scopes."""
    told = "`read create update delete write`, for one model `orders:read`; `actions`, `action:name`."
    chosen = {"type": "array", "minItems": 1, "maxItems": 50, "items": {"enum": scopes}, "description": told}
    end = {"type": ["string", "null"], "format": "date-time", "description": "In the future. Without it, never."}
    name = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": CLEAN}
    return {
        "type": "object", "properties": {"name": name, "scopes": chosen, "expires_at": end},
        "required": ["name", "scopes"], "additionalProperties": False,
    }  # fmt: skip
