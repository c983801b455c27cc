"""Actions are called with the arguments that their address and their body give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from annotated_types import Ge, Le, Len

from backstay import App, Context, anyone
from backstay.settings import Settings
from backstay.testing import Trial


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
    assert (status, b"times" in body) == (422, True)
    assert await call(application(), "POST", "/api/steps/3/repeat", b'{"times": 2}') == (200, b"6")


@dataclass
class Size:
    """How large a thing is."""

    width: Annotated[int, Ge(1)]
    height: Annotated[int, Ge(1)] = 1


@dataclass
class Parcel:
    """A dataclass with a constraint, a default and another one inside."""

    name: Annotated[str, Len(1, 5)]
    count: Annotated[int, Ge(1), Le(100)] = 1
    size: Size | None = None


class Stamp(msgspec.Struct):
    """A struct, which is read alike."""

    cents: Annotated[int, Ge(5)]


async def send_parcels(body: bytes) -> tuple[int, Any]:
    app = App("post", models=[])

    @app.action("POST /api/send", allow=anyone)
    async def send(ctx: Context, parcels: list[Parcel], stamp: Stamp | None = None) -> list[str]:
        return [repr(parcel) for parcel in parcels] + [repr(stamp)]

    status, answer = await call(app, "POST", "/api/send", body)
    return status, msgspec.json.decode(answer)


async def test_structures_are_made_of_checked_values() -> None:
    body = b'{"parcels": [{"name": "a", "size": {"width": 2}}, {"name": "b", "count": 7}], "stamp": {"cents": 5}}'
    assert await send_parcels(body) == (
        200,
        [
            "Parcel(name='a', count=1, size=Size(width=2, height=1))",
            "Parcel(name='b', count=7, size=None)",
            "Stamp(cents=5)",
        ],
    )
    assert await send_parcels(b'{"parcels": []}') == (200, ["None"])


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ('{"parcels": [{"name": "a"}, {"name": "b", "count": -5}]}', "parcels[1].count", "out_of_range"),
        ('{"parcels": [{"name": "a", "count": 101}]}', "parcels[0].count", "out_of_range"),
        ('{"parcels": [{"name": "a", "count": 1.5}]}', "parcels[0].count", "wrong_type"),
        ('{"parcels": [{"name": "a", "count": true}]}', "parcels[0].count", "wrong_type"),
        ('{"parcels": [{"name": "a", "count": null}]}', "parcels[0].count", "required"),
        ('{"parcels": [{"name": "longer"}]}', "parcels[0].name", "too_long"),
        ('{"parcels": [{"name": "\\u0000"}]}', "parcels[0].name", "bad_character"),
        ('{"parcels": [{"count": 1}]}', "parcels[0].name", "required"),
        ('{"parcels": [{"name": "a", "cuont": 1}]}', "parcels[0].cuont", "unknown_field"),
        ('{"parcels": [{"name": "a", "size": {"width": 0}}]}', "parcels[0].size.width", "out_of_range"),
        ('{"parcels": [{"name": "a", "size": 3}]}', "parcels[0].size", "wrong_type"),
        ('{"parcels": [3]}', "parcels[0]", "wrong_type"),
        ('{"parcels": {}}', "parcels", "wrong_type"),
        ('{"parcels": null}', "parcels", "wrong_type"),
        ("{}", "parcels", "required"),
        ('{"parcels": [], "stamp": {"cents": 4}}', "stamp.cents", "out_of_range"),
    ],
)
async def test_a_constraint_inside_a_structure_holds(body: str, path: str, code: str) -> None:
    status, answer = await send_parcels(body.encode())
    assert (status, [(e["path"], e["code"]) for e in answer["errors"]]) == (422, [(path, code)])


def test_structures_are_described_with_their_constraints() -> None:
    app = App("post", models=[])

    @app.action("POST /api/send", allow=anyone)
    async def send(ctx: Context, parcels: list[Parcel], stamp: Stamp | None = None) -> None: ...

    described = app.actions[0].document().request_schema
    assert described is not None
    assert described["required"] == ["parcels"]
    parcel = described["properties"]["parcels"]["items"]
    assert parcel["required"] == ["name"]
    assert parcel["properties"]["count"]["minimum"] == 1


async def test_links_begin_with_the_public_address_whatever_the_host_of_the_request() -> None:
    app = App("shop", models=[])

    @app.action("GET /link", allow=anyone)
    async def link(ctx: Context, path: str) -> str:
        return ctx.link(path)

    async def get(path: str, **settings: Any) -> Any:
        await app.start(
            Settings(database_url="sqlite://", secret_key="x" * 32, log_level="error", **settings), extend=True
        )
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"evil.com"), (b"x-forwarded-host", b"evil.com"), (b"forwarded", b"host=evil.com")]
        scope = {"type": "http", "method": "GET", "path": "/link", "query_string": f"path={path}".encode(),
                 "headers": headers}  # fmt: skip
        try:
            await app(scope, receive, send)
        finally:
            await app.stop()
        return msgspec.json.decode(sent[1]["body"]) if sent[0]["status"] == 200 else sent[0]["status"]

    public = {"public_url": "https://shop.example.com"}
    assert await get("/thanks", **public) == "https://shop.example.com/thanks"
    for path in ("//evil.com", "/%5Cevil.com", "https://evil.com", "thanks", "@evil.com"):
        assert await get(path, **public) == 500
    assert await get("/thanks") == 500  # production says where it is, or makes no links


async def test_nothing_sent_is_nothing_said() -> None:
    """As `curl -X POST` does: arguments that may be left out are, and those that may not are named."""
    app = App("clock", models=[])

    @app.action("POST /api/ring", allow=anyone)
    async def ring(ctx: Context, times: int = 1) -> int:
        return times

    @app.action("POST /api/set", allow=anyone)
    async def turn(ctx: Context, hour: int) -> int:
        return hour

    async with Trial(app) as t:
        assert (await t.request("POST", "/api/ring")).ok().json == 1
        refused = (await t.request("POST", "/api/set")).refused("invalid")
        assert [error["path"] for error in refused.json["errors"]] == ["hour"]
        length = {"content-length": "2"}
        (await t.request("POST", "/api/ring", body=b"{}", headers=length)).refused("unsupported_media_type")
        (await t.request("POST", "/api/ring", headers={"content-type": "text/plain"})).refused("unsupported_media_type")
        paths = app.openapi()["paths"]
        assert [paths[path]["post"]["requestBody"]["required"] for path in ("/api/ring", "/api/set")] == [False, True]
