"""The console's page and files, and the routes of jobs: for whom they are, and what they do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from backstay import App, Context, Permanent, anyone
from backstay.admin import Admin
from backstay.testing import Trial

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src" / "backstay" / "admin" / "static"
_numbers = count()


class Bell:
    """What rings, or does not."""

    def __init__(self) -> None:
        self.works = False
        self.rung = 0


def make_app(bell: Bell) -> App:
    app = App("chapel <&>", use=[Admin()])

    @app.job(attempts=2)
    async def ring(ctx: Context, secret: str) -> None:
        if not bell.works:
            raise Permanent("The rope is torn.")
        bell.rung += 1

    @app.action("POST /api/ring", allow=anyone)
    async def ask(ctx: Context) -> str:
        return await ctx.enqueue(ring, secret="vespers")

    return app


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture(params=["sqlite", "postgres"])
async def t(
    request: pytest.FixtureRequest, bell: Bell, postgres_database: Callable[[str], str]
) -> AsyncIterator[Trial]:
    address = "sqlite://" if request.param == "sqlite" else postgres_database(f"admin{next(_numbers)}")
    async with Trial(make_app(bell), address) as trial:
        yield trial


async def test_the_page_needs_nothing_of_elsewhere_and_names_the_application(t: Trial) -> None:
    page = (await t.get("/admin")).ok()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    text = page.body.decode()
    assert 'data-name="chapel &lt;&amp;&gt;"' in text
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=", text)
    for address in re.findall(r'(?:src|href)="(admin/[^"]+)"', text):
        file = (await t.get(f"/{address}")).ok()
        assert "immutable" in file.headers["cache-control"]
        assert len(file.body) > 1_000
    (await t.get("/admin/other.js")).refused("not_found")
    (await t.get("/admin/..%2f..%2f__init__.py")).refused("bad_request")


def test_what_is_served_is_built_of_these_sources() -> None:
    """`make console` builds it; the built script says of which sources, so that this needs no Node."""
    whole = sha256()
    for file in sorted((ROOT / "console" / "src").iterdir(), key=lambda file: file.name):
        whole.update(file.name.encode() + b"\0" + file.read_bytes())
    first = (STATIC / "console.js").read_text().splitlines()[0]
    assert f"Sources: {whole.hexdigest()}" in first, "Run `make console`."
    assert {file.name for file in STATIC.iterdir()} == {"console.js", "console.css"}


async def test_jobs_are_for_those_who_have_the_role(t: Trial) -> None:
    ada, boss = await t.user("ada@example.com", roles=["staff"]), await t.user("boss@example.com", roles=["admin"])
    (await t.get("/api/admin/jobs")).refused("not_signed_in")
    (await t.get("/api/admin/jobs", as_=ada)).refused("denied")
    assert (await t.get("/api/admin/jobs", as_=boss)).ok().json == {"data": []}
    key = (await t.post("/api/auth/keys", {"name": "x", "scopes": ["actions"]}, as_=boss)).ok().json["key"]
    (await t.get("/api/admin/jobs", headers={"authorization": f"Bearer {key}"})).refused("not_for_keys")
    shown = (await t.get("/openapi.json", as_=ada)).ok().json["paths"]
    assert not [path for path in shown if "admin" in path]
    assert "/api/admin/jobs" in (await t.get("/openapi.json", as_=boss)).ok().json["paths"]


async def test_what_was_given_up_on_is_shown_tried_again_and_ended(t: Trial, bell: Bell) -> None:
    boss = await t.user("boss@example.com", roles=["admin"])
    id = (await t.post("/api/ring")).ok().json
    await t.work()
    ((one,),) = [(await t.get("/api/admin/jobs", as_=boss)).ok().json["data"]]
    assert (one["id"], one["state"], one["reason"]) == (id, "failed", "The rope is torn.")
    whole = await t.get(f"/api/admin/jobs/{id}", as_=boss)
    assert whole.ok().json == {"job": one, "steps": []}
    assert b"vespers" not in whole.body  # what a job is given may be anybody's data
    bell.works = True
    assert (await t.post(f"/api/admin/jobs/{id}/retry", as_=boss)).ok().json["state"] in ("ready", "running", "done")
    await t.work()
    assert bell.rung == 1
    assert (await t.get("/api/admin/jobs?state=done", as_=boss)).ok().json["data"][0]["id"] == id
    (await t.post(f"/api/admin/jobs/{id}/retry", as_=boss)).refused("wrong_state")
    (await t.post(f"/api/admin/jobs/{id}/cancel", {"reason": "x"}, as_=boss)).refused("wrong_state")
    bell.works = False
    other = (await t.post("/api/ring")).ok().json
    await t.work()
    ended = await t.post(f"/api/admin/jobs/{other}/cancel", {"reason": "no bell"}, as_=boss)
    assert (ended.ok().json["state"], ended.json["reason"]) == ("cancelled", "no bell")
    (await t.post("/api/admin/jobs/none/retry", as_=boss)).refused("not_found")
