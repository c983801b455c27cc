"""Live questions: an answer, and then what changes in it, for whichever protocol asks.

`Live.subscribe` takes an `Ask` of one root and gives a `Stream` of events: first `snapshot`, or what came behind the
event that is resumed from; then `create`, `update` and `delete`; `reset` and a new `snapshot` where what was sent says
nothing any more. Invariant: a stream is admitted, counted and watched before anything is asked for it, and taken out of
all books when it is closed, however it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from backstay.api.live_feed import Feed
from backstay.api.live_place import Place, Places
from backstay.api.live_standing import Look, Standings
from backstay.api.live_subscription import Event, Subscription
from backstay.api.live_view import AskedView, LoggedView, Question
from backstay.errors import BadRequest, NotFound, Problem, Unavailable
from backstay.model.field import Entity
from backstay.plan.actor import Actor
from backstay.plan.ask import Aggregate, Ask, Listing, Root
from backstay.plan.dependency import dependency_of
from backstay.plan.tree import ListRoot
from backstay.store.engine import Engine, Found
from backstay.telemetry.observation import Journal

GAP = 10_000
"""Changes that are read for a stream that resumes; behind more of them it begins anew."""
Show = Callable[[Found], bytes]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the actor, how it is looked up again (nothing where nobody is signed in), and what is counted as one.

    `counted` says that revocations of this actor raise a number, as those of Backstay's own accounts do.
    """

    actor: Actor
    subject: str
    look: Look | None = None
    counted: bool = True


class Live:
    """The live questions of one process."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.feed = Feed(engine, journal)
        self.standings = Standings(engine, journal)
        self.sent: Counter[str] = Counter()
        """How many events were told, by name."""
        self.leaving = False
        self._engine = engine
        self._journal = journal
        self._open: set[Stream] = set()
        self._subjects: Counter[str] = Counter()
        self._views: WeakValueDictionary[Any, LoggedView | AskedView] = WeakValueDictionary()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._open)

    async def subscribe(self, ask: Ask, asker: Asker, show: Show, *, last: str = "") -> Stream:
        """A stream of what is asked, by the rules that hold for who asks.

        `show` makes the body of a snapshot, `last` is the id of the event that is resumed from. Raises `BadRequest`
        `not_live` for what cannot be live, `NotFound`, `Problem` `too_many_streams`, and whatever the question raises.
        Seven round trips where somebody is signed in, two fewer otherwise.
        """
        question = self._question(ask, asker.actor)
        self._admit(asker)
        try:
            stream = Stream(self, question, asker, show)
            await stream.begin(last)
        except BaseException:
            self._release(asker)
            raise
        self._open.add(stream)
        return stream

    def leave(self) -> None:
        """End all streams, and tell their readers to come back: another process answers them."""
        self.leaving = True
        for stream in list(self._open):
            stream.subscription.end("stopping", "This process stops: come back, and another one goes on.")

    async def stop(self) -> None:
        """Stop reading."""
        self.leave()
        await self.feed.stop()
        await self.standings.stop()

    def view(self, question: Question, *, logged: bool) -> Any:
        """The view that keeps a question awake, shared by all whose plan and parameters are the same."""
        actor, personal = question.actor, question.depends.personal
        who = (actor.id, tuple(sorted(actor.brought.items()))) if personal else None
        key = (logged, id(question.statement), repr(question.values), who)
        if (view := self._views.get(key)) is None or view.statement is not question.statement:
            if logged:
                view = LoggedView(question, self.feed)
            else:
                view = AskedView(question, self.feed, self._engine, self._journal)
            self._views[key] = view
        return view

    def released(self, stream: Stream) -> None:
        """A stream was closed."""
        if stream in self._open:
            self._open.discard(stream)
            self._release(stream.asker)

    def tell(self, name: str) -> None:
        """Count an event."""
        if name:
            self.sent[name] += 1

    @property
    def engine(self) -> Engine:
        """What answers."""
        return self._engine

    def _question(self, ask: Ask, actor: Actor) -> Question:
        (root,) = ask.roots
        entity = self._engine.schema.entities[root.model]
        asked = replace(ask, roots=(_with_id(root, entity),))
        statement = self._engine.statement(asked, actor)
        depends = dependency_of(statement.plan, self._engine.schema)
        if depends.unknown:
            names = " and ".join(sorted(depends.unknown))
            raise BadRequest(f"Others write to {names} too, and nobody tells of it: it is not live.", code="not_live")
        question = Question(statement, ask.values, actor, depends)
        question.bind(self._engine)
        return question

    def _admit(self, asker: Asker) -> None:
        limits = self._engine.limits
        if len(self._open) >= limits.live_streams:
            raise Unavailable("This process has as many live streams as it may have.", code="overloaded")
        if self._subjects[asker.subject] >= limits.live_per_actor:
            said = f"One account or client may have {limits.live_per_actor} live streams."
            raise Problem(said, code="too_many_streams", headers={"Retry-After": "5"})
        self._subjects[asker.subject] += 1

    def _release(self, asker: Asker) -> None:
        self._subjects[asker.subject] -= 1
        if self._subjects[asker.subject] <= 0:
            del self._subjects[asker.subject]


class Stream:
    """One live answer: read `events` until they end, then `close` it."""

    def __init__(self, live: Live, question: Question, asker: Asker, show: Show) -> None:
        engine = live.engine
        self.asker = asker
        spoken = f"{engine.schema.fingerprint} {question.root!r} {question.values!r}"
        places = Places(engine.keys, spoken, asker.actor)
        self.subscription = Subscription(places, engine.limits, live.tell)
        self._live = live
        self._question = question
        self._show = show
        self._unwatch: Callable[[], None] = lambda: None

    async def begin(self, last: str) -> None:
        """The first events: a snapshot, or what came behind the one that is resumed from."""
        live, subscription = self._live, self.subscription
        if self.asker.look is not None:
            self._unwatch = await live.standings.watch(
                self.asker.actor, self.asker.look, subscription.end, counted=self.asker.counted
            )
        try:
            await live.feed.begin()
            subscription.epoch = live.feed.epoch
            if last:
                await self._resume(subscription.places.open(last))
            else:
                await self._snapshot(first=True)
            if live.leaving:
                subscription.end("stopping", "This process stops: come back, and another one goes on.")
        except BaseException:
            self.close()
            raise

    async def events(self) -> AsyncIterator[Event]:
        """What happens, until the stream ends. An event without a name is a heartbeat."""
        subscription, seconds = self.subscription, self._live.engine.limits.live_heartbeat_seconds
        while True:
            event = await subscription.next(seconds)
            if event is not None:
                yield event if event.name else self._heartbeat()
            elif subscription.again and not subscription.over:
                yield self._reset(subscription.again)
                try:
                    await self._snapshot()
                except Problem as problem:
                    subscription.again = ""
                    subscription.end(problem.code, "The question can no more be answered: ask it anew.")
            else:
                return

    def _heartbeat(self) -> Event:
        """A sign of life, whose place has moved on past what did not concern this stream: to resume stays short."""
        subscription = self.subscription
        if not subscription.digest and subscription.attached:
            subscription.position = max(subscription.position, self._live.feed.position)
        return Event("", b"", subscription.id)

    def close(self) -> None:
        """Take the stream out of all books."""
        self.subscription.finish()
        self._unwatch()
        self._live.released(self)

    def _reset(self, reason: str) -> Event:
        self._live.tell("reset")
        return Event("reset", b'{"reason":"%s"}' % reason.encode(), "")

    async def _snapshot(self, *, first: bool = False) -> None:
        """The answer as it is now, and from then on what changes."""
        live, question, subscription = self._live, self._question, self.subscription
        subscription.begin()
        subscription.room = question.room
        if question.depends.near:
            found, marks = await question.ask_exactly(live.engine)
            if not found.more:
                subscription.stand(marks.position, len(found.texts), marks.loose)
                self._send(found, first)
                await live.view(question, logged=True).join(subscription)
                return
        found = await live.view(question, logged=False).join(subscription)
        self._send(found, first)

    def _send(self, found: Found, first: bool) -> None:
        subscription = self.subscription
        if isinstance(self._question.root, ListRoot) or found.texts:
            subscription.push(Event("snapshot", self._show(found), subscription.id))
        elif first:
            raise NotFound()
        else:
            subscription.push(Event("snapshot", b"null", subscription.id))

    async def _resume(self, place: Place | None) -> None:
        """Go on behind a place, where that can be done without loss; else begin anew."""
        live, question, subscription = self._live, self._question, self.subscription
        log = live.engine.changes
        if place is None or place.epoch != await log.epoch_now() or place.epoch != live.feed.epoch:
            await self._anew("unknown")
        elif place.digest:
            found = await live.view(question, logged=False).join(subscription)
            if subscription.digest != place.digest:
                subscription.push(self._reset("changed"))
                self._send(found, False)
        elif not question.depends.near:
            await self._anew("unknown")
        elif live.feed.position - place.position > GAP or await log.begins_behind() > place.position:
            await self._anew("gap")
        else:
            subscription.room = question.room
            subscription.stand(place.position, place.count, frozenset(place.loose))
            subscription.catching = True
            await live.view(question, logged=True).join(subscription)
            subscription.catching = False

    async def _anew(self, reason: str) -> None:
        self.subscription.push(self._reset(reason))
        await self._snapshot()


def _with_id(root: Root, entity: Entity) -> Root:
    """The same question with the id of each record, which its events are about. Refuses what cannot be live."""
    if isinstance(root, Aggregate):
        raise BadRequest("Numbers about groups are not live: ask for the records.", code="not_live")
    if isinstance(root, Listing):
        if root.after is not None or root.offset is not None or root.backwards:
            raise BadRequest("A live list begins at its beginning: leave cursor and page out.", code="not_live")
        if root.count != "none":
            raise BadRequest("A count is not live: count what is in view, or leave count out.", code="not_live")
    selection = root.selection
    if selection.everything or any(field == ("id", "id") for field in selection.fields):
        return root
    return replace(root, selection=replace(selection, fields=(("id", "id"), *selection.fields)))
