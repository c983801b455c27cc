"""With an SDK each request is a span with its statements below it, and goes on with the trace it came with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backstay import App, Context, Model, Rules, User, anyone
from backstay.plan.actor import ANONYMOUS
from backstay.plan.ask import Ask, Listing
from backstay.testing import Trial

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CARRIED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Note(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone)


def make() -> App:
    app = App("notes", models=[Note])

    @app.action("GET /api/rate", allow=anyone)
    async def rate(ctx: Context) -> Any:
        return (await ctx.http.get("https://rates.example.com/")).status

    @app.action("GET /api/broken", allow=anyone)
    async def broken(ctx: Context) -> None:
        raise ZeroDivisionError("secret-4711")

    return app


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[ReadableSpan]]]:
    """What was exported since it was asked last."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)

    def taken() -> list[ReadableSpan]:
        found = list(exporter.get_finished_spans())
        exporter.clear()
        return found

    yield taken
    provider.shutdown()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_request_and_its_statements(
    kind: str, spans: Callable[[], list[ReadableSpan]], postgres_database: Callable[[str], str]
) -> None:
    async with Trial(make(), "sqlite://" if kind == "sqlite" else postgres_database("traces")) as t:
        spans()
        answer = await t.get("/api/notes?text=secret-4711", headers={**CARRIED, "X-Request-ID": "req-7"})
        *stages, request = spans()
        (statement,) = [one for one in stages if one.kind is trace.SpanKind.CLIENT]
        (run,) = [one for one in stages if one.name == "run"]
        assert (request.name, request.kind) == ("GET /api/notes", trace.SpanKind.SERVER)
        assert dict(request.attributes or {}) == {
            "http.request.method": "GET", "http.route": "/api/notes", "http.response.status_code": 200,
            "backstay.request_id": "req-7",
        }  # fmt: skip
        assert request.parent is not None
        assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
        assert statement.parent is not None
        assert statement.parent.span_id == run.context.span_id
        assert (statement.name, statement.kind) == ("SELECT", trace.SpanKind.CLIENT)
        said = dict(statement.attributes or {})
        assert said["db.system.name"] == ("sqlite" if kind == "sqlite" else "postgresql")
        assert '"notes"' in str(said["db.query.text"])
        assert "4711" not in str(said)
        assert request.start_time <= statement.start_time <= statement.end_time <= request.end_time  # type: ignore[operator]
        assert answer.status == 200


async def test_writes_and_errors(spans: Callable[[], list[ReadableSpan]]) -> None:
    async with Trial(make()) as t:
        spans()
        (await t.post("/api/notes", {"text": "secret-4711"})).ok()
        *statements, request = spans()
        assert request.name == "POST /api/notes"
        assert "INSERT" in {one.name for one in statements}
        (run,) = [one for one in statements if one.name == "run"]
        assert {one.parent.span_id for one in statements if one.parent and one.kind is trace.SpanKind.CLIENT} == {
            run.context.span_id
        }
        await t.get("/api/broken")
        seen = spans()
        (ran,) = [one for one in seen if one.name == "run"]
        assert (dict(ran.attributes or {}), ran.status.status_code, ran.events) == (
            {"error.type": "ZeroDivisionError"}, trace.StatusCode.ERROR, (),
        )  # fmt: skip
        assert "4711" not in "".join(one.to_json() for one in seen)
        (failed,) = [one for one in seen if one.name == "GET /api/broken"]
        assert failed.status.status_code is trace.StatusCode.ERROR
        assert (failed.attributes or {})["error.type"] == "ZeroDivisionError"
        assert "4711" not in str(failed.to_json())
        await t.get("/nowhere/secret-4711")
        rendered, lost = spans()
        assert rendered.name == "render"
        assert (lost.name, lost.parent, lost.status.status_code) == ("GET other", None, trace.StatusCode.UNSET)


async def test_the_trace_goes_on_in_another_service(spans: Callable[[], list[ReadableSpan]]) -> None:
    async with Trial(make()) as t:
        t.http.answers("GET https://rates.example.com/")
        (await t.get("/api/rate", headers=CARRIED)).ok()
        run = next(one for one in spans() if one.name == "run")
        sent = t.http.sent[0].headers["traceparent"]
        assert sent == f"00-{TRACE}-{run.context.span_id:016x}-01"


def tree(found: list[ReadableSpan]) -> dict[str, list[str]]:
    """The names of the spans below each span, in the order in which they began, by its place below the request."""
    known = {one.context.span_id: one for one in found}

    def place(one: ReadableSpan) -> str:
        above = known.get(one.parent.span_id) if one.parent is not None else None
        return one.name if above is None else f"{place(above)} > {one.name}"

    below: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: one.start_time or 0):
        if one.parent is not None and one.parent.span_id in known:
            below.setdefault(place(known[one.parent.span_id]), []).append(one.name)
    return below


ABSENT = "0199f3c2-7a10-7000-8000-000000000001"
STAGED = [
    ("GET", "/api/notes", None, ["identify", "parse", "plan", "compile", "run", "render"], ["SELECT"]),
    ("GET", "/api/notes", None, ["identify", "parse", "run", "render"], ["SELECT"]),
    ("GET", "/api/notes/aggregate?count=*", None, ["identify", "parse", "plan", "compile", "run", "render"],
     ["SELECT"]),
    ("GET", f"/api/notes/{ABSENT}", None,  # in development it is looked for, why it was refused
     ["identify", "parse", "plan", "compile", "run", "plan", "compile", "SELECT", "render"], ["SELECT"]),
    ("POST", "/graphql", {"query": "{ notes { nodes { text } } }"},
     ["identify", "parse", "parse", "parse", "plan", "compile", "run", "render"], ["SELECT"]),
    ("GET", "/api/rate", None, ["identify", "run", "render"], None),
]  # fmt: skip


async def test_each_stage_is_a_span(spans: Callable[[], list[ReadableSpan]]) -> None:
    async with Trial(make()) as t:
        t.http.answers("GET https://rates.example.com/")
        asker = await t.user("ada@example.com")
        for method, path, body, stages, statements in STAGED:
            spans()
            await t.request(method, path, body, as_=asker)
            below = tree(spans())
            route = "/api/notes/{id}" if path.endswith(ABSENT) else path.partition("?")[0]
            assert (path, below[f"{method} {route}"]) == (path, stages)
            if statements is not None:
                assert below[f"{method} {route} > run"] == statements
        spans()
        (await t.post("/api/notes", {"text": "one"}, as_=asker)).ok()
        below = tree(spans())
        assert below["POST /api/notes"] == ["identify", "parse", "run"]
        assert set(below["POST /api/notes > run"]) >= {"plan", "compile", "INSERT", "render"}
        (await t.post("/api/notes", {"text": "two"}, as_=asker)).ok()
        assert not {"plan", "compile"} & set(tree(spans())["POST /api/notes > run"])


async def test_what_no_request_asked_for_has_no_stages(spans: Callable[[], list[ReadableSpan]]) -> None:
    async with Trial(make()) as t:
        spans()
        await t.app.running.engine.read(Ask((Listing("Note"),), ()), ANONYMOUS)
        assert [one.name for one in spans()] == ["SELECT"]


def test_without_an_sdk_nothing_of_it_is_there() -> None:
    code = (
        "import sys, asyncio\nfrom backstay import App\nfrom backstay.testing import Trial\n"
        "async def main():\n    async with Trial(App('x', models=[])) as t:\n"
        "        assert (await t.get('/healthz')).status == 200\n        assert t.app.running.traces is None\n"
        "asyncio.run(main())\nassert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
