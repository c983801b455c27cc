"""`backstay doctor`: each check finds what it is about, and production does not start with what is unsafe."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from backstay import App, Context, Limits, Model, Rules, User, anyone, created
from backstay.app import Running
from backstay.cli.commands import backstay
from backstay.cli.doctor import refuse_unsafe
from backstay.doctor import surroundings
from backstay.doctor.declaration import relations
from backstay.doctor.examination import Finding, all_checks, examine, patient_of
from backstay.model.value import Encrypted
from backstay.plan.actor import SYSTEM
from backstay.settings import Settings, read_settings

SECRET = "0123456789abcdef" * 4
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "doctor.md"
SAFE = {
    "SECRET_KEY": SECRET,
    "BACKSTAY_PUBLIC_URL": "https://shop.example.com", "BACKSTAY_ALLOWED_HOSTS": "shop.example.com",
    "LOG_LEVEL": "warning", "BACKSTAY_RATE_LIMITS": "requests_per_client=600/minute",
}  # fmt: skip


class Note(Model):
    text: str
    label: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(read=(self.label == me.name) | me.has_role("staff"), create=me.signed_in, update=me.signed_in)


class Wall(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, create=anyone, update=anyone, delete=anyone)


class Attic(Model):
    text: Encrypted[str]


def tidy() -> App:
    return App("notes", models=[Note])


def careless() -> App:
    app = App("walls", models=[Wall, Attic, Note])

    @app.action("POST /api/shout", allow=anyone)
    async def shout(ctx: Context) -> None:
        return None

    @app.on(created(Wall), name="reader")
    async def read(ctx: Context, wall: Wall) -> None:
        raise ValueError("no")

    return app


@dataclass
class Case:
    """What a check must find: with these settings, this database, these files, or in the careless application."""

    check: str
    settings: Mapping[str, str] = field(default_factory=dict)
    posture: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, pytest.MonkeyPatch], None] | None = None
    app: Callable[[], App] = tidy
    says: str = ""


def _mode(name: str, mode: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / name).touch()
        (folder / name).chmod(mode)
        for parent in folder.parents:
            if os.access(parent, os.W_OK) and str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        folder.chmod(0o755)

    return prepare


def _on_nfs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = folder / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/data {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr(surroundings, "MOUNTS", mounts)


def _full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        surroundings.shutil, "disk_usage", lambda _: _Usage(total=100 << 30, used=99 << 30, free=1 << 29)
    )


@dataclass
class _Usage:
    total: int
    used: int
    free: int


def _root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


CASES = [
    Case("environment-file", prepare=_mode(".env", 0o640), says="mode 640"),
    Case("database-file", prepare=_mode("notes.db", 0o644), says="mode 644"),
    Case("memory-database", {"DATABASE_URL": "sqlite://"}),
    Case("shared-file", prepare=_on_nfs, says="nfs4"),
    Case("public-url-plain", {"BACKSTAY_PUBLIC_URL": "http://shop.example.com"}),
    Case("public-url", {"BACKSTAY_PUBLIC_URL": "", "HOST": "0.0.0.0"}),
    Case("cors-localhost", {"BACKSTAY_CORS_ORIGINS": "http://localhost:5173"}),
    Case("cors-plain", {"BACKSTAY_CORS_ORIGINS": "http://app.example.com"}),
    Case("cors-anybody", {"BACKSTAY_CORS_ORIGINS": "*"}),
    Case("hosts", {"HOST": "0.0.0.0", "BACKSTAY_ALLOWED_HOSTS": ""}),
    Case("proxies", {"BACKSTAY_TRUSTED_PROXIES": "8.0.0.0/8"}),
    Case("outbound", {"BACKSTAY_HTTP_ALLOW": "169.254.169.254"}),
    Case("login-rate", {"BACKSTAY_RATE_LIMITS": "login_per_account=100/second"}),
    Case("request-rate", {"BACKSTAY_RATE_LIMITS": "", "HOST": "0.0.0.0"}),
    Case("session-days", {"BACKSTAY_SESSION_DAYS": "400"}),
    Case("access-minutes", {"BACKSTAY_ACCESS_MINUTES": "1441"}),
    Case("log-level", {"LOG_LEVEL": "debug"}),
    Case("encryption-keys", app=careless, says="Attic.text"),
    Case("root", prepare=_root),
    Case("disk-space", prepare=_full, says="512 MB"),
    Case("open-changes", app=careless, says="anyone may update every Wall"),
    Case("open-creates", app=careless, says="Wall"),
    Case("open-actions", app=careless, says="POST /api/shout"),
    Case("closed-models", app=careless, says="Attic"),
    Case("rule-index", says="label"),
    Case("durability", posture={"fsync": "off"}, says="fsync"),
    Case("durability", posture={"full_page_writes": "off"}, says="full_page_writes"),
    Case("durability", posture={"synchronous_commit": "local"}, says="synchronous_commit"),
    Case("durability", posture={"synchronous": "1"}, says="synchronous = 1"),
    Case("database-tls", posture={"remote": "yes", "ssl": "no"}),
    Case("database-superuser", posture={"superuser": "yes"}),
    Case("database-version", posture={"server_version_num": "130012"}),
    Case("connections", {"BACKSTAY_CONNECTIONS": "40"}, posture={"max_connections": "100"}),
    Case("clock", posture={"now": "1000000000"}),
    Case("whole-tables", posture={"scanned": "notes,walls"}, says="notes"),
]
ELSEWHERE = {
    "relation-index", "migrations", "checksums", "reactions-given-up", "reactions-behind", "closed",
}  # fmt: skip


async def found_in(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, more: Mapping[str, str] | None = None
) -> list[Finding]:
    monkeypatch.chdir(folder)
    if case.prepare is not None:
        case.prepare(folder, monkeypatch)
    settings = settings_of(folder, {**case.settings, **(more or {})})
    app = case.app()
    running = await app.start(settings, extend=True)
    monkeypatch.setattr(running.store, "posture", _posture({"synchronous": "2", **case.posture}))
    try:
        return await examine(await patient_of(app, running), all_checks())
    finally:
        await app.stop()


def _posture(told: Mapping[str, str]) -> Callable[..., Any]:
    async def posture() -> Mapping[str, str]:
        return told

    return posture


def settings_of(folder: Path, more: Mapping[str, str]) -> Settings:
    environment = {"DATABASE_URL": f"sqlite:///{folder}/notes.db", "BACKSTAY_DATA": str(folder), **SAFE, **more}
    return read_settings(environment, folder=str(folder / "nowhere"))


@pytest.mark.parametrize("case", CASES, ids=[f"{case.check} {case.says}".strip() for case in CASES])
async def test_it_is_found_and_stops_production_where_it_is_unsafe(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await found_in(case, tmp_path, monkeypatch)
    mine = [finding for finding in found if finding.check == case.check]
    assert mine, [finding.check for finding in found]
    assert case.says in " ".join(finding.said for finding in mine)
    level = next(check.level for check in all_checks() if check.name == case.check)
    assert {finding.stops for finding in mine} == {level == "unsafe"}


@pytest.mark.parametrize("case", [c for c in CASES if c.settings and not c.posture], ids=lambda case: case.check)
async def test_serve_refuses_what_is_unsafe_and_lets_pass_what_is_accepted(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if case.prepare is not None:
        case.prepare(tmp_path, monkeypatch)
    level = next(check.level for check in all_checks() if check.name == case.check)

    async def start(more: Mapping[str, str]) -> None:
        app = case.app()
        running: Running = await app.start(settings_of(tmp_path, {**case.settings, **more}), extend=True)
        try:
            await refuse_unsafe(running)
        finally:
            await app.stop()

    if level == "unsafe":
        with pytest.raises(click.ClickException) as refused:
            await start({})
        assert f"BACKSTAY_ACCEPT={case.check}" in refused.value.message
        await start({"BACKSTAY_ACCEPT": case.check})
    else:
        await start({})


async def test_nothing_is_found_where_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaf(Model):
        text: str

        def rules(self, me: User) -> Rules:
            return Rules(read=anyone, create=me.signed_in)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    case = Case("", app=lambda: App("leaves", models=[Leaf], limits=Limits(requests_per_client="600/minute")))
    found = await found_in(case, tmp_path, monkeypatch)
    assert found == []


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_what_waits_in_the_database_is_found(
    database: str, tmp_path: Path, postgres_database: Callable[[str], str]
) -> None:
    app = careless()
    url = {"DATABASE_URL": postgres_database("doctor")} if database == "postgres" else {}
    running = await app.start(settings_of(tmp_path, url), extend=True)
    try:
        async with running.context_of(SYSTEM).transaction() as tx:
            await tx.create(Wall(text="x"))
        await running.store.settle()
        later = running.engine.clock() + timedelta(hours=1)
        running.engine.clock = lambda: later
        await running.closure.close("We move house.")
        checks = [check for check in all_checks() if check.name in ELSEWHERE - {"relation-index"}]
        patient = await patient_of(app, running)
        found = {finding.check: finding.said for finding in await examine(patient, checks)}
        assert set(found) == {"reactions-behind", "closed"}
        assert "reader has not been told" in found["reactions-behind"]
        changed = replace(patient, app=App("walls", models=[Wall, Attic]))
        said = {finding.check for finding in await examine(changed, checks)}
        assert "migrations" in said
        for minutes in range(15):
            moment = later + timedelta(hours=minutes)
            running.engine.clock = lambda moment=moment: moment  # type: ignore[misc]
            await running.outbox.drain()
        assert "reactions-given-up" in {finding.check for finding in await examine(patient, checks)}
    finally:
        await app.stop()


async def test_pages_that_do_not_fit_their_checksums_are_found(
    postgres_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def damaged() -> list[str]:
        return ["3 pages do not fit their checksums"]

    app = tidy()
    running = await app.start(settings_of(tmp_path, {"DATABASE_URL": postgres_database("damaged")}), extend=True)
    try:
        checks = [check for check in all_checks() if check.name == "checksums"]
        assert await examine(await patient_of(app, running), checks) == []
        monkeypatch.setattr(running.store, "damage", damaged)
        (found,) = await examine(await patient_of(app, running), checks)
        assert (found.said, found.stops) == ("3 pages do not fit their checksums", True)
    finally:
        await app.stop()


def test_a_relation_of_an_existing_table_without_an_index_is_found() -> None:
    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "authors"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
        editor_id: Mapped[int] = mapped_column(ForeignKey("authors.id"), index=True)
        author: Mapped[Author] = relationship(foreign_keys=[author_id])
        editor: Mapped[Author] = relationship(foreign_keys=[editor_id])

    app = App("blog", models=[Note])
    app.expose(Author, rules=lambda author, me: Rules(read=anyone))
    app.expose(Post, rules=lambda post, me: Rules(read=anyone))
    patient: Any = SimpleNamespace(app=app)
    assert list(relations(patient)) == ["Post.author has no index: the whole table is read for one Author."]


async def test_a_check_that_stumbles_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await found_in(Case("", posture={"now": "never"}), tmp_path, monkeypatch)
    (clock,) = [finding for finding in found if finding.check == "clock"]
    assert "could not be looked at: ValueError" in clock.said


FILE = """
from backstay import App, Model, Rules, User, anyone


class Wall(Model):
    text: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, delete=anyone)


app = App("walls", models=[Wall])
"""


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walls.py").write_text(FILE)
    environment = {**SAFE, "DATABASE_URL": f"sqlite:///{tmp_path}/walls.db", "LOG_LEVEL": "error"}

    def run(*words: str, **more: str) -> Any:
        return CliRunner().invoke(backstay, words, env={**environment, **more})

    assert run("user", "create", "walls.py", "a@example.com", "--password", "a long word").exit_code == 0
    refused = run("serve", "walls.py")
    assert refused.exit_code == 1
    assert "anyone may delete every Wall" in refused.output
    assert "BACKSTAY_ACCEPT=open-changes" in refused.output
    unknown = run("serve", "walls.py", BACKSTAY_ACCEPT="open-doors")
    assert unknown.exit_code == 1
    assert "open-doors" in unknown.output
    told = run("doctor", "walls.py", "--json")
    assert told.exit_code == 1
    assert ("open-changes", "unsafe", False) in [
        (f["check"], f["level"], f["accepted"]) for f in json.loads(told.output)
    ]
    assert run("doctor", "walls.py", BACKSTAY_ACCEPT="open-changes").exit_code == 0
    assert run("doctor", "walls.py", "--strict", BACKSTAY_ACCEPT="open-changes").exit_code == 1


def test_each_check_has_its_case_and_its_line_in_the_reference() -> None:
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names))
    assert {case.check for case in CASES} | ELSEWHERE == set(names)
    rows = re.findall(r"^\| `([a-z-]+)` \| (unsafe|advice) \| (.*) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(check.name, check.level, check.asks, check.advice) for check in all_checks()]
