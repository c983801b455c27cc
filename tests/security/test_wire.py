"""Bytes that no client sends: the server takes none of them for two requests, or for another one than they are."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.auth.test_several_processes import Server

APP = """
from backstay import App, Model, Rules, anyone
class Note(Model):
    text: str = ""
    def rules(self, me):
        return Rules(read=anyone, create=anyone)
app = App("notes", models=[Note])
"""
LAST = b"GET /the/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LAST_SAID = b'"instance":"/the/end"'
MARK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /api/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /api/notes HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`backstay serve` with one worker."""
    folder = tmp_path_factory.mktemp("wire")
    (folder / "club.py").write_text(APP)
    environment = {**os.environ, "BACKSTAY_DATA": str(folder / "data"), "DATABASE_URL": f"sqlite:///{folder}/a.db",
                   "LOG_LEVEL": "info"}  # fmt: skip
    one = Server(folder, environment)
    try:
        one.wait()
        yield one
    finally:
        one.stop()


def ask(server: Server, sent: bytes) -> bytes:
    """Everything that comes back for this; a last request behind it shows that nothing else comes."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(sent)
        found = b""
        while not _whole(found) and (part := connection.recv(65_536)):
            found += part
        with suppress(OSError):  # the server has closed it already
            connection.sendall(LAST)
            while part := connection.recv(65_536):
                found += part
    return found.removesuffix(found[found.rfind(b"HTTP/1.1 ") :]) if LAST_SAID in found else found


def _whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def statuses(answer: bytes) -> list[int]:
    """The status of each answer."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


TWO = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + MARK,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + MARK,
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a length of two": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "two encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an encoding like chunks": POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "packed chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a size of another form": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a size beyond all": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n0\r\n\r\n",
    "a line that goes on": GET + b"X-A: b\r\n c\r\n\r\n",
    "a NUL in a header": GET + b"X-A: b\0c\r\n\r\n",
    "a return in a header": GET + b"X-A: b\rSet-Cookie: a=b\r\n\r\n",
    "a name with a space": GET + b"X A: b\r\n\r\n",
    "two hosts": b"GET /api/notes HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two kinds": POST + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    "two tokens": GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "a path that goes up": b"GET /api/../api/notes HTTP/1.1\r\nHost: x\r\n\r\n",
    "a slash that is none": b"GET /api%2Fnotes HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", TWO)
def test_what_may_mean_two_things_is_refused(server: Server, what: str) -> None:
    answer = ask(server, TWO[what])
    found = statuses(answer)
    assert len(found) == 1, answer
    assert found[0] in (400, 404), answer
    assert statuses(ask(server, MARK)) == [200]
    assert json.loads(ask(server, GET + b"\r\n").partition(b"\r\n\r\n")[2])["data"] == []


def test_the_body_of_a_question_is_no_question(server: Server) -> None:
    found = ask(server, GET + b"Content-Length: %d\r\n\r\n" % len(MARK) + MARK)
    assert statuses(found) == [200]


def test_nobody_asks_to_be_taken_for_another_method(server: Server) -> None:
    heads = b"X-HTTP-Method-Override: POST\r\nX-Method-Override: POST\r\nContent-Length: 0\r\n\r\n"
    assert statuses(ask(server, GET + heads)) == [200]
    assert statuses(ask(server, b"TRACE" + GET[3:] + b"Cookie: a=b\r\n\r\n")) == [405]
    assert statuses(ask(server, b"get" + GET[3:] + b"\r\n")) == [405]


def test_nobody_writes_a_line_of_the_log(server: Server) -> None:
    evil = b"%0d%0a%22%7d%0a{%22level%22:%22error%22}%1b[31m%E2%80%A8"
    for path in (b"/api/notes/" + evil, b"/api/" + evil, b"/" + evil + b"?" + evil):
        ask(server, b"GET " + path + b' HTTP/1.1\r\nHost: x\r\nX-Request-ID: a"b\r\nUser-Agent: \x1b[31m\r\n\r\n')
    ask(server, b"A" * 5_000 + b" /api/notes HTTP/1.1\r\nHost: x\r\n\r\n")
    ask(server, GET.replace(b"/api/notes", b"/the/last") + b"\r\n")
    log = Path(server.log.name)
    while b"/the/last" not in (written := log.read_bytes()):  # lines are written a tenth of a second later
        ask(server, MARK)
    lines = written.decode().splitlines()
    for line in lines:
        assert json.loads(line)["level"] == "info"
        assert len(line) < 1_000
        assert line.isprintable()
