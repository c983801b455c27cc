"""The key ring: what seals whatever must not be read where it lies, and opens it again (AES-256-GCM).

A sealed value names the key that sealed it, so that keys can be changed while old values stay readable. Invariant:
what `open` returns is what `seal` was given, for the same purpose and the same associated data; everything else
raises `Unreadable`, and never gives other bytes.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_NONCE = 12  # bytes; the size that GCM is made for (NIST SP 800-38D, 8.2)
_TAG = 16
FORM = "1."
"""How each sealed value begins: its form, so that another one can come later."""
_ALARM = "The value was changed, moved here from another place, or sealed with another key of this name."


class Unreadable(Exception):
    """A sealed value could not be opened. It is an alarm for the operator; a caller sees `internal_error`."""

    def __init__(self, purpose: str, reason: str) -> None:
        super().__init__(f"A sealed value ({purpose}) cannot be opened: {reason}")
        self.purpose = purpose
        self.reason = reason


class KeyRing:
    """The keys of one application, newest first. New values are sealed with the newest, and all of them open.

    `keys` are pairs of an id and 32 bytes. Each purpose has keys of its own, derived from them (HKDF, RFC 5869), so
    that a value sealed for one purpose means nothing to another.

    >>> ring = KeyRing([("2026", b"k" * 32)])
    >>> sealed = ring.seal("greeting", b"hello", ["for", "Ada"])
    >>> ring.open("greeting", sealed, ["for", "Ada"])
    b'hello'
    """

    def __init__(self, keys: Sequence[tuple[str, bytes]], nonce: Callable[[int], bytes] = secrets.token_bytes) -> None:
        if not keys:
            raise ValueError("A key ring needs a key.")
        for name, key in keys:
            if len(key) != 32:
                raise ValueError(f"The key {name} has {len(key)} bytes instead of 32.")
        self.ids = tuple(name for name, _ in keys)
        self._keys = dict(keys)
        if len(self._keys) < len(keys):
            raise ValueError("Two keys have the same id.")
        self._new_nonce = nonce
        self._ciphers: dict[tuple[str, str], Any] = {}

    @property
    def newest(self) -> str:
        """The id of the key that seals."""
        return self.ids[0]

    def seal(self, purpose: str, plaintext: bytes, associated: Iterable[str] = ()) -> bytes:
        """The sealed bytes: form and key id as text, then nonce, ciphertext and tag.

        `associated` says where the value belongs, such as the table and the id of its record: it opens there only.
        `purpose` is a constant of the code. Costs some microseconds and no round trip.
        """
        head = self._head(self.newest)
        return head + self._seal(purpose, plaintext, associated, head)

    def open(self, purpose: str, sealed: bytes, associated: Iterable[str] = ()) -> bytes:
        """What was sealed. Raises `Unreadable` where the key is unknown or anything at all is not as it was."""
        form, _, rest = sealed.partition(b".")
        name, dot, body = rest.partition(b".")
        if form + b"." != FORM.encode() or not dot:
            raise Unreadable(purpose, "it does not have the form of a sealed value.")
        return self._open(purpose, name.decode("ascii", "replace"), body, associated)

    def seal_text(self, purpose: str, plaintext: bytes, associated: Iterable[str] = ()) -> str:
        """Like `seal`, as text: `1.key-id.` and base64 for addresses, so that a column of texts can hold it."""
        head = self._head(self.newest)
        return head.decode() + urlsafe_b64encode(self._seal(purpose, plaintext, associated, head)).decode().rstrip("=")

    def open_text(self, purpose: str, sealed: str, associated: Iterable[str] = ()) -> bytes:
        """What `seal_text` was given. Raises `Unreadable`."""
        head, _, body = sealed.rpartition(".")
        try:
            raw = head.encode() + b"." + urlsafe_b64decode(body.encode("ascii") + b"=" * (-len(body) % 4))
        except ValueError:
            raise Unreadable(purpose, "it does not have the form of a sealed value.") from None
        return self.open(purpose, raw, associated)

    def prefix(self, key: str) -> str:
        """How every text begins that was sealed with this key; a database can count by it."""
        return self._head(key).decode()

    def _head(self, key: str) -> bytes:
        return f"{FORM}{key}.".encode()

    def _seal(self, purpose: str, plaintext: bytes, associated: Iterable[str], head: bytes) -> bytes:
        nonce = self._new_nonce(_NONCE)
        sealed: bytes = self._cipher(self.newest, purpose).encrypt(nonce, plaintext, _bound(head, purpose, associated))
        return nonce + sealed

    def _open(self, purpose: str, key: str, body: bytes, associated: Iterable[str]) -> bytes:
        from cryptography.exceptions import InvalidTag

        if key not in self._keys:
            raise Unreadable(
                purpose,
                f'it was sealed with the key "{key}", which is not in the key ring. Add that key behind the newer '
                "ones in BACKSTAY_ENCRYPTION_KEYS, or set the SECRET_KEY that was in use.",
            )
        if len(body) < _NONCE + _TAG:
            raise Unreadable(purpose, _ALARM)
        bound = _bound(self._head(key), purpose, associated)
        try:
            opened: bytes = self._cipher(key, purpose).decrypt(body[:_NONCE], body[_NONCE:], bound)
        except InvalidTag:
            raise Unreadable(purpose, _ALARM) from None
        return opened

    def _cipher(self, key: str, purpose: str) -> Any:
        if (cipher := self._ciphers.get((key, purpose))) is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            cipher = self._ciphers[key, purpose] = AESGCM(derived(self._keys[key], f"seal {purpose}"))
        return cipher


def derived(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """A key for one purpose from a secret: keys of different purposes say nothing of each other (HKDF-SHA-256)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt=None, info=f"backstay 1 {purpose}".encode()).derive(secret)


def ring_of(keys: Sequence[tuple[str, bytes]], secret: bytes) -> KeyRing:
    """The key ring of an application: the keys that are set, newest first, and one made from its secret.

    That one stands where a key without bytes stands, else last. It is named after the secret, so that a secret that
    was changed is told from a value that was.
    """
    made = derived(secret, "encryption key")
    own = (f"secret-{derived(made, 'name of the key', 4).hex()}", made)
    placed = [(name, key) if key else own for name, key in keys]
    return KeyRing(placed if own in placed else [*placed, own])


def no_keys() -> KeyRing:
    """For whoever has no secret: nothing can be sealed or opened."""
    raise RuntimeError("There is no key ring here: nothing can be encrypted or decrypted.")


def _bound(head: bytes, purpose: str, associated: Iterable[str]) -> bytes:
    """Everything that a sealed value is bound to, each part behind its length, so that no two lists look alike."""
    parts = [head, purpose.encode(), *(part.encode() for part in associated)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
