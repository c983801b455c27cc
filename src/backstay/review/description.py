"""A revision of an application, described: everything that a comparison needs, as one JSON document.

Invariant: a description holds nothing of the machine or the moment it was made in. The same declaration makes the same
text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from backstay.app import App
from backstay.model.predicate import Condition, describe
from backstay.review import notation
from backstay.review.access import matrix, rules
from backstay.store.snapshot import take

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """One rule of a description. `made` is how a computed field is made, as text that can be compared."""

    name: str
    was: str
    of: Literal["model", "field", "action"]
    condition: Condition
    words: str
    roles: frozenset[str]
    old_data: bool
    made: str
    formula: str
    """How a computed field is made, in words."""


@dataclass(frozen=True, slots=True)
class Description:
    """What one revision of an application declares: its rules, its tables and its API."""

    name: str
    decisions: Mapping[str, Decision]
    schema: bytes
    openapi: Mapping[str, Any]


def described(app: App) -> str:
    """The description of an application as JSON. Pure, no round trip."""
    user = app.schema.user
    body = {
        "format": FORMAT,
        "name": app.name,
        "version": app.version,
        "access": asdict(matrix(app)),
        "rules": [
            {"name": rule.name, "was": rule.was, "of": rule.of, "words": rule.words, "old_data": rule.old_data,
             "condition": notation.written(rule.condition, rule.entity, user),
             "made": "" if rule.made is None
             else json.dumps(notation.written(rule.made, rule.entity, user), sort_keys=True),
             "formula": "" if rule.made is None else describe(rule.made)}
            for rule in rules(app)
        ],
        "schema": json.loads(take(app.schema)),
        "openapi": app.openapi(),
    }  # fmt: skip
    return json.dumps(body, indent=1, ensure_ascii=False)


def read(text: str | bytes) -> Description:
    """What was described. Raises `ValueError` for another text, and for one of a newer format."""
    try:
        body = json.loads(text)
        if body["format"] > FORMAT:
            raise ValueError(f"it has format {body['format']}, and was made by a newer Backstay")
        decisions = {raw["name"]: _decision(raw) for raw in body["rules"]}
        return Description(body["name"], decisions, json.dumps(body["schema"]).encode(), body["openapi"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not what `backstay check FILE --json` prints ({type(error).__name__})") from None


def _decision(raw: Mapping[str, Any]) -> Decision:
    condition = notation.read(raw["condition"])
    roles = notation.roles_of(raw["condition"])
    return Decision(
        raw["name"], raw["was"], raw["of"], condition, raw["words"], roles, raw["old_data"], raw["made"],
        raw["formula"],
    )  # fmt: skip
