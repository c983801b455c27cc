"""Settings that cannot be right end the start with a sentence that names them, and secrets are not shown."""

import os
from base64 import b64encode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from backstay.settings import Settings, keys_of, read_settings, secret_of

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
    settings = Settings(
        secret_key="x" * 40, encryption_keys=f"a:{BASE64}", database_url="postgresql://shop:hunter2@db/shop"
    )
    for secret in ("x" * 40, BASE64, "hunter2"):
        assert secret not in repr(settings)


UNSAFE = [
    ({"SECRET_KEY": "x" * 31}, "SECRET_KEY must have at least 32 characters"),
    ({"SECRET_KEY": "x" * 64}, "SECRET_KEY can be guessed"),
    ({"SECRET_KEY": "changeme" * 8, "BACKSTAY_ENV": "production"}, "SECRET_KEY can be guessed"),
    ({"BACKSTAY_ENV": "debug"}, "BACKSTAY_ENV is development or production"),
    ({"BACKSTAY_TRUSTED_PROXIES": "0.0.0.0/0"}, "is everybody"),
    ({"BACKSTAY_ENCRYPTION_KEYS": "a:" + "00" * 16}, "must be 32 bytes"),
    ({"BACKSTAY_IDEMPOTENCY_HOURS": "1"}, "BACKSTAY_IDEMPOTENCY_HOURS must be at least 24"),
    ({"BACKSTAY_ACCESS_MINUTES": "0"}, "BACKSTAY_ACCESS_MINUTES must be at least 1"),
    ({"LOG_LEVEL": "none"}, "LOG_LEVEL is"),
]


@pytest.mark.parametrize(("environment", "said"), UNSAFE)
def test_what_is_unsafe_ends_the_start(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read_settings(environment)
    assert environment.get("SECRET_KEY", "nothing of it") not in str(caught.value)


def test_nothing_set_is_production_without_a_default_secret(tmp_path: Path) -> None:
    settings = read_settings({}, folder=str(tmp_path))
    assert (settings.env, settings.development, settings.secret_key) == ("production", False, "")
    first, second = (Settings(data=str(tmp_path / name)) for name in "ab")
    assert len(secret_of(first)) == len(secret_of(second)) == 64
    assert secret_of(first) == secret_of(first) != secret_of(second)


def test_the_secret_that_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = tmp_path / "data" / "secret.key"
    before = os.umask(0)
    try:
        secret_of(Settings(data=str(made.parent)))
    finally:
        os.umask(before)
    assert [oct(one.stat().st_mode & 0o777) for one in (made, made.parent)] == ["0o600", "0o700"]
    made.chmod(0o640)
    with pytest.raises(ValueError, match=r"can be read by others .* chmod 600"):
        secret_of(Settings(data=str(made.parent)))


@pytest.mark.parametrize("text", ["", "\n", "half of one"])
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(ValueError, match="is no secret"):
        secret_of(Settings(data=str(tmp_path)))


def test_processes_that_begin_at_once_have_one_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds no file and makes one, at the same moment: the first to finish wins, and nobody reads half of it."""
    settings, makers = Settings(data=str(tmp_path)), 8
    together, write = Barrier(makers), os.fdopen

    def slow(*arguments: Any) -> Any:
        together.wait(30)  # the file is there by now, and empty
        return write(*arguments)

    monkeypatch.setattr(os, "fdopen", slow)
    with ThreadPoolExecutor(makers) as pool:
        found = set(pool.map(lambda _: secret_of(settings), range(makers)))
    assert len(found) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["secret.key"]
    assert len(found.pop()) == 64


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
