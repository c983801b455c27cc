"""What is served about the API itself: its description for programs, and its pages for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backstay.api.action import Action
from backstay.api.docs_page import DOCS_CSP, docs_files
from backstay.api.http import Handler, Request, Response, Router
from backstay.api.openapi import ActionDoc, openapi
from backstay.api.render import digest, json_response
from backstay.model.field import Schema
from backstay.plan.limits import Limits


def action_docs(actions: Sequence[Action]) -> list[ActionDoc]:
    """The actions as the OpenAPI document shows them."""
    return [action.document() for action in actions if action.documented]


def serve_pages(
    router: Router,
    schema: Schema,
    actions: Sequence[Action],
    limits: Limits,
    title: str,
    version: str,
    *,
    accounts: bool = True,
) -> None:
    """Serve `/openapi.json`, each viewer's own, and `/docs`."""
    made: dict[Any, bytes] = {}

    async def description(request: Request) -> Response:
        standing = (request.actor.standing, request.root)
        if standing not in made:
            if len(made) > 100:
                made.clear()
            made[standing] = msgspec.json.encode(
                openapi(
                    schema,
                    request.actor,
                    limits,
                    title=title,
                    version=version,
                    actions=action_docs(actions),
                    accounts=accounts,
                    root=request.root,
                )
            )
        body = made[standing]
        return json_response(request, body, f'"{digest(body)}"')

    router.add("/openapi.json", GET=description)
    for path, (kind, content) in docs_files(title).items():
        router.add(path, GET=_page(kind, content))


def _page(kind: str, content: Any) -> Handler:
    async def page(request: Request) -> Response:
        body: bytes = content() if callable(content) else content
        headers = [(b"content-type", kind.encode()), (b"content-security-policy", DOCS_CSP.encode()),
                   (b"cache-control", b"no-cache")]  # fmt: skip
        return Response(200, body, headers)

    return page
