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
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import Status, events, from_schema
from schemathesis.generation.meta import TestPhase

from backstay.cli.load import load_app
from tests.contract.excuses import Answered, excuse_of
from tests.contract.shop import FILE, PASSWORD, Shop, address

VIEWERS = ("", "customer", "staff")
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

    def add(self, other: Findings) -> None:
        """Take in what another exploration found."""
        for label, answers in other.answers.items():
            self.answers[label] += answers
        for mine, more in ((self.checks, other.checks), (self.excused, other.excused), (self.requests, other.requests)):
            mine.update(more)
        self.failures |= other.failures
        self.errors += other.errors
        self.seconds += other.seconds

    def told(self) -> str:
        """What is wrong, for a person."""
        return "\n\n".join([*self.errors, *self.failures.values()])


def finite(document: dict[str, Any], depth: int, few: int | None = None) -> dict[str, Any]:
    """The document with filters and new records that end: conditions, relations and records inside `depth` levels deep.

    A `where` holds filters of related records, which hold filters, and a new record new ones: every generator of
    values and every list of all cases is without end there. At the end of filters only fields are tested, and `few` of
    them where that is said; at the end of records all is sent that is no record.
    """
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    endless = {f"#/components/schemas/{name}": schemas.pop(name) for name in list(schemas) if _endless(name)}

    def leads_on(node: Any) -> bool:
        if isinstance(node, dict):
            return node.get("$ref") in endless or any(leads_on(part) for part in node.values())
        return isinstance(node, list) and any(leads_on(part) for part in node)

    def at(level: int, node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("$ref") in endless:
                return {**node, "$ref": f"{node['$ref']}{level}"}
            return {name: at(level, part) for name, part in node.items()}
        return [at(level, part) for part in node] if isinstance(node, list) else node

    def ended(properties: dict[str, Any], most: int | None) -> dict[str, Any]:
        found = {}
        for name, schema in properties.items():
            if "anyOf" in schema:
                schema = {**schema, "anyOf": [way for way in schema["anyOf"] if not leads_on(way)]}
            if not leads_on(schema):
                found[name] = schema
        return dict(list(found.items())[:most])

    made: dict[str, Any] = {}
    for reference, schema in endless.items():
        name = reference.rpartition("/")[2]
        most = few if name.endswith("Filter") else None
        for level in range(depth + 1):
            inner = at(level - 1, schema["properties"]) if level else ended(schema["properties"], most)
            made[f"{name}{level}"] = {**schema, "properties": inner}
    document = at(depth, document)
    document["components"]["schemas"].update(made)
    return document


def _endless(name: str) -> bool:
    return name.endswith("Filter") or ("Create" in name and not name.endswith("Created"))


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document in which answers hold what it names and nothing else, so that what it leaves out is found.

    The document that is served lets answers grow: who reads them must not stumble over what is new.
    """
    document = copy.deepcopy(document)
    whole = document["components"]["schemas"].get("Problem", {})
    reading = [
        *document["components"]["schemas"].values(), *document["components"]["responses"].values(),
        *(operation["responses"] for item in document["paths"].values() for operation in item.values()),
    ]  # fmt: skip

    def close(node: Any) -> None:
        if isinstance(node, dict):
            open_ended = "openapi" in node.get("properties", {})  # the document itself, of which we name a few parts
            if node.get("type") == "object" and "properties" in node and not open_ended:
                node.setdefault("additionalProperties", False)
            for part in node.values():
                close(part)
        elif isinstance(node, list):
            for part in node:
                close(part)

    close(reading)
    assert whole.get("additionalProperties") is False
    return document


@dataclass
class Run:
    """A thorough exploration as one viewer."""

    operations: set[str]
    missed: set[str]
    findings: Findings


def run(who: str, folder: Path, *, examples: int, seed: int = 1, database: str = "", listing: bool = True) -> Run:
    """Everything that schemathesis can do, as somebody (nobody when empty), in a shop of their own.

    What enumerates goes through all that the tests of fields can say for the staff, who see the most; for the others
    through two fields of each model. What draws values draws conditions inside conditions as well. Without `listing`
    values are drawn only.
    """
    shop = Shop(folder, database)
    try:
        document = shop.document(who)
        drawn = finite(document, 1, 3)
        found = explore(
            shop, folder, who, phases=("examples", "fuzzing", "stateful"), examples=examples, document=drawn, seed=seed
        )
        if listing:
            listed = finite(document, 0, None if who == "staff" else 2)
            found.add(explore(shop, folder, who, phases=("coverage",), examples=examples, document=listed, seed=seed))
    finally:
        shop.stop()
    may = operations_of(document, open_only=not who)
    return Run(operations_of(document), may - found.reached(), found)


def operations_of(document: dict[str, Any], *, open_only: bool = False) -> set[str]:
    """The operations of a document; those for which nobody needs to be signed in."""
    return {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method, operation in item.items()
        if not open_only or {} in operation["security"]
    }  # fmt: skip


@cache
def whole() -> dict[str, Any]:
    """The developer's document, with what anybody may do."""
    return load_app(str(FILE)).openapi()


def explore(
    shop: Shop, folder: Path, who: str, *, phases: tuple[str, ...], examples: int, document: dict[str, Any],
    seed: int = 1,
) -> Findings:  # fmt: skip
    """Explore as somebody: the answers, the checks and what failed."""
    config = SchemathesisConfig.from_dict({
        "base-url": shop.url, "seed": seed, "continue-on-failure": True, "request-timeout": 60,
        "suppress-health-check": ["too_slow"],  # a busy machine is no failure
        "auth": _identities(folder, who) if who else {"auto-signup": False},
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "phases": {name: {"enabled": name in phases} for name in PHASES},
    })  # fmt: skip
    schema = schemathesis.openapi.from_dict(closed(document), config=config)
    found = Findings()
    methods = {path: set(item) for path, item in whole()["paths"].items()}

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
    def map_case(context: Any, case: Any) -> Any:
        return known.put_into_case(case)

    @schema.hook
    def map_query(context: Any, query: Any) -> Any:
        return known.asked(context.operation.path, query)

    @schema.hook
    def map_headers(context: Any, headers: Any) -> Any:
        return known.told(headers)

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
        self.keys = shop.seen_by(who)

    def put_into_case(self, case: Any) -> Any:
        """A case of the enumerated phases, to which the other hooks do not come, and a key of its own for any case."""
        meta = case.meta
        if meta is not None and meta.phase.name in (TestPhase.COVERAGE, TestPhase.EXAMPLES):
            if not meta.is_negative_at(ParameterLocation.PATH):
                case.path_parameters = self.lead_to(case.path, case.path_parameters)
            if not meta.is_negative_at(ParameterLocation.QUERY):
                case.query = self.asked(case.path, case.query)
            if not meta.is_negative_at(ParameterLocation.HEADER):
                case.headers = self.told(case.headers)
            if not meta.is_negative_at(ParameterLocation.BODY):
                case.body = self.put_into(case.operation.definition.raw["operationId"], case.body)
        keyed = "Idempotency-Key" in (case.headers or {})
        if keyed and (meta is None or not meta.is_negative_at(ParameterLocation.HEADER)):
            case.headers["Idempotency-Key"] = str(uuid5(NAMESPACE_URL, repr((case.path_parameters, case.body))))
        return case

    def lead_to(self, path: str, parameters: Any) -> Any:
        """The id of a record that is there, mostly, instead of one that is none or nobody's."""
        if not isinstance(parameters, dict) or "id" not in parameters or _seldom(parameters):
            return parameters
        keys = self.keys.get(path.split("/")[2], [])
        if self.who and path == "/api/auth/sessions/{id}":
            keys = [self.shop.session(self.who)]
        if self.who and path == "/api/auth/keys/{id}":
            keys = [self.shop.api_key(self.who)]
        return _replaced(parameters, {"id": keys[_chance(parameters) % len(keys)]}) if keys else parameters

    def asked(self, path: str, query: Any) -> Any:
        """The query without what can only be wrong: a cursor that is none, an order by what is not asked for.

        Cursors that links carry are put in later.
        """
        if not query:
            return query
        query = {name: value for name, value in query.items() if name != "cursor"}
        if path.endswith("/aggregate") and isinstance(query.get("sort"), list) and not _seldom(query):
            fns = ("count_distinct", "sum", "avg", "min", "max")
            labels = {f"{fn}.{name}" for fn in fns for name in query.get(fn, [])}
            labels |= {*query.get("group_by", [])} | ({"count"} if "*" in query.get("count", []) else set())
            kept = [key for key in query["sort"] if str(key).removeprefix("-") in labels]
            query = {**query, "sort": kept} if kept else {n: value for n, value in query.items() if n != "sort"}
        return query

    def told(self, headers: Any) -> Any:
        """The headers, mostly without preconditions that never hold; links carry some that do."""
        if not headers or _seldom(headers):
            return headers
        return type(headers)({n: value for n, value in headers.items() if n not in ("If-Match", "If-None-Match")})

    def put_into(self, operation: str, body: Any) -> Any:
        """The body, or one of the same form that can succeed."""
        if not isinstance(body, dict) or _seldom(body):
            return body
        entry = {"email": address(self.who or "customer"), "password": PASSWORD}
        some = {plural: keys[_chance(body) % len(keys)] for plural, keys in self.keys.items() if keys}
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
                lines = [_replaced(line, {"product": some["shelf"]}) for line in body["items"]]
                return {**body, "items": lines}
        return body


def _chance(value: Any) -> int:
    return zlib.crc32(repr(value).encode())


def _seldom(value: Any) -> bool:
    """One in four, and always the same ones, stay as they were made."""
    return _chance(value) % 4 == 0


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
