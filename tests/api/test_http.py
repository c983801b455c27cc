"""The front answers everything: unknown addresses, methods, headers that contradict themselves, bodies too large."""

from typing import Any

import pytest

from backstay.api.action import Reply
from backstay.api.proxies import Hosts
from tests.api.asking import JSON, SEEN, ask, coming, front, scope

LENGTH = {**JSON, "content-length": "2"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("GET", "/api/nothing", b"", {}, 404, "not_found"),
        ("DELETE", "/api/notes", b"", {}, 405, "method_not_allowed"),
        ("GET", "/api/notes", b"", {}, 500, "internal_error"),
        ("POST", "/api/notes", b"{}", {}, 415, "unsupported_media_type"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-encoding": "gzip"}, 415, "unsupported_media_type"),
        ("POST", "/api/notes", b"{", JSON, 400, "malformed_json"),
        ("POST", "/api/notes", b'"\xff"', JSON, 400, "malformed_json"),
        ("POST", "/api/notes", b'"' + b"x" * 99 + b'"', JSON, 413, "too_large"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-length": "101"}, 413, "too_large"),
        ("POST", "/api/notes", b"{}", [*JSON.items(), ("content-type", "text/plain")], 400, "bad_request"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-length": "2, 2"}, 400, "bad_request"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-length": "-2"}, 400, "bad_request"),
        ("POST", "/api/notes", b"{}", {**JSON, "content-length": "9" * 20}, 400, "bad_request"),
        ("GET", "/much", b"", {"content-length": "x"}, 400, "bad_request"),
        ("POST", "/api/notes", b"{}", {**LENGTH, "transfer-encoding": "chunked"}, 400, "bad_request"),
        ("POST", "/api/notes", b"{}", {**JSON, "transfer-encoding": "gzip, chunked"}, 400, "bad_request"),
        ("GET", "/much", b"", [("host", "a"), ("host", "a")], 400, "bad_request"),
        ("GET", "/much", b"", [("authorization", "Bearer a"), ("authorization", "Bearer b")], 400, "bad_request"),
        ("POST", "/api/notes?" + "x" * 65, b"{}", JSON, 414, "uri_too_long"),
        ("GET", "/" + "x" * 65, b"", JSON, 414, "uri_too_long"),
        ("GET", "/much", b"", [(f"x-{n}", "") for n in range(101)], 431, "headers_too_large"),
        ("GET", "/much", b"", [("x-a", "a")] * 101, 431, "headers_too_large"),
        ("GET", "/much", b"", {"x-large": "x" * 16_385}, 431, "headers_too_large"),
        ("GET", "/much", b"", [("x-large", "x" * 8_200)] * 2, 431, "headers_too_large"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_a_problem(
    method: str, path: str, body: bytes, headers: Any, status: int, code: str
) -> None:
    limits = {"max_query": 64} if status == 414 else {"max_body": 100}
    found, answered, said = await ask(front(**limits), method, path, body, headers)
    assert (found, answered["content-type"]) == (status, "application/problem+json")
    assert f'"code":"{code}"'.encode() in said
    assert b"secrets" not in said
    assert [(status, answered["x-request-id"])] == SEEN


async def test_every_answer_has_the_headers_that_protect_it() -> None:
    for method, path in (("POST", "/api/notes"), ("GET", "/api/notes"), ("OPTIONS", "/api/notes"), ("GET", "/x")):
        _, headers, _ = await ask(front(), method, path, b"1", JSON)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


async def test_options_and_head_and_ids() -> None:
    target = front()
    status, headers, body = await ask(target, "OPTIONS", "/api/notes")
    assert (status, headers["allow"], body) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert "content-length" not in headers
    status, headers, body = await ask(target, "HEAD", "/api/notes")
    assert (status, body) == (500, b"")
    assert int(headers["content-length"]) > 0
    status, headers, body = await ask(target, "HEAD", "/much")
    assert (status, body, headers["content-length"]) == (200, b"", "4011")
    assert (await ask(target, "OPTIONS", "*"))[0] == 204
    assert (await ask(target, "OPTIONS", "/nothing"))[0] == 404
    _, headers, _ = await ask(target, "GET", "/x", headers={"x-request-id": "mine-1"})
    assert headers["x-request-id"] == "mine-1"
    _, headers, _ = await ask(target, "GET", "/x", headers={"x-request-id": "not mine\n"})
    assert headers["x-request-id"] != "not mine\n"


async def test_variables_of_a_path() -> None:
    target = front()
    assert (await ask(target, "PATCH", "/api/notes/7", b"1", JSON))[2] == b"71"
    assert (await ask(target, "POST", "/api/notes/7/parts/8", b"1", JSON))[2] == b"71"
    assert (await ask(target, "PATCH", "/api/notes/", b"1", JSON))[0] == 404


async def test_other_hosts_are_not_served() -> None:
    hosts = Hosts(["shop.example.com", "*.example.org", "[::1]"])
    target = front({"hosts": hosts})
    for host in ("shop.example.com", "SHOP.example.com:8000", "shop.example.com.", "a.example.org", "[::1]:80", ""):
        assert (await ask(target, "GET", "/much", headers={"host": host}))[0] == 200, host
    for host in ("evil.com", "shop.example.com.evil.com", "evilshop.example.com", "example.org", "evilexample.org",
                 "shop.example.com@evil.com", "shop.example.com:80:80", "shop.example.com/a", "127.0.0.1"):  # fmt: skip
        status, _, body = await ask(target, "GET", "/much", headers={"host": host})
        assert (status, b'"code":"wrong_host"' in body) == (421, True), host
    assert (await ask(target, "GET", "/healthz", headers={"host": "10.0.0.7:8000"}))[0] == 200
    assert (await ask(front(), "GET", "/much", headers={"host": "evil.com"}))[0] == 200


async def test_in_development_no_other_site_leads_here() -> None:
    target = front({"hosts": Hosts(loopback=True)})
    for host in ("localhost:8000", "shop.localhost", "127.0.0.1", "192.168.1.20:8000", "[::1]:8000"):
        assert (await ask(target, "GET", "/much", headers={"host": host}))[0] == 200, host
    for host in ("evil.com", "localhost.evil.com", "127.0.0.1.evil.com"):
        assert (await ask(target, "GET", "/much", headers={"host": host}))[0] == 421, host


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "a\r\nset-cookie: b"),
        ("x-a", "a\nb"),
        ("x-a", "a\0"),
        ("x a", "a"),
        ("x-a:", "a"),
        ("", "a"),
        ("x-a", "ł"),
    ],
)
def test_a_reply_cannot_begin_another_header(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="is no header"):
        Reply("x", headers=[(name, value)])


async def test_who_left_is_told_nothing_and_the_log_says_so() -> None:
    target = front()

    async def gone(message: Any) -> None:
        raise BrokenPipeError

    await target(scope("GET", "/much"), coming(), gone)
    assert [status for status, _ in SEEN] == [499]
    assert target.shedding.inside == 0
