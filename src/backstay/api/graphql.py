"""`/graphql`: the door for GraphQL. A document is read, checked against the schema of whoever asks, and planned.

Invariant: nothing is decided here. A query of any depth and number of roots is one `Ask`, so one plan with the rules of
every model in it, and one statement; what the plan refuses of one root is that root's error, and the others are
answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from graphql import execute_sync
from graphql.language import OperationType

from backstay.api.action import Action
from backstay.api.cursor import Cursors
from backstay.api.graphiql_page import GRAPHIQL_CSP, GRAPHIQL_FILES, graphiql_file
from backstay.api.graphql_changes import Effect
from backstay.api.graphql_document import Document
from backstay.api.graphql_documents import Documents, Question, joined, shallow
from backstay.api.graphql_effects import Effects
from backstay.api.graphql_exchange import (
    PLAIN,
    Asked,
    Failed,
    data_response,
    media_type,
    posted,
    problem_response,
    queried,
    refused_response,
)
from backstay.api.graphql_persisted import Persisted
from backstay.api.graphql_reading import INTROSPECTION, NODE, Answer
from backstay.api.graphql_schema import Graph, Graphs, Refused
from backstay.api.http import Request, Response, Router
from backstay.errors import BadRequest, Problem
from backstay.model.field import Entity
from backstay.plan.actor import Actor
from backstay.plan.ask import Ask
from backstay.plan.planner import refused
from backstay.plan.scope import permitted
from backstay.store.engine import Engine, Found
from backstay.store.sql import Statement
from backstay.telemetry.trace import stage

PATH = "/graphql"
_LATER = ("unavailable", "overloaded", "timeout", "in_progress", "maintenance")
"""What a request is refused with as a whole, so that its client tries again."""
_APART = (401, 403)
"""What one root may be refused with while the others are answered."""


class GraphQL:
    """The handlers of `/graphql`. Where there is `introspection` the schema may be asked for; `page` is for people."""

    effects: Effects
    """Carries out what documents do; set before the first request."""

    def __init__(
        self, engine: Engine, cursors: Cursors, actions: Sequence[Action] = (), *, introspection: bool,
        listed: Mapping[str, str] | None = None, page: bool = False,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.page = page
        self.persisted = Persisted(engine.limits, listed)
        self.introspection = introspection
        self.graphs = Graphs(engine.schema, engine.limits, actions)
        self.documents = Documents(engine.schema, engine.limits, cursors, self.graphs.names, self.graphs.calls)
        self._statements: dict[Any, Statement] = {}
        self._nodes: dict[Any, Sequence[Entity]] = {}

    def serve(self, router: Router) -> None:
        """Put the handlers into the router, in development those of the page too."""
        router.add(PATH, GET=self.get, POST=self.post)
        for path, (kind, name) in GRAPHIQL_FILES.items() if self.page else ():
            router.add(path, GET=partial(_file, kind, name))

    async def get(self, request: Request) -> Response:
        """A query in the address: nothing changes by it. In development a browser that asks nothing gets the page."""
        if self.page and not request.query and b"text/html" in (request.header(b"accept") or b""):
            return await _file("text/html; charset=utf-8", "index.html", request)
        media = media_type(request)
        try:
            asked = queried(request, self.engine.limits.max_parameters)
        except Problem as problem:
            return problem_response(media, problem, request)
        return await self._answer(asked, media, request)

    async def post(self, request: Request) -> Response:
        """A document in the body."""
        media = media_type(request)
        try:
            asked = await posted(request)
        except Problem as problem:
            return problem_response(media, problem, request)
        return await self._answer(asked, media, request)

    async def _answer(self, asked: Asked, media: str, request: Request) -> Response:
        graph = self.graphs.of(request.actor)
        try:
            text = self.persisted.text(asked)
        except Problem as problem:
            return problem_response(media, problem, request)
        try:
            with shallow():
                with stage("parse"):
                    document = self.documents.document(text, asked.operation)
                    if document.kind is not OperationType.QUERY and request.method != "POST":
                        return self._refuse_effect(document, media, request)
                    self._check(document, graph)
                if document.kind is OperationType.MUTATION:
                    effects, given = self.documents.effects(document, asked.variables)
                    return await self._mutate(effects, given, media, request)
                with stage("parse"):
                    question = self._question(document, graph, asked, request.actor)
            data, failed = await self._query(question, document, graph, asked, request)
        except Refused as told:
            return refused_response(media, told)
        except Problem as problem:
            if media == PLAIN and problem.status == 400:
                return _with_status(problem_response(media, problem, request), 200)
            return problem_response(media, problem, request)
        with stage("render"):
            return data_response(media, data, failed)

    def _refuse_effect(self, document: Document, media: str, request: Request) -> Response:
        said = f"A {document.kind.value} is sent by POST: a GET has no effect."
        problem = Problem(said, code="method_not_allowed", headers={"Allow": "POST"})
        return problem_response(media, problem, request)

    # Documents.

    def _check(self, document: Document, graph: Graph) -> None:
        """See that a document is valid in the schema of whoever asks it."""
        if not graph.knows(document.number):
            try:
                graph.check(document.parsed)
            except Refused:  # read again, with the places that are told
                graph.check(self.documents.parsed(document.text, placed=True))
                raise
            graph.keep(document.number)

    def _question(self, document: Document, graph: Graph, asked: Asked, actor: Actor) -> Question:
        nodes = self._found_in(graph, actor) if NODE in document.root_names else ()
        return self.documents.question(document, asked.variables, actor, nodes)

    def _found_in(self, graph: Graph, actor: Actor) -> Sequence[Entity]:
        """The models that `node` looks in: those of which this standing may read some record."""
        if (known := self._nodes.get(actor.standing)) is None:
            schema, limits = self.engine.schema, self.engine.limits
            known = tuple(
                entity for entity in graph.nodes
                if permitted(actor.scopes, entity, "read") and refused(entity, ("read",), schema, actor, limits) is None
            )  # fmt: skip
            if len(self._nodes) >= limits.remembered_plans:
                self._nodes.clear()
            self._nodes[actor.standing] = known
        return known

    # Queries.

    async def _query(
        self, question: Question, document: Document, graph: Graph, asked: Asked, request: Request
    ) -> tuple[bytes, Sequence[Failed]]:
        """What a query finds, and what of it could not be answered: one statement, and what its actions do."""
        actor = request.actor
        failed: dict[str, Problem] = {}
        found: Sequence[Found] = ()
        if question.ask.roots:
            try:
                statement = self._statement(question, actor)
            except Problem as problem:
                if problem.status not in _APART:
                    raise
                question, failed = self._apart(question, actor)
                statement = self._statement(question, actor) if question.ask.roots else None
            if statement is not None:
                found = await self.engine.answer(statement, question.ask.values, actor)
        told = self._introspected(document, graph, asked) if document.root_names & {*INTROSPECTION} else {}
        members = []
        for answer in question.answers:
            if answer.key in failed:
                members.append((answer.key, b"null"))
            elif answer.kind == "call":
                try:
                    called = await self.effects.run(question.calls[answer.at], question.given, request, None)
                except Problem as problem:
                    failed[answer.key] = problem
                    called = b"null"
                members.append((answer.key, called))
            elif answer.kind == "introspection":
                members.append((answer.key, told[answer.key]))
            else:
                members.append((answer.key, self.documents.answered(answer, found, actor)))
        return joined(members), [Failed((key,), problem) for key, problem in failed.items()]

    def _statement(self, question: Question, actor: Actor) -> Statement | None:
        """The statement of a question, found by the number of its shape where it was asked before."""
        key = (question.shape, actor.standing)
        if question.shape and (known := self._statements.get(key)) is not None:
            return known
        statement = self.engine.statement(question.ask, actor)
        if question.shape:
            if len(self._statements) >= self.engine.limits.remembered_plans:
                self._statements.pop(next(iter(self._statements)))
            self._statements[key] = statement
        return statement

    def _apart(self, question: Question, actor: Actor) -> tuple[Question, dict[str, Problem]]:
        """The question without the roots that this actor may not ask, and what is told of those."""
        failed: dict[str, Problem] = {}
        roots: list[Any] = []
        answers: list[Answer] = []
        for answer in question.answers:
            mine = question.ask.roots[answer.at : answer.at + answer.roots] if answer.kind != "call" else ()
            try:
                if mine:
                    self.engine.statement(Ask(mine, question.ask.values), actor)
            except Problem as problem:
                if problem.status not in _APART:
                    raise
                failed[answer.key] = problem
                answers.append(answer)
                continue
            answers.append(replace(answer, at=len(roots)) if mine else answer)
            roots += mine
        ask = Ask(tuple(roots), question.ask.values)
        return replace(question, ask=ask, answers=tuple(answers), shape=0), failed

    # Mutations.

    async def _mutate(
        self, effects: Sequence[Effect], given: Mapping[Any, Any], media: str, request: Request
    ) -> Response:
        """Each field in its own transaction, one after the other. What is alone has its answer kept with its effect."""
        alone = len(effects) == 1
        members: list[tuple[str, bytes]] = []
        failed: list[Failed] = []
        for effect in effects:

            def respond(shown: bytes, key: str = effect.key) -> Response:
                return data_response(media, joined([(key, shown)]))

            try:
                shown = await self.effects.run(effect, given, request, respond if alone else None)
            except Problem as problem:
                if alone and problem.status in (409, 429, 503) and problem.code in _LATER:
                    raise
                failed.append(Failed((effect.key,), problem))
                shown = b"null"
            members.append((effect.key, shown))
        response = data_response(media, joined(members), failed)
        response.settled = not failed
        return response

    def _introspected(self, document: Document, graph: Graph, asked: Asked) -> dict[str, bytes]:
        """What is told of the schema itself, by key; the other fields have no value there."""
        if not self.introspection:
            raise BadRequest(code="introspection_off")
        result = execute_sync(
            graph.schema, document.parsed, {}, variable_values=dict(asked.variables), operation_name=asked.operation
        )
        if result.errors or result.data is None:
            raise BadRequest(result.errors[0].message if result.errors else "")
        return {key: msgspec.json.encode(value) for key, value in result.data.items()}


def _with_status(response: Response, status: int) -> Response:
    response.status = status
    return response


async def _file(kind: str, name: str, request: Request) -> Response:
    headers = [(b"content-type", kind.encode()), (b"content-security-policy", GRAPHIQL_CSP.encode()),
               (b"cache-control", b"no-cache")]  # fmt: skip
    return Response(200, graphiql_file(name), headers)
