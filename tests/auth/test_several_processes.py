"""Two servers on one database: what one of them ends the other refuses within a second, and tabs may meet at both."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore

APP = "from backstay import App\n\napp = App('club', models=[])\n"
ADA = {"email": "ada@example.com", "password": "correct horse battery"}
RUN = "from backstay.cli import main; main()"
HERE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Reply:
    """A status, the cookies that were set, and a body."""

    status: int
    cookies: dict[str, str]
    body: Any


class Server:
    """A process of `backstay serve`, with one worker."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-c", RUN, "serve", "club.py", "--port", str(self.port)]
        self.log = (folder / f"{self.port}.log").open("wb")
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=self.log, stderr=self.log)

    def wait(self) -> None:
        """Until it answers."""
        begun = monotonic()
        while monotonic() - begun < 60:
            try:
                if self.ask("GET", "/healthz").status == 200:
                    return
            except OSError:
                assert self.process.poll() is None, Path(self.log.name).read_text()
        raise AssertionError(Path(self.log.name).read_text())

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", headers: dict[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            read = answer.read()
            set_ = [one.split(";")[0].split("=", 1) for one in answer.headers.get_all("Set-Cookie") or []]
            return Reply(answer.status, {name: value for name, value in set_}, json.loads(read) if read else None)
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


@dataclass
class Pair:
    """Both servers, the command line beside them, and the database behind."""

    first: Server
    second: Server
    command: Callable[..., None]
    store: Callable[[], Store]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers on an empty database, in which Ada has an account."""
    folder = tmp_path_factory.mktemp("servers")
    (folder / "club.py").write_text(APP)
    server = None
    url = f"sqlite:///{folder}/club.db"
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url = server.create("several")
    environment = {**os.environ, "DATABASE_URL": url, "BACKSTAY_DATA": str(folder), "SECRET_KEY": "of several " * 3,
                   "BACKSTAY_PASSWORD": ADA["password"], "LOG_LEVEL": "error",
                   "BACKSTAY_RATE_LIMITS": "login_per_account=;login_per_client=;refresh_per_client=",
                   "BACKSTAY_ACCEPT": "login-rate, durability"}  # fmt: skip

    def command(*words: str) -> None:
        subprocess.run(
            [sys.executable, "-c", RUN, *words], cwd=folder, env=environment, check=True, capture_output=True
        )

    command("user", "create", "club.py", ADA["email"])
    servers = [Server(folder, environment) for _ in range(2)]
    try:
        for one in servers:
            one.wait()
        path = str(folder / "club.db")
        yield Pair(*servers, command, lambda: PostgresStore(url) if server is not None else SQLiteStore(path))
    finally:
        for one in servers:
            one.stop()
        if server is not None:
            server.drop("several")


def me(server: Server, token: str) -> Reply:
    return server.ask("GET", "/api/auth/me", token=token)


def believed_after(ended: float, server: Server, token: str, good: Callable[[Reply], bool]) -> list[float]:
    """Ask until the end is seen; for how long after it a request that was believed had been begun."""
    late: list[float] = []
    while True:
        begun = monotonic()
        if not good(me(server, token)):
            return late
        late.append(begun - ended)
        assert late[-1] < 30


def is_ok(reply: Reply) -> bool:
    return reply.status == 200


def enter(server: Server) -> dict[str, Any]:
    reply = server.ask("POST", "/api/auth/login", ADA)
    assert reply.status == 200
    found: dict[str, Any] = reply.body
    return found


@pytest.mark.parametrize("way", ["signed out", "ended from another session", "a key revoked"])
def test_what_one_server_ends_the_other_refuses_within_a_second(pair: Pair, way: str) -> None:
    entered = enter(pair.first)
    token, key = entered["access_token"], ""
    if way == "a key revoked":
        made = pair.first.ask("POST", "/api/auth/keys", {"name": "x", "scopes": ["users:read"]}, token=token)
        token, key = made.body["key"], made.body["id"]
    for server in (pair.first, pair.second, pair.first, pair.second):
        assert me(server, token).status == 200
    if way == "signed out":
        assert pair.second.ask("POST", "/api/auth/logout", token=token).status == 204
    elif way == "ended from another session":
        other = enter(pair.second)["access_token"]
        assert pair.second.ask("DELETE", "/api/auth/sessions", token=other).status == 204
    else:
        done = pair.second.ask("DELETE", f"/api/auth/keys/{key}", token=entered["access_token"])
        assert done.status == 204
    ended = monotonic()
    assert me(pair.second, token).status == 401
    assert all(late <= 1.0 for late in believed_after(ended, pair.first, token, is_ok))


def test_roles_of_the_command_line_are_seen_by_both_within_a_second(pair: Pair) -> None:
    tokens = [(server, enter(server)["access_token"]) for server in (pair.first, pair.second)]
    for server, token in tokens:
        assert me(server, token).body["roles"] == []
    pair.command("user", "roles", "club.py", ADA["email"], "--role", "staff")
    ended = monotonic()
    for server, token in tokens:
        # Staff sees everybody; until then a list holds oneself alone, and the rule says so by the role.
        late = believed_after(ended, server, token, lambda reply: reply.body["roles"] == [])
        assert all(one <= 1.0 for one in late)
    pair.command("user", "roles", "club.py", ADA["email"])


def test_tabs_that_refresh_at_both_servers_at_once_stay_signed_in(pair: Pair) -> None:
    first = enter(pair.first)
    servers = [pair.first, pair.second] * 4
    with ThreadPoolExecutor(8) as pool:
        body = {"refresh_token": first["refresh_token"]}
        replies = list(pool.map(lambda server: server.ask("POST", "/api/auth/refresh", body), servers))
    assert [reply.status for reply in replies] == [200] * 8
    tokens = {reply.body["access_token"] for reply in replies}
    assert len(tokens) == 8
    for token in tokens:
        assert [me(server, token).status for server in (pair.first, pair.second)] == [200, 200]


def test_tabs_with_cookies_do_the_same(pair: Pair) -> None:
    entered = pair.first.ask("POST", "/api/auth/login", {**ADA, "cookie": True}, headers=HERE)
    assert entered.status == 200

    def sent(cookies: dict[str, str]) -> dict[str, str]:
        return {**HERE, "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}

    with ThreadPoolExecutor(8) as pool:
        headers = sent(entered.cookies)
        replies = list(
            pool.map(
                lambda server: server.ask("POST", "/api/auth/refresh", headers=headers), [pair.first, pair.second] * 4
            )
        )
    assert [reply.status for reply in replies] == [200] * 8
    for reply in replies:
        for server in (pair.first, pair.second):
            assert server.ask("GET", "/api/auth/me", headers=sent(reply.cookies)).status == 200
    assert pair.second.ask("POST", "/api/auth/logout", headers=sent(replies[0].cookies)).status == 204
    for reply in replies:
        assert pair.second.ask("GET", "/api/auth/me", headers=sent(reply.cookies)).status == 401
        assert pair.first.ask("POST", "/api/auth/refresh", headers=sent(reply.cookies)).status == 401


async def test_a_theft_that_one_server_sees_is_the_end_at_both(pair: Pair) -> None:
    first = enter(pair.first)
    second = pair.second.ask("POST", "/api/auth/refresh", {"refresh_token": first["refresh_token"]}).body
    store = pair.store()
    await store.open()
    long_ago = "'2020-01-01T00:00:00.000000Z'"
    async with store.transaction() as writing:
        await writing.run(f"UPDATE account_tokens SET spent_at = {long_ago} WHERE spent_at IS NOT NULL", ())
    await store.close()
    for server in (pair.first, pair.second):
        assert me(server, second["access_token"]).status == 200
    stolen = {"refresh_token": first["refresh_token"]}
    assert pair.first.ask("POST", "/api/auth/refresh", stolen).status == 401
    ended = monotonic()
    assert me(pair.first, second["access_token"]).status == 401
    assert all(late <= 1.0 for late in believed_after(ended, pair.second, second["access_token"], is_ok))
    for server in (pair.first, pair.second):
        assert server.ask("POST", "/api/auth/refresh", {"refresh_token": second["refresh_token"]}).status == 401
