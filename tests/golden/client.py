"""One request to an application in this process, through its whole HTTP front, with no socket in between.

`rest.txt` holds a method and an address, over several lines where it is long: lines that begin with `&` or `?` go on,
spaces around them do not count. Everything that is not allowed in an address is percent-encoded here, so that a
question can be read. `cursor=PAGE 2` stands for the cursor that the first page gives, `PAGE 3` for the one after that.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_CURSOR = re.compile(r"&cursor=PAGE ([0-9])")


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def parsed(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Asked:
    """A method, an address, and the page of it that is meant."""

    method: str
    address: str
    page: int = 1


def parse_rest(text: str) -> Asked:
    """What a `rest.txt` asks."""
    method, address = "".join(line.strip() for line in text.splitlines()).split(" ", 1)
    page = 1
    if (found := _CURSOR.search(address)) is not None:
        page, address = int(found[1]), _CURSOR.sub("", address)
    return Asked(method, address, page)


async def send(
    app: Callable[..., Awaitable[None]], asked: Asked, token: str | None, cursor: str | None = None
) -> Reply:
    """One request and its reply."""
    path, _, query = asked.address.partition("?")
    if cursor is not None:
        query += f"&cursor={cursor}"
    headers = [(b"x-request-id", b"golden")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http", "method": asked.method, "path": path, "headers": headers,
        "query_string": quote(query, safe="=&,%[]{}:\"'!*()-._~+/<>").encode(),
    }  # fmt: skip
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def collect(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, collect)
    start, *rest = sent
    assert [message["type"] for message in rest] == ["http.response.body"]
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, rest[0]["body"])


async def post(app: Callable[..., Awaitable[None]], path: str, body: Any, token: str | None) -> Reply:
    """A body of JSON and the reply to it."""
    text = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode()),
               (b"accept", b"application/graphql-response+json")]  # fmt: skip
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": text, "more_body": False}

    async def collect(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, collect)
    start, *rest = sent
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, rest[0]["body"])


async def turn_to(app: Callable[..., Awaitable[None]], asked: Asked, token: str | None) -> str | None:
    """The cursor of the page that is meant; nothing for the first."""
    cursor = None
    for _ in range(asked.page - 1):
        reply = await send(app, asked, token, cursor)
        cursor = reply.parsed["meta"]["next_cursor"]
        assert isinstance(cursor, str), "there is no such page"
    return cursor
