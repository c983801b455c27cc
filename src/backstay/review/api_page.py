"""The API of an application as one Markdown page, made from its OpenAPI document, with an example for each operation.

Invariant: an example satisfies the schema that it is an example of, wherever that can be done without a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_TEXTS = {
    "uuid": "0190c0de-0000-7000-8000-000000000001", "date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31",
    "time": "12:00:00", "email": "ada@example.com", "uri": "https://example.com", "duration": "PT1H",
    "password": "correct horse battery", "decimal": "1.5",
}  # fmt: skip
_UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_DEEPEST = 6


def page(document: Mapping[str, Any], name: str) -> Iterator[str]:
    """The lines of the page."""
    yield from (f"# The API of {name}", "", document["info"]["description"], "")
    yield "Errors are `application/problem+json` with a stable `code`. Who is signed in sends"
    yield "`Authorization: Bearer TOKEN`, with the `access_token` of `POST /api/auth/login` or an API key."
    yield ""
    for tag in document["tags"]:
        yield from (f"## {tag['name'].replace('_', ' ').capitalize()}", "")
        if tag.get("description"):
            yield from (tag["description"], "")
        for path, found in document["paths"].items():
            for method in _METHODS:
                if method in found and tag["name"] in found[method]["tags"]:
                    yield from _operation(document, path, method, found[method])


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### `{method.upper()} {path}`", "", f"{operation['summary'].rstrip('.')}.", "")
    if operation.get("description"):
        yield from (operation["description"], "")
    parameters = [_resolved(document, one) for one in operation.get("parameters", [])]
    for place, title in (("path", "In the path"), ("query", "Parameters"), ("header", "Headers")):
        if names := [one["name"] for one in parameters if one["in"] == place]:
            yield from (f"{title}: {', '.join(f'`{one}`' for one in names)}.", "")
    yield from ("```sh", *_request(document, path, method, operation, parameters), "```", "")
    for status, answer in sorted(operation["responses"].items()):
        if status[0] == "2" and "$ref" not in answer:
            yield from _answer(document, status, answer)


def _request(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], parameters: list[Any]
) -> Iterator[str]:
    for one in parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(example(document, one.get("schema", {}))))
    wanted = [one for one in parameters if one["in"] == "query" and one.get("required")]
    query = "&".join(f"{one['name']}={example(document, one.get('schema', {}))}" for one in wanted)
    address = f'"$URL{path}{"?" if query else ""}{query}"'
    words = ["curl" if method == "get" else f"curl -X {method.upper()}", address]
    if {} not in operation.get("security", [{}]):
        words.append('-H "Authorization: Bearer $TOKEN"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        sent = json.dumps(example(document, body.get("schema", {}), sent=True), ensure_ascii=False)
        words += ["-H 'Content-Type: application/json'", f"\\\n    -d {quote(sent)}"]
    yield from " ".join(words).split("\n")


def _answer(document: Mapping[str, Any], status: str, answer: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{status}: {answer['description']}", "")
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    if schema:
        text = json.dumps(example(document, schema), indent=2, ensure_ascii=False)
        yield from ("```json", *text.splitlines(), "```", "")


def example(document: Mapping[str, Any], schema: Any, *, sent: bool = False, depth: int = 0) -> Any:
    """A value that satisfies a schema; of what is sent the least that must be."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    schema = _merged(document, schema)
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("oneOf", "anyOf"):
        if schema.get(key):
            return example(document, schema[key][0], sent=sent, depth=depth + 1)
    kinds = schema.get("type", "object" if "properties" in schema else "null")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "null")
    match kind:
        case "object":
            return _object(document, schema, sent, depth)
        case "array":
            few = schema.get("minItems", 0) if depth > 3 else max(1, schema.get("minItems", 0))
            return [example(document, schema.get("items", {}), sent=sent, depth=depth + 1) for _ in range(few)]
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return schema.get("default", True)
        case _:
            return None


def _object(document: Mapping[str, Any], schema: Mapping[str, Any], sent: bool, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    wanted = [name for name in properties if name in schema.get("required", ())]
    if not wanted:  # the record's own fields; a part, and a change, may have any of them
        wanted = [name for name in properties if not (sent and properties[name].get("readOnly"))]
        wanted = wanted[: max(1, schema.get("minProperties", 0))] if sent else wanted
    return {name: example(document, properties[name], sent=sent, depth=depth + 1) for name in wanted}


def _text(schema: Mapping[str, Any]) -> str:
    text = _TEXTS.get(schema.get("format", ""), "text")
    if isinstance(schema.get("default"), str) and schema["default"]:
        text = schema["default"]
    if (found := _patterned(schema.get("pattern", ""))) is not None:
        return found
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return text.ljust(least, "x")[: max(most, least)] if "format" not in schema else text


def _patterned(pattern: str) -> str | None:
    """What a pattern asks for where it is a fixed text around an id, as addresses are."""
    inner = pattern.removeprefix("^").removesuffix("$").replace(_UUID, _TEXTS["uuid"])
    return inner if pattern and re.fullmatch(r"[\w/-]+", inner) else None


def _number(schema: Mapping[str, Any]) -> int | float:
    step: int | float = schema.get("multipleOf", 1)
    least: int | float = schema.get("minimum", schema.get("exclusiveMinimum", -step) + step)
    most: int | float = schema.get("maximum", schema.get("exclusiveMaximum", least + step + 1) - step)
    value = max(1 if step == 1 else step, least)
    return min(value, most) if least <= most else least


def _merged(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with what it refers to and is made of, as one."""
    schema = _resolved(document, schema)
    made: dict[str, Any] = {key: part for key, part in schema.items() if key != "allOf"}
    for part in schema.get("allOf", []):
        for key, value in _merged(document, part).items():
            if key == "properties":
                made[key] = {**value, **made.get(key, {})}
            elif key == "required":
                made[key] = [*made.get(key, []), *value]
            else:
                made.setdefault(key, value)
    return made


def _resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        here: Any = document
        for step in str(node["$ref"]).removeprefix("#/").split("/"):
            here = here[step.replace("~1", "/").replace("~0", "~")]
        node = here
    return node
