"""Bearer tokens signed with HS256 (RFC 7519), verified once and remembered by hash until they expire."""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from json import dumps, loads
from uuid import UUID

HEADER = {"alg": "HS256", "typ": "JWT"}
REMEMBERED = 10_000


class Tokens:
    """Signs and verifies tokens with one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._remembered: dict[bytes, tuple[float, UUID]] = {}

    def sign(self, subject: UUID, seconds: int = 86_400) -> str:
        """A token that says who its bearer is."""
        claims = {"sub": str(subject), "exp": int(time.time()) + seconds}
        signed = b".".join(_encode(dumps(part).encode()) for part in (HEADER, claims))
        return (signed + b"." + self._signature(signed)).decode()

    def verify(self, authorization: bytes) -> UUID | None:
        """Who sent this Authorization header, if it holds a valid token."""
        key = sha256(authorization).digest()
        expires, subject = self._remembered.get(key) or self._read(authorization)
        if subject is None or expires <= time.time():
            self._remembered.pop(key, None)
            return None
        if key not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = expires, subject
        return subject

    def _read(self, authorization: bytes) -> tuple[float, UUID | None]:
        scheme, _, token = authorization.partition(b" ")
        signed, _, signature = token.rpartition(b".")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(signature, self._signature(signed)):
            return 0, None
        header, claims = (loads(_decode(part)) for part in signed.split(b"."))
        if header != HEADER:
            return 0, None
        return claims["exp"], UUID(claims["sub"])

    def _signature(self, signed: bytes) -> bytes:
        return _encode(hmac.digest(self._secret, signed, "sha256"))


def _encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
