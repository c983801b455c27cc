"""An application with accounts on each database, a clock that is turned by hand, and passwords that hash fast."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters

from backstay.auth.account import Accounts
from backstay.auth.models import HIDDEN
from backstay.auth.password import Passwords
from backstay.auth.session import Pair
from backstay.model.declare import Model, User
from backstay.model.rule import Rules, anyone, field_rule, unique
from backstay.model.schema import declare
from backstay.plan.actor import SYSTEM
from backstay.plan.limits import Limits
from backstay.store.engine import Engine
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore
from backstay.store.transaction import Hooks, Transaction


class Team(Model):
    """A group of members; secret ones are seen by staff alone."""

    name: str
    secret: bool = False

    def rules(self, me: User) -> Rules:
        return Rules(read=(self.secret == False) | me.has_role("staff"))  # noqa: E712 - a condition


class Member(User):
    """A user class of the application's own, with required, optional, unique, related and guarded fields."""

    nickname: str
    age: int | None = None
    team: Team | None = None
    credit: int = 0
    motto: str = ""

    def rules(self, me: User) -> Rules:
        return Rules(
            read=(self == me) | me.has_role("staff"),
            update=self == me,
            fields=[
                field_rule(self.disabled, read=me.has_role("staff")),
                field_rule(self.credit, read=anyone, write=me.has_role("staff")),
                field_rule(self.motto, write=self == me),
            ],
        )

    def indexes(self) -> list[Any]:
        return [unique(self.nickname)]


class CountingHasher(PasswordHasher):
    """Keeps what was done and with which parameters: equal lists are equal work."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.done: list[tuple[str, str]] = []

    def hash(self, password: Any, *, salt: bytes | None = None) -> str:
        self.done.append(("hash", f"{self.memory_cost} {self.time_cost} {self.parallelism}"))
        return super().hash(password, salt=salt)

    def verify(self, hash: Any, password: Any) -> Any:
        found = extract_parameters(hash)
        self.done.append(("verify", f"{found.memory_cost} {found.time_cost} {found.parallelism}"))
        return super().verify(hash, password)


@dataclass
class World:
    """The application under test."""

    engine: Engine
    hooks: Hooks
    new_id: Callable[[], str]
    moment: datetime = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    seconds: float = 0.0
    hasher: CountingHasher = field(default_factory=CountingHasher)
    accounts: Accounts = field(init=False)
    pairs: list[Pair] = field(default_factory=list)
    processes: list[Accounts] = field(default_factory=list)

    def pass_time(self, **parts: float) -> None:
        """Turn both clocks on."""
        step = timedelta(**parts)
        self.moment += step
        self.seconds += step.total_seconds()

    def process(self) -> Accounts:
        """The accounts as another process of the same application has them."""
        passwords = Passwords(memory_kib=8, rounds=1, blur_ms=0)
        passwords._hasher = self.hasher
        return Accounts(
            self.engine, self.hooks, self.new_id, passwords=passwords, actions=["quote"],
            monotonic=lambda: self.seconds,
        )  # fmt: skip

    async def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """What stands in a table, past everything that hides it; texts as text."""
        found = await self.engine.store.run(f'SELECT {columns} FROM "{table}" ORDER BY "created_at", "id"', ())
        return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in found]

    async def add(self, record: Any) -> Any:
        """Keep a record, as the application's own code would."""
        async with Transaction.begin(self.engine, SYSTEM, self.hooks, self.new_id) as tx:
            return await tx.create(record)


def ids() -> Callable[[], str]:
    count = iter(range(1, 1_000_000))
    return lambda: f"00000000-0000-7000-8000-{next(count):012d}"


@pytest.fixture(params=["sqlite", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """`Member` with accounts, on an empty database."""
    store: Store
    if request.param == "sqlite":
        store = SQLiteStore(":memory:")
    else:
        store = PostgresStore(request.getfixturevalue("postgres_database")("accounts"))
    await store.open()
    schema = declare([Member, Team], hidden=HIDDEN)
    await store.extend(schema)
    made = World(Engine(schema, store, Limits()), Hooks(), ids())
    made.engine.clock = lambda: made.moment
    made.accounts = made.process()
    yield made
    await made.accounts.settle()
    made.accounts.close()
    await store.close()
