"""Mutations and actions of a GraphQL document are carried out here, one after the other.

Invariant: a change is a `Create`, an `Update` or a `Delete` that goes through `Transaction.write`, in a transaction of
its own, as by REST; what is answered of the record is read in that transaction by the rules of whoever asked. One that
fails is undone, its field is null, and the others are carried out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from backstay.api.graphql_actions import Call, said_of
from backstay.api.graphql_changes import Effect, snake
from backstay.api.graphql_document import ABSENT, filled
from backstay.api.graphql_documents import Documents, arranged, joined
from backstay.api.graphql_names import camel
from backstay.api.http import Request, Response
from backstay.api.rates import Askers
from backstay.errors import BadRequest, FieldError, Problem
from backstay.model.field import Entity, ToMany
from backstay.model.symbol import is_record, key_of
from backstay.model.value import Unfit, parse, plain
from backstay.plan.ask import Ask, Create, Delete, One, Update
from backstay.store.context import Context
from backstay.store.engine import Engine
from backstay.store.exchange import Also
from backstay.store.transaction import Transaction

T = TypeVar("T")
_APART = (401, 403)


class Change(Protocol):
    """Does a part of the work of a request in one transaction; `respond` makes the answer of it, if it is all."""

    async def __call__(
        self, request: Request, work: Callable[[Transaction], Awaitable[T]], respond: Callable[[T], Response] | None
    ) -> T: ...


class Effects:
    """Carries out what documents do, for one application."""

    def __init__(
        self, engine: Engine, documents: Documents, change: Change, context: Callable[[Request], Context],
        askers: Askers,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.documents = documents
        self.change = change
        self.context = context
        self.askers = askers

    async def run(
        self, effect: Effect, given: Mapping[Any, Any], request: Request, respond: Callable[[bytes], Response] | None
    ) -> bytes:
        """Carry one field out; its answer as JSON. Raises what it is refused with."""
        if effect.verb == "typename":
            return b'"Mutation"'
        said = {name: filled(value, given) for name, value in effect.said.items() if value is not ABSENT}
        more = [filled(value, given) for value in effect.values[1:]]
        if effect.call is not None:
            return await self._call(effect, effect.call, said, more, request, respond)
        assert effect.entity is not None
        assert effect.root is not None
        return await self._write(effect, effect.entity, effect.root, said, more, request, respond)

    async def _write(
        self, effect: Effect, entity: Entity, root: One, said: Mapping[str, Any], more: Sequence[Any],
        request: Request, respond: Callable[[bytes], Response] | None,
    ) -> bytes:  # fmt: skip
        values = self._values(entity, said.get("input") or {})
        key = _key(entity, said.get("id"))
        if effect.verb == "update" and not values:
            raise BadRequest("Name at least one field to change.")
        try:  # what cannot be shown is refused before anything is written; who may read nothing of it may still write
            self.engine.statement(Ask((root,), ()), request.actor)
        except Problem as problem:
            if problem.status not in _APART:
                raise

        async def work(tx: Transaction) -> bytes:
            match effect.verb:
                case "create":
                    found = await tx.read_one(root, await tx.write(Create(entity.name, values)), more)
                case "update":
                    await tx.write(Update(entity.name, key, values))
                    found = await tx.read_one(root, key, more)
                case _:
                    found = await tx.read_one(root, key, more)
                    await tx.write(Delete(entity.name, key))
            return (found.one if found is not None else None) or b"null"

        try:
            return await self.change(request, work, respond)
        except Problem as problem:
            raise _spelled(problem) from None

    def _values(self, entity: Entity, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an input under our names, those of records inside it too; what is in a JSON field stays."""
        values: dict[str, Any] = {}
        for word, value in raw.items():
            name = self.documents.names.name(word)
            part = entity.fields.get(name) or entity.to_many.get(name)
            target = part.target if part is not None else None
            if target is not None and isinstance(value, Mapping):
                value = self._values(target, value)
            elif isinstance(part, ToMany) and isinstance(value, list):
                value = [self._values(part.target, one) if isinstance(one, Mapping) else one for one in value]
            if name in values:
                raise BadRequest(f"{camel(name)} is said twice: by its id, and as a new record.")
            values[name] = value
        return values

    async def _call(
        self, effect: Effect, call: Call, said: Mapping[str, Any], more: Sequence[Any], request: Request,
        respond: Callable[[bytes], Response] | None,
    ) -> bytes:  # fmt: skip
        action, actor = call.action, request.actor
        try:
            await action.admit(request, self.askers)
            raw = {snake(name): _snakes(action.structs.get(snake(name)), value) for name, value in said.items()}
            arguments = action.parsed(raw, from_text=False)
            if action.one_transaction:

                async def work(tx: Transaction) -> bytes:
                    async def read(key: Any, brings: Mapping[str, str]) -> bytes:
                        assert effect.root is not None
                        found = await (tx.bringing(brings) if brings else tx).read_one(effect.root, key, more)
                        return (found.one if found is not None else None) or b"null"

                    return await self._shown(effect, await action.function(tx, **arguments), read)

                return await self.change(request, work, respond)

            async def read(key: Any, brings: Mapping[str, str]) -> bytes:
                assert effect.root is not None
                who = request.actor.bringing(brings)
                (found,) = await self.engine.read(Ask((effect.root,), (key, *more)), who)
                return found.one or b"null"

            return await self._shown(effect, await action.function(self.context(request), **arguments), read)
        except Problem as problem:
            raise _spelled(problem) from None
        finally:
            request.actor = actor

    async def _shown(
        self, effect: Effect, result: Any, read: Callable[[Any, Mapping[str, str]], Awaitable[bytes]]
    ) -> bytes:
        """The answer of an action: a record as it was asked for, or what it says."""
        brings: Mapping[str, str] = {}
        more: Mapping[str, Any] = {}
        if isinstance(result, Also):
            result, brings, more = result.record, result.brings, result.more
        if result is None:
            return b"true" if effect.entity is None and not effect.parts else b"null"
        if effect.entity is None:
            return msgspec.json.encode(arranged(said_of(result), effect.parts))
        if isinstance(result, list):
            shown = b"[" + b",".join([await read(key_of(one), brings) for one in result if is_record(one)]) + b"]"
        else:
            shown = await read(key_of(result), brings)
        if not effect.parts:
            return shown
        members = {"record": shown, "more": msgspec.json.encode(more)}
        return joined(
            [(part.key, members.get(part.source) or msgspec.json.encode(part.source[1:])) for part in effect.parts]
        )


def _key(entity: Entity, raw: Any) -> Any:
    """An id that was sent; what is none stays as it is, and names no record."""
    try:
        return parse(plain(entity.key.kind), raw, from_text=True)
    except Unfit:
        return str(raw)


def _spelled(problem: Problem) -> Problem:
    """The same problem with the places of wrong values as GraphQL spells them."""
    problem.errors = tuple(FieldError(camel(one.path), one.code, one.message) for one in problem.errors)
    return problem


def _snakes(structure: Any, value: Any) -> Any:
    """A structured argument under the names of its declaration; what is inside plain values stays."""
    if structure is None:
        return value
    if isinstance(value, list):
        return [_snakes(structure, one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {snake(word): _snakes(structure.inside.get(snake(word)), inner) for word, inner in value.items()}
