"""What fails inside is told to the operator alone: every route answers with a fixed text and an id to look it up by."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from backstay import App, Context, Model, Rules, Transaction, User, anyone
from backstay.api.http import UNSAFE, Request
from backstay.api.render import problem_response
from backstay.errors import CODES, Problem, Unavailable
from backstay.plan.rate import Rate
from backstay.store.rates import Charge, TooMany
from backstay.testing import Answer, Trial
from tests.test_project import ROOT

SECRET = "hunter2 SELECT password_hash FROM account_credentials /srv/app.py"
PASSWORD = "correct horse battery"


class Breaks(RuntimeError):
    """What a driver, a library or own code may raise."""


def broken(*_: Any, **__: Any) -> Any:
    raise Breaks(SECRET)


def told(answer: Answer) -> None:
    """Every text of an answer is one of ours."""
    whole = json.dumps(dict(answer.headers)) + answer.text
    for word in ("hunter2", "SELECT", "Breaks", "Traceback", "/srv", ".py", "account_credentials"):
        assert word not in whole, (answer.asked, whole)


async def test_what_breaks_below_is_told_by_no_route(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    store = t.app.running.store
    ada = await t.user("ada@example.com", password=PASSWORD)
    for name in ("read", "transaction", "run"):
        monkeypatch.setattr(store, name, broken)
    asked, codes = 0, set()
    for route in t.app.running.router.routes:
        for method in route.handlers:
            path = route.path.replace("{id}", ada.id).replace("{word}", "tea")
            bodies: list[Any] = [{"email": ada.email, "password": PASSWORD}, {"title": "x"}, {"text": "x"},
                                 {"query": "{ boards { nodes { id } } }"},
                                 {"refresh_token": "bsr_" + "x" * 43}, {"name": "x", "scopes": ["read"]},
                                 [{"method": "POST", "path": "/api/boards", "body": {"text": "x"}}]]  # fmt: skip
            for body in bodies if method in UNSAFE else [None]:
                for as_ in (None, ada):
                    answer = await t.request(method, path, body, as_=as_)
                    if answer.status >= 400:
                        told(answer)
                    if answer.status == 500 and method != "HEAD":
                        asked += 1
                        assert answer.json == {
                            "type": "urn:backstay:problem:internal_error", "title": "Internal error", "status": 500,
                            "detail": "Try again; if it stays, report the request id.", "instance": path,
                            "code": "internal_error", "request_id": answer.headers["x-request-id"],
                        }  # fmt: skip
                    codes.add(answer.status)
    assert asked > 20
    assert codes >= {200, 401, 500}


async def test_what_cannot_be_explained_is_answered_all_the_same(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons are told in development, and looking for one may fail."""
    monkeypatch.setattr(t.app.running.front, "explain", broken)
    told((await t.get("/api/diaries")).refused("not_signed_in"))


class Row(Model):
    """Has hooks that break."""

    text: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


async def test_what_breaks_in_own_code_is_told_by_no_route(capfd: pytest.CaptureFixture[str]) -> None:
    app = App("breaking", models=[Row])
    app.action("POST /api/outside", allow=anyone)(_outside)
    app.action("POST /api/inside", allow=anyone)(_inside)
    app.before_create(Row)(_hook)
    async with Trial(app) as t:
        for path, body in (("/api/outside", {}), ("/api/inside", {}), ("/api/rows", {}), ("/api/rows", [{}])):
            answer = (await t.post(path, body)).refused("internal_error")
            told(answer)
            t.app.running.log.flush()
            logged = capfd.readouterr().err
            assert SECRET in logged  # the operator finds it by the id
            assert answer.headers["x-request-id"] in logged
        batch = [{"method": "POST", "path": "/api/rows", "body": {}}]
        told((await t.post("/api/batch", batch)).refused("internal_error"))


async def _outside(ctx: Context) -> int:
    broken()
    return 1


async def _inside(tx: Transaction) -> int:
    raise Breaks(SECRET)


async def _hook(tx: Transaction, row: Row) -> None:
    raise Breaks(SECRET)


@pytest.mark.parametrize(
    "problem",
    [Problem(code=code) for code, known in CODES.items() if known.status in (429, 503)]
    + [Unavailable(), TooMany(Charge("x", Rate(1, 60), "a"), 3.2)],
    ids=lambda problem: f"{type(problem).__name__}-{problem.code}",
)
def test_whoever_has_to_wait_is_told_how_long(problem: Problem) -> None:
    scope = {"type": "http", "method": "GET", "path": "/api/x", "query_string": b"", "headers": []}
    request = Request(scope, None, None, None, None)  # type: ignore[arg-type]
    headers = dict(problem_response(problem, request).headers)
    assert int(headers[b"retry-after"]) >= 1
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"


def test_there_is_one_writer_of_problems() -> None:
    """Nobody else spells the media type or makes the members, so nobody else can answer with an error."""
    package = ROOT / "src" / "backstay"
    spelled = {
        file.relative_to(package).as_posix() for file in package.rglob("*.py") for node in _constants(file)
        if "problem+json" in node and not node.lstrip().startswith("`")
    }  # fmt: skip
    # The document describes it; a trial and a review read it.
    assert {name for name in spelled if not name.startswith(("testing", "review/"))} == {
        "api/render.py", "api/openapi_answers.py",
    }  # fmt: skip


def _constants(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            found.append(node.value if isinstance(node.value, str) else node.value.decode("latin-1"))
    return found
