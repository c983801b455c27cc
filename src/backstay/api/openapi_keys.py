"""What an OpenAPI document says about `Idempotency-Key`: the header on every unsafe operation, and what follows of it.

Invariant: the operations without it are those of `idempotency.EXCEPTIONS`, whatever the routes of an application are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from backstay.api.http import UNSAFE
from backstay.api.idempotency import ANONYMOUS_LENGTH, EXCEPTIONS

_SAID = (
    "Names this request, so that it can be sent again: it is done once, and answered alike. Best a random UUID, made "
    "and kept before the first try; at least 20 characters where nobody is signed in."
)
KEYS: dict[str, Any] = {
    "idempotency_key": {
        "name": "Idempotency-Key", "in": "header", "description": _SAID,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([ -~]*[!-~])?$"},
        "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    },
}  # fmt: skip
KEYS["idempotency_key_required"] = {**KEYS["idempotency_key"], "required": True}
REPLAYED = {
    "description": "`true` where the answer is the one that was given before to this `Idempotency-Key`.",
    "schema": {"const": "true"},
}


def keys(anonymous: bool) -> dict[str, Any]:
    """The parameters, for somebody who is not signed in or who is."""
    least = {"minLength": ANONYMOUS_LENGTH} if anonymous else {}
    return {name: {**said, "schema": {**said["schema"], **least}} for name, said in KEYS.items()}


def with_keys(paths: dict[str, Any], required: Collection[tuple[str, str]] = ()) -> dict[str, Any]:
    """The paths with the header on their unsafe operations; `required` are the methods and paths that demand it."""
    found: dict[str, Any] = {}
    for path, operations in paths.items():
        found[path] = {}
        for name, operation in operations.items():
            method = name.upper()
            keyed = method in UNSAFE and f"{method} {path}" not in EXCEPTIONS
            found[path][name] = _with_key(operation, (method, path) in required) if keyed else operation
    return found


def _with_key(operation: dict[str, Any], required: bool) -> dict[str, Any]:
    named = "idempotency_key_required" if required else "idempotency_key"
    parameters = [*operation.get("parameters", []), {"$ref": f"#/components/parameters/{named}"}]
    told = {"Idempotency-Replayed": {"$ref": "#/components/headers/IdempotencyReplayed"}}
    responses = {
        status: {**answer, "headers": {**answer.get("headers", {}), **told}} if status.startswith("2") else answer
        for status, answer in operation["responses"].items()
    }
    for status in ("409", "422"):
        responses.setdefault(status, {"$ref": f"#/components/responses/Problem{status}"})
    return {**operation, "parameters": parameters, "responses": dict(sorted(responses.items()))}
