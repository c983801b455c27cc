"""A change becomes a `WritePlan` here: values checked against the declaration, rules as checks before and after.

What its names and the standing of its actor decide is its `Shape`, which the store remembers; values come after that.

Invariant: a rule about the new row is checked on the row as it stands in the database after the change, hooks
included; a rule on an update holds for the row before *and* after. No value is written that its field did not take.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from backstay.errors import BadRequest, FieldError, Invalid, NotFound, NotSignedIn, nearest
from backstay.model.field import Default, Entity, Field, Schema, ToMany
from backstay.model.predicate import (
    ANYONE,
    NOBODY,
    Always,
    And,
    Condition,
    Not,
    Operand,
    Or,
    Path,
    Quantified,
    both,
    normal,
    rebuild,
)
from backstay.model.symbol import is_record, key_of
from backstay.model.value import CIPHERTEXT, TEXT, Kind, Unfit, parse, plain, slug_of
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Create, Delete, Update, Write
from backstay.plan.limits import Limits
from backstay.plan.planner import content_of, refusal
from backstay.plan.resolve import Kept, Resolver, every
from backstay.plan.scope import permitted
from backstay.plan.tree import (
    FALSE,
    TRUE,
    After,
    All,
    Check,
    Column,
    Decision,
    Expr,
    Leaf,
    LinkCheck,
    Members,
    Param,
    ParamSpec,
    Predicate,
    Record,
    Source,
    WritePlan,
    looks_beyond,
)


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a change mean to its actor: the fields and relations that are written, and what is wrong."""

    fields: Mapping[str, Field]
    relations: Mapping[str, ToMany]
    """Those that are written as lists of ids."""
    nested: frozenset[str]
    """Relations in which new records are sent; they are planned by themselves."""
    closed: Mapping[str, str]
    """Names that exist for the actor and cannot be sent, each with the reason."""
    missing: tuple[str, ...]
    """Fields that the record needs and that are not named."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All of a change that its names and the standing of its actor decide; remembered, so it is thought of once.

    `sight` finds, for each relation that is written, whether a record can be seen by the actor.
    """

    action: Literal["create", "update", "delete"]
    entity: Entity
    names: Names
    before: Check | None
    after: After
    sight: Mapping[str, Check]
    decisions: tuple[Decision, ...]
    sets: tuple[tuple[Field, Expr], ...] = ()
    set_params: tuple[ParamSpec, ...] = ()
    unsaid: tuple[Field, ...] = ()
    """The fields that a whole record does not name and that its writer may set: they get their defaults."""


def shape_of(ask: Write, schema: Schema, actor: Actor, limits: Limits) -> Shape:
    """The shape of a change: `shape_key` says what it depends on. Raises what the actor is told before any value."""
    match ask:
        case Create():
            return _shape_create(ask, schema, actor, limits)
        case Update():
            return _shape_update(ask, schema, actor, limits)
        case Delete():
            return _shape_delete(ask, schema, actor, limits)


def _shape_create(ask: Create, schema: Schema, actor: Actor, limits: Limits) -> Shape:
    entity = schema.entities[ask.model]
    resolver = Resolver(schema, actor, limits)
    rule = permit(resolver, entity, "create")
    keyed = ask.key is not None
    if keyed and filled_by_table(entity.key):
        raise NotFound()  # the database numbers its records: none is made under a number that was chosen
    names = names_of(resolver, entity, ask.values, creating=True, keyed=keyed, linked=ask.linked)
    written = [*ask.values, *ask.linked]
    after, _ = _after(schema, actor, limits, entity, both(rule, *_write_rules(resolver, entity, written)))
    sight = _sight(schema, actor, limits, names)
    return Shape("create", entity, names, None, after, sight, tuple(resolver.decisions))


def _shape_update(ask: Update, schema: Schema, actor: Actor, limits: Limits) -> Shape:
    entity = schema.entities[ask.model]
    resolver = Resolver(schema, actor, limits)
    rule = permit(resolver, entity, "update")
    names = names_of(resolver, entity, ask.values, creating=False, whole=ask.whole)
    unsaid = _unsaid(resolver, entity, ask.values) if ask.whole else ()
    written = [*ask.values, *(field.name for field in unsaid), *ask.sets]
    condition = both(rule, *_write_rules(resolver, entity, written))
    sets, set_params = _sets(schema, actor, limits, entity, ask.sets)
    after, kept = _after(schema, actor, limits, entity, condition)
    before = _before(schema, actor, limits, entity, condition, ask.guard, kept)
    sight = _sight(schema, actor, limits, names, unsaid)
    return Shape("update", entity, names, before, after, sight, tuple(resolver.decisions), sets, set_params, unsaid)


def _shape_delete(ask: Delete, schema: Schema, actor: Actor, limits: Limits) -> Shape:
    entity = schema.entities[ask.model]
    resolver = Resolver(schema, actor, limits)
    before = _before(schema, actor, limits, entity, permit(resolver, entity, "delete"), ask.guard, ends=True)
    return Shape("delete", entity, _NOTHING, before, After(), {}, tuple(resolver.decisions))


def shape_key(ask: Write, actor: Actor) -> Hashable:
    """What a shape depends on: changes of one key differ in values only."""
    match ask:
        case Create():
            linked = frozenset(ask.linked)
            return "create", ask.model, frozenset(ask.values), linked, ask.key is not None, actor.standing
        case Update():
            sets = tuple(ask.sets.items())
            return "update", ask.model, frozenset(ask.values), sets, ask.guard, ask.whole, actor.standing
        case Delete():
            return "delete", ask.model, ask.guard, actor.standing


def plan_write(ask: Write, shape: Shape, actor: Actor, key: Any, now: datetime) -> WritePlan:
    """The plan of one change of a shape, a new record with the id of the ask, else `key`.

    Raises `Invalid` with every wrong value at once.
    """
    match ask:
        case Create():
            return _plan_create(ask, shape, actor, key if ask.key is None else ask.key, now)
        case Update():
            return _plan_update(ask, shape, actor, now)
        case Delete():
            return _planned(shape, ask.key, {}, (), (), ask.guard_values)


def _plan_create(ask: Create, shape: Shape, actor: Actor, key: Any, now: datetime) -> WritePlan:
    given = values_of(shape.names, ask.values)
    members = _members(shape, ask.values)
    links = _links(shape, {name: value for name, value in given.items() if name not in ask.fresh}, members)
    values = {**given, **ask.linked}
    if ask.key is not None:
        values["id"] = ask.key
    for field in shape.entity.fields.values():
        if field.name not in values and not filled_by_table(field):
            values[field.name] = default_of(field, values, actor, key, now)
    return _planned(shape, values.get("id"), values, links, members)


def _plan_update(ask: Update, shape: Shape, actor: Actor, now: datetime) -> WritePlan:
    values = values_of(shape.names, ask.values)
    if ask.whole:
        values = {field.name: default_of(field, values, actor, ask.key, now) for field in shape.unsaid} | values
    members = _members(shape, ask.values)
    links = _links(shape, values, members)
    for field in shape.entity.fields.values():
        if field.on_update is not None and field.name not in values:
            values[field.name] = _made(field, field.on_update, values, actor, ask.key, now)
    return _planned(shape, ask.key, values, links, members, ask.guard_values)


def filled_by_table(field: Field) -> bool:
    """Whether the database gives the field a value where none is said."""
    return field.default is not None and field.default.source == "table"


def _planned(
    shape: Shape, key: Any, values: dict[str, Any], links: tuple[LinkCheck, ...], members: tuple[Members, ...],
    guard_values: tuple[Any, ...] = (),
) -> WritePlan:  # fmt: skip
    return WritePlan(
        shape.action, shape.entity, key, values, shape.before, shape.after, links, shape.decisions, guard_values,
        shape.sets, shape.set_params, members,
    )  # fmt: skip


def plan_guard(
    guard: Condition, entity: Entity, schema: Schema, actor: Actor, limits: Limits, *, lock: bool = False
) -> Check:
    """The check that a record satisfies a condition of the developer's own; `lock` keeps the record from others."""
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    source = resolver.source(frame, guard, viewer=False)
    return Check(source, _key(resolver, entity), tuple(resolver.params), lock=lock)


def plan_stored(entity: Entity, schema: Schema, limits: Limits) -> Check:
    """The check that a record is there; it gives all that is stored of it."""
    resolver = Resolver(schema, SYSTEM, limits)
    frame = resolver.frame(entity)
    source = resolver.source(frame, ANYONE, viewer=False)
    return Check(source, _key(resolver, entity), tuple(resolver.params), stored(entity, frame.scope))


def _key(resolver: Resolver, entity: Entity) -> Param:
    """The parameter that holds the key of the record to look at: the last value of a check."""
    return resolver.param(ParamSpec("slot", plain(entity.key.kind), -1, from_text=True))


def permit(resolver: Resolver, entity: Entity, action: Any) -> Condition:
    """The rule on an action; raises what the actor is told where it can never hold."""
    rule = resolver.rule(entity, action)
    if rule == NOBODY:
        raise refusal(entity, action, resolver.actor)
    return rule


# Values.


def names_of(
    resolver: Resolver, entity: Entity, given: Collection[str], *, creating: bool, whole: bool = False,
    keyed: bool = False, linked: Collection[str] = (),
) -> Names:  # fmt: skip
    """What these names mean to the actor, as far as that does not depend on the record.

    Raises `BadRequest` `unknown_field` for what does not exist for the actor. Where a new record needs a field that
    does not exist for the actor, the actor can create none and is refused. A `whole` change of a record that is there
    must name what the actor may write and the record needs. A `keyed` record has its id already, and a `linked` one is
    sent inside the record that it refers to: who may not set that relation can create none there.
    """
    system = resolver.actor.system
    known = resolver.visible(entity)
    writable = {
        name: field for name, field in entity.fields.items()
        if system or field.write_only or name in known
    }  # fmt: skip
    if creating and any(field.required and name not in writable for name, field in entity.fields.items()):
        raise refusal(entity, "create", resolver.actor)
    if not _may_tie(resolver, writable, linked):
        raise refusal(entity, "create", resolver.actor)
    unknown = [name for name in given if name not in writable and name not in known]
    if unknown:
        raise BadRequest(
            f'{entity.name} has no field "{unknown[0]}".{nearest(unknown[0], writable)}', code="unknown_field",
            errors=[FieldError(n, "unknown_field", f"is no field of {entity.name}.") for n in unknown],
        )  # fmt: skip
    fixed = keyed or not creating
    fields: dict[str, Field] = {}
    relations: dict[str, ToMany] = {}
    nested: set[str] = set()
    closed: dict[str, str] = {}
    for name in given:
        field = writable.get(name)
        if (relation := entity.to_many.get(name)) is not None:
            if (why := _unwritten(resolver, relation, creating)) is not None:
                closed[name] = why
            elif relation.as_list:
                relations[name] = relation
            else:
                nested.add(name)
        elif field is None or (name == "id" and fixed) or (not system and _closed(resolver, field)):
            closed[name] = "is set by the server and cannot be sent."
        else:
            fields[name] = field
    missing = [
        name for name, field in entity.fields.items() if field.required and name not in given and name not in linked
        and (creating or (whole and name in writable and not _closed(resolver, field)))
        and not (name == "id" and fixed)
    ]  # fmt: skip
    return Names(fields, relations, frozenset(nested), closed, tuple(missing))


def _may_tie(resolver: Resolver, writable: Mapping[str, Field], linked: Iterable[str]) -> bool:
    """Whether the actor may set the relations of a record to the one around it, as far as that is always the same."""
    known = (writable.get(name) for name in linked)
    return all(field is not None and (resolver.actor.system or not _closed(resolver, field)) for field in known)


_NOTHING = Names({}, {}, frozenset(), {}, ())


def _unwritten(resolver: Resolver, relation: ToMany, creating: bool) -> str | None:
    """Why a relation to many cannot be sent, as far as that is the same for all records."""
    if not resolver.actor.system and resolver.fold(relation.write) == NOBODY:
        return "cannot be sent."
    if relation.as_list or (relation.through is None and creating):
        return None
    if relation.through is None:
        return "takes new records inside a new record only: write the records themselves."
    return "is made of other records, and cannot be sent."


def values_of(names: Names, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical values of the fields that are named. Raises `Invalid` with every wrong value."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in raw.items():
        try:
            if (field := names.fields.get(name)) is not None:
                values[name] = parse_field(field, value)
            elif name in names.closed:
                errors.append(FieldError(name, "read_only", names.closed[name]))
            elif name not in names.nested:
                _member_keys(names.relations[name], value)
        except Unfit as unfit:
            errors += unfit.errors(name)
    errors += [FieldError(name, "required", "is required.") for name in names.missing]
    if errors:
        raise Invalid.of(errors)
    return values


def _unsaid(resolver: Resolver, entity: Entity, said: Collection[str]) -> tuple[Field, ...]:
    """The fields that a whole record does not name, where the actor may write them."""
    known = resolver.visible(entity)
    return tuple(
        field for name, field in entity.fields.items()
        if name not in said and (field.write_only or name in known) and not _closed(resolver, field)
        and not filled_by_table(field) and name != "id"
    )  # fmt: skip


def _members(shape: Shape, raw: Mapping[str, Any]) -> tuple[Members, ...]:
    """The many-to-many relations that are written as lists of ids; `values_of` has checked them."""
    return tuple(
        Members(relation, _member_keys(relation, raw[name]), shape.sight.get(name))
        for name, relation in shape.names.relations.items()
    )


def _member_keys(relation: ToMany, raw: Any) -> tuple[Any, ...]:
    """The ids in a list of records, each once."""
    kind = Kind("list", item=plain(relation.target.key.kind), max_length=200)
    return tuple(dict.fromkeys(parse(kind, raw)))


def _visible(schema: Schema, actor: Actor, limits: Limits, entity: Entity) -> Check:
    """The check that a record can be seen by the actor."""
    resolver = Resolver(schema, actor, limits)
    source = resolver.source(resolver.frame(entity), ANYONE, viewer=True)
    return Check(source, _key(resolver, entity), tuple(resolver.params))


def _unseen(schema: Schema, actor: Actor, limits: Limits, entity: Entity) -> Check:
    """The check that no record passes."""
    resolver = Resolver(schema, actor, limits)
    source = Source(entity, resolver.frame(entity).scope, FALSE)
    return Check(source, _key(resolver, entity), tuple(resolver.params))


def _sets(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, sets: Mapping[str, Operand]
) -> tuple[tuple[tuple[Field, Expr], ...], tuple[ParamSpec, ...]]:
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    resolved = []
    for name, operand in sets.items():
        field = entity.fields.get(name)
        if (
            field is None
            or field.folded
            or field.kind.name in ("json", "list")
            or field.kind.sealed
            or (field.read_only and not actor.system)
        ):
            raise BadRequest(f'"{name}" cannot be set by an expression.', code="unknown_field")
        resolved.append((field, resolver.operand(operand, [frame], False)))
    return tuple(resolved), tuple(resolver.params)


def _closed(resolver: Resolver, field: Field) -> bool:
    return field.by_server or resolver.fold(field.write) == NOBODY


def parse_field(field: Field, value: Any) -> Any:
    """The canonical value of a field, or `Unfit`; null only where the field may be null."""
    if field.target is not None and is_record(value):
        value = key_of(value)
    if field.target is not None and isinstance(value, Mapping):
        raise Unfit("wrong_type", "must be the id of a record: a new one is sent inside a new record only")
    if value is None:
        if not field.nullable:
            raise Unfit("required", "must not be null")
        return None
    return parse(field.kind, value)


def default_of(field: Field, values: Mapping[str, Any], actor: Actor, key: Any, now: datetime) -> Any:
    """What a new record gets in a field that is not said; nothing where the database gives it."""
    default = field.default
    if default is None or default.source == "sequence":
        return None  # a sequence is drawn by the store, in the transaction
    return _made(field, default, values, actor, key, now)


def _made(
    field: Field, default: Default, values: Mapping[str, Any], actor: Actor, key: Any, now: datetime
) -> Any:  # fmt: skip
    match default.source:
        case "id":
            return key
        case "now":
            return now
        case "me":
            if actor.id is None and not field.nullable:
                raise NotSignedIn(f'"{field.name}" is the signed-in user: log in and send the access token.')
            return actor.id
        case "slug":
            return slug_of(str(values.get(default.value) or ""))
        case "call":
            return parse_field(field, default.value())
        case _:
            return default.value


def _write_rules(resolver: Resolver, entity: Entity, given: Iterable[str]) -> list[Condition]:
    """The rules of the fields that are written, where they depend on the record."""
    if resolver.actor.system:
        return []
    parts: Mapping[str, Field | ToMany] = {**entity.to_many, **entity.fields}
    return [resolver.fold(parts[name].write) for name in given if name in parts]


# Checks.


def _sight(
    schema: Schema, actor: Actor, limits: Limits, names: Names, unsaid: Sequence[Field] = ()
) -> Mapping[str, Check]:  # fmt: skip
    """What is referred to must be visible to whoever refers to it, so that no reference tells what exists."""
    if actor.system:
        return {}
    said: list[Field | ToMany] = [*names.fields.values(), *names.relations.values()]
    found = {part.name: _visible(schema, actor, limits, part.target) for part in said if part.target is not None}
    for part in unsaid:
        if part.target is not None and permitted(actor.scopes, part.target, "read"):
            found[part.name] = _visible(schema, actor, limits, part.target)
        elif part.target is not None:  # a key need not name what nobody speaks of
            found[part.name] = _unseen(schema, actor, limits, part.target)
    return found


def _links(shape: Shape, given: Mapping[str, Any], members: tuple[Members, ...]) -> tuple[LinkCheck, ...]:
    if not shape.sight:
        return ()
    one = [LinkCheck(name, given[name], check) for name, check in shape.sight.items() if given.get(name) is not None]
    return (*one, *(LinkCheck(m.relation.name, key, m.visible) for m in members if m.visible for key in m.keys))


def _before(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, condition: Condition, guard: Condition,
    kept: Sequence[Kept] = (), *, ends: bool = False,
) -> Check:  # fmt: skip
    """The row before the change: the rule on it with `new(...)` left open, and the values that `old(...)` keeps.

    The guard is asked of the same row, unless it looks at others: those are read again once this one is held.
    """
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    rule = resolver.predicate(_open(normal(condition)), [frame], viewer=False)
    source = resolver.source(frame, ANYONE, viewer=not actor.system)
    captured = tuple(resolver.kept(one, frame) for one in kept)
    content = None if entity.version else content_of(resolver, frame)
    holds = None if guard == ANYONE else resolver.predicate(normal(guard), [frame], viewer=False)
    holds = None if holds is None or looks_beyond(holds) else holds
    key = _key(resolver, entity)
    source = replace(source, where=every(source.where, rule))
    return Check(
        source, key, tuple(resolver.params), stored(entity, frame.scope), captured, lock=True, content=content,
        guard=holds, ends=ends,
    )  # fmt: skip


def stored(entity: Entity, scope: int = 0) -> Record:
    """All stored fields of a record as they stand, encrypted ones encrypted, but secrets that can never be read."""
    items = []
    for field in entity.fields.values():
        if not field.write_only:
            kind = CIPHERTEXT if field.kind.sealed else field.kind
            column = Column(scope, field.column, kind, field.reads_null)
            second = [Column(scope, name, TEXT, field.nullable) for name in field.columns[1:]]
            items.append((field.name, Leaf(column, kind, second[0] if second else None)))
    return Record(tuple(items))


def _after(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, condition: Condition
) -> tuple[After, Sequence[Kept]]:  # fmt: skip
    """The row after the change: the rule on it, and what of the row before must be kept for its `old(...)`."""
    resolver = Resolver(schema, actor, limits)
    kept = resolver.keep_old()
    source = resolver.source(resolver.frame(entity), condition, viewer=False)
    key = _key(resolver, entity)
    parts = source.where.parts if isinstance(source.where, All) else (source.where,)

    def check(*parts: Predicate) -> Check | None:
        where = every(*parts)
        return None if where == TRUE else Check(replace(source, where=where), key, tuple(resolver.params))

    far = [part for part in parts if looks_beyond(part)]
    if not far:
        return After(check(*parts)), kept
    return After(check(*parts), check(*(part for part in parts if part not in far)), check(*far)), kept


def _open(condition: Condition) -> Condition:
    """A normal condition with every atom that speaks of the new row taken as true: it is checked afterwards."""
    match condition:
        case And(parts):
            return And(tuple(_open(part) for part in parts))
        case Or(parts):
            return Or(tuple(_open(part) for part in parts))
        case Not(part):
            return Always(True) if _speaks_of_new(part) else condition
        case _:
            return Always(True) if _speaks_of_new(condition) else condition


def _speaks_of_new(atom: Condition) -> bool:
    found = False

    def look(operand: Operand) -> Operand:
        nonlocal found
        found = found or (isinstance(operand, Path) and operand.when == "new")
        return operand

    if isinstance(atom, Quantified) and atom.path.when == "new":
        return True
    rebuild(atom, look)
    return found
