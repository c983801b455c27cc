"""The mapped classes of an existing SQLAlchemy application become entities: what its tables hold, in our words.

Invariant: an entity that comes from here belongs to its application. It says what is there (columns, keys, defaults,
constraints, relations by foreign keys) and nothing that would have to be made; what cannot be told exactly is a
mistake at start, with the way to leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import NoInspectionAvailable, SQLAlchemyError
from sqlalchemy.orm import Mapper, RelationshipProperty, configure_mappers
from sqlalchemy.orm.interfaces import MANYTOMANY, MANYTOONE, ONETOMANY
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.functions import current_timestamp
from sqlalchemy.sql.functions import now as sql_now

from backstay.errors import Mistake, nearest
from backstay.model.declare import OPERATOR_NAMES, plural_of
from backstay.model.field import ACTIONS, Default, Entity, Existing, Field, Index, ToMany
from backstay.model.predicate import ANYONE, NOBODY
from backstay.model.rule import Instant, Rules
from backstay.model.value import Kind, Unfit, parse
from backstay.store.mapped_form import MappedForm
from backstay.store.mapped_kind import kind_of

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SECRET = re.compile(r"passw(or)?d|passwd|secret|token|api_?key|private_?key|(^|_)(hash|salt|otp|totp)(_|$)")


@dataclass(frozen=True, slots=True)
class Exposure:
    """One class of an existing application, and how it is to be served; made by `App.expose`."""

    model: type[Any]
    rules: Any = None
    name: str = ""
    plural: str = ""
    without: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: bool = False


@dataclass(slots=True)
class Joined:
    """What was read of an existing application."""

    entities: list[Entity] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    tables: frozenset[str] = frozenset()
    """Its tables, exposed or not: none of them is made or altered."""


def read_existing(exposures: Sequence[Exposure]) -> Joined:
    """The entities of mapped classes, tied to each other by their foreign keys; with every mistake."""
    joined = Joined()
    readers: list[_Reader] = []
    try:
        configure_mappers()
    except SQLAlchemyError as error:
        joined.mistakes.append(Mistake("SQLAlchemy", str(error), "Its classes must be complete before the start."))
        return joined
    for exposure in exposures:
        if (reader := _reader(exposure, joined.mistakes)) is not None:
            readers.append(reader)
    by_table = {reader.table: reader for reader in readers}
    for reader in readers:
        reader.read_fields(by_table)
    for reader in readers:
        reader.read_relations(by_table, joined.entities)
    for reader in readers:
        reader.close()
        joined.mistakes += reader.mistakes
    joined.entities[:0] = [reader.entity for reader in readers]
    metadata = {id(reader.table.metadata): reader.table.metadata for reader in readers}
    joined.tables = frozenset(t.name for one in metadata.values() for t in one.tables.values() if t.schema is None)
    return joined


def _reader(exposure: Exposure, mistakes: list[Mistake]) -> _Reader | None:
    place = getattr(exposure.model, "__name__", repr(exposure.model))
    try:
        mapper: Any = sa.inspect(exposure.model)
    except NoInspectionAvailable:
        mapper = None
    if not isinstance(mapper, Mapper):
        mistakes.append(Mistake(place, "it is no mapped class of SQLAlchemy.", "Declare models of Backstay in App()."))
        return None
    keys = mapper.primary_key
    if mapper.inherits is not None or mapper.polymorphic_on is not None:
        said, hint = "classes that inherit from each other cannot be exposed.", "Expose classes with a table each."
    elif not isinstance(mapper.local_table, sa.Table):
        said, hint = "it is not mapped to a table.", "Expose classes with a table each."
    elif len(keys) != 1:
        said = f"its key has {len(keys)} columns, and a record is named by one."
        hint = "Relations through it are served: a relationship(secondary=...) of the classes on its two sides."
    else:
        return _Reader(exposure, mapper, mapper.local_table, keys[0])
    mistakes.append(Mistake(place, said, hint))
    return None


class _Reader:
    """Reads one mapped class."""

    def __init__(self, exposure: Exposure, mapper: Mapper[Any], table: sa.Table, key: Any) -> None:
        self.exposure = exposure
        self.mapper = mapper
        self.table = table
        self.key = key
        self.mistakes: list[Mistake] = []
        self.attributes = {
            prop.key: prop.columns[0] for prop in mapper.column_attrs
            if len(prop.columns) == 1 and isinstance(prop.columns[0], sa.Column)
        }  # fmt: skip
        self.spelling: dict[str, str] = {}
        self.form = MappedForm(mapper)
        version = mapper.version_id_col
        counts = version is not None and isinstance(version.type, sa.Integer) and mapper.version_id_generator
        name = exposure.name or exposure.model.__name__
        self.entity = Entity(
            name, exposure.plural or plural_of(name), exposure.model, _doc(exposure.model), hidden=exposure.hidden,
            existing=Existing(
                table.name, self.form, table.schema or "", version.name if counts and version is not None else "",
                _declaring(name, exposure.rules), self.spelling,
            ),
        )  # fmt: skip

    def wrong(self, name: str, message: str, hint: str = "") -> None:
        """Keep one mistake."""
        self.mistakes.append(Mistake(f"{self.entity.name}.{name}" if name else self.entity.name, message, hint))

    # Fields.

    def read_fields(self, by_table: Mapping[sa.Table, _Reader]) -> None:
        """Read the columns into fields; a foreign key to an exposed class becomes a relation."""
        self._check_names()
        without = {*self.exposure.without}
        for attribute, column in self.attributes.items():
            if attribute in without and column is not self.key:
                continue
            target = self._target(column, by_table)
            name = "id" if column is self.key else self._name(attribute, column, target)
            if name != attribute:
                self.spelling[attribute] = name
            if name in self.entity.fields or (name == "id" and column is not self.key):
                self.wrong(attribute, f'two fields would be called "{name}".', self._renaming(attribute))
                continue
            if (kind := self._kind(attribute, column)) is None:
                continue
            relation = self._relationship(column, target)
            self.entity.fields[name] = self._field(name, attribute, column, kind, target)
            related = relation.key if relation is not None else ""
            self.form.add(name, attribute, related, kind, refers=target is not None)
            if relation is not None and relation.key != name:
                self.spelling[relation.key] = name
        if "id" in self.entity.fields:  # the key stands first
            self.entity.fields = {"id": self.entity.fields["id"], **self.entity.fields}

    def _check_names(self) -> None:
        given = {"without": self.exposure.without, "shown": self.exposure.shown, "names": self.exposure.names,
                 "defaults": self.exposure.defaults}  # fmt: skip
        for parameter, names in given.items():
            known = [*self.attributes, *self.mapper.relationships.keys()]
            for name in names:
                if name not in known:
                    self.wrong(name, f"{parameter}= names no column of the class.{nearest(name, known)}")
        if any(self.attributes.get(name) is self.key for name in self.exposure.without):
            self.wrong("id", "the key cannot be left out.")

    def _name(self, attribute: str, column: sa.Column[Any], target: _Reader | None) -> str:
        """What the API calls a column: its attribute in snake case, or the relation that it is the key of."""
        name = self.exposure.names.get(attribute) or snake(attribute)
        if target is not None:
            relation = self._relationship(column, target)
            if relation is not None:
                name = self.exposure.names.get(relation.key) or snake(relation.key)
            elif attribute not in self.exposure.names and name.endswith("_id") and name[:-3] not in self._all_names():
                name = name[:-3]
        if not _NAME.fullmatch(name) or "__" in name:
            self.wrong(attribute, f'"{name}" cannot stand in an address.', self._renaming(attribute))
        elif name in OPERATOR_NAMES:
            self.wrong(attribute, f'"{name}" is a word of the filter language.', self._renaming(attribute))
        return name

    def _renaming(self, attribute: str) -> str:
        return f'Name it otherwise: names={{"{attribute}": "..."}}, or leave it out: without=("{attribute}",).'

    def _all_names(self) -> set[str]:
        return {snake(name) for name in (*self.attributes, *self.mapper.relationships.keys())}

    def _target(self, column: sa.Column[Any], by_table: Mapping[sa.Table, _Reader]) -> _Reader | None:
        """The exposed class whose key a column holds."""
        for link in column.foreign_keys:
            alone = link.constraint is None or len(link.constraint.elements) == 1
            target = by_table.get(link.column.table) if alone else None
            if target is not None and link.column is target.key:
                return target
        return None

    def _relationship(self, column: sa.Column[Any], target: _Reader | None) -> RelationshipProperty[Any] | None:
        """The relationship that leads by a column to the record it names."""
        if target is None:
            return None
        found = [
            one for one in self.mapper.relationships
            if one.direction is MANYTOONE and _simple(one.primaryjoin, column, target.key)
            and one.mapper is target.mapper
        ]  # fmt: skip
        return found[0] if found else None

    def _kind(self, attribute: str, column: sa.Column[Any]) -> Kind | None:
        found = kind_of(column.type)
        if isinstance(found, Kind):
            return found
        self.wrong(attribute, f"it holds {column.type!r}: {found}.", f'Leave it out: without=("{attribute}",).')
        return None

    def _field(
        self, name: str, attribute: str, column: sa.Column[Any], kind: Kind, target: _Reader | None
    ) -> Field:  # fmt: skip
        version = column is self.mapper.version_id_col
        default = self._default(name, attribute, column, kind)
        if version and default is None:
            default = Default("literal", 1)
        numbered = name == "id" and default is not None and default.source in ("id", "table")
        return Field(
            name, kind, bool(column.nullable), default, read_only=version or numbered or column.computed is not None,
            target=target.entity if target is not None else None, doc=column.doc or column.comment or "",
            on_update=self._on_update(attribute, column, kind) if not version else None, existing=column.name,
        )  # fmt: skip

    def _default(self, name: str, attribute: str, column: sa.Column[Any], kind: Kind) -> Default | None:
        for spelt in (name, attribute):
            if spelt in self.exposure.defaults:
                return self._given(attribute, kind, self.exposure.defaults[spelt])
        if column.server_default is not None or column.computed is not None or column.identity is not None:
            return Default("table")
        if column.default is not None:
            return self._said(attribute, kind, column.default, "default")
        if name == "id":
            numbers = self.table.autoincrement_column is column
            return Default("table") if numbers else Default("id") if kind.name == "uuid" else None
        return Default("literal", None) if column.nullable else None

    def _given(self, attribute: str, kind: Kind, value: Any) -> Default | None:
        if isinstance(value, Default):
            return value
        if isinstance(value, Instant):
            return Default("now")
        return self._literal(attribute, kind, value)

    def _literal(self, attribute: str, kind: Kind, value: Any) -> Default | None:
        try:
            return Default("literal", None if value is None else parse(kind, value))
        except Unfit as unfit:
            self.wrong(attribute, f"its default {value!r} {unfit}.", f'Leave it out: without=("{attribute}",).')
            return None

    def _said(self, attribute: str, kind: Kind, default: Any, what: str) -> Default | None:
        """A default on the side of Python, as SQLAlchemy keeps it."""
        if default.is_scalar:
            return self._literal(attribute, kind, default.arg)
        if default.is_callable:
            if (function := getattr(default.arg, "__wrapped__", None)) is not None:
                return Default("call", function)
            said = "looks at the statement that SQLAlchemy makes, and there is none."
        elif default.is_clause_element and isinstance(default.arg, (sql_now, current_timestamp)):
            return Default("now")
        else:
            said = "is an expression that only SQLAlchemy runs."
        if attribute not in self.exposure.defaults:
            self.wrong(attribute, f"its {what} {said}", f'Give it another: defaults={{"{attribute}": ...}}.')
        return None

    def _on_update(self, attribute: str, column: sa.Column[Any], kind: Kind) -> Default | None:
        return None if column.onupdate is None else self._said(attribute, kind, column.onupdate, "onupdate")

    # Relations to many.

    def read_relations(self, by_table: Mapping[sa.Table, _Reader], made: list[Entity]) -> None:
        """Read the relations to many: those the class declares, and what foreign keys lead back without one."""
        by_mapper = {reader.mapper: reader for reader in by_table.values()}
        for relation in self.mapper.relationships:
            target = by_mapper.get(relation.mapper)
            if target is None or target.exposure.hidden or relation.key in self.exposure.without:
                continue
            if relation.direction is ONETOMANY and relation.uselist:
                via = target.column_of(relation, self.key)
                if via is not None:
                    self._add(relation.key, ToMany(self._many_name(relation.key), target.entity, via))
            elif relation.direction is MANYTOMANY:
                self._through(relation, target, made)
        self._lead_back(by_table.values())

    def column_of(self, relation: RelationshipProperty[Any], key: sa.Column[Any]) -> str | None:
        """The field of this class by which a relation of another leads to it; nothing where it is not that simple."""
        for attribute, column in self.attributes.items():
            if _simple(relation.primaryjoin, key, column):
                return self._field_of(attribute)
        return None

    def _field_of(self, attribute: str) -> str | None:
        name = self.spelling.get(attribute, attribute)
        return name if name in self.entity.fields else None

    def _many_name(self, attribute: str) -> str:
        return self.exposure.names.get(attribute) or snake(attribute)

    def _add(self, attribute: str, relation: ToMany) -> None:
        name = relation.name
        if name in self.entity.fields or name in self.entity.to_many:
            self.wrong(attribute, f'two fields would be called "{name}".', self._renaming(attribute))
        elif not _NAME.fullmatch(name) or name in OPERATOR_NAMES:
            self.wrong(attribute, f'"{name}" cannot stand in an address.', self._renaming(attribute))
        else:
            self.entity.to_many[name] = relation
            if attribute != name:
                self.spelling[attribute] = name
            self.form.add_many(name, attribute)

    def _through(self, relation: RelationshipProperty[Any], target: _Reader, made: list[Entity]) -> None:
        """A relation through an association table: two foreign keys, and nothing that has to be said besides."""
        table = relation.secondary
        if not isinstance(table, sa.Table):
            return
        left = next((c for c in table.columns if _simple(relation.primaryjoin, self.key, c)), None)
        right = next((c for c in table.columns if _simple(relation.secondaryjoin, target.key, c)), None)
        kinds = [kind_of(column.type) for column in (left, right) if column is not None]
        if left is None or right is None or not all(isinstance(kind, Kind) for kind in kinds):
            return
        said = [c for c in table.columns if c not in (left, right)]
        whole = all(c.nullable or c.server_default is not None for c in said) and not relation.viewonly
        name = self._many_name(relation.key)
        between = Entity(
            f"{self.entity.name}{name.title().replace('_', '')}", f"{self.entity.plural}_{name}", object, hidden=True,
            made=whole, existing=Existing(table.name, self.form, table.schema or "", declares=object),
        )  # fmt: skip
        for side, column, entity, kind in zip(
            ("left", "right"), (left, right), (self.entity, target.entity), kinds, strict=True
        ):
            assert isinstance(kind, Kind)
            between.fields[side] = Field(side, kind, target=entity, existing=column.name)
        between.rules = dict.fromkeys(ACTIONS, ANYONE)
        made.append(between)
        self._add(relation.key, ToMany(name, target.entity, "left", between, "right"))

    def _lead_back(self, readers: Iterable[_Reader]) -> None:
        """Where a foreign key leads here and no relationship leads back, the relation is called as the others are."""
        taken = {(relation.target.name, relation.via) for relation in self.entity.to_many.values()}
        names = {*self._all_names(), *self.entity.fields, *self.entity.to_many}
        for reader in readers:
            if reader.exposure.hidden:
                continue
            ways = [f.name for f in reader.entity.fields.values() if f.target is self.entity]
            name = reader.entity.plural
            if len(ways) == 1 and (reader.entity.name, ways[0]) not in taken and name not in names:
                self.entity.to_many[name] = ToMany(name, reader.entity, ways[0])

    # The end.

    def close(self) -> None:
        """What has to be known of the whole class: its unique constraints, and that no secret is shown by accident."""
        by_column = {part.existing: name for name, part in self.entity.fields.items()}
        found = [Index(("id",), "unique", str(self.table.primary_key.name or f"{self.table.name}_pkey"))]
        for unique in [*self.table.constraints, *self.table.indexes]:
            if isinstance(unique, sa.UniqueConstraint) or (isinstance(unique, sa.Index) and unique.unique):
                columns = [column.name for column in unique.columns]
                if columns and all(column in by_column for column in columns):
                    name = str(unique.name or f"{self.table.name}_{'_'.join(columns)}_key")
                    found.append(Index(tuple(by_column[column] for column in columns), "unique", name))
        self.entity.indexes = tuple(found)
        for index in found:
            if len(index.fields) == 1:
                name = index.fields[0]
                if name in self.entity.fields:
                    self.entity.fields[name] = replace(self.entity.fields[name], unique=True)
        if self.exposure.hidden:  # rules may name what the class holds, and nobody else may
            self.entity.fields = {
                name: part if name == "id" else replace(part, read=NOBODY, write=NOBODY)
                for name, part in self.entity.fields.items()
            }
        else:
            self._guard_secrets()

    def _guard_secrets(self) -> None:
        for attribute in self.attributes:
            if self._field_of(attribute) and _SECRET.search(snake(attribute)) and attribute not in self.exposure.shown:
                self.wrong(attribute, "it looks like a secret, and would be shown to whoever may read the record.",
                           f'Leave it out: without=("{attribute}",). Or list it: shown=("{attribute}",).')  # fmt: skip


def _simple(join: Any, left: sa.Column[Any], right: sa.Column[Any]) -> bool:
    """Whether a join says nothing but that two columns are equal."""
    if not isinstance(join, BinaryExpression) or join.operator is not operators.eq:
        return False
    sides = [_bare(join.left), _bare(join.right)]
    return sides in ([left, right], [right, left]) if all(side is not None for side in sides) else False


def _bare(side: Any) -> Any:
    """The column of a table behind what a mapper says about it."""
    column = getattr(side, "_deannotate", lambda: side)()
    return column.table.c.get(column.key) if isinstance(column, sa.Column) else None


def _doc(model: type[Any]) -> str:
    return (model.__dict__.get("__doc__") or "").strip()


def _declaring(name: str, rules: Any) -> type:
    """The class that says the rules of an exposed one; without any, nobody may do anything."""
    if isinstance(rules, type):
        return rules
    if isinstance(rules, Rules):
        return type(f"{name}Rules", (), {"rules": lambda self, me: rules})
    return type(f"{name}Rules", (), {} if rules is None else {"rules": rules})


def snake(name: str) -> str:
    """`createdAt` and `CreatedAt` as `created_at`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return spaced.lower().strip("_")
