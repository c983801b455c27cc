"""Where the engine and the naive answerer meet: every case is asked of both databases and must be answered alike.

A case is a number. Cases of the same world share its databases, so a case can be repeated alone by its number.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import isclose
from pprint import pformat
from random import Random
from typing import Any

import msgspec

from backstay.errors import Problem
from backstay.model.predicate import Slot
from backstay.plan.actor import Actor
from backstay.plan.ask import After, Ask, Listing
from backstay.plan.limits import Limits
from backstay.store.engine import Engine, Found
from backstay.store.port import Store
from backstay.store.postgres import PostgresStore
from backstay.store.sqlite import SQLiteStore
from tests.oracle.conditions import NOW
from tests.oracle.naive import Naive, Refused
from tests.oracle.question import Questions, renamed
from tests.oracle.world import Row, World, make_world, settle

CASES_PER_WORLD = 40
LIMITS = Limits(max_conditions=1000, max_nodes=1000, max_rows=10**15)
ENTIRE = 1_000_000


class Disagreement(AssertionError):
    """The engine and the naive answerer differ."""


class Broken(Disagreement):
    """The engine raised what it should not."""


@dataclass(frozen=True)
class Case:
    """One question of one actor."""

    number: int
    actor: Actor
    ask: Ask


def make_case(number: int, world: World) -> Case:
    """The case of a number."""
    rng = Random(f"case {number}")
    actor = rng.choice(world.actors)
    return Case(number, actor, Questions(rng, world, actor).ask())


class Arena:
    """One world in open databases."""

    def __init__(self, world: World, stores: list[Store]) -> None:
        self.world = world
        self.engines = [Engine(world.schema, store, LIMITS, lambda: NOW) for store in stores]

    async def check(self, case: Case) -> str:
        """Ask the case everywhere; raises `Disagreement`. Returns what was asked for, or the code of the refusal."""
        naive = Naive(self.world, case.actor, case.ask.values)
        try:
            expected: Any = [naive.answer(root) for root in case.ask.roots]
        except Refused as refused:
            expected = refused
        for engine in self.engines:
            name = engine.store.dialect.name
            try:
                found: Any = await engine.read(case.ask, case.actor)
            except Problem as problem:
                await self._refused(case, engine, problem, expected)
                continue
            except Exception as error:
                said = self._differ(case, name, expected, f"{type(error).__name__}: {error}")
                raise Broken(str(said)) from error
            if isinstance(expected, Refused):
                raise self._differ(case, name, expected, found)
            for position, (root, want, got) in enumerate(zip(case.ask.roots, expected, found, strict=True)):
                self._compare(case, f"{name}, root {position}", want, got)
                if isinstance(root, Listing) and got.more and got.keys is not None and root.offset is None:
                    await self._page(case, engine, root, naive)
        return expected_name(case, expected)

    def _compare(self, case: Case, name: str, want: Any, got: Found) -> None:
        rows = [msgspec.json.decode(row) for row in got.rows]
        if not alike(want.rows, rows) or (want.total, want.more, False) != (got.total, got.more, got.capped):
            raise self._differ(case, name, want, (rows, got.total, got.more, got.capped))

    async def _page(self, case: Case, engine: Engine, root: Listing, naive: Naive) -> None:
        """Follow the cursor to the end: all pages together are the whole."""
        naive.values = (*case.ask.values, ENTIRE)
        want = naive.answer(replace(root, limit=Slot(len(case.ask.values)))).rows
        pages: list[list[Any]] = []
        after: After | None = None
        values: tuple[Any, ...] = case.ask.values
        while True:
            (found,) = await engine.read(Ask((replace(root, after=after),), values), case.actor)
            page = [msgspec.json.decode(row) for row in found.rows]
            pages = [page, *pages] if root.backwards else [*pages, page]
            if not found.more or len(pages) > len(want):
                break
            assert found.keys is not None
            places = [Slot(len(case.ask.values) + i) for i in range(len(found.keys))]
            after = After(tuple(None if key is None else place for key, place in zip(found.keys, places, strict=True)))
            values = (*case.ask.values, *found.keys)
        got = [row for page in pages for row in page]
        if not alike(want, got):
            raise self._differ(case, f"{engine.store.dialect.name}, all pages", want, pages)

    async def _refused(self, case: Case, engine: Engine, problem: Problem, expected: Any) -> None:
        """A refusal must be expected; one of a hidden name must read like one of an absent name."""
        name = engine.store.dialect.name
        if not isinstance(expected, Refused) or problem.code not in expected.codes:
            raise self._differ(case, name, expected, f"{problem.code}: {problem.detail}")
        if problem.code != "unknown_field":
            return
        said, hidden = problem.detail.split('"')[:2]
        absent = "q" * len(hidden)
        try:
            await engine.read(renamed(case.ask, hidden, absent), case.actor)
        except Problem as twin:
            if twin.detail.split('"')[0] != said:
                return  # the name stands elsewhere too
            details = [one.split(" Did you mean")[0] for one in (problem.detail, twin.detail)]
            if (problem.status, problem.code, details[0].replace(hidden, absent)) != (
                twin.status, twin.code, details[1],
            ):  # fmt: skip
                raise self._differ(case, name, twin.detail, problem.detail) from None
            self._hint(case, problem, name)
            return
        raise self._differ(case, name, "the absent name is refused", "it is answered")

    def _hint(self, case: Case, problem: Problem, name: str) -> None:
        """A suggestion never names what is hidden."""
        if " Did you mean" not in problem.detail:
            return
        entity = self.world.schema.entities[problem.detail.split()[0]]
        suggested = problem.detail.split('"')[-2]
        seen = Naive(self.world, case.actor).names(entity)
        if suggested not in seen:
            raise self._differ(case, name, seen, problem.detail)

    def _differ(self, case: Case, name: str, want: Any, got: Any) -> Disagreement:
        return Disagreement(
            f"case {case.number} (world {self.world.seed}) on {name}\n{self.world.describe()}\n\n"
            f"actor {case.actor}\nask {pformat(case.ask, width=150)}\n\n"
            f"expected {pformat(want, width=150)}\n\ngot {pformat(got, width=150)}"
        )


def expected_name(case: Case, expected: Any) -> str:
    """What a case was about, for counting."""
    if isinstance(expected, Refused):
        return "+".join(sorted(expected.codes))
    return type(case.ask.roots[0]).__name__ + ("" if any(one.rows for one in expected) else " of nothing")


def alike(left: Any, right: Any) -> bool:
    """Equal as parsed JSON; floats as near as two ways of adding them up bring them."""
    if isinstance(left, float) and isinstance(right, (int, float)) and not isinstance(right, bool):
        return isclose(left, right, rel_tol=1e-12, abs_tol=1e-12)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return bool(left == right)


Databases = Callable[[str], str]
"""An address of an empty PostgreSQL namespace, by its name."""


@asynccontextmanager
async def arena(
    number: int, address: str | None, rows: dict[str, list[Row]] | None = None, world: World | None = None
) -> AsyncIterator[Arena]:
    """The world of a number in SQLite and, where there is an address, in PostgreSQL."""
    world = world or make_world(number)
    stores: list[Store] = [SQLiteStore(":memory:")]
    if address is not None:
        stores.append(PostgresStore(address, connections=1))
    opened: list[Store] = []
    try:
        for store in stores:
            await store.open()
            opened.append(store)
            await settle(world, store, rows)
        yield Arena(world, stores)
    finally:
        for store in opened:
            await store.close()
