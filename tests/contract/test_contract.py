"""What is served holds to its document: schemathesis, briefly. `make contract` asks for as long as it takes.

All checks of schemathesis are on, for each kind of viewer; what is excused and why stands in `excuses.py`.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract.excuses import EXCUSES
from tests.contract.explorer import VIEWERS, explore, finite, operations_of, whole
from tests.contract.shop import Shop

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.md"
CHECKS = {
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
    "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability",
    "object_level_authorization", "ignored_auth",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    served = Shop(tmp_path_factory.mktemp("shop"))
    yield served
    served.stop()


@pytest.mark.parametrize("who", VIEWERS, ids=lambda who: who or "anonymous")
def test_what_is_served_holds_to_its_document(shop: Shop, tmp_path: Path, who: str) -> None:
    document = shop.document(who)
    examples, phases = (2, ("fuzzing", "stateful")) if who == "staff" else (1, ("fuzzing",))
    found = explore(shop, tmp_path, who, phases=phases, examples=examples, document=finite(document, 0, 1))
    assert found.told() == ""
    assert set(found.checks) == CHECKS
    assert set(found.answers) == operations_of(document)
    assert len(found.reached()) >= len(operations_of(document, open_only=not who)) / 3
    assert set(found.excused) <= set(EXCUSES)


Faulty = Callable[[dict[str, Any]], None]


def _without_404(document: dict[str, Any]) -> None:
    del document["paths"]["/api/categories/{id}"]["get"]["responses"]["404"]


def _another_type(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["CategoryPart"]["properties"]["name"] = {"type": "integer"}


def _too_many(document: dict[str, Any]) -> None:
    document["components"]["parameters"]["limit"]["schema"]["maximum"] = 100_000


def _too_few(document: dict[str, Any]) -> None:
    document["components"]["parameters"]["limit"]["schema"]["maximum"] = 3


def _another_tag(document: dict[str, Any]) -> None:
    document["components"]["headers"]["ETag"]["schema"]["pattern"] = "^[0-9]+$"


def _a_header_that_is_not_there(document: dict[str, Any]) -> None:
    document["components"]["headers"]["Link"]["required"] = True


def _for_somebody(document: dict[str, Any]) -> None:
    document["paths"]["/api/categories"]["get"]["security"] = [{"bearer": []}]


def _without_a_field(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["CategoryPart"]["properties"]["name"]


def _another_content(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/categories"]["get"]["responses"]["200"]["content"]
    content["text/plain"] = content.pop("application/json")


def _without_422(document: dict[str, Any]) -> None:
    del document["paths"]["/api/auth/login"]["post"]["responses"]["422"]


def _another_method(document: dict[str, Any]) -> None:
    found = document["paths"]["/api/categories/aggregate"]
    found["delete"] = {**copy.deepcopy(found["get"]), "operationId": "delete_them"}


@pytest.mark.parametrize(
    ("fault", "check", "paths"),
    [
        (_without_404, "status_code_conformance", ["/api/categories/{id}"]),
        (_another_type, "response_schema_conformance", ["/api/categories"]),
        (_without_a_field, "response_schema_conformance", ["/api/categories"]),
        (_another_content, "content_type_conformance", ["/api/categories"]),
        (_without_422, "status_code_conformance", ["/api/auth/login"]),
        (_too_many, "positive_data_acceptance", ["/api/categories"]),
        (_too_few, "negative_data_rejection", ["/api/categories"]),
        (_another_tag, "response_headers_conformance", ["/api/categories"]),
        (_a_header_that_is_not_there, "response_headers_conformance", ["/api/categories"]),
        (_for_somebody, "ignored_auth", ["/api/categories"]),
        (_another_method, "status_code_conformance", ["/api/categories/aggregate"]),
    ],
)
def test_what_is_untrue_is_found(shop: Shop, tmp_path: Path, fault: Faulty, check: str, paths: list[str]) -> None:
    document = finite(shop.document(""), 0, 1)
    fault(document)
    document["paths"] = {path: item for path, item in document["paths"].items() if path in paths}
    for item in document["paths"].values():
        if "get" in item:
            item.pop("post", None)
        for operation in item.values():
            kept = {f"#/components/parameters/{name}" for name in ("id", "limit")}
            operation["parameters"] = [part for part in operation.get("parameters", []) if part.get("$ref") in kept]
            for answer in operation["responses"].values():
                answer.pop("links", None)
    found = explore(shop, tmp_path, "", phases=("coverage", "fuzzing"), examples=10, document=document)
    assert check in {name for _, name, _ in found.failures}, found.told()


def test_a_server_error_is_found_and_so_is_what_never_answers_well(tmp_path: Path) -> None:
    shop = Shop(tmp_path, file=Path(__file__).parent / "faulty.py")
    try:
        document = shop.document("")
        document["paths"] = {path: document["paths"][path] for path in ("/api/sound", "/api/broken", "/api/never")}
        found = explore(shop, tmp_path, "", phases=("fuzzing",), examples=2, document=document)
    finally:
        shop.stop()
    assert {(label, check) for label, check, _ in found.failures} == {("GET /api/broken", "not_a_server_error")}
    assert operations_of(document) - found.reached() == {"GET /api/broken", "GET /api/never"}


HEAD = b"Host: x\r\nConnection: close\r\n"


def headers(number: int) -> bytes:
    """A request with so many headers."""
    more = b"".join(b"X-%d: a\r\n" % n for n in range(number - 2))
    return b"GET /healthz HTTP/1.1\r\n" + HEAD + more + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (headers(80), ""),
        (headers(81), "headers_too_large"),
        (headers(100), "headers_too_large"),
        (headers(101), None),
        (b"GET /healthz?" + b"a" * 60_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", "uri_too_long"),
        (b"GET /healthz?" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", None),
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 60_000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", None),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, bytes) else f"{len(value)} bytes",
)
def test_what_is_too_long_is_told_as_everything_is_until_it_is_far_too_long(
    shop: Shop, sent: bytes, code: str | None
) -> None:
    """`None`: the server below us refuses it by its own limits, without a body, and ends the connection."""
    with socket.create_connection(("127.0.0.1", int(shop.url.rpartition(":")[2])), timeout=60) as connection:
        connection.sendall(sent)
        answered = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answered.partition(b"\r\n\r\n")
    status = head.split()[1]
    if code is None:
        assert (status, body) == (b"431", b"")
    elif code:
        assert status in (b"414", b"431")
        assert b"application/problem+json" in head
        assert msgspec.json.decode(body)["code"] == code
    else:
        assert status == b"200"


def test_no_excuse_is_without_a_reason() -> None:
    page = PAGE.read_text()
    for name, excuse in EXCUSES.items():
        assert excuse.reason.endswith("."), name
        assert len(excuse.reason) > 40, name
        assert f"| `{name}` | `{excuse.kind.__name__}` | {excuse.reason} |" in page
    assert whole()["paths"]
