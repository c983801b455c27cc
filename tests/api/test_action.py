"""Actions are called with the arguments that their address and their body give."""

from collections.abc import Mapping
from typing import Any

from backstay import App, Context, anyone
from backstay.settings import Settings


async def call(app: App, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request to an application on an empty database in memory."""
    await app.start(Settings(database_url="sqlite://", secret_key="x" * 32, env="development"))
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")] if body else []
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    try:
        await app(scope, receive, send)
    finally:
        await app.stop()
    return sent[0]["status"], sent[1]["body"]


def application() -> App:
    app = App("steps", models=[])

    @app.action("POST /api/steps/{count}/take", allow=anyone)
    async def take(ctx: Context, count: int) -> int:
        return count

    @app.action("POST /api/steps/{count}/repeat", allow=anyone)
    async def repeat(ctx: Context, count: int, times: int) -> int:
        return count * times

    return app


async def test_no_body_is_needed_where_the_address_names_every_argument() -> None:
    assert await call(application(), "POST", "/api/steps/3/take") == (200, b"3")
    status, body = await call(application(), "POST", "/api/steps/3/repeat")
    assert (status, b"application/json" in body) == (415, True)
    assert await call(application(), "POST", "/api/steps/3/repeat", b'{"times": 2}') == (200, b"6")
