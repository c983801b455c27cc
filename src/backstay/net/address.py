"""Which network addresses belong to the public internet, however they are spelled.

Invariant: an address is public only if it is known to be: what is not in the blocks that are routed publicly, or is set
aside within them, is not. An IPv4 address inside an IPv6 address counts as itself.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# The IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates), multicast, and what was never given out.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers (CGNAT)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # the former relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all that is given out as global unicast
_NOT_PUBLIC_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: a tunnel to an IPv4 address
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64 (RFC 6052): what stands behind it is reached in its place
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


def literal(host: str) -> Address | None:
    """The address that a host is, in its one canonical spelling; nothing for a name.

    Raises `ValueError` for a number in another spelling (`127.1`, `0x7f.0.0.1`, `2130706433`, `0177.0.0.1`), which
    some resolvers take for an address, and for an address with a zone.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone is one of this machine's own network")
        return IPv6Address(host)
    last = host.removesuffix(".").rpartition(".")[2]
    if not _NUMBER.fullmatch(last):
        return None
    return IPv4Address(host)


def reached(address: Address) -> Address:
    """The address that is reached in the end: an IPv4 address that is mapped into IPv6 or translated is itself."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def public(address: Address) -> bool:
    """Whether an address is one of the public internet."""
    address = reached(address)
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in block for block in _NOT_PUBLIC_6)
