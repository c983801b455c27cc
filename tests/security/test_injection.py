"""Whatever somebody writes, it is a value: no text from outside is part of a statement, by any parameter or body."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from backstay.testing import Answer, Trial
from tests.security.conftest import Board

MARK = "zqx"
TEXTS = [
    f"{MARK}' OR '1'='1", f'{MARK}" OR 1=1 --', f"{MARK}'); DROP TABLE boards; --", f"{MARK}\\' OR 1=1 --",
    f"{MARK}%_\\%", f"{MARK}$1 ? :a ?1 {{}}", f"{MARK}/*", f'{MARK}"->>\'$.a\'', f"{MARK}\\u0000",
    f"{MARK}\u2019 OR 1=1",
]  # fmt: skip
NAMES = [
    f'text"{MARK}', f"text'{MARK}", f"text;{MARK}", f"text) {MARK}", f"{MARK}.text", f"about.{MARK}", f"text[{MARK}]",
    f"text->>{MARK}", f"text::{MARK}", f"__class__{MARK}", f"$where{MARK}", f"-{MARK}",
]  # fmt: skip


def queries(text: str) -> list[str]:
    """The parameters in which a value may stand."""
    where = [{"text": {op: text}} for op in ("eq", "ne", "contains", "icontains", "starts_with", "in")]
    where += [{"text": {"$ne": text}}, {"text": {"eq": {"$gt": text}}}, {"or": [{"text": {"eq": text}}]}]
    found = [f"text={quote(text)}", f"text[contains]={quote(text)}", f"text[in]={quote(text)}", f"cursor={quote(text)}"]
    found += [f"likes={quote(text)}", f"id={quote(text)}", f"limit={quote(text)}", f"page={quote(text)}"]
    return found + [f"where={quote(json.dumps(one))}" for one in where]


def names(name: str) -> list[str]:
    """The parameters in which a name may stand."""
    said = quote(name)
    found = [f"{said}=1", f"sort={said}", f"fields={said}", f"expand={said}", f"{said}[gte]=1", f"count={said}"]
    return [*found, f"where={quote(json.dumps({name: {'eq': 1}}))}", f"expand[{said}][limit]=1"]


async def everything(t: Trial) -> list[tuple[str, Answer]]:
    """Every text and every name, everywhere."""
    found: list[tuple[str, Answer]] = []

    async def ask(method: str, path: str, body: Any = None, **headers: str) -> None:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        found.append((f"{method} {path} {body}", await t.request(method, path, body, headers=told)))

    for query in [one for text in TEXTS for one in queries(text)] + [one for name in NAMES for one in names(name)]:
        await ask("GET", f"/api/boards?{query}")
    for text in TEXTS:
        said = quote(text, safe="")
        await ask("GET", f"/api/diaries?search={said}")
        await ask("GET", f"/api/boards/{said}")
        await ask("GET", f"/api/words/{said}")
        await ask("GET", f"/api/boards/aggregate?group_by={said}&count=*")
        await ask("GET", f"/api/boards/aggregate?sum={said}")
        await ask("GET", "/api/boards", if_none_match=text.encode().decode("latin-1"))
        await ask("POST", "/api/boards", {"text": text})
        await ask("DELETE", f"/api/boards/{said}", idempotency_key=text.encode().decode("latin-1"))
        await ask("POST", "/api/boards", {"text": text, "likes": text})
        await ask("POST", "/api/auth/login", {"email": f"{text}@example.com", "password": text})
        await ask("POST", "/api/auth/signup", {"email": f"a{text}@example.com", "password": text})
        await ask("POST", "/api/auth/refresh", {"refresh_token": text})
        await ask("PUT", f"/api/boards/{said}", {"text": text})
        await ask("POST", "/api/batch", [{"method": "GET", "path": f"/api/boards/{text}", "body": {text: text}}])
    for name in NAMES:
        await ask("POST", "/api/boards", {name: 1})
        await ask("POST", "/api/boards", [{name: {name: 1}}])
        await ask("GET", f"/api/boards/aggregate?group_by={quote(name)}&sum={quote(name)}&max={quote(name)}")
    return found


async def test_nothing_from_outside_is_part_of_a_statement(both: Trial) -> None:
    async with both.transaction() as tx:
        await tx.create(Board(text="first"))
    with both.counting() as statements:
        found = await everything(both)
    assert [(asked, answer.body) for asked, answer in found if answer.status >= 500] == []
    assert len(statements) > 80
    assert [text for text in statements if MARK in text] == []
    assert {answer.status for _, answer in found} <= {200, 201, 202, 400, 401, 404, 405, 422}
    # What was written stands there as it was sent, and nothing else came of it.
    async with both.transaction() as tx:
        kept = sorted(board.text for board in await tx.find(Board, limit=200))
    written = [text for text in TEXTS for asked, answer in found
               if answer.status == 201 and asked == f"POST /api/boards { {'text': text} }"]  # fmt: skip
    assert len(written) == len(TEXTS)
    assert kept == sorted(["first", *written])


async def test_a_value_finds_what_is_equal_to_it_and_nothing_else(both: Trial) -> None:
    async with both.transaction() as tx:
        for text in (*TEXTS, "other"):
            await tx.create(Board(text=text))
    for text in TEXTS:
        where = quote(json.dumps({"text": {"contains": text}}))
        for query in (f"text={quote(text)}", f"where={where}", f"text[starts_with]={quote(text)}"):
            answer = (await both.get(f"/api/boards?{query}")).ok()
            assert [one["text"] for one in answer.json["data"]] == [text], query


async def test_a_value_in_the_text_would_be_caught(t: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault planted: what is searched for is written into the statement."""
    engine = t.app.running.engine
    read = engine.read

    async def spelled(ask: Any, actor: Any) -> Any:
        values = ", ".join(str(value) for value in ask.values if isinstance(value, str))
        await engine.store.run(f"SELECT 1 -- {values}".replace("\n", " "), ())
        return await read(ask, actor)

    monkeypatch.setattr(engine, "read", spelled)
    with pytest.raises(AssertionError):
        await test_nothing_from_outside_is_part_of_a_statement(t)
