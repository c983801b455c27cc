"""`Idempotency-Key`: a request that is sent again is answered again, and done once.

Every unsafe request passes `Idempotency.perform`, whatever its route, so a new route cannot be without it. Invariant:
of all requests of one caller to one route with one key, at most one has an effect, and what it was answered is what
the others are answered, byte for byte. The header is the one of draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from hashlib import sha256
from time import monotonic as monotonic_seconds

import msgspec

from backstay.api.http import Handler, Header, Request, Response, Route
from backstay.api.render import problem_response
from backstay.errors import BadRequest, Conflict, Problem
from backstay.plan.limits import Limits
from backstay.store.repeat import PURGED, Attempt, Kept, Keyed, Repeats, in_progress
from backstay.telemetry.log import Log

EXCEPTIONS: dict[str, str] = {
    "POST /api/auth/signup": "A sign-up sent again makes no second account and is answered alike; what would be kept "
    "only of those that made one would tell which addresses were free.",
    "POST /api/auth/login": "The tokens of an answer are in no database, not even sealed; a log-in sent again begins "
    "one more session, which its owner sees and can end.",
    "POST /api/auth/refresh": "A refresh token is a key already: spent once, for ten seconds good for another pair.",
    "POST /api/auth/keys": "The text of an API key is in no database, not even sealed; one that got lost is revoked "
    "and another one made.",
    "POST /api/auth/logout": "The session has ended; nobody is signed in who could ask again.",
    "POST /api/live/ticket": "A ticket is a sealed text that is in no database: one that got lost ends by itself.",
}
"""The unsafe routes that take no notice of a key, each with its reason. There are no others."""

ANONYMOUS_LENGTH = 20
"""Characters of a key where nobody is signed in: it alone tells one caller from another, so nobody may guess it."""
PURGE_SECONDS = 60.0
_PLAIN = re.compile(rb"[\x20-\x7e]{1,255}")
_QUOTED = re.compile(rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_REPLAYED: Header = (b"idempotency-replayed", b"true")


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it is kept."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Leader:
    """The one request of a key that this process is carrying out; the others wait for it, holding nothing."""

    def __init__(self, asked: bytes) -> None:
        self.asked = asked
        self.over = asyncio.Event()
        self.response: Response | None = None
        self.error: Exception | None = None


class Idempotency:
    """Sees to the keys of one process."""

    def __init__(
        self, repeats: Repeats, limits: Limits, log: Log, monotonic: Callable[[], float] = monotonic_seconds
    ) -> None:
        self.repeats = repeats
        self._wait = limits.repeat_wait_ms / 1000
        self._log = log
        self._monotonic = monotonic
        self.resuming: set[str] = set()
        """The routes that go on with what was begun under a key, where it was not answered: `POST /api/checkout`."""
        self._leaders: dict[tuple[str, str], _Leader] = {}
        self._purged = monotonic()

    async def perform(self, request: Request, route: Route, handler: Handler) -> Response:
        """The answer of a handler, or the one that was given before to the same request.

        Raises `BadRequest` `invalid_idempotency_key`; `Problem` `idempotency_key_reused` where the key belongs to
        another request; `Conflict` `in_progress` where the first one takes longer than a second one waits, and
        `answer_lost` where its effect is there and its answer is not. Without the header it costs nothing; with it
        one round trip to look and, where nothing is found, two in the transaction of the effect.
        """
        raw = request.header(b"idempotency-key")
        if raw is None:
            return await handler(request)
        key = parse_key(raw)
        if f"{request.method} {route.path}" in EXCEPTIONS:
            return await handler(request)
        if request.actor.id is None and len(key) < ANONYMOUS_LENGTH:
            said = f"Where nobody is signed in, an Idempotency-Key has at least {ANONYMOUS_LENGTH} characters."
            raise BadRequest(said, code="invalid_idempotency_key")
        scope = "\n".join((request.method, route.path, _text_of(request.actor.id), request.actor.key))
        keyed = Keyed(scope, sha256(key).hexdigest(), await _asked(request))
        while (leader := self._leaders.get((scope, keyed.key))) is not None:
            response = await self._follow(leader, keyed)
            if response is not None:
                return response
        return await self._lead(keyed, request, handler, f"{request.method} {route.path}" in self.resuming)

    async def keep(self, request: Request, response: Response) -> None:
        """Keep the answer in the transaction that has just made its effect, before that commits."""
        if request.attempt is not None:
            await request.attempt.answer(response.status, _packed(response))

    async def _follow(self, leader: _Leader, keyed: Keyed) -> Response | None:
        """What the leader is answered; nothing where it ended without an answer."""
        if leader.asked != keyed.asked:
            raise Problem(code="idempotency_key_reused")
        try:
            async with asyncio.timeout(self._wait):
                await leader.over.wait()
        except TimeoutError:
            raise in_progress() from None
        if leader.error is not None:
            raise leader.error
        return None if leader.response is None else _replayed(leader.response)

    async def _lead(self, keyed: Keyed, request: Request, handler: Handler, resumes: bool) -> Response:
        name = keyed.scope, keyed.key
        leader = self._leaders[name] = _Leader(keyed.asked)
        try:
            leader.response = await self._answer(keyed, request, handler, resumes)
        except Exception as error:
            leader.error = error
            raise
        finally:
            del self._leaders[name]
            leader.over.set()
        await self._purge()
        return leader.response

    async def _answer(self, keyed: Keyed, request: Request, handler: Handler, resumes: bool) -> Response:
        """Find what was answered, or do it; where another process does it, wait for its answer, or go on with it."""
        end, pause = self._monotonic() + self._wait, 0.02
        while True:
            kept = await self.repeats.find(keyed)
            if kept is None:
                request.attempt = self.repeats.attempt(keyed)
                response = await self._first(request.attempt, request, handler, resumes)
            elif resumes and kept.status is None and kept.asked == keyed.asked:
                request.attempt = self.repeats.attempt(keyed, resumed=True)
                response = await self._first(request.attempt, request, handler, resumes)
            else:
                response = _again(kept, keyed)
            if response is not None:
                return response
            if self._monotonic() >= end:
                raise in_progress()
            await asyncio.sleep(pause if kept is not None else 0)  # who lost the key finds its record at once
            pause = min(pause * 2, 0.5)

    async def _first(self, attempt: Attempt, request: Request, handler: Handler, resumes: bool) -> Response | None:
        """Carry the request out; nothing where it turned out that another process has its key."""
        try:
            response = await handler(request)
        except BaseException as error:
            if attempt.lost:
                return None
            if attempt.committed and isinstance(error, Exception):
                # A part of it is done, so what it was answered is what it will be answered; but for what passes, where
                # the same request goes on with the rest.
                problem = error if isinstance(error, Problem) else Problem()
                if not (resumes and problem.passes):
                    await self._keep_late(attempt, problem_response(problem, request))
            raise
        if attempt.lost:
            return None
        if attempt.committed:
            if not attempt.answered and not await self._keep_late(attempt, response):
                return None  # somebody was quicker, and theirs is the answer
        elif response.settled and not await self.repeats.add(attempt.keyed, response.status, _packed(response)):
            return None
        return response

    async def _keep_late(self, attempt: Attempt, response: Response) -> bool:
        """Keep an answer after its effect; false where there is one by now.

        Where that fails, who asked has it, and who asks again hears it is lost.
        """
        try:
            return await attempt.answer_late(response.status, _packed(response))
        except Problem as problem:
            self._log.event("answer_not_kept", why=problem.detail)
            return True

    async def _purge(self) -> None:
        """Once a minute, and at once again while there is more than one purge takes: it never falls behind."""
        now = self._monotonic()
        if now - self._purged < PURGE_SECONDS:
            return
        self._purged = now
        try:
            if await self.repeats.purge() == PURGED:
                self._purged -= PURGE_SECONDS
        except Problem as problem:
            self._log.event("keys_not_deleted", why=problem.detail)


def parse_key(raw: bytes) -> bytes:
    """The key in the header: as it is, or as the quoted string that the draft writes; both mean the same.

    Raises `BadRequest` `invalid_idempotency_key` unless it has 1 to 255 printable characters of ASCII.
    """
    key = raw.strip(b" \t")
    if key.startswith(b'"'):
        quoted = _QUOTED.fullmatch(key)
        key = re.sub(rb"\\(.)", rb"\1", quoted[1]) if quoted is not None else b""
    if not _PLAIN.fullmatch(key):
        raise BadRequest(code="invalid_idempotency_key")
    return key


async def _asked(request: Request) -> bytes:
    """A hash of all that decides what a request does. Two spellings of one JSON value ask the same."""
    body = await request.body()
    try:
        body = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # then every byte counts
    conditions = (request.header(name) or b"" for name in (b"if-match", b"if-none-match"))
    whole = sha256()
    for part in (request.method.encode(), request.path.encode(), request.query, *conditions, body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.digest()


def _again(kept: Kept, keyed: Keyed) -> Response | None:
    """The answer that was kept; nothing while it may still come."""
    if kept.asked is not None and kept.asked != keyed.asked:
        raise Problem(code="idempotency_key_reused")
    if kept.answer is not None and kept.asked is not None:
        answer = msgspec.msgpack.decode(kept.answer, type=_Answer)
        return _replayed(Response(answer.status, answer.body, answer.headers))
    if kept.status is not None or kept.lapsed or kept.asked is None:
        raise Conflict(code="answer_lost")
    return None


def _packed(response: Response) -> bytes:
    return msgspec.msgpack.encode(_Answer(response.status, list(response.headers), response.body))


def _replayed(response: Response) -> Response:
    return Response(response.status, response.body, [*response.headers, _REPLAYED])


def _text_of(actor: object) -> str:
    """Whose key it is; the users of an existing application have ids of their own kinds."""
    return "" if actor is None else f"{type(actor).__name__} {actor}" if not isinstance(actor, str) else actor
