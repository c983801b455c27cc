"""From declared classes to one `Schema`: relations tied, rules called once with symbols, every mistake collected.

Invariant: a `Schema` exists only if the declaration has no mistake; after that nothing about it can fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from backstay.errors import DeclarationError, Mistake, nearest
from backstay.model.declare import Model, Reader, User
from backstay.model.field import ACTIONS, Computed, Entity, Field, Index, Schema, ToMany
from backstay.model.predicate import ANYONE, NOBODY, Brought, Condition, Me, Operand, Path, describe
from backstay.model.rule import FieldRule, ManyRule, Rules, computed
from backstay.model.symbol import MeSymbol, RowSymbol, Symbol, condition, misspelt, operand, refuse_identity
from backstay.model.value import BOOLEAN, FLOAT, INTEGER, KEY, TEXT, Kind, calculated, plain

_TAKEN = frozenset({"auth", "batch"})


def declare(
    models: Sequence[type[Model]], *, user: type[Any] | None = None, hidden: Sequence[type[Model]] = (),
    existing: Sequence[Entity] = (), mistakes: Sequence[Mistake] = (), tables: frozenset[str] = frozenset(),
) -> Schema:  # fmt: skip
    """The schema of an application's models.

    `user` is the class of its accounts: the one subclass of `User` among the models, or `User` itself, or the class
    of one of the `existing` entities, which have been read already, with these mistakes; `tables` are all of theirs.
    `hidden` models are kept but not served. Raises `DeclarationError` with every mistake.
    """
    people = [model for model in models if issubclass(model, User)]
    user = user or (people[0] if people else User)
    joined = {entity.model for entity in existing}
    everything = list(dict.fromkeys([*(() if user in joined else (user,)), *models, *hidden]))
    reader = Reader(everything, user, existing)
    reader.mistakes += mistakes
    if len(people) > 1:
        reader.wrong(people[1].__name__, "there is one class of users.", "Keep one subclass of User.")
    for model in models:
        if [m.__name__ for m in everything].count(model.__name__) > 1:
            reader.wrong(model.__name__, "two models have this name.", "Rename one of them.")
    _meet(reader, existing)
    entities = reader.entities
    for model in hidden:
        entities[model.__name__].hidden = True
    for entity in list(entities.values()):
        if entity.existing is None:
            reader.read_fields(entity)
    for (name, relation), (target, rule) in reader.many_rules.items():
        _tie(reader, entities[name], relation, entities[target.__name__], rule)
    for entity in entities.values():
        if entity.plural in _TAKEN:
            reader.wrong(entity.name, f"/api/{entity.plural} is an address of Backstay's own.", "Set __plural__.")
    for entity in entities.values():
        if entity.existing is None and entity.table in tables:
            hint = (
                "Set __plural__ of the model; or where it is the users', name their class: App(user=..., identify=...)."
            )
            reader.wrong(entity.name, f'its table "{entity.table}" is one of the application that is joined.', hint)
    user_entity = next((entity for entity in entities.values() if entity.model is user), None)
    plurals: dict[str, Entity] = {}
    for entity in entities.values():
        if (other := plurals.setdefault(entity.plural, entity)) is not entity:
            reader.wrong(entity.name, f"its address /{entity.plural} is {other.name}'s already.", "Set __plural__.")
    if not reader.mistakes and user_entity is not None:
        _seal(reader, list(entities.values()))
        for entity in entities.values():
            _compute(reader, entity)
        for entity in entities.values():
            _index(reader, entity)
            _slug(reader, entity)
            _rule(reader, entity, user_entity)
    if reader.mistakes or user_entity is None:
        raise DeclarationError(reader.mistakes)
    return Schema(dict(entities), user_entity, _fingerprint(entities))


def _meet(reader: Reader, existing: Sequence[Entity]) -> None:
    """Entities of an existing application beside those of the models: no name and no table is both's."""
    for entity in existing:
        if reader.entities.setdefault(entity.name, entity) is not entity:
            hint = f'Expose it by another: expose({entity.model.__name__}, name="Old{entity.name}").'
            reader.wrong(entity.name, "a model has this name already.", hint)


def _tie(reader: Reader, entity: Entity, name: str, target: Entity, rule: ManyRule) -> None:
    place = f"{entity.name}.{name}"
    if rule.through is not None:
        between = reader.entities.get(getattr(rule.through, "__name__", ""))
        if rule.through is True:
            between = _between(reader, entity, name, target)
        if between is None:
            reader.wrong(place, "the model in between is not part of this application.", "Add it to App(models=[...]).")
            return
        made = rule.through is True  # its relation back is named after this model, even where both are one model
        back = _way_back(reader, place, between, entity, entity.name.lower() if made else rule.via)
        onward = [f.name for f in between.fields.values() if f.target is target and f.name != back]
        if not onward:
            reader.wrong(place, f"{between.name} has no relation to {target.name}.", f"Add one to {between.name}.")
        elif back:
            entity.to_many[name] = ToMany(name, target, back, between, onward[0])
        return
    back = _way_back(reader, place, target, entity, rule.via)
    if back:
        entity.to_many[name] = ToMany(name, target, back)


def _way_back(reader: Reader, place: str, source: Entity, entity: Entity, via: str) -> str:
    ways = [f.name for f in source.fields.values() if f.target is entity]
    if via:
        if via in ways:
            return via
        reader.wrong(place, f'"{via}" is no relation of {source.name} to {entity.name}.{nearest(via, ways)}')
        return ""
    if not ways:
        reader.wrong(place, f"{source.name} has no relation to {entity.name} that leads back.",
                     f"Add one, such as {entity.name.lower()}: {entity.name}; or many(through=True).")  # fmt: skip
        return ""
    if len(ways) > 1:
        reader.wrong(place, f"{source.name} leads back in several ways: {', '.join(ways)}.",
                     f'Name one: many(via="{ways[0]}").')  # fmt: skip
        return ""
    return ways[0]


def _between(reader: Reader, entity: Entity, name: str, target: Entity) -> Entity:
    """The entity that joins a many-to-many relation without fields of its own; kept, never served by itself."""
    joined = f"{entity.name}{name.capitalize()}"
    model = type(
        joined, (Model,), {"__doc__": f"Joins {entity.name} and {target.name}.", "__module__": entity.model.__module__}
    )
    between = Entity(joined, f"{entity.plural}_{name}", model, hidden=True, made=True)
    base = Reader([model], reader.user)
    base.read_fields(base.entities[joined])
    between.fields.update(base.entities[joined].fields)
    left, right = entity.name.lower(), target.name.lower()
    right = right if right != left else f"other_{right}"
    between.fields[left] = Field(left, KEY, target=entity, on_delete="cascade")
    between.fields[right] = Field(right, KEY, target=target, on_delete="cascade")
    between.indexes = (Index((left, right), "unique"),)
    between.rules = dict.fromkeys(ACTIONS, ANYONE)
    reader.entities[joined] = between
    return between


def _compute(reader: Reader, entity: Entity) -> None:
    for name in [n for cls in reversed(entity.declares.__mro__) for n in cls.__dict__]:
        method = getattr(entity.declares, name, None)
        if not isinstance(method, computed):
            continue
        try:
            refuse_identity(cast(Any, method).method)
            made = cast(Any, method).method(RowSymbol(entity, Path(())))
            value, kind = _computed_value(entity, made)
        except Exception as error:
            reader.wrong(f"{entity.name}.{name}", _said(error), "A computed field is one expression over self.")
            continue
        entity.computed[name] = Computed(name, kind, True, value, doc=(method.__doc__ or "").strip())


def _computed_value(entity: Entity, made: Any) -> tuple[Operand | Condition, Kind]:
    try:
        node: Operand | Condition = operand(made)
    except TypeError:
        return condition(made), BOOLEAN
    kind = kind_of(entity, cast(Operand, node))
    if kind.name == "money" and not kind.currency:
        raise TypeError("Computed money needs a fixed currency: Annotated[Money, Currency(...)].")
    return node, plain(kind)


def kind_of(entity: Entity, node: Operand) -> Kind:
    """The kind of a computed value, found from the fields it is made of."""
    from backstay.model.predicate import Arithmetic, Choice, Now, Total, Value
    from backstay.model.value import INSTANT, Money

    match node:
        case Total("count"):
            return INTEGER
        case Total(_, path, of, _):
            target = _walk(entity, path.names)
            assert isinstance(target, Entity) and of is not None
            return kind_of(target, of)
        case Path(names):
            found = _walk(entity, names)
            return plain(found.key.kind) if isinstance(found, Entity) else found
        case Brought() | Arithmetic("concat"):
            return TEXT
        case Arithmetic(_, args):
            kinds = [kind_of(entity, arg) for arg in args if not isinstance(arg, Value)] or [INTEGER]
            if (kind := calculated(node.op, kinds)) is None:
                raise TypeError(f"{' and '.join(k.name for k in kinds)} cannot be calculated with each other.")
            return kind
        case Choice(_, then, otherwise):
            return kind_of(entity, otherwise if isinstance(then, Value) else then)
        case Me():
            return KEY
        case Now():
            return INSTANT
        case Value(value):
            named = {bool: BOOLEAN, int: INTEGER, float: FLOAT, str: TEXT}
            return Kind("money", currency=value.currency) if isinstance(value, Money) else named[type(value)]
        case _:
            raise TypeError("A computed field is made of the record's own fields.")


def _walk(entity: Entity, names: Sequence[str]) -> Kind | Entity:
    here: Entity = entity
    for position, name in enumerate(names):
        if (relation := here.to_many.get(name)) is not None:
            here = relation.target
        elif (computed_field := here.computed.get(name)) is not None:
            return computed_field.kind
        elif (field := here.fields[name]).target is not None:
            here = field.target
        elif position + 1 < len(names):
            return INTEGER if names[position + 1] == "amount" else TEXT
        else:
            return field.kind
    return here


def _call(reader: Reader, entity: Entity, what: str, make: Callable[[], Any]) -> Any:
    unknown: list[str] = []
    token = misspelt.set(unknown)
    try:
        return make()
    except Exception as error:
        reader.wrong(f"{entity.name}.{what}", _said(error), "Rules and indexes are called once, with symbols.")
        return None
    finally:
        misspelt.reset(token)
        for message in unknown:
            reader.wrong(f"{entity.name}.{what}", message)


def _said(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, (TypeError, AttributeError, AssertionError))
        else f"{type(error).__name__}: {error}"
    )


def _index(reader: Reader, entity: Entity) -> None:
    method = getattr(entity.declares, "indexes", None)
    if method is None:
        return
    if entity.existing is not None:
        reader.wrong(entity.name, "its indexes are those of its table.", "Make them where the table is made.")
        return
    found = list(_call(reader, entity, "indexes", lambda: method(RowSymbol(entity, Path(())))) or [])
    if entity.model is reader.user and Index(("email",), "unique") not in found:
        found.append(Index(("email",), "unique"))  # whatever a user class of one's own says: one account an address
    kept = []
    for index in found:
        if not isinstance(index, Index):
            reader.wrong(f"{entity.name}.indexes", f"{index!r} is no index.", "Return index(), unique(), searchable().")
            continue
        unknown = [name for name in index.fields if name not in entity.fields]
        if unknown:
            reader.wrong(f"{entity.name}.indexes", f'"{unknown[0]}" is not stored, so it cannot be indexed.')
            continue
        if sealed := [name for name in index.fields if entity.fields[name].kind.sealed]:
            what = {"search": "searched", "unique": "unique"}.get(index.kind, "indexed")
            reader.wrong(f"{entity.name}.indexes", f'"{sealed[0]}" is encrypted, so it cannot be {what}.',
                         "Keep what has to be found in a field of its own.")  # fmt: skip
            continue
        if index.kind == "search":
            bad = [name for name in index.fields if not entity.fields[name].kind.textual]
            if bad:
                reader.wrong(f"{entity.name}.indexes", f'"{bad[0]}" is no text, so it cannot be searched.')
            entity.search = index.fields
        if index.kind == "unique" and len(index.fields) == 1:
            name = index.fields[0]
            entity.fields[name] = replace(entity.fields[name], unique=True)
        kept.append(index)
    entity.indexes = (*entity.indexes, *kept)


def _slug(reader: Reader, entity: Entity) -> None:
    for field in entity.fields.values():
        if field.default is None or field.default.source != "slug":
            continue
        place, source = f"{entity.name}.{field.name}", entity.fields.get(field.default.value)
        if source is None:
            reader.wrong(place, f'it is made from "{field.default.value}", which is no field.')
        elif source.kind.sealed and not field.kind.sealed:
            reader.wrong(place, f'it is made from "{source.name}", which is encrypted.',
                         "Make it from a field that everybody may read.")  # fmt: skip


def _seal(reader: Reader, entities: Sequence[Entity]) -> None:
    """A label belongs to one field, or the values of two could be exchanged unseen."""
    labels: dict[str, str] = {}
    for entity in entities:
        for name in entity.sealed:
            place, label = f"{entity.name}.{name}", entity.fields[name].label
            if (other := labels.setdefault(label, place)) != place:
                reader.wrong(place, f"it is sealed as {label}, and so is {other}.", "Name the field it was before.")


def _rule(reader: Reader, entity: Entity, user: Entity) -> None:
    method = getattr(entity.declares, "rules", None)
    if method is None:
        return
    me = MeSymbol(user, Me())

    def call() -> Any:
        refuse_identity(method)
        return method(RowSymbol(entity, Path(())), me)

    found = _call(reader, entity, "rules", call)
    if found is None:
        return
    if not isinstance(found, Rules):
        reader.wrong(f"{entity.name}.rules", f"it returned {type(found).__name__}.", "Return Rules(read=..., ...).")
        return
    for action in ACTIONS:
        made = _call(reader, entity, f"rules.{action}", lambda a=action: condition(getattr(found, a)))  # type: ignore[misc]
        entity.rules[action] = made if made is not None else NOBODY
        if action != "update" and made is not None and ("old(" in describe(made) or "new(" in describe(made)):
            reader.wrong(f"{entity.name}.rules.{action}", "old() and new() are for update.", "Name the field itself.")
    for rule in found.fields:
        _field_rule(reader, entity, rule)
    for name in entity.search:
        if entity.fields[name].read != ANYONE or entity.fields[name].write_only:
            reader.wrong(f"{entity.name}.indexes", f'"{name}" is not visible to all, so it cannot be searched.',
                         "Search only what everybody who may read the record may read.")  # fmt: skip


def _field_rule(reader: Reader, entity: Entity, rule: Any) -> None:
    place = f"{entity.name}.rules.fields"
    node = rule.of._node if isinstance(rule, FieldRule) and isinstance(rule.of, Symbol) else None
    if not isinstance(node, Path) or len(node.names) != 1:
        reader.wrong(place, "a field rule names a field of the record itself.", "Write field(self.cost, read=...).")
        return
    name = node.names[0]
    read = _call(reader, entity, f"{name} (read)", lambda: condition(rule.read))
    write = _call(reader, entity, f"{name} (write)", lambda: condition(rule.write))
    if read is None or write is None:
        return
    if name in entity.fields:
        entity.fields[name] = replace(entity.fields[name], read=read, write=write)
    elif name in entity.computed:
        entity.computed[name] = replace(entity.computed[name], read=read)
    else:
        entity.to_many[name] = replace(entity.to_many[name], read=read, write=write)


def _fingerprint(entities: dict[str, Entity]) -> str:
    parts = []
    for entity in entities.values():
        parts.append(f"{entity.name} {entity.plural} {entity.table} {entity.indexes} {entity.was}")
        parts += [
            f"{f.name} {f.column} {f.kind} {f.nullable} {f.default} {f.target} {f.on_delete} {f.write_only} {f.label} "
            f"{f.was} {describe(f.read)} {describe(f.write)}"
            for f in entity.fields.values()
        ]
        parts += [f"{c.name} {c.value}" for c in entity.computed.values()]
        parts += [f"{action} {describe(rule)}" for action, rule in entity.rules.items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
