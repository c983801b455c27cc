"""Live questions over REST: the URL of a list or a record with `Accept: text/event-stream` (WHATWG HTML, 9.2).

Invariant: a stream is opened by what the same GET without it would answer: the same admission, question and rules. What
a browser sends by itself is believed only from pages of this site, and a ticket opens one stream once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from secrets import randbelow

import msgspec

from backstay.api.credentials import bearer_token, refuse_other_sites
from backstay.api.http import Header, Request, Response, Router, Stream
from backstay.api.live import Asker, Live, Show
from backstay.api.live import Stream as LiveStream
from backstay.api.live_standing import Look
from backstay.api.live_subscription import Event
from backstay.auth.account import Accounts
from backstay.auth.identify import Recognised
from backstay.auth.token import purpose_of
from backstay.errors import BadRequest, Denied, NotSignedIn, Problem
from backstay.model.field import Entity
from backstay.plan.actor import Actor
from backstay.plan.ask import Ask
from backstay.plan.rate import Rate
from backstay.store.engine import Engine
from backstay.store.keyring import Unreadable
from backstay.store.rates import Charge, Rates

TICKET_SECONDS = 30
"""How long a ticket can be used, once."""
_PURPOSE = "live ticket"
_TYPE = b"text/event-stream"
_HEADERS: tuple[Header, ...] = (
    (b"content-type", _TYPE), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"),
)  # fmt: skip
_OWN = ("ticket", "last_event_id")
Pairs = Sequence[tuple[str, str]]


class _Ticket(msgspec.Struct, frozen=True, array_like=True):
    token: str
    until: float
    nonce: str


def asks_for_stream(request: Request) -> bool:
    """Whether a GET wants its answer live."""
    return request.method == "GET" and _TYPE in (request.header(b"accept") or b"")


def parted(pairs: Pairs, entity: Entity) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The parameters of a question, and those of its stream; a name that a field of the model has is the field's."""
    own = {name for name in _OWN if name not in entity.names}
    sent = [pair for pair in pairs if pair[0] in own]
    if len(sent) > len(dict(sent)):
        raise BadRequest("Send one ticket, and one last_event_id.")
    return [pair for pair in pairs if pair[0] not in own], dict(sent)


class EventStreams:
    """The streams of one application. `accounts` is nothing where it has a log-in of its own, which `identify` asks."""

    def __init__(
        self, live: Live, engine: Engine, rates: Rates, allows: Callable[[bytes], bool], accounts: Accounts | None,
        identify: Callable[[Request], object],
    ) -> None:  # fmt: skip
        self._live = live
        self._engine = engine
        self._rates = rates
        self._allows = allows
        self._accounts = accounts
        self._identify = identify

    def serve(self, router: Router) -> None:
        """Put the handler of tickets into the router."""
        if self._accounts is not None:
            router.add("/api/live/ticket", POST=self.ticket)

    async def ticket(self, request: Request) -> Response:
        """A ticket that opens one stream as whoever asks, for an EventSource that can send no header."""
        token = self._token(request)
        if request.actor.id is None or token is None:
            raise NotSignedIn("A ticket needs somebody signed in: others need none.")
        if request.actor.key:
            raise Denied("A ticket is for browsers: send the key itself as the bearer token.", code="not_for_keys")
        until = self._engine.clock().timestamp() + TICKET_SECONDS
        sealed = self._engine.keys().seal_text(_PURPOSE, msgspec.msgpack.encode(_Ticket(token, until, request.id)))
        body = msgspec.json.encode({"ticket": sealed, "expires_in": TICKET_SECONDS})
        return Response(200, body, [(b"content-type", b"application/json"), (b"cache-control", b"no-store")])

    async def admit(self, request: Request, own: Mapping[str, str]) -> str:
        """See to it who asks for a stream, before anything is looked up; returns the token they are known by."""
        if "ticket" in own:
            if request.actor.id is not None:
                raise BadRequest("Send a ticket, or the credentials themselves.")
            token = await self._spend(own["ticket"])
            assert self._accounts is not None
            request.actor = replace(await self._accounts.identify(token), brought=request.actor.brought)
            return token
        if request.header(b"cookie") is not None and request.header(b"authorization") is None and request.actor.id:
            refuse_other_sites(request, self._allows)
        return self._token(request) or ""

    async def open(self, request: Request, token: str, own: Mapping[str, str], ask: Ask, show: Show) -> Response:
        """The stream of a question."""
        last = (request.header(b"last-event-id") or b"").decode("latin-1") or own.get("last_event_id", "")
        stream = await self._live.subscribe(ask, self._asker(request, token), show, last=last)
        return Stream(_written(stream), stream.close, _HEADERS)

    def _asker(self, request: Request, token: str) -> Asker:
        actor = request.actor
        if actor.id is None:
            return Asker(actor, f"client {request.network}")
        subject = f"account {actor.id}"
        if (accounts := self._accounts) is not None:
            return Asker(actor, subject, lambda: accounts.identities.look(token))
        return Asker(actor, subject, self._look_of(request), counted=False)

    def _look_of(self, request: Request) -> Look:
        async def look() -> Recognised:
            found = await self._identify(request)  # type: ignore[misc]
            if not isinstance(found, Actor) or found.id is None:
                raise NotSignedIn(code="invalid_token")
            return Recognised(found, None)

        return look

    def _token(self, request: Request) -> str | None:
        """The token that a request is known by."""
        if (token := bearer_token(request)) is not None:
            return token
        return request.jar.access if request.jar is not None else None

    async def _spend(self, text: str) -> str:
        """The token that a ticket stands for. Raises `NotSignedIn` for one that is none, is over or was used."""
        wrong = NotSignedIn("This ticket was used, is over or is none: fetch a new one.", code="invalid_token")
        try:
            ticket = msgspec.msgpack.decode(self._engine.keys().open_text(_PURPOSE, text), type=_Ticket)
        except (Unreadable, msgspec.MsgspecError, ValueError):
            raise wrong from None
        if self._accounts is None or purpose_of(ticket.token) is None:
            raise wrong
        if self._engine.clock().timestamp() > ticket.until:
            raise wrong
        try:
            await self._rates.charge(Charge("live ticket", Rate(1, 60), sha256(text.encode()).hexdigest()))
        except Problem as problem:
            if problem.code != "too_many_requests":
                raise
            raise wrong from None
        return ticket.token


async def _written(stream: LiveStream) -> AsyncIterator[bytes]:
    """Events as text."""
    yield b"retry: 2000\n\n"
    async for event in stream.events():
        yield text_of(event)


def text_of(event: Event) -> bytes:
    """One event as it is sent. A heartbeat is a comment, and brings the id to where the stream stands."""
    if not event.name:
        return b": \nid: %s\n\n" % (event.id or "").encode()
    lines = [b"event: " + event.name.encode()]
    if event.name == "end":  # not all at once
        lines.append(b"retry: %d" % (500 + randbelow(2_000)))
    if event.id is not None:
        lines.append(b"id: " + event.id.encode())
    lines += [b"data: " + line for line in event.body.split(b"\n")]
    return b"\n".join(lines) + b"\n\n"
