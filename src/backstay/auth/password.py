"""Passwords: which are good enough, and how they are hashed (Argon2id) without holding up anybody else.

Invariant: hashing and checking cost the same work whether or not there is a hash to check against, they happen on
threads and never on the event loop, and only so many at once; a password is kept nowhere but in its hash.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import randbelow, token_bytes
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backstay.errors import Unavailable
from backstay.model.value import Unfit, clean_text

T = TypeVar("T")

SHORTEST, LONGEST = 8, 128
COMMONEST = frozenset(
    """
    00000000 01234567 0123456789 11111111 1111111111 11112222 11223344 112233445566 12121212 123123123 12341234
    1234512345 12345678 123456789 1234567890 12345678910 123456789a 12345qwert 1234qwer 123qweasd 147258369 159357456
    19841984 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 22222222 31415926 44444444 55555555 66666666 741852963 77777777 789456123
    87654321 88888888 987654321 9876543210 99999999 a1234567 a12345678 aa123456 aaaaaaaa abc12345 abcd1234 abcdefgh
    access14 admin123 administrator adminadmin asdf1234 asdfasdf asdfghjk asdfghjkl baseball basketball blink182
    butterfly changeme charlie1 chocolate computer corvette dragon123 einstein elephant firebird football
    football1 fuckyou1 garfield hello123 iloveyou iloveyou1 internet jennifer jordan23 letmein1 liverpool master123
    maverick mercedes metallica michelle midnight monkey123 mustang1 p@ssw0rd pa55word passw0rd password password1
    password12 password123 princess princess1 q1w2e3r4 qazwsxedc qwer1234 qwerty12 qwerty123 qwertyui qwertyuiop
    sunshine sunshine1 superman trustno1 welcome1 welcome123 whatever zaq12wsx zxcvbnm1
    """.split()
)


def check_password(raw: object, address: str = "") -> str:
    """The password, if it may be chosen for this address; else `Unfit` with a code and a sentence.

    8 to 128 characters of any kind, but not one of the commonest and not the address itself: length is what
    protects, rules about digits and signs are not (NIST SP 800-63B, 3.1.1.2; ASVS 5.0, 6.2).
    """
    password = clean_text(raw)
    if len(password) > LONGEST:
        raise Unfit("too_long", f"must have at most {LONGEST} characters, and has {len(password)}")
    if len(password) < SHORTEST:
        raise Unfit("too_short", f"must have at least {SHORTEST} characters, and has {len(password)}")
    plain = unicodedata.normalize("NFKC", password).casefold()
    if plain in COMMONEST or plain in (address, address.partition("@")[0]):
        raise Unfit("too_common", "is one of the first that anybody would try: choose another one")
    return password


class Passwords:
    """Hashes and checks passwords, `at_once` at a time (one per core), the others waiting in a bounded line.

    The parameters are the least that OWASP advises: 19 MiB (`memory_kib`), two passes (`rounds`), one lane. `blur_ms`
    is how long an answer waits at the most that must not tell who has an account.
    """

    def __init__(
        self, *, memory_kib: int = 19_456, rounds: int = 2, at_once: int | None = None, waiting: int = 256,
        blur_ms: int = 20,
    ) -> None:  # fmt: skip
        self._blur_us = blur_ms * 1_000
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        # A hash of no password, made without hashing: checking against it costs the same and finds nothing.
        salt, digest = (b64encode(token_bytes(n)).rstrip(b"=").decode() for n in (16, 32))
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={rounds},p=1${salt}${digest}"
        at_once = at_once or cores()
        # As many threads as may hash at once: the limit, and in front of it the line, in order of arrival.
        self._threads = ThreadPoolExecutor(at_once, "password", _stand_back)
        self._present = 0
        self._most = at_once + waiting

    async def hash(self, password: str) -> str:
        """The Argon2id hash of a password, salted, with its parameters in it. About 20 ms of one core.

        Raises `Unavailable` where too many are waiting.
        """
        return await self._work(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether this is the password of a hash; false after the same work where there is no hash.

        Raises `Unavailable` where too many are waiting.
        """
        return await self._work(lambda: self._matches(known, password))

    async def blur(self) -> None:
        """Wait for a moment that nobody can foretell, so that what differs by far less cannot be seen in one answer."""
        if self._blur_us:
            await asyncio.sleep(randbelow(self._blur_us) / 1_000_000)

    def outdated(self, known: str) -> bool:
        """Whether a hash was made with other parameters than today's, so that it should be made again."""
        return self._hasher.check_needs_rehash(known)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, known: str | None, password: str) -> bool:
        try:
            self._hasher.verify(known or self._nobody, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False
        return known is not None

    async def _work(self, job: Callable[[], T]) -> T:
        if self._present >= self._most:
            raise Unavailable("Too many people are signing in just now.", retry_after=5)
        self._present += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, job)
        finally:
            self._present -= 1


def cores() -> int:
    """How many cores this process may use, at least one."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _stand_back() -> None:
    """Give this thread less of a core than the event loop: a log-in may take a little longer, a request may not."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, usual + 10))


def _bytes(password: str) -> bytes:
    """What is hashed: one password, whichever way a keyboard composes its letters."""
    return unicodedata.normalize("NFKC", password).encode()
