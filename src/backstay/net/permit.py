"""What may be reached: the public internet over TLS, and what the operator has named besides.

Invariant: nothing is connected to that `Permit.addresses` did not return, and it returns nothing if one address of a
name may not be reached, so a name cannot bring an internal address along with a public one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from backstay.net.address import Address, Network, literal, public, reached
from backstay.net.failure import AddressRefused

PORTS = frozenset({443, 8443})
"""Where the public internet may be reached unless another port is named."""
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?")
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Named:
    """One entry of the operator's list: a host, an address, a network or `*` for the public internet, and a port."""

    host: str = ""
    network: Network | None = None
    port: int | None = None

    def has(self, host: str, port: int) -> bool:
        """Whether it names a host and port."""
        return bool(self.host) and self.host == host and self.port in (None, port)

    def covers(self, address: Address, port: int) -> bool:
        """Whether it names an address and port."""
        return self.network is not None and address in self.network and self.port in (None, port)


class Permit:
    """What one application may reach. `named` is `BACKSTAY_HTTP_ALLOW`; raises `ValueError` for what it cannot mean.

    >>> permit = Permit("billing.internal:8080, 10.1.0.0/16, *:9443")
    >>> permit.addresses("billing.internal", 8080, ["10.9.9.9"], tls=False)
    [IPv4Address('10.9.9.9')]
    """

    def __init__(self, named: str = "") -> None:
        self.named = tuple(_named(entry) for entry in re.split(r"[\s,]+", named) if entry)
        self._ports = PORTS | {entry.port for entry in self.named if entry.host == _ANY and entry.port is not None}

    def host(self, host: str) -> None:
        """Refuse what cannot be a host, before anybody looks it up. Raises `AddressRefused`."""
        try:
            address = literal(host)
        except ValueError as error:
            raise AddressRefused(f"{host} is refused: {error}") from None
        if address is None and not _HOST.fullmatch(host):
            raise AddressRefused(f"{host} is no name of a host")

    def addresses(self, host: str, port: int, found: Sequence[str], *, tls: bool) -> list[Address]:
        """The addresses to connect to, of those that a host was found to have. Raises `AddressRefused`."""
        trusted = any(entry.has(_bare(host), port) for entry in self.named)
        kept = []
        for text in found:
            try:
                address = reached(ip_address(text))
            except ValueError:
                raise AddressRefused(f"{host} is refused: it was found at {text}, which is no address") from None
            named = trusted or any(entry.covers(address, port) for entry in self.named)
            if not named and not public(address):
                raise AddressRefused(
                    f"{host} is refused: {address} is no address of the public internet. If it is a service of yours, "
                    f"name {host}:{port} in BACKSTAY_HTTP_ALLOW"
                )
            if not named and not (tls and port in self._ports):
                what = f"port {port}" if tls else "http://"
                raise AddressRefused(f"{host} is refused: {what} is for what BACKSTAY_HTTP_ALLOW names")
            kept.append(address)
        return kept


def _bare(host: str) -> str:
    return host.removesuffix(".")


def _named(entry: str) -> Named:
    wrong = ValueError(
        f"BACKSTAY_HTTP_ALLOW names hosts, addresses and networks, each with a port if you like, such as "
        f"billing.internal:8080 or 10.1.0.0/16, and not {entry!r}."
    )
    if match := re.fullmatch(r"\[([^\[\]]+)\](/\d+)?(?::(\d+))?", entry):
        host, said = match[1] + (match[2] or ""), match[3]
    elif entry.count(":") > 1:
        host, said = entry, None
    else:
        host, colon, digits = entry.partition(":")
        said = digits if colon else None
    if said is not None and not (said.isdecimal() and 0 < int(said) < 65536):
        raise wrong
    host, port = host.lower(), int(said) if said is not None else None
    if host == _ANY:
        if port is None:
            raise ValueError("BACKSTAY_HTTP_ALLOW takes * with a port only, such as *:9443 for public hosts.")
        return Named(host, None, port)
    try:
        return Named("", ip_network(host), port)
    except ValueError:
        pass
    if "/" in host or ":" in host or not _HOST.fullmatch(host):
        raise wrong
    return Named(_bare(host), None, port)
