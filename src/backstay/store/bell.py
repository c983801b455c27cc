"""A bell that rings when changes may have come, for whoever waits for them in this process.

Invariant: a ring between looking and waiting is not lost: `wait` is handed how often it had rung before one looked.
"""

from __future__ import annotations

import asyncio


class Bell:
    """Waits are ended by a ring, and by time; a ring says nothing but that it is worth looking."""

    def __init__(self) -> None:
        self.rings = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Let everybody look."""
        self.rings += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, rung: int, seconds: float) -> None:
        """Return when it has rung more than `rung` times, or after so many seconds."""
        if self.rings != rung:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(seconds):  # `wait_for` loses a cancellation that comes with the ring
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)
