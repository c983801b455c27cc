"""Names become columns here, under one of two authorities.

With the viewer's authority a field the actor may not read does not exist, and each record on the way is seen
through its own read rule. With the developer's authority (rules, computed fields) names mean what they say.
Invariant: a condition from outside is resolved with the viewer's authority, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backstay.errors import BadRequest, UnknownField, nearest
from backstay.model.field import Action, Computed, Entity, Field, Schema, ToMany
from backstay.model.predicate import (
    ANYONE,
    NOBODY,
    Always,
    And,
    Arithmetic,
    Brought,
    Choice,
    Compare,
    Condition,
    IsNull,
    Me,
    Not,
    Now,
    Operand,
    Or,
    Path,
    Quantified,
    Search,
    Slot,
    Total,
    Value,
    fold,
    normal,
)
from backstay.model.value import INSTANT, INTEGER, TEXT, Kind, Unfit, calculated, minor_units, parse, plain
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits, of_own_code
from backstay.plan.scope import out_of_scope, permitted
from backstay.plan.tree import (
    FALSE,
    TRUE,
    All,
    Any_,
    Calc,
    Case,
    Column,
    DatePart,
    Decision,
    Exists,
    Expr,
    Guarded,
    Link,
    Lookup,
    Matches,
    Null,
    Param,
    ParamSpec,
    Predicate,
    Source,
    Test,
    Through,
    TotalOf,
    Truth,
    Within,
    kind_of,
    nullable,
)

TEXT_OPERATORS = ("contains", "icontains", "starts_with")


class SealedField(BadRequest):
    """400: an encrypted field is named where the database would have to read it."""

    code = "invalid_filter"

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" is encrypted: it can be shown, and not compared, sorted, grouped or computed with.')


@dataclass(frozen=True, slots=True)
class Kept:
    """A value of the row before a change that the rule on the row after it speaks of, or its folded text."""

    path: Path
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A table instance in sight: its number, its entity, and the relations whose record is in sight already."""

    scope: int
    entity: Entity
    known: Mapping[str, Frame] = field(default_factory=dict)


def key_of(frame: Frame) -> Column:
    """The key of a table instance's row."""
    key = frame.entity.key
    return Column(frame.scope, key.column, key.kind, False)


def link_of(field: Field, outer: Expr) -> Link:
    """The tie of rows whose field names a record outside."""
    return Link(field.column, outer, field.kind)


def every(*parts: Predicate) -> Predicate:
    """The conjunction of resolved parts."""
    flat: list[Predicate] = []
    for part in parts:
        if part == FALSE:
            return FALSE
        flat.extend(part.parts if isinstance(part, All) else () if part == TRUE else (part,))
    return TRUE if not flat else flat[0] if len(flat) == 1 else All(tuple(flat))


def some(*parts: Predicate) -> Predicate:
    """The disjunction of resolved parts."""
    flat: list[Predicate] = []
    for part in parts:
        if part == TRUE:
            return TRUE
        flat.extend(part.parts if isinstance(part, Any_) else () if part == FALSE else (part,))
    return FALSE if not flat else flat[0] if len(flat) == 1 else Any_(tuple(flat))


class Resolver:
    """Resolves the names of one question for one standing; numbers its table instances and parameters."""

    def __init__(self, schema: Schema, actor: Actor, limits: Limits) -> None:
        self.schema = schema
        self.actor = actor
        self.limits = of_own_code(limits) if actor.system else limits
        self.params: list[ParamSpec] = []
        self.decisions: list[Decision] = []
        self.models: set[str] = set()
        self._kept: list[Kept] | None = None
        self._scopes = 0
        self._conditions = 0
        self._me_now: dict[str, Param] = {}
        self._rules: dict[tuple[str, Action], Condition] = {}
        self._visible: dict[str, dict[str, Field | Computed | ToMany]] = {}

    # What this actor may see.

    def entity(self, name: str) -> Entity:
        """The entity with this name; asks name entities by their class name."""
        return self.schema.entities[name]

    def fold(self, condition: Condition) -> Condition:
        """The condition with everything about the actor decided."""
        return fold(normal(condition), self.actor.id is not None, self.actor.roles, frozenset(self.actor.brought))

    def rule(self, entity: Entity, action: Action) -> Condition:
        """The rule of an action for this actor; the decision is kept.

        Raises `insufficient_scope` for an API key whose scopes do not name it: every way to a record asks here.
        """
        if self.actor.system:
            return ANYONE
        if not permitted(self.actor.scopes, entity, action):
            raise out_of_scope(f"{entity.plural}:{action}")
        key = (entity.name, action)
        if (known := self._rules.get(key)) is None:
            known = self._rules[key] = self.fold(entity.rules[action])
            verdict = "allowed" if known == ANYONE else "denied" if known == NOBODY else "by_row"
            self.decisions.append(Decision(entity.name, action, verdict, self._clause(entity.rules[action], known)))  # type: ignore[arg-type]
        return known

    def _clause(self, rule: Condition, outcome: Condition) -> Condition:
        """The part of a rule that decided it."""
        parts = rule.parts if isinstance(rule, (And, Or)) else ()
        return next((part for part in parts if outcome in (ANYONE, NOBODY) and self.fold(part) == outcome), rule)

    def visibility(self, part: Field | Computed | ToMany) -> Condition:
        """For whom of the rows this actor sees the field is there: `NOBODY` hides it altogether."""
        return ANYONE if self.actor.system else self.fold(part.read)

    def visible(self, entity: Entity) -> dict[str, Field | Computed | ToMany]:
        """The names that exist for this actor."""
        if (known := self._visible.get(entity.name)) is not None:
            return known
        parts: dict[str, Field | Computed | ToMany] = {**entity.fields, **entity.computed, **entity.to_many}
        self._visible[entity.name] = {
            name: part for name, part in parts.items()
            if not (isinstance(part, Field) and part.write_only) and self.visibility(part) != NOBODY
        }  # fmt: skip
        return self._visible[entity.name]

    def part(self, entity: Entity, name: str, viewer: bool, place: str = "") -> Field | Computed | ToMany:
        """What a name means; for a viewer hidden and absent are the same."""
        parts: Mapping[str, Field | Computed | ToMany]
        parts = self.visible(entity) if viewer else {**entity.fields, **entity.computed, **entity.to_many}
        if (found := parts.get(name)) is None:
            where = f" at {place}" if place else ""
            raise UnknownField(f'{entity.name} has no field "{name}"{where}.{nearest(name, parts)}', name)
        return found

    # Table instances and parameters.

    def frame(self, entity: Entity, known: Mapping[str, Frame] | None = None) -> Frame:
        """A new table instance."""
        self._scopes += 1
        self.models.add(entity.name)
        return Frame(self._scopes - 1, entity, known or {})

    def param(self, spec: ParamSpec) -> Param:
        """A new parameter."""
        self.params.append(spec)
        return Param(len(self.params) - 1, spec.kind, spec.many)

    def source(self, frame: Frame, condition: Condition, *, viewer: bool, link: Link | None = None) -> Source:
        """The rows of a frame that satisfy a condition, and for a viewer the read rule."""
        rule = self.predicate(self.rule(frame.entity, "read"), [frame], viewer=False) if viewer else TRUE
        return Source(frame.entity, frame.scope, every(rule, self.predicate(condition, [frame], viewer=viewer)), link)

    def related(self, relation: ToMany, outer: Frame, *, viewer: bool) -> tuple[Frame, Link | None, Through | None]:
        """The frame of a to-many relation and how its rows are tied to the row outside."""
        if relation.through is None:
            frame = self.frame(relation.target, {relation.via: outer})
            return frame, link_of(relation.target.fields[relation.via], key_of(outer)), None
        between = self.frame(relation.through, {relation.via: outer})
        rule = self.predicate(self.rule(relation.through, "read"), [between], viewer=False) if viewer else TRUE
        link = link_of(relation.through.fields[relation.via], key_of(outer))
        frame = self.frame(relation.target)
        onward = relation.through.fields[relation.onward].column
        return frame, None, Through(relation.through, between.scope, link, onward, rule)

    # Conditions.

    def predicate(self, condition: Condition, frames: list[Frame], *, viewer: bool) -> Predicate:
        """The resolved condition. `frames[0]` is the record, the others the quantifiers around it."""
        self._count(1, viewer)
        return self._walk(self.fold(condition), frames, viewer)

    def _count(self, conditions: int, viewer: bool) -> None:
        self._conditions += conditions
        if viewer and self._conditions > self.limits.max_conditions:
            raise BadRequest(f"More than {self.limits.max_conditions} conditions.", code="too_expensive")

    def _walk(self, condition: Condition, frames: list[Frame], viewer: bool) -> Predicate:
        match condition:
            case Always(value):
                return TRUE if value else FALSE
            case And(parts):
                self._count(len(parts), viewer)
                return every(*(self._walk(part, frames, viewer) for part in parts))
            case Or(parts):
                self._count(len(parts), viewer)
                return some(*(self._walk(part, frames, viewer) for part in parts))
            case Not(part):
                return self._atom(part, frames, viewer, True)
            case _:
                return self._atom(condition, frames, viewer, False)

    def _atom(self, atom: Condition, frames: list[Frame], viewer: bool, negated: bool) -> Predicate:
        match atom:
            case Compare():
                return self._compare(atom, frames, viewer, negated)
            case IsNull(operand):
                expr = self.operand(operand, frames, viewer)
                return Null(expr, negated)
            case Search(Slot(index, place), root):
                return Matches(
                    frames[root].entity, frames[root].scope, self._needle(frames[root].entity, index, place), negated
                )
            case Quantified(kind, path, body):
                return self._quantified(path, body, frames, viewer, (kind == "none") != negated)
            case _:
                raise TypeError(f"{atom} is no atom")

    def _needle(self, entity: Entity, index: int, place: str) -> Param:
        if not entity.search:
            raise BadRequest(f"{entity.name} declares no searchable fields.", code="invalid_filter")
        return self.param(ParamSpec("slot", TEXT, index, part="words", place=place or "search"))

    def _quantified(self, path: Path, body: Condition, frames: list[Frame], viewer: bool, negated: bool) -> Predicate:
        source, _, way = self._many(path, body, frames, viewer)
        for joined, key in reversed(way):  # the innermost exists inside the next
            rule = self._may_read(joined, viewer)
            link = link_of(joined.entity.key, key)
            source = Source(joined.entity, joined.scope, every(rule, Exists(source)), link)
        return Exists(source, negated)

    def _total(self, total: Total, frames: list[Frame], viewer: bool) -> Expr:
        source, frame, way = self._many(total.path, total.where, frames, viewer)
        value = self.operand(total.of, [*frames, frame], viewer) if total.of is not None else None
        kind = INTEGER if value is None or total.fn == "count" else plain(kind_of(value))
        made: Expr = TotalOf(total.fn, source, value, kind)
        for joined, key in reversed(way):
            made = Lookup(joined.entity, joined.scope, key, self._may_read(joined, viewer), made)
        if way and total.fn in ("count", "sum"):  # nothing is counted where a record on the way is missing
            made = Calc("coalesce", (made, self.param(ParamSpec("fixed", INTEGER, value=0))), kind)
        return made

    def _may_read(self, frame: Frame, viewer: bool) -> Predicate:
        return self.predicate(self.rule(frame.entity, "read"), [frame], viewer=False) if viewer else TRUE

    def _many(
        self, path: Path, body: Condition, frames: list[Frame], viewer: bool
    ) -> tuple[Source, Frame, list[tuple[Frame, Expr]]]:
        """The rows of a to-many relation, their frame, and the records on the way there with the keys to them."""
        self._check_path(path.names, viewer)
        *way, name = path.names
        outer = frames[path.root]
        joins: list[tuple[Frame, Expr]] = []
        for step in way:
            relation = self.part(outer.entity, step, viewer)
            if not isinstance(relation, Field) or relation.target is None:
                raise BadRequest(f'"{step}" of {outer.entity.name} leads to no single record.', code="unknown_relation")
            if (known := self._known(outer, relation, viewer)) is not None:
                outer = known
                continue
            key = self._column(outer, relation, viewer)
            outer = self.frame(relation.target)
            joins.append((outer, key))
        part = self.part(outer.entity, name, viewer)
        if not isinstance(part, ToMany):
            raise BadRequest(f'"{name}" of {outer.entity.name} is no to-many relation.', code="unknown_relation")
        frame, link, through = self.related(part, outer, viewer=viewer)
        inner = [*frames, frame]
        rule = self.predicate(self.rule(part.target, "read"), [frame], viewer=False) if viewer else TRUE
        where = every(rule, self.predicate(body, inner, viewer=viewer))
        if viewer and (seen := self.visibility(part)) != ANYONE:
            where = every(where, self.predicate(seen, [outer], viewer=False))
        return Source(part.target, frame.scope, where, link, through), frame, joins

    def _compare(self, atom: Compare, frames: list[Frame], viewer: bool, negated: bool) -> Predicate:
        if viewer and isinstance(atom.left, Path) and (shortcut := self._within(atom, frames, negated)) is not None:
            return shortcut
        if isinstance(atom.left, (Slot, Value)):
            kind = kind_of(self.operand(atom.right, frames, viewer))
            left: Expr = self._constant(atom.left, kind, atom.op)
        else:
            left = self.operand(atom.left, frames, viewer)
            kind = kind_of(left)
        op: str = atom.op
        self._check_operator(op, kind, atom)
        if kind.name == "money" and not kind.currency:
            return self._compare_money(atom, frames, viewer, negated)
        if kind.name == "money" and isinstance(atom.right, Path):
            other = kind_of(self.operand(atom.right, frames, viewer))
            if other.name == "money" and not other.currency:
                return self._compare_money(atom, frames, viewer, negated)
            if other.name == "money" and other.currency != kind.currency:
                return TRUE if negated else FALSE
        if op == "icontains":
            left = self._folded_side(atom.left, left, frames)
        if op == "contains" and kind.name == "list":
            assert kind.item is not None
            op, kind = "has", kind.item
        if isinstance(atom.right, (Slot, Value)):
            right: Expr = self._constant(atom.right, kind, atom.op, "entry" if op == "has" else "")
        else:
            right = self.operand(atom.right, frames, viewer)
            if not _comparable(kind, kind_of(right), op):
                raise BadRequest(f"{kind.name} and {kind_of(right).name} cannot be compared.", code="invalid_filter")
            if op == "icontains":
                right = self._folded_side(atom.right, right, frames)
        return Test(op, left, right, negated)

    def _check_operator(self, op: str, kind: Kind, atom: Compare) -> None:
        place = ".".join(atom.left.names) if isinstance(atom.left, Path) else "value"
        if op in TEXT_OPERATORS and not kind.textual and not (op == "contains" and kind.name == "list"):
            raise BadRequest(f'"{op}" does not apply to {place}, which holds {kind.name}.', code="invalid_filter")
        if kind.name == "json" or (kind.name == "list" and op != "contains"):
            raise BadRequest(f'"{op}" does not apply to {place}, which holds {kind.name}.', code="invalid_filter")
        if op in ("lt", "lte", "gt", "gte") and kind.name == "boolean":
            raise BadRequest(f'"{op}" does not apply to {place}, which holds true or false.', code="invalid_filter")

    def _compare_money(self, atom: Compare, frames: list[Frame], viewer: bool, negated: bool) -> Predicate:
        """Money of an open currency: the same currency, and then the amounts."""
        if atom.op == "in" or not isinstance(atom.left, Path):
            raise BadRequest("Compare money one amount at a time.", code="invalid_filter")
        amount = self._as_amount(self.operand(atom.left, frames, viewer))
        currency = self.operand(replace(atom.left, names=(*atom.left.names, "currency")), frames, viewer)
        kind = Kind("money")
        if isinstance(atom.right, (Slot, Value)):
            right_amount: Expr = self._constant(atom.right, kind, atom.op, "amount")
            right_currency: Expr = self._constant(atom.right, kind, atom.op, "currency")
        elif isinstance(atom.right, Path):
            right_amount = self._as_amount(self.operand(atom.right, frames, viewer))
            right_currency = self.operand(replace(atom.right, names=(*atom.right.names, "currency")), frames, viewer)
        else:
            raise BadRequest("Money is compared with money.", code="invalid_filter")
        tests = (Test("eq", currency, right_currency, negated), Test(atom.op, amount, right_amount, negated))
        return some(*tests) if negated else every(*tests)

    def _as_amount(self, expr: Expr) -> Expr:
        match expr:
            case Column():
                return replace(expr, kind=INTEGER)
            case Lookup() | Guarded():
                return replace(expr, value=self._as_amount(expr.value))
            case _:
                return expr

    def _within(self, atom: Compare, frames: list[Frame], negated: bool) -> Predicate | None:
        """`category.slug = x` as `category in (…)`, which an index on the relation can serve."""
        path = atom.left
        assert isinstance(path, Path)
        if len(path.names) < 2 or not isinstance(atom.right, (Slot, Value)):
            return None
        self._check_path(path.names, True)
        frame = frames[path.root]
        part = self.part(frame.entity, path.names[0], True)
        if (
            not isinstance(part, Field)
            or part.target is None
            or self._known(frame, part, True) is not None
            or path.names[1:] == ("id",)
        ):
            return None
        if self.visibility(part) != ANYONE:
            return None
        inner = self.frame(part.target)
        compare = Compare(atom.op, Path(path.names[1:], 0), atom.right)
        source = self.source(inner, compare, viewer=True)
        return Within(self._column(frame, part, True), source, negated)

    # Operands.

    def operand(self, operand: Operand, frames: list[Frame], viewer: bool) -> Expr:
        """The resolved operand."""
        match operand:
            case Path(names, root, when):
                if when == "old" and self._kept is not None:
                    return self._old(Kept(operand), frames)
                return self._path(names, frames[root], viewer, len(names))
            case Me(()):
                return self._me()
            case Me(names):
                user = self.frame(self.schema.user)
                return Lookup(user.entity, user.scope, self._me(), TRUE, self._path(names, user, False, 9))
            case Brought(header):
                if header not in self._me_now:
                    self._me_now[header] = self.param(ParamSpec("brought", TEXT, value=header))
                return self._me_now[header]
            case Now(offset):
                key = f"now{offset}"
                if key not in self._me_now:
                    self._me_now[key] = self.param(ParamSpec("now", INSTANT, value=offset))
                return self._me_now[key]
            case Arithmetic(op, args):
                return self._arithmetic(op, args, frames, viewer)
            case Total():
                return self._total(operand, frames, viewer)
            case Choice(when, then, otherwise):
                constant = (Slot, Value)
                known = self.operand(otherwise if isinstance(then, constant) else then, frames, viewer) if not (
                    isinstance(then, constant) and isinstance(otherwise, constant)) else None  # fmt: skip
                kind = kind_of(known) if known is not None else _kind_of_value(then)
                chosen = self._either(then, kind, frames, viewer)
                return Case(
                    self.predicate(when, frames, viewer=viewer), chosen, self._either(otherwise, kind, frames, viewer)
                )
            case Value():
                return self._constant(operand, _kind_of_value(operand), "eq")
            case Slot():
                raise BadRequest("A value needs a field beside it.", code="invalid_filter")

    def keep_old(self) -> list[Kept]:
        """From now on `old(...)` means a value kept from before the change; those that are needed fill the list."""
        self._kept = []
        return self._kept

    def kept(self, kept: Kept, frame: Frame) -> Expr:
        """A value as it stands, to be kept."""
        expr = self.operand(replace(kept.path, when=""), [frame], False)
        return self._folded(expr) if kept.folded else expr

    def _old(self, kept: Kept, frames: list[Frame]) -> Param:
        assert self._kept is not None
        if kept not in self._kept:
            self._kept.append(kept)
        expr = self.kept(kept, frames[kept.path.root])
        made = self.param(ParamSpec("old", kind_of(expr), self._kept.index(kept)))
        return replace(made, nullable=nullable(expr))

    def _me(self) -> Param:
        if "me" not in self._me_now:
            self._me_now["me"] = self.param(ParamSpec("me", plain(self.schema.user.key.kind)))
        return self._me_now["me"]

    def _either(self, operand: Operand, kind: Kind, frames: list[Frame], viewer: bool) -> Expr:
        if isinstance(operand, (Slot, Value)):
            return self._constant(operand, kind, "eq")
        return self.operand(operand, frames, viewer)

    def _arithmetic(self, op: str, args: tuple[Operand, ...], frames: list[Frame], viewer: bool) -> Expr:
        # Each is resolved once: a calculation inside has parameters of its own.
        made = [None if isinstance(arg, (Slot, Value)) else self.operand(arg, frames, viewer) for arg in args]
        kinds = [kind_of(expr) for expr in made if expr is not None]
        if not kinds:
            raise BadRequest("A calculation needs a field.", code="invalid_filter")
        kind = calculated(op, kinds)
        if kind is None:
            named = " and ".join(dict.fromkeys(kind.name for kind in kinds))
            raise BadRequest(f"{named} cannot be calculated with each other.", code="invalid_filter")
        beside = INTEGER if op == "multiply" and kind.name in ("money", "decimal") else kind
        parts = (
            expr if expr is not None else self._either(arg, beside, frames, viewer)
            for arg, expr in zip(args, made, strict=True)
        )  # fmt: skip
        return Calc(op, tuple(parts), kind)

    def _path(self, names: tuple[str, ...], frame: Frame, viewer: bool, hops: int) -> Expr:
        if not names:
            return key_of(frame)
        self._check_path(names, viewer)
        name, rest = names[0], names[1:]
        part = self.part(frame.entity, name, viewer, ".".join(names) if len(names) > 1 else "")
        if isinstance(part, ToMany):
            raise BadRequest(f'"{name}" has many records: ask for some, none or every of them.', code="invalid_filter")
        if isinstance(part, Computed):
            if rest:
                raise BadRequest(f'"{name}" of {frame.entity.name} has no field "{rest[0]}".', code="unknown_field")
            return self._guard(part, self._computed(part, frame), frame, viewer)
        if part.write_only and viewer:
            raise BadRequest(f'{frame.entity.name} has no field "{name}".', code="unknown_field")
        if part.kind.sealed:
            raise SealedField(name)
        if not rest:
            return self._column(frame, part, viewer)
        if part.target is None:
            return self._part_of(frame, part, rest, viewer)
        if (known := self._known(frame, part, viewer)) is not None:
            return self._path(rest, known, viewer, hops - 1)
        key = self._column(frame, part, viewer)
        if rest == ("id",):
            return key
        inner = self.frame(part.target)
        rule = self.predicate(self.rule(part.target, "read"), [inner], viewer=False) if viewer else TRUE
        return Lookup(part.target, inner.scope, key, rule, self._path(rest, inner, viewer, hops - 1))

    def _check_path(self, names: tuple[str, ...], viewer: bool) -> None:
        """Every way to follow a path of the viewer's begins here."""
        if viewer and len(names) > self.limits.max_path + 1:
            raise BadRequest(f"A path may pass {self.limits.max_path} relations.", code="too_expensive")

    def _known(self, frame: Frame, relation: Field, viewer: bool) -> Frame | None:
        """The record that a relation leads to, where it is in sight already and seen to be the one."""
        hidden = viewer and self.visibility(relation) != ANYONE
        return None if hidden else frame.known.get(relation.name)

    def _part_of(self, frame: Frame, part: Field, rest: tuple[str, ...], viewer: bool) -> Expr:
        column = self._column(frame, part, viewer)
        kind = part.kind
        if kind.name == "money" and rest == ("amount",):
            return self._as_amount(column)
        if kind.name == "money" and rest == ("currency",):
            if kind.currency:
                code = self.param(ParamSpec("fixed", TEXT, value=kind.currency))
                return Guarded(Null(column, True), code) if nullable(column) else code
            return self._guard(part, Column(frame.scope, part.columns[1], TEXT, part.nullable), frame, viewer)
        if kind.name in ("datetime", "date") and rest in (("day",), ("month",), ("year",)):
            return DatePart(column, rest[0])
        raise BadRequest(f'"{part.name}" of {frame.entity.name} has no field "{rest[0]}".', code="unknown_field")

    def _column(self, frame: Frame, part: Field, viewer: bool) -> Expr:
        return self._guard(part, Column(frame.scope, part.column, part.kind, part.reads_null), frame, viewer)

    def _computed(self, part: Computed, frame: Frame) -> Expr:
        if isinstance(part.value, (Path, Value, Me, Brought, Now, Arithmetic, Total, Choice)):
            return self.operand(part.value, [frame], False)
        assert not isinstance(part.value, Slot)
        return Truth(self.predicate(part.value, [frame], viewer=False))

    def _guard(self, part: Field | Computed, value: Expr, frame: Frame, viewer: bool) -> Expr:
        if not viewer or (seen := self.visibility(part)) == ANYONE:
            return value
        return Guarded(self.predicate(seen, [frame], viewer=False), value)

    def computed(self, part: Computed, frame: Frame) -> Expr:
        """A computed field as the viewer sees it."""
        return self._guard(part, self._computed(part, frame), frame, True)

    def column(self, part: Field, frame: Frame) -> Expr:
        """A stored field as the viewer sees it."""
        return self._column(frame, part, True)

    def path(self, names: tuple[str, ...], frame: Frame) -> Expr:
        """A path as the viewer sees it."""
        return self._path(names, frame, True, len(names))

    def _constant(self, operand: Slot | Value, kind: Kind, op: str, part: Any = "") -> Param:
        if op == "icontains":
            part = "folded"
        if op in TEXT_OPERATORS:
            kind = TEXT if kind.textual else kind
        if kind.name == "money":
            part = part or "amount"
        kind = replace(plain(kind), stored=kind.stored)
        many = op == "in"
        if isinstance(operand, Slot):
            return self.param(ParamSpec("slot", kind, operand.index, many, part, operand.place, operand.from_text))
        try:
            raw = operand.value
            value = [_parse(kind, item) for item in raw] if many else _parse(kind, raw)
        except Unfit as unfit:
            raise BadRequest(f"{operand.value!r} {unfit}.", code="invalid_filter") from None
        return self.param(ParamSpec("fixed", kind, 0, many, part, value=value))

    def _folded_side(self, operand: Operand, expr: Expr, frames: list[Frame]) -> Expr:
        """One side of `icontains`: the folded text of a stored one."""
        if isinstance(operand, Path) and operand.when == "old" and self._kept is not None:
            return self._old(Kept(operand, folded=True), frames)
        return self._folded(expr)

    def _folded(self, expr: Expr) -> Expr:
        match expr:
            case Column(kind=kind) if kind.textual and kind.stored is not None:
                return Calc("fold", (expr,), TEXT)
            case Column(name=name, kind=kind) if kind.textual:
                return expr if kind.format == "slug" else replace(expr, name=f"{name}__folded")
            case Lookup() | Guarded():
                return replace(expr, value=self._folded(expr.value))
            case _:
                raise BadRequest("icontains applies to stored texts.", code="invalid_filter")


def _parse(kind: Kind, raw: object) -> Any:
    return parse(kind, minor_units(kind, raw))


def _comparable(left: Kind, right: Kind, op: str) -> bool:
    """Whether values of two kinds are stored so that they can be compared."""
    if op == "has" and "big_integer" in (left.name, right.name) and "float" in (left.name, right.name):
        return False  # a list holds the one as text, and the other has no such text
    if op == "has" and left.name == right.name == "decimal":
        return left.scale == right.scale  # a list holds them as text
    if left.name == right.name == "enum":
        return {type(choice) for choice in left.choices} == {type(choice) for choice in right.choices}
    return left.name == right.name or {left.name, right.name} <= {"integer", "float", "big_integer"}


def _kind_of_value(operand: Operand) -> Kind:
    value = operand.value if isinstance(operand, Value) else None
    kinds = {bool: Kind("boolean"), int: INTEGER, float: Kind("float"), str: TEXT}
    return kinds.get(type(value), TEXT)
