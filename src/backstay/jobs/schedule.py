"""Jobs that come round again: each time that is due is put into the queue once, by whichever process looks first.

Invariant: the time and its work commit together. A job's runs do not overlap: the next waits until the last has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from backstay.errors import DeclarationError, Mistake
from backstay.jobs.task import Task
from backstay.store.queue import Order, Queue
from backstay.store.timetable import Timetable
from backstay.telemetry.failpoint import POINTS


@dataclass(frozen=True, slots=True)
class Every:
    """A job and the times at which it is due: a cron expression, in a time zone."""

    task: Task
    cron: str
    zone: str = "UTC"

    @classmethod
    def of(cls, task: Task, cron: str, zone: str) -> Every:
        """Such a job. Raises `DeclarationError` for an expression or a zone that is none."""
        try:
            CronSim(cron, datetime(2030, 1, 1, tzinfo=ZoneInfo(zone)))
        except (CronSimError, ValueError, KeyError, OSError) as error:
            hint = 'Five fields, such as "0 3 * * *" for each day at 3:00.'
            raise DeclarationError([Mistake(task.name, f'"{cron}" in {zone} is no time: {error}', hint)]) from None
        if task.takes not in ((), ("due",)):
            hint = "It has no arguments but, where it wants it, due: datetime."
            raise DeclarationError([Mistake(task.name, "nobody is there to hand it anything.", hint)])
        return cls(task, cron, zone)

    def after(self, instant: datetime) -> datetime:
        """The first time that is due after an instant."""
        return next(CronSim(self.cron, instant.astimezone(ZoneInfo(self.zone)))).astimezone(UTC)

    @property
    def said(self) -> str:
        """The expression with its zone."""
        return f"{self.cron} {self.zone}"


class Schedule:
    """The jobs of one application that come round again."""

    def __init__(
        self, every: Sequence[Every], queue: Queue, timetable: Timetable, new_id: Callable[[], str]
    ) -> None:  # fmt: skip
        self._every = every
        self._queue = queue
        self._timetable = timetable
        self._new_id = new_id
        self._due: dict[str, datetime] = {}

    async def open(self) -> None:
        """Remember when those are due that are new."""
        for one in self._every:
            now = await self._timetable.now()
            await self._timetable.add(one.task.name, one.said, one.after(now))
            await self._look(one)

    def seconds(self, now: datetime) -> float | None:
        """In how many seconds something is due next, as far as this process knows."""
        return min(((due - now).total_seconds() for due in self._due.values()), default=None)

    async def fire(self, now: datetime) -> int:
        """Put into the queue what is due by now; how much of it nobody else had."""
        fired = 0
        for one in self._every:
            if self._due[one.task.name] <= now:
                fired += await self._fire(one)
                await self._look(one)
        return fired

    async def _fire(self, one: Every) -> int:
        found = await self._timetable.due(one.task.name)
        if found is None or found[0] > found[1]:
            return 0
        due, now = found
        name = one.task.name
        arguments = one.task.encode({"due": due} if one.task.takes else {})
        order = Order(self._new_id(), one.task.known, arguments, one.task.priority, order_key=f"every {name}")
        async with self._queue.store.transaction() as writing:
            if mine := await self._timetable.move(writing, name, due, one.after(now)):
                await self._queue.add(writing, order)
            POINTS.before(f"{name}.every.commit")
        POINTS.after(f"{name}.every.commit")
        return int(mine)

    async def _look(self, one: Every) -> None:
        if (found := await self._timetable.due(one.task.name)) is not None:
            self._due[one.task.name] = found[0]
