"""Failpoints: places where a process can be made to fail, so that tests see what it leaves behind.

Every commit, call of a provider and delivery in jobs and flows passes through here under a name that is made of what is
running there: `buy.authorize.call`, `send_receipt.commit`. Nobody writes a list of them: what passes is remembered
while somebody is `recording`.
Invariant: without a failpoint that is armed nothing happens here, and production arms none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from backstay.errors import Unavailable

Mode: TypeAlias = Literal["crash_before", "crash_after", "error", "lost"]
"""The process ends before, or after; it is not done and fails; it is done, and the answer is lost."""
MODES: tuple[Mode, ...] = get_args(Mode)
_STATUS = 86  # how a process ends that was told to by its environment


class Crash(BaseException):
    """The process ends here, as far as a test can have it. Nothing may handle it but the test."""


class Injected(ConnectionError):
    """It failed because it was told to."""


class Failpoints:
    """What of a process is to fail. There is one, `POINTS`."""

    def __init__(self) -> None:
        self._armed: dict[str, Mode] = {}
        self._seen: list[str] | None = None
        self._ends = False
        self._on = False
        self.fired: list[str] = []
        """What has failed, in order."""

    def arm(self, name: str, mode: Mode) -> None:
        """Let this place fail once, when it is next passed."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is no way to fail: {', '.join(MODES)}.")
        self._armed[name] = mode
        self._on = True

    def disarm(self) -> None:
        """Let nothing fail any more."""
        self._armed.clear()
        self.fired.clear()
        self._on = self._seen is not None

    def arm_by(self, text: str) -> None:
        """Arm what a setting names, `buy.authorize.call=lost, buy.place.commit=crash_after`; the process really ends.

        Raises `ValueError` for what is no such list.
        """
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, mode = part.partition("=")
            if not equals:
                raise ValueError(f"{part!r} is no failpoint: write name=mode, with one of {', '.join(MODES)}.")
            self.arm(name.strip(), mode.strip())  # type: ignore[arg-type]
        self._ends = True

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        """What is passed in the block, each name once, in the order of its first time."""
        self._seen, self._on = [], True
        try:
            yield self._seen
        finally:
            self._seen = None
            self._on = bool(self._armed)

    def before(self, name: str) -> None:
        """Something is about to be done."""
        if self._on:
            self._pass(name)

    def after(self, name: str) -> None:
        """It is done, and nobody has been told so."""
        if self._on and (mode := self._armed.get(name)) in ("crash_after", "lost"):
            self._fail(name, mode)

    def committing(self, name: str) -> None:
        """A transaction of a request is about to commit. What fails here is what a database that is away is."""
        if self._on:
            with _as_unavailable():
                self.before(name)

    def committed(self, name: str) -> None:
        """It has, and its answer may be lost."""
        if self._on:
            with _as_unavailable():
                self.after(name)

    def _pass(self, name: str) -> None:
        if self._seen is not None and name not in self._seen:
            self._seen.append(name)
        if (mode := self._armed.get(name)) in ("crash_before", "error"):
            self._fail(name, mode)

    def _fail(self, name: str, mode: Mode | None) -> None:
        del self._armed[name]
        self._on = bool(self._armed) or self._seen is not None
        self.fired.append(f"{name}={mode}")
        if mode in ("error", "lost"):
            raise Injected(f"{name} was told to fail.")
        if self._ends:
            os._exit(_STATUS)
        raise Crash(name)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except Injected as told:
        raise Unavailable(str(told)) from None


POINTS = Failpoints()
"""Those of this process."""
