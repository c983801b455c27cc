"""The servers of the tests are real, separate and gone afterwards."""

from collections.abc import Callable

import asyncpg
import pytest

from tests.servers import Postgres, absent


async def test_it_is_a_real_postgresql(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert connection.get_server_version().major >= 16
        assert await connection.fetchval("SELECT jsonb_agg(n)::text FROM generate_series(1, 3) AS n") == "[1, 2, 3]"
        assert await connection.fetchval("SHOW fsync") == "off"
    finally:
        await connection.close()


async def test_databases_share_nothing(postgres_database: Callable[[str], str]) -> None:
    first = await asyncpg.connect(postgres_database("first"))
    second = await asyncpg.connect(postgres_database("second"))
    try:
        await first.execute("CREATE TABLE hull (id int)")
        assert await first.fetchval("SELECT to_regclass('hull')::text") == "hull"
        assert await second.fetchval("SELECT to_regclass('hull')::text") is None
        assert await second.fetchval("SHOW server_encoding") == "UTF8"
    finally:
        await first.close()
        await second.close()


async def test_a_database_is_dropped_though_somebody_is_connected(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.create("busy"))
    try:
        postgres.drop("busy")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(postgres.url("busy"))
    finally:
        connection.terminate()


async def test_nothing_is_left_of_a_stopped_server() -> None:
    server = Postgres()
    connection = await asyncpg.connect(server.url())
    await connection.close()
    server.stop()
    assert not server.directory.exists()
    with pytest.raises(FileNotFoundError):
        await asyncpg.connect(server.url())


def test_what_is_absent_is_skipped_by_a_person_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such server"):
        absent("no such server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such server"):
        absent("no such server")
