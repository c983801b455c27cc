"""One write as a whole: itself, what its hooks write, and the records that were sent inside it.

Rules that look beyond the row are asked when all of it stands. Invariant: what was written by a write that failed
never becomes true, even where own code catches its error: the transaction can then only be undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from backstay.errors import Problem
from backstay.store.writer import Writer

T = TypeVar("T")


@dataclass(slots=True)
class Whole:
    """What the writes of one transaction have in common: how deep they stand in one another, and what is still due."""

    writer: Writer
    failed: BaseException | None = None
    _depth: int = 0
    _places: list[str] = field(default_factory=list)
    _due: list[tuple[str, Callable[[], Awaitable[None]]]] = field(default_factory=list)

    @property
    def inside(self) -> bool:
        """Whether the write at hand stands inside another, of a hook or of a record around it."""
        return self._depth > 1 or bool(self._places)

    async def carry_out(self, write: Awaitable[T]) -> T:
        """A write and, at the end of the outermost one, everything that is due."""
        rows = self.writer.rows
        self._depth += 1
        try:
            made = await write
            if self._depth == 1:
                await self._settle()
            return made
        except BaseException as error:
            if self.writer.rows != rows and self.failed is None:
                self.failed = error
            raise
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._due.clear()

    @contextmanager
    def placed(self, place: str) -> Iterator[None]:
        """The place of a record inside another; what is refused in here is refused there."""
        self._places.append(place)
        try:
            yield
        except Problem as problem:
            raise problem.placed(place) from None
        finally:
            self._places.pop()

    def due(self, check: Callable[[], Awaitable[None]]) -> None:
        """Ask this when the outermost write is done; its refusal is one of the place at hand."""
        self._due.append((".".join(self._places), check))

    async def _settle(self) -> None:
        for place, check in self._due:
            try:
                await check()
            except Problem as problem:
                raise (problem.placed(place) if place else problem) from None

    async def end(self) -> None:
        """The last step before it becomes true; raises what failed halfway and was caught, so that nothing does."""
        if self.failed is not None:
            raise self.failed
        await self.writer.flush()
