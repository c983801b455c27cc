"""The key ring opens what it sealed, in its place and for its purpose, and nothing else."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from backstay.store.keyring import KeyRing, Unreadable, derived, ring_of

OLD, NEW = ("2025", bytes(range(32))), ("2026", bytes(range(32, 64)))
PLACE = ["Customer", "iban", "0190"]


def hkdf(secret: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869 by hand, with SHA-256 and no salt, for one block."""
    mixed = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(mixed, info + b"\x01", hashlib.sha256)[:length]


def test_keys_are_derived_as_the_standard_says() -> None:
    # The third test case of RFC 5869, appendix A: no salt and no info.
    mixed = hmac.digest(bytes(32), b"\x0b" * 22, hashlib.sha256)
    assert mixed.hex() == "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"
    assert hkdf(b"\x0b" * 22, b"").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derived(b"secret", "cursors") == hkdf(b"secret", b"backstay 1 cursors")
    assert derived(b"secret", "cursors", 4) == hkdf(b"secret", b"backstay 1 cursors", 4)
    assert derived(b"secret", "cursors") != derived(b"secret", "fields")


def test_the_form_is_fixed() -> None:
    """Whoever changes a byte of the form makes every stored value unreadable; these bytes were written once."""
    ring = KeyRing([NEW], nonce=lambda size: b"n" * size)
    sealed = ring.seal("field", b"DE89370400440532013000", PLACE)
    assert sealed.hex() == SEALED
    bound = b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"1.2026.", b"field", b"Customer", b"iban", b"0190")
    )
    key = hkdf(NEW[1], b"backstay 1 seal field")
    encryptor = Cipher(AES(key), GCM(b"n" * 12)).encryptor()
    encryptor.authenticate_additional_data(bound)
    ciphertext = encryptor.update(b"DE89370400440532013000") + encryptor.finalize()
    assert sealed == b"1.2026." + b"n" * 12 + ciphertext + encryptor.tag
    text = ring.seal_text("field", b"DE89370400440532013000", PLACE)
    assert text == "1.2026." + urlsafe_b64encode(sealed[7:]).decode().rstrip("=")


@pytest.mark.parametrize("plaintext", [b"", b"a", b"\x00\xff." * 7, "žluťoučký".encode(), bytes(100_000)])
def test_what_was_sealed_opens(plaintext: bytes) -> None:
    ring = KeyRing([NEW, OLD])
    assert ring.open("p", ring.seal("p", plaintext, PLACE), PLACE) == plaintext
    assert ring.open_text("p", ring.seal_text("p", plaintext, PLACE), PLACE) == plaintext


def test_an_older_key_opens_and_the_newest_seals() -> None:
    before, after = KeyRing([OLD]), KeyRing([NEW, OLD])
    assert after.open("p", before.seal("p", b"x")) == b"x"
    assert after.seal_text("p", b"x").startswith(after.prefix("2026"))
    assert after.newest == "2026"
    assert after.ids == ("2026", "2025")


def test_every_changed_bit_is_an_alarm() -> None:
    ring = KeyRing([NEW, OLD])
    sealed = ring.seal("p", b"secret", PLACE)
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(Unreadable):
                ring.open("p", bytes(changed), PLACE)
    for end in range(len(sealed)):
        with pytest.raises(Unreadable):
            ring.open("p", sealed[:end], PLACE)
    with pytest.raises(Unreadable):
        ring.open("p", sealed + b"x", PLACE)


@pytest.mark.parametrize(
    "text", ["", "plain", "1", "1.2026", "1.2026.", "1.2026.AAAA", "1.2026.é", "2.2026.", "...", "1..x"]
)
def test_what_is_no_sealed_text_is_an_alarm(text: str) -> None:
    with pytest.raises(Unreadable):
        KeyRing([NEW]).open_text("p", text)


@pytest.mark.parametrize(
    "elsewhere",
    [
        ["Customer", "iban", "0191"],
        ["Customer", "bic", "0190"],
        ["Supplier", "iban", "0190"],
        ["iban", "Customer", "0190"],
        ["Customeriban", "0190"],
        ["Customer", "iban0190"],
        ["Customer", "iban", "0190", ""],
        [],
    ],
)
def test_a_value_that_was_moved_does_not_open(elsewhere: list[str]) -> None:
    ring = KeyRing([NEW])
    with pytest.raises(Unreadable):
        ring.open("field", ring.seal("field", b"x", PLACE), elsewhere)


def test_a_value_of_another_purpose_does_not_open() -> None:
    ring = KeyRing([NEW])
    with pytest.raises(Unreadable, match=r"\(answer\)"):
        ring.open("answer", ring.seal("field", b"x"))


def test_a_key_that_is_gone_is_named() -> None:
    sealed = KeyRing([OLD]).seal("p", b"x")
    with pytest.raises(Unreadable, match='key "2025", which is not in the key ring'):
        KeyRing([NEW]).open("p", sealed)


def test_a_key_that_took_the_name_of_another_opens_nothing() -> None:
    sealed = KeyRing([OLD]).seal("p", b"x")
    with pytest.raises(Unreadable, match="changed, moved here"):
        KeyRing([("2025", NEW[1])]).open("p", sealed)
    # The name is bound too: a value cannot be given the name of another key, even of the same bytes.
    twin = KeyRing([("twin", OLD[1])])
    with pytest.raises(Unreadable, match="changed, moved here"):
        twin.open("p", sealed.replace(b"2025", b"twin", 1))


def test_no_nonce_comes_twice() -> None:
    ring = KeyRing([NEW])
    texts = [ring.seal_text("p", b"same") for _ in range(10_000)]
    assert len({urlsafe_b64decode(text[7:] + "==")[:12] for text in texts}) == 10_000
    assert len(set(texts)) == 10_000


def test_a_secret_makes_a_key_that_is_named_after_it() -> None:
    first, other = ring_of([], b"s" * 32), ring_of([], b"t" * 32)
    assert first.ids == ring_of([], b"s" * 32).ids
    assert first.ids != other.ids
    sealed = first.seal("p", b"x")
    with pytest.raises(Unreadable, match="SECRET_KEY that was in use"):
        other.open("p", sealed)
    behind = ring_of([("secret", b""), NEW], b"s" * 32)
    assert behind.ids == (first.newest, "2026")
    both = ring_of([NEW], b"s" * 32)
    assert both.newest == "2026"
    assert both.open("p", sealed) == b"x"


def test_an_error_shows_neither_key_nor_text() -> None:
    ring = KeyRing([NEW])
    with pytest.raises(Unreadable) as caught:
        ring.open("p", ring.seal("p", b"DE89"), ["elsewhere"])
    assert "DE89" not in str(caught.value)
    assert NEW[1].hex() not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "needs a key"),
        ([("a", b"short")], "5 bytes instead of 32"),
        ([NEW, (NEW[0], OLD[1])], "the same id"),
    ],
)
def test_a_ring_of_bad_keys_is_refused(keys: list[tuple[str, bytes]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        KeyRing(keys)


SEALED = (
    "312e323032362e6e6e6e6e6e6e6e6e6e6e6e6e3ff24a8cbc5293feaeaa49a4e7938aa7741c16f94c4615060318c7f42c08e134b906dd3973ab"
)
