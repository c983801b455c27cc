"""A batch: creates, replacements, updates and deletes of any models, in order, in one transaction.

Invariant: an operation is carried out by what carries it out alone, under the rules of whoever sent the batch; the
first one that fails undoes all, and its problem says which one it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from backstay.api.http import Request, Response, Router
from backstay.api.render import JSON_HEADERS
from backstay.api.rest import Write, address_of, key_of, key_or_text
from backstay.errors import BadRequest, FieldError, Invalid, NotFound, Problem, nearest
from backstay.model.field import Entity
from backstay.model.predicate import Slot
from backstay.plan.ask import Create, Delete, One, Update
from backstay.plan.limits import Limits
from backstay.plan.nested import Unfolding
from backstay.store.series import Put, put
from backstay.store.transaction import KeyTaken, Transaction

METHODS = {"POST": "creates", "PUT": "replaces", "PATCH": "updates", "DELETE": "deletes"}
_MEMBERS = ("method", "path", "body")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what is done to which record with which values."""

    method: str
    entity: Entity
    key: Any
    values: dict[str, Any]


class Batch:
    """The handler of `POST /api/batch`."""

    def __init__(self, entities: Iterable[Entity], limits: Limits, write: Write) -> None:
        self.limits = limits
        self.write = write
        self._bases = {f"/api/{entity.plural}": entity for entity in entities}

    def serve(self, router: Router) -> None:
        """Put the handler into the router."""
        router.add("/api/batch", POST=self.run)

    async def run(self, request: Request) -> Response:
        """Carry out all operations; 200 with the status and the body of each."""
        operations = self._read(await request.json())

        async def work(tx: Transaction) -> Response:
            answers = []
            for at, operation in enumerate(operations):
                try:
                    answers.append(await _carry_out(operation, tx, request.root))
                except KeyTaken as taken:
                    hidden = operation.method == "PUT" and taken.key == operation.key
                    raise (taken.hidden() if hidden else taken).placed(_place(at)) from None
                except Problem as problem:
                    raise problem.placed(_place(at)) from None
            return Response(200, msgspec.json.encode({"data": answers}), JSON_HEADERS)

        return await self.write(request, work)

    def _read(self, body: Any) -> list[Operation]:
        """The operations of a body; what is wrong in their form is told of all of them at once."""
        if isinstance(body, dict) and set(body) == {"operations"}:
            body = body["operations"]
        if not isinstance(body, list):
            raise BadRequest('Send {"operations": [...]}, or the list alone.', code="malformed_json")
        if len(body) > self.limits.max_operations:
            raise Problem(f"A batch may have {self.limits.max_operations} operations.", code="too_large")
        errors = [error for at, raw in enumerate(body) for error in _mistakes(raw, _place(at))]
        if errors:
            raise Invalid.of(errors)
        found = []
        unfolding = Unfolding(self.limits)
        for at, raw in enumerate(body):
            try:
                found.append(operation := self._operation(raw))
                if operation.method in ("POST", "PUT"):  # counted: what is inside them is written later
                    unfolding.unfold(operation.entity, Create(operation.entity.name, operation.values))
            except Problem as problem:
                raise problem.placed(_place(at)) from None
        return found

    def _operation(self, raw: dict[str, Any]) -> Operation:
        method, path, values = raw["method"], raw["path"], raw.get("body")
        entity, key = self._bases.get(path), ""
        if entity is None:
            base, _, key = path.rpartition("/")
            entity = self._bases.get(base)
        if entity is None or (not key and path not in self._bases):
            raise NotFound("A batch writes to /api/{models} and /api/{models}/{id}, and this is neither.")
        fits = ("PUT", "PATCH", "DELETE") if key else ("POST",)
        if method not in fits:
            raise Problem(f"Use {', '.join(fits)}.", code="method_not_allowed", headers={"Allow": "OPTIONS, POST"})
        if method == "PATCH" and not values:
            raise BadRequest("Name at least one field to change.")
        return Operation(
            method, entity, key_of(entity, key) if method == "PUT" else key_or_text(entity, key), values or {}
        )


async def _carry_out(operation: Operation, tx: Transaction, root: str) -> dict[str, Any]:
    """One operation in the transaction of all; its status, and the record as its writer may read it."""
    model, key, status = operation.entity.name, operation.key, 200
    match operation.method:
        case "POST":
            key, status = await tx.write(Create(model, operation.values)), 201
        case "PUT":
            status = 201 if await put(tx, Put(model, key, operation.values)) else 200
        case "PATCH":
            await tx.write(Update(model, key, operation.values))
        case _:
            await tx.write(Delete(model, key))
            return {"status": 204, "body": None}
    found = await tx.read_one(One(model, Slot(0, "id", True)), key)
    body = msgspec.Raw(found.rows[0]) if found is not None else None
    answer = {"status": 204 if body is None and status == 200 else status, "body": body}
    return {**answer, "location": root + address_of(operation.entity, key)} if status == 201 else answer


def _place(at: int) -> str:
    return f"operations[{at}]"


def _mistakes(raw: Any, place: str) -> list[FieldError]:
    """What is wrong in the form of one operation."""
    if not isinstance(raw, dict):
        return [FieldError(place, "wrong_type", "must be an object.")]
    errors = [
        FieldError(f"{place}.{name}", "unknown_field", f"is not known here.{nearest(name, _MEMBERS)}")
        for name in raw if name not in _MEMBERS
    ]  # fmt: skip
    method, body = raw.get("method"), raw.get("body")
    if not isinstance(method, str) or method not in METHODS:
        errors.append(FieldError(f"{place}.method", "not_a_choice", f"must be one of {', '.join(METHODS)}."))
    if not isinstance(raw.get("path"), str):
        errors.append(FieldError(f"{place}.path", "wrong_type", "must be a text."))
    if method == "DELETE":
        if body is not None:
            errors.append(FieldError(f"{place}.body", "unknown_field", "is not taken by a DELETE."))
    elif not isinstance(body, dict):
        errors.append(FieldError(f"{place}.body", "wrong_type", "must be an object."))
    return errors
