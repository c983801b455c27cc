"""The tests of `Idempotency-Key` would notice: each fault is planted once, and the test that must fail does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backstay.api import idempotency
from backstay.errors import Conflict
from backstay.store import repeat, transaction
from backstay.store.port import Store, Writing
from backstay.store.repeat import Attempt, Keyed, Repeated
from backstay.testing import Trial
from tests.api import test_idempotency as tests
from tests.store import conftest as houses
from tests.store import test_repeat as records
from tests.store.conftest import Build, House

trial, database, build = tests.trial, tests.database, houses.build

Plant = Callable[[pytest.MonkeyPatch], None]
Test = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def apart(store: Store, attempt: Attempt | None) -> AsyncIterator[Writing]:
    """The record in a transaction of its own, before the one of the effect."""
    if attempt is not None and not attempt.committed:
        async with store.transaction() as writing:
            if not await attempt._repeats.claim(writing, attempt.keyed):
                attempt.lost = True
                raise Repeated
        attempt.committed = True
    async with store.transaction() as writing:
        yield writing


async def asking_nothing(request: Any) -> bytes:
    return b""


def belonging_to_nobody(scope: str, key: str, asked: bytes) -> Keyed:
    return Keyed(scope.rsplit("\n", 2)[0], key, asked)


async def keep_nothing(self: Any, request: Any, response: Any) -> None:
    return None


FAULTS: dict[str, tuple[Plant, Test]] = {
    "the record in a transaction of its own": (
        lambda patch: patch.setattr(transaction, "carrying", apart),
        tests.test_the_key_goes_with_the_effect_or_not_at_all,
    ),
    "the record in a transaction of its own, seen at every route": (
        lambda patch: patch.setattr(transaction, "carrying", apart),
        tests.test_every_unsafe_route_carries_its_key_in_the_transaction_of_its_effect,
    ),
    "what was asked is not looked at": (
        lambda patch: patch.setattr(idempotency, "_asked", asking_nothing),
        tests.test_a_key_belongs_to_what_was_asked,
    ),
    "a key belongs to nobody": (
        lambda patch: patch.setattr(idempotency, "Keyed", belonging_to_nobody),
        tests.test_callers_and_routes_have_keys_of_their_own,
    ),
    "the answer is kept behind the effect": (
        lambda patch: patch.setattr(idempotency.Idempotency, "keep", keep_nothing),
        tests.test_every_unsafe_route_carries_its_key_in_the_transaction_of_its_effect,
    ),
    "a loser is an error like others": (
        lambda patch: patch.setattr(repeat, "Repeated", type("Repeated", (Conflict,), {})),
        tests.test_a_handler_that_catches_every_error_does_not_go_on,
    ),
    "an error after the effect is not kept": (
        lambda patch: patch.setattr(idempotency.Idempotency, "_keep_late", keep_nothing),
        lambda given: tests.test_a_request_that_fails_in_its_middle_is_not_begun_again(given, Conflict("No.")),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_caught(
    fault: str, trial: tuple[Trial, tests.Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, test = FAULTS[fault]
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        await test(trial)


async def test_a_table_without_its_index_is_caught(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = repeat._CLAIM.partition(" ON CONFLICT")[0] + " RETURNING 1"
    monkeypatch.setattr(repeat, "_CLAIM", plain)

    async def without(*models: Any) -> House:
        house = await build(*models)
        async with house.engine.store.transaction() as writing:
            blob = "blob" if house.engine.store.dialect.name == "sqlite" else "bytea"
            await writing.run('DROP TABLE "_repeats"', ())
            await writing.run(
                f'CREATE TABLE "_repeats" (scope text, key text, asked {blob}, status bigint, answer {blob}, '
                "created_at bigint, lease_until bigint, expires_at bigint)", ()
            )  # fmt: skip
        return house

    with pytest.raises(AssertionError):
        await records.test_two_at_once_are_one(without)
