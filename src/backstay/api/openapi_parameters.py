"""The parameters of lists and aggregates in an OpenAPI document: filters, order, pages, what is shown.

Invariant: a parameter names only fields that are there for the viewer, and what `query.py` reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backstay.api.json_schema import json_schema
from backstay.api.openapi_schemas import Schemas
from backstay.api.query import GROUP_PARAMETERS, LIST_PARAMETERS
from backstay.api.view import View
from backstay.model.field import Entity, Field, ToMany
from backstay.model.value import INTEGER, TEXT, Kind
from backstay.plan.limits import Limits
from backstay.plan.planner import SUMMABLE

_RANGED = ("integer", "big_integer", "float", "decimal", "date", "time", "datetime", "duration", "money")
_RESERVED = frozenset({*LIST_PARAMETERS, *GROUP_PARAMETERS})


class Parameters:
    """Writes the parameters of the operations on each model."""

    def __init__(self, of: View, limits: Limits, schemas: Schemas) -> None:
        self.view = of
        self.limits = limits
        self.schemas = schemas
        self.made = shared_parameters(limits)

    def listing(self, entity: Entity) -> list[dict[str, Any]]:
        """Those of a list."""
        names = [shared(name) for name in ("limit", "cursor", "page", "count")]
        return [
            self._where(entity), self._sort(entity), *names, *self.shown(entity), *self._search(entity),
            *self._filters(entity), shared("if_none_match"),
        ]  # fmt: skip

    def groups(self, entity: Entity) -> list[dict[str, Any]]:
        """Those of an aggregate."""
        fields = [part for part in self.view.parts(entity) if not isinstance(part, ToMany) and part.kind.ordered]
        all_names = _listed(part.name for part in fields)
        numbers = _listed(part.name for part in fields if part.kind.name in SUMMABLE)
        ordered = _listed(part.name for part in fields if part.kind.name != "boolean")
        found = [
            _text("group_by", f"Fields that make the groups, separated by commas: {all_names}; also by path."),
            _text("count", "`*` counts records, the name of a field its values.", examples=["*"]),
            _text("count_distinct", f"Fields whose different values are counted: {all_names}."),
            *([_text(fn, f"Fields, separated by commas: {numbers}.") for fn in ("sum", "avg")] if numbers else []),
            *[_text(fn, f"Fields, separated by commas: {ordered}.") for fn in ("min", "max")],
            _text("sort", "Groups and numbers of this question, such as `-sum.total`; `-` for descending."),
            shared("limit"), shared("page"),
        ]  # fmt: skip
        return [*found, self._where(entity), *self._search(entity), *self._filters(entity), shared("if_none_match")]

    def _where(self, entity: Entity) -> dict[str, Any]:
        content = {"application/json": {"schema": self.schemas.filter(entity), "example": {}}}
        return {"name": "where", "in": "query", "description": "A filter as a JSON object.", "content": content}

    def _sort(self, entity: Entity) -> dict[str, Any]:
        parts = self.view.parts(entity)
        names = [part.name for part in parts if not isinstance(part, ToMany) and part.kind.ordered]
        keys = f"Up to {self.limits.max_sort} keys, separated by commas, `-` for descending"
        told = f"{keys}: {_listed(names)}; also by path."
        return _text("sort", told, examples=[f"-{name}" for name in names[-1:]])

    def _search(self, entity: Entity) -> list[dict[str, Any]]:
        if not entity.search:
            return []
        schema = {"type": "string", "maxLength": self.limits.max_needle}
        told = f"Words in {_listed(entity.search)}, ranked unless sorted."
        return [{"name": "search", "in": "query", "description": told, "schema": schema}]

    def shown(self, entity: Entity) -> list[dict[str, Any]]:
        """What is shown of a record: `fields`, and `expand` where there is something to expand."""
        parts = self.view.parts(entity)
        names = _listed(part.name for part in parts if not isinstance(part, ToMany))
        found = [
            _text(
                "fields",
                f"Answer with these only, whatever else is required: {names}; separated by commas, also by path.",
            )
        ]
        targets = [
            part.name for part in parts
            if isinstance(part, (Field, ToMany)) and part.target is not None and self.view.opens(part.target)
        ]  # fmt: skip
        if targets:
            told = (
                f"Relations to answer with, separated by commas: {_listed(targets)}; also by path, at most "
                f"{self.limits.max_depth} levels. Of relations to many, `expand[name][limit]` and its like "
                "(`sort`, `where`, `fields`) say which and how."
            )
            found.append(_text("expand", told))
        return found

    def _filters(self, entity: Entity) -> list[dict[str, Any]]:
        """One parameter for each field, and a least and a bound for those that have a range."""
        found: dict[str, Kind] = {}
        for part in self.view.parts(entity):
            if isinstance(part, ToMany) or part.name in _RESERVED or part.kind.name == "json" or part.kind.sealed:
                continue
            name, kind = part.name, part.kind
            if kind.name == "list" and kind.item is not None:
                found[f"{name}[contains]"] = kind.item
                continue
            if kind.name == "money":  # a number means minor units
                if not kind.currency:
                    found[f"{name}.currency"] = TEXT
                    name = f"{name}.amount"
                kind = INTEGER
            found[name] = kind
            if part.kind.name in _RANGED:
                found |= {f"{name}[gte]": kind, f"{name}[lt]": kind}
        return [self._filter(f"{entity.plural}.{name}", name, kind) for name, kind in found.items()]

    def _filter(self, key: str, name: str, kind: Kind) -> dict[str, Any]:
        key = key.replace("[", ".").rstrip("]")
        self.made[key] = {"name": name, "in": "query", "schema": self.schemas.value(kind)}
        return shared(key)


def _text(name: str, said_of: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": said_of, "schema": {"type": "string", **more}}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def shared(name: str) -> dict[str, Any]:
    """A reference to a parameter that many operations have."""
    return {"$ref": f"#/components/parameters/{name}"}


def shared_parameters(limits: Limits) -> dict[str, Any]:
    """The parameters that many operations have, under the names of their references."""
    page = {"type": "integer", "minimum": 1, "maximum": limits.max_offset}
    size = {"type": "integer", "minimum": 1, "maximum": limits.max_page}
    counts = {"type": "string", "enum": ["none", "exact", "estimated"], "default": "none"}
    found = {
        "limit": ("query", f"How many entries; a list has {limits.page} when nothing is said.", size),
        "cursor": (
            "query",
            "The `next_cursor` of the page before, asked with the same filter and sort.",
            {"type": "string"},
        ),
        "page": ("query", "The number of the page, instead of a cursor.", page),
        "count": ("query", f"Whether `meta.total` is answered; an estimate is exact up to {limits.count_cap}.", counts),
        "id": ("path", "The id of the record.", json_schema(Kind("uuid"))),
        "if_match": (
            "header",
            "The `ETag` the change is made on: 412 when the record changed since.",
            {"type": "string"},
        ),
        "if_absent": ("header", "`*` to create only: 412 when there is a record.", {"const": "*"}),
        "if_none_match": (
            "header",
            "The `ETag` of an answer at hand: 304 when it is still the same.",
            {"type": "string"},
        ),
    }
    names = {"if_match": "If-Match", "if_none_match": "If-None-Match", "if_absent": "If-None-Match"}
    return {
        key: {"name": names.get(key, key), "in": place, "description": text, "schema": schema,
              **({"required": True} if place == "path" else {})}
        for key, (place, text, schema) in found.items()
    }  # fmt: skip
