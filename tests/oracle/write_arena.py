"""Where the server and the naive writer meet: every act is carried out on both databases, and on lists of dictionaries.

An act goes through the whole HTTP front, or through a transaction as the application's own code would begin it. What
is answered must be the naive answer, and what stands in the tables before the commit the naive rows: fields, versions,
and all that is kept beside a field. Then the transaction is undone, so every act meets the same world.
"""

import json
from collections.abc import AsyncIterator, Container, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pprint import pformat
from random import Random
from typing import Any

import msgspec

from backstay.api.http import Request
from backstay.app import App, Running
from backstay.errors import Problem
from backstay.model.declare import Model
from backstay.model.field import Entity
from backstay.model.folding import fold, search_text
from backstay.model.predicate import ANYONE, lift
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask, Delete, Listing, Selection, Update
from backstay.plan.limits import Limits
from backstay.settings import Settings
from backstay.store.dialect import quoted
from tests.oracle.acts import Act, Acts, json_values
from tests.oracle.arena import Broken, Disagreement, alike
from tests.oracle.conditions import NOW
from tests.oracle.naive import Naive
from tests.oracle.naive_writer import Done, Op, Refused, Writer
from tests.oracle.world import World, settle
from tests.oracle.writing_world import make_writing_world

ACTS_PER_WORLD = 40
LIMITS = Limits(max_conditions=1000, max_nodes=1000, max_rows=10**15, max_page=1000, page=1000)
Tables = dict[str, dict[str, Any]]
"""Every row of every table, by the name of its model and its id."""


@dataclass(frozen=True)
class Case:
    """One act of one actor."""

    number: int
    actor: Actor
    act: Act


def make_case(number: int, world: World) -> Case:
    """The case of a number."""
    rng = Random(f"act {number}")
    actor = rng.choice(world.actors)
    return Case(number, actor, Acts(rng, world, actor).act())


@dataclass
class Outcome:
    """What an act led to: a status and a code or bodies, and the tables where it was done."""

    status: int
    code: str = ""
    answers: Any = None
    tables: Tables | None = None


class Desk:
    """One world, served from one database."""

    def __init__(self, world: World, running: Running) -> None:
        self.world = world
        self.running = running
        self.name = running.store.dialect.name
        self.actor: Actor = SYSTEM
        self.seen: Tables | None = None
        self._began = running.store.transaction
        running.store.transaction = self._undone  # type: ignore[method-assign]
        running.front.identify = self._identify  # type: ignore[method-assign]

    async def _identify(self, request: Request) -> Actor:
        return self.actor

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[Any]:
        try:
            async with self._began() as writing:
                yield writing
                self.seen = await self.tables(writing)
                raise _Undone
        except _Undone:
            pass

    async def carry_out(self, case: Case) -> Outcome:
        """The outcome of an act."""
        self.actor, self.seen = case.actor, None
        if case.act.kind == "guarded":
            return await self._guarded(case.act.ops[0])
        method, path, body, headers = request_of(case.act, self.world)
        status, answer = await self._ask(method, path, body, headers)
        if status >= 400:
            return Outcome(status, answer["code"])
        answers: Any = answer
        if case.act.kind != "one":
            answers = answer["data"]
        return Outcome(status, "", answers, self.seen)

    async def _guarded(self, op: Op) -> Outcome:
        values: list[Any] = []
        guard = lift(op.guard, values) if op.guard is not None else ANYONE
        ask: Any = Update(op.model, op.key, json_values(op.values), guard, tuple(values), sets=op.sets)
        if op.method == "DELETE":
            ask = Delete(op.model, op.key, guard, tuple(values))
        try:
            async with self.running.context_of(self.actor).transaction() as tx:
                await tx.write(ask)
        except Problem as problem:
            return Outcome(problem.status, problem.code)
        return Outcome(200, "", None, self.seen)

    async def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        sent = {**headers, "authorization": "somebody"}
        raw = b""
        if body is not None:
            sent["content-type"] = "application/json"
            raw = json.dumps(body).encode()
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        messages: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def collect(message: Mapping[str, Any]) -> None:
            messages.append(message)

        await self.running.front(scope, receive, collect)
        text = b"".join(message.get("body", b"") for message in messages[1:])
        return messages[0]["status"], json.loads(text) if text else None

    async def tables(self, writing: Any) -> Tables:
        """All rows as they stand, read inside a transaction."""
        names = list(self.world.rows)
        roots = tuple(Listing(name, Selection(), alias=name) for name in names)
        found: Tables = {}
        for name, one in zip(names, await self.running.engine.read(Ask(roots), SYSTEM, writing), strict=True):
            assert not one.more
            rows = [msgspec.json.decode(row) for row in one.rows]
            found[name] = {row["id"]: {"row": row} for row in rows}
            entity = self.world.schema.entities[name]
            columns = ", ".join(quoted(column) for column in beside(entity))
            table = quoted(entity.table)
            for key, version, *rest in await writing.run(
                f'SELECT CAST(id AS text), "_version"{", " if columns else ""}{columns} FROM {table}', ()
            ):
                found[name][said(key)] |= {"version": version, "beside": [said(value) for value in rest]}
        return found


class _Undone(Exception):
    """Raised where a transaction would commit."""


def said(value: Any) -> Any:
    """A text as the driver gave it, as text."""
    return value.decode() if isinstance(value, bytes) else value


def beside(entity: Entity) -> dict[str, str]:
    """Columns that no record shows: secrets, folded texts, currencies and search words, each with its field."""
    found: dict[str, str] = {}
    for name, one in entity.fields.items():
        if one.write_only:
            found[one.column] = name
        if one.folded:
            found[one.folded] = name
        for second in one.columns[1:]:
            found[second] = name
    if entity.search:
        found["_words"] = ""
    return found


def expected_tables(writer: Writer) -> Tables:
    """The naive rows in the same form."""
    naive = Naive(writer.world, SYSTEM)
    found: Tables = {}
    for name, rows in writer.world.rows.items():
        entity = writer.world.schema.entities[name]
        found[name] = {
            row["id"]: {
                "row": naive.render(Selection(), entity, row), "version": writer.versions[row["id"]],
                "beside": [_beside(entity, column, name, row) for column, name in beside(entity).items()],
            } for row in rows
        }  # fmt: skip
    return found


def _beside(entity: Entity, column: str, name: str, row: Mapping[str, Any]) -> Any:
    if not name:
        return search_text([row[one] for one in entity.search])
    value = row[name]
    if value is None:
        return None
    one = entity.fields[name]
    return value if column == one.column else fold(value) if column == one.folded else value.currency


def request_of(act: Act, world: World) -> tuple[str, str, Any, dict[str, str]]:
    """The method, path, body and headers of an act."""

    def path(op: Op) -> str:
        plural = world.schema.entities[op.model].plural
        return f"/api/{plural}/{op.key}" if op.key else f"/api/{plural}"

    first = act.ops[0]
    if act.kind == "many":
        return "POST", path(first), [json_values(op.values) for op in act.ops], {}
    if act.kind == "batch":
        body = [
            {
                "method": op.method,
                "path": path(op),
                **({"body": json_values(op.values)} if op.method != "DELETE" else {}),
            }
            for op in act.ops
        ]
        return "POST", "/api/batch", body, {}
    headers = {}
    if first.there:
        headers["if-match"] = "*" if first.version is None else f'"{first.version}"'
    if first.absent:
        headers["if-none-match"] = "*"
    return first.method, path(first), json_values(first.values) if first.method != "DELETE" else None, headers


@dataclass(frozen=True)
class Expected:
    """What the naive writer makes of an act, and the ids of what is new."""

    world: World
    outcome: Outcome
    fresh: Mapping[str, list[str]]


def expected(case: Case, world: World) -> Expected:
    """What an act must lead to."""
    writer = Writer(world, case.actor)
    outcome = _outcome(case, world, writer)
    fresh = {name: [row["id"] for row in rows if row["id"] in writer.made] for name, rows in writer.world.rows.items()}
    return Expected(world, outcome, fresh)


def _outcome(case: Case, world: World, writer: Writer) -> Outcome:
    act = case.act
    try:
        if act.kind in ("one", "many"):
            writer.knock(act.ops[0])
        if act.kind == "many":
            done = writer.many(act.ops[0].model, [op.values for op in act.ops])
        else:
            done = writer.batch(act.ops)
    except Refused as refused:
        return Outcome(refused.status, refused.code)
    tables = expected_tables(writer)
    if act.kind == "guarded":
        return Outcome(200, "", None, tables)
    if act.kind == "many":
        return Outcome(201, "", [one.record for one in done if one.record is not None], tables)
    if act.kind == "batch":
        answers = []
        for op, one in zip(act.ops, done, strict=True):
            answer = {"status": status_of(one), "body": one.record}
            if one.status == 201:
                answer["location"] = f"/api/{world.schema.entities[op.model].plural}/{one.key}"
            answers.append(answer)
        return Outcome(200, "", answers, tables)
    return Outcome(status_of(done[0]), "", done[0].record, tables)


def status_of(done: Done) -> int:
    """The status of what was done: nothing to show is 204, unless it is new."""
    return 204 if done.record is None and done.status == 200 else done.status


class WriteArena:
    """One world in open databases."""

    def __init__(self, world: World, desks: list[Desk]) -> None:
        self.world = world
        self.desks = desks

    async def check(self, case: Case, known: Expected | None = None) -> str:
        """Carry out the case everywhere; raises `Disagreement`. Returns what it was and how it ended."""
        found = known or expected(case, self.world)
        want = found.outcome
        for desk in self.desks:
            try:
                got = await desk.carry_out(case)
            except Exception as error:
                raise Broken(str(self._differ(case, desk.name, want, f"{type(error).__name__}: {error}"))) from error
            if got.status == 500:
                raise Broken(str(self._differ(case, desk.name, want, got)))
            if (want.status, want.code) != (got.status, got.code):
                raise self._differ(case, desk.name, (want.status, want.code), (got.status, got.code))
            if want.tables is None or got.tables is None:
                continue
            names = renaming(found.fresh, got.tables)
            names |= zip(gone(got.answers, {*names}), gone(want.answers, {*names.values()}), strict=False)
            answers, tables = renamed(got.answers, names), renamed(got.tables, names)
            if not alike(want.answers, answers):
                raise self._differ(case, desk.name, want.answers, answers)
            if not alike(want.tables, tables):
                raise self._differ(case, desk.name, *unlike(want.tables, tables))
        what = case.act.kind if case.act.kind != "one" else case.act.ops[0].method
        if any(said.inside for op in case.act.ops for said in op.values.values()):
            what = f"nested {what}"
        return f"{what} {want.code or 'done'}"

    async def check_that_nothing_is_left(self) -> None:
        """Raise `Disagreement` where the tables are not as they were at the beginning."""
        tables = expected_tables(Writer(self.world, SYSTEM))
        for desk in self.desks:
            async with desk._began() as writing:
                found = await desk.tables(writing)
            if not alike(tables, found):
                raise Disagreement(f"world {self.world.seed} on {desk.name}: {unlike(tables, found)}")

    def _differ(self, case: Case, name: str, want: Any, got: Any) -> Disagreement:
        return Disagreement(
            f"case {case.number} (world {self.world.seed}) on {name}\n{self.world.describe(writing=True)}\n\n"
            f"actor {case.actor}\nact {pformat(case.act, width=150)}\n\n"
            f"expected {pformat(want, width=150)}\n\ngot {pformat(got, width=150)}"
        )


def renaming(fresh: Mapping[str, list[str]], tables: Tables) -> dict[str, str]:
    """Ids of new records, each with the naive one: in every table they come in the order they were made."""
    found: dict[str, str] = {}
    for name, keys in fresh.items():
        found |= dict(zip(sorted(key for key in tables[name] if key.startswith("0199ffff-")), keys, strict=False))
    return found


def gone(answers: Any, known: Container[str]) -> list[str]:
    """Ids of what an act has made and ended again, in the order in which it answers them."""
    parts = answers.values() if isinstance(answers, dict) else answers if isinstance(answers, list) else ()
    found = [key for part in parts for key in gone(part, known)]
    if isinstance(answers, str) and (key := answers.rpartition("/")[2]).startswith("0199ffff-") and key not in known:
        found.append(key)
    return list(dict.fromkeys(found))


def renamed(node: Any, names: Mapping[str, str]) -> Any:
    """The same with other ids."""
    if isinstance(node, str):
        head, slash, last = node.rpartition("/")
        return f"{head}{slash}{names.get(last, last)}"
    if isinstance(node, dict):
        return {names.get(key, key): renamed(value, names) for key, value in node.items()}
    return [renamed(part, names) for part in node] if isinstance(node, list) else node


def unlike(want: Tables, got: Tables) -> tuple[Any, Any]:
    """The rows that differ."""
    keys = [(name, key) for name in want for key in {**want[name], **got[name]}]
    keys = [(name, key) for name, key in keys if not alike(want[name].get(key), got[name].get(key))]
    return tuple({f"{name} {key}": tables[name].get(key) for name, key in keys} for tables in (want, got))  # type: ignore[return-value]


def numbered() -> Iterator[str]:
    """Ids of new records."""
    return (f"0199ffff-0000-7000-8000-{number:012x}" for number in count(1))


@asynccontextmanager
async def write_arena(number: int, address: str | None, world: World | None = None) -> AsyncIterator[WriteArena]:
    """The world of a number, served from SQLite and, where there is an address, from PostgreSQL."""
    world = world or make_writing_world(number)
    models: list[type[Model]] = [entity.model for entity in world.schema.entities.values() if not entity.made]
    started: list[App] = []
    desks = []
    try:
        for url in ("sqlite://", *([address] if address is not None else [])):
            app = App("world", models=models, limits=LIMITS)
            settings = Settings(database_url=url, secret_key="oracle " * 8, log_level="error", connections=1)
            numbers = numbered()
            running = await app.start(settings, extend=True, clock=lambda: NOW, new_id=lambda n=numbers: next(n))  # type: ignore[misc]
            started.append(app)
            await settle(world, running.store)
            desks.append(Desk(world, running))
        yield WriteArena(world, desks)
    finally:
        for app in started:
            await app.stop()
