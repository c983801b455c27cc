"""A log-in that is not Backstay's: an application says with a function of its own who sends a request.

Invariant: an actor that comes from outside has an id of the kind that users have here, and nothing but its roles: it
never stands above the rules, and what is no actor is an error, not somebody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias

from backstay.api.credentials import refuse_other_sites
from backstay.api.http import UNSAFE, Request
from backstay.errors import BadRequest
from backstay.model.field import Entity
from backstay.model.symbol import is_record, key_of
from backstay.model.value import Unfit, parse, plain
from backstay.plan.actor import ANONYMOUS, Actor


class Caller:
    """What a request says of who sends it: headers, cookies, and what applications around this one have put there.

    `scope` is the ASGI scope. A header that is there twice with two values is refused as a `BadRequest`.

    >>> Caller({"type": "http", "headers": [(b"cookie", b"sid=4711; theme=dark")]}).cookies["sid"]
    '4711'
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = scope

    @property
    def method(self) -> str:
        """The method, such as `GET`; empty for a WebSocket."""
        return str(self.scope.get("method", ""))

    @property
    def path(self) -> str:
        """The whole path, decoded."""
        return str(self.scope.get("path", ""))

    @property
    def state(self) -> Mapping[str, Any]:
        """What lifespans and middleware have kept for the request (`scope["state"]`)."""
        found: Mapping[str, Any] = self.scope.get("state") or {}
        return found

    def header(self, name: str) -> str | None:
        """The value of a header; nothing where it is not sent."""
        wanted = name.lower().encode("latin-1")
        found = {value for key, value in self.scope["headers"] if key == wanted}
        if len(found) > 1 and wanted != b"cookie":
            raise BadRequest(f"The header {name} is there twice.")
        return b"; ".join(sorted(found)).decode("latin-1") if found else None

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name; none where the header is no list of cookies."""
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(self.header("cookie") or "")
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in jar.items()}


Identify: TypeAlias = Callable[[Caller], Awaitable[Actor | None]]
"""`async def who(caller) -> Actor | None`: who sends a request, or nobody."""


class OwnCredentials:
    """Who sends a request, where an application has a log-in of its own. `allows` are origins beside this one.

    What a browser sends by itself is believed only from pages of this site, as with Backstay's own cookies: a request
    that brings cookies and no `Authorization`, and may change something, says where it comes from.
    """

    def __init__(self, identify: Identify, user: Entity, allows: Callable[[bytes], bool]) -> None:
        self._identify = identify
        self._user = user
        self._allows = allows

    async def identify(self, request: Request) -> Actor:
        """Who sends it. Raises `Denied` `cross_site`, and whatever the application's own function raises."""
        actor = await identified(self._identify, Caller(request.scope), self._user)
        by_itself = request.header(b"cookie") is not None and request.header(b"authorization") is None
        if actor.id is not None and by_itself and request.method in UNSAFE:
            refuse_other_sites(request, self._allows)
        return actor


async def identified(identify: Identify, caller: Caller, user: Entity) -> Actor:
    """Who an application's own function says it is, with an id as users have it here."""
    said = await identify(caller)
    if said is None:
        return ANONYMOUS
    if not isinstance(said, Actor):
        raise TypeError(f"identify= gave {type(said).__name__}: it gives an Actor(id, roles), or None for nobody.")
    if said.system:
        raise TypeError("identify= gave an actor above the rules: requests are never that.")
    key: Any = key_of(said.id) if is_record(said.id) else said.id
    if key is None:
        return ANONYMOUS
    roles: Any = said.roles
    if isinstance(roles, str) or not all(isinstance(role, str) for role in roles):
        raise TypeError('identify= gave roles that are no set of names: Actor(id, frozenset({"staff"})).')
    try:
        return replace(said, id=parse(plain(user.key.kind), key), roles=frozenset(roles))
    except Unfit as unfit:
        raise TypeError(f"identify= gave the id {key!r}, and the id of a {user.name} {unfit}.") from None
