"""Who is really there: nobody can say so of themselves, only a proxy that is trusted."""

from typing import Any

import pytest

from backstay.api.proxies import Proxies, neighbourhood
from tests.api.asking import scope

OURS = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]


def client(peer: str | None, *headers: tuple[str, str], trusted: list[str] = OURS, header: str = "") -> str:
    asked = scope("GET", "/", headers, client=(peer, 1234) if peer is not None else None)
    return Proxies(trusted, header or "X-Forwarded-For").client(asked)


def xff(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "sent", "found"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.1.1.1"], "203.0.113.9"),  # not one of ours: what it says counts for nothing
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),  # the client wrote 6.6.6.6 itself
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 10.9.9.9, 1.1.1.1, 10.0.0.2, 192.0.2.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),  # two lines are one list
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # all of them ours: the first
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["1.1.1.1\r\n"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1:4711"], "1.1.1.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:1.1.1.1"], "1.1.1.1"),
        ("::ffff:10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("fd00::7", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", [", ".join(["6.6.6.6", *["10.0.0.2"] * 30])], "10.0.0.2"),
    ],
)
def test_the_right_most_address_that_no_proxy_of_ours_has(peer: str, sent: list[str], found: str) -> None:
    assert client(peer, *xff(*sent)) == found


def test_without_proxies_no_header_counts() -> None:
    sent = [*xff("1.1.1.1"), ("forwarded", "for=1.1.1.1"), ("x-real-ip", "1.1.1.1"), ("client-ip", "1.1.1.1")]
    assert client("10.0.0.1", *sent, trusted=[]) == "10.0.0.1"
    assert client(None, *sent, trusted=[]) == ""


def test_only_the_header_that_was_chosen_counts() -> None:
    assert client("10.0.0.1", ("forwarded", "for=6.6.6.6"), *xff("1.1.1.1")) == "1.1.1.1"
    assert client("10.0.0.1", ("forwarded", "for=6.6.6.6")) == "10.0.0.1"
    assert client("10.0.0.1", *xff("6.6.6.6"), header="Forwarded") == "10.0.0.1"


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("for=1.1.1.1", "1.1.1.1"),
        ('For="1.1.1.1:80";proto=https', "1.1.1.1"),
        ('proto=https; for="[2001:db8::1]:4711"', "2001:db8::1"),
        ("for=6.6.6.6, for=1.1.1.1;by=10.0.0.1, for=10.0.0.2", "1.1.1.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("xfor=6.6.6.6", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_as_its_rfc_says(sent: str, found: str) -> None:
    assert client("10.0.0.1", ("forwarded", sent), header="Forwarded") == found


def test_a_unix_socket_is_trusted_where_it_is_said() -> None:
    assert client(None, *xff("1.1.1.1"), trusted=["unix"]) == "1.1.1.1"
    assert client("203.0.113.9", *xff("1.1.1.1"), trusted=["unix"]) == "203.0.113.9"
    assert client(None, *xff("1.1.1.1")) == ""


def test_remembered_addresses_are_those_of_the_same_peer() -> None:
    proxies = Proxies(OURS)
    ours: dict[str, Any] = scope("GET", "/", xff("1.1.1.1"), client=("10.0.0.1", 1))
    assert proxies.client(ours) == "1.1.1.1"
    assert proxies.client({**ours, "client": ("203.0.113.9", 1)}) == "203.0.113.9"
    assert proxies.client(ours) == "1.1.1.1"


@pytest.mark.parametrize(
    ("peer", "sent", "scheme"),
    [
        ("10.0.0.1", ["https"], "https"),
        ("10.0.0.1", ["http, https"], "https"),
        ("10.0.0.1", ["https", "http"], "http"),
        ("10.0.0.1", ["gopher"], "http"),
        ("10.0.0.1", [], "http"),
        ("203.0.113.9", ["https"], "http"),
    ],
)
def test_the_scheme_is_said_by_a_trusted_proxy_only(peer: str, sent: list[str], scheme: str) -> None:
    asked = scope("GET", "/", [("x-forwarded-proto", one) for one in sent], client=(peer, 1), scheme="http")
    assert Proxies(OURS).scheme(asked) == scheme


def test_what_one_client_can_have_many_of_counts_as_one() -> None:
    assert neighbourhood("2001:db8:1:2:3:4:5:6") == neighbourhood("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert neighbourhood("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert neighbourhood("::ffff:1.2.3.4") == neighbourhood("1.2.3.4") == "1.2.3.4"
    assert neighbourhood("1.2.3.5") == "1.2.3.5"
    assert neighbourhood("") == ""
