"""The words of a declaration: rules, conditions, defaults by the server, relations and indexes.

To the type checkers conditions are `bool` and fields are what their annotation says, so a misspelt field or a
rule over the wrong model is an error before the program starts. At run time they are symbols (`symbol.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, cast, overload

from backstay.model.field import Default, Index, OnDelete
from backstay.model.predicate import Arithmetic, Choice, Compare, HasRole, IsNull, Not, Now, Path, SignedIn, Value
from backstay.model.symbol import Misuse, Symbol, _anyone, _nobody, condition, operand

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C", bound=Callable[..., Any])

Predicate: TypeAlias = bool | int
"""A condition, to the type checkers: `~` of a bool is an int to them."""

anyone: bool = cast(bool, _anyone)
nobody: bool = cast(bool, _nobody)


signed_in: bool = cast(bool, Symbol(SignedIn()))
"""For actions: somebody is signed in. In rules, write `me.signed_in`."""


def role(name: str) -> bool:
    """For actions: the actor has the role. In rules, write `me.has_role(name)`."""
    return cast(bool, Symbol(HasRole(name)))


@dataclass(frozen=True)
class FieldRule:
    """Who may see one field and who may set it; made by `field(...)`."""

    of: Any
    read: Any
    write: Any


@dataclass(frozen=True)
class Rules:
    """Who may do what with a record. What is not named, nobody may do.

    Each is a condition over the record and `me`. `update` must hold on the row before *and* after the change,
    unless it says `old(...)` or `new(...)`.

    >>> Rules(read=anyone, fields=[])                                     # doctest: +ELLIPSIS
    Rules(read=...)
    """

    read: Predicate = nobody
    create: Predicate = nobody
    update: Predicate = nobody
    delete: Predicate = nobody
    fields: Sequence[FieldRule] = field(default=())

    def __repr__(self) -> str:
        return f"Rules(read={self.read!r})"


def field_rule(of: object, *, read: Predicate = anyone, write: Predicate = anyone) -> FieldRule:
    """Who may see a field (`read`) and who may set it (`write`); exported as `field`.

    A condition on roles alone removes the field from the viewer's schema: it does not exist for others. A
    condition on the record makes it null wherever it does not hold, in answers, filters and sorting alike.
    """
    return FieldRule(of, read, write)


def not_(value: Predicate) -> bool:
    """The negation of a condition, typed as `bool`; the same as `~`."""
    return cast(bool, Symbol(Not(condition(value))))


def old(value: T) -> T:
    """In an `update` rule: the value before the change."""
    return _moment(value, "old")


def new(value: T) -> T:
    """In an `update` rule: the value after the change."""
    return _moment(value, "new")


def _moment(value: T, when: Literal["old", "new"]) -> T:
    symbol = cast(Any, value)
    if not isinstance(symbol, Symbol) or not isinstance(symbol._node, Path) or symbol._node.root:
        raise Misuse(f"{when}() takes a field of the record itself, such as {when}(self.status).")
    marked = Path(symbol._node.names, 0, when)
    return cast(T, Symbol(marked, symbol._kind))


def contains(value: object, part: object) -> bool:
    """True where a text has the part in it, or a list has the entry. Compares by code point."""
    return cast(bool, Symbol(Compare("contains", operand(value), operand(part))))


def icontains(value: object, part: str) -> bool:
    """True where a text has the part in it, whatever the case and the accents."""
    return cast(bool, Symbol(Compare("icontains", operand(value), operand(part))))


def starts_with(value: object, start: str) -> bool:
    """True where a text begins so. Compares by code point."""
    return cast(bool, Symbol(Compare("starts_with", operand(value), operand(start))))


def one_of(value: object, *choices: object) -> bool:
    """True where the value is one of the choices; replaces `in`."""
    return cast(bool, Symbol(Compare("in", operand(value), Value([_plain(choice) for choice in choices]))))


def _plain(choice: object) -> object:
    constant = operand(choice)
    if not isinstance(constant, Value):
        raise Misuse("one_of() takes constants: write (a == b) | (a == c) to compare with fields.")
    return constant.value


def is_null(value: object) -> bool:
    """True where there is no value; replaces `is None`."""
    return cast(bool, Symbol(IsNull(operand(value))))


def coalesce(value: T | None, otherwise: T) -> T:
    """The value, or another where it is null."""
    kind = value._kind if isinstance(value, Symbol) else None
    return cast(T, Symbol(Arithmetic("coalesce", (operand(value), operand(otherwise))), kind))


def choose(when: Predicate, then: T, otherwise: T) -> T:
    """`then` where the condition holds, else `otherwise`; replaces `if` in computed fields."""
    kind = then._kind if isinstance(then, Symbol) else otherwise._kind if isinstance(otherwise, Symbol) else None
    return cast(T, Symbol(Choice(condition(when), operand(then), operand(otherwise)), kind))


# Defaults by the server.


class Instant(Symbol):
    """What `now()` returns: a default when it stands behind a field, the instant of the request in a condition."""

    __slots__ = ()


def now() -> Any:
    """The instant of the request: as a default, the server sets it; in a condition, it is compared with.

    `now() - timedelta(days=30)` moves it.
    """
    return Instant(Now())


def current_user() -> Any:
    """The signed-in user, set by the server; a client cannot send it."""
    return Default("me")


def sequence(name: str) -> Any:
    """The next number of a named sequence: unique and increasing, with gaps."""
    return Default("sequence", name)


def made_from(field_name: str) -> Any:
    """For a `Slug`: made from another field when the client sends none."""
    return Default("slug", field_name)


# Relations.


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """What happens to this record when the one it refers to is deleted."""

    action: OnDelete


def on_delete(action: OnDelete) -> DeleteRule:
    """Beside a relation, `Annotated[Order, on_delete("cascade")]`: `restrict` (the default), `cascade`, `set_null`."""
    return DeleteRule(action)


@dataclass(frozen=True, slots=True)
class FormerName:
    """What a field was called before."""

    name: str


def was(name: str) -> FormerName:
    """Beside a field that was renamed, `title: Annotated[str, was("name")]`: its values are kept, and nothing guesses.

    It can go once every database has been migrated. A model that was renamed says `__was__ = "OldName"`.
    """
    return FormerName(name)


@dataclass(frozen=True, slots=True)
class ManyRule:
    """How a to-many relation finds its records; made by `many(...)`."""

    via: str = ""
    through: Any = None


def many(*, via: str = "", through: Any = None) -> Any:
    """For `Many[...]`: the relation that leads back (`via`), or the model in between (`through`).

    Neither is needed where only one way leads back. `through=True` makes the model in between.
    """
    return ManyRule(via, through)


class Many(Generic[T]):
    """A to-many relation. In conditions it is quantified; on a loaded record it is a sequence."""

    if TYPE_CHECKING:
        # To the checkers it is a descriptor: a new record takes any sequence, and gives what can be quantified.
        def __get__(self, record: object, model: object, /) -> Many[T]: ...
        def __set__(self, record: object, records: Sequence[T], /) -> None: ...
        def some(self, make: Callable[[T], Predicate] | None = None) -> bool: ...
        def none(self, make: Callable[[T], Predicate] | None = None) -> bool: ...
        def every(self, make: Callable[[T], Predicate]) -> bool: ...
        def count(self, where: Callable[[T], Predicate] | None = None) -> int: ...
        def sum(self, of: Callable[[T], R], where: Callable[[T], Predicate] | None = None) -> R: ...
        def min(self, of: Callable[[T], R], where: Callable[[T], Predicate] | None = None) -> R | None: ...
        def max(self, of: Callable[[T], R], where: Callable[[T], Predicate] | None = None) -> R | None: ...
        def __iter__(self) -> Iterator[T]: ...
        def __len__(self) -> int: ...
        @overload
        def __getitem__(self, index: int) -> T: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[T]: ...
        def __getitem__(self, index: int | slice) -> T | Sequence[T]: ...


if TYPE_CHECKING:
    computed = property
else:

    class computed:
        """Marks a method as a read-only computed field: called once, with symbols, and run in the statement."""

        def __init__(self, method: Callable[[Any], Any]) -> None:
            self.method = method
            self.__doc__ = method.__doc__


# Indexes.


def index(*fields: object) -> Index:
    """An index over these fields, in this order."""
    return Index(_names(fields), "index")


def unique(*fields: object) -> Index:
    """No two records have the same values here."""
    return Index(_names(fields), "unique")


def searchable(*fields: object) -> Index:
    """The text fields that `search` looks in; earlier fields rank higher."""
    return Index(_names(fields), "search")


def _names(fields: Sequence[object]) -> tuple[str, ...]:
    names = []
    for symbol in fields:
        node = symbol._node if isinstance(symbol, Symbol) else None
        if not isinstance(node, Path) or len(node.names) != 1:
            raise Misuse("An index is made of the record's own fields, such as unique(self.product, self.author).")
        names.append(node.names[0])
    return tuple(names)
