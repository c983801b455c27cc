"""Settings that cannot be right end the start with a sentence that names them, and secrets are not shown."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from backstay.settings import Settings, keys_of, read_settings

KEY, OTHER = bytes(range(32)), b"\xfb\xff" * 16
BASE64, HEX = b64encode(OTHER).decode(), KEY.hex()


@pytest.mark.parametrize("text", [BASE64, BASE64.rstrip("="), urlsafe_b64encode(OTHER).decode(), OTHER.hex().upper()])
def test_a_key_is_written_in_base64_or_hex(text: str) -> None:
    assert keys_of(Settings(encryption_keys=f"k-1:{text}")) == [("k-1", OTHER)]


def test_keys_are_in_the_order_they_are_written() -> None:
    settings = read_settings({"BACKSTAY_ENCRYPTION_KEYS": f"2026:{BASE64}, 2025:{HEX}\n"})
    assert keys_of(settings) == [("2026", OTHER), ("2025", KEY)]
    assert keys_of(Settings()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE64, "key 1: write id:key"),
        (f"A:{BASE64}", "key 1: write id:key"),
        (f"secret-1:{BASE64}", "key 1: write id:key"),
        (f"a.b:{BASE64}", "key 1: write id:key"),
        (f"a:{BASE64},b", "key 2: b must be 32 bytes"),
        ("a:", "key 1: a must be 32 bytes"),
        ("a:abcd", "key 1: a must be 32 bytes"),
        (f"a:{HEX}00", "key 1: a must be 32 bytes"),
        ("a:not*base64!", "key 1: a must be 32 bytes"),
        (f"a:{BASE64},a:{HEX}", "key 2: another key has the id a"),
        (f"a:{BASE64},b:{OTHER.hex()}", "key 2: b is the same key as another one"),
    ],
)
def test_a_bad_key_is_refused_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read_settings({"BACKSTAY_ENCRYPTION_KEYS": text})
    for secret in (BASE64, HEX, OTHER.hex(), "not*base64!"):
        assert secret not in str(caught.value)


def test_secrets_are_not_in_what_is_printed() -> None:
    settings = Settings(secret_key="x" * 40, encryption_keys=f"a:{BASE64}")
    assert "x" * 40 not in repr(settings)
    assert BASE64 not in repr(settings)
