"""What is looked at of the settings, the files and the machine."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from backstay.api.rates import with_rates
from backstay.doctor.examination import Check, Patient
from backstay.plan.limits import Limits
from backstay.plan.rate import parse_rates

MOUNTS = Path("/proc/mounts")
_HERE = ("127.0.0.1", "::1", "localhost")
_LOCAL = ("://localhost", "://127.", "://[::1]")
_FAST = 1_000
_SHARED = frozenset("nfs nfs4 cifs smb3 smbfs 9p fuse.sshfs glusterfs ceph afs".split())
_FULL = 0.05
_LEAST = 1 << 30


def _file_of(patient: Patient) -> Path | None:
    """The file of the embedded database."""
    url = patient.settings.database
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _open_to_others(path: Path) -> Iterator[str]:
    if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        yield f"{path} can be read by others (mode {mode:03o})."


def environment_file(patient: Patient) -> Iterator[str]:
    yield from _open_to_others(Path(".env"))


def database_file(patient: Patient) -> Iterator[str]:
    path = _file_of(patient)
    if path is None or not path.exists() or not (mode := stat.S_IMODE(path.stat().st_mode)) & 0o007:
        return
    if all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents):  # others get there
        yield f"{path} can be read by everybody on this machine (mode {mode:03o})."


def memory(patient: Patient) -> Iterator[str]:
    if patient.settings.database in ("sqlite://", "sqlite:///:memory:"):
        yield "the database is in memory: all of it is gone when the process ends."


def shared_file(patient: Patient) -> Iterator[str]:
    path = _file_of(patient)
    if path is None or not MOUNTS.exists():
        return
    real, best, kind = os.path.realpath(path), "", ""
    for line in MOUNTS.read_text().splitlines():
        _, place, filesystem, *_ = line.split(" ")
        if (real + "/").startswith(place.rstrip("/") + "/") and len(place) >= len(best):
            best, kind = place, filesystem
    if kind in _SHARED:
        yield f"{path} lies on {kind}, where SQLite's locks do not hold."


def public_address(patient: Patient) -> Iterator[str]:
    address = patient.settings.public_url
    if address.startswith("http://") and not address.startswith(tuple(f"http{local}" for local in _LOCAL)):
        yield f"BACKSTAY_PUBLIC_URL is {address}: passwords and tokens go over the network as they are."


def no_public_address(patient: Patient) -> Iterator[str]:
    if not patient.settings.public_url and patient.settings.host not in _HERE:
        yield "BACKSTAY_PUBLIC_URL is not set: links cannot be made."


def cors_local(patient: Patient) -> Iterator[str]:
    for origin in patient.settings.cors_origins:
        if any(local in origin for local in _LOCAL):
            yield f"BACKSTAY_CORS_ORIGINS has {origin}: whatever runs on a visitor's machine may ask with their token."


def cors_plain(patient: Patient) -> Iterator[str]:
    for origin in patient.settings.cors_origins:
        if origin.startswith("http://") and not any(local in origin for local in _LOCAL):
            yield f"BACKSTAY_CORS_ORIGINS has {origin}: whoever is between may change that page."


def cors_anybody(patient: Patient) -> Iterator[str]:
    if "*" in patient.settings.cors_origins:
        yield "BACKSTAY_CORS_ORIGINS is *: the pages of everybody may ask, without cookies."


def hosts(patient: Patient) -> Iterator[str]:
    settings = patient.settings
    if settings.host not in _HERE and not settings.allowed_hosts:
        yield f"it listens on {settings.host} and answers for any host that a request names."


def proxies(patient: Patient) -> Iterator[str]:
    for text in patient.settings.trusted_proxies:
        if text == "unix":
            continue
        network = ip_network(text)
        if not network.is_private and network.num_addresses > 65_536:
            yield f"BACKSTAY_TRUSTED_PROXIES has {text}: so many addresses of others may say who asks."


def outbound(patient: Patient) -> Iterator[str]:
    allowed = patient.settings.http_allow
    if "169.254.169.254" in allowed or "169.254.0.0/16" in allowed:
        yield "BACKSTAY_HTTP_ALLOW has the address where clouds hand out credentials."


def logins(patient: Patient) -> Iterator[str]:
    limits = with_rates(patient.app.limits, patient.settings.rate_limits)
    for name in ("login_per_account", "password_per_account"):
        rates = parse_rates(getattr(limits, name))
        if not rates:
            yield f"{name} has no limit: passwords can be tried without end."
        elif all(rate.times * 86_400 / rate.seconds > _FAST * 24 for rate in rates):
            yield f"{name} is {getattr(limits, name)}: more than {_FAST} passwords an hour can be tried."


def all_requests(patient: Patient) -> Iterator[str]:
    limits = with_rates(patient.app.limits, patient.settings.rate_limits)
    if limits.requests_per_client == Limits().requests_per_client == "" and patient.settings.host not in _HERE:
        yield "requests_per_client has no limit: one client may ask as fast as it can."


def sessions(patient: Patient) -> Iterator[str]:
    if patient.settings.session_days > 365:
        yield f"a session lasts {patient.settings.session_days} days: a lost device stays signed in that long."


def access(patient: Patient) -> Iterator[str]:
    if patient.settings.access_minutes > 24 * 60:
        yield f"an access token is good for {patient.settings.access_minutes} minutes: a stolen one, too."


def log_level(patient: Patient) -> Iterator[str]:
    level = patient.settings.log_level.lower()
    if level in ("debug", "error"):
        yield (
            "LOG_LEVEL is debug: the log grows fast." if level == "debug" else "LOG_LEVEL is error: requests are lost."
        )


def encryption(patient: Patient) -> Iterator[str]:
    sealed = [f"{e.name}.{name}" for e in patient.app.schema.entities.values() for name in e.sealed if not e.hidden]
    if sealed and not patient.settings.encryption_keys:
        yield f"{', '.join(sealed)} are encrypted with a key made from the secret: both are lost together."


def superuser(patient: Patient) -> Iterator[str]:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield "it runs as root: a hole in it is one in the machine."


def disk(patient: Patient) -> Iterator[str]:
    path = _file_of(patient)
    if path is None:
        return
    folder = next(place for place in (path.resolve(), *path.resolve().parents) if place.is_dir())
    usage = shutil.disk_usage(folder)
    if usage.free < max(_LEAST, usage.total * _FULL):
        yield f"{usage.free >> 20} MB are free of {usage.total >> 20} where the database lies."


CHECKS = (
    Check("environment-file", "unsafe", "Only its owner reads `.env`, which holds secrets.",
          "chmod 600 .env", environment_file),
    Check("database-file", "unsafe", "Others on the machine cannot read the database.",
          "chmod 640 it, or less.", database_file),
    Check("memory-database", "unsafe", "The database is a file or a server.", "Set DATABASE_URL.", memory),
    Check("shared-file", "unsafe", "SQLite's file lies on a disk of this machine.",
          "Move it to a local disk, or use PostgreSQL for several machines.", shared_file),
    Check("public-url-plain", "unsafe", "`BACKSTAY_PUBLIC_URL` begins with https.",
          "Put TLS in front and write https://.", public_address),
    Check("public-url", "advice", "`BACKSTAY_PUBLIC_URL` is set.",
          "Set it to where people reach the application.", no_public_address),
    Check("cors-localhost", "unsafe", "No page of a visitor's own machine may ask with their rights.",
          "Take it out of BACKSTAY_CORS_ORIGINS.", cors_local),
    Check("cors-plain", "unsafe", "Pages that may ask are served over https.",
          "Write https:// in BACKSTAY_CORS_ORIGINS.", cors_plain),
    Check("cors-anybody", "advice", "Named origins may ask.",
          "Name them, unless this is a public API.", cors_anybody),
    Check("hosts", "advice", "The hosts it answers for are named.", "Set BACKSTAY_ALLOWED_HOSTS.", hosts),
    Check("proxies", "unsafe", "Only your own proxies may say who asks.",
          "Name their addresses in BACKSTAY_TRUSTED_PROXIES.", proxies),
    Check("outbound", "unsafe", "`ctx.http` cannot reach a cloud's credentials.",
          "Take it out of BACKSTAY_HTTP_ALLOW.", outbound),
    Check("login-rate", "unsafe", "Passwords cannot be tried without end.",
          "Lower it in BACKSTAY_RATE_LIMITS or Limits.", logins),
    Check("request-rate", "advice", "One client cannot take all there is.",
          "Set requests_per_client in BACKSTAY_RATE_LIMITS or Limits, such as 600/minute.", all_requests),
    Check("session-days", "advice", "A session ends within a year.", "Lower BACKSTAY_SESSION_DAYS.", sessions),
    Check("access-minutes", "unsafe", "An access token ends within a day.",
          "Lower BACKSTAY_ACCESS_MINUTES: clients refresh by themselves.", access),
    Check("log-level", "advice", "The log tells of requests, and not of everything.",
          "Set LOG_LEVEL to info.", log_level),
    Check("encryption-keys", "advice", "Encrypted fields have keys of their own.",
          "Make one with `backstay encrypt key` and set BACKSTAY_ENCRYPTION_KEYS.", encryption),
    Check("root", "advice", "It does not run as root.", "Give it a user of its own.", superuser),
    Check("disk-space", "advice", "A twentieth of the disk and a gigabyte are free.",
          "Make room, or `backstay db maintain --vacuum`: a full disk refuses writes.", disk),
)  # fmt: skip
