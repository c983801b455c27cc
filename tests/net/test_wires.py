"""One contract for all that carries requests: the network, and what stands for it in the tests of applications."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.net.call import Caps
from backstay.net.failure import AddressRefused, OutboundError, Unanswered, Unreachable
from backstay.net.fake import FakeServices
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.net.wire import Network
from tests.net.service import PUBLIC, Names, Roads, Service, answer, certify

API = "https://api.example.com"
CAPS = Caps(seconds=5, connect_seconds=2, body=1_000, headers=2_000)


class Stage:
    """A client, and a way to say what a request is answered or how it fails."""

    def __init__(
        self,
        client: HTTP,
        says: Callable[..., None],
        fails: Callable[[type[OutboundError]], None],
        asked: Callable[[], Any],
    ) -> None:
        self.client = client
        self.says = says
        self.fails = fails
        self.asked = asked


@pytest.fixture(params=["network", "fake"])
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    permit = Permit("inside.example:8080")
    if request.param == "fake":
        fake = FakeServices(permit)

        def says(target: str, status: int = 200, body: bytes = b"", **headers: str) -> None:
            kept = {name.replace("_", "-"): value for name, value in headers.items()}
            for method in ("GET", "POST", "HEAD"):
                fake.answers(f"{method} {API}{target}", status=status, body=body, headers=kept)

        def fails(error: type[OutboundError]) -> None:
            fake.fails(f"GET {API}/", error)

        yield Stage(HTTP(permit, CAPS, fake), says, fails, lambda: [(s.method, s.body, s.headers) for s in fake.sent])
        return
    context, authority = certify(tmp_path, "api.example.com", "inside.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    service = Service(context)
    await service.start()
    roads = Roads(service.port)
    client = HTTP(permit, CAPS, Network(permit, CAPS, Names({"api.example.com": [[PUBLIC]]}), roads))
    said: dict[str, bytes] = {}
    service.says = lambda asked: said[asked.target.partition("?")[0]]

    def tell(target: str, status: int = 200, body: bytes = b"", **headers: str) -> None:
        said[target] = answer(status, body, **headers)

    def fail(error: type[OutboundError]) -> None:
        if error is Unreachable:
            roads.closed = frozenset({PUBLIC})
        else:
            said["/"] = b"nonsense\r\n\r\n"

    yield Stage(client, tell, fail, lambda: [(a.method, a.body, a.headers) for a in service.asked])
    await client.close()
    await service.stop()


async def test_an_answer(stage: Stage) -> None:
    stage.says("/things", 201, b'{"a":1}', content_type="application/json", x_more="1")
    made = await stage.client.post(f"{API}/things?x=1", json={"b": 2}, headers={"Authorization": "Bearer 7"})
    assert (made.status, made.json, made.headers["x-more"], made.url) == (201, {"a": 1}, "1", f"{API}/things")
    ((method, body, headers),) = stage.asked()
    assert (method, body) == ("POST", b'{"b":2}')
    assert headers["authorization"] == "Bearer 7"
    assert headers["content-type"] == "application/json"


async def test_a_head_has_no_body(stage: Stage) -> None:
    stage.says("/", 200, b"")
    assert (await stage.client.head(f"{API}/")).body == b""


async def test_redirects(stage: Stage) -> None:
    stage.says("/", 302, b"", location="/there")
    stage.says("/there", 200, b"here")
    assert (await stage.client.get(f"{API}/")).status == 302
    assert (await stage.client.get(f"{API}/", follow=1)).text == "here"


@pytest.mark.parametrize(
    "to", ["https://127.0.0.1/", "https://localhost/", "http://api.example.com/", "https://[::1]/"]
)
async def test_what_may_not_be_reached(to: str, stage: Stage) -> None:
    stage.says("/", 302, b"", location=to)
    for url, follow in ((to, 0), (f"{API}/", 1)):
        if to != "https://localhost/" or isinstance(stage.client._wires[0], FakeServices):
            with pytest.raises(AddressRefused):
                await stage.client.get(url, follow=follow)


@pytest.mark.parametrize("error", [Unreachable, Unanswered])
async def test_failures(error: type[OutboundError], stage: Stage) -> None:
    stage.fails(error)
    with pytest.raises(error):
        await stage.client.get(f"{API}/")


async def test_sizes(stage: Stage) -> None:
    stage.says("/fits", 200, b"x" * 1_000)
    stage.says("/body", 200, b"x" * 1_001)
    stage.says("/headers", 200, b"", x="y" * 2_000)
    assert len((await stage.client.get(f"{API}/fits")).body) == 1_000
    for path in ("/body", "/headers"):
        with pytest.raises(Unanswered):
            await stage.client.get(f"{API}{path}")
