"""Another revision of an application, described by a process of its own: a file, a description, or a revision of git.

Invariant: nothing of the other revision runs in this process, and nothing of this one's files is loaded there. What
cannot be compared ends the command with 2 and says what to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import click

from backstay.review.description import Description, read

EXIT_INCOMPARABLE = 2
"""The exit status where there is nothing to compare with."""
_PROGRAM = "from backstay.cli import main; main()"
_SECONDS = 300  # for git, and for another revision to be loaded


class Incomparable(click.ClickException):
    """There is nothing to compare with; the message says what to do."""

    exit_code = EXIT_INCOMPARABLE


def description_of(file: str, against: str) -> Description:
    """What FILE is compared with. Raises `Incomparable`."""
    path = Path(against.partition(".py:")[0] + ".py" if ".py:" in against else against)
    if path.suffix == ".json" and path.is_file():
        return _understood(path.read_bytes(), against)
    if path.suffix == ".py" and path.is_file():
        return _understood(_described(against, Path.cwd(), os.environ.copy()), against)
    if path.suffix in (".json", ".py"):
        raise Incomparable(f"There is no file {against}. Name a revision of git, a file, or what --json has printed.")
    with _checked_out(file, against) as (top, there):
        place, colon, name = file.partition(":")
        inside = Path(place).resolve().relative_to(top)
        if not (there / inside).is_file():
            raise Incomparable(
                f"{against} has no {inside}. Was it called otherwise? git worktree add ../before {against}, and "
                "--against ../before/ITS_FILE.py"
            )
        found = _described(
            f"{there / inside}{colon}{name}", (there / inside).parent, _environment(top, there), "--apart", str(top)
        )
        return _understood(found, against)


def foreign_modules(folder: str) -> list[str]:
    """The modules of this process that were loaded from a folder, but for the interpreter's own."""
    top, own = Path(folder).resolve(), {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    own.add(Path(__file__).resolve().parent.parent)
    found = []
    for name, module in list(sys.modules.items()):
        at = getattr(module, "__file__", None)
        if at and (path := Path(at).resolve()).is_relative_to(top) and not any(path.is_relative_to(one) for one in own):
            found.append(name)
    return sorted(found)


@contextmanager
def _checked_out(file: str, revision: str) -> Iterator[tuple[Path, Path]]:
    """The folder that git keeps FILE in, and the same folder as it was at a revision."""
    home = Path(file.partition(":")[0]).resolve().parent
    no_git = "FILE is in no repository of git. Compare it with what `backstay check FILE --json > before.json` printed."
    top = Path(_git(home, "rev-parse", "--show-toplevel", failed=no_git).strip()).resolve()
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
                  failed=f"git knows no revision {revision}. Fetch it first (git fetch origin {revision}), or name "
                  "another one; in CI, check out the whole history.").strip()  # fmt: skip
    with TemporaryDirectory(prefix="backstay-") as folder:
        archive = Path(folder, "revision.tar")
        _git(top, "archive", "--format=tar", f"--output={archive}", commit,
             failed=f"git could not give {revision} out.")  # fmt: skip
        there = Path(folder, "revision").resolve()
        with tarfile.open(archive) as tar:
            tar.extractall(there, filter="data")
        yield top, there


def _git(folder: Path, *words: str, failed: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise Incomparable("git is not installed. Compare with a file instead: --against before.json") from None
    except subprocess.TimeoutExpired:
        raise Incomparable(f"git took longer than {_SECONDS} seconds.") from None
    if done.returncode:
        raise Incomparable("\n".join(filter(None, (failed, done.stderr.strip()))))
    return done.stdout


def _environment(top: Path, there: Path) -> dict[str, str]:
    """This process's environment, with every place of code inside the repository moved to the other revision."""
    own = Path(sys.prefix).resolve()
    moved = [
        str(there / place.relative_to(top)) for text in sys.path
        if text and (place := Path(text).resolve()).is_relative_to(top) and not place.is_relative_to(own)
    ]  # fmt: skip
    known = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    rest = [one for one in known if not Path(one).resolve().is_relative_to(top)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*moved, *rest]))}


def _described(file: str, folder: Path, environment: dict[str, str], *options: str) -> bytes:
    command = [sys.executable, "-P", "-c", _PROGRAM, "check", file, "--json", *options]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise Incomparable(f"The other revision took longer than {_SECONDS} seconds to load.") from None
    if done.returncode:
        _refuse(done.stderr.decode(errors="replace"))
    return done.stdout


def _refuse(said: str) -> NoReturn:
    reason = said.strip().removeprefix("Error: ").splitlines()[-20:]
    raise Incomparable("\n  ".join(["The other revision cannot be loaded:", *reason]))


def _understood(text: bytes, against: str) -> Description:
    try:
        return read(text)
    except ValueError as error:
        raise Incomparable(f"{against} cannot be compared: {error}.") from None
