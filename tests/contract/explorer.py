"""schemathesis let loose on a served shop as one person: every phase, every check, what it found and what it reached.

Invariant: the document that is explored is the one that is served to that person, cut only where it has no end.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from tests.contract.excuses import Answered, excuse_of
from tests.contract.shop import PASSWORD, Shop, address

PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass
class Findings:
    """What one exploration found: the answers of each operation by status, checks made, and what failed."""

    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    checks: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    failures: dict[tuple[str, ...], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    seconds: float = 0

    def reached(self) -> set[str]:
        """The operations that answered well at least once."""
        return {label for label, answers in self.answers.items() if any(200 <= status < 300 for status in answers)}

    def told(self) -> str:
        """What is wrong, for a person."""
        return "\n\n".join([*self.errors, *self.failures.values()])


def finite(document: dict[str, Any], depth: int, few: int | None = None) -> dict[str, Any]:
    """The document with filters that end: conditions inside conditions and relations `depth` levels deep.

    A `where` holds filters of related records, which hold filters: every generator of values and every list of all
    cases is without end there. At the end only fields are tested, and `few` of them where that is said.
    """
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    filters = {f"#/components/schemas/{name}": schemas.pop(name) for name in list(schemas) if name.endswith("Filter")}

    def leads_on(node: Any) -> bool:
        if isinstance(node, dict):
            return node.get("$ref") in filters or any(leads_on(part) for part in node.values())
        return isinstance(node, list) and any(leads_on(part) for part in node)

    def at(level: int, node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("$ref") in filters:
                return {**node, "$ref": f"{node['$ref']}{level}"}
            return {name: at(level, part) for name, part in node.items()}
        return [at(level, part) for part in node] if isinstance(node, list) else node

    def ended(properties: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, schema in properties.items():
            if "anyOf" in schema:
                schema = {**schema, "anyOf": [way for way in schema["anyOf"] if not leads_on(way)]}
            if not leads_on(schema):
                found[name] = schema
        return dict(list(found.items())[:few])

    for reference, schema in filters.items():
        name = reference.rpartition("/")[2]
        for level in range(depth + 1):
            inner = at(level - 1, schema["properties"]) if level else ended(schema["properties"])
            schemas[f"{name}{level}"] = {**schema, "properties": inner}
    for parameter in document["components"]["parameters"].values():
        if "content" in parameter:
            parameter["content"] = at(depth, parameter["content"])
    return document


def explore(
    shop: Shop, folder: Path, who: str, whole: dict[str, Any], *, phases: tuple[str, ...], examples: int,
    document: dict[str, Any], seed: int = 1,
) -> Findings:  # fmt: skip
    """Explore as somebody (nobody when empty). `whole` is the developer's document, with what anybody may do."""
    config = SchemathesisConfig.from_dict({
        "base-url": shop.url, "seed": seed, "continue-on-failure": True, "request-timeout": 60,
        "auth": _identities(folder, who) if who else {"auto-signup": False},
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "phases": {name: {"enabled": name in phases} for name in PHASES},
    })  # fmt: skip
    schema = schemathesis.openapi.from_dict(document, config=config)
    found = Findings()
    methods = {path: set(item) for path, item in whole["paths"].items()}

    @schema.hook
    def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
        name = excuse_of(Answered(failure, case, response, methods))
        if name is not None:
            found.excused[name] += 1
        return name is None

    known = _Known(shop, who)

    @schema.hook
    def map_body(context: Any, body: Any) -> Any:
        return known.put_into(context.operation.definition.raw["operationId"], body)

    @schema.hook
    def map_path_parameters(context: Any, path_parameters: Any) -> Any:
        return known.lead_to(context.operation.path, path_parameters)

    begun = perf_counter()
    for event in from_schema(schema).execute():
        _note(found, event)
    found.seconds = perf_counter() - begun
    return found


class _Known:
    """What no schema can tell: credentials that are good and things that are there, put into some of the bodies.

    Which bodies is decided by what they hold, so that the same body is always treated alike.
    """

    def __init__(self, shop: Shop, who: str) -> None:
        self.shop = shop
        self.who = who

    def lead_to(self, path: str, parameters: Any) -> Any:
        """The id of a record that is there, mostly, instead of one that is none or nobody's."""
        chance = zlib.crc32(repr(parameters).encode())
        if not isinstance(parameters, dict) or chance % 4 == 0:
            return parameters
        plural = path.split("/")[2]
        keys = self.shop.keys[self.who if self.who and plural == "users" else plural] if plural != "auth" else []
        if path == "/api/auth/sessions/{id}" and self.who:
            keys = [self.shop.session(self.who)]
        return _replaced(parameters, {"id": keys[chance % len(keys)]}) if keys else parameters

    def put_into(self, operation: str, body: Any) -> Any:
        """The body, or one of the same form that can succeed."""
        if not isinstance(body, dict) or zlib.crc32(repr(body).encode()) % 4 == 0:
            return body
        entry = {"email": address(self.who or "customer"), "password": PASSWORD}
        chance = zlib.crc32(repr(body).encode())
        some = {plural: keys[chance % len(keys)] for plural, keys in self.shop.keys.items()}
        match operation:
            case "login":
                return _replaced(body, entry)
            case "refresh" if isinstance(body.get("refresh_token"), str):
                return _replaced(body, {"refresh_token": self.shop.login(self.who or "customer")["refresh_token"]})
            case "change_password":
                return _replaced(body, {"current_password": PASSWORD, "new_password": PASSWORD})
            case "create_review" | "put_review" | "update_review":
                return _replaced(body, {"product": some["products"]})
            case "create_product" | "put_product" | "update_product":
                return _replaced(body, {"category": some["categories"]})
            case "create_category" | "put_category" | "update_category":
                return _replaced(body, {"parent": some["categories"]})
            case "purchase" if isinstance(body.get("items"), list):
                lines = [_replaced(line, {"product": some["shelf"], "quantity": 1}) for line in body["items"]]
                return {**body, "items": lines}
        return body


def _replaced(body: Any, values: dict[str, Any]) -> Any:
    """The values in the place of those of the same type."""
    if not isinstance(body, dict):
        return body
    return {name: values[name] if name in values and type(part) is type(values[name]) else part
            for name, part in body.items()}  # fmt: skip


def _identities(folder: Path, who: str) -> dict[str, Any]:
    """How somebody signs in, again whenever their session has ended; and two people who must not see each other's."""
    file = folder / "identities.json"
    names = ["customer", "neighbour", "staff"]
    login = {"verb": "POST", "endpoint": "/api/auth/login", "contentType": "application/json"}
    token = {
        "extractFrom": "body", "extractSelector": "/access_token", "sendIn": "header", "sendName": "Authorization",
        "sendTemplate": "Bearer {token}",
    }  # fmt: skip
    entries = [
        {"name": name, "loginEndpointAuth": {
            **login, "payloadRaw": json.dumps({"email": address(name), "password": PASSWORD}), "token": token,
        }}
        for name in names
    ]  # fmt: skip
    file.write_text(json.dumps({"auth": entries}))
    return {"wfc": {"path": str(file), "user": who, "peers": ["customer", "neighbour"], "refresh_interval": 3600}}


def _note(found: Findings, event: Any) -> None:
    if isinstance(event, events.NonFatalError):
        found.errors.append(f"{event.label}: {event.info.title}. {event.info.message}")
    if isinstance(event, events.ScenarioFinished):
        for key, interaction in event.recorder.interactions.items():
            if interaction.response is not None and key in event.recorder.cases:
                label = event.recorder.cases[key].value.operation.label
                found.answers[label][interaction.response.status_code] += 1
                found.requests[event.phase.value] += 1
        for key, name, failure in _checked(event.recorder, found):
            _fail(found, event, key, name, failure)


def _checked(recorder: Any, found: Findings) -> Iterator[tuple[str, str, Any]]:
    for key, nodes in recorder.checks.items():
        for node in nodes:
            found.checks[node.name] += 1
            if node.status == Status.FAILURE:
                yield key, node.name, node.failure_info


def _fail(found: Findings, event: Any, key: str, name: str, info: Any) -> None:
    case = event.recorder.cases[key].value
    response = event.recorder.interactions[key].response
    told = response.text[:700] if response is not None else "no answer"
    said = (
        f"{case.operation.label}: {name} ({event.phase.value})\n{info.failure.message[:900]}\n{info.code_sample[:900]}"
    )
    found.failures.setdefault((case.operation.label, name, info.failure.message[:80]), f"{said}\n-> {told}")
