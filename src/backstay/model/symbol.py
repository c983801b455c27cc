"""Symbols stand in for `self`, `me` and related records while rules are called once; what they record is a condition.

Invariant: a symbol never has a truth value. Whatever Python would evaluate silently (`and`, `or`, `not`, `in`,
`if`, iteration, hashing) raises and names the replacement, so a condition cannot be lost on the way.
"""

from __future__ import annotations

import dis
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from types import CodeType
from typing import Any, NoReturn
from uuid import UUID

from backstay.errors import nearest
from backstay.model.field import Entity
from backstay.model.predicate import (
    ANYONE,
    NOBODY,
    Always,
    And,
    Arithmetic,
    Brought,
    Compare,
    Condition,
    HasRole,
    IsNull,
    Me,
    Not,
    Now,
    Operand,
    Or,
    Path,
    Quantified,
    SignedIn,
    Total,
    Value,
    both,
    either,
)
from backstay.model.value import TEXT, Kind

_depth: ContextVar[int] = ContextVar("quantifier depth", default=0)
misspelt: ContextVar[list[str] | None] = ContextVar("misspelt", default=None)
"""While a declaration is read, unknown fields are collected here instead of ending it at the first."""


class Misuse(TypeError):
    """A condition was used as if it were a value; the message names the word to use instead."""


class Symbol:
    """An operand or a condition in the making."""

    __slots__ = ("_kind", "_node")

    def __init__(self, node: Operand | Condition, kind: Kind | None = None) -> None:
        self._node = node
        self._kind = kind

    def __eq__(self, other: object) -> Any:
        if other is None:
            return Symbol(IsNull(operand(self)))
        left, right = operand(self), operand(other)
        if isinstance(left, (Me, Brought, Value)):  # the record stands on the left, whichever way it was written
            left, right = right, left
        return Symbol(Compare("eq", left, right))

    def __ne__(self, other: object) -> Any:
        return ~(self == other)

    def __lt__(self, other: object) -> Symbol:
        return Symbol(Compare("lt", operand(self), operand(other)))

    def __le__(self, other: object) -> Symbol:
        return Symbol(Compare("lte", operand(self), operand(other)))

    def __gt__(self, other: object) -> Symbol:
        return Symbol(Compare("gt", operand(self), operand(other)))

    def __ge__(self, other: object) -> Symbol:
        return Symbol(Compare("gte", operand(self), operand(other)))

    def __and__(self, other: object) -> Symbol:
        return Symbol(both(condition(self), condition(other)))

    def __rand__(self, other: object) -> Symbol:
        return Symbol(both(condition(other), condition(self)))

    def __or__(self, other: object) -> Symbol:
        return Symbol(either(condition(self), condition(other)))

    def __ror__(self, other: object) -> Symbol:
        return Symbol(either(condition(other), condition(self)))

    def __invert__(self) -> Symbol:
        return Symbol(Not(condition(self)))

    def __add__(self, other: object) -> Symbol:
        if isinstance(self._node, Now) and isinstance(other, timedelta):
            return Symbol(Now(self._node.offset + other))
        op = "concat" if self._kind is not None and self._kind.name == "text" else "add"
        return self._arithmetic(op, operand(self), operand(other))

    def __radd__(self, other: object) -> Symbol:
        return self._arithmetic("concat" if isinstance(other, str) else "add", operand(other), operand(self))

    def __sub__(self, other: object) -> Symbol:
        if isinstance(self._node, Now) and isinstance(other, timedelta):
            return Symbol(Now(self._node.offset - other))
        return self._arithmetic("subtract", operand(self), operand(other))

    def __rsub__(self, other: object) -> Symbol:
        return self._arithmetic("subtract", operand(other), operand(self))

    def __mul__(self, other: object) -> Symbol:
        return self._arithmetic("multiply", operand(self), operand(other))

    def __rmul__(self, other: object) -> Symbol:
        return self._arithmetic("multiply", operand(other), operand(self))

    def _arithmetic(self, op: Any, left: Operand, right: Operand) -> Symbol:
        return Symbol(Arithmetic(op, (left, right)), self._kind or (TEXT if op == "concat" else None))

    def __bool__(self) -> NoReturn:
        raise Misuse(
            "A condition has no truth value here: write & for and, | for or, ~ for not, one_of() or contains() for in, "
            "choose() for if."
        )

    def __contains__(self, item: object) -> NoReturn:
        raise Misuse("Write contains(field, value) or one_of(field, ...) instead of 'in'.")

    def __iter__(self) -> NoReturn:
        raise Misuse("A field cannot be looped over: write .some(...), .every(...) or .none(...).")

    def __hash__(self) -> NoReturn:
        raise Misuse("A condition cannot be put in a set or used as a key: write one_of(field, ...).")

    def __repr__(self) -> str:
        from backstay.model.predicate import describe

        return f"<{describe(self._node)}>"


class RowSymbol(Symbol):
    """A record: its attributes are fields, related records and to-many relations. Compared, it is its id."""

    __slots__ = ("_entity",)

    def __init__(self, entity: Entity, node: Path | Me) -> None:
        super().__init__(node)
        self._entity = entity

    def _step(self, name: str) -> Path | Me:
        node = self._node
        if isinstance(node, Me):
            return Me((*node.names, name))
        assert isinstance(node, Path)
        return Path((*node.names, name), node.root, node.when)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        entity = self._entity
        name = entity.spelt(name)
        if name == "id":
            return Symbol(self._node if isinstance(self._node, Me) and not self._node.names else self._step("id"))
        if (field := entity.fields.get(name)) is not None:
            if field.target is not None:
                return RowSymbol(field.target, self._step(name))
            if field.kind.name == "money":
                return MoneySymbol(self._step(name), field.kind)
            return Symbol(self._step(name), field.kind)
        if (relation := entity.to_many.get(name)) is not None:
            return ManySymbol(relation.target, self._step(name))
        if (computed := entity.computed.get(name)) is not None:
            return Symbol(self._step(name), computed.kind)
        message = f'{entity.name} has no field "{name}".{nearest(name, entity.names)}'
        if (collected := misspelt.get()) is None:
            raise AttributeError(message)
        collected.append(message)
        return RowSymbol(entity, self._step("id"))


class MoneySymbol(Symbol):
    """A money field; `.amount` and `.currency` reach its parts."""

    __slots__ = ()

    @property
    def amount(self) -> Symbol:
        """Its minor units."""
        assert isinstance(self._node, Path)
        return Symbol(Path((*self._node.names, "amount"), self._node.root, self._node.when))

    @property
    def currency(self) -> Symbol:
        """Its currency code."""
        assert isinstance(self._node, Path)
        return Symbol(Path((*self._node.names, "currency"), self._node.root, self._node.when))


class MeSymbol(RowSymbol):
    """The actor in a rule."""

    __slots__ = ()

    @property
    def signed_in(self) -> Symbol:
        """True when somebody is signed in."""
        return Symbol(SignedIn())

    def has_role(self, role: str) -> Symbol:
        """True when the actor has the role."""
        return Symbol(HasRole(role))

    def brings(self, header: str) -> Symbol:
        """The SHA-256, in hexadecimal, of the secret that the request brings in this header."""
        return Symbol(Brought(header.lower()))


class ManySymbol(Symbol):
    """A to-many relation: quantified or counted, never compared."""

    __slots__ = ("_entity",)

    def __init__(self, entity: Entity, node: Path | Me) -> None:
        if isinstance(node, Me):
            raise Misuse("me has no to-many relations in rules: start from the record and compare with me.")
        super().__init__(node)
        self._entity = entity

    def _inside(self, make: Callable[[Any], Any] | None) -> Any:
        if make is None:
            return None
        depth = _depth.get() + 1
        token = _depth.set(depth)
        try:
            return make(RowSymbol(self._entity, Path((), depth)))
        finally:
            _depth.reset(token)

    def _quantified(self, kind: Any, make: Callable[[Any], Any] | None) -> Symbol:
        assert isinstance(self._node, Path)
        return Symbol(Quantified(kind, self._node, condition(self._inside(make) if make else ANYONE)))

    def some(self, make: Callable[[Any], Any] | None = None) -> Symbol:
        """True where at least one related record satisfies the condition."""
        return self._quantified("some", make)

    def none(self, make: Callable[[Any], Any] | None = None) -> Symbol:
        """True where no related record satisfies the condition."""
        return self._quantified("none", make)

    def every(self, make: Callable[[Any], Any]) -> Symbol:
        """True where all related records satisfy the condition (also where there are none)."""
        return self._quantified("every", make)

    def _total(self, fn: Any, of: Callable[[Any], Any] | None, where: Callable[[Any], Any] | None) -> Symbol:
        assert isinstance(self._node, Path)
        value = self._inside(of)
        kept = condition(self._inside(where)) if where else ANYONE
        kind = value._kind if isinstance(value, Symbol) else None
        return Symbol(Total(fn, self._node, operand(value) if of else None, kept), kind)

    def count(self, where: Callable[[Any], Any] | None = None) -> Symbol:
        """How many related records there are."""
        return self._total("count", None, where)

    def sum(self, of: Callable[[Any], Any], where: Callable[[Any], Any] | None = None) -> Symbol:
        """The sum of a value of each related record; 0 where there are none."""
        return self._total("sum", of, where)

    def min(self, of: Callable[[Any], Any], where: Callable[[Any], Any] | None = None) -> Symbol:
        """The least value; null where there are none."""
        return self._total("min", of, where)

    def max(self, of: Callable[[Any], Any], where: Callable[[Any], Any] | None = None) -> Symbol:
        """The greatest value; null where there are none."""
        return self._total("max", of, where)


def operand(value: object) -> Operand:
    """`value` as an operand: a symbol's path, the id of a record, or a constant."""
    if isinstance(value, Symbol):
        node = value._node
        if isinstance(node, (Always, Compare, IsNull, Quantified, And, Or, Not, HasRole, SignedIn)):
            raise Misuse("A condition cannot be compared: combine conditions with & and |.")
        assert not isinstance(value, ManySymbol), "a to-many relation cannot be compared"
        return node  # type: ignore[return-value]
    if isinstance(value, Enum):
        return Value(value.value)
    if is_record(value):
        # A record without an id is nobody's: compared, it is like `me` of the anonymous, false in both polarities.
        identity = key_of(value)
        return Me() if identity is None else Value(str(identity) if isinstance(identity, UUID) else identity)
    return Value(value)


def is_record(value: object) -> bool:
    """Whether a value is a record: of a declared model, or of the class of an existing application."""
    return hasattr(value, "__entity__") or "_sa_instance_state" in getattr(value, "__dict__", ())


def is_mapped(kind: type) -> bool:
    """Whether a class is one that SQLAlchemy maps to a table."""
    return hasattr(kind, "__mapper__")


def key_of(record: Any) -> Any:
    """The key of a record; nothing where it has none yet."""
    if hasattr(record, "__entity__"):
        return record.__dict__.get("id")
    state = record.__dict__["_sa_instance_state"]  # SQLAlchemy's, which is not imported for this
    return (state.identity or state.mapper.primary_key_from_instance(record))[0]


def condition(value: object) -> Condition:
    """`value` as a condition. A boolean field may stand for itself; a plain bool is refused."""
    if isinstance(value, Symbol):
        node = value._node
        if isinstance(node, (Path, Me)) and value._kind is not None and value._kind.name == "boolean":
            return Compare("eq", node, Value(True))
        if isinstance(node, (Path, Value, Me, Brought, Now, Arithmetic, Total)):
            raise Misuse("A condition is expected here, such as self.author == me.")
        return node  # type: ignore[return-value]
    if isinstance(value, (Always, Compare, IsNull, Quantified, And, Or, Not, HasRole, SignedIn)):
        return value
    if isinstance(value, bool):
        raise Misuse(
            f"A plain {value} is not a condition: write {'anyone' if value else 'nobody'}; "
            "is_null() for 'is None', == for 'is'."
        )
    raise Misuse(f"A condition is expected here, not {type(value).__name__}.")


def refuse_identity(function: object) -> None:
    """Refuse a condition that says `is`: Python answers it at once, and `x is not None and y` would silently be `y`."""
    code = getattr(function, "__code__", None)
    if code is not None and _says_is(code):
        raise Misuse("'is' cannot be recorded: write is_null() for 'is None' and == for 'is'.")


@lru_cache(maxsize=1024)
def _says_is(code: CodeType) -> bool:
    """Whether Python code, or a function inside it, compares by identity."""
    inside = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    found = any(op.opname == "IS_OP" or op.opname.endswith("_NONE") for op in dis.get_instructions(code))
    return found or any(map(_says_is, inside))


_anyone, _nobody = Symbol(ANYONE), Symbol(NOBODY)
