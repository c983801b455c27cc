"""The account routes: sign-up, log-in, refresh, log-out, `me`, one's sessions, password and API keys.

Invariant: answers for known and unknown accounts are the same; what decides is in `auth/`, and a token is in no
address and no log.
"""

from __future__ import annotations

import msgspec

from backstay.api.http import Header, Request, Response, Router
from backstay.api.render import digest, json_response
from backstay.auth.account import Accounts
from backstay.auth.session import Pair
from backstay.errors import NotSignedIn, Problem

REFRESH = "/api/auth/refresh"
"""Here the refresh token alone counts: an access token that has ended may be sent along, as clients do."""
_PRIVATE: tuple[Header, ...] = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


def bearer_token(request: Request) -> str | None:
    """The access token of a request, or nothing. Raises `invalid_token` for credentials of another kind."""
    raw = request.header(b"authorization")
    if raw is None:
        return None
    scheme, _, token = raw.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Problem("Send the access token as Authorization: Bearer.", code="invalid_token")
    return token.decode("latin-1").strip()


class AccountRoutes:
    """The handlers under `/api/auth`."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    def serve(self, router: Router) -> None:
        """Put the handlers into the router."""
        router.add("/api/auth/signup", POST=self.signup)
        router.add("/api/auth/login", POST=self.login)
        router.add(REFRESH, POST=self.refresh)
        router.add("/api/auth/logout", POST=self.logout)
        router.add("/api/auth/password", POST=self.password)
        router.add("/api/auth/me", GET=self.me)
        router.add("/api/auth/sessions", GET=self.sessions, DELETE=self.end_others)
        router.add("/api/auth/sessions/{id}", DELETE=self.end_one)
        router.add("/api/auth/keys", GET=self.keys, POST=self.make_key, DELETE=self.revoke_all_keys)
        router.add("/api/auth/keys/{id}", DELETE=self.revoke_key)

    async def signup(self, request: Request) -> Response:
        """Open an account. Always the same answer: whether the address was free is told to its owner only."""
        await self.accounts.signup(await request.object())
        return Response(202, b'{"status":"accepted"}', _PRIVATE)

    async def login(self, request: Request) -> Response:
        """Sign in with email and password."""
        held = await self.accounts.login(await request.object())
        body = b'{"user":' + held.user + b"," + _tokens(held.tokens)[1:]
        return Response(200, body, _PRIVATE)

    async def refresh(self, request: Request) -> Response:
        """Spend a refresh token for a new pair."""
        return Response(200, _tokens(await self.accounts.refresh(await request.object())), _PRIVATE)

    async def logout(self, request: Request) -> Response:
        """End the session whose token is sent."""
        token = bearer_token(request)
        if token is None:
            raise NotSignedIn()
        await self.accounts.logout(token)
        return Response(204)

    async def me(self, request: Request) -> Response:
        """The signed-in user."""
        body = await self.accounts.me(request.actor)
        return json_response(request, body, f'W/"{digest(body)}"')

    async def password(self, request: Request) -> Response:
        """Choose another password; all other sessions end."""
        await self.accounts.of(request.attempt).change_password(request.actor, await request.object())
        return Response(204)

    async def sessions(self, request: Request) -> Response:
        """Where the signed-in user is signed in."""
        found = await self.accounts.own_sessions(request.actor)
        return Response(200, msgspec.json.encode({"data": found}), _PRIVATE)

    async def end_one(self, request: Request) -> Response:
        """End one session of the signed-in user."""
        await self.accounts.of(request.attempt).end_session(request.actor, request.params["id"])
        return Response(204)

    async def end_others(self, request: Request) -> Response:
        """End all sessions of the signed-in user but this one."""
        await self.accounts.of(request.attempt).end_other_sessions(request.actor)
        return Response(204)

    async def keys(self, request: Request) -> Response:
        """The API keys of the signed-in user."""
        found = await self.accounts.keys.own(request.actor)
        return Response(200, msgspec.json.encode({"data": found}), _PRIVATE)

    async def make_key(self, request: Request) -> Response:
        """A new API key; the only answer that holds it."""
        made = await self.accounts.keys.make(request.actor, await request.object())
        shown = {**msgspec.to_builtins(made.key), "key": made.text}
        return Response(201, msgspec.json.encode(shown), _PRIVATE)

    async def revoke_key(self, request: Request) -> Response:
        """End one API key of the signed-in user."""
        await self.accounts.of(request.attempt).keys.revoke(request.actor, request.params["id"])
        return Response(204)

    async def revoke_all_keys(self, request: Request) -> Response:
        """End every API key of the signed-in user."""
        await self.accounts.of(request.attempt).keys.revoke_all(request.actor)
        return Response(204)


def _tokens(pair: Pair) -> bytes:
    return msgspec.json.encode({
        "access_token": pair.access_token, "token_type": "Bearer", "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
    })  # fmt: skip
