"""The OpenAPI document of the example shop, walked part by part: nothing in it is empty, nameless or untrue.

Invariant: the routes are those of the router itself, so a new one without a word in the document fails here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from backstay.api.graphiql_page import GRAPHIQL_FILES
from backstay.api.http import Route
from backstay.api.openapi import openapi
from backstay.cli.load import load_app
from backstay.errors import CODES
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.testing import Trial
from tests.contract.shop import FILE

ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
VIEWERS = {
    "anonymous": ANONYMOUS, "customer": Actor(ADA), "staff": Actor(ADA, frozenset({"staff", "moderator"})),
    "reading key": Actor(ADA, scopes=frozenset({"read"})),
}  # fmt: skip
PAGES = {"/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/docs.css", "/docs/init.js",
         "/metrics", "/graphql", *GRAPHIQL_FILES}  # fmt: skip
"""Pages for people, the numbers for operators, and what has a schema of its own: no program of REST asks for them."""
app = load_app(str(FILE))


def documents() -> dict[str, dict[str, Any]]:
    """The document of each viewer, and the developer's."""
    from backstay.api.pages import action_docs

    docs = action_docs(app.actions)
    found = {
        name: openapi(app.schema, actor, app.limits, title="shop", version="1", actions=docs)
        for name, actor in VIEWERS.items()
    }
    return {**found, "developer": app.openapi()}


DOCUMENTS = documents()
Operation = tuple[str, str, dict[str, Any]]


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(document: dict[str, Any], node: Any) -> Any:
    """What stands at the end of the references of a node."""
    while isinstance(node, dict) and set(node) == {"$ref"}:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def walk(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a document with its place."""
    if isinstance(node, dict):
        yield place, node
        for name, part in node.items():
            yield from walk(part, f"{place}/{name}")
    elif isinstance(node, list):
        for at, part in enumerate(node):
            yield from walk(part, f"{place}/{at}")


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of the document that is not inside another one, with its place."""
    for name, schema in document["components"]["schemas"].items():
        yield f"/components/schemas/{name}", schema
    for place, node in walk({name: document[name] for name in ("paths", "components")}):
        if "/schemas/" not in place and isinstance(node.get("schema"), dict):
            yield f"{place}/schema", node["schema"]


def checker(document: dict[str, Any], place: str) -> jsonschema.Draft202012Validator:
    registry: Registry[Any] = Registry().with_resource("urn:it", Resource(document, DRAFT202012))
    return jsonschema.Draft202012Validator(
        {"$ref": f"urn:it#{place}"}, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.fixture(params=list(DOCUMENTS))
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DOCUMENTS[request.param]


def test_it_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    seen: list[str] = []
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["summary"][0].isupper(), (method, path)
        assert operation["tags"], (method, path)
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}, (method, path)
        assert "security" in operation, (method, path)
        seen.append(operation["operationId"])
    assert len(seen) == len(set(seen))


def test_every_parameter_is_described_and_named_once(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        parameters = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
        for parameter in parameters:
            assert parameter["description"], (method, path, parameter["name"])
            (schema,) = [parameter["schema"]] if "schema" in parameter else [
                content["schema"] for content in parameter["content"].values()
            ]  # fmt: skip
            assert schema, (method, path, parameter["name"])
        names = [(parameter["in"], parameter["name"]) for parameter in parameters]
        assert len(names) == len(set(names)), (method, path)
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}, (method, path)


def test_every_answer_is_described_and_none_is_empty(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            answer = resolved(document, answer)
            place = (method, path, status)
            assert answer["description"], place
            assert "X-Request-ID" in answer["headers"], place
            for content in answer.get("content", {}).values():
                assert resolved(document, content["schema"]), place
            good = status.startswith("2")
            assert good or status == "304" or "application/problem+json" in answer["content"], place
            assert not good or status == "204" or "content" in answer or method in ("POST", "PUT"), place
        assert any(status.startswith("2") for status in operation["responses"]), (method, path)


def test_no_schema_says_nothing(document: dict[str, Any]) -> None:
    for place, schema in schemas(document):
        for inner, node in walk(schema, place):
            if inner.rpartition("/")[2].isdigit() or "/properties/" in inner[-40:] or inner == place:
                if inner.rpartition("/")[2] in ("properties", "mapping", "discriminator"):
                    continue
                assert set(node) - {"description", "title", "readOnly", "writeOnly", "default"}, inner


def test_every_reference_and_link_leads_somewhere(document: dict[str, Any]) -> None:
    known = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for place, node in walk(document):
        if isinstance(node.get("$ref"), str):
            assert resolved(document, {"$ref": node["$ref"]}) is not None, place
    linked = 0
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for link in resolved(document, answer).get("links", {}).values():
                target = known[link["operationId"]]
                names = {resolved(document, part)["name"] for part in target.get("parameters", [])}
                assert set(link.get("parameters", {})) <= names
                linked += 1
    assert linked >= 15


def test_every_error_code_is_told_with_its_status(document: dict[str, Any]) -> None:
    for code, known in CODES.items():
        response = document["components"]["responses"][f"Problem{known.status}"]
        assert f"`{code}`" in response["description"]
    for method, path, operation in operations(document):
        told = set(operation["responses"])
        due = {"400", "401", "414", "421", "429", "431", "500", "503"}
        due |= {"408", "413", "415", "422"} if "requestBody" in operation else set()
        due |= {"404"} if path.endswith("/{id}") else set()
        due |= {"409", "403"} if method in ("POST", "PUT", "PATCH", "DELETE") and path.count("/") == 2 else set()
        due |= {"412"} if method in ("PUT", "PATCH", "DELETE") and path.startswith("/api/") and (
            "auth" not in path) else set()  # fmt: skip
        assert due <= told, (method, path, due - told)


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    count = 0
    for place, node in walk(document["components"]):
        for example in [*node.get("examples", []), *([node["default"]] if "default" in node else [])]:
            if isinstance(node.get("examples"), list) or "default" in node:
                found = jsonschema.Draft202012Validator({
                    name: part for name, part in node.items() if name not in ("examples", "default")
                }, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)  # fmt: skip
                errors = [error for error in found.iter_errors(example) if "$ref" not in str(error.schema)]
                assert not errors, (place, example)
                count += 1
    assert count > 20
    for place, node in walk(document["components"]["responses"], "/components/responses"):
        if "example" in node:
            checker(
                document, f"{place}/schema".replace("application/problem+json", "application~1problem+json")
            ).validate(node["example"])


def routes() -> list[Route]:
    from backstay.app import Running, open_store
    from backstay.settings import Settings

    running = Running(app, Settings(secret_key="x" * 32), open_store(Settings(), app.limits))
    return list(running.router.routes)


def test_the_router_and_the_developers_document_agree() -> None:
    """`Allow` is what the router says of itself; what it leaves out, nobody may do, which the next test asks."""
    served = {
        (method, route.path) for route in routes() if route.path not in PAGES
        for method in route.allow.split(", ") if method not in ("HEAD", "OPTIONS")
    }  # fmt: skip
    assert served == {(method, path) for method, path, _ in operations(DOCUMENTS["developer"])}
    for name in VIEWERS:
        assert {(method, path) for method, path, _ in operations(DOCUMENTS[name])} <= served


@pytest.fixture
async def t() -> AsyncIterator[Trial]:
    async with Trial(app) as trial:
        yield trial


async def test_what_is_not_in_the_document_of_a_viewer_is_refused_to_them(t: Trial) -> None:
    """Whatever the router would route: 401 or 403 before anything else is looked at, and 405 for the rest."""
    people: dict[str, Any] = {
        "anonymous": None, "customer": await t.user("ada@example.com"),
        "staff": await t.user("eve@example.com", roles=["staff", "moderator"]),
    }  # fmt: skip
    tried = 0
    for name, person in people.items():
        listed = {(method, path) for method, path, _ in operations(DOCUMENTS[name])}
        for route in routes():
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
                if (method, route.path) in listed or route.path in PAGES:
                    continue
                answer = await t.request(method, route.path.replace("{id}", ADA), [3], as_=person)
                assert answer.status == (405 if method not in route.handlers else 403 if person else 401), (
                    name, method, route.path, answer.status,
                )  # fmt: skip
                tried += 1
    assert tried > 100


async def test_what_needs_somebody_says_so(t: Trial) -> None:
    """An operation for the signed in is 401 for nobody, and an open one never is."""
    for method, path, operation in operations(DOCUMENTS["anonymous"]):
        answer = await t.request(method, path.replace("{id}", ADA), {} if "requestBody" in operation else None)
        needs = {} not in operation["security"]
        own = path in ("/api/auth/login", "/api/auth/refresh")  # there 401 is about what is in the body
        assert (answer.status == 401) is needs or own, (method, path, answer.status)
