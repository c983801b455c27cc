"""One request and its answer on their way between the client and what carries them.

Invariant: a `Call` is made by the client alone (`http.py`), so its parts have been judged: what carries it looks up the
host, and nothing else is left to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caps:
    """What one request to another service may take; times are seconds, sizes bytes."""

    seconds: float = 20
    connect_seconds: float = 5
    body: int = 10_485_760
    headers: int = 65_536
    redirects: int = 5
    connections: int = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it leaves: `target` is the path with its query."""

    method: str
    scheme: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(default=b"", repr=False)

    @property
    def authority(self) -> str:
        """Host and port as they stand in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without its query, which may hold secrets."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came, its body unpacked and within its size."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Wire(Protocol):
    """What carries requests: the network, or what stands for it in a test."""

    async def send(self, call: Call, caps: Caps) -> Raw:
        """Carry one request. Raises `OutboundError`."""
        ...

    async def close(self) -> None: ...
