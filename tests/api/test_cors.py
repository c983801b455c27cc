"""CORS: the origins listed may read, by their whole text; nobody else, and never `null`."""

import pytest

from backstay.api.cors import Cors
from backstay.settings import origin
from tests.api.asking import JSON, ask, front

APP = "https://app.example.com"
LISTED = Cors([APP, "http://localhost:3000"])
NOT_LISTED = [
    "https://app.example.com.evil.com", "https://evil.com", "https://xapp.example.com", "http://app.example.com",
    "https://app.example.com:8443", "https://app.example.com/", "HTTPS://APP.EXAMPLE.COM", "null", "", "*",
    "https://app.example.com, https://evil.com", "http://localhost", "http://localhost:3001",
]  # fmt: skip


async def test_a_listed_origin_may_read_with_credentials() -> None:
    target = front({"cors": LISTED})
    for method, path, status in (("GET", "/much", 200), ("GET", "/x", 404), ("GET", "/api/notes", 500),
                                 ("PUT", "/much", 405), ("POST", "/api/notes", 415)):  # fmt: skip
        found, headers, _ = await ask(target, method, path, headers={"origin": APP})
        assert found == status
        assert headers["access-control-allow-origin"] == APP
        assert headers["access-control-allow-credentials"] == "true"
        exposed = set(headers["access-control-expose-headers"].split(", "))
        assert {"ETag", "Link", "Location", "Retry-After", "X-Request-ID", "Idempotency-Replayed"} <= exposed
        assert "Origin" in headers["vary"].split(", ")


@pytest.mark.parametrize("sent", NOT_LISTED)
async def test_another_origin_may_not(sent: str) -> None:
    target = front({"cors": LISTED})
    for method, more in (("GET", {}), ("OPTIONS", {"access-control-request-method": "GET"})):
        _, headers, _ = await ask(target, method, "/much", headers={"origin": sent, **more})
        assert [name for name in headers if name.startswith("access-control-")] == []
        assert "Origin" in headers["vary"].split(", ")


async def test_a_preflight_is_answered_for_every_route() -> None:
    target = front({"cors": LISTED})
    for path, methods in (("/api/notes", "GET, HEAD, OPTIONS, POST"), ("/api/notes/7", "OPTIONS, PATCH")):
        asked = {"origin": APP, "access-control-request-method": "PATCH", "access-control-request-headers": "x-any"}
        status, headers, body = await ask(target, "OPTIONS", path, headers=asked)
        assert (status, body) == (204, b"")
        assert headers["access-control-allow-origin"] == APP
        assert headers["access-control-allow-methods"] == methods
        assert headers["access-control-max-age"] == "7200"
        sent = set(headers["access-control-allow-headers"].split(", "))
        assert {"Authorization", "Content-Type", "If-Match", "Idempotency-Key", "X-CSRF-Token"} <= sent
    _, headers, _ = await ask(target, "OPTIONS", "/api/notes", headers={"origin": APP})
    assert "access-control-allow-methods" not in headers  # no preflight


async def test_nobody_is_allowed_where_nobody_is_listed() -> None:
    _, headers, _ = await ask(front(), "GET", "/much", headers={"origin": APP})
    assert "access-control-allow-origin" not in headers
    assert "Origin" not in headers["vary"]


async def test_any_origin_is_allowed_without_credentials_only() -> None:
    target = front({"cors": Cors(["*"])})
    _, headers, _ = await ask(target, "POST", "/api/notes", b"1", {"origin": "https://who.ever", **JSON})
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    _, headers, _ = await ask(
        target, "OPTIONS", "/much", headers={"origin": "null", "access-control-request-method": "GET"}
    )
    assert (headers["access-control-allow-origin"], headers["access-control-max-age"]) == ("*", "7200")


async def test_beside_any_origin_a_listed_one_still_has_credentials() -> None:
    target = front({"cors": Cors(["*", APP])})
    _, headers, _ = await ask(target, "GET", "/much", headers={"origin": APP})
    assert (headers["access-control-allow-origin"], headers["access-control-allow-credentials"]) == (APP, "true")
    assert "Origin" in headers["vary"]


def test_in_development_pages_of_this_machine_may_read() -> None:
    cors = Cors(loopback=True)
    for good in (b"http://localhost:5173", b"https://localhost", b"http://127.0.0.1:3000", b"http://[::1]:1",
                 b"http://shop.localhost:80"):  # fmt: skip
        assert cors.allows(good)
    for bad in (b"http://localhost.evil.com", b"http://evil.com", b"http://127.0.0.1.evil.com", b"null", b"",
                b"http://localhost:5173/x", b"http://user@localhost", b"http://localhost:555555"):  # fmt: skip
        assert not cors.allows(bad)
    assert not Cors().allows(b"http://localhost:5173")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443/", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_has_one_form(text: str, read: str) -> None:
    assert origin(text) == read


@pytest.mark.parametrize(
    "text",
    ["app.example.com", "https://", "https://a.com/x", "null", "*.example.com", "https://*.a.com", "ftp://a.com"],
)
def test_what_is_no_origin_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        origin(text)
