"""Each folder beside this file is a question: how it is spelled, who asks, the plan, the statements and the answer.

Asked through the whole HTTP front on both databases, it must give the same status and the same answer by exactly one
data statement, counted at the driver, whose text is the file's. A refused question sends none. The GraphQL spelling
must give the same plan, but for aliases, and the same answer. `--rewrite-golden` writes the files anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backstay.plan.bind import bind
from backstay.store.engine import Engine
from backstay.store.sql import Statement
from tests.golden.client import Reply, parse_rest, post, send, turn_to
from tests.golden.conftest import Door
from tests.golden.printing import joined, print_plan, print_statement
from tests.golden.summary import SPENT

HERE = Path(__file__).parent
QUESTIONS = sorted(folder.name for folder in HERE.iterdir() if (folder / "rest.txt").is_file())
SPELLED = {"rest.txt", "actor.txt", "graphql.graphql"}

in_one_loop = pytest.mark.asyncio(loop_scope="session")


@dataclass
class Planned:
    """The plans that an engine answered, with and without aliases; not those that look up a token."""

    texts: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)


@contextmanager
def watching(engine: Engine) -> Iterator[Planned]:
    """What the engine is asked to answer inside."""
    planned = Planned()
    answer = engine.answer

    async def watch(statement: Statement, values: Sequence[Any], actor: Any, *rest: Any) -> Any:
        if not actor.system:
            bound = bind(statement.plan.params, values, actor, engine.clock(), engine.limits)
            planned.texts.append(print_plan(statement.plan, bound))
            planned.bare.append(print_plan(statement.plan, bound, aliases=False))
        return await answer(statement, values, actor, *rest)

    engine.answer = watch  # type: ignore[method-assign, assignment]
    try:
        yield planned
    finally:
        del engine.answer


@in_one_loop
@pytest.mark.parametrize("question", QUESTIONS)
async def test_question(question: str, doors: list[Door], rewriting: bool, record_property: Any) -> None:
    folder = HERE / question
    asked = parse_rest((folder / "rest.txt").read_text())
    actor = (folder / "actor.txt").read_text().strip()
    document = folder / "graphql.graphql"
    golden: dict[str, str] = {}
    spent: list[tuple[str, str, int]] = []
    for door in doors:
        cursor = await turn_to(door.app, asked, door.tokens[actor])
        door.app.running.accounts.identities.forget(None)
        door.driver.clear()
        with watching(door.app.running.engine) as planned:
            reply = await send(door.app, asked, door.tokens[actor], cursor)
        data, sessions = list(door.driver.data), list(door.driver.sessions)
        refused = reply.status != 200 and not data
        assert len(data) == (0 if refused else 1), data
        assert len(sessions) == (0 if actor == "anonymous" else 1), sessions
        assert ("link" in reply.headers) == ('"next_cursor": "there is one"' in answered(reply))
        same(golden, "answer.json", answered(reply))
        if not refused:
            (plan,) = planned.texts
            same(golden, "plan.txt", plan)
            golden[f"{door.database}.sql"] = print_statement(data[0])
            assert joined(golden[f"{door.database}.sql"]) == data[0]
        if document.exists():
            door.driver.clear()
            await check_graphql(door, document.read_text(), actor, asked.page, planned, reply)
            if door.database == "sqlite" or "endCursor" not in document.read_text():
                assert door.driver.data[-1:] == data  # with cursors each row brings its keys, where REST needs the last
            assert len(door.driver.data) == len(data) * asked.page
        spent += [(door.database, "questions", 1), (door.database, "refused", refused),
                  (door.database, "data", len(data)), (door.database, "sessions", len(sessions))]  # fmt: skip
    if rewriting:
        for file in [file for file in folder.iterdir() if file.name not in SPELLED]:
            file.unlink()
        for name, text in golden.items():
            (folder / name).write_text(text)
    assert {file.name: file.read_text() for file in folder.iterdir() if file.name not in SPELLED} == golden
    record_property(SPENT, spent)


def same(golden: dict[str, str], name: str, text: str) -> None:
    """Both databases say the same."""
    assert golden.setdefault(name, text) == text, name


def answered(reply: Reply) -> str:
    """The status and the parsed answer; of a cursor only whether there is one, for its text is each database's own.

    The order of an object's members says nothing, and 5 and 5.0 are one number of JSON; true and 1 are not.
    """
    body = json.loads(reply.body, parse_float=_number)
    if isinstance(body, dict) and isinstance(meta := body.get("meta"), dict) and meta["next_cursor"] is not None:
        meta["next_cursor"] = "there is one"
    return json.dumps({"status": reply.status, "body": body}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _number(text: str) -> float | int:
    return int(value) if (value := float(text)).is_integer() else value


async def check_graphql(door: Door, text: str, actor: str, page: int, planned: Planned, reply: Reply) -> None:
    """The document gives the same plan and the same answer as REST gave; `$after` takes it to the page."""
    after: str | None = None
    for _ in range(page - 1):
        found, _ = await ask_graphql(door, text, actor, after)
        (answer,) = found["data"].values()
        after = answer["pageInfo"]["endCursor"]
        assert after is not None
    found, again = await ask_graphql(door, text, actor, after)
    assert again.bare == planned.bare, found
    if reply.status in (400, 401, 403):
        (error,) = found["errors"]
        assert error["extensions"]["code"] == reply.parsed["code"]
        assert planned.texts == []
        assert not any(found.get("data", {}).values())
        return
    (answer,) = found["data"].values()
    if reply.status == 404:
        assert answer is None
    elif isinstance(answer, list):
        assert reply.parsed == {"data": [{**plain.pop("group", {}), **plain} for plain in map(snake, answer)]}
    elif "nodes" in answer:
        assert reply.parsed["data"] == snake(answer["nodes"])
        assert reply.parsed["meta"].get("total") == answer.get("totalCount")
        if "pageInfo" in answer:
            assert answer["pageInfo"]["hasNextPage"] == (reply.parsed["meta"]["next_cursor"] is not None)
    else:
        assert reply.parsed == snake(answer)


async def ask_graphql(door: Door, text: str, actor: str, after: str | None) -> tuple[Any, Planned]:
    """What a document answers through the whole front, and the plans that were run."""
    with watching(door.app.running.engine) as planned:
        variables = {"after": after} if "$after" in text else {}
        reply = await post(door.app, "/graphql", {"query": text, "variables": variables}, door.tokens[actor])
    assert reply.status in (200, 400), reply.body
    return reply.parsed, planned


def snake(value: Any) -> Any:
    """The names of a GraphQL answer as REST spells them; what is inside a JSON field stays."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name): inner if name == "attributes" else snake(inner)
        for name, inner in value.items()
    }


@in_one_loop
async def test_the_driver_sees_what_goes_past_the_engine(doors: list[Door]) -> None:
    for door in doors:
        store = door.app.running.store
        door.driver.clear()
        await store.run("SELECT 1", ())
        async with store.transaction() as writing:
            await writing.run("SELECT 2", ())
        said = [text for text in door.driver.data if text.startswith("SELECT")]
        assert said == ["SELECT 1", "SELECT 2"], door.database
        assert door.driver.sessions == []


def test_there_are_enough_questions_and_none_is_half_written() -> None:
    assert len(QUESTIONS) >= 44
    assert sum((HERE / question / "graphql.graphql").exists() for question in QUESTIONS) >= 12
    for folder in (folder for folder in HERE.iterdir() if folder.is_dir() and folder.name != "__pycache__"):
        assert SPELLED - {"graphql.graphql"} <= {file.name for file in folder.iterdir()}, folder.name


def test_a_printed_statement_is_the_statement() -> None:
    text = """SELECT 'it''s (' || ' FROM ' AS "a AND b" FROM (SELECT 1 FROM t WHERE a = 1 AND (b OR c)) AS x LIMIT $1"""
    lines = print_statement(text)
    assert joined(lines) == text
    assert lines.splitlines() == [
        """SELECT 'it''s (' || ' FROM ' AS "a AND b\"""",
        "FROM (SELECT 1",
        "  FROM t",
        "  WHERE a = 1",
        "  AND (b",
        "    OR c)) AS x",
        "LIMIT $1",
    ]
