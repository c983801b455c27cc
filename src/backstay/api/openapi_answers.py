"""What an OpenAPI document says about answers of every kind: errors with their codes, headers, sessions.

Invariant: the codes and statuses of errors are those of `errors.CODES`; none is listed here by hand.
"""

from __future__ import annotations

from typing import Any

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
        if status in (409, 429, 503):
            found[f"Problem{status}"]["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return found


def answer(said_of: str, schema: dict[str, Any] | None, *headers: str, status: str = "200") -> dict[str, Any]:
    """One response that is no error."""
    found: dict[str, Any] = {"description": said_of}
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    if schema is not None:
        found["content"] = {"application/json": {"schema": schema}}
    return {status: found}


def body(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON body that must be sent."""
    return {"required": True, "content": {"application/json": {"schema": schema}}}


SAME = {"304": {"description": "Not changed since the answer that `If-None-Match` names."}}
HEADERS = {
    "ETag": {"description": "Names this state of the answer.", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, with `rel="next"`; absent on the last one.', "schema": {"type": "string"}},
    "Location": {"description": "Where the new record is.", "schema": {"type": "string", "format": "uri-reference"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}
LOGIN = {
    "type": "object",
    "properties": {
        "email": {"type": "string"},
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
        "new_password": {"type": "string", "format": "password", "writeOnly": True, "minLength": 8, "maxLength": 128},
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
WANTED_KEY = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "scopes": {
            "type": "array", "minItems": 1, "maxItems": 50, "items": {"type": "string"},
            "description": "`read create update delete write`, for one model `orders:read`; `actions`, `action:name`.",
        },
        "expires_at": {"type": ["string", "null"], "format": "date-time", "description": "Without it, never."},
    },
    "required": ["name", "scopes"],
    "additionalProperties": False,
}  # fmt: skip
BATCH = {
    "type": "object",
    "properties": {
        "operations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "method": {"enum": ["POST", "PUT", "PATCH", "DELETE"]},
                    "path": {"type": "string", "examples": ["/api/things", "/api/things/{id}"]},
                    "body": {"type": "object", "description": "What the same request alone would send."},
                },
                "required": ["method", "path"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["operations"],
    "additionalProperties": False,
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
                    "status": {"type": "integer"},
                    "body": {"type": ["object", "null"], "description": "The record, as its writer may read it."},
                    "location": {"type": "string", "format": "uri-reference", "description": "Of a new record."},
                },
                "required": ["status", "body"],
            },
        },
    },
    "required": ["data"],
}
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
