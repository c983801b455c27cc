"""The client asks what it is allowed to, at the address that was checked, and says what is known of the outcome."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import CODES, Problem
from backstay.net.call import Caps
from backstay.net.failure import AddressRefused, BadAnswer, OutboundError, Unanswered, Unreachable
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.net.wire import Network
from backstay.store.inside import AwaitedElsewhere, refuse_inside
from backstay.store.sqlite import SQLiteStore
from tests.net.service import PUBLIC, Asked, Names, Roads, Service, answer, certify

API = "api.example.com"
OTHER = "other.example.org"


class Desk:
    """The client beside a service: names are found where a test says, and every road ends at the service."""

    def __init__(self, service: Service, roads: Roads, **found: Any) -> None:
        self.service = service
        self.roads = roads
        self.names = Names({API: [[PUBLIC]], OTHER: [["93.184.215.15"]]})

    def client(self, allow: str = "", **caps: Any) -> HTTP:
        permit, made = Permit(allow), Caps(**{"seconds": 5, "connect_seconds": 2, **caps})
        client = HTTP(permit, made, Network(permit, made, self.names, self.roads), refuse_inside=refuse_inside)
        self.clients.append(client)
        return client

    clients: list[HTTP]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A service with a certificate for two names, on the public internet as far as the client knows."""
    context, authority = certify(tmp_path, API, OTHER)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    service = Service(context)
    await service.start()
    made = Desk(service, Roads(service.port))
    made.clients = []
    yield made
    for client in made.clients:
        await client.close()
    await service.stop()


@pytest.fixture
async def plain() -> AsyncIterator[Service]:
    """A service without a certificate, on this machine."""
    service = Service()
    await service.start()
    yield service
    await service.stop()


# What is sent, and what comes back.


async def test_a_request_arrives_as_it_was_meant(desk: Desk) -> None:
    desk.service.says = lambda asked: answer(201, b'{"made":1}', content_type="application/json", x_a="1", X_A="2")
    client = desk.client()
    made = await client.post(
        f"https://{API}/things?a=1#part", json={"name": "Ä"}, params={"b": ["x y", "&"], "c": True, "d": 2},
        headers={"Authorization": "Bearer 7"},
    )  # fmt: skip
    assert (made.status, made.json, made.headers["x-a"]) == (201, {"made": 1}, "1, 2")
    assert (made.method, made.url) == ("POST", f"https://{API}/things")
    assert made.ok() is made
    (asked,) = desk.service.asked
    assert (asked.method, asked.target) == ("POST", "/things?a=1&b=x%20y&b=%26&c=true&d=2")
    assert asked.body == '{"name":"Ä"}'.encode()
    assert asked.headers == {
        "host": API, "user-agent": "backstay", "accept": "*/*", "authorization": "Bearer 7",
        "content-type": "application/json", "content-length": "13", "accept-encoding": "gzip",
    }  # fmt: skip
    assert asked.server_name == API
    assert desk.roads.taken == [(PUBLIC, 443)]


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete"])
async def test_every_method(method: str, desk: Desk) -> None:
    answered = await getattr(desk.client(), method)(f"https://{API}/")
    assert desk.service.asked[0].method == answered.method == method.upper()
    assert answered.body == (b"" if method == "head" else b"ok")


async def test_a_form_and_bytes(desk: Desk) -> None:
    client = desk.client()
    await client.post(f"https://{API}/", form={"a": "x y", "b": "ä"})
    await client.put(f"https://{API}/", body=b"\x00\xff", headers={"Content-Type": "application/octet-stream"})
    form, raw = desk.service.asked
    assert (form.headers["content-type"], form.body) == ("application/x-www-form-urlencoded", b"a=x+y&b=%C3%A4")
    assert (raw.headers["content-type"], raw.body) == ("application/octet-stream", b"\x00\xff")
    with pytest.raises(ValueError, match="one body"):
        await client.post(f"https://{API}/", json={}, body=b"")


async def test_a_text_is_read_by_its_charset(desk: Desk) -> None:
    said = iter([("text/plain; charset=latin-1", b"\xe4"), ("text/plain", "ä".encode()), ("x; charset=none", b"\xff")])

    def says(asked: Asked) -> bytes:
        kind, body = next(said)
        return answer(200, body, content_type=kind)

    desk.service.says = says
    client = desk.client()
    assert [(await client.get(f"https://{API}/")).text for _ in range(3)] == ["ä", "ä", "�"]


async def test_every_status_is_an_answer_and_ok_tells_them_apart(desk: Desk) -> None:
    desk.service.says = lambda asked: answer(int(asked.target[1:]))
    client = desk.client()
    for status in (200, 204, 299):
        assert (await client.get(f"https://{API}/{status}")).ok().status == status
    for status in (300, 304, 400, 404, 429, 500, 503):
        answered = await client.get(f"https://{API}/{status}")
        with pytest.raises(BadAnswer, match=f"GET https://{API}/{status} answered {status}") as caught:
            answered.ok()
        assert caught.value.answer is answered
        assert (caught.value.status, caught.value.code) == (502, "upstream_failed")


async def test_what_is_no_json_is_a_bad_answer(desk: Desk) -> None:
    answered = await desk.client().get(f"https://{API}/")
    with pytest.raises(BadAnswer, match="a body that is no JSON"):
        _ = answered.json


async def test_a_connection_is_used_again(desk: Desk) -> None:
    client = desk.client()
    for _ in range(3):
        await client.get(f"https://{API}/")
    assert desk.service.connections == 1
    assert desk.names.asked == [API]


async def test_cookies_are_not_kept(desk: Desk) -> None:
    desk.service.says = lambda asked: answer(200, b"", set_cookie="session=1")
    client = desk.client()
    for _ in range(2):
        await client.get(f"https://{API}/")
    assert "cookie" not in desk.service.asked[1].headers


async def test_what_a_client_carries_along(desk: Desk) -> None:
    client = desk.client()
    await client.bound({"x-request-id": "r-1"}).get(f"https://{API}/", headers={"Accept": "text/csv"})
    await client.get(f"https://{API}/")
    first, second = (asked.headers for asked in desk.service.asked)
    assert (first["x-request-id"], first["accept"]) == ("r-1", "text/csv")
    assert "x-request-id" not in second
    assert desk.service.connections == 1  # the connections are those of one client


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil"}, {"Content-Length": "1"}, {"Transfer-Encoding": "chunked"}, {"Connection": "close"},
     {"a b": "c"}, {"a": "b\r\nc: d"}, {"a": "b\nc"}, {"a": "\x00"}, {"": "x"}, {"a": "ł"}],
)  # fmt: skip
async def test_a_header_that_would_be_another_request(headers: dict[str, str], desk: Desk) -> None:
    with pytest.raises(ValueError, match="header"):
        await desk.client().get(f"https://{API}/", headers=headers)
    assert desk.roads.taken == []


async def test_a_method_that_would_be_another_request(desk: Desk) -> None:
    with pytest.raises(ValueError, match="method"):
        await desk.client().request("GET / HTTP/1.1\r\nX: ", f"https://{API}/")


async def test_proxies_of_the_environment_are_not_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await desk.client().get(f"https://{API}/")).status == 200
    assert desk.roads.taken == [(PUBLIC, 443)]


# What may not be reached.

BAD_ADDRESSES = [
    "http://api.example.com/", "ftp://api.example.com/", "file:///etc/passwd", "gopher://x/", "data:text/plain,x",
    "//x/", "api.example.com", "", "https://", "https:///x", "https://user@api.example.com/", "https://user:pw@api.example.com/",
    "https://:pw@api.example.com/", "https://api.example.com:99999/", "https://api.example.com:0/", "https://a b/",
    "https://api.example.com\\@127.0.0.1/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/",
    "https://0x7f000001/", "https://017700000001/", "https://0177.0.0.1/", "https://0x7f.1/", "https://127.0.0.1./",
    "https://127.0.0.1:443/", "https://0/", "https://0.0.0.0/", "https://10.0.0.1/", "https://169.254.169.254/latest/",
    "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:a9fe:a9fe]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[fd00:ec2::254]/",
    "https://127。0。0。1/", "https://１２７.0.0.1/", "https://①②⑦.0.0.1/", "https://%31%32%37.0.0.1/",
    "https://127.0.0.1%00.example.com/", "https://example.com%2f@127.0.0.1/", "https://ex{am}ple/", "https://a..b/",
    "https://-x.example/", "https://" + "a" * 64 + ".example/", "https://x/" + "a" * 9000, "https://localhost/",
    "https://LOCALHOST/", "https://localhost./", "https://inside.example/", "https://mixed.example/",
    "https://sneaky.example/", "https://translated.example/", "https://nonsense.example/", "https://api.example.com:22/",
    "https://api.example.com:80/", "https://93.184.215.14:25/",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_ADDRESSES)
async def test_what_may_not_be_reached_is_not_connected_to(url: str, desk: Desk) -> None:
    desk.names.found |= {
        "localhost": [["127.0.0.1"]], "localhost.": [["127.0.0.1"]], "inside.example": [["10.1.2.3"]],
        "mixed.example": [[PUBLIC, "10.1.2.3"]], "sneaky.example": [["::ffff:10.1.2.3"]],
        "translated.example": [["64:ff9b::a9fe:a9fe"]], "nonsense.example": [["fe80::1%eth0"]],
        "127.0.0.1": [["127.0.0.1"]], "10.0.0.1": [["10.0.0.1"]], "0.0.0.0": [["0.0.0.0"]],
        "169.254.169.254": [["169.254.169.254"]], "::1": [["::1"]], "::": [["::"]],
        "::ffff:127.0.0.1": [["::ffff:127.0.0.1"]], "::ffff:7f00:1": [["::ffff:7f00:1"]],
        "0:0:0:0:0:ffff:a9fe:a9fe": [["::ffff:169.254.169.254"]], "64:ff9b::7f00:1": [["64:ff9b::7f00:1"]],
        "2002:7f00:1::": [["2002:7f00:1::"]], "2001:0:7f00:1::": [["2001:0:7f00:1::"]],
        "fd00:ec2::254": [["fd00:ec2::254"]], "93.184.215.14": [[PUBLIC]],
    }  # fmt: skip
    with pytest.raises(AddressRefused) as caught:
        await desk.client().get(url)
    assert desk.roads.taken == []
    refused = caught.value
    assert (refused.status, refused.code) == (422, "outbound_refused")
    assert refused.detail == CODES["outbound_refused"].advice  # what it was found at stays here
    assert isinstance(refused, Problem)


async def test_the_resolver_of_the_machine_knows_every_spelling_and_none_gets_through() -> None:
    """With nothing injected: what the machine would connect to without a second thought."""
    service = Service()
    await service.start()
    client = HTTP(Permit(f"*:{service.port}"))
    spellings = "localhost 127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 [::1] [::ffff:127.0.0.1]".split()
    for host in spellings:
        for scheme in ("http", "https"):
            with pytest.raises(OutboundError) as caught:
                await client.get(f"{scheme}://{host}:{service.port}/")
            assert isinstance(caught.value, (AddressRefused, Unreachable))
    assert service.connections == 0
    await client.close()
    await service.stop()


async def test_a_name_that_changes_its_mind_is_held_to_its_first_word(desk: Desk) -> None:
    desk.names.found["rebind.example.com"] = [[PUBLIC], ["127.0.0.1"]]
    desk.names.found[API] = [[PUBLIC], ["127.0.0.1"]]
    with pytest.raises(Unreachable):  # the certificate is for other names
        await desk.client().get("https://rebind.example.com/")
    assert (await desk.client().get(f"https://{API}/")).status == 200
    assert desk.names.asked == ["rebind.example.com", API]
    assert desk.roads.taken == [(PUBLIC, 443), (PUBLIC, 443)]


async def test_a_new_connection_is_looked_up_and_checked_anew(desk: Desk) -> None:
    desk.names.found[API] = [[PUBLIC], ["10.0.0.1"]]
    desk.service.says = lambda asked: answer(200, b"", connection="close")
    client = desk.client()
    await client.get(f"https://{API}/")
    with pytest.raises(AddressRefused):
        await client.get(f"https://{API}/")
    assert desk.roads.taken == [(PUBLIC, 443)]


async def test_a_mapped_address_is_connected_to_as_what_it_is(desk: Desk) -> None:
    desk.names.found[API] = [[f"::ffff:{PUBLIC}"]]
    await desk.client().get(f"https://{API}/")
    assert desk.roads.taken == [(PUBLIC, 443)]


async def test_the_next_address_is_tried_where_one_takes_no_connection(desk: Desk) -> None:
    desk.names.found[API] = [["2606:4700::1", PUBLIC]]
    desk.roads.closed = frozenset({"2606:4700::1"})
    assert (await desk.client().get(f"https://{API}/")).status == 200
    assert desk.roads.taken == [("2606:4700::1", 443), (PUBLIC, 443)]


async def test_the_certificate_has_to_be_for_the_name(desk: Desk) -> None:
    desk.names.found["elsewhere.example"] = [[PUBLIC]]
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await desk.client().get("https://elsewhere.example/")
    assert desk.service.asked == []


# What the operator allows besides.


async def test_named_hosts_and_networks(plain: Service) -> None:
    here = f"127.0.0.1:{plain.port}"
    for allow in (here, "127.0.0.1", "127.0.0.0/8", f"127.0.0.0/8:{plain.port}", "10.0.0.0/8, 127.0.0.1/32"):
        client = HTTP(Permit(allow))
        assert (await client.get(f"http://{here}/")).text == "ok"
        await client.close()
    for allow in ("", "127.0.0.2", f"127.0.0.1:{plain.port + 1}", "10.0.0.0/8", "localhost", f"*:{plain.port}"):
        client = HTTP(Permit(allow))
        with pytest.raises(AddressRefused, match="BACKSTAY_HTTP_ALLOW"):
            await client.get(f"http://{here}/")
        await client.close()
    client = HTTP(Permit(f"localhost:{plain.port}"))
    assert (await client.get(f"http://LocalHost:{plain.port}/")).text == "ok"
    await client.close()


async def test_a_named_host_may_be_inside_and_on_any_port(desk: Desk) -> None:
    desk.names.found[API] = [["10.1.2.3"]]
    assert (await desk.client(API).get(f"https://{API}:9000/")).status == 200
    assert (await desk.client(f"{API}:9000").get(f"https://{API}:9000/")).status == 200
    assert (await desk.client("10.1.0.0/16").get(f"https://{API}:9000/")).status == 200
    assert desk.service.asked[0].headers["host"] == f"{API}:9000"
    for allow in (f"{API}:9001", OTHER, "10.2.0.0/16", "10.1.0.0/16:9001", "*:9000"):
        with pytest.raises(AddressRefused):
            await desk.client(allow).get(f"https://{API}:9000/")


async def test_another_port_of_public_hosts(desk: Desk) -> None:
    assert (await desk.client("*:9443").get(f"https://{API}:9443/")).status == 200
    with pytest.raises(AddressRefused, match=r"http:// is for what BACKSTAY_HTTP_ALLOW names"):
        await desk.client("*:80").get(f"http://{API}/")


async def test_one_named_address_does_not_open_the_others(desk: Desk) -> None:
    desk.names.found[API] = [["10.1.2.3", "192.168.0.1"]]
    with pytest.raises(AddressRefused, match=r"192\.168\.0\.1"):
        await desk.client("10.0.0.0/8").get(f"https://{API}/")


@pytest.mark.parametrize(
    "entry",
    "* 10.0.0.1/8 host:0 host:70000 host:x http://host host/path b: [::1 -x 10.0.0.0/33 :80 [::1]x".split(),
)
def test_an_entry_that_cannot_be_meant_ends_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="BACKSTAY_HTTP_ALLOW"):
        Permit(entry)


def test_an_entry_of_every_form() -> None:
    permit = Permit("host, HOST.example.:8080 10.0.0.0/8,[::1]:9000,[fd00::]/8 fd00::1\n*:9443")
    said = [(one.host, str(one.network or ""), one.port) for one in permit.named]
    assert said == [
        ("host", "", None), ("host.example", "", 8080), ("", "10.0.0.0/8", None), ("", "::1/128", 9000),
        ("", "fd00::/8", None), ("", "fd00::1/128", None), ("*", "", 9443),
    ]  # fmt: skip


# Redirects.


def moved(location: str, status: int = 302) -> bytes:
    return answer(status, b"", location=location)


async def test_a_redirect_is_an_answer(desk: Desk) -> None:
    desk.service.says = lambda asked: moved("/there")
    answered = await desk.client().get(f"https://{API}/here")
    assert (answered.status, answered.headers["location"]) == (302, "/there")
    assert len(desk.service.asked) == 1
    with pytest.raises(BadAnswer):
        answered.ok()


async def test_redirects_are_followed_as_far_as_is_said(desk: Desk) -> None:
    desk.service.says = lambda asked: moved(f"{asked.target}x") if len(asked.target) < 9 else answer(200, b"end")
    client = desk.client(redirects=4)
    assert (await client.get(f"https://{API}/", follow=2)).status == 302
    assert [asked.target for asked in desk.service.asked] == ["/", "/x", "/xx"]
    desk.service.asked.clear()
    assert (await client.get(f"https://{API}/", follow=99)).status == 302
    assert len(desk.service.asked) == 5
    assert (await client.get(f"https://{API}/xxxxxx", follow=99)).text == "end"


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://inside.example/", "http://api.example.com/",
     "https://2130706433/", "//127.0.0.1/", "file:///etc/passwd", "https://user:pw@api.example.com/",
     "https://api.example.com:22/"],
)  # fmt: skip
async def test_each_hop_is_checked(location: str, desk: Desk) -> None:
    desk.names.found |= {"inside.example": [["10.0.0.1"]], "127.0.0.1": [["127.0.0.1"]], "::1": [["::1"]]}
    desk.service.says = lambda asked: moved(location)
    with pytest.raises(AddressRefused):
        await desk.client().get(f"https://{API}/", follow=3)
    assert desk.roads.taken == [(PUBLIC, 443)]


async def test_credentials_stay_with_their_origin(desk: Desk) -> None:
    desk.service.says = lambda asked: moved(f"https://{OTHER}/") if asked.headers["host"] == API else answer()
    given = {"Authorization": "Bearer 7", "Cookie": "a=1", "X-Api-Key": "k", "Accept": "text/csv"}
    await desk.client().bound({"x-request-id": "r-1"}).get(f"https://{API}/", headers=given, follow=1)
    first, second = (asked.headers for asked in desk.service.asked)
    assert {"authorization", "cookie", "x-api-key", "accept", "x-request-id"} <= set(first)
    assert second == {"host": OTHER, "accept": "text/csv", "user-agent": "backstay", "accept-encoding": "gzip"}
    desk.service.asked.clear()
    desk.service.says = lambda asked: moved(f"https://{API}:8443/") if asked.headers["host"] == API else answer()
    await desk.client().get(f"https://{API}/", headers=given, follow=1)
    assert "authorization" not in desk.service.asked[1].headers  # another port is another origin
    desk.service.asked.clear()
    desk.service.says = lambda asked: moved("/there") if asked.target == "/" else answer()
    await desk.client().get(f"https://{API}/", headers=given, follow=1)
    assert desk.service.asked[1].headers["authorization"] == "Bearer 7"


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [(301, "POST", "GET", b""), (302, "POST", "GET", b""), (303, "POST", "GET", b""), (303, "PUT", "GET", b""),
     (307, "POST", "POST", b"x"), (308, "PUT", "PUT", b"x"), (302, "PUT", "PUT", b"x"), (303, "HEAD", "HEAD", b"")],
)  # fmt: skip
async def test_what_a_redirect_makes_of_a_request(status: int, method: str, then: str, body: bytes, desk: Desk) -> None:
    desk.service.says = lambda asked: moved("/there", status) if asked.target == "/" else answer()
    sent = None if method == "HEAD" else b"x"
    await desk.client().request(method, f"https://{API}/", body=sent, follow=1)
    second = desk.service.asked[1]
    assert (second.method, second.target, second.body) == (then, "/there", body)


async def test_a_body_is_not_sent_on_to_another_origin(desk: Desk) -> None:
    desk.service.says = lambda asked: moved(f"https://{OTHER}/", 307)
    with pytest.raises(Unanswered, match="would send the body"):
        await desk.client().request("POST", f"https://{API}/", body=b"secret", follow=1)
    assert len(desk.service.asked) == 1


# What is known of the outcome.


async def test_nothing_was_sent(desk: Desk) -> None:
    desk.roads.closed = frozenset({PUBLIC})
    for url in (f"https://{API}/", "https://unknown.example/"):
        with pytest.raises(Unreachable) as caught:
            await desk.client().get(url)
        assert (caught.value.status, caught.value.code) == (502, "upstream_unreachable")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example.com ESMTP\r\n\r\n")


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def always_going_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("talk", [silent, hanging_up, half_an_answer, nonsense, dripping, always_going_on])
async def test_nobody_knows(talk: Any, desk: Desk) -> None:
    desk.service.talk = talk
    with pytest.raises(Unanswered) as caught:
        await desk.client(seconds=0.4).get(f"https://{API}/")
    assert (caught.value.status, caught.value.code) == (504, "upstream_unanswered")


async def test_a_time_of_ones_own_is_shorter_and_never_longer(desk: Desk) -> None:
    desk.service.talk = silent
    loop = asyncio.get_running_loop()
    for client, timeout in ((desk.client(seconds=60), 0.2), (desk.client(seconds=0.2), 60)):
        begun = loop.time()
        with pytest.raises(Unanswered):
            await client.get(f"https://{API}/", timeout=timeout)
        assert loop.time() - begun < 30


async def test_all_hops_share_one_time(desk: Desk) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.15)
            writer.write(moved("/again"))

    desk.service.talk = slowly
    with pytest.raises(Unanswered):
        await desk.client(seconds=0.4, redirects=50).get(f"https://{API}/", follow=50)


async def test_a_resolver_that_takes_too_long(desk: Desk) -> None:
    async def never(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().create_future()

    permit, caps = Permit(), Caps(seconds=5, connect_seconds=0.1)
    client = HTTP(permit, caps, Network(permit, caps, never, desk.roads))
    with pytest.raises(Unreachable, match=r"did not take a connection in 0\.1 seconds"):
        await client.get(f"https://{API}/")
    await client.close()


# Sizes.


async def test_a_body_has_a_size(desk: Desk) -> None:
    desk.service.says = lambda asked: answer(200, b"x" * int(asked.target[1:]))
    client = desk.client(body=100_000)
    assert len((await client.get(f"https://{API}/100000")).body) == 100_000
    with pytest.raises(Unanswered, match="a body of more than 100000 bytes"):
        await client.get(f"https://{API}/100001")


async def test_a_body_is_measured_unpacked(desk: Desk) -> None:
    packed = gzip.compress(bytes(50_000_000))
    assert len(packed) < 60_000
    desk.service.says = lambda asked: answer(200, packed, content_encoding="gzip")
    client = desk.client(body=1_000_000)
    tracemalloc.start()
    with pytest.raises(Unanswered, match="a body of more than 1000000 bytes"):
        await client.get(f"https://{API}/")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000, "what is beyond the limit was unpacked before it was measured"
    desk.service.says = lambda asked: answer(200, gzip.compress(b'{"a":1}'), content_encoding="gzip")
    assert (await desk.client().get(f"https://{API}/")).json == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("br", b"x"),
        ("deflate", zlib.compress(b"x")),
        ("gzip", b"no"),
        ("gzip", gzip.compress(bytes(range(256)) * 9)[:-9]),
        ("gzip", gzip.compress(b"x")[:10]),
        ("gzip", gzip.compress(b"x") + b"more"),
    ],
    ids=["twice", "brotli", "deflate", "not packed at all", "half", "nothing but the beginning", "more behind it"],
)
async def test_a_body_that_is_packed_otherwise(encoding: str, body: bytes, desk: Desk) -> None:
    desk.service.says = lambda asked: answer(200, body, content_encoding=encoding)
    with pytest.raises(Unanswered):
        await desk.client().get(f"https://{API}/")


@pytest.mark.parametrize("size", [70_000, 200_000])
async def test_headers_have_a_size(size: int, desk: Desk) -> None:
    desk.service.says = lambda asked: answer(200, b"", **{f"x_{number}": "y" * 1000 for number in range(size // 1000)})
    with pytest.raises(Unanswered):
        await desk.client().get(f"https://{API}/")


async def test_a_process_holds_so_many_connections(desk: Desk) -> None:
    desk.service.talk = silent
    client = desk.client(connections=2, seconds=0.6, connect_seconds=0.2)
    found = await asyncio.gather(*(client.get(f"https://{API}/") for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Unanswered", "Unanswered", "Unreachable"]


# Transactions.


async def test_not_inside_a_transaction(desk: Desk, tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "x.db"))
    await store.open()
    client = desk.client()
    with pytest.raises(AwaitedElsewhere, match="A request to another service is not possible inside a transaction"):
        async with store.transaction():
            await client.get(f"https://{API}/")
    assert desk.roads.taken == []
    assert (await client.get(f"https://{API}/")).status == 200
    await store.close()
