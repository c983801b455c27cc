"""A GraphQL document becomes an `Ask`, and the answers of the engine become `{"data": ...}`: reading only.

All root fields of a document are one `Ask`, so one statement. What was read is remembered by the document's text
and by the shape of its variables; after that a request costs two look-ups and its values. Invariant: nothing that
is remembered depends on who asks.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
from graphql import GraphQLSyntaxError
from graphql import parse as parse_text
from graphql.language import FieldNode

from backstay.api.cursor import Cursors
from backstay.api.graphql_document import ABSENT, PLAIN, Document, exact, filled, is_plain, pairs
from backstay.api.graphql_reading import Answer, Part, Reading, RootKind, Template, camel
from backstay.errors import BadRequest, Problem
from backstay.model.field import Entity, Schema
from backstay.model.predicate import OPERATORS
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.ask import Ask
from backstay.plan.limits import Limits
from backstay.store.engine import Found


@dataclass(frozen=True, slots=True)
class Question:
    """What a document asks, and how each of its roots wants to be answered, in the same order."""

    ask: Ask
    answers: tuple[Answer, ...]


class Documents:
    """Reads documents for one schema, and remembers them within `limits.remembered_tokens`.

    A root is named after its model: `products(where, orderBy, search, first or limit, after, offset)` has `nodes`,
    `totalCount` and `pageInfo { hasNextPage endCursor }`; `product(id)` is one record or null;
    `productsAggregate(where, groupBy, orderBy, search, limit, offset)` has `count`, `group { status }` with the
    groups, and `sum`, `avg`, `min`, `max` and `countDistinct`, each with fields inside. A to-many relation is a list
    and takes `where`, `orderBy`, `first` or `limit`, and `offset`.

    Money is an object with `amount` and `currency`; without a selection it is answered whole, as in `sum { total }`.
    `endCursor` is null on the last page. Names are in camelCase; operators may also be spelled as in REST.
    Not read here: mutations, subscriptions, introspection, `__typename`.
    """

    def __init__(self, schema: Schema, limits: Limits, cursors: Cursors) -> None:
        self.limits = limits
        self.cursors = cursors
        self.roots = root_fields(schema)
        self._names = {camel(name): name for entity in schema.entities.values() for name in entity.names}
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._weight = 0
        self._read = 0

    def parse(
        self, text: str, variables: Mapping[str, Any] | None = None, operation: str | None = None,
        actor: Actor = ANONYMOUS,
    ) -> Question:  # fmt: skip
        """What a document asks with these variables; `operation` names one where the document has several.

        `actor` only opens cursors. Raises `BadRequest`: `bad_request` for a malformed document, `unknown_field` and
        `unknown_parameter` with the nearest name, `invalid_filter`, `invalid_sort`, `invalid_cursor`, and
        `too_expensive` beyond the limits.
        """
        try:
            document = self._document(text, operation)
            given = document.given(variables or {})
            for number, node in enumerate(document.paged):
                given[number] = self._place(node, given, actor)
            key = (document.number, *self._shape(document, given))
            kept = self._kept.get(key)
            template: Template = kept[0] if kept is not None else self._template(key, document, given)
            answers = template.answers
            if template.sealed:
                answers = tuple(
                    self._sealed(*pair, document, given) for pair in zip(answers, template.sealed, strict=True)
                )
            values = tuple(filled(value, given) for value in template.values)
        except RecursionError:
            raise BadRequest("The document or its variables are nested too deeply.", code="too_expensive") from None
        return Question(Ask(template.roots, values), answers)

    def render(self, question: Question, found: Sequence[Found], actor: Actor = ANONYMOUS) -> bytes:
        """The body of the response: what the engine found for each root, under the keys of the document."""
        members = [
            (answer.key, self._answer(answer, one, actor)) for answer, one in zip(question.answers, found, strict=True)
        ]
        return _object([("data", _object(members))])

    def name(self, word: str) -> str:
        """Our name for a word of a document: `createdAt` is `created_at`."""
        if word in OPERATORS:
            return word
        if (known := self._names.get(word)) is not None or not word.isidentifier():
            return known or word
        if camel(word) != word:
            raise BadRequest(f'"{word}" is spelled "{camel(word)}" here.', code="unknown_field")
        return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), word)

    # Documents and templates, and what is remembered of them.

    def _document(self, text: str, operation: str | None) -> Document:
        if (kept := self._kept.get((text, operation))) is not None:
            return cast(Document, kept[0])
        tokens = self.limits.document_tokens
        try:
            parsed = parse_text(
                text, no_location=True, max_lexical_tokens=tokens, max_comments=tokens,
                max_source_length=self.limits.document_length,
            )  # fmt: skip
        except GraphQLSyntaxError as error:
            where = "".join(f" at line {place.line}, column {place.column}" for place in error.locations or ())
            code = "too_expensive" if "aborted" in error.description else "bad_request"
            raise BadRequest(f"The document cannot be read{where}: {error.description}", code=code) from None
        self._read += 1
        document = Document(self._read, parsed, operation)
        self._keep((text, operation), document, parsed.token_count + len(text) // 8)
        return document

    def _template(self, key: Hashable, document: Document, given: Mapping[Any, Any]) -> Template:
        reading = Reading(document, given, self.roots, self.name, self.limits)
        template = reading.template()
        self._keep(key, template, reading.size + len(repr(key)) // 8)
        return template

    def _keep(self, key: Hashable, thing: object, weight: int) -> None:
        self._kept[key] = (thing, weight)
        self._weight += weight
        while self._weight > self.limits.remembered_tokens:
            _, gone = self._kept.pop(next(iter(self._kept)))
            self._weight -= gone

    def _place(self, node: FieldNode, given: Mapping[Any, Any], actor: Actor) -> Any:
        """The place behind which a list begins, out of its cursor."""
        text = next(exact(argument.value, given) for argument in node.arguments or () if argument.name.value == "after")
        kind, entity = self.roots.get(node.name.value, ("", None))
        if text in (None, ABSENT) or entity is None or kind != "list":
            return None
        if not isinstance(text, str):
            raise BadRequest("after takes a cursor, which is a text.", code="invalid_cursor")
        return self.cursors.open(text, entity.plural, pairs(node, given), actor)

    def _sealed(self, answer: Answer, node: FieldNode | None, document: Document, given: Mapping[Any, Any]) -> Answer:
        """The answer with what its cursors are sealed with."""
        if node is None:
            return answer
        place = given[document.paged.index(node)] if node in document.paged else None
        for argument in node.arguments or ():
            if argument.name.value == "offset":
                place = exact(argument.value, given)
        return replace(answer, pairs=pairs(node, given), offset=place if isinstance(place, int) else 0)

    def _shape(self, document: Document, given: Mapping[Any, Any]) -> Iterator[Hashable]:
        """What of the variables decides how the document is read; texts and numbers do not."""
        parts = 0

        def shape(value: Any) -> Hashable:
            nonlocal parts
            parts += 1
            if parts > self.limits.document_tokens:
                raise BadRequest("The variables have too many parts.", code="too_expensive")
            if type(value) in PLAIN:
                return "."
            if value is None or isinstance(value, bool):
                return value
            if isinstance(value, Mapping):
                return ("{", *((name, shape(inner)) for name, inner in value.items()))
            return ("[", *map(shape, value)) if isinstance(value, list) and not is_plain(value) else "."

        for name in document.names:
            value = given.get(name, ABSENT)
            yield "absent" if value is ABSENT else shape(value)
            yield msgspec.json.encode(value) if name in document.shaping and value is not ABSENT else None
        for number in range(len(document.paged)):
            place = given[number]
            yield tuple(key is None for key in place) if isinstance(place, list) else place is None

    # Rendering.

    def _answer(self, answer: Answer, found: Found, actor: Actor) -> bytes:
        def of_list(part: Part) -> bytes:
            match part.source:
                case "nodes":
                    return _shaped(found.array, part.parts)
                case "totalCount":
                    return b"%d" % (found.total or 0)
                case "pageInfo":
                    return _object([(inner.key, of_list(inner)) for inner in part.parts])
                case "hasNextPage":
                    return b"true" if found.more else b"false"
                case _ if not found.more:
                    return b"null"
                case _:
                    place = list(found.keys) if found.keys is not None else answer.offset + len(found.texts)
                    return msgspec.json.encode(self.cursors.seal(answer.entity, answer.pairs, actor, place))

        match answer.kind:
            case "one":
                return _shaped(found.one or b"null", answer.parts)
            case "aggregate":
                return _shaped(found.array, answer.parts)
            case "list":
                return _object([(part.key, of_list(part)) for part in answer.parts])


def render_problem(problem: Problem) -> bytes:
    """The body of a response that is an error: the same code as in REST, in `extensions`."""
    extensions: dict[str, Any] = {"code": problem.code}
    if problem.errors:
        extensions["errors"] = [{"path": e.path, "code": e.code, "message": e.message} for e in problem.errors]
    return msgspec.json.encode({"errors": [{"message": problem.detail, "extensions": extensions}]})


def root_fields(schema: Schema) -> dict[str, tuple[RootKind, Entity]]:
    """The fields of `Query`, by name. Where a plural is no other word than its singular, that one is `...ById`."""
    roots: dict[str, tuple[RootKind, Entity]] = {}
    entities = list(schema.by_plural().values())
    for entity in entities:
        roots[camel(entity.plural)] = ("list", entity)
        roots[f"{camel(entity.plural)}Aggregate"] = ("aggregate", entity)
    for entity in entities:
        name = entity.name[0].lower() + entity.name[1:]
        roots[name if name not in roots else f"{name}ById"] = ("one", entity)
    return roots


def _object(members: Iterable[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (key.encode(), text) for key, text in members) + b"}"


def _shaped(text: bytes, parts: tuple[Part, ...]) -> bytes:
    """JSON text as it was found, or arranged anew where the answer has another form."""
    return msgspec.json.encode(_arranged(msgspec.json.decode(text), parts)) if parts else text


def _arranged(value: Any, parts: tuple[Part, ...]) -> Any:
    if not parts:
        return value
    if isinstance(value, list):
        return [_arranged(one, parts) for one in value]
    if not isinstance(value, dict):
        return value
    return {part.key: _arranged(value[part.source] if part.source else value, part.parts) for part in parts}
