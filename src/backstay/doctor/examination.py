"""An application is examined: each check looks at one thing and says what it found, each with what to do.

Invariant: a check changes nothing. What is `unsafe` ends the start of `backstay serve`, unless the setting
BACKSTAY_ACCEPT names it; what is `advice` never does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from backstay.app import App, Running
    from backstay.settings import Settings

Level: TypeAlias = Literal["unsafe", "advice"]
Looks: TypeAlias = Callable[["Patient"], Iterable[str] | Awaitable[Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: an application with its settings, and what its database says of itself."""

    app: App
    settings: Settings
    running: Running
    posture: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at. `asks` is what must be so, `advice` what to do where it is not."""

    name: str
    level: Level
    asks: str
    advice: str
    looks: Looks


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be. An unsafe one that was `accepted` is told of and stops nothing."""

    check: str
    level: Level
    said: str
    advice: str
    accepted: bool = False

    @property
    def stops(self) -> bool:
        """Whether production does not start with it."""
        return self.level == "unsafe" and not self.accepted


async def examine(patient: Patient, checks: Sequence[Check]) -> list[Finding]:
    """Look at everything; what a check itself stumbles over is a finding too."""
    found = []
    for check in checks:
        try:
            said = check.looks(patient)
            sentences = list(await said if inspect.isawaitable(said) else said)
        except Exception as error:
            sentences = [f"it could not be looked at: {type(error).__name__}: {error}"]
        accepted = check.name in patient.settings.accept
        found += [Finding(check.name, check.level, one, check.advice, accepted) for one in sentences]
    return found


def all_checks() -> tuple[Check, ...]:
    """Every check there is, in the order in which they are told."""
    from backstay.doctor import database, declaration, surroundings

    return (*surroundings.CHECKS, *declaration.CHECKS, *database.CHECKS)


async def patient_of(app: App, running: Running) -> Patient:
    """A started application, ready to be examined. Some round trips."""
    return Patient(app, running.settings, running, await running.store.posture())
