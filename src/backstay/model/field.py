"""The declared parts of a model after they have been read: stored fields, relations, computed fields, indexes.

Invariant: these values are resolved. A relation knows its target entity, a field its kind; nothing here is text
that somebody still has to look up, except the conditions, which the planner resolves for each actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from backstay.model.predicate import ANYONE, NOBODY, Condition, Operand, headers_of
from backstay.model.value import Kind

OnDelete = Literal["restrict", "cascade", "set_null"]
Action = Literal["read", "create", "update", "delete"]
ACTIONS: tuple[Action, ...] = ("read", "create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Default:
    """Where a value comes from when the client sends none.

    `literal` may be overridden by the client; `now`, `me`, `sequence` and `slug` are the server's own,
    except that a slug may be sent. Tables of an existing application have two more: `table`, where the database
    fills what is not sent, and `call`, a function of that application; both may be sent.
    """

    source: Literal["literal", "now", "me", "sequence", "slug", "id", "table", "call"]
    value: Any = None

    @property
    def by_server(self) -> bool:
        """Whether only the server sets it, so that a client that sends it is told off."""
        return self.source not in ("literal", "slug", "table", "call")


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One stored field. A to-one relation is a field of the kind of its target's key, with a `target`."""

    name: str
    kind: Kind
    nullable: bool = False
    default: Default | None = None
    unique: bool = False
    write_only: bool = False
    read_only: bool = False
    target: Entity | None = None
    on_delete: OnDelete = "restrict"
    read: Condition = ANYONE
    write: Condition = ANYONE
    doc: str = ""
    was: str = ""
    """What it was called before, for a migration."""
    label: str = ""
    """What an encrypted value is bound to: the model and the field it was sealed for."""
    on_update: Default | None = None
    """What it becomes with every change that does not set it."""
    existing: str = ""
    """The column of an existing table that holds it; no column of Backstay's stands beside that one."""

    @property
    def column(self) -> str:
        """The column that holds it: the name, with `_id` behind it for a relation."""
        return self.existing or (f"{self.name}_id" if self.target is not None else self.name)

    @property
    def columns(self) -> tuple[str, ...]:
        """All its columns: money without a fixed currency has a second one."""
        if self.kind.name == "money" and not self.kind.currency and not self.kind.sealed:
            return self.name, f"{self.name}_currency"
        return (self.column,)

    @property
    def folded(self) -> str:
        """The column beside it that holds the folded text, or nothing where the text folds to itself."""
        return (
            f"{self.name}__folded"
            if self.kind.textual
            and self.kind.format != "slug"
            and not self.write_only
            and not self.existing
            and self.target is None
            else ""
        )

    @property
    def reads_null(self) -> bool:
        """Whether it can be null where it is read: what is stored may also be none of the choices."""
        form = self.kind.stored.form if self.kind.stored is not None else ""
        return self.nullable or form == "label"

    @property
    def by_server(self) -> bool:
        """Whether only the server sets it."""
        return self.read_only or (self.default is not None and self.default.by_server)

    @property
    def required(self) -> bool:
        """Whether a create without it is an error."""
        return not self.nullable and self.default is None


@dataclass(frozen=True, slots=True, eq=False)
class ToMany:
    """A to-many relation: the records of `target` whose `via` names this one, or through a joining entity."""

    name: str
    target: Entity
    via: str
    through: Entity | None = None
    onward: str = ""
    read: Condition = ANYONE
    write: Condition = ANYONE
    doc: str = ""

    @property
    def as_list(self) -> bool:
        """Whether it is written as a list of ids: its joining model has nothing of its own to say."""
        return self.through is not None and self.through.made


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A read-only field in the language of predicates, run with the developer's authority."""

    name: str
    kind: Kind
    nullable: bool
    value: Operand | Condition
    read: Condition = ANYONE
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """An index over fields: plain, unique together, or the fields that `search` looks in."""

    fields: tuple[str, ...]
    kind: Literal["index", "unique", "search"] = "index"
    name: str = ""
    """What an existing database calls it."""


class RecordForm(Protocol):
    """How the records of one entity look to own code."""

    def make(self, values: Mapping[str, Any]) -> Any:
        """A record with these values, by the names of the entity."""
        ...

    def take(self, record: Any) -> dict[str, Any]:
        """The values that a record holds, by the names of the entity."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Existing:
    """The table of an application that is there already, and how its class speaks of it."""

    table: str
    form: RecordForm
    namespace: str = ""
    """The schema of the database that it lies in, where it is not the usual one."""
    version: str = ""
    declares: type | None = None
    """What says its rules and computed fields."""
    spelling: Mapping[str, str] = field(default_factory=dict)
    """Names of the class that mean a field of another name: `author_id` is `author`."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Entity:
    """One declared model, resolved. Filled by `declare` while relations are tied, never changed afterwards."""

    name: str
    plural: str
    model: type[Any]
    doc: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    to_many: dict[str, ToMany] = field(default_factory=dict)
    computed: dict[str, Computed] = field(default_factory=dict)
    indexes: tuple[Index, ...] = ()
    search: tuple[str, ...] = ()
    rules: dict[Action, Condition] = field(default_factory=lambda: dict.fromkeys(ACTIONS, NOBODY))
    sealed: tuple[str, ...] = ()
    """The names of its encrypted fields."""
    hidden: bool = False
    was: str = ""
    """What the model was called before, for a migration."""
    made: bool = False
    """Made for a relation by `many(through=True)`, and not declared."""
    existing: Existing | None = None
    """The table of another application that holds it, which Backstay neither makes nor alters."""

    def __repr__(self) -> str:
        return f"<Entity {self.name}>"

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.existing.table if self.existing is not None else self.plural

    @property
    def key(self) -> Field:
        """The field that identifies a record. It is called `id`, whatever its column is called."""
        return self.fields["id"]

    @property
    def version(self) -> str:
        """The column that counts the changes of a record; empty where there is none, and its content is compared."""
        return self.existing.version if self.existing is not None else "_version"

    @property
    def declares(self) -> Any:
        """What says its rules, indexes and computed fields: its class, or what it was exposed with."""
        return self.existing.declares if self.existing is not None else self.model

    def spelt(self, name: str) -> str:
        """The name of a field that the class of an existing application calls so."""
        return self.existing.spelling.get(name, name) if self.existing is not None else name

    @property
    def logged(self) -> bool:
        """Whether its changes are in the change log: not what proves an identity, nor where others write as well."""
        return self.existing is None and (self.made or not self.hidden)

    @property
    def names(self) -> list[str]:
        """Every name that a path may take from here."""
        return [*self.fields, *self.computed, *self.to_many]


@dataclass(frozen=True, slots=True)
class Schema:
    """All entities of one application, by name; `fingerprint` changes whenever any declaration does."""

    entities: dict[str, Entity]
    user: Entity
    fingerprint: str

    def by_plural(self) -> dict[str, Entity]:
        """Entities by the name that stands in addresses, the served ones only."""
        return {entity.plural: entity for entity in self.entities.values() if not entity.hidden}

    @property
    def secrets(self) -> frozenset[str]:
        """The headers whose secrets the rules ask for."""
        rules: list[Condition] = []
        for entity in self.entities.values():
            rules += entity.rules.values()
            for own in entity.fields.values():
                rules += (own.read, own.write)
            for relation in entity.to_many.values():
                rules += (relation.read, relation.write)
            rules += (computed.read for computed in entity.computed.values())
        return headers_of(*rules)

    def followers(self, entity: Entity) -> list[tuple[Entity, Field]]:
        """Where a record is deleted or let go with one of this entity and the change log must say so."""
        going = self._going_with(entity)
        return [(other, relation) for other, relation in going if self._told_of(other, {entity.name})]

    def _going_with(self, entity: Entity) -> list[tuple[Entity, Field]]:
        return [
            (other, relation) for other in self.entities.values() for relation in other.fields.values()
            if relation.target is entity and relation.on_delete != "restrict"
        ]  # fmt: skip

    def _told_of(self, entity: Entity, seen: set[str]) -> bool:
        """Whether the end of a record of this entity is in the change log, its own or that of one that goes with it."""
        if entity.logged or entity.name in seen:
            return entity.logged
        seen.add(entity.name)
        return any(self._told_of(other, seen) for other, _ in self._going_with(entity))

    def of(self, model: type[Any]) -> Entity:
        """The entity of a declared class, or of an exposed one."""
        entity = self.entities.get(model.__name__)
        if entity is not None and (entity.existing is None or entity.model is model):
            return entity
        exposed = (one for one in self.entities.values() if one.model is model)  # under another name
        return next(exposed, None) or self.entities[model.__name__]
