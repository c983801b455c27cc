"""The OpenAPI 3.1 document of an application, as one standing sees it: made from the declaration, never by hand.

Invariant: what it says follows from the same declaration and limits that serve the requests, and a field that this
standing may not read is nowhere in it. Rules are told to the developer only (`everything`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.api.json_schema import json_schema, nullable
from backstay.api.openapi_answers import (
    ACCEPTED,
    API_KEYS,
    BATCHED,
    DOCUMENT,
    FREE,
    HEADERS,
    IN_COOKIES,
    LOGIN,
    NEW_KEY,
    PASSWORD,
    PROBLEM,
    REFRESH,
    SAME,
    SESSIONS,
    TICKET,
    TOKENS,
    answer,
    body,
    linked,
    problem_responses,
    session,
    wanted_key,
)
from backstay.api.openapi_keys import REPLAYED, keys, with_keys
from backstay.api.openapi_parameters import Parameters, key_parameter, shared
from backstay.api.openapi_schemas import Schemas, said
from backstay.api.view import Access, View, view
from backstay.model.field import Action, Entity, Schema
from backstay.model.predicate import ANYONE, Condition, describe
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.scope import scopes_of
from backstay.plan.write import filled_by_table

__all__ = ["ActionDoc", "json_schema", "openapi"]

_BEARER: list[dict[str, Any]] = [{"bearer": []}, {"cookie": []}]
_ALWAYS = (400, 401, 414, 421, 429, 431, 500, 503)
_BODY = (408, 413, 415, 422)
_FILTERS = """Lists are filtered by the names of fields: `?status=paid` means equal, an operator stands in brackets,
`?price[gte]=10&price[lt]=50`, and a path passes relations, `?category.slug=tea`. The operators are `eq ne lt lte gt
gte in not_in contains icontains starts_with is_null`. Everything else is said in `where`, a JSON object with the same
words and `and or not`, and `some none every` for relations to many. Whatever is unknown is an error that names it."""


@dataclass(frozen=True, slots=True)
class ActionDoc:
    """An action of the application's own: variables of its path stand in braces, `/api/orders/{id}/ship`.

    The properties of `request_schema` are its arguments: those named in the path stand there, those of a GET or
    DELETE in the query, the others in the body. It answers with the record of the model named `record`, as the
    viewer reads it, or with `several`; in a form of its own where it is `free`; or by the
    `response_schema`. Without any of these it answers 204. A `raw` one takes a body in a form of its own. It is listed
    for those whom `allow` lets call it.
    """

    method: str
    path: str
    summary: str
    request_schema: dict[str, Any] | None = None
    response_schema: dict[str, Any] | None = None
    allow: Condition = ANYONE
    status: int = 200
    name: str = ""
    description: str = ""
    record: str = ""
    several: bool = False
    free: bool = False
    key_required: bool = False
    raw: bool = False


def openapi(
    schema: Schema, actor: Actor, limits: Limits, *, title: str, version: str,
    actions: Sequence[ActionDoc] = (), everything: bool = False, accounts: bool = True, root: str = "",
) -> dict[str, Any]:  # fmt: skip
    """The document for an actor's standing; it depends on nothing else of the actor.

    A field that the standing may not read is not in it. Operations are listed where the rule can hold for this
    standing, and for the anonymous also where it can hold for any account; those name their `security`.
    `everything` is the developer's own document, with all fields and the rules in words: never serve it to others.
    `root` is the path that the application is mounted at. Without `accounts` the application has a log-in of its own,
    and none of ours is in it.
    Pure, no round trip.
    """
    writer = _Document(view(schema, actor, everything), limits)
    required = {(action.method, action.path) for action in actions if action.key_required}
    paths = with_keys(writer.paths(actions, accounts=accounts), required)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": " ".join(_FILTERS.split())},
        "servers": [{"url": root or "/"}],
        "tags": writer.tags,
        "paths": paths,
        "components": {
            "schemas": dict(sorted(writer.schemas.made.items())),
            "responses": writer.responses,
            "parameters": {**writer.parameters.made, **keys(not (writer.view.signed_in or everything))},
            "headers": {**HEADERS, "IdempotencyReplayed": REPLAYED},
            "securitySchemes": {
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-backstay_access",
                    "description": "Set by a login with `cookie`; for pages of the same site.",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `access_token` of a login, or an API key.",
                },
            },
        },
    }


class _Document:
    """Writes the operations of one document."""

    def __init__(self, of: View, limits: Limits) -> None:
        self.view = of
        self.limits = limits
        self.schemas = Schemas(of, limits)
        self.responses = problem_responses(self.schemas.shared("Problem", PROBLEM))
        self.parameters = Parameters(of, limits, self.schemas)
        self.tags: list[dict[str, Any]] = []
        self._ids: set[str] = set()

    def paths(self, actions: Sequence[ActionDoc], *, accounts: bool) -> dict[str, Any]:
        """Every path with its operations: the models' first, then actions, accounts and health."""
        paths: dict[str, Any] = {}
        for entity in self.view.schema.by_plural().values():
            found = self._entity(entity)
            if found:
                self.tags.append({"name": entity.plural, **({"description": said(entity)} if said(entity) else {})})
                paths |= found
        called = []
        for action in actions:
            if (access := self.view.calls(action.name, action.allow)) is not None:
                paths.setdefault(action.path, {})[action.method.lower()] = self._action(action, access)
                called.append(action.name)
        if called:
            self.tags.append({"name": "actions"})
        if accounts:
            self.tags.append({"name": "auth", "description": "Accounts and sessions."})
            paths |= self._auth(scopes_of(self._models(), called))
        self.tags.append({"name": "operation"})
        return paths | self._batch() | self._about()

    def _models(self) -> list[str]:
        """The plurals of the models that this standing may do anything with."""
        every = self.view.schema.by_plural()
        return [name for name, entity in every.items() if any(self.view.access(entity, a) for a in entity.rules)]

    def _operation(
        self, name: str, tag: str, summary: str, responses: dict[str, Any], *, access: Access = "open",
        problems: Iterable[int] = (), **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        while name in self._ids:
            name += "_"
        self._ids.add(name)
        known = sorted({*_ALWAYS, *problems, *(_BODY if "requestBody" in more else ())})
        problem = {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in known}
        security = _BEARER if access == "signed_in" else [{}, *_BEARER]
        notes = [more.pop("description", ""), "Needs somebody signed in." if access == "signed_in" else ""]
        more["description"] = "\n\n".join(note for note in notes if note)
        return {
            "operationId": name, "tags": [tag], "summary": summary, "security": security,
            **{key: value for key, value in more.items() if value}, "responses": {**responses, **problem},
        }  # fmt: skip

    # Models.

    def _entity(self, entity: Entity) -> dict[str, Any]:
        """The paths of one model: what can be read, then what can be written."""
        one = _singular(entity)
        base = f"/api/{entity.plural}"
        found: dict[str, Any] = {}
        read = self.view.access(entity, "read")
        if read is not None:
            hidden = (403,) if read == "signed_in" else ()
            page = {
                **answer(f"A page of {_words(entity.plural)}.", self.schemas.listing(entity), "ETag", "Link"),
                **SAME,
            }
            linked(page, f"get_{one}", id="$response.body#/data/0/id")
            linked(page, f"list_{entity.plural}", "next", cursor="$response.body#/meta/next_cursor")
            found[base] = {"get": self._operation(
                f"list_{entity.plural}", entity.plural, f"List {_words(entity.plural)}", page, access=read,
                problems=hidden, parameters=self.parameters.listing(entity), description=self._rule(entity, "read"),
            )}  # fmt: skip
            groups = {**answer("One entry for each group.", self.schemas.groups(entity), "ETag"), **SAME}
            found[f"{base}/aggregate"] = {"get": self._operation(
                f"aggregate_{entity.plural}", entity.plural, f"Count and sum {_words(entity.plural)}", groups,
                access=read, problems=hidden, parameters=self.parameters.groups(entity),
                description=self._rule(entity, "read"),
            )}  # fmt: skip
            record = {**answer(f"The {_words(one)}.", self.schemas.shown(entity), "ETag"), **SAME}
            self._onward(record, entity, one, id="$request.path.id", **{"If-Match": "$response.header.ETag"})
            found[f"{base}/{{id}}"] = {"get": self._operation(
                f"get_{one}", entity.plural, f"Read one {_words(one)}", record, access=read,
                problems=(*hidden, 404), description=self._rule(entity, "read"),
                parameters=[key_parameter(entity), *self.parameters.shown(entity), shared("if_none_match")],
            )}  # fmt: skip
        self._writes(entity, one, base, found)
        return found

    def _onward(self, responses: dict[str, Any], entity: Entity, one: str, **parameters: str) -> None:
        """Links from a record to what can be done with it."""
        for action, name in (("update", "update"), ("delete", "delete")):
            if self.view.access(entity, action) is not None:  # type: ignore[arg-type]
                linked(responses, f"{name}_{one}", **parameters)

    def _writes(self, entity: Entity, one: str, base: str, found: dict[str, Any]) -> None:
        readable = self.view.access(entity, "read") is not None
        record = self.schemas.shown(entity) if readable else None
        create, update = self.view.access(entity, "create"), self.view.access(entity, "update")
        delete = self.view.access(entity, "delete")
        shown = self.parameters.shown(entity) if readable else []
        if create is not None:
            said_of = "The new record, without a body where its maker may not read it; of a list the readable ones."
            made = {"anyOf": [*record["anyOf"], self.schemas.created(entity)]} if record is not None else None
            sent = self.schemas.create(entity, create)
            several = {"type": "array", "items": sent, "maxItems": self.limits.max_bulk}
            responses = answer(said_of, made, "Location", *(["ETag"] if readable else []), status="201")
            if readable:
                linked(responses, f"get_{one}", id="$response.body#/id")
                self._onward(responses, entity, one, id="$response.body#/id")
            found.setdefault(base, {})["post"] = self._operation(
                f"create_{one}", entity.plural, f"Create {_words(entity.plural)}, one or many", responses,
                access=create, problems=(403, 409), description=self._rule(entity, "create"), parameters=shown,
                requestBody=body({"oneOf": [sent, several]}),
            )  # fmt: skip
        self._put(entity, one, base, found)
        if update is not None:
            changed = answer("The record as it is now.", record, "ETag") if readable else {}
            unseen = answer("Changed; who changed it may not read it.", None, status="204")
            found.setdefault(f"{base}/{{id}}", {})["patch"] = self._operation(
                f"update_{one}", entity.plural, f"Change one {_words(one)}", {**changed, **unseen},
                access=update, problems=(403, 404, 409, 412),
                parameters=[key_parameter(entity), shared("if_match"), *shown],
                description=self._rule(entity, "update"), requestBody=body(self.schemas.update(entity, update)),
            )  # fmt: skip
        if delete is not None:
            found.setdefault(f"{base}/{{id}}", {})["delete"] = self._operation(
                f"delete_{one}", entity.plural, f"Delete one {_words(one)}", answer("Deleted.", None, status="204"),
                access=delete, problems=(403, 404, 409, 412), parameters=[key_parameter(entity), shared("if_match")],
                description=self._rule(entity, "delete"),
            )  # fmt: skip

    def _put(self, entity: Entity, one: str, base: str, found: dict[str, Any]) -> None:
        """Replacing, by who may change a record, and creating under an id, by who may create one."""
        create, update = self.view.access(entity, "create"), self.view.access(entity, "update")
        if filled_by_table(entity.key):
            create = None  # the database numbers the records
        readable = self.view.access(entity, "read") is not None
        access = "open" if "open" in (create, update) else create or update
        sent = self.schemas.put(entity)
        if access is None or sent is None:
            return
        record = self.schemas.shown(entity) if readable else None
        shown = self.parameters.shown(entity) if readable else []
        responses: dict[str, Any] = {}
        if create is not None:
            headers = ("Location", *(["ETag"] if readable else []))
            responses |= answer("It is new; without a body where its maker may not read it.", record, *headers,
                                status="201")  # fmt: skip
        if update is not None and readable:
            responses |= answer("The record as it is now.", record, "ETag")
            responses |= answer("Replaced; who replaced it may not read it.", None, status="204")
        if readable:
            linked(responses, f"get_{one}", id="$request.path.id")
            self._onward(responses, entity, one, id="$request.path.id")
        rules = dict.fromkeys(filter(None, (self._rule(entity, "create"), self._rule(entity, "update"))))
        found.setdefault(f"{base}/{{id}}", {})["put"] = self._operation(
            f"put_{one}", entity.plural, f"Replace one {_words(one)}, or create it under an id", responses,
            access=access, problems=(403, 404, 409, 412),
            parameters=[key_parameter(entity), shared("if_match"), shared("if_absent"), *shown], requestBody=body(sent),
            description="\n\n".join(["A field that is not sent gets its default, or null.", *rules]),
        )  # fmt: skip

    def _rule(self, entity: Entity, action: Action) -> str:
        return f"Who may: `{describe(entity.rules[action])}`." if self.view.everything else ""

    # What belongs to no model.

    def _auth(self, scopes: list[str]) -> dict[str, Any]:
        user = self.schemas.record(self.view.schema.user)
        login = self.schemas.shared("Login", LOGIN)
        held = answer("Signed in.", self.schemas.shared("Session", session(user)))
        tokens = answer("The new pair.", self.schemas.shared("Tokens", {"oneOf": [TOKENS, IN_COOKIES]}))
        sessions = answer("The newest first.", self.schemas.shared("Sessions", SESSIONS))
        ended = answer("Ended.", None, status="204")
        accepted = "Taken; the same answer whether or not the address has an account."
        for found in (held, tokens):
            linked(found, "refresh", body={"refresh_token": "$response.body#/refresh_token"})
        linked(sessions, "end_session", id="$response.body#/data/0/id")
        return {
            "/api/auth/signup": {"post": self._operation(
                "signup", "auth", "Open an account", answer(accepted, ACCEPTED, status="202"),
                requestBody=body(self.schemas.signup()),
            )},
            "/api/auth/login": {"post": self._operation(
                "login", "auth", "Sign in", held, problems=(403,),
                requestBody=body(login),
            )},
            "/api/auth/refresh": {"post": self._operation(
                "refresh", "auth", "Spend a refresh token for a new pair", tokens, problems=(403,),
                requestBody=body(self.schemas.shared("Refresh", REFRESH)),
            )},
            "/api/auth/logout": {"post": self._operation(
                "logout", "auth", "End the session", answer("Signed out.", None, status="204"), access="signed_in",
                problems=(403,),
            )},
            "/api/auth/sessions": {
                "get": self._operation(
                    "list_sessions", "auth", "Where one is signed in", sessions, access="signed_in",
                    problems=(403,),
                ),
                "delete": self._operation(
                    "end_other_sessions", "auth", "End all other sessions", ended, access="signed_in", problems=(403,),
                ),
            },
            "/api/auth/sessions/{id}": {"delete": self._operation(
                "end_session", "auth", "End one session", ended, access="signed_in", problems=(403, 404),
                parameters=[shared("id")],
            )},
            "/api/live/ticket": {"post": self._operation(
                "live_ticket", "auth", "A ticket that opens one live stream, once, within 30 seconds",
                answer("For an `EventSource`, which can send no header.", self.schemas.shared("Ticket", TICKET)),
                access="signed_in", problems=(403,),
            )},
            "/api/auth/keys": {
                "get": self._operation(
                    "list_keys", "auth", "The API keys of the signed-in user",
                    answer("The newest first.", self.schemas.shared("Keys", API_KEYS)), access="signed_in",
                    problems=(403,),
                ),
                "post": self._operation(
                    "create_key", "auth", "Make an API key",
                    answer("The key, shown this once.", self.schemas.shared("NewKey", NEW_KEY), status="201"),
                    access="signed_in", problems=(403, 409),
                    requestBody=body(self.schemas.shared("WantedKey", wanted_key(scopes))),
                ),
                "delete": self._operation(
                    "revoke_keys", "auth", "Revoke every API key", ended, access="signed_in", problems=(403,),
                ),
            },
            "/api/auth/keys/{id}": {"delete": self._operation(
                "revoke_key", "auth", "Revoke one API key", ended, access="signed_in", problems=(403, 404),
                parameters=[shared("id")],
            )},
            "/api/auth/password": {"post": self._operation(
                "change_password", "auth", "Choose another password", answer("Changed.", None, status="204"),
                access="signed_in", problems=(403,),
                requestBody=body(self.schemas.shared("PasswordChange", PASSWORD)),
            )},
            "/api/auth/me": {"get": self._operation(
                "me", "auth", "Who is signed in", {**answer("The user.", user, "ETag"), **SAME}, access="signed_in",
            )},
        }  # fmt: skip

    def _batch(self) -> dict[str, Any]:
        sent = self.schemas.batch()
        if sent is None:
            return {}
        done = answer("All of them are done.", self.schemas.shared("BatchAnswer", BATCHED))
        return {"/api/batch": {"post": self._operation(
            "batch", "operation", "Several writes in one transaction", done,
            problems=(403, 404, 405, 409), requestBody=body(sent),
            description="The first operation that fails undoes all; `errors` begin with its place, `operations[3]`.",
        )}}  # fmt: skip

    def _about(self) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
        checks = {
            "type": "object", "additionalProperties": {"const": "ok"}, "description": "Each part; told to operators.",
        }  # fmt: skip
        ready = {**schema, "properties": {"status": {"const": "ok"}, "checks": checks}}
        document = {**answer("This document, as this viewer may know it.", DOCUMENT, "ETag"), **SAME}
        return {
            "/openapi.json": {"get": self._operation(
                "openapi", "operation", "What is served, for programs", document, parameters=[shared("if_none_match")],
            )},
            "/healthz": {"get": self._operation(
                "healthz", "operation", "Whether the server is alive",
                answer("Alive.", self.schemas.shared("Health", schema)),
            )},
            "/readyz": {"get": self._operation(
                "readyz", "operation", "Whether the server is ready for requests",
                answer("Ready.", self.schemas.shared("Readiness", ready)),
            )},
        }  # fmt: skip

    def _action(self, action: ActionDoc, access: Access) -> dict[str, Any]:
        method = action.method.lower()
        summary, _, more = action.summary.partition("\n")
        asked_for = self.schemas.adopt(action.request_schema or {})
        arguments: dict[str, Any] = asked_for.get("properties", {})
        required: list[str] = asked_for.get("required", [])
        in_path = re.findall(r"\{(\w+)\}", action.path)
        rest = {name: schema for name, schema in arguments.items() if name not in in_path}
        parameters: list[dict[str, Any]] = [
            _argument(name, "path", True, arguments.get(name, {"type": "string"})) for name in in_path
        ]
        sent = None
        told: dict[str, Any] = {}
        if method in ("get", "delete"):
            for name, schema in rest.items():
                parameters.append(_argument(name, "query", name in required, schema))
        elif rest or (asked_for and not arguments):
            still = [name for name in required if name in rest]
            sent = {**asked_for, **({"properties": rest} if rest else {}), **({"required": still} if still else {})}
            if not still:
                sent.pop("required", None)
        if action.raw:
            told |= {"requestBody": {"required": True, "content": FREE}}
        responses = answer("Done.", None, status="204")
        if action.free:
            responses = {"default": {"description": "An answer in a form of its own.", "content": FREE}}
        elif action.record:
            whole = nullable(self.schemas.record(self.view.schema.entities[action.record]))
            said, status = "Done; null where a record may not be read.", str(action.status)
            responses = answer(said, {"type": "array", "items": whole} if action.several else whole, status=status)
        elif action.response_schema is not None:
            responses = answer("Done.", self.schemas.adopt(action.response_schema), status=str(action.status))
        name = action.name or re.sub(r"\W+", "_", f"{method}_{action.path}").strip("_")
        return self._operation(
            name, "actions", summary, responses, access=access,
            parameters=parameters, description=action.description or more.strip(),
            problems=(403, 404, 409, 422),
            **({"requestBody": body(sent, required="required" in sent)} if sent else told),
        )  # fmt: skip


def _argument(name: str, place: str, required: bool, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "in": place, "required": required, "description": f"The argument `{name}`.", "schema": schema,
    }  # fmt: skip


def _words(name: str) -> str:
    return name.replace("_", " ")


def _singular(entity: Entity) -> str:
    return re.sub(r"(?<=[^A-Z_])(?=[A-Z])", "_", entity.name).lower()
