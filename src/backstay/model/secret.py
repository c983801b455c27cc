"""The hash by which a secret of a record is kept and found.

Invariant: a secret that is random and long is hashed once, with SHA-256; what people think up themselves, such as a
password, is no secret of this kind.
"""

from __future__ import annotations

from hashlib import sha256


def secret_hash(secret: str) -> str:
    """The SHA-256 of a random secret in hexadecimal, as a record keeps it and `me.brings(header)` compares it.

    >>> secret_hash("4f2a")[:16]
    'dff06f7e14814ae5'
    """
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
