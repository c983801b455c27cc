"""An address is public only if it is known to be, in whatever spelling, and wrapped in whatever it comes."""

from ipaddress import ip_address, ip_network

import pytest

from backstay.net.address import literal, public, reached

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
    "169.253.255.255", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00::1",
    "2001:200::1", "2003::", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "169.254.0.0", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::127.0.0.1", "::ffff:0:0", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::", "2002:808:808::1", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ffff::1", "4000::1", "1fff::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_public_internet_is_one(text: str) -> None:
    assert public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_every_other_address_is_not(text: str) -> None:
    assert not public(ip_address(text))


def test_pythons_own_list_names_nothing_that_is_missing_here() -> None:
    """What the standard library holds for private, reserved, multicast or local is none of ours, block by block."""
    for first in range(256):
        for second in range(256):
            for rest in ("0.1", "2.1", "99.1", "100.1", "113.1") if first in (192, 198, 203) else ("0.1",):
                address = ip_address(f"{first}.{second}.{rest}")
                if not address.is_global or address.is_multicast or address.is_reserved:
                    assert not public(address), address
    for network in ("::/3", "4000::/2", "8000::/1", "2001:db8::/32", "fc00::/7"):
        block = ip_network(network)
        for address in (block[0], block[-1]):
            assert not public(address), address


def test_what_is_wrapped_counts_as_itself() -> None:
    assert reached(ip_address("::ffff:8.8.8.8")) == ip_address("8.8.8.8")
    assert reached(ip_address("64:ff9b::a00:1")) == ip_address("10.0.0.1")
    assert reached(ip_address("2606:4700::1111")) == ip_address("2606:4700::1111")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("8.8.8.8", "8.8.8.8"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("example.com", None), ("localhost", None), ("1e100.net", None), ("0x7f.example", None),
        ("8.8.8.8.example", None), ("xn--9ca.de", None), ("dead.beef", None),
    ],
)  # fmt: skip
def test_a_host_is_an_address_or_a_name(host: str, address: str | None) -> None:
    assert literal(host) == (ip_address(address) if address else None)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.01",
        "127.0.0.1.", "0", "0x", "1.2.3.256", "256.1.1.1", "1.1.1.1.1", "00000127.0.0.1", "0X7F.1", "8.8.8.08",
        "evil.0x1",
        "fe80::1%eth0", "fe80::1%25eth0", "::1%0", "::g", ":::1",
    ],
)  # fmt: skip
def test_a_number_in_another_spelling_is_neither(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        literal(host)
