"""`Model`, and how its plain annotated classes are read into entities.

Invariant: reading collects every mistake of every model before it gives up, so that a person corrects a file
once. Nothing here is global: a class becomes part of an application only by being handed to it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from re import _parser as sre  # type: ignore[attr-defined]
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import annotated_types as at

from backstay.errors import Mistake, nearest
from backstay.model.field import Default, Entity, Field, OnDelete
from backstay.model.narrowing import idle_of, kept
from backstay.model.rule import (
    DeleteRule,
    FormerName,
    Instant,
    Many,
    ManyRule,
    now,
)
from backstay.model.value import (
    KEY,
    SAFE_INTEGER,
    Currency,
    Digits,
    Format,
    Kind,
    Money,
    Pattern,
    SealedAs,
    Sealing,
    Unfit,
    WriteOnly,
    parse,
    plain,
)

RESERVED = frozenset({"id", "created_at", "updated_at", "rules", "indexes", "meta", "me", "row", "old", "new"})
OPERATOR_NAMES = frozenset(
    "eq ne lt lte gt gte in not_in contains icontains starts_with is_null search some none every and or not".split()
)


@dataclass_transform(kw_only_default=True)
class ModelMeta(type):
    """Takes the defaults out of a model class, so that an unset attribute is not mistaken for a value."""

    __declared__: dict[str, Any]

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **extra: Any) -> ModelMeta:
        annotated = space.get("__annotations__", {})
        declared = {key: space.pop(key) for key in annotated if key in space and not key.startswith("__")}
        cls = super().__new__(mcs, name, bases, space, **extra)
        cls.__declared__ = declared
        return cls


class Model(metaclass=ModelMeta):
    """The base of everything that is kept. Fields are annotations; `rules` says who may do what.

    Every model has `id` (a time-ordered UUID), `created_at` and `updated_at`, set by the server.

    >>> class Note(Model):
    ...     text: str
    >>> Note(text="hello").text
    'hello'
    """

    __entity__: ClassVar[bool] = True
    __plural__: ClassVar[str] = ""
    __was__: ClassVar[str] = ""
    __revoking__: ClassVar[tuple[str, ...]] = ()
    """The fields whose change takes rights away from the user that a record belongs to (`store/revocation.py`)."""

    id: UUID = Default("id")  # type: ignore[assignment]
    created_at: datetime = now()
    updated_at: datetime = now()

    def __init__(self, **values: Any) -> None:
        known = all_annotations(type(self))
        for name in values:
            if name not in known:
                raise TypeError(f'{type(self).__name__} has no field "{name}".{nearest(name, known)}')
        for name, default in all_defaults(type(self)).items():
            if not isinstance(default, (Default, ManyRule, Instant)):
                self.__dict__[name] = default
        self.__dict__.update(values)

    if not TYPE_CHECKING:  # else a misspelt field would be anything to the type checkers

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            kind = type(self).__name__
            if name in all_annotations(type(self)):
                raise AttributeError(
                    f'"{name}" of this {kind} is not loaded: read the record with tx.get({kind}, record.id), '
                    f'or name the relation in expand=["{name}"].'
                )
            raise AttributeError(f'{kind} has no field "{name}".{nearest(name, all_annotations(type(self)))}')

    def __eq__(self, other: object) -> bool:
        mine, theirs = self.__dict__.get("id"), getattr(other, "__dict__", {}).get("id")
        return type(self) is type(other) and mine is not None and mine == theirs if self is not other else True

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.__dict__.get("id") or id(self)))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.__dict__.items() if not key.startswith("_"))
        return f"{type(self).__name__}({inside})"


class User(Model):
    """A person who can sign in. Extend it with fields of your own: `class Member(User): nickname: str`.

    The email address is its sign-in name and kept in one canonical form; roles are given by the command line
    or by code, never by a request.
    """

    __revoking__: ClassVar[tuple[str, ...]] = ("roles", "disabled")

    email: Annotated[str, Format("email"), at.Len(3, 254)]
    name: Annotated[str, at.Len(0, 200)] = ""
    roles: list[str] = []  # noqa: RUF012 - a default, taken out of the class when it is made
    disabled: bool = False

    def rules(self, me: Any) -> Any:
        """A user sees and names only themselves; staff sees everyone."""
        from backstay.model.rule import Rules, field_rule

        return Rules(
            read=(self == me) | me.has_role("staff"),
            update=self == me,
            fields=[field_rule(self.disabled, read=me.has_role("staff"))],
        )

    def indexes(self) -> list[Any]:
        """An address belongs to one account."""
        from backstay.model.rule import unique

        return [unique(self.email)]

    @property
    def signed_in(self) -> bool:
        """In rules: true when somebody is signed in. A record of a user is nobody's session."""
        raise AttributeError("signed_in is known in rules only: it says whether somebody is signed in.")

    def has_role(self, role: str) -> bool:
        """Whether the user has the role; in rules, a condition."""
        return role in self.roles

    def brings(self, header: str) -> str:
        """In rules: the SHA-256, in hexadecimal, of the secret that the request brings in a header.

        So whoever holds the secret of a record has a right to it, signed in or not: keep its hash in the record
        (`secret_hash`), and write `read=self.token_hash == me.brings("X-Cart-Token")`. Where the request does not bring
        the header no comparison with it holds, in either polarity.
        """
        raise AttributeError("brings is known in rules only: it is what a request brings.")


def all_annotations(model: type) -> dict[str, Any]:
    """The annotations of a model and its bases, bases first, unresolved; looked for once."""
    if "__annotated__" not in model.__dict__:
        found: dict[str, Any] = {}
        for cls in reversed(model.__mro__):
            if isinstance(cls, ModelMeta):
                found.update({k: v for k, v in inspect.get_annotations(cls).items() if not k.startswith("__")})
        type.__setattr__(model, "__annotated__", found)
    return cast(dict[str, Any], model.__dict__["__annotated__"])


def all_defaults(model: type) -> dict[str, Any]:
    """What stands behind the annotations of a model and its bases."""
    found: dict[str, Any] = {}
    for cls in reversed(model.__mro__):
        found.update(cls.__dict__.get("__declared__", {}))
    return found


def plural_of(name: str) -> str:
    """`OrderItem` → `order_items`, `Category` → `categories`; set `__plural__` for words that go another way."""
    snake = "".join(
        ("_" if c.isupper() and i and not name[i - 1].isupper() else "") + c.lower() for i, c in enumerate(name)
    )
    if snake.endswith("y") and snake[-2:-1] not in tuple("aeiou"):
        return snake[:-1] + "ies"
    return snake + ("es" if snake.endswith(("s", "x", "z", "ch", "sh")) else "s")


class Reader:
    """Reads classes into entities and keeps every mistake it meets."""

    def __init__(self, models: Sequence[type[Model]], user: type[Any], existing: Sequence[Entity] = ()) -> None:
        self.mistakes: list[Mistake] = []
        self.models = {model.__name__: model for model in models}
        self.user = user
        self.existing = {entity.model: entity for entity in existing}
        self.entities = {
            name: Entity(
                name, model.__plural__ or plural_of(name), model, (model.__doc__ or "").strip(), was=model.__was__
            )
            for name, model in self.models.items()
        }
        self.many_rules: dict[tuple[str, str], tuple[type, ManyRule]] = {}

    def wrong(self, place: str, message: str, hint: str = "") -> None:
        """Keep one mistake."""
        self.mistakes.append(Mistake(place, message, hint))

    def read_fields(self, entity: Entity) -> None:
        """Read the annotations of one model into its fields; to-many relations wait until all fields are known."""
        names = {**{m.__name__: m for m in self.models.values()}, "User": self.user, "Many": Many}
        try:
            hints = get_type_hints(entity.model, localns=names, include_extras=True)
        except NameError as error:
            missing = getattr(error, "name", "") or str(error)
            self.wrong(entity.name, f'nothing is named "{missing}".{nearest(missing, list(self.models))}',
                       "Hand every model to App(models=[...]); annotations may only name those.")  # fmt: skip
            return
        defaults = all_defaults(entity.model)
        for name in all_annotations(entity.model):
            place = f"{entity.name}.{name}"
            hint = hints[name]
            if get_origin(hint) is ClassVar:
                continue
            if name.startswith("_") or "__" in name:
                self.wrong(place, "a field name must not begin with _ or contain __.", "Rename the field.")
            elif name in OPERATOR_NAMES or (name in RESERVED and name not in ("id", "created_at", "updated_at")):
                self.wrong(place, f'"{name}" is a word of the filter language.', "Rename the field.")
            else:
                self._read_field(entity, name, hint, defaults)

    def _read_field(self, entity: Entity, name: str, hint: Any, defaults: Mapping[str, Any]) -> None:
        place = f"{entity.name}.{name}"
        hint, extras = _unwrap(hint)
        nullable = False
        if get_origin(hint) in (Union, types.UnionType):
            parts = [part for part in get_args(hint) if part is not type(None)]
            nullable = len(parts) < len(get_args(hint))
            if len(parts) != 1:
                self.wrong(place, "a field has one type.", "Write one type, or one type | None.")
                return
            hint, more = _unwrap(parts[0])
            extras = [*more, *extras]
        raw_default = defaults.get(name)
        if get_origin(hint) is Many or hint is Many:
            rule = raw_default if isinstance(raw_default, ManyRule) else ManyRule()
            (target,) = get_args(hint) or (None,)
            if not isinstance(target, type) or target.__name__ not in self.models:
                self.wrong(place, "Many[...] names no model of this application.", "Hand it to App(models=[...]).")
                return
            self.many_rules[entity.name, name] = (target, rule)
            return
        target_entity: Entity | None = None
        if isinstance(cast(object, hint), ModelMeta) or hint in self.existing:
            target_entity = self._target(hint)
            if target_entity is None:
                self.wrong(place, f"{hint.__name__} is not a model of this application.",
                           f"Add it: App(models=[..., {hint.__name__}]).")  # fmt: skip
                return
            kind: Kind | None = plain(target_entity.key.kind) if target_entity.existing is not None else KEY
        else:
            kind = self._kind(place, hint, extras)
        if kind is None:
            return
        if name == "id":
            default: Default | None = Default("id")
        else:
            default = self._default(place, kind, raw_default, name in defaults, nullable)
        action: OnDelete = next((e.action for e in extras if isinstance(e, DeleteRule)), "restrict")
        if action == "set_null" and not nullable:
            self.wrong(place, 'on_delete("set_null") needs a field that may be null.', "Annotate it with | None.")
        if (
            default is not None
            and default.source == "me"
            and (target_entity is None or target_entity.model is not self.user)
        ):
            self.wrong(place, "current_user() stands behind a relation to User only.", f"Write {name}: User.")
        label = ""
        if any(isinstance(e, Sealing) for e in extras):
            label = next((e.name for e in extras if isinstance(e, SealedAs)), f"{entity.name}.{name}")
            kind = self._sealed(entity, name, kind, target_entity)
        entity.fields[name] = Field(
            name, kind, nullable, default,
            write_only=any(isinstance(e, WriteOnly) for e in extras),
            read_only=name in ("id", "created_at", "updated_at")
            or (entity.model is self.user and name in ("email", "roles", "disabled")),
            target=target_entity, on_delete=action,
            doc=next((e.documentation for e in extras if isinstance(e, at.DocInfo)), ""), label=label,
            on_update=Default("now") if name == "updated_at" else None,
            was=next((e.name for e in extras if isinstance(e, FormerName)), ""),
        )  # fmt: skip
        if label:
            entity.sealed = (*entity.sealed, name)

    def _sealed(self, entity: Entity, name: str, kind: Kind, target: Entity | None) -> Kind:
        """The kind of an encrypted field, and a mistake where it cannot be one."""
        place = f"{entity.name}.{name}"
        if target is not None:
            self.wrong(place, "a relation cannot be encrypted.", "Encrypt fields of the record it leads to.")
        elif name in ("id", "created_at", "updated_at") or (
            entity.model is self.user and name in ("email", "roles", "disabled")
        ):
            self.wrong(place, "Backstay looks for it in the database, so it cannot be encrypted.", "Leave it readable.")
        return replace(kind, sealed=True)

    def _target(self, hint: Any) -> Entity | None:
        """The entity that an annotation names; `User` is whatever class the users of this application have."""
        if (known := self.existing.get(hint)) is not None:
            return known
        people = issubclass(hint, User) and (self.user in self.existing or issubclass(self.user, hint))
        if people and self.user in self.existing:
            return self.existing[self.user]
        return self.entities.get((self.user if people else hint).__name__)

    def read_argument(self, place: str, name: str, hint: Any) -> Field | None:
        """An argument of the user's own function, as a field: the same kinds, the same constraints."""
        hint, extras = _unwrap(hint)
        nullable = False
        if get_origin(hint) in (Union, types.UnionType):
            parts = [part for part in get_args(hint) if part is not type(None)]
            nullable = len(parts) < len(get_args(hint))
            hint, more = _unwrap(parts[0])
            extras = [*more, *extras]
        kind = KEY if isinstance(cast(object, hint), ModelMeta) else self._kind(place, hint, extras)
        return Field(name, kind, nullable) if kind is not None else None

    def _default(self, place: str, kind: Kind, raw: Any, given: bool, nullable: bool) -> Default | None:
        if isinstance(raw, Default):
            return raw
        if isinstance(raw, Instant):
            if kind.name != "datetime":
                self.wrong(place, "now() stands behind a datetime only.", "Annotate the field with datetime.")
            return Default("now")
        if not given:
            return None
        if raw is None:
            if not nullable:
                self.wrong(place, "the default is None, but the field may not be null.", "Annotate it with | None.")
            return Default("literal", None)
        try:
            return Default("literal", parse(kind, raw))
        except Unfit as unfit:
            self.wrong(place, f"the default {raw!r} {unfit}.", "Change the default or the constraint.")
            return None

    def _kind(self, place: str, hint: Any, extras: Sequence[Any]) -> Kind | None:
        narrow = self._constraints(place, extras)
        kind = self._kind_of(place, hint, extras, narrow)
        idle = idle_of(kind, narrow) if kind is not None else []
        for message, hint_ in idle:
            self.wrong(place, message, hint_)
        return None if idle else kind

    def _kind_of(self, place: str, hint: Any, extras: Sequence[Any], narrow: dict[str, Any]) -> Kind | None:
        formats = [e.name for e in extras if isinstance(e, Format)]
        if "json" in formats or hint is Any or hint is dict or get_origin(hint) is dict:
            return Kind("json")
        if get_origin(hint) is Literal:
            return Kind("enum", choices=tuple(get_args(hint)))
        if isinstance(hint, type) and issubclass(hint, Enum):
            return Kind("enum", choices=tuple(member.value for member in hint), enum=hint)
        if get_origin(hint) is list:
            (inner,) = get_args(hint)
            inner, inner_extras = _unwrap(inner)
            item = self._kind(place, inner, inner_extras)
            if any(isinstance(e, Sealing) for e in inner_extras):
                self.wrong(place, "a list is encrypted as a whole.", "Write Encrypted[list[...]].")
            if item is None or item.name in ("json", "list", "money"):
                self.wrong(
                    place, "a list holds plain values such as text or numbers.", "Use Json, or Many[...] for records."
                )
                return None
            return Kind("list", item=item, min_length=narrow.get("min_length", 0), max_length=narrow.get("max_length"))
        if hint is Decimal:
            digits = next((e for e in extras if isinstance(e, Digits)), None)
            if digits is None or not 0 <= digits.scale <= digits.total <= 18:
                self.wrong(place, "a decimal says how many digits it has, at most 18.",
                           "Write Annotated[Decimal, Digits(12, 2)].")  # fmt: skip
                return None
            return Kind("decimal", precision=digits.total, scale=digits.scale, **kept("decimal", narrow))
        if hint is Money:
            code = next((e.code for e in extras if isinstance(e, Currency)), "")
            return Kind("money", currency=code, **kept("money", narrow))
        simple: dict[Any, str] = {
            str: "text", int: "big_integer" if "big" in formats else "integer", float: "float", bool: "boolean",
            date: "date", time: "time", datetime: "datetime", timedelta: "duration", UUID: "uuid",
        }  # fmt: skip
        if hint not in simple:
            self.wrong(place, f"fields cannot hold {getattr(hint, '__name__', hint)!s}.",
                       "Use str, int, float, Decimal, bool, date, time, datetime, timedelta, UUID, list, Enum, "
                       "Literal, Money, Json or another model.")  # fmt: skip
            return None
        if "pattern" in narrow and not linear(narrow["pattern"]):
            self.wrong(place, f"the pattern {narrow['pattern']} repeats a repetition, which can take forever.",
                       "Write it without nested * + or {}.")  # fmt: skip
        kind_format = next((f for f in formats if f not in ("json", "big")), "")
        return Kind(simple[hint], format=kind_format, **kept(simple[hint], narrow))  # type: ignore[arg-type]

    def _constraints(self, place: str, extras: Sequence[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for extra in extras:
            match extra:
                case at.Ge(value):
                    found["ge"] = value
                case at.Gt(value):
                    found["gt"] = value
                case at.Le(value):
                    found["le"] = value
                case at.Lt(value):
                    found["lt"] = value
                case at.MultipleOf(value):
                    found["multiple_of"] = value
                case at.Interval():
                    found.update(
                        {k: getattr(extra, k) for k in ("ge", "gt", "le", "lt") if getattr(extra, k) is not None}
                    )
                case at.Len(least, most):
                    found["min_length"] = least
                    if most is not None:
                        found["max_length"] = most
                case at.MinLen(least):
                    found["min_length"] = least
                case at.MaxLen(most):
                    found["max_length"] = most
                case Pattern(regex):
                    found["pattern"] = regex
                case (
                    Format()
                    | WriteOnly()
                    | Digits()
                    | Currency()
                    | DeleteRule()
                    | FormerName()
                    | Sealing()
                    | SealedAs()
                    | at.DocInfo()
                ):
                    pass
                case _:
                    self.wrong(place, f"{extra!r} is no constraint that the database and the API can both keep.",
                               "Use Ge, Gt, Le, Lt, Interval, MultipleOf, Len, MinLen, MaxLen or Pattern.")  # fmt: skip
        for name in ("ge", "gt", "le", "lt"):
            if isinstance(found.get(name), int) and abs(found[name]) > SAFE_INTEGER:
                self.wrong(place, f"{name}={found[name]} is beyond what JSON numbers hold.", "Use a smaller bound.")
        return found


def _unwrap(hint: Any) -> tuple[Any, list[Any]]:
    extras: list[Any] = []
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        extras = [*more, *extras]
    return hint, extras


def linear(pattern: str) -> bool:
    """Whether a regular expression has no repetition inside a repetition (the usual cause of endless matching)."""

    def walk(parsed: Any, repeated: bool) -> bool:
        for op, argument in parsed:
            name = str(op)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                variable = argument[0] != argument[1]
                if (repeated and variable) or not walk(argument[2], repeated or argument[1] > 1):
                    return False
            elif name == "SUBPATTERN":
                if not walk(argument[3], repeated):
                    return False
            elif name == "BRANCH":
                if not all(walk(branch, repeated) for branch in argument[1]):
                    return False
            elif name in ("GROUPREF", "ASSERT", "ASSERT_NOT"):
                return False
        return True

    try:
        return walk(sre.parse(pattern), False)
    except Exception:
        return False
