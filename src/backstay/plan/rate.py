"""How often something may be done: so many times in so long, whenever one begins to count.

Invariant: in no stretch of time as long as the rate's are more units charged than it allows. Time is
given to it, and what it remembers is a value; clocks and stores are somewhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,8}) */ *([1-9][0-9]{0,4} +)?(second|minute|hour|day)s?")
_MARKS = 64  # so many charges are remembered one by one; of more, those become one that are as near as a slot


@dataclass(frozen=True, slots=True)
class Rate:
    """So many times in so many seconds."""

    times: int
    seconds: int

    def __str__(self) -> str:
        for name, seconds in reversed(UNITS.items()):
            if self.seconds % seconds == 0:
                count = self.seconds // seconds
                return f"{self.times}/{name}" if count == 1 else f"{self.times}/{count} {name}s"
        raise AssertionError

    @property
    def sentence(self) -> str:
        """The rate in words: `10 in a minute`."""
        count, _, unit = str(self).partition("/")[2].rpartition(" ")
        return f"{self.times} in {count or 'an' if unit == 'hour' else count or 'a'} {unit}"


def parse_rates(text: str) -> tuple[Rate, ...]:
    """Rates with commas between, all of which hold; none for an empty text. Raises `ValueError` that says how to write.

    >>> [str(rate) for rate in parse_rates("10/minute, 100/2 hours")]
    ['10/minute', '100/2 hours']
    """
    rates = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if (found := _RATE.fullmatch(part)) is None:
            raise ValueError(
                f'"{part}" is no rate. Write "10/minute" or "100/15 minutes", with commas between several.'
            )
        rates.append(Rate(int(found[1]), int(found[2] or 1) * UNITS[found[3]]))
    return tuple(rates)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a charge: whether it was allowed, how many units are left, and in how many seconds it would be."""

    allowed: bool
    left: int
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """The charges that still count: when each was made, in microseconds, and of how many units; the oldest first."""

    marks: tuple[tuple[int, int], ...] = ()

    def charge(self, rate: Rate, units: int, now: int) -> tuple[Window, Verdict]:
        """The window after a charge, which is this one where there is no room for it."""
        begin = now - rate.seconds * 1_000_000
        # A clock that was set back must not keep anybody out for longer than the rate says.
        marks = [(min(at, now), used) for at, used in self.marks if at > begin]
        left = rate.times - sum(used for _, used in marks)
        if units > left:
            return Window(tuple(marks)), Verdict(False, max(left, 0), _wait(marks, units - left, begin) / 1_000_000)
        slot = rate.seconds * 1_000_000 // _MARKS
        if len(marks) >= _MARKS and marks[-1][0] // slot == now // slot:
            marks[-1] = (now, marks[-1][1] + units)  # counts from now on: a little longer than it might
        else:
            marks.append((now, units))
        return Window(tuple(marks)), Verdict(True, left - units)

    def __str__(self) -> str:
        return " ".join(f"{at}:{used}" for at, used in self.marks)


def parse_window(text: str) -> Window:
    """The window that was written as a text."""
    return Window(tuple((int(at), int(used)) for at, _, used in (mark.partition(":") for mark in text.split())))


def _wait(marks: list[tuple[int, int]], missing: int, begin: int) -> int:
    """Microseconds until so many units have left the window."""
    for at, used in marks:
        missing -= used
        if missing <= 0:
            return at - begin
    return marks[-1][0] - begin if marks else 0
