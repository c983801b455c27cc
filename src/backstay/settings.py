"""One frozen `Settings`, read once from the environment (and a `.env` file beside the application).

Invariant: nothing else in the package reads the environment, and there is no default secret: one is generated on
first run into a file that only its owner can read.
"""

from __future__ import annotations

import os
import re
import secrets
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path

ENVIRONMENT: dict[str, tuple[str, str]] = {
    "DATABASE_URL": (
        "database_url",
        "Where the data lives: `sqlite:///path/to/file.db` or `postgresql://user@host/name`.",
    ),
    "SECRET_KEY": (
        "secret_key",
        "Seals cursors and encrypted values; at least 32 characters. Made on first run where it is not set.",
    ),
    "BACKSTAY_ENCRYPTION_KEYS": (
        "encryption_keys",
        "The keys of encrypted fields, newest first: `id:key,id:key`, each key 32 bytes in base64 or hex.",
    ),
    "EMAIL_URL": (
        "email_url",
        "The server that mail leaves by: `smtps://user:password@mail.example.com`, `smtp+starttls://` or `smtp://`.",
    ),
    "BACKSTAY_EMAIL_FROM": ("email_from", "Whom mail is from: `Shop <orders@example.com>`."),
    "BACKSTAY_LANGUAGE": (
        "language",
        "The language of mail for those who name no other, such as `en` or `de`.",
    ),
    "HOST": ("host", "The address to listen on."),
    "PORT": ("port", "The port to listen on."),
    "LOG_LEVEL": ("log_level", "`debug`, `info`, `warning` or `error`."),
    "BACKSTAY_ENV": ("env", "`development` or `production`; `backstay dev` and `backstay serve` set it."),
    "BACKSTAY_DATA": ("data", "The folder of the embedded database and of the generated secret."),
    "BACKSTAY_HTTP_ALLOW": (
        "http_allow",
        "What `ctx.http` may reach beside the public internet: `billing.internal:8080, 10.1.0.0/16, *:9443`.",
    ),
    "BACKSTAY_SESSION_DAYS": ("session_days", "How many days a session lasts from its log-in."),
    "BACKSTAY_ACCESS_MINUTES": ("access_minutes", "How many minutes an access token is good for; at least 1."),
    "BACKSTAY_IDEMPOTENCY_HOURS": (
        "idempotency_hours",
        "How many hours the answer to a request with an `Idempotency-Key` is kept; at least 24.",
    ),
    "BACKSTAY_CHANGES_DAYS": (
        "changes_days",
        "How many days the change log is kept; what a reaction has still to read stays longer.",
    ),
    "BACKSTAY_JOBS": (
        "jobs",
        "How many jobs and flows one process runs at once; 0 where `backstay worker` runs them apart.",
    ),
    "BACKSTAY_JOBS_DAYS": ("jobs_days", "How many days jobs and flows are remembered that have ended well."),
    "BACKSTAY_FAILPOINTS": (
        "failpoints",
        "For tests, in development alone: where the process fails, such as `buy.authorize.call=crash_after`.",
    ),
    "BACKSTAY_ACCEPT": (
        "accept",
        "What `backstay doctor` finds unsafe and you accept, comma between: `open-changes, database-tls`.",
    ),
    "BACKSTAY_PUBLIC_URL": (
        "public_url",
        "Where people reach the application, such as `https://shop.example.com`: links to it begin with this.",
    ),
    "BACKSTAY_CORS_ORIGINS": (
        "cors_origins",
        "Origins of front ends on other hosts, comma between: `https://app.example.com`. `*` is any, without cookies.",
    ),
    "BACKSTAY_ALLOWED_HOSTS": (
        "allowed_hosts",
        "Hosts to answer for, comma between; `*.example.com` is every host below it. Without any: all of them.",
    ),
    "BACKSTAY_TRUSTED_PROXIES": (
        "trusted_proxies",
        "Networks or addresses of your own proxies, comma between, or `unix` for a Unix socket.",
    ),
    "BACKSTAY_FORWARDED_HEADER": (
        "forwarded_header",
        "Where those proxies write who asks: `X-Forwarded-For` or `Forwarded`.",
    ),
    "BACKSTAY_RATE_LIMITS": (
        "rate_limits",
        "Other rates than the application's: `requests_per_client=600/minute; login_per_account=5/minute`.",
    ),
    "BACKSTAY_DRAIN_SECONDS": (
        "drain_seconds",
        "How many seconds a process that is told to stop says so at `/readyz` and goes on, where somebody asks there.",
    ),
    "BACKSTAY_STOP_SECONDS": (
        "stop_seconds",
        "How many seconds a process has to finish what it is answering, before it is killed.",
    ),
    "BACKSTAY_LINGER_SECONDS": (
        "linger_seconds",
        "How many seconds a connection is kept without a request, in a process that was replaced too; "
        "longer than a proxy does.",
    ),
    "BACKSTAY_METRICS_TOKEN": (
        "metrics_token",
        "The Bearer token of operators, for `/metrics` and the details of `/readyz`; at least 32 characters.",
    ),
    "BACKSTAY_METRICS_NETWORKS": (
        "metrics_networks",
        "Networks or addresses of operators, comma between, who need no token for these.",
    ),
    "BACKSTAY_SLOW_STATEMENT_MS": (
        "slow_statement_ms",
        "From how many milliseconds a statement is a `slow_statement` in the log; 0 tells of none.",
    ),
    "BACKSTAY_INTROSPECTION": (
        "introspection",
        "`true` lets clients ask `/graphql` for its schema; in development they always may.",
    ),
    "BACKSTAY_GRAPHQL_DOCUMENTS": (
        "graphql_documents",
        "A JSON file of GraphQL documents by their ids, as front ends are built with; no others are answered then.",
    ),
    "BACKSTAY_CONNECTIONS": ("connections", "How many connections one process holds to PostgreSQL."),
}
"""Every variable that is read: the setting it fills and what it is for. The settings page is made from it."""
SHORTEST_SECRET, VARIED_SECRET = 32, 8  # characters, and different ones


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process."""

    database_url: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    encryption_keys: str = field(default="", repr=False)
    email_url: str = field(default="", repr=False)
    email_from: str = ""
    language: str = "en"
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "info"
    env: str = "production"
    data: str = "data"
    http_allow: str = ""
    session_days: int = 30
    access_minutes: int = 15
    idempotency_hours: int = 24
    changes_days: int = 30
    jobs: int = 10
    jobs_days: int = 30
    failpoints: str = ""
    accept: tuple[str, ...] = ()
    public_url: str = ""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: str = "X-Forwarded-For"
    rate_limits: str = ""
    drain_seconds: int = 5
    stop_seconds: int = 40
    linger_seconds: int = 75
    metrics_token: str = field(default="", repr=False)
    metrics_networks: tuple[str, ...] = ()
    slow_statement_ms: int = 500
    connections: int = 8
    introspection: bool = False
    graphql_documents: str = ""

    @property
    def development(self) -> bool:
        """Whether conveniences and explanations of development are on."""
        return self.env == "development"

    @property
    def database(self) -> str:
        """The URL of the database; a file in the data folder where none is set."""
        return self.database_url or f"sqlite:///{self.data}/backstay.db"

    @property
    def address(self) -> str:
        """What links to the application begin with; in development this machine where nothing is set."""
        return self.public_url or (f"http://localhost:{self.port}" if self.development else "")


def read_settings(environment: Mapping[str, str] | None = None, *, folder: str = ".") -> Settings:
    """The settings of the environment, which wins over `.env` in `folder`. Raises `ValueError` that names a bad one."""
    found = {**_dotenv(Path(folder) / ".env"), **(os.environ if environment is None else environment)}
    values: dict[str, object] = {}
    numbers = {field.name for field in fields(Settings) if field.type == "int"}
    for variable, (name, _) in ENVIRONMENT.items():
        if raw := found.get(variable, "").strip():
            if name in numbers and not raw.isdigit():
                raise ValueError(f"{variable} must be a whole number, not {raw!r}.")
            try:
                values[name] = int(raw) if name in numbers else _READ.get(name, str)(raw)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
    settings = Settings(**values)  # type: ignore[arg-type]
    if settings.env not in ("development", "production"):
        raise ValueError(f"BACKSTAY_ENV is development or production, not {settings.env!r}.")
    if settings.log_level.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError(f"LOG_LEVEL is debug, info, warning or error, not {settings.log_level!r}.")
    if settings.access_minutes < 1:
        raise ValueError("BACKSTAY_ACCESS_MINUTES must be at least 1.")
    if settings.idempotency_hours < 24:
        raise ValueError("BACKSTAY_IDEMPOTENCY_HOURS must be at least 24.")
    if settings.changes_days < 1:
        raise ValueError("BACKSTAY_CHANGES_DAYS must be at least 1.")
    if settings.jobs_days < 1:
        raise ValueError("BACKSTAY_JOBS_DAYS must be at least 1.")
    if settings.failpoints and not settings.development:
        raise ValueError("BACKSTAY_FAILPOINTS is for development: production does not fail on purpose.")
    if settings.secret_key and len(settings.secret_key) < SHORTEST_SECRET:
        raise ValueError(f"SECRET_KEY must have at least {SHORTEST_SECRET} characters.")
    if not settings.development and settings.secret_key and len(set(settings.secret_key)) < VARIED_SECRET:
        raise ValueError("SECRET_KEY can be guessed: make one with `openssl rand -hex 32`.")
    if settings.metrics_token and len(settings.metrics_token) < 32:
        raise ValueError("BACKSTAY_METRICS_TOKEN must have at least 32 characters: openssl rand -hex 32")
    keys_of(settings)
    return settings


def secret_of(settings: Settings) -> bytes:
    """The secret of the application: the one that is set, else one generated once into the data folder (mode 600).

    Raises `ValueError` for a file that is too short to be one, and for one that others may read.
    """
    if settings.secret_key:
        return settings.secret_key.encode()
    path = Path(settings.data) / "secret.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes().strip()
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"{path} is no secret: it has less than {SHORTEST_SECRET} characters. Restore or remove it.")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others than its owner: chmod 600 {path}")
    return secret


def _make_secret(path: Path) -> None:
    """Make the file appear whole, or find that another process was quicker: none of them reads half a secret."""
    made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)


def keys_of(settings: Settings) -> list[tuple[str, bytes]]:
    """The ids and bytes of the encryption keys that are set, newest first. Raises `ValueError`, and shows no key.

    `secret` alone, without bytes, is the place of the one that is made from the secret.
    """
    found: dict[str, bytes] = {}
    for number, part in enumerate(filter(None, re.split(r"[\s,]+", settings.encryption_keys)), start=1):
        name, _, text = part.partition(":")
        if part == _FROM_SECRET:
            found[part] = b""
            continue
        place = f"BACKSTAY_ENCRYPTION_KEYS, key {number}:"
        if not _KEY_ID.fullmatch(name) or name.startswith(_FROM_SECRET):
            raise ValueError(f"{place} write id:key; an id has up to 32 of a-z, 0-9, - and _, and not secret in front.")
        if name in found:
            raise ValueError(f"{place} another key has the id {name}.")
        if (key := _key_bytes(text)) is None:
            raise ValueError(
                f"{place} {name} must be 32 bytes in base64 or hex, such as `openssl rand -base64 32` gives."
            )
        if key in found.values():
            raise ValueError(f"{place} {name} is the same key as another one.")
        found[name] = key
    return list(found.items())


_FROM_SECRET = "secret"
_KEY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def _key_bytes(text: str) -> bytes | None:
    try:
        if re.fullmatch(r"[0-9a-fA-F]{64}", text):
            return bytes.fromhex(text)
        key = b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return key if len(key) == 32 else None


_ORIGIN = re.compile(r"(https?)://([a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*|\[[0-9a-f:.]+\]|\*")
_PORTS = {"http": "80", "https": "443"}


def origin(text: str) -> str:
    """An origin as browsers write it: scheme, host, and a port that is not the usual one. Raises `ValueError`.

    >>> origin("https://App.example.com:443/")
    'https://app.example.com'
    """
    found = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if found is None:
        raise ValueError(f"{text!r} is no origin. Write it as https://app.example.com, with the port if it has one.")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _PORTS[scheme] else "")


def _public(text: str) -> str:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    if re.search(r"[^\w/.~\-]", path):
        raise ValueError(f"{text!r} has more than scheme, host, port and path.")
    return origin(f"{scheme}://{host}") + (slash + path).rstrip("/")


def _host(text: str) -> str:
    if _HOST.fullmatch(text.lower()) is None:
        raise ValueError(f"{text!r} is no host. Write it as shop.example.com, without scheme and port.")
    return text.lower()


def _network(text: str) -> str:
    if text == "unix":
        return text
    network = ip_network(text, strict=False)
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} is everybody. Name the proxies that are yours.")
    return str(network)


def _operators(text: str) -> str:
    if text == "unix":
        raise ValueError("whoever comes over a Unix socket has no address: set BACKSTAY_METRICS_TOKEN.")
    return _network(text)


def _forwarded(text: str) -> str:
    if text.lower() not in ("x-forwarded-for", "forwarded"):
        raise ValueError(f"it is X-Forwarded-For or Forwarded, not {text!r}.")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"it is true or false, not {text!r}.")
    return text.lower() == "true"


def _each(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """A list with commas between, each of it read."""
    return lambda text: tuple(read(part.strip()) for part in text.split(",") if part.strip())


_READ: dict[str, Callable[[str], object]] = {
    "accept": _each(str),
    "public_url": _public,
    "cors_origins": _each(lambda text: text if text == "*" else origin(text)),
    "allowed_hosts": _each(_host),
    "trusted_proxies": _each(_network),
    "metrics_networks": _each(_operators),
    "forwarded_header": _forwarded,
    "introspection": _switch,
}
"""How the settings are read that are more than a text or a number."""


def _dotenv(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text().splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                found[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return found
