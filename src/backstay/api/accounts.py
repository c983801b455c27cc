"""The account routes: sign-up, log-in, refresh, log-out, `me`, one's sessions, password and API keys.

Invariant: answers for known and unknown accounts are the same; what decides is in `auth/`, and a token is in no
address and no log.
"""

from __future__ import annotations

from typing import Any

import msgspec

from backstay.api.credentials import LOGOUT, REFRESH, Credentials, bearer_token
from backstay.api.http import Header, Request, Response, Router
from backstay.api.render import digest, json_response
from backstay.auth.account import Accounts
from backstay.auth.form import take_cookie
from backstay.auth.session import Pair
from backstay.errors import NotSignedIn

_PRIVATE: tuple[Header, ...] = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class AccountRoutes:
    """The handlers under `/api/auth`."""

    def __init__(self, accounts: Accounts, credentials: Credentials) -> None:
        self.accounts = accounts
        self.credentials = credentials

    def serve(self, router: Router) -> None:
        """Put the handlers into the router."""
        router.add("/api/auth/signup", POST=self.signup)
        router.add("/api/auth/login", POST=self.login)
        router.add(REFRESH, POST=self.refresh)
        router.add(LOGOUT, POST=self.logout)
        router.add("/api/auth/password", POST=self.password)
        router.add("/api/auth/me", GET=self.me)
        router.add("/api/auth/sessions", GET=self.sessions, DELETE=self.end_others)
        router.add("/api/auth/sessions/{id}", DELETE=self.end_one)
        router.add("/api/auth/keys", GET=self.keys, POST=self.make_key, DELETE=self.revoke_all_keys)
        router.add("/api/auth/keys/{id}", DELETE=self.revoke_key)

    async def signup(self, request: Request) -> Response:
        """Open an account. Always the same answer: whether the address was free is told to its owner only."""
        language = (request.header(b"accept-language") or b"").decode("latin-1")
        await self.accounts.signup(await request.object(), request.network, language)
        return Response(202, b'{"status":"accepted"}', _PRIVATE)

    async def login(self, request: Request) -> Response:
        """Sign in with email and password; where cookies are asked for, the tokens are in them and not in the body."""
        cookie, body = take_cookie(await request.object())
        if cookie:
            self.credentials.guard(request)  # nobody else may sign somebody in, as whomever
        held = await self.accounts.login(body, request.network)
        user = b'{"user":' + held.user + b","
        return Response(200, user + self._given(request, held.tokens, cookie=cookie)[1:], _PRIVATE)

    async def refresh(self, request: Request) -> Response:
        """Spend a refresh token, which is in the body or else in a cookie, for a new pair."""
        body, jar = await _object_or_nothing(request), request.jar
        if body or jar is None or jar.refresh is None:
            return Response(200, self._given(request, await self.accounts.refresh(body, request.network)), _PRIVATE)
        try:
            pair = await self.accounts.refresh({"refresh_token": jar.refresh}, request.network)
        except NotSignedIn:
            jar.clear()
            raise
        return Response(200, self._given(request, pair, cookie=True), _PRIVATE)

    async def logout(self, request: Request) -> Response:
        """End the session whose token is sent, or whose cookies; these are taken away."""
        if (token := bearer_token(request)) is not None:
            await self.accounts.logout(token)
        elif (jar := request.jar) is not None:
            await self.accounts.leave(jar.access, jar.refresh)
            jar.clear()
        else:
            raise NotSignedIn()
        return Response(204)

    def _given(self, request: Request, pair: Pair, *, cookie: bool = False) -> bytes:
        """A pair as its holder is given it."""
        if not cookie:
            return _tokens(pair)
        request.jar = request.jar or self.credentials.cookies.empty(request)
        request.jar.keep(pair)
        return msgspec.json.encode({"expires_in": pair.expires_in})

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


async def _object_or_nothing(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty one where there is no body."""
    return await request.object() if await request.body() else {}


def _tokens(pair: Pair) -> bytes:
    return msgspec.json.encode({
        "access_token": pair.access_token, "token_type": "Bearer", "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
    })  # fmt: skip
