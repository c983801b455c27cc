"""Ids of records: UUIDs of version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable


def uuid7_maker(
    milliseconds: Callable[[], int] | None = None, tail: Callable[[], int] | None = None
) -> Callable[[], str]:
    """A function that makes ids; those of one process never go back, whatever the clock does.

    `tail` gives the last 62 bits; without it nobody can guess them.
    """
    clock = milliseconds or (lambda: time.time_ns() // 1_000_000)
    last_bits = tail or (lambda: secrets.randbits(62))
    lock = threading.Lock()
    last = 0

    def make() -> str:
        nonlocal last
        with lock:
            # 48 bits of milliseconds and 12 of counting within one: a step of the clock back changes nothing.
            last = max(last + 1, clock() << 12)
            moment = last
        number = (moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64 | 0b10 << 62 | last_bits()
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return make
