"""Where time and chance come from, read from the source: few places, and none that can be guessed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from backstay.auth.token import new_token
from tests.test_project import ROOT

WALL = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
}
CLOCKS = {
    "app.py": "the clock of migrations, unless one is given",
    "store/engine.py": "the clock of an application, unless one is given",
    "store/identity.py": "the instant in an id, unless one is given",
    "telemetry/log.py": "when a line was written",
    "telemetry/metrics.py": "when a number was counted",
    "doctor/database.py": "how far the clocks are apart",
    "net/ping.py": "when a certificate ends",
}
GUESSED = {"random", "uuid", "numpy"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    package = ROOT / "src" / "backstay"
    for file in sorted(package.rglob("*.py")):
        yield file.relative_to(package).as_posix(), ast.parse(file.read_text())


def readings(module: ast.Module) -> bool:
    """Whether a module asks what time it is on the wall; clocks that only measure are free."""
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) in WALL for node in ast.walk(module))


def drawn(module: ast.Module) -> set[str]:
    """What a module draws chance from that could be guessed."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & GUESSED
        if isinstance(node, ast.ImportFrom) and node.module in GUESSED:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} - {"uuid.UUID"}
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("uuid.uuid1", "uuid1", "uuid.uuid4", "uuid4"):
            found.add(ast.unparse(node.func))
    return found


def test_time_is_read_in_few_places() -> None:
    found = {name for name, module in modules() if readings(module)}
    assert {name for name in found if not name.startswith("cli/")} == set(CLOCKS)  # a command is its own clock
    assert readings(ast.parse("import time\nNOW = time.time()"))
    assert not readings(ast.parse("import time\nNOW = time.monotonic()"))


def test_chance_is_drawn_from_the_system_alone() -> None:
    allowed = {"uuid"}  # the type of ids; what makes them is looked at below
    assert {name: found for name, module in modules() if (found := drawn(module) - allowed)} == {}
    assert drawn(ast.parse("import random\nfrom uuid import uuid4\nX = uuid4()")) == {"random", "uuid.uuid4", "uuid4"}


def test_what_must_not_be_guessed_has_128_bits() -> None:
    for purpose in ("access", "refresh", "key"):
        tokens = {new_token(purpose) for _ in range(100)}  # type: ignore[arg-type]
        assert len(tokens) == 100
        assert {len(token.partition("_")[2]) for token in tokens} == {43}  # 32 bytes
    least = {"token_bytes": 16, "token_hex": 16, "token_urlsafe": 16}
    short = {
        f"{name}: {ast.unparse(node)}" for name, module in modules() for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("secrets.") in least and node.args
        and isinstance(node.args[0], ast.Constant) and node.args[0].value < 16
    }  # fmt: skip
    assert short == SHORT


SHORT = {
    "store/copy.py: token_hex(4)",  # the name of a copy
    "store/changes.py: token_hex(8)",  # the epoch of a change log
    "api/http.py: token_hex(6)",  # the beginning of the ids of requests
    "settings.py: secrets.token_hex(8)",  # the name of a file until it is whole
}
"""What may be shorter, since nothing is kept safe by it."""
