"""Actions: the user's own endpoints, typed in and out, at any path, by the same rules and errors as the rest.

Invariant: arguments are checked by the kinds of the declaration before the function runs, and a record that an
action returns is read again by the rules of whoever asked. An action that is handed a `Transaction` is one: its answer
is made before that commits.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from backstay.api.http import UNSAFE, Request, Response, Router, split_query
from backstay.api.json_schema import json_schema
from backstay.api.openapi import ActionDoc
from backstay.api.rates import Askers
from backstay.api.render import JSON_HEADERS
from backstay.api.rest import Write
from backstay.api.structure import (
    Structure,
    argument_schema,
    is_structure,
    parse_structure,
    read_structure,
    structure_schema,
    taken_apart,
)
from backstay.errors import BadRequest, DeclarationError, FieldError, Invalid, Mistake, nearest
from backstay.model.declare import Model, Reader, User
from backstay.model.field import Default, Field
from backstay.model.predicate import Condition, Slot, normal
from backstay.model.symbol import is_mapped, is_record, key_of
from backstay.model.value import Kind, Money, Unfit, as_python, parse
from backstay.plan.ask import Ask, One
from backstay.plan.rate import Rate, parse_rates
from backstay.plan.scope import permit_call
from backstay.plan.write import parse_field
from backstay.store.context import Context
from backstay.store.engine import Engine
from backstay.store.exchange import Also, Raw, Reply
from backstay.store.transaction import Transaction, selection_of
from backstay.telemetry.trace import stage

_NOTHING: Mapping[str, str] = MappingProxyType({})
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Key: TypeAlias = Literal["accepted", "required"]
Read: TypeAlias = Callable[[One, str, Mapping[str, str]], Awaitable[bytes | None]]
"""Reads a record by the rules of whoever asked, as if the request had brought these secrets as well."""


class Action:
    """One endpoint of the user's own."""

    def __init__(
        self, route: str, function: Callable[..., Awaitable[Any]], allow: Condition, status: int | None,
        idempotency_key: Key = "accepted", limit: str = "", expand: Sequence[str] = (), documented: bool = True,
        resumes: bool = False,
    ) -> None:  # fmt: skip
        self.resumes = resumes
        self.selection = selection_of(expand)
        self.documented = documented
        self.method, _, self.path = route.partition(" ")
        self.function = function
        self.allow = normal(allow)
        self.name = function.__name__
        self.doc = inspect.getdoc(function) or ""
        mistakes: list[Mistake] = []
        if self.method not in _METHODS or not self.path.startswith("/"):
            mistakes.append(Mistake(self.name, f'"{route}" is no route.', 'Write it as "POST /api/quote".'))
        self.rates: tuple[Rate, ...] = ()
        try:
            self.rates = parse_rates(limit)
        except ValueError as error:
            mistakes.append(Mistake(self.name, str(error)))
        self.key_required = idempotency_key == "required"
        if self.key_required and self.method not in UNSAFE:
            mistakes.append(
                Mistake(self.name, f"a {self.method} takes no key.", "A key is for what changes something.")
            )
        reader = Reader([], User)
        hints = get_type_hints(function, include_extras=True)
        self.returns = hints.get("return")
        first = next(iter(inspect.signature(function).parameters), "")
        self.one_transaction = hints.get(first) is Transaction
        self.fields: dict[str, Field] = {}
        self.structs: dict[str, Structure] = {}
        self.optional: set[str] = set()
        self.raw = ""
        """The argument that is handed the request as it came."""
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            hint = hints.get(name)
            if hint is Raw:
                self.raw = name
            elif hint is None:
                mistakes.append(Mistake(f"{self.name}({name})", "it has no type.", "Annotate every argument."))
            elif is_structure(hint):
                self.structs[name] = read_structure(reader, f"{self.name}({name})", hint)
                if parameter.default is not inspect.Parameter.empty:
                    self.optional.add(name)
            else:
                self.fields.update(_argument(reader, self.name, name, hint, parameter))
        mistakes += reader.mistakes
        if mistakes:
            raise DeclarationError(mistakes)
        self.status = status or (200 if self.method != "DELETE" else 204)

    def serve(
        self, router: Router, engine: Engine, context: Callable[[Request], Context], write: Write, askers: Askers
    ) -> None:
        """Put the action into the router."""

        async def handler(request: Request) -> Response:
            await self.admit(request, askers)
            arguments = await self._arguments(request)

            async def work(tx: Transaction) -> Response:
                async def read(root: One, key: str, brings: Mapping[str, str]) -> bytes | None:
                    found = await (tx.bringing(brings) if brings else tx).read_one(root, key)
                    return found.one if found is not None else None

                return await self._render(await self.function(tx, **arguments), engine, read)

            async def read(root: One, key: str, brings: Mapping[str, str]) -> bytes | None:
                return (await engine.read(Ask((root,), (key,)), request.actor.bringing(brings)))[0].one

            if self.one_transaction:
                return await write(request, work)
            with stage("run"):
                result = await self.function(context(request), **arguments)
            with stage("render"):
                return await self._render(result, engine, read)

        router.add(self.path, **{self.method: handler})
        if self.raw:
            router.disregard_cookies(self.path, self.method)

    async def admit(self, request: Request, askers: Askers) -> None:
        """Let a request call the action, as whom it then acts. Raises what it is refused with."""
        request.actor = permit_call(request.actor, self.name, self.allow)
        if self.rates:
            await askers.act(f"{self.method} {self.path}", self.rates, request)
        if self.key_required and request.attempt is None:
            raise BadRequest(code="idempotency_key_required")

    def document(self) -> ActionDoc:
        """The action as the OpenAPI document shows it."""
        properties: dict[str, Any] = {name: argument_schema(part) for name, part in self.fields.items()}
        properties |= {name: structure_schema(structure) for name, structure in self.structs.items()}
        required = [name for name, part in self.fields.items() if part.default is None]
        required += [name for name in self.structs if name not in self.optional]
        arguments = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        record, several = self.record()
        return ActionDoc(
            self.method, self.path, self.doc or self.name.replace("_", " "), arguments if properties else None,
            self._returned() if not record else None, status=self.status, name=self.name, allow=self.allow,
            record=record, several=several, free=self.returns is Reply, key_required=self.key_required,
            raw=bool(self.raw),
        )  # fmt: skip

    def record(self) -> tuple[str, bool]:
        """The model that it answers with, and whether with many records; an empty name where it is none."""
        kind, several, _ = taken_apart(get_args(self.returns)[0] if get_origin(self.returns) is Also else self.returns)
        found = isinstance(kind, type) and (issubclass(kind, Model) or is_mapped(kind))
        return (kind.__name__, several) if found else ("", False)

    def _returned(self) -> dict[str, Any] | None:
        if self.returns is None or self.returns is type(None) or self.returns is Reply:
            return None
        if self.returns is Money:
            return json_schema(Kind("money"))
        try:
            found = msgspec.json.schema(self.returns)
        except TypeError:
            found = {}
        return found or {"type": ["object", "array", "string", "number", "boolean", "null"]}

    async def _arguments(self, request: Request) -> dict[str, Any]:
        if self.raw:
            return {self.raw: await _raw(request), **self.parsed(request.params, from_text=True)}
        from_text = self.method in ("GET", "DELETE")
        raw: dict[str, Any] = {}
        for name, value in split_query(request.query, 100) if from_text else ():
            if name in raw:
                raise BadRequest(f'"{name}" is there twice.')
            raw[name] = value
        if not from_text and any(name not in request.params for name in (*self.fields, *self.structs)):
            # Where the address names every argument, no body is needed; and nothing sent is nothing said.
            raw = {} if request.silent else await request.object()
        raw = {**raw, **request.params}
        return self.parsed(raw, from_text=from_text, params=request.params)

    def parsed(
        self, raw: Mapping[str, Any], *, from_text: bool, params: Mapping[str, str] = _NOTHING
    ) -> dict[str, Any]:
        """The arguments by their kinds. `params` are those that stood in the address."""
        known = {**self.fields, **self.structs}
        errors: list[FieldError] = []
        for name in raw:
            if name not in known:
                raise BadRequest(f'"{name}" is no argument of this action.{nearest(name, known)}', code="unknown_field")
        arguments: dict[str, Any] = {}
        for name, field in self.fields.items():
            if name in raw:
                try:
                    arguments[name] = _parse(field, raw[name], from_text or name in params)
                except Unfit as unfit:
                    errors += unfit.errors(name)
            elif field.default is None:
                errors.append(FieldError(name, "required", "is required."))
        for name, structure in self.structs.items():
            if name in raw:
                arguments[name] = parse_structure(structure, raw[name], name, errors)
            elif name not in self.optional:
                errors.append(FieldError(name, "required", "is required."))
        if errors:
            raise Invalid(f'"{errors[0].path}" {errors[0].message}', errors=errors)
        return arguments

    async def _render(self, result: Any, engine: Engine, read: Read) -> Response:
        if isinstance(result, Reply):
            body = result.body.encode() if isinstance(result.body, str) else result.body
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in result.headers]
            return Response(result.status, body, [(b"content-type", result.content_type.encode()), *headers])
        if result is None:
            return Response(204 if self.status == 200 else self.status)
        body = await self._json(result, engine, read)
        return Response(self.status, body, JSON_HEADERS)

    async def _json(self, result: Any, engine: Engine, read: Read, brings: Mapping[str, str] = _NOTHING) -> bytes:
        if isinstance(result, Also):
            body = await self._json(result.record, engine, read, result.brings)
            more = msgspec.json.encode(result.more)
            return body if not result.more or body == b"null" else body[:-1] + b"," + more[1:]
        if is_record(result):
            entity = engine.schema.of(type(result))
            return await read(One(entity.name, Slot(0, "id"), self.selection), key_of(result), brings) or b"null"
        if isinstance(result, list) and result and is_record(result[0]):
            return b"[" + b",".join([await self._json(item, engine, read) for item in result]) + b"]"
        return msgspec.json.encode(result)


def _argument(reader: Reader, action: str, name: str, hint: Any, parameter: inspect.Parameter) -> dict[str, Field]:
    field = reader.read_argument(f"{action}({name})", name, hint)
    if field is None:
        return {}
    if parameter.default is not inspect.Parameter.empty:
        field = replace(field, default=Default("literal", parameter.default))
    return {name: field}


def _parse(field: Field, raw: Any, from_text: bool) -> Any:
    if from_text and isinstance(raw, str):
        return as_python(field.kind, parse(field.kind, raw, from_text=True))
    return as_python(field.kind, parse_field(field, raw))


async def _raw(request: Request) -> Raw:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
    return Raw(await request.body(), headers)
