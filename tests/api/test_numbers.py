"""`/metrics` is for operators, whichever process they ask; and in development each answer says where its time went."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from backstay import App, Context, Model, Rules, Transaction, User, anyone, created
from backstay.telemetry.metrics import METRICS
from backstay.testing import Trial
from tests.telemetry.test_metrics import samples


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


def make() -> App:
    app = App("notes", models=[Note])

    @app.on(created(Note))
    async def tell(ctx: Context, note: Note) -> None:
        if note.text == "wrong":
            raise ValueError("no")

    @app.action("POST /api/twice", allow=anyone)
    async def twice(tx: Transaction) -> int:
        await tx.create(Note(text="a"))
        await tx.create(Note(text="b"))
        return 2

    return app


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_operators_read_what_was_done(kind: str, postgres_database: Callable[[str], str]) -> None:
    database = "sqlite://" if kind == "sqlite" else postgres_database("numbers")
    async with Trial(make(), database) as t:
        (await t.post("/api/notes", {"text": "a"})).ok()
        (await t.get("/api/notes")).ok()
        (await t.get("/api/notes")).ok()
        assert (await t.get("/nowhere")).status == 404
        await t.app.running.store.settle()
        text = (await operator(t)).decode()
        found = samples(text.encode())
        assert found["backstay_requests_total{method=POST,route=/api/notes,status=201}"] == 1
        assert found["backstay_requests_total{method=GET,route=/api/notes,status=200}"] == 2
        assert found["backstay_requests_total{method=GET,route=other,status=404}"] == 1
        assert found["backstay_statement_seconds_count{kind=read}"] >= 2
        assert found["backstay_commit_seconds_count"] >= 1
        assert found["backstay_changes_head"] == 1
        (lag,) = [value for name, value in found.items() if name.startswith("backstay_reaction_lag")]
        assert lag == 1
        assert found["backstay_reactions_given_up"] == 0
        store: Any = t._store
        assert kind == "sqlite" or sum(store._store.connections()) >= 1
        assert {name for name in re.findall(r"^# TYPE (\w+)", text, re.M)} == METRICS.keys()


async def operator(t: Trial) -> bytes:
    """What an operator reads: in development whoever asks from this machine."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": [],
             "client": ("127.0.0.1", 1)}  # fmt: skip
    await t.app(scope, receive, send)
    assert said[0]["status"] == 200
    return bytes(said[1]["body"])


async def test_others_are_told_nothing() -> None:
    async with Trial(make()) as t:
        refused = await t.get("/metrics")
        assert (refused.status, refused.code) == (404, "not_found")
        assert (await t.get("/metrics", headers={"Authorization": "Bearer " + "x" * 40})).status == 404


async def test_an_answer_in_development_says_where_its_time_went() -> None:
    async with Trial(make()) as t:
        said = (await t.post("/api/twice", {})).headers["server-timing"]
        found = re.fullmatch(r'db;dur=(\d+\.\d\d);desc="(\d+) statements", total;dur=(\d+\.\d\d)', said)
        assert found is not None, said
        assert int(found[2]) == 3
        assert float(found[1]) <= float(found[3])
        one = (await t.get("/api/notes")).headers["server-timing"]
        assert 'desc="1 statement"' in one


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_slow_statement_is_told_of_without_its_values(
    kind: str, postgres_database: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    database = "sqlite://" if kind == "sqlite" else postgres_database("slow")
    async with Trial(make(), database) as t:
        store: Any = t.app.running.store
        told: list[dict[str, Any]] = []
        store._journal = type("J", (), {"event": lambda self, name, **values: told.append({"event": name, **values})})()
        await t.get("/api/notes?text=secret-4711")
        assert told == []
        store._slow = 0.0
        await t.get("/api/notes?text=secret-4711")
        store._slow = float("inf")
        for task in list(store._explaining):
            await task
        slow = next(one for one in told if '"notes"' in one["statement"])
        assert slow["event"] == "slow_statement"
        assert slow["ms"] >= 0  # rounded
        assert ("SCAN" in slow["plan"]) if kind == "sqlite" else "Scan" in slow["plan"]
        assert "4711" not in str(told)


async def test_sessions_that_are_alive_are_counted() -> None:
    async with Trial(make()) as t:
        assert samples(await operator(t))["backstay_sessions"] == 0
        ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com")
        token = await t.sign_in(ada)
        await t.sign_in(bob)
        there = samples(await operator(t))["backstay_sessions"]
        assert there >= 2
        (await t.post("/api/auth/logout", as_=token)).ok()
        assert samples(await operator(t))["backstay_sessions"] == there - 1
        t.clock.advance(days=31)
        assert samples(await operator(t))["backstay_sessions"] == 0


async def test_how_many_share_a_commit_is_shown() -> None:
    async with Trial(make()) as t:
        store: Any = t._store  # which passes on what a port has, and this is SQLite's own
        store.commit_sizes = store._store.commit_sizes
        (await t.post("/api/notes", {"text": "a"})).ok()
        found = samples(await operator(t))
        assert found["backstay_commit_group_size_bucket{le=1.0}"] == found["backstay_commit_group_size_count"] >= 1
