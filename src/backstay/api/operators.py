"""Who may see how things are inside: whoever has the token of the operators, or asks from one of their networks.

Invariant: where neither is set nobody may, except this machine itself in development. A proxy on the same machine
makes the whole world look like this machine, so in production it has to be named.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from secrets import compare_digest

from backstay.api.http import Request

_HERE = ("127.0.0.0/8", "::1/128")


class Operators:
    """The operators of one application."""

    def __init__(self, token: str = "", networks: Iterable[str] = (), *, development: bool = False) -> None:
        self._token = token.encode()
        named = tuple(networks)
        self._networks = [ip_network(one) for one in (named or (_HERE if development and not token else ()))]

    def allows(self, request: Request) -> bool:
        """Whether a request is one of theirs."""
        if self._token and (said := request.header(b"authorization")) is not None:
            scheme, _, token = said.partition(b" ")
            if scheme.lower() == b"bearer" and compare_digest(token.strip(), self._token):
                return True
        try:
            address = ip_address(request.client)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)
