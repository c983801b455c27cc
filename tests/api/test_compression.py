"""gzip where it is asked for and worth it; a strong tag of its own, and never where a secret may be."""

import gzip

import pytest

from backstay.api.compression import LARGE, accepts_gzip, compress, compresses
from backstay.api.http import Request, Response
from backstay.api.render import JSON_HEADERS, json_response
from tests.api.asking import ask, front, nobody

TEXT = b"green tea " * 400


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br, zstd", True),
        (b"GZIP", True),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        (b"*", True),
        (b"x-gzip", True),
        (b"gzip ; q=0.001", True),
        (b"identity;q=0.5, gzip;q=0.5", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, *", False),
        (b"identity", False),
        (b"identity;q=1, gzip;q=0.5", False),
        (b"*;q=0", False),
        (b"gzip;q=x", False),
        (b"notgzip", False),
    ],
)
def test_gzip_is_asked_for(accepted: bytes, packed: bool) -> None:
    assert accepts_gzip(accepted) is packed


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (b"application/json", True),
        (b"application/problem+json; charset=utf-8", True),
        (b"text/html; charset=utf-8", True),
        (b"text/event-stream", False),
        (b"image/svg+xml", True),
        (b"image/png", False),
        (b"application/zip", False),
        (b"application/octet-stream", False),
        (b"", False),
    ],
)
def test_only_texts_are_packed(kind: bytes, text: bool) -> None:
    assert compresses(kind) is text


async def test_an_answer_is_packed_only_when_asked() -> None:
    target = front()
    status, headers, body = await ask(target, "GET", "/much")
    assert "content-encoding" not in headers
    assert headers["etag"] == '"3-abc"'
    status, packed, small = await ask(target, "GET", "/much", headers={"accept-encoding": "gzip"})
    assert (status, packed["content-encoding"], packed["etag"]) == (200, "gzip", '"3-abc-gzip"')
    assert gzip.decompress(small) == body
    assert len(small) == int(packed["content-length"]) < len(body) / 10
    assert "Accept-Encoding" in headers["vary"].split(", ")
    assert packed["vary"] == headers["vary"]
    status, head, nothing = await ask(target, "HEAD", "/much", headers={"accept-encoding": "gzip"})
    assert (nothing, {**head, "x-request-id": ""}) == (b"", {**packed, "x-request-id": ""})


async def test_small_bodies_and_secrets_go_as_they_are() -> None:
    json = (b"content-type", b"application/json")
    for headers in (
        [json, (b"cache-control", b"no-store")],
        [json, (b"cache-control", b"public, no-transform")],
        [json, (b"content-encoding", b"br")],
        [(b"content-type", b"image/png")],
        [],
    ):
        assert await compress(TEXT, headers) == (TEXT, headers)
    target = front()
    _, found, _ = await ask(target, "POST", "/api/notes", b"1", {"content-type": "application/json",
                                                                 "accept-encoding": "gzip"})  # fmt: skip
    assert "content-encoding" not in found


async def test_large_bodies_are_packed_on_a_thread_all_the_same() -> None:
    large = TEXT * (LARGE // len(TEXT) + 1)
    packed, headers = await compress(large, [(b"content-type", b"text/plain"), (b"etag", b'W/"1"')])
    assert gzip.decompress(packed) == large
    assert headers == [(b"content-type", b"text/plain"), (b"etag", b'W/"1"'), (b"content-encoding", b"gzip")]


@pytest.mark.parametrize(
    ("tag", "sent", "status", "back"),
    [
        ('"3-abc"', '"3-abc"', 304, '"3-abc"'),
        ('"3-abc"', '"3-abc-gzip"', 304, '"3-abc-gzip"'),
        ('"3-abc"', '"2-x", "3-abc-gzip"', 304, '"3-abc-gzip"'),
        ('"3-abc"', "*", 304, '"3-abc"'),
        ('"3-abc"', '"3-abd-gzip"', 200, '"3-abc"'),
        ('"3-abc"', '"3-abc-gzip-gzip"', 200, '"3-abc"'),
        ('W/"abc"', 'W/"abc"', 304, 'W/"abc"'),
        ('W/"abc"', 'W/"abd"', 200, 'W/"abc"'),
    ],
)
async def test_what_a_client_has_in_either_form_is_not_sent_again(tag: str, sent: str, status: int, back: str) -> None:
    async def one(request: Request) -> Response:
        return json_response(request, b"{}", tag)

    target = front()
    target.router.add("/one", GET=one)
    found, headers, _ = await ask(target, "GET", "/one", headers={"if-none-match": sent})
    assert (found, headers["etag"]) == (status, back)


def test_what_holds_tokens_is_never_stored_and_so_never_packed() -> None:
    from backstay.api.accounts import _PRIVATE

    assert (b"cache-control", b"no-store") in _PRIVATE
    assert (b"cache-control", b"private, no-cache") in JSON_HEADERS
    assert nobody is not None
