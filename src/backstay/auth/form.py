"""What a person sends to open an account or to sign in, checked and canonical.

Invariant: only what is named here, or what the user class lets its own owner set, is taken from a request; roles,
`disabled`, ids and anything else the server decides are refused by the same code that refuses them in a create.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from backstay.auth.address import canonical_address
from backstay.auth.password import LONGEST, check_password
from backstay.errors import BadRequest, FieldError, Invalid, nearest
from backstay.model.field import Schema
from backstay.model.predicate import ANYONE
from backstay.model.value import INSTANT, Kind, Unfit, clean_text, parse
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.resolve import Resolver
from backstay.plan.scope import canonical, parse_scope
from backstay.plan.write import names_of, values_of

T = TypeVar("T")
_NAME = Kind("text", min_length=1, max_length=100)
_MOST_SCOPES = 50


@dataclass(frozen=True, slots=True)
class Opening:
    """A new account: the id it will have, its canonical address, a good password and its own fields."""

    key: str
    email: str
    password: str
    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Opening({self.email!r})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A try to sign in. What cannot be an address or a password is `None`: it is wrong like any other."""

    email: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"Entry({self.email!r})"


def parse_opening(body: Mapping[str, Any], schema: Schema, limits: Limits, key: str) -> Opening:
    """The body of a sign-up. Fields of the user class are taken as the new user itself, without any role, may set them.

    A field whose rule on writing depends on the record is not taken: there is no record yet. Raises `BadRequest`
    `unknown_field`, else `Invalid` with every wrong value.
    """
    own = {name: value for name, value in body.items() if name not in ("email", "password")}
    resolver = Resolver(schema, Actor(key), limits)
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    try:
        values = values_of(names_of(resolver, schema.user, own, creating=False), own)
    except Invalid as invalid:
        errors += invalid.errors
    errors += [
        FieldError(name, "required", "is required.")
        for name, field in schema.user.fields.items() if field.required and name not in body and name != "email"
    ]  # fmt: skip
    errors += [
        FieldError(name, "read_only", "cannot be set at sign-up.")
        for name in values if resolver.fold(schema.user.fields[name].write) != ANYONE
    ]  # fmt: skip
    email = password = ""
    for name in ("email", "password"):
        try:
            if name not in body:
                raise Unfit("required", "is required")
            if name == "email":
                email = canonical_address(body[name])
            else:
                password = check_password(body[name], email)
        except Unfit as unfit:
            errors.append(FieldError(name, unfit.code, f"{unfit}."))
    refuse(errors)
    return Opening(key, email, password, values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An API key that somebody asks for: its name, its canonical scopes, and its end if it has one."""

    name: str
    scopes: frozenset[str]
    expires_at: datetime | None


def parse_key(body: Mapping[str, Any], models: Collection[str], actions: Collection[str], now: datetime) -> Wanted:
    """The body of a new API key. Raises `BadRequest` `unknown_field`, or `Invalid` with every wrong value."""
    _refuse_unknown("key", body, "name", "scopes", "expires_at")
    errors = [FieldError(name, "required", "is required.") for name in ("name", "scopes") if name not in body]
    name = _read(errors, "name", lambda: parse(_NAME, body["name"])) if "name" in body else None
    end = body.get("expires_at")
    expires_at = _read(errors, "expires_at", lambda: _later(end, now)) if end is not None else None
    scopes: list[str | None] = []
    listed = body.get("scopes", [])
    if not isinstance(listed, list):
        errors.append(FieldError("scopes", "wrong_type", "must be a list of texts."))
    elif len(listed) > _MOST_SCOPES:
        errors.append(FieldError("scopes", "too_long", f"must have at most {_MOST_SCOPES} entries."))
    elif not listed and "scopes" in body:
        errors.append(FieldError("scopes", "too_short", "must name one at least: without any, a key can do nothing."))
    else:
        read = [partial(parse_scope, text, models, actions) for text in listed]
        scopes = [_read(errors, f"scopes[{at}]", one) for at, one in enumerate(read)]
    refuse(errors)
    return Wanted(name or "", canonical(scope for scope in scopes if scope is not None), expires_at)


def parse_entry(body: Mapping[str, Any]) -> Entry:
    """The body of a log-in. Raises `BadRequest` `unknown_field`, or `Invalid` where the two are not texts."""
    email, password = _texts("log-in", body, "email", "password")
    return Entry(_or_none(canonical_address, email), _or_none(_short, password))


def take_cookie(body: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any]]:
    """Whether a log-in asks for cookies, and the rest of its body. Raises `Invalid`."""
    wanted = body.get("cookie", False)
    if not isinstance(wanted, bool):
        refuse([FieldError("cookie", "wrong_type", "must be true or false.")])
    return bool(wanted), {name: value for name, value in body.items() if name != "cookie"}


def parse_refresh(body: Mapping[str, Any]) -> str:
    """The refresh token that is sent. Raises like `parse_entry`."""
    (token,) = _texts("refresh", body, "refresh_token")
    return token


def parse_change(body: Mapping[str, Any], address: str) -> tuple[str, str]:
    """The password somebody has and the one they choose, by the rules of a sign-up. Raises like `parse_entry`."""
    current, chosen = _texts("change of password", body, "current_password", "new_password")
    try:
        return current, check_password(chosen, address)
    except Unfit as unfit:
        raise Invalid(
            f'"new_password" {unfit}.', errors=[FieldError("new_password", unfit.code, f"{unfit}.")]
        ) from None


def refuse(errors: list[FieldError]) -> None:
    """Raise `Invalid` where there are errors, naming the first."""
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Invalid(f'"{errors[0].path}" {errors[0].message}{more}', errors=errors)


def _texts(what: str, body: Mapping[str, Any], *named: str) -> list[str]:
    """The texts of a body that has these and nothing else."""
    _refuse_unknown(what, body, *named)
    refuse([FieldError(name, "required", "is required.") for name in named if name not in body] + [
        FieldError(name, "wrong_type", "must be a text.") for name in named if not isinstance(body.get(name, ""), str)
    ])  # fmt: skip
    return [body[name] for name in named]


def _refuse_unknown(what: str, body: Mapping[str, Any], *named: str) -> None:
    """Raise `unknown_field` where a body has more than what is named."""
    if unknown := [name for name in body if name not in named]:
        raise BadRequest(
            f'A {what} has no field "{unknown[0]}".{nearest(unknown[0], named)}', code="unknown_field",
            errors=[FieldError(name, "unknown_field", f"is no field of a {what}.") for name in unknown],
        )  # fmt: skip


def _read(errors: list[FieldError], place: str, read: Callable[[], T]) -> T | None:
    """What is read at a place of a body, or nothing and one error more."""
    try:
        return read()
    except Unfit as unfit:
        said = str(unfit)
        errors.append(FieldError(place, unfit.code, said if said.endswith("?") else f"{said}."))
        return None


def _later(raw: object, now: datetime) -> datetime:
    moment: datetime = parse(INSTANT, raw)
    if moment <= now:
        raise Unfit("out_of_range", "must be in the future")
    return moment


def _short(raw: object) -> str:
    password = clean_text(raw)
    if len(password) > LONGEST:
        raise Unfit("too_long", "is longer than any password")
    return password


def _or_none(read: Any, raw: object) -> str | None:
    try:
        found: str = read(raw)
    except Unfit:
        return None
    return found
