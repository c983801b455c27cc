"""What a request brings to say who sends it: an access token, an API key, or the cookies of a session.

Invariant: every request passes `Credentials.identify`, whatever its route. What a browser sends by itself is believed
only from pages of this site: a request that may change something, authenticated by cookie, is refused unless its
Sec-Fetch-Site or its Origin says where it comes from, and that is here or an origin that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable

from backstay.api.cookies import Cookies
from backstay.api.http import UNSAFE, Request
from backstay.auth.account import Accounts
from backstay.errors import Denied, NotSignedIn, Problem
from backstay.plan.actor import ANONYMOUS, Actor

REFRESH, LOGOUT = "/api/auth/refresh", "/api/auth/logout"
_PORTS = (b":80", b":443")


class Credentials:
    """Who sends a request. `allows` says whether pages of an origin may use cookies here, beside those of our own."""

    def __init__(self, accounts: Accounts, cookies: Cookies, allows: Callable[[bytes], bool]) -> None:
        self.cookies = cookies
        self._accounts = accounts
        self._allows = allows

    async def identify(self, request: Request) -> Actor:
        """Who sends it. What is said in `Authorization` counts alone; cookies beside it say nothing.

        A refresh is decided by its refresh token, and a log-out by cookie by either cookie: for these an access token
        that has ended may come along. Raises `NotSignedIn` `invalid_token`, `Denied` `cross_site`, and `BadRequest`
        where it says two things at once.
        """
        token = bearer_token(request)
        if token is not None:
            return ANONYMOUS if request.path == REFRESH else await self._accounts.identify(token)
        jar = request.jar = self.cookies.read(request)
        if jar is None:
            return ANONYMOUS
        if request.method in UNSAFE:
            self.guard(request)
        if request.path in (REFRESH, LOGOUT):
            return ANONYMOUS
        if jar.access is None:
            raise NotSignedIn(code="invalid_token")  # refreshing gives the other cookie
        return await self._accounts.identify_session(jar.access)

    def guard(self, request: Request) -> None:
        """Refuse a request that a page of another site could have made a browser send."""
        refuse_other_sites(request, self._allows)


def refuse_other_sites(request: Request, allows: Callable[[bytes], bool]) -> None:
    """Refuse a request that a page of another site, or of none that is known, could have made a browser send.

    Fetch Metadata first, else Origin (OWASP's CSRF prevention, 2025); a request that tells neither is refused.
    """
    site, origin = request.header(b"sec-fetch-site"), request.header(b"origin")
    if site is not None:
        here = site in (b"same-origin", b"none") or (site == b"same-site" and origin is not None and allows(origin))
    else:
        here = origin is not None and (_is_own(origin, request) or allows(origin))
    if not here:
        raise Denied(
            "A page of another site may not do this with your cookies. Send it from this origin or one of "
            "BACKSTAY_CORS_ORIGINS on the same site, or send the token as Authorization: Bearer.",
            code="cross_site",
        )
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    nothing = not kind and (request.header(b"content-length") or b"0") == b"0"
    if kind != b"application/json" and not nothing:
        raise Problem("Send the body as application/json.", code="unsupported_media_type")


def bearer_token(request: Request) -> str | None:
    """The access token of a request, or nothing. Raises `invalid_token` for credentials of another kind."""
    raw = request.header(b"authorization")
    if raw is None:
        return None
    scheme, _, token = raw.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Problem("Send the access token as Authorization: Bearer.", code="invalid_token")
    return token.decode("latin-1").strip()


def _is_own(origin: bytes, request: Request) -> bool:
    """Whether a page of the host that was asked sent it. Behind a proxy that speaks TLS either scheme may be right."""
    scheme, _, host = origin.lower().partition(b"://")
    asked = (request.header(b"host") or b"").lower()
    for port in _PORTS:
        host, asked = host.removesuffix(port), asked.removesuffix(port)
    fits = scheme == b"https" or (scheme == b"http" and request.scheme == "http")
    return bool(host) and host == asked and fits
