"""A change becomes a `WritePlan` here: values checked against the declaration, rules as checks before and after.

Invariant: a rule about the new row is checked on the row as it stands in the database after the change, hooks
included; a rule on an update holds for the row before *and* after. No value is written that its field did not take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backstay.errors import BadRequest, FieldError, Invalid, NotSignedIn, nearest
from backstay.model.field import Entity, Field, Schema, ToMany
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
from backstay.model.value import KEY, TEXT, Kind, Unfit, parse, slug_of
from backstay.plan.actor import Actor
from backstay.plan.ask import Create, Delete, Update
from backstay.plan.limits import Limits
from backstay.plan.planner import refusal
from backstay.plan.resolve import Resolver, every
from backstay.plan.tree import TRUE, Check, Column, Expr, Leaf, LinkCheck, Members, ParamSpec, Record, WritePlan

_MEMBERS = Kind("list", item=KEY, max_length=200)


def plan_create(ask: Create, schema: Schema, actor: Actor, limits: Limits, key: str, now: datetime) -> WritePlan:
    """The plan of a new record with the id of the ask, else `key`. Raises `Invalid` with every wrong value at once."""
    entity = schema.entities[ask.model]
    key = ask.key or key
    resolver = Resolver(schema, actor, limits)
    rule = permit(resolver, entity, "create")
    given = parse_values(resolver, entity, ask.values, creating=True)
    values = dict(given)
    members = _members(schema, actor, limits, entity, ask.values)
    for field in entity.fields.values():
        if field.name not in values:
            values[field.name] = _default(field, values, actor, key, now)
    conditions = [rule, *_write_rules(resolver, entity, ask.values)]
    return WritePlan(
        "create", entity, key, values, None, _after(schema, actor, limits, entity, both(*conditions)),
        _links(schema, actor, limits, entity, given, members), tuple(resolver.decisions), members=members,
    )  # fmt: skip


def plan_update(ask: Update, schema: Schema, actor: Actor, limits: Limits, now: datetime) -> WritePlan:
    """The plan of a change of one record."""
    entity = schema.entities[ask.model]
    resolver = Resolver(schema, actor, limits)
    rule = permit(resolver, entity, "update")
    values = parse_values(resolver, entity, ask.values, creating=False, whole=ask.whole)
    if ask.whole:
        values = {**_unsaid(resolver, entity, values, ask.key, now), **values}
    condition = both(rule, *_write_rules(resolver, entity, {**ask.values, **values, **ask.sets}))
    sets, set_params = _sets(schema, actor, limits, entity, ask.sets)
    before = _before(schema, actor, limits, entity, condition)
    after = _after(schema, actor, limits, entity, condition)
    values["updated_at"] = now
    members = _members(schema, actor, limits, entity, ask.values)
    links = _links(schema, actor, limits, entity, values, members)
    decisions = tuple(resolver.decisions)
    return WritePlan(
        "update", entity, ask.key, values, before, after, links, decisions, ask.guard_values, sets, set_params, members
    )


def plan_delete(ask: Delete, schema: Schema, actor: Actor, limits: Limits) -> WritePlan:
    """The plan of the end of one record."""
    entity = schema.entities[ask.model]
    resolver = Resolver(schema, actor, limits)
    rule = permit(resolver, entity, "delete")
    before = _before(schema, actor, limits, entity, rule)
    return WritePlan("delete", entity, ask.key, {}, before, None, (), tuple(resolver.decisions), ask.guard_values)


def plan_guard(guard: Condition, entity: Entity, schema: Schema, actor: Actor, limits: Limits) -> Check:
    """The check that a record satisfies a condition of the developer's own."""
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    source = resolver.source(frame, guard, viewer=False)
    return Check(source, resolver.param(ParamSpec("slot", KEY, -1)), tuple(resolver.params))


def permit(resolver: Resolver, entity: Entity, action: Any) -> Condition:
    """The rule on an action; raises what the actor is told where it can never hold."""
    rule = resolver.rule(entity, action)
    if rule == NOBODY:
        raise refusal(entity, action, resolver.actor)
    return rule


# Values.


def parse_values(
    resolver: Resolver, entity: Entity, raw: Mapping[str, Any], *, creating: bool, whole: bool = False
) -> dict[str, Any]:  # fmt: skip
    """The canonical values of the fields that this actor may write, as far as that does not depend on the record.

    Raises `BadRequest` `unknown_field` for what does not exist for the actor, else `Invalid` with every wrong value.
    Where a new record needs a field that does not exist for the actor, the actor can create none and is refused.
    `whole` values of a record that is there must name what the actor may write and the record needs.
    """
    system = resolver.actor.system
    known = resolver.visible(entity)
    writable = {
        name: field for name, field in entity.fields.items()
        if system or field.write_only or name in known
    }  # fmt: skip
    if creating and any(field.required and name not in writable for name, field in entity.fields.items()):
        raise refusal(entity, "create", resolver.actor)
    unknown = [name for name in raw if name not in writable and name not in known]
    if unknown:
        raise BadRequest(
            f'{entity.name} has no field "{unknown[0]}".{nearest(unknown[0], writable)}', code="unknown_field",
            errors=[FieldError(n, "unknown_field", f"is no field of {entity.name}.") for n in unknown],
        )  # fmt: skip
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in raw.items():
        if (relation := entity.to_many.get(name)) is not None and relation.as_list:
            errors += _member_errors(resolver, relation, value)
            continue
        field = writable.get(name)
        if field is None or (not system and _closed(resolver, field)):
            errors.append(FieldError(name, "read_only", "is set by the server and cannot be sent."))
            continue
        try:
            values[name] = parse_field(field, value)
        except Unfit as unfit:
            errors.append(FieldError(name, unfit.code, f"{unfit}."))
    if creating or whole:
        errors += [
            FieldError(name, "required", "is required.")
            for name, field in entity.fields.items()
            if field.required and name not in raw and (creating or (name in writable and not _closed(resolver, field)))
        ]
    if errors:
        first = errors[0]
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Invalid(f'"{first.path}" {first.message}{more}', errors=errors)
    return values


def _unsaid(
    resolver: Resolver, entity: Entity, said: Mapping[str, Any], key: str, now: datetime
) -> dict[str, Any]:  # fmt: skip
    """The defaults of the fields that a whole record does not name, where the actor may write them."""
    known = resolver.visible(entity)
    return {
        name: _default(field, said, resolver.actor, key, now) for name, field in entity.fields.items()
        if name not in said and (field.write_only or name in known) and not _closed(resolver, field)
    }  # fmt: skip


def _member_errors(resolver: Resolver, relation: ToMany, raw: Any) -> list[FieldError]:
    if not resolver.actor.system and resolver.fold(relation.write) == NOBODY:
        return [FieldError(relation.name, "read_only", "cannot be sent.")]
    try:
        parse(_MEMBERS, raw)
    except Unfit as unfit:
        return [FieldError(relation.name, unfit.code, f"{unfit}.")]
    return []


def _members(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, raw: Mapping[str, Any]
) -> tuple[Members, ...]:
    """The many-to-many relations that are written as lists of ids; `parse_values` has checked them."""
    found = []
    for name, relation in entity.to_many.items():
        if relation.as_list and name in raw:
            keys = tuple(dict.fromkeys(parse(_MEMBERS, raw[name])))
            visible = None if actor.system else _visible(schema, actor, limits, relation.target)
            found.append(Members(relation, keys, visible))
    return tuple(found)


def _visible(schema: Schema, actor: Actor, limits: Limits, entity: Entity) -> Check:
    """The check that a record can be seen by the actor."""
    resolver = Resolver(schema, actor, limits)
    source = resolver.source(resolver.frame(entity), ANYONE, viewer=True)
    return Check(source, resolver.param(ParamSpec("slot", KEY, -1)), tuple(resolver.params))


def _sets(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, sets: Mapping[str, Operand]
) -> tuple[tuple[tuple[str, Expr], ...], tuple[ParamSpec, ...]]:
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    resolved = []
    for name, operand in sets.items():
        field = entity.fields.get(name)
        if (
            field is None
            or field.folded
            or field.kind.name in ("json", "list")
            or (field.read_only and not actor.system)
        ):
            raise BadRequest(f'"{name}" cannot be set by an expression.', code="unknown_field")
        resolved.append((field.column, resolver.operand(operand, [frame], False)))
    return tuple(resolved), tuple(resolver.params)


def _closed(resolver: Resolver, field: Field) -> bool:
    by_server = field.read_only or (field.default is not None and field.default.by_server)
    return by_server or resolver.fold(field.write) == NOBODY


def parse_field(field: Field, value: Any) -> Any:
    """The canonical value of a field, or `Unfit`; null only where the field may be null."""
    if field.target is not None and hasattr(value, "__entity__"):
        value = value.__dict__.get("id")
    if value is None:
        if not field.nullable:
            raise Unfit("required", "must not be null")
        return None
    return parse(field.kind, value)


def _default(field: Field, values: Mapping[str, Any], actor: Actor, key: str, now: datetime) -> Any:
    default = field.default
    if default is None or default.source == "sequence":
        return None  # a sequence is drawn by the store, in the transaction
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
        case _:
            return default.value


def _write_rules(resolver: Resolver, entity: Entity, given: Mapping[str, Any]) -> list[Condition]:
    """The rules of the fields that are written, where they depend on the record."""
    if resolver.actor.system:
        return []
    parts: Mapping[str, Field | ToMany] = {**entity.to_many, **entity.fields}
    return [resolver.fold(parts[name].write) for name in given if name in parts]


# Checks.


def _links(
    schema: Schema, actor: Actor, limits: Limits, entity: Entity, given: Mapping[str, Any],
    members: tuple[Members, ...],
) -> tuple[LinkCheck, ...]:  # fmt: skip
    """What is referred to must be visible to whoever refers to it, so that no reference tells what exists."""
    if actor.system:
        return ()
    referred: list[tuple[str, str, Entity]] = []
    for name, value in given.items():
        if (target := entity.fields[name].target) is not None and value is not None:
            referred.append((name, value, target))
    referred += [(part.relation.name, key, part.relation.target) for part in members for key in part.keys]
    return tuple(LinkCheck(name, value, _visible(schema, actor, limits, target)) for name, value, target in referred)


def _before(schema: Schema, actor: Actor, limits: Limits, entity: Entity, condition: Condition) -> Check:
    """The row before the change: the rule on it with `new(...)` left open, and the values that `old(...)` keeps."""
    resolver = Resolver(schema, actor, limits)
    frame = resolver.frame(entity)
    rule = resolver.predicate(_open(normal(condition)), [frame], viewer=False)
    source = resolver.source(frame, ANYONE, viewer=not actor.system)
    items = []
    for field in entity.fields.values():
        if not field.write_only:
            column = Column(frame.scope, field.column, field.kind, field.nullable)
            second = [Column(frame.scope, name, TEXT, field.nullable) for name in field.columns[1:]]
            items.append((field.name, Leaf(column, field.kind, second[0] if second else None)))
    kept = tuple(resolver.operand(replace(path, when=""), [frame], False) for path in old_paths(condition))
    key = resolver.param(ParamSpec("slot", KEY, -1))
    source = replace(source, where=every(source.where, rule))
    return Check(source, key, tuple(resolver.params), Record(tuple(items)), kept, lock=True)


def _after(schema: Schema, actor: Actor, limits: Limits, entity: Entity, condition: Condition) -> Check | None:
    """The row after the change: the rule on it, with `old(...)` meaning the values kept from before."""
    resolver = Resolver(schema, actor, limits)
    resolver.keep_old(old_paths(condition))
    source = resolver.source(resolver.frame(entity), condition, viewer=False)
    if source.where == TRUE:
        return None
    return Check(source, resolver.param(ParamSpec("slot", KEY, -1)), tuple(resolver.params))


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


def old_paths(condition: Condition) -> list[Path]:
    """The fields of the old row that a condition speaks of, each once."""
    found: list[Path] = []

    def look(operand: Operand) -> Operand:
        if isinstance(operand, Path) and operand.when == "old" and operand not in found:
            found.append(operand)
        return operand

    rebuild(condition, look)
    return found


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
