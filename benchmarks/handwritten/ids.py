"""Ids for new rows: UUIDs of version 7, ordered by the millisecond (RFC 9562)."""

from os import urandom
from time import time
from uuid import UUID


def new_id() -> UUID:
    """An id that is later than those before it, and that nobody guesses."""
    low = int.from_bytes(urandom(10)) & 0x0FFF_3FFFFFFFFFFFFFFF
    return UUID(int=int(time() * 1000) << 80 | 0x7 << 76 | 0b10 << 62 | low)
