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
        statement, request = spans()
        assert (request.name, request.kind) == ("GET /api/notes", trace.SpanKind.SERVER)
        assert dict(request.attributes or {}) == {
            "http.request.method": "GET", "http.route": "/api/notes", "http.response.status_code": 200,
            "backstay.request_id": "req-7",
        }  # fmt: skip
        assert request.parent is not None
        assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
        assert statement.parent is not None
        assert statement.parent.span_id == request.context.span_id
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
        assert {one.parent.span_id for one in statements if one.parent} == {request.context.span_id}
        await t.get("/api/broken")
        (failed,) = [one for one in spans() if one.name == "GET /api/broken"]
        assert failed.status.status_code is trace.StatusCode.ERROR
        assert (failed.attributes or {})["error.type"] == "ZeroDivisionError"
        assert "4711" not in str(failed.to_json())
        await t.get("/nowhere/secret-4711")
        (lost,) = spans()
        assert (lost.name, lost.parent, lost.status.status_code) == ("GET other", None, trace.StatusCode.UNSET)


async def test_the_trace_goes_on_in_another_service(spans: Callable[[], list[ReadableSpan]]) -> None:
    async with Trial(make()) as t:
        t.http.answers("GET https://rates.example.com/")
        (await t.get("/api/rate", headers=CARRIED)).ok()
        request = spans()[-1]
        sent = t.http.sent[0].headers["traceparent"]
        assert sent == f"00-{TRACE}-{request.context.span_id:016x}-01"


def test_without_an_sdk_nothing_of_it_is_there() -> None:
    code = (
        "import sys, asyncio\nfrom backstay import App\nfrom backstay.testing import Trial\n"
        "async def main():\n    async with Trial(App('x', models=[])) as t:\n"
        "        assert (await t.get('/healthz')).status == 200\n        assert t.app.running.traces is None\n"
        "asyncio.run(main())\nassert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
