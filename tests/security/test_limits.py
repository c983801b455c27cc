"""Every limit there is, gone beyond: each field of `Limits` has an attack here, and one that has none fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any
from urllib.parse import quote

import pytest

from backstay import Limits
from backstay.testing import Answer, Person, Trial
from tests.security.conftest import make_app

Attack = Callable[[Trial, Person], Awaitable[Answer]]


def get(query: str, path: str = "/api/boards") -> Attack:
    """A question."""
    return lambda t, ada: t.get(f"{path}?{query}", as_=ada)


def post(body: Any, path: str = "/api/boards", headers: dict[str, str] | None = None) -> Attack:
    """A write."""
    return lambda t, ada: t.post(path, body, as_=ada, headers=headers)


def where(value: Any) -> str:
    return f"where={quote(json.dumps(value))}"


def raw(body: bytes) -> Attack:
    """A write of bytes."""
    json = {"content-type": "application/json"}
    return lambda t, ada: t.request("POST", "/api/boards", body=body, headers=json, as_=ada)


BOARD = {"text": "x"}
TEXTS = [{"text": {"ne": f"{n}"}} for n in range(31)]

# A limit, a small value of it, what goes beyond, and what is answered. What is just within is answered, too.
BEYOND: dict[str, tuple[int, Attack, Attack, int, str]] = {
    "max_page": (5, get("limit=5"), get("limit=6"), 400, "invalid_filter"),
    "max_depth": (2, get("expand=about.pages"), get("expand=about.pages.diary"), 400, "too_expensive"),
    "max_nodes": (12, get("fields=text"), get(
        "fields=id,text,likes,created_at,updated_at,about.id,about.title,about.created_at,about.updated_at,about.owner.id,"
        "about.owner.name,about.owner.email"), 400, "too_expensive"),
    "max_rows": (100, get("limit=9&expand[pages][limit]=9", "/api/diaries"),
                 get("limit=10&expand[pages][limit]=11", "/api/diaries"), 400, "too_expensive"),
    "max_conditions": (30, get(where({"and": TEXTS[:9]})), get(where({"and": TEXTS})), 400, "too_expensive"),
    "max_path": (1, get("about.title=x"), get("about.owner.email=x"), 400, "too_expensive"),
    "max_in": (3, get("likes[in]=1,2,3"), get("likes[in]=1,2,3,4"), 400, "invalid_filter"),
    "max_needle": (5, get("search=12345", "/api/diaries"), get("search=123456", "/api/diaries"), 400, "invalid_filter"),
    "max_offset": (10, get("page=2&limit=5"), get("page=9&limit=5"), 400, "too_expensive"),
    "max_sort": (2, get("sort=text"), get("sort=text,likes,-about"), 400, "invalid_sort"),
    "max_groups": (1, get("group_by=text&count=*", "/api/boards/aggregate"),
                   get("group_by=text,likes&count=*", "/api/boards/aggregate"), 400, "too_expensive"),
    "max_measures": (1, get("count=*", "/api/boards/aggregate"), get("count=*&sum=likes", "/api/boards/aggregate"),
                     400, "too_expensive"),
    "max_bulk": (3, post([BOARD] * 3), post([BOARD] * 4), 413, "too_large"),
    "max_operations": (2, post([{"method": "POST", "path": "/api/boards", "body": BOARD}] * 2, "/api/batch"),
                       post([{"method": "POST", "path": "/api/boards", "body": BOARD}] * 3, "/api/batch"), 413,
                       "too_large"),
    "max_body": (50, post({"text": "x" * 30}), post({"text": "x" * 50}), 413, "too_large"),
    "max_json_depth": (4, post({"text": "x"}), post({"text": [[[[1]]]]}), 400, "malformed_json"),
    "max_json_values": (20, post([BOARD] * 5), raw(b'{"text": "x", "likes": [' + b"1, " * 20 + b"1]}"), 413,
                        "too_large"),
    "max_headers": (10, post(BOARD), post(BOARD, headers={f"x-{n}": "1" for n in range(11)}), 431, "headers_too_large"),
    "max_header_bytes": (200, post(BOARD), post(BOARD, headers={"x-a": "a" * 201}), 431, "headers_too_large"),
    "max_query": (50, get("text=x"), get("text=" + "x" * 50), 414, "uri_too_long"),
    "max_parameters": (3, get("text=x&likes=1&limit=1"), get("text=x&likes=1&limit=1&count=none"), 400,
                       "too_expensive"),
    "max_nesting": (1, post({"text": "x", "about": None}),
                    post({"text": "x", "about": {"title": "x", "pages": [{"text": "x"}]}}), 422, "invalid"),
    "max_words": (2, get("search=one two", "/api/diaries"), get("search=one two three", "/api/diaries"), 400,
                  "too_expensive"),
}  # fmt: skip

# Those that are no matter of one request, or only bound a memory; and the test that goes beyond them.
ELSEWHERE = {
    "page": "a default", "nested": "a default", "count_cap": "tests/golden",
    "max_body_seconds": "tests/api/test_deadline.py", "max_bodies": "tests/api/test_body.py",
    "max_kept_answer": "tests/api/test_idempotency.py", "repeat_wait_ms": "tests/api/test_idempotency.py",
    "max_roots": "tests/api/test_graphql.py", "document_tokens": "tests/api/test_graphql.py",
    "document_width": "tests/api/test_graphql_door.py", "document_aliases": "tests/api/test_graphql_door.py",
    "document_length": "tests/api/test_graphql.py", "document_depth": "tests/api/test_graphql.py",
    "max_outbound_seconds": "tests/net/test_http.py", "max_outbound_connect_seconds": "tests/net/test_http.py",
    "max_outbound_body": "tests/net/test_http.py", "max_outbound_headers": "tests/net/test_http.py",
    "max_outbound_redirects": "tests/net/test_http.py", "max_outbound_connections": "tests/net/test_http.py",
    "max_request_seconds": "tests/api/test_deadline.py", "max_in_flight": "tests/api/test_shedding.py",
    "max_wait_ms": "tests/api/test_shedding.py", "max_statement_ms": "tests/store/test_group_commit.py",
    "max_steps_on_loop": "tests/store", "remembered_plans": "tests/store",
    "remembered_tokens": "tests/api/test_graphql.py",
    "live_heartbeat_seconds": "a default",
    **dict.fromkeys(("live_streams", "live_per_actor", "live_events", "live_bytes"),
                    "tests/api/test_live.py"),
}  # fmt: skip


def test_every_limit_is_gone_beyond_somewhere() -> None:
    named = {field.name for field in fields(Limits) if not isinstance(field.default, str)}
    assert named == set(BEYOND) | set(ELSEWHERE)
    assert not set(BEYOND) & set(ELSEWHERE)
    # How often something may be done: each is used up in tests/auth/test_tries.py, tests/api/test_rates.py
    # and tests/mail/test_post.py.
    assert len({field.name for field in fields(Limits)} - named) == 9


@pytest.mark.parametrize("name", BEYOND)
async def test_what_is_beyond_a_limit_is_refused_and_what_is_within_is_not(name: str) -> None:
    value, within, beyond, status, code = BEYOND[name]
    app = make_app()
    app.limits = Limits(**{name: value})
    async with Trial(app) as t:
        ada = await t.user("ada@example.com")
        assert (await within(t, ada)).ok()
        refused = await beyond(t, ada)
        assert (refused.status, refused.code) == (status, code), refused.body
        assert len(refused.body) < 2_000
