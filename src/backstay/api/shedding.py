"""Who is let in when more is asked than can be done: whoever would wait too long is told so at once.

What is watched is how long requests wait, not how many there are: for their turn on the event loop, and in the line
for the database. A burst, or a moment in which all stood still, may wait for `PATIENCE`. Where the wait was not short
for `INTERVAL`, turn after turn, a line is standing that no burst explains. Then nobody waits longer than the target,
the rest is refused, and what is let in is answered as fast as ever (the controlled delay of Nichols and Jacobson,
"Controlling Queue Delay", 2012, with a bound on each wait in the place of a rate of drops).

Invariant: what is refused costs no more than its refusal, and only so many requests are being answered at once.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

INTERVAL = 0.2
"""Seconds after which a line that was never short is standing."""
PATIENCE = 0.5
"""Seconds that a request may wait where no line is standing."""
_TURNS = 2  # one long turn is a stall, and the next one what it held up

Soon = Callable[[Callable[[], None]], object]


class Shedding:
    """The admission of one process. `line` says for how many seconds the first one in line for the database waits."""

    def __init__(
        self, most: int, target: float, line: Callable[[], float] = float, clock: Callable[[], float] = perf_counter
    ) -> None:  # fmt: skip
        self.inside = 0
        """How many requests are being answered; those that wait for their body are not."""
        self.refused = 0
        self._most = most
        self._target = target
        self._line = line
        self._clock = clock
        self._turn = 0.0
        self._waiting = 0.0
        self._short = 0.0
        self._long = 0
        self._marked = False
        self._task: object = None

    def enter(self, now: float, soon: Soon, task: object = None) -> bool:
        """Whether a request that came is answered; then it is `inside`, and whoever asked takes it out again.

        `soon` runs a function at the beginning of the next turn of the loop.

        All that is in one turn of the loop came before that turn began, so it has waited since then at least. Only a
        task that sends one request after another itself, as tests do, has not.
        """
        if task is not None and task is self._task:
            self._turn = now
        self._task = task
        if not self._marked:
            if self.inside == 0 and now - self._turn > INTERVAL:
                self._short, self._long = now, 0  # nobody was here
            self._marked = True
            self._turn = now
            self._waiting = self._line()
            soon(self._mark)
        waited = now - self._turn
        if waited < self._waiting:
            waited = self._waiting
        if self.inside >= self._most or (waited > self._target and (waited > PATIENCE or self.standing(now))):
            self.refused += 1
            return False
        self.inside += 1
        return True

    def standing(self, now: float) -> bool:
        """Whether a line is standing."""
        return self._long >= _TURNS and now - self._short > INTERVAL

    def _mark(self) -> None:
        """The next turn begins: what came during the last one has waited until now."""
        now = self._clock()
        if now - self._turn <= self._target and self._line() <= self._target:
            self._short, self._long = now, 0
        else:
            self._long += 1
        self._turn = now
        self._marked = False
