"""What it means that a job or a step failed: for good, or to be tried again after a while.

Invariant: what is not known to be for good is tried again, a limited number of times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from secrets import randbelow

from backstay.errors import Problem

FIRST = 1.0
LONGEST = 600.0
_LATER = frozenset((408, 425, 429))  # statuses of problems that pass


class Permanent(Exception):
    """Raise it in a job or a step that can never succeed: it is not tried again. `code` is for programs.

    >>> raise Permanent("The card was declined.", code="declined")
    Traceback (most recent call last):
    ...
    backstay.jobs.failure.Permanent: The card was declined.
    """

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class StepFailed(Permanent):
    """A step of a flow failed for good. Catch it to go another way; else the flow ends, and its steps are taken back.

    `step` is its name, `reason` what was said, `code` that of a problem or of a `Permanent`.
    """

    def __init__(self, step: str, reason: str, code: str = "") -> None:
        super().__init__(reason, code=code)
        self.step = step
        self.reason = reason


def is_permanent(error: BaseException) -> bool:
    """Whether it would fail in the same way again: it said so, or it is a problem of what was asked."""
    if isinstance(error, Problem):
        return error.status < 500 and error.status not in _LATER
    return isinstance(error, Permanent)


def said_by(error: BaseException) -> str:
    """What an error says, in one line and without where it was raised."""
    text = " ".join(str(error).split())
    if isinstance(error, (Problem, Permanent)) and text:
        return text[:500]
    if isinstance(error, TimeoutError) and not text:
        text = "it took too long"
    return f"{type(error).__name__}: {text}"[:500]


def code_of(error: BaseException) -> str:
    """The code of an error that has one."""
    return error.code if isinstance(error, (Problem, Permanent)) else ""


def by_chance() -> float:
    """A number from 0 to 1."""
    return randbelow(1_000_000) / 1_000_000


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: twice as long after each failure, from a second to ten minutes, give or take a quarter.

    `chance` gives a number from 0 to 1; without chance, 0.5, it is exactly that long.

    >>> [Backoff(chance=lambda: 0.5).after(failures) for failures in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 600.0]
    """

    chance: Callable[[], float] = by_chance

    def after(self, failures: int) -> float:
        """Seconds until the next try."""
        return min(LONGEST, FIRST * 2.0 ** min(failures - 1, 30)) * (0.75 + 0.5 * self.chance())
