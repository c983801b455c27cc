"""The parameters of lists and aggregates in an OpenAPI document: filters, order, pages, what is shown.

Invariant: a parameter names only fields that are there for the viewer, and takes only what `query.py` reads. Names
are listed one by one, the own ones of a model and those one relation away; deeper paths are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from backstay.api.json_schema import CLEAN, json_schema
from backstay.api.openapi_schemas import Schemas
from backstay.api.query import GROUP_PARAMETERS, LIST_PARAMETERS
from backstay.api.view import Part, View
from backstay.model.field import Computed, Entity, Field, ToMany
from backstay.model.value import INTEGER, TEXT, Kind, plain
from backstay.plan.limits import Limits
from backstay.plan.planner import SUMMABLE

_RANGED = ("integer", "big_integer", "float", "decimal", "date", "time", "datetime", "duration", "money")
_DATED = ("date", "datetime")
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
            self._where(entity), *self._sort(entity), *names, *self.shown(entity), *self._search(entity),
            *self._filters(entity), shared("if_none_match"),
        ]  # fmt: skip

    def groups(self, entity: Entity) -> list[dict[str, Any]]:
        """Those of an aggregate."""
        fields = [part for part in self.view.parts(entity) if not isinstance(part, ToMany) and part.kind.ordered]
        single = [part for part in fields if not _priced(part)]  # amounts of several currencies have no order
        numbers = [part.name for part in single if part.kind.name in SUMMABLE]
        ordered = [part.name for part in single if part.kind.name != "boolean"]
        named, distinct = [part.name for part in fields], [part.name for part in single]
        most = self.limits.max_measures
        groups = "The fields that make the groups; also by path, such as the field of a related record."
        found = [
            *_several("group_by", groups, list(_grouped(fields)), self.limits.max_groups, unique=True),
            *_several("count", "`*` counts records, a name the values of a field.", ["*", *named], most, unique=True),
            *_several("count_distinct", "Fields whose different values are counted.", distinct, most, unique=True),
            *_several("sum", "Fields to add up.", numbers, most, unique=True),
            *_several("avg", "Fields to take the average of.", numbers, most, unique=True),
            *_several("min", "Fields to find the least value of.", ordered, most, unique=True),
            *_several("max", "Fields to find the greatest value of.", ordered, most, unique=True),
            *self._group_sort(named, distinct, numbers, ordered, list(_grouped(fields))),
            shared("limit"), shared("page"),
        ]  # fmt: skip
        return [*found, self._where(entity), *self._search(entity), *self._filters(entity), shared("if_none_match")]

    def _where(self, entity: Entity) -> dict[str, Any]:
        content = {"application/json": {"schema": self.schemas.filter(entity), "example": {}}}
        self.made[f"{entity.plural}.where"] = {
            "name": "where", "in": "query", "description": "A filter as a JSON object.", "content": content,
        }  # fmt: skip
        return shared(f"{entity.plural}.where")

    def _sort(self, entity: Entity) -> list[dict[str, Any]]:
        names = [path for path, part in self._paths(entity) if part.kind.ordered]
        keys = [key for name in names for key in (name, f"-{name}")]
        told = "The keys of the order, `-` for descending; also by path. The id is always the last one."
        return self._shared(entity, "sort", told, keys, self.limits.max_sort)

    def _group_sort(
        self, named: list[str], distinct: list[str], numbers: list[str], ordered: list[str], groups: list[str]
    ) -> list[dict[str, Any]]:  # fmt: skip
        told = "Groups and numbers that are asked for as well, `-` for descending."
        made = {"count_of": named, "count_distinct": distinct, "sum": numbers, "avg": numbers, "min": ordered,
                "max": ordered}  # fmt: skip
        labels = ["count", *groups, *(f"{fn}.{name}" for fn, names in made.items() for name in names)]
        keys = [key for label in labels for key in (label, f"-{label}")]
        return _several("sort", told, keys, self.limits.max_groups + self.limits.max_measures)

    def _search(self, entity: Entity) -> list[dict[str, Any]]:
        if not entity.search:
            return []
        schema = {"type": "string", "maxLength": self.limits.max_needle, "pattern": CLEAN}
        told = f"At most {self.limits.max_words} words in {_listed(entity.search)}, ranked unless sorted."
        return [{"name": "search", "in": "query", "description": told, "schema": schema}]

    def shown(self, entity: Entity) -> list[dict[str, Any]]:
        """What is shown of a record: `fields`, and `expand` where there is something to expand."""
        names = [path for path, _ in self._paths(entity, many=True)]
        told = "Answer with these only, whatever else is required; also by path."
        found = self._shared(entity, "fields", told, names)
        told = (
            f"Relations to answer with, also by path, at most {self.limits.max_depth} levels. Of relations to many, "
            "`expand[name][limit]` and its like (`sort`, `where`, `fields`) say which and how."
        )
        return found + self._shared(entity, "expand", told, list(self._relations(entity)))

    def _shared(
        self, entity: Entity, name: str, told: str, choices: list[str], most: int | None = None
    ) -> list[dict[str, Any]]:  # fmt: skip
        for parameter in _several(name, told, choices, most):
            self.made[f"{entity.plural}.{name}"] = parameter
        return [shared(f"{entity.plural}.{name}")] if choices else []

    def _paths(self, entity: Entity, *, many: bool = False) -> Iterator[tuple[str, Field | Computed]]:
        """The fields of a record and those of the records that it refers to, or of `many`, by their paths."""
        parts = self.view.parts(entity)
        yield from ((part.name, part) for part in parts if not isinstance(part, ToMany))
        for part in parts:
            if (many or isinstance(part, Field)) and (target := self._opened(part)) is not None:
                inner = (found for found in self.view.parts(target) if not isinstance(found, ToMany))
                yield from ((f"{part.name}.{found.name}", found) for found in inner)

    def _relations(self, entity: Entity) -> Iterator[str]:
        """The relations of a record, and those one further, as long as not many lead to many."""
        for part in self.view.parts(entity):
            if (target := self._opened(part)) is None:
                continue
            yield part.name
            for inner in self.view.parts(target):
                if self._opened(inner) is not None and not (isinstance(part, ToMany) and isinstance(inner, ToMany)):
                    yield f"{part.name}.{inner.name}"

    def _opened(self, part: Part) -> Entity | None:
        target = part.target if isinstance(part, (Field, ToMany)) else None
        return target if target is not None and self.view.opens(target) else None

    def _filters(self, entity: Entity) -> list[dict[str, Any]]:
        """One parameter for each field, and a least and a bound for those that have a range."""
        found: dict[str, tuple[Kind, str]] = {}
        for part in self.view.parts(entity):
            if isinstance(part, ToMany) or part.name in _RESERVED or part.kind.name == "json" or part.kind.sealed:
                continue
            name, kind = part.name, part.kind
            if kind.name == "list" and kind.item is not None:
                found[f"{name}[contains]"] = kind.item, f"`{name}` has this entry."
                continue
            if kind.name == "money":  # a number means minor units
                if not kind.currency:
                    found[f"{name}.currency"] = TEXT, f"`{name}` is in this currency."
                    name = f"{name}.amount"
                kind = INTEGER
            found[name] = kind, f"`{name}` is this."
            if part.kind.name in _RANGED:
                found[f"{name}[gte]"] = kind, f"`{name}` is this or more."
                found[f"{name}[lt]"] = kind, f"`{name}` is less than this."
        return [self._filter(f"{entity.plural}.{name}", name, *said) for name, said in found.items()]

    def _filter(self, key: str, name: str, kind: Kind, told: str) -> dict[str, Any]:
        key = key.replace("[", ".").rstrip("]")
        self.made[key] = {"name": name, "in": "query", "description": told, "schema": self.schemas.value(kind)}
        return shared(key)


def _priced(part: Part) -> bool:
    """Whether a field holds money of any currency."""
    return not isinstance(part, ToMany) and part.kind.name == "money" and not part.kind.currency


def _grouped(parts: Sequence[Field | Computed]) -> Iterator[str]:
    """What makes groups that can stand beside each other."""
    for part in parts:
        if part.kind.name in _DATED and isinstance(part, Field):
            yield from (f"{part.name}.{piece}" for piece in ("year", "month", "day"))
        elif _priced(part):
            yield from (f"{part.name}.{piece}" for piece in ("amount", "currency"))
        else:
            yield part.name


def _several(
    name: str, told: str, choices: list[str], most: int | None = None, *, unique: bool = False
) -> list[dict[str, Any]]:
    """A parameter that takes names of a list, separated by commas; none where the list is empty."""
    schema: dict[str, Any] = {"type": "array", "items": {"type": "string", "enum": choices}, "minItems": 1}
    schema |= {"maxItems": most} if most is not None else {}
    schema |= {"uniqueItems": True} if unique else {}
    found = {"name": name, "in": "query", "description": told, "style": "form", "explode": False, "schema": schema}
    return [found] if choices else []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def key_parameter(entity: Entity) -> dict[str, Any]:
    """The id of a record in its address; those of an existing application have keys of other kinds."""
    if entity.existing is None:
        return shared("id")
    schema = json_schema(plain(entity.key.kind))
    return {"name": "id", "in": "path", "required": True, "description": "The id of the record.", "schema": schema}


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
        "page": (
            "query",
            f"The number of the page, instead of a cursor; it begins behind {limits.max_offset} entries at the most.",
            page,
        ),
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
