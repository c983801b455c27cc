"""The signature of a message: HMAC-SHA-256 over its instant and its bytes as they came, as Stripe does it.

Invariant: without a secret nothing is genuine. Signatures are compared in constant time, and none is good for longer
than the tolerance, before or after.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from backstay.commerce.payments.port import NotGenuine

TOLERANCE = timedelta(minutes=5)
"""How far the instant of a signature may be from ours."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"[0-9]{1,11}")
_MOST_PARTS = 20


def sign(body: bytes, secret: bytes, at: datetime) -> str:
    """The header of a message: its instant, and the signature under a secret. Raises `ValueError` without a secret.

    >>> sign(b"{}", b"whsec_of_an_example", datetime(2026, 11, 22, tzinfo=UTC))[:16]
    't=1795305600,v1='
    """
    if not secret:
        raise ValueError("A message cannot be signed without a secret.")
    instant = str((at - _EPOCH) // timedelta(seconds=1))
    return f"t={instant},v1={_digest(instant, body, secret)}"


def check_signature(
    header: str, body: bytes, secrets: Sequence[bytes], now: datetime, tolerance: timedelta = TOLERANCE
) -> None:
    """Raise `NotGenuine` where no part of the header is the signature of this body under one of the secrets.

    Several signatures and several secrets are both there while a secret is being exchanged.
    """
    if not secrets or not all(secrets):
        raise NotGenuine("there is no secret to check it with")
    parts = [part.strip().partition("=") for part in header.split(",", _MOST_PARTS)]
    instants = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1" and value.isascii()]
    if len(instants) != 1 or not _INSTANT.fullmatch(instants[0]) or not given:
        raise NotGenuine("its signature has another form")
    made = [_digest(instants[0], body, secret) for secret in secrets]
    if not any([hmac.compare_digest(one, other) for one in made for other in given]):
        raise NotGenuine("its signature is another one")
    if abs(now - (_EPOCH + timedelta(seconds=int(instants[0])))) > tolerance:
        raise NotGenuine("it was signed at another time")


def _digest(instant: str, body: bytes, secret: bytes) -> str:
    return hmac.new(secret, instant.encode() + b"." + body, "sha256").hexdigest()
