"""An `Ask` becomes a `ReadPlan` here, and nowhere else: names resolved, limits set, rules of every model put in.

Each part of a question is planned by one small function. All of them go through `Resolver.source`, `related`
and `_visible_parts`, where the read rules and the visibility of fields enter; there is no other way to a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from backstay.errors import BadRequest, Denied, NotSignedIn, Problem
from backstay.model.field import Action, Computed, Entity, Field, Schema, ToMany
from backstay.model.predicate import ANYONE, NOBODY, Compare, Condition, HasRole, Path, Search, Slot, both
from backstay.model.value import CIPHERTEXT, INTEGER, TEXT, Kind, plain
from backstay.plan.actor import Actor
from backstay.plan.ask import After, Aggregate, Ask, Listing, Nested, One, Root, Selection, Sort
from backstay.plan.limits import Limits
from backstay.plan.resolve import Frame, Resolver, SealedField, every, key_of, some
from backstay.plan.tree import (
    FALSE,
    TRUE,
    Behind,
    GroupRoot,
    Join,
    Leaf,
    ListRoot,
    MeasureOf,
    Null,
    OneRoot,
    Order,
    Output,
    Param,
    ParamSpec,
    Predicate,
    Rank,
    ReadPlan,
    Record,
    Records,
    RootPlan,
    Rows,
    Said,
    Sealed,
    Test,
    kind_of,
    nullable,
)

SUMMABLE = ("integer", "big_integer", "float", "decimal", "money", "duration")


def plan_read(ask: Ask, schema: Schema, actor: Actor, limits: Limits) -> ReadPlan:
    """The plan of a question for an actor.

    Raises `BadRequest` for names that do not exist for this actor and for questions beyond the limits,
    `NotSignedIn` or `Denied` where a read rule can never hold. Pure: no clock, no database.
    """
    planner = _Planner(schema, actor, limits)
    roots = tuple(planner.root(root) for root in ask.roots)
    resolver = planner.resolver
    return ReadPlan(
        roots, tuple(resolver.params), tuple(resolver.decisions), frozenset(resolver.models), tuple(planner.windows)
    )


def refused(entity: Entity, actions: Sequence[Action], schema: Schema, actor: Actor, limits: Limits) -> Problem | None:
    """What an actor is told who may never do any of these, whatever is asked exactly; nothing where they may.

    It says no more than the plan would, and says it first: who may not ask is not told what is wrong with the question.
    """
    if len(actions) > 1 and actor.scopes is not None:
        return None  # which of them it is, and so which scope is needed, depends on what is there
    resolver = Resolver(schema, actor, limits)
    if all(resolver.rule(entity, action) == NOBODY for action in actions):
        return refusal(entity, actions[0], actor)
    if actions == ("create",) and actor.id is None and not actor.system and made_by_me(entity):
        return refusal(entity, "create", actor)
    return None


def made_by_me(entity: Entity) -> bool:
    """Whether a new record needs somebody signed in, whose it is."""
    defaults = (field.default for field in entity.fields.values() if not field.nullable)
    return any(default is not None and default.source == "me" for default in defaults)


def refusal(entity: Entity, action: Action, actor: Actor) -> Problem:
    """What an actor is told for whom a rule can never hold: 401 while nobody is signed in, else 403."""
    what = {"read": "Reading", "create": "Creating", "update": "Changing", "delete": "Deleting"}[action]
    if actor.id is None:
        return NotSignedIn(f"{what} {entity.plural} needs somebody signed in: log in and send the access token.")
    roles = sorted(_roles(entity.rules[action]))
    lacks = f" It lacks the role {' or '.join(roles)}." if roles else ""
    return Denied(f"{what} {entity.plural} is not allowed to this account.{lacks}")


def _roles(rule: Condition) -> set[str]:
    match rule:
        case HasRole(role):
            return {role}
        case _:
            parts = getattr(rule, "parts", ())
            return {role for part in parts for role in _roles(part)}


class _Planner:
    """Plans the roots of one question; `windows` collects the limits along each way inwards."""

    def __init__(self, schema: Schema, actor: Actor, limits: Limits) -> None:
        self.resolver = Resolver(schema, actor, limits)
        self.actor = actor
        self.limits = self.resolver.limits
        self.windows: list[tuple[int, ...]] = []
        self._nodes = 0

    def root(self, root: Root) -> RootPlan:
        """The plan of one root."""
        entity = self.resolver.entity(root.model)
        self.require(entity)
        match root:
            case One():
                return self._one(root, entity)
            case Listing():
                return self._listing(root, entity)
            case Aggregate():
                return self._aggregate(root, entity)

    def require(self, entity: Entity) -> None:
        """Refuse where this actor can never read the entity, instead of answering with nothing."""
        if self.resolver.rule(entity, "read") == NOBODY:
            raise refusal(entity, "read", self.actor)

    def _one(self, root: One, entity: Entity) -> OneRoot:
        frame = self.resolver.frame(entity)
        condition = both(Compare("eq", Path(("id",)), root.key), root.where)
        source = self.resolver.source(frame, condition, viewer=True)
        joins: list[Join] = []
        output = self._record(root.selection, frame, joins, (), 0)
        content = None if entity.version else content_of(self.resolver, frame)
        return OneRoot(Rows(source, output, tuple(joins)), root.alias, content)

    def _listing(self, root: Listing, entity: Entity) -> ListRoot:
        frame = self.resolver.frame(entity)
        where = both(root.where, Search(root.search)) if root.search is not None else root.where
        source = self.resolver.source(frame, where, viewer=True)
        order, ranked = self._order(root.sort, frame, root.search)
        if root.backwards:
            order = tuple(replace(key, descending=not key.descending) for key in order)
        if root.after is not None:
            source = replace(source, where=every(source.where, self._behind(root.after, order)))
        limit = self._limit(root.limit, self.limits.page, "next")
        joins: list[Join] = []
        output = self._record(root.selection, frame, joins, (limit.index,), 0)
        keys = () if ranked else tuple(key.by for key in order)
        rows = Rows(source, output, tuple(joins), order, limit, self._offset(root.offset), keys)
        count_of = None
        if root.count != "none":
            count_of = self.resolver.source(self.resolver.frame(entity), where, viewer=True)
        cap = self.limits.count_cap if root.count == "estimated" else None
        behind = root.after is not None or root.offset is not None
        return ListRoot(rows, root.alias, count_of, cap, root.backwards, behind, root.keyed)

    def _limit(self, slot: Slot | None, default: int, part: Literal["limit", "next"]) -> Param:
        if slot is None:
            return self.resolver.param(ParamSpec("fixed", INTEGER, part=part, value=default))
        spec = ParamSpec(
            "slot", INTEGER, slot.index, False, part, slot.place or "limit", True, bound=self.limits.max_page
        )
        return self.resolver.param(spec)

    def _offset(self, slot: Slot | None) -> Param | None:
        if slot is None:
            return None
        spec = ParamSpec(
            "slot", INTEGER, slot.index, False, "offset", slot.place or "page", True, bound=self.limits.max_offset
        )
        return self.resolver.param(spec)

    def _order(
        self, sort: tuple[Sort, ...], frame: Frame, search: Slot | None = None
    ) -> tuple[tuple[Order, ...], bool]:
        """The keys of an order, the id last; and whether it is by rank, which has no cursor."""
        if len(sort) > self.limits.max_sort:
            raise BadRequest(f"At most {self.limits.max_sort} sort keys.", code="invalid_sort")
        keys: list[Order] = []
        if search is not None and not sort:
            needle = self.resolver.param(ParamSpec("slot", TEXT, search.index, part="rank", place=search.place))
            keys.append(Order(Rank(frame.scope, needle), False))
        for key in sort:
            try:
                by = self.resolver.path(key.path, frame)
            except SealedField as sealed:
                raise BadRequest(sealed.detail, code="invalid_sort") from None
            if not kind_of(by).ordered:
                raise BadRequest(
                    f'"{".".join(key.path)}" holds {kind_of(by).name}, which has no order.', code="invalid_sort"
                )
            if all(known.by != by for known in keys):  # a key that is named again decides nothing any more
                keys.append(Order(by, key.descending))
        identity = key_of(frame)
        if all(key.by != identity for key in keys):
            keys.append(Order(identity, keys[-1].descending if keys else False))
        return tuple(keys), isinstance(keys[0].by, Rank)

    def _behind(self, after: After, order: tuple[Order, ...]) -> Predicate:
        """The predicate of rows behind a cursor. Nulls are last ascending and first descending."""
        if len(after.keys) != len(order):
            raise BadRequest("This cursor belongs to another order.", code="invalid_cursor")
        values = [
            self.resolver.param(ParamSpec("key", kind_of(key.by), slot.index, place="cursor"))
            if slot is not None
            else None
            for key, slot in zip(order, after.keys, strict=True)
        ]
        present = tuple(value for value in values if value is not None)
        same_way = len({key.descending for key in order}) == 1
        if same_way and len(present) == len(order) and not any(nullable(key.by) for key in order):
            return Behind(tuple(key.by for key in order), present, order[0].descending)
        ways: list[Predicate] = []
        before: list[Predicate] = []
        for key, value in zip(order, values, strict=True):
            ways.append(every(*before, _next(key, value)))
            before.append(Null(key.by) if value is None else Test("eq", key.by, value))
        return some(*ways)

    # What is made of a row.

    def _record(
        self, selection: Selection, frame: Frame, joins: list[Join], windows: tuple[int, ...], depth: int
    ) -> Record:
        if depth > self.limits.max_depth:
            raise BadRequest(f"More than {self.limits.max_depth} levels.", code="too_expensive")
        nested = {part.alias: part for part in selection.nested}
        items: list[tuple[str, Output]] = []
        for alias, name in self._fields(selection, frame.entity):
            if alias in nested:
                items.append((alias, self._nested(nested.pop(alias), frame, joins, windows, depth)))
            elif name.startswith("="):
                items.append((alias, Said(name[1:])))
            else:
                items.append((alias, self._leaf(name, frame)))
        items += [(alias, self._nested(part, frame, joins, windows, depth)) for alias, part in nested.items()]
        self._nodes += len({*(part.alias for part in selection.nested), *(alias for alias, _ in selection.fields)})
        if self._nodes > self.limits.max_nodes:
            raise BadRequest(f"More than {self.limits.max_nodes} fields and relations are named.", code="too_expensive")
        return Record(tuple(items))

    def _fields(self, selection: Selection, entity: Entity) -> list[tuple[str, str]]:
        if not selection.everything:
            return list(selection.fields)
        parts = self.resolver.visible(entity)
        return [(name, name) for name, part in parts.items() if not isinstance(part, ToMany)]

    def _leaf(self, name: str, frame: Frame) -> Leaf:
        part = self.resolver.part(frame.entity, name, True)
        if isinstance(part, ToMany):
            raise BadRequest(f'"{name}" has many records: expand it.', code="unknown_field")
        return leaf_of(self.resolver, part, frame)

    def _nested(
        self, nested: Nested, frame: Frame, joins: list[Join], windows: tuple[int, ...], depth: int
    ) -> Record | Records:
        part = self.resolver.part(frame.entity, nested.relation, True)
        if not isinstance(part, ToMany) and part.kind.name == "money" and not part.kind.sealed:
            return self._money(nested, part, frame)
        if isinstance(part, Computed) or (isinstance(part, Field) and part.target is None):
            raise BadRequest(f'"{nested.relation}" of {frame.entity.name} is no relation.', code="unknown_relation")
        assert part.target is not None
        self.require(part.target)
        if isinstance(part, Field):
            return self._to_one(nested, part, frame, joins, windows, depth)
        return self._to_many(nested, part, frame, windows, depth)

    def _money(self, nested: Nested, part: Field | Computed, frame: Frame) -> Record:
        """The parts of money one by one."""
        leaf = leaf_of(self.resolver, part, frame)
        currency = Said(leaf.kind.currency) if leaf.currency is None else Leaf(leaf.currency, TEXT)
        parts: dict[str, Output] = {"amount": Leaf(leaf.value, INTEGER), "currency": currency}
        items: list[tuple[str, Output]] = []
        for alias, name in nested.selection.fields:
            if name not in parts and not name.startswith("="):
                raise BadRequest(f'Money has no field "{name}".', code="unknown_field")
            items.append((alias, parts[name] if name in parts else Said(name[1:])))
        self._nodes += len(items)
        return Record(tuple(items), leaf.value if nullable(leaf.value) else None)

    def _to_one(
        self, nested: Nested, part: Field, frame: Frame, joins: list[Join], windows: tuple[int, ...], depth: int
    ) -> Record:
        if nested.where != ANYONE or nested.sort or nested.limit is not None:
            raise BadRequest(f'"{part.name}" is one record: it cannot be filtered or sorted.', code="invalid_filter")
        assert part.target is not None
        inner = self.resolver.frame(part.target)
        key = self.resolver.column(part, frame)
        rule = self.resolver.source(inner, ANYONE, viewer=True).where
        joins.append(Join(part.target, inner.scope, key, rule))
        record = self._record(nested.selection, inner, joins, windows, depth + 1)
        # The foreign key sees to it; what another application refers to need not be there.
        always = rule == TRUE and not nullable(key) and part.target.existing is None
        return record if always else replace(record, present=key_of(inner))

    def _to_many(self, nested: Nested, part: ToMany, frame: Frame, windows: tuple[int, ...], depth: int) -> Records:
        inner, link, through = self.resolver.related(part, frame, viewer=True)
        source = self.resolver.source(inner, nested.where, viewer=True, link=link)
        if (seen := self.resolver.visibility(part)) != ANYONE:
            source = replace(source, where=every(source.where, self.resolver.predicate(seen, [frame], viewer=False)))
        limit = self._limit(nested.limit, self.limits.nested, "limit")
        windows = (*windows, limit.index)
        self.windows.append(windows)
        joins: list[Join] = []
        order, _ = self._order(nested.sort, inner)
        output = self._record(nested.selection, inner, joins, windows, depth + 1)
        rows = Rows(replace(source, through=through), output, tuple(joins), order, limit, self._offset(nested.offset))
        return Records(rows)

    # Numbers about groups.

    def _aggregate(self, root: Aggregate, entity: Entity) -> GroupRoot:
        if len(root.group_by) > self.limits.max_groups or len(root.measures) > self.limits.max_measures:
            raise BadRequest(
                f"At most {self.limits.max_groups} groups and {self.limits.max_measures} numbers.", code="too_expensive"
            )
        frame = self.resolver.frame(entity)
        where = both(root.where, Search(root.search)) if root.search is not None else root.where
        source = self.resolver.source(frame, where, viewer=True)
        groups = tuple((names, self._group(names, frame)) for names in root.group_by)
        measures = tuple(self._measure(m.alias, m.fn, m.path, frame, root.group_by) for m in root.measures)
        labels = [names for names, _ in groups] + [tuple(m.alias.split(".")) for m in measures]
        for label in labels:
            if any(label is not other and label == other[: len(label)] for other in labels):
                raise BadRequest(f'"{".".join(label)}" would stand in the answer twice.', code="invalid_filter")
        order = []
        for key in root.sort:
            if key.path not in labels:
                raise BadRequest(
                    f'"{".".join(key.path)}" is neither a group nor a number of this question.', code="invalid_sort"
                )
            order.append((labels.index(key.path), key.descending))
        order += [(i, False) for i in range(len(groups)) if i not in [position for position, _ in order]]
        limit = self._limit(root.limit, self.limits.max_page, "limit")
        return GroupRoot(source, groups, measures, tuple(order), limit, self._offset(root.offset), root.alias)

    def _group(self, names: tuple[str, ...], frame: Frame) -> Leaf:
        expr = self.resolver.path(names, frame)
        kind = kind_of(expr)
        if not kind.ordered:
            raise BadRequest(f'"{".".join(names)}" holds {kind.name} and makes no groups.', code="invalid_filter")
        if kind.name == "money" and not kind.currency:
            raise BadRequest(f"Group by {'.'.join(names)}.amount or {'.'.join(names)}.currency.", code="invalid_filter")
        return Leaf(expr, plain(kind))

    def _measure(
        self, alias: str, fn: str, path: tuple[str, ...], frame: Frame, groups: tuple[tuple[str, ...], ...]
    ) -> MeasureOf:
        if not path:
            return MeasureOf(alias, fn, None, INTEGER)
        value = self.resolver.path(path, frame)
        kind = kind_of(value)
        name = ".".join(path)
        if fn in ("sum", "avg") and kind.name not in SUMMABLE:
            raise BadRequest(f'"{name}" holds {kind.name} and has no {fn}.', code="invalid_filter")
        if not kind.ordered or (fn in ("min", "max") and kind.name == "boolean"):
            raise BadRequest(f'"{name}" holds {kind.name} and has no {fn}.', code="invalid_filter")
        self._one_currency(path, fn, frame, groups)
        if fn in ("count", "count_distinct"):
            kind = INTEGER
        elif fn == "avg":
            kind = Kind("float")
        elif kind.name == "money" and not kind.currency:
            kind = INTEGER
        return MeasureOf(alias, fn, value, plain(kind))

    def _one_currency(self, path: tuple[str, ...], fn: str, frame: Frame, groups: tuple[tuple[str, ...], ...]) -> None:
        """Amounts of several currencies are not added up or compared."""
        whole = path[:-1] if path[-1] == "amount" and len(path) > 1 else path
        kind = kind_of(self.resolver.path(whole, frame))
        counted = fn == "count" or (fn == "count_distinct" and whole != path)
        if kind.name != "money" or kind.currency or counted:
            return
        if (*whole, "currency") not in groups:
            said = ".".join(whole)
            raise BadRequest(f"Add group_by={said}.currency: two currencies have no {fn}.", code="invalid_filter")


def leaf_of(resolver: Resolver, part: Field | Computed, frame: Frame) -> Leaf:
    """A field as the viewer sees it."""
    if isinstance(part, Computed):
        return Leaf(resolver.computed(part, frame), part.kind)
    column = resolver.column(part, frame)
    if part.kind.sealed:
        return Leaf(column, CIPHERTEXT, sealed=Sealed(part.label, key_of(frame)))
    if len(part.columns) == 1:
        return Leaf(column, part.kind)
    return Leaf(column, part.kind, resolver.path((part.name, "currency"), frame))


def content_of(resolver: Resolver, frame: Frame) -> Record:
    """All stored fields of a record that the viewer sees: what two versions of it differ in."""
    parts = resolver.visible(frame.entity).values()
    return Record(tuple((part.name, leaf_of(resolver, part, frame)) for part in parts if isinstance(part, Field)))


def _next(key: Order, value: Param | None) -> Predicate:
    """The predicate of rows whose key comes strictly after a value (`None` is null)."""
    if value is None:
        return Null(key.by, True) if key.descending else FALSE
    if key.descending:
        return Test("lt", key.by, value)
    return some(Test("gt", key.by, value), Null(key.by)) if nullable(key.by) else Test("gt", key.by, value)
