"""Whether an application answers: asked from another machine, as its users would.

Invariant: it looks at what is public, changes nothing, and follows nobody to another address.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import perf_counter
from urllib.parse import urlsplit

SOON = timedelta(days=14)
"""How long before its end a certificate is told of."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one path answered: its status (0 without an answer), the milliseconds it took, and what went wrong."""

    path: str
    status: int
    ms: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """What was found: `well` where everything answers and no certificate ends soon; `warnings` say what will go wrong.

    `expires` is when the certificate ends; nothing without TLS.
    """

    pulses: tuple[Pulse, ...]
    expires: datetime | None = None
    warnings: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return all(pulse.status == 200 for pulse in self.pulses) and not self.warnings


def ping(url: str, timeout: float = 10.0, paths: tuple[str, ...] = ("/healthz", "/readyz")) -> Ping:
    """Ask an application how it is; `timeout` is in seconds, for each path. Raises `ValueError` for what is no URL.

    >>> ping("https://shop.example.com").well  # doctest: +SKIP
    True
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of an application. Write it as https://shop.example.com.")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    expires: datetime | None = None
    pulses = []
    for path in paths:
        make = HTTPSConnection if secure else HTTPConnection
        connection = make(parts.hostname, port, timeout=timeout)
        began = perf_counter()
        try:
            connection.request("GET", parts.path.rstrip("/") + path, headers={"User-Agent": "backstay ping"})
            if isinstance(connection.sock, ssl.SSLSocket):
                expires = _end_of(connection.sock)
            answer = connection.getresponse()
            answer.read(65_536)
            pulses.append(Pulse(path, answer.status, _since(began), "" if answer.status == 200 else answer.reason))
        except (OSError, HTTPException) as error:
            pulses.append(Pulse(path, 0, _since(began), f"{type(error).__name__}: {error}".rstrip(": ")))
        finally:
            connection.close()
    warnings = []
    if expires is not None and expires - datetime.now(UTC) < SOON:
        warnings.append(f"The certificate ends on {expires:%Y-%m-%d}: renew it.")
    return Ping(tuple(pulses), expires, tuple(warnings))


def _end_of(connection: ssl.SSLSocket) -> datetime | None:
    certificate = connection.getpeercert() or {}
    ends = certificate.get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def _since(began: float) -> float:
    return round((perf_counter() - began) * 1000, 1)
