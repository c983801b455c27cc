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
    assert keys_of(Settings(encryption_keys=f"secret,new:{HEX}")) == [("secret", b""), ("new", KEY)]


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


def test_hosts_origins_and_proxies_are_lists_in_one_form() -> None:
    settings = read_settings({
        "BACKSTAY_PUBLIC_URL": "https://Shop.example.com:443/store/",
        "BACKSTAY_CORS_ORIGINS": " https://App.example.com/ ,http://localhost:3000,",
        "BACKSTAY_ALLOWED_HOSTS": "Shop.example.com, *.example.org",
        "BACKSTAY_TRUSTED_PROXIES": "10.1.2.3/8, 2001:db8::1, unix",
        "BACKSTAY_FORWARDED_HEADER": "forwarded",
    })  # fmt: skip
    assert settings.public_url == settings.address == "https://shop.example.com/store"
    assert settings.cors_origins == ("https://app.example.com", "http://localhost:3000")
    assert settings.allowed_hosts == ("shop.example.com", "*.example.org")
    assert settings.trusted_proxies == ("10.0.0.0/8", "2001:db8::1/128", "unix")
    assert settings.forwarded_header == "forwarded"


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("BACKSTAY_PUBLIC_URL", "shop.example.com", "is no origin"),
        ("BACKSTAY_PUBLIC_URL", "https://shop.example.com?x=1", "is no origin"),
        ("BACKSTAY_PUBLIC_URL", "https://shop.example.com/a?x=1", "has more than"),
        ("BACKSTAY_CORS_ORIGINS", "https://*.example.com", "is no origin"),
        ("BACKSTAY_CORS_ORIGINS", "null", "is no origin"),
        ("BACKSTAY_CORS_ORIGINS", "https://a.example.com https://b.example.com", "is no origin"),
        ("BACKSTAY_ALLOWED_HOSTS", "https://a.example.com", "is no host"),
        ("BACKSTAY_ALLOWED_HOSTS", "a.example.com:80", "is no host"),
        ("BACKSTAY_ALLOWED_HOSTS", "a*.example.com", "is no host"),
        ("BACKSTAY_TRUSTED_PROXIES", "10.0.0", "does not appear to be an IPv4 or IPv6 network"),
        ("BACKSTAY_TRUSTED_PROXIES", "proxy.internal", "does not appear to be an IPv4 or IPv6 network"),
        ("BACKSTAY_TRUSTED_PROXIES", "0.0.0.0/0", "is everybody"),
        ("BACKSTAY_TRUSTED_PROXIES", "::/0", "is everybody"),
        ("BACKSTAY_FORWARDED_HEADER", "X-Real-IP", "X-Forwarded-For or Forwarded"),
    ],
)
def test_a_bad_host_origin_or_proxy_is_named(variable: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{variable}: .*{said}"):
        read_settings({variable: text})


def test_links_begin_with_this_machine_in_development_alone() -> None:
    assert Settings(env="development", port=8001).address == "http://localhost:8001"
    assert Settings(env="production").address == ""
