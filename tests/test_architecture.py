"""One road to the data, read from the source: who may make a plan, an answer or a statement, and who may call a driver.

Holding a `ReadPlan` is the proof that rules, visibility and limits are in it, because the planner alone makes one. The
type checkers cannot say that, so this reads every module; and each sin is planted once in a copy, to see it caught.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from backstay.plan import tree
from tests.test_project import ROOT, copy_of_the_package, plant

PACKAGE = ROOT / "src" / "backstay"
PLANNER, WRITE = ("plan/planner.py",), ("plan/planner.py", "plan/write.py")
ENGINE, COMPILER = ("store/engine.py",), ("store/sql.py",)
DRIVERS = (
    "store/sqlite.py", "store/sqlite_connection.py", "store/postgres.py", "store/postgres_pool.py", "store/sequencer.py"
)  # fmt: skip
ELSEWHERE = ("commerce/payments/play_ledger.py", "commerce/payments/play_deliveries.py")
"""What stands in for a company elsewhere, with books of its own that the application never reads."""
READING = ("store/reflect.py",)
"""What looks at the catalogue of a database that is not ours, read only."""
LENT = (*READING, "store/apsw_dbapi.py", "store/sqlalchemy_dialect.py")
"""What SQLAlchemy is lent, for an application that joins: it runs the statements of that one, and never ours."""

# The classes that prove something, and the files that may make one. All other parts of a plan are made in plan/.
MAKERS: dict[str, tuple[str, ...]] = {
    **{name: ("plan/",) for name, part in vars(tree).items() if getattr(part, "__module__", "") == tree.__name__
       and isinstance(part, type)},
    "ReadPlan": PLANNER,
    "WritePlan": WRITE,
    "Check": WRITE,
    "LinkCheck": WRITE,
    "Param": ("plan/", "store/rows.py", "store/many.py"),  # a write hands on values that a plan has checked
    "ParamSpec": ("plan/", "store/rows.py", "store/many.py"),
    "Constant": ("plan/", "store/sql.py"),  # the compiler compares with it
    "Found": ENGINE,
    "Statement": COMPILER,
    "compile_read": ENGINE,
    "compile_check": ("store/prepared.py",),
}  # fmt: skip
HOMES = {"backstay.plan.tree": "plan/tree.py", "backstay.store.engine": "store/engine.py",
         "backstay.store.sql": "store/sql.py"}  # fmt: skip

CALLS = frozenset(
    "execute executemany executescript fetch fetchrow fetchval fetchmany fetchall fetchone cursor prepare".split()
)
SERVING = ("api/", "auth/", "app.py")
"""What works for requests, so that each of its transactions carries the key of its request (`store/repeat.py`)."""
KEYLESS = (
    "auth/account.py",  # the rehearsal of a sign-up, which is undone
    "auth/purge.py",  # no request asks for it
)
OPENING = frozenset({"connect", "Connection", "create_engine", "create_pool", "create_async_engine"})
"""How drivers are asked and opened; `import`s of them are watched by the linter of imports."""


def sins(package: Path) -> list[str]:
    """Every place in a package that goes off the road."""
    files = [(file.relative_to(package).as_posix(), file.read_text()) for file in package.rglob("*.py")]
    return sorted(sin for name, text in files for sin in sins_of(name, text))


@cache
def sins_of(name: str, text: str) -> tuple[str, ...]:
    """The sins of one module."""
    return tuple(_sins_of(name, ast.parse(text)))


def _sins_of(name: str, module: ast.Module) -> Iterator[str]:
    known = named(name, module)
    innocent = {id(argument) for call in calls(module) if said(call.func) in ("isinstance", "issubclass", "cast")
                for argument in ast.walk(call)}  # fmt: skip
    for call in calls(module):
        called = meant(call.func, known)
        if called in MAKERS and not allowed(name, MAKERS[called]):
            yield f"{name} makes a {called}"
        asking = said(call.func) in CALLS and isinstance(call.func, ast.Attribute)
        if asking and not allowed(name, (*DRIVERS, *LENT, *ELSEWHERE)):
            yield f"{name} calls .{said(call.func)}()"
        if _begins(call) and allowed(name, SERVING) and not allowed(name, KEYLESS):
            yield f"{name} begins a transaction without the key of its request"
        if said(call.func) in OPENING and not allowed(name, (*DRIVERS, *LENT, *ELSEWHERE)):
            yield f"{name} opens with {said(call.func)}()"
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            passed = meant(argument, known)
            if passed in MAKERS and id(argument) not in innocent and not allowed(name, MAKERS[passed]):
                yield f"{name} hands on {passed} to be made elsewhere"
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and (other := meant(node.value, known)) in MAKERS:
            yield f"{name} gives {other} another name"
        if isinstance(node, ast.ClassDef) and any(meant(base, known) in MAKERS for base in node.bases):
            yield f"{name} derives {node.name} from a class that proves something"


def _begins(call: ast.Call) -> bool:
    """Whether a transaction is begun on a store itself."""
    return said(call.func) == "transaction" and isinstance(call.func, ast.Attribute) and said(call.func.value) in (
        "store", "_store",
    )  # fmt: skip


def calls(module: ast.Module) -> list[ast.Call]:
    """Every call."""
    return [node for node in ast.walk(module) if isinstance(node, ast.Call)]


def named(name: str, module: ast.Module) -> dict[str, str]:
    """What the names of a module mean: those that a home of proofs defines, and those imported from one."""
    known = {}
    if name in HOMES.values():
        known = {node.name: node.name for node in module.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    known.update({home: f"{home}." for home in HOMES})
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                meaning = alias.name if node.module in HOMES else f"{whole}." if whole in HOMES else ""
                known[alias.asname or alias.name] = meaning
        elif isinstance(node, ast.Import):
            known.update({alias.asname: f"{alias.name}." for alias in node.names if alias.asname})
    return known


def meant(node: ast.expr, known: dict[str, str]) -> str:
    """The class or function that an expression means: a known name, or one inside a home of proofs."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and known.get(ast.unparse(node.value), "").removesuffix(".") in HOMES:
        return node.attr
    return ""


def said(node: ast.expr) -> str:
    """The last name of what is called."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def allowed(name: str, makers: tuple[str, ...]) -> bool:
    """Whether a file is one of those that may, or lies in their folder."""
    return any(name == maker or (maker.endswith("/") and name.startswith(maker)) for maker in makers)


def test_nothing_goes_off_the_road() -> None:
    assert sins(PACKAGE) == []


def test_the_road_is_where_it_is_looked_for() -> None:
    """Each file that may make a thing does make it: nothing above is true for lack of a subject."""
    made: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        name, module = file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text())
        known = named(name, module)
        for call in calls(module):
            made.setdefault(meant(call.func, known), set()).add(name)
    for thing in ("ReadPlan", "WritePlan", "Check", "LinkCheck", "Found", "Statement", "compile_read", "compile_check"):
        assert made[thing] <= set(MAKERS[thing]), thing
    for name in (*DRIVERS, *LENT, *ELSEWHERE):
        assert {said(call.func) for call in calls(ast.parse((PACKAGE / name).read_text()))} & CALLS


# What is added to a copy of the package, and what must be said of it.
PLANTED = {
    "a transaction of a request without its key": (
        "api/rest.py",
        "async def hidden(engine):\n    async with engine.store.transaction() as writing:\n        return writing",
        "api/rest.py begins a transaction without the key of its request",
    ),
    "a plan made by the protocol": (
        "api/rest.py",
        "from backstay.plan.tree import ReadPlan\n\nOPEN = ReadPlan((), (), (), frozenset())",
        "api/rest.py makes a ReadPlan",
    ),
    "a plan made under another name": (
        "api/planted.py",
        "from backstay.plan.tree import ReadPlan as Parsed\n\nOPEN = Parsed((), (), (), frozenset())",
        "api/planted.py makes a ReadPlan",
    ),
    "a plan made through its module": (
        "store/planted.py",
        "from backstay.plan import tree\n\nOPEN = tree.ReadPlan((), (), (), frozenset())",
        "store/planted.py makes a ReadPlan",
    ),
    "a plan made by its whole name": (
        "jobs/planted.py",
        "import backstay.plan.tree\n\nOPEN = backstay.plan.tree.ReadPlan((), (), (), frozenset())",
        "jobs/planted.py makes a ReadPlan",
    ),
    "a plan made without its constructor": (
        "auth/planted.py",
        "from backstay.plan.tree import ReadPlan\n\nOPEN = object.__new__(ReadPlan)",
        "auth/planted.py hands on ReadPlan to be made elsewhere",
    ),
    "a plan given another name": (
        "auth/planted.py",
        "from backstay.plan.tree import ReadPlan\n\nParsed = ReadPlan",
        "auth/planted.py gives ReadPlan another name",
    ),
    "a plan of one's own sort": (
        "api/planted.py",
        "from backstay.plan.tree import ReadPlan\n\n\nclass Parsed(ReadPlan):\n    pass",
        "api/planted.py derives Parsed from a class that proves something",
    ),
    "a read planned beside the planner": (
        "plan/bind.py",
        "from backstay.plan.tree import ReadPlan\n\nOPEN = ReadPlan((), (), (), frozenset())",
        "plan/bind.py makes a ReadPlan",
    ),
    "a write planned in the store": (
        "store/transaction.py",
        'WritePlan("delete", None, "", {}, None, None, (), ())',
        "store/transaction.py makes a WritePlan",
    ),
    "a check made in the store": (
        "store/prepared.py",
        "Check(None, None, ())",
        "store/prepared.py makes a Check",
    ),
    "a check left out for a link": (
        "auth/planted.py",
        "from backstay.plan.tree import LinkCheck\n\nNONE = LinkCheck('', '', None)",
        "auth/planted.py makes a LinkCheck",
    ),
    "rows without a rule": (
        "api/planted.py",
        "from backstay.plan.tree import TRUE, Source\n\n\ndef rows(entity):\n    return Source(entity, 0, TRUE)",
        "api/planted.py makes a Source",
    ),
    "an answer from elsewhere": (
        "api/rest.py",
        'CACHED = Found([b"{}"])',
        "api/rest.py makes a Found",
    ),
    "a statement by hand": (
        "api/planted.py",
        "from backstay.store.sql import Statement\n\nALL = Statement('SELECT 1', None, (), ())",
        "api/planted.py makes a Statement",
    ),
    "a statement compiled past the engine": (
        "auth/planted.py",
        "from backstay.store.sql import compile_read\n\n\ndef text(plan):\n    return compile_read(plan, None)",
        "auth/planted.py makes a compile_read",
    ),
    "a driver asked by the protocol": (
        "api/planted.py",
        "def rows(store):\n    return store._reader.execute('SELECT 1').fetchall()",
        "api/planted.py calls .execute()",
    ),
    "a driver asked by the accounts": (
        "auth/planted.py",
        "async def rows(connection):\n    return await connection.fetch('SELECT 1')",
        "auth/planted.py calls .fetch()",
    ),
    "a cursor opened by the application": (
        "app.py",
        "def rows(running):\n    return running.store._writer.cursor()",
        "app.py calls .cursor()",
    ),
    "a driver asked by the engine": (
        "store/engine.py",
        "def rows(store):\n    return store._reader.execute('SELECT 1')",
        "store/engine.py calls .execute()",
    ),
    "a connection of one's own": (
        "cli/planted.py",
        "import apsw\n\nOPEN = apsw.Connection(':memory:')",
        "cli/planted.py opens with Connection()",
    ),
    "an engine of one's own": (
        "store/planted.py",
        "from sqlalchemy import create_engine\n\nOPEN = create_engine('sqlite://')",
        "store/planted.py opens with create_engine()",
    ),
}


@pytest.mark.parametrize("sin", PLANTED)
def test_a_planted_sin_is_caught(sin: str, tmp_path: Path) -> None:
    name, text, culprit = PLANTED[sin]
    package = copy_of_the_package(tmp_path)
    plant(package / name, text)
    found = sins(package)
    assert culprit in found
    assert {line.split(" ", 1)[0] for line in found} == {name}


def test_other_things_of_the_same_name_are_no_sins(tmp_path: Path) -> None:
    package = copy_of_the_package(tmp_path)
    plant(
        package / "api" / "planted.py",
        "from backstay.errors import Mistake as Check\nfrom backstay.plan.tree import ReadPlan\n\n"
        "MISTAKE = Check('here', 'is wrong')\nWHETHER = isinstance(MISTAKE, ReadPlan)\n\n\n"
        "class Order:\n    pass\n\n\nMADE = Order()",
    )
    assert sins(package) == []
