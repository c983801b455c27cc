"""The wire: where a request leaves this process, to an address that was looked up once, checked, and connected to.

Invariant: the address that was checked is the address of the connection. The name is still what the certificate is
checked against (SNI) and what the `Host` header says. Proxies of the environment are not asked.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import httpcore2

from backstay.net.address import Address, literal
from backstay.net.call import Call, Caps, Raw
from backstay.net.failure import OutboundError, Unanswered, Unreachable
from backstay.net.permit import Permit

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
_FAILURES = (
    httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, zlib.error,
)  # fmt: skip
_GZIP = 31  # the window of zlib with the header of gzip
_KEPT = 5.0  # seconds that a connection is kept for another request


class Network:
    """The wire of a process: connections of its own, over which everything is checked before it is connected to."""

    def __init__(
        self, permit: Permit, caps: Caps, resolve: Resolve | None = None,
        inner: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:  # fmt: skip
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=httpcore2.default_ssl_context() if scheme == "https" else None,
                max_connections=caps.connections, keepalive_expiry=_KEPT,
                network_backend=_Checked(
                    permit, resolve or look_up, inner or httpcore2.AnyIOBackend(), tls=scheme == "https"
                ),
            )
            for scheme in ("https", "http")
        }  # fmt: skip

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    async def send(self, call: Call, caps: Caps) -> Raw:
        """Carry one request over the network, within its time and sizes."""
        sent = False

        async def trace(event: str, info: Any) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        extensions = {"trace": trace, "timeout": {"connect": caps.connect_seconds, "pool": caps.connect_seconds}}
        try:
            async with asyncio.timeout(caps.seconds):
                return await self._carried(call, caps, extensions)
        except OutboundError:
            raise
        except (*_FAILURES, TimeoutError) as error:
            said = f"{call.method} {call.url}: {type(error).__name__} {error}".rstrip()
            raise (Unanswered if sent else Unreachable)(said) from None

    async def _carried(self, call: Call, caps: Caps, extensions: dict[str, Any]) -> Raw:
        url = httpcore2.URL(scheme=call.scheme, host=call.host, port=call.port, target=call.target)
        headers = [("Host", call.authority), *call.headers]
        pool = self._pools[call.scheme]
        async with pool.stream(
            call.method, url, headers=headers, content=call.body or None, extensions=extensions
        ) as core:
            answered = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in core.headers)
            said = f"{call.method} {call.url}"
            if sum(len(name) + len(value) for name, value in answered) > caps.headers:
                raise Unanswered(f"{said}: headers of more than {caps.headers} bytes")
            packings = [value.strip().lower() for name, value in answered if name == "content-encoding"]
            if packings not in ([], ["gzip"], ["identity"]):
                raise Unanswered(f"{said}: packed in a way that was not asked for")
            unpacking = zlib.decompressobj(wbits=_GZIP) if packings == ["gzip"] else None
            body, came = bytearray(), False
            async for part in core.aiter_stream():
                came = came or bool(part)
                # Never more than one byte beyond the cap is unpacked, however well a few bytes are packed.
                body += unpacking.decompress(part, caps.body + 1 - len(body)) if unpacking else part
                if len(body) > caps.body:
                    raise Unanswered(f"{said}: a body of more than {caps.body} bytes")
                if unpacking and unpacking.unused_data:
                    raise Unanswered(f"{said}: more behind the end of what was packed")
            if unpacking and came and not unpacking.eof:
                raise Unanswered(f"{said}: half of what was packed")
            return Raw(core.status, answered, bytes(body))


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that may be reached, and to nothing else."""

    def __init__(self, permit: Permit, resolve: Resolve, inner: httpcore2.AsyncNetworkBackend, *, tls: bool) -> None:
        self._permit = permit
        self._resolve = resolve
        self._tls = tls
        self._inner = inner

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        """A connection to the first address of a host that takes one."""
        try:
            async with asyncio.timeout(timeout):
                found = [host] if literal(host) is not None else await self._resolve(host, port)
                addresses = self._permit.addresses(host, port, found, tls=self._tls)
                return await self._first(addresses, host, port, timeout, socket_options)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} did not take a connection in {timeout} seconds") from None

    async def _first(
        self, addresses: Sequence[Address], host: str, port: int, timeout: float | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        share = timeout / len(addresses) if timeout and addresses else timeout
        problem: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
        raise problem

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Never: a socket in the file system is this machine."""
        raise httpcore2.ConnectError("sockets in the file system are not reached")

    async def sleep(self, seconds: float) -> None:
        """Between two attempts; none are made."""
        await self._inner.sleep(seconds)


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, by the resolver of the machine. Raises `httpcore2.ConnectError` where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} is not known: {error}") from None
    return [str(address[0]) for _, _, _, _, address in found]
