"""A GraphQL document becomes an `Ask`, and the answers of the engine become `{"data": ...}`.

All root fields of a document are one `Ask`, so one statement. What was read is remembered by the document's text
and by the shape of its variables; after that a request costs two look-ups and its values. Invariant: nothing that
is remembered depends on who asks, but for the models that `node` looks in, which are part of what it is kept under.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec
from graphql import DocumentNode, GraphQLSyntaxError
from graphql import parse as parse_text
from graphql.language import FieldNode, OperationType

from backstay.api.cursor import Cursors
from backstay.api.graphql_actions import Calls
from backstay.api.graphql_changes import Effect, EffectReading, write_fields
from backstay.api.graphql_document import ABSENT, PAGING, PLAIN, Document, exact, filled, is_plain, pairs
from backstay.api.graphql_names import Names
from backstay.api.graphql_reading import Answer, Part, Reading, Template, Wanted
from backstay.api.graphql_schema import root_fields
from backstay.errors import BadRequest
from backstay.model.field import Entity, Schema
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.ask import Ask
from backstay.plan.limits import Limits
from backstay.store.engine import Found


@dataclass(frozen=True, slots=True)
class Question:
    """What a document asks, and how each of its fields wants to be answered, in the same order."""

    ask: Ask
    answers: tuple[Answer, ...]
    shape: int = 0
    """The number of what was read: questions of one number differ in their values only."""
    calls: tuple[Effect, ...] = ()
    """The actions that are called, and the variables that fill their places."""
    given: Mapping[Any, Any] = field(default_factory=dict)


class Documents:
    """Reads documents for one schema, and remembers them within `limits.remembered_tokens`.

    A root is named after its model: `products(where, orderBy, search, first or limit, after, last, before, offset)` is
    a connection with `nodes`, `edges`, `totalCount` and `pageInfo`; `product(id)` is one record or null, and `node(id)`
    one of any model; `productsAggregate(where, groupBy, orderBy, search, limit, offset)` has `count`,
    `group { status }` with the groups, and `sum`, `avg`, `min`, `max` and `countDistinct`, each with fields inside. A
    to-many relation is a list and takes `where`, `orderBy`, `first` or `limit`, and `offset`.

    Names are in camelCase. A document is not checked against the schema of anybody here (`graphql_schema.py`): whatever
    names no field is left for the plan to refuse.
    """

    def __init__(
        self, schema: Schema, limits: Limits, cursors: Cursors, names: Names | None = None, calls: Calls | None = None
    ) -> None:
        self.limits = limits
        self.calls = calls
        self.writes = write_fields(schema.by_plural().values())
        self.cursors = cursors
        self.roots = root_fields(schema.by_plural().values())
        self.names = names or Names(schema)
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._weight = 0
        self._read = 0

    def parse(
        self, text: str, variables: Mapping[str, Any] | None = None, operation: str | None = None,
        actor: Actor = ANONYMOUS, nodes: Sequence[Entity] = (),
    ) -> Question:  # fmt: skip
        """What a document asks with these variables; `operation` names one where the document has several.

        `actor` only opens cursors, and `nodes` are the models that `node` looks in. Raises `BadRequest`: `bad_request`
        for a malformed document, `unknown_field` and `unknown_parameter` with the nearest name, `invalid_filter`,
        `invalid_sort`, `invalid_cursor`, and `too_expensive` beyond the limits.
        """
        with shallow():
            return self.question(self.document(text, operation), variables or {}, actor, nodes)

    def question(
        self, document: Document, variables: Mapping[str, Any], actor: Actor, nodes: Sequence[Entity] = ()
    ) -> Question:
        """What a document that has been read asks with these variables."""
        given = document.given(variables)
        for number, node in enumerate(document.paged):
            given[number] = self._place(node, given, actor)
        key = (document.number, tuple([one.name for one in nodes]), *self._shape(document, given))
        if (kept := self._kept.get(key)) is not None:
            template, number = cast(tuple[Template, int], kept[0])
        else:
            template, number = self._template(key, document, given, nodes)
        answers = template.answers
        if template.sealed:
            answers = tuple(self._sealed(*pair, document, given) for pair in zip(answers, template.sealed, strict=True))
        values = tuple([filled(value, given) for value in template.values])
        return Question(Ask(template.roots, values), answers, number, template.calls, given)

    def effects(self, document: Document, variables: Mapping[str, Any]) -> tuple[tuple[Effect, ...], dict[Any, Any]]:
        """What a mutation does with these variables, field by field, and the variables that fill its places."""
        given = document.given(variables)
        key = (document.number, *self._shape(document, given))
        if (kept := self._kept.get(key)) is not None:
            return cast(tuple[Effect, ...], kept[0]), given
        reading = self._effect_reading(document, given)
        effects = reading.effects()
        self._keep(key, effects, reading.size + len(repr(key)) // 8)
        return effects, given

    def _effect_reading(self, document: Document, given: Mapping[Any, Any]) -> EffectReading:
        return EffectReading(
            self.calls or Calls((), {}, self.names, set()), self.writes, document, given, self.roots, self.names,
            self.limits,
        )  # fmt: skip

    def render(self, question: Question, found: Sequence[Found], actor: Actor = ANONYMOUS) -> bytes:
        """The body of the response: what the engine found for each root, under the keys of the document."""
        members = [(answer.key, self.answered(answer, found, actor)) for answer in question.answers]
        return joined([("data", joined(members))])

    # Documents and templates, and what is remembered of them.

    def document(self, text: str, operation: str | None) -> Document:
        """A document that has been read. Raises `BadRequest` that names the place where it cannot be."""
        if (kept := self._kept.get((text, operation))) is not None:
            return cast(Document, kept[0])
        parsed = self.parsed(text)
        self._read += 1
        document = Document(self._read, text, parsed, operation)
        self._keep((text, operation), document, (parsed.token_count or 0) + len(text) // 8)
        return document

    def parsed(self, text: str, *, placed: bool = False) -> DocumentNode:
        """The nodes of a document, with their places where they are told."""
        tokens = self.limits.document_tokens
        try:
            return parse_text(
                text, no_location=not placed, max_lexical_tokens=tokens, max_comments=tokens,
                max_source_length=self.limits.document_length,
            )  # fmt: skip
        except GraphQLSyntaxError as error:
            where = "".join(f" at line {place.line}, column {place.column}" for place in error.locations or ())
            code = "too_expensive" if "aborted" in error.description else "bad_request"
            raise BadRequest(f"The document cannot be read{where}: {error.description}", code=code) from None

    def _template(
        self, key: Hashable, document: Document, given: Mapping[Any, Any], nodes: Sequence[Entity]
    ) -> tuple[Template, int]:
        calls = self.calls

        def call(wanted: Wanted) -> Effect | None:
            if calls is None or wanted.name not in calls.by_name:
                return None
            return self._effect_reading(document, given).effect(wanted)

        reading = Reading(document, given, self.roots, self.names, self.limits, nodes, call)
        if document.kind is not OperationType.QUERY:
            raise BadRequest(f"This document is a {document.kind.value}, and only queries are read here.")
        template = reading.template()
        self._read += 1
        kept = template, self._read
        self._keep(key, kept, reading.size + len(repr(key)) // 8)
        return kept

    def _keep(self, key: Hashable, thing: object, weight: int) -> None:
        self._kept[key] = (thing, weight)
        self._weight += weight
        while self._weight > self.limits.remembered_tokens:
            _, gone = self._kept.pop(next(iter(self._kept)))
            self._weight -= gone

    def _place(self, node: FieldNode, given: Mapping[Any, Any], actor: Actor) -> Any:
        """The place where a list begins, out of its cursor."""
        text = next(exact(one.value, given) for one in node.arguments or () if one.name.value in PAGING)
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

    def answered(self, answer: Answer, found: Sequence[Found], actor: Actor) -> bytes:
        """The answer to one field, out of what was found for its roots."""
        match answer.kind:
            case "one":
                return found[answer.at].one or b"null"
            case "node":
                texts = (found[at].one for at in range(answer.at, answer.at + answer.roots))
                return next((text for text in texts if text is not None), b"null")
            case "aggregate":
                return _shaped(found[answer.at].array, answer.parts)
            case "list":
                return joined([(part.key, self._of_list(part, answer, found, actor)) for part in answer.parts])
            case _:
                return msgspec.json.encode(answer.entity)

    def _of_list(self, part: Part, answer: Answer, found: Sequence[Found], actor: Actor) -> bytes:
        first = found[answer.at]
        match part.source:
            case "nodes":
                return found[answer.at + part.at].array
            case "edges":
                return self._edges(part, answer, found, actor)
            case "totalCount":
                return b"%d" % (first.total or 0)
            case "pageInfo":
                return joined([(inner.key, self._of_list(inner, answer, found, actor)) for inner in part.parts])
            case "hasNextPage" | "hasPreviousPage" as name:
                ahead = (name == "hasNextPage") != answer.backwards
                return b"true" if (first.more if ahead else answer.behind) else b"false"
            case "startCursor":
                return self._cursor(answer, first, 0, actor) if first.texts else b"null"
            case "endCursor":
                return self._cursor(answer, first, len(first.texts) - 1, actor) if first.texts else b"null"
            case text:
                return msgspec.json.encode(text[1:])

    def _edges(self, part: Part, answer: Answer, found: Sequence[Found], actor: Actor) -> bytes:
        columns: list[tuple[str, Sequence[bytes]]] = []
        first = found[answer.at]
        for inner in part.parts:
            match inner.source:
                case "node":
                    columns.append((inner.key, found[answer.at + inner.at].rows))
                case "cursor":
                    places = range(len(first.texts))
                    columns.append((inner.key, [self._cursor(answer, first, at, actor) for at in places]))
                case text:
                    columns.append((inner.key, [msgspec.json.encode(text[1:])] * len(first.texts)))
        keys = [key for key, _ in columns]
        rows = zip(*(values for _, values in columns), strict=True)
        return b"[" + b",".join([joined(zip(keys, row, strict=True)) for row in rows]) + b"]"

    def _cursor(self, answer: Answer, found: Found, at: int, actor: Actor) -> bytes:
        """The cursor of a row: its keys, or how many lie before its end where it was found by rank."""
        place = list(found.places[at]) if found.places else answer.offset + at + 1
        return msgspec.json.encode(self.cursors.seal(answer.entity, answer.pairs, actor, place))


@contextmanager
def shallow() -> Iterator[None]:
    """Refuse what is nested too deeply for Python like what is nested too deeply for the limits."""
    try:
        yield
    except RecursionError:
        raise BadRequest("The document or its variables are nested too deeply.", code="too_expensive") from None


def joined(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An object of JSON out of texts that are JSON already; a key is a name of GraphQL."""
    return b"{" + b",".join([b'"%b":%b' % (key.encode(), text) for key, text in members]) + b"}"


def _shaped(text: bytes, parts: tuple[Part, ...]) -> bytes:
    """JSON text as it was found, or arranged anew where the answer has another form."""
    return msgspec.json.encode(arranged(msgspec.json.decode(text), parts)) if parts else text


def arranged(value: Any, parts: tuple[Part, ...]) -> Any:
    """A value with the members that are wanted, under the keys of the document."""
    if isinstance(value, list):
        return [arranged(one, parts) for one in value]
    if not parts or (value is None and any(part.source for part in parts)):
        return value
    return {part.key: _member(value, part) for part in parts}


def _member(value: Any, part: Part) -> Any:
    if part.source.startswith("="):
        return part.source[1:]
    return arranged(value[part.source] if part.source else value, part.parts)
