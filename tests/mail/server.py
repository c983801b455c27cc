"""A real SMTP server on a port of this machine, which says what a test wants it to and keeps what it is sent."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Received:
    """One message as it came in."""

    sender: str
    recipients: list[str]
    raw: bytes
    secure: bool
    user: str


@dataclass
class Mailhost:
    """The server: `answers` are said to the next messages or recipients, and `OK` afterwards."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    to_recipient: list[str] = field(default_factory=list)
    to_data: list[str] = field(default_factory=list)
    silent: bool = False
    """Whether it takes a message on and then loses the connection before it says so."""

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.to_recipient:
            return self.to_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.to_data and not self.to_data[0].startswith("2"):
            return self.to_data.pop(0)
        assert isinstance(envelope.content, bytes)
        login = getattr(session, "auth_data", None)
        user = login.login.decode() if login is not None else ""
        secure = session.ssl is not None
        self.received.append(
            Received(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.content, secure, user)
        )
        if self.silent:
            self.silent = False
            server.transport.abort()
        return "250 OK"


@asynccontextmanager
async def mailhost(*, tls: bool = False, starttls: bool = False, password: str = "") -> AsyncIterator[Mailhost]:
    """A server for the time of the block; with a `password` it takes mail of the user `ada` alone."""
    host = Mailhost()
    secure = server_context() if tls or starttls else None
    lines: list[asyncio.Transport] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = (data.login, data.password) == (b"ada", password.encode())
        return AuthResult(success=right, handled=False, auth_data=data)

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about AUTH without STARTTLS: the TLS around it is not its own
            return Conversation(
                host, hostname="mailhost", tls_context=secure if starttls else None, require_starttls=starttls,
                auth_required=bool(password), auth_require_tls=starttls,
                authenticator=authenticate if password else None, loop=asyncio.get_running_loop(),
            )  # fmt: skip

    class Conversation(SMTP):
        def connection_made(self, transport: Any) -> None:
            lines.append(transport)
            super().connection_made(transport)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=secure if tls else None)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for line in lines:
            line.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # the sockets are closed in the next turn of the loop


@cache
def _authority() -> tuple[bytes, bytes]:
    """The certificate and key of a server on this machine, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


def server_context() -> ssl.SSLContext:
    """The TLS of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        certificate.write_bytes(_authority()[0])
        key.write_bytes(_authority()[1])
        context.load_cert_chain(certificate, key)
    return context


def client_context() -> ssl.SSLContext:
    """The TLS of a client that trusts the server, and still looks at its name."""
    return ssl.create_default_context(cadata=_authority()[0].decode())
