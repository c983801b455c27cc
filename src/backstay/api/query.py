"""A query string becomes an `Ask`: `price[gte]=10&category.slug=tea&sort=-price&expand=items.product`.

Values are kept apart from the shape, and shapes are remembered by the names of their parameters, so that a known
question costs a split and a look-up. Nothing is ever ignored: an unknown parameter is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import msgspec

from backstay.api.where import compare, parse_where
from backstay.errors import BadRequest, nearest
from backstay.model.field import Entity
from backstay.model.predicate import ANYONE, Condition, Path, Slot, Value, both, lift, rebuild
from backstay.plan.ask import After, Aggregate, Listing, Measure, Nested, One, Root, Selection, Sort
from backstay.plan.limits import Limits

LIST_PARAMETERS = ("where", "sort", "limit", "cursor", "page", "count", "fields", "expand", "search")
GROUP_PARAMETERS = ("where", "sort", "limit", "page", "group_by", "search", "count", "sum", "avg", "min", "max",
                    "count_distinct")  # fmt: skip
_STRUCTURAL = frozenset({"sort", "count", "fields", "expand", "group_by", "sum", "avg", "min", "max", "count_distinct"})
_MEASURES = ("count", "sum", "avg", "min", "max", "count_distinct")
_ONCE = frozenset({*LIST_PARAMETERS, *GROUP_PARAMETERS})
_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_BRACKETS = re.compile(r"([a-z][a-z0-9_.]*)((?:\[[a-z0-9_.]+\])+)")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed query: its shape and its values. `key` names the shape where it can be remembered."""

    root: Root
    values: tuple[Any, ...]
    key: Any = None
    offset: int = 0
    limit: int = 0


@dataclass(slots=True)
class _Node:
    """A place in the tree that `fields` and `expand` describe."""

    fields: list[str] | None = None
    nested: dict[str, _Node] = field(default_factory=dict)
    where: Condition = ANYONE
    sort: tuple[Sort, ...] = ()
    limit: Slot | None = None
    offset: Slot | None = None

    def selection(self) -> Selection:
        """The selection of this place."""
        nested = tuple(
            Nested(name, name, node.selection(), node.where, node.sort, node.limit, node.offset)
            for name, node in self.nested.items()
        )
        if self.fields is None:
            return Selection(True, (), nested)
        return Selection(False, tuple((name, name) for name in self.fields), nested)


def parse_one(entity: Entity, key: str, pairs: Sequence[tuple[str, str]]) -> Parsed:
    """The question for one record: only what is shown of it can be said."""
    values: list[Any] = [key]
    tree = _Node()
    for name, value in pairs:
        if name.partition("[")[0] not in ("fields", "expand"):
            near = nearest(name, ("fields", "expand"))
            raise BadRequest(f'"{name}" is no parameter of one record.{near}', code="unknown_parameter")
        _shown(tree, name, value, values)
    return Parsed(One(entity.name, Slot(0, "id", True), tree.selection()), tuple(values), not pairs or None)


class ListQuery:
    """Parses the questions about the records of one entity and remembers the shapes of the plain ones."""

    def __init__(self, entity: Entity, limits: Limits, *, groups: bool = False) -> None:
        self.entity = entity
        self.limits = limits
        self.groups = groups
        self._known: dict[Any, Root] = {}

    def parse(self, pairs: Sequence[tuple[str, str]], keys: Sequence[Any] = (), offset: int = 0) -> Parsed:
        """The question. `keys` or `offset` come from a cursor that has been opened."""
        parts: list[Any] = []
        values: list[str] = []
        for name, value in pairs:
            if name in _STRUCTURAL or name.endswith("[is_null]"):
                parts.append((name, value))
            elif name in ("where", "cursor", "page") or name.startswith("expand["):
                break
            else:
                parts.append(name)
                values.append(value)
        else:
            key = tuple(parts)
            if (root := self._known.get(key)) is None:
                root = _Builder(self.entity, self.limits, self.groups).build(pairs)
                if len(self._known) >= self.limits.remembered_plans:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = root
            return Parsed(root, tuple(values), key)
        builder = _Builder(self.entity, self.limits, self.groups)
        root = builder.build(pairs)
        page_size = builder.page_size()
        if builder.page:
            offset = self._behind(builder.page, page_size, keys or offset)
        if keys and isinstance(root, Listing):
            start = len(builder.values)
            root = replace(root, after=After(tuple(None if k is None else Slot(start + i) for i, k in enumerate(keys))))
            builder.values += keys
        elif offset or builder.page:
            builder.values.append(offset)
            root = replace(cast(Any, root), offset=Slot(len(builder.values) - 1, "page"))
        return Parsed(root, tuple(builder.values), None, offset, page_size)

    def _behind(self, page: int, size: int, cursor: object) -> int:
        """How many entries lie before a page."""
        if cursor:
            raise BadRequest("Go on by cursor or by page, not by both.", code="invalid_cursor")
        if (behind := (page - 1) * size) > self.limits.max_offset:
            said = f"Page {page} lies behind more than {self.limits.max_offset} entries: go on by cursor."
            raise BadRequest(said, code="too_expensive")
        return behind


class _Builder:
    """Builds the shape of one query and collects its values in the order of their slots."""

    def __init__(self, entity: Entity, limits: Limits, groups: bool) -> None:
        self.entity = entity
        self.limits = limits
        self.groups = groups
        self.values: list[Any] = []
        self.page = 0
        self._limit_text = ""

    def page_size(self) -> int:
        """How many records a page has."""
        return _number("limit", self._limit_text, self.limits.max_page) if self._limit_text else self.limits.page

    def build(self, pairs: Sequence[tuple[str, str]]) -> Root:
        """The shape."""
        seen: set[str] = set()
        conditions: list[Condition] = []
        sort: tuple[Sort, ...] = ()
        count = "none"
        search = limit = None
        tree, measures = _Node(), list[Measure]()
        group_by: tuple[tuple[str, ...], ...] = ()
        for name, value in pairs:
            if name in _ONCE:
                if name in seen:
                    raise BadRequest(f'"{name}" is there twice.')
                seen.add(name)
            if self.groups and name in _MEASURES:
                measures += _measures(name, value)
            elif self.groups and name == "group_by":
                group_by = tuple(_path(part, name) for part in value.split(",") if part)
            elif name == "where":
                conditions.append(lift(parse_where(_json(value, name)), self.values))
            elif name == "sort":
                sort = parse_sort(value)
            elif name == "limit":
                limit, self._limit_text = self._slot(name, value), value
            elif name == "search":
                search = self._slot(name, value)
            elif name == "page":
                self.page = _number(name, value, self.limits.max_offset)
            elif self.groups:
                conditions.append(self._filter(name, value))
            elif name == "count":
                if value not in ("none", "exact", "estimated"):
                    raise BadRequest("count is none, exact or estimated.", code="unknown_parameter")
                count = value
            elif name.partition("[")[0] in ("fields", "expand"):
                _shown(tree, name, value, self.values)
            elif name != "cursor":
                conditions.append(self._filter(name, value))
        if self.groups:
            numbers = tuple(measures) or (Measure("count", "count"),)
            return Aggregate(self.entity.name, group_by, numbers, both(*conditions), search, sort, limit)
        return Listing(
            self.entity.name, tree.selection(), both(*conditions), sort, search, limit,
            count=cast(Literal["none", "exact", "estimated"], count),
        )  # fmt: skip

    def _slot(self, name: str, value: str) -> Slot:
        self.values.append(value)
        return Slot(len(self.values) - 1, name, True)

    def _filter(self, name: str, value: str) -> Condition:
        head, operator = name, "eq"
        if (match := _BRACKETS.fullmatch(name)) is not None:
            head, operator = match[1], match[2][1:-1]
        if not _NAME.fullmatch(head) or "[" in operator:
            raise BadRequest(f'"{name}" is no parameter.{self._near(name)}', code="unknown_parameter")
        if operator == "is_null":
            return compare(operator, Path(tuple(head.split("."))), value, name)
        condition = compare(operator, Path(tuple(head.split("."))), value, name)
        slot = self._slot(name, value)
        return rebuild(condition, lambda operand: slot if isinstance(operand, Value) else operand)

    def _near(self, name: str) -> str:
        # Names of hidden fields are never suggested: only parameters are.
        return nearest(name, GROUP_PARAMETERS if self.groups else LIST_PARAMETERS)


def _shown(tree: _Node, name: str, value: str, lifted: list[Any]) -> None:
    """Put one `fields` or `expand` parameter into the tree."""
    if name == "fields":
        for part in value.split(","):
            *way, last = _path(part, name)
            node = tree
            if node.fields is None:
                node.fields = []
            for step in way:
                known = step in node.nested
                node = node.nested.setdefault(step, _Node())
                if node.fields is None and not known:
                    node.fields = []
            if node.fields is not None and last not in node.fields:
                node.fields.append(last)
        return
    if name == "expand":
        for part in value.split(","):
            node = tree
            for step in _path(part, name):
                node = node.nested.setdefault(step, _Node())
        return
    match = re.fullmatch(r"expand\[([a-z0-9_.]+)\]\[(limit|sort|where|page|fields)\]", name)
    if match is None:
        raise BadRequest(
            f'"{name}" is no parameter: expand[relation][limit|sort|where|fields].', code="unknown_parameter"
        )
    node = tree
    for step in match[1].split("."):
        node = node.nested.setdefault(step, _Node())
    match match[2]:
        case "limit":
            lifted.append(value)
            node.limit = Slot(len(lifted) - 1, name, True)
        case "sort":
            node.sort = parse_sort(value)
        case "where":
            node.where = lift(parse_where(_json(value, name)), lifted)
        case "fields":
            node.fields = [_path(part, name)[0] for part in value.split(",")]
        case _:
            raise BadRequest(f'"{name}" is no parameter.', code="unknown_parameter")


def parse_sort(text: str) -> tuple[Sort, ...]:
    """`-price,name` as sort keys."""
    keys = []
    for part in text.split(","):
        name = part.strip()
        keys.append(Sort(_path(name.removeprefix("-"), "sort"), name.startswith("-")))
    return tuple(keys)


def _measures(fn: str, value: str) -> list[Measure]:
    found = []
    for part in value.split(","):
        if fn == "count" and part in ("*", ""):
            found.append(Measure("count", "count"))
            continue
        path = _path(part, fn)
        label = f"{fn}.{'.'.join(path)}" if fn != "count" else f"count_of.{'.'.join(path)}"
        found.append(Measure(label, cast(Any, fn), path))
    return found


def _path(text: str, place: str) -> tuple[str, ...]:
    if not _NAME.fullmatch(text.strip()):
        raise BadRequest(f'{place}: "{text}" is no field.', code="unknown_field")
    return tuple(text.strip().split("."))


def _json(text: str, place: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest(f"{place} must be JSON.", code="invalid_filter") from None


def _number(name: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most or len(text) > 9:
        raise BadRequest(f"{name} must be between 1 and {most}.", code="invalid_filter")
    return int(text)
