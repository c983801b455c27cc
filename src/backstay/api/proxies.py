"""Who is really there: the client's address, scheme and host where proxies of ours stand between.

Invariant: a header about the client counts only where the peer that sent it is trusted, and of its addresses the
right-most that no trusted proxy wrote itself (a client may write whatever it likes before that); everything else is
taken from the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address

UNIX = "unix"
"""In the place of a network: whoever reaches us by a Unix socket."""
_HOPS = 20  # nobody has more proxies of their own
_REMEMBERED = 1_000
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)
_HOST = re.compile(rb"([A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_LITERAL = re.compile(rb"\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]")


class Proxies:
    """The proxies of one application; `header` is the one in which they say where a request came from."""

    def __init__(self, trusted: Iterable[str] = (), header: str = "x-forwarded-for") -> None:
        self._networks = [ip_network(one, strict=False) for one in trusted if one != UNIX]
        self._unix = UNIX in trusted
        self._header = header.lower().encode()
        self._any = bool(self._networks) or self._unix
        self._known: dict[tuple[str, bytes], str] = {}

    def client(self, scope: Mapping[str, Any]) -> str:
        """The address of who asks; empty where the connection has none."""
        peer = scope.get("client")
        near: str = peer[0] if peer else ""
        if not self._any:
            return near
        said = b",".join([value for name, value in scope["headers"] if name == self._header])
        if not said:
            return near
        if (known := self._known.get((near, said))) is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[near, said] = self._walk(near, said.decode("latin-1"))
        return known

    def _walk(self, near: str, said: str) -> str:
        """From hop to hop, as long as each was told by a trusted one."""
        hops = said.split(",")[-_HOPS:]
        while self._trusts(near) and hops:
            hop = _parsed(_forwarded(hops.pop()) if self._header == b"forwarded" else hops.pop())
            if hop is None:
                break  # hidden or made up: the proxy that said so is as far as we know
            near = str(hop)
        return near

    def _trusts(self, near: str) -> bool:
        address = _parsed(near)
        if address is None:
            return self._unix and not near
        return any(address in one for one in self._networks)

    def scheme(self, scope: Mapping[str, Any]) -> str:
        """`http` or `https`, as the client used it."""
        peer = scope.get("client")
        if self._any and self._trusts(peer[0] if peer else ""):
            said = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
            last: bytes = said[-1].rpartition(b",")[2].strip().lower() if said else b""
            if last in (b"http", b"https"):
                return last.decode()
        return str(scope.get("scheme", "http"))


def _forwarded(element: str) -> str:
    """The `for` of one element of Forwarded (RFC 7239)."""
    found = _FOR.search(element)
    return (found[1] or found[2] or "") if found else ""


def _parsed(text: str) -> Address | None:
    """An address with or without a port or brackets; one form for one address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=_REMEMBERED)
def neighbourhood(client: str) -> str:
    """What one client can have many of counts as one: the /64 network of an IPv6 address.

    >>> neighbourhood("2001:db8::1:2:3")
    '2001:db8::/64'
    """
    address = _parsed(client)
    if address is None:
        return client[:100]
    return str(IPv6Network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)


class Hosts:
    """The hosts that this application answers for. Without any, it answers for all."""

    def __init__(self, allowed: Sequence[str] = (), *, loopback: bool = False) -> None:
        self._names = frozenset(name.encode() for name in allowed if not name.startswith("*."))
        self._suffixes = tuple(name[1:].encode() for name in allowed if name.startswith("*."))
        self._loopback = loopback
        self.some = bool(allowed or loopback) and "*" not in allowed
        """Whether it answers for some hosts only."""
        self._known: set[bytes] = set()

    def allows(self, host: bytes) -> bool:
        """Whether a `Host` header names one of them. Who sends none speaks to nobody in particular."""
        if host in self._known or not (host and self.some):
            return True
        if _HOST.fullmatch(host) is None:
            return False
        name = re.sub(rb":\d+$", b"", host.lower()).removesuffix(b".")
        if not (name in self._names or name.endswith(self._suffixes) or (self._loopback and _near(name))):
            return False
        if len(self._known) < _REMEMBERED:
            self._known.add(host)
        return True


def _near(name: bytes) -> bool:
    """Whether a name is this machine, or an address: another site's name can be made to lead here, an address not."""
    return name == b"localhost" or name.endswith(b".localhost") or _LITERAL.fullmatch(name) is not None
