"""REST: each served entity has a list, records and an aggregate, by the contract.

Invariant: a handler parses and renders, and nothing else. What may be seen or done is decided in the plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from backstay.api.cursor import Cursors
from backstay.api.http import Request, Response, Router, split_query
from backstay.api.live_sse import EventStreams, asks_for_stream, parted
from backstay.api.query import GROUP_PARAMETERS, LIST_PARAMETERS, ListQuery, Parsed, parse_one
from backstay.api.render import JSON_HEADERS, digest, json_response, list_body, list_response, one_response, version_of
from backstay.errors import BadRequest, NotFound, UnknownField, nearest
from backstay.model.field import Action, Entity
from backstay.model.predicate import NOBODY, Slot, normal
from backstay.model.value import Unfit, parse, plain
from backstay.plan.ask import Aggregate, Ask, Create, Delete, Listing, One, Root, Update
from backstay.plan.planner import refused
from backstay.store.engine import Engine, Found
from backstay.store.series import Put, create_all, put
from backstay.store.transaction import KeyTaken, Transaction
from backstay.telemetry.trace import stage

_PARAMETERS: dict[type[Root], tuple[str, ...]] = {
    One: ("fields", "expand"), Listing: LIST_PARAMETERS, Aggregate: GROUP_PARAMETERS,
}  # fmt: skip
Work: TypeAlias = Callable[[Transaction], Awaitable[Response]]
Show: TypeAlias = Callable[[Any, Transaction], Awaitable[Found | None]]
Write: TypeAlias = Callable[[Request, Work], Awaitable[Response]]
"""Does all the work of a request in one transaction, the making of its answer included."""


class Resource:
    """The handlers of one entity."""

    def __init__(self, entity: Entity, engine: Engine, cursors: Cursors, write: Write, streams: EventStreams) -> None:
        self.entity = entity
        self.streams = streams
        self.engine = engine
        self.cursors = cursors
        self.write = write
        self._lists = ListQuery(entity, engine.limits)
        self._groups = ListQuery(entity, engine.limits, groups=True)
        self._whole = One(entity.name, Slot(0, "id", True))
        self._statements: dict[Any, Any] = {}
        self._admitted: set[Any] = set()

    def serve(self, router: Router) -> None:
        """Put the handlers into the router."""
        base = f"/api/{self.entity.plural}"
        router.add(base, GET=self.list, POST=self.create)
        router.add(f"{base}/aggregate", GET=self.aggregate)
        router.add(f"{base}/{{id}}", GET=self.get, PUT=self.put, PATCH=self.update, DELETE=self.delete)
        closed = {action for action, rule in self.entity.rules.items() if normal(rule) == NOBODY}
        methods = {"GET": "read", "HEAD": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}
        never = {method for method, action in methods.items() if action in closed}
        if "create" in closed and closed & {"read", "update"}:
            never.add("PUT")
        for path in (base, f"{base}/aggregate", f"{base}/{{id}}"):
            router.hide(path, never)

    def _admit(self, request: Request, *actions: Action) -> None:
        """Refuse who may never do this, before looking at what is asked."""
        key = (actions, request.actor.standing)
        if key in self._admitted:
            return
        engine = self.engine
        if (problem := refused(self.entity, actions, engine.schema, request.actor, engine.limits)) is not None:
            raise problem
        if len(self._admitted) >= engine.limits.remembered_plans:
            self._admitted.clear()
        self._admitted.add(key)

    async def _read(self, parsed: Parsed, request: Request) -> Found:
        """The answer; a plain question finds its statement by its parameters' names alone."""
        if parsed.key is None:
            return (await self.engine.read(Ask((parsed.root,), parsed.values), request.actor))[0]
        key = (type(parsed.root), parsed.key, request.actor.standing)
        if (statement := self._statements.get(key)) is None:
            try:
                statement = self.engine.statement(Ask((parsed.root,), parsed.values), request.actor)
            except UnknownField as error:
                raise _or_parameter(error, type(parsed.root)) from None
            if len(self._statements) >= self.engine.limits.remembered_plans:
                self._statements.pop(next(iter(self._statements)))
            self._statements[key] = statement
        return (await self.engine.answer(statement, parsed.values, request.actor))[0]

    def _pairs(self, request: Request) -> list[tuple[str, str]]:
        return split_query(request.query, self.engine.limits.max_parameters)

    async def list(self, request: Request) -> Response:
        """A page of records; kept up to date where the request asks for a stream."""
        if asks_for_stream(request):
            return await self._live_list(request)
        self._admit(request, "read")
        with stage("parse"):
            pairs = self._pairs(request)
            place: Any = None
            for name, value in pairs:
                if name == "cursor":
                    place = self.cursors.open(value, self.entity.plural, pairs, request.actor)
            keys: Sequence[Any] = place if isinstance(place, list) else ()
            parsed = self._lists.parse(pairs, keys, place if isinstance(place, int) else 0)
        found = await self._read(parsed, request)
        with stage("render"):
            cursor = None
            if found.more:
                behind: Any = list(found.keys) if found.keys is not None else parsed.offset + len(found.texts)
                cursor = self.cursors.seal(self.entity.plural, pairs, request.actor, behind)
            return list_response(request, found, cursor)

    async def aggregate(self, request: Request) -> Response:
        """Numbers about groups of records."""
        self._admit(request, "read")
        with stage("parse"):
            parsed = self._groups.parse(self._pairs(request))
        found = await self._read(parsed, request)
        with stage("render"):
            body = b'{"data":' + found.array + b"}"
            return json_response(request, body, f'W/"{digest(body)}"')

    async def get(self, request: Request) -> Response:
        """One record; kept up to date where the request asks for a stream."""
        if asks_for_stream(request):
            return await self._live_one(request)
        self._admit(request, "read")
        key = request.params["id"]
        with stage("parse"):
            if request.query:
                parsed = parse_one(self.entity, key, self._pairs(request))
            else:
                parsed = Parsed(self._whole, (key,), True)
        try:
            found = await self._read(parsed, request)
        except BadRequest as error:
            if error.code == "invalid_filter" and error.detail.startswith("id "):
                raise NotFound() from None  # what is no id names no record
            raise
        if not found.texts:
            raise NotFound()
        return one_response(request, found)

    async def _live_list(self, request: Request) -> Response:
        """A page of records, and then what changes in it."""
        pairs, own = parted(self._pairs(request), self.entity)
        token = await self.streams.admit(request, own)
        self._admit(request, "read")
        if any(name in ("cursor", "page") for name, _ in pairs):
            raise BadRequest("A live list begins at its beginning: leave cursor and page out.", code="not_live")
        parsed = self._lists.parse(pairs)

        def show(found: Found) -> bytes:
            more = found.more and found.keys is not None
            cursor = (
                self.cursors.seal(self.entity.plural, pairs, request.actor, list(found.keys or ())) if more else None
            )
            return list_body(found, cursor)

        return await self.streams.open(request, token, own, Ask((parsed.root,), parsed.values), show)

    async def _live_one(self, request: Request) -> Response:
        """One record, and then what changes in it."""
        pairs, own = parted(self._pairs(request), self.entity)
        token = await self.streams.admit(request, own)
        self._admit(request, "read")
        key = key_of(self.entity, request.params["id"])
        parsed = parse_one(self.entity, str(key), pairs)
        ask = Ask((parsed.root,), parsed.values)
        return await self.streams.open(request, token, own, ask, lambda found: found.rows[0])

    async def create(self, request: Request) -> Response:
        """A new record; 201 with it where its creator may read it, and without a body where not. A list makes many."""
        self._admit(request, "create")
        values = await request.json(queried=True)
        show = self._shown(request)
        if isinstance(values, list):
            return await self._create_all(values, show, request)
        if not isinstance(values, dict):
            raise BadRequest("The body must be one JSON object, or a list of them.", code="malformed_json")

        async def work(tx: Transaction) -> Response:
            key = await tx.write(Create(self.entity.name, values))
            return self._created(key, await show(key, tx), request)

        return await self.write(request, work)

    def _created(self, key: Any, found: Found | None, request: Request) -> Response:
        location = (b"location", (request.root + address_of(self.entity, key)).encode())
        if found is None:
            return Response(201, b"", [*JSON_HEADERS, location])
        return one_response(request, found, 201, [location])

    async def _create_all(self, items: Sequence[Any], show: Show, request: Request) -> Response:
        """Many new records or none; 201 with those of them that their creator may read, in the order sent."""

        async def work(tx: Transaction) -> Response:
            keys = await create_all(tx, self.engine, self.entity.name, items)
            found = [await show(key, tx) for key in keys]
            body = b'{"data":[' + b",".join(one.rows[0] for one in found if one is not None) + b"]}"
            return Response(201, body, JSON_HEADERS)

        return await self.write(request, work)

    async def put(self, request: Request) -> Response:
        """A whole record under an id: 200 where one was replaced, 201 where it is new.

        A second transaction looks again where the id was taken between looking and writing. Then it is hidden.
        """
        self._admit(request, "update", "create")
        values = await request.object(queried=True)
        show = self._shown(request)
        ask = put_of(self.entity, request.params["id"], values, request)
        try:
            return await self._put(ask, show, request)
        except KeyTaken as taken:
            if taken.key != ask.key:
                raise
        try:
            return await self._put(ask, show, request)
        except KeyTaken as taken:
            raise (taken.hidden() if taken.key == ask.key else taken) from None

    async def _put(self, ask: Put, show: Show, request: Request) -> Response:
        async def work(tx: Transaction) -> Response:
            new = await put(tx, ask)
            found = await show(ask.key, tx)
            return self._created(ask.key, found, request) if new else self._changed(found, request)

        return await self.write(request, work)

    def _changed(self, found: Found | None, request: Request) -> Response:
        return Response(204, b"", JSON_HEADERS) if found is None else one_response(request, found)

    async def update(self, request: Request) -> Response:
        """A change of one record."""
        self._admit(request, "update")
        values = await request.object(queried=True)
        if not values:
            raise BadRequest("Name at least one field to change.")
        key, version, show = self._key(request), version_of(request), self._shown(request)

        async def work(tx: Transaction) -> Response:
            await tx.write(Update(self.entity.name, key, values, version=version))
            return self._changed(await show(key, tx), request)

        return await self.write(request, work)

    async def delete(self, request: Request) -> Response:
        """The end of one record."""
        self._admit(request, "delete")
        version = version_of(request)
        for name, _ in self._pairs(request):
            raise BadRequest(f'"{name}" is no parameter of a DELETE.', code="unknown_parameter")

        async def work(tx: Transaction) -> Response:
            await tx.write(Delete(self.entity.name, self._key(request), version=version))
            return Response(204)

        return await self.write(request, work)

    def _key(self, request: Request) -> Any:
        return key_or_text(self.entity, request.params["id"])

    def _shown(self, request: Request) -> Show:
        """How a record is answered that was written: as its writer may read it, in the same transaction.

        `fields` and `expand` say what of it. That is planned before anything is written, so that what cannot be shown
        is refused then; without them, whoever may not read it is answered without it.
        """
        root, more = self._whole, ()
        if request.query:
            parsed = parse_one(self.entity, "", self._pairs(request))
            assert isinstance(parsed.root, One)
            root, more = parsed.root, parsed.values[1:]
            self.engine.statement(Ask((root,), parsed.values), request.actor)
        return lambda key, tx: tx.read_one(root, key, more)


def put_of(entity: Entity, key: str, values: dict[str, Any], request: Request) -> Put:
    """What a PUT asks, with its `If-Match` and `If-None-Match: *`."""
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if none_match is not None and none_match.strip() != b"*":
        raise BadRequest("If-None-Match of a PUT takes *, for a record that is not there yet.")
    return Put(entity.name, key_of(entity, key), values, version_of(request), match is not None, none_match is not None)


def address_of(entity: Entity, key: Any) -> str:
    """Where a record is found."""
    return f"/api/{entity.plural}/{quote(str(key), safe='')}"


def key_of(entity: Entity, text: str) -> Any:
    """An id that a client chose. What is no id names no record."""
    try:
        return parse(plain(entity.key.kind), text, from_text=True)
    except Unfit:
        raise NotFound() from None


def key_or_text(entity: Entity, text: str) -> Any:
    """The id in an address; what is none stays as it is, and names no record."""
    try:
        return key_of(entity, text)
    except NotFound:
        return text


def _or_parameter(error: UnknownField, root: type[Root]) -> UnknownField:
    """Beside a name that is no field, the parameter that may have been meant; it depends on the name sent alone."""
    near = "" if "Did you mean" in error.detail else nearest(error.name, _PARAMETERS[root], 0.75)
    return UnknownField(error.detail + near, error.name)
